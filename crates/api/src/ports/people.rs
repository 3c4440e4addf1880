//! Reading people: one aggregated profile, and its events page by page.

use super::PortError;
use crate::RawJson;
use async_trait::async_trait;
use kith_types::{Address, EventType, Identifier, ProfileId, SourceName, SpaceId, Timestamp};

/// Whom a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonRef {
    /// A profile by its id; an id that redirects is followed.
    Profile(ProfileId),
    /// Whoever has this identifier. Its value is as the client wrote it: the adapter normalises it by the rules.
    Identifier(Identifier),
}

/// The instant that a question is about; by default now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsOf {
    /// The instant; now unless given.
    pub at: Option<Timestamp>,
    /// What had been received and decided by then is known; `at` unless given.
    pub known_at: Option<KnownAt>,
}

/// As of when something is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownAt {
    /// When it is asked: in hindsight.
    Now,
    /// An instant.
    Instant(Timestamp),
}

impl KnownAt {
    /// The instant, of a question that is asked at `now`.
    #[must_use]
    pub fn instant(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Now => now,
            Self::Instant(at) => at,
        }
    }
}

/// A person, aggregated over all sources (contract API-1). Lists are in the order in which they are shown.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The id that holds now.
    pub id: ProfileId,
    /// The id that was asked for, where it redirects to `id`.
    pub redirected_from: Option<ProfileId>,
    /// The past instant that it is told of, both moments given; `None` for the present.
    pub as_of: Option<AsOf>,
    /// When its first event was received.
    pub created_at: Timestamp,
    /// When its last event was received.
    pub updated_at: Timestamp,
    /// Source and message id of its first event, where known.
    pub first_event: (Option<SourceName>, Option<String>),
    /// Source and message id of its last event, where known.
    pub last_event: (Option<SourceName>, Option<String>),
    /// Traits, each name once.
    pub traits: Vec<Trait>,
    /// Computed traits, each name once, as of the instant of reading.
    pub computed_traits: Vec<Trait>,
    /// Every identifier that is linked to it.
    pub identifiers: Vec<ProfileIdentifier>,
    /// Which of them some event does not link, and why.
    pub left_out: Vec<(Identifier, String)>,
    /// What it agreed to.
    pub consents: Vec<Consent>,
    /// The segments it is in at the instant of reading.
    pub segments: Vec<Membership>,
    /// The accounts it belongs to (`groupId`).
    pub accounts: Vec<Account>,
    /// Its latest events, latest first, at most as many as were asked for.
    pub recent_events: Vec<ProfileEvent>,
    /// Which limits were reached, so that what they bound is approximate (contract PRO-5).
    pub limits_reached: Vec<String>,
}

/// A trait: the value that survivorship chose, and the others.
#[derive(Clone, Debug)]
pub struct Trait {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: RawJson,
    /// The source that said it; `None` for a computed trait.
    pub source: Option<SourceName>,
    /// The event time of the event that said it.
    pub updated_at: Option<Timestamp>,
    /// Whether a limit makes it approximate.
    pub approximate: bool,
    /// What other sources say.
    pub alternatives: Vec<TraitAlternative>,
}

/// A value that survivorship did not choose (contract PRO-3).
#[derive(Clone, Debug)]
pub struct TraitAlternative {
    /// The value.
    pub value: RawJson,
    /// The source that said it.
    pub source: SourceName,
    /// The event time of the event that said it.
    pub updated_at: Timestamp,
}

/// An identifier of a profile.
#[derive(Clone, Debug)]
pub struct ProfileIdentifier {
    /// Type and normalised value.
    pub identifier: Identifier,
    /// The source that brought it first, where known.
    pub source: Option<SourceName>,
    /// The message that brought it first, where known.
    pub first_message_id: Option<String>,
    /// When it was first received.
    pub created_at: Option<Timestamp>,
    /// Since when it is this person's; `None` from the beginning. Only what is held by intervals changes hands.
    pub valid_from: Option<Timestamp>,
    /// Until when it was, exclusive; `None`: it still is.
    pub valid_to: Option<Timestamp>,
}

/// What a person agreed to.
#[derive(Clone, Debug)]
pub struct Consent {
    /// For what, such as `marketing`.
    pub topic: String,
    /// `subscribed`, `unsubscribed` or `unknown`.
    pub status: String,
    /// Since when.
    pub updated_at: Option<Timestamp>,
}

/// A segment that a profile is in.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The segment.
    pub segment: String,
    /// Since when.
    pub entered_at: Option<Timestamp>,
    /// Whether a limit makes the answer approximate (contract PRO-5).
    pub approximate: bool,
}

/// An account that a profile belongs to.
#[derive(Clone, Debug)]
pub struct Account {
    /// The account's id.
    pub group_id: String,
    /// The source that said so, where known.
    pub source: Option<SourceName>,
    /// When it was first said, where known.
    pub created_at: Option<Timestamp>,
}

/// An account, aggregated over all sources (contract API-1).
#[derive(Clone, Debug)]
pub struct AccountProfile {
    /// The account's id.
    pub group_id: String,
    /// When its first event happened.
    pub created_at: Option<Timestamp>,
    /// When its last event happened.
    pub updated_at: Option<Timestamp>,
    /// How many events name it.
    pub event_count: u64,
    /// Traits, each name once.
    pub traits: Vec<Trait>,
    /// Which limits were reached, so that what they bound is approximate (contract PRO-5).
    pub limits_reached: Vec<String>,
}

/// Some of the people of an account.
#[derive(Clone, Debug)]
pub struct AccountMembers {
    /// Each once, in an order that stays. A page may be short though more follow.
    pub members: Vec<AccountMember>,
    /// Where to go on; `None` at the end.
    pub next: Option<String>,
}

/// Somebody who belongs to an account.
#[derive(Clone, Debug)]
pub struct AccountMember {
    /// Who.
    pub profile: ProfileId,
    /// The source that said so first.
    pub source: SourceName,
    /// Since when, in event time.
    pub since: Timestamp,
}

/// One event of a profile.
#[derive(Clone, Debug)]
pub struct ProfileEvent {
    /// Its place in the log.
    pub address: Address,
    /// When it happened.
    pub event_time: Timestamp,
    /// When it was received.
    pub received_at: Timestamp,
    /// Which of the six calls it is.
    pub event_type: EventType,
    /// Its name.
    pub name: String,
    /// Its message id, if it carries one.
    pub message_id: Option<String>,
    /// The source it came from.
    pub source: SourceName,
    /// The identifiers it carries.
    pub identifiers: Vec<Identifier>,
    /// `properties`, an object.
    pub properties: RawJson,
    /// `traits`, an object.
    pub traits: RawJson,
    /// `context`, an object.
    pub context: RawJson,
}

/// Which events of a profile are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// At most so many.
    pub limit: usize,
    /// Oldest first instead of latest first. The order is event time, then address.
    pub ascending: bool,
    /// Only what comes after this event in that order.
    pub after: Option<(Timestamp, Address)>,
    /// Only these names, unless empty.
    pub include: Vec<String>,
    /// Not these names.
    pub exclude: Vec<String>,
    /// Only events at or after this moment.
    pub start: Option<Timestamp>,
    /// Only events before this moment.
    pub end: Option<Timestamp>,
}

/// Events of one profile.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// Whose they are.
    pub profile: ProfileId,
    /// At most as many as were asked for, in the order asked for. Fewer, even none, where more had to be passed over.
    pub events: Vec<ProfileEvent>,
    /// Where the next page goes on, where there may be more.
    pub next: Option<(Timestamp, Address)>,
}

/// Reads people.
#[async_trait]
pub trait Profiles: Send + Sync {
    /// The person with at most `recent_events` of their latest events; `None` where nobody has that id or identifier.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn profile(
        &self,
        space: &SpaceId,
        person: &PersonRef,
        recent_events: usize,
    ) -> Result<Option<Profile>, PortError>;

    /// The account of that id; `None` where no event names it.
    ///
    /// # Errors
    /// `Busy` while others are answered, or another [`PortError`].
    async fn account(&self, space: &SpaceId, group_id: &str) -> Result<Option<AccountProfile>, PortError>;

    /// The next people of an account, at most `limit`, from where the page before ended; none of an account that no event
    /// names.
    ///
    /// # Errors
    /// `Invalid` for a place that no page gave, `Busy` while others are answered.
    async fn account_members(
        &self,
        space: &SpaceId,
        group_id: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<AccountMembers, PortError>;

    /// The same as of an instant. When they entered segments is not told.
    ///
    /// # Errors
    /// `Invalid` for an instant to come or more of the history than one answer reads, `Busy` while others are answered.
    async fn profile_as_of(
        &self,
        space: &SpaceId,
        person: &PersonRef,
        recent_events: usize,
        as_of: AsOf,
    ) -> Result<Option<Profile>, PortError>;

    /// Events of the person; `None` where nobody has that id or identifier.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn events(
        &self,
        space: &SpaceId,
        person: &PersonRef,
        query: &EventQuery,
    ) -> Result<Option<EventPage>, PortError>;
}
