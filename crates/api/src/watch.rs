//! What holds for every answer: a `Request-Id`, errors in one shape, a line of log and the metrics.
//!
//! Paths and queries name people, so the log and the metrics know routes as the table writes them, never as they were
//! asked.

use crate::error::{ApiError, code_of};
use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};
use kith_telemetry::{Counter, Histogram, RequestSpan};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The longest text of a refusal from below the handlers that is passed on.
const REFUSAL_BYTES_MAX: usize = 4_096;

/// Wraps every route.
pub(crate) async fn watch(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned())
        .unwrap_or_default();
    let method = request.method().clone();
    let span = tracing::info_span!("request", id, route);
    let parent = request
        .headers()
        .get("traceparent")
        .and_then(|parent| parent.to_str().ok());
    let mut trace = RequestSpan::begin(method.as_str(), &route, parent);
    let response = next.run(request).instrument(span).await;
    let mut response = in_one_shape(response).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let status = response.status();
    trace.answered(status.as_u16());
    Histogram::HttpSeconds.observe(begun.elapsed());
    match status.as_u16() {
        500.. => Counter::HttpResponsesServerError.increment(),
        400.. => Counter::HttpResponsesClientError.increment(),
        _ => Counter::HttpResponsesSuccess.increment(),
    }
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(
        id,
        method = method.as_str(),
        route,
        status = status.as_u16(),
        micros,
        "request answered"
    );
    response
}

/// A text that is unique in the process and, by its first half, most likely across its starts.
fn request_id() -> String {
    static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("request ids"));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}-{:08x}", *START, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Refusals from below the handlers (no such method, a body too large, a path that is no UTF-8) are plain text; clients
/// get them in the shape of every other error.
async fn in_one_shape(response: Response) -> Response {
    let status = response.status();
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    if !(status.is_client_error() || status.is_server_error()) || !(kind.is_empty() || kind.starts_with("text/plain")) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = to_bytes(body, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let message = match String::from_utf8_lossy(&text).trim() {
        "" => status
            .canonical_reason()
            .unwrap_or("the request was refused")
            .to_lowercase(),
        text => text.to_owned(),
    };
    let mut shaped = ApiError::new(status, code_of(status), message).into_response();
    for (name, value) in &parts.headers {
        if *name != header::CONTENT_TYPE && *name != header::CONTENT_LENGTH {
            shaped.headers_mut().append(name, value.clone());
        }
    }
    let (head, body) = shaped.into_parts();
    Response::from_parts(head, Body::new(body))
}
