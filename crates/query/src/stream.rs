//! Running one statement: a task that plans, executes and renders, and the stream that its caller reads.
//!
//! The task holds a permit, a share of the memory and a deadline. It is aborted when the stream is dropped, and holds
//! at most two pieces that were not read: a slow reader slows the statement down.

use crate::config::{SpaceAccess, SqlConfig};
use crate::error::{SqlError, SqlErrorKind};
use crate::{render, session, statement};
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SessionContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use futures::{Stream, StreamExt};
use kith_lake::Lake;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// Pieces of a result that wait for their reader.
const WAITING_PIECES: usize = 2;

/// The rows of a statement: pieces of whole lines, one JSON object a line. Dropping it cancels the statement. After an
/// error nothing follows; a result without one is complete.
#[derive(Debug)]
pub struct QueryStream {
    schema: SchemaRef,
    pieces: mpsc::Receiver<Piece>,
    over: bool,
    _task: AbortOnDrop,
}

#[derive(Debug)]
enum Piece {
    Lines(Bytes),
    Failed(SqlError),
    /// The task did its work: without it a task that died would look like the end of the rows.
    End,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl QueryStream {
    /// The result's columns: names, and types in Arrow's terms.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl Stream for QueryStream {
    type Item = Result<Bytes, SqlError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.pieces.poll_recv(context)) {
            Some(Piece::Lines(lines)) => Some(Ok(lines)),
            Some(Piece::End) => {
                self.over = true;
                None
            }
            Some(Piece::Failed(error)) => {
                self.over = true;
                Some(Err(error))
            }
            None => {
                self.over = true;
                Some(Err(died()))
            }
        })
    }
}

fn died() -> SqlError {
    SqlError::new(
        SqlErrorKind::Internal,
        "the statement ended before its rows did; the log has the details",
    )
}

/// A statement with all that its task needs.
pub(crate) struct Job {
    pub(crate) lake: Arc<Lake>,
    pub(crate) runtime: Arc<RuntimeEnv>,
    pub(crate) config: Arc<SqlConfig>,
    pub(crate) running: Arc<Semaphore>,
    pub(crate) access: SpaceAccess,
    pub(crate) sql: String,
    pub(crate) limit: Option<u64>,
}

/// Starts the job's task and waits until the statement is planned.
pub(crate) async fn start(job: Job) -> Result<QueryStream, SqlError> {
    let (pieces, received) = mpsc::channel(WAITING_PIECES);
    let (planned, schema) = oneshot::channel();
    let runtime = job.config.runtime.clone().unwrap_or_else(Handle::current);
    let task = AbortOnDrop(runtime.spawn(job.run(planned, pieces)));
    let schema = schema.await.map_err(|_| died())??;
    Ok(QueryStream {
        schema,
        pieces: received,
        over: false,
        _task: task,
    })
}

impl Job {
    async fn run(self, planned: oneshot::Sender<Result<SchemaRef, SqlError>>, pieces: mpsc::Sender<Piece>) {
        let deadline = Instant::now() + self.config.timeout;
        let _permit = match timeout_at(deadline, Arc::clone(&self.running).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            _ => {
                let message = "too many statements are running; try again later";
                // Nobody waits for the answer of a statement that was given up.
                let _ = planned.send(Err(SqlError::new(SqlErrorKind::Unavailable, message)));
                return;
            }
        };
        // Boxed: planning has large futures.
        let rows = match self.in_time(deadline, Box::pin(self.begin())).await {
            Ok(rows) => rows,
            Err(error) => {
                let _ = planned.send(Err(error));
                return;
            }
        };
        if planned.send(Ok(rows.schema())).is_err() {
            return;
        }
        let end = match self.copy(deadline, rows, &pieces).await {
            Ok(()) => Piece::End,
            Err(error) => Piece::Failed(error),
        };
        let _ = pieces.send(end).await;
    }

    async fn begin(&self) -> Result<SendableRecordBatchStream, SqlError> {
        let state = session::open(&self.lake, &self.runtime, &self.config, &self.access)?;
        let plan = statement::plan(&state, &self.sql).await?;
        // These two must stay the root of their plans; the limit is kept while copying in any case.
        let whole = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::DescribeTable(_));
        let plan = match self.limit {
            Some(limit) if !whole => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                LogicalPlanBuilder::from(plan)
                    .limit(0, Some(limit))
                    .and_then(LogicalPlanBuilder::build)?
            }
            _ => plan,
        };
        render::check_columns(plan.schema().as_arrow())?;
        let context = SessionContext::new_with_state(state);
        let frame = context
            .execute_logical_plan(plan)
            .await
            .map_err(|error| self.failed(error))?;
        frame.execute_stream().await.map_err(|error| self.failed(error))
    }

    /// Sends rows until they end, the limit is reached, or a cap is.
    async fn copy(
        &self,
        deadline: Instant,
        mut rows: SendableRecordBatchStream,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<(), SqlError> {
        let limit = self.limit.unwrap_or(u64::MAX);
        let (mut row_count, mut byte_count) = (0_u64, 0_u64);
        while row_count < limit {
            let next = self.in_time(deadline, async { Ok(rows.next().await) }).await?;
            let Some(batch) = next else { break };
            let batch = batch.map_err(|error| self.failed(error))?;
            for piece in pieces_of(&batch, limit - row_count) {
                row_count += piece.num_rows() as u64;
                let lines = render::lines(&piece)?;
                byte_count += lines.len() as u64;
                self.check_size(row_count, byte_count)?;
                let sent = self
                    .in_time(deadline, async { Ok(pieces.send(Piece::Lines(lines)).await) })
                    .await?;
                if sent.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn check_size(&self, rows: u64, bytes: u64) -> Result<(), SqlError> {
        let (max_rows, max_bytes) = (self.config.max_rows, self.config.max_bytes);
        if rows > max_rows || bytes > max_bytes {
            let message =
                format!("the result has more than {max_rows} rows or {max_bytes} bytes: add a LIMIT or select less");
            return Err(SqlError::new(SqlErrorKind::TooLarge, message));
        }
        Ok(())
    }

    async fn in_time<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = Result<T, SqlError>>,
    ) -> Result<T, SqlError> {
        timeout_at(deadline, work).await.unwrap_or_else(|_| {
            let seconds = self.config.timeout.as_secs_f64();
            let message =
                format!("the statement took longer than {seconds} seconds: narrow its time range or ask for less");
            Err(SqlError::new(SqlErrorKind::TimedOut, message))
        })
    }

    fn failed(&self, error: DataFusionError) -> SqlError {
        SqlError::cap_reached(&error, self.config.memory_bytes).unwrap_or_else(|| SqlError::from(error))
    }
}

/// The batch, at most `limit` rows of it, in pieces.
fn pieces_of(batch: &RecordBatch, limit: u64) -> impl Iterator<Item = RecordBatch> + '_ {
    let rows = batch.num_rows().min(usize::try_from(limit).unwrap_or(usize::MAX));
    (0..rows)
        .step_by(render::PIECE_ROWS)
        .map(move |start| batch.slice(start, render::PIECE_ROWS.min(rows - start)))
}
