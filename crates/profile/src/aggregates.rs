//! The state of one aggregate over one part, and how it is asked.
//!
//! What has passed for good is kept as a [`Tally`]; what the passing of time may still move, as [`Points`]:
//! - *All time* and *between*: events up to the part's horizon are tallied, later ones wait as points until the horizon
//!   reaches them. An event outside the two moments of *between* is never kept.
//! - *Last N*: every event in `(horizon - N, …]` is a point, at most [`MAX_POINTS`]: the latest ones. The function last
//!   needs only the newest point at or before the horizon and the ones after it.
//!
//! So the state is a function of the set of events and of the horizon. Every entry says its own function and span, so
//! that merging and settling need no plan. An instant asked about must not lie before the horizon.

mod points;
mod tally;

pub(crate) use points::{Currency, NumberPoint, Points, ValuePoint};
pub(crate) use tally::Tally;

use crate::PartError;
use crate::codec::{Reader, put_flag, put_i64, put_time, put_u64};
use crate::limits::MAX_POINTS;
use crate::mark::{Mark, fits};
use kith_expr::{AggregateSpec, Function, Window};
use kith_types::{Duration, Event, Timestamp, Value};

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
        if let Window::Between { from, to } = spec.window
            && !(from..to).contains(&event.event_time)
        {
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
            Function::First | Function::Last => {
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
    /// The span of a sliding window; `None` for fixed ones.
    span: Option<Duration>,
    tally: Tally,
    points: Points,
    /// The latest time of an event that a limit left out, as long as it would count; for fixed windows only whether
    /// there was one ([`Timestamp::MIN`]).
    left_out: Option<Timestamp>,
}

impl Entry {
    pub(crate) fn new(slot: u32, spec: &AggregateSpec) -> Self {
        let span = if let Window::Last(span) = spec.window {
            Some(span)
        } else {
            None
        };
        Self::empty(slot, spec.function, span)
    }

    fn empty(slot: u32, function: Function, span: Option<Duration>) -> Self {
        Self {
            slot,
            function,
            span,
            tally: Tally::empty(function),
            points: Points::empty(function),
            left_out: None,
        }
    }

    /// Adds an event. The caller settles afterwards.
    pub(crate) fn add(&mut self, sample: Sample, mark: Mark, horizon: Timestamp) {
        let waits = self.span.is_some() || mark.time > horizon;
        if self.span.is_some_and(|span| horizon - mark.time >= span) {
            return;
        }
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
        let time = if self.span.is_some() { time } else { Timestamp::MIN };
        self.left_out = self.left_out.max(Some(time));
    }

    /// Brings the state to its one form at this horizon.
    pub(crate) fn settle(&mut self, horizon: Timestamp) {
        let Some(span) = self.span else {
            self.points.tally_until(horizon, self.function, &mut self.tally);
            return;
        };
        self.left_out = self.left_out.filter(|time| horizon - *time < span);
        self.points.drop_while(|time| horizon - time >= span);
        if self.function == Function::Last {
            // What is left is one point and those of the next minutes: no limit, whose choice would depend on when
            // events came due.
            self.points.keep_newest_at(horizon);
        } else if let Some(time) = self.points.drop_beyond(MAX_POINTS) {
            self.left_out = self.left_out.max(Some(time));
        }
    }

    /// Takes in the state of the same aggregate over other events. The caller settles afterwards.
    pub(crate) fn merge(&mut self, other: &Self) {
        if (self.function, self.span) != (other.function, other.span) {
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

    /// The value at `now` and whether it is exact as far as its digits go.
    fn evaluate(&self, now: Timestamp) -> (Value, bool) {
        let counts = |time: Timestamp| self.span.is_none_or(|span| now - time < span);
        if self.points.first_time().is_none_or(|first| first > now) {
            return self.tally.render(self.function);
        }
        let mut tally = self.tally.clone();
        self.points.tally_into(self.function, &mut tally, now, counts);
        tally.render(self.function)
    }

    pub(crate) fn value(&self, now: Timestamp) -> Value {
        self.evaluate(now).0
    }

    pub(crate) fn approximate(&self, now: Timestamp) -> bool {
        let left_out = self
            .left_out
            .is_some_and(|time| self.span.is_none_or(|span| now - time < span));
        // Only a sum can have more digits than a number carries.
        left_out || (self.function == Function::Sum && !self.evaluate(now).1)
    }

    /// The next instant, strictly after `after`, at which a point begins or ceases to count. A left-out event makes the
    /// answer inexact, not different, so it plays no part.
    pub(crate) fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        let begins = self.points.first_time_where(|time| time > after);
        let Some(span) = self.span else { return begins };
        // The first to leave the window; where one point alone gives the value, that one.
        let ceases = match self.function {
            Function::Last => self.points.last_time_until(after).filter(|time| after - *time < span),
            Function::Min | Function::Max => self.points.outer_time(self.function, after, |time| after - time < span),
            _ => self.points.first_time_where(|time| after - time < span),
        };
        let ceases = ceases.map(|time| Timestamp::from_micros(time.as_micros().saturating_add(span.as_micros())));
        [begins, ceases.filter(|time| *time <= Timestamp::MAX)]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, u64::from(self.slot));
        let function = Function::ALL
            .iter()
            .position(|function| *function == self.function)
            .unwrap_or_default();
        out.push(function as u8);
        put_i64(out, self.span.map_or(0, Duration::as_micros));
        put_flag(out, self.left_out.is_some());
        if let Some(time) = self.left_out {
            put_time(out, time);
        }
        self.tally.encode(out);
        self.points.encode(out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, PartError> {
        let slot = reader.u32()?;
        let function = Function::ALL.get(usize::from(reader.byte()?)).copied();
        let function = function.ok_or_else(|| reader.damaged("an unknown function"))?;
        let span = Some(Duration::from_micros(reader.i64()?)).filter(|span| span.as_micros() != 0);
        let left_out = if reader.flag()? { Some(reader.time()?) } else { None };
        let tally = Tally::decode(function, reader)?;
        Ok(Self {
            slot,
            function,
            span,
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
