//! Who may call a route. Every route names its access in the table; without a key that allows it nothing is answered.
//!
//! A key comes as `Authorization: Bearer KEY`, or as the user name of `Basic` with an empty password, which is how
//! clients of Segment's Profile API send it. Write keys are told apart so that the answer can say what is wrong.

use crate::routes::ApiState;
use crate::{ApiError, extract};
use axum::extract::{RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kith_catalog::{ApiKeyScope, Principal, WriteKeyOutcome};
use kith_telemetry::Counter;
use std::sync::Arc;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody, without a key. Each such route is named in a test.
    Open,
    /// A key that reads the space of the path, or the administrator's.
    SpaceRead,
    /// The administrator's key.
    Admin,
}

/// What the layer of one route knows.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) state: Arc<ApiState>,
    pub(crate) access: Access,
}

/// Lets a request through to its handler, with the [`Principal`] among its extensions, or refuses it.
pub(crate) async fn authorize(
    State(guard): State<Guard>,
    params: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    if guard.access == Access::Open {
        return next.run(request).await;
    }
    let space = params
        .iter()
        .find(|(name, _)| *name == "space")
        .map(|(_, value)| value.to_owned());
    match decide(&guard, request.headers(), space.as_deref()) {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(error) => {
            Counter::HttpUnauthorized.increment();
            let mut response = error.into_response();
            if response.status() == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"kith\""),
                );
            }
            response
        }
    }
}

fn decide(guard: &Guard, headers: &HeaderMap, space: Option<&str>) -> Result<Principal, ApiError> {
    let unauthorized = |message| ApiError::new(StatusCode::UNAUTHORIZED, "authentication_error", message);
    let forbidden = |message| ApiError::new(StatusCode::FORBIDDEN, "permission_error", message);
    let Some(key) = key_of(headers) else {
        return Err(unauthorized(
            "send an API key as Authorization: Bearer KEY, or as the user name of Basic",
        ));
    };
    let Some(principal) = guard.state.catalog.resolve_api_key(&key) else {
        if guard.state.catalog.resolve_write_key(&key) != WriteKeyOutcome::Unknown {
            return Err(forbidden(
                "this is a write key: it collects events and cannot read; send an API key",
            ));
        }
        return Err(unauthorized("this API key is unknown or was revoked"));
    };
    match (&principal.scope, guard.access) {
        (ApiKeyScope::Admin, _) => Ok(principal),
        (ApiKeyScope::Read(own), Access::SpaceRead) => {
            let asked = extract::parse_space(space.unwrap_or_default())?;
            if *own == asked {
                Ok(principal)
            } else {
                Err(forbidden("this key reads another space"))
            }
        }
        (ApiKeyScope::Read(_), _) => Err(forbidden(
            "this needs the administrator's key; this key reads one space",
        )),
    }
}

/// The key of a request, if it carries one.
fn key_of(headers: &HeaderMap) -> Option<String> {
    let (scheme, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return (!credentials.is_empty()).then(|| credentials.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
    (!user.is_empty() && password.is_empty()).then(|| user.to_owned())
}
