//! The oracle: who is who, worked out plainly from all events at once, event by event in canonical order. It shares
//! with the crate only how an event is read and how an id is hashed.

use crate::resolve::{profile_id, space_key};
use crate::{Appearance, Claim, Evidence, Named, PartKey, Position, Rules};
use kith_types::{Identifier, IdentifierType, ProfileId, SpaceId};
use std::collections::{BTreeMap, BTreeSet};

/// An identifier, or an interval of one by its number.
type Unit = (Identifier, usize);

#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    /// By event: its part.
    pub(super) events: BTreeMap<Position, (PartKey, ProfileId)>,
    pub(super) parts: BTreeMap<PartKey, ProfileId>,
    pub(super) standing: BTreeSet<ProfileId>,
    /// Event, identifier left out, why.
    pub(super) parked: BTreeSet<(Position, String, String)>,
}

struct World<'a> {
    rules: &'a Rules,
    events: Vec<&'a Evidence>,
    alias: Vec<BTreeSet<Identifier>>,
    apart: &'a [(Identifier, Identifier)],
    profiles: Vec<BTreeSet<Unit>>,
    parked: BTreeSet<(Position, String, String)>,
}

pub(super) fn resolve_all(rules: &Rules, apart: &[(Identifier, Identifier)], evidence: &[Evidence]) -> Answer {
    let mut events: Vec<&Evidence> = evidence.iter().collect();
    events.sort_by_key(|event| event.position());
    let mut world = World {
        rules,
        alias: aliases(&events),
        apart,
        events,
        profiles: Vec::new(),
        parked: BTreeSet::new(),
    };
    world.units();
    for event in world.events.clone() {
        world.link(event);
        for held in event.held().filter(|held| !held.vetoed) {
            world.attach(event, &held.identifier);
        }
    }
    world.answer()
}

fn aliases(events: &[&Evidence]) -> Vec<BTreeSet<Identifier>> {
    let mut classes: Vec<BTreeSet<Identifier>> = Vec::new();
    for event in events.iter().filter(|event| event.alias) {
        for one in event.linked().filter(|named| named.authenticates) {
            let same = |other: &&Named| other.identifier.kind == one.identifier.kind;
            let mut class: BTreeSet<Identifier> = event
                .linked()
                .filter(same)
                .map(|named| named.identifier.clone())
                .collect();
            let (touching, rest): (Vec<_>, Vec<_>) = classes.into_iter().partition(|known| !known.is_disjoint(&class));
            class.extend(touching.into_iter().flatten());
            classes = rest;
            classes.push(class);
        }
    }
    classes
}

impl World<'_> {
    /// The sign-ins of a held identifier that begin its intervals: position and who.
    fn starts(&self, held: &Identifier) -> Vec<(Position, Identifier)> {
        let mut starts: Vec<(Position, Identifier)> = Vec::new();
        for event in self.events.iter().filter(|event| links(event, held)) {
            let Some(who) = event.sign_in() else { continue };
            if starts.last().is_none_or(|(_, last)| *last != who.identifier) {
                starts.push((event.position(), who.identifier.clone()));
            }
        }
        starts
    }

    fn interval(&self, held: &Identifier, position: Position) -> usize {
        let begun = self.starts(held).iter().filter(|(start, _)| *start <= position).count();
        begun.max(1) - 1
    }

    fn units(&mut self) {
        let mut units: BTreeSet<Unit> = BTreeSet::new();
        for event in &self.events {
            for named in &event.identifiers {
                let count = if named.held {
                    self.starts(&named.identifier).len().max(1)
                } else {
                    1
                };
                units.extend((0..count).map(|interval| (named.identifier.clone(), interval)));
            }
        }
        self.profiles = units.into_iter().map(|unit| BTreeSet::from([unit])).collect();
    }

    /// Who claims a value: in canonical order, the one in whose name its alias class goes.
    fn claims(&self, value: &Identifier) -> Vec<Identifier> {
        let beside = self.events.iter().filter(|event| links(event, value));
        let owners = beside.filter_map(|event| event.sign_in());
        owners.map(|named| self.shown(&named.identifier)).collect()
    }

    fn shown(&self, identifier: &Identifier) -> Identifier {
        let class = self.alias.iter().find(|class| class.contains(identifier));
        class.and_then(|class| class.first()).unwrap_or(identifier).clone()
    }

    /// Why claims keep a value out of an event's link.
    fn refused(&self, event: &Evidence, value: &Identifier) -> Option<String> {
        let claims = self.claims(value);
        match self.rules.of(&value.kind).claim {
            Claim::Ambiguous if claims.iter().any(|one| *one != claims[0]) => {
                Some("more than one claims it".to_owned())
            }
            Claim::FirstOwner if claims.iter().any(|one| *one != claims[0]) => {
                let other = self.shown(&event.sign_in()?.identifier);
                let first = self
                    .events
                    .iter()
                    .find(|event| links(event, value) && event.sign_in().is_some());
                let owner = &first?.sign_in()?.identifier;
                (other != claims[0]).then(|| format!("{owner} was its first owner"))
            }
            _ => None,
        }
    }

    fn exceeded(&self, units: &BTreeSet<Unit>) -> Option<String> {
        let has = |identifier: &Identifier| units.iter().any(|(one, _)| one == identifier);
        if let Some((one, other)) = self.apart.iter().find(|(one, other)| has(one) && has(other)) {
            return Some(format!("{one} and {other} were declared not to be one person"));
        }

        let mut values: BTreeMap<(u16, IdentifierType), BTreeSet<Identifier>> = BTreeMap::new();
        for (identifier, _) in units {
            let shown = self.shown(identifier);
            let priority = self.rules.of(&identifier.kind).priority;
            values
                .entry((priority, identifier.kind.clone()))
                .or_default()
                .insert(shown);
        }
        values.into_iter().find_map(|((_, kind), values)| {
            let limit = self.rules.of(&kind).limit;
            (values.len() > limit as usize).then(|| format!("more than {limit} of {kind}"))
        })
    }

    fn join(&mut self, group: &[Unit]) -> Result<(), String> {
        let (touched, rest): (Vec<_>, Vec<_>) = self
            .profiles
            .iter()
            .cloned()
            .partition(|profile| group.iter().any(|unit| profile.contains(unit)));
        if touched.len() < 2 {
            return Ok(());
        }
        let union: BTreeSet<Unit> = touched.into_iter().flatten().collect();
        if let Some(exceeded) = self.exceeded(&union) {
            return Err(exceeded);
        }
        self.profiles = rest;
        self.profiles.push(union);
        Ok(())
    }

    fn link(&mut self, event: &Evidence) {
        let first = !self
            .events
            .iter()
            .any(|other| other.position() < event.position() && same_group(other, event));
        let mut group: Vec<Unit> = Vec::new();
        let alone = event.linked().count() == 1;
        for Named { identifier, .. } in event.linked().filter(|_| !alone) {
            match self.refused(event, identifier) {
                Some(why) if first => drop(self.parked.insert((event.position(), identifier.to_string(), why))),
                Some(_) => {}
                None => group.push((identifier.clone(), 0)),
            }
        }
        while group.len() > 1 {
            let Err(exceeded) = self.join(&group) else { return };
            let (identifier, _) = group.pop().unwrap();
            if first {
                self.parked.insert((event.position(), identifier.to_string(), exceeded));
            }
        }
    }

    fn attach(&mut self, event: &Evidence, held: &Identifier) {
        let starts = self.starts(held);
        let (interval, to) = if starts.is_empty() {
            let beside = |event: &Evidence| event.linked().next().cloned();
            let first = self
                .events
                .iter()
                .find(|event| links(event, held) && beside(event).is_some());
            if first.is_none_or(|first| first.position() != event.position()) {
                return;
            }
            (0, beside(event).unwrap().identifier)
        } else {
            match starts.iter().position(|(start, _)| *start == event.position()) {
                Some(interval) => (interval, starts[interval].1.clone()),
                None => return,
            }
        };
        if let Err(exceeded) = self.join(&[(held.clone(), interval), (to, 0)]) {
            self.parked.insert((event.position(), held.to_string(), exceeded));
        }
    }

    fn first(&self, (identifier, interval): &Unit) -> Appearance {
        let held = |event: &&&Evidence| {
            event
                .identifiers
                .iter()
                .any(|named| named.identifier == *identifier && named.held)
        };
        let within = |event: &&&Evidence| !held(event) || self.interval(identifier, event.position()) == *interval;
        let events = self
            .events
            .iter()
            .filter(|event| names(event, identifier))
            .filter(within);
        events
            .map(|event| Appearance {
                received_at: event.received_at,
                address: event.address,
                time: event.time,
            })
            .min()
            .unwrap()
    }

    fn answer(&self) -> Answer {
        let key = space_key(SpaceId::main().as_str());
        let mut answer = Answer {
            events: BTreeMap::new(),
            parts: BTreeMap::new(),
            standing: BTreeSet::new(),
            parked: self.parked.clone(),
        };
        let mut of_unit = BTreeMap::new();
        for profile in &self.profiles {
            let oldest = profile.iter().min_by_key(|unit| {
                let first = self.first(unit);
                (first.received_at, first.address, unit.0.clone())
            });
            let oldest = oldest.unwrap();
            let id = profile_id(&key, &self.first(oldest), &oldest.0);
            answer.standing.insert(id);
            for unit in profile {
                let start = if unit.1 == 0 {
                    None
                } else {
                    Some(self.starts(&unit.0)[unit.1].0)
                };
                let part = PartKey {
                    carrier: unit.0.hash128(),
                    start,
                };
                answer.parts.insert(part, id);
                of_unit.insert(unit.clone(), (part, id));
            }
        }
        for event in &self.events {
            let Some(carrier) = event.carrier() else { continue };
            let interval = if carrier.held {
                self.interval(&carrier.identifier, event.position())
            } else {
                0
            };
            answer
                .events
                .insert(event.position(), of_unit[&(carrier.identifier.clone(), interval)]);
        }
        answer
    }
}

fn names(event: &Evidence, identifier: &Identifier) -> bool {
    event.identifiers.iter().any(|named| named.identifier == *identifier)
}

fn links(event: &Evidence, identifier: &Identifier) -> bool {
    event
        .identifiers
        .iter()
        .any(|named| named.identifier == *identifier && !named.vetoed)
}

fn same_group(one: &Evidence, other: &Evidence) -> bool {
    let group =
        |event: &Evidence| -> BTreeSet<Identifier> { event.linked().map(|named| named.identifier.clone()).collect() };
    group(one) == group(other)
}
