//! An aggregate over a person's events: a filter, a function and a window, and the id that names it.

use crate::{Condition, EventFilter, Path, Sequence, Window, document};
use kith_types::{Event, EventType};
use std::fmt;

/// What is made of the events that count, or of the values that a property has in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// How many events; 0 of none.
    Count,
    /// The exact sum of the numbers; 0 of none. An object from currency to sum when the events name several.
    Sum,
    /// The sum by the count of the numbers, to twelve places, half to even; `null` of none. By currency, as the sum.
    Average,
    /// The smallest number; `null` of none.
    Min,
    /// The largest number; `null` of none.
    Max,
    /// The value in the earliest event that has one; `null` of none.
    First,
    /// The value in the latest event that has one; `null` of none.
    Last,
    /// The value that most events have; of equally frequent ones the one that came latest; `null` of none.
    MostFrequent,
    /// The distinct values, those that came latest first; an empty list of none.
    UniqueList,
    /// How many distinct values; 0 of none.
    UniqueCount,
    /// The accounts that the events name (`groupId`), those named latest first; an empty list of none. Documents do not
    /// write it: conditions on accounts ask for it.
    Accounts,
}

impl Function {
    /// All functions; those that documents write, in the order that they list them, come first. Persisted state names them
    /// by their places.
    pub const ALL: [Function; 11] = [
        Self::Count,
        Self::Sum,
        Self::Average,
        Self::Min,
        Self::Max,
        Self::First,
        Self::Last,
        Self::MostFrequent,
        Self::UniqueList,
        Self::UniqueCount,
        Self::Accounts,
    ];

    /// Those that documents write.
    #[must_use]
    pub fn written() -> &'static [Function] {
        static WRITTEN: [Function; 10] = {
            let [first @ .., _] = Function::ALL;
            first
        };
        &WRITTEN
    }

    /// The word that documents use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Average => "average",
            Self::Min => "min",
            Self::Max => "max",
            Self::First => "first",
            Self::Last => "last",
            Self::MostFrequent => "most_frequent",
            Self::UniqueList => "unique_list",
            Self::UniqueCount => "unique_count",
            Self::Accounts => "accounts",
        }
    }

    /// The function that documents write by that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::written()
            .iter()
            .copied()
            .find(|function| function.as_str() == name)
    }
}

/// The name of an aggregate: 128 bits of BLAKE3 over its canonical form. Equal definitions have equal ids wherever
/// they stand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AggregateId(pub u128);

impl fmt::Display for AggregateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agg_{:032x}", self.0)
    }
}

impl fmt::Debug for AggregateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is to be computed from a person's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateSpec {
    /// Which events count.
    pub filter: EventFilter,
    /// What is made of them.
    pub function: Function,
    /// The property whose values are taken; `None` for a count and for accounts, and only then.
    pub property: Option<Path>,
    /// When they must have happened.
    pub window: Window,
    /// What must follow each of them, for a count of sequences. The window then looks at the instant at which a sequence
    /// is done.
    pub sequence: Option<Box<Sequence>>,
}

impl AggregateSpec {
    /// The count of events that pass `filter` within `window`.
    #[must_use]
    pub fn count(filter: EventFilter, window: Window) -> Self {
        Self {
            filter,
            function: Function::Count,
            property: None,
            window,
            sequence: None,
        }
    }

    /// The accounts that a person's events name, whenever they happened.
    #[must_use]
    pub fn accounts() -> Self {
        Self {
            function: Function::Accounts,
            ..Self::count(EventFilter::any(), Window::AllTime)
        }
    }

    /// The count of sequences that begin with an event that passes `first` and are done within `window`.
    #[must_use]
    pub fn sequences(first: EventFilter, sequence: Sequence, window: Window) -> Self {
        Self {
            sequence: Some(Box::new(sequence)),
            ..Self::count(first, window)
        }
    }

    /// The filters of the events it looks at: its own and, of a sequence, that of what follows.
    pub fn filters(&self) -> impl Iterator<Item = &EventFilter> {
        [
            Some(&self.filter),
            self.sequence.as_deref().map(|sequence| &sequence.then),
        ]
        .into_iter()
        .flatten()
    }

    /// Whether it looks at the event.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.filters().any(|filter| filter.matches(event))
    }

    /// Whether it may look at an event of that type and name.
    #[must_use]
    pub fn may_match(&self, event_type: EventType, name: &str) -> bool {
        self.filters().any(|filter| {
            (filter.types().is_empty() || filter.types().contains(&event_type))
                && (filter.names().is_empty() || filter.names().iter().any(|known| &**known == name))
        })
    }

    /// Whether it looks at what an event tells, beside its type, name, times and account.
    #[must_use]
    pub fn looks_at_fields(&self) -> bool {
        let keyed = self.sequence.as_ref().is_some_and(|sequence| sequence.same.is_some());
        let asks = |filter: &EventFilter| *filter.condition() != Condition::ALWAYS;
        self.property.is_some() || keyed || self.filters().any(asks)
    }

    /// The name of this aggregate. It hashes: keep it rather than ask again.
    #[must_use]
    pub fn id(&self) -> AggregateId {
        let hash = blake3::derive_key("kith aggregate 1", document::canonical_text(self).as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&hash[..16]);
        AggregateId(u128::from_be_bytes(first))
    }
}
