//! Destinations against a world of fakes: a receiver that holds to what a tracking API takes, and members at one moment.

mod delivery;
mod faults;
mod held;
mod lost;
mod random;
mod server;

use super::{
    AudiencePorts, Audiences, Delivery, DestinationDefinition, MembersAt, Posted, SegmentChoice, TrackingApi,
    TrackingRequest, Turn,
};
use crate::engine::{DieAt, Engine};
use crate::tests::World;
use crate::{ActivateError, BoxError, Ports};
use async_trait::async_trait;
use kith_segment::{Cause, Change};
use kith_types::{Clock, EventKey, ProfileId, SegmentName, SpaceId, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Everything beyond the crate. It outlives crashes.
pub(super) struct Ground {
    pub(super) world: Arc<World>,
    pub(super) destinations: Mutex<Vec<Arc<DestinationDefinition>>>,
    pub(super) members: Mutex<Vec<(SegmentName, ProfileId, Timestamp)>>,
    /// Every event that the receiver took, repetitions included.
    pub(super) taken: Mutex<Vec<Value>>,
    /// What it answers next; it takes all where there is nothing.
    pub(super) answers: Mutex<VecDeque<Posted>>,
    /// A batch with this user in it is refused as a whole.
    pub(super) poison: Mutex<Option<String>>,
    pub(super) requests: Mutex<Vec<TrackingRequest>>,
}

impl Ground {
    pub(super) fn new() -> Arc<Self> {
        let ground = Self {
            world: World::new(),
            destinations: Mutex::default(),
            members: Mutex::default(),
            taken: Mutex::default(),
            answers: Mutex::default(),
            poison: Mutex::default(),
            requests: Mutex::default(),
        };
        for person in 1..=9 {
            ground.world.person(person, None, None);
        }
        Arc::new(ground)
    }

    /// Defines a destination, with these fields beside what each needs.
    pub(super) fn define(&self, name: &str, fields: &Value) {
        let mut spec = json!({
            "type": "segment", "endpoint": format!("https://{name}.example.com"), "write_key": "crm_key", "segments": ["vip"],
        });
        let given = fields.as_object().unwrap().clone();
        spec.as_object_mut().unwrap().extend(given);
        let definition = DestinationDefinition::parse(name, &spec).unwrap();
        let mut destinations = self.destinations.lock().unwrap();
        destinations.retain(|known| known.name() != name);
        destinations.push(Arc::new(definition));
    }

    pub(super) fn enter(&self, person: u128) {
        self.world.change(person, true, Cause::Event(EventKey(person)));
    }

    pub(super) fn exit(&self, person: u128) {
        self.world.change(person, false, Cause::Clock);
    }

    /// A change of another segment than `vip`.
    pub(super) fn change_of(&self, segment: &str, person: u128, cause: Cause) {
        self.world.change(person, true, cause);
        if let Some((_, change)) = self.world.changes.lock().unwrap().last_mut() {
            change.segment = segment.parse().unwrap();
        }
    }

    /// Somebody who is in a segment from now on.
    pub(super) fn member(&self, segment: &str, person: u128) {
        let since = self.world.clock.now();
        self.members
            .lock()
            .unwrap()
            .push((segment.parse().unwrap(), ProfileId(person), since));
    }

    pub(super) fn ports(self: &Arc<Self>) -> Ports {
        Ports {
            audiences: Some(AudiencePorts {
                audiences: self.clone(),
                tracking: self.clone(),
            }),
            ..self.world.ports()
        }
    }

    /// What the receiver keeps of what it took: each message id once, in the order of the first copies.
    pub(super) fn kept(&self) -> Vec<Value> {
        let mut known: BTreeMap<String, Value> = BTreeMap::new();
        let mut kept = Vec::new();
        for event in self.taken.lock().unwrap().iter() {
            let id = event["messageId"].as_str().unwrap().to_owned();
            match known.insert(id, event.clone()) {
                None => kept.push(event.clone()),
                Some(first) => assert_eq!(&first, event, "one message id, one event"),
            }
        }
        kept
    }

    /// Of what the receiver keeps, by whom: whether each call said true, in order.
    pub(super) fn told(&self, kind: &str) -> Vec<(String, bool)> {
        let calls = self.kept().into_iter().filter(|event| event["type"] == kind);
        let told = calls.map(|event| {
            let who = event["userId"].as_str().or(event["anonymousId"].as_str()).unwrap();
            let said = match kind {
                "track" => &event["properties"],
                _ => &event["traits"],
            };
            let is_in = said.as_object().unwrap().values().find_map(Value::as_bool).unwrap();
            (who.to_owned(), is_in)
        });
        told.collect()
    }
}

impl Audiences for Ground {
    fn destinations(&self, _space: &SpaceId) -> Result<Vec<Arc<DestinationDefinition>>, BoxError> {
        if *self.world.definitions_fail.lock().unwrap() {
            return Err("the catalog fails".into());
        }
        Ok(self.destinations.lock().unwrap().clone())
    }

    fn members(&self, space: &SpaceId, segments: &SegmentChoice, take: MembersAt<'_>) -> Result<u64, BoxError> {
        let members = self.members.lock().unwrap().clone();
        for (segment, profile, since) in members.into_iter().filter(|(segment, ..)| segments.has(segment)) {
            take(segment, profile, since)?;
        }
        self.next_number(space)
    }

    fn next_number(&self, _space: &SpaceId) -> Result<u64, BoxError> {
        let changes = self.world.changes.lock().unwrap();
        let passed = *self.world.passed.lock().unwrap();
        Ok(changes.last().map_or(passed, |(last, _)| last + 1))
    }

    fn write_key(&self, name: &str) -> Option<String> {
        (name == "crm_key").then(|| "secret".to_owned())
    }
}

#[async_trait]
impl TrackingApi for Ground {
    async fn post(&self, request: TrackingRequest) -> Posted {
        assert!(request.body.len() <= 500_000, "a batch has at most 500 KB");
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let events = body["batch"].as_array().unwrap().clone();
        assert!(!events.is_empty() && events.len() <= 2_500 && body["sentAt"].is_string());
        assert!(events.iter().all(|event| event.to_string().len() <= 32 << 10));
        self.requests.lock().unwrap().push(request);
        if let Some(poison) = &*self.poison.lock().unwrap()
            && events.iter().any(|event| event["userId"] == poison.as_str())
        {
            return Posted::Refused("bad user".to_owned());
        }
        let answer = self.answers.lock().unwrap().pop_front();
        let answer = answer.unwrap_or(Posted::Taken(Vec::new()));
        if let Posted::Taken(rejected) = &answer {
            let kept = events.into_iter().zip(0..);
            let kept = kept.filter(|(_, at)| rejected.iter().all(|(index, _)| index != at));
            self.taken.lock().unwrap().extend(kept.map(|(event, _)| event));
        }
        answer
    }
}

/// A process over the ledger in a folder: an engine and one destination's turns.
pub(super) struct Process {
    pub(super) engine: Engine,
    pub(super) delivery: Delivery,
}

impl Process {
    pub(super) fn start(
        ground: &Arc<Ground>,
        folder: &Path,
        runtime: &tokio::runtime::Runtime,
        die_at: Option<DieAt>,
    ) -> Self {
        let mut engine = crate::tests::engine(folder, &ground.world, runtime, die_at);
        engine.ports = ground.ports();
        let delivery = Delivery::new(SpaceId::main(), "crm".to_owned());
        Self { engine, delivery }
    }

    /// Turns until there is nothing to do; the outbox forgets what is not wanted any more.
    pub(super) fn run(&mut self) -> Result<(), ActivateError> {
        let space = SpaceId::main();
        while self.delivery.turn(&self.engine, &|| false)? == Turn::Worked {
            self.engine.tell_passed(&space)?;
        }
        while self.engine.take_entries(&space)? {}
        self.engine.keep_cursors()?;
        self.engine.tell_passed(&space)
    }
}

/// Somebody whom the world knows as another.
pub(super) fn merged_into(ground: &Ground, gone: u128, into: u128, segments: &[&str]) {
    let mut people = ground.world.people.lock().unwrap();
    let mut person = people[&ProfileId(into)].clone();
    person.segments = segments.iter().map(|name| crate::tests::member_of(name)).collect();
    people.insert(ProfileId(into), person.clone());
    people.insert(ProfileId(gone), person);
}

/// A change as a receiver is told it.
pub(super) fn change(person: u128, entered: bool) -> Change {
    Change {
        segment: "vip".parse().unwrap(),
        profile: ProfileId(person),
        entered,
        at: crate::tests::START,
        cause: Cause::Clock,
        approximate: false,
    }
}
