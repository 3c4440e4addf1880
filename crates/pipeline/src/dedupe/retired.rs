//! Rows of generations that are no longer asked, on their way out: some in each step.

use super::generation::just_after;
use super::rows::{BLOCK, CHUNK, PAGE, RETIRED, Rows};
use crate::PipelineError;
use kith_state::{Batch, Keyspace, Read};
use std::collections::VecDeque;

const KINDS: [u8; 3] = [BLOCK, CHUNK, PAGE];

/// The generations that are on their way out. A row in the store tells each until its last row is removed.
#[derive(Default)]
pub(super) struct Retired {
    waiting: VecDeque<u32>,
    /// Of the first: the kind that is being removed, and the key to go on from. A restart begins again, which costs time only.
    kind: usize,
    from: Option<Vec<u8>>,
}

impl Retired {
    /// Takes one that the store has as retired.
    pub(super) fn load(&mut self, generation: u32) {
        self.waiting.push_back(generation);
    }

    pub(super) fn has(&self, generation: u32) -> bool {
        self.waiting.contains(&generation)
    }

    pub(super) fn add(&mut self, generation: u32, rows: &Rows, batch: &mut Batch) {
        batch.put(Keyspace::Dedupe, rows.generation(RETIRED, generation), Vec::new());
        self.waiting.push_back(generation);
    }

    /// Removes at most so many rows. Rows of this very step are not seen yet, so it comes before what writes some.
    pub(super) fn remove_some(
        &mut self,
        store: &dyn Read,
        rows: &Rows,
        batch: &mut Batch,
        limit: usize,
    ) -> Result<(), PipelineError> {
        let mut left = limit;
        while let Some(generation) = self.waiting.front().copied().filter(|_| left > 0) {
            let Some(kind) = KINDS.get(self.kind) else {
                batch.remove(Keyspace::Dedupe, rows.generation(RETIRED, generation));
                self.waiting.pop_front();
                self.kind = 0;
                continue;
            };
            let from = self.from.take().unwrap_or_else(|| rows.generation(*kind, generation));
            let mut found = Vec::new();
            store.scan(Keyspace::Dedupe, &from, &rows.end(*kind, generation), &mut |key, _| {
                found.push(key.to_vec());
                found.len() < left
            })?;
            if found.len() < left {
                self.kind += 1;
            } else {
                self.from = found.last().cloned().map(just_after);
            }
            left -= found.len();
            found.into_iter().for_each(|key| batch.remove(Keyspace::Dedupe, key));
        }
        Ok(())
    }
}
