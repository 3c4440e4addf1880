//! What the fold computes beside traits and consent: the aggregates, compiled so that an event meets only those that
//! can want it.

use kith_expr::{AggregateId, AggregateSpec, EventFilter};
use kith_types::{Event, EventType};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A set of aggregates, ready to fold events. Cheap to share behind an `Arc`; a change of definitions makes a new one.
#[derive(Debug)]
pub struct FoldPlan {
    /// Sorted; the position of an id is its slot.
    ids: Arc<[AggregateId]>,
    fingerprint: u128,
    specs: Box<[AggregateSpec]>,
    /// Slots of the aggregates that name events, by event name.
    by_name: FxHashMap<Box<str>, Vec<u32>>,
    /// Slots of the aggregates that name no events, by type of event.
    by_type: [Vec<u32>; 6],
}

impl FoldPlan {
    /// The plan that computes these aggregates; equal ones are computed once.
    #[must_use]
    pub fn new(specs: Vec<AggregateSpec>) -> Self {
        let mut named: Vec<(AggregateId, AggregateSpec)> = specs.into_iter().map(|spec| (spec.id(), spec)).collect();
        named.sort_by_key(|(id, _)| *id);
        named.dedup_by_key(|(id, _)| *id);
        let ids: Arc<[AggregateId]> = named.iter().map(|(id, _)| *id).collect();
        let mut plan = Self {
            fingerprint: fingerprint_of(&ids),
            ids,
            specs: named.into_iter().map(|(_, spec)| spec).collect(),
            by_name: FxHashMap::default(),
            by_type: Default::default(),
        };
        for (slot, spec) in (0_u32..).zip(&plan.specs) {
            // Each event must meet a slot once: by name where all its filters have names, else by type.
            if spec.filters().all(|filter| !filter.names().is_empty()) {
                let names: BTreeSet<_> = spec.filters().flat_map(EventFilter::names).collect();
                for name in names {
                    plan.by_name.entry(name.clone()).or_default().push(slot);
                }
                continue;
            }
            for (kind, slots) in TYPES.iter().zip(&mut plan.by_type) {
                let wanted = |filter: &EventFilter| filter.types().is_empty() || filter.types().contains(kind);
                if spec.filters().any(wanted) {
                    slots.push(slot);
                }
            }
        }
        plan
    }

    /// The aggregates, sorted by id.
    #[must_use]
    pub fn ids(&self) -> &[AggregateId] {
        &self.ids
    }

    /// The aggregate of that id.
    #[must_use]
    pub fn spec(&self, id: AggregateId) -> Option<&AggregateSpec> {
        self.ids.binary_search(&id).ok().map(|slot| &self.specs[slot])
    }

    /// A number that two plans share when they compute the same aggregates, whatever the order they were given in.
    /// Encoded parts name their plan by it.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    /// The list itself, to be shared by parts and directories of plans.
    #[must_use]
    pub fn shared_ids(&self) -> &Arc<[AggregateId]> {
        &self.ids
    }

    /// The slots and aggregates that count this event.
    pub(crate) fn matching<'a>(&'a self, event: &'a Event) -> impl Iterator<Item = (usize, &'a AggregateSpec)> {
        let by_name = self.by_name.get(&*event.name).map_or(&[][..], Vec::as_slice);
        let by_type = &self.by_type[TYPES
            .iter()
            .position(|kind| *kind == event.event_type)
            .unwrap_or_default()];
        let slots = by_name.iter().chain(by_type).map(|slot| *slot as usize);
        slots
            .map(|slot| (slot, &self.specs[slot]))
            .filter(|(_, spec)| spec.matches(event))
    }
}

/// The ids are hashes already: a polynomial over them, in their sorted order, tells sets apart.
pub(crate) fn fingerprint_of(ids: &[AggregateId]) -> u128 {
    ids.iter().fold(0x6b69_7468_u128, |sum, id| {
        sum.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
            .rotate_left(23)
            ^ id.0
    })
}

const TYPES: [EventType; 6] = [
    EventType::Identify,
    EventType::Track,
    EventType::Page,
    EventType::Screen,
    EventType::Group,
    EventType::Alias,
];
