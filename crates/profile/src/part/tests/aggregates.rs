//! PRO-4: every function over every window against a plain reading of the events, on both sides of every instant at
//! which anything may change; and the instants that parts foretell.

use super::histories::{all_specs, history};
use super::*;
use kith_expr::{Follows, Function, PersonView, Sequence, Window};
use kith_types::Duration;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::collections::BTreeMap;

/// The events that count for `spec` at `now` and have a value for it, with it.
fn counted<'a>(spec: &AggregateSpec, events: &'a [Event], now: Timestamp) -> Vec<(&'a Event, Value)> {
    if let Some(sequence) = &spec.sequence {
        let firsts = events.iter().filter(|event| {
            let done = done(spec, sequence, event, events);
            done.is_some_and(|done| spec.window.contains(done, now))
        });
        return firsts.map(|event| (event, Value::Null)).collect();
    }
    let matching = events
        .iter()
        .filter(|event| spec.filter.matches(event) && spec.window.contains(event.event_time, now));
    let numeric = matches!(
        spec.function,
        Function::Sum | Function::Average | Function::Min | Function::Max
    );
    matching
        .filter_map(|event| {
            if spec.function == Function::Accounts {
                return event.group_id.as_deref().map(|account| (event, Value::from(account)));
            }
            let Some(path) = &spec.property else {
                return Some((event, Value::Null));
            };
            let value = path.get(&event.properties).filter(|value| **value != Value::Null)?;
            (!numeric || value.as_number().is_some()).then(|| (event, value.clone()))
        })
        .collect()
}

/// When the sequence that begins with `first` is done, by the words of the documentation.
fn done(spec: &AggregateSpec, sequence: &Sequence, first: &Event, events: &[Event]) -> Option<Timestamp> {
    let key = |event: &Event| match &sequence.same {
        None => Some(Value::Null),
        Some(path) => path
            .get(&event.properties)
            .filter(|value| **value != Value::Null)
            .cloned(),
    };
    let value = key(first).filter(|_| spec.filter.matches(first))?;
    let gaps = events
        .iter()
        .filter(|event| sequence.then.matches(event) && key(event).as_ref() == Some(&value))
        .map(|event| event.event_time - first.event_time)
        .filter(|gap| gap.as_micros() > 0);
    match (sequence.follows, gaps.min()) {
        (Follows::Nothing { until }, Some(gap)) if gap < until => None,
        (Follows::Nothing { until }, _) => Some(first.event_time + until),
        (Follows::Next { from, until }, Some(gap)) if gap >= from && until.is_none_or(|until| gap < until) => {
            Some(first.event_time + gap)
        }
        (Follows::Next { .. }, _) => None,
    }
}

/// The answer by the words of the contract, from nothing but the events.
fn oracle(spec: &AggregateSpec, events: &[Event], now: Timestamp) -> Value {
    let counted = counted(spec, events, now);
    let numbers = || counted.iter().filter_map(|(_, value)| value.as_number());
    let value = |picked: Option<&(&Event, Value)>| picked.map_or(Value::Null, |(_, value)| value.clone());
    match spec.function {
        Function::Count => Value::from(counted.len() as i64),
        Function::Min => numbers().min().map_or(Value::Null, Value::Number),
        Function::Max => numbers().max().map_or(Value::Null, Value::Number),
        Function::First => value(counted.iter().min_by_key(|(event, _)| event.canonical_order())),
        Function::Last => value(counted.iter().max_by_key(|(event, _)| event.canonical_order())),
        Function::MostFrequent => {
            let most = distinct(&counted)
                .into_iter()
                .max_by_key(|(_, count, last)| (*count, *last));
            most.map_or(Value::Null, |(value, ..)| value)
        }
        Function::UniqueList | Function::Accounts => {
            let mut distinct = distinct(&counted);
            distinct.sort_by_key(|(_, _, last)| std::cmp::Reverse(*last));
            Value::Array(distinct.into_iter().map(|(value, ..)| value).collect())
        }
        Function::UniqueCount => Value::from(distinct(&counted).len() as i64),
        Function::Sum | Function::Average => {
            let mut currencies: BTreeMap<String, (i128, i128)> = BTreeMap::new();
            for (event, value) in &counted {
                let named = event
                    .properties
                    .iter()
                    .find(|(key, _)| &**key == "currency")
                    .and_then(|(_, value)| value.as_str());
                let currency = named.filter(|name| name.len() == 3).unwrap_or_default().to_uppercase();
                let (count, sum) = currencies.entry(currency).or_default();
                *count += 1;
                *sum += value.as_number().unwrap().to_scale_18().unwrap();
            }
            let one = |(count, sum): (i128, i128)| {
                if spec.function == Function::Sum {
                    return decimal(sum, -18);
                }
                // Nearest of three neighbours in units of 10^-12, the even one of two that are equally near.
                let around = sum / (count * 1_000_000);
                let distance = |candidate: i128| (candidate * count * 1_000_000 - sum).abs();
                decimal(
                    (around - 1..=around + 1)
                        .min_by_key(|candidate| (distance(*candidate), candidate % 2 != 0))
                        .unwrap(),
                    -12,
                )
            };
            match currencies.len() {
                0 if spec.function == Function::Sum => decimal(0, 0),
                0 => Value::Null,
                1 => one(*currencies.values().next().unwrap()),
                _ => Value::Object(
                    currencies
                        .iter()
                        .map(|(name, sum)| (name.as_str().into(), one(*sum)))
                        .collect(),
                ),
            }
        }
    }
}

/// Each value, how many events have it, and where among `counted` in their order the last of them stands.
fn distinct(counted: &[(&Event, Value)]) -> Vec<(Value, usize, usize)> {
    let mut ordered: Vec<_> = counted.iter().collect();
    ordered.sort_by_key(|(event, _)| event.canonical_order());
    let mut distinct: Vec<(Value, usize, usize)> = Vec::new();
    for (place, (_, value)) in ordered.into_iter().enumerate() {
        match distinct.iter_mut().find(|(known, ..)| known == value) {
            Some((_, count, last)) => (*count, *last) = (*count + 1, place),
            None => distinct.push((value.clone(), 1, place)),
        }
    }
    distinct
}

fn decimal(mantissa: i128, exponent: i32) -> Value {
    Value::Number(kith_types::Decimal::new(mantissa, exponent).unwrap())
}

/// Both sides of every instant, from `horizon` on, at which an answer may change.
fn probes(spec: &AggregateSpec, events: &[Event], horizon: Timestamp) -> Vec<Timestamp> {
    let mut instants = vec![horizon];
    let happened = events.iter().map(|event| event.event_time);
    let happened: Vec<Timestamp> = match spec.sequence.as_ref().map(|sequence| sequence.follows) {
        // What is not followed is done when its time has passed.
        Some(Follows::Nothing { until }) => happened.flat_map(|time| [time, time + until]).collect(),
        _ => happened.collect(),
    };
    for time in happened {
        instants.push(time);
        match spec.window {
            Window::AllTime => {}
            Window::Last(span) => instants.push(time + span),
            Window::BeforeLast(span) => instants.push(time + span),
            Window::Ago { from, to } => instants.extend([time + from, time + to]),
            Window::Between { from, to } => instants.extend([from, to]),
            // Quarters of an hour hold every boundary of the hours in the histories.
            Window::Calendar(_) => {
                const QUARTER: i64 = 900_000_000;
                let quarter = time.as_micros().div_euclid(QUARTER);
                let quarters = (0..=14).map(|later| Timestamp::from_micros((quarter + later) * QUARTER));
                instants.extend(quarters);
            }
        }
    }
    let micro = Duration::from_micros(1);
    let mut probes: Vec<Timestamp> = instants
        .iter()
        .flat_map(|instant| [*instant - micro, *instant, *instant + micro])
        .collect();
    probes.retain(|probe| *probe >= horizon && *probe < Timestamp::MAX);
    probes.sort_unstable();
    probes.dedup();
    probes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(25))]

    #[test]
    fn pro_4_every_function_over_every_window_equals_a_plain_reading(seed: u64, length in 1_usize..50, known in 0_usize..50) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let specs = all_specs();
        let plan = FoldPlan::new(specs.clone());
        let rules = TraitRules::default();
        let all = history(&mut random, length);
        // What is known at some moment of the history, asked from that moment on.
        let events = &all[..(known % length) + 1];
        let part = fold(&plan, events);
        for spec in &specs {
            for now in probes(spec, events, part.horizon()) {
                let view = part.view(&plan, &rules);
                prop_assert_eq!(view.aggregate(spec.id(), now), oracle(spec, events, now), "{:?} at {}", spec, now);
                prop_assert!(!view.approximate(spec.id(), now));
            }
        }
    }

    #[test]
    fn pro_4_next_change_is_exact(seed: u64, length in 1_usize..40) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let specs = all_specs();
        let plan = FoldPlan::new(specs.clone());
        let events = history(&mut random, length);
        let part = fold(&plan, &events);
        for spec in &specs {
            let probes = probes(spec, &events, part.horizon());
            for (at, after) in probes.iter().enumerate() {
                let change = part.aggregate_next_change(spec.id(), *after);
                let held = part.aggregate(&plan, spec.id(), *after);
                for later in probes[at..].iter().take_while(|later| change.is_none_or(|change| **later < change)) {
                    prop_assert_eq!(&part.aggregate(&plan, spec.id(), *later), &held, "{:?} between {} and {:?}", spec, after, change);
                }
                // It never fires without a reason: the events that count are others from then on.
                if let Some(change) = change {
                    prop_assert!(change > *after);
                    let places = |now| counted(spec, &events, now).iter().map(|(event, _)| event.address).collect::<Vec<_>>();
                    prop_assert_ne!(places(change - Duration::from_micros(1)), places(change));
                }
            }
        }
    }

    #[test]
    fn pro_4_pruning_never_changes_an_answer(seed: u64, length in 1_usize..40, wait in 0_i64..4_000) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let specs = all_specs();
        let plan = FoldPlan::new(specs.clone());
        let events = history(&mut random, length);
        let part = fold(&plan, &events);
        let mut pruned = part.clone();
        pruned.prune(part.horizon() + Duration::from_secs(wait));
        for spec in &specs {
            for now in probes(spec, &events, pruned.horizon()) {
                prop_assert_eq!(pruned.aggregate(&plan, spec.id(), now), part.aggregate(&plan, spec.id(), now));
                prop_assert_eq!(pruned.aggregate_next_change(spec.id(), now), part.aggregate_next_change(spec.id(), now));
            }
        }
        prop_assert!(bytes(&pruned).len() <= bytes(&part).len());
    }
}

#[test]
fn pro_4_a_window_holds_from_the_event_to_a_span_later() {
    let count = spec(&json!({ "function": "count", "event": "Order", "window": { "last": "30d" } }));
    let plan = FoldPlan::new(vec![count.clone()]);
    let part = fold(&plan, &[event(1, "Order", at(0))]);
    let span = Duration::from_days(30);
    let micro = Duration::from_micros(1);
    let value = |now| part.aggregate(&plan, count.id(), now);
    assert_eq!(value(at(0)), Value::from(1));
    assert_eq!(value(at(0) + span - micro), Value::from(1));
    assert_eq!(value(at(0) + span), Value::from(0));
    assert_eq!(part.aggregate_next_change(count.id(), at(0)), Some(at(0) + span));
    assert_eq!(part.aggregate_next_change(count.id(), at(0) + span), None);
}

#[test]
fn pro_4_an_event_of_the_future_counts_when_its_time_comes() {
    let count = spec(&json!({ "function": "count", "event": "Order" }));
    let plan = FoldPlan::new(vec![count.clone()]);
    let early = Event {
        received_at: at(-200),
        ..event(1, "Order", at(0))
    };
    let part = fold(&plan, &[early]);
    assert_eq!(part.aggregate(&plan, count.id(), at(-1)), Value::from(0));
    assert_eq!(part.aggregate_next_change(count.id(), at(-200)), Some(at(0)));
    assert_eq!(part.aggregate(&plan, count.id(), at(0)), Value::from(1));
}

#[test]
fn pro_1_sums_are_exact_and_never_mix_currencies() {
    let of = |function: &str| spec(&json!({ "function": function, "event": "Order", "property": "total" }));
    let (sum, average) = (of("sum"), of("average"));
    let plan = FoldPlan::new(vec![sum.clone(), average.clone()]);
    let order = |sequence: u64, total: &str, currency: Option<&str>| {
        let mut event = event(sequence, "Order", at(sequence as i64));
        event.properties = object(&[("total", number(total))]);
        event
            .properties
            .extend(currency.map(|currency| ("currency".into(), Value::from(currency))));
        event
    };
    let now = at(100);
    let dimes: Vec<Event> = (0..10).map(|sequence| order(sequence, "0.1", Some("EUR"))).collect();
    let part = fold(&plan, &dimes);
    assert_eq!(part.aggregate(&plan, sum.id(), now), Value::from(1));
    assert_eq!(part.aggregate(&plan, average.id(), now), number("0.1"));
    let part = fold(
        &plan,
        dimes.iter().chain(&[
            order(11, "2", Some("usd")),
            order(12, "1", None),
            order(13, "1", Some("USD")),
        ]),
    );
    let expected = object(&[("", Value::from(1)), ("EUR", Value::from(1)), ("USD", Value::from(3))]);
    assert_eq!(part.aggregate(&plan, sum.id(), now), Value::Object(expected));
    let thirds = fold(&plan, &[order(1, "1", None), order(2, "1", None), order(3, "0", None)]);
    assert_eq!(thirds.aggregate(&plan, average.id(), now), number("0.666666666667"));
}

#[test]
fn pro_4_an_aggregate_that_is_not_held_is_null_and_says_so() {
    let (held, other) = (
        spec(&json!({ "function": "count", "event": "A" })),
        spec(&json!({ "function": "count", "event": "B" })),
    );
    let (plan, wider) = (
        FoldPlan::new(vec![held.clone()]),
        FoldPlan::new(vec![held, other.clone()]),
    );
    let part = fold(&plan, &[event(1, "B", at(0))]);
    assert_eq!(part.aggregate(&wider, other.id(), at(1)), Value::Null);
    assert!(part.approximate(other.id(), at(1)));
    assert_eq!(Part::default().aggregate(&wider, other.id(), at(1)), Value::from(0));
    assert!(!Part::default().approximate(other.id(), at(1)));
}
