//! The parameters of a query: a route takes those that its operation in the OpenAPI document names, and refuses any other,
//! so that a misspelt one is never an answer to another question.
//!
//! Every route of the table has this layer, behind `auth`. The doors are not in that table: what SDKs add to an address is
//! theirs to add.

use crate::ApiError;
use crate::openapi::operation;
use crate::routes::Endpoint;
use axum::extract::{Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::Uri;
use kith_expr::nearest;
use std::sync::Arc;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::path::ParameterIn;

/// Routes that people reach by a link in a mail: what their mail service adds to the link must not stop them.
const BY_LINK: [&str; 1] = ["/u/{token}"];
/// Characters of an unknown name that are repeated.
const SHOWN_CHARS_MAX: usize = 80;

/// What a route takes in its query.
#[derive(Clone)]
pub(crate) enum Parameters {
    /// Whatever is sent.
    Any,
    /// These, in the order of their names.
    Named(Arc<[String]>),
}

impl Parameters {
    /// Those that the document names for a route.
    pub(crate) fn of(document: &Document, endpoint: &Endpoint) -> Self {
        if BY_LINK.contains(&endpoint.path.as_str()) {
            return Self::Any;
        }
        let operation = (document.paths.paths.get(&endpoint.path)).and_then(|item| operation(item, endpoint.method));
        let parameters = operation.and_then(|operation| operation.parameters.as_ref());
        let mut named: Vec<String> = (parameters.into_iter().flatten())
            .filter(|parameter| matches!(parameter.parameter_in, ParameterIn::Query))
            .map(|parameter| parameter.name.clone())
            .collect();
        named.sort_unstable();
        Self::Named(named.into())
    }

    fn judge(&self, uri: &Uri) -> Result<(), ApiError> {
        let Self::Named(known) = self else {
            return Ok(());
        };
        let Query(sent) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| ApiError::invalid(format!("the query of the address cannot be read: {error}")))?;
        match sent.iter().find(|(name, _)| !known.contains(name)) {
            Some((name, _)) => Err(unknown(name, known)),
            None => Ok(()),
        }
    }
}

/// Lets a request through to its handler, or refuses what its query has beside what the route takes.
pub(crate) async fn check(State(parameters): State<Parameters>, request: Request, next: Next) -> Response {
    match parameters.judge(request.uri()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn unknown(asked: &str, known: &[String]) -> ApiError {
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    let meant = match nearest(asked, &names) {
        Some(near) => format!("did you mean {near}? "),
        None => String::new(),
    };
    let asked: String = (asked.chars().filter(|symbol| !symbol.is_control()))
        .take(SHOWN_CHARS_MAX)
        .collect();
    ApiError::invalid(match names.as_slice() {
        [] => format!("there is no parameter {asked}: this address takes none"),
        names => format!(
            "there is no parameter {asked}: {meant}The parameters here are {}",
            names.join(", ")
        ),
    })
}
