//! Random histories: late, early, tied, mistyped, of several sources and currencies; and every kind of aggregate.

use super::*;
use kith_expr::Function;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

/// What version 1 of the persisted form knew: seven functions over the windows *all time*, *last* and *between*.
pub(super) fn specs_of_version_1() -> Vec<AggregateSpec> {
    let windows = [
        json!("all_time"),
        json!({ "last": "60s" }),
        json!({ "last": "1h" }),
        json!({ "between": { "from": at(-1_000).to_string(), "to": at(40).to_string() } }),
        json!({ "between": { "from": at(100).to_string() } }),
    ];
    let mut specs = Vec::new();
    for window in &windows {
        for function in ["count", "sum", "average", "min", "max", "first", "last"] {
            let mut document = json!({ "function": function, "events": ["A", "B"], "window": window });
            if function != "count" {
                document["property"] = json!("n");
            }
            specs.push(spec(&document));
            document["where"] = json!({ "property": "ok", "is": true });
            specs.push(spec(&document));
        }
        specs.push(spec(&json!({ "function": "count", "type": "any", "window": window })));
    }
    specs
}

/// Every function over every kind of window, with and without a condition. The calendar's hours of Nepal begin at a
/// quarter past those of UTC.
pub(super) fn specs_of_single_events() -> Vec<AggregateSpec> {
    let new_windows = [
        json!({ "before_last": "10m" }),
        json!({ "ago": { "from": "1h", "to": "60s" } }),
        json!({ "this": "hour", "zone": "UTC" }),
        json!({ "previous": "hour", "count": 2, "zone": "Asia/Kathmandu" }),
    ];
    let functions: Vec<&str> = Function::written().iter().map(|function| function.as_str()).collect();
    let mut specs = specs_of_version_1();
    let mut add = |function: &str, window: &serde_json::Value| {
        let mut document = json!({ "function": function, "events": ["A", "B"], "window": window });
        if function != "count" {
            document["property"] = json!("n");
        }
        specs.push(spec(&document));
    };
    for window in &new_windows {
        functions.iter().for_each(|function| add(function, window));
    }
    for window in [json!("all_time"), json!({ "last": "1h" })] {
        functions[7..].iter().for_each(|function| add(function, &window));
    }
    specs
}

/// Sequences of every kind over every kind of window, with and without a key.
pub(super) fn specs_of_sequences() -> Vec<AggregateSpec> {
    let either = json!({ "events": ["A", "B"] });
    let sequences = [
        json!({ "first": "A", "then": "B", "gap_less_than": "5m" }),
        json!({ "first": "A", "then_not": "B", "gap_less_than": "10m" }),
        json!({ "first": "A", "then": "A", "gap_at_least": "3m" }),
        json!({ "first": { "type": "any", "where": { "property": "ok", "is": true } }, "then": "C" }),
        json!({ "first": either, "then_not": either, "gap_less_than": "2m" }),
        json!({ "first": either, "then": { "events": ["B", "C"] }, "gap_at_least": "1m", "gap_less_than": "20m" }),
    ];
    let windows = [
        json!("all_time"),
        json!({ "last": "1h" }),
        json!({ "between": { "from": at(-1_000).to_string(), "to": at(400).to_string() } }),
        json!({ "before_last": "10m" }),
        json!({ "this": "hour", "zone": "Asia/Kathmandu" }),
    ];
    let mut specs = Vec::new();
    for window in &windows {
        for sequence in &sequences {
            let mut keyed = sequence.clone();
            keyed["same"] = json!("n");
            for sequence in [sequence, &keyed] {
                specs.push(spec(
                    &json!({ "function": "count", "sequence": sequence, "window": window }),
                ));
            }
        }
    }
    specs
}

pub(super) fn all_specs() -> Vec<AggregateSpec> {
    [
        specs_of_single_events(),
        specs_of_sequences(),
        vec![AggregateSpec::accounts()],
    ]
    .concat()
}

/// A history in the order of its log: `received_at` never decreases, and no event lies more than five minutes after it.
pub(super) fn history(random: &mut ChaCha8Rng, length: usize) -> Vec<Event> {
    let mut received = -2_000;
    (0..length as u64)
        .map(|sequence| {
            received += [0, 0, 1, 7, 60, 400].choose(random).unwrap();
            let shift = [0, 0, -1, 5, 299, 300, -60, -61, -3_600, -5_000]
                .choose(random)
                .unwrap();
            let name = ["A", "A", "B", "C"].choose(random).unwrap();
            let mut event = event(sequence, name, at(received + shift));
            event.received_at = at(received);
            event.source = ["web", "shop", "crm"].choose(random).unwrap().parse().unwrap();
            event.properties = properties(random);
            event.group_id = sequence.is_multiple_of(3).then(|| format!("g{}", sequence % 4).into());
            if random.random_bool(0.5) {
                event.event_type = *[EventType::Identify, EventType::Page, EventType::Group]
                    .choose(random)
                    .unwrap();
                event.traits = traits(random);
            }
            if random.random_bool(0.2) {
                let granted = ["email", "ads"].map(|category| (category.into(), Value::Bool(random.random_bool(0.5))));
                let preferences = Value::Object(granted.into());
                event.context = object(&[(
                    "consent",
                    Value::Object(object(&[("categoryPreferences", preferences)])),
                )]);
            }
            event
        })
        .collect()
}

fn properties(random: &mut ChaCha8Rng) -> Object {
    let mut properties = object(&[("ok", Value::Bool(random.random_bool(0.7)))]);
    let value = match random.random_range(0..10) {
        0 => return properties,
        1 => Value::Null,
        2 => Value::from("twelve"),
        3 => number("0.000000000000000001"),
        4 => number("-19.9"),
        _ => Value::from(random.random_range(-3..4)),
    };
    properties.push(("n".into(), value));
    if random.random_bool(0.3) {
        let currency = ["EUR", "usd", "USD", "much"].choose(random).unwrap();
        properties.push(("currency".into(), Value::from(*currency)));
    }
    properties
}

fn traits(random: &mut ChaCha8Rng) -> Object {
    // `city` has more values than are counted, `plan` few, `score` numbers of both signs among other things.
    let mut traits = object(&[(
        "city",
        Value::from(format!("city {}", random.random_range(0..40)).as_str()),
    )]);
    if random.random_bool(0.5) {
        traits.push((
            "plan".into(),
            Value::from(*["gold", "silver", "", " "].choose(random).unwrap()),
        ));
    }
    if random.random_bool(0.5) {
        let score = if random.random_bool(0.1) {
            Value::from("none")
        } else {
            Value::from(random.random_range(-30..30))
        };
        traits.push(("score".into(), score));
    }
    traits
}
