//! Random worlds: few people and devices, so that everything meets everything; times that are late, equal and out of
//! order; aliases; limits small enough to be hit.

use super::keeper::{Keeper, event};
use crate::{Resolver, Rules};
use kith_types::{Event, Identifier, SpaceId};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

pub(super) struct World {
    pub(super) rules: Arc<Rules>,
    pub(super) events: Vec<Event>,
}

const RULES: &[&str] = &[
    "{}",
    r#"{"types": {"email": {"limit": 2}, "phone": {"limit": 1}, "anonymous_id": {"limit": 2}}}"#,
    r#"{"types": {"email": {"limit": 1}, "device_id": {"limit": 1}, "card": {"authenticates": true, "priority": 5, "limit": 2}}}"#,
    r#"{"types": {"user_id": {"limit": 2}, "email": {"claim": "last_authenticated", "limit": 1}, "anonymous_id": {"priority": 1}}}"#,
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
    World {
        events: events.collect(),
        rules: Arc::new(rules),
    }
}

impl World {
    pub(super) fn keeper(&self) -> Keeper {
        Keeper::new(Resolver::new(Arc::clone(&self.rules), &SpaceId::main()))
    }
}
