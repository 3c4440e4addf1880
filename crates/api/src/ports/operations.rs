//! Running the server: readiness, status, flushing, proving, pausing.

use super::{LineStream, PortError};
use async_trait::async_trait;
use kith_types::{Address, ProfileId, SegmentName, SourceName, SpaceId, Timestamp};

/// One thing that is to hold while the process takes requests.
#[derive(Clone, Debug, Default)]
pub struct ReadinessCheck {
    /// What is checked, such as `log`.
    pub name: String,
    /// What is wrong and what to do; `None` where it is well.
    pub fault: Option<String>,
    /// Whether the process takes requests all the same: what is acknowledged is kept, and is late.
    pub bearable: bool,
    /// How it stands, in words that anybody may read: no path, no value, no name.
    pub note: Option<String>,
}

/// How far a stage has come.
#[derive(Clone, Debug)]
pub struct StageStatus {
    /// The stage: `raw`, `pipeline`, `lake`, `curated`, `activate`, or `destination SPACE/NAME`.
    pub name: String,
    /// The last record it has taken.
    pub through: Option<Address>,
    /// How many records it has still to take; of a destination, changes of membership.
    pub lag_records: u64,
    /// The age of the oldest of these, in milliseconds.
    pub lag_millis: u64,
    /// What holds it up; `None` where nothing does.
    pub fault: Option<String>,
    /// What its records wait for that nobody has to mend, such as changed rules of identity.
    pub waits_for: Option<String>,
}

/// A definition whose history is being folded.
#[derive(Clone, Debug)]
pub struct RefoldStatus {
    /// The space.
    pub space: SpaceId,
    /// What is folded, such as `segment/big_spenders`.
    pub definition: String,
    /// Records folded so far.
    pub records_done: u64,
    /// Records to fold in all.
    pub records_total: u64,
    /// Since when, where that is kept.
    pub since: Option<Timestamp>,
    /// About when what is being done ends, where that is known.
    pub ends_about: Option<Timestamp>,
    /// Whether every segment has its members already: what is left is written down and changes none.
    pub live: bool,
}

/// How fresh a table is.
#[derive(Clone, Debug)]
pub struct TableStatus {
    /// Its name in SQL, such as `main.clean.events`.
    pub name: String,
    /// Rows it holds.
    pub rows: u64,
    /// When it was last committed.
    pub committed_at: Option<Timestamp>,
}

/// The server's state.
#[derive(Clone, Debug)]
pub struct Status {
    /// Kith's version.
    pub version: String,
    /// When the process started.
    pub started_at: Timestamp,
    /// The stages, in the order of the flow.
    pub stages: Vec<StageStatus>,
    /// Definitions whose history is being folded.
    pub refolds: Vec<RefoldStatus>,
    /// Other rules of identity that are only asked about, while that is worked out.
    pub dry_run: Option<RefoldStatus>,
    /// The tables.
    pub tables: Vec<TableStatus>,
    /// What sends nothing at present.
    pub messages_paused: Vec<PauseScope>,
}

/// What of sending is paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PauseScope {
    /// Everything, in every space.
    All,
    /// A space.
    Space(SpaceId),
    /// A message of a space.
    Message(SpaceId, String),
    /// A destination of audiences of a space.
    Destination(SpaceId, String),
}

impl std::fmt::Display for PauseScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("everything"),
            Self::Space(space) => write!(f, "space {space}"),
            Self::Message(space, message) => write!(f, "message {message} of space {space}"),
            Self::Destination(space, name) => write!(f, "destination {name} of space {space}"),
        }
    }
}

/// What a flush reached.
#[derive(Clone, Debug)]
pub struct FlushReport {
    /// The last record that was in the log when it began: all stages have passed it.
    pub through: Option<Address>,
    /// The tables as they stand now.
    pub tables: Vec<TableStatus>,
}

/// What proving the raw zone found.
#[derive(Clone, Debug, Default)]
pub struct RawVerification {
    /// Objects read.
    pub objects: u64,
    /// Records found in them.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is missing or damaged, one line each; empty where all is sound.
    pub faults: Vec<String>,
    /// Addresses that hold nothing for a cause on record, one line each: accepted losses among them.
    pub notes: Vec<String>,
}

/// A loss of the raw zone that is borne from now on.
#[derive(Clone, Debug)]
pub struct LossAccepted {
    /// What is lost.
    pub ranges: Vec<String>,
    /// How many records that is.
    pub records: u64,
    /// The decision in the log.
    pub decided_by: Address,
}

/// Which rejects are to be put through again, and under which limits.
#[derive(Clone, Debug, Default)]
pub struct ReplayRejects {
    /// Only those of records after this one: where a page before ended.
    pub after: Option<u64>,
    /// Only those of this source.
    pub source: Option<SourceName>,
    /// Only those with this code.
    pub reason: Option<String>,
    /// How many bytes an event may have; as ever unless given.
    pub event_bytes: Option<usize>,
    /// How many bytes a body may have.
    pub batch_bytes: Option<usize>,
    /// How many events a body may have.
    pub batch_events: Option<usize>,
    /// Who decides.
    pub author: String,
    /// Why.
    pub why: String,
}

/// What putting rejects through again came to.
#[derive(Clone, Debug, Default)]
pub struct RejectsReplayed {
    /// Rejects that were looked at.
    pub rejects: u64,
    /// Events of them that are accepted now and did not count before.
    pub accepted: u64,
    /// Events of them that are accepted now and count already: nothing was decided about them.
    pub counted: u64,
    /// Where the next page goes on, where there is one.
    pub next: Option<u64>,
    /// The decisions in the log.
    pub decided_by: Vec<Address>,
}

/// Which sends of messages are asked for.
#[derive(Clone, Debug, Default)]
pub struct SendsQuery {
    /// Only those to this profile.
    pub profile: Option<ProfileId>,
    /// Only those of this message.
    pub message: Option<String>,
    /// At most so many, the newest.
    pub limit: usize,
}

/// How many entries of a message came to something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageCount {
    /// The message.
    pub message: String,
    /// The state of its sends; `not_live` where the entries were not live and sent nothing.
    pub state: &'static str,
    /// Why, of what was skipped; the cause, of what was not live.
    pub reason: Option<String>,
    /// How many.
    pub count: u64,
}

/// A send of a message.
#[derive(Clone, Debug)]
pub struct MessageSend {
    /// The name of the send in events about it.
    pub send_id: String,
    /// The message.
    pub message: String,
    /// The segment that was entered.
    pub segment: SegmentName,
    /// Who entered it.
    pub profile: ProfileId,
    /// When.
    pub entered_at: Timestamp,
    /// `reserved`, `attempting`, `accepted`, `rejected`, `unknown` or `skipped`.
    pub state: &'static str,
    /// Why it waits, was skipped or was refused.
    pub reason: Option<String>,
    /// How often it was handed to the channel.
    pub attempts: u32,
    /// When it is tried, where it waits.
    pub due_at: Option<Timestamp>,
}

/// Runs the server.
#[async_trait]
pub trait Operations: Send + Sync {
    /// What must hold before the process takes requests: log writable, stores reachable.
    async fn readiness(&self) -> Vec<ReadinessCheck>;

    /// Lag and freshness of every stage.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn status(&self) -> Result<Status, PortError>;

    /// Seals, commits and publishes everything that is in the log now, and returns when that is done.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn flush(&self) -> Result<FlushReport, PortError>;

    /// Puts rejects of a space through again, and returns when those that are accepted now count.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn replay_rejects(&self, space: &SpaceId, asked: ReplayRejects) -> Result<RejectsReplayed, PortError>;

    /// Proves the hashes of the raw zone and that no address is missing.
    ///
    /// # Errors
    /// A [`PortError`] where it could not be read; what is unsound is in the report.
    async fn verify_raw(&self) -> Result<RawVerification, PortError>;

    /// Accepts for good that the raw zone has lost records, as a decision in the log.
    ///
    /// # Errors
    /// A [`PortError`]: of kind `Invalid` where nothing of the range is lost.
    async fn accept_loss(&self, range: &str, author: &str, reason: &str) -> Result<LossAccepted, PortError>;

    /// Replays raw into fresh state and compares. Lines of JSON tell the progress; the last has `"done": true` and
    /// `"equal"`. Dropping the stream ends the work.
    ///
    /// # Errors
    /// A [`PortError`] where it could not begin.
    async fn verify_rebuild(&self) -> Result<LineStream, PortError>;

    /// Stops or resumes sending, durably; false where it was so already. What is due meanwhile waits.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn pause_messages(&self, scope: &PauseScope, paused: bool) -> Result<bool, PortError>;

    /// The newest sends of a space, each with where it stands and why.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn message_sends(&self, space: &SpaceId, query: SendsQuery) -> Result<Vec<MessageSend>, PortError>;

    /// What the entries of each message of a space came to.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn message_counts(&self, space: &SpaceId) -> Result<Vec<MessageCount>, PortError>;
}
