//! Two events in a row: what must follow an event, or must not, how soon, and with which property in common.
//!
//! Every event of the first filter is one instance, overlapping ones included. What follows it is the earliest event of
//! the other filter at a strictly later time and, where the sequence has a key, with an equal value. An instance is done
//! at one instant or never; windows count it by that instant, as if it were an event of that time.

use crate::{EventFilter, Path};
use kith_types::{Duration, Event, Timestamp, Value};

/// What must follow an event of the first filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The events that follow.
    pub then: EventFilter,
    /// Whether they must follow, and how soon.
    pub follows: Follows,
    /// A property in which both events must be equal. An event without it takes no part.
    pub same: Option<Path>,
}

/// Whether an event must be followed, and how soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Follows {
    /// It is, at or after `from` and before `until` (without it: whenever). Done when what follows happens.
    Next {
        /// The shortest gap that counts; nothing may follow sooner.
        from: Duration,
        /// The first gap that is too long.
        until: Option<Duration>,
    },
    /// It is not before `until`. Done when that has passed.
    Nothing {
        /// How long nothing may follow.
        until: Duration,
    },
}

impl Follows {
    /// When an instance that begins at `start` is done, of which the next event is known; `None`: never, as far as is
    /// known.
    #[must_use]
    pub fn done(&self, start: Timestamp, next: Option<Timestamp>) -> Option<Timestamp> {
        match *self {
            Self::Next { from, until } => next.filter(|next| {
                let gap = *next - start;
                gap >= from && until.is_none_or(|until| gap < until)
            }),
            Self::Nothing { until } => {
                let end = Timestamp::from_micros(start.as_micros().saturating_add(until.as_micros()));
                next.is_none_or(|next| next >= end).then_some(end)
            }
        }
    }

    /// How long after its beginning an instance may be done at the latest; `None`: for ever.
    #[must_use]
    pub fn reach(&self) -> Option<Duration> {
        match *self {
            Self::Next { until, .. } => until,
            Self::Nothing { until } => Some(until),
        }
    }
}

/// The part that an event plays in a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It begins an instance.
    First,
    /// It follows.
    Then,
    /// It does both: it follows earlier ones and begins an instance.
    Both,
}

impl Role {
    /// Whether it begins an instance.
    #[must_use]
    pub fn begins(self) -> bool {
        self != Self::Then
    }

    /// Whether it follows.
    #[must_use]
    pub fn follows(self) -> bool {
        self != Self::First
    }
}

impl Sequence {
    /// The part that the event plays; `first` is the filter of the first event. `None`: none.
    #[must_use]
    pub fn role(&self, first: &EventFilter, event: &Event) -> Option<Role> {
        Some(match (first.matches(event), self.then.matches(event)) {
            (true, false) => Role::First,
            (false, true) => Role::Then,
            (true, true) => Role::Both,
            (false, false) => return None,
        })
    }

    /// The value of the key; `Null` where the sequence has none. `None`: the event takes no part.
    #[must_use]
    pub fn key<'a>(&self, event: &'a Event) -> Option<&'a Value> {
        match &self.same {
            None => Some(&Value::Null),
            Some(path) => path.get(&event.properties).filter(|value| **value != Value::Null),
        }
    }
}
