//! Folding history from `clean.events`: every carrier's aggregates at once, by the code that folds live events.
//!
//! For definitions that come after many events (contract SEG-4). The plan reads only the columns that the aggregates ask for,
//! and of those only rows whose names may count; `carrier_hash` says whose each event is and the aggregate function
//! `fold_history` folds them. Who asks decides which records are covered and what becomes of the folds.

mod fold;
mod row;

use crate::engine::SqlEngine;
use crate::error::SqlError;
use crate::functions::CarrierHash;
use crate::session;
use crate::table::LakeTable;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::Decimal128Type;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{AggregateUDF, Expr, ScalarUDF, col, lit};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::DataFrame;
use fold::FoldHistory;
use futures::StreamExt;
use kith_expr::EventFilter;
use kith_identity::Rules;
use kith_lake::tables;
use kith_profile::FoldPlan;
use kith_types::SpaceId;
use row::Needs;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// Which history is folded into what.
#[derive(Clone, Debug)]
pub struct HistoryQuestion {
    /// Whose.
    pub space: SpaceId,
    /// The generation of the log that the records are of.
    pub generation: u16,
    /// Of the events of records before this sequence number.
    pub before: u64,
    /// By which an event's carrier is found.
    pub rules: Arc<Rules>,
    /// The aggregates.
    pub plan: Arc<FoldPlan>,
}

/// A carrier's fold.
#[derive(Clone, Copy, Debug)]
pub struct CarrierFold<'a> {
    /// The hash of the carrier.
    pub carrier: u128,
    /// The fold, as [`kith_profile::Part::encode_for`] writes it for the plan asked for.
    pub fold: &'a [u8],
}

impl SqlEngine {
    /// Folds history and hands every carrier's fold to `take`, in no order; one that has no event which counts has none.
    /// `take` may stop it with an error; `progress` is told, every now and then, which share of the rows is read. Memory
    /// is bounded by the engine's; groups beyond it spill.
    ///
    /// Dropping the future cancels the work.
    ///
    /// # Errors
    /// As [`SqlEngine::query`], and that of `take`.
    pub async fn fold_history(
        &self,
        question: &HistoryQuestion,
        take: &mut (dyn FnMut(CarrierFold<'_>) -> std::io::Result<()> + Send),
        progress: &(dyn Fn(f64) + Sync),
    ) -> Result<(), SqlError> {
        let events = tables::clean_events();
        let table = self.lake().table(&question.space, events.namespace, events.name).await;
        let table = table.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let mut config = session::session_config(self.config(), question.space.as_str());
        // Few of the rows may count, and what is asked of those is wide: other columns are read of these rows alone.
        config.options_mut().execution.parquet.pushdown_filters = true;
        // Together the two have given wrong answers (DataFusion 54); nothing here would gain by the other.
        config.options_mut().optimizer.enable_dynamic_filter_pushdown = false;
        let state = session::base(Arc::clone(&self.runtime), config).build();
        let context = SessionContext::new_with_state(state);
        let rows = table.record_count().max(1);
        let frame = context.read_table(Arc::new(LakeTable::new(table)))?;
        let plan = folds(frame, question)?.create_physical_plan().await?;
        let mut folds = execute_stream(Arc::clone(&plan), context.task_ctx())?;
        loop {
            let Ok(batch) = timeout(TOLD_EVERY, folds.next()).await else {
                progress(share(rows_read(&plan), rows));
                continue;
            };
            let Some(batch) = batch.transpose()? else { break };
            let carriers = batch.column(0).as_primitive::<Decimal128Type>();
            let parts = batch.column(1).as_binary::<i32>();
            for row in 0..batch.num_rows() {
                if carriers.is_null(row) || parts.is_null(row) {
                    continue;
                }
                let fold = CarrierFold {
                    carrier: carriers.value(row).cast_unsigned(),
                    fold: parts.value(row),
                };
                take(fold).map_err(DataFusionError::IoError)?;
            }
        }
        Ok(())
    }
}

/// The rows that a plan has read out of files, those included that it did not want.
fn rows_read(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let below = plan.children();
    if below.is_empty() {
        let metrics = plan.metrics().unwrap_or_default();
        let passed_by = metrics.sum_by_name("pushdown_rows_pruned");
        return metrics.output_rows().unwrap_or(0) + passed_by.map_or(0, |rows| rows.as_usize());
    }
    below.into_iter().map(rows_read).sum()
}

#[expect(clippy::cast_precision_loss, reason = "a share of rows, for who watches")]
fn share(read: usize, all: u64) -> f64 {
    (read as f64 / all as f64).min(1.0)
}

/// The plan: rows that may count, by carrier, folded.
fn folds(frame: DataFrame, question: &HistoryQuestion) -> Result<DataFrame, DataFusionError> {
    let needs = Needs::of(&question.plan);
    let before = i64::try_from(question.before).unwrap_or(i64::MAX);
    let mut wanted = (col("generation").eq(lit(i32::from(question.generation)))).and(col("sequence").lt(lit(before)));
    let names = names_of(&question.plan);
    if let Some(names) = names {
        wanted = wanted.and(col("event").in_list(names.into_iter().map(lit).collect(), false));
    }
    let text_if = |needed: bool, name: &str| if needed { col(name) } else { lit("") };
    let carrier = ScalarUDF::from(CarrierHash::new(Arc::clone(&question.rules)));
    let fold = AggregateUDF::from(FoldHistory::new(Arc::clone(&question.plan), needs));
    let values: Vec<Expr> = vec![
        col("event_type"),
        col("event"),
        col("event_time"),
        col("received_at"),
        col("generation"),
        col("partition_no"),
        col("sequence"),
        col("event_index"),
        text_if(needs.properties, "properties"),
        text_if(needs.traits, "traits"),
        text_if(needs.context, "context"),
        text_if(needs.accounts, "group_id"),
    ];
    frame.filter(wanted)?.aggregate(
        vec![carrier.call(vec![col("identifiers")]).alias("carrier")],
        vec![fold.call(values).alias("fold")],
    )
}

/// The names of events that may count; `None` where events of any name may.
fn names_of(plan: &FoldPlan) -> Option<BTreeSet<String>> {
    let specs = plan.ids().iter().filter_map(|id| plan.spec(*id));
    let mut names = BTreeSet::new();
    for filter in specs.flat_map(kith_expr::AggregateSpec::filters) {
        if EventFilter::names(filter).is_empty() {
            return None;
        }
        names.extend(filter.names().iter().map(ToString::to_string));
    }
    Some(names)
}
