//! SQL over the lake as the API serves it.

use super::{Parts, Role, ServerConfig};
use crate::error::CommandError;
use async_trait::async_trait;
use futures::StreamExt;
use kith_api::ports::{LineStream, MissingRole, PortError, PortErrorKind, Sql, SqlRequest};
use kith_query::{SpaceAccess, SqlConfig, SqlEngine, SqlError, SqlErrorKind};
use std::sync::Arc;

/// The API's port to SQL.
struct LakeSql(SqlEngine);

/// SQL over the server's lake, or, without that role, a port that says so.
pub(crate) fn over(config: &ServerConfig, parts: &Arc<Parts>) -> Result<Arc<dyn Sql>, CommandError> {
    if !config.has(Role::Query) {
        return Ok(Arc::new(MissingRole("query")));
    }
    let pipeline = Arc::clone(&parts.pipeline);
    let limits = SqlConfig {
        spill_dir: Some(parts.scratch.join("sql")),
        rules: Arc::new(move |space| {
            let definitions = pipeline.definitions(space);
            definitions.map_or_else(Default::default, |definitions| Arc::clone(&definitions.rules))
        }),
        ..SqlConfig::default()
    };
    let engine = SqlEngine::new(Arc::clone(&parts.lake), limits)
        .map_err(|error| CommandError::caused("SQL cannot be served", error))?;
    Ok(Arc::new(LakeSql(engine)))
}

fn refused(error: SqlError) -> PortError {
    let kind = match error.kind() {
        SqlErrorKind::Invalid | SqlErrorKind::ReadOnly | SqlErrorKind::TooLarge | SqlErrorKind::TimedOut => {
            PortErrorKind::Invalid
        }
        SqlErrorKind::OutOfMemory | SqlErrorKind::Unavailable => PortErrorKind::Unavailable,
        SqlErrorKind::Damaged | SqlErrorKind::Internal => PortErrorKind::Internal,
    };
    PortError::new(kind, error.to_string()).with_cause(error)
}

#[async_trait]
impl Sql for LakeSql {
    async fn run(&self, request: SqlRequest) -> Result<LineStream, PortError> {
        let access = SpaceAccess::only(request.space);
        let rows = self
            .0
            .query(&access, &request.sql, request.limit)
            .await
            .map_err(refused)?;
        Ok(rows.map(|piece| piece.map_err(refused)).boxed())
    }
}
