//! A snapshot with a scratch store over it: what a change that is only asked about reads and stages.
//!
//! It works with [`super::relation`], which lies in the scratch store, too. It never writes to what stands.

use super::relation;
use crate::staged::{self, List, Overlaid};
use crate::{PipelineError, keys};
use kith_state::{Keyspace, Read, StateError, StateErrorKind, Store, Visit};
use kith_types::{ProfileId, SpaceId};
use std::sync::atomic::{AtomicBool, Ordering};

/// A snapshot, with a scratch store for what is staged over it. Once it is called off it reads nothing more.
pub(crate) struct Trial<'a> {
    pub(super) stands: &'a dyn Read,
    pub(super) scratch: &'a dyn Store,
    go_on: &'a (dyn Fn() -> bool + Sync),
    called_off: AtomicBool,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(stands: &'a dyn Read, scratch: &'a dyn Store, go_on: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self {
            stands,
            scratch,
            go_on,
            called_off: AtomicBool::new(false),
        }
    }

    /// The state as it would be.
    pub(crate) fn after<'b>(&'b self, space: &'b SpaceId) -> Overlaid<'b> {
        Overlaid { base: self, space }
    }

    /// The state as it is.
    pub(crate) fn stands(&self) -> &'a dyn Read {
        self.stands
    }

    /// Whether a profile may not stand as it stood.
    pub(crate) fn concerns(&self, space: &SpaceId, id: ProfileId) -> Result<bool, PipelineError> {
        let listed = staged::listed(space, List::Changed, id.0);
        Ok(self.get(Keyspace::Staged, &listed)?.is_some())
    }

    /// The next of the profiles that may not stand as they stood, from one on.
    pub(crate) fn concerned(&self, space: &SpaceId, from: u128, limit: usize) -> Result<Vec<u128>, PipelineError> {
        staged::next_listed(self, space, List::Changed, from, limit)
    }

    /// As whom somebody goes on of whom nothing but the id would change.
    pub(crate) fn renamed_to(&self, space: &SpaceId, old: ProfileId) -> Result<Option<ProfileId>, PipelineError> {
        match relation::becomes_only(self.scratch, old)? {
            Some(new) if self.is_renaming(space, old, new)? => Ok(Some(new)),
            _ => Ok(None),
        }
    }

    /// As whom somebody stands of whom nothing but the id would change.
    pub(crate) fn renamed_from(&self, space: &SpaceId, new: ProfileId) -> Result<Option<ProfileId>, PipelineError> {
        match relation::comes_only_from(self.scratch, new)? {
            Some(old) if self.is_renaming(space, old, new)? => Ok(Some(old)),
            _ => Ok(None),
        }
    }

    /// Of two who are related to nobody else, whether the one would end and the other begin.
    pub(super) fn is_renaming(&self, space: &SpaceId, old: ProfileId, new: ProfileId) -> Result<bool, PipelineError> {
        let [old, new] = [old, new].map(|id| keys::wide(space, id.0));
        let stood = self.stands.get(Keyspace::Profiles, &new)?.is_some();
        Ok(!stood && self.after(space).get(Keyspace::Profiles, &old)?.is_none())
    }

    /// What came of it; nothing where it was called off.
    pub(crate) fn outcome<T>(&self, worked: Result<T, PipelineError>) -> Result<Option<T>, PipelineError> {
        if self.called_off.load(Ordering::Acquire) {
            return Ok(None);
        }
        worked.map(Some)
    }

    fn goes_on(&self) -> bool {
        let goes_on = (self.go_on)();
        self.called_off.fetch_or(!goes_on, Ordering::AcqRel);
        goes_on
    }

    fn reader(&self, keyspace: Keyspace) -> Result<&dyn Read, StateError> {
        if !self.goes_on() {
            return Err(StateError::new(
                StateErrorKind::Failed,
                "the question was called off",
                None,
            ));
        }
        Ok(match keyspace {
            Keyspace::Staged => self.scratch,
            _ => self.stands,
        })
    }
}

impl Read for Trial<'_> {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.reader(keyspace)?.get(keyspace, key)
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        let visit = &mut |key: &[u8], value: &[u8]| self.goes_on() && visit(key, value);
        self.reader(keyspace)?.scan(keyspace, from, to, visit)
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        let visit = &mut |key: &[u8], value: &[u8]| self.goes_on() && visit(key, value);
        self.reader(keyspace)?.scan_back(keyspace, from, to, visit)
    }
}
