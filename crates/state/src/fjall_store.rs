//! The embedded store: fjall, a log-structured merge tree in pure Rust.
//!
//! State is derived from the log, so a lost store costs a replay and no event. A failed sync therefore ends the store
//! (`StateErrorKind::Failed`) instead of being tried again: fjall has reported durability falsely after swallowed
//! journal errors, and the log knows better.

use crate::{Batch, Keyspace, Read, StateError, StateErrorKind, Store, Visit};
use fjall::{Database, KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Readable};
use std::path::Path;

/// The folder layout that this release writes. Raised when the meaning of stored bytes changes.
const FORMAT: &str = "kith-state 1\n";
const FORMAT_FILE: &str = "FORMAT";

/// A [`Store`] in a folder.
pub struct FjallStore {
    database: Database,
    trees: Vec<fjall::Keyspace>,
}

struct FjallSnapshot {
    snapshot: fjall::Snapshot,
    trees: Vec<fjall::Keyspace>,
}

impl FjallStore {
    /// Opens the folder, making it when it does not exist.
    ///
    /// # Errors
    /// [`StateErrorKind::Locked`] when another process has it open; [`StateErrorKind::Format`] when another version
    /// wrote it; [`StateErrorKind::Failed`] when it cannot be read. State is derived: a folder that cannot be opened
    /// may be moved away, and the server rebuilds it from the log.
    pub fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StateError> {
        check_format(folder)?;
        let database = Database::builder(folder.join("trees"))
            .cache_size(cache_bytes)
            .max_journaling_size(512 * 1024 * 1024)
            // With more than one, the first leaves compactions to the others and spins on their queue meanwhile.
            .worker_threads(1)
            .manual_journal_persist(true)
            .open()
            .map_err(|error| open_error(folder, error))?;
        let trees = Keyspace::ALL
            .iter()
            .map(|keyspace| database.keyspace(keyspace.as_str(), || options(*keyspace)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| open_error(folder, error))?;
        Ok(Self { database, trees })
    }
}

fn options(keyspace: Keyspace) -> KeyspaceCreateOptions {
    let large = matches!(keyspace, Keyspace::Events | Keyspace::Parts | Keyspace::Presence);
    // An event is written once: kept apart from its key, it is not copied again whenever keys are merged.
    let apart = (keyspace == Keyspace::Events).then(|| KvSeparationOptions::default().separation_threshold(128));
    KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .max_memtable_size(if large { 32 * 1024 * 1024 } else { 16 * 1024 * 1024 })
        .with_kv_separation(apart)
}

/// Refuses a folder of another version, and marks a new one.
fn check_format(folder: &Path) -> Result<(), StateError> {
    let failed = |error: std::io::Error| {
        StateError::new(
            StateErrorKind::Failed,
            format!("the state folder {} cannot be used", folder.display()),
            Some(error.into()),
        )
    };
    let file = folder.join(FORMAT_FILE);
    match std::fs::read_to_string(&file) {
        Ok(text) if text == FORMAT => Ok(()),
        Ok(text) => Err(StateError::new(
            StateErrorKind::Format,
            format!(
                "the state folder {} has the format {:?}, this release reads {:?}: start the release that wrote it, or move the folder away and the state is rebuilt from the log",
                folder.display(),
                text.trim(),
                FORMAT.trim()
            ),
            None,
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if folder.join("trees").exists() {
                return Err(StateError::new(
                    StateErrorKind::Format,
                    format!(
                        "the state folder {} has no {FORMAT_FILE} file: move it away and the state is rebuilt from the log",
                        folder.display()
                    ),
                    None,
                ));
            }
            std::fs::create_dir_all(folder).map_err(failed)?;
            std::fs::write(&file, FORMAT).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

fn open_error(folder: &Path, error: fjall::Error) -> StateError {
    let kind = match &error {
        fjall::Error::Locked => StateErrorKind::Locked,
        fjall::Error::InvalidVersion(_) => StateErrorKind::Format,
        _ => StateErrorKind::Failed,
    };
    StateError::new(
        kind,
        format!("the state folder {} cannot be opened", folder.display()),
        Some(error.into()),
    )
}

fn read_error(error: fjall::Error) -> StateError {
    StateError::new(StateErrorKind::Failed, "the state cannot be read", Some(error.into()))
}

fn visit_all(guards: impl Iterator<Item = fjall::Guard>, visit: &mut Visit<'_>) -> Result<(), StateError> {
    for guard in guards {
        let (key, value) = guard.into_inner().map_err(read_error)?;
        if !visit(&key, &value) {
            break;
        }
    }
    Ok(())
}

impl Read for FjallStore {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let value = self.trees[keyspace as usize].get(key).map_err(read_error)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        if from >= to {
            return Ok(());
        }
        visit_all(self.trees[keyspace as usize].range(from.to_vec()..to.to_vec()), visit)
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        if from >= to {
            return Ok(());
        }
        visit_all(
            self.trees[keyspace as usize].range(from.to_vec()..to.to_vec()).rev(),
            visit,
        )
    }
}

impl Read for FjallSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let value = self
            .snapshot
            .get(&self.trees[keyspace as usize], key)
            .map_err(read_error)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        if from >= to {
            return Ok(());
        }
        visit_all(
            self.snapshot
                .range(&self.trees[keyspace as usize], from.to_vec()..to.to_vec()),
            visit,
        )
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        if from >= to {
            return Ok(());
        }
        visit_all(
            self.snapshot
                .range(&self.trees[keyspace as usize], from.to_vec()..to.to_vec())
                .rev(),
            visit,
        )
    }
}

impl Store for FjallStore {
    fn commit(&self, batch: Batch) -> Result<(), StateError> {
        let failed = |error: fjall::Error| {
            StateError::new(
                StateErrorKind::Failed,
                "a step could not be committed",
                Some(error.into()),
            )
        };
        let mut writes = fjall::OwnedWriteBatch::with_capacity(self.database.clone(), batch.len());
        for (keyspace, key, value) in batch.into_writes() {
            let tree = &self.trees[keyspace as usize];
            match value {
                Some(value) => writes.insert(tree, key, value),
                None => writes.remove(tree, key),
            }
        }
        writes.commit().map_err(failed)?;
        self.database.persist(PersistMode::SyncData).map_err(failed)
    }

    fn snapshot(&self) -> Box<dyn Read> {
        Box::new(FjallSnapshot {
            snapshot: self.database.snapshot(),
            trees: self.trees.clone(),
        })
    }

    fn size_bytes(&self) -> u64 {
        self.trees.iter().map(fjall::Keyspace::disk_space).sum()
    }
}
