//! The embedded store as a server holds it: one that has failed is opened again in place, while readers come and go.

use crate::fjall_store::OpenStore;
use crate::{Batch, Keyspace, Read, StateError, StateErrorKind, Store, Visit};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// What the disk must take before anything is opened again.
const PROBE_BYTES: usize = 256 * 1024;
/// How often, a millisecond apart, it is looked for a moment without readers.
const UNREAD_TRIES: usize = if cfg!(test) { 5 } else { 200 };

/// A [`Store`] in a folder.
pub struct FjallStore {
    folder: PathBuf,
    cache_bytes: u64,
    /// None while it is opened again, and after that has failed.
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

    /// Whether the disk takes anything at all: while it does not, what has failed is left open for those who read.
    fn probe(&self) -> Result<(), StateError> {
        let file = self.folder.join("probe");
        let written = std::fs::write(&file, vec![0; PROBE_BYTES]).and_then(|()| File::open(&file)?.sync_all());
        let removed = std::fs::remove_file(&file);
        written
            .and(removed)
            .map_err(|error| unusable(error, "the disk of the state takes nothing"))
    }

    /// Takes the failed store once nobody reads it: whoever does has the folder open.
    fn take_unread(&self) -> Result<Option<Arc<OpenStore>>, StateError> {
        for _ in 0..UNREAD_TRIES {
            {
                let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
                let unread = |store: &Arc<OpenStore>| Arc::strong_count(store) == 1 && store.is_unread();
                if open.as_ref().is_none_or(unread) {
                    return Ok(open.take());
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let message = "the state has failed and is still being read: it is opened again when that has ended";
        Err(StateError::new(StateErrorKind::Locked, message, None))
    }

    /// Writes the journals anew. After a sync that failed the machine may call pages written that never reached the disk;
    /// what it reads of them becomes durable only as a file of its own.
    fn settle_journals(&self) -> Result<(), StateError> {
        let settle = || -> std::io::Result<()> {
            let trees = self.folder.join("trees");
            let copy = self.folder.join("journal");
            for entry in std::fs::read_dir(&trees)? {
                let journal = entry?.path();
                if journal.extension().is_some_and(|extension| extension == "jnl") {
                    std::fs::copy(&journal, &copy)?;
                    File::open(&copy)?.sync_all()?;
                    std::fs::rename(&copy, &journal)?;
                }
            }
            File::open(&trees)?.sync_all()
        };
        settle().map_err(|error| unusable(error, "the journals of the state cannot be written anew"))
    }
}

fn unusable(error: std::io::Error, message: &str) -> StateError {
    StateError::new(StateErrorKind::Failed, message, Some(error.into()))
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
        self.probe()?;
        let failed = self.take_unread()?;
        // Readers are refused from here on, and wait for nothing.
        drop(failed);
        self.settle_journals()?;
        let opened = Arc::new(OpenStore::open(&self.folder, self.cache_bytes)?);
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(opened);
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
        // Of an older commit than what is shown now.
        put(&store, b"later");
        assert_eq!(store.reopen().unwrap_err().kind(), StateErrorKind::Locked);
        for read in [&*reader, &store as &dyn Read, &*store.snapshot()] {
            assert!(read.get(TREE, b"a").unwrap().is_some(), "who reads goes on reading");
        }
        drop(reader);
        store.reopen().unwrap();
        assert!(store.get(TREE, b"a").unwrap().is_some());
        put(&store, b"b");
        assert!(store.snapshot().get(TREE, b"b").unwrap().is_some());
    }

    #[test]
    fn col_3_a_store_whose_disk_takes_nothing_stays_open_for_readers() {
        let folder = tempfile::tempdir().unwrap();
        let store = FjallStore::open(folder.path(), 8 << 20).unwrap();
        put(&store, b"a");
        let probe = folder.path().join("probe");
        std::fs::create_dir(&probe).unwrap();
        assert_eq!(store.reopen().unwrap_err().kind(), StateErrorKind::Failed);
        assert!(store.get(TREE, b"a").unwrap().is_some());
        std::fs::remove_dir(&probe).unwrap();
        store.reopen().unwrap();
        assert!(store.get(TREE, b"a").unwrap().is_some());
    }
}
