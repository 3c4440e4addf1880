//! Rows of the tables, read back from their files.

use super::super::{Run, World, space};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use kith_oracle::EventRow;
use serde_json::Value as Json;

/// A row of a batch.
pub(super) struct Row<'a> {
    batch: &'a RecordBatch,
    at: usize,
}

impl Row<'_> {
    fn column(&self, name: &str) -> Option<&dyn Array> {
        let column = self
            .batch
            .column_by_name(name)
            .unwrap_or_else(|| panic!("no column {name}"));
        (!column.is_null(self.at)).then_some(&**column)
    }

    fn text_or_null(&self, name: &str) -> Option<String> {
        Some(self.column(name)?.as_string::<i32>().value(self.at).to_owned())
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.text_or_null(name).unwrap()
    }

    fn long(&self, name: &str) -> i64 {
        self.column(name).unwrap().as_primitive::<Int64Type>().value(self.at)
    }

    pub(super) fn time(&self, name: &str) -> Option<i64> {
        let column = self.column(name)?;
        Some(column.as_primitive::<TimestampMicrosecondType>().value(self.at))
    }

    /// The digits of a profile id.
    pub(super) fn person(&self) -> String {
        self.text("profile_id").trim_start_matches("prf_").to_owned()
    }
}

pub(super) fn rows<T>(world: &World, run: &Run, namespace: &str, table: &str, of: impl Fn(&Row<'_>) -> T) -> Vec<T> {
    let read = world.runtime.block_on(run.lake.read_all(&space(), namespace, table));
    let mut found = Vec::new();
    for batch in read.unwrap() {
        found.extend((0..batch.num_rows()).map(|at| of(&Row { batch: &batch, at })));
    }
    found
}

/// A row of `curated.identifiers`: somebody holds an identifier in an interval.
pub(super) struct Held {
    kind: String,
    value: String,
    person: String,
    from: Option<i64>,
    to: Option<i64>,
}

impl Held {
    pub(super) fn of(row: &Row<'_>) -> Self {
        Self {
            kind: row.text("type"),
            value: row.text("value"),
            person: row.person(),
            from: row.time("valid_from"),
            to: row.time("valid_to"),
        }
    }

    pub(super) fn named(&self) -> (String, String) {
        (self.person.clone(), format!("{}:{}", self.kind, self.value))
    }
}

/// A row of `clean.events`, and the identifiers that it names.
pub(super) struct Event {
    pub(super) row: EventRow,
    identifiers: Vec<(String, String)>,
}

impl Event {
    pub(super) fn of(row: &Row<'_>) -> Self {
        let identifiers: Json = serde_json::from_str(&row.text("identifiers")).unwrap();
        let text = |one: &Json, key: &str| one[key].as_str().unwrap().to_owned();
        let identifiers = identifiers.as_array().unwrap().iter();
        Self {
            row: EventRow {
                received: row.time("received_at").unwrap(),
                time: row.time("event_time").unwrap(),
                sequence: row.long("sequence"),
                index: row.long("event_index"),
                event_type: row.text("event_type"),
                name: row.text("event"),
                source: row.text("source"),
                properties: row.text("properties"),
                context: row.text("context"),
                traits: row.text("traits"),
                group_id: row.text_or_null("group_id"),
            },
            identifiers: identifiers.map(|one| (text(one, "type"), text(one, "value"))).collect(),
        }
    }

    /// Whoever holds, at the time of the event, its identifier of highest priority, as `docs/sql.md` tells it.
    pub(super) fn holder<'a>(&self, held: &'a [Held]) -> Option<&'a str> {
        let rank = |kind: &str| match kind {
            "user_id" => 0,
            "email" => 1,
            "phone" => 2,
            "device_id" => 4,
            "anonymous_id" => 5,
            _ => 3,
        };
        let (kind, value) = self.identifiers.iter().min_by_key(|(kind, _)| rank(kind))?;
        let mut holders = held.iter().filter(|one| {
            let since = one.from.is_none_or(|from| from <= self.row.time);
            one.kind == *kind && one.value == *value && since && one.to.is_none_or(|to| self.row.time < to)
        });
        let holder = holders
            .next()
            .unwrap_or_else(|| panic!("nobody holds {kind}:{value}: {:?}", self.row));
        assert!(holders.next().is_none(), "two hold {kind}:{value}: {:?}", self.row);
        Some(&holder.person)
    }
}

/// A row of `curated.membership_changes`.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) at: i64,
    pub(super) number: i64,
    pub(super) entered: bool,
    pub(super) member: (String, String),
}

impl Told {
    pub(super) fn of(row: &Row<'_>) -> Self {
        Self {
            at: row.time("at").unwrap(),
            number: row.long("sequence"),
            entered: row.text("change") == "entered",
            member: (row.text("segment"), row.person()),
        }
    }
}
