//! Drafts, overlaps and impact: what is read from a request, and what is refused.

use super::world::World;
use http::StatusCode;
use serde_json::json;

const SEGMENTS: &str = "/api/spaces/main/segments";

#[tokio::test]
async fn seg_7_drafts_are_counted_over_http() {
    let world = World::new();
    let path = format!("{SEGMENTS}/estimate");
    let plain = world.post(&path, r#"{"spec": {"where": {}}}"#).await;
    assert_eq!(
        plain.json(),
        json!({"name": "draft", "quick": false, "samples": 10, "beside": []})
    );
    let all = r#"{"name": "vip", "spec": {}, "quick": true, "samples": 0, "overlap": ["a", "b"]}"#;
    let asked = world.call("POST", &path, &world.read_main, all).await;
    assert_eq!(
        asked.json(),
        json!({"name": "vip", "quick": true, "samples": 0, "beside": ["a", "b"]})
    );
    for wrong in [
        "{}",
        r#"{"spec": {}, "samples": 101}"#,
        r#"{"spec": {}, "name": "Not A Name"}"#,
        r#"{"spec": {}, "overlap": ["a", "b", "c", "d", "e", "f"]}"#,
        r#"{"spec": {}, "quickly": true}"#,
    ] {
        let answer = world.post(&path, wrong).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}: {}", answer.text);
    }
}

#[tokio::test]
async fn seg_7_overlaps_are_asked_over_http() {
    let world = World::new();
    let asked = world.get(&format!("{SEGMENTS}/overlap?segments=a,b,b,%20c")).await;
    assert_eq!(asked.json(), json!({"asked": 3}), "each segment once");
    for (query, status) in [
        ("segments=a,nobody", StatusCode::NOT_FOUND),
        ("segments=a,a", StatusCode::BAD_REQUEST),
        ("", StatusCode::BAD_REQUEST),
        ("segments=a,b,c,d,e,f", StatusCode::BAD_REQUEST),
    ] {
        let answer = world.get(&format!("{SEGMENTS}/overlap?{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn seg_7_what_definitions_would_do_to_people_is_asked_over_http() {
    let world = World::new();
    let path = "/api/spaces/main/definitions/impact";
    let body = r#"{"documents": [{"kind": "segment", "name": "new", "spec": {}}]}"#;
    let asked = world.post(&format!("{path}?samples=3"), body).await;
    assert_eq!(asked.json()["samples"], 3);
    let wrong = body.replace(r#""spec": {}"#, r#""spec": {"wrong": 1}"#);
    let refused = world.post(path, &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
    let reader = world.call("POST", path, &world.read_main, body).await;
    assert_eq!(reader.status, StatusCode::FORBIDDEN);
    assert!(world.get("/api/openapi.json").await.text.contains("estimate_segment"));
}
