//! Who is who: why, what if, and vetoes.

use super::{AsOf, PersonRef, PortError};
use crate::RawJson;
use async_trait::async_trait;
use kith_types::{Address, Identifier, SpaceId, Timestamp};

/// What an operator says about evidence (contract IDN-6). Identifiers are as the client wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Veto {
    /// The event at this address does not link this identifier.
    Event {
        /// The event.
        event: Address,
        /// The identifier.
        identifier: Identifier,
    },
    /// These two are not one person.
    Pair {
        /// One.
        one: Identifier,
        /// The other.
        other: Identifier,
    },
}

/// What a comparison asks.
#[derive(Clone, Debug, Default)]
pub struct WhatIf {
    /// Other rules: the `spec` of a definition of kind `identity_rules`.
    pub rules: Option<serde_json::Value>,
    /// Vetoes beyond those in force.
    pub add: Vec<Veto>,
    /// Vetoes in force that would be no more.
    pub remove: Vec<Veto>,
    /// Whose evidence is looked at.
    pub around: Option<Identifier>,
}

/// A veto in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vetoing {
    /// It.
    pub veto: Veto,
    /// When it was decided, where that is known.
    pub since: Option<Timestamp>,
    /// Why, where that was said.
    pub reason: Option<String>,
}

/// What a decision about evidence did.
#[derive(Clone, Debug)]
pub struct Vetoed {
    /// The decision's place in the log; `None` where nothing changed.
    pub decided_by: Option<Address>,
    /// Whether people are regrouped already; they will be, where not.
    pub applied: bool,
    /// Identifiers of the pairs that nobody has yet: the decision holds for when they come.
    pub unknown: Vec<Identifier>,
}

/// Tells and decides who is who.
#[async_trait]
pub trait Identity: Send + Sync {
    /// Why two identifiers are, or are not, one person. A profile id stands for the identifier that it comes from.
    ///
    /// # Errors
    /// `NotFound` where one of them is unknown or blocked by the rules, `Invalid` for a profile id that leads to nobody by its
    /// identifier any more; each says which, as `one` and `other`.
    async fn why(&self, space: &SpaceId, one: &PersonRef, other: &PersonRef) -> Result<RawJson, PortError>;

    /// Who would split and who would merge.
    ///
    /// # Errors
    /// `Invalid` for rules that cannot be used.
    async fn what_if(&self, space: &SpaceId, question: &WhatIf) -> Result<RawJson, PortError>;

    /// The profile that an identifier or a profile id leads to, or led to as of an instant, as JSON (contract IDN-8);
    /// `None` where it leads to nobody.
    ///
    /// # Errors
    /// As [`super::Profiles::profile_as_of`].
    async fn resolve(&self, space: &SpaceId, person: &PersonRef, as_of: AsOf) -> Result<Option<RawJson>, PortError>;

    /// The vetoes in force.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn vetoes(&self, space: &SpaceId) -> Result<Vec<Vetoing>, PortError>;

    /// Adds and removes vetoes by a decision that is durable in the log when this returns. One at a time.
    ///
    /// # Errors
    /// `NotFound` for an event that is unknown or does not name the identifier, and for a veto to be removed that is not
    /// in force; `Unavailable` where the log takes nothing.
    async fn veto(
        &self,
        space: &SpaceId,
        add: &[Veto],
        remove: &[Veto],
        author: &str,
        reason: &str,
    ) -> Result<Vetoed, PortError>;
}
