//! The catalog follows the log: decisions that stand in the log and not in the catalog are recorded at the start, and
//! those whose recording failed while the server runs as soon as it can be done.
//!
//! A catalog that was lost, or lost definitions, is filled from the first record on, out of raw where the log has let go
//! (contract RAW-2): definitions, spaces, and the sources that have sent something, without keys, which are primary.

use crate::error::CommandError;
use kith_catalog::{Catalog, CatalogError, DECISION_KIND, DefinitionsDecision};
use kith_log::Log;
use kith_pipeline::{Archive, Backlog, Pipeline};
use kith_types::{Address, Record, RecordBody, Route, SourceName, SpaceId, Timestamp};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The setting that says before which sequence every decision is recorded.
const FOLLOWED: &str = "decisions_followed";
/// How often what could not be recorded is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// How often it is noted how far the catalog has come.
const NOTE_EVERY: Duration = Duration::from_secs(30);

/// Records what the log holds beyond what the catalog has followed. Recording a decision again changes nothing.
pub(crate) fn follow(catalog: &Catalog, log: &Log, archive: Arc<dyn Archive>) -> Result<(), CommandError> {
    let followed = followed(catalog)?;
    let lost = followed.is_none() || catalog.lacks_definitions()?;
    if followed.is_some() && lost {
        tracing::warn!("the catalog has lost definitions: recording every decision again");
        // First where to begin: an end in the middle must not leave the rest unrecorded.
        catalog.set_setting(FOLLOWED, "0")?;
        catalog.forget_definitions()?;
    }
    let from = if lost { 0 } else { followed.unwrap_or(0) };
    let end = log.durable_end();
    let mut sources = BTreeSet::new();
    let mut backlog = Backlog::new(log, archive, from);
    while backlog.position() < end {
        let records = backlog
            .read(4_096, 16 << 20)
            .map_err(|error| CommandError::caused("the decisions could not be read", error))?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            record_one(catalog, record)?;
            if lost && let Some(source) = source_of(record) {
                sources.insert(source);
            }
        }
    }
    for (space, source) in &sources {
        catalog.ensure_source(space, source)?;
    }
    catalog.set_setting(FOLLOWED, &end.to_string())?;
    Ok(())
}

fn record_one(catalog: &Catalog, record: &Record) -> Result<(), CatalogError> {
    if let RecordBody::Decision(decision) = &record.body
        && &*decision.kind == DECISION_KIND
    {
        let written = DefinitionsDecision::from_json(&decision.document)?;
        catalog.record_definitions(&record.space, &written, record.address, record.received_at)?;
    }
    Ok(())
}

/// The source that sent a record; the server's own events have none.
fn source_of(record: &Record) -> Option<(SpaceId, SourceName)> {
    match &record.body {
        RecordBody::Envelope(envelope) if envelope.route != Route::Internal => {
            Some((record.space.clone(), envelope.source.clone()))
        }
        _ => None,
    }
}

/// A decision that stands in the log.
struct Standing {
    space: SpaceId,
    decision: DefinitionsDecision,
    address: Address,
    decided_at: Timestamp,
}

/// Decisions that stand in the log and could not be recorded yet, in the order of the log. Few: while one waits, no proposal
/// is taken.
#[derive(Default)]
pub(crate) struct Unrecorded {
    waiting: Mutex<VecDeque<Standing>>,
    /// How many are on their way into the log, the catalog and what is read of it.
    deciding: AtomicUsize,
}

/// Held from before a decision is put into the log until everybody reads what it says.
pub(crate) struct Deciding<'a>(&'a AtomicUsize);

impl Drop for Deciding<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Unrecorded {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Standing>> {
        // What is behind the lock is whole at every moment.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a decision may come to stand in the log which the catalog does not know.
    pub(crate) fn deciding(&self) -> Deciding<'_> {
        self.deciding.fetch_add(1, Ordering::SeqCst);
        Deciding(&self.deciding)
    }

    /// Whether the catalog knows every decision that the pipeline had taken before this was asked.
    pub(crate) fn is_settled(&self) -> bool {
        // Asked twice: what waited may just have been recorded by somebody who has yet to let others read it.
        let decided = || self.deciding.load(Ordering::SeqCst) == 0;
        decided() && self.is_empty() && decided()
    }

    /// Records a decision, after those that wait; what fails waits, and is no failure of the decision.
    pub(crate) fn record(
        &self,
        catalog: &Catalog,
        space: &SpaceId,
        decision: &DefinitionsDecision,
        (address, decided_at): (Address, Timestamp),
    ) {
        self.waiting().push_back(Standing {
            space: space.clone(),
            decision: decision.clone(),
            address,
            decided_at,
        });
        if let Err(error) = self.catch_up(catalog) {
            tracing::error!(error = %kith_telemetry::error_chain(&error), "a decision could not be recorded and will be tried again");
        }
    }

    /// Records what waits, the oldest first.
    ///
    /// # Errors
    /// Of the first that cannot be recorded; it stays, with those after it.
    pub(crate) fn catch_up(&self, catalog: &Catalog) -> Result<(), CatalogError> {
        let mut waiting = self.waiting();
        while let Some(first) = waiting.front() {
            catalog.record_definitions(&first.space, &first.decision, first.address, first.decided_at)?;
            waiting.pop_front();
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }
}

/// Notes before which sequence the catalog knows every decision, so that a start reads on from there, and gives what is
/// noted. What cannot be noted is told in the log of the server, and noted the next time.
pub(crate) fn note_followed(catalog: &Catalog, pipeline: &Pipeline, unrecorded: &Unrecorded) -> u64 {
    // Read first: what is settled afterwards covers every decision before it.
    let committed = pipeline.status().committed;
    let noted = || -> Result<u64, CatalogError> {
        let noted = followed(catalog)?.unwrap_or(0);
        if committed <= noted || !unrecorded.is_settled() {
            return Ok(noted);
        }
        catalog.set_setting(FOLLOWED, &committed.to_string())?;
        Ok(committed)
    };
    noted().unwrap_or_else(|error| {
        tracing::warn!(error = %kith_telemetry::error_chain(&error), "how far the catalog has come could not be noted");
        0
    })
}

fn followed(catalog: &Catalog) -> Result<Option<u64>, CatalogError> {
    Ok(catalog.setting(FOLLOWED)?.and_then(|text| text.parse().ok()))
}

/// Records what waits, and has everybody read it.
///
/// # Errors
/// As [`Unrecorded::catch_up`].
pub(crate) fn record_waiting(parts: &super::Parts) -> Result<(), CatalogError> {
    if parts.unrecorded.is_empty() {
        return Ok(());
    }
    let _deciding = parts.unrecorded.deciding();
    let outcome = parts.unrecorded.catch_up(&parts.catalog);
    parts.messages.forget();
    outcome
}

/// Tries again what waits, until the server is gone.
pub(crate) fn keep_recording(parts: &Arc<super::Parts>) {
    let parts = Arc::downgrade(parts);
    tokio::spawn(async move {
        let mut noted = Instant::now();
        while let Some(parts) = parts.upgrade() {
            if !parts.unrecorded.is_empty() {
                let parts = Arc::clone(&parts);
                let tried = tokio::task::spawn_blocking(move || record_waiting(&parts).is_ok());
                if matches!(tried.await, Ok(true)) {
                    tracing::info!("the catalog has caught up with the decisions");
                }
            }
            if noted.elapsed() >= NOTE_EVERY {
                noted = Instant::now();
                let parts = Arc::clone(&parts);
                let note = move || note_followed(&parts.catalog, &parts.pipeline, &parts.unrecorded);
                if tokio::task::spawn_blocking(note).await.is_err() {
                    tracing::error!("noting how far the catalog has come ended by a panic");
                }
            }
            drop(parts);
            tokio::time::sleep(RETRY_EVERY).await;
        }
    });
}

#[cfg(test)]
mod tests;
