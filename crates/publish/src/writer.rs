//! The lake's writer: what committed steps did, as rows of Iceberg tables, and sealed log segments as raw objects.
//!
//! It lags the state and is driven by offsets: every snapshot of a clean table says up to which record it has its rows,
//! so after a crash it takes the log again from there, and a repeated range gives the same rows. Changes of membership
//! come from the outbox, by their numbers. Nothing here decides what an event means.

use crate::PublishError;
use crate::steps::Step;
use kith_clean::Reject;
use kith_lake::rows::{self, EventBatch, EventRows, RejectRow};
use kith_lake::{ByteRange, Commit, FileWriter, Lake, OffsetRange, TableSpec, tables};
use kith_log::Log;
use kith_pipeline::{Archive, Backlog, Handover, Numbered};
use kith_types::{Record, RecordBody, SpaceId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of the bodies from the log whose rows are added to a file at once: few enough for the buffers to be used again.
const BYTES_A_BATCH: usize = 2 << 20;

/// Rows of one space that wait to be committed.
#[derive(Default)]
pub(crate) struct Waiting {
    /// Rows taken from the log that are not yet in the file.
    fresh: EventRows,
    /// The next file of `clean.events`, and how many rows it has.
    file: Option<FileWriter<'static>>,
    rows: usize,
    rejects: Vec<Reject>,
    pub(crate) changes: Vec<Numbered>,
    /// The number of the first change that is neither in the table nor here.
    pub(crate) next_change: u64,
    /// Whether the table lacks changes that the outbox has forgotten: what comes waits in the outbox until it is built again.
    pub(crate) lacks_changes: bool,
}

/// Rows, and bytes of the bodies that they come from, between two commits while the tables catch up.
const CATCH_UP_ROWS: usize = 200_000;
const CATCH_UP_BYTES: usize = 32 << 20;

impl Waiting {
    /// Adds rows to the file, so that what waits is small.
    async fn add(&mut self, lake: &Lake, space: &SpaceId, batch: &EventBatch) -> Result<(), PublishError> {
        if batch.is_empty() {
            return Ok(());
        }
        let failed = |error| PublishError::new("rows could not be encoded", error);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(lake.begin(space, tables::clean_events(), None).await.map_err(failed)?),
        };
        file.append(batch.batch()).map_err(failed)?;
        self.rows += batch.len();
        Ok(())
    }

    /// Adds the rows that were taken from the log.
    async fn add_fresh(&mut self, lake: &Lake, space: &SpaceId) -> Result<(), PublishError> {
        let batch = self.fresh.finish();
        let batch = batch.map_err(|error| PublishError::new("rows could not be made", error))?;
        self.add(lake, space, &batch).await
    }
}

/// Writes one server's tables. One of it runs at a time; the tables' offsets refuse a second.
pub struct LakeWriter {
    pub(crate) lake: Arc<Lake>,
    pub(crate) log: Arc<Log>,
    pub(crate) archive: Arc<dyn Archive>,
    pub(crate) handover: Handover,
    pub(crate) generation: u16,
    pub(crate) waiting: BTreeMap<SpaceId, Waiting>,
    /// Bytes of the bodies from the log whose rows are not in a file yet.
    bytes: usize,
    /// Every record before it has its rows in the tables or waiting.
    taken: u64,
    /// Of what catching up has taken, the first record whose rows wait.
    first_waiting: Option<u64>,
    /// The spaces whose tables exist, with the ends of `clean.events` and `clean.rejects` when that was seen: a state that
    /// is built again hands on steps whose rows the tables have.
    known: BTreeMap<SpaceId, (u64, u64)>,
}

impl LakeWriter {
    /// A writer that starts where the tables end.
    #[must_use]
    pub fn new(lake: Arc<Lake>, log: Arc<Log>, archive: Arc<dyn Archive>, handover: Handover, generation: u16) -> Self {
        Self {
            lake,
            log,
            archive,
            handover,
            generation,
            waiting: BTreeMap::new(),
            bytes: 0,
            taken: 0,
            first_waiting: None,
            known: BTreeMap::new(),
        }
    }

    /// Forgets what waits, before it catches up anew.
    pub fn reset(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
        self.known.clear();
        self.taken = 0;
    }

    /// Takes what the tables lack of the records before `to`, from the log.
    ///
    /// # Errors
    /// [`PublishErrorKind::Storage`] when the log, the state or the lake cannot be read.
    pub async fn catch_up(&mut self, spaces: &[SpaceId], to: u64) -> Result<(), PublishError> {
        let mut ends = BTreeMap::new();
        for space in spaces {
            ends.insert(space.clone(), self.ensure(space).await?);
            self.read_outbox(space).await?;
        }
        self.taken = self.start_of(&ends, to).await?.min(to);
        self.first_waiting = None;
        let mut reader = Backlog::new(&self.log, Arc::clone(&self.archive), self.taken);
        let mut bytes = 0;
        while self.taken < to {
            let records = reader
                .read(1_024, 8 << 20)
                .map_err(|error| PublishError::new("the log could not be read", error))?;
            if records.is_empty() {
                break;
            }
            for record in records.iter().filter(|record| record.address.sequence < to) {
                self.take_record(record, &ends)?;
                let body = match &record.body {
                    RecordBody::Envelope(envelope) => envelope.body.len(),
                    RecordBody::Decision(decision) => decision.document.len(),
                };
                bytes += body;
                self.bytes += body;
            }
            self.add_fresh().await?;
            if self.rows() >= CATCH_UP_ROWS || bytes >= CATCH_UP_BYTES {
                self.commit().await?;
                self.first_waiting = None;
                bytes = 0;
            }
        }
        self.taken = self.taken.max(to);
        Ok(())
    }

    /// Where the tables of a restart begin. What the log has let go is in every table of then ([`crate::retention`]), so a
    /// table without an end is younger than that, unless raw has segments of its space that the log has let go: then the
    /// table was lost, and raw is read.
    async fn start_of(&self, ends: &BTreeMap<SpaceId, (u64, u64)>, to: u64) -> Result<u64, PublishError> {
        let kept = self.log.start();
        let mut from = to;
        for (space, (events, rejects)) in ends {
            let end = (*events).min(*rejects);
            from = from.min(if end == 0 && kept > 0 && !self.is_lost(space, kept).await? {
                kept
            } else {
                end
            });
        }
        Ok(from)
    }

    /// Whether raw has segments of a space from before what the log keeps.
    async fn is_lost(&self, space: &SpaceId, kept: u64) -> Result<bool, PublishError> {
        let segments = self.lake.raw().segments(Some(space)).await;
        let segments = segments.map_err(|error| PublishError::new("the raw zone could not be listed", error))?;
        let before = |range: &kith_lake::RawRange| range.generation == self.generation && range.first < kept;
        Ok(segments.iter().any(before))
    }

    fn take_record(&mut self, record: &Record, ends: &BTreeMap<SpaceId, (u64, u64)>) -> Result<(), PublishError> {
        let sequence = record.address.sequence;
        self.taken = sequence + 1;
        let Some((events_end, rejects_end)) = ends.get(&record.space).copied() else {
            return Ok(());
        };
        let cleaned = kith_clean::clean_record(record);
        let waiting = self.waiting.entry(record.space.clone()).or_default();
        let before = waiting.rejects.len() + waiting.fresh.len();
        if sequence >= rejects_end {
            waiting.rejects.extend(cleaned.rejects);
        }
        if sequence >= events_end {
            for event in cleaned.events {
                if !self.handover.is_later_copy(&event.space, event.address)? {
                    waiting.fresh.push(&event);
                }
            }
        }
        if waiting.rejects.len() + waiting.fresh.len() > before {
            self.first_waiting.get_or_insert(sequence);
        }
        Ok(())
    }

    /// Takes a committed step; steps come in order.
    ///
    /// # Errors
    /// When a step overlaps what was taken or one was left out, or a table cannot be made or read: catch up again.
    pub async fn take(&mut self, step: &Step) -> Result<(), PublishError> {
        let output = &step.output;
        if output.from < self.taken && output.to > self.taken {
            return Err(PublishError::new(
                "a step overlaps what the lake has taken",
                "steps are out of order",
            ));
        }
        if output.from > self.taken {
            return Err(PublishError::new(
                "a step was committed that nobody told the lake of",
                "the pipeline began again",
            ));
        }
        let rows = step.rows.iter().flatten().map(|(space, _)| space);
        let rejects = output.rejects.iter().map(|reject| &reject.space);
        let changes = output.changes.iter().map(|change| &change.space);
        for space in rows.chain(rejects).chain(changes) {
            if !self.known.contains_key(space) {
                self.ensure(space).await?;
                self.read_outbox(space).await?;
            }
        }
        if output.to > self.taken {
            let rows = step.rows.as_ref();
            for (space, batch) in
                rows.map_err(|error| PublishError::new("rows could not be made", error.to_string()))?
            {
                let end = self.known.get(space).map_or(0, |(end, _)| *end);
                let batch = batch.clone().from_sequence(end.max(self.taken));
                let waiting = self.waiting.entry(space.clone()).or_default();
                waiting.add(&self.lake, space, &batch).await?;
            }
            for reject in &output.rejects {
                if self
                    .known
                    .get(&reject.space)
                    .is_none_or(|(_, end)| reject.address.sequence >= *end)
                {
                    self.waiting
                        .entry(reject.space.clone())
                        .or_default()
                        .rejects
                        .push(reject.clone());
                }
            }
            self.taken = output.to;
        }
        for change in &output.changes {
            let waiting = self.waiting.entry(change.space.clone()).or_default();
            if !waiting.lacks_changes && change.number >= waiting.next_change {
                waiting.next_change = change.number + 1;
                waiting.changes.push(change.clone());
            }
        }
        let spaces: Vec<SpaceId> = self.waiting.keys().cloned().collect();
        for space in spaces {
            self.ensure(&space).await?;
        }
        Ok(())
    }

    /// Adds what was taken from the log to the files, once it is much.
    async fn add_fresh(&mut self) -> Result<(), PublishError> {
        if self.bytes < BYTES_A_BATCH {
            return Ok(());
        }
        self.bytes = 0;
        for (space, waiting) in &mut self.waiting {
            waiting.add_fresh(&self.lake, space).await?;
        }
        Ok(())
    }

    /// How many rows wait.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.waiting
            .values()
            .map(|waiting| waiting.rows + waiting.fresh.len() + waiting.rejects.len() + waiting.changes.len())
            .sum()
    }

    /// Every record before it has its rows in the tables or waiting.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Where the tables stood once what they lacked was taken: every record before it has its rows in them.
    pub(crate) fn caught_up_from(&self) -> u64 {
        self.first_waiting.unwrap_or(self.taken)
    }

    /// Commits what waits, then forgets the marks of later copies that the tables have passed.
    ///
    /// # Errors
    /// When a table cannot be committed. What waited may be gone then: reset, and catch up again.
    pub async fn commit(&mut self) -> Result<(), PublishError> {
        let spaces: Vec<SpaceId> = self.waiting.keys().cloned().collect();
        for space in spaces {
            self.commit_space(&space).await?;
        }
        Ok(())
    }

    async fn commit_space(&mut self, space: &SpaceId) -> Result<(), PublishError> {
        let Some(waiting) = self.waiting.get_mut(space) else {
            return Ok(());
        };
        let failed = |error: kith_lake::LakeError| PublishError::new("the lake could not be written", error);
        if waiting.rows + waiting.fresh.len() > 0 {
            let start = end_of(&self.lake, space, tables::clean_events(), self.generation).await?;
            waiting.add_fresh(&self.lake, space).await?;
            if let Some(file) = waiting.file.take() {
                let file = self.lake.store_file(file).await.map_err(failed)?;
                self.append(space, tables::clean_events(), file, start).await?;
            }
            if let Some(waiting) = self.waiting.get_mut(space) {
                waiting.rows = 0;
            }
        }
        let Some(waiting) = self.waiting.get_mut(space) else {
            return Ok(());
        };
        if !waiting.rejects.is_empty() {
            let start = end_of(&self.lake, space, tables::clean_rejects(), self.generation).await?;
            let rows: Vec<RejectRow> = waiting.rejects.iter().map(reject_row).collect();
            let batch = rows::rejects(&rows).map_err(failed)?;
            let file = self
                .lake
                .write(space, tables::clean_rejects(), None, &[batch])
                .await
                .map_err(failed)?;
            self.append(space, tables::clean_rejects(), file, start).await?;
            if let Some(waiting) = self.waiting.get_mut(space) {
                waiting.rejects = Vec::new();
            }
        }
        self.commit_changes(space).await?;
        self.forget(space).await
    }

    async fn append(
        &self,
        space: &SpaceId,
        table: &'static TableSpec,
        file: kith_lake::NewFile,
        start: u64,
    ) -> Result<(), PublishError> {
        let range = OffsetRange {
            generation: self.generation,
            partition: 0,
            start,
            end: self.taken.max(start),
        };
        let commit = Commit {
            range: Some(range),
            ..Commit::default()
        };
        let done = self.lake.append(space, table, vec![file], &commit).await;
        done.map(|_| ())
            .map_err(|error| PublishError::new("the lake could not be written", error))
    }

    /// Forgets marks of later copies before the end of `clean.events`: from there on a restart reads the log again, and
    /// needs them.
    async fn forget(&self, space: &SpaceId) -> Result<(), PublishError> {
        let end = self.end_of(space, tables::clean_events()).await?;
        Ok(self.handover.forget_copies(space, self.generation, end)?)
    }

    /// Makes the tables of a space, where that was not done before.
    pub(crate) async fn ensure(&mut self, space: &SpaceId) -> Result<(u64, u64), PublishError> {
        if let Some(ends) = self.known.get(space) {
            return Ok(*ends);
        }
        let made = self.lake.ensure_space(space).await;
        made.map_err(|error| PublishError::new("the lake's tables could not be made", error))?;
        let events = self.end_of(space, tables::clean_events()).await?;
        let rejects = self.end_of(space, tables::clean_rejects()).await?;
        self.known.insert(space.clone(), (events, rejects));
        Ok((events, rejects))
    }

    async fn end_of(&self, space: &SpaceId, table: &TableSpec) -> Result<u64, PublishError> {
        end_of(&self.lake, space, table, self.generation).await
    }
}

pub(crate) async fn end_of(
    lake: &Lake,
    space: &SpaceId,
    table: &TableSpec,
    generation: u16,
) -> Result<u64, PublishError> {
    match lake.offset(space, table, generation, 0).await {
        Ok(end) => Ok(end.unwrap_or(0)),
        Err(error) => Err(PublishError::new("the lake could not be read", error)),
    }
}

/// A reject as its row of `clean.rejects`.
#[must_use]
pub fn reject_row(reject: &Reject) -> RejectRow {
    RejectRow {
        address: reject.address,
        received_at: reject.received_at,
        source: reject.source.clone(),
        code: reject.code.into(),
        message: reject.message.as_str().into(),
        path: reject.path.as_str().into(),
        original: reject.original.as_text().into(),
    }
}

impl std::fmt::Debug for LakeWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LakeWriter")
            .field("taken", &self.taken)
            .field("rows", &self.rows())
            .finish_non_exhaustive()
    }
}

/// Where the events of a record's body lie, as the raw zone notes them.
pub(crate) fn event_ranges(record: &Record) -> Vec<ByteRange> {
    let RecordBody::Envelope(envelope) = &record.body else {
        return Vec::new();
    };
    let split = kith_clean::split(envelope.route, &envelope.body, &envelope.terms.limits);
    let ranges = split.map(|split| split.events).unwrap_or_default();
    ranges.into_iter().map(|range| (range.start, range.end)).collect()
}
