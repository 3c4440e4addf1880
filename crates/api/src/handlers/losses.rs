//! Losses of the raw zone: accepting one that no copy mends.

use super::Api;
use crate::error::{ApiError, ErrorBody};
use crate::extract::parse_body;
use axum::{Extension, Json};
use bytes::Bytes;
use kith_catalog::Principal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Author and reason together have at most so many bytes.
const REASON_BYTES_MAX: usize = 4_096;

/// What is accepted as lost.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LossBody {
    /// The records, as the error or the proof named them: generation, partition, first, and the one after the last.
    #[schema(example = "0-0-120-140")]
    range: String,
    /// Who decides; the key's name unless given.
    author: Option<String>,
    /// Why.
    #[serde(default)]
    reason: String,
}

/// What was accepted.
#[derive(Serialize, ToSchema)]
pub(crate) struct LossAcceptedBody {
    /// What of the range is lost.
    ranges: Vec<String>,
    /// How many records that is.
    records: u64,
    /// The decision in the log.
    decided_by: String,
}

/// Accepts for good that the raw zone has lost records, as a decision in the log. What is rebuilt afterwards is built without
/// them, and says so.
#[utoipa::path(
    post, path = "/api/raw/losses", operation_id = "accept_loss", tag = "operations",
    request_body = LossBody,
    responses(
        (status = 200, description = "What was accepted.", body = LossAcceptedBody),
        (status = 400, description = "Nothing of it is lost, or it cannot be read.", body = ErrorBody),
    ),
)]
pub(crate) async fn accept(
    state: Api,
    Extension(principal): Extension<Principal>,
    body: Bytes,
) -> Result<Json<LossAcceptedBody>, ApiError> {
    let body: LossBody = parse_body(&body)?;
    let author = body.author.unwrap_or(principal.key_name);
    if author.len() + body.reason.len() > REASON_BYTES_MAX {
        return Err(ApiError::invalid(format!(
            "author and reason have at most {REASON_BYTES_MAX} bytes"
        )));
    }
    let accepted = state.operations.accept_loss(&body.range, &author, &body.reason).await?;
    Ok(Json(LossAcceptedBody {
        ranges: accepted.ranges,
        records: accepted.records,
        decided_by: accepted.decided_by.to_string(),
    }))
}
