//! The bodies of Segment's Profile API, as its clients read them.
//!
//! Source: `src/unify/profile-api.md` of segmentio/segment-docs. `source_id` is Kith's name of the source; a moment is
//! ISO 8601 in UTC.

use crate::RawJson;
use crate::cursor;
use crate::ports::{Account, AccountMember, Profile, ProfileEvent, ProfileIdentifier, Trait};
use kith_types::{Identifier, ProfileId, SourceName, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The collections that the API serves.
pub(crate) const USERS: &str = "users";
pub(crate) const ACCOUNTS: &str = "accounts";

/// Where a list goes on.
#[derive(Serialize, ToSchema)]
pub(crate) struct Cursor {
    /// The path of this list.
    url: String,
    /// Whether there is more.
    has_more: bool,
    /// What to send as `next` to get more; empty where there is no more.
    next: String,
    /// The most items of this page.
    limit: usize,
}

impl Cursor {
    /// The cursor after a page. `place` is where it ended, where there is more.
    pub(crate) fn new(url: String, list: &str, limit: usize, place: Option<&str>) -> Self {
        let next = place.map(|place| cursor::write(list, place)).unwrap_or_default();
        Self {
            url,
            has_more: place.is_some(),
            next,
            limit,
        }
    }
}

/// A person's traits.
#[derive(Serialize, ToSchema)]
pub(crate) struct TraitsBody {
    /// By name; with `verbose`, each an object of `value`, `source_id` and `updated_at`.
    traits: BTreeMap<String, RawJson>,
    /// Where the list goes on.
    cursor: Cursor,
}

/// A trait with its source.
#[derive(Serialize)]
struct VerboseTrait<'a> {
    value: &'a RawJson,
    source_id: Option<&'a str>,
    updated_at: Option<String>,
}

/// Which traits are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TraitClass {
    /// What events say.
    Trait,
    /// What is computed from events.
    ComputedTrait,
    /// Segments, as `true`.
    Audience,
}

impl TraitClass {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "trait" => Some(Self::Trait),
            "computed_trait" => Some(Self::ComputedTrait),
            "audience" => Some(Self::Audience),
            _ => None,
        }
    }
}

/// One entry of the traits.
pub(crate) struct TraitEntry {
    value: RawJson,
    source: Option<SourceName>,
    updated_at: Option<Timestamp>,
}

/// The traits of a person by name. Where names meet, what is computed stands before segments, and these before traits.
pub(crate) fn trait_entries(profile: Profile, class: Option<TraitClass>) -> BTreeMap<String, TraitEntry> {
    let wanted = |kind| class.is_none_or(|class| class == kind);
    let mut entries = BTreeMap::new();
    if wanted(TraitClass::Trait) {
        entries.extend(profile.traits.into_iter().map(entry));
    }
    if wanted(TraitClass::Audience) {
        let audience = |at| TraitEntry {
            value: RawJson::of(&true),
            source: None,
            updated_at: at,
        };
        entries.extend(
            profile
                .segments
                .into_iter()
                .map(|member| (member.segment, audience(member.entered_at))),
        );
    }
    if wanted(TraitClass::ComputedTrait) {
        entries.extend(profile.computed_traits.into_iter().map(entry));
    }
    entries
}

/// The traits of an account, by name.
pub(crate) fn account_entries(traits: Vec<Trait>) -> BTreeMap<String, TraitEntry> {
    traits.into_iter().map(entry).collect()
}

fn entry(found: Trait) -> (String, TraitEntry) {
    let Trait {
        name,
        value,
        source,
        updated_at,
        ..
    } = found;
    let entry = TraitEntry {
        value,
        source,
        updated_at,
    };
    (name, entry)
}

/// A page of traits.
pub(crate) fn traits_body(entries: Vec<(String, TraitEntry)>, verbose: bool, cursor: Cursor) -> TraitsBody {
    let shown = |entry: TraitEntry| {
        if !verbose {
            return entry.value;
        }
        let updated_at = entry.updated_at.map(|moment| moment.to_string());
        RawJson::of(&VerboseTrait {
            value: &entry.value,
            source_id: entry.source.as_ref().map(SourceName::as_str),
            updated_at,
        })
    };
    TraitsBody {
        traits: entries.into_iter().map(|(name, entry)| (name, shown(entry))).collect(),
        cursor,
    }
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExternalIdsBody {
    /// The identifiers.
    pub(crate) data: Vec<ExternalId>,
    /// Where the list goes on.
    pub(crate) cursor: Cursor,
}

/// An identifier of a person or an account.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExternalId {
    #[serde(skip_serializing_if = "Option::is_none")]
    source_id: Option<String>,
    collection: &'static str,
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    encoding: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_message_id: Option<String>,
}

impl ExternalId {
    pub(crate) fn of_person(found: ProfileIdentifier) -> Self {
        Self {
            source_id: found.source.map(|source| source.to_string()),
            created_at: found.created_at.map(|moment| moment.to_string()),
            first_message_id: found.first_message_id,
            ..Self::plain(&found.identifier)
        }
    }

    pub(crate) fn of_account(group_id: String, source: Option<SourceName>, created_at: Option<Timestamp>) -> Self {
        Self {
            source_id: source.map(|source| source.to_string()),
            collection: ACCOUNTS,
            id: group_id,
            kind: "group_id".to_owned(),
            created_at: created_at.map(|moment| moment.to_string()),
            encoding: "none",
            first_message_id: None,
        }
    }

    fn plain(identifier: &Identifier) -> Self {
        Self {
            source_id: None,
            collection: USERS,
            id: identifier.value.to_string(),
            kind: identifier.kind.to_string(),
            created_at: None,
            encoding: "none",
            first_message_id: None,
        }
    }
}

/// A page of events.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventsBody {
    /// The events.
    pub(crate) data: Vec<EventBody>,
    /// Where the list goes on.
    pub(crate) cursor: Cursor,
}

/// An event.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventBody {
    external_ids: Vec<ExternalId>,
    context: RawJson,
    #[serde(rename = "type")]
    kind: &'static str,
    message_id: Option<String>,
    source_id: String,
    timestamp: String,
    properties: RawJson,
    traits: RawJson,
    event: String,
    related: Related,
}

/// Whose an event is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Related {
    users: String,
}

impl EventBody {
    pub(crate) fn new(event: ProfileEvent, profile: ProfileId) -> Self {
        Self {
            external_ids: event.identifiers.iter().map(ExternalId::plain).collect(),
            context: event.context,
            kind: event.event_type.as_str(),
            message_id: event.message_id,
            source_id: event.source.to_string(),
            timestamp: event.event_time.to_string(),
            properties: event.properties,
            traits: event.traits,
            event: event.name,
            related: Related {
                users: profile.to_string(),
            },
        }
    }
}

/// What is known about a profile itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct MetadataBody {
    metadata: Metadata,
}

/// When and whence a profile came.
#[derive(Serialize, ToSchema)]
pub(crate) struct Metadata {
    created_at: String,
    updated_at: String,
    expires_at: Option<String>,
    first_message_id: Option<String>,
    first_source_id: Option<String>,
    last_message_id: Option<String>,
    last_source_id: Option<String>,
}

impl From<Profile> for MetadataBody {
    fn from(profile: Profile) -> Self {
        let name = |source: Option<SourceName>| source.map(|source| source.to_string());
        Self {
            metadata: Metadata {
                created_at: profile.created_at.to_string(),
                updated_at: profile.updated_at.to_string(),
                expires_at: None,
                first_message_id: profile.first_event.1,
                first_source_id: name(profile.first_event.0),
                last_message_id: profile.last_event.1,
                last_source_id: name(profile.last_event.0),
            },
        }
    }
}

/// The accounts of a person.
#[derive(Serialize, ToSchema)]
pub(crate) struct LinksBody {
    /// The accounts.
    pub(crate) data: Vec<Link>,
    /// Where the list goes on.
    pub(crate) cursor: Cursor,
}

/// One account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Link {
    to_collection: &'static str,
    external_ids: Vec<ExternalId>,
}

impl From<Account> for Link {
    fn from(account: Account) -> Self {
        Self {
            to_collection: ACCOUNTS,
            external_ids: vec![ExternalId::of_account(
                account.group_id,
                account.source,
                account.created_at,
            )],
        }
    }
}

impl From<AccountMember> for Link {
    fn from(member: AccountMember) -> Self {
        let id = ExternalId {
            collection: USERS,
            kind: "profile_id".to_owned(),
            ..ExternalId::of_account(member.profile.to_string(), Some(member.source), Some(member.since))
        };
        Self {
            to_collection: USERS,
            external_ids: vec![id],
        }
    }
}
