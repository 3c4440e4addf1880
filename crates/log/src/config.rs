//! The log's settings, and the words in which it describes itself.
//!
//! Works with [`crate::Log`]. Never reads a file or the environment: a configuration is a value passed in.

use crate::error::Gap;
use kith_types::{Address, Duration, Timestamp};
use std::path::PathBuf;

/// The largest group that one sync covers, in bytes; more than that waits for the next one.
pub(crate) const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The largest append, whose records are never parted, in bytes: one record of the largest size always fits.
pub(crate) const APPEND_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The folder; nothing else may live in it.
    pub dir: PathBuf,
    /// A segment is sealed before it grows past so many bytes.
    pub segment_bytes: u64,
    /// A segment is sealed when its first record is so old, traffic or none.
    pub segment_age: Duration,
    /// The bound of bytes accepted and not yet durable; beyond it appends are refused as overload.
    pub queue_bytes: usize,
    /// How many bytes of the newest groups stay in memory for readers that have caught up.
    pub tail_bytes: usize,
    /// How many bytes of segments, newest first, are verified at start-up. Older sealed ones are verified as they are read.
    pub verify_bytes: u64,
    /// How long the log waits, after a failed write or sync, before it tries a new segment.
    pub retry_every: std::time::Duration,
    /// The generation of every address; it must be the one that the folder was begun with.
    pub generation: u16,
    /// The partition of every address; it must be the one that the folder was begun with.
    pub partition: u16,
    /// No record gets a sequence number below this: what a reader has already passed is never given out again.
    pub sequence_floor: u64,
}

impl LogConfig {
    /// The defaults for a log in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 32 * 1024 * 1024,
            segment_age: Duration::from_secs(600),
            queue_bytes: 64 * 1024 * 1024,
            tail_bytes: 16 * 1024 * 1024,
            verify_bytes: 1024 * 1024 * 1024,
            retry_every: std::time::Duration::from_millis(500),
            generation: 0,
            partition: 0,
            sequence_floor: 0,
        }
    }
}

/// What a durable record was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place; `index` is 0.
    pub address: Address,
    /// When the place was given.
    pub received_at: Timestamp,
}

/// What opening the log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The first sequence that can be read.
    pub start: u64,
    /// The sequence that the next record gets.
    pub end: u64,
    /// How many segments hold records.
    pub segments: usize,
    /// How many bytes were verified by checksum.
    pub verified_bytes: u64,
    /// How many bytes after the last durable group were cut.
    pub tail_bytes_cut: u64,
    /// What cannot be served, in order.
    pub gaps: Vec<Gap>,
    /// The copies of damaged files.
    pub quarantined: Vec<PathBuf>,
}

/// A segment that takes no more records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSegment {
    /// Its first sequence.
    pub first_sequence: u64,
    /// The sequence after its last.
    pub end_sequence: u64,
    /// When its first record was received.
    pub first_received_at: Timestamp,
    /// When its last record was received.
    pub last_received_at: Timestamp,
    /// Its file.
    pub path: PathBuf,
    /// The bytes of its header and groups.
    pub bytes: u64,
}

/// How the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether an append can succeed now.
    pub writable: bool,
    /// Why it cannot, or the last reason for which it could not.
    pub last_error: Option<String>,
    /// Bytes accepted and not yet durable.
    pub queued_bytes: usize,
    /// The sequence after the last durable record.
    pub durable_end: u64,
    /// Bytes of the segments, that under the pen included.
    pub bytes_on_disk: u64,
}
