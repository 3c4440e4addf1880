//! Before anything changes: how large a draft is, how segments overlap, what definitions would do to people (SEG-7).

use super::Api;
use super::definitions::{ApplyQuery, ProposalBody, read_request};
use super::members::no_segment;
use crate::RawJson;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{parse_body, parse_limit, parse_list, parse_name, parse_space};
use crate::ports::SegmentDraft;
use axum::Json;
use axum::extract::{Path, Query};
use bytes::Bytes;
use http::HeaderMap;
use kith_types::SegmentName;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// People shown of each list, unless the request says how many.
const SAMPLES: usize = 10;
const SAMPLES_MAX: usize = 100;
/// Segments that one comparison takes.
const OVERLAP_MAX: usize = 5;

/// A segment that is only drafted, or a live one that is edited.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DraftBody {
    /// Its name. That of a live segment asks for the difference from it.
    #[serde(default)]
    name: Option<String>,
    /// The `spec` of its document.
    #[schema(value_type = Object)]
    spec: serde_json::Value,
    /// Whether an estimate from a sample of people is enough, at once; an exact count unless given.
    #[serde(default)]
    quick: bool,
    /// How many people each list shows: 10 unless given, at most 100.
    #[serde(default)]
    samples: Option<usize>,
    /// Segments to count the draft's members in, at most 5.
    #[serde(default)]
    overlap: Vec<String>,
}

/// Which segments are compared.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OverlapQuery {
    /// Two to five names, parted by commas.
    segments: Option<String>,
}

/// What beside the proposal can be said.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImpactQuery {
    /// How many people each list shows: 10 unless given, at most 100.
    samples: Option<String>,
    /// With a YAML body: whether every definition that is not in it shall be deleted.
    prune: Option<String>,
}

/// How many people a drafted segment has, and some of them. For a name that is live: who would enter and who would leave.
#[utoipa::path(
    post, path = "/api/spaces/{space}/segments/estimate", operation_id = "estimate_segment", tag = "segments",
    params(("space", description = "The space.")),
    request_body = DraftBody,
    responses(
        (status = 200, description = "`segments`: the draft, then others that name it, each with its `size`, who `enters` and `leaves`, and samples of people. An estimate has beside each count the range (`size_range`) that it lies in 95 times in 100.", body = RawJson),
        (status = 400, description = "A parameter that must be mended.", body = ErrorBody),
        (status = 422, description = "The draft must be mended.", body = ErrorBody),
        (status = 429, description = "Other drafts are being counted.", body = ErrorBody),
    ),
)]
pub(crate) async fn estimate(state: Api, Path(space): Path<String>, body: Bytes) -> Result<Json<RawJson>, ApiError> {
    let space = parse_space(&space)?;
    let body: DraftBody = parse_body(&body)?;
    let samples = body.samples.unwrap_or(SAMPLES);
    if samples > SAMPLES_MAX {
        return Err(ApiError::invalid(format!("samples must be at most {SAMPLES_MAX}")));
    }
    if body.overlap.len() > OVERLAP_MAX {
        return Err(ApiError::invalid(format!(
            "overlap names at most {OVERLAP_MAX} segments"
        )));
    }
    let draft = SegmentDraft {
        name: parse_name(body.name.as_deref().unwrap_or("draft"))?,
        spec: body.spec,
        quick: body.quick,
        samples,
        beside: names_of(body.overlap.iter().map(String::as_str))?,
    };
    Ok(Json(state.segments.estimate(&space, &draft).await?))
}

/// How segments overlap: everybody who is in any of them, parted by those they are in.
#[utoipa::path(
    get, path = "/api/spaces/{space}/segments/overlap", operation_id = "overlap_segments", tag = "segments",
    params(("space", description = "The space."), OverlapQuery),
    responses(
        (status = 200, description = "Sizes, pairs, and `regions`: who is in exactly these of the segments.", body = RawJson),
        (status = 404, description = "No such segment.", body = ErrorBody),
    ),
)]
pub(crate) async fn overlap(
    state: Api,
    Path(space): Path<String>,
    Query(query): Query<OverlapQuery>,
) -> Result<Json<RawJson>, ApiError> {
    let space = parse_space(&space)?;
    let listed = parse_list(query.segments.as_deref());
    let mut segments = names_of(listed.iter().map(String::as_str))?;
    let mut seen = std::collections::BTreeSet::new();
    segments.retain(|name| seen.insert(name.clone()));
    if !(2..=OVERLAP_MAX).contains(&segments.len()) {
        let message = format!("segments must name two to {OVERLAP_MAX} segments, parted by commas");
        return Err(ApiError::invalid(message));
    }
    let overlap = state.segments.overlap(&space, &segments).await?;
    match overlap {
        Some(overlap) => Ok(Json(overlap)),
        None => Err(no_segment(&state, &space, &segments).await),
    }
}

/// What applying documents would do to people, before it is done: whose segments, computed traits and traits would be
/// others, and for rules of identity who would split or merge: then segments and traits are those of the people there would
/// be. Everything is counted over everybody. The body is as for the plan.
#[utoipa::path(
    post, path = "/api/spaces/{space}/definitions/impact", operation_id = "definitions_impact", tag = "definitions",
    params(("space", description = "The space."), ImpactQuery),
    request_body = ProposalBody,
    responses(
        (status = 200, description = "`segments`, `computed_traits`, `traits` and `identity`, each where it is concerned.", body = RawJson),
        (status = 422, description = "The documents must be mended.", body = ErrorBody),
        (status = 429, description = "Other drafts are being counted.", body = ErrorBody),
    ),
)]
pub(crate) async fn impact(
    state: Api,
    Path(space): Path<String>,
    Query(query): Query<ImpactQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<RawJson>, ApiError> {
    let space = parse_space(&space)?;
    let samples = parse_limit(query.samples.as_deref(), SAMPLES, SAMPLES_MAX)?;
    let said = ApplyQuery {
        prune: query.prune,
        reason: None,
    };
    let request = read_request(&headers, &said, &body)?;
    Ok(Json(
        state.definitions.impact(&space, &request.proposal, samples).await?,
    ))
}

fn names_of<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<SegmentName>, ApiError> {
    names.map(parse_name).collect()
}
