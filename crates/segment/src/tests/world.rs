//! A person as plain lists of events, traits and answers, who answers as naively as can be. Times are in seconds.

use crate::{Account, CompiledSegment, Definitions, Person, SegmentDefinition, SegmentIndex};
use kith_expr::{AggregateId, AggregateSpec, Function, PersonView, parse_aggregate};
use kith_types::{
    Address, Decimal, Event, EventKey, EventType, Identifier, Object, Origin, ProfileId, SourceName, SpaceId,
    Timestamp, Value,
};
use serde_json::{Value as Json, json};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

pub(super) fn second(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(super) fn object(json: &Json) -> Object {
    match kith_expr::value_of_json(json).unwrap() {
        Value::Object(fields) => fields,
        other => panic!("not an object: {other:?}"),
    }
}

pub(super) fn event_of_type(event_type: EventType, name: &str, at: Timestamp, properties: &Json) -> Event {
    let address = Address::default();
    Event {
        space: SpaceId::main(),
        source: "shop".parse::<SourceName>().unwrap(),
        address,
        key: EventKey::of_address(&SpaceId::main(), address),
        message_id: None,
        event_type,
        name: name.into(),
        event_time: at,
        received_at: at,
        time_note: None,
        identifiers: Vec::new(),
        group_id: None,
        traits: Vec::new(),
        properties: object(properties),
        context: Vec::new(),
        origin: Origin::Live,
    }
}

/// An account by its id and traits.
#[derive(Clone, Debug)]
pub(super) struct Company {
    id: String,
    pub(super) traits: BTreeMap<String, Value>,
    /// The traits that a limit may have touched.
    pub(super) limited: BTreeSet<String>,
}

impl Account for Company {
    fn id(&self) -> &str {
        &self.id
    }

    fn trait_value(&self, name: &str) -> Option<&Value> {
        self.traits.get(name)
    }

    fn trait_approximate(&self, name: &str) -> bool {
        self.limited.contains(name)
    }
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) events: Vec<Event>,
    pub(super) traits: BTreeMap<String, Value>,
    pub(super) consents: BTreeMap<String, bool>,
    pub(super) profile: u128,
    pub(super) identifiers: Vec<Identifier>,
    pub(super) accounts: Vec<Company>,
    pub(super) aggregates: BTreeMap<AggregateId, AggregateSpec>,
    /// The aggregates whose values a limit may have touched.
    pub(super) approximate: BTreeSet<AggregateId>,
    /// Whether limits may have touched traits, consent and identifiers.
    pub(super) limited: bool,
    /// How often an aggregate was asked for its value or its next change.
    pub(super) asked: Cell<usize>,
}

#[expect(clippy::needless_pass_by_value, reason = "worlds are written with `json!` in place")]
impl World {
    pub(super) fn did(mut self, name: &str, at: i64, properties: Json) -> Self {
        self.events
            .push(event_of_type(EventType::Track, name, second(at), &properties));
        self
    }

    pub(super) fn with_trait(mut self, name: &str, value: Json) -> Self {
        self.traits
            .insert(name.to_owned(), kith_expr::value_of_json(&value).unwrap());
        self
    }

    pub(super) fn of_account(mut self, id: &str, traits: Json) -> Self {
        let traits = object(&traits)
            .into_iter()
            .map(|(name, value)| (name.to_string(), value));
        self.accounts.push(Company {
            id: id.to_owned(),
            traits: traits.collect(),
            limited: BTreeSet::new(),
        });
        self
    }

    pub(super) fn answered(mut self, category: &str, granted: bool) -> Self {
        self.consents.insert(category.to_owned(), granted);
        self
    }

    /// When each sequence is done.
    fn done(&self, spec: &AggregateSpec) -> Vec<Timestamp> {
        let sequence = spec.sequence.as_ref().unwrap();
        let firsts = self.events.iter().filter(|event| spec.filter.matches(event));
        let done = firsts.filter_map(|first| {
            let key = sequence.key(first)?;
            let follow = |event: &&Event| sequence.then.matches(event) && sequence.key(event) == Some(key);
            let times = self.events.iter().filter(follow).map(|event| event.event_time);
            let next = times.filter(|time| *time > first.event_time).min();
            sequence.follows.done(first.event_time, next)
        });
        done.collect()
    }

    /// Keeps what the segment needs, as the profile fold does.
    pub(super) fn keep(&mut self, segment: &CompiledSegment) {
        self.aggregates
            .extend(segment.aggregates().iter().map(|spec| (spec.id(), spec.clone())));
    }
}

impl PersonView for World {
    fn trait_value(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.traits.get(name).map(Cow::Borrowed)
    }

    fn aggregate(&self, id: AggregateId, now: Timestamp) -> Value {
        self.asked.set(self.asked.get() + 1);
        let Some(spec) = self.aggregates.get(&id) else {
            return Value::Null;
        };
        if spec.sequence.is_some() {
            let done = self
                .done(spec)
                .into_iter()
                .filter(|done| spec.window.contains(*done, now));
            return Value::from(i64::try_from(done.count()).unwrap());
        }
        let mut counted: Vec<&Event> = self.events.iter().filter(|event| spec.filter.matches(event)).collect();
        counted.retain(|event| spec.window.contains(event.event_time, now));
        counted.sort_by_key(|event| event.event_time);
        if spec.function == Function::Count {
            return Value::from(i64::try_from(counted.len()).unwrap());
        }
        let mut values = counted
            .iter()
            .filter_map(|event| spec.property.as_ref()?.get(&event.properties));
        let numbers = values.clone().filter_map(|value| value.as_number()?.to_i64());
        match spec.function {
            Function::Sum => Value::from(numbers.sum::<i64>()),
            Function::Min => numbers.min().map_or(Value::Null, Value::from),
            Function::Max => numbers.max().map_or(Value::Null, Value::from),
            Function::First => values.next().cloned().unwrap_or_default(),
            Function::Last => values.next_back().cloned().unwrap_or_default(),
            other => panic!("no test asks for {other:?}"),
        }
    }

    fn aggregate_next_change(&self, id: AggregateId, after: Timestamp) -> Option<Timestamp> {
        self.asked.set(self.asked.get() + 1);
        let spec = self.aggregates.get(&id)?;
        if spec.sequence.is_some() {
            let done = self.done(spec).into_iter();
            return done.filter_map(|done| spec.window.next_change(done, after)).min();
        }
        let counted = self.events.iter().filter(|event| spec.filter.matches(event));
        counted
            .filter_map(|event| spec.window.next_change(event.event_time, after))
            .min()
    }

    fn approximate(&self, id: AggregateId, _now: Timestamp) -> bool {
        self.approximate.contains(&id)
    }

    fn trait_approximate(&self, _: &str) -> bool {
        self.limited
    }
}

impl Person for World {
    fn consent(&self, category: &str) -> Option<bool> {
        self.consents.get(category).copied()
    }

    fn consent_approximate(&self, _: &str) -> bool {
        self.limited
    }

    fn identifiers_limited(&self) -> bool {
        self.limited
    }

    fn profile_id(&self) -> ProfileId {
        ProfileId(self.profile)
    }

    fn any_identifier(&self, wanted: &dyn Fn(u128) -> bool) -> bool {
        self.identifiers.iter().any(|identifier| wanted(identifier.hash128()))
    }

    fn any_account(&self, wanted: &mut dyn FnMut(&dyn Account) -> bool) -> bool {
        self.accounts.iter().any(|account| wanted(account))
    }
}

/// The computed traits and segments that the tests may name.
pub(super) fn definitions() -> &'static Definitions {
    static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(read_definitions);
    &DEFINITIONS
}

fn read_definitions() -> Definitions {
    let mut definitions = Definitions::default();
    for (name, spec) in [
        (
            "orders_5s",
            json!({ "function": "count", "event": "Order", "window": { "last": "5s" } }),
        ),
        (
            "spent",
            json!({ "function": "sum", "event": "Order", "property": "total" }),
        ),
        (
            "largest_7s",
            json!({ "function": "max", "event": "Order", "property": "total", "window": { "last": "7s" } }),
        ),
        (
            "last_due",
            json!({ "function": "last", "event": "Order", "property": "due" }),
        ),
    ] {
        definitions
            .computed_traits
            .insert(name.into(), parse_aggregate(&spec).unwrap());
    }
    for (name, condition) in [
        (
            "buyers",
            json!({ "performed": { "event": "Order", "within": { "last": "6s" } } }),
        ),
        (
            "quiet_buyers",
            json!({ "all": [{ "segment": "buyers" }, { "not_performed": "Complaint" }] }),
        ),
    ] {
        let definition = define(name, &condition);
        definitions.segments.insert(definition.name.clone(), definition);
    }
    definitions
}

pub(super) fn define(name: &str, condition: &Json) -> SegmentDefinition {
    let document = json!({ "kind": "segment", "name": name, "spec": { "where": condition } });
    SegmentDefinition::parse(&document).unwrap_or_else(|error| panic!("{error}\n{condition}"))
}

pub(super) fn compile(condition: &Json) -> CompiledSegment {
    CompiledSegment::compile(&define("tested", condition), definitions()).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn number(text: &str) -> Value {
    Value::Number(text.parse::<Decimal>().unwrap())
}

/// What a fold keeps for segments, sorted.
pub(super) struct Kept(BTreeMap<AggregateId, AggregateSpec>);

impl Kept {
    pub(super) fn of(segments: &[CompiledSegment]) -> Self {
        let specs = segments.iter().flat_map(CompiledSegment::aggregates);
        Self(specs.map(|spec| (spec.id(), spec.clone())).collect())
    }

    pub(super) fn index(&self, segments: &[CompiledSegment]) -> SegmentIndex {
        let ids: Vec<AggregateId> = self.0.keys().copied().collect();
        let nobody = World {
            aggregates: self.0.clone(),
            ..World::default()
        };
        SegmentIndex::new(segments, &ids, &nobody)
    }

    /// The places of what counts an event.
    pub(super) fn counting(&self, event: &Event) -> Vec<u32> {
        let places = (0..).zip(self.0.values());
        places
            .filter(|(_, spec)| spec.matches(event))
            .map(|(place, _)| place)
            .collect()
    }
}
