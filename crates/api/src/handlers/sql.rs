//! SQL over HTTP: a statement in, lines of JSON out while they are made.

use super::Api;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{parse_body, parse_space};
use crate::ports::{SqlRequest, SqlSpaces};
use crate::stream::ndjson;
use axum::Extension;
use axum::response::Response;
use bytes::Bytes;
use kith_catalog::{ApiKeyScope, Principal};
use kith_types::SpaceId;
use serde::Deserialize;
use utoipa::ToSchema;

/// The longest statement, in bytes.
const SQL_BYTES_MAX: usize = 1024 * 1024;

/// A statement.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlBody {
    /// The statement; it may only read. Spaces are databases: `brand_b.clean.events` is read from any space, and joined with
    /// `main.clean.events`.
    sql: String,
    /// The space whose tables need no database before their names: `main` unless given. It takes nothing away: the
    /// administrator's key reads every space.
    #[serde(default)]
    space: Option<String>,
    /// At most so many rows.
    #[serde(default)]
    limit: Option<u64>,
}

/// What a key lets a statement read.
fn readable(scope: ApiKeyScope) -> SqlSpaces {
    match scope {
        ApiKeyScope::Admin => SqlSpaces::All,
        ApiKeyScope::Read(own) => SqlSpaces::Only(own),
    }
}

/// Runs a statement over the tables of all spaces and streams one JSON object a row. A failure after the first row is the last line,
/// `{"$error":{…}}`. Going away cancels the statement.
#[utoipa::path(
    post, path = "/api/sql", operation_id = "run_sql", tag = "sql",
    request_body = SqlBody,
    responses(
        (
            status = 200,
            description = "The rows, one JSON object a line.",
            content_type = "application/x-ndjson",
            body = String,
        ),
        (status = 400, description = "The statement cannot be run.", body = ErrorBody),
        (status = 404, description = "There is no such space.", body = ErrorBody),
    ),
)]
pub(crate) async fn sql(
    state: Api,
    Extension(principal): Extension<Principal>,
    request: Bytes,
) -> Result<Response, ApiError> {
    let request: SqlBody = parse_body(&request)?;
    if request.sql.len() > SQL_BYTES_MAX {
        return Err(ApiError::invalid(format!(
            "a statement has at most {SQL_BYTES_MAX} bytes"
        )));
    }
    let space = request
        .space
        .as_deref()
        .map_or_else(|| Ok(SpaceId::main()), parse_space)?;
    Ok(ndjson(
        state
            .sql
            .run(SqlRequest {
                sql: request.sql,
                space,
                readable: readable(principal.scope),
                limit: request.limit,
            })
            .await?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spc_1_a_key_of_a_space_reads_no_other_by_sql() {
        let own: SpaceId = "brand_b".parse().unwrap();
        assert_eq!(readable(ApiKeyScope::Read(own.clone())), SqlSpaces::Only(own));
        assert_eq!(readable(ApiKeyScope::Admin), SqlSpaces::All);
    }
}
