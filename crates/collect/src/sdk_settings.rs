//! The documents that browser SDKs load before they send: Segment's settings, RudderStack's source configuration.
//!
//! They tell the SDK that nothing but us is to be sent to, and where we are. They name no space and no other source.

use crate::credentials::basic_user;
use crate::doors::{Doors, write_key_of_query};
use crate::reply;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, header};
use serde_json::json;

/// Segment's settings document, as `analytics-next` and the mobile SDKs read it from `/v1/projects/{key}/settings`.
pub(crate) fn segment(doors: &Doors, write_key: &str, headers: &HeaderMap) -> Response<Body> {
    if let Err(refused) = doors.source_of(Some(write_key)) {
        return *refused;
    }
    let enabled = json!({"__default": {"enabled": true, "integrations": {}}});
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    // Only the one who asks is told this protocol, so the header needs no trusted proxy.
    let is_secure = headers
        .get("x-forwarded-proto")
        .is_some_and(|proto| proto.as_bytes() == b"https");
    let document = json!({
        "integrations": {
            "Segment.io": {
                "apiKey": write_key,
                "apiHost": format!("{host}/v1"),
                "protocol": if is_secure { "https" } else { "http" },
                "unbundledIntegrations": [],
                "addBundledMetadata": true,
                "maybeBundledConfigIds": {},
                "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
            }
        },
        "plan": {"track": enabled, "identify": enabled, "group": enabled},
        "edgeFunction": {},
        "analyticsNextEnabled": true,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": false,
        "remotePlugins": [],
    });
    reply::document(document.to_string())
}

/// RudderStack's source configuration, as its browser SDK reads it from `/sourceConfig/`.
pub(crate) fn rudderstack<B>(doors: &Doors, request: &Request<B>) -> Response<Body> {
    let write_key = write_key_of_query(request.uri()).or_else(|| basic_user(request.headers()));
    let (_, source) = match doors.source_of(write_key.as_deref()) {
        Ok(found) => found,
        Err(refused) => return *refused,
    };
    let off = json!({"enabled": false});
    let document = json!({
        "source": {
            "id": source.as_str(),
            "name": source.as_str(),
            "writeKey": write_key,
            "enabled": true,
            "workspaceId": "kith",
            "config": {"statsCollection": {"errors": off, "metrics": off}},
            "destinations": [],
            "connections": [],
            "dataplanes": {},
        },
        "updatedAt": "2026-01-01T00:00:00.000Z",
    });
    reply::document(document.to_string())
}
