//! The HTTP API: routes, OpenAPI, authentication.
//!
//! It speaks Segment's Profile API and Kith's own under `/api`, and asks everything of small port traits whose adapters
//! the binary writes. It holds wire formats, limits and access, never business logic: no state is read here but through
//! a port, and only keys, spaces and sources come from the catalog itself. A route that is not in the table of
//! `routes.rs` does not exist, and each there names who may use it.

#![expect(
    unused_qualifications,
    reason = "utoipa's attribute writes the types of parameters out in full"
)]

mod auth;
mod cursor;
mod error;
mod extract;
mod handlers;
mod look;
mod openapi;
mod parameters;
pub mod ports;
mod raw_json;
mod routes;
mod stream;
mod watch;

pub use error::{ApiError, not_found};
pub use look::Look;
pub use openapi::openapi_json;
pub use raw_json::RawJson;
pub use routes::{ApiLimits, ApiState, router};

#[cfg(test)]
mod tests;
