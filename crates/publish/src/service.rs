//! The publishing thread: takes committed steps, commits tables by size and age, rewrites the current tables at their
//! period, and lets the log go of what raw is seen to hold. Raw objects are written beside it (`archiving.rs`).

use crate::archiving::{Archiving, ArchivingParts};
use crate::backoff::Backoff;
use crate::changes::ChangesReplay;
use crate::config::{PublishConfig, PublishStatus};
use crate::panic_told::PanicTold;
use crate::sealing::Sealing;
use crate::steps::Step;
use crate::writer::LakeWriter;
use crate::{PublishError, curated, expiring, retention};
use kith_lake::Lake;
use kith_log::Log;
use kith_pipeline::{Pipeline, Reads};
use kith_types::{Clock, SpaceId};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Steps that wait for the lake before the pipeline is held back.
const STEPS_WAITING: usize = 1;
/// How often the thread looks at the clock when nothing comes.
const TURN: Duration = Duration::from_millis(200);
/// The current tables are rewritten no sooner than after so many times as long as that took.
const REWRITING_SHARE: u32 = 9;
/// How long a flush waits for steps that are committed and still on their way through the queues.
const STEPS_WITHIN: Duration = Duration::from_secs(60);

enum Request {
    Step(Box<Step>),
    Flush(Reply),
    /// Somebody waits for the tables to have every record before this one.
    Hasten(u64),
    /// The last part of a flush: raw has everything, and what may leave the log leaves it.
    Trim(Reply),
    Stop,
}

/// Who waits for a flush.
pub(crate) type Reply = oneshot::Sender<Result<(), String>>;

/// The publishing thread's handle.
pub struct Publisher {
    requests: Arc<SyncSender<Request>>,
    status: Arc<Mutex<PublishStatus>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread works with.
pub struct PublishParts {
    /// The lake.
    pub lake: Arc<Lake>,
    /// The log.
    pub log: Arc<Log>,
    /// The running pipeline, for its spaces and its progress.
    pub pipeline: Arc<Pipeline>,
    /// People as they are committed.
    pub reads: Reads,
    /// The writer of the tables.
    pub writer: LakeWriter,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The folder for what is kept only while it is worked on.
    pub scratch: PathBuf,
    /// Before which sequence nothing else still has to read the log. Asked when segments may leave it.
    pub passed: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Where the thread's asynchronous work runs.
    pub runtime: tokio::runtime::Handle,
}

impl Publisher {
    /// Starts the thread. `steps` is what [`crate::steps`] gives beside the pipeline's listener.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(config: PublishConfig, parts: PublishParts, steps: Receiver<Step>) -> Result<Self, PublishError> {
        let (requests, inbox) = sync_channel(STEPS_WAITING);
        let status = Arc::new(Mutex::new(PublishStatus::default()));
        let forward = requests.clone();
        spawn("kith-publish-steps", move || {
            for step in steps {
                if forward.send(Request::Step(Box::new(step))).is_err() {
                    return;
                }
            }
        })?;
        let shared = Arc::clone(&status);
        let requests = Arc::new(requests);
        // Weak, so that the threads end where the handle is dropped.
        let back = Arc::downgrade(&requests);
        let archiving = ArchivingParts {
            log: Arc::clone(&parts.log),
            pipeline: Arc::clone(&parts.pipeline),
            clock: Arc::clone(&parts.clock),
            status: Arc::clone(&status),
            log_keep_bytes: config.log_keep_bytes,
            flushed: Box::new(move |reply| {
                // Publishing that has stopped drops the reply, which tells whoever waits.
                let _sent = back.upgrade().map(|requests| requests.send(Request::Trim(reply)));
            }),
        };
        let (raw, generation, runtime) = (parts.lake.raw(), parts.writer.generation, parts.runtime.clone());
        let archiving = Archiving::start(archiving, |stopping| Sealing {
            raw,
            generation,
            runtime,
            stopping,
        })?;
        let told = PanicTold::of_tables(&status, &parts.clock);
        let thread = spawn("kith-publish", move || {
            let _told = told;
            let now = Instant::now();
            let worker = Worker {
                archiving,
                replay: None,
                config,
                parts,
                status: shared,
                committed: now,
                rewritten: now,
                rewriting: Duration::ZERO,
                expired: now,
                expiring: Duration::ZERO,
                ready: false,
                steps: 0,
                bytes: 0,
                hastened: 0,
                backoff: Backoff::default(),
                rebuilding: Backoff::default(),
            };
            worker.run(inbox);
        })?;
        Ok(Self {
            requests,
            status,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// How far publishing has come.
    #[must_use]
    pub fn status(&self) -> PublishStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Seals the log and commits everything that is committed in the state now: clean tables, changes, current tables
    /// and raw objects.
    ///
    /// # Errors
    /// What could not be done, for the operator; it is tried again by itself.
    pub async fn flush(&self) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let requests = Arc::clone(&self.requests);
        let sent = tokio::task::spawn_blocking(move || requests.send(Request::Flush(reply)).is_ok()).await;
        if !matches!(sent, Ok(true)) {
            return Err("publishing has stopped".to_owned());
        }
        answer
            .await
            .unwrap_or_else(|_| Err("publishing has stopped".to_owned()))
    }

    /// Has the clean tables committed as soon as they can have every record before `end`, sooner than their age asks for.
    /// Answers whether that was noted: it is not while the thread is at work, so ask again.
    #[must_use]
    pub fn hasten(&self, end: u64) -> bool {
        self.requests.try_send(Request::Hasten(end)).is_ok()
    }

    /// Commits what waits and ends the thread.
    pub fn stop(&self) {
        // A thread that has ended takes no request.
        let _gone = self.requests.send(Request::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("publishing ended by a panic");
        }
    }
}

pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, PublishError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(|error| PublishError::new("a thread could not be started", error))
}

struct Worker {
    config: PublishConfig,
    parts: PublishParts,
    archiving: Archiving,
    /// Changes of membership that are being built again.
    replay: Option<ChangesReplay>,
    status: Arc<Mutex<PublishStatus>>,
    committed: Instant,
    rewritten: Instant,
    /// How long rewriting the current tables took.
    rewriting: Duration,
    /// When old snapshots were removed, and how long that took.
    expired: Instant,
    expiring: Duration,
    /// Whether the writer has caught up with what the tables lacked at the start.
    ready: bool,
    /// Steps that have come, of those that the pipeline counts.
    steps: u64,
    /// Of the bodies whose rows wait.
    bytes: usize,
    /// Somebody waits for the tables to have every record before it.
    hastened: u64,
    /// After a failure: when to try again.
    backoff: Backoff,
    /// The same for building changes of membership again.
    rebuilding: Backoff,
}

impl Worker {
    fn run(mut self, inbox: Receiver<Request>) {
        // At once: until then nobody can say how far the tables are.
        self.attempt(Self::turn);
        // What came while a flush waited for steps.
        let mut later = VecDeque::new();
        loop {
            let request = later.pop_front().map_or_else(|| inbox.recv_timeout(TURN), Ok);
            match request {
                Ok(Request::Step(step)) => {
                    self.steps += 1;
                    // What comes while publishing waits is in the log, from where it is caught up.
                    if !self.backoff.waits(Instant::now()) {
                        self.attempt(|worker| worker.take(&step));
                    }
                }
                Ok(Request::Flush(reply)) => {
                    let mut done = Ok(());
                    self.attempt(|worker| {
                        let flushed = worker.take_committed(&inbox, &mut later).and_then(|()| worker.flush());
                        done = PublishError::in_words(&flushed);
                        flushed
                    });
                    match done {
                        Ok(()) => self.archiving.flush(reply),
                        // Whoever asked may have gone.
                        Err(_) => drop(reply.send(done)),
                    }
                }
                Ok(Request::Hasten(end)) => self.hastened = self.hastened.max(end),
                Ok(Request::Trim(reply)) => {
                    let mut done = Ok(());
                    self.attempt(|worker| {
                        let trimmed = worker.trim();
                        done = PublishError::in_words(&trimmed);
                        trimmed
                    });
                    let _gone = reply.send(done);
                }
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.attempt(|worker| worker.take_committed(&inbox, &mut later));
                    self.attempt(Self::commit);
                    // Before the thread that keeps raw is waited for, which may be handing a flush back.
                    drop(inbox);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if !self.backoff.waits(Instant::now()) {
                self.attempt(Self::turn);
            }
        }
    }

    /// Takes every step that is committed now: steps and requests come by different ways, so the last ones may still be
    /// on theirs.
    fn take_committed(&mut self, inbox: &Receiver<Request>, later: &mut VecDeque<Request>) -> Result<(), PublishError> {
        let committed = self.parts.pipeline.status().steps;
        let deadline = Instant::now() + STEPS_WITHIN;
        while self.steps < committed {
            match inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Request::Step(step)) => {
                    self.steps += 1;
                    self.take(&step)?;
                    if self.is_full() {
                        self.commit()?;
                    }
                }
                Ok(other) => later.push_back(other),
                Err(error) => return Err(PublishError::new("steps that are committed did not come", error)),
            }
        }
        Ok(())
    }

    fn attempt(&mut self, work: impl FnOnce(&mut Self) -> Result<(), PublishError>) {
        let outcome = work(self);
        if let Err(error) = outcome {
            self.backoff.failed(Instant::now());
            let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            status.failure = Some(error.to_string());
            status.failures = self.backoff.failures();
            status.failing_since = status.failing_since.or_else(|| Some(self.parts.clock.now()));
            drop(status);
            tracing::error!(error = %kith_telemetry::error_chain(&error), "publishing failed and will be tried again");
            // What waits may have been committed in part: take it again from where the tables end.
            self.ready = false;
        }
    }

    /// Notes that everything there is to do could be done.
    fn worked(&mut self) {
        self.backoff.worked();
        if self.rebuilding.failures() > 0 {
            // Told until it works.
            return;
        }
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        (status.failure, status.failures, status.failing_since) = (None, 0, None);
    }

    fn spaces(&self) -> Vec<SpaceId> {
        self.parts.pipeline.status().profiles.into_keys().collect()
    }

    fn catch_up(&mut self) -> Result<(), PublishError> {
        if self.ready {
            return Ok(());
        }
        // One look, so that no space of a record before that end is missing from the list.
        let status = self.parts.pipeline.status();
        let (spaces, committed): (Vec<SpaceId>, u64) = (status.profiles.into_keys().collect(), status.committed);
        let PublishParts { runtime, writer, .. } = &mut self.parts;
        writer.reset();
        runtime.block_on(writer.catch_up(&spaces, committed))?;
        self.ready = true;
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.clean_end = status.clean_end.max(writer.caught_up_from());
        Ok(())
    }

    fn take(&mut self, step: &Step) -> Result<(), PublishError> {
        // What may be missing is taken from the log and the outbox.
        self.ready &= !step.begun_again;
        self.catch_up()?;
        let runtime = self.parts.runtime.clone();
        self.bytes += step.output.body_bytes;
        runtime.block_on(self.parts.writer.take(step))
    }

    /// Whether as much waits as may.
    fn is_full(&self) -> bool {
        self.parts.writer.rows() >= self.config.rows || self.bytes >= self.config.bytes
    }

    /// Whether somebody waits for rows that have come.
    fn is_waited_for(&self) -> bool {
        let committed = self.status.lock().unwrap_or_else(PoisonError::into_inner).clean_end;
        committed < self.hastened && self.hastened <= self.parts.writer.taken()
    }

    fn turn(&mut self) -> Result<(), PublishError> {
        self.catch_up()?;
        self.rebuild_changes(false)?;
        let rows = self.parts.writer.rows();
        if self.is_full() || (rows > 0 && (self.is_waited_for() || self.committed.elapsed() >= self.config.age)) {
            self.commit()?;
        }
        if rows == 0 {
            self.committed = Instant::now();
            self.status.lock().unwrap_or_else(PoisonError::into_inner).clean_end = self.parts.writer.taken();
        }
        if self.rewritten.elapsed() >= self.config.curated_period.max(self.rewriting * REWRITING_SHARE) {
            self.rewrite()?;
        }
        if self.expired.elapsed() >= self.config.expiry_period.max(self.expiring * REWRITING_SHARE) {
            self.expire();
        }
        self.trim()?;
        self.worked();
        Ok(())
    }

    /// What cannot be removed now is removed another time, and holds up nothing else.
    fn expire(&mut self) {
        let started = Instant::now();
        let runtime = self.parts.runtime.clone();
        for space in self.spaces() {
            runtime.block_on(expiring::expire(
                &self.parts.lake,
                &space,
                &self.config,
                &*self.parts.clock,
            ));
        }
        self.expired = Instant::now();
        self.expiring = started.elapsed();
    }

    /// Builds changes of membership again that their table lacks and the outbox has forgotten, beside everything else; answers
    /// whether none is missing.
    fn rebuild_changes(&mut self, wait: bool) -> Result<bool, PublishError> {
        let runtime = self.parts.runtime.clone();
        let may_start = wait || !self.rebuilding.waits(Instant::now());
        if may_start && self.replay.is_none() && self.parts.writer.lacks_changes() {
            self.replay = self.parts.writer.replay_changes(&self.parts.scratch, runtime.clone())?;
        }
        if let Some(replay) = self.replay.take_if(|replay| wait || replay.is_finished()) {
            // A replay takes long, and one that fails does not fail otherwise at once.
            let rebuilt = replay
                .outcome()
                .inspect_err(|_| self.rebuilding.failed(Instant::now()))?;
            runtime.block_on(self.parts.writer.take_rebuilt(rebuilt))?;
            self.rebuilding.worked();
        }
        Ok(!self.parts.writer.lacks_changes())
    }

    fn flush(&mut self) -> Result<(), PublishError> {
        self.catch_up()?;
        if !self.rebuild_changes(true)? {
            let why = "people are still being worked out anew: flush again";
            return Err(PublishError::new(
                "changes of membership are not all in their table yet",
                why,
            ));
        }
        self.commit()?;
        self.rewrite()?;
        self.parts
            .log
            .seal_now()
            .map_err(|error| PublishError::new("the log could not be sealed", error))?;
        self.archiving.note_taken(self.parts.writer.taken());
        self.worked();
        Ok(())
    }

    /// Removes the segments of the log that raw is seen to hold and that state and every table have passed, but for the margin.
    fn trim(&mut self) -> Result<(), PublishError> {
        self.catch_up()?;
        self.archiving.note_taken(self.parts.writer.taken());
        let proved = self.archiving.proved();
        let raw_end = self.status.lock().unwrap_or_else(PoisonError::into_inner).raw_end;
        let pipeline = self.parts.pipeline.status();
        let passed = raw_end.min(pipeline.committed).min(self.parts.writer.taken());
        let sealed = self.parts.log.sealed_segments();
        let mut segments = retention::removable(&sealed, passed, self.config.log_keep_bytes);
        if !segments.is_empty() {
            let passed = passed.min((self.parts.passed)());
            segments = retention::removable(&sealed, passed, self.config.log_keep_bytes);
        }
        let held = segments.iter().take_while(|first| proved.contains(first)).count();
        segments.truncate(held);
        if segments.is_empty() {
            return Ok(());
        }
        self.commit()?;
        let spaces: Vec<SpaceId> = pipeline.profiles.into_keys().collect();
        let runtime = self.parts.runtime.clone();
        for space in &spaces {
            runtime.block_on(self.parts.writer.ensure(space))?;
        }
        runtime.block_on(retention::note_ends(&self.parts.writer, &spaces))?;
        retention::remove(&self.parts.log, &segments)
    }

    fn commit(&mut self) -> Result<(), PublishError> {
        self.catch_up()?;
        let began = kith_telemetry::stage_begins();
        let runtime = self.parts.runtime.clone();
        runtime.block_on(self.parts.writer.commit())?;
        kith_telemetry::tables_committed(self.parts.writer.taken(), began);
        self.bytes = 0;
        self.committed = Instant::now();
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.clean_end = self.parts.writer.taken();
        status.clean_at = Some(self.parts.clock.now());
        Ok(())
    }

    fn rewrite(&mut self) -> Result<(), PublishError> {
        let started = Instant::now();
        self.rewritten = started;
        let now = self.parts.clock.now();
        for space in self.spaces() {
            let runtime = self.parts.runtime.clone();
            runtime.block_on(self.parts.writer.ensure(&space))?;
            runtime.block_on(curated::rewrite(&self.parts.lake, &self.parts.reads, &space, now))?;
        }
        self.rewritten = Instant::now();
        self.rewriting = started.elapsed();
        self.status.lock().unwrap_or_else(PoisonError::into_inner).curated_at = Some(now);
        Ok(())
    }
}
