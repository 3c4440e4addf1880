//! A segment as an operator defined it: a name, a description and a tree of conditions.
//!
//! `document` reads it from and writes it to `{kind: segment, name, spec}`, `english` puts it into words and `compile`
//! makes it ready to be asked. A definition only names computed traits and other segments; it never knows them.

use crate::AccountCondition;
use crate::Bucket;
use crate::CountRange;
use kith_expr::{EventFilter, Follows, Sequence, ValueTest, Window};
use kith_types::{Duration, Identifier, SegmentName};
use std::sync::Arc;

/// How deep conditions may nest in one document.
pub const MAX_DEPTH: usize = 32;
/// How many identifiers one list may hold.
pub const MAX_LISTED: usize = 10_000;
/// How many conditions and combinations one document may hold.
pub const MAX_CONDITIONS: usize = 500;

/// A segment as it was defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentDefinition {
    /// Its name within the space.
    pub name: SegmentName,
    /// What it is for, in its owner's words; may be empty.
    pub description: Box<str>,
    /// What its members meet.
    pub condition: Condition,
}

/// A condition on a person at an instant. It is either true or false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Every one holds.
    All(Vec<Condition>),
    /// At least one holds.
    Any(Vec<Condition>),
    /// The opposite.
    Not(Box<Condition>),
    /// Events happened so many times.
    Performed(Performed),
    /// Sequences of two events were done so many times.
    Sequence(Box<SequencePerformed>),
    /// Events happened for the first time, regularly, no longer or again.
    Lifecycle(Lifecycle),
    /// A trait passes a test.
    Trait {
        /// The trait's name.
        name: Box<str>,
        /// What is asked of its value.
        test: ValueTest,
    },
    /// A computed trait passes a test.
    ComputedTrait {
        /// The computed trait's name.
        name: Box<str>,
        /// What is asked of its value at the instant.
        test: ValueTest,
    },
    /// One of the accounts that the person belongs to meets it.
    Account(AccountCondition),
    /// What is known of the person's consent.
    Consent {
        /// What they were asked for, such as `marketing`.
        category: Box<str>,
        /// What they must have answered.
        answer: Consent,
    },
    /// Membership of another segment at the same instant.
    Segment(SegmentName),
    /// A share of all people, drawn by their profile ids.
    Bucket(Bucket),
    /// One of these identifiers is the person's: a list kept by hand.
    Listed(Listed),
}

/// Identifiers kept by hand. Copies share them, and their hashes: a list that many segments refer to is held once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    identifiers: Arc<[Identifier]>,
    hashes: Arc<[u128]>,
}

impl Listed {
    /// The list of these, each once.
    #[must_use]
    pub fn new(mut identifiers: Vec<Identifier>) -> Self {
        identifiers.sort_unstable();
        identifiers.dedup();
        let mut hashes: Vec<u128> = identifiers.iter().map(Identifier::hash128).collect();
        hashes.sort_unstable();
        Self {
            identifiers: identifiers.into(),
            hashes: hashes.into(),
        }
    }

    /// The identifiers, in order.
    #[must_use]
    pub fn identifiers(&self) -> &[Identifier] {
        &self.identifiers
    }

    /// Their hashes, in order.
    pub(crate) fn hashes(&self) -> &Arc<[u128]> {
        &self.hashes
    }
}

/// Events happened so many times within a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Performed {
    /// Which events count.
    pub filter: EventFilter,
    /// How many there must be.
    pub count: CountRange,
    /// When they must have happened.
    pub window: Window,
}

/// Sequences of two events were done so many times within a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequencePerformed {
    /// Which events begin one.
    pub first: EventFilter,
    /// What follows them, or does not.
    pub sequence: Sequence,
    /// How many there must be.
    pub count: CountRange,
    /// When they must have been done.
    pub window: Window,
}

/// How events come and stay away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// Which events.
    pub filter: EventFilter,
    /// How they come.
    pub stage: Stage,
}

/// The most spans that [`Stage::Regularly`] looks at.
pub const MAX_REGULAR_TIMES: u32 = 60;

/// How events come and stay away, as seen from an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The first one ever happened within the last span.
    FirstTime {
        /// How long it may be ago; that long ago is too long.
        last: Duration,
    },
    /// At least one in each of the last spans.
    Regularly {
        /// The length of a span.
        every: Duration,
        /// How many spans, one after the other, back from the instant; 2 to [`MAX_REGULAR_TIMES`].
        times: u32,
    },
    /// There were some, but none within the last span.
    Stopped {
        /// How long there has been none.
        after: Duration,
    },
    /// Within the last span one came that no other had preceded for long.
    CameBack {
        /// For how long, or longer, there had been none.
        after: Duration,
        /// How long it may be ago.
        last: Duration,
    },
}

impl Stage {
    /// The words that documents use.
    pub(crate) const NAMES: [&str; 4] = ["first_time", "regularly", "stopped", "came_back"];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FirstTime { .. } => "first_time",
            Self::Regularly { .. } => "regularly",
            Self::Stopped { .. } => "stopped",
            Self::CameBack { .. } => "came_back",
        }
    }
}

impl Lifecycle {
    /// The conditions it stands for: it holds when all of them do.
    #[must_use]
    pub fn conditions(&self) -> Vec<Condition> {
        let performed = |count, window| {
            Condition::Performed(Performed {
                filter: self.filter.clone(),
                count,
                window,
            })
        };
        match self.stage {
            Stage::FirstTime { last } => vec![
                performed(CountRange::ONCE, Window::Last(last)),
                performed(CountRange::NEVER, Window::BeforeLast(last)),
            ],
            Stage::Regularly { every, times } => {
                let ago = |spans: u32| Duration::from_micros(every.as_micros().saturating_mul(i64::from(spans)));
                let window = |span: u32| match span {
                    0 => Window::Last(every),
                    span => Window::Ago {
                        from: ago(span + 1),
                        to: ago(span),
                    },
                };
                (0..times)
                    .map(|span| performed(CountRange::ONCE, window(span)))
                    .collect()
            }
            Stage::Stopped { after } => vec![
                performed(CountRange::ONCE, Window::BeforeLast(after)),
                performed(CountRange::NEVER, Window::Last(after)),
            ],
            Stage::CameBack { after, last } => vec![Condition::Sequence(Box::new(SequencePerformed {
                first: self.filter.clone(),
                sequence: Sequence {
                    then: self.filter.clone(),
                    follows: Follows::Next {
                        from: after,
                        until: None,
                    },
                    same: None,
                },
                count: CountRange::ONCE,
                window: Window::Last(last),
            }))],
        }
    }
}

/// What is known of a consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// It was given and not taken back.
    Granted,
    /// It was refused or taken back.
    Denied,
    /// Nothing is known.
    Unknown,
}

impl Consent {
    pub(crate) const ALL: [Consent; 3] = [Self::Granted, Self::Denied, Self::Unknown];

    /// The word that documents use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Denied => "denied",
            Self::Unknown => "unknown",
        }
    }

    /// What an answer means: granted, denied, or nothing known.
    #[must_use]
    pub fn of(answer: Option<bool>) -> Self {
        match answer {
            Some(true) => Self::Granted,
            Some(false) => Self::Denied,
            None => Self::Unknown,
        }
    }
}
