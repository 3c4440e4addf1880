//! A typed event, as cleaning leaves it, and its identifiers.

use crate::ids::{HashContext, hash_fields};
use crate::{Address, EventKey, Object, SourceName, SpaceId, Timestamp};
use std::fmt;
use std::sync::Arc;

static IDENTIFIERS: HashContext = HashContext::new("kith identifier");

/// The six calls of the Segment specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// Says who somebody is.
    Identify,
    /// Says what somebody did.
    Track,
    /// A page was seen.
    Page,
    /// A screen of an app was seen.
    Screen,
    /// Somebody belongs to an account.
    Group,
    /// Two user ids are one person.
    Alias,
}

impl EventType {
    /// All of them.
    pub const ALL: [EventType; 6] = [
        Self::Identify,
        Self::Track,
        Self::Page,
        Self::Screen,
        Self::Group,
        Self::Alias,
    ];

    /// The name that the wire and the tables use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Track => "track",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }

    /// The type of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What kind of identifier a value is. The order of the variants is the fixed order of types that breaks ties
/// (contract IDN-5): user ids first, custom types last, by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentifierType {
    /// The id that the business gave a person; it authenticates by default.
    UserId,
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// The id of a device (`context.device.id`).
    DeviceId,
    /// The id that an SDK gives a browser or an installation.
    AnonymousId,
    /// Any other type, by its name.
    Custom(Arc<str>),
}

impl IdentifierType {
    /// The name that definitions, tables and the API use.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::UserId => "user_id",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::DeviceId => "device_id",
            Self::AnonymousId => "anonymous_id",
            Self::Custom(name) => name,
        }
    }

    /// The type of that name; unknown names are custom types.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "user_id" => Self::UserId,
            "email" => Self::Email,
            "phone" => Self::Phone,
            "device_id" => Self::DeviceId,
            "anonymous_id" => Self::AnonymousId,
            other => Self::Custom(Arc::from(other)),
        }
    }

    /// Whether a definition or a mapping may give a type this name: 1 to 64 bytes without white space and without a
    /// colon, which ends the type in `type:value`.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        (1..=64).contains(&name.len()) && !name.contains(':') && !name.chars().any(char::is_whitespace)
    }
}

impl fmt::Display for IdentifierType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for IdentifierType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A value of a type that names somebody, such as `email:jo@example.com`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier {
    /// The type.
    pub kind: IdentifierType,
    /// The value: as sent on an [`Event`], normalised wherever identity has seen it.
    pub value: Arc<str>,
}

impl Identifier {
    /// The identifier of that type and value.
    #[must_use]
    pub fn new(kind: IdentifierType, value: &str) -> Self {
        Self {
            kind,
            value: Arc::from(value),
        }
    }

    /// 128 bits that name this identifier within its space.
    #[must_use]
    pub fn hash128(&self) -> u128 {
        hash_fields(&IDENTIFIERS, &[self.kind.as_str().as_bytes(), self.value.as_bytes()])
    }

    /// Reads `type:value`, as the customer API and the command line write it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(':')?;
        (!kind.is_empty() && !value.is_empty()).then(|| Self::new(IdentifierType::from_name(kind), value))
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why an event's time is the time of its receipt (contract COL-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeNote {
    /// It named no time.
    Absent,
    /// What it named could not be read.
    Unparsable,
    /// What it named lies more than five minutes after its receipt.
    Future,
}

impl TimeNote {
    /// The name that the tables use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Unparsable => "unparsable",
            Self::Future => "future",
        }
    }
}

/// How an event came in. Only what came live may cause a message to be sent (contract ACT-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Through a door, as it happened.
    Live,
    /// From a file of history.
    Import,
}

/// A clean event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The space it belongs to.
    pub space: SpaceId,
    /// The source it came from.
    pub source: SourceName,
    /// Where it stands in the log.
    pub address: Address,
    /// What makes it one event.
    pub key: EventKey,
    /// The message id it carries, if any.
    pub message_id: Option<Box<str>>,
    /// Which of the six calls it is.
    pub event_type: EventType,
    /// A track call's event, a page's or screen's name, else the name of the type.
    pub name: Arc<str>,
    /// When it happened, by contract COL-6.
    pub event_time: Timestamp,
    /// When its record was given its place in the log.
    pub received_at: Timestamp,
    /// Why `event_time` is `received_at`, where a rule made it so.
    pub time_note: Option<TimeNote>,
    /// Who it names, as sent: not normalised, no duplicates.
    pub identifiers: Vec<Identifier>,
    /// The account it names (`groupId`); it never links people.
    pub group_id: Option<Box<str>>,
    /// What it says of the person (identify, or `context.traits`) or, for a group call, of the account.
    pub traits: Object,
    /// What it says of itself.
    pub properties: Object,
    /// Where and how it happened.
    pub context: Object,
    /// How it came in.
    pub origin: Origin,
}

impl Event {
    /// The canonical order in which evidence is taken (contract IDN-3): event time, then address.
    #[must_use]
    pub fn canonical_order(&self) -> (Timestamp, Address) {
        (self.event_time, self.address)
    }
}
