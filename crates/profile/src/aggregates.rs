//! The state of one aggregate over one part, and how it is asked.
//!
//! Single events are kept as [`Counted`] says, sequences as [`Steps`]. The state is a function of the set of events and
//! of the horizon. Every entry says its own function and window, so that merging and settling need no plan. An instant
//! asked about must not lie before the horizon.

mod counted;
mod distinct;
mod pass;
mod points;
mod steps;
mod tally;
mod window;

pub(crate) use tally::Tally;

use crate::PartError;
use crate::aggregates::window::{put_window, window_of};
use crate::codec::{Reader, put_u64};
use crate::mark::{Mark, fits};
use counted::Counted;
use kith_expr::{AggregateSpec, Function, Role, Window};
use kith_types::{Event, Timestamp, Value};
use points::Currency;
use steps::Steps;

/// What one event gives one aggregate.
pub(crate) enum Sample {
    /// It happened: for counts.
    Event,
    /// A number in units of 10^-18, with the currency that the event names.
    Number(i128, Currency),
    /// A value, with its mark.
    Value(Value),
    /// It plays a part in a sequence, with the value of its key.
    Step(Role, Value),
    /// A number or a value that the limits refuse.
    LeftOut,
}

impl Sample {
    /// What the event, which passes a filter, gives; `None` when it has no value of the right type for the function
    /// or lies outside a fixed window.
    pub(crate) fn of(spec: &AggregateSpec, event: &Event) -> Option<Self> {
        if let Some(sequence) = &spec.sequence {
            let (role, key) = (sequence.role(&spec.filter, event)?, sequence.key(event)?);
            let kept = fits(key).then(|| Self::Step(role, key.clone()));
            return Some(kept.unwrap_or(Self::LeftOut));
        }
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
            Function::Accounts => match Value::from(event.group_id.as_deref()?) {
                value if fits(&value) => Self::Value(value),
                _ => Self::LeftOut,
            },
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
    /// When events, or sequences by the instant at which they are done, count. Of single events the two moments of
    /// *between* are the fold's to look at: here it is *all time*.
    window: Window,
    state: State,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Counted(Counted),
    Steps(Box<Steps>),
}

/// What stands in the place of a function for a count of sequences.
const SEQUENCE: u8 = 0x80;

impl Entry {
    pub(crate) fn new(slot: u32, spec: &AggregateSpec) -> Self {
        let (window, state) = match (&spec.sequence, spec.window) {
            (Some(sequence), window) => (window, State::Steps(Box::new(Steps::new(sequence.follows)))),
            (None, Window::Between { .. }) => (Window::AllTime, State::Counted(Counted::empty(spec.function))),
            (None, window) => (window, State::Counted(Counted::empty(spec.function))),
        };
        Self { slot, window, state }
    }

    /// Adds an event. The caller settles afterwards.
    pub(crate) fn add(&mut self, sample: Sample, mark: Mark, horizon: Timestamp) {
        match (&mut self.state, sample) {
            (State::Counted(counted), sample) => counted.add(&self.window, sample, mark, horizon),
            (State::Steps(steps), Sample::Step(role, key)) => steps.add(mark.time, role, &key),
            (State::Steps(steps), _) => steps.refuse(mark.time),
        }
    }

    /// Brings the state to its one form at this horizon.
    pub(crate) fn settle(&mut self, horizon: Timestamp) {
        match &mut self.state {
            State::Counted(counted) => counted.settle(&self.window, horizon),
            State::Steps(steps) => steps.settle(&self.window, horizon),
        }
    }

    /// The earliest horizon at which settling would change anything.
    pub(crate) fn settles_at(&self) -> Timestamp {
        match &self.state {
            State::Counted(counted) => counted.settles_at(&self.window),
            State::Steps(steps) => steps.settles_at(&self.window),
        }
    }

    /// Takes in the state of the same aggregate over other events. The caller settles afterwards.
    pub(crate) fn merge(&mut self, other: &Self) {
        match (&mut self.state, &other.state) {
            (State::Counted(mine), State::Counted(theirs)) => mine.merge(theirs),
            (State::Steps(mine), State::Steps(theirs)) => mine.merge(theirs),
            // One id has one kind of state.
            _ => {}
        }
    }

    /// The same state in another slot.
    pub(crate) fn in_slot(&self, slot: u32) -> Self {
        let mut moved = self.clone();
        moved.slot = slot;
        moved
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.state {
            State::Counted(counted) => counted.is_empty(),
            State::Steps(steps) => steps.is_empty(),
        }
    }

    pub(crate) fn value(&self, now: Timestamp) -> Value {
        match &self.state {
            State::Counted(counted) => counted.value(&self.window, now),
            State::Steps(steps) => Value::from(steps.count(&self.window, now)),
        }
    }

    pub(crate) fn approximate(&self, now: Timestamp) -> bool {
        match &self.state {
            State::Counted(counted) => counted.approximate(&self.window, now),
            State::Steps(steps) => steps.approximate(&self.window, now),
        }
    }

    /// The next instant, strictly after `after`, at which an event or a sequence begins or ceases to count. What a limit
    /// left out makes the answer inexact, not different, so it plays no part.
    pub(crate) fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.state {
            State::Counted(counted) => counted.next_change(&self.window, after),
            State::Steps(steps) => steps.next_change(&self.window, after),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, u64::from(self.slot));
        let code = match &self.state {
            State::Counted(counted) => counted.function_code(),
            State::Steps(_) => SEQUENCE,
        };
        out.push(code);
        put_window(out, &self.window);
        match &self.state {
            State::Counted(counted) => counted.encode(out),
            State::Steps(steps) => steps.encode(out),
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, version: u8) -> Result<Self, PartError> {
        let slot = reader.u32()?;
        let code = reader.byte()?;
        let window = window_of(reader, version)?;
        let state = if code == SEQUENCE {
            State::Steps(Box::new(Steps::decode(reader)?))
        } else {
            let function = Function::ALL.get(usize::from(code)).copied();
            let function = function.ok_or_else(|| reader.damaged("an unknown function"))?;
            // Version 1 wrote the first instant where one was left out for good.
            let for_good = version == 1 && !window.slides();
            State::Counted(Counted::decode(function, for_good, reader)?)
        };
        Ok(Self { slot, window, state })
    }

    /// The bytes of memory it holds beside itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.state {
            State::Counted(counted) => counted.heap_bytes(),
            State::Steps(steps) => steps.heap_bytes(),
        }
    }
}

/// The value of a function of no event.
pub(crate) fn value_of_none(function: Function) -> Value {
    Tally::empty(function).render(function).0
}
