//! Who stood beside a held identifier, as identity asks for it: rows of the store and of the open step.

use crate::history;
use crate::space::Space;
use kith_identity::{Position, Presence, PresenceError, PresenceRow};
use kith_state::{Keyspace, Read};

/// The rows of held identifiers, as identity asks for them.
pub(crate) struct SpacePresence<'a> {
    pub(crate) space: &'a Space,
    pub(crate) store: &'a dyn Read,
}

impl Presence for SpacePresence<'_> {
    fn rows(
        &self,
        held: u128,
        from: Option<Position>,
        to: Option<Position>,
        visit: &mut dyn FnMut(&PresenceRow) -> bool,
    ) -> Result<(), PresenceError> {
        let mut damaged = false;
        let of = (Keyspace::Presence, held);
        let scanned = self.space.rows(self.store, of, from, to, &mut |(time, address), row| {
            let Some((received_at, authenticated)) = history::decode_presence(row) else {
                damaged = true;
                return false;
            };
            visit(&PresenceRow {
                time,
                address,
                received_at,
                authenticated,
            })
        });
        match scanned {
            Ok(()) if damaged => Err(PresenceError("a row is damaged".to_owned())),
            Ok(()) => Ok(()),
            Err(error) => Err(PresenceError(error.to_string())),
        }
    }
}
