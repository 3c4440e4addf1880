//! Spaces, sources, keys and definitions.

use super::world::World;
use axum::body::Body;
use http::{Request, StatusCode, header};
use kith_catalog::WriteKeyOutcome;
use serde_json::json;

#[tokio::test]
async fn col_2_sources_are_made_switched_and_turned() {
    let world = World::new();
    let made = world.post("/api/spaces/main/sources", r#"{"name":"app"}"#).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let key = made.json()["write_key"].as_str().unwrap().to_owned();
    assert!(matches!(
        world.catalog.resolve_write_key(&key),
        WriteKeyOutcome::Source { .. }
    ));
    let list = world.get("/api/spaces/main/sources").await;
    assert!(!list.text.contains("kith_wk_"), "a key is shown once");
    assert_eq!(list.json()["sources"][0]["name"], "app");
    assert_eq!(
        world.post("/api/spaces/main/sources/app/disable", "").await.json()["enabled"],
        false
    );
    assert_eq!(world.catalog.resolve_write_key(&key), WriteKeyOutcome::Disabled);
    assert_eq!(
        world.post("/api/spaces/main/sources/app/import", "{}").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        world.post("/api/spaces/main/sources/app/enable", "").await.json()["enabled"],
        true
    );
    let turned = world.post("/api/spaces/main/sources/app/rotate", "").await.json();
    assert_eq!(world.catalog.resolve_write_key(&key), WriteKeyOutcome::Unknown);
    assert!(matches!(
        world.catalog.resolve_write_key(turned["write_key"].as_str().unwrap()),
        WriteKeyOutcome::Source { .. }
    ));
    assert_eq!(
        world.post("/api/spaces/main/sources/none/rotate", "").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_batch_of_history_goes_through_its_own_door() {
    let world = World::new();
    let answer = world
        .post("/api/spaces/main/sources/web/import", r#"{"batch":[]}"#)
        .await
        .json();
    assert_eq!(
        answer,
        json!({ "success": false, "accepted": 12, "rejected": [{ "index": 1, "code": "too_large", "message": "an event has at most 32 KB" }] })
    );
    assert_eq!(
        world.post("/api/spaces/main/sources/none/import", "{}").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn api_1_keys_are_shown_once_and_end_at_once() {
    let world = World::new();
    let made = world.post("/api/keys", r#"{"name":"desk","space":"main"}"#).await;
    let key = made.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(made.json()["scope"], "read");
    assert!(!world.get("/api/keys").await.text.contains("kith_ak_"));
    assert_eq!(
        world.call("GET", "/api/spaces/main/segments", &key, "").await.status,
        StatusCode::OK
    );
    assert_eq!(
        world.call("DELETE", "/api/keys/desk", &world.admin, "").await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        world.call("GET", "/api/spaces/main/segments", &key, "").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        world.call("DELETE", "/api/keys/admin", &world.admin, "").await.status,
        StatusCode::CONFLICT,
        "the last one stays"
    );
    assert_eq!(
        world
            .post("/api/keys", r#"{"name":"x","space":"nowhere"}"#)
            .await
            .status,
        StatusCode::NOT_FOUND
    );
}

async fn send_yaml(world: &World, path: &str, yaml: &str) -> super::world::Answer {
    let request = Request::post(path)
        .header(header::AUTHORIZATION, format!("Bearer {}", world.admin))
        .header(header::CONTENT_TYPE, "application/yaml")
        .body(Body::from(yaml.to_owned()));
    world.send(request.unwrap()).await
}

#[tokio::test]
async fn spc_1_definitions_are_planned_applied_exported_and_remembered_in_their_space() {
    let world = World::new();
    let base = "/api/spaces/main/definitions";
    let body = json!({ "documents": [{ "kind": "segment", "name": "vip", "spec": { "min": 1 } }], "reason": "first" })
        .to_string();
    let plan = world.post(&format!("{base}/plan"), &body).await.json();
    assert_eq!(
        plan,
        json!({ "changes": [{ "kind": "segment", "name": "vip", "action": "create", "diff": ["+ min: 1"] }] })
    );
    assert_eq!(
        world.get(base).await.json(),
        json!({ "documents": [] }),
        "a plan changes nothing"
    );
    let applied = world.post(&format!("{base}/apply"), &body).await.json();
    assert_eq!(applied["decided_by"], "1-0-1-0");
    let again = world.post(&format!("{base}/apply"), &body).await.json();
    assert_eq!(
        (&again["changes"][0]["action"], again.get("decided_by")),
        (&json!("unchanged"), None)
    );

    let yaml = "kind: segment\nname: vip\nspec: {min: 2}\n---\nkind: source\nname: shop\nspec: {}\n";
    let applied = send_yaml(&world, &format!("{base}/apply?reason=second&prune=true"), yaml).await;
    assert_eq!(
        applied.json()["changes"][1]["diff"],
        json!(["- min: 1", "+ min: 2"]),
        "{}",
        applied.text
    );
    let history = world.get(&format!("{base}/segment/vip/history")).await.json();
    let versions: Vec<_> = history["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| (&version["version"], &version["author"], &version["reason"]))
        .collect();
    assert_eq!(
        versions,
        [
            (&json!(2), &json!("admin"), &json!("second")),
            (&json!(1), &json!("admin"), &json!("first"))
        ]
    );

    let request = Request::get(base)
        .header(header::AUTHORIZATION, format!("Bearer {}", world.admin))
        .header(header::ACCEPT, "application/yaml");
    let exported = world.send(request.body(Body::empty()).unwrap()).await;
    let documents = kith_catalog::parse_yaml("export", &exported.text).unwrap();
    assert_eq!(
        documents
            .iter()
            .map(|document| document.id().to_string())
            .collect::<Vec<_>>(),
        ["source/shop", "segment/vip"]
    );
    for empty in [
        send_yaml(&world, &format!("{base}/apply?prune=true"), "").await,
        world
            .post(&format!("{base}/apply"), r#"{"documents": [], "prune": true}"#)
            .await,
    ] {
        assert_eq!(empty.status, StatusCode::BAD_REQUEST, "a prune of everything is a slip");
    }
    let again = send_yaml(&world, &format!("{base}/plan?prune=true"), &exported.text)
        .await
        .json();
    assert!(
        again["changes"]
            .as_array()
            .unwrap()
            .iter()
            .all(|change| change["action"] == "unchanged"),
        "{again}"
    );
    assert_eq!(
        world.get("/api/spaces/other/definitions").await.json(),
        json!({ "documents": [] })
    );
}

#[tokio::test]
async fn definitions_that_must_be_mended_say_where_and_change_nothing() {
    let world = World::new();
    let path = "/api/spaces/main/definitions/apply";
    let wrong = json!({ "documents": [
        { "kind": "segment", "name": "vip", "spec": {} }, { "kind": "sgment", "name": "x", "spec": {} }, { "kind": "segment", "name": "x", "spec": 1 },
    ] });
    let answer = world.post(path, &wrong.to_string()).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let problems = &answer.json()["error"]["problems"];
    assert_eq!(
        (&problems[0]["document"], &problems[1]["path"]),
        (&json!("documents[1]"), &json!("spec")),
        "{}",
        answer.text
    );
    let refused = world
        .post(
            path,
            &json!({ "documents": [{ "kind": "segment", "name": "x", "spec": { "wrong": 1 } }] }).to_string(),
        )
        .await;
    assert_eq!(
        refused.json()["error"]["problems"],
        json!([{ "document": "segment/x", "path": "spec.wrong", "message": "leave it out" }])
    );
    let yaml = send_yaml(&world, path, "kind: segment\nname: [").await;
    assert!(
        yaml.json()["error"]["problems"][0]["document"]
            .as_str()
            .unwrap()
            .contains("body, document 1"),
        "{}",
        yaml.text
    );
    assert_eq!(
        world.get("/api/spaces/main/definitions").await.json(),
        json!({ "documents": [] })
    );
    assert_eq!(
        world.post("/api/spaces/nowhere/definitions/plan", "{}").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn seg_1_a_plan_and_an_application_warn_and_are_not_refused() {
    let world = World::new();
    let asking = |event: &str| {
        let spec = json!({ "where": { "performed": event } });
        json!({ "documents": [{ "kind": "segment", "name": "vip", "spec": spec }] }).to_string()
    };
    for action in ["plan", "apply"] {
        let path = format!("/api/spaces/main/definitions/{action}");
        let warned = world.post(&path, &asking("Order Complted")).await;
        assert_eq!(warned.status, StatusCode::OK);
        assert_eq!(
            warned.json()["warnings"],
            json!([{ "document": "segment/vip", "message": "nobody has sent an event named \"Order Complted\"" }])
        );
        let quiet = world.post(&path, &asking("Order Completed")).await.json();
        assert!(quiet.get("warnings").is_none(), "{quiet}");
    }
    assert!(
        world
            .get("/api/spaces/main/definitions")
            .await
            .text
            .contains("Order Completed")
    );
}
