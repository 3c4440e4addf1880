//! Runs as operators ask for them: counted, started, listed, stopped (contract ACT-6).

use super::Activation;
use crate::error::ActivateError;
use crate::runs::{RunAsked, RunRefusal, RunView};
use kith_types::SpaceId;

impl Activation {
    /// Makes a run of a message to members whose entry was not live. It begins to count, and sends nothing before its count is
    /// confirmed by [`Activation::start_run`].
    ///
    /// # Errors
    /// [`ActivateErrorKind::Storage`](crate::ActivateErrorKind::Storage) or [`Port`](crate::ActivateErrorKind::Port): nothing was made.
    pub fn ask_run(&self, space: &SpaceId, asked: &RunAsked) -> Result<Result<RunView, RunRefusal>, ActivateError> {
        let made = self.shared.engine.ask_run(space, asked)?;
        self.seen(space, &asked.message, made.map(|id| u64::try_from(id).unwrap_or(0)))
    }

    /// Starts a run whose count was shown to be `count`: from now on it sends, to no more than that. Doing so again changes nothing.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Storage`](crate::ActivateErrorKind::Storage): nothing was changed.
    pub fn start_run(
        &self,
        space: &SpaceId,
        message: &str,
        run: u64,
        count: u64,
        by: &str,
    ) -> Result<Result<RunView, RunRefusal>, ActivateError> {
        let engine = &self.shared.engine;
        let named = (space, message, id_of(run));
        let started = engine.ledger.start_run(named, count, by, engine.clock.now())?;
        self.seen(space, message, started.map(|()| run))
    }

    /// Stops a run, durably: what of it still waits is not sent; a mail that is being handed over at that instant still leaves.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Storage`](crate::ActivateErrorKind::Storage): nothing was changed.
    pub fn stop_run(
        &self,
        space: &SpaceId,
        message: &str,
        run: u64,
        by: &str,
    ) -> Result<Result<RunView, RunRefusal>, ActivateError> {
        let engine = &self.shared.engine;
        let stopped = engine
            .ledger
            .stop_run((space, message, id_of(run)), by, engine.clock.now())?;
        self.seen(space, message, stopped.map(|()| run))
    }

    /// The newest runs of a space, at most `limit`: of one message where it is named, and the one of a number where that is
    /// given. It counts rows: for people and dashboards, not for every second.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Storage`](crate::ActivateErrorKind::Storage).
    pub fn runs(
        &self,
        space: &SpaceId,
        message: Option<&str>,
        run: Option<u64>,
        limit: usize,
    ) -> Result<Vec<RunView>, ActivateError> {
        self.shared.engine.ledger.runs(space, message, run.map(id_of), limit)
    }

    /// A run as it stands after a change.
    fn seen(
        &self,
        space: &SpaceId,
        message: &str,
        changed: Result<u64, RunRefusal>,
    ) -> Result<Result<RunView, RunRefusal>, ActivateError> {
        let run = match changed {
            Ok(run) => run,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.shared.wake();
        let found = self.runs(space, Some(message), Some(run), 1)?.pop();
        Ok(found.ok_or(RunRefusal::NoRun))
    }
}

/// A run's number as the ledger has it; that of no run where it is too large.
fn id_of(run: u64) -> i64 {
    i64::try_from(run).unwrap_or(i64::MAX)
}
