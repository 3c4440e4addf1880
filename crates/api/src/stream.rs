//! Lines of JSON as a response that flows while it is made.
//!
//! When the client goes away the body is dropped, and with it the stream of the port, which cancels the work. A failure
//! after the first line cannot change the status any more: the last line is then `{"$error":{…}}`, and no row has a
//! single column of that name.

use crate::ApiError;
use crate::ports::LineStream;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use http::header;
use std::convert::Infallible;

/// The `Content-Type` of lines of JSON.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// The response that streams these lines.
pub(crate) fn ndjson(lines: LineStream) -> Response {
    let body = lines.scan(false, |failed, chunk| {
        let next = match (*failed, chunk) {
            (true, _) => None,
            (false, Ok(chunk)) => Some(Ok::<Bytes, Infallible>(chunk)),
            (false, Err(error)) => {
                *failed = true;
                Some(Ok(last_line(error.into())))
            }
        };
        std::future::ready(next)
    });
    ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(body)).into_response()
}

fn last_line(error: ApiError) -> Bytes {
    let (_, body) = error.body();
    let detail = serde_json::to_value(&body)
        .map(|mut body| body["error"].take())
        .unwrap_or_default();
    Bytes::from(format!("{}\n", serde_json::json!({ "$error": detail })))
}
