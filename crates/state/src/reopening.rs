//! The embedded store as a server holds it: one that has failed is opened again in place, while readers come and go.

use crate::fjall_store::OpenStore;
use crate::{Batch, Keyspace, Read, StateError, StateErrorKind, Store, Visit};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// A [`Store`] in a folder.
pub struct FjallStore {
    folder: PathBuf,
    cache_bytes: u64,
    /// None while it is being opened again, and after that has failed.
    open: RwLock<Option<Arc<OpenStore>>>,
}

impl FjallStore {
    /// Opens the folder, making it when it does not exist. Of `cache_bytes` most go to rows, the rest to blocks of files.
    ///
    /// # Errors
    /// [`StateErrorKind::Locked`] when another process has it open; [`StateErrorKind::Format`] when another version
    /// wrote it; [`StateErrorKind::Failed`] when it cannot be read. State is derived: a folder that cannot be opened
    /// may be moved away, and the server rebuilds it from the log.
    pub fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StateError> {
        Ok(Self {
            folder: folder.to_owned(),
            cache_bytes,
            open: RwLock::new(Some(Arc::new(OpenStore::open(folder, cache_bytes)?))),
        })
    }

    fn opened(&self) -> Result<Arc<OpenStore>, StateError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or_else(closed)
    }
}

fn closed() -> StateError {
    StateError::new(
        StateErrorKind::Failed,
        "the state has failed and is being opened again",
        None,
    )
}

impl Read for FjallStore {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.opened()?.get(keyspace, key)
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.opened()?.scan(keyspace, from, to, visit)
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.opened()?.scan_back(keyspace, from, to, visit)
    }
}

impl Store for FjallStore {
    fn commit(&self, batch: Batch) -> Result<(), StateError> {
        self.opened()?.commit(batch)
    }

    fn snapshot(&self) -> Box<dyn Read> {
        match self.opened() {
            Ok(open) => open.snapshot(),
            Err(_) => Box::new(Closed),
        }
    }

    fn reopen(&self) -> Result<(), StateError> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // Whoever reads still has it open, and the folder is locked for as long.
        drop(open.take());
        *open = Some(Arc::new(OpenStore::open(&self.folder, self.cache_bytes)?));
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.opened().map_or(0, |open| open.size_bytes())
    }
}

/// What a reader gets of a store that is not open.
struct Closed;

impl Read for Closed {
    fn get(&self, _: Keyspace, _: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Err(closed())
    }

    fn scan(&self, _: Keyspace, _: &[u8], _: &[u8], _: &mut Visit<'_>) -> Result<(), StateError> {
        Err(closed())
    }

    fn scan_back(&self, _: Keyspace, _: &[u8], _: &[u8], _: &mut Visit<'_>) -> Result<(), StateError> {
        Err(closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: Keyspace = Keyspace::Parts;

    fn put(store: &FjallStore, key: &[u8]) {
        let mut batch = Batch::default();
        batch.put(TREE, key.to_vec(), b"1".to_vec());
        store.commit(batch).unwrap();
    }

    #[test]
    fn col_3_a_store_is_opened_again_once_its_readers_have_gone_and_holds_what_was_durable() {
        let folder = tempfile::tempdir().unwrap();
        let store = FjallStore::open(folder.path(), 8 << 20).unwrap();
        put(&store, b"a");
        let reader = store.snapshot();
        assert_eq!(store.reopen().unwrap_err().kind(), StateErrorKind::Locked);
        assert!(reader.get(TREE, b"a").unwrap().is_some(), "who reads goes on reading");
        assert_eq!(store.get(TREE, b"a").unwrap_err().kind(), StateErrorKind::Failed);
        assert!(store.snapshot().get(TREE, b"a").is_err());
        drop(reader);
        store.reopen().unwrap();
        assert!(store.get(TREE, b"a").unwrap().is_some());
        put(&store, b"b");
        assert!(store.snapshot().get(TREE, b"b").unwrap().is_some());
    }
}
