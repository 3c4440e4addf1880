//! SQL, the live tail, imports and unsubscribing.

use super::PortError;
use crate::RawJson;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use kith_types::{SourceName, SpaceId};

/// Lines of JSON: every item holds whole lines, each ended by `\n`. Dropping it cancels the work behind it.
pub type LineStream = BoxStream<'static, Result<Bytes, PortError>>;

/// The spaces whose tables a statement may read. No other exists for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlSpaces {
    /// All of the server.
    All,
    /// One.
    Only(SpaceId),
}

/// A statement to run.
#[derive(Clone, Debug)]
pub struct SqlRequest {
    /// The statement; it may only read.
    pub sql: String,
    /// The space whose tables need no database before their names.
    pub space: SpaceId,
    /// What whoever asks may read; where the space is not among it, it is told like one that does not exist.
    pub readable: SqlSpaces,
    /// At most so many rows, where a limit is wanted.
    pub limit: Option<u64>,
}

/// Runs SQL over the lake.
#[async_trait]
pub trait Sql: Send + Sync {
    /// The rows, one JSON object a line, its fields in the order of the columns.
    ///
    /// # Errors
    /// `Invalid` for a statement that cannot be planned or would write; `NotFound` for a space that there is not, or that may
    /// not be read; `Busy` where too many run.
    async fn run(&self, request: SqlRequest) -> Result<LineStream, PortError>;
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailKind {
    /// An event came through cleaning.
    Event,
    /// An event was rejected.
    Reject,
    /// Somebody entered or left a segment.
    Membership,
    /// A message was sent, skipped or failed.
    Message,
    /// The follower was too slow and missed items.
    Lagged,
}

impl TailKind {
    /// The name of the server-sent event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Reject => "reject",
            Self::Membership => "membership",
            Self::Message => "message",
            Self::Lagged => "lagged",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct TailItem {
    /// What it is.
    pub kind: TailKind,
    /// What it says, a JSON object.
    pub body: RawJson,
}

/// Which items are wanted. Where both are given, an item of either is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TailFilter {
    /// Only items of the person who has this anonymous id.
    pub anonymous_id: Option<String>,
    /// Only items of the person who has this user id.
    pub user_id: Option<String>,
}

/// Items as they happen. It ends only with the server.
pub type TailStream = BoxStream<'static, TailItem>;

/// Follows what happens.
pub trait Tail: Send + Sync {
    /// Items of a space from now on. A follower that is too slow misses items and is told by [`TailKind::Lagged`].
    fn follow(&self, space: &SpaceId, filter: TailFilter) -> TailStream;
}

/// A batch of history.
#[derive(Clone, Debug)]
pub struct Import {
    /// The space.
    pub space: SpaceId,
    /// The source, which exists.
    pub source: SourceName,
    /// The body, as `/v1/batch` takes it.
    pub body: Bytes,
    /// The `Content-Type`, as sent.
    pub content_type: String,
    /// The `User-Agent`, as sent.
    pub user_agent: String,
}

/// An event that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedEvent {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Why, for programs.
    pub code: String,
    /// Why, for people.
    pub message: String,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOutcome {
    /// Events that are durable now.
    pub accepted: usize,
    /// Events that were kept as rejects.
    pub rejected: Vec<RejectedEvent>,
}

/// Takes history in.
#[async_trait]
pub trait Ingest: Send + Sync {
    /// Appends a batch durably with the origin of imports: it keeps its own timestamps and sends nothing.
    ///
    /// # Errors
    /// `Invalid` for a body that is no batch, `Busy` under overload or where the space has
    /// sent as much as it may, `Unavailable` where the log takes nothing.
    async fn import(&self, import: Import) -> Result<ImportOutcome, PortError>;
}

/// What an unsubscribe link is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Who sends, as people know it.
    pub sender: String,
    /// The address, masked so far that only its owner knows it, such as `j…@example.com`.
    pub masked_address: String,
}

/// Ends subscriptions from links in messages.
#[async_trait]
pub trait Unsubscribe: Send + Sync {
    /// What the token is about; `None` for a token that the server did not make. Changes nothing.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn look_up(&self, token: &str) -> Result<Option<Subscription>, PortError>;

    /// Ends the subscription; doing so again changes nothing. `None` for a token that the server did not make.
    ///
    /// # Errors
    /// A [`PortError`]; the subscription is not ended then.
    async fn unsubscribe(&self, token: &str) -> Result<Option<Subscription>, PortError>;
}
