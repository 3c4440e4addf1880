//! What the status tells of an engine beside its place and its clock.

use super::Engine;
use crate::dedupe::DedupeFigures;
use crate::space::Space;
use kith_types::SpaceId;
use std::collections::BTreeMap;

impl Engine {
    /// Changes of accounts that members of theirs have still to take.
    #[must_use]
    pub fn account_changes_waiting(&self) -> u64 {
        self.spaces.values().map(|space| space.account_changes.waiting()).sum()
    }

    /// Decisions that wait until they can be taken, by space; a space where none does is left out.
    #[must_use]
    pub fn decisions_waiting(&self) -> BTreeMap<SpaceId, u64> {
        let waiting = self.spaces.values().filter(|space| !space.waiting.is_empty());
        waiting
            .map(|space| (space.id.clone(), space.waiting.len() as u64))
            .collect()
    }

    /// What the keys of events that count once take, of all spaces together.
    #[must_use]
    pub fn dedupe_figures(&self) -> DedupeFigures {
        self.spaces.values().map(|space| space.dedupe.figures()).sum()
    }

    /// Due times that have not fired, and people who are kept decoded.
    #[must_use]
    pub(crate) fn held(&self) -> (u64, u64) {
        let spaces = self.spaces.values();
        let of = |space: &Space| (space.due.len() as u64, space.profiles.len() as u64);
        spaces.map(of).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }
}
