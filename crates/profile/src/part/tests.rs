//! Proofs of PRO-1 to PRO-5 on random histories, in files by subject.

mod aggregates;
mod cut;
mod histories;
mod limits;
mod sets;
mod traits;

use super::*;
use kith_expr::{AggregateSpec, parse_aggregate};
use kith_types::{Address, EventKey, EventType, Object, Origin, SpaceId};

/// Midnight in the middle of the histories; all their times are seconds from it.
pub(crate) const BASE: i64 = 1_780_000_000_000_000;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(BASE + seconds * 1_000_000)
}

pub(crate) fn number(text: &str) -> Value {
    Value::Number(text.parse().unwrap())
}

pub(crate) fn object(fields: &[(&str, Value)]) -> Object {
    fields
        .iter()
        .map(|(key, value)| ((*key).into(), value.clone()))
        .collect()
}

/// A track call at `time`, received at once, with a place in the log that follows from `sequence`.
pub(crate) fn event(sequence: u64, name: &str, time: Timestamp) -> Event {
    let address = Address {
        generation: 1,
        partition: 0,
        sequence,
        index: 0,
    };
    Event {
        space: SpaceId::main(),
        source: "web".parse().unwrap(),
        address,
        key: EventKey::of_address(&SpaceId::main(), address),
        message_id: None,
        event_type: EventType::Track,
        name: name.into(),
        event_time: time,
        received_at: time,
        time_note: None,
        identifiers: Vec::new(),
        group_id: None,
        traits: Object::new(),
        properties: Object::new(),
        context: Object::new(),
        origin: Origin::Live,
    }
}

/// An identify call of `source` at `time` that says one trait.
pub(crate) fn said(sequence: u64, source: &str, time: i64, name: &str, value: Value) -> Event {
    Event {
        source: source.parse().unwrap(),
        event_type: EventType::Identify,
        traits: vec![(name.into(), value)],
        ..event(sequence, "identify", at(time))
    }
}

pub(crate) fn spec(document: &serde_json::Value) -> AggregateSpec {
    parse_aggregate(document).unwrap()
}

pub(crate) fn fold<'a>(plan: &FoldPlan, events: impl IntoIterator<Item = &'a Event>) -> Part {
    let mut part = Part::default();
    events.into_iter().for_each(|event| part.apply(plan, event));
    part
}

pub(crate) fn bytes(part: &Part) -> Vec<u8> {
    let mut out = Vec::new();
    part.encode(&mut out);
    out
}
