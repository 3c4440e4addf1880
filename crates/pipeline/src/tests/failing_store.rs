//! A store in memory whose commits go as a test says.

use kith_state::{Batch, Keyspace, MemoryStore, Read, StateError, StateErrorKind, Store, Visit};
use std::sync::Arc;

/// How a commit goes.
pub(crate) enum Goes {
    Well,
    /// It fails, and nothing of it is there.
    Lost,
    /// It fails, and is there all the same.
    LostAndThere,
}

pub(crate) struct FailingStore {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) next: Box<dyn Fn() -> Goes + Send + Sync>,
}

impl Read for FailingStore {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.store.get(keyspace, key)
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.store.scan(keyspace, from, to, visit)
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.store.scan_back(keyspace, from, to, visit)
    }
}

impl Store for FailingStore {
    fn commit(&self, batch: Batch) -> Result<(), StateError> {
        let goes = (self.next)();
        if !matches!(goes, Goes::Lost) {
            self.store.commit(batch)?;
        }
        match goes {
            Goes::Well => Ok(()),
            Goes::Lost | Goes::LostAndThere => Err(StateError::new(
                StateErrorKind::Failed,
                "the commit is said to fail",
                None,
            )),
        }
    }

    fn reopen(&self) -> Result<(), StateError> {
        self.store.reopen()
    }

    fn snapshot(&self) -> Box<dyn Read> {
        self.store.snapshot()
    }

    fn size_bytes(&self) -> u64 {
        self.store.size_bytes()
    }
}
