//! An aggregate over a person's events: a filter, a function and a window, and the id that names it.

use crate::{EventFilter, Path, document};
use kith_types::{Duration, Timestamp};
use std::fmt;

/// When an event must have happened to count. Events later than the instant asked about never count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// Whenever.
    AllTime,
    /// In `(now - span, now]`.
    Last(Duration),
    /// In `[from, to)`.
    Between {
        /// The first instant that counts.
        from: Timestamp,
        /// The first instant that no longer counts.
        to: Timestamp,
    },
}

impl Window {
    /// Whether an event at `time` counts at the instant `now`.
    #[must_use]
    pub fn contains(&self, time: Timestamp, now: Timestamp) -> bool {
        time <= now
            && match self {
                Self::AllTime => true,
                Self::Last(span) => now - time < *span,
                Self::Between { from, to } => (*from..*to).contains(&time),
            }
    }

    /// The next instant, strictly after `after`, at which an event at `time` begins or ceases to count.
    #[must_use]
    pub fn next_change(&self, time: Timestamp, after: Timestamp) -> Option<Timestamp> {
        let counts_at_all = !matches!(self, Self::Between { from, to } if !(*from..*to).contains(&time));
        if !counts_at_all {
            return None;
        }
        if time > after {
            return Some(time);
        }
        let Self::Last(span) = self else { return None };
        let leaves = Timestamp::from_micros(time.as_micros().saturating_add(span.as_micros()));
        (leaves > after && leaves <= Timestamp::MAX).then_some(leaves)
    }
}

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
}

impl Function {
    /// All functions, in the order that documents list them.
    pub const ALL: [Function; 7] = [
        Self::Count,
        Self::Sum,
        Self::Average,
        Self::Min,
        Self::Max,
        Self::First,
        Self::Last,
    ];

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
        }
    }

    /// The function of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.as_str() == name)
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
    /// The property whose values are taken; `None` for a count, and only then.
    pub property: Option<Path>,
    /// When they must have happened.
    pub window: Window,
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
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pro_4_an_event_counts_between_its_changes_alike(time in 0_i64..100, after in -50_i64..150, span in 1_i64..60, kind in 0..3) {
            let at = Timestamp::from_micros;
            let window = match kind {
                0 => Window::AllTime,
                1 => Window::Last(Duration::from_micros(span)),
                _ => Window::Between { from: at(20), to: at(20 + span) },
            };
            let held = window.contains(at(time), at(after));
            let change = window.next_change(at(time), at(after));
            for now in after..300 {
                let turned = change.is_some_and(|change| at(now) >= change);
                prop_assert_eq!(window.contains(at(time), at(now)) != held, turned);
                if turned {
                    break;
                }
            }
        }
    }
}
