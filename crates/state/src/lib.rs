//! Transactional key-value state behind a narrow trait.
//!
//! The pipeline keeps everything live here: identity, folds, memberships, due times and the outbox. One [`Batch`] is
//! one transaction; nothing is half-applied. Two stores implement [`Store`]: [`FjallStore`] on disk and
//! [`MemoryStore`] for tests and replays; a [`ScratchStore`] is one or the other, for what is thrown away. It never knows what
//! the bytes mean.

mod fjall_store;
mod gathered;
mod memory;
mod reopening;
mod rows;
mod scratch;

pub use memory::MemoryStore;
pub use reopening::FjallStore;
pub use scratch::ScratchStore;

use std::fmt;

/// A namespace of keys; each is a tree of its own. The bytes that lead every key are the space's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Keyspace {
    /// Offsets, counters and the format version.
    Meta,
    /// Component id to the component.
    Components,
    /// Identifier to the component that holds it.
    Identifiers,
    /// Part key to the fold of that carrier's events.
    Parts,
    /// Profile id to its parts, memberships and timer.
    Profiles,
    /// Profile id that vanished, to the identifier that it comes from.
    Redirects,
    /// Carrier, event time and address to the event.
    Events,
    /// Held identifier, event time and address to who stood beside it.
    Presence,
    /// Sorted blocks of event keys, and filters over them.
    Dedupe,
    /// Due time and profile: what fires when only time passes.
    Due,
    /// Sequence number to a change that left a step.
    Outbox,
    /// Address to a mark that the event there is a later copy.
    Duplicates,
    /// Segment and profile to the moment of entry.
    Members,
    /// Account to the fold of what events say of it.
    Accounts,
    /// Who belongs to which account, both ways, and the events that say so.
    AccountLinks,
    /// Writes of a change too large for one batch, until they are moved to their places.
    Staged,
    /// What has been said of accounts and is on its way to their members.
    AccountChanges,
}

impl Keyspace {
    /// All keyspaces.
    pub const ALL: [Keyspace; 17] = [
        Self::Meta,
        Self::Components,
        Self::Identifiers,
        Self::Parts,
        Self::Profiles,
        Self::Redirects,
        Self::Events,
        Self::Presence,
        Self::Dedupe,
        Self::Due,
        Self::Outbox,
        Self::Duplicates,
        Self::Members,
        Self::Accounts,
        Self::AccountLinks,
        Self::Staged,
        Self::AccountChanges,
    ];

    /// The name under which the keyspace is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Components => "components",
            Self::Identifiers => "identifiers",
            Self::Parts => "parts",
            Self::Profiles => "profiles",
            Self::Redirects => "redirects",
            Self::Events => "events",
            Self::Presence => "presence",
            Self::Dedupe => "dedupe",
            Self::Due => "due",
            Self::Outbox => "outbox",
            Self::Duplicates => "duplicates",
            Self::Members => "members",
            Self::Accounts => "accounts",
            Self::AccountLinks => "account_links",
            Self::Staged => "staged",
            Self::AccountChanges => "account_changes",
        }
    }

    /// Whether rows are stored together that are near to each other and come in one batch: those of histories, which are
    /// added and read in runs. A key of it is set once, see [`Batch::replace`].
    #[must_use]
    pub fn is_gathered(self) -> bool {
        matches!(self, Self::Events | Self::Presence)
    }
}

/// What to do about a failure of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateErrorKind {
    /// Another process holds the folder: stop it, or use another folder.
    Locked,
    /// The folder was written by another version: see the message.
    Format,
    /// Reading or writing failed: the store must be opened again, and lost steps replay from the log.
    Failed,
}

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StateError {
    kind: StateErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StateError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> StateErrorKind {
        self.kind
    }

    /// A failure, for those who implement [`Store`].
    #[must_use]
    pub fn new(
        kind: StateErrorKind,
        message: impl fmt::Display,
        source: impl Into<Option<Box<dyn std::error::Error + Send + Sync>>>,
    ) -> Self {
        Self {
            kind,
            message: message.to_string(),
            source: source.into(),
        }
    }
}

/// A write of a [`Batch`]: the keyspace, the key, and the value or `None` to remove the key.
pub type Write = (Keyspace, Vec<u8>, Option<Vec<u8>>);

/// Writes that are applied together or not at all; a later write of a key wins over an earlier one.
#[derive(Debug, Default)]
pub struct Batch {
    writes: Vec<Write>,
}

impl Batch {
    /// Sets a key. In a keyspace that [is gathered](Keyspace::is_gathered) it is one that is not there: see [`Batch::replace`].
    pub fn put(&mut self, keyspace: Keyspace, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push((keyspace, key, Some(value)));
    }

    /// Sets a key, whether it is there or not.
    pub fn replace(&mut self, keyspace: Keyspace, key: Vec<u8>, value: Vec<u8>) {
        if keyspace.is_gathered() {
            self.remove(keyspace, key.clone());
        }
        self.put(keyspace, key, value);
    }

    /// Removes a key; a missing one is no error.
    pub fn remove(&mut self, keyspace: Keyspace, key: Vec<u8>) {
        self.writes.push((keyspace, key, None));
    }

    /// Adds the writes of another, in their order, which is empty then.
    pub fn append(&mut self, other: &mut Self) {
        self.writes.append(&mut other.writes);
    }

    /// How many writes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The writes so far, in the order they were made.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The writes in the order they were made.
    #[must_use]
    pub fn into_writes(self) -> Vec<Write> {
        self.writes
    }
}

/// Called for each key and value of a scan; false ends it.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> bool + 'a;

/// Reads. A reader made by [`Store::snapshot`] sees one transaction boundary throughout.
pub trait Read: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StateErrorKind::Failed`] when the store cannot be read.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// Visits the keys of `from..to` in order.
    ///
    /// # Errors
    /// [`StateErrorKind::Failed`] when the store cannot be read.
    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError>;

    /// Visits the keys of `from..to`, the last one first.
    ///
    /// # Errors
    /// [`StateErrorKind::Failed`] when the store cannot be read.
    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError>;
}

/// A transactional store. One writer, any number of readers.
pub trait Store: Read {
    /// Applies a batch as one transaction that is durable when this returns.
    ///
    /// # Errors
    /// [`StateErrorKind::Failed`] when it could not be made durable: nothing of it may be relied on, and the store
    /// has to be opened again.
    fn commit(&self, batch: Batch) -> Result<(), StateError>;

    /// Opens the store again after a failure. What was not durable is gone.
    ///
    /// # Errors
    /// [`StateErrorKind::Locked`] while somebody still reads what was open, [`StateErrorKind::Failed`] while the disk takes
    /// nothing: readers are served as before, try again. Else as when it was opened first; nothing is answered then until
    /// it has succeeded.
    fn reopen(&self) -> Result<(), StateError>;

    /// A reader that sees what is committed now, and nothing later.
    fn snapshot(&self) -> Box<dyn Read>;

    /// Bytes the store takes on disk, or in memory for one that has no disk.
    fn size_bytes(&self) -> u64;
}

/// The key that follows every key with this prefix: the end of a scan over it. `None` when there is none.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests;
