//! The answers of the doors: JSON always, open to every origin.
//!
//! SDKs raise on error bodies without `code` and `message`, so every refusal carries both. No answer names a key, a
//! space or a source.

use crate::body::BodyFault;
use crate::ports::AppendError;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use kith_clean::{BodyError, Rejected};
use kith_types::Value;
use std::fmt::Write;
use std::time::Duration;

/// What every preflight is told that it may send: the headers of the SDKs.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, content-encoding, x-retry-count, anonymousid, sentat, x-requested-with, rsa-recovered, \
     rsa-retry-attempt, rsa-retry-reason, rsa-since-first-attempt, rsa-since-last-attempt",
);
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");
/// Segment's own: the seconds until more is taken.
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const SUCCESS: &[u8] = br#"{"success":true}"#;

/// Every event was taken.
pub(crate) fn success() -> Response<Body> {
    respond(StatusCode::OK, JSON, Bytes::from_static(SUCCESS))
}

/// A document of ours, never cached by anyone.
pub(crate) fn document(json: String) -> Response<Body> {
    let mut response = respond(StatusCode::OK, JSON, json.into());
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// An image of one transparent pixel.
pub(crate) fn pixel() -> Response<Body> {
    const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";
    let mut response = respond(
        StatusCode::OK,
        HeaderValue::from_static("image/gif"),
        Bytes::from_static(GIF),
    );
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Some events of a batch were rejected: their neighbours were taken.
pub(crate) fn partly(rejected: &[Rejected]) -> Response<Body> {
    let mut json = String::from(r#"{"success":true,"#);
    write_rejected(&mut json, rejected);
    respond(StatusCode::OK, JSON, json.into())
}

/// The one event of a body was rejected, and is kept as a reject.
pub(crate) fn rejected(rejected: &[Rejected]) -> Response<Body> {
    let mut json = String::from("{");
    if let [only] = rejected {
        write_error(&mut json, only.violation.code, &only.violation.message);
        json.push(',');
    }
    write_rejected(&mut json, rejected);
    respond(StatusCode::BAD_REQUEST, JSON, json.into())
}

/// The body as a whole was rejected, and is kept as a reject.
pub(crate) fn body_rejected(error: &BodyError) -> Response<Body> {
    refusal(StatusCode::BAD_REQUEST, error.code, &error.message)
}

/// Nothing was taken.
pub(crate) fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let mut json = String::from("{");
    write_error(&mut json, code, message);
    json.push('}');
    respond(status, JSON, json.into())
}

/// No source has the key, or none was sent.
pub(crate) fn unknown_key(was_sent: bool) -> Response<Body> {
    let (code, message) = if was_sent {
        (
            "unknown_write_key",
            "no source has this write key; send the key that `kith source create` printed",
        )
    } else {
        (
            "missing_write_key",
            "send the write key as the user name of Basic authorization, or as writeKey in the body",
        )
    };
    refusal(StatusCode::UNAUTHORIZED, code, message)
}

/// The key's source is switched off.
pub(crate) fn disabled() -> Response<Body> {
    refusal(
        StatusCode::NOT_FOUND,
        "source_disabled",
        "the source of this write key is disabled; enable it, or stop sending",
    )
}

/// The body was not read.
pub(crate) fn body_fault(fault: BodyFault, bytes_max: usize) -> Response<Body> {
    match fault {
        BodyFault::TooLarge => {
            let message = format!("the body has more than {bytes_max} bytes; send smaller batches");
            refusal(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &message)
        }
        BodyFault::RatioTooHigh => {
            let message = "the body unpacks to too many times its size; send it with less compression";
            refusal(StatusCode::PAYLOAD_TOO_LARGE, "compression_ratio_too_high", message)
        }
        BodyFault::Overloaded => overloaded(),
        BodyFault::TooSlow => refusal(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            "the body did not arrive in time; send it again",
        ),
        BodyFault::Broken => refusal(
            StatusCode::BAD_REQUEST,
            "body_incomplete",
            "the body broke off; send it again",
        ),
        BodyFault::UnknownEncoding => {
            let message = "the content encodings taken are gzip, deflate and none";
            refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unknown_encoding", message)
        }
        BodyFault::BadEncoding => refusal(
            StatusCode::BAD_REQUEST,
            "invalid_encoding",
            "the body is not what its Content-Encoding says",
        ),
    }
}

/// The body was not made durable.
pub(crate) fn append_error(error: &AppendError) -> Response<Body> {
    match error {
        AppendError::Overloaded => overloaded(),
        AppendError::Unavailable => {
            let message = "events cannot be made durable at present; send them again later";
            retriable(refusal(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message))
        }
        AppendError::Refused(_) => refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            "record_refused",
            "the body is larger than the log takes; send smaller batches",
        ),
    }
}

/// More is under way than memory is given for.
fn overloaded() -> Response<Body> {
    let mut response = retriable(refusal(
        StatusCode::TOO_MANY_REQUESTS,
        "overloaded",
        "too much is under way; send it again later",
    ));
    response.headers_mut().insert(RATE_LIMIT_RESET, RETRY_AFTER_SECONDS);
    response
}

/// Marks the answer to a space that sends more than it may: not a sign of overload.
#[derive(Clone, Copy)]
pub(crate) struct OverRate;

/// A space has sent as much as it may for now.
pub(crate) fn over_rate(wait: Duration) -> Response<Body> {
    let mut response = retriable(refusal(
        StatusCode::TOO_MANY_REQUESTS,
        "space_rate_limited",
        "more events come than the space may send in a second (its limit events_per_second); send it again later",
    ));
    let seconds = HeaderValue::from(retry_after_seconds(wait));
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, seconds.clone());
    headers.insert(RATE_LIMIT_RESET, seconds);
    response.extensions_mut().insert(OverRate);
    response
}

/// Whole seconds, after which the wait is over.
fn retry_after_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// A body is larger than its space may send.
pub(crate) fn over_space_limit(name: &str, limit: u64) -> Response<Body> {
    let message = format!("the space may send {limit} by its limit {name}; send smaller batches");
    refusal(StatusCode::PAYLOAD_TOO_LARGE, "space_limit_reached", &message)
}

/// The route is not served with this method.
pub(crate) fn wrong_method() -> Response<Body> {
    refusal(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path is not served with this method",
    )
}

/// The answer to a browser that asks before it sends.
pub(crate) fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    allow_every_origin(headers);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, OPTIONS"),
    );
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

fn retriable(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("retry-after, x-ratelimit-reset"),
    );
    response
}

fn respond(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    allow_every_origin(headers);
    response
}

/// Write keys are public and no cookie is read, so any page may send.
fn allow_every_origin(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

/// Writes `"rejected":[…]}`, the end of an object.
fn write_rejected(json: &mut String, rejected: &[Rejected]) {
    json.push_str(r#""rejected":["#);
    for (at, one) in rejected.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        // Writing to a string cannot fail.
        write!(json, r#"{comma}{{"index":{},"#, one.index).unwrap_or_default();
        write_error(json, one.violation.code, &one.violation.message);
        if !one.violation.path.is_empty() {
            json.push_str(r#","path":"#);
            Value::from(one.violation.path.as_str()).write_json(json);
        }
        json.push('}');
    }
    json.push_str("]}");
}

/// Writes `"code":…,"message":…`.
fn write_error(json: &mut String, code: &str, message: &str) {
    json.push_str(r#""code":"#);
    Value::from(code).write_json(json);
    json.push_str(r#","message":"#);
    Value::from(message).write_json(json);
}
