//! Activation as the server runs it: threads around the engine, and what operators and unsubscribe pages ask. One thread
//! takes entries, one hands events to the log, one walks through members for runs (`runs.rs`), a fixed number attempt sends, and each destination of audiences has one of its
//! own (`destinations.rs`). It never blocks an async thread: ports and ledger are called from its own.

mod destinations;
mod runs;

use crate::audience::Runner;
use crate::engine::{DieAt, Engine, MailFault, MessageItem, Settings, token_hash};
use crate::error::{ActivateError, ActivateErrorKind};
use crate::ledger::{ActivationStatus, Ledger, MessageCount, SendView, SendsOf, Subscription, pause_name};
use crate::ports::Ports;
use kith_telemetry::{Gauge, error_chain};
use kith_types::{Clock, Duration, SpaceId};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::broadcast;

/// The most sends that are attempted at once.
const WORKERS_MAX: usize = 64;
/// The most sends of a run that wait at once.
const RUN_WAITING_MAX: u64 = 10_000;
/// How long a thread sleeps that nobody wakes.
const NAP: std::time::Duration = std::time::Duration::from_secs(1);

/// How activation is set up.
#[derive(Clone, Debug)]
pub struct ActivationConfig {
    /// The ledger's file; it is made where it does not exist.
    pub ledger_path: PathBuf,
    /// Where people reach this server, such as `https://kith.example.com`: links in messages begin so.
    pub public_url: String,
    /// How many sends are attempted at once: 1 to 64.
    pub workers: usize,
    /// The wait before a refused or unsent mail is tried again; it doubles each time.
    pub retry_first: Duration,
    /// The longest such wait.
    pub retry_longest: Duration,
    /// How long after the entry a message is still sent. What waited longer, paused or not, is skipped as `too_late`.
    pub give_up_after: Duration,
    /// The longest that one attempt of the channel may take.
    pub attempt_time_max: std::time::Duration,
}

impl ActivationConfig {
    /// Four workers, repetitions after 1 second to 15 minutes, up to 3 days after the entry.
    #[must_use]
    pub fn new(ledger_path: impl Into<PathBuf>, public_url: impl Into<String>) -> Self {
        Self {
            ledger_path: ledger_path.into(),
            public_url: public_url.into(),
            workers: 4,
            retry_first: Duration::from_secs(1),
            retry_longest: Duration::from_secs(15 * 60),
            give_up_after: Duration::from_days(3),
            attempt_time_max: std::time::Duration::from_secs(120),
        }
    }

    fn settings(&self) -> Result<Settings, ActivateError> {
        let wrong = |message: String| Err(ActivateError::new(ActivateErrorKind::Configuration, message));
        let url = self.public_url.trim_end_matches('/');
        if !(url.starts_with("http://") || url.starts_with("https://"))
            || url.contains(['<', '>', ' '])
            || !url.is_ascii()
        {
            return wrong(format!(
                "the public URL {url:?} must begin with http:// or https:// and name this server"
            ));
        }
        if !(1..=WORKERS_MAX).contains(&self.workers) {
            return wrong(format!("{} workers: 1 to {WORKERS_MAX} may send at once", self.workers));
        }
        Ok(Settings {
            public_url: url.to_owned(),
            retry_first: self.retry_first,
            retry_longest: self.retry_longest,
            give_up_after: self.give_up_after,
            attempt_time_max: self.attempt_time_max,
            renders_max: self.workers,
            run_waiting_max: RUN_WAITING_MAX,
        })
    }
}

/// What is paused or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseScope<'a> {
    /// Everything.
    All,
    /// One space.
    Space(&'a SpaceId),
    /// One message of a space.
    Message(&'a SpaceId, &'a str),
    /// One destination of audiences of a space.
    Destination(&'a SpaceId, &'a str),
}

impl PauseScope<'_> {
    /// The name that the ledger keeps: no space is called `*`, and none has a slash in its name.
    pub(crate) fn key(self) -> String {
        match self {
            Self::All => "*".to_owned(),
            Self::Space(space) => space.to_string(),
            Self::Message(space, message) => format!("{space}/{message}"),
            Self::Destination(space, destination) => format!("{space}/{}", pause_name(destination)),
        }
    }
}

/// Sending, at work. Dropping it lets its threads end by themselves; [`Activation::stop`] waits for them.
pub struct Activation {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Activation").finish_non_exhaustive()
    }
}

struct Shared {
    engine: Engine,
    stopping: AtomicBool,
    wakes: Mutex<u64>,
    woken: Condvar,
    /// The sends that are being attempted, with their destinations.
    in_flight: Mutex<HashMap<i64, String>>,
    workers: usize,
    last_error: Mutex<Option<String>>,
    /// The destinations that have a thread, and the threads.
    destinations: Runner,
    telling: Mutex<Vec<JoinHandle<()>>>,
}

impl Activation {
    /// Opens the ledger, settles what a crash left, and starts to send. `runtime` runs the channel and the rendering; it
    /// must outlive the threads: call [`Activation::stop`] before it ends.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Configuration`], [`ActivateErrorKind::Refused`] for a ledger that this release cannot read,
    /// [`ActivateErrorKind::Storage`].
    pub fn start(
        config: &ActivationConfig,
        ports: Ports,
        clock: Arc<dyn Clock>,
        runtime: tokio::runtime::Handle,
    ) -> Result<Arc<Self>, ActivateError> {
        let settings = config.settings()?;
        let ledger = Ledger::open(&config.ledger_path)?;
        let has_mailer = ports.mailer.is_some();
        let never: Option<DieAt> = None;
        let engine = Engine::new(ledger, ports, clock, settings, runtime, never);
        engine.recover()?;
        let shared = Arc::new(Shared {
            engine,
            stopping: AtomicBool::new(false),
            wakes: Mutex::new(0),
            woken: Condvar::new(),
            in_flight: Mutex::default(),
            workers: config.workers,
            last_error: Mutex::default(),
            destinations: Runner::default(),
            telling: Mutex::default(),
        });
        let activation = Arc::new(Self {
            shared: shared.clone(),
            threads: Mutex::default(),
        });
        activation.spawn("kith-entries", Shared::take_entries)?;
        activation.spawn("kith-feedback", |shared| shared.engine.deliver_feedback())?;
        activation.spawn("kith-runs", Shared::step_runs)?;
        let destinations = Arc::clone(&shared);
        activation.spawn("kith-destinations", move |_| destinations.look_after_destinations())?;
        let workers = if has_mailer { config.workers } else { 0 };
        for worker in 0..workers {
            activation.spawn(&format!("kith-send-{worker}"), Shared::attempt_next)?;
        }
        if !has_mailer {
            tracing::warn!("no mail server is configured: messages are reserved and wait");
        }
        shared.count_paused();
        Ok(activation)
    }

    /// Says that an outbox has more. Cheap; call it after every commit of the pipeline.
    pub fn notify(&self) {
        self.shared.wake();
    }

    /// Ends all threads; an attempt that runs is finished first. What is due waits in the ledger. It blocks: not for an
    /// async thread.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.wake();
        // Who starts others ends first.
        let mut threads = std::mem::take(&mut *locked(&self.threads));
        while let Some(thread) = threads.pop().or_else(|| locked(&self.shared.telling).pop()) {
            if thread.join().is_err() {
                tracing::error!("a thread of activation broke down");
            }
        }
        if let Err(error) = self.shared.engine.record_outcomes() {
            tracing::error!(error = %error_chain(&error), "what the last sends came to cannot be recorded: it counts as unknown");
        }
    }

    /// Pauses sending or lets it go on, persisted before it returns; false where it was so already. An attempt that runs
    /// ends as it does; what is due waits.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Storage`]: nothing was changed.
    pub fn pause(&self, scope: PauseScope<'_>, paused: bool) -> Result<bool, ActivateError> {
        let changed = self.shared.engine.ledger.pause(scope, paused)?;
        self.shared.count_paused();
        self.shared.wake();
        Ok(changed)
    }

    /// What is paused: `*` for everything, `SPACE`, `SPACE/MESSAGE` or `SPACE/destination/NAME`.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Storage`].
    pub fn paused(&self) -> Result<Vec<String>, ActivateError> {
        self.shared.engine.ledger.paused()
    }

    /// The newest sends of a space, each with where it stands and why.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Storage`].
    pub fn sends(&self, space: &SpaceId, of: &SendsOf) -> Result<Vec<SendView>, ActivateError> {
        self.shared.engine.ledger.sends(space, of)
    }

    /// What the entries of each message of a space came to: those that sent nothing because they were not live, too. It counts
    /// rows: for people and dashboards, not for every second.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Storage`].
    pub fn counts(&self, space: &SpaceId) -> Result<Vec<MessageCount>, ActivateError> {
        self.shared.engine.ledger.counts(space)
    }

    /// How sending stands. It counts rows: for people and dashboards, not for every second.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Storage`].
    pub fn status(&self) -> Result<ActivationStatus, ActivateError> {
        let engine = &self.shared.engine;
        let mut status = engine.ledger.status(&engine.ports.outbox.spaces())?;
        status.has_mailer = engine.ports.mailer.is_some();
        status.last_error.clone_from(&locked(&self.shared.last_error));
        Ok(status)
    }

    /// Whether there is a mail server: without one what is reserved waits.
    #[must_use]
    pub fn has_mailer(&self) -> bool {
        self.shared.engine.ports.mailer.is_some()
    }

    /// The mails in a row that the mail server did not take since the start, whomever they were to: one that cannot be
    /// reached is told by it at once, one receiver's server that answers nothing only where nobody else gets mail.
    #[must_use]
    pub fn mail_fault(&self) -> Option<MailFault> {
        self.shared.engine.destinations.mail_fault()
    }

    /// The number of a space's outbox that is wanted next: every change below it may be forgotten.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Storage`].
    pub fn outbox_passed(&self, space: &SpaceId) -> Result<u64, ActivateError> {
        self.shared.engine.wanted(space)
    }

    /// What becomes of messages from now on. A slow listener misses items and is told how many.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<MessageItem> {
        self.shared.engine.listen()
    }

    /// What an unsubscribe link is about; `None` for a token that no mail carried. Changes nothing, so that scanners may
    /// follow links.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Storage`].
    pub fn look_up_token(&self, token: &str) -> Result<Option<Subscription>, ActivateError> {
        self.shared.engine.ledger.look_up(&token_hash(token))
    }

    /// Ends a subscription: from the next instant nothing of that topic goes to that address, unless consent is given
    /// anew. Doing so again changes nothing. `None` for a token that no mail carried.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Storage`]: the subscription was not ended.
    pub fn unsubscribe(&self, token: &str) -> Result<Option<Subscription>, ActivateError> {
        let engine = &self.shared.engine;
        let ended = engine.ledger.unsubscribe(&token_hash(token), engine.clock.now())?;
        self.shared.wake();
        Ok(ended.map(|(subscription, _)| subscription))
    }

    fn spawn(
        &self,
        name: &str,
        step: impl Fn(&Shared) -> Result<bool, ActivateError> + Send + 'static,
    ) -> Result<(), ActivateError> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || shared.repeat(step));
        let thread = thread.map_err(|error| {
            ActivateError::caused(ActivateErrorKind::Storage, "the machine starts no more threads", error)
        })?;
        locked(&self.threads).push(thread);
        Ok(())
    }
}

impl Drop for Activation {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.wake();
    }
}

impl Shared {
    /// Runs a step again and again: at once while it finds work, else when woken or after a nap.
    fn repeat(&self, step: impl Fn(&Self) -> Result<bool, ActivateError>) {
        let mut failing = false;
        while !self.stopping.load(Ordering::SeqCst) {
            let seen = *locked(&self.wakes);
            match step(self) {
                Ok(found) => {
                    if std::mem::take(&mut failing) {
                        *locked(&self.last_error) = None;
                    }
                    if !found {
                        self.wait(seen);
                    }
                }
                Err(error) if error.kind() == ActivateErrorKind::Stopped => return,
                Err(error) => {
                    let error = error_chain(&error);
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(error, "activation tries again");
                    }
                    *locked(&self.last_error) = Some(kith_telemetry::scrub(&error).into_owned());
                    self.rest();
                }
            }
        }
    }

    fn take_entries(&self) -> Result<bool, ActivateError> {
        let (mut found, mut failed) = (false, None);
        let spaces = self.engine.ports.outbox.spaces();
        // A space whose state cannot be read holds up no other.
        for space in &spaces {
            match self.engine.take_entries(space) {
                Ok(some) => found |= some,
                Err(error) => failed = Some(error),
            }
        }
        if found {
            self.wake();
        } else {
            self.engine.keep_cursors()?;
            Gauge::MessagesPending.set(self.engine.ledger.pending()?);
        }
        for space in &spaces {
            self.engine.tell_passed(space)?;
        }
        failed.map_or(Ok(found), Err)
    }

    fn step_runs(&self) -> Result<bool, ActivateError> {
        let found = self.engine.step_runs()?;
        if found {
            self.wake();
        }
        Ok(found)
    }

    /// Attempts the send that has waited longest, that no other worker has and whose destination is open.
    fn attempt_next(&self) -> Result<bool, ActivateError> {
        // What has been sent is told first: the next one may count on it.
        self.engine.record_outcomes()?;
        let claimed = {
            let mut in_flight = locked(&self.in_flight);
            let now = self.engine.clock.now();
            let closed = self.engine.destinations.closed(in_flight.values(), self.workers, now);
            let due = self.engine.ledger.due(now, in_flight.len() + 1, &closed)?;
            let next = due.into_iter().find(|due| !in_flight.contains_key(&due.id));
            next.map(|due| {
                in_flight.insert(due.id, due.destination);
                due.id
            })
        };
        let Some(id) = claimed else { return Ok(false) };
        let outcome = self.engine.attempt(id);
        locked(&self.in_flight).remove(&id);
        self.wake();
        outcome.map(|()| true)
    }

    fn count_paused(&self) {
        let paused = self.engine.ledger.paused().map_or(0, |paused| paused.len());
        Gauge::MessagesPaused.set(i64::try_from(paused).unwrap_or(i64::MAX));
    }

    fn wake(&self) {
        let mut wakes = locked(&self.wakes);
        *wakes = wakes.wrapping_add(1);
        self.woken.notify_all();
    }

    /// Sleeps for a nap, whoever wakes: what failed is not tried again at once.
    fn rest(&self) {
        let wakes = locked(&self.wakes);
        drop(
            self.woken
                .wait_timeout_while(wakes, NAP, |_| !self.stopping.load(Ordering::SeqCst)),
        );
    }

    /// Sleeps until somebody woke after `seen`, or a nap has passed.
    fn wait(&self, seen: u64) {
        let wakes = locked(&self.wakes);
        let asleep = |wakes: &mut u64| *wakes == seen && !self.stopping.load(Ordering::SeqCst);
        drop(self.woken.wait_timeout_while(wakes, NAP, asleep));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
