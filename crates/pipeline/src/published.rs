//! The definitions that readers use, kept so that nobody reads a state by definitions of another one.
//!
//! The pipeline's thread writes it, readers read it. Changed rules of identity take over in the state and here under one
//! lock.

use crate::definitions::Definitions;
use crate::rules_progress::RulesAtWork;
use kith_state::Read;
use kith_types::SpaceId;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Definitions, and a snapshot of the state that they made.
pub(crate) type Look = (Arc<Definitions>, Box<dyn Read>);

type BySpace = BTreeMap<SpaceId, Arc<Definitions>>;

/// What readers have of the pipeline's thread: definitions in force, by space, and how far a change of rules has come.
#[derive(Debug, Default)]
pub(crate) struct Published {
    in_force: RwLock<BySpace>,
    pub(crate) rules: RulesAtWork,
}

impl Published {
    /// While it is held, no change of rules takes over.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, BySpace> {
        // Entries are replaced whole: a panic elsewhere leaves none half-written.
        self.in_force.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, BySpace> {
        self.in_force.write().unwrap_or_else(PoisonError::into_inner)
    }
}
