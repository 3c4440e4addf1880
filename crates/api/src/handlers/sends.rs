//! Sends of messages: where each stands and why. Addresses are left out: the profile has them.

use super::{Api, existing_space};
use crate::error::{ApiError, ErrorBody};
use crate::extract::{parse_limit, parse_name};
use crate::ports::{MessageCount, MessageSend, SendsQuery};
use axum::Json;
use axum::extract::{Path, Query};
use kith_types::ProfileId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// What the list of sends takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SendsParameters {
    /// Only those to this profile.
    profile: Option<String>,
    /// Only those of this message.
    message: Option<String>,
    /// At most so many, the newest: 100 unless given, at most 1,000.
    limit: Option<String>,
}

/// Sends.
#[derive(Serialize, ToSchema)]
pub(crate) struct SendsBody {
    /// The newest first.
    sends: Vec<SendBody>,
}

/// A send of a message.
#[derive(Serialize, ToSchema)]
pub(crate) struct SendBody {
    /// The `send_id` of the events about it.
    send_id: String,
    message: String,
    /// The segment that was entered.
    segment: String,
    profile_id: String,
    entered_at: String,
    /// `reserved`, `attempting`, `accepted`, `rejected`, `unknown` or `skipped`.
    state: &'static str,
    /// Why it waits (`quiet_hours`, what a mail server said), was skipped or was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How often it was handed to the channel.
    attempts: u32,
    /// When it is tried, where it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
}

/// The newest sends of a space, each with where it stands and why.
#[utoipa::path(
    get, path = "/api/spaces/{space}/messages/sends", operation_id = "message_sends", tag = "messages",
    params(("space", description = "The space."), SendsParameters),
    responses(
        (status = 200, description = "The sends.", body = SendsBody),
        (status = 400, description = "A parameter that must be mended.", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    state: Api,
    Path(space): Path<String>,
    Query(asked): Query<SendsParameters>,
) -> Result<Json<SendsBody>, ApiError> {
    let profile = asked.profile.as_deref().map(parse_name::<ProfileId>).transpose()?;
    let query = SendsQuery {
        profile,
        message: asked.message,
        limit: parse_limit(asked.limit.as_deref(), LIMIT_DEFAULT, LIMIT_MAX)?,
    };
    let sends = state
        .operations
        .message_sends(&existing_space(&state, &space).await?, query)
        .await?;
    Ok(Json(SendsBody {
        sends: sends.into_iter().map(body).collect(),
    }))
}

fn body(send: MessageSend) -> SendBody {
    SendBody {
        send_id: send.send_id,
        message: send.message,
        segment: send.segment.to_string(),
        profile_id: send.profile.to_string(),
        entered_at: send.entered_at.to_string(),
        state: send.state,
        reason: send.reason,
        attempts: send.attempts,
        due_at: send.due_at.map(|at| at.to_string()),
    }
}

/// What the entries of messages came to.
#[derive(Serialize, ToSchema)]
pub(crate) struct CountsBody {
    /// By message, state and reason.
    counts: Vec<CountBody>,
}

/// How many entries of a message came to something.
#[derive(Serialize, ToSchema)]
pub(crate) struct CountBody {
    message: String,
    /// A state of sends, or `not_live`: the entries happened by an import, a definition or a regrouping, and sent nothing.
    state: &'static str,
    /// Why, of what was `skipped`; the cause, of what was `not_live`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    count: u64,
}

/// What the entries of each message of a space came to: how many sends stand where, what was left out and why, and how many
/// entries sent nothing because they did not happen live.
#[utoipa::path(
    get, path = "/api/spaces/{space}/messages/counts", operation_id = "message_counts", tag = "messages",
    params(("space", description = "The space.")),
    responses((status = 200, description = "The counts.", body = CountsBody)),
)]
pub(crate) async fn counts(state: Api, Path(space): Path<String>) -> Result<Json<CountsBody>, ApiError> {
    let counts = state
        .operations
        .message_counts(&existing_space(&state, &space).await?)
        .await?;
    let body = |one: MessageCount| CountBody {
        message: one.message,
        state: one.state,
        reason: one.reason,
        count: one.count,
    };
    Ok(Json(CountsBody {
        counts: counts.into_iter().map(body).collect(),
    }))
}
