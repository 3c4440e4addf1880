//! The events that time may still move in or out of a window, oldest first, no larger than the function needs.

use super::Tally;
use crate::PartError;
use crate::codec::{Reader, put_i64, put_i128, put_len, put_mark, put_value};
use crate::mark::Mark;
use kith_expr::Function;
use kith_types::{Event, Timestamp, Value};
use std::collections::VecDeque;

/// A currency by its three letters (ISO 4217), in upper case; [`Currency::NONE`] where an event names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Currency(pub(crate) [u8; 3]);

impl Currency {
    pub(crate) const NONE: Currency = Currency([0; 3]);

    /// What `properties.currency` names: three letters in any case. Anything else names none.
    pub(crate) fn of(event: &Event) -> Self {
        let named = event
            .properties
            .iter()
            .find(|(key, _)| &**key == "currency")
            .and_then(|(_, value)| value.as_str());
        match named.map(str::as_bytes) {
            Some(&[a, b, c]) if [a, b, c].iter().all(u8::is_ascii_alphabetic) => {
                Self([a, b, c].map(|byte| byte.to_ascii_uppercase()))
            }
            _ => Self::NONE,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        if *self == Self::NONE {
            ""
        } else {
            std::str::from_utf8(&self.0).unwrap_or_default()
        }
    }
}

/// A number at a time. Two that are equal in every field may stand for each other, so it needs no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NumberPoint {
    pub(crate) time: Timestamp,
    pub(crate) currency: Currency,
    /// The number times 10^18.
    pub(crate) units: i128,
}

/// A value at its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValuePoint {
    pub(crate) mark: Mark,
    pub(crate) value: Value,
}

pub(crate) trait Point: Clone {
    type Key: Ord;
    fn key(&self) -> Self::Key;
    fn time(&self) -> Timestamp;
}

impl Point for Timestamp {
    type Key = Timestamp;
    fn key(&self) -> Timestamp {
        *self
    }
    fn time(&self) -> Timestamp {
        *self
    }
}

impl Point for NumberPoint {
    type Key = NumberPoint;
    fn key(&self) -> NumberPoint {
        *self
    }
    fn time(&self) -> Timestamp {
        self.time
    }
}

impl Point for ValuePoint {
    type Key = Mark;
    fn key(&self) -> Mark {
        self.mark
    }
    fn time(&self) -> Timestamp {
        self.mark.time
    }
}

/// Puts a point in its place; nearly always the last.
pub(crate) fn insert<P: Point>(points: &mut VecDeque<P>, point: P) {
    if points.back().is_none_or(|last| last.key() <= point.key()) {
        points.push_back(point);
    } else {
        points.insert(points.partition_point(|other| other.key() <= point.key()), point);
    }
}

/// The points of an aggregate, by what its function needs, sorted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Points {
    /// For counts.
    Times(VecDeque<Timestamp>),
    /// For sums, averages, smallest and largest.
    Numbers(VecDeque<NumberPoint>),
    /// For first and last, and for distinct values.
    Values(VecDeque<ValuePoint>),
}

macro_rules! each {
    ($points:expr, $queue:ident => $body:expr) => {
        match $points {
            Points::Times($queue) => $body,
            Points::Numbers($queue) => $body,
            Points::Values($queue) => $body,
        }
    };
}

impl Points {
    pub(crate) fn empty(function: Function) -> Self {
        match function {
            Function::Count => Self::Times(VecDeque::new()),
            Function::Sum | Function::Average | Function::Min | Function::Max => Self::Numbers(VecDeque::new()),
            Function::First
            | Function::Last
            | Function::MostFrequent
            | Function::UniqueList
            | Function::UniqueCount
            | Function::Accounts => Self::Values(VecDeque::new()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        each!(self, queue => queue.is_empty())
    }

    pub(crate) fn first_time(&self) -> Option<Timestamp> {
        each!(self, queue => queue.front().map(Point::time))
    }

    /// The time of the second point.
    pub(crate) fn second_time(&self) -> Option<Timestamp> {
        each!(self, queue => queue.get(1).map(Point::time))
    }

    /// The time of the first point after `time`.
    pub(crate) fn first_time_after(&self, time: Timestamp) -> Option<Timestamp> {
        each!(self, queue => queue.get(queue.partition_point(|point| point.time() <= time)).map(Point::time))
    }

    /// The time of the first point at or after `time`.
    pub(crate) fn first_time_from(&self, time: Timestamp) -> Option<Timestamp> {
        each!(self, queue => queue.get(queue.partition_point(|point| point.time() < time)).map(Point::time))
    }

    /// The time of the newest point at or before `time`.
    pub(crate) fn last_time_until(&self, time: Timestamp) -> Option<Timestamp> {
        each!(self, queue => {
            let after = queue.partition_point(|point| point.time() <= time);
            queue.get(after.checked_sub(1)?).map(Point::time)
        })
    }

    pub(crate) fn drop_before(&mut self, time: Timestamp) {
        each!(self, queue => while queue.front().is_some_and(|point| point.time() < time) {
            queue.pop_front();
        });
    }

    /// Drops all points that another at or before `time` follows.
    pub(crate) fn keep_newest_at(&mut self, time: Timestamp) {
        each!(self, queue => while queue.get(1).is_some_and(|second| second.time() <= time) {
            queue.pop_front();
        });
    }

    /// The latest time at which the smallest or largest of the numbers stands that lie in `times`.
    pub(crate) fn outer_time(&self, function: Function, times: Times) -> Option<Timestamp> {
        let Self::Numbers(numbers) = self else { return None };
        let outer = range(numbers, times).0.reduce(|held, point| {
            if surpasses(function, held.units, point.units) {
                held
            } else {
                point
            }
        });
        outer.map(|point| point.time)
    }

    /// Drops the oldest points beyond a limit and gives the time of the latest one dropped.
    pub(crate) fn drop_beyond(&mut self, limit: usize) -> Option<Timestamp> {
        each!(self, queue => {
            let beyond = queue.len().checked_sub(limit).filter(|beyond| *beyond > 0)?;
            queue.drain(..beyond).next_back().map(|point| point.time())
        })
    }

    /// Moves the oldest points beyond a limit into a tally.
    pub(crate) fn tally_oldest(&mut self, function: Function, tally: &mut Tally, limit: usize) {
        match self {
            Self::Times(times) => {
                let beyond = times.len().saturating_sub(limit);
                tally.add_events(times.drain(..beyond).len() as u64);
            }
            Self::Numbers(numbers) => {
                let beyond = numbers.len().saturating_sub(limit);
                numbers
                    .drain(..beyond)
                    .for_each(|point| tally.add_number(function, &point));
            }
            Self::Values(values) => {
                let beyond = values.len().saturating_sub(limit);
                values
                    .drain(..beyond)
                    .for_each(|point| tally.add_value(function, &point));
            }
        }
    }

    /// The time of the latest point that a limit leaves out.
    pub(crate) fn time_beyond(&self, limit: usize) -> Option<Timestamp> {
        each!(self, queue => queue.get(queue.len().checked_sub(limit)?.checked_sub(1)?).map(Point::time))
    }

    /// Moves the points up to `time` into a tally.
    pub(crate) fn tally_until(&mut self, time: Timestamp, function: Function, tally: &mut Tally) {
        if self.first_time().is_none_or(|first| first > time) {
            return;
        }
        self.tally_into(function, tally, (None, time));
        each!(self, queue => while queue.front().is_some_and(|point| point.time() <= time) {
            queue.pop_front();
        });
        // What waited is rare and soon over: give its memory back.
        each!(self, queue => if queue.is_empty() {
            *queue = VecDeque::new();
        });
    }

    /// Adds the points of `times` to a tally.
    pub(crate) fn tally_into(&self, function: Function, tally: &mut Tally, times: Times) {
        match self {
            Self::Times(queue) => tally.add_events(range(queue, times).1 as u64),
            Self::Numbers(numbers) => range(numbers, times)
                .0
                .for_each(|point| tally.add_number(function, point)),
            Self::Values(values) => range(values, times)
                .0
                .for_each(|point| tally.add_value(function, point)),
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Times(mine), Self::Times(theirs)) => merge_queues(mine, theirs),
            (Self::Numbers(mine), Self::Numbers(theirs)) => merge_queues(mine, theirs),
            (Self::Values(mine), Self::Values(theirs)) => merge_queues(mine, theirs),
            // Entries of one function have one kind of points.
            _ => {}
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        each!(self, queue => put_len(out, queue.len()));
        match self {
            Self::Times(times) => {
                let mut last = 0;
                for time in times {
                    put_step(out, &mut last, *time);
                }
            }
            Self::Numbers(numbers) => {
                let mut last = 0;
                for point in numbers {
                    put_step(out, &mut last, point.time);
                    out.extend_from_slice(&point.currency.0);
                    put_i128(out, point.units);
                }
            }
            Self::Values(values) => {
                for point in values {
                    put_mark(out, &point.mark);
                    put_value(out, &point.value);
                }
            }
        }
    }

    pub(crate) fn decode(function: Function, reader: &mut Reader<'_>) -> Result<Self, PartError> {
        let length = reader.len(1)?;
        let mut points = Self::empty(function);
        let mut last = 0;
        match &mut points {
            Self::Times(times) => {
                times.reserve_exact(length);
                for _ in 0..length {
                    times.push_back(step(reader, &mut last)?);
                }
            }
            Self::Numbers(numbers) => {
                for _ in 0..length {
                    let time = step(reader, &mut last)?;
                    numbers.push_back(NumberPoint {
                        time,
                        currency: Currency(reader.array()?),
                        units: reader.i128()?,
                    });
                }
            }
            Self::Values(values) => {
                for _ in 0..length {
                    values.push_back(ValuePoint {
                        mark: reader.mark()?,
                        value: reader.value()?,
                    });
                }
            }
        }
        let sorted = each!(&points, queue => queue.iter().is_sorted_by_key(Point::key));
        if sorted {
            Ok(points)
        } else {
            Err(reader.damaged("points are out of order"))
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Times(times) => times.capacity() * size_of::<Timestamp>(),
            Self::Numbers(numbers) => numbers.capacity() * size_of::<NumberPoint>(),
            Self::Values(values) => values.capacity() * size_of::<ValuePoint>(),
        }
    }
}

fn surpasses(function: Function, one: i128, other: i128) -> bool {
    if function == Function::Min {
        one < other
    } else {
        one > other
    }
}

/// The times from the first, where there is one, to the second, both included.
pub(crate) type Times = (Option<Timestamp>, Timestamp);

/// The points that lie in `times`, and how many they are.
fn range<P: Point>(points: &VecDeque<P>, (earliest, latest): Times) -> (impl Iterator<Item = &P>, usize) {
    let from = earliest.map_or(0, |earliest| points.partition_point(|point| point.time() < earliest));
    let to = points.partition_point(|point| point.time() <= latest).max(from);
    (points.range(from..to), to - from)
}

fn merge_queues<P: Point>(mine: &mut VecDeque<P>, theirs: &VecDeque<P>) {
    let in_order = match (mine.back(), theirs.front()) {
        (Some(last), Some(first)) => last.key() <= first.key(),
        _ => true,
    };
    mine.extend(theirs.iter().cloned());
    if !in_order {
        mine.make_contiguous().sort_by_key(Point::key);
    }
}

/// Times are written as steps from the one before.
fn put_step(out: &mut Vec<u8>, last: &mut i64, time: Timestamp) {
    let micros = time.as_micros();
    let step = micros.wrapping_sub(*last);
    // The first step may be backwards, to before 1970; all later ones are forwards.
    put_i64(out, step);
    *last = micros;
}

fn step(reader: &mut Reader<'_>, last: &mut i64) -> Result<Timestamp, PartError> {
    *last = last.wrapping_add(reader.i64()?);
    Ok(Timestamp::from_micros(*last))
}
