//! How publishing is set up, and what it says of itself.

use crate::archiving::Attempts;
use kith_types::Timestamp;
use std::time::Duration;

/// When tables are committed and rewritten.
#[derive(Clone, Debug)]
pub struct PublishConfig {
    /// Rows that wait at most before clean tables are committed.
    pub rows: usize,
    /// Bytes of bodies whose rows wait at most before clean tables are committed.
    pub bytes: usize,
    /// How long rows wait at most before they are committed.
    pub age: Duration,
    /// How often the current tables are rewritten; less often where rewriting would take more than a tenth of the time.
    pub curated_period: Duration,
    /// How often old snapshots of tables are removed.
    pub expiry_period: Duration,
    /// How long a snapshot of a table that is rewritten can be read after another has followed: each is a whole copy.
    pub rewritten_kept: Duration,
    /// The same for a table that is appended to.
    pub appended_kept: Duration,
    /// How many bytes of the newest sealed segments stay in the log when older ones, which everything has passed, go.
    pub log_keep_bytes: u64,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self {
            rows: 50_000,
            bytes: 32 << 20,
            age: Duration::from_secs(30),
            curated_period: Duration::from_secs(300),
            expiry_period: Duration::from_secs(1_800),
            rewritten_kept: Duration::from_secs(3_600),
            appended_kept: Duration::from_secs(6 * 3_600),
            log_keep_bytes: 1 << 30,
        }
    }
}

/// How far publishing has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishStatus {
    /// Every record before it has its rows in the clean tables.
    pub clean_end: u64,
    /// When the clean tables were committed.
    pub clean_at: Option<Timestamp>,
    /// When the current tables were rewritten.
    pub curated_at: Option<Timestamp>,
    /// Every record before it is in the raw zone.
    pub raw_end: u64,
    /// How keeping raw up with the log fares; the rest is of the tables.
    pub raw: Attempts,
    /// Why the last attempt failed, if it did; it is tried again.
    pub failure: Option<String>,
    /// How many attempts have failed in a row.
    pub failures: u32,
    /// When the first of these failed.
    pub failing_since: Option<Timestamp>,
}
