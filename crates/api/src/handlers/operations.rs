//! Running the server: status, flush, proofs, pausing what sends.

use super::{Api, existing_space, is_defined};
use crate::error::{ApiError, ErrorBody};
use crate::extract::parse_space;
use crate::ports::{PauseScope, RefoldStatus, StageStatus, Status, TableStatus};
use crate::stream::ndjson;
use axum::Json;
use axum::extract::Path;
use axum::response::Response;
use kith_catalog::DocumentKind;
use serde::Serialize;
use utoipa::ToSchema;

/// The server's state.
#[derive(Serialize, ToSchema)]
pub(crate) struct StatusBody {
    version: String,
    started_at: String,
    /// In the order of the flow.
    stages: Vec<StageBody>,
    /// Definitions whose history is being folded.
    refolds: Vec<RefoldBody>,
    /// Other rules of identity that are only asked about, while that is worked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<RefoldBody>,
    tables: Vec<TableBody>,
    /// What sends nothing at present, such as `everything`, `space main`, `message welcome of space main`.
    messages_paused: Vec<String>,
}

/// How far a stage has come.
#[derive(Serialize, ToSchema)]
pub(crate) struct StageBody {
    name: String,
    /// The last record it has taken.
    through: Option<String>,
    /// How many records it has still to take; of a destination, changes of membership.
    lag_records: u64,
    /// The age of the oldest of these.
    lag_millis: u64,
    /// What holds it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// What its records wait for that nobody has to mend, such as `changed rules of identity of main`; `refolds` says how far that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
}

/// A definition whose history is being folded.
#[derive(Serialize, ToSchema)]
pub(crate) struct RefoldBody {
    space: String,
    definition: String,
    records_done: u64,
    records_total: u64,
    /// Since when, where that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// About when what is being done ends, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_about: Option<String>,
    /// Whether every segment has its members already: what is left is written down and changes none.
    live: bool,
}

/// How fresh a table is.
#[derive(Serialize, ToSchema)]
pub(crate) struct TableBody {
    name: String,
    rows: u64,
    committed_at: Option<String>,
}

/// What a flush reached.
#[derive(Serialize, ToSchema)]
pub(crate) struct FlushBody {
    /// The last record that all stages have passed.
    through: Option<String>,
    tables: Vec<TableBody>,
}

/// What proving the raw zone found.
#[derive(Serialize, ToSchema)]
pub(crate) struct RawBody {
    /// Whether nothing is missing or damaged.
    sound: bool,
    objects: u64,
    records: u64,
    bytes: u64,
    /// One line each.
    faults: Vec<String>,
    /// Records that are not there for a cause on record, such as a loss that was accepted; one line each.
    notes: Vec<String>,
}

/// Whether something sends.
#[derive(Serialize, ToSchema)]
pub(crate) struct PauseBody {
    /// The space; left out where it is about everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    space: Option<String>,
    /// The message; left out where it is about the whole space.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    paused: bool,
}

/// Lag and freshness of every stage, and the progress of refolds.
#[utoipa::path(
    get, path = "/api/status", operation_id = "get_status", tag = "operations",
    responses((status = 200, description = "The state.", body = StatusBody)),
)]
pub(crate) async fn status(state: Api) -> Result<Json<StatusBody>, ApiError> {
    Ok(Json(status_body(state.operations.status().await?)))
}

/// Seals and commits everything that is in the log now, and answers when that is done.
#[utoipa::path(
    post, path = "/api/flush", operation_id = "flush", tag = "operations",
    responses(
        (status = 200, description = "It is done.", body = FlushBody),
        (status = 503, description = "It could not be done.", body = ErrorBody),
    ),
)]
pub(crate) async fn flush(state: Api) -> Result<Json<FlushBody>, ApiError> {
    let report = state.operations.flush().await?;
    Ok(Json(FlushBody {
        through: report.through.map(|address| address.to_string()),
        tables: report.tables.into_iter().map(table_body).collect(),
    }))
}

/// Proves the hashes of the raw zone and that no address is missing.
#[utoipa::path(
    post, path = "/api/raw/verify", operation_id = "verify_raw", tag = "operations",
    responses((status = 200, description = "What was found.", body = RawBody)),
)]
pub(crate) async fn verify_raw(state: Api) -> Result<Json<RawBody>, ApiError> {
    let found = state.operations.verify_raw().await?;
    let sound = found.faults.is_empty();
    Ok(Json(RawBody {
        sound,
        objects: found.objects,
        records: found.records,
        bytes: found.bytes,
        faults: found.faults,
        notes: found.notes,
    }))
}

/// Replays raw into fresh state and compares it byte by byte. Lines tell the progress; the last has `done` and `equal`.
#[utoipa::path(
    post, path = "/api/rebuild/verify", operation_id = "verify_rebuild", tag = "operations",
    responses(
        (
            status = 200,
            description = "The progress, one JSON object a line.",
            content_type = "application/x-ndjson",
            body = String,
        ),
    ),
)]
pub(crate) async fn verify_rebuild(state: Api) -> Result<Response, ApiError> {
    Ok(ndjson(state.operations.verify_rebuild().await?))
}

/// Pauses everything that sends in a space; what is due meanwhile waits.
#[utoipa::path(
    post, path = "/api/spaces/{space}/messages/pause", operation_id = "pause_messages", tag = "messages",
    params(("space", description = "The space.")),
    responses((status = 200, description = "It is paused.", body = PauseBody)),
)]
pub(crate) async fn pause(state: Api, Path(space): Path<String>) -> Result<Json<PauseBody>, ApiError> {
    set_paused(&state, &space, true).await
}

/// Resumes sending in a space.
#[utoipa::path(
    post, path = "/api/spaces/{space}/messages/resume", operation_id = "resume_messages", tag = "messages",
    params(("space", description = "The space.")),
    responses((status = 200, description = "It sends.", body = PauseBody)),
)]
pub(crate) async fn resume(state: Api, Path(space): Path<String>) -> Result<Json<PauseBody>, ApiError> {
    set_paused(&state, &space, false).await
}

/// Pauses one message of a space; what is due meanwhile waits.
#[utoipa::path(
    post, path = "/api/spaces/{space}/messages/{message}/pause", operation_id = "pause_message", tag = "messages",
    params(("space", description = "The space."), ("message", description = "The message's name.")),
    responses((status = 200, description = "It is paused.", body = PauseBody)),
)]
pub(crate) async fn pause_message(
    state: Api,
    Path((space, message)): Path<(String, String)>,
) -> Result<Json<PauseBody>, ApiError> {
    if !is_known(&state, &space, &message).await? {
        return Err(unknown(&space, &message));
    }
    set_message_paused(&state, &space, message, true).await
}

/// Resumes sending a message.
#[utoipa::path(
    post, path = "/api/spaces/{space}/messages/{message}/resume", operation_id = "resume_message", tag = "messages",
    params(("space", description = "The space."), ("message", description = "The message's name.")),
    responses(
        (status = 200, description = "It is sent.", body = PauseBody),
        (status = 404, description = "There is no such message, and none of the name is paused.", body = ErrorBody),
    ),
)]
pub(crate) async fn resume_message(
    state: Api,
    Path((space, message)): Path<(String, String)>,
) -> Result<Json<PauseBody>, ApiError> {
    set_message_paused(&state, &space, message, false).await
}

/// Pauses everything that sends, in every space; what is due meanwhile waits.
#[utoipa::path(
    post, path = "/api/messages/pause", operation_id = "pause_all_messages", tag = "messages",
    responses((status = 200, description = "Nothing is sent.", body = PauseBody)),
)]
pub(crate) async fn pause_all(state: Api) -> Result<Json<PauseBody>, ApiError> {
    set_all_paused(&state, true).await
}

/// Resumes sending. What a space or a message was paused by itself stays so.
#[utoipa::path(
    post, path = "/api/messages/resume", operation_id = "resume_all_messages", tag = "messages",
    responses((status = 200, description = "It sends.", body = PauseBody)),
)]
pub(crate) async fn resume_all(state: Api) -> Result<Json<PauseBody>, ApiError> {
    set_all_paused(&state, false).await
}

async fn set_all_paused(state: &Api, paused: bool) -> Result<Json<PauseBody>, ApiError> {
    state.operations.pause_messages(&PauseScope::All, paused).await?;
    Ok(Json(PauseBody {
        space: None,
        message: None,
        paused,
    }))
}

async fn is_known(state: &Api, space: &str, message: &str) -> Result<bool, ApiError> {
    is_defined(state, &parse_space(space)?, DocumentKind::Message, message).await
}

fn unknown(space: &str, message: &str) -> ApiError {
    ApiError::not_found(format!("there is no message {message} in space {space}"))
}

async fn set_message_paused(
    state: &Api,
    space: &str,
    message: String,
    paused: bool,
) -> Result<Json<PauseBody>, ApiError> {
    let scope = PauseScope::Message(parse_space(space)?, message.clone());
    let changed = state.operations.pause_messages(&scope, paused).await?;
    // One that was removed while it was paused can still be resumed.
    if !changed && !is_known(state, space, &message).await? {
        return Err(unknown(space, &message));
    }
    Ok(Json(PauseBody {
        space: Some(space.to_owned()),
        message: Some(message),
        paused,
    }))
}

async fn set_paused(state: &Api, space: &str, paused: bool) -> Result<Json<PauseBody>, ApiError> {
    let space = existing_space(state, space).await?;
    let scope = PauseScope::Space(space.clone());
    state.operations.pause_messages(&scope, paused).await?;
    Ok(Json(PauseBody {
        space: Some(space.to_string()),
        message: None,
        paused,
    }))
}

fn status_body(status: Status) -> StatusBody {
    StatusBody {
        version: status.version,
        started_at: status.started_at.to_string(),
        stages: status.stages.into_iter().map(stage_body).collect(),
        refolds: status.refolds.into_iter().map(refold_body).collect(),
        dry_run: status.dry_run.map(refold_body),
        tables: status.tables.into_iter().map(table_body).collect(),
        messages_paused: status.messages_paused.iter().map(ToString::to_string).collect(),
    }
}

fn refold_body(refold: RefoldStatus) -> RefoldBody {
    RefoldBody {
        space: refold.space.to_string(),
        definition: refold.definition,
        records_done: refold.records_done,
        records_total: refold.records_total,
        since: refold.since.map(|since| since.to_string()),
        ends_about: refold.ends_about.map(|end| end.to_string()),
        live: refold.live,
    }
}

fn stage_body(stage: StageStatus) -> StageBody {
    StageBody {
        name: stage.name,
        through: stage.through.map(|address| address.to_string()),
        lag_records: stage.lag_records,
        lag_millis: stage.lag_millis,
        fault: stage.fault,
        waits_for: stage.waits_for,
    }
}

fn table_body(table: TableStatus) -> TableBody {
    TableBody {
        name: table.name,
        rows: table.rows,
        committed_at: table.committed_at.map(|moment| moment.to_string()),
    }
}
