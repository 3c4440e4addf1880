//! Unsubscribe links, by RFC 8058: a POST unsubscribes at once and without a login, a GET only shows a page with a
//! button, since scanners follow links.

use super::Api;
use crate::error::{ApiError, ErrorBody};
use axum::extract::Path;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use kith_telemetry::Counter;

/// The longest token that is looked up, in bytes.
const TOKEN_BYTES_MAX: usize = 512;

/// Shows what the link is about, with a button. Changes nothing.
#[utoipa::path(
    get, path = "/u/{token}", operation_id = "show_unsubscribe", tag = "messages",
    params(("token", description = "From a message.")),
    responses(
        (status = 200, description = "A page with a button.", content_type = "text/html", body = String),
        (status = 404, description = "No such link.", content_type = "text/html", body = String),
    ),
)]
pub(crate) async fn show(state: Api, Path(token): Path<String>) -> Result<Response, ApiError> {
    let found = if token.len() > TOKEN_BYTES_MAX {
        None
    } else {
        state.unsubscribe.look_up(&token).await?
    };
    let Some(subscription) = found else {
        return Ok(unknown(true));
    };
    let (sender, address) = (escape(&subscription.sender), escape(&subscription.masked_address));
    let body = format!(
        "<h1>Unsubscribe</h1><p>{address} will get no more messages from {sender}.</p><form method=\"post\"><button>Unsubscribe</button></form>"
    );
    Ok(page(StatusCode::OK, &body))
}

/// Ends the subscription: one click, no login (RFC 8058). The body is not looked at.
#[utoipa::path(
    post, path = "/u/{token}", operation_id = "unsubscribe", tag = "messages",
    params(("token", description = "From a message.")),
    responses(
        (status = 200, description = "It is ended.", content_type = "text/html", body = String),
        (status = 404, description = "No such link.", content_type = "text/html", body = String),
        (status = 503, description = "It is not ended: come back.", body = ErrorBody),
    ),
)]
pub(crate) async fn unsubscribe(
    state: Api,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reads_html = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let found = if token.len() > TOKEN_BYTES_MAX {
        None
    } else {
        state.unsubscribe.unsubscribe(&token).await?
    };
    let Some(subscription) = found else {
        return Ok(unknown(reads_html));
    };
    Counter::Unsubscribes.increment();
    if !reads_html {
        return Ok("unsubscribed\n".into_response());
    }
    let (sender, address) = (escape(&subscription.sender), escape(&subscription.masked_address));
    Ok(page(
        StatusCode::OK,
        &format!("<h1>Unsubscribed</h1><p>{address} gets no more messages from {sender}.</p>"),
    ))
}

fn unknown(reads_html: bool) -> Response {
    if !reads_html {
        return ApiError::not_found("this link is not one of ours, or was cut: copy it whole from the message")
            .into_response();
    }
    page(
        StatusCode::NOT_FOUND,
        "<h1>Unknown link</h1><p>This link is not one of ours, or was cut. Copy it whole from the message.</p>",
    )
}

/// A page without scripts that nobody may frame, index or keep.
fn page(status: StatusCode, body: &str) -> Response {
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Unsubscribe</title>\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}}button{{font:inherit;padding:.6rem 1.2rem}}</style>\
         </head><body><main>{body}</main></body></html>"
    );
    let mut response = (status, Html(text)).into_response();
    let guards = [
        (
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        ("referrer-policy", "no-referrer"),
        ("x-robots-tag", "noindex"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ];
    for (name, value) in guards {
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, symbol| {
        match symbol {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
        out
    })
}
