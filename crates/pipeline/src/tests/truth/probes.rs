//! The instants at which a world is asked: every one at which an event comes, happens, or enters or leaves any window of any
//! leaf, each with the microsecond before it.

use kith_expr::{AggregateSpec, Follows, ValueTest, Window};
use kith_segment::{AccountCondition, Condition, Stage};
use kith_types::{Event, Timestamp, Value};
use rusqlite::Connection;
use std::collections::BTreeSet;

/// What the leaves add to the times of events.
#[derive(Default)]
pub(super) struct Delays {
    spans: BTreeSet<i64>,
    /// How long nothing must follow an event.
    gaps: BTreeSet<i64>,
    ends: BTreeSet<i64>,
    periods: BTreeSet<(&'static str, &'static str, u32)>,
    pub(super) salts: BTreeSet<Box<str>>,
}

impl Delays {
    pub(super) fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| self.condition(part)),
            Condition::Not(part) => self.condition(part),
            Condition::Performed(performed) => self.window(&performed.window),
            Condition::Sequence(done) => {
                self.window(&done.window);
                self.follows(done.sequence.follows);
            }
            Condition::Lifecycle(lifecycle) => match lifecycle.stage {
                Stage::FirstTime { last } => drop(self.spans.insert(last.as_micros())),
                Stage::Stopped { after } => drop(self.spans.insert(after.as_micros())),
                Stage::Regularly { every, times } => {
                    self.spans
                        .extend((1..=i64::from(times)).map(|span| span * every.as_micros()));
                }
                Stage::CameBack { last, .. } => drop(self.spans.insert(last.as_micros())),
            },
            Condition::Trait { test, .. } | Condition::ComputedTrait { test, .. } => {
                if let ValueTest::WithinLast(span) | ValueTest::BeforeLast(span) = test {
                    self.spans.insert(span.as_micros());
                }
            }
            Condition::Account(condition) => self.account(condition),
            Condition::Bucket(bucket) => drop(self.salts.insert(bucket.salt.clone())),
            Condition::Consent { .. } | Condition::Segment(_) | Condition::Listed(_) => {}
        }
    }

    fn account(&mut self, condition: &AccountCondition) {
        match condition {
            AccountCondition::All(parts) | AccountCondition::Any(parts) => {
                parts.iter().for_each(|part| self.account(part));
            }
            AccountCondition::Not(part) => self.account(part),
            AccountCondition::Trait { test, .. } => {
                if let ValueTest::WithinLast(span) | ValueTest::BeforeLast(span) = test {
                    self.spans.insert(span.as_micros());
                }
            }
        }
    }

    pub(super) fn computed(&mut self, spec: &AggregateSpec) {
        self.window(&spec.window);
        if let Some(sequence) = &spec.sequence {
            self.follows(sequence.follows);
        }
    }

    fn follows(&mut self, follows: Follows) {
        if let Follows::Nothing { until } = follows {
            self.gaps.insert(until.as_micros());
        }
    }

    fn window(&mut self, window: &Window) {
        match window {
            Window::AllTime => {}
            Window::Last(span) | Window::BeforeLast(span) => drop(self.spans.insert(span.as_micros())),
            Window::Ago { from, to } => self.spans.extend([from.as_micros(), to.as_micros()]),
            Window::Between { from, to } => self.ends.extend([from.as_micros(), to.as_micros()]),
            Window::Calendar(periods) => {
                self.periods
                    .insert((periods.zone.name(), periods.unit.as_str(), periods.previous));
            }
        }
    }

    /// The instants from `first` on, in their order.
    pub(super) fn instants(&self, db: &Connection, events: &[Event], first: i64) -> BTreeSet<i64> {
        let mut times = BTreeSet::new();
        for event in events {
            times.extend([event.received_at.as_micros(), event.event_time.as_micros()]);
            for (_, value) in event.traits.iter().chain(&event.properties) {
                times.extend(moment_of(value));
            }
        }
        let gaps: Vec<i64> = times
            .iter()
            .flat_map(|time| self.gaps.iter().map(move |gap| time + gap))
            .collect();
        times.extend(gaps);
        let mut found = times.clone();
        for time in &times {
            found.extend(self.spans.iter().map(|span| time + span));
            for (zone, unit, previous) in &self.periods {
                let mut rows = db
                    .prepare_cached(
                        "SELECT starts FROM period WHERE zone = ?1 AND unit = ?2 AND no IN (
                            SELECT max(no) + shift FROM period, (SELECT 0 AS shift UNION SELECT 1 UNION SELECT 1 + ?4)
                            WHERE zone = ?1 AND unit = ?2 AND starts <= ?3 GROUP BY shift)",
                    )
                    .unwrap();
                let starts = rows
                    .query_map((zone, unit, time, previous), |row| row.get::<_, i64>(0))
                    .unwrap();
                found.extend(starts.map(Result::unwrap));
            }
        }
        found.extend(&self.ends);
        found.extend([first, found.last().copied().unwrap_or(first) + 1]);
        let last = Timestamp::MAX.as_micros() - 10;
        found.into_iter().filter(|time| (first..last).contains(time)).collect()
    }
}

fn moment_of(value: &Value) -> Option<i64> {
    Timestamp::parse(value.as_str()?).ok().map(Timestamp::as_micros)
}
