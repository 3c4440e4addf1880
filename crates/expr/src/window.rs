//! When an event must have happened to count.
//!
//! Every window is two steps of one event's time: the instant at which the event begins to count and the one at which it
//! ceases. Both never fall as the time rises, so events begin and cease in the order of their times; the fold and every
//! search for the next change rest on that.

use crate::Periods;
use kith_types::{Duration, Timestamp};

/// When an event must have happened to count. Events later than the instant asked about never count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// Whenever.
    AllTime,
    /// In `(now - span, now]`.
    Last(Duration),
    /// At or before `now - span`.
    BeforeLast(Duration),
    /// In `(now - from, now - to]`; `from` is the longer span.
    Ago {
        /// From how long ago on.
        from: Duration,
        /// Until how long ago.
        to: Duration,
    },
    /// In `[from, to)`.
    Between {
        /// The first instant that counts.
        from: Timestamp,
        /// The first instant that no longer counts.
        to: Timestamp,
    },
    /// In periods of a calendar.
    Calendar(Periods),
}

impl Window {
    /// Whether an event at `time` ever counts.
    #[must_use]
    pub fn admits(&self, time: Timestamp) -> bool {
        !matches!(self, Self::Between { from, to } if !(*from..*to).contains(&time))
    }

    /// Whether an event at `time` counts at the instant `now`.
    #[must_use]
    pub fn contains(&self, time: Timestamp, now: Timestamp) -> bool {
        self.admits(time) && self.earliest(now).is_none_or(|earliest| time >= earliest) && time <= self.latest(now)
    }

    /// The first instant at which an admitted event at `time` counts; beyond [`Timestamp::MAX`]: never.
    #[must_use]
    pub fn begins(&self, time: Timestamp) -> Timestamp {
        match self {
            Self::AllTime | Self::Last(_) | Self::Between { .. } => time,
            Self::BeforeLast(span) | Self::Ago { to: span, .. } => shifted(time, span.as_micros()),
            Self::Calendar(periods) if periods.previous == 0 => time,
            Self::Calendar(periods) => periods.boundary(time, 1),
        }
    }

    /// The first instant at which an event at `time` no longer counts; `None`, or beyond [`Timestamp::MAX`]: never.
    #[must_use]
    pub fn ceases(&self, time: Timestamp) -> Option<Timestamp> {
        match self {
            Self::AllTime | Self::BeforeLast(_) | Self::Between { .. } => None,
            Self::Last(span) | Self::Ago { from: span, .. } => Some(shifted(time, span.as_micros())),
            Self::Calendar(periods) => Some(periods.boundary(time, 1 + i64::from(periods.previous))),
        }
    }

    /// The latest time of an event that counts at `now`, [`Window::admits`] apart.
    #[must_use]
    pub fn latest(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::AllTime | Self::Last(_) | Self::Between { .. } => now,
            Self::BeforeLast(span) | Self::Ago { to: span, .. } => shifted(now, -span.as_micros()),
            Self::Calendar(periods) if periods.previous == 0 => now,
            Self::Calendar(periods) => shifted(periods.boundary(now, 0), -1),
        }
    }

    /// The earliest time of an event that counts at `now`, [`Window::admits`] apart; `None` where events never cease to
    /// count.
    #[must_use]
    pub fn earliest(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::AllTime | Self::BeforeLast(_) | Self::Between { .. } => None,
            Self::Last(span) | Self::Ago { from: span, .. } => Some(shifted(now, 1 - span.as_micros())),
            Self::Calendar(periods) => Some(periods.boundary(now, -i64::from(periods.previous))),
        }
    }

    /// Whether events cease to count as time passes.
    #[must_use]
    pub fn slides(&self) -> bool {
        matches!(self, Self::Last(_) | Self::Ago { .. } | Self::Calendar(_))
    }

    /// Whether events begin to count later than they happen.
    #[must_use]
    pub fn delays(&self) -> bool {
        match self {
            Self::AllTime | Self::Last(_) | Self::Between { .. } => false,
            Self::BeforeLast(_) | Self::Ago { .. } => true,
            Self::Calendar(periods) => periods.previous > 0,
        }
    }

    /// The next instant, strictly after `after`, at which an event at `time` begins or ceases to count.
    #[must_use]
    pub fn next_change(&self, time: Timestamp, after: Timestamp) -> Option<Timestamp> {
        if !self.admits(time) {
            return None;
        }
        [Some(self.begins(time)), self.ceases(time)]
            .into_iter()
            .flatten()
            .find(|at| *at > after && *at <= Timestamp::MAX)
    }
}

fn shifted(at: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CalendarUnit, Zone};
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000_000;

    fn windows(span: i64) -> Vec<Window> {
        let at = Timestamp::from_micros;
        let of = Duration::from_micros;
        let calendar = |unit, previous| {
            Window::Calendar(Periods {
                zone: Zone::UTC,
                unit,
                previous,
            })
        };
        vec![
            Window::AllTime,
            Window::Last(of(span)),
            Window::BeforeLast(of(span)),
            Window::Ago {
                from: of(span + 7),
                to: of(span),
            },
            Window::Between {
                from: at(20),
                to: at(20 + span),
            },
            calendar(CalendarUnit::Hour, 0),
            calendar(CalendarUnit::Hour, 2),
        ]
    }

    proptest! {
        #[test]
        fn pro_4_an_event_counts_between_its_changes_alike(time in 0_i64..100, after in -50_i64..150, span in 1_i64..60) {
            let at = Timestamp::from_micros;
            for window in windows(span) {
                // Hours are probed around their boundaries, spans instant by instant.
                let scale = if matches!(window, Window::Calendar(_)) { HOUR / 10 } else { 1 };
                let (time, after) = (time * scale, after * scale);
                let held = window.contains(at(time), at(after));
                let change = window.next_change(at(time), at(after));
                for step in 0..300 {
                    let now = after + step * scale;
                    let turned = change.is_some_and(|change| at(now) >= change);
                    prop_assert_eq!(window.contains(at(time), at(now)) != held, turned, "{:?} {} {} {}", window, time, after, now);
                    if turned {
                        break;
                    }
                }
                if let Some(change) = change {
                    prop_assert_ne!(window.contains(at(time), change), window.contains(at(time), at(change.as_micros() - 1)));
                }
            }
        }
    }
}
