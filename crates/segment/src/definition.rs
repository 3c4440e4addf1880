//! A segment as an operator defined it: a name, a description and a tree of conditions.
//!
//! `document` reads it from and writes it to `{kind: segment, name, spec}`, `english` puts it into words and `compile`
//! makes it ready to be asked. A definition only names computed traits and other segments; it never knows them.

use crate::CountRange;
use kith_expr::{EventFilter, ValueTest, Window};
use kith_types::SegmentName;

/// How deep conditions may nest in one document.
pub const MAX_DEPTH: usize = 32;
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
    /// What is known of the person's consent.
    Consent {
        /// What they were asked for, such as `marketing`.
        category: Box<str>,
        /// What they must have answered.
        answer: Consent,
    },
    /// Membership of another segment at the same instant.
    Segment(SegmentName),
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
