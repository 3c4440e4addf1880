//! The records from a place on: from the log where it still has them, and from the archive where it has let them go.
//!
//! Segments leave the log once raw, state and tables have passed them ([`kith_log::Log::remove_segment`]). Whoever begins
//! before the log's start (a state or a catalog that was lost, tables that were) reads through here. It never passes
//! over records in silence: what the log let go and the archive lacks is an error that names the addresses, unless it
//! is on record that nothing was there or that the loss is accepted; what the log found damaged is a warning.

use kith_log::{ErrorKind, Gap, GapCause, Log, LogReader};
use kith_types::Record;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many ranges and damages an error names.
const NAMED_MAX: usize = 10;

/// Any failure of an archive, as its own library tells it.
pub type ArchiveFailure = Box<dyn std::error::Error + Send + Sync>;

/// Where records are after the log has let them go: the raw zone.
pub trait Archive: Send + Sync {
    /// Begins reading at a sequence number.
    ///
    /// # Errors
    /// When the archive cannot be reached.
    fn open(&self, from: u64) -> Result<Box<dyn ArchiveReader>, ArchiveFailure>;

    /// The places that hold nothing for a cause on record, in order.
    ///
    /// # Errors
    /// As [`Archive::open`].
    fn holes(&self) -> Result<Vec<Hole>, ArchiveFailure>;

    /// What of these places the archive lacks and nothing is on record for. It reads all of them: for one that failed.
    ///
    /// # Errors
    /// As [`Archive::open`].
    fn missing(&self, from: u64, to: u64) -> Result<Vec<(u64, u64)>, ArchiveFailure>;

    /// How an operator names a range of places.
    fn name(&self, from: u64, to: u64) -> String;
}

/// Places that hold nothing for a cause on record: `from` is the first, `to` the one after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hole {
    /// The first place.
    pub from: u64,
    /// The place after the last.
    pub to: u64,
    /// Whether records were lost there, and an operator has accepted it; otherwise nobody ever had them.
    pub accepted: bool,
}

/// Reads an archive part by part.
pub trait ArchiveReader: Send {
    /// The next part; `None` at the end. A part may begin with records before the one that was asked for.
    ///
    /// # Errors
    /// When the archive cannot be reached.
    fn next_part(&mut self) -> Result<Option<ArchivePart>, ArchiveFailure>;
}

/// A part of an archive, as far as it can be read.
#[derive(Clone, Debug, Default)]
pub struct ArchivePart {
    /// Its records, in the order of their sequence.
    pub records: Vec<Record>,
    /// What of it is damaged or gone, for the operator.
    pub damaged: Vec<String>,
}

/// A backlog that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BacklogError {
    message: String,
    #[source]
    source: Option<ArchiveFailure>,
}

/// Reads records in the order of their sequence, wherever they are.
pub struct Backlog {
    log: LogReader,
    archive: Arc<dyn Archive>,
    position: u64,
    open: Option<Open>,
    lost: u64,
}

/// What to do where the archive lacks a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnHole {
    /// Nobody else has it.
    Fail,
    /// The log may have it still.
    AskLog,
    /// It was given up when the log found it damaged.
    Pass,
}

/// The archive being read, up to where the log goes on.
struct Open {
    reader: Box<dyn ArchiveReader>,
    holes: Vec<Hole>,
    on_hole: OnHole,
    waiting: VecDeque<Record>,
    damaged: Vec<String>,
    to: u64,
}

impl Backlog {
    /// A reader whose first record is `from`, or the first one after it.
    #[must_use]
    pub fn new(log: &Log, archive: Arc<dyn Archive>, from: u64) -> Self {
        Self {
            log: log.reader(from),
            archive,
            position: from,
            open: None,
            lost: 0,
        }
    }

    /// As [`Backlog::new`], where the archive is read up to `to` though the log may have the records still.
    ///
    /// # Errors
    /// When the archive cannot be reached.
    pub fn archive_first(log: &Log, archive: Arc<dyn Archive>, from: u64, to: u64) -> Result<Self, BacklogError> {
        let mut backlog = Self::new(log, archive, from);
        if from < to {
            backlog.open_archive(from, to, OnHole::AskLog)?;
        }
        Ok(backlog)
    }

    /// How many records were passed over whose loss an operator has accepted.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The sequence number of the record that is read next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next records, under the bounds of [`LogReader::read`]; none when everything durable has been read.
    ///
    /// # Errors
    /// When log or archive cannot be read, or when neither has what the log let go.
    pub fn read(&mut self, records_max: usize, bytes_max: usize) -> Result<Vec<Record>, BacklogError> {
        loop {
            if self.open.is_some() {
                let records = self.read_archive(records_max)?;
                if !records.is_empty() {
                    return Ok(records);
                }
                continue;
            }
            match self.log.read(records_max, bytes_max) {
                Ok(records) => {
                    self.position = self.log.position();
                    return Ok(records);
                }
                Err(error) => match error.gap().filter(|_| error.kind() == ErrorKind::Gap) {
                    Some(gap) => self.pass(gap)?,
                    None => return Err(failed("the log could not be read", error.into())),
                },
            }
        }
    }

    fn pass(&mut self, gap: Gap) -> Result<(), BacklogError> {
        match gap.cause {
            GapCause::Removed => self.open_archive(gap.from, gap.to, OnHole::Fail),
            // Raw may have been given them before the damage.
            GapCause::Damaged => self.open_archive(gap.from, gap.to, OnHole::Pass),
            GapCause::Skipped => {
                self.go_on_at(gap.to);
                Ok(())
            }
        }
    }

    fn go_on_at(&mut self, position: u64) {
        self.position = position;
        self.log.skip_to(position);
    }

    fn open_archive(&mut self, from: u64, to: u64, on_hole: OnHole) -> Result<(), BacklogError> {
        let unreachable = |error| failed("the archive of the log could not be opened", error);
        self.open = Some(Open {
            reader: self.archive.open(from).map_err(unreachable)?,
            holes: self.archive.holes().map_err(unreachable)?,
            on_hole,
            waiting: VecDeque::new(),
            damaged: Vec::new(),
            to,
        });
        Ok(())
    }

    /// The next records of the archive; none once it has given what the log lacks.
    fn read_archive(&mut self, records_max: usize) -> Result<Vec<Record>, BacklogError> {
        let Some(open) = &mut self.open else {
            return Ok(Vec::new());
        };
        while open.waiting.is_empty() {
            let part = open.reader.next_part();
            let Some(part) = part.map_err(|error| failed("the archive of the log could not be read", error))? else {
                let to = open.to;
                self.cross(to)?;
                if self.open.take_if(|open| open.to <= self.position).is_some() {
                    self.log.skip_to(self.position);
                }
                return Ok(Vec::new());
            };
            let room = NAMED_MAX.saturating_sub(open.damaged.len());
            open.damaged.extend(part.damaged.into_iter().take(room));
            let (from, to) = (self.position, open.to);
            let wanted = |record: &Record| (from..to).contains(&record.address.sequence);
            open.waiting.extend(part.records.into_iter().filter(wanted));
        }
        let first = open
            .waiting
            .front()
            .map_or(self.position, |record| record.address.sequence);
        if first > self.position {
            self.cross(first)?;
            return Ok(Vec::new());
        }
        let mut records = Vec::new();
        while records.len() < records_max.max(1)
            && let Some(record) = open
                .waiting
                .pop_front_if(|record| record.address.sequence <= self.position)
        {
            self.position = self.position.max(record.address.sequence + 1);
            records.push(record);
        }
        if self.position >= open.to {
            self.open = None;
            self.log.skip_to(self.position);
        }
        Ok(records)
    }

    /// Goes on at a later place, where the archive has no record before it: that must be accounted for.
    fn cross(&mut self, to: u64) -> Result<(), BacklogError> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let (missing, lost) = account(&open.holes, self.position, to);
        match (missing, open.on_hole) {
            (None, _) => {}
            (Some(_), OnHole::AskLog) => {
                tracing::warn!(
                    from = self.position,
                    "the archive lacks records: asking the log for them"
                );
                self.open = None;
                self.log.skip_to(self.position);
                return Ok(());
            }
            (Some(missing), OnHole::Pass) => tracing::warn!(
                from = missing.0,
                to = missing.1,
                "passing over records that the log found damaged and no part of the archive has"
            ),
            (Some(missing), OnHole::Fail) => return Err(self.lost_records(missing)),
        }
        if lost > 0 {
            tracing::warn!(
                from = self.position,
                to,
                lost,
                "passing over records whose loss was accepted"
            );
        }
        self.lost += lost;
        self.position = to;
        Ok(())
    }

    /// The error that names what is lost, and what to do.
    fn lost_records(&self, first: (u64, u64)) -> BacklogError {
        let mut missing = vec![first];
        if let Some(open) = &self.open {
            // What cannot be told here is told when the first is mended.
            let rest = self.archive.missing(first.1, open.to).unwrap_or_default();
            missing.extend(rest);
        }
        let named: Vec<String> = missing
            .iter()
            .take(NAMED_MAX)
            .map(|(from, to)| self.archive.name(*from, *to))
            .collect();
        let more = match missing.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => {
                let last = missing.last().map_or(first.1, |(_, to)| *to);
                format!(" and {more} more, all of them in {}", self.archive.name(first.0, last))
            }
        };
        let records: u64 = missing.iter().map(|(from, to)| to - from).sum();
        let damaged = self
            .open
            .as_ref()
            .map(|open| open.damaged.join("; "))
            .unwrap_or_default();
        let damaged = if damaged.is_empty() {
            damaged
        } else {
            format!(" ({damaged})")
        };
        BacklogError {
            message: format!(
                "the raw zone has lost {records} records that the log no longer has: {}{more}{damaged}. Restore the folder \
                 `raw` from a copy and start again; where there is none, accept each loss for good with \
                 `kith rebuild --accept-loss RANGE`, or `kith serve --accept-loss RANGE` where no server starts",
                named.join(", ")
            ),
            source: None,
        }
    }
}

/// What of a stretch is not on record as holding nothing, up to its first place that is again, and how many records of it
/// were lost and accepted.
fn account(holes: &[Hole], from: u64, to: u64) -> (Option<(u64, u64)>, u64) {
    let (mut position, mut lost) = (from, 0);
    while position < to {
        let here = holes.iter().filter(|hole| (hole.from..hole.to).contains(&position));
        // A record that nobody ever had was not lost, whatever was accepted.
        let Some(hole) = here.min_by_key(|hole| hole.accepted) else {
            let next = holes.iter().map(|hole| hole.from).filter(|next| *next > position).min();
            return (Some((position, next.map_or(to, |next| next.min(to)))), lost);
        };
        let end = hole.to.min(to);
        lost += if hole.accepted { end - position } else { 0 };
        position = end;
    }
    (None, lost)
}

fn failed(message: &str, source: ArchiveFailure) -> BacklogError {
    BacklogError {
        message: message.to_owned(),
        source: Some(source),
    }
}
