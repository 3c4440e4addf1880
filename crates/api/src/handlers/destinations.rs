//! Destinations of audiences: how each stands, and pausing one. What they are is a definition like others.

use super::{Api, existing_space, is_defined};
use crate::error::{ApiError, ErrorBody};
use crate::extract::parse_space;
use crate::ports::Destination;
use axum::Json;
use axum::extract::Path;
use kith_catalog::DocumentKind;
use serde::Serialize;
use utoipa::ToSchema;

/// Destinations.
#[derive(Serialize, ToSchema)]
pub(crate) struct DestinationsBody {
    /// By name.
    destinations: Vec<DestinationBody>,
}

/// How a destination stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct DestinationBody {
    name: String,
    /// Where batches are posted to.
    endpoint: String,
    /// The segments it is told of; left out where it is told of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<String>>,
    /// Calls that the receiver took.
    sent: u64,
    /// Calls that it refused for good.
    refused: u64,
    /// Why the latest refusal was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refusal: Option<String>,
    /// Changes of people who have neither a user id nor an anonymous id, which are not told.
    nameless: u64,
    /// Changes that were gone before they could be told.
    missed: u64,
    /// Members who have still to be told that they are in.
    members_waiting: u64,
    /// Changes of the space that it has still to be told of or to pass over.
    changes_waiting: u64,
    /// The instant of the oldest of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_since: Option<String>,
    paused: bool,
    /// What holds it up, and is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at: Option<String>,
}

/// Whether a destination is told.
#[derive(Serialize, ToSchema)]
pub(crate) struct DestinationPauseBody {
    space: String,
    destination: String,
    paused: bool,
}

/// The destinations of a space, each with what it was told and what holds it up.
#[utoipa::path(
    get, path = "/api/spaces/{space}/destinations", operation_id = "list_destinations", tag = "destinations",
    params(("space", description = "The space.")),
    responses((status = 200, description = "The destinations.", body = DestinationsBody)),
)]
pub(crate) async fn list(state: Api, Path(space): Path<String>) -> Result<Json<DestinationsBody>, ApiError> {
    let listed = state.destinations.list(&existing_space(&state, &space).await?).await?;
    Ok(Json(DestinationsBody {
        destinations: listed.into_iter().map(body).collect(),
    }))
}

/// Stops telling a destination; what changes meanwhile waits.
#[utoipa::path(
    post, path = "/api/spaces/{space}/destinations/{destination}/pause", operation_id = "pause_destination",
    tag = "destinations",
    params(("space", description = "The space."), ("destination", description = "The destination's name.")),
    responses(
        (status = 200, description = "It is paused.", body = DestinationPauseBody),
        (status = 404, description = "There is no such destination.", body = ErrorBody),
    ),
)]
pub(crate) async fn pause_destination(
    state: Api,
    Path((space, destination)): Path<(String, String)>,
) -> Result<Json<DestinationPauseBody>, ApiError> {
    if !is_known(&state, &space, &destination).await? {
        return Err(unknown(&space, &destination));
    }
    set_paused(&state, space, destination, true).await
}

/// Goes on telling a destination, from where it stopped.
#[utoipa::path(
    post, path = "/api/spaces/{space}/destinations/{destination}/resume", operation_id = "resume_destination",
    tag = "destinations",
    params(("space", description = "The space."), ("destination", description = "The destination's name.")),
    responses(
        (status = 200, description = "It is told.", body = DestinationPauseBody),
        (status = 404, description = "There is no such destination, and none of the name is paused.", body = ErrorBody),
    ),
)]
pub(crate) async fn resume_destination(
    state: Api,
    Path((space, destination)): Path<(String, String)>,
) -> Result<Json<DestinationPauseBody>, ApiError> {
    set_paused(&state, space, destination, false).await
}

async fn is_known(state: &Api, space: &str, destination: &str) -> Result<bool, ApiError> {
    is_defined(state, &parse_space(space)?, DocumentKind::Destination, destination).await
}

fn unknown(space: &str, destination: &str) -> ApiError {
    ApiError::not_found(format!("there is no destination {destination} in space {space}"))
}

async fn set_paused(
    state: &Api,
    space: String,
    destination: String,
    paused: bool,
) -> Result<Json<DestinationPauseBody>, ApiError> {
    let named = parse_space(&space)?;
    let changed = state.destinations.pause(&named, &destination, paused).await?;
    // One that was removed while it was paused can still be resumed.
    if !changed && !is_known(state, &space, &destination).await? {
        return Err(unknown(&space, &destination));
    }
    Ok(Json(DestinationPauseBody {
        space,
        destination,
        paused,
    }))
}

fn body(stands: Destination) -> DestinationBody {
    DestinationBody {
        name: stands.name,
        endpoint: stands.endpoint,
        segments: stands.segments,
        sent: stands.sent,
        refused: stands.refused,
        last_refusal: stands.last_refusal,
        nameless: stands.nameless,
        missed: stands.missed,
        members_waiting: stands.members_waiting,
        changes_waiting: stands.changes_waiting,
        waiting_since: stands.waiting_since.map(|at| at.to_string()),
        paused: stands.paused,
        fault: stands.fault,
        retry_at: stands.retry_at.map(|at| at.to_string()),
    }
}
