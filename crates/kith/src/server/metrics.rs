//! Figures of the running stages, set from their status while they run.

use super::Parts;
use super::operations::lag_millis;
use kith_pipeline::PipelineStatus;
use kith_telemetry::{Counter, Gauge};
use std::sync::Arc;
use std::time::Duration;

/// How often the figures are set.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps the figures of the log, the pipeline and the lake true, until the server is gone.
pub(crate) fn watch(parts: &Arc<Parts>) {
    let parts = Arc::downgrade(parts);
    tokio::spawn(async move {
        let mut before = PipelineStatus::default();
        while let Some(parts) = parts.upgrade() {
            let last = before.clone();
            match tokio::task::spawn_blocking(move || set(&parts, &last)).await {
                Ok(now) => before = now,
                // Figures that stand still would say that all is well.
                Err(error) => tracing::error!(%error, "the figures could not be set"),
            }
            tokio::time::sleep(EVERY).await;
        }
    });
}

fn set(parts: &Parts, before: &PipelineStatus) -> PipelineStatus {
    let gauge = |gauge: Gauge, figure: u64| gauge.set(i64::try_from(figure).unwrap_or(i64::MAX));
    let (health, pipeline, publish) = (parts.log.health(), parts.pipeline.status(), parts.published());
    let end = health.durable_end;
    gauge(Gauge::LogNextSequence, end);
    gauge(Gauge::LogWritable, u64::from(health.writable));
    gauge(Gauge::LagRecordsPipeline, end.saturating_sub(pipeline.committed));
    gauge(Gauge::LagRecordsLake, end.saturating_sub(publish.clean_end));
    gauge(Gauge::LagRecordsRaw, end.saturating_sub(publish.raw_end));
    gauge(Gauge::LagMillisPipeline, lag_millis(parts, pipeline.committed));
    gauge(Gauge::LagMillisLake, lag_millis(parts, publish.clean_end));
    gauge(Gauge::LagMillisRaw, lag_millis(parts, publish.raw_end));
    gauge(Gauge::LogBytesOnDisk, health.bytes_on_disk);
    gauge(Gauge::TimersPending, pipeline.timers);
    gauge(Gauge::ProfilesInMemory, pipeline.people_in_memory);
    gauge(Gauge::Profiles, pipeline.profiles.values().sum());
    gauge(Gauge::DedupeFilterBytes, pipeline.dedupe.memory_bytes as u64);
    gauge(Gauge::DedupeGenerations, pipeline.dedupe.generations as u64);
    gauge(
        Gauge::DedupeFilterBytesWithoutRoom,
        pipeline.dedupe.filter_bytes_without_room as u64,
    );
    let rules = pipeline.new_rules.as_ref();
    gauge(
        Gauge::RefoldsRunning,
        pipeline.sweeps.len() as u64 + u64::from(rules.is_some()),
    );
    gauge(Gauge::RulesDone, rules.map_or(0, |rules| rules.done));
    gauge(Gauge::RulesTotal, rules.map_or(0, |rules| rules.total));
    gauge(Gauge::StateBytesOnDisk, parts.store.size_bytes());
    Counter::CleanEvents.add(pipeline.events - before.events);
    Counter::CleanDuplicates.add(pipeline.duplicates - before.duplicates);
    Counter::CleanRejects.add(pipeline.rejects - before.rejects);
    Counter::PipelineRecords.add(pipeline.committed.saturating_sub(before.committed));
    pipeline
}
