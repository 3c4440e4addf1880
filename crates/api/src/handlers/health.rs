//! Liveness, readiness, metrics and the OpenAPI document: open to anybody, and nothing in them is personal.

use super::Api;
use crate::ports::ReadinessCheck;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

/// Whether the process is ready.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether every check is well.
    ready: bool,
    /// Whether it is ready and something is not well all the same.
    degraded: bool,
    /// The checks.
    checks: Vec<Check>,
}

/// One check.
#[derive(Serialize, ToSchema)]
pub(crate) struct Check {
    /// What is checked.
    name: String,
    /// Whether it is well.
    ok: bool,
    /// How it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Says that the process runs.
#[utoipa::path(
    get, path = "/livez", tag = "operations",
    responses((status = 200, description = "It runs.", content_type = "text/plain", body = String)),
)]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Says whether the process takes requests: log writable, stores reachable. What is late without being lost (publishing that
/// keeps failing, a state that is being built again, lag) is told and leaves the process ready.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "It does.", body = Readiness),
        (status = 503, description = "It does not.", body = Readiness),
    ),
)]
pub(crate) async fn readyz(state: Api) -> Response {
    let mut checks = state.operations.readiness().await;
    let catalog = std::sync::Arc::clone(&state.catalog);
    let catalog_fault = match state.catalog_look.ask(move || catalog.check_reachable()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(kith_telemetry::error_chain(&error)),
        Err(why) => Some(why),
    };
    checks.push(ReadinessCheck {
        name: "catalog".to_owned(),
        fault: catalog_fault,
        ..ReadinessCheck::default()
    });
    let ready = checks.iter().all(|check| check.fault.is_none() || check.bearable);
    let degraded = ready && checks.iter().any(|check| check.fault.is_some());
    for check in &checks {
        if let Some(fault) = &check.fault {
            // The fault may name paths of the machine: it is for the log, not for whoever asks without a key.
            tracing::warn!(check = check.name, fault, "not ready");
        }
    }
    let checks = checks
        .into_iter()
        .map(|check| Check {
            ok: check.fault.is_none(),
            name: check.name,
            note: check.note,
        })
        .collect();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        axum::Json(Readiness {
            ready,
            degraded,
            checks,
        }),
    )
        .into_response()
}

/// The metrics of the process for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses(
        (status = 200, description = "The text format of Prometheus.", content_type = "text/plain", body = String),
    ),
)]
pub(crate) async fn metrics() -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        kith_telemetry::render_prometheus(),
    )
        .into_response()
}

/// This document.
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "operations",
    responses((status = 200, description = "The OpenAPI document.", content_type = "application/json", body = String)),
)]
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], crate::openapi_json()).into_response()
}

/// The JSON Schema of a segment's document, for editors that complete and check.
#[utoipa::path(
    get, path = "/api/schemas/segment.json", tag = "operations",
    responses((status = 200, description = "The JSON Schema.", content_type = "application/schema+json", body = String)),
)]
pub(crate) async fn segment_schema() -> Response {
    (
        [(header::CONTENT_TYPE, "application/schema+json")],
        kith_segment::schema().to_string(),
    )
        .into_response()
}
