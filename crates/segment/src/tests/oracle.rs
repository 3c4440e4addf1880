//! The independent oracle: what membership ought to be, written once more from the words of `docs/segments.md`, from
//! whole definitions and lists of events, with its own arithmetic and no notion of a next change.

use super::world::{Company, World, definitions};
use crate::{AccountCondition, Condition, Consent, Performed, SequencePerformed, Stage};
use kith_expr::{AggregateSpec, EventFilter, Follows, Function, ValueTest, Window};
use kith_types::{Decimal, Event, Timestamp, Value};
use std::collections::BTreeMap;

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

/// How many sequences that are done count at `now`.
fn sequences(performed: &SequencePerformed, world: &World, now: i64) -> u64 {
    let SequencePerformed { first, sequence, .. } = performed;
    let key = |event: &Event| {
        let same = sequence.same.as_ref()?;
        let field = event.properties.iter().find(|(key, _)| **key == *same.as_str());
        field.map(|(_, value)| value.to_json())
    };
    let mut count = 0;
    for begun in world.events.iter().filter(|event| first.matches(event)) {
        if sequence.same.is_some() && key(begun).is_none() {
            continue;
        }
        let begun_at = micros(begun.event_time);
        let mut after: Vec<i64> = world
            .events
            .iter()
            .filter(|event| sequence.then.matches(event) && key(event) == key(begun))
            .map(|event| micros(event.event_time) - begun_at)
            .filter(|gap| *gap > 0)
            .collect();
        after.sort_unstable();
        let gap = match sequence.follows {
            Follows::Nothing { until } => {
                let until = until.as_micros();
                if after.iter().any(|gap| *gap < until) {
                    continue;
                }
                until
            }
            Follows::Next { from, until } => match after.first() {
                Some(gap) if *gap >= from.as_micros() && until.is_none_or(|until| *gap < until.as_micros()) => *gap,
                _ => continue,
            },
        };
        // Done at that instant, it counts as an event of that time would.
        let mut done = begun.clone();
        done.event_time = Timestamp::from_micros(begun_at + gap);
        count += u64::from(counts(&done, &performed.window, now));
    }
    count
}

/// The words of the lifecycle, from the times of the events up to `now`, the latest first.
fn lives(filter: &EventFilter, stage: Stage, world: &World, now: i64) -> bool {
    let matching = world.events.iter().filter(|event| filter.matches(event));
    let mut times: Vec<i64> = matching
        .map(|event| micros(event.event_time))
        .filter(|at| *at <= now)
        .collect();
    times.sort_unstable();
    times.reverse();
    let ago = |at: &i64| now - at;
    match stage {
        Stage::FirstTime { last } => times.last().is_some_and(|first| ago(first) < last.as_micros()),
        Stage::Stopped { after } => times.first().is_some_and(|latest| ago(latest) >= after.as_micros()),
        Stage::Regularly { every, times: spans } => {
            (0..i64::from(spans)).all(|span| times.iter().any(|at| ago(at).div_euclid(every.as_micros()) == span))
        }
        Stage::CameBack { after, last } => times.iter().any(|at| {
            let before = times.iter().find(|other| *other < at);
            ago(at) < last.as_micros() && before.is_some_and(|before| at - before >= after.as_micros())
        }),
    }
}

/// Whether an account of these traits meets the condition.
fn says(condition: &AccountCondition, traits: &BTreeMap<String, Value>, now: i64) -> bool {
    match condition {
        AccountCondition::All(parts) => !parts.iter().any(|part| !says(part, traits, now)),
        AccountCondition::Any(parts) => !parts.iter().all(|part| !says(part, traits, now)),
        AccountCondition::Not(part) => !says(part, traits, now),
        AccountCondition::Trait { name, test } => passes(test, traits.get(&**name), now),
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
        Condition::Sequence(performed) => performed.count.contains(sequences(performed, world, now)),
        Condition::Lifecycle(lifecycle) => lives(&lifecycle.filter, lifecycle.stage, world, now),
        Condition::Listed(listed) => listed.identifiers().iter().any(|one| world.identifiers.contains(one)),
        Condition::Bucket(bucket) => {
            // The stated hash, step by step.
            let mut bytes = bucket.salt.as_bytes().to_vec();
            bytes.push(0);
            bytes.extend(world.profile.to_be_bytes());
            let hash = blake3::derive_key("kith bucket 1", &bytes);
            let fraction = u64::from_be_bytes(hash[..8].try_into().unwrap());
            let place = Decimal::from((u128::from(fraction) * 100_000 / (1 << 64)) as i64);
            let thousandths = |percent: Decimal| percent.to_scale_18().unwrap() * 1_000;
            let (from, to) = bucket.percents();
            (thousandths(from)..thousandths(to)).contains(&place.to_scale_18().unwrap())
        }
        Condition::Trait { name, test } => passes(test, world.traits.get(&**name), now),
        Condition::ComputedTrait { name, test } => passes(
            test,
            Some(&computed(&definitions().computed_traits[name], world, now)),
            now,
        ),
        Condition::Account(condition) => world
            .accounts
            .iter()
            .any(|Company { traits, .. }| says(condition, traits, now)),
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
