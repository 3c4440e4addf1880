//! Accounts: one call for an account with its people, and Segment's Profile API over the collection `accounts`.

use super::Api;
use super::profile_api::{LIMIT_DEFAULT, LIMITS, LINKS, ListQuery, Listing, Person, list_name};
use super::profile_api_shape::{Cursor, ExternalId, ExternalIdsBody, LinksBody, TraitsBody, account_entries};
use super::profiles::shown_trait;
use crate::RawJson;
use crate::cursor;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{parse_flag, parse_limit, parse_space};
use crate::ports::{AccountMembers, AccountProfile};
use axum::Json;
use axum::extract::{Path, Query};
use http::Uri;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// The longest id of an account that is looked up, in bytes.
const GROUP_ID_BYTES_MAX: usize = 1_024;
/// People that come with an account unless asked otherwise, and at most.
const MEMBERS: (usize, usize) = (20, 1_000);

/// What the call takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AccountQuery {
    /// Whether traits come with their source, time and what other sources say.
    verbose: Option<String>,
    /// How many of its people come with it: 20 unless given, at most 1,000. There may be fewer though more follow.
    limit: Option<String>,
    /// What the answer before gave as `members_next`.
    next: Option<String>,
}

/// An account.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountProfileBody {
    /// The account's id.
    group_id: String,
    /// When its first event happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    /// When its last event happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    /// How many events name it.
    event_count: u64,
    /// By name; with `verbose`, each an object.
    traits: BTreeMap<String, RawJson>,
    /// Some of its people, in an order that stays.
    members: Vec<AccountMemberBody>,
    /// What to ask for the next of them with; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    members_next: Option<String>,
    /// Which limits were reached, so that what they bound is approximate.
    limits_reached: Vec<String>,
}

/// Somebody who belongs to an account.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountMemberBody {
    profile_id: String,
    source: String,
    since: String,
}

/// An account by its id.
#[utoipa::path(
    get, path = "/api/spaces/{space}/accounts/{group_id}", operation_id = "get_account", tag = "profiles",
    params(
        ("space", description = "The space."),
        ("group_id", description = "The groupId that events send."),
        AccountQuery,
    ),
    responses(
        (status = 200, description = "The account.", body = AccountProfileBody),
        (status = 404, description = "No event names it.", body = ErrorBody),
    ),
)]
pub(crate) async fn account(
    state: Api,
    Path(path): Person,
    Query(query): Query<AccountQuery>,
) -> Result<Json<AccountProfileBody>, ApiError> {
    let verbose = parse_flag("verbose", query.verbose.as_deref())?;
    let limit = parse_limit(query.limit.as_deref(), MEMBERS.0, MEMBERS.1)?;
    let list = list_name("account members", &path);
    let from = cursor::read(&list, query.next.as_deref())?;
    let found = read_account(&state, &path.0, &path.1).await?;
    let people = read_members(&state, &path.0, &path.1, from.as_deref(), limit).await?;
    let moment = |moment: Option<kith_types::Timestamp>| moment.map(|moment| moment.to_string());
    let members = people.members.into_iter().map(|member| AccountMemberBody {
        profile_id: member.profile.to_string(),
        source: member.source.to_string(),
        since: member.since.to_string(),
    });
    Ok(Json(AccountProfileBody {
        group_id: found.group_id,
        created_at: moment(found.created_at),
        updated_at: moment(found.updated_at),
        event_count: found.event_count,
        traits: found
            .traits
            .into_iter()
            .map(|found| shown_trait(found, verbose))
            .collect(),
        members: members.collect(),
        members_next: people.next.map(|place| cursor::write(&list, &place)),
        limits_reached: found.limits_reached,
    }))
}

/// An account's traits.
#[utoipa::path(
    get, path = "/v1/spaces/{space}/collections/accounts/profiles/{identifier}/traits",
    operation_id = "profile_api_account_traits",
    tag = "profile api",
    params(
        ("space", description = "The space."),
        ("identifier", description = "group_id:value, such as group_id:acme."),
        ListQuery,
    ),
    responses(
        (status = 200, description = "The traits.", body = TraitsBody),
        (status = 404, description = "No event names it.", body = ErrorBody),
    ),
)]
pub(crate) async fn account_traits(
    state: Api,
    Path(path): Person,
    Query(query): Query<ListQuery>,
    uri: Uri,
) -> Result<Json<TraitsBody>, ApiError> {
    let verbose = parse_flag("verbose", query.verbose.as_deref())?;
    let listing = Listing::new("account traits", &path, &query, LIMITS, &uri)?;
    let entries = account_entries(named_account(&state, &path).await?.traits);
    Ok(Json(listing.traits(entries, &query, verbose)))
}

/// An account's identifier.
#[utoipa::path(
    get, path = "/v1/spaces/{space}/collections/accounts/profiles/{identifier}/external_ids",
    operation_id = "profile_api_account_external_ids",
    tag = "profile api",
    params(
        ("space", description = "The space."),
        ("identifier", description = "group_id:value, such as group_id:acme."),
    ),
    responses(
        (status = 200, description = "The identifier.", body = ExternalIdsBody),
        (status = 404, description = "No event names it.", body = ErrorBody),
    ),
)]
pub(crate) async fn account_external_ids(
    state: Api,
    Path(path): Person,
    uri: Uri,
) -> Result<Json<ExternalIdsBody>, ApiError> {
    let found = named_account(&state, &path).await?;
    let list = list_name("account external_ids", &path);
    Ok(Json(ExternalIdsBody {
        data: vec![ExternalId::of_account(found.group_id, None, found.created_at)],
        cursor: Cursor::new(uri.path().to_owned(), &list, LIMIT_DEFAULT, None),
    }))
}

/// The people of an account, each by their profile id.
#[utoipa::path(
    get, path = "/v1/spaces/{space}/collections/accounts/profiles/{identifier}/links",
    operation_id = "profile_api_account_links",
    tag = "profile api",
    params(
        ("space", description = "The space."),
        ("identifier", description = "group_id:value, such as group_id:acme."),
        ListQuery,
    ),
    responses(
        (status = 200, description = "The people.", body = LinksBody),
        (status = 404, description = "No event names it.", body = ErrorBody),
    ),
)]
pub(crate) async fn account_links(
    state: Api,
    Path(path): Person,
    Query(query): Query<ListQuery>,
    uri: Uri,
) -> Result<Json<LinksBody>, ApiError> {
    let listing = Listing::new("account links", &path, &query, LINKS, &uri)?;
    let group_id = group_id_of(&path.1)?;
    if listing.after.is_none() {
        read_account(&state, &path.0, group_id).await?;
    }
    let after = listing.after.as_deref();
    let people = read_members(&state, &path.0, group_id, after, listing.limit).await?;
    Ok(Json(LinksBody {
        data: people.members.into_iter().map(Into::into).collect(),
        cursor: listing.cursor(people.next.as_deref()),
    }))
}

async fn named_account(state: &Api, (space, identifier): &(String, String)) -> Result<AccountProfile, ApiError> {
    read_account(state, space, group_id_of(identifier)?).await
}

fn group_id_of(identifier: &str) -> Result<&str, ApiError> {
    let wrong = || ApiError::invalid("name an account as group_id:value, such as group_id:acme");
    identifier.strip_prefix("group_id:").ok_or_else(wrong)
}

fn check_length(group_id: &str) -> Result<(), ApiError> {
    if group_id.len() > GROUP_ID_BYTES_MAX {
        let what = format!("the id of an account has at most {GROUP_ID_BYTES_MAX} bytes");
        return Err(ApiError::invalid(what));
    }
    Ok(())
}

async fn read_members(
    state: &Api,
    space: &str,
    group_id: &str,
    from: Option<&str>,
    limit: usize,
) -> Result<AccountMembers, ApiError> {
    let space = parse_space(space)?;
    check_length(group_id)?;
    Ok(state.profiles.account_members(&space, group_id, from, limit).await?)
}

async fn read_account(state: &Api, space: &str, group_id: &str) -> Result<AccountProfile, ApiError> {
    let space = parse_space(space)?;
    check_length(group_id)?;
    let found = state.profiles.account(&space, group_id).await?;
    found.ok_or_else(|| ApiError::not_found("Account was not found."))
}
