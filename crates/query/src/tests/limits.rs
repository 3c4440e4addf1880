//! Caps on memory, time and size, and letting go.

use super::{World, read};
use crate::{SpaceAccess, SqlConfig, SqlErrorKind};
use futures::StreamExt;
use kith_types::SpaceId;
use std::time::Duration;

/// Two million millions of rows.
const ENDLESS: &str =
    "SELECT a.value + b.value AS n FROM generate_series(1, 2000000) a CROSS JOIN generate_series(1, 1000000) b";

fn config() -> SqlConfig {
    SqlConfig {
        target_partitions: 2,
        concurrent_statements: 2,
        ..SqlConfig::default()
    }
}

#[tokio::test]
async fn memory_is_capped_and_the_error_says_so() {
    let world = World::with(SqlConfig {
        memory_bytes: 1 << 20,
        ..config()
    })
    .await;
    let sql = "SELECT value FROM generate_series(1, 1000000) ORDER BY value % 1000, value";
    let error = world.run(sql).await.unwrap_err();
    assert_eq!(error.kind(), SqlErrorKind::OutOfMemory);
    assert!(error.to_string().contains("1 MiB of memory"), "{error}");
    assert_eq!(world.engine.runtime.memory_pool.reserved(), 0);
    assert_eq!(world.text("SELECT 1 AS n").await, "{\"n\":1}\n");
}

#[tokio::test]
async fn sorts_beyond_the_cap_spill() {
    let spill = tempfile::tempdir().unwrap();
    let spill_dir = Some(spill.path().join("made"));
    let world = World::with(SqlConfig {
        memory_bytes: 24 << 20,
        spill_dir,
        target_partitions: 1,
        ..config()
    })
    .await;
    let sql = "SELECT count(*) AS n FROM (SELECT value, row_number() OVER (ORDER BY value % 1000, value) AS at FROM generate_series(1, 1000000))";
    assert_eq!(world.text(sql).await, "{\"n\":1000000}\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_stream_cancels_the_work() {
    let world = World::with(config()).await;
    let access = SpaceAccess::only(SpaceId::main());
    let mut stream = world.engine.query(&access, ENDLESS, None).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    assert_eq!(world.engine.running.available_permits(), 1);
    drop(stream);
    // Both permits come back only when the task is gone; the tasks that it started give their memory back after it.
    drop(world.engine.running.acquire_many(2).await.unwrap());
    while world.engine.runtime.memory_pool.reserved() > 0 {
        tokio::task::yield_now().await;
    }

    // A statement that gives no row for long is cancelled, too.
    let silent = format!("SELECT sum(n) AS n FROM ({ENDLESS})");
    drop(world.engine.query(&access, &silent, None).await.unwrap());
    drop(world.engine.running.acquire_many(2).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_end_at_their_timeout() {
    let world = World::with(SqlConfig {
        timeout: Duration::from_millis(500),
        ..config()
    })
    .await;
    let error = world
        .run(&format!("SELECT sum(n) AS n FROM ({ENDLESS})"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), SqlErrorKind::TimedOut);
}

#[tokio::test]
async fn statements_wait_for_others_until_their_timeout() {
    let world = World::with(SqlConfig {
        timeout: Duration::from_millis(20),
        ..config()
    })
    .await;
    let _held = world.engine.running.acquire_many(2).await.unwrap();
    let error = world.run("SELECT 1").await.unwrap_err();
    assert_eq!(error.kind(), SqlErrorKind::Unavailable);
}

#[tokio::test]
async fn results_have_a_limit_and_a_cap() {
    let world = World::with(SqlConfig {
        max_rows: 5000,
        ..config()
    })
    .await;
    let access = SpaceAccess::only(SpaceId::main());
    let sql = "SELECT value FROM generate_series(1, 100000)";
    let text = read(world.engine.query(&access, sql, Some(3000)).await.unwrap())
        .await
        .unwrap();
    assert_eq!(text.lines().count(), 3000);
    assert_eq!(world.run(sql).await.unwrap_err().kind(), SqlErrorKind::TooLarge);
    assert_eq!(world.run(&format!("{sql} LIMIT 5000")).await.unwrap().len(), 5000);
    let explained = world
        .engine
        .query(&access, &format!("EXPLAIN {sql}"), Some(1))
        .await
        .unwrap();
    assert_eq!(read(explained).await.unwrap().lines().count(), 1);
}

#[tokio::test]
async fn errors_say_what_to_mend() {
    let world = World::new().await;
    for (sql, words) in [
        ("SELECT nope FROM clean.events", "nope"),
        (
            "SELECT a.event, b.event FROM clean.events a, clean.events b",
            "two columns named \"event\"",
        ),
        ("SELECT * FROM clean.nope", "clean.nope"),
        ("SELECT 1 / 0 AS n", "zero"),
    ] {
        let error = world.run(sql).await.unwrap_err();
        assert_eq!(error.kind(), SqlErrorKind::Invalid, "{sql}");
        assert!(error.to_string().contains(words), "{sql}: {error}");
    }
}
