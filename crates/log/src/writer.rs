//! The writer: one thread that takes whatever is queued, writes it as a group, syncs once, and answers everyone.
//!
//! While one sync runs the next group gathers. A failed write or sync fails its group, and the file is given up where
//! it was last known durable; only a new segment, proved by writing and syncing, lets the log go on. Never syncs a file
//! again after a failure, and never answers before the sync.

use crate::config::{GROUP_BYTES_MAX, LogConfig};
use crate::disk::DiskFile;
use crate::error::LogError;
use crate::format::{self, PROBE_FILE};
use crate::recovery;
use crate::segment::{self, GROUP_HEADER_BYTES, SEGMENT_HEADER_BYTES, Seed, SegmentHeader};
use crate::shared::{Control, Pending, Shared, locked};
use crate::table::{Group, Segment};
use bytes::Bytes;
use kith_telemetry::{Counter, Histogram};
use kith_types::Timestamp;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// What must fit on a disk, and be synced, before a broken log takes records again.
const PROBE_BYTES: usize = 1024 * 1024;

/// How often an idle writer looks at the age of a segment that holds records.
const AGE_CHECK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// The segment being written.
struct Active {
    file: Arc<dyn DiskFile>,
    seed: Seed,
    offset: u64,
    /// By the log's clock, and by the machine's steady one: whichever says that the segment is old enough seals it.
    first_write: Option<(Timestamp, Instant)>,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    active: Option<Active>,
    next_sequence: u64,
    next_ordinal: u64,
    last_received_at: Timestamp,
    /// Files without records, to be removed once there is a segment that carries the sequence on.
    empty: Vec<String>,
    tried_at: Option<Instant>,
}

/// What a turn of the writer has to do.
struct Turn {
    pending: VecDeque<Pending>,
    controls: Vec<Control>,
    closing: bool,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, next_ordinal: u64, last_received_at: Timestamp, empty: Vec<String>) -> Self {
        let next_sequence = locked(&shared.table).durable_end;
        Self {
            shared,
            active: None,
            next_sequence,
            next_ordinal,
            last_received_at,
            empty,
            tried_at: None,
        }
    }

    /// Opens the first segment; a failure leaves the log unwritable until a later try succeeds.
    pub(crate) fn start(&mut self) {
        if let Err(error) = self.open_segment() {
            self.break_off("open a segment", &error);
        }
    }

    /// No record is stamped before an instant from now on.
    fn stamped_until(&mut self, instant: Timestamp) {
        self.last_received_at = instant.max(self.last_received_at);
        let micros = self.last_received_at.as_micros();
        self.shared.stamped.store(micros, Ordering::Release);
    }

    /// Serves the queue until it is closed and empty.
    pub(crate) fn run(mut self) {
        loop {
            let turn = self.wait_for_work();
            let had_work = !turn.pending.is_empty() || !turn.controls.is_empty();
            self.write_all(turn.pending);
            let force = turn.controls.iter().any(|control| matches!(control, Control::Tick(_)));
            if self.active.is_none() {
                self.try_again(force);
            } else if self.is_old() {
                self.roll();
            }
            for control in turn.controls {
                match control {
                    // A caller that has gone away needs no answer.
                    Control::Seal(reply) => drop(reply.send(self.seal_for_caller())),
                    Control::Tick(reply) => drop(reply.send(())),
                    Control::Raise(instant, reply) => {
                        self.stamped_until(instant);
                        let _gone = reply.send(());
                    }
                    Control::Floor(reply) => {
                        self.stamped_until(self.shared.clock.now());
                        let _gone = reply.send((self.next_sequence, self.last_received_at));
                    }
                }
            }
            if turn.closing && !had_work {
                self.finish();
                return;
            }
        }
    }

    fn wait_for_work(&mut self) -> Turn {
        let holds_records = self.active.as_ref().is_some_and(|active| active.first_write.is_some());
        let patience = match (&self.active, holds_records) {
            (None, _) => Some(self.shared.config.retry_every),
            (Some(_), true) => Some(AGE_CHECK_EVERY),
            (Some(_), false) => None,
        };
        let mut queue = locked(&self.shared.queue);
        if queue.pending.is_empty() && queue.controls.is_empty() && !queue.closing {
            queue.writer_waits = true;
            let filled = &self.shared.queue_filled;
            queue = match patience {
                Some(patience) => {
                    filled
                        .wait_timeout(queue, patience)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => filled.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
            queue.writer_waits = false;
        }
        Turn {
            pending: std::mem::take(&mut queue.pending),
            controls: std::mem::take(&mut queue.controls),
            closing: queue.closing,
        }
    }

    fn write_all(&mut self, mut pending: VecDeque<Pending>) {
        while !pending.is_empty() {
            let mut bytes = 0;
            let mut take = 0;
            while let Some(next) = pending.get(take)
                && (take == 0 || bytes + next.bytes.len() <= GROUP_BYTES_MAX)
            {
                bytes += next.bytes.len();
                take += 1;
            }
            let later = pending.split_off(take);
            self.write_group(pending, bytes);
            pending = later;
        }
    }

    fn write_group(&mut self, records: VecDeque<Pending>, bytes: usize) {
        let outcome = self.write_durably(&records, bytes);
        locked(&self.shared.queue).bytes -= bytes;
        match outcome {
            Ok((mut sequence, received_at)) => {
                for record in records {
                    // A caller that has gone away needs no answer.
                    drop(record.reply.send(Ok((sequence, received_at))));
                    sequence += u64::from(record.count);
                }
            }
            Err(error) => {
                for record in records {
                    drop(record.reply.send(Err(error.clone())));
                }
            }
        }
    }

    fn write_durably(&mut self, records: &VecDeque<Pending>, bytes: usize) -> Result<(u64, Timestamp), LogError> {
        let group_bytes = (GROUP_HEADER_BYTES + bytes) as u64;
        let full = |active: &Active| {
            active.first_write.is_some() && active.offset + group_bytes > self.shared.config.segment_bytes
        };
        if self.active.as_ref().is_some_and(full) {
            self.roll();
        }
        let Some(active) = &mut self.active else {
            return Err(self.shared.unavailable());
        };
        let count = records.iter().map(|record| record.count).sum::<u32>();
        let now = self.shared.clock.now();
        let received_at = now.max(self.last_received_at);
        let mut group = Vec::with_capacity(GROUP_HEADER_BYTES + bytes);
        group.resize(GROUP_HEADER_BYTES, 0);
        for record in records {
            group.extend_from_slice(&record.bytes);
        }
        let first_sequence = self.next_sequence;
        let crc = segment::finish_group(
            &mut group,
            first_sequence,
            count,
            received_at,
            active.offset,
            active.seed,
        );
        let began = Instant::now();
        if let Err(error) = active
            .file
            .write_at(active.offset, &group)
            .and_then(|()| active.file.sync_data())
        {
            Counter::LogSyncFailures.increment();
            return Err(self.break_off("make a group durable", &error));
        }
        Histogram::LogSyncSeconds.observe(began.elapsed());
        Counter::LogSyncs.increment();
        Counter::LogRecordsAppended.add(u64::from(count));
        Counter::LogBytesAppended.add(group_bytes);
        active.first_write.get_or_insert_with(|| (now, Instant::now()));
        let offset = active.offset;
        active.offset += group_bytes;
        self.stamped_until(received_at);
        self.next_sequence += u64::from(count);
        let body = Bytes::from(group).slice(GROUP_HEADER_BYTES..);
        self.publish(
            Group {
                first_sequence,
                end_sequence: self.next_sequence,
                received_at,
                body,
            },
            offset,
            group_bytes,
            count,
            crc,
        );
        Ok((first_sequence, received_at))
    }

    fn publish(&self, group: Group, offset: u64, group_bytes: u64, count: u32, crc: u32) {
        let end = group.end_sequence;
        let mut table = locked(&self.shared.table);
        if let Some(segment) = table.segments.last_mut() {
            segment.add_group(offset, group_bytes, group.first_sequence, count, group.received_at);
            segment.hash = segment::fold_hash(segment.hash, crc);
        }
        table.durable_end = end;
        table.remember(group, self.shared.config.tail_bytes);
        drop(table);
        self.shared.announce(end);
    }

    fn is_old(&self) -> bool {
        let age = self.shared.config.segment_age;
        let steady_age = std::time::Duration::from_micros(age.as_micros().unsigned_abs());
        let first_write = self.active.as_ref().and_then(|active| active.first_write);
        first_write.is_some_and(|(at, steady)| self.shared.clock.now() - at >= age || steady.elapsed() >= steady_age)
    }

    /// Seals the active segment and opens the next one.
    fn roll(&mut self) {
        let outcome = self.seal_active().and_then(|()| self.open_segment());
        if let Err(error) = outcome {
            self.break_off("begin a new segment", &error);
        }
    }

    fn seal_for_caller(&mut self) -> Result<u64, LogError> {
        if self.active.as_ref().is_some_and(|active| active.first_write.is_some()) {
            self.roll();
        }
        match self.active {
            Some(_) => Ok(self.next_sequence),
            None => Err(self.shared.unavailable()),
        }
    }

    /// Writes and syncs the footer. The groups are durable already, so a failure loses nothing.
    fn seal_active(&mut self) -> io::Result<()> {
        let Some(active) = &self.active else { return Ok(()) };
        let footer = locked(&self.shared.table)
            .segments
            .last()
            .map(|segment| recovery::footer_of(segment).encode(active.seed));
        if let Some(footer) = footer {
            active.file.write_at(active.offset, &footer)?;
            active.file.sync_data()?;
        }
        self.active = None;
        if let Some(segment) = locked(&self.shared.table).segments.last_mut() {
            segment.sealed = true;
        }
        Counter::LogSegmentsSealed.increment();
        Ok(())
    }

    /// Makes a new segment that carries the sequence on, durable before the first group.
    fn open_segment(&mut self) -> io::Result<()> {
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        let LogConfig {
            dir,
            generation,
            partition,
            ..
        } = &self.shared.config;
        let seed = Seed::new(self.shared.salt, ordinal);
        let name = format::segment_name(self.next_sequence, ordinal);
        let header = SegmentHeader {
            generation: *generation,
            partition: *partition,
            ordinal,
            first_sequence: self.next_sequence,
            created_at: self.shared.clock.now(),
            received_floor: self.last_received_at,
        };
        let path = dir.join(&name);
        let file = self.shared.disk.create(&path)?;
        let begun = file
            .write_at(0, &header.encode(seed))
            .and_then(|()| file.sync_data())
            .and_then(|()| self.shared.disk.sync_dir(dir));
        if let Err(error) = begun {
            // Without a durable header it holds nothing; if it stays, start-up removes it.
            drop(self.shared.disk.remove(&path));
            return Err(error);
        }
        locked(&self.shared.table).segments.push(Segment {
            ordinal,
            name,
            first_sequence: self.next_sequence,
            end_sequence: self.next_sequence,
            first_received_at: self.last_received_at,
            last_received_at: self.last_received_at,
            groups_end: SEGMENT_HEADER_BYTES as u64,
            hash: 0,
            index: Vec::new(),
            sealed: false,
        });
        self.active = Some(Active {
            file,
            seed,
            offset: SEGMENT_HEADER_BYTES as u64,
            first_write: None,
        });
        self.shared.writable.store(true, Ordering::Release);
        self.remove_empty();
        Ok(())
    }

    fn remove_empty(&mut self) {
        for name in std::mem::take(&mut self.empty) {
            // A file that stays is found empty again at the next start.
            if let Err(error) = self.shared.disk.remove(&self.shared.segment_path(&name)) {
                tracing::debug!(segment = %name, %error, "an empty segment could not be removed");
            }
        }
    }

    /// Gives the active segment up where it was last known durable; returns what callers are told.
    fn break_off(&mut self, doing: &str, error: &io::Error) -> LogError {
        let reason = LogError::unavailable(doing, error);
        tracing::error!(%error, doing, "the log cannot be written");
        *locked(&self.shared.last_error) = Some(reason.clone());
        self.shared.writable.store(false, Ordering::Release);
        self.tried_at = Some(Instant::now());
        if let Some(active) = self.active.take() {
            // What was written and not synced may not be found by a start-up after a mere kill.
            if let Err(error) = active.file.truncate(active.offset) {
                tracing::warn!(%error, "the tail of a segment that failed could not be cut");
            }
            let mut table = locked(&self.shared.table);
            if active.first_write.is_some() {
                if let Some(segment) = table.segments.last_mut() {
                    segment.sealed = true;
                }
            } else if let Some(segment) = table.segments.pop() {
                self.empty.push(segment.name);
            }
        }
        reason
    }

    /// Tries to get a broken log going again.
    fn try_again(&mut self, force: bool) {
        let waited = self
            .tried_at
            .is_none_or(|at| at.elapsed() >= self.shared.config.retry_every);
        if !waited && !force {
            return;
        }
        self.tried_at = Some(Instant::now());
        match self.probe().and_then(|()| self.open_segment()) {
            Ok(()) => tracing::info!(next_sequence = self.next_sequence, "the log can be written again"),
            Err(error) => {
                tracing::warn!(%error, "the log still cannot be written");
                *locked(&self.shared.last_error) = Some(LogError::unavailable("begin a new segment", &error));
            }
        }
    }

    /// Proves that a group's worth of bytes can be written and synced.
    fn probe(&self) -> io::Result<()> {
        let path = self.shared.config.dir.join(PROBE_FILE);
        match self.shared.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.shared.disk.create(&path)?;
        let proved = file.write_at(0, &vec![0; PROBE_BYTES]).and_then(|()| file.sync_data());
        self.shared.disk.remove(&path)?;
        proved
    }

    /// The last act: seals what holds records, so that the next start has no tail to judge.
    fn finish(&mut self) {
        let holds_records = self.active.as_ref().is_some_and(|active| active.first_write.is_some());
        if holds_records && let Err(error) = self.seal_active() {
            self.break_off("seal its last segment", &error);
        }
        self.shared.writable.store(false, Ordering::Release);
    }
}
