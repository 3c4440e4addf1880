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
pub(crate) mod sends;
pub(crate) mod sources;
pub(crate) mod spaces;
pub(crate) mod sql;
pub(crate) mod tail;
pub(crate) mod unsubscribe;

use crate::routes::ApiState;
use axum::extract::State;
use std::sync::Arc;

/// How handlers take the state.
pub(crate) type Api = State<Arc<ApiState>>;
