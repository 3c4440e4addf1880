//! The crate's error: what went wrong with stored components or the presence port, and what to do about it.
//!
//! Works with every module here. It never carries personal values of events, so that it may be logged.

use crate::presence::PresenceError;

/// What to do about an [`IdentityError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityErrorKind {
    /// Stored bytes or rows are damaged or of another version: rebuild from raw.
    Rebuild,
    /// The store behind the presence port failed: try again.
    Retry,
}

/// Why identity could not be worked out.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Bytes that are no component of this version.
    #[error("a stored identity component is unreadable at byte {at}: {what}; rebuild the state from raw")]
    Corrupt {
        /// The offset of the first byte that could not be read.
        at: usize,
        /// What was expected there.
        what: &'static str,
    },
    /// The presence rows do not hold what the component's own record says they hold.
    #[error("a presence row that must exist was not found ({what}); rebuild the state from raw")]
    RowMissing {
        /// Which row.
        what: &'static str,
    },
    /// A stored component was made under rules that hold other types than these do.
    #[error("a stored identity component was made under other rules; rebuild the state from raw")]
    OtherRules,
    /// The presence port failed.
    #[error("presence rows could not be read")]
    Presence(#[from] PresenceError),
}

impl IdentityError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> IdentityErrorKind {
        match self {
            Self::Corrupt { .. } | Self::RowMissing { .. } | Self::OtherRules => IdentityErrorKind::Rebuild,
            Self::Presence(_) => IdentityErrorKind::Retry,
        }
    }
}
