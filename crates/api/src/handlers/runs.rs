//! Runs of messages: counting the members whose entry was not live, confirming the count, following and stopping what is sent.

use super::{Api, existing_space};
use crate::error::{ApiError, ErrorBody};
use crate::extract::{parse_body, parse_limit, parse_moment, parse_name};
use crate::ports::{Run, RunRequest, RunTally};
use axum::extract::{Path, Query};
use axum::{Extension, Json};
use bytes::Bytes;
use kith_catalog::Principal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;
/// Author and reason together have at most so many bytes.
const REASON_BYTES_MAX: usize = 4_096;

/// For which members a message is counted.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RunAskedBody {
    /// Causes of their entries: `definition`, `import`, `regrouping`, and `unknown` for what was entered before causes were kept. All
    /// but the last unless given.
    causes: Vec<String>,
    /// Only those who entered at this instant or later.
    entered_after: Option<String>,
    /// Only those who entered at this instant or earlier. Who enters after the asking is no part of it anyway.
    entered_before: Option<String>,
    /// Who asks; the key's name unless given.
    author: Option<String>,
    /// Why.
    why: String,
}

/// What confirms a count.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunStartBody {
    /// To how many it was counted to send, as `counted.sends` said.
    count: u64,
    /// Who confirms it; the key's name unless given.
    author: Option<String>,
}

/// Who stops a run.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RunStopBody {
    /// The key's name unless given.
    author: Option<String>,
}

/// What the list of runs takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunsParameters {
    /// Only those of this message.
    message: Option<String>,
    /// At most so many, the newest: 20 unless given, at most 100.
    limit: Option<String>,
}

/// Runs.
#[derive(Serialize, ToSchema)]
pub(crate) struct RunsBody {
    /// The newest first.
    runs: Vec<RunBody>,
}

/// A run of a message.
#[derive(Serialize, ToSchema)]
pub(crate) struct RunBody {
    run: u64,
    message: String,
    /// The segment whose members it goes to.
    segment: String,
    /// `counting`, `counted`, `sending`, `delivering` (every member was looked at, and what was reserved is sent as it falls due), `done`,
    /// `stopping`, `stopped`, or `replaced` where it was asked for again and never started.
    state: &'static str,
    /// Why it was stopped: `asked`, `too_late`, `definition_removed` or `definition_changed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    causes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entered_after: Option<String>,
    entered_before: String,
    author: String,
    why: String,
    asked_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    /// What the count came to.
    counted: RunTallyBody,
    /// What sending came to so far.
    sent: RunTallyBody,
    /// What became of the sends that were reserved, by state.
    sends: BTreeMap<&'static str, u64>,
    /// What of them was skipped, by reason.
    skipped: BTreeMap<String, u64>,
}

/// What looking at members came to.
#[derive(Serialize, ToSchema)]
pub(crate) struct RunTallyBody {
    /// Members that were looked at.
    members: u64,
    /// To how many of them it would be sent, or was reserved.
    sends: u64,
    /// The others, by reason.
    left_out: BTreeMap<String, u64>,
}

/// Counts to how many members whose entry was not live a message would be sent. It sends nothing; what comes of it is at the run.
#[utoipa::path(
    post, path = "/api/spaces/{space}/messages/{message}/runs", operation_id = "count_message_run", tag = "messages",
    params(("space", description = "The space."), ("message", description = "The message's name.")),
    request_body = RunAskedBody,
    responses(
        (status = 200, description = "The run, which is being counted.", body = RunBody),
        (status = 400, description = "What is asked for cannot be read.", body = ErrorBody),
        (status = 404, description = "There is no such message.", body = ErrorBody),
        (status = 409, description = "Another run of the message is at work.", body = ErrorBody),
    ),
)]
pub(crate) async fn ask(
    state: Api,
    Path((space, message)): Path<(String, String)>,
    Extension(principal): Extension<Principal>,
    body: Bytes,
) -> Result<Json<RunBody>, ApiError> {
    let space = existing_space(&state, &space).await?;
    let body: RunAskedBody = or_default(&body)?;
    let author = author_of(body.author, principal, body.why.len())?;
    let asked = RunRequest {
        message,
        causes: body.causes,
        entered_after: parse_moment("entered_after", body.entered_after.as_deref())?,
        entered_before: parse_moment("entered_before", body.entered_before.as_deref())?,
        author,
        why: body.why,
    };
    Ok(Json(shown(state.runs.ask(&space, asked).await?)))
}

/// Confirms the count of a run, which sends from now on: to no more than were counted, each once. Doing so again changes nothing.
#[utoipa::path(
    post, path = "/api/spaces/{space}/messages/{message}/runs/{run}/start", operation_id = "start_message_run", tag = "messages",
    params(
        ("space", description = "The space."), ("message", description = "The message's name."),
        ("run", description = "The run's number."),
    ),
    request_body = RunStartBody,
    responses(
        (status = 200, description = "The run.", body = RunBody),
        (status = 400, description = "The run is no number, or what is asked for cannot be read.", body = ErrorBody),
        (status = 404, description = "There is no such run.", body = ErrorBody),
        (status = 409, description = "It was counted to another number, not yet, or more than a day ago.", body = ErrorBody),
    ),
)]
pub(crate) async fn start(
    state: Api,
    Path((space, message, run)): Path<(String, String, String)>,
    Extension(principal): Extension<Principal>,
    body: Bytes,
) -> Result<Json<RunBody>, ApiError> {
    let (space, run) = (existing_space(&state, &space).await?, parse_name(&run)?);
    let body: RunStartBody = parse_body(&body)?;
    let by = author_of(body.author, principal, 0)?;
    let started = state.runs.start(&space, &message, run, body.count, &by).await?;
    Ok(Json(shown(started)))
}

/// Stops a run at once: what of it still waits is not sent. What a mail server is being handed at that instant still leaves.
#[utoipa::path(
    post, path = "/api/spaces/{space}/messages/{message}/runs/{run}/stop", operation_id = "stop_message_run", tag = "messages",
    params(
        ("space", description = "The space."), ("message", description = "The message's name."),
        ("run", description = "The run's number."),
    ),
    request_body = RunStopBody,
    responses(
        (status = 200, description = "The run.", body = RunBody),
        (status = 400, description = "The run is no number, or what is asked for cannot be read.", body = ErrorBody),
        (status = 404, description = "There is no such run.", body = ErrorBody),
        (status = 409, description = "It has come to an end.", body = ErrorBody),
    ),
)]
pub(crate) async fn stop(
    state: Api,
    Path((space, message, run)): Path<(String, String, String)>,
    Extension(principal): Extension<Principal>,
    body: Bytes,
) -> Result<Json<RunBody>, ApiError> {
    let (space, run) = (existing_space(&state, &space).await?, parse_name(&run)?);
    let body: RunStopBody = or_default(&body)?;
    let by = author_of(body.author, principal, 0)?;
    Ok(Json(shown(state.runs.stop(&space, &message, run, &by).await?)))
}

/// The newest runs of a space, each with its count and what it came to.
#[utoipa::path(
    get, path = "/api/spaces/{space}/messages/runs", operation_id = "message_runs", tag = "messages",
    params(("space", description = "The space."), RunsParameters),
    responses(
        (status = 200, description = "The runs.", body = RunsBody),
        (status = 400, description = "A parameter that must be mended.", body = ErrorBody),
        (status = 404, description = "There is no such space.", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    state: Api,
    Path(space): Path<String>,
    Query(asked): Query<RunsParameters>,
) -> Result<Json<RunsBody>, ApiError> {
    let limit = parse_limit(asked.limit.as_deref(), LIMIT_DEFAULT, LIMIT_MAX)?;
    let space = existing_space(&state, &space).await?;
    let runs = state.runs.list(&space, asked.message.as_deref(), None, limit).await?;
    Ok(Json(RunsBody {
        runs: runs.into_iter().map(shown).collect(),
    }))
}

/// One run of a message.
#[utoipa::path(
    get, path = "/api/spaces/{space}/messages/{message}/runs/{run}", operation_id = "message_run", tag = "messages",
    params(
        ("space", description = "The space."), ("message", description = "The message's name."),
        ("run", description = "The run's number."),
    ),
    responses(
        (status = 200, description = "The run.", body = RunBody),
        (status = 400, description = "The run is no number.", body = ErrorBody),
        (status = 404, description = "There is no such run.", body = ErrorBody),
    ),
)]
pub(crate) async fn one(
    state: Api,
    Path((space, message, run)): Path<(String, String, String)>,
) -> Result<Json<RunBody>, ApiError> {
    let (space, run) = (existing_space(&state, &space).await?, parse_name(&run)?);
    let found = state.runs.list(&space, Some(&message), Some(run), 1).await?.pop();
    let missing = || ApiError::not_found(format!("there is no run {run} of message {message} in space {space}"));
    Ok(Json(shown(found.ok_or_else(missing)?)))
}

/// A body that may be left out.
fn or_default<T: Default + for<'a> Deserialize<'a>>(body: &Bytes) -> Result<T, ApiError> {
    if body.is_empty() {
        Ok(T::default())
    } else {
        parse_body(body)
    }
}

fn author_of(given: Option<String>, principal: Principal, why_bytes: usize) -> Result<String, ApiError> {
    let author = given.unwrap_or(principal.key_name);
    if author.len() + why_bytes > REASON_BYTES_MAX {
        return Err(ApiError::invalid(format!(
            "author and reason have at most {REASON_BYTES_MAX} bytes"
        )));
    }
    Ok(author)
}

fn shown(run: Run) -> RunBody {
    let (started_by, started_at) = run.started.unzip();
    RunBody {
        run: run.id,
        message: run.message,
        segment: run.segment.to_string(),
        state: run.state,
        reason: run.reason,
        causes: run.causes,
        entered_after: run.entered_after.map(|at| at.to_string()),
        entered_before: run.entered_before.to_string(),
        author: run.author,
        why: run.why,
        asked_at: run.asked_at.to_string(),
        started_by,
        started_at: started_at.map(|at| at.to_string()),
        stopped_by: run.stopped_by,
        ended_at: run.ended_at.map(|at| at.to_string()),
        counted: tally(run.counted),
        sent: tally(run.sent),
        sends: run.sends,
        skipped: run.skipped,
    }
}

fn tally(tally: RunTally) -> RunTallyBody {
    RunTallyBody {
        members: tally.members,
        sends: tally.sends,
        left_out: tally.left_out,
    }
}
