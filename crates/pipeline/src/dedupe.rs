//! Each event key counts once within the window (contract CLN-2).
//!
//! Keys are 128-bit hashes with the moment they expire. Those of the open generation are in memory; each step adds them
//! to the store as one sorted block. A full generation is sealed: its keys become sorted chunks in the store, with a Bloom
//! filter, which answers "new" for nearly every key; a chunk is read only to confirm "seen". Generations of one size are
//! merged into one of the next, some keys in each step, so a key is asked of few filters however many there are. A
//! generation whose last key has expired is dropped; keys that never expire have generations of their own.
//!
//! A filter is in the store in pages. They come into memory when they are asked, the largest generations' least: memory
//! is bounded by what is given, and a page that finds no room is read whenever it is asked.

mod counted;
mod filter;
mod generation;
mod merge;
mod retired;
mod rows;
mod shares;

pub(crate) use counted::counted;
pub(crate) use shares::shares;

use crate::PipelineError;
use filter::{FilterWriter, lines_for};
use generation::{Answer, Generation, page_bytes};
use kith_state::{Batch, Keyspace, Read};
use kith_types::{EventKey, SpaceId, Timestamp};
use merge::Merge;
use retired::Retired;
use rows::{BLOCK, Entry, Extent, MERGE, Progress, RETIRED, Rows, SEALED, entries, packed};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

/// The expiry of a key that never expires.
const NEVER: i64 = Timestamp::MAX.as_micros();
/// Keys that each merge takes for a new one. Each level takes in one key for a new one, so at two a merge is done before
/// half as many generations wait again as it is made of.
const MERGED_A_KEY: u64 = 2;
/// Rows removed in each step, and one more for so many new keys: a key leaves a row for some 700 keys at each level.
const REMOVED: usize = 16;
const KEYS_A_REMOVED_ROW: usize = 64;

/// How keys are cut up. Tests take small ones.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Keys in the open generation before it is sealed.
    generation_keys: usize,
    /// Keys in a chunk of a sealed generation.
    chunk_keys: usize,
    /// Generations of one level that become one of the next.
    fan: usize,
    /// Lines of 64 bytes in a page of a filter. Part of the state's format.
    page_lines: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            generation_keys: 1 << 17,
            chunk_keys: 1_024,
            fan: 8,
            page_lines: 64,
        }
    }
}

/// What deduplication takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DedupeFigures {
    /// Bytes in memory: pages of filters, the open generation, and what merges have read.
    pub memory_bytes: usize,
    /// Sealed generations: a new key is asked of the filter of each.
    pub generations: usize,
    /// Bytes of filters that have no room in memory and are read from the store whenever they are asked.
    pub filter_bytes_without_room: usize,
}

impl std::iter::Sum for DedupeFigures {
    fn sum<I: Iterator<Item = Self>>(figures: I) -> Self {
        figures.fold(Self::default(), |sum, one| Self {
            memory_bytes: sum.memory_bytes + one.memory_bytes,
            generations: sum.generations + one.generations,
            filter_bytes_without_room: sum.filter_bytes_without_room + one.filter_bytes_without_room,
        })
    }
}

/// The keys seen in one space.
pub(crate) struct Dedupe {
    rows: Rows,
    sizes: Sizes,
    /// Bytes of memory that filters may take.
    budget: usize,
    open: FxHashMap<u128, i64>,
    open_generation: u32,
    /// When the last key of the open generation expires.
    open_until: i64,
    blocks: u32,
    /// Keys added since the last commit.
    fresh: Vec<Entry>,
    /// The smallest first: a copy is most often near what it is a copy of.
    sealed: Vec<Generation>,
    merges: Vec<Merge>,
    retired: Retired,
    next_generation: u32,
    /// Pages in memory, and how many may be.
    held: usize,
    room: usize,
}

impl Dedupe {
    /// Reads what the store holds of a space. Filters have no memory until [`Dedupe::set_budget`] gives some.
    pub(crate) fn load(store: &dyn Read, space: &SpaceId) -> Result<Self, PipelineError> {
        Self::load_with(store, space, Sizes::default())
    }

    fn load_with(store: &dyn Read, space: &SpaceId, sizes: Sizes) -> Result<Self, PipelineError> {
        let rows = Rows::of(space);
        let mut dedupe = Self {
            sealed: counted::sealed(store, &rows, sizes)?,
            rows,
            sizes,
            budget: 0,
            open: FxHashMap::default(),
            open_generation: 0,
            open_until: i64::MIN,
            blocks: 0,
            fresh: Vec::new(),
            merges: Vec::new(),
            retired: Retired::default(),
            next_generation: 0,
            held: 0,
            room: 0,
        };
        let mut numbers: BTreeSet<u32> = dedupe.sealed.iter().map(|generation| generation.number).collect();
        let (from, to) = dedupe.rows.kind(RETIRED);
        store.scan(Keyspace::Dedupe, &from, &to, &mut |key, _| {
            if let Some(number) = dedupe.rows.generation_of(key) {
                dedupe.retired.load(number);
                numbers.insert(number);
            }
            true
        })?;
        dedupe.load_merges(store, &mut numbers)?;
        let mut open = None;
        let (from, to) = dedupe.rows.kind(BLOCK);
        store.scan(Keyspace::Dedupe, &from, &to, &mut |key, value| {
            let number = dedupe.rows.generation_of(key);
            if let Some(number) = number.filter(|number| !dedupe.retired.has(*number)) {
                open = Some(number);
                dedupe.open.extend(entries(value));
                dedupe.blocks += 1;
            }
            true
        })?;
        numbers.extend(open);
        dedupe.next_generation = numbers.last().map_or(0, |last| last + 1);
        dedupe.open_until = dedupe.open.values().copied().max().unwrap_or(i64::MIN);
        dedupe.open_generation = match open {
            Some(open) => open,
            None => dedupe.number(),
        };
        dedupe.settle();
        Ok(dedupe)
    }

    fn load_merges(&mut self, store: &dyn Read, numbers: &mut BTreeSet<u32>) -> Result<(), PipelineError> {
        let (mut stored, (from, to)) = (Vec::new(), self.rows.kind(MERGE));
        store.scan(Keyspace::Dedupe, &from, &to, &mut |key, value| {
            stored.push(self.rows.generation_of(key).zip(Progress::decode(value)));
            true
        })?;
        for row in stored {
            let (output, progress) = row.ok_or_else(|| PipelineError::corrupt("dedupe"))?;
            numbers.insert(output);
            let sizes = (self.sizes.chunk_keys, self.sizes.page_lines);
            self.merges
                .push(Merge::resume(store, &self.rows, output, progress, sizes)?);
        }
        Ok(())
    }

    /// Gives filters so many bytes of memory.
    pub(crate) fn set_budget(&mut self, bytes: usize) {
        if self.budget != bytes {
            self.budget = bytes;
            self.settle();
        }
    }

    /// Whether this is the first copy within the window; it then counts from `now` until `expires`. A later copy changes
    /// nothing, but for one that never expires: from then on the key never does.
    pub(crate) fn first(
        &mut self,
        store: &dyn Read,
        key: EventKey,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<bool, PipelineError> {
        let (key, now, expires) = (key.0, now.as_micros(), expires.as_micros());
        let known = self.known_until(store, key, (now, expires))?;
        let first = known < now;
        if first || (expires == NEVER && known < NEVER) {
            self.open.insert(key, expires);
            self.open_until = self.open_until.max(expires);
            self.fresh.push((key, expires));
        }
        Ok(first)
    }

    /// When the copy expires that counts at `now`; before that where none does. For a key that is to expire it looks no
    /// further than the first copy that counts.
    fn known_until(&mut self, store: &dyn Read, key: u128, (now, expires): (i64, i64)) -> Result<i64, PipelineError> {
        let enough = if expires == NEVER { NEVER } else { now };
        let mut known = self.open.get(&key).copied().unwrap_or(i64::MIN);
        for at in 0..self.sealed.len() {
            if known >= enough {
                break;
            }
            if self.sealed[at].extent.last_expiry >= now && self.may_contain(store, at, key)? {
                let seen = self.sealed[at].expiry(store, &self.rows, key)?;
                known = known.max(seen.unwrap_or(i64::MIN));
            }
        }
        Ok(known)
    }

    fn may_contain(&mut self, store: &dyn Read, at: usize, key: u128) -> Result<bool, PipelineError> {
        let page = match self.sealed[at].ask(key) {
            Answer::Absent => return Ok(false),
            Answer::Possible => return Ok(true),
            Answer::Page(page) => page,
        };
        let words = self.sealed[at].read(store, &self.rows, page)?;
        let possible = self.sealed[at].is_possible(&words, key);
        if self.held < self.room || self.let_go_larger_than(at) {
            self.sealed[at].hold(page, words);
            self.held += 1;
        }
        Ok(possible)
    }

    /// Lets go of a page of a generation that is larger than one; answers whether there was any.
    fn let_go_larger_than(&mut self, at: usize) -> bool {
        let count = self.sealed[at].extent.count;
        let larger = self.sealed.iter_mut().rev();
        let let_go = larger
            .take_while(|generation| generation.extent.count > count)
            .any(Generation::let_go);
        self.held -= usize::from(let_go);
        let_go
    }

    /// Adds what is new to the step's transaction, and takes generations some steps further: full ones are sealed, many
    /// of one size become one, and what has expired goes.
    pub(crate) fn commit(&mut self, store: &dyn Read, batch: &mut Batch, now: Timestamp) -> Result<(), PipelineError> {
        let (fresh, now) = (std::mem::take(&mut self.fresh), now.as_micros());
        let removed = REMOVED + fresh.len() / KEYS_A_REMOVED_ROW;
        self.retired.remove_some(store, &self.rows, batch, removed)?;
        let keys = fresh.len() as u64 * MERGED_A_KEY + self.sizes.chunk_keys as u64;
        self.merge_some(store, batch, (keys, now))?;
        self.drop_expired(batch, now);
        if self.open.len() >= self.sizes.generation_keys {
            self.seal(batch, now);
        } else if !self.open.is_empty() && self.open_until < now {
            self.reopen(batch, Vec::new());
        } else if !fresh.is_empty() {
            self.put_block(batch, fresh);
        }
        self.begin_merges(batch);
        self.settle();
        Ok(())
    }

    fn put_block(&mut self, batch: &mut Batch, mut keys: Vec<Entry>) {
        keys.sort_unstable();
        let key = self.rows.block(self.open_generation, self.blocks);
        batch.put(Keyspace::Dedupe, key, packed(&keys));
        self.blocks += 1;
    }

    /// Begins another open generation, with these keys.
    fn reopen(&mut self, batch: &mut Batch, keys: Vec<Entry>) {
        if self.blocks > 0 {
            self.retired.add(self.open_generation, &self.rows, batch);
        }
        self.open_generation = self.number();
        self.blocks = 0;
        self.open.clear();
        self.open_until = keys.iter().map(|(_, expiry)| *expiry).max().unwrap_or(i64::MIN);
        if !keys.is_empty() {
            self.open.extend(keys.iter().copied());
            self.put_block(batch, keys);
        }
    }

    /// Makes sorted chunks of the open generation. Keys that expire and keys that never do are apart: the fewer of the two
    /// stay open.
    fn seal(&mut self, batch: &mut Batch, now: i64) {
        let live = self.open.drain().filter(|(_, expiry)| *expiry >= now);
        let (mut keys, mut rest): (Vec<Entry>, Vec<Entry>) = live.partition(|(_, expiry)| *expiry != NEVER);
        if rest.len() > keys.len() {
            std::mem::swap(&mut keys, &mut rest);
        }
        if !keys.is_empty() {
            keys.sort_unstable();
            self.write_sealed(batch, &keys);
        }
        self.reopen(batch, rest);
    }

    fn write_sealed(&mut self, batch: &mut Batch, keys: &[Entry]) {
        let number = self.number();
        let extent = Extent {
            count: keys.len() as u64,
            lines: lines_for(keys.len() as u64),
            last_expiry: keys.iter().map(|(_, expiry)| *expiry).max().unwrap_or(i64::MIN),
        };
        for chunk in keys.chunks(self.sizes.chunk_keys) {
            batch.put(Keyspace::Dedupe, self.rows.chunk(number, chunk[0].0), packed(chunk));
        }
        let mut filter = FilterWriter::new(extent.lines, self.sizes.page_lines);
        let mut put = |(page, bytes)| batch.put(Keyspace::Dedupe, self.rows.page(number, page), bytes);
        for (key, _) in keys {
            filter.insert(*key).into_iter().for_each(&mut put);
        }
        put(filter.page());
        self.stand(batch, number, extent);
    }

    /// From this step on a generation is asked.
    fn stand(&mut self, batch: &mut Batch, number: u32, extent: Extent) {
        batch.put(Keyspace::Dedupe, self.rows.generation(SEALED, number), extent.encode());
        self.sealed.push(Generation::new(number, extent, self.sizes.page_lines));
    }

    /// From this step on generations are not asked any more.
    fn retire(&mut self, batch: &mut Batch, numbers: &BTreeSet<u32>) {
        self.sealed.retain(|generation| !numbers.contains(&generation.number));
        for number in numbers {
            batch.remove(Keyspace::Dedupe, self.rows.generation(SEALED, *number));
            self.retired.add(*number, &self.rows, batch);
        }
    }

    fn merge_some(
        &mut self,
        store: &dyn Read,
        batch: &mut Batch,
        (keys, now): (u64, i64),
    ) -> Result<(), PipelineError> {
        for mut merge in std::mem::take(&mut self.merges) {
            let made = merge.go_on(store, &self.rows, batch, (keys, now))?;
            let Some(extent) = made else {
                self.merges.push(merge);
                continue;
            };
            self.retire(batch, &merge.inputs().iter().copied().collect());
            if extent.count > 0 {
                self.stand(batch, merge.output, extent);
            } else {
                self.retired.add(merge.output, &self.rows, batch);
            }
        }
        Ok(())
    }

    /// Drops generations whose last key has expired, and merges of nothing else.
    fn drop_expired(&mut self, batch: &mut Batch, now: i64) {
        let expired = |generation: &&Generation| generation.extent.last_expiry < now;
        let mut gone: BTreeSet<u32> = self.sealed.iter().filter(expired).map(|sealed| sealed.number).collect();
        let (ended, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.merges)
            .into_iter()
            .partition(|merge| merge.inputs().iter().all(|input| gone.contains(input)));
        self.merges = kept;
        for merge in ended {
            batch.remove(Keyspace::Dedupe, self.rows.generation(MERGE, merge.output));
            self.retired.add(merge.output, &self.rows, batch);
        }
        // A merge with others leaves the keys of an expired one out.
        for input in self.merged() {
            gone.remove(&input);
        }
        self.retire(batch, &gone);
    }

    /// The generations that are being merged.
    fn merged(&self) -> BTreeSet<u32> {
        let inputs = self.merges.iter().flat_map(|merge| merge.inputs());
        inputs.copied().collect()
    }

    /// Begins merges where there are enough generations of a level; those that expire first go first.
    fn begin_merges(&mut self, batch: &mut Batch) {
        let merged = self.merged();
        let mut classes: BTreeMap<(bool, u32), (bool, Vec<&Generation>)> = BTreeMap::new();
        for generation in &self.sealed {
            let class = (generation.stays(), self.level(generation.extent.count));
            let (busy, waiting) = classes.entry(class).or_default();
            if merged.contains(&generation.number) {
                *busy = true;
            } else {
                waiting.push(generation);
            }
        }
        let mut begun = Vec::new();
        let sizes = (self.sizes.chunk_keys, self.sizes.page_lines);
        for (busy, mut waiting) in classes.into_values() {
            if busy || waiting.len() < self.sizes.fan {
                continue;
            }
            waiting.sort_unstable_by_key(|generation| (generation.extent.last_expiry, generation.number));
            waiting.truncate(self.sizes.fan);
            let output = self.next_generation + begun.len() as u32;
            begun.push(Merge::begin(output, &waiting, sizes, &self.rows, batch));
        }
        self.next_generation += begun.len() as u32;
        self.merges.append(&mut begun);
    }

    /// The level of a generation: those of one level are of about one size.
    fn level(&self, count: u64) -> u32 {
        let halves = count / (self.sizes.generation_keys as u64 / 2).max(1);
        halves.max(1).ilog(self.sizes.fan as u64)
    }

    fn number(&mut self) -> u32 {
        self.next_generation += 1;
        self.next_generation - 1
    }

    /// Brings what is in memory within the budget, after generations or the budget have changed.
    fn settle(&mut self) {
        self.sealed
            .sort_by_key(|generation| (generation.extent.count, generation.number));
        let slots: usize = self.sealed.iter().map(Generation::slot_bytes).sum();
        self.room = self.budget.saturating_sub(slots) / page_bytes(self.sizes.page_lines);
        self.held = self.sealed.iter().map(Generation::held).sum();
        for generation in self.sealed.iter_mut().rev() {
            while self.held > self.room && generation.let_go() {
                self.held -= 1;
            }
        }
    }

    /// Bytes of memory that filters would take if there were room for all.
    pub(crate) fn wanted_bytes(&self) -> usize {
        let page = page_bytes(self.sizes.page_lines);
        let wanted = self.sealed.iter();
        wanted.map(|sealed| sealed.slot_bytes() + sealed.pages() * page).sum()
    }

    /// What it takes.
    pub(crate) fn figures(&self) -> DedupeFigures {
        let page = page_bytes(self.sizes.page_lines);
        let pages: usize = self.sealed.iter().map(Generation::pages).sum();
        DedupeFigures {
            memory_bytes: self.filter_memory() + self.open.capacity() * 40 + self.merge_memory(),
            generations: self.sealed.len(),
            filter_bytes_without_room: pages.saturating_sub(self.room) * page,
        }
    }

    fn filter_memory(&self) -> usize {
        let slots: usize = self.sealed.iter().map(Generation::slot_bytes).sum();
        slots + self.held * page_bytes(self.sizes.page_lines)
    }

    fn merge_memory(&self) -> usize {
        self.merges.iter().map(Merge::memory_bytes).sum()
    }
}

#[cfg(test)]
mod tests;
