//! Tests of the engine over a store in memory: small histories made by hand or by dice, and a plain recomputation.

mod account_segments;
pub(crate) mod accounts;
mod beside;
mod clean;
mod definitions;
mod docs;
pub(crate) mod failing_store;
mod far_times;
mod faults;
mod folds;
mod foreseen;
mod handover;
mod identity;
mod marks;
mod mistakes;
mod new_rules;
pub(crate) mod oracle;
mod order;
mod rejects;
mod replay;
mod sent_names;
mod served;
mod timers;
mod truth;
mod vetoes;
pub(crate) mod worlds;

use crate::{
    DEFINITIONS_APPLIED, Engine, EngineConfig, IDENTITY_VETOED, Numbered, StepOutput, Veto, VetoDecision,
    compare_states,
};
use kith_segment::Change;
use kith_state::{Keyspace, MemoryStore, Store};
use kith_types::{
    Address, Decision, Envelope, Event, Origin, ProfileId, Record, RecordBody, Route, SpaceId, Timestamp,
};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The instant of a second of the tests' time.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + second * 1_000)
}

/// An event of these identifiers (`user_id:u anonymous_id:a email:e`, separated by spaces) at a second.
#[expect(clippy::needless_pass_by_value, reason = "a test says its properties in place")]
pub(crate) fn event(identifiers: &str, name: &str, second: i64, properties: Json) -> Json {
    let mut event = json!({"type": "track", "event": name, "timestamp": text(at(second)), "properties": properties});
    let mut external = Vec::new();
    for (kind, value) in identifiers.split_whitespace().filter_map(|one| one.split_once(':')) {
        match kind {
            "user_id" => event["userId"] = json!(value),
            "anonymous_id" => event["anonymousId"] = json!(value),
            _ => external.push(json!({"type": kind, "id": value, "collection": "users", "encoding": "none"})),
        }
    }
    if !external.is_empty() {
        event["context"] = json!({"externalIds": external});
    }
    event
}

/// An `identify` with traits.
pub(super) fn identify(identifiers: &str, second: i64, traits: Json) -> Json {
    let mut event = event(identifiers, "", second, json!({}));
    event["type"] = json!("identify");
    event["traits"] = traits;
    event
}

/// With a message id.
pub(super) fn with_id(mut event: Json, message_id: &str) -> Json {
    event["messageId"] = json!(message_id);
    event
}

fn text(time: Timestamp) -> String {
    time.to_string()
}

/// A record of these events, received at a second.
pub(crate) fn record(sequence: u64, second: i64, events: &[Json]) -> Record {
    record_of(
        "main",
        sequence,
        at(second),
        &json!({"sentAt": text(at(second)), "batch": events}).to_string(),
    )
}

pub(super) fn record_of(space: &str, sequence: u64, received_at: Timestamp, body: &str) -> Record {
    Record {
        address: Address {
            generation: 1,
            partition: 0,
            sequence,
            index: 0,
        },
        space: space.parse().unwrap(),
        received_at,
        body: RecordBody::Envelope(Envelope {
            source: "web".parse().unwrap(),
            route: Route::Batch,
            origin: Origin::Live,
            content_type: "application/json".into(),
            client_ip: "192.0.2.1".into(),
            user_agent: "test".into(),
            terms: kith_types::Terms::USUAL,
            body: bytes::Bytes::from(body.to_owned()),
        }),
    }
}

/// A decision that applies and removes definitions: `(kind, name, spec)`, null removes.
pub(crate) fn decision(sequence: u64, second: i64, documents: &[(&str, &str, Json)]) -> Record {
    let applied: Vec<Json> = documents
        .iter()
        .filter(|(.., spec)| !spec.is_null())
        .map(|(kind, name, spec)| json!({"kind": kind, "name": name, "spec": spec}))
        .collect();
    let removed: Vec<Json> = documents
        .iter()
        .filter(|(.., spec)| spec.is_null())
        .map(|(kind, name, _)| json!({"kind": kind, "name": name}))
        .collect();
    let document = json!({"format": 1, "author": "me", "reason": "", "applied": applied, "removed": removed});
    let body = Decision {
        kind: DEFINITIONS_APPLIED.into(),
        document: document.to_string().into(),
    };
    Record {
        body: RecordBody::Decision(body),
        ..record(sequence, second, &[])
    }
}

/// A decision about evidence.
pub(super) fn vetoes(sequence: u64, second: i64, added: &[Veto], removed: &[Veto]) -> Record {
    let decision = VetoDecision::new("me", "", added.to_vec(), removed.to_vec());
    let body = Decision {
        kind: IDENTITY_VETOED.into(),
        document: decision.to_json().unwrap().into(),
    };
    Record {
        body: RecordBody::Decision(body),
        ..record(sequence, second, &[])
    }
}

/// `performed` within the last so many seconds, at least so often.
pub(crate) fn performed(name: &str, at_least: u32, seconds: u32) -> Json {
    json!({"where": {"performed": {"event": name, "at_least": at_least, "within": {"last": format!("{seconds}s")}}}})
}

/// An engine over a store in memory, and everything it gave.
pub(super) struct Bench {
    pub(super) store: Arc<MemoryStore>,
    pub(super) engine: Engine,
    pub(super) outputs: Vec<StepOutput>,
    sequence: u64,
    /// A decision commits in the middle of a step; a crash after it loses what the open step would have handed on.
    committed_inside: bool,
    pub(super) lost: bool,
}

impl Bench {
    pub(super) fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        let engine = Engine::open(Arc::clone(&store) as Arc<dyn Store>, EngineConfig::default()).unwrap();
        Self {
            store,
            engine,
            outputs: Vec::new(),
            sequence: 0,
            committed_inside: false,
            lost: false,
        }
    }

    /// The same record in the next place.
    pub(super) fn next(&self, record: &Record) -> Record {
        let mut record = record.clone();
        record.address.sequence = self.sequence;
        record
    }

    /// Takes the next record: these events, received at a second.
    pub(super) fn take(&mut self, second: i64, events: &[Json]) {
        let record = record(self.sequence, second, events);
        self.apply(&record);
    }

    /// Takes the next record: a decision.
    pub(super) fn decide(&mut self, second: i64, documents: &[(&str, &str, Json)]) {
        let record = decision(self.sequence, second, documents);
        self.apply(&record);
    }

    /// Takes the next record: a decision about evidence.
    pub(super) fn veto(&mut self, second: i64, added: &[Veto], removed: &[Veto]) {
        let record = vetoes(self.sequence, second, added, removed);
        self.apply(&record);
    }

    pub(super) fn apply(&mut self, record: &Record) {
        // Where too many changes of accounts wait, a turn for them commits first.
        self.committed_inside |= self.engine.account_changes_waiting() >= 4;
        self.engine.apply(record).unwrap();
        self.sequence = self.engine.next();
        self.committed_inside |= matches!(record.body, RecordBody::Decision(_));
    }

    pub(super) fn commit(&mut self) {
        self.committed_inside = false;
        let output = self.engine.commit().unwrap();
        self.outputs.push(output);
    }

    /// Lets time pass.
    pub(super) fn until(&mut self, now: Timestamp) {
        while !self.engine.advance(now).unwrap() {}
    }

    /// The first timer.
    pub(super) fn engine_due(&self) -> Timestamp {
        let due = oracle::tree(&*self.store, Keyspace::Due);
        crate::keys::due_parts(due.keys().next().unwrap()).unwrap().0
    }

    /// One turn of the sweeps; whether more are needed.
    pub(super) fn sweep(&mut self) -> bool {
        let before = self.outputs.len();
        let more = self.engine.sweep(&mut self.outputs).unwrap();
        self.committed_inside &= self.outputs.len() == before;
        more
    }

    /// Ends everything under way and commits.
    pub(super) fn settle(&mut self, now: Timestamp) {
        while self.sweep() {}
        self.until(now);
        self.commit();
    }

    /// Ends without a commit and opens again.
    pub(super) fn crash(&mut self) {
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        self.lost |= std::mem::take(&mut self.committed_inside);
        self.engine = Engine::open(store, EngineConfig::default()).unwrap();
        self.sequence = self.engine.next();
    }

    /// All changes that were handed on, as `+segment` or `-segment`, the second, the cause.
    pub(super) fn told(&mut self) -> Vec<String> {
        self.commit();
        self.numbered().iter().map(|numbered| tell(&numbered.change)).collect()
    }

    pub(super) fn numbered(&self) -> Vec<Numbered> {
        self.outputs.iter().flat_map(|output| output.changes.clone()).collect()
    }

    pub(super) fn events(&self) -> Vec<Event> {
        let events = self.outputs.iter().flat_map(|output| &output.events);
        events.cloned().collect()
    }

    /// The person of the last event.
    pub(super) fn last_person(&mut self) -> ProfileId {
        self.commit();
        self.outputs
            .iter()
            .rev()
            .find_map(|output| output.people.last().copied())
            .flatten()
            .unwrap()
    }
}

pub(super) fn tell(change: &Change) -> String {
    let sign = if change.entered { '+' } else { '-' };
    let second = (change.at.as_micros() - at(0).as_micros()) as f64 / 1e6;
    format!("{sign}{} {second} {}", change.segment, change.cause)
}

/// Fails unless two stores hold the same at an instant.
pub(super) fn same(one: &MemoryStore, other: &MemoryStore, now: Timestamp, what: &str) {
    let report = compare_states(one, other, now).unwrap();
    assert_eq!(report.different, 0, "{what}: {:?}", report.differences);
}

/// How many times as many random worlds there are to be: what the environment's `KITH_SOAK` says, or 1.
pub(super) fn soak() -> u64 {
    std::env::var("KITH_SOAK").map_or(1, |times| times.parse().unwrap())
}

pub(super) fn main_space() -> SpaceId {
    SpaceId::main()
}

/// Everything that a store holds of the main space, but where its records stand.
pub(super) fn all_of_main(store: &MemoryStore) -> Vec<Tree> {
    Keyspace::ALL
        .iter()
        .map(|keyspace| oracle::tree(store, *keyspace))
        .collect()
}

/// Keys and values.
pub(super) type Tree = BTreeMap<Vec<u8>, Vec<u8>>;
