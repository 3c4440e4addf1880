//! The OpenAPI 3.1 document, made from the table of routes and the types of the handlers.

use crate::auth::Access;
use crate::routes::{Documented, endpoints};
use std::sync::LazyLock;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};

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
        let Some(item) = document.paths.paths.get_mut(&endpoint.path) else {
            continue;
        };
        let operation = match endpoint.method {
            "get" => &mut item.get,
            "post" => &mut item.post,
            _ => &mut item.delete,
        };
        let Some(operation) = operation else { continue };
        operation.security = Some(match endpoint.access {
            Access::Open => Vec::new(),
            Access::SpaceRead | Access::Admin => ["bearer", "basic"]
                .map(|name| SecurityRequirement::new(name, Vec::<String>::new()))
                .to_vec(),
        });
    }
    document
}
