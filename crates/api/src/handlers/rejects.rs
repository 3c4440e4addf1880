//! Rejects: putting them through again after their cause is mended.

use super::{Api, existing_space};
use crate::error::{ApiError, ErrorBody};
use crate::extract::{parse_body, parse_name};
use crate::ports::ReplayRejects;
use axum::extract::Path;
use axum::{Extension, Json};
use bytes::Bytes;
use kith_catalog::Principal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which rejects, and under which limits.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ReplayBody {
    /// What the answer before gave as `next`: a call takes about 100,000 rejects.
    after: Option<u64>,
    /// Only those of this source.
    source: Option<String>,
    /// Only those with this reason, such as `event_too_large`.
    reason: Option<String>,
    /// How many bytes an event may have.
    event_bytes: Option<usize>,
    /// How many bytes a body may have.
    batch_bytes: Option<usize>,
    /// How many events a body may have.
    batch_events: Option<usize>,
    /// Who decides; the key's name unless given.
    author: Option<String>,
    /// Why.
    why: Option<String>,
}

/// What was put through.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReplayedBody {
    /// Rejects that were looked at.
    rejects: u64,
    /// Events of them that are accepted now and did not count before.
    accepted: u64,
    /// Events of them that are accepted now and count already: nothing was decided about them.
    counted: u64,
    /// What to ask with as `after` for the rejects that follow, where there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    /// The decisions in the log.
    decided_by: Vec<String>,
}

/// Puts rejects of a space through again, as a decision in the log. What counts already is left out.
#[utoipa::path(
    post, path = "/api/spaces/{space}/rejects/replay", operation_id = "replay_rejects", tag = "operations",
    params(("space", description = "The space.")),
    request_body = ReplayBody,
    responses(
        (status = 200, description = "What was put through.", body = ReplayedBody),
        (status = 400, description = "What is asked for cannot be read, or is beyond a limit.", body = ErrorBody),
    ),
)]
pub(crate) async fn replay(
    state: Api,
    Path(space): Path<String>,
    Extension(principal): Extension<Principal>,
    body: Bytes,
) -> Result<Json<ReplayedBody>, ApiError> {
    let space = existing_space(&state, &space).await?;
    let body: ReplayBody = match body.is_empty() {
        true => ReplayBody::default(),
        false => parse_body(&body)?,
    };
    let asked = ReplayRejects {
        after: body.after,
        source: body.source.as_deref().map(parse_name).transpose()?,
        reason: body.reason,
        event_bytes: body.event_bytes,
        batch_bytes: body.batch_bytes,
        batch_events: body.batch_events,
        author: body.author.unwrap_or(principal.key_name),
        why: body.why.unwrap_or_default(),
    };
    let replayed = state.operations.replay_rejects(&space, asked).await?;
    Ok(Json(ReplayedBody {
        rejects: replayed.rejects,
        accepted: replayed.accepted,
        counted: replayed.counted,
        next: replayed.next,
        decided_by: replayed.decided_by.iter().map(ToString::to_string).collect(),
    }))
}
