//! What the callers, the readers and the writer's thread share: the queue, the table, and the state of health.
//!
//! Never does IO but for quarantining a damaged segment, which a reader may be the first to find.

use crate::config::LogConfig;
use crate::disk::Disk;
use crate::error::{ErrorKind, Gap, GapCause, LogError};
use crate::recovery;
use crate::segment::{self, Seed};
use crate::table::Table;
use kith_types::{Clock, Timestamp};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::{oneshot, watch};

/// What a group's writer answers: the first sequence it gave, and when.
pub(crate) type Answer = Result<(u64, Timestamp), LogError>;

/// Records that stand or fall together, encoded and framed.
pub(crate) struct Pending {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u32,
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// What may be asked of the writer besides writing.
pub(crate) enum Control {
    /// Seal the active segment if it holds anything; answers the end of what is sealed.
    Seal(oneshot::Sender<Result<u64, LogError>>),
    /// Look at the clock, and try to recover if broken, now.
    Tick(oneshot::Sender<()>),
    /// Stamp no record before now from here on; answers the durable end and that floor.
    Floor(oneshot::Sender<(u64, Timestamp)>),
    /// Stamp no record before an instant.
    Raise(Timestamp, oneshot::Sender<()>),
}

#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) pending: VecDeque<Pending>,
    pub(crate) controls: Vec<Control>,
    /// Bytes pending or being written.
    pub(crate) bytes: usize,
    pub(crate) writer_waits: bool,
    pub(crate) closing: bool,
}

pub(crate) struct Shared {
    pub(crate) config: LogConfig,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) salt: u64,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) queue_filled: Condvar,
    pub(crate) table: Mutex<Table>,
    pub(crate) durable_end: AtomicU64,
    /// In microseconds: no later record is stamped before it.
    pub(crate) stamped: AtomicI64,
    pub(crate) durable: watch::Sender<u64>,
    pub(crate) waiters: Mutex<usize>,
    pub(crate) durable_moved: Condvar,
    pub(crate) writable: AtomicBool,
    pub(crate) last_error: Mutex<Option<LogError>>,
}

/// A panic elsewhere cannot leave these values half changed, so a poisoned lock is taken all the same.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Queues records for the writer, or says at once why not.
    pub(crate) fn enqueue(&self, bytes: Vec<u8>, count: u32) -> Result<oneshot::Receiver<Answer>, LogError> {
        if !self.writable.load(Ordering::Acquire) {
            return Err(self.unavailable());
        }
        let (reply, answer) = oneshot::channel();
        let mut queue = locked(&self.queue);
        if queue.closing {
            return Err(LogError::closed());
        }
        if queue.bytes + bytes.len() > self.config.queue_bytes {
            return Err(LogError::new(
                ErrorKind::Overloaded,
                format!(
                    "{} bytes wait to become durable, the limit is {}: try again later",
                    queue.bytes, self.config.queue_bytes
                ),
            ));
        }
        queue.bytes += bytes.len();
        queue.pending.push_back(Pending { bytes, count, reply });
        self.wake_writer(queue);
        Ok(answer)
    }

    pub(crate) fn control(&self, control: Control) -> Result<(), LogError> {
        let mut queue = locked(&self.queue);
        if queue.closing {
            return Err(LogError::closed());
        }
        queue.controls.push(control);
        self.wake_writer(queue);
        Ok(())
    }

    pub(crate) fn begin_closing(&self) {
        let mut queue = locked(&self.queue);
        queue.closing = true;
        self.wake_writer(queue);
    }

    /// A writer that is busy looks at the queue by itself when it is done: waking costs a system call.
    fn wake_writer(&self, mut queue: MutexGuard<'_, Queue>) {
        let waits = std::mem::take(&mut queue.writer_waits);
        drop(queue);
        if waits {
            self.queue_filled.notify_one();
        }
    }

    pub(crate) fn unavailable(&self) -> LogError {
        let reason = locked(&self.last_error).clone();
        reason
            .unwrap_or_else(|| LogError::new(ErrorKind::Unavailable, "the log cannot be written now: try again later"))
    }

    /// Tells everyone who waits how far the log is durable.
    pub(crate) fn announce(&self, durable_end: u64) {
        self.durable_end.store(durable_end, Ordering::Release);
        self.durable.send_replace(durable_end);
        if *locked(&self.waiters) > 0 {
            self.durable_moved.notify_all();
        }
    }

    pub(crate) fn segment_path(&self, name: &str) -> PathBuf {
        self.config.dir.join(name)
    }

    /// Scans a segment in which a reader met damage, keeps a copy of it and notes what cannot be served.
    pub(crate) fn quarantine(&self, ordinal: u64) -> Result<(), LogError> {
        let known = locked(&self.table)
            .segments
            .iter()
            .find(|segment| segment.ordinal == ordinal)
            .cloned();
        let Some(known) = known else { return Ok(()) };
        let file = self
            .disk
            .open(&self.segment_path(&known.name))
            .map_err(|error| LogError::unavailable("open a segment", &error))?;
        let bytes = recovery::read_leniently(&*file, known.groups_end);
        let scan = segment::scan(
            &bytes,
            Seed::new(self.salt, ordinal),
            known.first_sequence,
            Some(known.end_sequence),
        );
        if scan.holes.is_empty() {
            return Ok(());
        }
        let copied = recovery::copy_to_quarantine(&*self.disk, &self.config.dir, &known.name, &bytes);
        recovery::report_damage(&known.name, &scan, &copied);
        let mut table = locked(&self.table);
        if let Some(segment) = table.segments.iter_mut().find(|segment| segment.ordinal == ordinal) {
            segment.take_in(&scan);
        }
        for (from, to) in scan.holes {
            table.add_gap(Gap {
                from,
                to,
                cause: GapCause::Damaged,
            });
        }
        Ok(())
    }
}

/// Has nobody wait for a writer that ended by a panic: appends are refused from then on, and those that wait are told.
pub(crate) struct PanicTold(pub(crate) Arc<Shared>);

impl Drop for PanicTold {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the log's writer ended by a panic: nothing is taken until the server is started again");
            *locked(&self.0.last_error) = Some(LogError::new(
                ErrorKind::Unavailable,
                "the log's writer ended by a panic: start the server again",
            ));
            self.0.writable.store(false, Ordering::Release);
            let mut queue = locked(&self.0.queue);
            queue.closing = true;
            queue.pending.clear();
            queue.controls.clear();
        }
    }
}
