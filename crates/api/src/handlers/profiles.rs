//! One call for a person, aggregated over all sources (contract API-1).

use super::profile_api::Person;
use super::{Api, nobody_in};
use crate::RawJson;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{parse_as_of, parse_flag, parse_person, parse_space};
use crate::ports::{AsOf, KnownAt, Profile, ProfileEvent, Trait};
use axum::Json;
use axum::extract::{Path, Query};
use kith_telemetry::Histogram;
use kith_types::{Identifier, SourceName, SpaceId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Instant;
use utoipa::{IntoParams, ToSchema};

const EVENTS_DEFAULT: usize = 20;
const EVENTS_MAX: usize = 200;

/// What the call takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProfileQuery {
    /// How many of the latest events: 20 unless given, 0 to 200.
    events: Option<String>,
    /// Whether traits come with their source, time and what other sources say.
    verbose: Option<String>,
    /// As of which past moment; now unless given.
    as_of: Option<String>,
    /// With the knowledge of which moment: what was received and decided by then. `as_of` unless given; later is hindsight.
    known_at: Option<String>,
}

/// A person.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProfileBody {
    /// The profile's id.
    id: String,
    /// The id that was asked for, where it redirects to `id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    redirected_from: Option<String>,
    /// The past instant that was asked about; absent in an answer about the present.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<String>,
    /// Until when what was received and decided is known to this answer; absent in one about the present.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_at: Option<String>,
    /// When its first event was received.
    created_at: String,
    /// When its last event was received.
    updated_at: String,
    /// By name; with `verbose`, each an object.
    traits: BTreeMap<String, RawJson>,
    /// By name; with `verbose`, each an object.
    computed_traits: BTreeMap<String, RawJson>,
    /// The identifiers that are linked to it.
    identifiers: Vec<IdentifierBody>,
    /// Which of them some event does not link to the others that it names, and why, such as a limit; the first 100.
    left_out: Vec<LeftOutBody>,
    /// What it agreed to.
    consents: Vec<ConsentBody>,
    /// The segments it is in.
    segments: Vec<MembershipBody>,
    /// The accounts it belongs to.
    accounts: Vec<AccountBody>,
    /// Its latest events, latest first.
    recent_events: Vec<RecentEvent>,
    /// Which limits were reached, so that what they bound is approximate.
    limits_reached: Vec<String>,
}

/// A trait with all that is known of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct TraitBody {
    value: RawJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    approximate: bool,
    /// What other sources say.
    alternatives: Vec<AlternativeBody>,
}

/// What another source says of a trait.
#[derive(Serialize, ToSchema)]
pub(crate) struct AlternativeBody {
    value: RawJson,
    source: String,
    updated_at: String,
}

/// An identifier of a person.
#[derive(Serialize, ToSchema)]
pub(crate) struct IdentifierBody {
    #[serde(rename = "type")]
    kind: String,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    /// Since when it is this person's, of one that changes hands, such as a shared device; absent from the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from: Option<String>,
    /// Until when it was, exclusive; absent while it still is.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_to: Option<String>,
}

/// An identifier that some event does not link.
#[derive(Serialize, ToSchema)]
pub(crate) struct LeftOutBody {
    #[serde(rename = "type")]
    kind: String,
    value: String,
    /// Why, in words.
    because: String,
}

/// What a person agreed to.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConsentBody {
    topic: String,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
}

/// A segment that a person is in.
#[derive(Serialize, ToSchema)]
pub(crate) struct MembershipBody {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entered_at: Option<String>,
    /// Whether a limit may have made the answer other than exact. Those it may have kept out are in `limits_reached`.
    approximate: bool,
}

/// An account that a person belongs to.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountBody {
    group_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

/// One of the latest events.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecentEvent {
    address: String,
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    event_time: String,
    received_at: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    properties: RawJson,
}

/// A person by any identifier.
#[utoipa::path(
    get, path = "/api/spaces/{space}/profiles/{identifier}", operation_id = "get_profile", tag = "profiles",
    params(
        ("space", description = "The space."),
        ("identifier", description = "type:value, such as user_id:u1, or a profile id."),
        ProfileQuery,
    ),
    responses(
        (status = 200, description = "The person.", body = ProfileBody),
        (status = 400, description = "A moment to come, or too long a history.", body = ErrorBody),
        (status = 404, description = "Nobody has it.", body = ErrorBody),
    ),
)]
pub(crate) async fn profile(
    state: Api,
    Path(path): Person,
    Query(query): Query<ProfileQuery>,
) -> Result<Json<ProfileBody>, ApiError> {
    let (space, person) = (parse_space(&path.0)?, parse_person(&path.1)?);
    let verbose = parse_flag("verbose", query.verbose.as_deref())?;
    let events = match query.events.as_deref().map(str::parse) {
        None => EVENTS_DEFAULT,
        Some(Ok(events)) if events <= EVENTS_MAX => events,
        Some(_) => {
            return Err(ApiError::invalid(format!(
                "events must be a whole number from 0 to {EVENTS_MAX}"
            )));
        }
    };
    let as_of = parse_as_of(query.as_of.as_deref(), query.known_at.as_deref())?;
    if as_of != AsOf::default() {
        let found = state.profiles.profile_as_of(&space, &person, events, as_of).await?;
        return shown(&state, &space, found, verbose).await;
    }
    let begun = Instant::now();
    let found = state.profiles.profile(&space, &person, events).await;
    Histogram::ProfileReadSeconds.observe(begun.elapsed());
    shown(&state, &space, found?, verbose).await
}

async fn shown(
    state: &Api,
    space: &SpaceId,
    found: Option<Profile>,
    verbose: bool,
) -> Result<Json<ProfileBody>, ApiError> {
    match found {
        Some(profile) => Ok(Json(body(profile, verbose))),
        None => Err(nobody_in(state, space).await),
    }
}

fn body(profile: Profile, verbose: bool) -> ProfileBody {
    let traits = |found: Vec<Trait>| found.into_iter().map(|found| shown_trait(found, verbose)).collect();
    ProfileBody {
        id: profile.id.to_string(),
        redirected_from: profile.redirected_from.map(|id| id.to_string()),
        as_of: moment(profile.as_of.and_then(|asked| asked.at)),
        known_at: moment(profile.as_of.and_then(|asked| match asked.known_at? {
            KnownAt::Instant(at) => Some(at),
            KnownAt::Now => None,
        })),
        created_at: profile.created_at.to_string(),
        updated_at: profile.updated_at.to_string(),
        traits: traits(profile.traits),
        computed_traits: traits(profile.computed_traits),
        identifiers: profile
            .identifiers
            .into_iter()
            .map(|found| IdentifierBody {
                kind: found.identifier.kind.to_string(),
                value: found.identifier.value.to_string(),
                source: name(found.source),
                created_at: moment(found.created_at),
                valid_from: moment(found.valid_from),
                valid_to: moment(found.valid_to),
            })
            .collect(),
        left_out: profile.left_out.into_iter().map(left_out).collect(),
        consents: profile
            .consents
            .into_iter()
            .map(|consent| ConsentBody {
                topic: consent.topic,
                status: consent.status,
                updated_at: moment(consent.updated_at),
            })
            .collect(),
        segments: profile
            .segments
            .into_iter()
            .map(|member| MembershipBody {
                name: member.segment,
                entered_at: moment(member.entered_at),
                approximate: member.approximate,
            })
            .collect(),
        accounts: profile
            .accounts
            .into_iter()
            .map(|account| AccountBody {
                group_id: account.group_id,
                source: name(account.source),
                created_at: moment(account.created_at),
            })
            .collect(),
        recent_events: profile.recent_events.into_iter().map(recent_event).collect(),
        limits_reached: profile.limits_reached,
    }
}

fn left_out((identifier, because): (Identifier, String)) -> LeftOutBody {
    LeftOutBody {
        kind: identifier.kind.to_string(),
        value: identifier.value.to_string(),
        because,
    }
}

pub(crate) fn shown_trait(found: Trait, verbose: bool) -> (String, RawJson) {
    if !verbose {
        return (found.name, found.value);
    }
    let alternatives = found.alternatives.into_iter().map(|other| AlternativeBody {
        value: other.value,
        source: other.source.to_string(),
        updated_at: other.updated_at.to_string(),
    });
    let body = TraitBody {
        value: found.value,
        source: name(found.source),
        updated_at: moment(found.updated_at),
        approximate: found.approximate,
        alternatives: alternatives.collect(),
    };
    (found.name, RawJson::of(&body))
}

fn recent_event(event: ProfileEvent) -> RecentEvent {
    RecentEvent {
        address: event.address.to_string(),
        kind: event.event_type.as_str(),
        name: event.name,
        event_time: event.event_time.to_string(),
        received_at: event.received_at.to_string(),
        source: event.source.to_string(),
        message_id: event.message_id,
        properties: event.properties,
    }
}

fn name(source: Option<SourceName>) -> Option<String> {
    source.map(|source| source.to_string())
}

fn moment(moment: Option<Timestamp>) -> Option<String> {
    moment.map(|moment| moment.to_string())
}
