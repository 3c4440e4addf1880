//! Deduplication against a plain map of claims, through restarts at any moment, and the bounds it promises.

use super::*;
use kith_state::{MemoryStore, Store};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;

const SMALL: Sizes = Sizes {
    generation_keys: 32,
    chunk_keys: 4,
    fan: 3,
    page_lines: 1,
};

fn key(number: u64) -> EventKey {
    EventKey::of_message(&SpaceId::main(), &"web".parse().unwrap(), &number.to_string())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

fn load(store: &MemoryStore, sizes: Sizes, budget: usize) -> Dedupe {
    let mut dedupe = Dedupe::load_with(store, &SpaceId::main(), sizes).unwrap();
    dedupe.set_budget(budget);
    dedupe
}

fn commit(dedupe: &mut Dedupe, store: &MemoryStore, now: Timestamp) -> usize {
    let mut batch = Batch::default();
    dedupe.commit(store, &mut batch, now).unwrap();
    let writes = batch.len();
    store.commit(batch).unwrap();
    writes
}

fn rows(store: &MemoryStore) -> usize {
    let mut rows = 0;
    store
        .scan(Keyspace::Dedupe, &[], &[255], &mut |_, _| {
            rows += 1;
            true
        })
        .unwrap();
    rows
}

/// Filters that may be asked of `keys`: of each kind and level fewer than two fans.
fn most_asked(keys: u64, sizes: Sizes) -> usize {
    let levels = (keys / (sizes.generation_keys as u64 / 2))
        .max(1)
        .ilog(sizes.fan as u64) as usize
        + 1;
    2 * levels * 2 * sizes.fan
}

#[test]
fn cln_2_an_import_of_what_came_live_counts_once_for_ever() {
    let store = MemoryStore::default();
    let mut dedupe = load(&store, SMALL, 0);
    assert!(dedupe.first(&store, key(1), at(0), at(30)).unwrap());
    commit(&mut dedupe, &store, at(0));
    assert!(!dedupe.first(&store, key(1), at(10), Timestamp::MAX).unwrap());
    commit(&mut dedupe, &store, at(10));
    for restarts in [false, true] {
        if restarts {
            dedupe = load(&store, SMALL, 0);
        }
        let again = dedupe.first(&store, key(1), at(41), Timestamp::MAX).unwrap();
        assert!(!again, "the same import, when the live claim is over");
    }
}

/// A space, and what it must answer.
struct Simulated {
    random: ChaCha8Rng,
    store: MemoryStore,
    dedupe: Dedupe,
    claims: HashMap<EventKey, i64>,
    budget: usize,
    second: i64,
    keys: u64,
    /// Whether a merge went on after a restart, and a filter was without room.
    seen: (bool, bool),
}

impl Simulated {
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let store = MemoryStore::default();
        let budget = random.random_range(0..40) * 256;
        Self {
            dedupe: load(&store, SMALL, budget),
            random,
            store,
            claims: HashMap::new(),
            budget,
            second: 0,
            keys: 0,
            seen: (false, false),
        }
    }

    fn step(&mut self) {
        self.second += i64::from(self.random.random_bool(0.3));
        let committed = (self.claims.clone(), self.keys);
        for _ in 0..self.random.random_range(0..12) {
            self.event();
        }
        if self.random.random_bool(0.05) {
            // The step is lost; its records come again as others.
            (self.claims, self.keys) = committed;
            self.restart();
            return;
        }
        commit(&mut self.dedupe, &self.store, at(self.second));
        if self.random.random_bool(0.1) {
            self.restart();
        }
        self.bounds();
    }

    fn event(&mut self) {
        let number = if self.random.random_bool(0.7) {
            self.keys += 1;
            self.keys
        } else {
            self.random.random_range(0..=self.keys)
        };
        let expires = if self.random.random_bool(0.1) {
            Timestamp::MAX
        } else {
            at(self.second + 100)
        };
        let (key, now) = (key(number), at(self.second));
        let expected = self.claims.get(&key).is_none_or(|expiry| *expiry < now.as_micros());
        if expected || expires == Timestamp::MAX {
            self.claims.insert(key, expires.as_micros());
        }
        assert_eq!(
            self.dedupe.first(&self.store, key, now, expires).unwrap(),
            expected,
            "{number}"
        );
    }

    fn restart(&mut self) {
        self.dedupe = load(&self.store, SMALL, self.budget);
        let mut goes_on = false;
        let (from, to) = self.dedupe.rows.kind(MERGE);
        self.store
            .scan(Keyspace::Dedupe, &from, &to, &mut |_, value| {
                goes_on |= Progress::decode(value).unwrap().through.is_some();
                true
            })
            .unwrap();
        self.seen.0 |= goes_on;
    }

    fn bounds(&mut self) {
        let figures = self.dedupe.figures();
        self.seen.1 |= figures.filter_bytes_without_room > 0;
        assert!(figures.generations <= most_asked(self.keys, SMALL), "{figures:?}");
        let slots: usize = self.dedupe.sealed.iter().map(Generation::slot_bytes).sum();
        assert!(self.dedupe.filter_memory() <= self.budget.max(slots), "{figures:?}");
        let open = self.dedupe.open.capacity() * 40;
        assert_eq!(
            figures.memory_bytes,
            self.dedupe.filter_memory() + open + self.dedupe.merge_memory()
        );
    }

    fn counted_agrees(&mut self) {
        commit(&mut self.dedupe, &self.store, at(self.second));
        let now = at(self.second);
        let wanted: BTreeSet<EventKey> = (0..self.keys + 10).map(key).collect();
        let live = self.claims.iter().filter(|(_, expiry)| **expiry >= now.as_micros());
        let expected: BTreeSet<EventKey> = live.map(|(key, _)| *key).collect();
        let counted = counted::counted_with(&self.store, &SpaceId::main(), &wanted, now, SMALL).unwrap();
        assert_eq!(counted, expected);
    }
}

#[test]
fn cln_2_every_answer_is_that_of_a_plain_map_through_merges_restarts_and_lost_steps() {
    let mut seen = (false, false);
    for seed in 0..12 {
        let mut simulated = Simulated::new(seed);
        for step in 0..1_200 {
            simulated.step();
            if step % 400 == 399 {
                simulated.counted_agrees();
            }
        }
        seen = (seen.0 | simulated.seen.0, seen.1 | simulated.seen.1);
    }
    assert_eq!(
        seen,
        (true, true),
        "merges went on after restarts, filters were without room"
    );
}

#[test]
fn cln_2_a_key_counts_once_within_the_window_across_restarts() {
    let store = MemoryStore::default();
    let mut dedupe = load(&store, Sizes::default(), 0);
    assert!(dedupe.first(&store, key(1), at(0), at(100)).unwrap());
    assert!(!dedupe.first(&store, key(1), at(1), at(101)).unwrap());
    commit(&mut dedupe, &store, at(1));
    let mut dedupe = load(&store, Sizes::default(), 0);
    assert!(
        !dedupe.first(&store, key(1), at(100), at(200)).unwrap(),
        "the last instant of the window"
    );
    assert!(
        dedupe.first(&store, key(1), at(101), at(201)).unwrap(),
        "after the window the key counts anew"
    );
}

/// Claims so many keys, some in each step; gives the most rows that a step wrote.
fn fill(dedupe: &mut Dedupe, store: &MemoryStore, keys: std::ops::Range<u64>, expires: Timestamp) -> usize {
    let mut most = 0;
    for number in keys {
        assert!(dedupe.first(store, key(number), at(0), expires).unwrap(), "{number}");
        if number % 8 == 7 {
            most = most.max(commit(dedupe, store, at(0)));
        }
    }
    most.max(commit(dedupe, store, at(0)))
}

#[test]
fn cln_2_a_key_is_asked_of_few_filters_however_many_keys_there_are() {
    let store = MemoryStore::default();
    let mut dedupe = load(&store, SMALL, 1 << 20);
    for doubled in 0..9 {
        let keys = 64 << doubled;
        let from = if doubled == 0 { 0 } else { keys / 2 };
        let written = fill(&mut dedupe, &store, from..keys, at(100));
        assert!(dedupe.sealed.len() <= most_asked(keys, SMALL) / 2, "{keys} keys");
        // A chunk and a page or so for so many keys that are merged at each level.
        let levels = most_asked(keys, SMALL) / (4 * SMALL.fan);
        assert!(written <= 60 + 40 * levels, "{written} rows in one step of {keys} keys");
    }
}

#[test]
fn cln_2_what_has_expired_leaves_no_row_behind_and_what_never_expires_keeps_nothing_else() {
    let store = MemoryStore::default();
    let mut dedupe = load(&store, SMALL, 2_000);
    fill(&mut dedupe, &store, 0..5_000, at(100));
    let imported = 5_000..5_400;
    fill(&mut dedupe, &store, imported.clone(), Timestamp::MAX);
    fill(&mut dedupe, &store, 6_000..7_003, at(100));
    let before = rows(&store);
    for step in 0..2_000 {
        commit(&mut dedupe, &store, at(101));
        if step % 7 == 0 {
            dedupe = load(&store, SMALL, 2_000);
        }
    }
    assert!(dedupe.sealed.iter().all(Generation::stays));
    let left = rows(&store);
    assert!(left < before / 5 && left < 400, "{left} of {before} rows");
    for number in imported {
        assert!(
            !dedupe
                .first(&store, key(number), at(1_000_000), Timestamp::MAX)
                .unwrap()
        );
    }
    let store = MemoryStore::default();
    let mut dedupe = load(&store, SMALL, 2_000);
    fill(&mut dedupe, &store, 0..5_003, at(100));
    for _ in 0..2_000 {
        commit(&mut dedupe, &store, at(101));
    }
    assert_eq!(rows(&store), 0, "nothing is left of keys that have all expired");
    assert!(dedupe.first(&store, key(5), at(101), at(201)).unwrap());
}

#[test]
fn cln_2_filters_take_no_more_memory_than_they_are_given_and_forget_nothing_without_any() {
    let store = MemoryStore::default();
    let mut dedupe = load(&store, SMALL, usize::MAX);
    fill(&mut dedupe, &store, 0..4_000, at(100));
    for number in 0..4_000 {
        assert!(!dedupe.first(&store, key(number), at(1), at(101)).unwrap());
    }
    let wanted = dedupe.wanted_bytes();
    for budget in [wanted, wanted / 2, wanted / 10, 0] {
        dedupe.set_budget(budget);
        for number in 0..4_000 {
            assert!(!dedupe.first(&store, key(number), at(1), at(101)).unwrap(), "{number}");
        }
        let slots: usize = dedupe.sealed.iter().map(Generation::slot_bytes).sum();
        assert!(dedupe.filter_memory() <= budget.max(slots), "{budget}");
        assert_eq!(dedupe.figures().filter_bytes_without_room > 0, budget < wanted);
        assert!(dedupe.held > 0 || budget < wanted / 2, "{budget}");
    }
}

#[test]
fn cln_2_the_bytes_of_rows_and_the_bits_of_a_filter_are_those_of_format_5() {
    let mut bytes = vec![0; 16];
    bytes[15] = 5;
    bytes.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(packed(&[(5, 7)]), bytes);
    let extent = Extent {
        count: 1,
        lines: 2,
        last_expiry: 3,
    };
    let mut bytes = vec![0; 24];
    (bytes[0], bytes[8], bytes[16]) = (1, 2, 3);
    assert_eq!(extent.encode(), bytes);
    assert_eq!(Extent::decode(&bytes), Some(extent));
    let progress = Progress {
        extent,
        through: Some(4),
        inputs: vec![5, 6],
    };
    bytes.push(1);
    bytes.extend_from_slice(&4_u128.to_be_bytes());
    bytes.extend_from_slice(&[5, 0, 0, 0, 6, 0, 0, 0]);
    assert_eq!(progress.encode(), bytes);
    assert_eq!(Progress::decode(&bytes), Some(progress));
    let rows = Rows::of(&SpaceId::main());
    let place = [keys_of_main().as_slice(), &[b'c', 0, 0, 0, 7], &8_u128.to_be_bytes()].concat();
    assert_eq!(rows.chunk(7, 8), place);
    let mut keys: Vec<u128> = (1..100_u128)
        .map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834))
        .collect();
    keys.sort_unstable();
    let mut filter = FilterWriter::new(lines_for(100), 64);
    assert!(keys.iter().all(|key| filter.insert(*key).is_none()), "one page");
    let words = &filter.page().1[..lines_for(100) as usize * 64];
    assert_eq!(blake3::hash(words).to_hex().as_str(), FILTER_GOLDEN);
}

fn keys_of_main() -> Vec<u8> {
    crate::keys::space(&SpaceId::main())
}

const FILTER_GOLDEN: &str = "120acb1d9ea08a2ea0e844fbbddefb200339fe3c0e308237027b14aaa4a16590";
