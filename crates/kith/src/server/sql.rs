//! SQL over the lake as the API serves it: what a request may read, and the tables of spaces that have none yet.

use super::looking_back::await_knowledge;
use super::{Parts, Role, ServerConfig};
use crate::error::CommandError;
use async_trait::async_trait;
use futures::StreamExt;
use kith_api::ports::{LineStream, MissingRole, PortError, PortErrorKind, Sql, SqlRequest, SqlSpaces};
use kith_catalog::Catalog;
use kith_identity::Rules;
use kith_lake::Lake;
use kith_lake::rows::IdentifierRow;
use kith_pipeline::{HeldThen, PipelineError, PipelineErrorKind};
use kith_query::{PastIdentity, SpaceAccess, SqlConfig, SqlEngine, SqlError, SqlErrorKind};
use kith_telemetry::{Counter, Histogram};
use kith_types::{SpaceId, Timestamp};
use std::sync::Arc;
use std::time::Instant;

/// The API's port to SQL.
struct LakeSql {
    engine: SqlEngine,
    catalog: Arc<Catalog>,
    lake: Arc<Lake>,
}

impl LakeSql {
    /// The spaces that a request reads. Each has its tables then: of a space of which nobody has said anything yet, they are
    /// there and have no rows.
    async fn access(&self, request: &SqlRequest) -> Result<SpaceAccess, PortError> {
        let (catalog, lake) = (Arc::clone(&self.catalog), Arc::clone(&self.lake));
        let (default, readable) = (request.space.clone(), request.readable.clone());
        let of = default.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let mut spaces: Vec<SpaceId> = catalog.spaces()?.into_iter().map(|space| space.name).collect();
            spaces.retain(|space| match &readable {
                SqlSpaces::All => true,
                SqlSpaces::Only(own) => space == own,
            });
            let (mut read, mut empty) = (Vec::new(), Vec::new());
            for space in spaces {
                match lake.tables(&space) {
                    Ok(tables) if tables.is_empty() => empty.push(space.clone()),
                    Ok(_) => {}
                    Err(error) if space == of => return Err(PortError::internal(error)),
                    // The statement may well be about others.
                    Err(error) => {
                        tracing::warn!(%space, %error, "the tables of a space cannot be listed");
                        continue;
                    }
                }
                read.push(space);
            }
            Ok::<_, PortError>((read, empty))
        });
        let (spaces, empty) = looked.await.map_err(PortError::internal)??;
        if !spaces.contains(&default) {
            let message = format!("there is no space {default}: `kith space list` lists them");
            return Err(PortError::new(PortErrorKind::NotFound, message));
        }
        for space in empty {
            match self.lake.ensure_space(&space).await {
                Err(error) if space == default => return Err(PortError::internal(error)),
                // The statement may well be about others.
                Err(error) => tracing::warn!(%space, %error, "a space is without tables"),
                Ok(()) => {}
            }
        }
        Ok(SpaceAccess { spaces, default })
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
        past: Arc::new(Past(Arc::clone(parts))),
        ..SqlConfig::default()
    };
    let engine = SqlEngine::new(Arc::clone(&parts.lake), limits)
        .map_err(|error| CommandError::caused("SQL cannot be served", error))?;
    Ok(Arc::new(LakeSql {
        engine,
        catalog: Arc::clone(&parts.catalog),
        lake: Arc::clone(&parts.lake),
    }))
}

/// Who was who, as SQL asks for it.
struct Past(Arc<Parts>);

impl Past {
    /// An instant that lies in the past, and that the state has come to.
    fn of_past(&self, at: Timestamp) -> Result<Timestamp, SqlError> {
        let now = self.0.clock.now();
        if at > now {
            let message = format!("nothing can be told as of {at}, which is still to come: it is {now}");
            return Err(SqlError::new(SqlErrorKind::Invalid, message));
        }
        match await_knowledge(&self.0, at) {
            Ok(()) => Ok(at),
            Err(why) => Err(SqlError::new(SqlErrorKind::Unavailable, why)),
        }
    }
}

impl PastIdentity for Past {
    fn rules(&self, space: &SpaceId, at: Timestamp) -> Result<Arc<Rules>, SqlError> {
        self.0
            .reads
            .rules_as_of(space, self.of_past(at)?)
            .map_err(|error| unknown(&error))
    }

    fn identifiers(
        &self,
        space: &SpaceId,
        at: Timestamp,
        go_on: &dyn Fn() -> bool,
        take: &mut dyn FnMut(IdentifierRow) -> bool,
    ) -> Result<(), SqlError> {
        let mut row = |held: HeldThen| {
            take(IdentifierRow {
                identifier: held.identifier,
                profile_id: held.profile,
                first_seen: Some(held.first_seen),
                last_seen: None,
                valid_from: held.from,
                valid_to: held.to,
            })
        };
        let at = self.of_past(at)?;
        let told = self.0.reads.identifiers_as_of(space, at, go_on, &mut row);
        told.map_err(|error| unknown(&error))
    }
}

fn unknown(error: &PipelineError) -> SqlError {
    let kind = match error.kind() {
        PipelineErrorKind::Definition | PipelineErrorKind::Limit => SqlErrorKind::Invalid,
        PipelineErrorKind::Storage | PipelineErrorKind::Corrupt => {
            tracing::error!(%error, "who was who could not be read");
            return SqlError::new(
                SqlErrorKind::Internal,
                "who was who could not be read; the log has the details",
            );
        }
    };
    SqlError::new(kind, error.to_string())
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
        let access = self.access(&request).await?;
        let counted = Counted(Instant::now());
        let rows = self.engine.query(&access, &request.sql, request.limit).await;
        let rows = rows.map_err(|error| counted.failed(error))?;
        Ok(rows
            .map(move |piece| piece.map_err(|error| counted.failed(error)))
            .boxed())
    }
}

/// A statement as metrics count it: until its last row is read, or nobody wants more.
struct Counted(Instant);

impl Counted {
    fn failed(&self, error: SqlError) -> PortError {
        Counter::SqlFailures.increment();
        refused(error)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        Counter::SqlQueries.increment();
        Histogram::SqlSeconds.observe(self.0.elapsed());
    }
}

#[cfg(test)]
mod tests;
