//! Limits of a space by the API: set whole, shown beside what is held, told by name where one is reached.

use super::world::World;
use http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn spc_1_limits_are_set_shown_and_told_by_name_and_bind_one_space() {
    let world = World::new();
    let path = "/api/spaces/main/limits";
    let none = world.get(path).await.json();
    assert_eq!(none["limits"], json!({}));
    assert_eq!(none["usage"]["sources"], 1);

    let limits = json!({ "sources": 1, "segments": 1, "events_per_second": 5 });
    let set = world.call("PUT", path, &world.admin, &limits.to_string()).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    assert_eq!(set.json()["limits"], limits);
    assert!(set.json()["decided_by"].is_string());
    let again = world.call("PUT", path, &world.admin, &limits.to_string()).await;
    assert!(again.json()["decided_by"].is_null(), "nothing changed");

    let refused = world.post("/api/spaces/main/sources", r#"{"name":"app"}"#).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let error = &refused.json()["error"];
    assert_eq!(error["code"], "limit_reached");
    assert!(error["message"].as_str().unwrap().contains("1 sources"), "{error}");
    let two = json!({ "documents": [
        { "kind": "segment", "name": "a", "spec": {} }, { "kind": "segment", "name": "b", "spec": {} },
    ] });
    for call in ["plan", "apply"] {
        let at = |space: &str| format!("/api/spaces/{space}/definitions/{call}");
        let refused = world.post(&at("main"), &two.to_string()).await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
        assert!(refused.text.contains("1 segments"), "{}", refused.text);
        assert_eq!(world.post(&at("other"), &two.to_string()).await.status, StatusCode::OK);
    }
    for name in ["app", "web"] {
        let made = world
            .post("/api/spaces/other/sources", &json!({ "name": name }).to_string())
            .await;
        assert_eq!(made.status, StatusCode::CREATED);
    }

    let wrong = world.call("PUT", path, &world.admin, r#"{"segments":0}"#).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(wrong.json()["error"]["problems"][0]["path"], "spec.segments");
    let unknown = world.call("PUT", path, &world.admin, r#"{"sauces":1}"#).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    let nowhere = world
        .call("PUT", "/api/spaces/nowhere/limits", &world.admin, "{}")
        .await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    // A change names some of them: the others stay, `null` ends one, and what cannot be changes nothing.
    let patch = async |change: &str| world.call("PATCH", path, &world.admin, change).await;
    let changed = patch(r#"{"segments":7,"sources":null}"#).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    assert_eq!(
        changed.json()["limits"],
        json!({ "segments": 7, "events_per_second": 5 })
    );
    assert!(changed.json()["decided_by"].is_string());
    assert!(patch(r#"{"segments":7,"sources":null}"#).await.json()["decided_by"].is_null());
    for (wrong, at) in [
        (r#"{"segments":0}"#, "spec.segments"),
        (r#"{"sauces":null}"#, "spec.sauces"),
    ] {
        let refused = patch(wrong).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
        assert_eq!(refused.json()["error"]["problems"][0]["path"], at);
    }
    assert_eq!(patch("[]").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.get(path).await.json()["limits"]["segments"], 7);
    let ended = world.call("PUT", path, &world.admin, "{}").await;
    assert_eq!(ended.json()["limits"], json!({}));
    assert_eq!(
        world.post("/api/spaces/main/sources", r#"{"name":"app"}"#).await.status,
        StatusCode::CREATED
    );
}
