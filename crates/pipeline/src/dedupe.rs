//! Each event key counts once within the window (contract CLN-2).
//!
//! Keys are 128-bit hashes with the moment they expire. Those of the open generation are in memory; each step adds them
//! to the store as one sorted block. A full generation is sealed: its keys become sorted chunks on disk and a Bloom
//! filter in memory, which answers "new" for nearly every key; a chunk is read only to confirm "seen". A generation
//! whose last key has expired is dropped. Memory is bounded by the filters: 12 bits a key.

use crate::PipelineError;
use crate::keys;
use kith_state::{Batch, Keyspace, Read};
use kith_types::{EventKey, SpaceId, Timestamp};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// Keys in a generation before it is sealed.
const GENERATION_KEYS: usize = 1 << 19;
/// Keys in a chunk of a sealed generation.
const CHUNK_KEYS: usize = 1_024;
/// Bits of filter a key: with eight probes inside one 64-byte line, about one in 150 new keys reads a chunk in vain.
const FILTER_BITS_PER_KEY: usize = 12;
/// The expiry of a key that never expires.
const NEVER: i64 = Timestamp::MAX.as_micros();
const LINE_WORDS: usize = 8;
const PROBES: u32 = 8;

const BLOCK: u8 = b'b';
const CHUNK: u8 = b'c';
const FILTER: u8 = b'f';

/// The keys seen in one space.
pub(crate) struct Dedupe {
    space: SpaceId,
    open: FxHashMap<u128, i64>,
    open_generation: u32,
    blocks: u32,
    /// Keys added since the last commit.
    fresh: Vec<(u128, i64)>,
    sealed: Vec<Sealed>,
}

struct Sealed {
    generation: u32,
    last_expiry: i64,
    filter: Filter,
}

/// A Bloom filter whose probes for one key fall into one cache line (Putze, Sanders and Singler, "Cache-, Hash- and
/// Space-Efficient Bloom Filters", 2007).
struct Filter {
    words: Vec<u64>,
}

impl Filter {
    fn for_keys(count: usize) -> Self {
        let lines = (count * FILTER_BITS_PER_KEY).div_ceil(LINE_WORDS * 64).max(1);
        Self {
            words: vec![0; lines * LINE_WORDS],
        }
    }

    fn positions(&self, key: u128) -> impl Iterator<Item = (usize, u64)> + use<> {
        let lines = (self.words.len() / LINE_WORDS) as u64;
        let (high, low) = ((key >> 64) as u64, key as u64);
        // The key is a hash already: its upper half chooses the line, pieces of its lower half the bits.
        let line = ((u128::from(high) * u128::from(lines)) >> 64) as usize * LINE_WORDS;
        let spread = low.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..PROBES).map(move |probe| {
            let bits = low.wrapping_add(spread.wrapping_mul(u64::from(probe))) >> 55;
            (line + (bits >> 6) as usize, 1 << (bits & 63))
        })
    }

    fn insert(&mut self, key: u128) {
        for (word, bit) in self.positions(key) {
            self.words[word] |= bit;
        }
    }

    fn may_contain(&self, key: u128) -> bool {
        self.positions(key).all(|(word, bit)| self.words[word] & bit != 0)
    }
}

impl Dedupe {
    fn empty(space: &SpaceId) -> Self {
        Self {
            space: space.clone(),
            open: FxHashMap::default(),
            open_generation: 0,
            blocks: 0,
            fresh: Vec::new(),
            sealed: Vec::new(),
        }
    }

    /// Reads what the store holds of a space.
    pub(crate) fn load(store: &dyn Read, space: &SpaceId) -> Result<Self, PipelineError> {
        let mut dedupe = Self::empty(space);
        let (from, to) = dedupe.range(FILTER, None);
        store.scan(Keyspace::Dedupe, &from, &to, &mut |key, value| {
            if let Some((generation, sealed)) = sealed_of(&from, key, value) {
                dedupe.sealed.push(sealed);
                dedupe.open_generation = dedupe.open_generation.max(generation + 1);
            }
            true
        })?;
        // Only the open generation has blocks, and it may outlive every sealed one.
        let (from, to) = dedupe.range(BLOCK, None);
        store.scan(Keyspace::Dedupe, &from, &to, &mut |key, value| {
            if let Some(generation) = key.get(..from.len() + 4).and_then(|key| generation_of(&from, key)) {
                dedupe.open_generation = generation;
                dedupe.open.extend(entries(value));
                dedupe.blocks += 1;
            }
            true
        })?;
        Ok(dedupe)
    }

    /// Whether this is the first copy within the window; it then counts from `now` until `expires`.
    pub(crate) fn first(
        &mut self,
        store: &dyn Read,
        key: EventKey,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<bool, PipelineError> {
        let (key, now, expires) = (key.0, now.as_micros(), expires.as_micros());
        if self.open.get(&key).is_some_and(|expiry| *expiry >= now) {
            return Ok(false);
        }
        for at in 0..self.sealed.len() {
            let sealed = &self.sealed[at];
            if sealed.last_expiry >= now && sealed.filter.may_contain(key) {
                let seen = self.confirm(store, sealed.generation, key)?;
                if seen.is_some_and(|expiry| expiry >= now) {
                    return Ok(false);
                }
            }
        }
        self.open.insert(key, expires);
        self.fresh.push((key, expires));
        Ok(true)
    }

    /// Adds what is new to the step's transaction, and seals or drops generations.
    pub(crate) fn commit(&mut self, batch: &mut Batch, now: Timestamp) {
        if !self.fresh.is_empty() {
            let mut fresh = std::mem::take(&mut self.fresh);
            fresh.sort_unstable();
            batch.put(Keyspace::Dedupe, self.block_key(self.blocks), packed(&fresh));
            self.blocks += 1;
        }
        if self.open.len() >= GENERATION_KEYS {
            self.seal(batch);
        }
        let expired = |sealed: &Sealed| sealed.last_expiry < now.as_micros();
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.sealed).into_iter().partition(expired);
        self.sealed = kept;
        for sealed in gone {
            let chunks = sealed.filter.words.len() * 64 / FILTER_BITS_PER_KEY / CHUNK_KEYS + 2;
            for chunk in 0..chunks {
                batch.remove(Keyspace::Dedupe, self.chunk_key(sealed.generation, chunk as u32));
            }
            batch.remove(Keyspace::Dedupe, self.filter_key(sealed.generation));
        }
    }

    /// Bytes of memory that the filters and the open generation take.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.sealed
            .iter()
            .map(|sealed| sealed.filter.words.len() * 8)
            .sum::<usize>()
            + self.open.capacity() * 40
    }

    fn seal(&mut self, batch: &mut Batch) {
        let mut keys: Vec<(u128, i64)> = self.open.drain().collect();
        keys.sort_unstable();
        // Imported keys never expire. A few of them stay open, so that they do not keep the others for ever.
        let mut staying: Vec<(u128, i64)> = keys.iter().copied().filter(|(_, expiry)| *expiry == NEVER).collect();
        if staying.len() <= GENERATION_KEYS / 2 {
            keys.retain(|(_, expiry)| *expiry != NEVER);
        } else {
            staying.clear();
        }
        let mut filter = Filter::for_keys(keys.len());
        keys.iter().for_each(|(key, _)| filter.insert(*key));
        let last_expiry = keys.iter().map(|(_, expiry)| *expiry).max().unwrap_or(i64::MIN);
        // The first chunk tells where each other one begins, so one search finds the one to read.
        let mut index = Vec::new();
        for (number, chunk) in keys.chunks(CHUNK_KEYS).enumerate() {
            index.extend_from_slice(&chunk[0].0.to_be_bytes());
            batch.put(
                Keyspace::Dedupe,
                self.chunk_key(self.open_generation, number as u32 + 1),
                packed(chunk),
            );
        }
        batch.put(Keyspace::Dedupe, self.chunk_key(self.open_generation, 0), index);
        let mut stored = last_expiry.to_le_bytes().to_vec();
        filter
            .words
            .iter()
            .for_each(|word| stored.extend_from_slice(&word.to_le_bytes()));
        batch.put(Keyspace::Dedupe, self.filter_key(self.open_generation), stored);
        for block in 0..self.blocks {
            batch.remove(Keyspace::Dedupe, self.block_key(block));
        }
        self.sealed.push(Sealed {
            generation: self.open_generation,
            last_expiry,
            filter,
        });
        self.open_generation += 1;
        self.blocks = 0;
        if !staying.is_empty() {
            batch.put(Keyspace::Dedupe, self.block_key(0), packed(&staying));
            self.blocks = 1;
            self.open.extend(staying);
        }
    }

    fn confirm(&self, store: &dyn Read, generation: u32, key: u128) -> Result<Option<i64>, PipelineError> {
        let Some(index) = store.get(Keyspace::Dedupe, &self.chunk_key(generation, 0))? else {
            return Ok(None);
        };
        let starts = index
            .chunks_exact(16)
            .map(|start| u128::from_be_bytes(start.try_into().unwrap_or_default()));
        let Some(chunk) = starts.take_while(|start| *start <= key).count().checked_sub(1) else {
            return Ok(None);
        };
        let Some(chunk) = store.get(Keyspace::Dedupe, &self.chunk_key(generation, chunk as u32 + 1))? else {
            return Ok(None);
        };
        Ok(entries(&chunk).find(|(seen, _)| *seen == key).map(|(_, expiry)| expiry))
    }

    fn range(&self, kind: u8, generation: Option<u32>) -> (Vec<u8>, Vec<u8>) {
        let mut from = keys::space(&self.space);
        from.push(kind);
        if let Some(generation) = generation {
            from.extend_from_slice(&generation.to_be_bytes());
        }
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        (from, to)
    }

    fn block_key(&self, block: u32) -> Vec<u8> {
        let (mut key, _) = self.range(BLOCK, Some(self.open_generation));
        key.extend_from_slice(&block.to_be_bytes());
        key
    }

    fn chunk_key(&self, generation: u32, chunk: u32) -> Vec<u8> {
        let (mut key, _) = self.range(CHUNK, Some(generation));
        key.extend_from_slice(&chunk.to_be_bytes());
        key
    }

    fn filter_key(&self, generation: u32) -> Vec<u8> {
        self.range(FILTER, Some(generation)).0
    }
}

/// Which of some keys count at `now`, as a store holds them. One generation is looked at after the other, so memory holds
/// one filter at a time.
pub(crate) fn counted(
    store: &dyn Read,
    space: &SpaceId,
    wanted: &BTreeSet<EventKey>,
    now: Timestamp,
) -> Result<BTreeSet<EventKey>, PipelineError> {
    let now = now.as_micros();
    let mut found = BTreeSet::new();
    let place = Dedupe::empty(space);
    let (from, to) = place.range(BLOCK, None);
    store.scan(Keyspace::Dedupe, &from, &to, &mut |_, value| {
        let live = entries(value).filter(|(_, expiry)| *expiry >= now);
        found.extend(live.map(|(key, _)| EventKey(key)).filter(|key| wanted.contains(key)));
        true
    })?;
    let (from, to) = place.range(FILTER, None);
    let mut failed = None;
    store.scan(Keyspace::Dedupe, &from, &to, &mut |key, value| {
        let Some((generation, sealed)) = sealed_of(&from, key, value) else {
            return true;
        };
        for wanted in wanted.iter().filter(|key| sealed.filter.may_contain(key.0)) {
            match place.confirm(store, generation, wanted.0) {
                Ok(seen) if seen.is_some_and(|expiry| expiry >= now) => drop(found.insert(*wanted)),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(found), Err)
}

/// A sealed generation, as its filter is stored.
fn sealed_of(prefix: &[u8], key: &[u8], value: &[u8]) -> Option<(u32, Sealed)> {
    let (expiry, words) = value.split_at_checked(8)?;
    let generation = generation_of(prefix, key)?;
    let words = words
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
    let sealed = Sealed {
        generation,
        last_expiry: i64::from_le_bytes(expiry.try_into().unwrap_or_default()),
        filter: Filter { words: words.collect() },
    };
    Some((generation, sealed))
}

fn generation_of(prefix: &[u8], key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.strip_prefix(prefix)?.try_into().ok()?))
}

fn packed(keys: &[(u128, i64)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(keys.len() * 24);
    for (key, expiry) in keys {
        bytes.extend_from_slice(&key.to_be_bytes());
        bytes.extend_from_slice(&expiry.to_le_bytes());
    }
    bytes
}

fn entries(bytes: &[u8]) -> impl Iterator<Item = (u128, i64)> + '_ {
    bytes.chunks_exact(24).filter_map(|entry| {
        let (key, expiry) = entry.split_at(16);
        Some((
            u128::from_be_bytes(key.try_into().ok()?),
            i64::from_le_bytes(expiry.try_into().ok()?),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_state::{MemoryStore, Store};

    fn key(number: u64) -> EventKey {
        EventKey::of_message(&SpaceId::main(), &"web".parse().unwrap(), &number.to_string())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    fn commit(dedupe: &mut Dedupe, store: &MemoryStore, now: Timestamp) {
        let mut batch = Batch::default();
        dedupe.commit(&mut batch, now);
        store.commit(batch).unwrap();
    }

    #[test]
    fn cln_2_a_key_counts_once_within_the_window_across_restarts() {
        let store = MemoryStore::default();
        let space = SpaceId::main();
        let mut dedupe = Dedupe::load(&store, &space).unwrap();
        assert!(dedupe.first(&store, key(1), at(0), at(100)).unwrap());
        assert!(!dedupe.first(&store, key(1), at(1), at(101)).unwrap());
        commit(&mut dedupe, &store, at(1));
        let mut dedupe = Dedupe::load(&store, &space).unwrap();
        assert!(
            !dedupe.first(&store, key(1), at(100), at(200)).unwrap(),
            "the last instant of the window"
        );
        assert!(
            dedupe.first(&store, key(1), at(101), at(201)).unwrap(),
            "after the window the key counts anew"
        );
    }

    #[test]
    fn cln_2_a_restart_after_every_sealed_generation_is_gone_forgets_nothing() {
        let store = MemoryStore::default();
        let space = SpaceId::main();
        let mut dedupe = Dedupe::load(&store, &space).unwrap();
        let forever = GENERATION_KEYS as u64 + 1;
        assert!(dedupe.first(&store, key(forever), at(0), Timestamp::MAX).unwrap());
        for number in 0..GENERATION_KEYS as u64 {
            assert!(dedupe.first(&store, key(number), at(0), at(100)).unwrap());
        }
        commit(&mut dedupe, &store, at(0));
        assert!(dedupe.first(&store, key(forever + 1), at(50), at(150)).unwrap());
        commit(&mut dedupe, &store, at(101));
        assert!(dedupe.sealed.is_empty(), "the key that stays keeps no generation");
        for _ in 0..2 {
            dedupe = Dedupe::load(&store, &space).unwrap();
            assert_eq!((dedupe.open_generation, dedupe.open.len()), (1, 2));
            assert!(!dedupe.first(&store, key(forever + 1), at(102), at(202)).unwrap());
            assert!(!dedupe.first(&store, key(forever), at(100_000), Timestamp::MAX).unwrap());
            commit(&mut dedupe, &store, at(102));
        }
    }

    #[test]
    fn cln_2_the_bytes_of_a_block_and_the_bits_of_a_filter_are_those_of_the_first_release() {
        let mut bytes = vec![0; 16];
        bytes[15] = 5;
        bytes.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(packed(&[(5, 7)]), bytes);
        let mut filter = Filter::for_keys(100);
        (1..100_u128).for_each(|number| filter.insert(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)));
        let words: Vec<u8> = filter.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(blake3::hash(&words).to_hex().as_str(), FILTER_GOLDEN);
    }

    const FILTER_GOLDEN: &str = "120acb1d9ea08a2ea0e844fbbddefb200339fe3c0e308237027b14aaa4a16590";

    #[test]
    fn cln_2_sealed_generations_remember_and_expire() {
        let store = MemoryStore::default();
        let space = SpaceId::main();
        let mut dedupe = Dedupe::load(&store, &space).unwrap();
        let count = GENERATION_KEYS as u64 + 10;
        for number in 0..count {
            assert!(dedupe.first(&store, key(number), at(0), at(100)).unwrap());
            if number % 100_000 == 0 {
                commit(&mut dedupe, &store, at(0));
            }
        }
        commit(&mut dedupe, &store, at(0));
        assert_eq!(dedupe.sealed.len(), 1);
        let mut dedupe = Dedupe::load(&store, &space).unwrap();
        let wanted: BTreeSet<EventKey> = (0..count + 500).step_by(499).map(key).collect();
        let expected: BTreeSet<EventKey> = (0..count).step_by(499).map(key).collect();
        assert_eq!(counted(&store, &space, &wanted, at(100)).unwrap(), expected);
        assert!(
            counted(&store, &space, &wanted, at(101)).unwrap().is_empty(),
            "after the window"
        );
        assert!(
            counted(&store, &"other".parse().unwrap(), &wanted, at(50))
                .unwrap()
                .is_empty()
        );
        for number in (0..count).step_by(997) {
            assert!(!dedupe.first(&store, key(number), at(50), at(150)).unwrap(), "{number}");
        }
        assert!(dedupe.memory_bytes() < GENERATION_KEYS * 8);
        commit(&mut dedupe, &store, at(101));
        assert!(dedupe.sealed.is_empty());
        assert!(dedupe.first(&store, key(5), at(101), at(201)).unwrap());
        let mut left = 0;
        store
            .scan(Keyspace::Dedupe, &[], &[255], &mut |_, _| {
                left += 1;
                true
            })
            .unwrap();
        assert_eq!(left, 0, "an expired generation leaves nothing behind");
    }
}
