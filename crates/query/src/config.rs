//! What an engine may use, and what a request may see.

use crate::past::{NoPast, PastIdentity};
use kith_identity::Rules;
use kith_types::SpaceId;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// The identity rules of a space; they say which identifier of an event names its person.
pub type RulesOf = Arc<dyn Fn(&SpaceId) -> Arc<Rules> + Send + Sync>;

/// The limits of an engine.
#[derive(Clone)]
pub struct SqlConfig {
    /// Bytes of memory that all running statements share. Sorts and groupings beyond it spill to disk, joins fail.
    pub memory_bytes: usize,
    /// Where statements spill; `None`: they fail instead.
    pub spill_dir: Option<PathBuf>,
    /// Bytes of disk that all running statements may spill to.
    pub spill_bytes: u64,
    /// How many parts of a statement run side by side.
    pub target_partitions: usize,
    /// How many statements run at the same time; further ones wait until their own timeout.
    pub concurrent_statements: usize,
    /// From the call to the last row, the waiting included.
    pub timeout: Duration,
    /// Rows of one result; one more is an error.
    pub max_rows: u64,
    /// Bytes of JSON of one result; one more is an error.
    pub max_bytes: u64,
    /// Where statements run; `None`: on the caller's runtime. Give one of few threads to keep the doors quick.
    pub runtime: Option<Handle>,
    /// The identity rules of each space, for the views that name an event's person; asked while a statement is planned.
    pub rules: RulesOf,
    /// Who knows who was who; asked by statements that name a past instant.
    pub past: Arc<dyn PastIdentity>,
}

impl Default for SqlConfig {
    fn default() -> Self {
        let rules = Arc::new(Rules::default());
        Self {
            memory_bytes: 512 << 20,
            spill_dir: None,
            spill_bytes: 10 << 30,
            target_partitions: std::thread::available_parallelism().map_or(2, usize::from),
            concurrent_statements: 8,
            timeout: Duration::from_secs(300),
            max_rows: 10_000_000,
            max_bytes: 10 << 30,
            runtime: None,
            rules: Arc::new(move |_| Arc::clone(&rules)),
            past: Arc::new(NoPast),
        }
    }
}

impl fmt::Debug for SqlConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlConfig")
            .field("memory_bytes", &self.memory_bytes)
            .field("spill_dir", &self.spill_dir)
            .field("target_partitions", &self.target_partitions)
            .field("concurrent_statements", &self.concurrent_statements)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The spaces that a request may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceAccess {
    /// The spaces; no other exists for the request.
    pub spaces: Vec<SpaceId>,
    /// The space of names that say none: `clean.events` is `default.clean.events`.
    pub default: SpaceId,
}

impl SpaceAccess {
    /// Access to one space.
    #[must_use]
    pub fn only(space: SpaceId) -> Self {
        Self {
            spaces: vec![space.clone()],
            default: space,
        }
    }
}
