//! A person as readers see one: plain values, taken from one look at the state. [`crate::Reads`] fills them; they decide
//! nothing.

use kith_segment::CauseKind;
use kith_types::{Identifier, ProfileId, SegmentName, SourceName, Timestamp, Value};

/// What was left out of links, in the answer about a person, at most.
pub const LEFT_OUT_MAX: usize = 100;

/// A trait with where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct TraitView {
    /// Its name.
    pub name: String,
    /// The value that survives.
    pub value: Value,
    /// Who said it.
    pub source: SourceName,
    /// When.
    pub time: Timestamp,
    /// Whether a limit may have made it other than exact.
    pub approximate: bool,
    /// What other sources say, the latest first.
    pub losers: Vec<(Value, SourceName, Timestamp)>,
}

/// An identifier of a person, with the interval for which it is held.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentifierView {
    /// Type and normalised value.
    pub identifier: Identifier,
    /// The time of the event that was received first with it.
    pub first_seen: Timestamp,
    /// The time of the latest event that it carried, where it carried one.
    pub last_seen: Option<Timestamp>,
    /// The start of its interval; `None`: from the beginning.
    pub from: Option<Timestamp>,
    /// The end of its interval, exclusive; `None`: still held.
    pub to: Option<Timestamp>,
}

/// A segment that a person is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipView {
    /// The segment.
    pub segment: SegmentName,
    /// The instant of entry; `None` where time, a definition or what was said of an account has let the person in and that is
    /// not committed yet.
    pub since: Option<Timestamp>,
    /// Why the person entered; `None` where it was written before causes were kept, or where it may be time or what was said
    /// of an account and is not committed yet.
    pub cause: Option<CauseKind>,
    /// Whether a limit may have made the answer other than exact.
    pub approximate: bool,
}

/// A person, aggregated over all sources.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonDocument {
    /// The profile's id.
    pub id: ProfileId,
    /// The id that was asked for, where it redirects here.
    pub redirected_from: Option<ProfileId>,
    /// The identifiers, the oldest first.
    pub identifiers: Vec<IdentifierView>,
    /// Identifiers of this person that some event does not link, each reason once: at most [`LEFT_OUT_MAX`].
    pub left_out: Vec<(Identifier, String)>,
    /// Whether the evidence around this person is at a bound, so that some of it may have been refused.
    pub identity_limited: bool,
    /// The traits, by name.
    pub traits: Vec<TraitView>,
    /// The computed traits, by name: value, and whether a limit made it approximate.
    pub computed: Vec<(String, Value, bool)>,
    /// What the person allows, by category.
    pub consents: Vec<(String, bool, Timestamp)>,
    /// The accounts, by id.
    pub accounts: Vec<AccountView>,
    /// Whether an identifier has more accounts than are looked at, so that some may be missing.
    pub accounts_limited: bool,
    /// The segments, by name.
    pub segments: Vec<MembershipView>,
    /// The segments of which a limit may have made the answer other than exact, whether they are in or not; by name.
    pub segments_limited: Vec<SegmentName>,
    /// How many events.
    pub event_count: u64,
    /// The earliest event.
    pub first_seen: Option<Timestamp>,
    /// The latest event.
    pub last_seen: Option<Timestamp>,
    /// Whether traits were left out because a limit was reached.
    pub traits_limited: bool,
}

impl PersonDocument {
    /// What a limit has made other than exact (contract PRO-5): `traits`, `identifiers` and `accounts` where some were left out,
    /// `traits.NAME`, `computed_traits.NAME` and `segments.NAME`.
    #[must_use]
    pub fn limits_reached(&self) -> Vec<String> {
        let left_out = [
            (self.traits_limited, "traits"),
            (self.identity_limited, "identifiers"),
            (self.accounts_limited, "accounts"),
        ];
        let left_out = left_out.into_iter().filter(|(limited, _)| *limited);
        let computed = self.computed.iter().filter(|(_, _, approximate)| *approximate);
        left_out
            .map(|(_, what)| what.to_owned())
            .chain(limited_traits(&self.traits))
            .chain(computed.map(|(name, _, _)| format!("computed_traits.{name}")))
            .chain(self.segments_limited.iter().map(|name| format!("segments.{name}")))
            .collect()
    }
}

impl AccountDocument {
    /// What a limit has made other than exact: `traits` where some were left out, and `traits.NAME`.
    #[must_use]
    pub fn limits_reached(&self) -> Vec<String> {
        let left_out = self.traits_limited.then(|| "traits".to_owned());
        left_out.into_iter().chain(limited_traits(&self.traits)).collect()
    }
}

fn limited_traits(traits: &[TraitView]) -> impl Iterator<Item = String> {
    let limited = traits.iter().filter(|view| view.approximate);
    limited.map(|view| format!("traits.{}", view.name))
}

/// An account that a person belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountView {
    /// The account's id.
    pub group_id: String,
    /// The source of the earliest event that says so.
    pub source: SourceName,
    /// The time of that event.
    pub since: Timestamp,
}

/// Somebody who belongs to an account.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountMember {
    /// Who.
    pub profile: ProfileId,
    /// The source of the earliest event that says so.
    pub source: SourceName,
    /// The time of that event.
    pub since: Timestamp,
}

/// An account, aggregated over all sources. Who belongs to it is asked for in pages.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountDocument {
    /// Its id, as events send it.
    pub group_id: String,
    /// The traits, by name.
    pub traits: Vec<TraitView>,
    /// How many events name it.
    pub event_count: u64,
    /// The earliest of them.
    pub first_seen: Option<Timestamp>,
    /// The latest of them.
    pub last_seen: Option<Timestamp>,
    /// Whether traits were left out because a limit was reached.
    pub traits_limited: bool,
}

/// Some of the people of an account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountMembers {
    /// Each once, in an order that stays.
    pub members: Vec<AccountMember>,
    /// Where to go on, where there may be more.
    pub next: Option<u128>,
}
