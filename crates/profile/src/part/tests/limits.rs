//! PRO-5: every limit keeps the same whatever the order, and says that it left something out.

use super::*;
use crate::limits::*;
use kith_types::Duration;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

fn shuffled(events: &[Event]) -> Vec<Event> {
    let mut events = events.to_vec();
    events.shuffle(&mut ChaCha8Rng::seed_from_u64(5));
    events
}

#[test]
fn pro_5_limits_mark_approximate_beyond_the_latest_events_of_a_window() {
    let (count, sum) = (
        spec(&json!({ "function": "count", "event": "A", "window": { "last": "30d" } })),
        spec(&json!({ "function": "sum", "event": "A", "property": "n", "window": { "last": "30d" } })),
    );
    let all_time = spec(&json!({ "function": "count", "event": "A" }));
    let plan = FoldPlan::new(vec![count.clone(), sum.clone(), all_time.clone()]);
    let extra = 50;
    let events: Vec<Event> = (0..(MAX_POINTS + extra) as u64)
        .map(|sequence| Event {
            properties: object(&[("n", Value::from(1))]),
            ..event(sequence, "A", at(sequence as i64))
        })
        .collect();
    let part = fold(&plan, &events);
    let now = part.horizon();
    let most = Value::from(MAX_POINTS as i64);
    for limited in [&count, &sum] {
        assert_eq!(part.aggregate(&plan, limited.id(), now), most);
        assert!(part.approximate(limited.id(), now));
        // Exact again once all that was left out has passed out of the window.
        let passed = at(extra as i64 - 1) + Duration::from_days(30);
        assert!(part.approximate(limited.id(), passed - Duration::from_micros(1)));
        assert!(!part.approximate(limited.id(), passed));
        assert_eq!(part.aggregate(&plan, limited.id(), passed), most);
    }
    assert_eq!(
        part.aggregate(&plan, all_time.id(), now),
        Value::from((MAX_POINTS + extra) as i64)
    );
    assert!(!part.approximate(all_time.id(), now));
    let other = shuffled(&events);
    let (one, two) = other.split_at(other.len() / 3);
    let merged = Part::merged([fold(&plan, two), fold(&plan, one)].iter());
    assert_eq!(bytes(&merged), bytes(&part));
}

#[test]
fn pro_5_numbers_beyond_the_exact_domain_are_left_out_and_said_so() {
    let functions = ["sum", "average", "min", "max"];
    let specs = functions.map(|function| spec(&json!({ "function": function, "event": "A", "property": "n" })));
    let sliding = spec(&json!({ "function": "sum", "event": "A", "property": "n", "window": { "last": "1h" } }));
    let plan = FoldPlan::new([&specs[..], std::slice::from_ref(&sliding)].concat());
    let of = |sequence: u64, n: Value| Event {
        properties: object(&[("n", n)]),
        ..event(sequence, "A", at(sequence as i64))
    };
    let part = fold(&plan, &[of(1, number("2")), of(2, number("1e300"))]);
    for spec in &specs {
        assert_eq!(part.aggregate(&plan, spec.id(), at(10)), Value::from(2));
        assert!(part.approximate(spec.id(), at(10)));
    }
    assert!(part.approximate(sliding.id(), at(3_601)));
    assert!(!part.approximate(sliding.id(), at(3_602)));
    // A text is no number: it is not counted, and nothing is left out.
    let part = fold(&plan, &[of(1, number("2")), of(2, Value::from("3"))]);
    assert!(!part.approximate(specs[0].id(), at(10)));
}

#[test]
fn pro_5_values_too_large_are_left_out_and_said_so() {
    let last = spec(&json!({ "function": "last", "event": "A", "property": "n" }));
    let plan = FoldPlan::new(vec![last.clone()]);
    let long = Value::from("x".repeat(MAX_VALUE_BYTES).as_str());
    let of = |sequence: u64, n: Value| Event {
        properties: object(&[("n", n)]),
        ..event(sequence, "A", at(sequence as i64))
    };
    let part = fold(&plan, &[of(1, Value::from("short")), of(2, long.clone())]);
    assert_eq!(part.aggregate(&plan, last.id(), at(3)), Value::from("short"));
    assert!(part.approximate(last.id(), at(3)));
    let part = fold(
        &plan,
        &[
            said(1, "web", 1, "bio", Value::from("short")),
            said(2, "web", 2, "bio", long),
        ],
    );
    let resolved = part.resolve_trait("bio", &Survivorship::MostRecent).unwrap();
    assert_eq!((resolved.value, resolved.approximate), (&Value::from("short"), true));
    let mut deep = Value::Null;
    for _ in 0..=MAX_VALUE_DEPTH {
        deep = Value::Array(vec![deep]);
    }
    let part = fold(&plan, &[said(1, "web", 1, "deep", deep)]);
    assert_eq!(part.resolve_trait("deep", &Survivorship::MostRecent), None);
    let unsure = |name: &str| part.trait_approximate(name, &TraitRules::default());
    assert!(unsure("deep") && unsure("deep.inside") && !unsure("other") && !unsure("other.inside"));
    assert_eq!(Part::decode(&bytes(&part)), Ok(part));
}

#[test]
fn pro_5_traits_beyond_the_limit_are_those_of_largest_hash() {
    let plan = FoldPlan::new(Vec::new());
    let events: Vec<Event> = (0..MAX_TRAITS as u64 + 40)
        .map(|sequence| said(sequence, "web", 1, &format!("trait {sequence}"), Value::from(1)))
        .collect();
    let part = fold(&plan, &events);
    assert_eq!(part.trait_names().count(), MAX_TRAITS);
    assert!(part.traits_limited());
    let unsure = |name: &str| part.trait_approximate(name, &TraitRules::default());
    let kept = part.trait_names().next().unwrap();
    assert!(!unsure(kept) && unsure("nobody said it, or it was one too many"));
    assert!(!fold(&plan, &events[..MAX_TRAITS]).traits_limited());
    let other = shuffled(&events);
    let (one, two) = other.split_at(100);
    assert_eq!(
        bytes(&Part::merged([fold(&plan, one), fold(&plan, two)].iter())),
        bytes(&part)
    );
    let long = said(1, "web", 1, &"n".repeat(MAX_TRAIT_NAME_BYTES + 1), Value::from(1));
    assert!(fold(&plan, &[long]).traits_limited());
}

#[test]
fn pro_5_values_beyond_the_limit_keep_what_rules_pick_and_say_that_counts_are_cut() {
    let plan = FoldPlan::new(Vec::new());
    let events: Vec<Event> = (0..200)
        .map(|sequence| {
            said(
                sequence,
                "web",
                sequence as i64,
                "score",
                Value::from(sequence as i64 - 50),
            )
        })
        .collect();
    let part = fold(&plan, &events);
    let resolve = |rule| part.resolve_trait("score", &rule).unwrap();
    assert_eq!(resolve(Survivorship::MostRecent).value, &Value::from(149));
    assert_eq!(resolve(Survivorship::Max).value, &Value::from(149));
    assert_eq!(resolve(Survivorship::Oldest).value, &Value::from(-50));
    assert_eq!(resolve(Survivorship::Min).value, &Value::from(-50));
    assert!(!resolve(Survivorship::Min).approximate);
    assert!(resolve(Survivorship::MostFrequent).approximate);
    let other = shuffled(&events);
    let (one, two) = other.split_at(5);
    assert_eq!(
        bytes(&Part::merged([fold(&plan, one), fold(&plan, two)].iter())),
        bytes(&part)
    );
}

#[test]
fn pro_5_consent_categories_beyond_the_limit_are_not_known() {
    let plan = FoldPlan::new(Vec::new());
    let events: Vec<Event> = (0..MAX_CONSENT_CATEGORIES as u64 + 20)
        .map(|sequence| {
            let preferences = Value::Object(vec![(
                format!("category {sequence}").as_str().into(),
                Value::from(true),
            )]);
            let context = object(&[(
                "consent",
                Value::Object(object(&[("categoryPreferences", preferences)])),
            )]);
            Event {
                context,
                ..event(sequence, "A", at(0))
            }
        })
        .collect();
    let part = fold(&plan, &events);
    assert_eq!(part.consents().count(), MAX_CONSENT_CATEGORIES);
    let unsure = |part: &Part, category: &str| part.view(&plan, &TraitRules::default()).consent_approximate(category);
    let kept = part.consents().next().unwrap().category.to_owned();
    assert!(!unsure(&part, &kept) && unsure(&part, "one too many"));
    let few = fold(&plan, &events[..5]);
    assert!(!unsure(&few, "never heard of") && unsure(&few, &"c".repeat(MAX_CATEGORY_BYTES + 1)));
    assert_eq!(bytes(&fold(&plan, &shuffled(&events))), bytes(&part));
}

#[test]
fn a_common_profile_takes_less_than_a_kilobyte() {
    let specs: Vec<AggregateSpec> = (0..10)
        .map(|at| spec(&json!({ "function": "count", "event": format!("E{at}"), "window": { "last": "30d" } })))
        .collect();
    let plan = FoldPlan::new(specs);
    let mut events: Vec<Event> = (0..4)
        .map(|sequence| event(sequence, &format!("E{sequence}"), at(sequence as i64)))
        .collect();
    events.push(said(9, "web", 9, "email", Value::from("somebody@example.com")));
    let mut part = fold(&plan, &events);
    part.prune(at(10));
    assert!(part.memory_bytes() < 1_024, "{}", part.memory_bytes());
    assert!(bytes(&part).len() < 500, "{}", bytes(&part).len());
}

#[test]
fn pro_5_what_is_kept_of_early_events_does_not_depend_on_when_they_came_due() {
    let last = spec(&json!({ "function": "last", "event": "A", "property": "n", "window": { "last": "30d" } }));
    let plan = FoldPlan::new(vec![last.clone()]);
    // More events than a window keeps, all of them received before their time, and one received after it.
    let mut events: Vec<Event> = (0..MAX_POINTS as u64 + 10)
        .map(|sequence| {
            let early = event(sequence, "A", at(100));
            Event {
                received_at: at(0),
                properties: object(&[("n", Value::from(sequence as i64))]),
                ..early
            }
        })
        .collect();
    events.push(event(MAX_POINTS as u64 + 10, "A", at(200)));
    let part = fold(&plan, &events);
    assert_eq!(
        part.aggregate(&plan, last.id(), at(200)),
        Value::from(MAX_POINTS as i64 + 9)
    );
    assert!(!part.approximate(last.id(), at(200)));
    events.reverse();
    assert_eq!(bytes(&fold(&plan, &events)), bytes(&part));
}

#[test]
fn pro_5_waiting_events_beyond_the_limit_are_counted_early_and_said_so() {
    let of = |function: &str| {
        let mut document = json!({ "function": function, "event": "A", "window": { "before_last": "30d" } });
        if function != "count" {
            document["property"] = json!("n");
        }
        spec(&document)
    };
    let specs = ["count", "sum", "unique_count"].map(of);
    let plan = FoldPlan::new(specs.to_vec());
    let extra = 5;
    let events: Vec<Event> = (0..(MAX_POINTS + extra) as u64)
        .map(|sequence| Event {
            properties: object(&[("n", Value::from(1))]),
            ..event(sequence, "A", at(sequence as i64))
        })
        .collect();
    let part = fold(&plan, &events);
    let (micro, span) = (Duration::from_micros(1), Duration::from_days(30));
    for spec in &specs {
        assert!(part.approximate(spec.id(), part.horizon()));
        // Exact again once all that was counted too early counts by its own time.
        let counted = at(extra as i64 - 1) + span;
        assert!(part.approximate(spec.id(), counted - micro));
        assert!(!part.approximate(spec.id(), counted));
        let expected = if spec.function == kith_expr::Function::UniqueCount {
            1
        } else {
            extra as i64
        };
        assert_eq!(part.aggregate(&plan, spec.id(), counted), Value::from(expected));
    }
    let other = shuffled(&events);
    let (one, two) = other.split_at(other.len() / 3);
    let merged = Part::merged([fold(&plan, two), fold(&plan, one)].iter());
    assert_eq!(bytes(&merged), bytes(&part));
}

#[test]
fn pro_5_distinct_values_beyond_the_limit_are_those_of_smallest_hash_and_their_number_an_estimate() {
    let of = |function: &str, window: serde_json::Value| {
        spec(&json!({ "function": function, "event": "A", "property": "n", "window": window }))
    };
    let windows = [json!("all_time"), json!({ "last": "30d" })];
    let functions = ["unique_count", "unique_list", "most_frequent"];
    let specs: Vec<AggregateSpec> = windows
        .iter()
        .flat_map(|window| functions.map(|function| of(function, window.clone())))
        .collect();
    let plan = FoldPlan::new(specs.clone());
    let many = 4 * MAX_DISTINCT as i64;
    let events: Vec<Event> = (0..many)
        .map(|n| Event {
            properties: object(&[("n", Value::from(n))]),
            ..event(n as u64, "A", at(n))
        })
        .collect();
    let few = fold(&plan, &events[..MAX_DISTINCT]);
    let part = fold(&plan, &events);
    let now = part.horizon();
    for spec in &specs {
        assert!(!few.approximate(spec.id(), now));
        assert!(part.approximate(spec.id(), now));
        match (spec.function, part.aggregate(&plan, spec.id(), now)) {
            (kith_expr::Function::UniqueCount, count) => {
                let count = count.as_number().unwrap().to_i64().unwrap();
                assert!((count - many).abs() < many / 10, "{count}");
            }
            (kith_expr::Function::UniqueList, Value::Array(values)) => assert_eq!(values.len(), MAX_DISTINCT),
            (function, value) => assert!(value.as_number().is_some(), "{function:?} {value:?}"),
        }
    }
    let other = shuffled(&events);
    let (one, two) = other.split_at(other.len() / 3);
    let merged = Part::merged([fold(&plan, two), fold(&plan, one)].iter());
    assert_eq!(bytes(&merged), bytes(&part));
}

#[test]
fn pro_5_the_events_of_a_sequence_beyond_the_limit_are_left_out_and_said_so() {
    let of = |window: serde_json::Value| {
        let sequence = json!({ "first": "A", "then": "A", "gap_less_than": "1h", "same": "n" });
        spec(&json!({ "function": "count", "sequence": sequence, "window": window }))
    };
    let (sliding, all_time) = (of(json!({ "last": "30d" })), of(json!("all_time")));
    let plan = FoldPlan::new(vec![sliding.clone(), all_time.clone()]);
    // Four events at each instant, of two keys.
    let events: Vec<Event> = (0..MAX_POINTS as u64 + 40)
        .map(|sequence| Event {
            properties: object(&[("n", Value::from((sequence % 2) as i64))]),
            ..event(sequence, "A", at(sequence as i64 / 4))
        })
        .collect();
    let part = fold(&plan, &events);
    assert!(!fold(&plan, &events[..MAX_POINTS]).approximate(all_time.id(), at(1)));
    let now = part.horizon();
    // The last events of either key are not followed.
    let whole = Value::from(MAX_POINTS as i64 - 4);
    assert_eq!(part.aggregate(&plan, all_time.id(), now), whole);
    assert!(part.approximate(all_time.id(), at(0) + Duration::from_days(90)));
    // Instances that begin with what was left out are done within the gap at the latest.
    let passed = at(9) + Duration::from_days(30) + Duration::from_secs(3_600);
    assert!(part.approximate(sliding.id(), passed - Duration::from_micros(1)));
    assert!(!part.approximate(sliding.id(), passed));
    let other = shuffled(&events);
    let (one, two) = other.split_at(other.len() / 3);
    let merged = Part::merged([fold(&plan, two), fold(&plan, one)].iter());
    assert_eq!(bytes(&merged), bytes(&part));
    // What falls into the instant at which the limit cuts is left out as a whole, however late it comes.
    let again = event(99_999, "A", at(9));
    let again = Event {
        received_at: now,
        properties: object(&[("n", Value::from(0))]),
        ..again
    };
    let mut late = part.clone();
    late.apply(&plan, &again);
    let mut early = vec![again];
    early.extend(events);
    assert_eq!(bytes(&late), bytes(&fold(&plan, &early)));
}
