//! The independent oracle: what membership ought to be, written once more from the words of `docs/segments.md`, from
//! whole definitions and lists of events, with its own arithmetic and no notion of a next change.

use super::world::{World, definitions};
use crate::{Condition, Consent, Performed};
use kith_expr::{AggregateSpec, Function, ValueTest, Window};
use kith_types::{Event, Timestamp, Value};

fn micros(at: Timestamp) -> i64 {
    at.as_micros()
}

fn counts(event: &Event, window: &Window, now: i64) -> bool {
    let at = micros(event.event_time);
    let (low, high) = match window {
        Window::AllTime => (i64::MIN, now),
        Window::Last(span) => (now - span.as_micros() + 1, now),
        Window::BeforeLast(span) => (i64::MIN, now - span.as_micros()),
        Window::Ago { from, to } => (now - from.as_micros() + 1, now - to.as_micros()),
        // The random trees know hours of UTC only.
        Window::Calendar(periods) => {
            const HOUR: i64 = 3_600_000_000;
            let this = now.div_euclid(HOUR) * HOUR;
            match i64::from(periods.previous) {
                0 => (this, now),
                count => (this - count * HOUR, this - 1),
            }
        }
        Window::Between { from, to } => (micros(*from), now.min(micros(*to) - 1)),
    };
    low <= at && at <= high
}

fn passes(test: &ValueTest, value: Option<&Value>, now: i64) -> bool {
    let known = value.filter(|value| **value != Value::Null);
    let moment = known
        .and_then(Value::as_str)
        .and_then(|text| Timestamp::parse(text).ok())
        .map(micros);
    let number = known.and_then(Value::as_number);
    match test {
        ValueTest::Equals(wanted) => known == Some(wanted),
        ValueTest::NotEquals(wanted) => known != Some(wanted),
        ValueTest::Exists => known.is_some(),
        ValueTest::NotExists => known.is_none(),
        ValueTest::GreaterOrEqual(limit) => number.is_some_and(|number| number >= *limit),
        ValueTest::LessThan(limit) => number.is_some_and(|number| number < *limit),
        ValueTest::WithinLast(span) => moment.is_some_and(|at| at <= now && at > now - span.as_micros()),
        ValueTest::BeforeLast(span) => moment.is_some_and(|at| at <= now - span.as_micros()),
        other => panic!("no random tree holds {other:?}"),
    }
}

fn computed(spec: &AggregateSpec, world: &World, now: i64) -> Value {
    let mut events: Vec<&Event> = world
        .events
        .iter()
        .filter(|event| spec.filter.matches(event) && counts(event, &spec.window, now))
        .collect();
    events.sort_by_key(|event| event.event_time);
    let property = |event: &&Event| {
        event
            .properties
            .iter()
            .find(|(key, _)| Some(&**key) == spec.property.as_ref().map(|path| path.as_str()))
            .map(|(_, value)| value.clone())
    };
    let values: Vec<Value> = events.iter().filter_map(property).collect();
    let numbers: Vec<i64> = values.iter().filter_map(|value| value.as_number()?.to_i64()).collect();
    match spec.function {
        Function::Count => Value::from(i64::try_from(events.len()).unwrap()),
        Function::Sum => Value::from(numbers.iter().sum::<i64>()),
        Function::Max => numbers.iter().max().map_or(Value::Null, |number| Value::from(*number)),
        Function::Last => values.last().cloned().unwrap_or(Value::Null),
        other => panic!("no random tree holds {other:?}"),
    }
}

/// Whether the person meets the condition at `now`, in microseconds.
pub(super) fn meets(condition: &Condition, world: &World, now: i64) -> bool {
    match condition {
        Condition::All(parts) => !parts.iter().any(|part| !meets(part, world, now)),
        Condition::Any(parts) => !parts.iter().all(|part| !meets(part, world, now)),
        Condition::Not(part) => !meets(part, world, now),
        Condition::Performed(Performed { filter, count, window }) => {
            let done = world
                .events
                .iter()
                .filter(|event| filter.matches(event) && counts(event, window, now))
                .count();
            let done = u64::try_from(done).unwrap();
            done >= count.low() && count.high().is_none_or(|high| done <= high)
        }
        Condition::Trait { name, test } => passes(test, world.traits.get(&**name), now),
        Condition::ComputedTrait { name, test } => passes(
            test,
            Some(&computed(&definitions().computed_traits[name], world, now)),
            now,
        ),
        Condition::Consent { category, answer } => {
            *answer
                == match world.consents.get(&**category) {
                    Some(true) => Consent::Granted,
                    Some(false) => Consent::Denied,
                    None => Consent::Unknown,
                }
        }
        Condition::Segment(name) => meets(&definitions().segments[name].condition, world, now),
    }
}
