//! The port through which the rows of a held identifier are read: one row for each event that carries it.
//!
//! Works with whoever keeps the rows (keyed by identifier hash, event time, address, so that they lie in canonical
//! order). Only late or changing sign-ins read it; an event that changes nothing never does.

use crate::component::{Appearance, Position};
use kith_types::{Address, Timestamp};

/// One event that carries a held identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceRow {
    /// The event's time.
    pub time: Timestamp,
    /// The event's address.
    pub address: Address,
    /// When the event's record was received.
    pub received_at: Timestamp,
    /// [`kith_types::Identifier::hash128`] of the authenticating identifier of highest priority beside it
    /// ([`crate::Evidence::sign_in`]).
    pub authenticated: Option<u128>,
}

impl PresenceRow {
    /// The row's place in canonical order.
    #[must_use]
    pub fn position(&self) -> Position {
        (self.time, self.address)
    }

    pub(crate) fn appearance(&self) -> Appearance {
        Appearance {
            received_at: self.received_at,
            address: self.address,
            time: self.time,
        }
    }
}

/// The store of rows failed; the message is for the log.
#[derive(Debug, thiserror::Error)]
#[error("the store of presence rows failed: {0}")]
pub struct PresenceError(pub String);

/// Reads the rows of held identifiers.
pub trait Presence {
    /// Visits the rows of `held` (an identifier's hash) with `from <= position < to` in canonical order, until `visit`
    /// gives `false`. The row of the event being applied **is** among them: write it before applying.
    ///
    /// # Errors
    /// [`PresenceError`] where the store fails.
    fn rows(
        &self,
        held: u128,
        from: Option<Position>,
        to: Option<Position>,
        visit: &mut dyn FnMut(&PresenceRow) -> bool,
    ) -> Result<(), PresenceError>;
}
