//! That what is read is what was written, from no more files than it takes.

use super::{HOUR, START, World, event, events, open};
use crate::{SpaceAccess, SqlConfig, SqlEngine};
use kith_catalog::TablePointers;
use kith_lake::PointerStore;
use kith_types::{SpaceId, Timestamp};
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn lak_1_reading_gives_what_was_written() {
    let world = World::new().await;
    let mut written = events(0..2500);
    written[7].message_id = None;
    world.append(&SpaceId::main(), &written[..1700]).await;
    world.append(&SpaceId::main(), &written[1700..]).await;

    let sql = "SELECT event_key, message_id, user_id, event_time, sequence, identifiers, properties FROM clean.events ORDER BY sequence";
    let rows = world.run(sql).await.unwrap();
    assert_eq!(rows.len(), written.len());
    for (row, event) in rows.iter().zip(&written) {
        let sequence = event.address.sequence;
        assert_eq!(row["event_key"], json!(format!("{:032x}", event.key.0)));
        assert_eq!(row["message_id"], json!(event.message_id.as_deref()));
        assert_eq!(row["user_id"], json!(format!("u-{sequence}")));
        assert_eq!(row["sequence"], json!(sequence));
        assert_eq!(
            Timestamp::parse(row["event_time"].as_str().unwrap()).unwrap(),
            event.event_time
        );
        assert_eq!(row["properties"], json!("{\"price\":19.9}"));
    }
    assert_eq!(
        world.text("SELECT event_time, CAST(1.10 AS DECIMAL(20, 2)) AS d, NULL AS n, sequence FROM clean.events ORDER BY 4 LIMIT 1").await,
        "{\"event_time\":\"2023-11-14T22:13:20Z\",\"d\":1.10,\"n\":null,\"sequence\":0}\n"
    );
}

#[tokio::test]
async fn files_that_cannot_match_are_not_opened() {
    let world = World::new().await;
    for start in [0, 10, 20, 30] {
        world.append(&SpaceId::main(), &events(start..start + 10)).await;
    }
    let at = |hours: i64| Timestamp::from_micros(START + hours * HOUR).to_string();
    let cases = [
        ("SELECT * FROM clean.events".to_owned(), 4),
        (
            format!("SELECT user_id FROM clean.events WHERE event_time >= '{}'", at(30)),
            1,
        ),
        (
            format!(
                "SELECT user_id FROM clean.events WHERE event_time >= TIMESTAMP '{}' AND event_time < '{}'",
                at(5),
                at(15)
            ),
            2,
        ),
        (
            "SELECT user_id FROM clean.events WHERE sequence IN (3, 33)".to_owned(),
            2,
        ),
        (
            "SELECT user_id FROM clean.events WHERE event = 'Order Completed'".to_owned(),
            0,
        ),
        ("SELECT user_id FROM clean.events WHERE event >= 'Zz'".to_owned(), 0),
        // Its values are in no bounds.
        ("SELECT event FROM clean.events WHERE user_id = 'nobody'".to_owned(), 4),
        (
            "SELECT event FROM clean.events WHERE time_note IS NOT NULL".to_owned(),
            0,
        ),
        ("SELECT user_id FROM clean.events LIMIT 5".to_owned(), 1),
        ("SELECT user_id FROM clean.events LIMIT 15".to_owned(), 2),
        (
            format!("SELECT * FROM curated.events WHERE event_time < '{}'", at(3)),
            1,
        ),
    ];
    for (sql, opened) in cases {
        assert_eq!(world.files_opened(&sql).await, opened, "{sql}");
    }
    let sql = format!(
        "SELECT count(*) AS n FROM clean.events WHERE event_time >= '{}' AND event_time < '{}'",
        at(5),
        at(15)
    );
    assert_eq!(world.run(&sql).await.unwrap(), [json!({"n": 10})]);
    assert_eq!(
        world
            .run("SELECT user_id AS u FROM clean.events WHERE sequence IN (3, 33) ORDER BY 1")
            .await
            .unwrap(),
        [json!({"u": "u-3"}), json!({"u": "u-33"})]
    );
    assert_eq!(
        world
            .run("SELECT user_id FROM clean.events LIMIT 15")
            .await
            .unwrap()
            .len(),
        15
    );
}

#[tokio::test]
async fn shortened_bounds_answer_nothing() {
    let world = World::new().await;
    let name = "Newsletter Subscription Confirmed By Double Opt In";
    let mut first = event(1);
    first.name = name.into();
    world.append(&SpaceId::main(), &[first]).await;
    let sql = "SELECT max(event) AS max, min(event) AS min, max(sequence) AS last, count(*) AS n, count(time_note) AS notes FROM clean.events";
    assert_eq!(
        world.run(sql).await.unwrap(),
        [json!({"max": name, "min": name, "last": 1, "n": 1, "notes": 0})]
    );
    world.append(&SpaceId::main(), &events(5..8)).await;
    let limited = "SELECT min(sequence) AS a, count(*) AS n FROM (SELECT sequence FROM clean.events LIMIT 2)";
    let row = &world.run(limited).await.unwrap()[0];
    assert_eq!(row["n"], json!(2));
}

#[tokio::test]
async fn a_statement_reads_one_snapshot_of_a_table() {
    let world = World::new().await;
    world.append(&SpaceId::main(), &events(0..3)).await;
    let sql = "SELECT a.sequence AS n FROM clean.events a JOIN clean.events b ON a.sequence = b.sequence";
    let stream = world
        .engine
        .query(&SpaceAccess::only(SpaceId::main()), sql, None)
        .await
        .unwrap();
    world.append(&SpaceId::main(), &events(3..6)).await;
    assert_eq!(super::read(stream).await.unwrap().lines().count(), 3);
    assert_eq!(world.run(sql).await.unwrap().len(), 6);
}

#[tokio::test]
async fn lak_1_files_older_than_a_column_have_nulls_for_it() {
    let world = World::new().await;
    world.append(&SpaceId::main(), &events(0..4)).await;
    add_column(&world, "loyalty_tier");

    let lake = open(&world.folder);
    let engine = SqlEngine::new(lake, SqlConfig::default()).unwrap();
    let access = SpaceAccess::only(SpaceId::main());
    let ask = async |sql: &str| {
        super::read(engine.query(&access, sql, None).await.unwrap())
            .await
            .unwrap()
    };
    assert_eq!(
        ask("SELECT loyalty_tier, sequence FROM clean.events WHERE sequence = 2").await,
        "{\"loyalty_tier\":null,\"sequence\":2}\n"
    );
    assert_eq!(
        ask("SELECT count(*) AS n FROM clean.events WHERE loyalty_tier IS NULL").await,
        "{\"n\":4}\n"
    );
    assert_eq!(
        ask("SELECT count(loyalty_tier) AS n FROM clean.events").await,
        "{\"n\":0}\n"
    );
    assert_eq!(
        ask("SELECT count(*) AS n FROM clean.events WHERE loyalty_tier = 'gold'").await,
        "{\"n\":0}\n"
    );
}

/// Adds an optional text column at the end of `clean.events`, in its metadata as any Iceberg writer would.
fn add_column(world: &World, name: &str) {
    let pointers = TablePointers::open(&world.folder.path().join("tables.sqlite")).unwrap();
    let pointers: Arc<dyn PointerStore> = Arc::new(pointers);
    let location = pointers.get(&SpaceId::main(), "clean", "events").unwrap().unwrap();
    let path = location.strip_prefix("file://").unwrap_or(&location).to_owned();
    let mut metadata: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let id = metadata["last-column-id"].as_i64().unwrap() + 1;
    metadata["last-column-id"] = json!(id);
    let field = json!({"id": id, "name": name, "required": false, "type": "string"});
    metadata["schemas"][0]["fields"].as_array_mut().unwrap().push(field);
    std::fs::write(path, serde_json::to_vec(&metadata).unwrap()).unwrap();
}
