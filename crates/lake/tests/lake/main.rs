//! The lake's promises, proved from outside the crate: tables, commits, privacy of metadata, other readers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in what it calls too"
)]

mod commits;
mod peers;
mod privacy;
mod tables;

use kith_catalog::TablePointers;
use kith_lake::{Commit, Lake, NewFile, OffsetRange, PointerStore, TableSpec, rows, tables as specs};
use kith_types::{
    Address, Event, EventKey, EventType, Identifier, IdentifierType, Origin, SpaceId, SystemClock, Timestamp, Value,
};
use std::path::Path;
use std::sync::Arc;

/// 2023-11-14T22:13:20Z.
const NOW: i64 = 1_700_000_000_000_000;

fn space(name: &str) -> SpaceId {
    name.parse().unwrap()
}

fn open_with(folder: &Path, pointers: Arc<dyn PointerStore>) -> Lake {
    Lake::open(folder.to_str().unwrap(), pointers, Arc::new(SystemClock)).unwrap()
}

fn pointers(folder: &Path) -> Arc<TablePointers> {
    Arc::new(TablePointers::open(&folder.join("tables.sqlite")).unwrap())
}

fn open(folder: &Path) -> Lake {
    open_with(folder, pointers(folder))
}

/// The event of a sequence, a second after its predecessor.
fn event(space: &SpaceId, sequence: u64) -> Event {
    let address = Address {
        generation: 1,
        partition: 0,
        sequence,
        index: 0,
    };
    let time = Timestamp::from_micros(NOW + i64::try_from(sequence).unwrap() * 1_000_000);
    Event {
        space: space.clone(),
        source: "web-shop".parse().unwrap(),
        address,
        key: EventKey::of_address(space, address),
        message_id: Some(format!("m-{sequence}").into()),
        event_type: EventType::Track,
        name: "Order Completed".into(),
        event_time: time,
        received_at: time,
        time_note: None,
        identifiers: vec![
            Identifier::new(IdentifierType::UserId, &format!("u-{sequence}")),
            Identifier::new(IdentifierType::Email, "jo@example.com"),
        ],
        group_id: None,
        traits: vec![],
        properties: vec![("total".into(), Value::Number("19.90".parse().unwrap()))],
        context: vec![
            ("locale".into(), Value::from("de-DE")),
            (
                "page".into(),
                Value::Object(vec![("url".into(), Value::from("https://shop.example/cart"))]),
            ),
        ],
        origin: Origin::Live,
    }
}

fn events(space: &SpaceId, range: std::ops::Range<u64>) -> Vec<Event> {
    range.map(|sequence| event(space, sequence)).collect()
}

fn range(start: u64, end: u64) -> Commit {
    Commit {
        range: Some(OffsetRange {
            generation: 1,
            partition: 0,
            start,
            end,
        }),
        ..Commit::default()
    }
}

async fn write_events(lake: &Lake, space: &SpaceId, range: std::ops::Range<u64>) -> NewFile {
    let batch = rows::events(&events(space, range)).unwrap();
    lake.write(space, specs::clean_events(), None, &[batch]).await.unwrap()
}

async fn append_events(lake: &Lake, space: &SpaceId, start: u64, end: u64) {
    let file = write_events(lake, space, start..end).await;
    lake.append(space, specs::clean_events(), vec![file], &range(start, end))
        .await
        .unwrap();
}

async fn count(lake: &Lake, space: &SpaceId, table: &TableSpec) -> usize {
    let batches = lake.read_all(space, table.namespace, table.name).await.unwrap();
    batches.iter().map(|batch| batch.num_rows()).sum()
}
