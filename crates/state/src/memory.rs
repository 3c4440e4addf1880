//! A store in memory: for tests, and for replays that are compared and thrown away.

use crate::{Batch, Keyspace, Read, StateError, Store, Visit};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

type Trees = BTreeMap<(Keyspace, Vec<u8>), Vec<u8>>;

/// A store in memory; nothing of it survives the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    trees: RwLock<Arc<Trees>>,
}

/// The trees as they were when the snapshot was taken.
struct MemorySnapshot(Arc<Trees>);

impl MemoryStore {
    fn trees(&self) -> Arc<Trees> {
        // A writer that panicked left whole trees behind: they are swapped, never changed in place while shared.
        Arc::clone(&self.trees.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn visit_range<'a>(entries: impl Iterator<Item = (&'a (Keyspace, Vec<u8>), &'a Vec<u8>)>, visit: &mut Visit<'_>) {
    for ((_, key), value) in entries {
        if !visit(key, value) {
            return;
        }
    }
}

impl Read for MemorySnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(&(keyspace, key.to_vec())).cloned())
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        if from < to {
            visit_range(self.0.range((keyspace, from.to_vec())..(keyspace, to.to_vec())), visit);
        }
        Ok(())
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        if from < to {
            visit_range(
                self.0.range((keyspace, from.to_vec())..(keyspace, to.to_vec())).rev(),
                visit,
            );
        }
        Ok(())
    }
}

impl Read for MemoryStore {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        MemorySnapshot(self.trees()).get(keyspace, key)
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        MemorySnapshot(self.trees()).scan(keyspace, from, to, visit)
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        MemorySnapshot(self.trees()).scan_back(keyspace, from, to, visit)
    }
}

impl Store for MemoryStore {
    fn commit(&self, batch: Batch) -> Result<(), StateError> {
        let mut guard = self.trees.write().unwrap_or_else(PoisonError::into_inner);
        let trees = Arc::make_mut(&mut guard);
        for (keyspace, key, value) in batch.into_writes() {
            let set = value.is_some();
            let before = match value {
                Some(value) => trees.insert((keyspace, key), value),
                None => trees.remove(&(keyspace, key)),
            };
            debug_assert!(
                !(set && keyspace.is_gathered() && before.is_some()),
                "a row that is there was put, not replaced"
            );
        }
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn Read> {
        Box::new(MemorySnapshot(self.trees()))
    }

    fn reopen(&self) -> Result<(), StateError> {
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.trees()
            .iter()
            .map(|((_, key), value)| (key.len() + value.len()) as u64)
            .sum()
    }
}
