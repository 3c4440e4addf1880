//! The live tail: what happens in a space, as server-sent events.

use super::{Api, existing_space};
use crate::error::{ApiError, ErrorBody};
use crate::ports::{TailFilter, TailKind};
use crate::routes::Followers;
use axum::Extension;
use axum::extract::{Path, Query};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::{HeaderValue, StatusCode, header};
use kith_telemetry::{Counter, Gauge};
use serde::Deserialize;
use std::convert::Infallible;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

/// Which items are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TailQuery {
    /// Only items of the person who has this anonymous id.
    anonymous_id: Option<String>,
    /// Only items of the person who has this user id.
    user_id: Option<String>,
}

/// One place among those who follow, given back when the connection ends.
struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn take(permit: OwnedSemaphorePermit) -> Self {
        Gauge::TailFollowers.add(1);
        Self { _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        Gauge::TailFollowers.add(-1);
    }
}

/// Follows what happens in a space: server-sent events named `event`, `reject`, `membership`, `message` and `lagged`,
/// each with a JSON object.
#[utoipa::path(
    get, path = "/api/spaces/{space}/tail", operation_id = "follow_tail", tag = "operations",
    params(("space", description = "The space."), TailQuery),
    responses(
        (status = 200, description = "Items as they happen.", content_type = "text/event-stream", body = String),
        (status = 429, description = "Too many follow.", body = ErrorBody),
    ),
)]
pub(crate) async fn tail(
    state: Api,
    Extension(followers): Extension<Followers>,
    Path(space): Path<String>,
    Query(query): Query<TailQuery>,
) -> Result<Response, ApiError> {
    let space = existing_space(&state, &space).await?;
    let busy = || {
        ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_error",
            "too many connections follow the tail: end one, or come back",
        )
    };
    let place = Place::take(followers.0.try_acquire_owned().map_err(|_| busy())?);
    let items = state.tail.follow(
        &space,
        TailFilter {
            anonymous_id: query.anonymous_id,
            user_id: query.user_id,
        },
    );
    let events = items.map(move |item| {
        // The stream owns the place, so it is given back when the connection drops the stream.
        let _held = &place;
        if item.kind == TailKind::Lagged {
            Counter::TailLagged.increment();
        }
        Ok::<Event, Infallible>(Event::default().event(item.kind.as_str()).data(item.body.as_text()))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::default()).into_response();
    response.headers_mut().insert(
        header::HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}
