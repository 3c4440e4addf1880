//! What the log holds: bodies as the doors took them, and decisions of operators.

use crate::{Address, Origin, SourceName, SpaceId, Terms, Timestamp};
use std::sync::Arc;

/// How a body is to be read: the call that its path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/v1/identify` and its short form.
    Identify,
    /// `/v1/track` and its short form.
    Track,
    /// `/v1/page` and its short form.
    Page,
    /// `/v1/screen` and its short form.
    Screen,
    /// `/v1/group` and its short form.
    Group,
    /// `/v1/alias` and its short form.
    Alias,
    /// `/v1/batch`, `/v1/import`: a list of events that name their own type.
    Batch,
    /// Events that the server itself makes: messages sent, failed, unsubscribed.
    Internal,
}

impl Route {
    /// The name that raw lines carry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Track => "track",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
            Self::Batch => "batch",
            Self::Internal => "internal",
        }
    }

    /// The route of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        const ALL: [Route; 8] = [
            Route::Identify,
            Route::Track,
            Route::Page,
            Route::Screen,
            Route::Group,
            Route::Alias,
            Route::Batch,
            Route::Internal,
        ];
        ALL.into_iter().find(|route| route.as_str() == name)
    }
}

/// One body as a door took it: the original bytes and where they came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The source whose write key opened the door.
    pub source: SourceName,
    /// The call that the path named.
    pub route: Route,
    /// Live, or an import whose timestamps are its own.
    pub origin: Origin,
    /// The `Content-Type`, as sent.
    pub content_type: Box<str>,
    /// The client's address.
    pub client_ip: Box<str>,
    /// The `User-Agent`, as sent.
    pub user_agent: Box<str>,
    /// What the door took it under.
    pub terms: Terms,
    /// The body after content decoding, byte for byte.
    pub body: bytes::Bytes,
}

/// What an operator decided (contracts, Words): a definition activated or removed.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What was decided, such as `definition.applied`.
    pub kind: Arc<str>,
    /// The decision itself, JSON.
    pub document: Box<str>,
}

/// One of the two things a record can be.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordBody {
    /// A body of events.
    Envelope(Envelope),
    /// A decision.
    Decision(Decision),
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place; `index` is 0.
    pub address: Address,
    /// The space it belongs to.
    pub space: SpaceId,
    /// When the place was given; never decreases along the sequence.
    pub received_at: Timestamp,
    /// What it holds.
    pub body: RecordBody,
}
