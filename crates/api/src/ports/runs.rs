//! Runs of messages: counted for members whose entry was not live, and sent once the count is confirmed.

use super::PortError;
use async_trait::async_trait;
use kith_types::{SegmentName, SpaceId, Timestamp};
use std::collections::BTreeMap;

/// For which members a message is to be counted.
#[derive(Clone, Debug, Default)]
pub struct RunRequest {
    /// The message.
    pub message: String,
    /// The causes of entries, by name; all that are known not to be live where none is named.
    pub causes: Vec<String>,
    /// Only those who entered at this instant or later.
    pub entered_after: Option<Timestamp>,
    /// Only those who entered at this instant or earlier.
    pub entered_before: Option<Timestamp>,
    /// Who asks.
    pub author: String,
    /// Why.
    pub why: String,
}

/// What a walk over members came to so far.
#[derive(Clone, Debug, Default)]
pub struct RunTally {
    /// Members that were looked at.
    pub members: u64,
    /// To how many of them it would be sent, or was reserved.
    pub sends: u64,
    /// The others, by reason.
    pub left_out: BTreeMap<String, u64>,
}

/// A run of a message, and how it stands.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its number.
    pub id: u64,
    /// The message.
    pub message: String,
    /// The segment whose members it goes to.
    pub segment: SegmentName,
    /// The causes of entries that it takes.
    pub causes: Vec<&'static str>,
    /// Only those who entered at this instant or later.
    pub entered_after: Option<Timestamp>,
    /// Only those who entered at this instant or earlier.
    pub entered_before: Timestamp,
    /// Who asked for it.
    pub author: String,
    /// Why.
    pub why: String,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Who confirmed its count, and when.
    pub started: Option<(String, Timestamp)>,
    /// Who stopped it, where somebody did.
    pub stopped_by: Option<String>,
    /// When it came to its last state.
    pub ended_at: Option<Timestamp>,
    /// `counting`, `counted`, `sending`, `done`, `stopping`, `stopped` or `replaced`.
    pub state: &'static str,
    /// Why it was stopped.
    pub reason: Option<String>,
    /// What the count came to.
    pub counted: RunTally,
    /// What the walk came to that sends.
    pub sent: RunTally,
    /// What became of what it reserved, by state.
    pub sends: BTreeMap<&'static str, u64>,
    /// What of it was skipped afterwards, by reason.
    pub skipped: BTreeMap<String, u64>,
}

/// Counts, starts, lists and stops runs.
#[async_trait]
pub trait Runs: Send + Sync {
    /// Makes a run, which begins to count and sends nothing.
    ///
    /// # Errors
    /// A [`PortError`]: of kind `NotFound` without such a message, `Invalid` for a cause that there is not, `Conflict` while another
    /// run of the message is at work.
    async fn ask(&self, space: &SpaceId, asked: RunRequest) -> Result<Run, PortError>;

    /// Starts a run whose count was shown to be `count`. Doing so again changes nothing.
    ///
    /// # Errors
    /// A [`PortError`]: of kind `NotFound` without such a run, `Conflict` where it was not counted so, not yet, or too long ago.
    async fn start(&self, space: &SpaceId, message: &str, run: u64, count: u64, by: &str) -> Result<Run, PortError>;

    /// Stops a run, durably: what of it still waits is not sent.
    ///
    /// # Errors
    /// A [`PortError`]: of kind `NotFound` without such a run, `Conflict` where it has come to an end.
    async fn stop(&self, space: &SpaceId, message: &str, run: u64, by: &str) -> Result<Run, PortError>;

    /// The newest runs of a space, at most `limit`: of one message where it is named, and the one of a number where that is given.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn list(
        &self,
        space: &SpaceId,
        message: Option<&str>,
        run: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Run>, PortError>;
}
