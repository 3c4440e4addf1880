//! The state of an aggregate over single events.
//!
//! What has passed for good is kept as a [`Tally`]; what the passing of time may still move, as [`Points`]:
//! - Where events never cease to count (*all time*, *between*, *before last N*), those that count at the part's horizon
//!   are tallied; the others wait as points until the horizon reaches them. An event outside the two moments of
//!   *between* is never kept.
//! - Where they cease (*last N*, *ago*, periods of a calendar), every event that has not ceased to count at the horizon
//!   is a point. The function last needs only the newest of those that count at the horizon and the ones after it.
//!
//! Of points that wait long at most [`MAX_POINTS`] are kept, the latest ones. What is left out is tallied too early
//! where it would never cease, and missing where it would; either way the answer says so as long as it matters.

use super::points::{self, NumberPoint, Points, ValuePoint};
use super::{Sample, Tally};
use crate::PartError;
use crate::codec::{Reader, put_flag, put_time};
use crate::limits::MAX_POINTS;
use crate::mark::Mark;
use kith_expr::{Function, Window};
use kith_types::{Timestamp, Value};

/// What the events that count give a function. The window is the entry's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Counted {
    function: Function,
    tally: Tally,
    points: Points,
    /// Where events cease to count: the latest time of one that a limit left out, as long as it would count. Where they
    /// never do: the latest time of one that a limit had tallied before it begins to count, until it does, and
    /// [`FOR_GOOD`] when one was left out.
    left_out: Option<Timestamp>,
}

/// Later than every event.
const FOR_GOOD: Timestamp = Timestamp::from_micros(i64::MAX);

impl Counted {
    pub(crate) fn empty(function: Function) -> Self {
        Self {
            function,
            tally: Tally::empty(function),
            points: Points::empty(function),
            left_out: None,
        }
    }

    /// The place of the function among all.
    pub(crate) fn function_code(&self) -> u8 {
        let place = Function::ALL.iter().position(|function| *function == self.function);
        place.unwrap_or_default() as u8
    }

    /// Adds an event. The caller settles afterwards.
    pub(crate) fn add(&mut self, window: &Window, sample: Sample, mark: Mark, horizon: Timestamp) {
        let waits = match window.earliest(horizon) {
            Some(earliest) if mark.time < earliest => return,
            Some(_) => true,
            None => mark.time > window.latest(horizon),
        };
        match (sample, &mut self.points) {
            (Sample::LeftOut | Sample::Step(..), _) => self.leave_out(window, mark.time),
            (Sample::Event, Points::Times(times)) if waits => points::insert(times, mark.time),
            (Sample::Event, _) => self.tally.add_event(),
            (Sample::Number(units, currency), points) => {
                let point = NumberPoint {
                    time: mark.time,
                    currency,
                    units,
                };
                match points {
                    Points::Numbers(numbers) if waits => points::insert(numbers, point),
                    _ => self.tally.add_number(self.function, &point),
                }
            }
            (Sample::Value(value), points) => {
                let point = ValuePoint { mark, value };
                match points {
                    Points::Values(values) if waits => points::insert(values, point),
                    _ => self.tally.add_value(self.function, &point),
                }
            }
        }
    }

    fn leave_out(&mut self, window: &Window, time: Timestamp) {
        let time = if window.slides() { time } else { FOR_GOOD };
        self.left_out = self.left_out.max(Some(time));
    }

    /// Brings the state to its one form at this horizon.
    pub(crate) fn settle(&mut self, window: &Window, horizon: Timestamp) {
        let latest = window.latest(horizon);
        let Some(earliest) = window.earliest(horizon) else {
            return self.settle_for_good(window, latest);
        };
        self.left_out = self.left_out.filter(|time| *time >= earliest);
        self.points.drop_before(earliest);
        if self.function == Function::Last {
            self.points.keep_newest_at(latest);
            // An event that counts already and is later than what was left out has taken its place.
            let newest = self.points.first_time().filter(|first| *first <= latest);
            self.left_out = self.left_out.filter(|time| newest.is_none_or(|newest| newest <= *time));
            if !window.delays() {
                // What is left is one point and those of the next minutes: no limit, whose choice would depend on when
                // events came due.
                return;
            }
        }
        if let Some(time) = self.points.drop_beyond(MAX_POINTS) {
            self.left_out = self.left_out.max(Some(time));
        }
    }

    fn settle_for_good(&mut self, window: &Window, latest: Timestamp) {
        self.points.tally_until(latest, self.function, &mut self.tally);
        self.left_out = self.left_out.filter(|time| *time > latest);
        if window.delays()
            && let Some(time) = self.points.time_beyond(MAX_POINTS)
        {
            self.points.tally_oldest(self.function, &mut self.tally, MAX_POINTS);
            self.left_out = self.left_out.max(Some(time));
        }
    }

    /// The earliest horizon at which settling would change anything.
    pub(crate) fn settles_at(&self, window: &Window) -> Timestamp {
        let begins = |time: Option<Timestamp>| time.map(|time| window.begins(time));
        let ceases = |time: Option<Timestamp>| time.and_then(|time| window.ceases(time));
        let first = self.points.first_time();
        let moments = if !window.slides() {
            [begins(first), begins(self.left_out), None, None]
        } else if self.function == Function::Last {
            let replaced = begins(first.filter(|_| self.left_out.is_some()));
            [
                ceases(first),
                ceases(self.left_out),
                begins(self.points.second_time()),
                replaced,
            ]
        } else {
            [ceases(first), ceases(self.left_out), None, None]
        };
        moments.into_iter().flatten().min().unwrap_or(Timestamp::MAX)
    }

    /// Takes in the state of the same aggregate over other events. The caller settles afterwards.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.tally.merge(self.function, &other.tally);
        self.points.merge(&other.points);
        self.left_out = self.left_out.max(other.left_out);
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty() && self.tally.is_empty() && self.left_out.is_none()
    }

    /// The value at `now` and whether it is exact as far as digits and kept values go.
    fn evaluate(&self, window: &Window, now: Timestamp) -> (Value, bool) {
        let times = (window.earliest(now), window.latest(now));
        if self.points.first_time().is_none_or(|first| first > times.1) {
            return self.tally.render(self.function);
        }
        let mut tally = self.tally.clone();
        self.points.tally_into(self.function, &mut tally, times);
        tally.render(self.function)
    }

    pub(crate) fn value(&self, window: &Window, now: Timestamp) -> Value {
        self.evaluate(window, now).0
    }

    pub(crate) fn approximate(&self, window: &Window, now: Timestamp) -> bool {
        let left_out = self.left_out.is_some_and(|time| match window.earliest(now) {
            Some(earliest) => time >= earliest,
            None => time > window.latest(now),
        });
        // Only a sum can have more digits than a number carries, and only these keep a bounded number of values.
        let inexact = || {
            let bounded = matches!(
                self.function,
                Function::Sum
                    | Function::MostFrequent
                    | Function::UniqueList
                    | Function::UniqueCount
                    | Function::Accounts
            );
            bounded && !self.evaluate(window, now).1
        };
        left_out || inexact()
    }

    /// The next instant, strictly after `after`, at which a point begins or ceases to count. A left-out event makes the
    /// answer inexact, not different, so it plays no part.
    pub(crate) fn next_change(&self, window: &Window, after: Timestamp) -> Option<Timestamp> {
        let latest = window.latest(after);
        let begins = self.points.first_time_after(latest).map(|time| window.begins(time));
        // The first to leave the window; where one point alone gives the value, that one.
        let ceases = window.earliest(after).and_then(|earliest| {
            let first = match self.function {
                Function::Last => self.points.last_time_until(latest),
                Function::Min | Function::Max => self.points.outer_time(self.function, (Some(earliest), latest)),
                _ => self.points.first_time_from(earliest),
            };
            window.ceases(first.filter(|time| (earliest..=latest).contains(time))?)
        });
        [begins, ceases]
            .into_iter()
            .flatten()
            .filter(|at| *at <= Timestamp::MAX)
            .min()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_flag(out, self.left_out.is_some());
        if let Some(time) = self.left_out {
            put_time(out, time);
        }
        self.tally.encode(out);
        self.points.encode(out);
    }

    /// Reads what [`Counted::encode`] wrote; `for_good` where anything left out was left out for good.
    pub(crate) fn decode(function: Function, for_good: bool, reader: &mut Reader<'_>) -> Result<Self, PartError> {
        let left_out = if reader.flag()? { Some(reader.time()?) } else { None };
        let left_out = left_out.map(|time| if for_good { FOR_GOOD } else { time });
        let tally = Tally::decode(function, reader)?;
        Ok(Self {
            function,
            tally,
            points: Points::decode(function, reader)?,
            left_out,
        })
    }

    /// The bytes of memory it holds beside itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.points.heap_bytes() + self.tally.heap_bytes()
    }
}
