//! What flows: SQL, the tail, proofs; and what stands beside: readiness, metrics, unsubscribing.

use super::ports::moment;
use super::world::{World, request};
use crate::ports::MissingRole;
use axum::body::Body;
use futures::StreamExt;
use http::{Request, StatusCode, header};
use kith_types::ProfileId;
use serde_json::json;
use std::sync::atomic::Ordering;
use tower::ServiceExt;

#[tokio::test]
async fn api_1_rows_flow_and_stop_when_the_client_goes_away() {
    let world = World::new();
    let endless = request("POST", "/api/sql", Some(&world.admin), r#"{"sql":"select n"}"#);
    let response = world.app.clone().oneshot(endless).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-ndjson");
    let mut body = response.into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "{\"n\":0}\n");
    assert_eq!(body.next().await.unwrap().unwrap(), "{\"n\":1}\n");
    assert!(
        world.seen.rows_made.load(Ordering::SeqCst) < 100,
        "rows are made as they are read"
    );
    assert!(!world.seen.sql_dropped.load(Ordering::SeqCst));
    drop(body);
    assert!(
        world.seen.sql_dropped.load(Ordering::SeqCst),
        "the statement goes on without its client"
    );
}

#[tokio::test]
async fn spc_1_the_administrator_reads_all_spaces_by_sql_and_a_key_of_a_space_none() {
    let world = World::new();
    let body = r#"{"sql":"select n","limit":1,"space":"other"}"#;
    assert_eq!(world.post("/api/sql", body).await.status, StatusCode::OK);
    let asked = world.seen.sql.lock().unwrap().pop().unwrap();
    assert_eq!(
        (asked.space.as_str(), asked.readable),
        ("other", crate::ports::SqlSpaces::All)
    );
    let main = r#"{"sql":"select n","limit":1}"#;
    for body in [main, body] {
        let refused = world.call("POST", "/api/sql", &world.read_main, body).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    }
    assert!(
        world.seen.sql.lock().unwrap().is_empty(),
        "a refused statement is not run"
    );
}

#[tokio::test]
async fn api_1_a_statement_that_fails_says_so_in_its_status_or_its_last_line() {
    let world = World::new();
    let whole = world
        .post("/api/sql", r#"{"sql":"select n","limit":2,"space":"other"}"#)
        .await;
    assert_eq!(whole.text, "{\"n\":0}\n{\"n\":1}\n");
    let refused = world.post("/api/sql", r#"{"sql":"drop table x"}"#).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!("validation_error"))
    );
    let failed = world.post("/api/sql", r#"{"sql":"select fail"}"#).await;
    let last: serde_json::Value = serde_json::from_str(failed.text.lines().last().unwrap()).unwrap();
    assert_eq!(failed.text.lines().count(), 3);
    assert_eq!(last["$error"]["code"], "internal_error");
    assert!(
        !failed.text.contains("/secret/path"),
        "clients are not told what only the log should know"
    );
}

#[tokio::test]
async fn api_1_the_tail_is_followed_as_server_sent_events_within_a_limit() {
    let world = World::new();
    let follow = || {
        world.app.clone().oneshot(request(
            "GET",
            "/api/spaces/main/tail?anonymousId=a1&userId=u1",
            Some(&world.read_main),
            "",
        ))
    };
    let response = follow().await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    let first = body.next().await.unwrap().unwrap();
    assert_eq!(
        first,
        "event: event\ndata: {\"space\":\"main\",\"anonymousId\":\"a1\",\"userId\":\"u1\"}\n\n"
    );
    assert_eq!(
        body.next().await.unwrap().unwrap(),
        "event: lagged\ndata: {\"missed\":3}\n\n"
    );
    let second = follow().await.unwrap();
    let third = follow().await.unwrap();
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(third.headers().contains_key(header::RETRY_AFTER));
    drop((body, second));
    assert_eq!(
        follow().await.unwrap().status(),
        StatusCode::OK,
        "a place is given back"
    );
    assert_eq!(
        world.get("/api/spaces/nowhere/tail").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn ops_1_liveness_readiness_and_metrics_need_no_key() {
    let world = World::new();
    let open = async |path: &str| world.send(request("GET", path, None, "")).await;
    assert_eq!(open("/livez").await.status, StatusCode::OK);
    assert_eq!(
        open("/readyz").await.json(),
        json!({ "ready": true, "degraded": false, "checks": [
            { "name": "log", "ok": true }, { "name": "publishing", "ok": true }, { "name": "catalog", "ok": true },
        ] })
    );
    world.seen.publishing_fails.store(true, Ordering::SeqCst);
    let late = open("/readyz").await;
    assert_eq!(late.status, StatusCode::OK, "what is late is not lost");
    assert_eq!(late.json()["degraded"], json!(true));
    let told = json!({ "name": "publishing", "ok": false, "note": "failed 7 times in a row" });
    assert_eq!(late.json()["checks"][1], told);
    assert!(!late.text.contains("/secret/lake"));
    world.seen.log_broken.store(true, Ordering::SeqCst);
    let unready = open("/readyz").await;
    assert_eq!(
        (unready.status, &unready.json()["checks"][0]["ok"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!(false))
    );
    assert!(!unready.text.contains("/secret/path"));
    assert_eq!(
        open("/livez").await.status,
        StatusCode::OK,
        "a process that is not ready still lives"
    );
    let metrics = open("/metrics").await;
    assert!(
        metrics.headers[header::CONTENT_TYPE]
            .to_str()
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    assert!(metrics.text.contains("# TYPE kith_http_responses_total counter"));
}

#[tokio::test]
async fn cln_4_rejects_are_put_through_again_as_asked() {
    let world = World::new();
    let asked = r#"{"source":"web","reason":"event_too_large","event_bytes":65536,"author":"ops"}"#;
    let replayed = world.post("/api/spaces/main/rejects/replay", asked).await;
    assert_eq!(replayed.json()["rejects"], json!(3));
    assert_eq!(replayed.json()["accepted"], json!(2));
    assert_eq!(replayed.json()["decided_by"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&replayed.json()["counted"], &replayed.json()["next"]),
        (&json!(1), &json!(9))
    );
    let rest = world
        .post("/api/spaces/main/rejects/replay", r#"{"after":9}"#)
        .await
        .json();
    assert_eq!(rest.get("next"), None, "the last page");
    let unknown = world
        .post("/api/spaces/main/rejects/replay", r#"{"sources":"web"}"#)
        .await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    let nowhere = world.post("/api/spaces/nowhere/rejects/replay", "{}").await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn ops_1_lag_and_freshness_of_every_stage_are_visible() {
    let world = World::new();
    let status = world.get("/api/status").await.json();
    assert_eq!(
        status["stages"][0],
        json!({
            "name": "pipeline", "through": "1-0-41-0", "lag_records": 1, "lag_millis": 12,
            "waits_for": "changed rules of identity of main",
        })
    );
    assert_eq!(
        status["refolds"][0],
        json!({
            "space": "main", "definition": "segment/new", "records_done": 1, "records_total": 4,
            "since": "2023-11-14T22:13:20.001Z", "live": false,
        })
    );
    assert_eq!(
        status["dry_run"],
        json!({
            "space": "main", "definition": "identity_rules, reading events", "records_done": 1, "records_total": 4,
            "live": false,
        })
    );
    assert_eq!(
        status["tables"][0],
        json!({ "name": "main.clean.events", "rows": 5, "committed_at": "2023-11-14T22:13:20.009Z" })
    );
}

#[tokio::test]
async fn proofs_say_what_is_unsound() {
    let world = World::new();
    let raw = world.post("/api/raw/verify", "").await.json();
    assert_eq!(
        raw,
        json!({ "sound": false, "objects": 2, "records": 3, "bytes": 99, "faults": ["object raw/x is missing"], "notes": ["accepted as lost: 0-0-3-5"] })
    );
    let asked = r#"{"range":"0-0-3-5","author":"ops","reason":"no copy"}"#;
    assert_eq!(
        world.post("/api/raw/losses", asked).await.json(),
        json!({ "ranges": ["0-0-3-5"], "records": 2, "decided_by": "1-0-50-0" })
    );
    let refused = world.post("/api/raw/losses", r#"{"range":"0-0-9-10"}"#).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let rebuild = world.post("/api/rebuild/verify", "").await;
    assert_eq!(rebuild.text.lines().last(), Some(r#"{"done":true,"equal":true}"#));
    assert_eq!(world.post("/api/flush", "").await.json()["through"], "1-0-42-0");
    world.seen.log_broken.store(true, Ordering::SeqCst);
    let refused = world.post("/api/flush", "").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn seg_5_destinations_are_listed_with_what_they_were_told_and_paused_by_name() {
    let world = World::new();
    let listed = world.get("/api/spaces/main/destinations").await.json();
    let crm = &listed["destinations"][0];
    assert_eq!(
        (&crm["name"], &crm["sent"], &crm["refused"], &crm["changes_waiting"]),
        (&json!("crm_main"), &json!(5), &json!(1), &json!(2))
    );
    assert_eq!(
        (&crm["fault"], &crm["last_refusal"], &crm["segments"]),
        (
            &json!("the receiver answered 503"),
            &json!("the receiver answered 400"),
            &json!(["big_spenders"])
        )
    );
    // Only a destination that there is can be paused; one that was removed can be resumed.
    let unknown = world.post("/api/spaces/main/destinations/nothing/pause", "").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let unknown = world.post("/api/spaces/main/destinations/nope/resume", "").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let resumed = world.post("/api/spaces/main/destinations/gone/resume", "").await.json();
    assert_eq!(
        resumed,
        json!({ "space": "main", "destination": "gone", "paused": false })
    );
}

#[tokio::test]
async fn what_sends_is_paused_and_resumed_by_space() {
    let world = World::new();
    assert_eq!(
        world.post("/api/spaces/main/messages/pause", "").await.json(),
        json!({ "space": "main", "paused": true })
    );
    assert_eq!(
        world.post("/api/spaces/main/messages/resume", "").await.json(),
        json!({ "space": "main", "paused": false })
    );
    let all = world.post("/api/messages/pause", "").await.json();
    assert_eq!(all, json!({ "paused": true }));
    // Only a message that there is can be paused; one that was removed can be resumed.
    assert_eq!(
        world.post("/api/spaces/main/messages/nothing/pause", "").await.status,
        StatusCode::NOT_FOUND
    );
    let unknown = world.post("/api/spaces/main/messages/nope/resume", "").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let message = world.post("/api/spaces/main/messages/gone/resume", "").await.json();
    assert_eq!(message, json!({ "space": "main", "message": "gone", "paused": false }));
    assert_eq!(
        world.post("/api/spaces/nowhere/messages/pause", "").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_get_on_an_unsubscribe_link_changes_nothing_and_one_post_unsubscribes() {
    let world = World::new();
    let page = world.send(request("GET", "/u/good", None, "")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains("<form method=\"post\">") && page.text.contains("&lt;Shop &amp; Co&gt;"),
        "{}",
        page.text
    );
    assert!(
        page.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
    world.send(request("HEAD", "/u/good", None, "")).await;
    assert_eq!(
        world.seen.unsubscribed.load(Ordering::SeqCst),
        0,
        "scanners follow links"
    );
    let one_click = world
        .send(request("POST", "/u/good", None, "List-Unsubscribe=One-Click"))
        .await;
    assert_eq!(
        (one_click.status, world.seen.unsubscribed.load(Ordering::SeqCst)),
        (StatusCode::OK, 1)
    );
    let by_button = Request::post("/u/good")
        .header(header::ACCEPT, "text/html")
        .body(Body::empty())
        .unwrap();
    assert!(world.send(by_button).await.text.contains("Unsubscribed"));
    for unknown in ["/u/bad", &format!("/u/{}", "t".repeat(600))] {
        assert_eq!(
            world.send(request("GET", unknown, None, "")).await.status,
            StatusCode::NOT_FOUND
        );
        assert_eq!(
            world.send(request("POST", unknown, None, "")).await.status,
            StatusCode::NOT_FOUND
        );
    }
    assert_eq!(world.seen.unsubscribed.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_role_that_a_process_does_not_run_is_named() {
    use crate::ports::Sql;
    let run = MissingRole("query")
        .run(crate::ports::SqlRequest {
            sql: "select 1".to_owned(),
            space: kith_types::SpaceId::main(),
            readable: crate::ports::SqlSpaces::All,
            limit: None,
        })
        .await;
    assert!(run.err().unwrap().to_string().contains("--roles query"));
}

#[tokio::test]
async fn act_1_sends_are_listed_with_where_they_stand_and_why() {
    let world = World::new();
    let all = world.get("/api/spaces/main/messages/sends").await;
    assert_eq!(all.status, StatusCode::OK, "{}", all.text);
    let send = json!({
        "send_id": "5e4d", "message": "of_main", "segment": "big_spenders", "profile_id": ProfileId(1).to_string(),
        "entered_at": moment(5).to_string(), "state": "reserved", "reason": "quiet_hours", "attempts": 0,
        "due_at": moment(9).to_string(),
    });
    assert_eq!(all.json(), json!({ "sends": [send.clone(), send] }));
    let profile = ProfileId(7).to_string();
    let path = format!("/api/spaces/main/messages/sends?profile={profile}&message=welcome&limit=1");
    let one = world.get(&path).await.json();
    assert_eq!(one["sends"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&one["sends"][0]["profile_id"], &one["sends"][0]["message"]),
        (&json!(profile), &json!("welcome"))
    );
    assert_eq!(
        world.get("/api/spaces/main/messages/counts").await.json(),
        json!({"counts": [
            {"message": "of_main", "state": "accepted", "count": 3},
            {"message": "of_main", "state": "not_live", "reason": "import", "count": 7},
        ]})
    );
    for wrong in ["limit=0", "limit=1001", "profile=ann"] {
        let refused = world.get(&format!("/api/spaces/main/messages/sends?{wrong}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}
