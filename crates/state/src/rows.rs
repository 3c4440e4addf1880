//! Rows kept in memory above the trees: what was read or written lately, as bytes, and what was found missing.
//!
//! A tree answers a look-up by searching its memory tables and files, which takes several times as long as evaluating the
//! person that is looked up. A row is here as the last commit left it; a snapshot uses it when it has not changed since
//! the snapshot was made. Two generations bound it by bytes: when the young one is full it becomes the old one, and what
//! was old goes.

use crate::{Keyspace, Write};
use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Threads that read other rows do not wait for one another.
const SHARDS: usize = 16;
/// What an entry takes beside its value: the key, the table's slot, the allocation.
const ENTRY_BYTES: usize = 112;

type Key = SmallVec<[u8; 23]>;

/// A row as it stands since a commit; `None` is known to be missing.
struct Row {
    since: u64,
    value: Option<Box<[u8]>>,
}

#[derive(Default)]
struct Generations {
    young: FxHashMap<Key, Row>,
    old: FxHashMap<Key, Row>,
    young_bytes: usize,
}

/// A commit, as the rows count them: even between commits, odd while one is being applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Whether no commit was being applied.
    pub(crate) fn is_between_commits(self) -> bool {
        self.0.is_multiple_of(2)
    }
}

/// The rows of the keyspaces that are looked up one by one.
pub(crate) struct RowCache {
    shards: Vec<Mutex<Generations>>,
    shard_bytes: usize,
    commits: AtomicU64,
}

impl RowCache {
    /// Rows of at most about so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            // Each of two generations has half.
            shard_bytes: bytes / SHARDS / 2,
            commits: AtomicU64::new(0),
        }
    }

    /// Whether rows of a keyspace are kept.
    pub(crate) fn keeps(keyspace: Keyspace) -> bool {
        matches!(
            keyspace,
            Keyspace::Accounts
                | Keyspace::Components
                | Keyspace::Identifiers
                | Keyspace::Parts
                | Keyspace::Profiles
                | Keyspace::Redirects
        )
    }

    /// The moment that a reader of now sees.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.commits.load(Ordering::Acquire))
    }

    /// The row as it stood at a moment: `Some(None)` is known to be missing, `None` not known here.
    pub(crate) fn get(&self, keyspace: Keyspace, key: &[u8], at: Moment) -> Option<Option<Vec<u8>>> {
        if !at.is_between_commits() {
            return None;
        }
        let key = key_of(keyspace, key);
        let mut generations = self.shard(&key);
        if !generations.young.contains_key(&key) {
            let row = generations.old.remove(&key)?;
            self.insert(&mut generations, key.clone(), row);
        }
        let row = generations.young.get(&key)?;
        (row.since <= at.0).then(|| row.value.as_deref().map(<[u8]>::to_vec))
    }

    /// Keeps a row that was read from the trees at a moment, unless anything was committed since.
    pub(crate) fn fill(&self, keyspace: Keyspace, key: &[u8], value: Option<&[u8]>, read_at: Moment) {
        let key = key_of(keyspace, key);
        let mut generations = self.shard(&key);
        // Commits change a shard under its lock, after the count has become odd: seen even and unmoved here, none of them
        // can have passed this row by.
        if !read_at.is_between_commits() || self.now() != read_at {
            return;
        }
        let row = Row {
            since: read_at.0,
            value: value.map(Into::into),
        };
        generations.old.remove(&key);
        self.insert(&mut generations, key, row);
    }

    /// Begins to apply a commit: until [`RowCache::applied`] nothing is filled in.
    pub(crate) fn applying(&self) {
        self.commits.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes the writes of the commit that is being applied.
    pub(crate) fn take(&self, writes: &[Write]) {
        let since = self.now().0 + 1;
        for (keyspace, key, value) in writes {
            if Self::keeps(*keyspace) {
                let key = key_of(*keyspace, key);
                let mut generations = self.shard(&key);
                let row = Row {
                    since,
                    value: value.as_deref().map(Into::into),
                };
                generations.old.remove(&key);
                self.insert(&mut generations, key, row);
            }
        }
    }

    /// Ends it.
    pub(crate) fn applied(&self) {
        self.commits.fetch_add(1, Ordering::AcqRel);
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Generations> {
        // Other bits than those by which the tables place it.
        let at = (FxBuildHasher.hash_one(key) >> 40) as usize % SHARDS;
        // Rows are replaced whole: a panic elsewhere leaves none half-written.
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, generations: &mut Generations, key: Key, row: Row) {
        generations.young_bytes += row.bytes();
        if let Some(before) = generations.young.insert(key, row) {
            generations.young_bytes -= before.bytes();
        }
        if generations.young_bytes > self.shard_bytes {
            generations.old = std::mem::take(&mut generations.young);
            generations.young_bytes = 0;
        }
    }
}

impl Row {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.value.as_ref().map_or(0, |value| value.len())
    }
}

fn key_of(keyspace: Keyspace, key: &[u8]) -> Key {
    let mut full = Key::new();
    full.push(keyspace as u8);
    full.extend_from_slice(key);
    full
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: Keyspace = Keyspace::Parts;

    fn put(rows: &RowCache, key: &[u8], value: Option<&[u8]>) {
        rows.applying();
        rows.take(&[(TREE, key.to_vec(), value.map(<[u8]>::to_vec))]);
        rows.applied();
    }

    #[test]
    fn a_reader_sees_its_own_moment_or_nothing() {
        let rows = RowCache::new(1 << 20);
        let before = rows.now();
        put(&rows, b"a", Some(b"1"));
        assert_eq!(rows.get(TREE, b"a", before), None, "the tree must be asked");
        let after = rows.now();
        assert_eq!(rows.get(TREE, b"a", after), Some(Some(b"1".to_vec())));
        assert_eq!(rows.get(Keyspace::Profiles, b"a", after), None, "another keyspace");
        put(&rows, b"a", None);
        assert_eq!(rows.get(TREE, b"a", after), None);
        assert_eq!(rows.get(TREE, b"a", rows.now()), Some(None), "known to be missing");
    }

    #[test]
    fn what_was_read_before_a_commit_is_not_kept_after_it() {
        let rows = RowCache::new(1 << 20);
        let read_at = rows.now();
        put(&rows, b"a", Some(b"new"));
        rows.fill(TREE, b"a", Some(b"old"), read_at);
        assert_eq!(rows.get(TREE, b"a", rows.now()), Some(Some(b"new".to_vec())));
        rows.applying();
        rows.fill(TREE, b"b", Some(b"old"), rows.now());
        rows.applied();
        assert_eq!(rows.get(TREE, b"b", rows.now()), None, "a commit was being applied");
        rows.fill(TREE, b"b", None, rows.now());
        assert_eq!(rows.get(TREE, b"b", rows.now()), Some(None));
    }

    #[test]
    fn its_bytes_are_bounded_and_what_is_used_stays() {
        let rows = RowCache::new(SHARDS * 20 * (ENTRY_BYTES + 100));
        let value = [7; 100];
        put(&rows, b"used", Some(&value));
        for number in 0..10_000_u32 {
            rows.fill(TREE, &number.to_be_bytes(), Some(&value), rows.now());
            assert!(rows.get(TREE, b"used", rows.now()).is_some());
        }
        let held: usize = rows
            .shards
            .iter()
            .map(|shard| {
                let generations = shard.lock().unwrap();
                generations.young.len() + generations.old.len()
            })
            .sum();
        assert!(held <= SHARDS * 22, "{held}");
    }
}
