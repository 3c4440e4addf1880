//! The engine: what all statements share, and the way in.

use crate::config::{SpaceAccess, SqlConfig};
use crate::describe::{self, TableDescription};
use crate::error::{SqlError, SqlErrorKind};
use crate::session;
use crate::spaces::Spaces;
use crate::stream::{self, Job, QueryStream};
use datafusion::execution::runtime_env::RuntimeEnv;
use kith_lake::Lake;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Runs statements over the lake. One serves a process; calls may come from many tasks at once.
pub struct SqlEngine {
    lake: Arc<Lake>,
    config: Arc<SqlConfig>,
    pub(crate) runtime: Arc<RuntimeEnv>,
    pub(crate) running: Arc<Semaphore>,
}

impl fmt::Debug for SqlEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlEngine")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl SqlEngine {
    /// An engine within those limits. The spill folder is made where there is none.
    ///
    /// # Errors
    /// [`SqlErrorKind::Unavailable`] when the spill folder cannot be used.
    pub fn new(lake: Arc<Lake>, config: SqlConfig) -> Result<Self, SqlError> {
        if let Some(folder) = &config.spill_dir {
            std::fs::create_dir_all(folder).map_err(|error| {
                let message = format!("the spill folder {} cannot be made: {error}", folder.display());
                SqlError::new(SqlErrorKind::Unavailable, message)
            })?;
        }
        let runtime = session::runtime(&lake, &config)?;
        let running = Arc::new(Semaphore::new(
            config.concurrent_statements.clamp(1, Semaphore::MAX_PERMITS),
        ));
        Ok(Self {
            lake,
            config: Arc::new(config),
            runtime,
            running,
        })
    }

    /// Plans and starts a statement that reads; at most `limit` rows of its result where a limit is given. Returns when
    /// it is planned: its tables are then pinned to their newest snapshots.
    ///
    /// Needs a tokio runtime with time. Dropping the future or the stream cancels the work.
    ///
    /// # Errors
    /// Every [`SqlErrorKind`] except `TooLarge`; the stream has errors of execution as its last item.
    pub async fn query(&self, access: &SpaceAccess, sql: &str, limit: Option<u64>) -> Result<QueryStream, SqlError> {
        let job = Job {
            lake: Arc::clone(&self.lake),
            runtime: Arc::clone(&self.runtime),
            config: Arc::clone(&self.config),
            running: Arc::clone(&self.running),
            access: access.clone(),
            sql: sql.to_owned(),
            limit,
        };
        stream::start(job).await
    }

    pub(crate) fn lake(&self) -> &Arc<Lake> {
        &self.lake
    }

    pub(crate) fn config(&self) -> &SqlConfig {
        &self.config
    }

    /// All tables and views of those spaces, by space, schema and name.
    ///
    /// # Errors
    /// [`SqlErrorKind::Unavailable`] or [`SqlErrorKind::Damaged`] when a table cannot be loaded.
    pub async fn list_tables(&self, access: &SpaceAccess) -> Result<Vec<TableDescription>, SqlError> {
        let spaces = Spaces::open(&self.lake, &self.config, access)?;
        describe::describe(&spaces).await
    }
}
