//! How much of a list of definitions the events of a world touch: counted over cleaned events, by the filters of the
//! definitions themselves.
//!
//! It is what benches say beside their figures. It works on events alone and asks no server.

use super::figure;
use crate::error::CommandError;
use kith_pipeline::{DefinitionDocument, Definitions, check_definitions};
use kith_testkit::world::{World, WorldEvent};
use kith_types::{Address, Envelope, Event, Origin, Record, RecordBody, Route, SpaceId, Timestamp};
use serde_json::Value;

/// Events that are cleaned together.
const BATCH_EVENTS: usize = 100;

/// Definitions, and what the events so far touched of them.
pub(super) struct Touches {
    pub(super) definitions: Definitions,
    events: u64,
    segments: u64,
    computed_traits: u64,
    leaves: u64,
}

impl Touches {
    /// Of these documents; those that the pipeline does not use, such as sources, are passed over.
    ///
    /// # Errors
    /// A document that cannot be used.
    pub(super) fn of(documents: &[Value]) -> Result<Self, CommandError> {
        let documents: Vec<DefinitionDocument> = documents
            .iter()
            .map(|document| DefinitionDocument {
                kind: document["kind"].as_str().unwrap_or_default().to_owned(),
                name: document["name"].as_str().unwrap_or_default().to_owned(),
                spec: Some(document["spec"].clone()),
            })
            .collect();
        let definitions = check_definitions(&[], &documents)
            .map_err(|error| CommandError::caused("the definitions of the bench cannot be used", error))?;
        Ok(Self {
            definitions,
            events: 0,
            segments: 0,
            computed_traits: 0,
            leaves: 0,
        })
    }

    /// Counts a world's events, received at `now`.
    pub(super) fn take(&mut self, world: World, now: Timestamp) {
        cleaned(world, now, &mut |event| self.count(event));
    }

    fn count(&mut self, event: &Event) {
        self.events += 1;
        let Definitions {
            plan,
            computed,
            segments,
            ..
        } = &self.definitions;
        for segment in segments {
            let counting = segment.compiled.aggregates().iter();
            self.leaves += counting.filter(|aggregate| aggregate.matches(event)).count() as u64;
            self.segments += u64::from(segment.compiled.touched_by(event));
        }
        let specs = computed.iter().filter_map(|computed| plan.spec(computed.aggregate));
        self.computed_traits += specs.filter(|spec| spec.matches(event)).count() as u64;
    }

    /// Segments that an event touches, on average.
    pub(super) fn segments(&self) -> f64 {
        figure(self.segments) / figure(self.events.max(1))
    }

    /// Computed traits that an event touches, on average.
    pub(super) fn computed_traits(&self) -> f64 {
        figure(self.computed_traits) / figure(self.events.max(1))
    }

    /// Leaves of segments that count an event, on average; what several segments count alike is counted for each.
    pub(super) fn leaves(&self) -> f64 {
        figure(self.leaves) / figure(self.events.max(1))
    }
}

/// The events of a world but for later copies, as the pipeline has them when they are received at `now`.
pub(super) fn cleaned(world: World, now: Timestamp, taken: &mut dyn FnMut(&Event)) {
    let mut batch: Vec<WorldEvent> = Vec::with_capacity(BATCH_EVENTS);
    for event in world.filter(|event| !event.duplicate) {
        batch.push(event);
        if batch.len() == BATCH_EVENTS {
            clean(&batch, now).iter().for_each(&mut *taken);
            batch.clear();
        }
    }
    clean(&batch, now).iter().for_each(taken);
}

fn clean(batch: &[WorldEvent], now: Timestamp) -> Vec<Event> {
    let Some(source) = batch.first().and_then(|event| event.source.parse().ok()) else {
        return Vec::new();
    };
    let bodies: Vec<&str> = batch.iter().map(|event| event.body.as_str()).collect();
    let record = Record {
        address: Address::default(),
        space: SpaceId::main(),
        received_at: now,
        body: RecordBody::Envelope(Envelope {
            source,
            route: Route::Batch,
            origin: Origin::Live,
            content_type: "application/json".into(),
            client_ip: "127.0.0.1".into(),
            user_agent: "bench".into(),
            terms: kith_types::Terms::USUAL,
            body: format!(r#"{{"batch":[{}]}}"#, bodies.join(",")).into(),
        }),
    };
    kith_clean::clean_record(&record).events
}
