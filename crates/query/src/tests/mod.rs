//! The crate's tests: a lake in a temporary folder, statements over it.

mod access;
mod history;
mod limits;
mod past;
mod reading;
mod views;

use crate::{QueryStream, SpaceAccess, SqlConfig, SqlEngine, SqlError};
use futures::StreamExt;
use kith_catalog::TablePointers;
use kith_lake::{Commit, Lake, rows, tables};
use kith_types::{
    Address, Event, EventKey, EventType, Identifier, IdentifierType, Origin, ProfileId, SpaceId, SystemClock,
    Timestamp, Value,
};
use std::sync::Arc;
use tempfile::TempDir;

/// 2023-11-14T22:13:20Z.
const START: i64 = 1_700_000_000_000_000;
const HOUR: i64 = 3_600_000_000;

struct World {
    folder: TempDir,
    lake: Arc<Lake>,
    engine: SqlEngine,
}

fn space(name: &str) -> SpaceId {
    name.parse().unwrap()
}

fn open(folder: &TempDir) -> Arc<Lake> {
    let pointers = Arc::new(TablePointers::open(&folder.path().join("tables.sqlite")).unwrap());
    let root = folder.path().join("lake-root");
    Arc::new(Lake::open(root.to_str().unwrap(), pointers, Arc::new(SystemClock)).unwrap())
}

impl World {
    async fn new() -> Self {
        Self::with(SqlConfig {
            target_partitions: 2,
            ..SqlConfig::default()
        })
        .await
    }

    async fn with(config: SqlConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = open(&folder);
        lake.ensure_space(&SpaceId::main()).await.unwrap();
        let engine = SqlEngine::new(Arc::clone(&lake), config).unwrap();
        Self { folder, lake, engine }
    }

    async fn append(&self, space: &SpaceId, events: &[Event]) {
        let batch = rows::events(events).unwrap();
        let file = self
            .lake
            .write(space, tables::clean_events(), None, &[batch])
            .await
            .unwrap();
        self.lake
            .append(space, tables::clean_events(), vec![file], &Commit::default())
            .await
            .unwrap();
    }

    async fn hold(&self, held: &[rows::IdentifierRow]) {
        let mut files = Vec::new();
        for bucket in 0..tables::PROFILE_BUCKETS {
            let of_bucket: Vec<_> = held
                .iter()
                .filter(|row| rows::profile_bucket(row.profile_id) == bucket)
                .cloned()
                .collect();
            if !of_bucket.is_empty() {
                let batch = rows::identifiers(&of_bucket).unwrap();
                let table = tables::curated_identifiers();
                files.push(
                    self.lake
                        .write(&SpaceId::main(), table, Some(bucket), &[batch])
                        .await
                        .unwrap(),
                );
            }
        }
        let table = tables::curated_identifiers();
        self.lake
            .append(&SpaceId::main(), table, files, &Commit::default())
            .await
            .unwrap();
    }

    async fn run(&self, sql: &str) -> Result<Vec<serde_json::Value>, SqlError> {
        self.run_in(&SpaceAccess::only(SpaceId::main()), sql).await
    }

    async fn run_in(&self, access: &SpaceAccess, sql: &str) -> Result<Vec<serde_json::Value>, SqlError> {
        let text = read(self.engine.query(access, sql, None).await?).await?;
        Ok(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    async fn text(&self, sql: &str) -> String {
        let stream = self
            .engine
            .query(&SpaceAccess::only(SpaceId::main()), sql, None)
            .await
            .unwrap();
        read(stream).await.unwrap()
    }

    /// How many data files the plan of a statement opens.
    async fn files_opened(&self, sql: &str) -> usize {
        self.text(&format!("EXPLAIN {sql}")).await.matches(".parquet").count()
    }
}

async fn read(mut stream: QueryStream) -> Result<String, SqlError> {
    let mut text = String::new();
    while let Some(piece) = stream.next().await {
        text.push_str(std::str::from_utf8(&piece?).unwrap());
    }
    Ok(text)
}

/// The event of a number: that many hours after [`START`], by the user of that number.
fn event(sequence: u64) -> Event {
    let space = SpaceId::main();
    let address = Address {
        generation: 1,
        partition: 0,
        sequence,
        index: 0,
    };
    let time = Timestamp::from_micros(START + i64::try_from(sequence).unwrap() * HOUR);
    Event {
        source: "web-shop".parse().unwrap(),
        address,
        key: EventKey::of_address(&space, address),
        message_id: Some(format!("m-{sequence}").into()),
        event_type: EventType::Track,
        name: "Product Viewed".into(),
        event_time: time,
        received_at: time,
        time_note: None,
        identifiers: vec![Identifier::new(IdentifierType::UserId, &format!("u-{sequence}"))],
        group_id: None,
        traits: vec![],
        properties: vec![("price".into(), Value::Number("19.90".parse().unwrap()))],
        context: vec![],
        origin: Origin::Live,
        space,
    }
}

fn events(range: std::ops::Range<u64>) -> Vec<Event> {
    range.map(event).collect()
}

fn profile(number: u128) -> ProfileId {
    ProfileId(number)
}
