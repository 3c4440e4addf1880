//! Spaces: listing, creating, and what each may send and hold.

use super::Api;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{blocking, parse_body, parse_space};
use crate::ports::PortError;
use axum::extract::Path;
use axum::{Extension, Json};
use bytes::Bytes;
use http::StatusCode;
use kith_catalog::{Document, Principal, Proposal, Space, SpaceLimits, SpaceUsage};
use kith_types::SpaceId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// A space to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateSpace {
    /// Its name: a letter, then at most 31 of a-z, 0-9 and _.
    name: String,
}

/// A space.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpaceBody {
    /// Its name.
    name: String,
    /// When it was made.
    created_at: String,
}

/// The spaces of the server.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpaceList {
    /// By name.
    spaces: Vec<SpaceBody>,
}

/// What a space may send and hold. What is left out is bounded by the server alone.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsBody {
    /// Events that the doors take in a second, on the average. Beyond it they answer 429 with `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events_per_second: Option<u64>,
    /// Events that may come at once after a silence; the events of one second unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burst_events: Option<u64>,
    /// Events of one batch: 2,500 unless given, and never more than 25,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch_events: Option<u64>,
    /// Bytes of one body, unpacked: 512,000 unless given, and never more than 1,048,576.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch_bytes: Option<u64>,
    /// Bytes of one event: 32,768 unless given, and at most 1,048,576. One that is larger is kept as a reject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_bytes: Option<u64>,
    /// Days in which a later copy of an event is dropped: 30 unless given, and at most 3,650. It holds for events that come
    /// from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dedupe_days: Option<u64>,
    /// Sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sources: Option<u64>,
    /// Definitions of every kind, but for the limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    definitions: Option<u64>,
    /// Segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    segments: Option<u64>,
    /// Computed traits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    computed_traits: Option<u64>,
}

/// What a space holds of that which is limited by number.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsageBody {
    /// Sources.
    sources: u64,
    /// Definitions of every kind, but for the limits.
    definitions: u64,
    /// Segments.
    segments: u64,
    /// Computed traits.
    computed_traits: u64,
}

/// The limits of a space beside what it holds.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpaceLimitsBody {
    /// The space.
    space: String,
    /// What it may send and hold.
    limits: LimitsBody,
    /// What it holds.
    usage: UsageBody,
    /// The decision's place in the log, where this request decided something.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
}

/// Lists the spaces.
#[utoipa::path(
    get, path = "/api/spaces", operation_id = "list_spaces", tag = "spaces",
    responses(
        (status = 200, description = "The spaces.", body = SpaceList),
        (status = 401, description = "No key.", body = ErrorBody),
    ),
)]
pub(crate) async fn list(state: Api) -> Result<Json<SpaceList>, ApiError> {
    let catalog = Arc::clone(&state.catalog);
    let spaces = blocking(move || Ok(catalog.spaces()?)).await?;
    Ok(Json(SpaceList {
        spaces: spaces.iter().map(body).collect(),
    }))
}

/// Creates a space.
#[utoipa::path(
    post, path = "/api/spaces", operation_id = "create_space", tag = "spaces",
    request_body = CreateSpace,
    responses(
        (status = 201, description = "It exists now.", body = SpaceBody),
        (status = 409, description = "It existed.", body = ErrorBody),
    ),
)]
pub(crate) async fn create(state: Api, request: Bytes) -> Result<(StatusCode, Json<SpaceBody>), ApiError> {
    let request: CreateSpace = parse_body(&request)?;
    let name = parse_space(&request.name)?;
    let catalog = Arc::clone(&state.catalog);
    let space = blocking(move || Ok(catalog.create_space(&name)?)).await?;
    Ok((StatusCode::CREATED, Json(body(&space))))
}

/// What a space may send and hold, and what it holds.
#[utoipa::path(
    get, path = "/api/spaces/{space}/limits", operation_id = "space_limits", tag = "spaces",
    params(("space", description = "The space.")),
    responses(
        (status = 200, description = "The limits.", body = SpaceLimitsBody),
        (status = 404, description = "No such space.", body = ErrorBody),
    ),
)]
pub(crate) async fn limits(state: Api, Path(space): Path<String>) -> Result<Json<SpaceLimitsBody>, ApiError> {
    let space = parse_space(&space)?;
    limits_now(&state, space, None).await
}

/// Sets the limits of a space, all of them at once: one decision, durable in the log, then in force.
#[utoipa::path(
    put, path = "/api/spaces/{space}/limits", operation_id = "set_space_limits", tag = "spaces",
    params(("space", description = "The space.")),
    request_body = LimitsBody,
    responses(
        (status = 200, description = "The limits that hold now.", body = SpaceLimitsBody),
        (status = 404, description = "No such space.", body = ErrorBody),
        (status = 422, description = "A limit must be mended; nothing was changed.", body = ErrorBody),
    ),
)]
pub(crate) async fn set_limits(
    state: Api,
    Path(space): Path<String>,
    Extension(principal): Extension<Principal>,
    request: Bytes,
) -> Result<Json<SpaceLimitsBody>, ApiError> {
    let space = parse_space(&space)?;
    let request: LimitsBody = parse_body(&request)?;
    let limits = SpaceLimits {
        events_per_second: request.events_per_second,
        burst_events: request.burst_events,
        batch_events: request.batch_events,
        batch_bytes: request.batch_bytes,
        event_bytes: request.event_bytes,
        dedupe_days: request.dedupe_days,
        sources: request.sources,
        definitions: request.definitions,
        segments: request.segments,
        computed_traits: request.computed_traits,
    };
    // What a document may say is judged in one place, for folders and for this.
    let document = Document::from_json("limits", limits.to_document().to_json());
    let document = document.map_err(|problem| in_words_of_limits(PortError::problems(vec![problem])))?;
    let proposal = Proposal {
        documents: vec![document],
        ..Proposal::default()
    };
    let applied = state
        .definitions
        .apply(&space, &proposal, &principal.key_name, "the limits of the space")
        .await
        .map_err(in_words_of_limits)?;
    limits_now(&state, space, applied.decided_by.map(|address| address.to_string())).await
}

/// Changes some limits of a space: a number sets one, `null` ends one, and what is left out stays as it is, also where others
/// change limits at the same time.
#[utoipa::path(
    patch, path = "/api/spaces/{space}/limits", operation_id = "change_space_limits", tag = "spaces",
    params(("space", description = "The space.")),
    request_body = LimitsBody,
    responses(
        (status = 200, description = "The limits that hold now.", body = SpaceLimitsBody),
        (status = 404, description = "No such space.", body = ErrorBody),
        (status = 422, description = "A limit must be mended; nothing was changed.", body = ErrorBody),
    ),
)]
pub(crate) async fn change_limits(
    state: Api,
    Path(space): Path<String>,
    Extension(principal): Extension<Principal>,
    request: Bytes,
) -> Result<Json<SpaceLimitsBody>, ApiError> {
    let space = parse_space(&space)?;
    let change = parse_body(&request)?;
    let applied = state
        .definitions
        .change_limits(&space, &change, &principal.key_name, "the limits of the space")
        .await
        .map_err(in_words_of_limits)?;
    limits_now(&state, space, applied.decided_by.map(|address| address.to_string())).await
}

/// Limits are a document of their own; whoever sets one need not know that.
fn in_words_of_limits(mut error: PortError) -> PortError {
    match error.problems.len() {
        0 => {}
        1 => "a limit must be mended; nothing was changed".clone_into(&mut error.message),
        wrong => error.message = format!("{wrong} limits must be mended; nothing was changed"),
    }
    error
}

async fn limits_now(
    state: &Api,
    space: SpaceId,
    decided_by: Option<String>,
) -> Result<Json<SpaceLimitsBody>, ApiError> {
    let catalog = Arc::clone(&state.catalog);
    let work = move || Ok((catalog.space_usage(&space)?, catalog.space_limits(&space), space));
    let (usage, limits, space) = blocking(work).await?;
    Ok(Json(SpaceLimitsBody {
        space: space.to_string(),
        limits: limits_body(&limits),
        usage: usage_body(usage),
        decided_by,
    }))
}

fn limits_body(limits: &SpaceLimits) -> LimitsBody {
    LimitsBody {
        events_per_second: limits.events_per_second,
        burst_events: limits.burst_events,
        batch_events: limits.batch_events,
        batch_bytes: limits.batch_bytes,
        event_bytes: limits.event_bytes,
        dedupe_days: limits.dedupe_days,
        sources: limits.sources,
        definitions: limits.definitions,
        segments: limits.segments,
        computed_traits: limits.computed_traits,
    }
}

fn usage_body(usage: SpaceUsage) -> UsageBody {
    UsageBody {
        sources: usage.sources,
        definitions: usage.definitions,
        segments: usage.segments,
        computed_traits: usage.computed_traits,
    }
}

fn body(space: &Space) -> SpaceBody {
    SpaceBody {
        name: space.name.to_string(),
        created_at: space.created_at.to_string(),
    }
}
