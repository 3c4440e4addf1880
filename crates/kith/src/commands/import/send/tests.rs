//! Contract CON-2 at the door: a busy server is asked again, one that refuses is not, and what it rejects is told.

use super::super::{ImportArgs, run};
use crate::client::{Client, Reach};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use clap::{Parser, Subcommand};
use std::sync::{Arc, Mutex};

/// What the door of a test gets, and what it answers, the last answer again and again.
#[derive(Clone)]
struct Door {
    got: Arc<Mutex<Vec<Bytes>>>,
    answers: Arc<Vec<(u16, &'static str)>>,
}

async fn take(State(door): State<Door>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    let mut got = door.got.lock().unwrap();
    let (status, text) = door.answers[got.len().min(door.answers.len() - 1)];
    got.push(body);
    (
        StatusCode::from_u16(status).unwrap(),
        [(header::RETRY_AFTER, "0")],
        text,
    )
        .into_response()
}

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Import(ImportArgs),
}

/// Imports two rows at a door that answers so. What came of it, and what the door got.
async fn import(answers: &[(u16, &'static str)]) -> (Result<(), String>, Vec<Bytes>) {
    import_to(TILL, answers, &[]).await
}

/// The same, of a space that has these sources, with more flags.
async fn import_to(
    sources: &'static str,
    answers: &[(u16, &'static str)],
    flags: &[&str],
) -> (Result<(), String>, Vec<Bytes>) {
    let door = Door {
        got: Arc::default(),
        answers: Arc::new(answers.to_vec()),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let router = Router::new()
        .route(
            "/api/spaces/shop_1/sources",
            axum::routing::get(move || async move { sources }),
        )
        .route(
            "/api/spaces/shop_1/limits",
            axum::routing::get(|| async { r#"{"limits":{}}"# }),
        )
        .route("/api/spaces/shop_1/sources/till/import", axum::routing::post(take))
        .with_state(door.clone());
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    let (rows, map) = (folder.path().join("a.csv"), folder.path().join("map.yaml"));
    std::fs::write(&rows, "t,u\n2026-01-01,a\n2026-01-02,b\n").unwrap();
    std::fs::write(
        &map,
        "event: A\ntimestamp: {column: t}\nidentifiers: {user_id: {column: u}}\n",
    )
    .unwrap();
    let words = [
        "kith", "import", "--source", "till", "--space", "shop_1", "--json", "--map",
    ]
    .map(Into::into);
    let words = words.into_iter().chain([map.into_os_string(), rows.into_os_string()]);
    let words = words.chain(flags.iter().map(Into::into));
    let Command::Import(args) = Line::try_parse_from(words).unwrap().command;
    let outcome = run(&Client::new(&Reach { url }).unwrap(), args).await;
    serving.abort();
    let got = door.got.lock().unwrap().clone();
    (outcome.map_err(|error| crate::output::causes(&error)), got)
}

const TILL: &str = r#"{"sources":[{"name":"till"}]}"#;
const TAKEN: (u16, &str) = (200, r#"{"success":true,"accepted":2,"rejected":[]}"#);

#[tokio::test]
async fn con_2_a_busy_server_is_asked_again_with_the_same_bytes() {
    let busy = r#"{"error":{"code":"unavailable","message":"come back"}}"#;
    let (outcome, got) = import(&[(503, busy), (429, busy), (502, "<html>"), TAKEN]).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(got.len(), 4);
    assert!(got.iter().all(|body| *body == got[0]));
}

#[tokio::test]
async fn con_2_a_refusal_ends_the_import_and_says_why() {
    let refusal = r#"{"error":{"code":"not_found","message":"space shop_1 has no source till"}}"#;
    let (outcome, got) = import(&[(404, refusal)]).await;
    let told = outcome.unwrap_err();
    assert!(
        told.contains("broke off after 0 events") && told.contains("has no source till"),
        "{told}"
    );
    assert_eq!(got.len(), 1);
}

#[tokio::test]
async fn con_2_a_source_that_is_not_there_is_told_before_anything_is_sent() {
    let sources = r#"{"sources":[{"name":"web"},{"name":"app"}]}"#;
    for flags in [&[][..], &["--dry-run"]] {
        let (outcome, got) = import_to(sources, &[TAKEN], flags).await;
        assert_eq!(outcome, Err("there is no source till in space shop_1".to_owned()));
        assert!(got.is_empty());
    }
    let (outcome, got) = import_to(TILL, &[TAKEN], &["--dry-run"]).await;
    assert_eq!((outcome, got.is_empty()), (Ok(()), true));
}

#[tokio::test]
async fn con_2_rejected_rows_fail_the_command() {
    let answer = r#"{"success":false,"accepted":1,"rejected":[{"index":1,"code":"missing_field","message":"no"}]}"#;
    let (outcome, _) = import(&[(200, answer)]).await;
    assert_eq!(outcome, Err("1 of 2 rows became no event".to_owned()));
}
