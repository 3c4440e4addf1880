//! Errors as clients see them: `{"error":{"code","message"}}`, the shape of Segment's Profile API.
//!
//! What clients read and what the log keeps are different fields: the cause of a fault is logged with the request id
//! and never sent.

use crate::ports::{PortError, PortErrorKind};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use kith_catalog::{CatalogError, Problem};
use serde::Serialize;
use std::error::Error;
use std::time::Duration;
use utoipa::ToSchema;

/// An answer that is an error.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    problems: Vec<Problem>,
    retry_after: Option<Duration>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// The body of an error.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// The error.
    error: ErrorDetail,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// For programs.
    code: &'static str,
    /// For people: what is wrong, where, and how to mend it.
    message: String,
    /// What must be mended in definitions, one entry a field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<ProblemBody>,
}

/// What is wrong with a definition.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// The definition.
    document: String,
    /// The field; empty where it is the whole definition.
    path: String,
    /// What is wrong and how to mend it.
    message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            problems: Vec::new(),
            retry_after: None,
            cause: None,
        }
    }

    /// A request that breaks a rule.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "validation_error", message)
    }

    /// What was named does not exist.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// Documents that cannot be read.
    pub(crate) fn problems(problems: Vec<Problem>) -> Self {
        PortError::problems(problems).into()
    }

    /// The body, and the code of the status.
    pub(crate) fn body(self) -> (StatusCode, ErrorBody) {
        if self.status.is_server_error() {
            let cause = self
                .cause
                .as_deref()
                .map(|cause| kith_telemetry::error_chain(cause))
                .unwrap_or_default();
            tracing::error!(status = self.status.as_u16(), code = self.code, cause, "request failed");
        }
        let problems = self.problems.into_iter().map(|problem| ProblemBody {
            document: problem.document,
            path: problem.path,
            message: problem.message,
        });
        (
            self.status,
            ErrorBody {
                error: ErrorDetail {
                    code: self.code,
                    message: self.message,
                    problems: problems.collect(),
                },
            },
        )
    }
}

impl From<PortError> for ApiError {
    fn from(error: PortError) -> Self {
        let (status, code) = match error.kind {
            PortErrorKind::NotFound | PortErrorKind::Absent => (StatusCode::NOT_FOUND, "not_found"),
            PortErrorKind::Invalid if error.problems.is_empty() => (StatusCode::BAD_REQUEST, "validation_error"),
            PortErrorKind::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_definitions"),
            PortErrorKind::Conflict => (StatusCode::CONFLICT, "conflict"),
            PortErrorKind::Limit => (StatusCode::CONFLICT, "limit_reached"),
            PortErrorKind::Busy => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error"),
            PortErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            PortErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        };
        Self {
            status,
            code,
            message: error.message,
            problems: error.problems,
            retry_after: error.retry_after,
            cause: error.cause,
        }
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        PortError::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let wait = self.retry_after;
        let (status, body) = self.body();
        let mut response = error_response(status, &body);
        if let Some(wait) = wait {
            let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A response of that status and body; overload and absence say when to come back.
pub(crate) fn error_response(status: StatusCode, body: &ErrorBody) -> Response {
    let mut response = (status, axum::Json(body)).into_response();
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The code of a status that a layer below the handlers gave.
pub(crate) fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "payload_too_large",
        status if status.is_server_error() => "internal_error",
        _ => "invalid_request_error",
    }
}

/// The answer to a path that no route has; for the fallback of the whole server.
pub async fn not_found() -> Response {
    ApiError::not_found("there is no such path; /api/openapi.json lists them all").into_response()
}
