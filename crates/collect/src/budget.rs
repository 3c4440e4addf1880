//! The bound on the bytes of bodies that are in memory at once (contract COL-5).
//!
//! `body` reserves bytes here as they arrive, not as they are announced, so that a sender who announces much and sends
//! nothing takes nothing. It never waits: what finds no room is overload, and answered so.

use kith_telemetry::Gauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in flight and their bound.
pub(crate) struct Budget {
    taken: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            bytes_max,
        })
    }

    /// A share of the budget that holds nothing yet.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

/// The bytes that one request holds; given back when dropped.
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// Takes `bytes` more; whether there was room.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let before = self.budget.taken.fetch_add(bytes, Ordering::AcqRel);
        if before.saturating_add(bytes) > self.budget.bytes_max {
            self.budget.taken.fetch_sub(bytes, Ordering::AcqRel);
            return false;
        }
        self.bytes += bytes;
        Gauge::CollectBytesInFlight.add(i64::try_from(bytes).unwrap_or(i64::MAX));
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Ordering::AcqRel);
        Gauge::CollectBytesInFlight.add(-i64::try_from(self.bytes).unwrap_or(i64::MAX));
    }
}
