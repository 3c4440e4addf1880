//! Stored parts and the plans that they name instead of listing their aggregates.
//!
//! The latest plans of a space stand in the state, written in the step that first writes a part under them. Who reads a
//! part of a plan that is not kept any more folds it anew from its carrier's history.

use crate::{PipelineError, keys};
use kith_profile::{Part, PartError, PlanDirectory, Plans};
use kith_state::{Keyspace, Read};
use kith_types::SpaceId;

/// The key that a space's plans stand under.
pub(crate) const PLANS: &str = "plans";

/// The plans that the parts of a stored space may name.
pub(crate) fn load(store: &dyn Read, space: &SpaceId) -> Result<Plans, PipelineError> {
    match store.get(Keyspace::Meta, &keys::named(space, PLANS))? {
        Some(bytes) => Plans::decode(&bytes).map_err(|_| PipelineError::corrupt("plans")),
        None => Ok(Plans::default()),
    }
}

/// A stored part; `None` when it names a plan that is not known.
pub(crate) fn decode(bytes: &[u8], plans: &dyn PlanDirectory) -> Result<Option<Part>, PipelineError> {
    match Part::decode_with(bytes, plans) {
        Ok(part) => Ok(Some(part)),
        Err(PartError::UnknownPlan(_)) => Ok(None),
        Err(_) => Err(PipelineError::corrupt("parts")),
    }
}
