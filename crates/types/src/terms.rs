//! What a body is taken under: how large it may be, and how long its events count once.
//!
//! The terms of a space may change at any time, and a body stands in the log for years. So each body carries the terms
//! that its door took it under, where they are not the usual ones: whoever reads it again, on the way to the tables or in a
//! rebuild, needs to know nothing else (contracts COL-4, CLN-1, CLN-2).

use crate::Duration;

/// The most that one body may carry (contract COL-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one event, as sent.
    pub event_bytes: usize,
    /// Bytes of one body, after content decoding.
    pub batch_bytes: usize,
    /// Events of one body.
    pub batch_events: usize,
}

impl Limits {
    /// Segment's limits: 32 KiB an event, 500 KB and 2,500 events a batch. Records without terms of their own were taken
    /// under these, so they never change.
    pub const USUAL: Self = Self {
        event_bytes: 32_768,
        batch_bytes: 512_000,
        batch_events: 2_500,
    };
    /// The most that any space, and any replay of rejects, may be given: what the doors keep of a body, and ten times the usual
    /// events.
    pub const MAX: Self = Self {
        event_bytes: 1 << 20,
        batch_bytes: 1 << 20,
        batch_events: 25_000,
    };

    /// Whether each of them is at most the other's.
    #[must_use]
    pub fn within(&self, most: &Self) -> bool {
        self.event_bytes <= most.event_bytes
            && self.batch_bytes <= most.batch_bytes
            && self.batch_events <= most.batch_events
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::USUAL
    }
}

/// What a door took a body under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The most that it may carry.
    pub limits: Limits,
    /// How many days after its receipt a later copy of one of its events is dropped (contract CLN-2). It says nothing to events
    /// of an import, which count once for ever.
    pub dedupe_days: u16,
}

impl Terms {
    /// The terms of who has none of their own. They never change, like [`Limits::USUAL`].
    pub const USUAL: Self = Self {
        limits: Limits::USUAL,
        dedupe_days: 30,
    };
    /// The longest window, about ten years.
    pub const DEDUPE_DAYS_MAX: u16 = 3_650;

    /// How long after its receipt a later copy of an event is dropped.
    #[must_use]
    pub fn dedupe_window(&self) -> Duration {
        Duration::from_days(i64::from(self.dedupe_days))
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self::USUAL
    }
}
