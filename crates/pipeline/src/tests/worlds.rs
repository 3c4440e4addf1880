//! Small histories by dice: few people and devices, so that everything meets everything; late, equal and future times.

use super::{decision, event, identify, performed, record, vetoes, with_id};
use crate::Veto;
use crate::definitions::DefinitionDocument;
use kith_types::{Address, Identifier, Record};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};

/// A history: records in their order, and the second after the last of them.
pub(crate) struct World {
    pub(crate) records: Vec<Record>,
    pub(crate) end: i64,
}

const PEOPLE: [&str; 4] = ["user_id:u1", "user_id:u2", "user_id:u3", "user_id:u4"];
const DEVICES: [&str; 3] = ["anonymous_id:a1", "anonymous_id:a2", "anonymous_id:a3"];
/// One card, as some rules spell it, and another one.
const CARDS: [&str; 4] = ["loyalty_id:Ab-1", "loyalty_id:ab1", "loyalty_id:AB1", "device_id:d1"];
const MAILS: [&str; 3] = ["email:m1@x.org", "email:m2@x.org", "email:m3@x.org"];
const NAMES: [&str; 3] = ["Order Completed", "Product Viewed", "Call Ended"];

/// The definitions that a world may apply.
pub(crate) fn documents() -> Vec<(&'static str, &'static str, Json)> {
    vec![
        (
            "computed_trait",
            "orders",
            json!({"function": "count", "event": "Order Completed"}),
        ),
        (
            "computed_trait",
            "spent",
            json!({"function": "sum", "event": "Order Completed", "property": "total", "window": {"last": "40s"}}),
        ),
        ("segment", "buyers", performed("Order Completed", 1, 30)),
        ("segment", "viewers", performed("Product Viewed", 2, 20)),
        (
            "segment",
            "loyal",
            json!({"where": {"computed_trait": "orders", "greater_or_equal": 3}}),
        ),
        (
            "segment",
            "spenders",
            json!({"where": {"computed_trait": "spent", "greater_than": 50}}),
        ),
        ("segment", "pro", json!({"where": {"trait": "plan", "equals": "pro"}})),
        (
            "segment",
            "of_pro_accounts",
            json!({"where": {"account": {"trait": "plan", "equals": "pro"}}}),
        ),
        (
            "segment",
            "buyers_of_free_accounts",
            json!({"where": {"all": [
                {"account": {"not": {"trait": "plan", "equals": "pro"}}},
                {"performed": {"event": "Order Completed", "within": {"last": "40s"}}},
            ]}}),
        ),
        (
            "segment",
            "lapsing",
            json!({"where": {"all": [
                {"performed": {"event": "Order Completed", "within": {"last": "2m"}}},
                {"not_performed": {"type": "any", "within": {"last": "15s"}}},
            ]}}),
        ),
        (
            "segment",
            "undecided",
            json!({"where": {"sequence": {
                "first": "Product Viewed",
                "then_not": {"events": ["Product Viewed", "Order Completed"]},
                "gap_less_than": "20s",
                "within": {"last": "1m"},
            }}}),
        ),
        (
            "segment",
            "returned",
            json!({"where": {"lifecycle": {"stage": "came_back", "type": "any", "after": "30s", "last": "1m"}}}),
        ),
        (
            "segment",
            "drawn",
            json!({"where": {"all": [
                {"bucket": {"salt": "test", "from": 25, "to": 75}},
                {"performed": {"type": "any", "within": {"previous": "hour", "zone": "Asia/Kathmandu"}}},
            ]}}),
        ),
        (
            "segment",
            "invited",
            json!({"where": {"listed": ["email:m1@x.org", "anonymous_id:a2", "user_id:u4"]}}),
        ),
    ]
}

/// A random event's identifiers, at least one.
fn identifiers(random: &mut ChaCha8Rng) -> String {
    loop {
        let mut found = Vec::new();
        for (chance, pool) in [
            (0.45, &PEOPLE[..]),
            (0.7, &DEVICES[..]),
            (0.2, &MAILS[..]),
            (0.15, &CARDS[..]),
        ] {
            if random.random_bool(chance) {
                found.extend(pool.choose(random).copied());
            }
        }
        if !found.is_empty() {
            return found.join(" ");
        }
    }
}

fn one_event(random: &mut ChaCha8Rng, received: i64, messages: u64) -> Json {
    let late = if random.random_bool(0.3) {
        random.random_range(0..60)
    } else {
        0
    };
    let identifiers = identifiers(random);
    let event = if random.random_bool(0.2) {
        let plan = ["pro", "free"].choose(random).copied().unwrap();
        identify(&identifiers, received - late, json!({"plan": plan}))
    } else {
        let name = NAMES.choose(random).copied().unwrap();
        event(
            &identifiers,
            name,
            received - late,
            json!({"total": random.random_range(1..60)}),
        )
    };
    // Some copies are sent twice.
    let message = random.random_range(0..messages * 4);
    with_id(of_account(event, message), &format!("m{message}"))
}

/// Some events name an account, and some that say traits speak of it.
fn of_account(mut event: Json, message: u64) -> Json {
    if message.is_multiple_of(3) {
        event["groupId"] = json!(["acme", "globex"][message as usize % 2]);
        if event["type"] == "identify" && message.is_multiple_of(2) {
            event["type"] = json!("group");
        }
    }
    event
}

/// Vetoes of events before `sequence` and of pairs, and the end of some.
pub(crate) fn some_vetoes(random: &mut ChaCha8Rng, in_force: &mut Vec<Veto>, sequence: u64) -> (Vec<Veto>, Vec<Veto>) {
    let identifier = |random: &mut ChaCha8Rng| {
        let pool = [&PEOPLE[..], &DEVICES[..], &MAILS[..]][random.random_range(0..3)];
        Identifier::parse(pool.choose(random).unwrap()).unwrap()
    };
    let mut added = Vec::new();
    for _ in 0..random.random_range(0..3) {
        let (one, other) = (identifier(random), identifier(random));
        if random.random_bool(0.7) {
            let event = Address {
                generation: 1,
                partition: 0,
                sequence: random.random_range(0..sequence),
                index: random.random_range(0..2),
            };
            added.push(Veto::Event { event, identifier: one });
        } else if one != other {
            added.push(Veto::pair(one, other));
        }
    }
    let mut removed = Vec::new();
    while !in_force.is_empty() && random.random_bool(0.4) {
        let at = random.random_range(0..in_force.len());
        removed.push(in_force.swap_remove(at));
    }
    added.retain(|veto| !removed.contains(veto));
    in_force.extend(added.iter().cloned());
    (added, removed)
}

/// Rules of identity by dice, of every kind that there is.
pub(crate) fn some_rules(random: &mut ChaCha8Rng) -> Json {
    let types = ["user_id", "email", "anonymous_id", "device_id", "loyalty_id", "custom"];
    loop {
        let mut spec = serde_json::Map::new();
        for kind in types {
            if random.random_bool(0.5) {
                spec.insert(kind.to_owned(), some_type(random));
            }
        }
        let rules = json!({"types": spec});
        // Some throws contradict themselves: a type that is held cannot authenticate.
        if crate::check_definitions(&[], &[definition(&("identity_rules", "main", rules.clone()))]).is_ok() {
            return rules;
        }
    }
}

fn some_type(random: &mut ChaCha8Rng) -> Json {
    let mut said = json!({});
    let mut say = |random: &mut ChaCha8Rng, field: &str, values: &[Json]| {
        if random.random_bool(0.3) {
            said[field] = values.choose(random).cloned().unwrap();
        }
    };
    say(random, "limit", &[json!(1), json!(2), json!(3), json!(500)]);
    say(random, "priority", &[json!(5), json!(25), json!(45), json!(70)]);
    say(random, "authenticates", &[json!(true), json!(false)]);
    let claims = ["link", "first_owner", "ambiguous", "last_authenticated"];
    say(random, "claim", &claims.map(Json::from));
    say(random, "normalise", &["lowercase", "trim", "none"].map(Json::from));
    say(random, "blocked", &[json!(["m1@x.org", "a2"]), json!(["u3", "ab1"])]);
    say(random, "blocked_patterns", &[json!(["^.2"]), json!(["^A"])]);
    say(
        random,
        "replace",
        &[
            json!([{"pattern": "-", "with": ""}]),
            json!([{"pattern": "[12]", "with": "0"}]),
        ],
    );
    said
}

/// A world of so many records, whose definitions come and go in the middle.
pub(crate) fn world(seed: u64, count: u64, rules_change: bool) -> World {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let all = documents();
    let (mut records, mut received) = (Vec::new(), 0);
    let mut in_force = Vec::new();
    for sequence in 0..count {
        received += *[0, 0, 1, 3, 10, 45].choose(&mut random).unwrap();
        let roll = random.random_range(0..100);
        if sequence == 0 || roll < 5 {
            let mut some: Vec<_> = all.iter().filter(|_| random.random_bool(0.5)).cloned().collect();
            // Segments of computed traits need those.
            some.extend(all.iter().take(2).cloned());
            records.push(decision(sequence, received, &some));
        } else if roll < 8 {
            let (kind, name, _) = all[random.random_range(2..all.len())];
            records.push(decision(sequence, received, &[(kind, name, Json::Null)]));
        } else if roll < 10 {
            let spec = performed(
                NAMES[random.random_range(0..3)],
                random.random_range(1..4),
                random.random_range(5..60),
            );
            records.push(decision(sequence, received, &[("segment", "buyers", spec)]));
        } else if roll < 12 && rules_change {
            let rules = ("identity_rules", "main", some_rules(&mut random));
            records.push(decision(sequence, received, &[rules]));
        } else if (12..17).contains(&roll) && rules_change {
            let (added, removed) = some_vetoes(&mut random, &mut in_force, sequence);
            records.push(vetoes(sequence, received, &added, &removed));
        } else {
            let events: Vec<Json> = (0..random.random_range(1..4))
                .map(|_| one_event(&mut random, received, count))
                .collect();
            records.push(record(sequence, received, &events));
        }
    }
    World {
        records,
        end: received + 1,
    }
}

/// A document as a decision carries it.
pub(crate) fn definition((kind, name, spec): &(&str, &str, Json)) -> DefinitionDocument {
    DefinitionDocument {
        kind: (*kind).into(),
        name: (*name).into(),
        spec: Some(spec.clone()),
    }
}
