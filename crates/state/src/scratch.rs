//! A store for what is worked out once and thrown away: in memory while it is small, in a folder of its own beyond that.

use crate::{Batch, FjallStore, Keyspace, MemoryStore, Read, StateError, StateErrorKind, Store, Visit};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Bytes that the store of the folder may cache.
const CACHE_BYTES: u64 = 64 << 20;
/// Rows moved into the folder in one transaction.
const MOVED_ROWS: usize = if cfg!(test) { 3 } else { 10_000 };

/// What a row takes in memory beside its key and value, about: their headers and their share of the tree.
const ROW_BYTES: usize = if cfg!(test) { 1 } else { 120 };

/// A [`Store`] that goes when it is dropped, with its folder. One thread writes at a time.
pub struct ScratchStore {
    /// Where it goes when it is large; without one it stays in memory.
    folder: Option<PathBuf>,
    /// What its rows may take in memory.
    memory_bytes: usize,
    written: AtomicUsize,
    kept: RwLock<Arc<dyn Store>>,
}

impl ScratchStore {
    /// An empty store. Once rows that take more than `memory_bytes` have been written it moves into `folder`, which is made then and must be
    /// nobody else's: whatever lies there goes.
    #[must_use]
    pub fn new(folder: Option<PathBuf>, memory_bytes: usize) -> Self {
        Self {
            folder,
            memory_bytes,
            written: AtomicUsize::new(0),
            kept: RwLock::new(Arc::new(MemoryStore::default())),
        }
    }

    fn kept(&self) -> Arc<dyn Store> {
        // It is replaced whole.
        Arc::clone(&self.kept.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Moves what memory holds into the folder, where it grows beyond it with so many bytes more.
    fn make_room(&self, bytes: usize) -> Result<(), StateError> {
        let before = self.written.fetch_add(bytes, Ordering::AcqRel);
        let (Some(folder), true) = (
            &self.folder,
            (..=self.memory_bytes).contains(&before) && before + bytes > self.memory_bytes,
        ) else {
            return Ok(());
        };
        if folder.exists() {
            std::fs::remove_dir_all(folder).map_err(|error| {
                let message = format!("the scratch folder {} cannot be used", folder.display());
                StateError::new(StateErrorKind::Failed, message, Some(error.into()))
            })?;
        }
        let (memory, disk) = (self.kept(), FjallStore::open(folder, CACHE_BYTES)?);
        for keyspace in Keyspace::ALL {
            let mut batch = Batch::default();
            let mut failed = None;
            memory.scan(keyspace, &[], &[u8::MAX; 64], &mut |key, value| {
                batch.put(keyspace, key.to_vec(), value.to_vec());
                if batch.len() >= MOVED_ROWS {
                    failed = disk.commit(std::mem::take(&mut batch)).err();
                }
                failed.is_none()
            })?;
            failed.map_or(Ok(()), Err)?;
            disk.commit(batch)?;
        }
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(disk);
        Ok(())
    }
}

impl Read for ScratchStore {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.kept().get(keyspace, key)
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.kept().scan(keyspace, from, to, visit)
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.kept().scan_back(keyspace, from, to, visit)
    }
}

impl Store for ScratchStore {
    fn commit(&self, batch: Batch) -> Result<(), StateError> {
        let row = |(_, key, value): &crate::Write| ROW_BYTES + key.len() + value.as_ref().map_or(0, Vec::len);
        self.make_room(batch.writes.iter().map(row).sum())?;
        self.kept().commit(batch)
    }

    fn reopen(&self) -> Result<(), StateError> {
        let message = "a scratch store is not opened again: what it was for begins anew";
        Err(StateError::new(StateErrorKind::Failed, message, None))
    }

    fn snapshot(&self) -> Box<dyn Read> {
        self.kept().snapshot()
    }

    fn size_bytes(&self) -> u64 {
        self.kept().size_bytes()
    }
}

impl Drop for ScratchStore {
    fn drop(&mut self) {
        // Its files are closed before they go.
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(MemoryStore::default());
        if let Some(folder) = &self.folder {
            // What stays against all odds is whoever's who owns the folder above it.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(store: &dyn Read, keyspace: Keyspace) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        store
            .scan(keyspace, &[], &[u8::MAX; 64], &mut |key, value| {
                rows.push((key.to_vec(), value.to_vec()));
                true
            })
            .unwrap();
        rows
    }

    #[test]
    fn idn_7_a_scratch_store_goes_to_its_folder_when_it_is_large_and_goes_with_it() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("scratch");
        std::fs::create_dir_all(folder.join("left_by_a_kill")).unwrap();
        let scratch = ScratchStore::new(Some(folder.clone()), 400);
        let memory = MemoryStore::default();
        for n in 0..100_u8 {
            let batch = || {
                let mut batch = Batch::default();
                batch.put(Keyspace::Staged, vec![n % 40, 7], vec![n; 5]);
                batch.put(Keyspace::Redirects, vec![n], Vec::new());
                batch.remove(Keyspace::Redirects, vec![n / 2]);
                batch
            };
            scratch.commit(batch()).unwrap();
            memory.commit(batch()).unwrap();
            // Three rows of nine bytes each time.
            let bytes = 9 + 3 * ROW_BYTES;
            assert_eq!(folder.join("trees").exists(), (usize::from(n) + 1) * bytes > 400, "{n}");
            for keyspace in [Keyspace::Staged, Keyspace::Redirects] {
                assert_eq!(rows(&scratch, keyspace), rows(&memory, keyspace), "{n}");
            }
        }
        assert!(!folder.join("left_by_a_kill").exists());
        drop(scratch);
        assert!(!folder.exists());
        let small = ScratchStore::new(Some(folder.clone()), 400);
        small.commit(Batch::default()).unwrap();
        drop(small);
        assert!(!folder.exists(), "what is small never goes there");
    }
}
