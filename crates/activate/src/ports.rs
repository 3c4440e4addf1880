//! What activation asks of the rest of the server. The binary writes the adapters; nothing here knows the log, the
//! pipeline or the catalog. Every call may block for as long as a read of local state takes: activation calls from its
//! own threads, never from an async one.

use crate::audience::AudiencePorts;
use crate::definition::MessageDefinition;
use crate::error::BoxError;
use crate::limits::SendingRules;
use kith_segment::{CauseKind, Change};
use kith_types::{ProfileId, SegmentName, SpaceId, Timestamp};
use std::sync::Arc;

/// The most changes that one call of [`Outbox::changes_from`] should return.
pub const OUTBOX_BATCH: usize = 1_000;

/// The changes of membership that the pipeline made durable, numbered by space without gaps.
pub trait Outbox: Send + Sync {
    /// Changes of a space from `number` on, ascending, at most about [`OUTBOX_BATCH`]; empty where there are no more. `None` where it
    /// cannot be looked at now, such as while a decision that changes follow is not recorded yet: it says nothing of what there is.
    /// A number once given never names another change, not even after the state was rebuilt.
    ///
    /// # Errors
    /// Any; the call is repeated.
    fn changes_from(&self, space: &SpaceId, number: u64) -> Result<Option<Vec<(u64, Change)>>, BoxError>;

    /// Every change of a space below `number` is durably taken: it will not be asked for again, and may be forgotten.
    /// Called often, mostly with what was said before.
    ///
    /// # Errors
    /// Any; the call is repeated.
    fn passed(&self, space: &SpaceId, number: u64) -> Result<(), BoxError>;

    /// The spaces that have an outbox.
    fn spaces(&self) -> Vec<SpaceId>;
}

/// What somebody said about a category of consent: the word that prevails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentWord {
    /// The category, such as `marketing`.
    pub category: String,
    /// Whether it is allowed.
    pub granted: bool,
    /// When it was said. A grant after an unsubscription ends it.
    pub at: Timestamp,
}

/// A segment that somebody is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The segment.
    pub segment: SegmentName,
    /// When they entered it; `None` where that is not committed yet.
    pub since: Option<Timestamp>,
    /// Why; `None` where it was entered before causes were kept, or where that is not committed yet.
    pub cause: Option<CauseKind>,
}

/// Somebody to whom a message may go, as the live state knows them.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipient {
    /// The profile that stands for the person now: after redirects.
    pub profile: ProfileId,
    /// The e-mail address, if one is known.
    pub email: Option<String>,
    /// Every e-mail address that is known: what went to any of them went to the person.
    pub addresses: Vec<String>,
    /// A user id of the person, if one is known.
    pub user_id: Option<String>,
    /// An anonymous id of the person, if one is known.
    pub anonymous_id: Option<String>,
    /// What events said of the person.
    pub traits: serde_json::Map<String, serde_json::Value>,
    /// What was computed of the person.
    pub computed: serde_json::Map<String, serde_json::Value>,
    /// The segments that the person is in now.
    pub segments: Vec<Membership>,
    /// What the person allows.
    pub consents: Vec<ConsentWord>,
}

impl Recipient {
    /// Their membership of a segment, if they are in it.
    #[must_use]
    pub fn membership(&self, segment: &SegmentName) -> Option<&Membership> {
        self.segments.iter().find(|held| held.segment == *segment)
    }
}

/// What reading a person gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// The person.
    Found(Box<Recipient>),
    /// Nobody is left of that profile.
    Nobody,
    /// Who is who is being worked out anew: nobody can be told apart, and consent is not known. It passes by itself, and
    /// what is due waits for it.
    NotNow,
}

/// Reads people from the live state.
pub trait People: Send + Sync {
    /// The person of that profile, merges followed.
    ///
    /// # Errors
    /// Any; the call is repeated.
    fn recipient(&self, space: &SpaceId, profile: ProfileId) -> Result<Reading, BoxError>;

    /// Members of a segment behind a profile, in the order of their ids, at most `limit`; empty where there are no more. `None`
    /// where not everybody is known at present, as [`Reading::NotNow`]. Some may have left meanwhile: each is read by itself.
    ///
    /// # Errors
    /// Any; the call is repeated.
    fn members(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Option<Vec<ProfileId>>, BoxError>;

    /// The zone that a person lives in, as a trait or their latest events say, such as `Europe/Berlin`; `None` where
    /// nothing does. Asked only where there are quiet hours.
    ///
    /// # Errors
    /// Any; the call is repeated.
    fn zone(&self, space: &SpaceId, recipient: &Recipient) -> Result<Option<String>, BoxError>;
}

/// The definitions of messages in force.
pub trait Messages: Send + Sync {
    /// The messages of a space that are sent on entering a segment.
    ///
    /// # Errors
    /// Any: that they cannot be read is no word that there are none. It is asked again.
    fn for_segment(&self, space: &SpaceId, segment: &SegmentName) -> Result<Vec<Arc<MessageDefinition>>, BoxError>;

    /// The message of that name.
    ///
    /// # Errors
    /// As [`Messages::for_segment`].
    fn named(&self, space: &SpaceId, message: &str) -> Result<Option<Arc<MessageDefinition>>, BoxError>;

    /// What holds for all marketing of a space.
    ///
    /// # Errors
    /// As [`Messages::for_segment`].
    fn sending_rules(&self, space: &SpaceId) -> Result<Arc<SendingRules>, BoxError>;
}

/// Takes what became of messages back in as events.
pub trait Feedback: Send + Sync {
    /// Appends a body of events durably, `{"batch":[…]}` as the route `internal` takes it. It may be called again
    /// with the same body after a crash: every event carries a message id that never changes.
    ///
    /// # Errors
    /// Any; the call is repeated until it succeeds.
    fn append(&self, space: &SpaceId, events_json: String) -> Result<(), BoxError>;
}

/// The ports of one server.
#[derive(Clone)]
pub struct Ports {
    /// Changes of membership.
    pub outbox: Arc<dyn Outbox>,
    /// People.
    pub people: Arc<dyn People>,
    /// Definitions.
    pub messages: Arc<dyn Messages>,
    /// Events about messages.
    pub feedback: Arc<dyn Feedback>,
    /// The channel; without one what is due waits in the ledger.
    pub mailer: Option<Arc<dyn crate::mail::Mailer>>,
    /// Destinations of audiences; without them nothing is told to other systems, and what is to be told waits.
    pub audiences: Option<AudiencePorts>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports")
            .field("mailer", &self.mailer.is_some())
            .field("audiences", &self.audiences.is_some())
            .finish_non_exhaustive()
    }
}
