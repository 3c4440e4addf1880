//! SQL over the lake as the API serves it.

use super::{Parts, Role, ServerConfig};
use crate::error::CommandError;
use async_trait::async_trait;
use futures::StreamExt;
use kith_api::ports::{LineStream, MissingRole, PortError, PortErrorKind, Sql, SqlRequest};
use kith_query::{SpaceAccess, SqlConfig, SqlEngine, SqlError, SqlErrorKind};
use kith_types::SpaceId;
use std::sync::Arc;

/// The API's port to SQL.
struct LakeSql {
    engine: SqlEngine,
    parts: Arc<Parts>,
}

impl LakeSql {
    /// Makes the tables of a space of which nobody has said anything yet: they are there, and have no rows.
    async fn ensure(&self, space: &SpaceId) -> Result<(), PortError> {
        let (catalog, lake, asked) = (
            Arc::clone(&self.parts.catalog),
            Arc::clone(&self.parts.lake),
            space.clone(),
        );
        let looked = tokio::task::spawn_blocking(move || {
            let exists = catalog.spaces()?.iter().any(|space| space.name == asked);
            Ok::<_, PortError>((exists, lake.tables(&asked).map_err(PortError::internal)?.is_empty()))
        });
        match looked.await.map_err(PortError::internal)?? {
            (false, _) => {
                let message = format!("there is no space {space}: `kith space list` lists them");
                Err(PortError::new(PortErrorKind::NotFound, message))
            }
            (true, false) => Ok(()),
            (true, true) => self.parts.lake.ensure_space(space).await.map_err(PortError::internal),
        }
    }
}

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
    let parts = Arc::clone(parts);
    Ok(Arc::new(LakeSql { engine, parts }))
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
        self.ensure(&request.space).await?;
        let access = SpaceAccess::only(request.space);
        let rows = self
            .engine
            .query(&access, &request.sql, request.limit)
            .await
            .map_err(refused)?;
        Ok(rows.map(|piece| piece.map_err(refused)).boxed())
    }
}
