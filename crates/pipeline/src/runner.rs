//! The pipeline's thread: takes records from the log, commits steps, and hands on what they did.
//!
//! A step covers what has come within a short while, so that a busy server writes rarely and a quiet one answers at
//! once. Only a committed step is handed on. When every record is taken, the wall clock fires timers, bounded by the
//! floor below which the log will stamp no record any more.

mod figures;
mod listener;
mod status;

pub use listener::Listener;
pub use status::PipelineStatus;

use status::{PanicTold, Shared, locked};

use crate::engine::{Engine, EngineConfig};
use crate::output::StepOutput;
use crate::published::Look;
use crate::{Archive, Backlog, Definitions, PipelineError, PipelineErrorKind};
use kith_log::Log;
use kith_state::Store;
use kith_telemetry::{Counter, Histogram};
use kith_types::{Clock, Record, RecordBody, SpaceId, SystemClock, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Records and bytes taken from the log at once.
const READ_RECORDS: usize = 4_096;
const READ_BYTES: usize = 1024 * 1024;
/// A step is committed when it holds so many records and changes, or bodies of so many bytes, or so much time has passed.
const STEP_SIZE: usize = 20_000;
/// Few enough bytes for the events to be in the processor's caches still when their rows are written and they are freed.
const STEP_BYTES: usize = 2 * 1024 * 1024;
const STEP_INTERVAL: Duration = Duration::from_millis(100);
/// How long the thread sleeps at most when nothing comes.
const IDLE: Duration = Duration::from_millis(25);
/// After a failure of the store or the log the thread begins again, at first after the one time and at last after the other.
const RETRY_FIRST: Duration = if cfg!(test) {
    Duration::from_millis(1)
} else {
    Duration::from_secs(1)
};
const RETRY_LAST: Duration = Duration::from_secs(30);
/// How long a pipeline that is to end goes on taking what is in the log.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// While records keep coming, a sweep gets a turn after so many commits.
const COMMITS_A_SWEEP: u32 = 4;

/// The running pipeline. [`Pipeline::stop`] ends it after the step under way.
pub struct Pipeline {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Pipeline {
    /// Opens the engine and starts its thread. `archive` has what the log no longer has.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn start(
        log: Arc<Log>,
        archive: Arc<dyn Archive>,
        store: Arc<dyn Store>,
        config: EngineConfig,
        listeners: Vec<Box<dyn Listener>>,
    ) -> Result<Self, PipelineError> {
        let engine = Engine::open(store, config)?;
        let shared = Arc::new(Shared::of(&engine));
        shared.publish(&engine, &StepOutput::default());
        log.raise_floor(engine.time_floor())
            .map_err(|error| PipelineError::storage("the log takes no instant", error))?;
        let worker = Worker {
            found_end: log.durable_end(),
            shared: Arc::clone(&shared),
            log,
            archive,
            engine,
            listeners,
            committed_at: Instant::now(),
            commits: 0,
            step_bytes: 0,
            step_began: None,
            asked_to_end: None,
            take_again_at: None,
        };
        let guard = PanicTold(Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("kith-pipeline".to_owned())
            .spawn(move || {
                let _guard = guard;
                worker.run();
            })
            .map_err(|error| PipelineError::storage("the pipeline's thread could not start", error))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// A pipeline that takes no records: for a process that leaves that part to others and only reads.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn at_rest(store: Arc<dyn Store>, config: EngineConfig) -> Result<Self, PipelineError> {
        let engine = Engine::open(store, config)?;
        let shared = Arc::new(Shared::of(&engine));
        shared.publish(&engine, &StepOutput::default());
        Ok(Self {
            shared,
            thread: Mutex::new(None),
        })
    }

    /// How the pipeline stands.
    #[must_use]
    pub fn status(&self) -> PipelineStatus {
        let status = locked(&self.shared.status).clone();
        let new_rules = self.shared.definitions.rules.progress();
        PipelineStatus { new_rules, ..status }
    }

    /// The definitions in force in a space; none before its first record.
    #[must_use]
    pub fn definitions(&self, space: &SpaceId) -> Option<Arc<Definitions>> {
        self.shared.definitions.read().get(space).cloned()
    }

    /// The definitions in force in a space and a look at the state by which they are: no change of rules comes between.
    pub(crate) fn look(&self, store: &dyn Store, space: &SpaceId) -> Result<Option<Look>, PipelineError> {
        let published = self.shared.definitions.read();
        let snapshot = crate::staged::snapshot_of(store)?;
        Ok(published
            .get(space)
            .map(|definitions| (Arc::clone(definitions), snapshot)))
    }

    /// Blocks until every record before `sequence` is committed; false when that does not happen within `timeout` or
    /// the pipeline has stopped.
    #[must_use]
    pub fn wait_committed(&self, sequence: u64, timeout: Duration) -> bool {
        self.wait_until(timeout, |status| status.committed >= sequence)
    }

    /// Blocks until no decision waits, no sweep is under way and every member has taken what was said of their accounts;
    /// false when that does not happen within `timeout` or the pipeline has stopped.
    #[must_use]
    pub fn wait_swept(&self, timeout: Duration) -> bool {
        self.wait_until(timeout, |status| {
            status.decisions_waiting.is_empty() && status.sweeps.is_empty() && status.account_changes_waiting == 0
        })
    }

    /// Blocks until what time alone changes by `instant` is committed as well; false when that does not happen within
    /// `timeout` or the pipeline has stopped.
    #[must_use]
    pub fn wait_clock(&self, instant: Timestamp, timeout: Duration) -> bool {
        self.wait_until(timeout, |status| status.clock > instant)
    }

    fn wait_until(&self, timeout: Duration, met: impl Fn(&PipelineStatus) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut status = locked(&self.shared.status);
        while !met(&status) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || status.failure.is_some() {
                return false;
            }
            status = self
                .shared
                .moved
                .wait_timeout(status, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Ends the thread once everything durable is committed, or after ten seconds of that, and waits for it. What is left is
    /// in the log, and the next start goes on there.
    pub fn stop(&self) {
        self.shared.stopping.store(true, std::sync::atomic::Ordering::Release);
        let thread = locked(&self.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the pipeline ended by a panic");
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    log: Arc<Log>,
    archive: Arc<dyn Archive>,
    engine: Engine,
    listeners: Vec<Box<dyn Listener>>,
    committed_at: Instant,
    commits: u32,
    /// Of the bodies taken since the last commit.
    step_bytes: usize,
    /// When the first record since the last commit was taken, for the traces.
    step_began: Option<u64>,
    /// When it was first seen that the pipeline is to end.
    asked_to_end: Option<Instant>,
    /// Where the log ended when the thread began.
    found_end: u64,
    /// Before this the log is not asked again to take a decision.
    take_again_at: Option<Instant>,
}

fn body_bytes(body: &RecordBody) -> usize {
    match body {
        RecordBody::Envelope(envelope) => envelope.body.len(),
        RecordBody::Decision(decision) => decision.document.len(),
    }
}

impl Worker {
    /// Works until it is stopped or nothing can mend what went wrong. A disk that is full or a store that has failed is begun
    /// with again: what was not committed is in the log.
    fn run(mut self) {
        let mut wait = RETRY_FIRST;
        loop {
            let began = Instant::now();
            let Err(mut error) = self.work() else { return };
            Counter::PipelineStepFailures.increment();
            if began.elapsed() > RETRY_LAST {
                wait = RETRY_FIRST;
            }
            let mut store_failed = false;
            loop {
                store_failed |= error.is_of_the_store();
                let tries_again = error.kind() == PipelineErrorKind::Storage && !self.is_stopping();
                self.tell_failure(&error, tries_again);
                if !tries_again {
                    return;
                }
                if !self.rest(wait) {
                    return self.tell_failure(&error, false);
                }
                wait = (wait * 2).min(RETRY_LAST);
                match self.begin_again(store_failed) {
                    Ok(()) => break,
                    Err(again) => error = again,
                }
            }
        }
    }

    fn tell_failure(&self, error: &PipelineError, tries_again: bool) {
        let told = kith_telemetry::error_chain(error);
        let mut status = locked(&self.shared.status);
        if status.failure.as_ref() != Some(&told) || status.tries_again != tries_again {
            tracing::error!(error = %told, tries_again, "the pipeline has stopped");
        }
        (status.failure, status.tries_again) = (Some(told), tries_again);
        drop(status);
        self.shared.moved.notify_all();
    }

    /// Opens everything where the last committed step left it.
    fn begin_again(&mut self, store_failed: bool) -> Result<(), PipelineError> {
        self.engine.reopen(store_failed)?;
        self.log
            .raise_floor(self.engine.time_floor())
            .map_err(|error| PipelineError::storage("the log takes no instant", error))?;
        self.listeners.iter_mut().for_each(|listener| listener.begun_again());
        (self.step_bytes, self.step_began, self.commits) = (0, None, 0);
        self.committed_at = Instant::now();
        {
            let mut status = locked(&self.shared.status);
            (status.failure, status.tries_again) = (None, false);
        }
        self.shared.publish(&self.engine, &StepOutput::default());
        tracing::info!(next = self.engine.next(), "the pipeline goes on");
        Ok(())
    }

    fn is_stopping(&self) -> bool {
        self.shared.stopping.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Whether the pipeline is to end and has gone on for long enough since.
    fn must_end(&mut self) -> bool {
        self.is_stopping() && self.asked_to_end.get_or_insert_with(Instant::now).elapsed() >= DRAIN_MAX
    }

    /// Waits; answers whether nobody has asked it to stop meanwhile.
    fn rest(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while !self.is_stopping() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(IDLE));
        }
        false
    }

    fn work(&mut self) -> Result<(), PipelineError> {
        let mut reader = Backlog::new(&self.log, Arc::clone(&self.archive), self.engine.next());
        loop {
            let records = reader
                .read(READ_RECORDS, READ_BYTES)
                .map_err(|error| PipelineError::storage("the log could not be read", error))?;
            let caught_up = records.is_empty();
            for record in &records {
                if !self.make_way(record)? {
                    return self.commit();
                }
                self.engine.apply(record)?;
                self.hand_on_events();
                self.step_bytes += body_bytes(&record.body);
                self.step_began = self.step_began.or_else(kith_telemetry::stage_begins);
                if self.engine.pending() >= STEP_SIZE || self.step_bytes >= STEP_BYTES {
                    self.commit()?;
                }
                // Events may be dear: a whole read of them is too long to wait for.
                if self.must_end() {
                    return self.commit();
                }
            }
            // The newest numbers may be those of no record.
            if caught_up && reader.position() > self.engine.next() {
                self.engine.pass_over(reader.position());
                self.commit()?;
            }
            let on_time = !caught_up || self.keep_time()?;
            if self.engine.pending() > 0 && self.committed_at.elapsed() >= STEP_INTERVAL {
                self.commit()?;
            }
            let swept = (caught_up || self.commits >= COMMITS_A_SWEEP) && self.sweep()?;
            self.take_decisions()?;
            if caught_up && on_time && self.engine.pending() == 0 {
                self.shared.tell_time(self.engine.clock());
            }
            // A sweep goes on after the next start.
            if caught_up && self.is_stopping() || self.must_end() {
                return self.commit();
            }
            if caught_up && !swept && on_time {
                let _more = self.log.wait_for(self.engine.next(), IDLE);
            }
        }
    }

    /// Fires what is due before a record. A great many may be: a step is bounded whatever comes, and readers see on the way
    /// what has been done. False where the pipeline must end before that.
    fn make_way(&mut self, record: &Record) -> Result<bool, PipelineError> {
        while !self.engine.make_way(record)? {
            if self.engine.pending() >= STEP_SIZE || self.committed_at.elapsed() >= STEP_INTERVAL {
                self.commit()?;
            }
            if self.must_end() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Fires what is due now that every record is taken, a turn of it; answers whether nothing is left.
    fn keep_time(&mut self) -> Result<bool, PipelineError> {
        let Ok((end, floor)) = self.log.time_floor() else {
            return Ok(true);
        };
        if end == self.engine.next() {
            return self.engine.advance(floor);
        }
        Ok(true)
    }

    fn sweep(&mut self) -> Result<bool, PipelineError> {
        self.commits = 0;
        let mut outputs = Vec::new();
        let more = self.engine.sweep(&mut outputs)?;
        // A sweep that waits has committed nothing: what the engine holds open is not told before it is committed.
        for output in outputs {
            self.hand_on(output);
        }
        Ok(more)
    }

    /// Puts into the log that a decision is taken which has waited until it can be.
    fn take_decisions(&mut self) -> Result<(), PipelineError> {
        // The log may have such a record already, of the process before.
        if self.engine.next() < self.found_end || self.is_stopping() {
            return Ok(());
        }
        if self.take_again_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        let Some((space, decision)) = self.engine.next_decision()? else {
            return Ok(());
        };
        match self.log.append_blocking(&space, &RecordBody::Decision(decision)) {
            Ok(appended) => self.engine.was_called(&space, appended.address.sequence),
            // A log that takes nothing takes no event either: it is tried again when it may have room.
            Err(error) => {
                let error = kith_telemetry::error_chain(&error);
                tracing::warn!(%space, %error, "a decision that waits could not be taken yet");
                self.take_again_at = Some(Instant::now() + RETRY_FIRST);
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), PipelineError> {
        let began = Instant::now();
        let mut output = self.engine.commit()?;
        Histogram::PipelineCommitSeconds.observe(began.elapsed());
        output.body_bytes = std::mem::take(&mut self.step_bytes);
        kith_telemetry::step_committed(
            output.from..output.to,
            output.event_count as usize,
            self.step_began.take(),
        );
        self.commits += 1;
        self.committed_at = Instant::now();
        self.hand_on(output);
        Ok(())
    }

    fn hand_on(&mut self, output: StepOutput) {
        self.shared.publish(&self.engine, &output);
        figures::count(&output, SystemClock.now());
        if output.is_empty() {
            return;
        }
        let output = Arc::new(output);
        // A listener that has gone needs nothing any more.
        self.listeners.retain_mut(|listener| listener.committed(&output));
    }

    fn hand_on_events(&mut self) {
        let (events, people) = self.engine.take_events();
        if !events.is_empty() {
            self.listeners
                .iter_mut()
                .for_each(|listener| listener.events(&events, &people));
        }
    }
}

#[cfg(test)]
mod tests;
