//! The state of one aggregate over one part, and how it is asked.
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
//!
//! So the state is a function of the set of events and of the horizon. Every entry says its own function and window, so
//! that merging and settling need no plan. An instant asked about must not lie before the horizon.

mod distinct;
mod points;
mod tally;
mod window;

pub(crate) use points::{Currency, NumberPoint, Points, ValuePoint};
pub(crate) use tally::Tally;

use crate::PartError;
use crate::aggregates::window::{put_window, window_of};
use crate::codec::{Reader, put_flag, put_time, put_u64};
use crate::limits::MAX_POINTS;
use crate::mark::{Mark, fits};
use kith_expr::{AggregateSpec, Function, Window};
use kith_types::{Event, Timestamp, Value};

/// What one event gives one aggregate.
pub(crate) enum Sample {
    /// It happened: for counts.
    Event,
    /// A number in units of 10^-18, with the currency that the event names.
    Number(i128, Currency),
    /// A value, with its mark.
    Value(Value),
    /// A number or a value that the limits refuse.
    LeftOut,
}

impl Sample {
    /// What the event, which passes the filter, gives; `None` when it has no value of the right type for the function
    /// or lies outside a fixed window.
    pub(crate) fn of(spec: &AggregateSpec, event: &Event) -> Option<Self> {
        if !spec.window.admits(event.event_time) {
            return None;
        }
        let value = || {
            spec.property
                .as_ref()?
                .get(&event.properties)
                .filter(|value| **value != Value::Null)
        };
        Some(match spec.function {
            Function::Count => Self::Event,
            Function::Sum | Function::Average => match value()?.as_number()?.to_scale_18() {
                Some(units) => Self::Number(units, Currency::of(event)),
                None => Self::LeftOut,
            },
            Function::Min | Function::Max => match value()?.as_number()?.to_scale_18() {
                Some(units) => Self::Number(units, Currency::NONE),
                None => Self::LeftOut,
            },
            Function::First
            | Function::Last
            | Function::MostFrequent
            | Function::UniqueList
            | Function::UniqueCount => {
                let value = value()?;
                if fits(value) {
                    Self::Value(value.clone())
                } else {
                    Self::LeftOut
                }
            }
        })
    }
}

/// The state of one aggregate. It exists only where there is something to say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The position of the aggregate's id among those the part holds.
    pub(crate) slot: u32,
    function: Function,
    /// When events count. The two moments of *between* are the fold's to look at: here it is *all time*.
    window: Window,
    tally: Tally,
    points: Points,
    /// Where events cease to count: the latest time of one that a limit left out, as long as it would count. Where they
    /// never do: the latest time of one that a limit had tallied before it begins to count, until it does, and
    /// [`FOR_GOOD`] when one was left out.
    left_out: Option<Timestamp>,
}

/// Later than every event.
const FOR_GOOD: Timestamp = Timestamp::from_micros(i64::MAX);

impl Entry {
    pub(crate) fn new(slot: u32, spec: &AggregateSpec) -> Self {
        let window = match spec.window {
            Window::Between { .. } => Window::AllTime,
            window => window,
        };
        Self::empty(slot, spec.function, window)
    }

    fn empty(slot: u32, function: Function, window: Window) -> Self {
        Self {
            slot,
            function,
            window,
            tally: Tally::empty(function),
            points: Points::empty(function),
            left_out: None,
        }
    }

    /// Adds an event. The caller settles afterwards.
    pub(crate) fn add(&mut self, sample: Sample, mark: Mark, horizon: Timestamp) {
        let waits = match self.window.earliest(horizon) {
            Some(earliest) if mark.time < earliest => return,
            Some(_) => true,
            None => mark.time > self.window.latest(horizon),
        };
        match (sample, &mut self.points) {
            (Sample::LeftOut, _) => self.leave_out(mark.time),
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

    fn leave_out(&mut self, time: Timestamp) {
        let time = if self.window.slides() { time } else { FOR_GOOD };
        self.left_out = self.left_out.max(Some(time));
    }

    /// Brings the state to its one form at this horizon.
    pub(crate) fn settle(&mut self, horizon: Timestamp) {
        let latest = self.window.latest(horizon);
        let Some(earliest) = self.window.earliest(horizon) else {
            return self.settle_for_good(latest);
        };
        self.left_out = self.left_out.filter(|time| *time >= earliest);
        self.points.drop_before(earliest);
        if self.function == Function::Last {
            self.points.keep_newest_at(latest);
            // An event that counts already and is later than what was left out has taken its place.
            let newest = self.points.first_time().filter(|first| *first <= latest);
            self.left_out = self.left_out.filter(|time| newest.is_none_or(|newest| newest <= *time));
            if !self.window.delays() {
                // What is left is one point and those of the next minutes: no limit, whose choice would depend on when
                // events came due.
                return;
            }
        }
        if let Some(time) = self.points.drop_beyond(MAX_POINTS) {
            self.left_out = self.left_out.max(Some(time));
        }
    }

    fn settle_for_good(&mut self, latest: Timestamp) {
        self.points.tally_until(latest, self.function, &mut self.tally);
        self.left_out = self.left_out.filter(|time| *time > latest);
        if self.window.delays()
            && let Some(time) = self.points.time_beyond(MAX_POINTS)
        {
            self.points.tally_oldest(self.function, &mut self.tally, MAX_POINTS);
            self.left_out = self.left_out.max(Some(time));
        }
    }

    /// The earliest horizon at which settling would change anything.
    pub(crate) fn settles_at(&self) -> Timestamp {
        let window = &self.window;
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
        if (self.function, self.window) != (other.function, other.window) {
            return;
        }
        self.tally.merge(self.function, &other.tally);
        self.points.merge(&other.points);
        self.left_out = self.left_out.max(other.left_out);
    }

    /// The same state in another slot.
    pub(crate) fn in_slot(&self, slot: u32) -> Self {
        let mut moved = self.clone();
        moved.slot = slot;
        moved
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty() && self.tally.is_empty() && self.left_out.is_none()
    }

    /// The value at `now` and whether it is exact as far as digits and kept values go.
    fn evaluate(&self, now: Timestamp) -> (Value, bool) {
        let times = (self.window.earliest(now), self.window.latest(now));
        if self.points.first_time().is_none_or(|first| first > times.1) {
            return self.tally.render(self.function);
        }
        let mut tally = self.tally.clone();
        self.points.tally_into(self.function, &mut tally, times);
        tally.render(self.function)
    }

    pub(crate) fn value(&self, now: Timestamp) -> Value {
        self.evaluate(now).0
    }

    pub(crate) fn approximate(&self, now: Timestamp) -> bool {
        let left_out = self.left_out.is_some_and(|time| match self.window.earliest(now) {
            Some(earliest) => time >= earliest,
            None => time > self.window.latest(now),
        });
        // Only a sum can have more digits than a number carries, and only these keep a bounded number of values.
        let inexact = || {
            let bounded = matches!(
                self.function,
                Function::Sum | Function::MostFrequent | Function::UniqueList | Function::UniqueCount
            );
            bounded && !self.evaluate(now).1
        };
        left_out || inexact()
    }

    /// The next instant, strictly after `after`, at which a point begins or ceases to count. A left-out event makes the
    /// answer inexact, not different, so it plays no part.
    pub(crate) fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        let latest = self.window.latest(after);
        let begins = self
            .points
            .first_time_after(latest)
            .map(|time| self.window.begins(time));
        // The first to leave the window; where one point alone gives the value, that one.
        let ceases = self.window.earliest(after).and_then(|earliest| {
            let first = match self.function {
                Function::Last => self.points.last_time_until(latest),
                Function::Min | Function::Max => self.points.outer_time(self.function, (Some(earliest), latest)),
                _ => self.points.first_time_from(earliest),
            };
            self.window
                .ceases(first.filter(|time| (earliest..=latest).contains(time))?)
        });
        [begins, ceases]
            .into_iter()
            .flatten()
            .filter(|at| *at <= Timestamp::MAX)
            .min()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, u64::from(self.slot));
        let function = Function::ALL
            .iter()
            .position(|function| *function == self.function)
            .unwrap_or_default();
        out.push(function as u8);
        put_window(out, &self.window);
        put_flag(out, self.left_out.is_some());
        if let Some(time) = self.left_out {
            put_time(out, time);
        }
        self.tally.encode(out);
        self.points.encode(out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, version: u8) -> Result<Self, PartError> {
        let slot = reader.u32()?;
        let function = Function::ALL.get(usize::from(reader.byte()?)).copied();
        let function = function.ok_or_else(|| reader.damaged("an unknown function"))?;
        let window = window_of(reader, version)?;
        let left_out = if reader.flag()? { Some(reader.time()?) } else { None };
        // Version 1 wrote the first instant where one was left out for good.
        let left_out = match left_out {
            Some(_) if version == 1 && !window.slides() => Some(FOR_GOOD),
            left_out => left_out,
        };
        let tally = Tally::decode(function, reader)?;
        Ok(Self {
            slot,
            function,
            window,
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

/// The value of a function of no event.
pub(crate) fn value_of_none(function: Function) -> Value {
    Tally::empty(function).render(function).0
}
