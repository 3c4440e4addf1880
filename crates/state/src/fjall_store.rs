//! The embedded store: fjall, a log-structured merge tree in pure Rust.
//!
//! State is derived from the log, so a lost store costs a replay and no event. A failed sync therefore ends the store
//! (`StateErrorKind::Failed`) instead of being tried again: fjall has reported durability falsely after swallowed
//! journal errors, and the log knows better. What may follow is in `reopening.rs`.

use crate::gathered;
use crate::rows::{Moment, RowCache};
use crate::{Batch, Keyspace, Read, StateError, StateErrorKind, Visit, Write};
use fjall::config::PinningPolicy;
use fjall::{Database, KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Readable};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The folder layout that this release writes. Raised when the meaning of stored bytes changes.
const FORMAT: &str = "kith-state 7\n";
/// Those that this release reads, too. Such a folder is marked as one of this release before anything is written into it.
const FORMATS_BEFORE: [&str; 2] = ["kith-state 5\n", "kith-state 6\n"];
const FORMAT_FILE: &str = "FORMAT";

/// The store of a folder, from when it is opened until it has failed or is dropped.
pub(crate) struct OpenStore {
    database: Database,
    trees: Vec<fjall::Keyspace>,
    rows: Arc<RowCache>,
    /// Held while a batch is applied to the trees and the rows.
    applying: Mutex<()>,
    /// Held by each snapshot, of whichever commit.
    readers: Arc<()>,
    /// What readers see: the trees as of the newest commit that is durable.
    durable: Mutex<(Arc<Trees>, Moment)>,
}

/// The trees as they stood at one moment.
struct Trees {
    snapshot: fjall::Snapshot,
    trees: Vec<fjall::Keyspace>,
}

struct FjallSnapshot {
    trees: Arc<Trees>,
    /// The rows in memory, and the moment that the snapshot shows.
    rows: (Arc<RowCache>, Moment),
    _reader: Arc<()>,
}

impl OpenStore {
    /// Opens the folder, making it when it does not exist. Of `cache_bytes` most go to rows, the rest to blocks of files.
    ///
    /// # Errors
    /// [`StateErrorKind::Locked`] when another process has it open; [`StateErrorKind::Format`] when another version
    /// wrote it; [`StateErrorKind::Failed`] when it cannot be read. State is derived: a folder that cannot be opened
    /// may be moved away, and the server rebuilds it from the log.
    pub(crate) fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StateError> {
        let is_of_before = check_format(folder)?;
        let database = Database::builder(folder.join("trees"))
            .cache_size(cache_bytes / 4)
            .max_journaling_size(512 * 1024 * 1024)
            // With more than one, the first leaves compactions to the others and spins on their queue meanwhile.
            .worker_threads(1)
            .manual_journal_persist(true)
            .open()
            .map_err(|error| open_error(folder, error))?;
        if is_of_before {
            mark(folder).map_err(|error| unusable(folder, error))?;
        }
        let trees = Keyspace::ALL
            .iter()
            .map(|keyspace| database.keyspace(keyspace.as_str(), || options(*keyspace)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| open_error(folder, error))?;
        let rows = usize::try_from(cache_bytes / 4 * 3).unwrap_or(usize::MAX);
        let rows = Arc::new(RowCache::new(rows));
        let opened = Trees {
            snapshot: database.snapshot(),
            trees: trees.clone(),
        };
        Ok(Self {
            durable: Mutex::new((Arc::new(opened), rows.now())),
            database,
            trees,
            rows,
            applying: Mutex::new(()),
            readers: Arc::default(),
        })
    }
}

fn options(keyspace: Keyspace) -> KeyspaceCreateOptions {
    let large = matches!(keyspace, Keyspace::Events | Keyspace::Parts | Keyspace::Presence);
    // An event is written once: kept apart from its key, it is not copied again whenever keys are merged.
    let apart = (keyspace == Keyspace::Events).then(|| KvSeparationOptions::default().separation_threshold(128));
    let options = KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .max_memtable_size(if large { 32 * 1024 * 1024 } else { 16 * 1024 * 1024 })
        .with_kv_separation(apart);
    if !RowCache::keeps(keyspace) {
        return options;
    }
    // Rows that are looked up one by one: what says where a row is stays in memory, 3 bytes or so a row, so that a look-up
    // reads one block of a file or, for a row that is not there, none.
    options
        .filter_block_pinning_policy(PinningPolicy::all(true))
        .index_block_pinning_policy(PinningPolicy::all(true))
}

fn unusable(folder: &Path, error: std::io::Error) -> StateError {
    StateError::new(
        StateErrorKind::Failed,
        format!("the state folder {} cannot be used", folder.display()),
        Some(error.into()),
    )
}

/// Refuses a folder of another version, and marks a new one. Answers whether it has still to be marked as one of this release.
fn check_format(folder: &Path) -> Result<bool, StateError> {
    match std::fs::read_to_string(folder.join(FORMAT_FILE)) {
        Ok(text) if text == FORMAT => Ok(false),
        Ok(text) if FORMATS_BEFORE.contains(&text.as_str()) => Ok(true),
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
            mark(folder).map(|()| false).map_err(|error| unusable(folder, error))
        }
        Err(error) => Err(unusable(folder, error)),
    }
}

/// Makes a folder with its mark, both durable before anything comes beside them: after a loss of power there is a whole mark,
/// or none and nothing else.
fn mark(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join(FORMAT_FILE);
    let aside = file.with_extension("new");
    let mut written = std::fs::File::create(&aside)?;
    std::io::Write::write_all(&mut written, FORMAT.as_bytes())?;
    written.sync_all()?;
    std::fs::rename(&aside, file)?;
    std::fs::File::open(folder)?.sync_all()?;
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => std::fs::File::open(parent)?.sync_all(),
        _ => Ok(()),
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

impl Trees {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let tree = &self.trees[keyspace as usize];
        let alone = self.snapshot.get(tree, key).map_err(read_error)?;
        if alone.is_none() && keyspace.is_gathered() {
            return gathered::in_block(&self.entries(keyspace), key);
        }
        Ok(alone.map(|value| value.to_vec()))
    }

    fn entries(&self, keyspace: Keyspace) -> impl gathered::Entries {
        let tree = &self.trees[keyspace as usize];
        move |from: &[u8], to: &[u8]| self.snapshot.range(tree, from.to_vec()..to.to_vec())
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        if from >= to {
            return Ok(());
        }
        if keyspace.is_gathered() {
            return gathered::scan(&self.entries(keyspace), from, to, visit);
        }
        let tree = &self.trees[keyspace as usize];
        visit_all(self.snapshot.range(tree, from.to_vec()..to.to_vec()), visit)
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        if from >= to {
            return Ok(());
        }
        if keyspace.is_gathered() {
            return gathered::scan_back(&self.entries(keyspace), from, to, visit);
        }
        let tree = &self.trees[keyspace as usize];
        visit_all(self.snapshot.range(tree, from.to_vec()..to.to_vec()).rev(), visit)
    }
}

impl OpenStore {
    /// Whether no snapshot of it is held.
    pub(crate) fn is_unread(&self) -> bool {
        Arc::strong_count(&self.readers) == 1
    }

    /// How many entries a tree has.
    #[cfg(test)]
    pub(crate) fn entries_of(&self, keyspace: Keyspace) -> usize {
        self.trees[keyspace as usize].iter().count()
    }

    /// The trees as they stand.
    fn now(&self) -> Trees {
        Trees {
            snapshot: self.database.snapshot(),
            trees: self.trees.clone(),
        }
    }
}

impl Read for OpenStore {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        if keyspace.is_gathered() {
            return self.now().get(keyspace, key);
        }
        let look = || self.trees[keyspace as usize].get(key).map_err(read_error);
        if !RowCache::keeps(keyspace) {
            return Ok(look()?.map(|value| value.to_vec()));
        }
        let now = self.rows.now();
        if let Some(row) = self.rows.get(keyspace, key, now) {
            return Ok(row);
        }
        let value = look()?;
        self.rows.fill(keyspace, key, value.as_deref(), now);
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.now().scan(keyspace, from, to, visit)
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.now().scan_back(keyspace, from, to, visit)
    }
}

impl Read for FjallSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let (rows, moment) = &self.rows;
        let keeps = RowCache::keeps(keyspace);
        if keeps && let Some(row) = rows.get(keyspace, key, *moment) {
            return Ok(row);
        }
        let value = self.trees.get(keyspace, key)?;
        if keeps {
            rows.fill(keyspace, key, value.as_deref(), *moment);
        }
        Ok(value)
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.trees.scan(keyspace, from, to, visit)
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.trees.scan_back(keyspace, from, to, visit)
    }
}

impl OpenStore {
    /// The writes as the trees take them, sorted by tree and key: neighbours are found along the same way through a tree's
    /// memory. Of each key there is the last one, and rows that are gathered are in their entries.
    fn in_order(&self, batch: Batch) -> Result<Vec<Write>, StateError> {
        let mut writes = batch.into_writes();
        writes.sort_by(|(one, first, _), (other, second, _)| (one, first).cmp(&(other, second)));
        let (mut ordered, mut rows): (Vec<Write>, Vec<_>) = (Vec::with_capacity(writes.len()), Vec::new());
        let mut writes = writes.into_iter().peekable();
        while let Some((keyspace, key, value)) = writes.next() {
            let next = writes.peek();
            if keyspace.is_gathered() {
                rows.push((key, value));
                if next.is_none_or(|(other, _, _)| *other != keyspace) {
                    let entries = self.now();
                    let entries = gathered::entry_writes(&entries.entries(keyspace), std::mem::take(&mut rows))?;
                    ordered.extend(entries.into_iter().map(|(key, value)| (keyspace, key, value)));
                }
            } else if next.is_none_or(|(other, next, _)| *other != keyspace || *next != key) {
                ordered.push((keyspace, key, value));
            }
        }
        Ok(ordered)
    }
}

impl OpenStore {
    /// Commits by `apply`, which puts the writes into the trees, and `persist`, which makes them durable.
    fn commit_by(
        &self,
        batch: Batch,
        apply: impl FnOnce(Vec<Write>) -> fjall::Result<()>,
        persist: impl FnOnce() -> fjall::Result<()>,
    ) -> Result<(), StateError> {
        let failed = |error: fjall::Error| {
            StateError::new(
                StateErrorKind::Failed,
                "a step could not be committed",
                Some(error.into()),
            )
        };
        let changes = self.in_order(batch)?;
        let applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.rows.now().is_between_commits() {
            return Err(StateError::new(
                StateErrorKind::Failed,
                "an earlier step could not be committed: the state has to be opened again",
                None,
            ));
        }
        // A batch that fails leaves the rows unused for good: the store has to be opened again.
        self.rows.applying();
        self.rows.take(&changes);
        apply(changes).map_err(failed)?;
        self.rows.applied();
        let applied = (Arc::new(self.now()), self.rows.now());
        drop(applying);
        let durable = persist().map_err(failed);
        if durable.is_ok() {
            // The journal is one: with this commit all before it are durable.
            let mut shown = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
            if shown.1 < applied.1 {
                *shown = applied;
            }
        }
        if durable.is_err() {
            // Not while another commit is being applied: the two would look like one that is done.
            let _between = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
            if self.rows.now().is_between_commits() {
                self.rows.applying();
            }
        }
        durable
    }

    fn apply(&self, changes: Vec<Write>) -> fjall::Result<()> {
        let mut writes = fjall::OwnedWriteBatch::with_capacity(self.database.clone(), changes.len());
        for (keyspace, key, value) in changes {
            let tree = &self.trees[keyspace as usize];
            match value {
                Some(value) => writes.insert(tree, key, value),
                None => writes.remove(tree, key),
            }
        }
        writes.commit()
    }
}

impl OpenStore {
    /// As [`crate::Store::commit`].
    pub(crate) fn commit(&self, batch: Batch) -> Result<(), StateError> {
        self.commit_by(
            batch,
            |changes| self.apply(changes),
            || self.database.persist(PersistMode::SyncData),
        )
    }

    /// As [`crate::Store::snapshot`].
    pub(crate) fn snapshot(&self) -> Box<dyn Read> {
        let (trees, moment) = self.durable.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::new(FjallSnapshot {
            trees,
            rows: (Arc::clone(&self.rows), moment),
            _reader: Arc::clone(&self.readers),
        })
    }

    /// As [`crate::Store::size_bytes`].
    pub(crate) fn size_bytes(&self) -> u64 {
        self.trees.iter().map(fjall::Keyspace::disk_space).sum()
    }
}

#[cfg(test)]
mod tests;
