//! Random worlds: few people and devices, so that everything meets everything; times that are late, equal and out of
//! order; aliases; limits small enough to be hit.

use super::keeper::{Keeper, event};
use crate::{Evidence, Resolver, Rules, Vetoes};
use kith_types::{Address, Event, Identifier, SpaceId};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) struct World {
    pub(super) rules: Arc<Rules>,
    pub(super) events: Vec<Event>,
    /// Events that do not link an identifier, and identifiers that are not one person.
    pub(super) vetoed: Vec<(Address, Identifier)>,
    pub(super) apart: BTreeSet<(u128, Identifier, u128, Identifier)>,
}

const RULES: &[&str] = &[
    "{}",
    r#"{"types": {"email": {"limit": 2}, "phone": {"limit": 1}, "anonymous_id": {"limit": 2}}}"#,
    r#"{"types": {"email": {"limit": 1}, "device_id": {"limit": 1}, "card": {"authenticates": true, "priority": 5, "limit": 2}}}"#,
    r#"{"types": {"user_id": {"limit": 2}, "email": {"claim": "last_authenticated", "limit": 1}, "anonymous_id": {"priority": 1}}}"#,
    r#"{"types": {"email": {"claim": "first_owner"}, "phone": {"claim": "ambiguous"}, "card": {"claim": "first_owner", "priority": 1, "limit": 1}}}"#,
    r#"{"types": {"user_id": {"limit": 2}, "email": {"claim": "ambiguous", "limit": 2}, "phone": {"claim": "first_owner"}, "device_id": {"authenticates": true, "claim": "link"}}}"#,
    r#"{"types": {"user_id": {"authenticates": false}, "email": {"authenticates": true}, "anonymous_id": {"limit": 1}}}"#,
];

pub(super) fn world(seed: u64) -> World {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rules = Rules::from_json(&serde_json::from_str(RULES[seed as usize % RULES.len()]).unwrap()).unwrap();
    let mut pool: Vec<(f64, Vec<Identifier>)> = Vec::new();
    for (kind, chance, most) in [
        ("user_id", 0.45, 4),
        ("email", 0.35, 4),
        ("phone", 0.15, 3),
        ("card", 0.15, 3),
        ("device_id", 0.3, 3),
        ("anonymous_id", 0.7, 3),
    ] {
        let count = random.random_range(1..=most);
        let value = |n: i32| {
            if kind == "email" {
                format!("e{n}@x.org")
            } else {
                format!("+3161234567{n}")
            }
        };
        let all = (0..count)
            .map(|n| Identifier::parse(&format!("{kind}:{}", value(n))).unwrap())
            .collect();
        pool.push((chance, all));
    }
    let count = random.random_range(4..40);
    let span = if random.random_bool(0.3) { 5 } else { 200 };
    let mut received = 0;
    let events = (0..count).map(|sequence| {
        received += random.random_range(0..3);
        let time = if random.random_bool(0.4) {
            received
        } else {
            random.random_range(0..span)
        };
        let alias = random.random_bool(0.08);
        let mut identifiers: Vec<Identifier> = Vec::new();
        for (chance, all) in &pool {
            if random.random_bool(*chance) {
                identifiers.extend(all.choose(&mut random).cloned());
            }
        }
        if alias {
            identifiers.extend(pool[0].1.choose(&mut random).cloned());
            identifiers.extend(pool[0].1.choose(&mut random).cloned());
        }
        event(sequence, received, time, alias, &identifiers)
    });
    let events: Vec<Event> = events.collect();
    let mut world = World {
        events,
        rules: Arc::new(rules),
        vetoed: Vec::new(),
        apart: BTreeSet::new(),
    };
    if random.random_bool(0.4) {
        world.veto(&mut random);
    }
    world
}

impl World {
    fn veto(&mut self, random: &mut ChaCha8Rng) {
        for _ in 0..random.random_range(0..6) {
            let evidence = self.evidence();
            let one = evidence.choose(random).unwrap();
            if let Some(named) = one.identifiers.choose(random) {
                self.vetoed.push((one.address, named.identifier.clone()));
            }
        }
        let all: Vec<Identifier> = self
            .evidence()
            .into_iter()
            .flat_map(|one| one.identifiers)
            .map(|named| named.identifier)
            .collect();
        for _ in 0..random.random_range(0..3) {
            let (Some(one), Some(other)) = (all.choose(random), all.choose(random)) else {
                return;
            };
            if one.hash128() < other.hash128() {
                self.apart
                    .insert((one.hash128(), one.clone(), other.hash128(), other.clone()));
            }
        }
    }

    pub(super) fn vetoes(&self) -> Vetoes {
        let mut vetoes = Vetoes::default();
        for (event, identifier) in &self.vetoed {
            vetoes.insert_link(*event, identifier.hash128());
        }
        for (one, _, other, _) in &self.apart {
            vetoes.insert_pair(*other, *one);
        }
        vetoes
    }

    /// The pairs in the order in which they are looked at.
    pub(super) fn pairs(&self) -> Vec<(Identifier, Identifier)> {
        self.apart
            .iter()
            .map(|(_, one, _, other)| (one.clone(), other.clone()))
            .collect()
    }

    pub(super) fn evidence(&self) -> Vec<Evidence> {
        let vetoes = self.vetoes();
        let read = self.events.iter().map(|event| {
            let mut evidence = self.rules.read(event);
            vetoes.mark(&mut evidence);
            evidence
        });
        read.collect()
    }

    pub(super) fn keeper(&self) -> Keeper {
        let mut keeper = Keeper::new(Resolver::new(Arc::clone(&self.rules), &SpaceId::main()));
        keeper.vetoes = self.vetoes();
        keeper
    }
}
