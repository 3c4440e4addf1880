//! Staged writes that have taken over, moved to their places in turns while steps read and write: both stores, looked at after
//! everything that happens, hold what a plain map does.

use super::main_space;
use crate::keys;
use crate::staged::{self, Served, snapshot_of};
use kith_state::{Batch, FjallStore, Keyspace, MemoryStore, Read, Store};
use kith_types::{Address, SpaceId, Timestamp};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

const TREES: [Keyspace; 3] = [Keyspace::Meta, Keyspace::Profiles, Keyspace::Events];
type Held = BTreeMap<(Keyspace, Vec<u8>), Vec<u8>>;

/// One of few keys of a tree, of a space.
fn some_key(random: &mut ChaCha8Rng, space: &SpaceId, keyspace: Keyspace) -> Vec<u8> {
    let number = random.random_range(0..12_u8);
    match keyspace {
        Keyspace::Meta => keys::named(space, &format!("number {number}")),
        Keyspace::Events => {
            let address = Address {
                generation: 0,
                partition: 0,
                sequence: u64::from(number),
                index: 0,
            };
            // Rows of one identifier that lie close together are stored together.
            keys::row(
                space,
                u128::from(number % 3),
                Timestamp::from_micros(i64::from(number)),
                address,
            )
        }
        _ => keys::wide(space, u128::from(number)),
    }
}

/// Writes that a step makes: a key of a history is set only where it is not there.
fn some_writes(random: &mut ChaCha8Rng, held: &mut Held, space: &SpaceId, count: usize) -> Batch {
    let mut batch = Batch::default();
    for _ in 0..count {
        let keyspace = TREES[random.random_range(0..TREES.len())];
        let key = some_key(random, space, keyspace);
        let place = (keyspace, key.clone());
        if random.random_bool(0.4) {
            held.remove(&place);
            batch.remove(keyspace, key);
        } else if !(keyspace.is_gathered() && held.contains_key(&place)) {
            let value = vec![random.random(); 3];
            held.insert(place, value.clone());
            batch.put(keyspace, key, value);
        }
    }
    batch
}

fn holds(reader: &dyn Read, held: &Held, what: &str) {
    for keyspace in TREES {
        let wanted: Vec<_> = held.iter().filter(|((tree, _), _)| *tree == keyspace).collect();
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        let (mut found, mut back) = (Vec::new(), Vec::new());
        // Keys of no space lie elsewhere: the offset, and the mark.
        let (from, to) = ([1], [255]);
        let mut visit = |key: &[u8], value: &[u8]| {
            found.push((key.to_vec(), value.to_vec()));
            true
        };
        reader.scan(keyspace, &from, &to, &mut visit).unwrap();
        let mut visit = |key: &[u8], value: &[u8]| {
            back.push((key.to_vec(), value.to_vec()));
            true
        };
        reader.scan_back(keyspace, &from, &to, &mut visit).unwrap();
        back.reverse();
        assert_eq!(found, wanted, "{what}: {}", keyspace.as_str());
        assert_eq!(back, wanted, "{what}: {} from the end", keyspace.as_str());
        for (key, value) in wanted {
            assert_eq!(
                reader.get(keyspace, &key).unwrap(),
                Some(value),
                "{what}: {}",
                keyspace.as_str()
            );
        }
    }
}

fn moves_in_turns(base: &Arc<dyn Store>, seed: u64) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (space, other) = (main_space(), "other".parse::<SpaceId>().unwrap());
    let mut held = Held::new();
    for space in [&space, &other] {
        base.commit(some_writes(&mut random, &mut held, space, 40)).unwrap();
    }
    // As a change of rules stages: what it takes away and sets again is there once.
    let mut staged: BTreeMap<(Keyspace, Vec<u8>), Option<Vec<u8>>> = BTreeMap::new();
    for _ in 0..40 {
        let keyspace = TREES[random.random_range(0..TREES.len())];
        let value = random.random_bool(0.6).then(|| vec![random.random(); 3]);
        staged.insert((keyspace, some_key(&mut random, &space, keyspace)), value);
    }
    let mut batch = Batch::default();
    for ((keyspace, key), value) in staged {
        match value {
            Some(value) => {
                held.insert((keyspace, key.clone()), value.clone());
                batch.put(keyspace, key, value);
            }
            None => {
                held.remove(&(keyspace, key.clone()));
                batch.remove(keyspace, key);
            }
        }
    }
    let mut batch = staged::stage(&space, batch, None);
    staged::take_over(&space, &mut batch);
    base.commit(batch).unwrap();
    let mut served = Served::once_taken_over(Arc::clone(base), space.clone());
    let mut while_moving = 0;
    for turn in 0.. {
        let what = format!("seed {seed}, turn {turn}");
        holds(&served, &held, &what);
        holds(&*served.snapshot(), &held, &what);
        holds(&*snapshot_of(&**base).unwrap(), &held, &what);
        if !served.is_moving() {
            break;
        }
        match random.random_range(0..4) {
            0 | 1 => {
                let space = if random.random_bool(0.8) { &space } else { &other };
                served.commit(some_writes(&mut random, &mut held, space, 3)).unwrap();
                while_moving += 1;
            }
            // A process ends, and the next goes on.
            2 if random.random_bool(0.3) => served = Served::open(Arc::clone(base)).unwrap(),
            _ => served = served.after_moving_some().unwrap().unwrap(),
        }
    }
    holds(&**base, &held, &format!("seed {seed}, when all is moved"));
    let is_left = |_: &[u8], _: &[u8]| panic!("seed {seed}: something is left beside");
    base.scan(Keyspace::Staged, &[], &[255], &mut { is_left }).unwrap();
    while_moving
}

#[test]
fn seg_2_steps_read_and_write_what_has_taken_over_while_it_is_moved_to_its_place() {
    let mut while_moving = 0;
    for seed in 0..100 * super::soak() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        while_moving += moves_in_turns(&store, seed);
    }
    for seed in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(FjallStore::open(folder.path(), 8 << 20).unwrap());
        while_moving += moves_in_turns(&store, 10_000 + seed);
    }
    assert!(while_moving > 250, "{while_moving}");
}
