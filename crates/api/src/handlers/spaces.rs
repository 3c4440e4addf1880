//! Spaces: listing and creating.

use super::Api;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{blocking, parse_body, parse_space};
use axum::Json;
use bytes::Bytes;
use http::StatusCode;
use kith_catalog::Space;
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

fn body(space: &Space) -> SpaceBody {
    SpaceBody {
        name: space.name.to_string(),
        created_at: space.created_at.to_string(),
    }
}
