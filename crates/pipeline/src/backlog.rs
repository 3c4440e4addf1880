//! The records from a place on: from the log where it still has them, and from the archive where it has let them go.
//!
//! Segments leave the log once raw, state and tables have passed them ([`kith_log::Log::remove_segment`]). Whoever begins
//! before the log's start (a state or a catalog that was lost, tables that were) reads through here. It never passes
//! over records in silence: what neither holds is an error where the log let it go, and a warning where it was damaged.

use kith_log::{ErrorKind, Gap, GapCause, Log, LogReader};
use kith_types::Record;
use std::collections::VecDeque;
use std::sync::Arc;

/// Any failure of an archive, as its own library tells it.
pub type ArchiveFailure = Box<dyn std::error::Error + Send + Sync>;

/// Where records are after the log has let them go: the raw zone.
pub trait Archive: Send + Sync {
    /// Begins reading at a sequence number.
    ///
    /// # Errors
    /// When the archive cannot be reached.
    fn open(&self, from: u64) -> Result<Box<dyn ArchiveReader>, ArchiveFailure>;
}

/// Reads an archive part by part.
pub trait ArchiveReader: Send {
    /// The records of the next part, in the order of their sequence; `None` at the end. A part may begin with records
    /// before the one that was asked for.
    ///
    /// # Errors
    /// When a part cannot be read as it was written.
    fn next_part(&mut self) -> Result<Option<Vec<Record>>, ArchiveFailure>;
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
}

/// The archive being read, up to where the log goes on.
struct Open {
    reader: Box<dyn ArchiveReader>,
    waiting: VecDeque<Record>,
    to: u64,
    /// Whether it has given anything.
    gave: bool,
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
        }
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
        if gap.cause == GapCause::Removed {
            let opened = self.archive.open(gap.from);
            let reader = opened.map_err(|error| failed("the archive of the log could not be opened", error))?;
            self.open = Some(Open {
                reader,
                waiting: VecDeque::new(),
                to: gap.to,
                gave: false,
            });
            return Ok(());
        }
        tracing::warn!(
            from = gap.from,
            to = gap.to,
            "passing over records that cannot be served"
        );
        self.log.skip_to(gap.to);
        self.position = gap.to;
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
                return self.close_archive();
            };
            let (from, to) = (self.position, open.to);
            let wanted = |record: &Record| (from..to).contains(&record.address.sequence);
            open.waiting.extend(part.into_iter().filter(wanted));
        }
        let count = open.waiting.len().min(records_max.max(1));
        let records: Vec<Record> = open.waiting.drain(..count).collect();
        if let (Some(first), Some(last)) = (records.first(), records.last()) {
            let first = first.address.sequence;
            if first > self.position {
                tracing::warn!(
                    from = self.position,
                    to = first,
                    "passing over records that no part of the archive has"
                );
            }
            self.position = last.address.sequence + 1;
        }
        open.gave = true;
        if self.position >= open.to {
            self.open = None;
            self.log.skip_to(self.position);
        }
        Ok(records)
    }

    /// Goes on in the log. An archive that gave nothing at all is not the one that the log was let go for.
    fn close_archive(&mut self) -> Result<Vec<Record>, BacklogError> {
        if let Some(open) = self.open.take() {
            if !open.gave {
                return Err(BacklogError {
                    message: format!(
                        "the log no longer has the records {} to {} and the raw zone does not hold them: restore the folder \
                         `raw` of the data folder from its backup",
                        self.position,
                        open.to.saturating_sub(1)
                    ),
                    source: None,
                });
            }
            if self.position < open.to {
                tracing::warn!(
                    from = self.position,
                    to = open.to,
                    "passing over records that no part of the archive has"
                );
            }
            self.position = open.to;
            self.log.skip_to(open.to);
        }
        Ok(Vec::new())
    }
}

fn failed(message: &str, source: ArchiveFailure) -> BacklogError {
    BacklogError {
        message: message.to_owned(),
        source: Some(source),
    }
}
