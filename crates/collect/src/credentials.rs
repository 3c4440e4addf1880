//! The write key of a request (contract COL-2), and where the request came from.
//!
//! A write key is looked for in the Basic user name, then in the query, then in the body. Write keys are public: browsers
//! carry them. Still none is taken into an envelope; one that stands inside a body stays, since the body is kept as it is.

use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::net::SocketAddr;

/// The longest credential that is decoded, in bytes of base64.
const BASIC_BYTES_MAX: usize = 1_024;
/// The longest header that an envelope keeps, in bytes.
const HEADER_BYTES_MAX: usize = 1_024;

/// The user name of a Basic credential. A Bearer token says nothing of the source.
pub(crate) fn basic_user(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") || encoded.len() > BASIC_BYTES_MAX {
        return None;
    }
    let mut decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let user_bytes = decoded.iter().position(|byte| *byte == b':').unwrap_or(decoded.len());
    decoded.truncate(user_bytes);
    String::from_utf8(decoded).ok().filter(|user| !user.is_empty())
}

/// The client's address: the peer's, or, behind a proxy that is trusted, the last one that it put into `X-Forwarded-For`.
pub(crate) fn client_ip<B>(request: &Request<B>, trusts_forwarded_for: bool) -> Box<str> {
    let forwarded = || {
        let list = request
            .headers()
            .get_all("x-forwarded-for")
            .iter()
            .next_back()?
            .to_str()
            .ok()?;
        list.rsplit(',').next()?.trim().parse::<std::net::IpAddr>().ok()
    };
    let peer = || {
        request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .map(|peer| peer.0.ip())
    };
    let ip = if trusts_forwarded_for {
        forwarded().or_else(peer)
    } else {
        peer()
    };
    ip.map_or_else(Box::default, |ip| ip.to_string().into())
}

/// A header as an envelope keeps it: cut at its bound, unreadable bytes replaced.
pub(crate) fn kept_header(headers: &HeaderMap, name: header::HeaderName) -> Box<str> {
    let value = headers.get(name).map_or(&b""[..], |value| value.as_bytes());
    match String::from_utf8_lossy(value.get(..HEADER_BYTES_MAX).unwrap_or(value)) {
        Cow::Borrowed(text) => text.into(),
        Cow::Owned(text) => text.into(),
    }
}
