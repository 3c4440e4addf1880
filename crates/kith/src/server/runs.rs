//! The API's port to runs of messages: activation counts, starts, lists and stops them.

use super::Parts;
use async_trait::async_trait;
use kith_activate::{ActivateError, Activation, EntryCause, RunAsked, RunRefusal, RunState, RunView};
use kith_api::ports::{PortError, PortErrorKind, Run, RunRequest, RunTally, Runs};
use kith_types::SpaceId;
use std::sync::Arc;

/// Runs, by the running activation.
pub(crate) struct AskedRuns(pub(crate) Arc<Parts>);

impl AskedRuns {
    /// Asks activation on a thread that may block.
    async fn ask_it<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Activation) -> Result<T, ActivateError> + Send + 'static,
    ) -> Result<T, PortError> {
        let activation = Arc::clone(&self.0.activation);
        let asked = tokio::task::spawn_blocking(move || work(&activation)).await;
        asked.map_err(PortError::internal)?.map_err(PortError::internal)
    }
}

#[async_trait]
impl Runs for AskedRuns {
    async fn ask(&self, space: &SpaceId, asked: RunRequest) -> Result<Run, PortError> {
        let causes = asked.causes.iter().map(|name| cause_of(name));
        let asked = RunAsked {
            message: asked.message,
            causes: causes.collect::<Result<_, _>>()?,
            entered_after: asked.entered_after,
            entered_before: asked.entered_before,
            author: asked.author,
            why: asked.why,
        };
        let space = space.clone();
        answer(
            self.ask_it(move |activation| activation.ask_run(&space, &asked))
                .await?,
        )
    }

    async fn start(&self, space: &SpaceId, message: &str, run: u64, count: u64, by: &str) -> Result<Run, PortError> {
        let (space, message, by) = (space.clone(), message.to_owned(), by.to_owned());
        let start = move |activation: &Activation| activation.start_run(&space, &message, run, count, &by);
        answer(self.ask_it(start).await?)
    }

    async fn stop(&self, space: &SpaceId, message: &str, run: u64, by: &str) -> Result<Run, PortError> {
        let (space, message, by) = (space.clone(), message.to_owned(), by.to_owned());
        answer(
            self.ask_it(move |activation| activation.stop_run(&space, &message, run, &by))
                .await?,
        )
    }

    async fn list(
        &self,
        space: &SpaceId,
        message: Option<&str>,
        run: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Run>, PortError> {
        let (space, message) = (space.clone(), message.map(str::to_owned));
        let list = move |activation: &Activation| activation.runs(&space, message.as_deref(), run, limit);
        Ok(self.ask_it(list).await?.into_iter().map(shown).collect())
    }
}

fn cause_of(name: &str) -> Result<EntryCause, PortError> {
    EntryCause::from_name(name).ok_or_else(|| {
        let known = EntryCause::ALL.map(EntryCause::as_str).join(", ");
        PortError::new(
            PortErrorKind::Invalid,
            format!("causes are {known}: what happens live sends by itself"),
        )
    })
}

fn answer(answer: Result<RunView, RunRefusal>) -> Result<Run, PortError> {
    answer.map(shown).map_err(|refusal| {
        let kind = match refusal {
            RunRefusal::NoMessage | RunRefusal::NoRun => PortErrorKind::NotFound,
            RunRefusal::AtWork(_)
            | RunRefusal::NotCounted
            | RunRefusal::OtherCount(_)
            | RunRefusal::TooOld
            | RunRefusal::Over(_) => PortErrorKind::Conflict,
        };
        PortError::new(kind, refusal.to_string())
    })
}

fn shown(run: RunView) -> Run {
    let state = state_of(&run);
    Run {
        id: run.id,
        message: run.message,
        segment: run.segment,
        causes: run.causes.into_iter().map(EntryCause::as_str).collect(),
        entered_after: run.entered_after,
        entered_before: run.entered_before,
        author: run.author,
        why: run.why,
        asked_at: run.asked_at,
        started: run.started,
        stopped_by: run.stopped_by,
        ended_at: run.ended_at,
        state,
        reason: run.reason,
        counted: tally(run.counted),
        sent: tally(run.sent),
        sends: run.sends,
        skipped: run.skipped,
    }
}

fn tally(tally: kith_activate::RunTally) -> RunTally {
    RunTally {
        members: tally.members,
        sends: tally.sends,
        left_out: tally.left_out,
    }
}

/// Every member was looked at, and what was reserved is sent as it falls due: to whoever waits for the mails that is not done.
fn state_of(run: &RunView) -> &'static str {
    let waits = ["reserved", "attempting"]
        .iter()
        .any(|state| run.sends.get(state).is_some_and(|count| *count > 0));
    match run.state {
        RunState::Done if waits => "delivering",
        state => state.as_str(),
    }
}
