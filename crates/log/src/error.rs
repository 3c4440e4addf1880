//! What can go wrong with the log, in kinds that say what to do, and the ranges that cannot be served.
//!
//! Works with every other file here. Never holds an operating system's error itself: errors are answered to many
//! callers at once, so they are cheap to clone.

use std::fmt;
use std::sync::Arc;

/// What a caller should do about a [`LogError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The bound of unwritten bytes is reached: slow down and try again (429).
    Overloaded,
    /// Durability cannot be had now: try again later (503). The log resumes by itself.
    Unavailable,
    /// The request can never succeed as it is: mend it.
    Refused,
    /// What stands at this place cannot be served; [`LogError::gap`] names the range to skip.
    Gap,
    /// What was read is not what was written, and no range can be named.
    Corrupt,
    /// Another process uses the folder.
    Locked,
    /// The folder's format is unknown, from a later version, or damaged.
    Format,
}

/// Why a range of the sequence is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapCause {
    /// Damage was found by checksum; the file's bytes are kept under `quarantine/`.
    Damaged,
    /// The segment was removed after everything had passed it.
    Removed,
    /// The numbers were passed over, so that none is ever given twice.
    Skipped,
}

/// A range of the sequence that cannot be served: `from` is the first missing place, `to` the first one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gap {
    /// The first missing sequence number.
    pub from: u64,
    /// The first sequence number after the gap.
    pub to: u64,
    /// Why it is missing.
    pub cause: GapCause,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = match self.cause {
            GapCause::Damaged => "damaged and quarantined",
            GapCause::Removed => "removed",
            GapCause::Skipped => "never given out",
        };
        write!(
            f,
            "sequences {} to {} are {cause}",
            self.from,
            self.to.saturating_sub(1)
        )
    }
}

/// An error of the log.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct LogError {
    kind: ErrorKind,
    message: Arc<str>,
    gap: Option<Gap>,
}

impl LogError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            gap: None,
        }
    }

    pub(crate) fn unavailable(doing: &str, error: &std::io::Error) -> Self {
        Self::new(ErrorKind::Unavailable, format!("the log could not {doing}: {error}"))
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Unavailable, "the log is closed")
    }

    pub(crate) fn of_gap(gap: Gap) -> Self {
        Self {
            kind: ErrorKind::Gap,
            message: gap.to_string().into(),
            gap: Some(gap),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The range that a reader must skip, for errors of kind [`ErrorKind::Gap`].
    #[must_use]
    pub fn gap(&self) -> Option<Gap> {
        self.gap
    }
}
