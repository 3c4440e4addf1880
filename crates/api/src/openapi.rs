//! The OpenAPI 3.1 document, made from the table of routes and the types of the handlers, and from the paths of the doors.

mod doors;

use crate::auth::Access;
use crate::routes::{Documented, endpoints};
use std::sync::LazyLock;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, PathItem, Ref, Response, ResponseBuilder};

/// The document as JSON. It is a function of the release alone.
#[must_use]
pub fn openapi_json() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_json().unwrap_or_default());
    &TEXT
}

pub(crate) fn document() -> Document {
    let mut document = Documented::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let components = document.components.get_or_insert_default();
    let scheme = |kind| SecurityScheme::Http(HttpBuilder::new().scheme(kind).build());
    components
        .security_schemes
        .insert("bearer".to_owned(), scheme(HttpAuthScheme::Bearer));
    components
        .security_schemes
        .insert("basic".to_owned(), scheme(HttpAuthScheme::Basic));
    for endpoint in endpoints() {
        let item = document.paths.paths.get_mut(&endpoint.path);
        let Some(operation) = item.and_then(|item| operation_mut(item, endpoint.method)) else {
            continue;
        };
        operation.security = Some(match endpoint.access {
            Access::Open => Vec::new(),
            Access::SpaceRead | Access::Admin => ["bearer", "basic"]
                .map(|name| SecurityRequirement::new(name, Vec::<String>::new()))
                .to_vec(),
        });
        let told = |(status, description): &(&str, &str)| ((*status).to_owned(), error(description).into());
        for (status, response) in refusals(endpoint.access).iter().map(told) {
            operation.responses.responses.entry(status).or_insert(response);
        }
    }
    doors::describe(&mut document);
    document
}

/// What the layers before the handlers refuse, where the handler's own words do not cover it.
fn refusals(access: Access) -> &'static [(&'static str, &'static str)] {
    const INVALID: (&str, &str) = (
        "400",
        "What the address, its parameters or the body say cannot be used.",
    );
    const UNKNOWN: (&str, &str) = ("401", "No API key was sent, or one that is unknown or was revoked.");
    match access {
        Access::Open => &[INVALID],
        Access::SpaceRead => &[
            INVALID,
            UNKNOWN,
            ("403", "The API key reads another space, or is a write key."),
        ],
        Access::Admin => &[
            INVALID,
            UNKNOWN,
            (
                "403",
                "This needs the administrator's key; a key of one space or a write key was sent.",
            ),
        ],
    }
}

fn error(description: &str) -> Response {
    let body = Content::new(Some(Ref::from_schema_name("ErrorBody")));
    ResponseBuilder::new()
        .description(description)
        .content("application/json", body)
        .build()
}

/// The operation of a path by the name of its method, in lower case.
pub(crate) fn operation<'a>(item: &'a PathItem, method: &str) -> Option<&'a Operation> {
    match method {
        "get" => item.get.as_ref(),
        "post" => item.post.as_ref(),
        "put" => item.put.as_ref(),
        "patch" => item.patch.as_ref(),
        "delete" => item.delete.as_ref(),
        _ => None,
    }
}

fn operation_mut<'a>(item: &'a mut PathItem, method: &str) -> Option<&'a mut Operation> {
    match method {
        "get" => item.get.as_mut(),
        "post" => item.post.as_mut(),
        "put" => item.put.as_mut(),
        "patch" => item.patch.as_mut(),
        "delete" => item.delete.as_mut(),
        _ => None,
    }
}
