//! Processing order does not matter (IDN-3): many permutations of many worlds, against the oracle and one another.

use super::keeper::Keeper;
use super::oracle::{Answer, resolve_all};
use super::worlds::world;
use crate::{Component, Evidence, LeftOut};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

/// Times as many by the environment's KITH_SOAK.
const WORLDS: u64 = 400;
const PERMUTATIONS: u64 = 6;

fn soak() -> u64 {
    let soak = std::env::var("KITH_SOAK").ok();
    soak.and_then(|soak| soak.parse().ok()).unwrap_or(1)
}

fn answer(keeper: &Keeper, evidence: &[Evidence]) -> Answer {
    let mut events = BTreeMap::new();
    for (part, positions) in &keeper.part_events {
        for position in positions {
            assert!(
                events.insert(*position, (*part, keeper.part_profiles[part])).is_none(),
                "an event in two parts"
            );
        }
    }
    for one in evidence {
        let Some(carrier) = one.carrier() else { continue };
        let placement = keeper
            .component(carrier.hash)
            .unwrap()
            .place(carrier.hash, one.position())
            .unwrap();
        assert_eq!(events[&one.position()], (placement.part, placement.profile));
        let component = keeper.component(carrier.hash).unwrap();
        assert!(component.parts_of(placement.profile).any(|part| part == placement.part));
    }
    let components: Vec<Component> = keeper
        .components
        .values()
        .map(|bytes| Component::decode(bytes).unwrap())
        .collect();
    let parked = components.iter().flat_map(|one| {
        one.parked()
            .map(|parked| (parked.event, parked.identifier.to_string(), parked.because.to_string()))
            .collect::<Vec<_>>()
    });
    let standing: BTreeSet<_> = components
        .iter()
        .flat_map(|one| one.profiles())
        .map(|profile| profile.id)
        .collect();
    assert_eq!(standing, keeper.standing);
    Answer {
        events,
        parts: keeper.part_profiles.clone(),
        standing,
        parked: parked.collect(),
    }
}

fn reason(because: &LeftOut) -> &'static str {
    match because {
        LeftOut::Limit { .. } => "limit",
        LeftOut::Owner(_) => "owner",
        LeftOut::Ambiguous => "ambiguous",
        LeftOut::Apart(..) => "apart",
        LeftOut::Vetoed => "vetoed",
    }
}

#[test]
fn idn_3_processing_order_does_not_matter() {
    let mut cuts = 0;
    let mut parked = 0;
    let mut vanished = 0;
    let mut reasons = BTreeMap::<&str, u32>::new();
    for seed in 0..WORLDS * soak() {
        let world = world(seed);
        let evidence = world.evidence();
        let expected = resolve_all(&world.rules, &world.pairs(), &evidence);
        let mut bytes: Option<BTreeMap<u128, Vec<u8>>> = None;
        let mut events = world.events.clone();
        for permutation in 0..=PERMUTATIONS {
            if permutation > 0 {
                events.shuffle(&mut ChaCha8Rng::seed_from_u64(seed << 8 | permutation));
            }
            let mut keeper = world.keeper();
            for event in &events {
                let Some(applied) = keeper.take(event) else { continue };
                cuts += applied.cuts.len();
                parked += applied.parked.len();
                for parked in &applied.parked {
                    *reasons.entry(reason(&parked.because)).or_default() += 1;
                }
                vanished += applied.vanished.len();
            }
            let answer = answer(&keeper, &evidence);
            if answer != expected {
                let told = |one: &Answer| (one.standing.len(), one.parked.clone());
                assert_eq!(
                    told(&answer),
                    told(&expected),
                    "world {seed}, permutation {permutation}"
                );
                panic!("world {seed}, permutation {permutation}: parts or ids differ");
            }
            let stored: BTreeMap<u128, Vec<u8>> = keeper.components.into_iter().map(|(id, one)| (id.0, one)).collect();
            let first = bytes.get_or_insert_with(|| stored.clone());
            assert_eq!(*first, stored, "bytes of world {seed}, permutation {permutation}");
        }
    }
    // The worlds are worth something only if these things happen in them.
    assert!(
        cuts > 1_000 && parked > 1_000 && vanished > 1_000,
        "{cuts} cuts, {parked} left out, {vanished} vanished"
    );
    assert!(
        reasons.len() == 4 && reasons.values().all(|count| *count > 300),
        "{reasons:?}"
    );
}

#[test]
fn idn_3_an_event_taken_twice_changes_nothing() {
    for seed in 0..50 {
        let world = world(seed);
        let mut keeper = world.keeper();
        for event in &world.events {
            keeper.take(event);
        }
        for event in &world.events {
            if let Some(applied) = keeper.take(event) {
                assert!(!applied.stored_differs && !applied.changed);
            }
        }
    }
}

#[test]
fn idn_5_redirects_end_at_a_standing_profile() {
    for seed in 0..100 {
        let world = world(seed);
        let mut keeper = world.keeper();
        let mut events = world.events.clone();
        events.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        for event in &events {
            keeper.take(event);
            for mut id in keeper.redirects.keys().copied() {
                for _ in 0..=keeper.redirects.len() {
                    id = keeper.redirects.get(&id).copied().unwrap_or(id);
                }
                assert!(keeper.standing.contains(&id), "world {seed}");
            }
        }
    }
}
