//! Sources of a space: listing, creating, switching, turning keys, and the door for history.

use super::Api;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{blocking, parse_body, parse_name, parse_space};
use crate::ports::Import;
use axum::Json;
use axum::extract::Path;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
use kith_catalog::{Catalog, CatalogError, Source};
use kith_types::{SourceName, SpaceId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// A source to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateSource {
    /// Its name: a letter, then at most 63 of a-z, 0-9, _ and -.
    name: String,
}

/// A source.
#[derive(Serialize, ToSchema)]
pub(crate) struct SourceBody {
    /// The space it belongs to.
    space: String,
    /// Its name.
    name: String,
    /// Whether its write key opens the doors.
    enabled: bool,
    /// Whether it has a write key.
    has_write_key: bool,
    /// When it was made.
    created_at: String,
    /// The new write key: shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    write_key: Option<String>,
}

/// The sources of a space.
#[derive(Serialize, ToSchema)]
pub(crate) struct SourceList {
    /// By name.
    sources: Vec<SourceBody>,
}

/// What became of a batch of history.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImportBody {
    /// Whether every event was taken.
    success: bool,
    /// Events that are durable now.
    accepted: usize,
    /// Events that were kept as rejects.
    rejected: Vec<RejectedBody>,
}

/// An event that was not taken.
#[derive(Serialize, ToSchema)]
pub(crate) struct RejectedBody {
    /// Its place in the batch, from 0.
    index: usize,
    /// Why, for programs.
    code: String,
    /// Why, for people.
    message: String,
}

/// Lists the sources of a space.
#[utoipa::path(
    get, path = "/api/spaces/{space}/sources", operation_id = "list_sources", tag = "sources",
    params(("space", description = "The space.")),
    responses(
        (status = 200, description = "The sources.", body = SourceList),
        (status = 404, description = "No such space.", body = ErrorBody),
    ),
)]
pub(crate) async fn list(state: Api, Path(space): Path<String>) -> Result<Json<SourceList>, ApiError> {
    let space = parse_space(&space)?;
    let catalog = Arc::clone(&state.catalog);
    let sources = blocking(move || Ok(catalog.sources(&space)?)).await?;
    Ok(Json(SourceList {
        sources: sources.iter().map(|source| body(source, None)).collect(),
    }))
}

/// Creates a source and its write key, which is shown this once.
#[utoipa::path(
    post, path = "/api/spaces/{space}/sources", operation_id = "create_source", tag = "sources",
    params(("space", description = "The space.")),
    request_body = CreateSource,
    responses(
        (status = 201, description = "It exists now.", body = SourceBody),
        (status = 409, description = "It existed, or the space has as many as it may.", body = ErrorBody),
    ),
)]
pub(crate) async fn create(
    state: Api,
    Path(space): Path<String>,
    request: Bytes,
) -> Result<(StatusCode, Json<SourceBody>), ApiError> {
    let request: CreateSource = parse_body(&request)?;
    let (space, name): (SpaceId, SourceName) = (parse_space(&space)?, parse_name(&request.name)?);
    let catalog = Arc::clone(&state.catalog);
    let made = blocking(move || Ok(catalog.create_source(&space, &name)?)).await?;
    Ok((StatusCode::CREATED, Json(body(&made.source, Some(made.write_key)))))
}

/// Switches a source off: its write key opens no door.
#[utoipa::path(
    post, path = "/api/spaces/{space}/sources/{source}/disable", operation_id = "disable_source", tag = "sources",
    params(("space", description = "The space."), ("source", description = "The source.")),
    responses((status = 200, description = "It is off.", body = SourceBody)),
)]
pub(crate) async fn disable(state: Api, Path(names): Path<(String, String)>) -> Result<Json<SourceBody>, ApiError> {
    change(&state, names, |catalog, space, name| {
        Ok((catalog.set_source_enabled(space, name, false)?, None))
    })
    .await
}

/// Switches a source on again.
#[utoipa::path(
    post, path = "/api/spaces/{space}/sources/{source}/enable", operation_id = "enable_source", tag = "sources",
    params(("space", description = "The space."), ("source", description = "The source.")),
    responses((status = 200, description = "It is on.", body = SourceBody)),
)]
pub(crate) async fn enable(state: Api, Path(names): Path<(String, String)>) -> Result<Json<SourceBody>, ApiError> {
    change(&state, names, |catalog, space, name| {
        Ok((catalog.set_source_enabled(space, name, true)?, None))
    })
    .await
}

/// Gives a source a new write key, shown this once; the old one stops at once.
#[utoipa::path(
    post, path = "/api/spaces/{space}/sources/{source}/rotate", operation_id = "rotate_write_key", tag = "sources",
    params(("space", description = "The space."), ("source", description = "The source.")),
    responses((status = 200, description = "The new key.", body = SourceBody)),
)]
pub(crate) async fn rotate(state: Api, Path(names): Path<(String, String)>) -> Result<Json<SourceBody>, ApiError> {
    change(&state, names, |catalog, space, name| {
        catalog
            .rotate_write_key(space, name)
            .map(|made| (made.source, Some(made.write_key)))
    })
    .await
}

/// Takes a batch of history, as `/v1/batch` takes batches. It keeps its own timestamps and sends nothing.
#[utoipa::path(
    post, path = "/api/spaces/{space}/sources/{source}/import", operation_id = "import_batch", tag = "sources",
    params(("space", description = "The space."), ("source", description = "The source.")),
    request_body(content = String, content_type = "application/json", description = "`{\"batch\": […]}`"),
    responses(
        (status = 200, description = "What became of it.", body = ImportBody),
        (status = 429, description = "Nothing was taken: come back after `Retry-After`.", body = ErrorBody),
        (status = 503, description = "Nothing was taken: come back.", body = ErrorBody),
    ),
)]
pub(crate) async fn import(
    state: Api,
    Path((space, source)): Path<(String, String)>,
    headers: HeaderMap,
    request: Bytes,
) -> Result<Json<ImportBody>, ApiError> {
    let (space, source): (SpaceId, SourceName) = (parse_space(&space)?, parse_name(&source)?);
    let catalog = Arc::clone(&state.catalog);
    let found = blocking(move || Ok(catalog.source(&space, &source)?)).await?;
    if !found.enabled {
        return Err(ApiError::not_found(
            "this source is switched off: enable it before importing",
        ));
    }
    let text = |name: HeaderName| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let (content_type, user_agent) = (text(header::CONTENT_TYPE), text(header::USER_AGENT));
    let outcome = state
        .ingest
        .import(Import {
            space: found.space,
            source: found.name,
            body: request,
            content_type,
            user_agent,
        })
        .await?;
    let rejected = outcome.rejected.into_iter().map(|event| RejectedBody {
        index: event.index,
        code: event.code,
        message: event.message,
    });
    let rejected: Vec<RejectedBody> = rejected.collect();
    Ok(Json(ImportBody {
        success: rejected.is_empty(),
        accepted: outcome.accepted,
        rejected,
    }))
}

type Changed = (Source, Option<String>);

async fn change(
    state: &Api,
    (space, name): (String, String),
    work: impl FnOnce(&Catalog, &SpaceId, &SourceName) -> Result<Changed, CatalogError> + Send + 'static,
) -> Result<Json<SourceBody>, ApiError> {
    let (space, name): (SpaceId, SourceName) = (parse_space(&space)?, parse_name(&name)?);
    let catalog = Arc::clone(&state.catalog);
    let (source, write_key) = blocking(move || Ok(work(&catalog, &space, &name)?)).await?;
    Ok(Json(body(&source, write_key)))
}

fn body(source: &Source, write_key: Option<String>) -> SourceBody {
    SourceBody {
        space: source.space.to_string(),
        name: source.name.to_string(),
        enabled: source.enabled,
        has_write_key: source.has_write_key,
        created_at: source.created_at.to_string(),
        write_key,
    }
}
