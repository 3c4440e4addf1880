//! The two halves of sending, as steps without threads: taking entries from the outbox, and attempting what is due. It
//! works with the ledger and the ports; [`Activation`](crate::Activation) calls it from its own threads. It never holds
//! a send in memory only, but what one came to while the ledger takes nothing: between any two steps the process may die.

mod attempt;
mod destinations;
mod intake;
mod runs;

pub(crate) use attempt::token_hash;

use self::attempt::Unrecorded;
use self::destinations::Destinations;
pub use self::destinations::MailFault;
use crate::error::{ActivateError, ActivateErrorKind, BoxError};
use crate::ledger::{Ledger, SendRow, SendState};
use crate::limits::SendingRules;
use crate::ports::Ports;
use kith_telemetry::Counter;
use kith_types::{Clock, Duration, ProfileId, SpaceId, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, broadcast};

/// The most events that are handed to the log in one go.
const FEEDBACK_BATCH: usize = 256;

/// What became of a message, for who follows live. It holds no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageItem {
    /// The space.
    pub space: SpaceId,
    /// The person.
    pub profile: ProfileId,
    /// The message's name.
    pub message: String,
    /// Where the send stands.
    pub state: SendState,
    /// Why, where there is a reason.
    pub reason: Option<String>,
    /// The subject, once it was rendered.
    pub subject: Option<String>,
    /// When it came there.
    pub at: Timestamp,
}

/// The places between two steps at which a process may die. Tests die at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Boundary {
    /// Entries are read and judged; nothing is recorded.
    Planned,
    /// Sends are reserved.
    Reserved,
    /// A mail is rendered; its send is still reserved.
    Rendered,
    /// A send is marked as being attempted; nothing has left.
    Attempting,
    /// The channel has answered; its answer is not recorded.
    Answered,
    /// The answer is recorded.
    Finished,
    /// The log has the events; the ledger does not know that.
    Appended,
    /// The ledger knows that the log has the events.
    Delivered,
    /// A page of a run is judged; nothing is recorded.
    RunJudged,
    /// It is recorded.
    RunRecorded,
    /// What a destination is told next is written down.
    TellingDecided,
    /// Members to compare are written down; that they count is not.
    ComparedWritten,
    /// They are compared, and that is recorded; they are still there.
    ComparedEnded,
    /// A receiver of audiences has answered; how far it is is not recorded.
    Told,
    /// It is recorded.
    ToldRecorded,
}

/// Asked at every boundary whether to die there.
pub(crate) type DieAt = Arc<dyn Fn(Boundary) -> bool + Send + Sync>;

/// What an engine is told once.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where links in messages lead, without a slash at the end.
    pub(crate) public_url: String,
    /// The wait before the first repetition; it doubles.
    pub(crate) retry_first: Duration,
    /// The longest wait before a repetition.
    pub(crate) retry_longest: Duration,
    /// How long after the entry a message is still sent.
    pub(crate) give_up_after: Duration,
    /// The longest that one attempt may take.
    pub(crate) attempt_time_max: std::time::Duration,
    /// The most templates that are rendered at once.
    pub(crate) renders_max: usize,
    /// A run reserves no more while so many of its sends wait: they are decided again when they leave, the later the better known.
    pub(crate) run_waiting_max: u64,
}

/// Ledger, ports and what is known in between.
pub(crate) struct Engine {
    pub(crate) ledger: Ledger,
    pub(crate) ports: Ports,
    pub(crate) clock: Arc<dyn Clock>,
    settings: Settings,
    items: broadcast::Sender<MessageItem>,
    runtime: tokio::runtime::Handle,
    renders: Arc<Semaphore>,
    /// How far each outbox was read; it may be ahead of the ledger where nothing was to be recorded.
    cursors: Mutex<HashMap<SpaceId, u64>>,
    /// The rules of each space under which what waits was put off.
    rules_followed: Mutex<BTreeMap<SpaceId, Arc<SendingRules>>>,
    /// The spaces whose outboxes are kept whole, once for each that asks for it.
    held: Mutex<Vec<SpaceId>>,
    /// The destinations that fail.
    pub(crate) destinations: Destinations,
    /// What attempts came to that the ledger could not be told of.
    unrecorded: Mutex<Vec<Unrecorded>>,
    die_at: Option<DieAt>,
}

impl Engine {
    pub(crate) fn new(
        ledger: Ledger,
        ports: Ports,
        clock: Arc<dyn Clock>,
        settings: Settings,
        runtime: tokio::runtime::Handle,
        die_at: Option<DieAt>,
    ) -> Self {
        let renders = Arc::new(Semaphore::new(settings.renders_max));
        Self {
            ledger,
            ports,
            clock,
            settings,
            items: broadcast::channel(ITEMS_KEPT).0,
            runtime,
            renders,
            cursors: Mutex::default(),
            rules_followed: Mutex::default(),
            held: Mutex::default(),
            destinations: Destinations::default(),
            unrecorded: Mutex::default(),
            die_at,
        }
    }

    /// Waits for something to be done on the runtime.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// What becomes of messages from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<MessageItem> {
        self.items.subscribe()
    }

    /// Settles what a crash left in the middle.
    pub(crate) fn recover(&self) -> Result<(), ActivateError> {
        let now = self.clock.now();
        let again = |send: &SendRow| self.after_unknown(send.attempts, &send.key());
        for send in self.ledger.recover(now, &again)? {
            tracing::warn!(message = send.message, profile = %send.profile, state = send.state.as_str(), "an attempt was interrupted");
            self.tell(&send, now);
        }
        Ok(())
    }

    /// Hands events to the log. Returns whether there were any. An event that the log has leaves the ledger only
    /// afterwards, so a crash in between appends it twice under one message id.
    pub(crate) fn deliver_feedback(&self) -> Result<bool, ActivateError> {
        let queued = self.ledger.feedback(FEEDBACK_BATCH)?;
        for feedback in &queued {
            self.ports
                .feedback
                .append(&feedback.space, feedback.body.clone())
                .map_err(|error| port_error("the log takes no events about messages", error))?;
            self.reached(Boundary::Appended)?;
            self.ledger.feedback_appended(&[feedback.id])?;
            self.reached(Boundary::Delivered)?;
        }
        Ok(!queued.is_empty())
    }

    pub(crate) fn reached(&self, boundary: Boundary) -> Result<(), ActivateError> {
        match &self.die_at {
            Some(die_at) if die_at(boundary) => Err(ActivateError::stopped()),
            _ => Ok(()),
        }
    }

    /// Counts and tells what became of a send.
    fn tell(&self, send: &SendRow, at: Timestamp) {
        match send.state {
            SendState::Accepted => Counter::MessagesAccepted.increment(),
            SendState::Rejected => Counter::MessagesRejected.increment(),
            SendState::Skipped => Counter::MessagesSkipped.increment(),
            SendState::Unknown => Counter::MessagesUnknown.increment(),
            SendState::Reserved if send.attempts > 0 => Counter::MessagesRetried.increment(),
            SendState::Reserved | SendState::Attempting => {}
        }
        // Nobody may be listening.
        let _ = self.items.send(MessageItem {
            space: send.space.clone(),
            profile: send.profile,
            message: send.message.clone(),
            state: send.state,
            reason: send.reason.clone(),
            subject: send.subject.clone(),
            at,
        });
    }

    fn cursors(&self) -> std::sync::MutexGuard<'_, HashMap<SpaceId, u64>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many items a slow listener may be behind before it misses some.
const ITEMS_KEPT: usize = 1_024;

pub(crate) fn port_error(message: &'static str, error: BoxError) -> ActivateError {
    ActivateError::caused(ActivateErrorKind::Port, message, error)
}
