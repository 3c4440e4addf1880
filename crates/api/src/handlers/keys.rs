//! API keys: listing, making and ending them.

use super::Api;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{blocking, parse_body, parse_space};
use axum::Json;
use axum::extract::Path;
use bytes::Bytes;
use http::StatusCode;
use kith_catalog::{ApiKey, ApiKeyScope};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// A key to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateKey {
    /// Its name, unique on the server.
    name: String,
    /// The space that it reads; without one it is an administrator's key.
    #[serde(default)]
    space: Option<String>,
}

/// A key as it is listed.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyBody {
    /// Its name.
    name: String,
    /// `admin` or `read`.
    scope: &'static str,
    /// The space that it reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    space: Option<String>,
    /// When it was made.
    created_at: String,
    /// The key itself: shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// The keys of the server.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyList {
    /// By name.
    keys: Vec<KeyBody>,
}

/// Lists the API keys; what they are is not kept.
#[utoipa::path(
    get, path = "/api/keys", operation_id = "list_keys", tag = "keys",
    responses((status = 200, description = "The keys.", body = KeyList)),
)]
pub(crate) async fn list(state: Api) -> Result<Json<KeyList>, ApiError> {
    let catalog = Arc::clone(&state.catalog);
    let keys = blocking(move || Ok(catalog.api_keys()?)).await?;
    Ok(Json(KeyList {
        keys: keys.into_iter().map(|key| body(key, None)).collect(),
    }))
}

/// Makes an API key, which is shown this once.
#[utoipa::path(
    post, path = "/api/keys", operation_id = "create_key", tag = "keys",
    request_body = CreateKey,
    responses(
        (status = 201, description = "The key.", body = KeyBody),
        (status = 409, description = "The name is in use.", body = ErrorBody),
    ),
)]
pub(crate) async fn create(state: Api, request: Bytes) -> Result<(StatusCode, Json<KeyBody>), ApiError> {
    let request: CreateKey = parse_body(&request)?;
    let scope = request
        .space
        .as_deref()
        .map(parse_space)
        .transpose()?
        .map_or(ApiKeyScope::Admin, ApiKeyScope::Read);
    let catalog = Arc::clone(&state.catalog);
    let made = blocking(move || Ok(catalog.create_api_key(&request.name, &scope)?)).await?;
    Ok((StatusCode::CREATED, Json(body(made.key, Some(made.secret)))))
}

/// Ends an API key at once.
#[utoipa::path(
    delete, path = "/api/keys/{name}", operation_id = "revoke_key", tag = "keys",
    params(("name", description = "The key's name.")),
    responses(
        (status = 204, description = "It is ended."),
        (status = 409, description = "It is the last administrator's key.", body = ErrorBody),
    ),
)]
pub(crate) async fn revoke(state: Api, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let catalog = Arc::clone(&state.catalog);
    blocking(move || Ok(catalog.revoke_api_key(&name)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn body(key: ApiKey, secret: Option<String>) -> KeyBody {
    let (scope, space) = match key.scope {
        ApiKeyScope::Admin => ("admin", None),
        ApiKeyScope::Read(space) => ("read", Some(space.to_string())),
    };
    KeyBody {
        name: key.name,
        scope,
        space,
        created_at: key.created_at.to_string(),
        key: secret,
    }
}
