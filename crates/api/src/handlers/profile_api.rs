//! Segment's Profile API, so that its clients read from Kith with only their host changed.
//!
//! Every list is in a fixed order and goes on from the last item shown, so a change meanwhile neither repeats nor skips
//! what stays.

use super::Api;
use super::profile_api_shape::{
    Cursor, EventBody, EventsBody, ExternalId, ExternalIdsBody, Link, LinksBody, MetadataBody, TraitClass, TraitEntry,
    TraitsBody, trait_entries, traits_body,
};
use crate::cursor;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{parse_flag, parse_limit, parse_list, parse_moment, parse_person, parse_space};
use crate::ports::{EventQuery, Profile};
use axum::Json;
use axum::extract::{Path, Query};
use http::Uri;
use kith_telemetry::Histogram;
use kith_types::{Address, Timestamp};
use serde::Deserialize;
use std::time::Instant;
use utoipa::IntoParams;

pub(crate) const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 200;
/// How many items a page has unless asked otherwise, and at most.
pub(crate) const LIMITS: (usize, usize) = (LIMIT_DEFAULT, LIMIT_MAX);
/// The same of accounts, and of their people, as Segment has it.
pub(crate) const LINKS: (usize, usize) = (20, 20);

/// What the lists take.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// `trait`, `computed_trait` or `audience`; all of them unless given.
    pub(crate) class: Option<String>,
    /// Only these, parted by commas.
    pub(crate) include: Option<String>,
    /// The most items of a page: 10 unless given, at most 200.
    pub(crate) limit: Option<String>,
    /// Whether values come with their source and time.
    pub(crate) verbose: Option<String>,
    /// What the page before gave as `cursor.next`.
    pub(crate) next: Option<String>,
}

/// What the list of events takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Only events of these names, parted by commas.
    include: Option<String>,
    /// No events of these names, parted by commas.
    exclude: Option<String>,
    /// The most events of a page: 10 unless given, at most 200.
    limit: Option<String>,
    /// `asc` or `desc`; latest first unless given.
    sort: Option<String>,
    /// Only events at or after this moment.
    start: Option<String>,
    /// Only events before this moment.
    end: Option<String>,
    /// What the page before gave as `cursor.next`.
    next: Option<String>,
}

/// What the metadata takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct MetadataQuery {
    /// `true` or `false`, for clients that send it: all of it is told either way.
    verbose: Option<String>,
}

/// The path of a list.
pub(crate) type Person = Path<(String, String)>;

/// A person's traits, computed traits and segments.
#[utoipa::path(
    get, path = "/v1/spaces/{space}/collections/users/profiles/{identifier}/traits",
    operation_id = "profile_api_traits",
    tag = "profile api",
    params(
        ("space", description = "The space."),
        ("identifier", description = "type:value, such as user_id:u1."),
        ListQuery,
    ),
    responses(
        (status = 200, description = "The traits.", body = TraitsBody),
        (status = 404, description = "Nobody has it.", body = ErrorBody),
    ),
)]
pub(crate) async fn traits(
    state: Api,
    Path(path): Person,
    Query(query): Query<ListQuery>,
    uri: Uri,
) -> Result<Json<TraitsBody>, ApiError> {
    let class = query.class.as_deref().map(|name| {
        TraitClass::from_name(name).ok_or_else(|| ApiError::invalid("class must be trait, computed_trait or audience"))
    });
    let (class, verbose) = (class.transpose()?, parse_flag("verbose", query.verbose.as_deref())?);
    let listing = Listing::new("traits", &path, &query, LIMITS, &uri)?;
    let entries = trait_entries(read_profile(&state, &path).await?, class);
    Ok(Json(listing.traits(entries, &query, verbose)))
}

/// A person's identifiers.
#[utoipa::path(
    get, path = "/v1/spaces/{space}/collections/users/profiles/{identifier}/external_ids",
    operation_id = "profile_api_external_ids",
    tag = "profile api",
    params(
        ("space", description = "The space."),
        ("identifier", description = "type:value, such as user_id:u1."),
        ListQuery,
    ),
    responses(
        (status = 200, description = "The identifiers.", body = ExternalIdsBody),
        (status = 404, description = "Nobody has it.", body = ErrorBody),
    ),
)]
pub(crate) async fn external_ids(
    state: Api,
    Path(path): Person,
    Query(query): Query<ListQuery>,
    uri: Uri,
) -> Result<Json<ExternalIdsBody>, ApiError> {
    let listing = Listing::new("external_ids", &path, &query, LIMITS, &uri)?;
    let include = parse_list(query.include.as_deref());
    let mut found = read_profile(&state, &path).await?.identifiers;
    found.retain(|entry| include.is_empty() || include.iter().any(|kind| kind == entry.identifier.kind.as_str()));
    found.sort_by_cached_key(|entry| entry.identifier.to_string());
    let (page, cursor) = listing.page(found.into_iter(), |entry| entry.identifier.to_string());
    let data = page.into_iter().map(ExternalId::of_person).collect();
    Ok(Json(ExternalIdsBody { data, cursor }))
}

/// A person's events.
#[utoipa::path(
    get, path = "/v1/spaces/{space}/collections/users/profiles/{identifier}/events",
    operation_id = "profile_api_events",
    tag = "profile api",
    params(
        ("space", description = "The space."),
        ("identifier", description = "type:value, such as user_id:u1."),
        EventsQuery,
    ),
    responses(
        (status = 200, description = "The events.", body = EventsBody),
        (status = 404, description = "Nobody has it.", body = ErrorBody),
    ),
)]
pub(crate) async fn events(
    state: Api,
    Path(path): Person,
    Query(query): Query<EventsQuery>,
    uri: Uri,
) -> Result<Json<EventsBody>, ApiError> {
    let ascending = match query.sort.as_deref() {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(ApiError::invalid("sort must be asc or desc")),
    };
    let limit = parse_limit(query.limit.as_deref(), LIMIT_DEFAULT, LIMIT_MAX)?;
    let list = list_name(if ascending { "events asc" } else { "events desc" }, &path);
    let after = cursor::read(&list, query.next.as_deref())?
        .map(|place| read_event_place(&place))
        .transpose()?;
    let wanted = EventQuery {
        limit,
        ascending,
        after,
        include: parse_list(query.include.as_deref()),
        exclude: parse_list(query.exclude.as_deref()),
        start: parse_moment("start", query.start.as_deref())?,
        end: parse_moment("end", query.end.as_deref())?,
    };
    let (space, person) = (parse_space(&path.0)?, parse_person(&path.1)?);
    let found = state
        .profiles
        .events(&space, &person, &wanted)
        .await?
        .ok_or_else(nobody)?;
    let place = found
        .next
        .map(|(time, address)| format!("{} {address}", time.as_micros()));
    let data = found
        .events
        .into_iter()
        .map(|event| EventBody::new(event, found.profile))
        .collect();
    Ok(Json(EventsBody {
        data,
        cursor: Cursor::new(uri.path().to_owned(), &list, limit, place.as_deref()),
    }))
}

/// When and whence a profile came.
#[utoipa::path(
    get, path = "/v1/spaces/{space}/collections/users/profiles/{identifier}/metadata",
    operation_id = "profile_api_metadata",
    tag = "profile api",
    params(
        ("space", description = "The space."),
        ("identifier", description = "type:value, such as user_id:u1."),
        MetadataQuery,
    ),
    responses(
        (status = 200, description = "The metadata.", body = MetadataBody),
        (status = 404, description = "Nobody has it.", body = ErrorBody),
    ),
)]
pub(crate) async fn metadata(
    state: Api,
    Path(path): Person,
    Query(query): Query<MetadataQuery>,
) -> Result<Json<MetadataBody>, ApiError> {
    parse_flag("verbose", query.verbose.as_deref())?;
    Ok(Json(read_profile(&state, &path).await?.into()))
}

/// The accounts that a person belongs to.
#[utoipa::path(
    get, path = "/v1/spaces/{space}/collections/users/profiles/{identifier}/links",
    operation_id = "profile_api_links",
    tag = "profile api",
    params(
        ("space", description = "The space."),
        ("identifier", description = "type:value, such as user_id:u1."),
        ListQuery,
    ),
    responses(
        (status = 200, description = "The accounts.", body = LinksBody),
        (status = 404, description = "Nobody has it.", body = ErrorBody),
    ),
)]
pub(crate) async fn links(
    state: Api,
    Path(path): Person,
    Query(query): Query<ListQuery>,
    uri: Uri,
) -> Result<Json<LinksBody>, ApiError> {
    let listing = Listing::new("links", &path, &query, LINKS, &uri)?;
    let mut accounts = read_profile(&state, &path).await?.accounts;
    accounts.sort_by(|one, other| one.group_id.cmp(&other.group_id));
    let (page, cursor) = listing.page(accounts.into_iter(), |account| account.group_id.clone());
    let data = page.into_iter().map(Link::from).collect();
    Ok(Json(LinksBody { data, cursor }))
}

async fn read_profile(state: &Api, path: &(String, String)) -> Result<Profile, ApiError> {
    let (space, person) = (parse_space(&path.0)?, parse_person(&path.1)?);
    let begun = Instant::now();
    let found = state.profiles.profile(&space, &person, 0).await;
    Histogram::ProfileReadSeconds.observe(begun.elapsed());
    found?.ok_or_else(nobody)
}

/// The answer where nobody has an identifier. It does not repeat it.
pub(crate) fn nobody() -> ApiError {
    ApiError::not_found("Profile was not found.")
}

pub(crate) fn list_name(list: &str, (space, person): &(String, String)) -> String {
    format!("{list}\n{space}\n{person}")
}

/// A list that is asked for in pages: of people's and of accounts' things alike.
pub(crate) struct Listing {
    list: String,
    path: String,
    pub(crate) limit: usize,
    /// The place of the last item of the page before.
    pub(crate) after: Option<String>,
}

impl Listing {
    /// The list of that name under a path, as a request asks for it; `limits` are the items of a page unless asked
    /// otherwise, and at most.
    pub(crate) fn new(
        name: &str,
        path: &(String, String),
        query: &ListQuery,
        limits: (usize, usize),
        uri: &Uri,
    ) -> Result<Self, ApiError> {
        let list = list_name(name, path);
        Ok(Self {
            limit: parse_limit(query.limit.as_deref(), limits.0, limits.1)?,
            after: cursor::read(&list, query.next.as_deref())?,
            path: uri.path().to_owned(),
            list,
        })
    }

    /// The items after the page before in the order of their places, and where to go on.
    pub(crate) fn page<T>(&self, items: impl Iterator<Item = T>, place: impl Fn(&T) -> String) -> (Vec<T>, Cursor) {
        let after = self.after.as_deref();
        let mut page: Vec<T> = items
            .filter(|item| after.is_none_or(|after| place(item).as_str() > after))
            .take(self.limit + 1)
            .collect();
        let more = page.len() > self.limit;
        page.truncate(self.limit);
        let last = page.last().filter(|_| more).map(place);
        (page, self.cursor(last.as_deref()))
    }

    /// A page of traits, those that the request asks for.
    pub(crate) fn traits(
        &self,
        entries: impl IntoIterator<Item = (String, TraitEntry)>,
        query: &ListQuery,
        verbose: bool,
    ) -> TraitsBody {
        let include = parse_list(query.include.as_deref());
        let wanted = |(name, _): &(String, TraitEntry)| include.is_empty() || include.contains(name);
        let (page, cursor) = self.page(entries.into_iter().filter(wanted), |(name, _)| name.clone());
        traits_body(page, verbose, cursor)
    }

    /// The cursor of a page that goes on after a place.
    pub(crate) fn cursor(&self, place: Option<&str>) -> Cursor {
        Cursor::new(self.path.clone(), &self.list, self.limit, place)
    }
}

fn read_event_place(place: &str) -> Result<(Timestamp, Address), ApiError> {
    let parsed = place
        .split_once(' ')
        .and_then(|(micros, address)| Some((Timestamp::from_micros(micros.parse().ok()?), address.parse().ok()?)));
    parsed.ok_or_else(|| ApiError::invalid("next is not a cursor of this list"))
}
