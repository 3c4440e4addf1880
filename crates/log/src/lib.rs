//! The durable partitioned log, embedded: an append is answered once it is on the disk, and survives whatever follows.
//!
//! Start with [`Log::open`]. One thread writes ([`writer`]), in groups that one sync covers; any number of
//! [`LogReader`]s read. Segments, when sealed, are the raw zone's source. It keeps one lane: one file at a time, one
//! sequence. Never interprets a body, never serves what is not durable or fails its checksum, and never gives a sequence
//! number of an acknowledged record to another one.

mod codec;
mod config;
pub mod disk;
mod error;
mod format;
mod reader;
mod recovery;
mod removed;
mod segment;
mod shared;
pub mod simulated;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use codec::RECORD_BYTES_MAX;
pub use config::{Appended, Health, LogConfig, RecoveryReport, SealedSegment};
pub use disk::{Disk, OsDisk};
pub use error::{ErrorKind, Gap, GapCause, LogError};
pub use reader::{LogReader, SegmentContents};

use disk::DiskLock;
use kith_telemetry::Counter;
use kith_types::{Address, Clock, RecordBody, SpaceId};
use shared::{Answer, Control, PanicTold, Queue, Shared, locked};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::{oneshot, watch};

/// The log of one folder. Dropping it closes it as [`Log::close`] does.
pub struct Log {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Keeps other processes out; let go when the log is dropped, after the writer has ended.
    _lock: Box<dyn DiskLock>,
}

impl Log {
    /// Opens the folder, or begins it: takes its lock, recovers what stands, starts the writer. A disk that cannot be
    /// written is no error: the log opens for reading, and appends are refused until it can.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] when another process uses the folder; [`ErrorKind::Format`] when its format cannot be served;
    /// [`ErrorKind::Unavailable`] when it cannot be read.
    pub fn open(
        config: LogConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, RecoveryReport), LogError> {
        let lock = take_folder(&config, &*disk)?;
        let salt = format::open_format(&*disk, &config.dir, config.generation, config.partition)?;
        let mut recovered = recovery::recover(&config, &*disk, salt)?;
        recovered.table.removed_before = removed::read(&*disk, &config.dir)?;
        let durable_end = recovered.table.durable_end;
        let shared = Arc::new(Shared {
            config,
            disk,
            clock,
            salt,
            queue: Mutex::new(Queue::default()),
            queue_filled: Condvar::new(),
            table: Mutex::new(recovered.table),
            durable_end: AtomicU64::new(durable_end),
            stamped: AtomicI64::new(recovered.last_received_at.as_micros()),
            durable: watch::Sender::new(durable_end),
            waiters: Mutex::new(0),
            durable_moved: Condvar::new(),
            writable: AtomicBool::new(false),
            last_error: Mutex::new(None),
        });
        let mut writer = writer::Writer::new(
            Arc::clone(&shared),
            recovered.next_ordinal,
            recovered.last_received_at,
            recovered.empty,
        );
        writer.start();
        let thread = std::thread::Builder::new()
            .name("kith-log".to_owned())
            .spawn({
                let told = PanicTold(Arc::clone(&shared));
                move || {
                    let _told = told;
                    writer.run();
                }
            })
            .map_err(|error| LogError::unavailable("start its writer", &error))?;
        Ok((
            Arc::new(Self {
                shared,
                writer: Mutex::new(Some(thread)),
                _lock: lock,
            }),
            recovered.report,
        ))
    }

    /// Appends a record; resolves once it is durable. The record is queued by the call itself: dropping the future does
    /// not take it back.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] (answer 429), [`ErrorKind::Unavailable`] (answer 503), [`ErrorKind::Refused`]. After an
    /// error the record may stand in the log all the same, never acknowledged.
    pub fn append(
        &self,
        space: &SpaceId,
        body: &RecordBody,
    ) -> impl Future<Output = Result<Appended, LogError>> + Send + use<> {
        let queued = self.enqueue(space, std::slice::from_ref(body));
        let (generation, partition) = (self.shared.config.generation, self.shared.config.partition);
        async move {
            let (sequence, received_at) = queued?.await.map_err(|_| LogError::closed())??;
            Ok(Appended {
                address: Address {
                    generation,
                    partition,
                    sequence,
                    index: 0,
                },
                received_at,
            })
        }
    }

    /// Appends a record and blocks until it is durable. Not to be called on an async thread.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append_blocking(&self, space: &SpaceId, body: &RecordBody) -> Result<Appended, LogError> {
        let answer = self.enqueue(space, std::slice::from_ref(body))?;
        let (sequence, received_at) = answer.blocking_recv().map_err(|_| LogError::closed())??;
        Ok(self.appended(sequence, received_at))
    }

    /// Appends records that stand or fall together, with consecutive sequence numbers, and blocks until they are durable.
    /// Not to be called on an async thread.
    ///
    /// # Errors
    /// As [`Log::append`]; [`ErrorKind::Refused`] when there is none.
    pub fn append_all_blocking(&self, space: &SpaceId, bodies: &[RecordBody]) -> Result<Vec<Appended>, LogError> {
        let answer = self.enqueue(space, bodies)?;
        let (first, received_at) = answer.blocking_recv().map_err(|_| LogError::closed())??;
        Ok((first..)
            .take(bodies.len())
            .map(|sequence| self.appended(sequence, received_at))
            .collect())
    }

    fn appended(&self, sequence: u64, received_at: kith_types::Timestamp) -> Appended {
        let (generation, partition) = (self.shared.config.generation, self.shared.config.partition);
        Appended {
            address: Address {
                generation,
                partition,
                sequence,
                index: 0,
            },
            received_at,
        }
    }

    fn enqueue(&self, space: &SpaceId, bodies: &[RecordBody]) -> Result<oneshot::Receiver<Answer>, LogError> {
        let count = u32::try_from(bodies.len()).ok().filter(|count| *count > 0);
        let count = count.ok_or_else(|| LogError::new(ErrorKind::Refused, "an append holds one record or more"))?;
        let mut bytes = Vec::new();
        for body in bodies {
            codec::encode_framed(space, body, &mut bytes)?;
        }
        if bytes.len() > self.shared.config.queue_bytes.min(config::APPEND_BYTES_MAX) {
            return Err(LogError::new(
                ErrorKind::Refused,
                format!(
                    "an append of {} bytes is above the log's bound: send it in smaller parts",
                    bytes.len()
                ),
            ));
        }
        self.shared.enqueue(bytes, count)
    }

    /// The sequence after the last durable record: the one that becomes readable next.
    #[must_use]
    pub fn durable_end(&self) -> u64 {
        self.shared.durable_end.load(Ordering::Acquire)
    }

    /// The first sequence that has not been removed.
    #[must_use]
    pub fn start(&self) -> u64 {
        locked(&self.shared.table).start()
    }

    /// What cannot be served, in order.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        locked(&self.shared.table).gaps.clone()
    }

    /// What of the records before `end` nobody can be given: damaged, or numbers that were passed over. What was removed on
    /// purpose is not among them.
    #[must_use]
    pub fn holes_before(&self, end: u64) -> Vec<Gap> {
        locked(&self.shared.table).holes(end)
    }

    /// The sequence before which segments may have been removed on purpose: raw must hold all of them.
    #[must_use]
    pub fn removed_before(&self) -> u64 {
        let table = locked(&self.shared.table);
        table.removed_before.min(table.start())
    }

    /// A reader whose first record is `from`, or the first one after it that comes.
    #[must_use]
    pub fn reader(&self, from: u64) -> LogReader {
        LogReader::new(Arc::clone(&self.shared), from)
    }

    /// Tells how far the log is durable, as that moves: the value is [`Log::durable_end`].
    #[must_use]
    pub fn watch_durable(&self) -> watch::Receiver<u64> {
        self.shared.durable.subscribe()
    }

    /// Blocks until `sequence` is durable, at most for `timeout`; returns whether it is. Not to be called on an async
    /// thread.
    #[must_use]
    pub fn wait_for(&self, sequence: u64, timeout: std::time::Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut waiters = locked(&self.shared.waiters);
        *waiters += 1;
        while self.durable_end() <= sequence {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            waiters = self
                .shared
                .durable_moved
                .wait_timeout(waiters, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        *waiters -= 1;
        self.durable_end() > sequence
    }

    /// The segments that take no more records, oldest first.
    #[must_use]
    pub fn sealed_segments(&self) -> Vec<SealedSegment> {
        let table = locked(&self.shared.table);
        let sealed = table.segments.iter().filter(|segment| segment.sealed);
        let shown = sealed.map(|segment| SealedSegment {
            first_sequence: segment.first_sequence,
            end_sequence: segment.end_sequence,
            first_received_at: segment.first_received_at,
            last_received_at: segment.last_received_at,
            path: self.shared.segment_path(&segment.name),
            bytes: segment.groups_end,
        });
        shown.collect()
    }

    /// All records of a sealed segment, and what of it cannot be served. As large in memory as the segment.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when no sealed segment begins there, else as [`LogReader::read`].
    pub fn read_segment(&self, first_sequence: u64) -> Result<SegmentContents, LogError> {
        let end = {
            let table = locked(&self.shared.table);
            let mut sealed = table.segments.iter().filter(|segment| segment.sealed);
            sealed
                .find(|segment| segment.first_sequence == first_sequence)
                .map(|segment| segment.end_sequence)
        };
        let end = end.ok_or_else(|| no_such_segment(first_sequence))?;
        reader::read_segment(&self.shared, first_sequence, end)
    }

    /// Removes the oldest segment for good, once everything has passed it durably.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when the oldest segment does not begin there or is not sealed; [`ErrorKind::Unavailable`]
    /// when the disk does not let go of it, and it may be tried again.
    pub fn remove_segment(&self, first_sequence: u64) -> Result<(), LogError> {
        let oldest = locked(&self.shared.table).segments.first().cloned();
        let oldest = oldest.filter(|segment| segment.sealed && segment.first_sequence == first_sequence);
        let oldest = oldest.ok_or_else(|| no_such_segment(first_sequence))?;
        removed::write(&*self.shared.disk, &self.shared.config.dir, oldest.end_sequence)
            .map_err(|error| LogError::unavailable("say that a segment is removed", &error))?;
        match self.shared.disk.remove(&self.shared.segment_path(&oldest.name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LogError::unavailable("remove a segment", &error));
            }
            _ => {}
        }
        self.shared
            .disk
            .sync_dir(&self.shared.config.dir)
            .map_err(|error| LogError::unavailable("remove a segment", &error))?;
        let mut table = locked(&self.shared.table);
        table.segments.retain(|segment| segment.ordinal != oldest.ordinal);
        table.removed_before = oldest.end_sequence;
        Counter::LogSegmentsDeleted.increment();
        let start = table.start();
        table.gaps.retain(|gap| gap.to > start);
        Ok(())
    }

    /// Seals the active segment, if it holds records, and resolves once everything durable stands in sealed segments;
    /// gives the sequence after the last of them.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the disk cannot be written now.
    pub fn seal(&self) -> impl Future<Output = Result<u64, LogError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let asked = self.shared.control(Control::Seal(reply));
        async move {
            asked?;
            answer.await.map_err(|_| LogError::closed())?
        }
    }

    /// As [`Log::seal`], blocking. Not to be called on an async thread.
    ///
    /// # Errors
    /// As [`Log::seal`].
    pub fn seal_now(&self) -> Result<u64, LogError> {
        let (reply, answer) = oneshot::channel();
        self.shared.control(Control::Seal(reply))?;
        answer.blocking_recv().map_err(|_| LogError::closed())?
    }

    /// Has the writer look at the clock now, seal what has come of age, and try again if it could not write. It does all
    /// this by itself too; a clock that was moved by hand needs it at once. Blocks until done.
    pub fn tick(&self) {
        let (reply, answer) = oneshot::channel();
        if self.shared.control(Control::Tick(reply)).is_ok() {
            // A writer that has ended has nothing to look at.
            drop(answer.blocking_recv());
        }
    }

    /// The end of the log and an instant before which no later record will be stamped: whoever has taken every record
    /// up to that end knows all that happened before that instant. Blocks until the writer answers.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the log is closed.
    pub fn time_floor(&self) -> Result<(u64, kith_types::Timestamp), LogError> {
        let (reply, answer) = oneshot::channel();
        self.shared.control(Control::Floor(reply))?;
        answer.blocking_recv().map_err(|_| LogError::closed())
    }

    /// An instant before which no later record is stamped, at least that of the newest record; it does not wait for the
    /// writer.
    #[must_use]
    pub fn stamped(&self) -> kith_types::Timestamp {
        kith_types::Timestamp::from_micros(self.shared.stamped.load(Ordering::Acquire))
    }

    /// Has no later record stamped before an instant: whoever knows all that happened before it says so, since the log
    /// forgets over a restart what it told when no record came. Blocks until the writer answers.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the log is closed.
    pub fn raise_floor(&self, instant: kith_types::Timestamp) -> Result<(), LogError> {
        let (reply, answer) = oneshot::channel();
        self.shared.control(Control::Raise(instant, reply))?;
        answer.blocking_recv().map_err(|_| LogError::closed())
    }

    /// How the log is.
    #[must_use]
    pub fn health(&self) -> Health {
        Health {
            writable: self.shared.writable.load(Ordering::Acquire),
            last_error: locked(&self.shared.last_error).as_ref().map(ToString::to_string),
            queued_bytes: locked(&self.shared.queue).bytes,
            durable_end: self.durable_end(),
            bytes_on_disk: {
                let table = locked(&self.shared.table);
                table.segments.iter().map(|segment| segment.groups_end).sum()
            },
        }
    }

    /// Writes everything queued, seals the last segment and ends the writer. Later appends are refused; readers go on.
    /// Blocks until done.
    pub fn close(&self) {
        self.shared.begin_closing();
        let thread = locked(&self.writer).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the log's writer ended by a panic");
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

fn no_such_segment(first_sequence: u64) -> LogError {
    LogError::new(
        ErrorKind::Refused,
        format!("no sealed segment that may be taken begins at sequence {first_sequence}"),
    )
}

fn take_folder(config: &LogConfig, disk: &dyn Disk) -> Result<Box<dyn DiskLock>, LogError> {
    let dir = &config.dir;
    let begin = || -> io::Result<()> {
        disk.create_dir(dir)?;
        match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => disk.sync_dir(parent),
            _ => Ok(()),
        }
    };
    begin().map_err(|error| LogError::unavailable("make its folder", &error))?;
    disk.lock(&dir.join(format::LOCK_FILE)).map_err(|error| {
        if error.kind() == io::ErrorKind::WouldBlock {
            let shown = dir.display();
            LogError::new(
                ErrorKind::Locked,
                format!("the log in {shown} is in use by another process: stop it, or name another folder"),
            )
        } else {
            LogError::unavailable("lock its folder", &error)
        }
    })
}
