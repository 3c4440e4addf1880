//! How a pipeline stands: what its thread says, and what readers of the status and the definitions see.

use crate::RulesProgress;
use crate::dedupe::DedupeFigures;
use crate::engine::{Engine, SweepProgress};
use crate::output::StepOutput;
use crate::published::Published;
use kith_types::{SpaceId, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How the pipeline stands.
#[derive(Clone, Debug, Default)]
pub struct PipelineStatus {
    /// The sequence number after the last committed record.
    pub committed: u64,
    /// The instant up to which everything is taken into account.
    pub clock: Timestamp,
    /// When the last step was committed.
    pub committed_at: Option<Timestamp>,
    /// Events that count, later copies, rejects and changes of membership since the start.
    pub events: u64,
    /// Later copies dropped since the start.
    pub duplicates: u64,
    /// Rejects since the start.
    pub rejects: u64,
    /// Changes of membership since the start.
    pub changes: u64,
    /// Steps that were handed on to listeners, or are being so, since the start.
    pub steps: u64,
    /// Due times that have not fired.
    pub timers: u64,
    /// People who are kept decoded.
    pub people_in_memory: u64,
    /// People, by space.
    pub profiles: BTreeMap<SpaceId, u64>,
    /// Sweeps under way, by space.
    pub sweeps: BTreeMap<SpaceId, SweepProgress>,
    /// Decisions that wait until they can be taken, by space.
    pub decisions_waiting: BTreeMap<SpaceId, u64>,
    /// Changed rules of identity that are worked out.
    pub new_rules: Option<RulesProgress>,
    /// Changes of accounts that members of theirs have still to take.
    pub account_changes_waiting: u64,
    /// What the keys of events that count once take.
    pub dedupe: DedupeFigures,
    /// Where a lost state is being built again: the record at which that is done.
    pub rebuilding: Option<u64>,
    /// Why the pipeline has stopped, if it has.
    pub failure: Option<String>,
    /// Whether it will begin again by itself.
    pub tries_again: bool,
}

/// What the thread and its readers share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) status: Mutex<PipelineStatus>,
    pub(super) moved: Condvar,
    pub(super) definitions: Arc<Published>,
    pub(super) stopping: std::sync::atomic::AtomicBool,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is replaced whole: a panic elsewhere leaves nothing half-written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn of(engine: &Engine) -> Self {
        Self {
            definitions: engine.published(),
            ..Self::default()
        }
    }

    /// Says that nothing is left to be done up to an instant.
    pub(super) fn tell_time(&self, clock: Timestamp) {
        let mut status = locked(&self.status);
        if status.clock < clock {
            status.clock = clock;
            drop(status);
            self.moved.notify_all();
        }
    }

    pub(super) fn publish(&self, engine: &Engine, output: &StepOutput) {
        let mut status = locked(&self.status);
        status.committed = engine.next();
        status.rebuilding = engine.rebuilding();
        status.clock = engine.clock();
        status.committed_at = Some(engine.clock());
        status.events += output.event_count;
        status.duplicates += output.duplicates;
        status.rejects += output.rejects.len() as u64;
        status.changes += output.changes.len() as u64;
        status.steps += u64::from(!output.is_empty());
        (status.timers, status.people_in_memory) = engine.held();
        status.account_changes_waiting = engine.account_changes_waiting();
        status.dedupe = engine.dedupe_figures();
        status.profiles = engine
            .spaces()
            .map(|(space, profiles, _)| (space.clone(), profiles))
            .collect();
        status.sweeps = engine
            .spaces()
            .filter_map(|(space, _, sweep)| sweep.map(|progress| (space.clone(), progress)))
            .collect();
        status.decisions_waiting = engine.decisions_waiting();
        drop(status);
        self.moved.notify_all();
    }
}

/// Has the status say so when the thread ends by a panic: nothing tries again then.
pub(super) struct PanicTold(pub(super) Arc<Shared>);

impl Drop for PanicTold {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut status = locked(&self.0.status);
            status.failure = Some("the pipeline ended by a panic".to_owned());
            status.tries_again = false;
            drop(status);
            self.0.moved.notify_all();
            tracing::error!(
                "the pipeline ended by a panic: the log keeps everything until the server is started again"
            );
        }
    }
}
