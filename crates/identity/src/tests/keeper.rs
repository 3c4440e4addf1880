//! A keeper in memory: does with the answers of [`Resolver`] what a pipeline does, and folds each part as the list of
//! its events.

use crate::{
    Applied, Component, ComponentId, Evidence, PartKey, Position, Presence, PresenceError, PresenceRow, Resolver,
    Vetoes,
};
use kith_types::{
    Address, Event, EventKey, EventType, Identifier, Object, Origin, ProfileId, SourceName, SpaceId, Timestamp,
};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Rows {
    rows: BTreeMap<(u128, Position), PresenceRow>,
    pub(super) reads: Cell<usize>,
}

pub(super) struct Keeper {
    pub(super) resolver: Resolver<'static>,
    pub(super) vetoes: Vetoes,
    pub(super) rows: Rows,
    pub(super) components: HashMap<ComponentId, Vec<u8>>,
    pub(super) homes: HashMap<u128, ComponentId>,
    seen: Vec<Evidence>,
    pub(super) part_events: BTreeMap<PartKey, BTreeSet<Position>>,
    pub(super) part_profiles: BTreeMap<PartKey, ProfileId>,
    pub(super) standing: BTreeSet<ProfileId>,
    pub(super) redirects: HashMap<ProfileId, ProfileId>,
    pub(super) writes: usize,
}

impl Presence for Rows {
    fn rows(
        &self,
        held: u128,
        from: Option<Position>,
        to: Option<Position>,
        visit: &mut dyn FnMut(&PresenceRow) -> bool,
    ) -> Result<(), PresenceError> {
        self.reads.set(self.reads.get() + 1);
        let least = (Timestamp::from_micros(i64::MIN), Address::default());
        for ((hash, position), row) in self.rows.range((held, from.unwrap_or(least))..) {
            if *hash != held || to.is_some_and(|to| *position >= to) || !visit(row) {
                break;
            }
        }
        Ok(())
    }
}

impl Keeper {
    pub(super) fn new(resolver: Resolver<'static>) -> Self {
        Self {
            resolver,
            vetoes: Vetoes::default(),
            rows: Rows::default(),
            components: HashMap::new(),
            homes: HashMap::new(),
            seen: Vec::new(),
            part_events: BTreeMap::new(),
            part_profiles: BTreeMap::new(),
            standing: BTreeSet::new(),
            redirects: HashMap::new(),
            writes: 0,
        }
    }

    pub(super) fn component(&self, identifier: u128) -> Option<Component> {
        self.homes
            .get(&identifier)
            .map(|home| Component::decode(&self.components[home]).unwrap())
    }

    pub(super) fn holder(&self, identifier: &Identifier) -> Option<ProfileId> {
        self.component(identifier.hash128())?.holder(identifier.hash128())
    }

    /// Takes an event in; gives the answer where the quick way did not do.
    pub(super) fn take(&mut self, event: &Event) -> Option<Applied> {
        let mut evidence = self.resolver.read(event);
        self.vetoes.mark(&mut evidence);
        for held in evidence.held() {
            let authenticated = evidence.signed_in_beside(held);
            let Evidence {
                time,
                address,
                received_at,
                ..
            } = evidence;
            let row = PresenceRow {
                time,
                address,
                received_at,
                authenticated,
            };
            self.rows.rows.insert((held.hash, evidence.position()), row);
        }
        self.seen.push(evidence.clone());
        let ids: BTreeSet<ComponentId> = evidence
            .identifiers
            .iter()
            .filter_map(|named| self.homes.get(&named.hash).copied())
            .collect();
        let touched: Vec<Component> = ids
            .iter()
            .map(|id| Component::decode(&self.components[id]).unwrap())
            .collect();
        let reads = self.rows.reads.get();
        let quickly = if let [only] = touched.as_slice() {
            only.place_quickly(&evidence)
        } else {
            None
        };
        assert_eq!(self.rows.reads.get(), reads, "the quick way reads no rows");
        let resolver = self.resolver.clone().holding_apart(self.vetoes.apart());
        let applied = resolver.apply(touched, &evidence, &self.rows).unwrap()?;
        if let Some(placement) = quickly {
            assert!(
                !applied.stored_differs && !applied.changed && applied.placement == placement,
                "{evidence:?}"
            );
            self.part_events
                .entry(placement.part)
                .or_default()
                .insert(evidence.position());
            return None;
        }
        self.carry_out(&evidence, &applied);
        Some(applied)
    }

    fn carry_out(&mut self, evidence: &Evidence, applied: &Applied) {
        let id = applied.component.id();
        for absorbed in &applied.absorbed {
            assert!(self.components.remove(absorbed).is_some());
        }
        if applied.stored_differs {
            self.writes += 1;
            self.components.insert(id, applied.component.encode());
        }
        for hash in &applied.rehomed {
            self.homes.insert(*hash, id);
        }
        for hash in applied.component.hashes() {
            assert_eq!(self.homes[&hash], id);
        }
        for cut in &applied.cuts {
            for (part, profile) in &cut.gone {
                self.part_events.remove(part);
                assert_eq!(self.part_profiles.remove(part), Some(*profile));
            }
        }
        for moved in &applied.moved {
            assert_eq!(self.part_profiles.insert(moved.part, moved.to), moved.from, "{moved:?}");
        }
        for cut in &applied.cuts {
            for interval in &cut.refold {
                let carried = self.seen.iter().filter(|seen| {
                    seen.carrier().is_some_and(|carrier| carrier.identifier == cut.held)
                        && interval.part.start.is_none_or(|start| start <= seen.position())
                        && interval.end.is_none_or(|end| seen.position() < end)
                });
                self.part_events
                    .insert(interval.part, carried.map(Evidence::position).collect());
                assert_eq!(self.part_profiles.get(&interval.part), Some(&interval.profile));
            }
        }
        self.part_events
            .entry(applied.placement.part)
            .or_default()
            .insert(evidence.position());
        assert_eq!(
            self.part_profiles.get(&applied.placement.part),
            Some(&applied.placement.profile)
        );
        for created in &applied.created {
            assert!(self.standing.insert(*created));
            self.redirects.remove(created);
        }
        for vanished in &applied.vanished {
            assert!(self.standing.remove(&vanished.profile));
            self.redirects.insert(vanished.profile, vanished.redirect);
        }
        for redirect in applied.vanished.iter().map(|vanished| vanished.redirect) {
            assert!(self.standing.contains(&redirect));
        }
        let changes = applied.moved.len() + applied.cuts.len() + applied.vanished.len() + applied.created.len();
        assert_eq!(applied.changed, changes > 0);
    }
}

/// An event at a time (seconds), the `sequence`-th received, at `received` (seconds).
pub(super) fn event(sequence: u64, received: i64, time: i64, alias: bool, identifiers: &[Identifier]) -> Event {
    let space = SpaceId::main();
    let address = Address {
        generation: 1,
        partition: 0,
        sequence,
        index: 0,
    };
    Event {
        source: "web".parse::<SourceName>().unwrap(),
        address,
        key: EventKey::of_address(&space, address),
        space,
        message_id: None,
        event_type: if alias { EventType::Alias } else { EventType::Track },
        name: Arc::from("Seen"),
        event_time: Timestamp::from_millis(time * 1_000),
        received_at: Timestamp::from_millis(received * 1_000),
        time_note: None,
        identifiers: identifiers.to_vec(),
        group_id: None,
        traits: Object::default(),
        properties: Object::default(),
        context: Object::default(),
        origin: Origin::Live,
    }
}

/// `user_id:u email:e@x` and so on, separated by spaces.
pub(super) fn ids(text: &str) -> Vec<Identifier> {
    text.split_whitespace()
        .map(|one| Identifier::parse(one).unwrap())
        .collect()
}

pub(super) fn id(text: &str) -> Identifier {
    Identifier::parse(text).unwrap()
}

/// A keeper of the main space under these rules (a JSON document).
pub(super) fn keeper(rules: &str) -> Keeper {
    let rules = crate::Rules::from_json(&serde_json::from_str(rules).unwrap()).unwrap();
    Keeper::new(Resolver::new(Arc::new(rules), &SpaceId::main()))
}

/// What a keeper holds once these events were taken in: `(time, identifiers)`, received in the order given, `alias` in
/// front of an alias.
pub(super) fn after(keeper: &mut Keeper, events: &[(i64, &str)]) {
    for (time, text) in events {
        let sequence = keeper.seen.len() as u64;
        let (alias, text) = text.strip_prefix("alias ").map_or((false, *text), |rest| (true, rest));
        keeper.take(&event(sequence, sequence as i64, *time, alias, &ids(text)));
    }
}
