//! Segments: their sizes, their members page by page, and why somebody is in one.

use super::{Api, existing_space, nobody_in};
use crate::error::{ApiError, ErrorBody};
use crate::extract::{blocking, parse_as_of, parse_limit, parse_name, parse_person, parse_space};
use crate::ports::{Member, PortErrorKind, SegmentState, SegmentStatus};
use crate::{RawJson, cursor};
use axum::Json;
use axum::extract::{Path, Query};
use kith_catalog::DocumentKind;
use kith_types::{ProfileId, SegmentName, SpaceId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// What the list of members takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct MembersQuery {
    /// The most members of a page: 100 unless given, at most 1,000.
    limit: Option<String>,
    /// What the page before gave as `next`.
    next: Option<String>,
}

/// What an explanation takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// As of which past moment; now unless given.
    as_of: Option<String>,
    /// With the knowledge of which moment: what was received and decided by then. `as_of` unless given; later is hindsight.
    known_at: Option<String>,
}

/// The segments of a space.
#[derive(Serialize, ToSchema)]
pub(crate) struct SegmentList {
    /// By name.
    segments: Vec<SegmentBody>,
}

/// A segment and its size.
#[derive(Serialize, ToSchema)]
pub(crate) struct SegmentBody {
    name: String,
    /// How many profiles were in it at `counted_at`.
    size: u64,
    /// When they were counted: now, or where counting takes long at most ten times as long ago as it takes.
    counted_at: String,
    /// `live`, `backfilling` while its history is being folded, or `waiting` where it was applied and is still to be taken.
    state: &'static str,
    /// How much of its history is folded, from 0 to 1.
    progress: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    /// Whether a newer version, or the removal, of what it is made of was applied and is still to be taken: of its own definition, a
    /// segment or computed trait that it refers to, or rules for traits. All else is of the version before.
    newer_waits: bool,
}

/// A page of members.
#[derive(Serialize, ToSchema)]
pub(crate) struct MembersBody {
    /// In the order of profile ids.
    members: Vec<MemberBody>,
    /// Whether there is more.
    has_more: bool,
    /// What to send as `next` to get more; empty where there is no more.
    next: String,
}

/// A profile in a segment.
#[derive(Serialize, ToSchema)]
pub(crate) struct MemberBody {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entered_at: Option<String>,
    /// `type:value`.
    identifiers: Vec<String>,
    /// Whether a limit of what is kept of a person may have made it other than exact.
    approximate: bool,
}

/// Lists the segments of a space with their sizes, and when these were counted.
#[utoipa::path(
    get, path = "/api/spaces/{space}/segments", operation_id = "list_segments", tag = "segments",
    params(("space", description = "The space.")),
    responses((status = 200, description = "The segments.", body = SegmentList)),
)]
pub(crate) async fn list(state: Api, Path(space): Path<String>) -> Result<Json<SegmentList>, ApiError> {
    let segments = state.segments.list(&existing_space(&state, &space).await?).await?;
    Ok(Json(SegmentList {
        segments: segments.iter().map(segment_body).collect(),
    }))
}

/// The members of a segment.
#[utoipa::path(
    get, path = "/api/spaces/{space}/segments/{segment}/members", operation_id = "segment_members", tag = "segments",
    params(("space", description = "The space."), ("segment", description = "The segment."), MembersQuery),
    responses(
        (status = 200, description = "The members.", body = MembersBody),
        (status = 404, description = "No such segment.", body = ErrorBody),
    ),
)]
pub(crate) async fn members(
    state: Api,
    Path((space, segment)): Path<(String, String)>,
    Query(query): Query<MembersQuery>,
) -> Result<Json<MembersBody>, ApiError> {
    let list = format!("members\n{space}\n{segment}");
    let (space, segment): (_, SegmentName) = (parse_space(&space)?, parse_name(&segment)?);
    let limit = parse_limit(query.limit.as_deref(), LIMIT_DEFAULT, LIMIT_MAX)?;
    let after = cursor::read(&list, query.next.as_deref())?
        .map(|place| parse_name::<ProfileId>(&place))
        .transpose()?;
    let found = state.segments.members(&space, &segment, after, limit + 1).await?;
    let Some(mut members) = found else {
        return Err(no_segment(&state, &space, &[segment]).await);
    };
    let has_more = members.len() > limit;
    members.truncate(limit);
    let next = members
        .last()
        .filter(|_| has_more)
        .map(|last| cursor::write(&list, &last.profile.to_string()))
        .unwrap_or_default();
    Ok(Json(MembersBody {
        members: members.iter().map(member_body).collect(),
        has_more,
        next,
    }))
}

/// Why a person is or is not in a segment: the truth of every leaf and the events behind it.
#[utoipa::path(
    get, path = "/api/spaces/{space}/segments/{segment}/explain/{identifier}", operation_id = "explain_membership",
    tag = "segments",
    params(
        ("space", description = "The space."),
        ("segment", description = "The segment."),
        ("identifier", description = "type:value, or a profile id."),
        ExplainQuery,
    ),
    responses(
        (status = 200, description = "The explanation.", body = RawJson),
        (status = 400, description = "A moment to come, or too long a history.", body = ErrorBody),
        (status = 404, description = "No such segment or person.", body = ErrorBody),
    ),
)]
pub(crate) async fn explain(
    state: Api,
    Path((space, segment, person)): Path<(String, String, String)>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<RawJson>, ApiError> {
    let (space, segment): (_, SegmentName) = (parse_space(&space)?, parse_name(&segment)?);
    let person = parse_person(&person)?;
    let as_of = parse_as_of(query.as_of.as_deref(), query.known_at.as_deref())?;
    match state.segments.explain(&space, &segment, &person, as_of).await {
        Err(error) if error.kind() == PortErrorKind::NotFound => Err(no_segment(&state, &space, &[segment]).await),
        explained => match explained? {
            Some(explanation) => Ok(Json(explanation)),
            None => Err(nobody_in(&state, &space).await),
        },
    }
}

/// Which of these segments a space does not have, with the one that was most likely meant.
pub(crate) async fn no_segment(state: &Api, space: &SpaceId, asked: &[SegmentName]) -> ApiError {
    let (catalog, space, asked) = (Arc::clone(&state.catalog), space.clone(), asked.to_vec());
    let told = blocking(move || {
        if !catalog.spaces()?.iter().any(|known| known.name == space) {
            return Ok(format!("there is no space {space}: `kith space list` lists them"));
        }
        let mut documents = catalog.definitions(&space)?;
        documents.retain(|document| document.kind == DocumentKind::Segment);
        let known: Vec<&str> = documents.iter().map(|document| document.name.as_str()).collect();
        let missing = asked.iter().find(|name| !known.contains(&name.as_str()));
        // One that was made a moment ago may be missing nowhere but in the live state.
        let Some(missing) = missing else {
            return Ok(match &asked[..] {
                [only] => format!(
                    "segment {only} of space {space} was applied and is still to be taken: `kith segment list` shows when it is"
                ),
                _ => format!(
                    "not all of these segments of space {space} have been taken yet: `kith segment list` shows when they are"
                ),
            });
        };
        let meant = match kith_expr::nearest(missing.as_str(), &known) {
            Some(near) => format!("did you mean {near}? "),
            None => String::new(),
        };
        Ok(format!(
            "space {space} has no segment {missing}: {meant}`kith segment list` lists them"
        ))
    });
    told.await.map_or_else(|error| error, ApiError::not_found)
}

fn segment_body(segment: &SegmentStatus) -> SegmentBody {
    let (state, progress) = match segment.state {
        SegmentState::Live => ("live", 1.0),
        SegmentState::Backfilling { progress } => ("backfilling", progress),
        SegmentState::Waiting => ("waiting", 0.0),
    };
    let updated_at = segment.updated_at.map(|moment| moment.to_string());
    SegmentBody {
        name: segment.name.to_string(),
        size: segment.size,
        counted_at: segment.counted_at.to_string(),
        state,
        progress,
        updated_at,
        newer_waits: segment.newer_waits,
    }
}

fn member_body(member: &Member) -> MemberBody {
    MemberBody {
        id: member.profile.to_string(),
        entered_at: member.entered_at.map(|moment| moment.to_string()),
        identifiers: member.identifiers.iter().map(ToString::to_string).collect(),
        approximate: member.approximate,
    }
}
