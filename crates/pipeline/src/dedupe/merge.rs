//! A merge of generations, some keys in each step.
//!
//! What is made stands in the store at once, under a generation that nobody asks until it is whole. The row of the merge
//! tells the last key of the last chunk written: a process that ends goes on after it. Keys that have expired are left
//! out.

use super::filter::{FilterWriter, lines_for};
use super::generation::{Generation, just_after};
use super::rows::{CHUNK, Entry, Extent, MERGE, Progress, Rows, entries, packed};
use crate::PipelineError;
use kith_state::{Batch, Keyspace, Read};
use std::collections::VecDeque;

/// A merge under way.
pub(super) struct Merge {
    /// The generation that is made.
    pub(super) output: u32,
    /// What is written so far.
    progress: Progress,
    /// With what is not written yet.
    extent: Extent,
    chunk_keys: usize,
    inputs: Vec<Input>,
    filter: FilterWriter,
    /// Keys of the chunk to come.
    pending: Vec<Entry>,
}

/// The keys of one generation, from some key on.
struct Input {
    generation: u32,
    entries: VecDeque<Entry>,
    /// The last key that was read or is passed over.
    after: Option<u128>,
    /// Whether `after` may lie inside a chunk.
    inside: bool,
    ended: bool,
}

impl Input {
    fn front(&mut self, store: &dyn Read, rows: &Rows) -> Result<Option<u128>, PipelineError> {
        while self.entries.is_empty() && !self.ended {
            self.read(store, rows)?;
        }
        Ok(self.entries.front().map(|(key, _)| *key))
    }

    fn read(&mut self, store: &dyn Read, rows: &Rows) -> Result<(), PipelineError> {
        let (inside, after) = (std::mem::take(&mut self.inside), self.after);
        let mut read = Vec::new();
        let mut visit = |_: &[u8], chunk: &[u8]| {
            read.extend(entries(chunk).filter(|(key, _)| after.is_none_or(|after| *key > after)));
            false
        };
        if let (true, Some(after)) = (inside, after) {
            let to = just_after(rows.chunk(self.generation, after));
            let from = rows.generation(CHUNK, self.generation);
            store.scan_back(Keyspace::Dedupe, &from, &to, &mut visit)?;
        } else {
            let from = match after {
                Some(after) => just_after(rows.chunk(self.generation, after)),
                None => rows.generation(CHUNK, self.generation),
            };
            let to = rows.end(CHUNK, self.generation);
            store.scan(Keyspace::Dedupe, &from, &to, &mut visit)?;
            self.ended = read.is_empty();
        }
        self.after = read.last().map(|(key, _)| *key).or(self.after);
        self.entries = read.into();
        Ok(())
    }
}

impl Merge {
    /// Begins a merge, and writes that it has begun.
    pub(super) fn begin(
        output: u32,
        inputs: &[&Generation],
        (chunk_keys, page_lines): (usize, u64),
        rows: &Rows,
        batch: &mut Batch,
    ) -> Self {
        let extent = Extent {
            count: 0,
            lines: lines_for(inputs.iter().map(|input| input.extent.count).sum()),
            last_expiry: i64::MIN,
        };
        let progress = Progress {
            extent,
            through: None,
            inputs: inputs.iter().map(|input| input.number).collect(),
        };
        batch.put(Keyspace::Dedupe, rows.generation(MERGE, output), progress.encode());
        Self::of(output, progress, (chunk_keys, page_lines))
    }

    fn of(output: u32, progress: Progress, (chunk_keys, page_lines): (usize, u64)) -> Self {
        let input = |generation: &u32| Input {
            generation: *generation,
            entries: VecDeque::new(),
            after: progress.through,
            inside: progress.through.is_some(),
            ended: false,
        };
        Self {
            output,
            extent: progress.extent,
            chunk_keys,
            inputs: progress.inputs.iter().map(input).collect(),
            filter: FilterWriter::new(progress.extent.lines, page_lines),
            pending: Vec::new(),
            progress,
        }
    }

    /// Goes on where the store's last step left it.
    pub(super) fn resume(
        store: &dyn Read,
        rows: &Rows,
        output: u32,
        progress: Progress,
        sizes: (usize, u64),
    ) -> Result<Self, PipelineError> {
        let mut merge = Self::of(output, progress, sizes);
        if let Some(through) = merge.progress.through {
            let page = merge.filter.page_of(through);
            let stored = store.get(Keyspace::Dedupe, &rows.page(output, page))?;
            merge.filter.resume(page, &stored.unwrap_or_default());
        }
        Ok(merge)
    }

    /// The generations that it is made of.
    pub(super) fn inputs(&self) -> &[u32] {
        &self.progress.inputs
    }

    /// Takes so many keys, and writes what comes of them; gives what was made once that is all.
    pub(super) fn go_on(
        &mut self,
        store: &dyn Read,
        rows: &Rows,
        batch: &mut Batch,
        (keys, now): (u64, i64),
    ) -> Result<Option<Extent>, PipelineError> {
        let mut taken = 0;
        let before = self.progress.through;
        while taken < keys {
            let mut least: Option<u128> = None;
            for input in &mut self.inputs {
                let front = input.front(store, rows)?;
                least = least.into_iter().chain(front).min();
            }
            let Some(key) = least else {
                self.write_chunk(rows, batch);
                self.write_page(rows, batch, self.filter.page());
                batch.remove(Keyspace::Dedupe, rows.generation(MERGE, self.output));
                return Ok(Some(self.extent));
            };
            // The same key may have counted again after it expired.
            let mut expiry = i64::MIN;
            for input in &mut self.inputs {
                if let Some((_, other)) = input.entries.front().filter(|(other, _)| *other == key) {
                    expiry = expiry.max(*other);
                    taken += 1;
                    input.entries.pop_front();
                }
            }
            if expiry >= now {
                self.take((key, expiry), rows, batch);
            }
        }
        if self.progress.through != before {
            self.write_page(rows, batch, self.filter.page());
            batch.put(
                Keyspace::Dedupe,
                rows.generation(MERGE, self.output),
                self.progress.encode(),
            );
        }
        Ok(None)
    }

    fn take(&mut self, entry: Entry, rows: &Rows, batch: &mut Batch) {
        if let Some(complete) = self.filter.insert(entry.0) {
            self.write_page(rows, batch, complete);
        }
        self.extent.count += 1;
        self.extent.last_expiry = self.extent.last_expiry.max(entry.1);
        self.pending.push(entry);
        if self.pending.len() >= self.chunk_keys {
            self.write_chunk(rows, batch);
        }
    }

    fn write_chunk(&mut self, rows: &Rows, batch: &mut Batch) {
        if let (Some((first, _)), Some((last, _))) = (self.pending.first(), self.pending.last()) {
            batch.put(Keyspace::Dedupe, rows.chunk(self.output, *first), packed(&self.pending));
            self.progress.through = Some(*last);
            self.progress.extent = self.extent;
            self.pending.clear();
        }
    }

    fn write_page(&self, rows: &Rows, batch: &mut Batch, (page, bytes): (u32, Vec<u8>)) {
        batch.put(Keyspace::Dedupe, rows.page(self.output, page), bytes);
    }

    /// Bytes of keys in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        let read = self.inputs.iter().map(|input| input.entries.capacity());
        (read.sum::<usize>() + self.pending.capacity()) * size_of::<Entry>()
    }
}
