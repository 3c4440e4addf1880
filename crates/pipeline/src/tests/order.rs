//! The order in which events are processed never changes the result.

use super::worlds::{documents, world};
use super::{Bench, at};
use crate::definitions::{DefinitionDocument, DefinitionSet};
use crate::space::Space;
use kith_segment::Cause;
use kith_state::{Batch, Keyspace, MemoryStore, Store};
use kith_types::{Event, SpaceId, Timestamp};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// The state after events in this order, committed wherever the dice say, all taken at one instant.
fn placed(events: &[Event], now: Timestamp, random: &mut ChaCha8Rng) -> MemoryStore {
    let store = MemoryStore::default();
    let id = SpaceId::main();
    let open = || {
        let mut space = Space::load(&store, &id).unwrap();
        let changes: Vec<DefinitionDocument> = documents()
            .into_iter()
            .map(|(kind, name, spec)| DefinitionDocument {
                kind: kind.into(),
                name: name.into(),
                spec: Some(spec),
            })
            .collect();
        space.set = DefinitionSet::default().with(&changes, at(0));
        space.definitions = Arc::new(space.set.compile().unwrap());
        space.store_definitions().unwrap();
        space
    };
    let mut space = open();
    let commit = |space: &mut Space| {
        let mut batch = Batch::default();
        space.commit(&mut batch, now).unwrap();
        store.commit(batch).unwrap();
    };
    for event in events {
        space.place_event(&store, event, now, Cause::Regrouping).unwrap();
        if random.random_bool(0.2) {
            commit(&mut space);
            if random.random_bool(0.3) {
                space = open();
            }
        }
    }
    commit(&mut space);
    drop(space);
    store
}

/// Fails unless two stores hold the same people. Which ids lead on says who stood before, and so differs by order; where one
/// that both know leads does not.
fn alike(one: &MemoryStore, other: &MemoryStore, now: Timestamp, what: &str) {
    let [redirects, others] = [one, other].map(|store| super::oracle::tree(store, Keyspace::Redirects));
    for (id, row) in redirects {
        let founder = |row: &[u8]| row[..crate::redirects::FOUNDER_BYTES].to_vec();
        assert_eq!(
            founder(others.get(&id).unwrap_or(&row)),
            founder(&row),
            "{what}: {id:?}"
        );
    }
    let report = crate::compare_states(one, other, now).unwrap();
    let told: Vec<_> = (report.differences.iter())
        .filter(|difference| difference.keyspace != Keyspace::Redirects.as_str())
        .collect();
    assert!(told.is_empty(), "{what}: {told:?}");
}

#[test]
fn idn_3_pro_1_any_order_and_any_cut_into_steps_give_the_same_people_and_bytes() {
    let soak = super::soak();
    for seed in 0..60 * soak {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let world = world(seed + 5_000, 50, false);
        let mut bench = Bench::new();
        world.records.iter().for_each(|record| bench.apply(record));
        bench.commit();
        let mut events = bench.events();
        let now = at(world.end);
        let in_order = placed(&events, now, &mut random);
        events.sort_by_key(Event::canonical_order);
        alike(
            &placed(&events, now, &mut random),
            &in_order,
            now,
            &format!("seed {seed}, canonical"),
        );
        events.reverse();
        alike(
            &placed(&events, now, &mut random),
            &in_order,
            now,
            &format!("seed {seed}, reversed"),
        );
        for permutation in 0..1 + 8 * (soak - 1) {
            events.shuffle(&mut random);
            alike(
                &placed(&events, now, &mut random),
                &in_order,
                now,
                &format!("seed {seed}, permutation {permutation}"),
            );
        }
    }
}
