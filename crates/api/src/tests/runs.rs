//! Runs of messages over the API: the count comes first, and is what confirms.

use super::world::World;
use http::StatusCode;
use serde_json::json;

const RUNS: &str = "/api/spaces/main/messages/welcome/runs";

#[tokio::test]
async fn act_6_a_run_is_counted_confirmed_by_its_count_followed_and_stopped() {
    let world = World::new();
    let asked = r#"{"causes":["import"],"entered_after":"2023-11-14T22:13:20.001Z","why":"history came"}"#;
    let run = world.post(RUNS, asked).await.json();
    assert_eq!((&run["run"], &run["state"]), (&json!(7), &json!("counting")));
    assert_eq!(
        run["counted"],
        json!({ "members": 9, "sends": 4, "left_out": { "no_consent": 5 } })
    );
    assert_ne!(run["author"], "ops", "the key's name");
    let other = world.post(&format!("{RUNS}/7/start"), r#"{"count":5}"#).await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert!(other.text.contains("counted to send to 4"), "{}", other.text);
    let without = world.post(&format!("{RUNS}/7/start"), "{}").await;
    assert_eq!(without.status, StatusCode::BAD_REQUEST);
    let started = world
        .post(&format!("{RUNS}/7/start"), r#"{"count":4,"author":"ann"}"#)
        .await;
    let started = started.json();
    assert_eq!(
        (&started["state"], &started["started_by"]),
        (&json!("sending"), &json!("ann"))
    );
    let stopped = world.post(&format!("{RUNS}/7/stop"), "").await.json();
    assert_eq!(stopped["state"], "stopping");

    let one = world.get(&format!("{RUNS}/7")).await.json();
    assert_eq!(
        (&one["sends"], &one["skipped"]),
        (&json!({ "accepted": 2 }), &json!({ "cap_person": 1 }))
    );
    let listed = world.get("/api/spaces/main/messages/runs?limit=1").await.json();
    assert_eq!(listed["runs"].as_array().unwrap().len(), 1);
    assert_eq!(listed["runs"][0]["message"], "of_main");
    for (path, status) in [
        (format!("{RUNS}/8"), StatusCode::NOT_FOUND),
        (format!("{RUNS}/x"), StatusCode::BAD_REQUEST),
        (
            "/api/spaces/main/messages/runs?limit=101".to_owned(),
            StatusCode::BAD_REQUEST,
        ),
        ("/api/spaces/nowhere/messages/runs".to_owned(), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(world.get(&path).await.status, status, "{path}");
    }
    for (path, body, status) in [
        (
            "/api/spaces/main/messages/nothing/runs".to_owned(),
            "",
            StatusCode::NOT_FOUND,
        ),
        (RUNS.to_owned(), r#"{"cause":["import"]}"#, StatusCode::BAD_REQUEST),
        (
            RUNS.to_owned(),
            r#"{"entered_after":"yesterday"}"#,
            StatusCode::BAD_REQUEST,
        ),
        (format!("{RUNS}/8/start"), r#"{"count":4}"#, StatusCode::NOT_FOUND),
    ] {
        assert_eq!(world.post(&path, body).await.status, status, "{path} {body}");
    }
    let long = json!({ "why": "x".repeat(4_096) }).to_string();
    assert_eq!(world.post(RUNS, &long).await.status, StatusCode::BAD_REQUEST);
}
