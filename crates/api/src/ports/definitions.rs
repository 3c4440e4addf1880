//! Planning and applying definitions. What holds and what held is read from the catalog.

use super::PortError;
use crate::RawJson;
use async_trait::async_trait;
use kith_catalog::{PlannedChange, Problem, Proposal};
use kith_types::{Address, SpaceId};
use serde_json::{Map, Value};

/// What applying a proposal would do.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What would change.
    pub changes: Vec<PlannedChange>,
    /// What whoever proposes it should look at, and what stands in nobody's way.
    pub warnings: Vec<Problem>,
}

/// What applying a proposal did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What changed.
    pub changes: Vec<PlannedChange>,
    /// As [`Planned::warnings`].
    pub warnings: Vec<Problem>,
    /// The decision's place in the log; `None` where nothing changed.
    pub decided_by: Option<Address>,
}

/// Plans and applies definitions.
#[async_trait]
pub trait Definitions: Send + Sync {
    /// What the proposal would change, once it is found sound.
    ///
    /// # Errors
    /// [`PortError::problems`] for documents that are not sound.
    async fn plan(&self, space: &SpaceId, proposal: &Proposal) -> Result<Planned, PortError>;

    /// What the proposal would do to people, exactly, once it is found sound, as JSON; lists show at most `samples` people.
    ///
    /// # Errors
    /// As [`Definitions::plan`]; `Busy` while others are counted, `Unavailable` while people are missing.
    async fn impact(&self, space: &SpaceId, proposal: &Proposal, samples: usize) -> Result<RawJson, PortError>;

    /// Validates the proposal, appends its decision durably to the log and records it in the catalog. One at a time.
    ///
    /// # Errors
    /// [`PortError::problems`] for documents that are not sound; `Unavailable` where the log takes nothing.
    async fn apply(
        &self,
        space: &SpaceId,
        proposal: &Proposal,
        author: &str,
        reason: &str,
    ) -> Result<Applied, PortError>;

    /// Changes some of the space's limits: a number sets one, `null` ends one, and what is not named stays as the change
    /// before left it. As [`Definitions::apply`], and in turn with it.
    ///
    /// # Errors
    /// As [`Definitions::apply`].
    async fn change_limits(
        &self,
        space: &SpaceId,
        change: &Map<String, Value>,
        author: &str,
        reason: &str,
    ) -> Result<Applied, PortError>;
}
