//! The handlers, a module a subject: they read a request, ask a port and write the answer.

pub(crate) mod accounts;
pub(crate) mod definitions;
pub(crate) mod destinations;
pub(crate) mod drafts;
pub(crate) mod health;
pub(crate) mod identity;
pub(crate) mod keys;
pub(crate) mod losses;
pub(crate) mod members;
pub(crate) mod operations;
pub(crate) mod profile_api;
pub(crate) mod profile_api_shape;
pub(crate) mod profiles;
pub(crate) mod rejects;
pub(crate) mod runs;
pub(crate) mod sends;
pub(crate) mod sources;
pub(crate) mod spaces;
pub(crate) mod sql;
pub(crate) mod tail;
pub(crate) mod unsubscribe;

use crate::error::ApiError;
use crate::extract::{blocking, parse_space};
use crate::routes::ApiState;
use axum::extract::State;
use kith_catalog::{Document, DocumentKind};
use kith_types::SpaceId;
use std::sync::Arc;

/// How handlers take the state.
pub(crate) type Api = State<Arc<ApiState>>;

/// The space of a path, where there is one of that name: what lists a space does not list one that nobody made as empty.
async fn existing_space(state: &Api, name: &str) -> Result<SpaceId, ApiError> {
    let space = parse_space(name)?;
    match has_space(state, &space).await? {
        true => Ok(space),
        false => Err(no_space(&space)),
    }
}

async fn has_space(state: &Api, space: &SpaceId) -> Result<bool, ApiError> {
    let (catalog, asked) = (Arc::clone(&state.catalog), space.clone());
    blocking(move || Ok(catalog.has_space(&asked)?)).await
}

fn no_space(space: &SpaceId) -> ApiError {
    ApiError::not_found(format!("there is no space {space}: `kith space list` lists them"))
}

/// The answer where nobody has an identifier, which is not repeated: that, or that there is no such space.
async fn nobody_in(state: &Api, space: &SpaceId) -> ApiError {
    match has_space(state, space).await {
        Ok(false) => no_space(space),
        _ => profile_api::nobody(),
    }
}

/// Whether a definition of this kind and name is in force in a space.
async fn is_defined(state: &Api, space: &SpaceId, kind: DocumentKind, name: &str) -> Result<bool, ApiError> {
    let (catalog, asked, name) = (Arc::clone(&state.catalog), space.clone(), name.to_owned());
    blocking(move || {
        let documents = catalog.definitions(&asked)?;
        let is_it = |document: &Document| document.kind == kind && document.name == name;
        Ok(documents.iter().any(is_it))
    })
    .await
}
