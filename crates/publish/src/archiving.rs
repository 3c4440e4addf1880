//! The thread that keeps raw up with the log: it seals segments, and proves those that the log may let go.
//!
//! It is apart from the tables' thread, so that a store that hangs or fails holds up neither tables nor people; what waits for
//! raw waits in the log. It removes nothing: the tables' thread takes from it what is proved. A store that does not answer
//! does not hold up the end of the server either.

use crate::backoff::Backoff;
use crate::config::PublishStatus;
use crate::panic_told::PanicTold;
use crate::sealing::Sealing;
use crate::service::{Reply, spawn};
use crate::{PublishError, retention};
use kith_log::Log;
use kith_pipeline::Pipeline;
use kith_telemetry::Counter;
use kith_types::{Clock, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often the thread looks for sealed segments when nobody asks.
const TURN: Duration = Duration::from_millis(200);
/// How long what raw was seen to hold counts: the log lets nothing go on an older look.
const PROVED_FOR: Duration = Duration::from_secs(300);

/// How a stage that tries again has fared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Why the last attempt failed, if it did.
    pub failure: Option<String>,
    /// How many attempts have failed in a row.
    pub failures: u32,
    /// When the first of these failed.
    pub failing_since: Option<Timestamp>,
}

/// What the thread works with.
pub(crate) struct ArchivingParts {
    pub(crate) log: Arc<Log>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) status: Arc<Mutex<PublishStatus>>,
    pub(crate) log_keep_bytes: u64,
    /// Goes on with a flush whose segments are in raw.
    pub(crate) flushed: Box<dyn Fn(Reply) + Send>,
}

enum Ask {
    Flush(Reply),
    Stop,
}

/// What both threads know.
#[derive(Default)]
struct Shared {
    /// Every record before it has been taken by the tables' writer.
    taken: u64,
    /// The first sequences of segments that raw was seen to hold, and when.
    proved: BTreeMap<u64, Instant>,
}

/// The thread's handle, which the tables' thread holds.
pub(crate) struct Archiving {
    asks: Sender<Ask>,
    stop: watch::Sender<bool>,
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

impl Archiving {
    /// Starts the thread. `sealing` makes what seals, given what ends its waiting.
    pub(crate) fn start(
        parts: ArchivingParts,
        sealing: impl FnOnce(watch::Receiver<bool>) -> Sealing,
    ) -> Result<Self, PublishError> {
        let (asks, inbox) = channel();
        let (stop, stopping) = watch::channel(false);
        let shared = Arc::new(Mutex::new(Shared::default()));
        let told = PanicTold::of_raw(&parts.status, &parts.clock);
        let worker = Worker {
            sealing: sealing(stopping.clone()),
            parts,
            shared: Arc::clone(&shared),
            stopping,
            backoff: Backoff::default(),
        };
        Ok(Self {
            asks,
            stop,
            shared,
            thread: Some(spawn("kith-raw", move || {
                let _told = told;
                worker.run(&inbox);
            })?),
        })
    }

    /// Has everything sealed put into raw, and what may leave the log proved; then the flush goes on.
    pub(crate) fn flush(&self, reply: Reply) {
        // A thread that has ended drops the reply, which tells whoever waits.
        let _gone = self.asks.send(Ask::Flush(reply));
    }

    /// Says how far the tables' writer has come.
    pub(crate) fn note_taken(&self, taken: u64) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).taken = taken;
    }

    /// The segments that raw was seen to hold a short while ago.
    pub(crate) fn proved(&self) -> BTreeSet<u64> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = shared.proved.iter().filter(|(_, seen)| seen.elapsed() < PROVED_FOR);
        lately.map(|(first, _)| *first).collect()
    }
}

impl Drop for Archiving {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let _gone = self.asks.send(Ask::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("keeping raw ended by a panic");
        }
    }
}

struct Worker {
    parts: ArchivingParts,
    sealing: Sealing,
    shared: Arc<Mutex<Shared>>,
    stopping: watch::Receiver<bool>,
    backoff: Backoff,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Ask>) {
        // At once, for how far raw is; what failed is told by the status.
        drop(self.attempt());
        loop {
            match inbox.recv_timeout(TURN) {
                Ok(Ask::Flush(reply)) => match self.attempt() {
                    Ok(()) => (self.parts.flushed)(reply),
                    // Whoever asked may have gone.
                    Err(error) => drop(reply.send(Err(kith_telemetry::error_chain(&error)))),
                },
                Ok(Ask::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if self.backoff.waits(Instant::now()) => {}
                // What failed is told by the status.
                Err(RecvTimeoutError::Timeout) => drop(self.attempt()),
            }
        }
    }

    fn attempt(&mut self) -> Result<(), PublishError> {
        let outcome = self.keep_up();
        if *self.stopping.borrow() {
            return outcome;
        }
        let mut status = self.parts.status.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = &outcome else {
            self.backoff.worked();
            status.raw = Attempts::default();
            return outcome;
        };
        self.backoff.failed(Instant::now());
        status.raw.failure = Some(kith_telemetry::error_chain(error));
        status.raw.failures = self.backoff.failures();
        status.raw.failing_since = status.raw.failing_since.or_else(|| Some(self.parts.clock.now()));
        drop(status);
        Counter::RawFailures.add(1);
        tracing::error!(error = %kith_telemetry::error_chain(error), "raw objects could not be kept up with the log; it is tried again");
        outcome
    }

    fn keep_up(&mut self) -> Result<(), PublishError> {
        self.sealing.check()?;
        self.seal()?;
        self.prove()
    }

    fn raw_end(&self) -> u64 {
        self.parts.status.lock().unwrap_or_else(PoisonError::into_inner).raw_end
    }

    /// Writes the sealed segments that the raw zone lacks, oldest first.
    fn seal(&mut self) -> Result<(), PublishError> {
        let mut done = self.raw_end();
        if done == 0 {
            done = self.sealing.begun()?;
            self.parts.status.lock().unwrap_or_else(PoisonError::into_inner).raw_end = done;
        }
        for segment in self.parts.log.sealed_segments() {
            if segment.end_sequence <= done {
                continue;
            }
            self.sealing.seal(&self.parts.log, &segment, done)?;
            done = segment.end_sequence;
            self.parts.status.lock().unwrap_or_else(PoisonError::into_inner).raw_end = done;
        }
        Ok(())
    }

    /// Proves the segments that everything has passed, so that the log may let them go.
    fn prove(&self) -> Result<(), PublishError> {
        let lock = || self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = self
            .raw_end()
            .min(self.parts.pipeline.status().committed)
            .min(lock().taken);
        let sealed = self.parts.log.sealed_segments();
        let removable = retention::removable(&sealed, passed, self.parts.log_keep_bytes);
        let may_go: BTreeSet<u64> = sealed
            .iter()
            .take(removable.len())
            .map(|one| one.first_sequence)
            .collect();
        lock()
            .proved
            .retain(|first, seen| may_go.contains(first) && seen.elapsed() < PROVED_FOR);
        for segment in sealed.iter().take(removable.len()) {
            // Not held while raw is asked.
            let known = lock().proved.contains_key(&segment.first_sequence);
            if !known {
                self.sealing.prove(&self.parts.log, segment)?;
                lock().proved.insert(segment.first_sequence, Instant::now());
            }
        }
        Ok(())
    }
}
