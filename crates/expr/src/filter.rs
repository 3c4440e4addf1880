//! Which events count: by type, by name and by a condition on what they carry.
//!
//! A filter is a function of the event alone, never of the clock: an aggregate folds an event once, so what the
//! filter says of it must not change later.

use crate::{Path, ValueTest};
use kith_types::{Event, EventType, Timestamp, Value};

/// Which part of an event a path enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldRoot {
    /// `event.properties`
    Properties,
    /// `event.context`
    Context,
    /// `event.traits`
    Traits,
}

impl FieldRoot {
    /// The word that documents use: `property`, `context`, `trait`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Properties => "property",
            Self::Context => "context",
            Self::Traits => "trait",
        }
    }
}

/// A value of an event: the part and the path in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventField {
    /// The part of the event.
    pub root: FieldRoot,
    /// The path within it.
    pub path: Path,
}

impl EventField {
    /// The value that the event has there.
    #[must_use]
    pub fn of<'a>(&self, event: &'a Event) -> Option<&'a Value> {
        self.path.get(match self.root {
            FieldRoot::Properties => &event.properties,
            FieldRoot::Context => &event.context,
            FieldRoot::Traits => &event.traits,
        })
    }
}

/// A tree of tests on the values of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Every one holds; of none: true.
    All(Vec<Condition>),
    /// At least one holds; of none: false.
    Any(Vec<Condition>),
    /// The opposite.
    Not(Box<Condition>),
    /// The value of a field passes a test.
    Test(EventField, ValueTest),
}

impl Condition {
    /// The condition that every event meets.
    pub const ALWAYS: Condition = Condition::All(Vec::new());

    /// Whether the event meets it.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(event)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(event)),
            Self::Not(part) => !part.matches(event),
            // No test that an event filter admits looks at the instant.
            Self::Test(field, test) => test.test(field.of(event), Timestamp::MIN),
        }
    }

    fn is_clock_relative(&self) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::is_clock_relative),
            Self::Not(part) => part.is_clock_relative(),
            Self::Test(_, test) => test.is_clock_relative(),
        }
    }
}

/// Why a filter cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A test in it changes its answer as time passes.
    #[error(
        "a filter on events cannot use within_last or before_last: an event is judged once. Use before or after, or give the aggregate a window"
    )]
    ClockRelative,
}

/// Which events count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter {
    types: Vec<EventType>,
    names: Vec<Box<str>>,
    condition: Condition,
}

impl EventFilter {
    /// The filter for events of one of `types` (empty: any) with one of `names` (empty: any) that meet `condition`.
    /// Names without types mean track calls.
    ///
    /// # Errors
    /// [`FilterError::ClockRelative`] when the condition looks at the clock.
    pub fn new(mut types: Vec<EventType>, mut names: Vec<Box<str>>, condition: Condition) -> Result<Self, FilterError> {
        if condition.is_clock_relative() {
            return Err(FilterError::ClockRelative);
        }
        if types.is_empty() && !names.is_empty() {
            types.push(EventType::Track);
        }
        types.sort_unstable();
        types.dedup();
        names.sort_unstable();
        names.dedup();
        Ok(Self {
            types,
            names,
            condition,
        })
    }

    /// The filter that every event passes.
    #[must_use]
    pub fn any() -> Self {
        Self {
            types: Vec::new(),
            names: Vec::new(),
            condition: Condition::ALWAYS,
        }
    }

    /// The filter for track calls of that name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            types: vec![EventType::Track],
            names: vec![name.into()],
            condition: Condition::ALWAYS,
        }
    }

    /// The types that count, sorted; empty: any.
    #[must_use]
    pub fn types(&self) -> &[EventType] {
        &self.types
    }

    /// The names that count, sorted; empty: any.
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// What an event must meet beside its type and name.
    #[must_use]
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Whether the event counts.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        (self.types.is_empty() || self.types.contains(&event.event_type))
            && (self.names.is_empty() || self.names.binary_search_by(|name| (**name).cmp(&*event.name)).is_ok())
            && self.condition.matches(event)
    }
}
