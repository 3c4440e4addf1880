//! The events of a person's evidence that were known at an instant, and who they made of whom.

use super::super::budget::Budget;
use super::AsOf;
use crate::definitions::Definitions;
use crate::history::History;
use crate::{PipelineError, keys};
use kith_identity::{Component, Evidence, Gathering, Member, Position};
use kith_state::{Keyspace, Read};
use kith_types::{Event, ProfileId, SpaceId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Where in their time identifiers were named by events that count.
pub(super) struct Seen(BTreeMap<u128, BTreeSet<Position>>);

impl Seen {
    /// Whether an identifier, in its interval where it is held, was named at all.
    pub(super) fn contains(&self, member: &Member) -> bool {
        let from = member.part.start.map_or(Bound::Unbounded, Bound::Included);
        let to = member.end.map_or(Bound::Unbounded, Bound::Excluded);
        // An interval that is empty has nothing in it, and no range.
        let is_empty = (member.part.start.zip(member.end)).is_some_and(|(start, end)| start >= end);
        let named = self.0.get(&member.part.carrier);
        !is_empty && named.is_some_and(|named| named.range((from, to)).next().is_some())
    }
}

/// The events of a component that were known, by carrier, each carrier's in canonical order.
pub(super) struct Known {
    events: BTreeMap<u128, Vec<Event>>,
    /// Whether the component has no others.
    all: bool,
    identifiers: BTreeSet<u128>,
}

impl Known {
    /// Nothing yet of what connects these identifiers.
    pub(super) fn of(identifiers: BTreeSet<u128>) -> Self {
        Self {
            events: BTreeMap::new(),
            all: false,
            identifiers,
        }
    }

    /// Takes in an event of a carrier.
    pub(super) fn add(&mut self, carrier: u128, event: Event) {
        self.events.entry(carrier).or_default().push(event);
    }

    /// Puts every carrier's events in canonical order.
    pub(super) fn sort(&mut self) {
        for events in self.events.values_mut() {
            events.sort_by_key(Event::canonical_order);
        }
    }

    /// The events of a component of today; nothing where there are more than there is room for.
    pub(super) fn read(
        reader: &dyn Read,
        space: &SpaceId,
        component: &Component,
        known_at: Timestamp,
        mut room: Budget,
    ) -> Result<Option<Self>, PipelineError> {
        let mut known = Self {
            events: BTreeMap::new(),
            all: true,
            identifiers: component.hashes().collect(),
        };
        let history = History::of(reader, space);
        for carrier in component.hashes() {
            let (from, to) = keys::row_range(space, carrier, None, None);
            let (mut fits, mut failed, mut found) = (true, None, Vec::new());
            reader.scan(Keyspace::Events, &from, &to, &mut |key, row| {
                fits = room.spend(row);
                if !fits {
                    return false;
                }
                match history.event(key, row) {
                    Ok(event) if event.received_at <= known_at => found.push(event),
                    Ok(_) => known.all = false,
                    Err(error) => failed = Some(error),
                }
                failed.is_none()
            })?;
            failed.map_or(Ok(()), Err)?;
            if !fits {
                return Ok(None);
            }
            if !found.is_empty() {
                known.events.insert(carrier, found);
            }
        }
        Ok(Some(known))
    }

    fn evidence(&self, definitions: &Definitions, event: &Event) -> Evidence {
        let mut evidence = definitions.read(event);
        // What a bound kept out of the component stays out.
        evidence
            .identifiers
            .retain(|named| self.identifiers.contains(&named.hash));
        evidence
    }

    /// Where the identifiers were named by events that count as of an instant.
    pub(super) fn seen(&self, definitions: &Definitions, as_of: AsOf) -> Seen {
        let mut seen = Seen(BTreeMap::new());
        let events = self.events.values().flatten();
        for event in events.filter(|event| as_of.counts(event.event_time, event.received_at)) {
            let evidence = self.evidence(definitions, event);
            let at = evidence.position();
            for named in &evidence.identifiers {
                seen.0.entry(named.hash).or_default().insert(at);
            }
        }
        seen
    }

    /// What the known evidence connected by the definitions of then; `today` is what all of it connects by those of now, where
    /// that is no less.
    pub(super) fn components(
        &self,
        space: &SpaceId,
        (now, then): (&Definitions, &Definitions),
        today: Option<Component>,
    ) -> Vec<Component> {
        let is_alike = self.all && then.vetoes == now.vetoes && then.rules.fingerprint() == now.rules.fingerprint();
        if let Some(today) = today.filter(|_| is_alike) {
            return vec![today];
        }
        let mut gathering = Gathering::new(space, &then.rules, then.vetoes.apart());
        for event in self.events.values().flatten() {
            gathering.add(&self.evidence(then, event));
        }
        gathering.components()
    }

    /// The profile that a profile id led to: its own, or that of the identifier it comes from.
    pub(super) fn profile<'a>(
        &self,
        components: &'a [Component],
        asked: ProfileId,
        (founder, first_seen): (u128, Position),
        as_of: AsOf,
    ) -> Option<(&'a Component, ProfileId, Option<ProfileId>)> {
        let stands = components.iter().find(|one| one.parts_of(asked).next().is_some());
        if let Some(component) = stands {
            return Some((component, asked, None));
        }
        // It may have been seen since, and earlier: then nobody had this id yet.
        let mut events = self.events.values().flatten();
        if !events.any(|event| event.address == first_seen.1) {
            return None;
        }
        // An interval is looked up where it began, an identifier that is not held anywhere.
        let position = first_seen.min(as_of.position());
        components.iter().find_map(|component| {
            let placement = component.place(founder, position)?;
            Some((component, placement.profile, Some(asked)))
        })
    }

    /// Takes out the events of a member.
    pub(super) fn take(&mut self, member: &Member) -> Vec<Event> {
        let Some(events) = self.events.get_mut(&member.part.carrier) else {
            return Vec::new();
        };
        let before = |bound: Option<Position>, open: usize| {
            bound.map_or(open, |bound| {
                events.partition_point(|event| event.canonical_order() < bound)
            })
        };
        let (from, to) = (before(member.part.start, 0), before(member.end, events.len()));
        events.drain(from..to.max(from)).collect()
    }
}
