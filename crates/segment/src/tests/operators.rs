//! SEG-1: every operator, at its boundaries and with nothing known.

use super::world::{World, compile, second};
use kith_types::Timestamp;
use serde_json::{Value as Json, json};

fn check(cases: &[(Json, bool)], world: impl Fn() -> World, now: Timestamp) {
    for (condition, expected) in cases {
        let segment = compile(condition);
        let mut world = world();
        world.keep(&segment);
        assert_eq!(segment.is_member(&world, now), *expected, "{condition}");
        // Turned round twice it says the same, turned round once the opposite.
        let not = compile(&json!({ "not": condition }));
        assert_eq!(not.is_member(&world, now), !*expected, "not {condition}");
    }
}

#[test]
fn seg_1_traits_are_tested() {
    let world = || {
        World::default()
            .with_trait("country", json!("DE"))
            .with_trait("points", json!(50))
            .with_trait("balance", json!(19.90))
            .with_trait("vip", json!(true))
            .with_trait("tags", json!(["new", "shoes", 7]))
            .with_trait("nothing", json!(null))
            .with_trait("empty", json!(""))
            .with_trait("digits", json!("50"))
            .with_trait("seen", json!("1970-01-01T00:01:40Z"))
    };
    let asked = |name: &str, test: &str, operand: Json| json!({ "trait": name, test: operand });
    check(
        &[
            (asked("country", "equals", json!("DE")), true),
            (asked("country", "equals", json!("de")), false),
            (asked("country", "not_equals", json!("FR")), true),
            (asked("country", "not_equals", json!("DE")), false),
            (asked("unknown", "equals", json!("DE")), false),
            (asked("unknown", "not_equals", json!("DE")), true),
            (asked("nothing", "not_equals", json!("DE")), true),
            (asked("digits", "equals", json!(50)), false),
            (asked("points", "equals", json!(50.0)), true),
            (asked("balance", "equals", json!(19.9)), true),
            (asked("vip", "is", json!(true)), true),
            (asked("vip", "equals", json!("true")), false),
            (asked("points", "greater_than", json!(50)), false),
            (asked("points", "greater_than", json!(49.999)), true),
            (asked("points", "greater_or_equal", json!(50)), true),
            (asked("points", "less_than", json!(50)), false),
            (asked("points", "less_than", json!(50.001)), true),
            (asked("points", "less_or_equal", json!(50)), true),
            (asked("digits", "greater_than", json!(1)), false),
            (asked("unknown", "less_than", json!(1)), false),
            (asked("country", "contains", json!("E")), true),
            (asked("country", "contains", json!("e")), false),
            (asked("tags", "contains", json!("shoes")), true),
            (asked("tags", "contains", json!("shoe")), false),
            (asked("tags", "contains", json!(7)), true),
            (asked("country", "starts_with", json!("D")), true),
            (asked("country", "starts_with", json!("E")), false),
            (asked("country", "ends_with", json!("E")), true),
            (asked("unknown", "ends_with", json!("E")), false),
            (asked("country", "any_of", json!(["FR", "DE"])), true),
            (asked("country", "any_of", json!(["FR"])), false),
            (asked("country", "none_of", json!(["FR"])), true),
            (asked("unknown", "none_of", json!(["FR"])), true),
            (asked("unknown", "any_of", json!(["FR"])), false),
            (asked("country", "exists", json!(true)), true),
            (asked("empty", "exists", json!(true)), true),
            (asked("nothing", "exists", json!(true)), false),
            (asked("unknown", "exists", json!(false)), true),
            (asked("country", "not_exists", json!(true)), false),
        ],
        world,
        second(200),
    );
}

#[test]
fn seg_1_dates_are_tested_at_their_boundaries() {
    let world = || {
        World::default()
            .with_trait("seen", json!("1970-01-01T00:01:40Z"))
            .with_trait("word", json!("soon"))
    };
    let asked = |name: &str, test: &str, operand: &str| json!({ "trait": name, test: operand });
    let at_100 = "1970-01-01T00:01:40Z";
    check(
        &[
            (asked("seen", "before", at_100), false),
            (asked("seen", "before", "1970-01-01T00:01:40.000001Z"), true),
            (asked("seen", "after", at_100), false),
            (asked("seen", "after", "1970-01-01T00:01:39.999999Z"), true),
            (asked("word", "before", at_100), false),
            (asked("none", "after", at_100), false),
            (json!({ "not": asked("none", "after", at_100) }), true),
        ],
        world,
        second(130),
    );
    for (now, within, before) in [
        (Timestamp::from_micros(99_999_999), false, false),
        (second(100), true, false),
        (Timestamp::from_micros(129_999_999), true, false),
        (second(130), false, true),
    ] {
        check(
            &[
                (asked("seen", "within_last", "30s"), within),
                (asked("seen", "before_last", "30s"), before),
            ],
            world,
            now,
        );
    }
}

#[test]
fn seg_1_counts_of_events_are_compared() {
    let world = || (1..=3).fold(World::default(), |world, at| world.did("Order", at, json!({})));
    let counted = |fields: Json| {
        let mut performed = json!({ "event": "Order" });
        performed
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        json!({ "performed": performed })
    };
    check(
        &[
            (json!({ "performed": "Order" }), true),
            (json!({ "performed": "Refund" }), false),
            (json!({ "performed": "order" }), false),
            (json!({ "not_performed": "Order" }), false),
            (json!({ "not_performed": { "event": "Refund" } }), true),
            (json!({ "performed": { "events": ["Order", "Refund"] } }), true),
            (counted(json!({ "at_least": 3 })), true),
            (counted(json!({ "at_least": 4 })), false),
            (counted(json!({ "at_most": 3 })), true),
            (counted(json!({ "at_most": 2 })), false),
            (counted(json!({ "exactly": 3 })), true),
            (counted(json!({ "exactly": 2 })), false),
            (counted(json!({ "exactly": 0 })), false),
            (counted(json!({ "more_than": 2 })), true),
            (counted(json!({ "more_than": 3 })), false),
            (counted(json!({ "less_than": 4 })), true),
            (counted(json!({ "less_than": 3 })), false),
            (counted(json!({ "at_least": 2, "at_most": 3 })), true),
            (counted(json!({ "at_least": 4, "at_most": 9 })), false),
            (json!({ "performed": { "event": "Refund", "at_most": 5 } }), true),
            (json!({ "performed": { "event": "Refund", "exactly": 0 } }), true),
        ],
        world,
        second(9),
    );
}

#[test]
fn seg_1_windows_include_now_and_exclude_their_far_end() {
    let world = || World::default().did("Order", 100, json!({}));
    let within = |window: Json| json!({ "performed": { "event": "Order", "within": window } });
    let between = |from: i64, to: i64| {
        within(json!({ "between": { "from": second(from).to_string(), "to": second(to).to_string() } }))
    };
    let before = Timestamp::from_micros(99_999_999);
    for (now, all, last) in [
        (before, false, false),
        (second(100), true, true),
        (Timestamp::from_micros(109_999_999), true, true),
        (second(110), true, false),
    ] {
        check(
            &[
                (within(json!("all_time")), all),
                (within(json!({ "last": "10s" })), last),
            ],
            world,
            now,
        );
    }
    let now = second(500);
    check(
        &[
            (between(100, 101), true),
            (between(99, 100), false),
            (within(json!({ "between": { "from": second(100).to_string() } })), true),
            (within(json!({ "between": { "to": second(100).to_string() } })), false),
        ],
        world,
        now,
    );
    check(&[(between(0, 900), false)], world, before);
}

#[test]
fn seg_1_properties_of_events_are_filtered() {
    let world = || {
        World::default()
            .did("Order", 1, json!({ "total": 49.99, "shop": { "city": "Bonn" } }))
            .did(
                "Order",
                2,
                json!({ "total": 50, "coupon": "SPRING10", "shop": { "city": "Ulm" } }),
            )
            .did("Order", 3, json!({ "total": "70" }))
    };
    let filtered =
        |filter: Json, count: u64| json!({ "performed": { "event": "Order", "where": filter, "exactly": count } });
    check(
        &[
            (
                filtered(json!({ "property": "total", "greater_or_equal": 50 }), 1),
                true,
            ),
            (filtered(json!({ "property": "total", "greater_than": 49.98 }), 2), true),
            (filtered(json!({ "property": "total", "exists": true }), 3), true),
            (
                filtered(json!({ "property": "coupon", "starts_with": "SPRING" }), 1),
                true,
            ),
            (
                filtered(json!({ "property": "coupon", "not_equals": "SPRING10" }), 2),
                true,
            ),
            (
                filtered(json!({ "property": "shop.city", "any_of": ["Ulm", "Bonn"] }), 2),
                true,
            ),
            (
                filtered(
                    json!({ "any": [{ "property": "total", "equals": "70" }, { "property": "shop.city", "equals": "Ulm" }] }),
                    2,
                ),
                true,
            ),
            (
                filtered(json!({ "not": { "property": "shop.city", "exists": true } }), 1),
                true,
            ),
        ],
        world,
        second(9),
    );
}

#[test]
fn seg_1_computed_traits_are_tested() {
    let world = || {
        World::default()
            .did("Order", 10, json!({ "total": 20, "due": "1970-01-01T00:00:30Z" }))
            .did("Order", 13, json!({ "total": 30 }))
    };
    check(
        &[
            (json!({ "computed_trait": "orders_5s", "greater_than": 1 }), true),
            (json!({ "computed_trait": "orders_5s", "greater_than": 2 }), false),
            (json!({ "computed_trait": "spent", "equals": 50 }), true),
            (json!({ "computed_trait": "largest_7s", "greater_or_equal": 30 }), true),
            (
                json!({ "computed_trait": "last_due", "after": "1970-01-01T00:00:29Z" }),
                true,
            ),
            (json!({ "computed_trait": "last_due", "within_last": "1h" }), false),
        ],
        world,
        second(14),
    );
    // The order of second 10 has left the five seconds at 15; of no number there is no largest.
    check(
        &[
            (json!({ "computed_trait": "orders_5s", "equals": 1 }), true),
            (json!({ "computed_trait": "last_due", "exists": true }), true),
        ],
        world,
        second(15),
    );
    check(
        &[
            (json!({ "computed_trait": "orders_5s", "equals": 0 }), true),
            (json!({ "computed_trait": "largest_7s", "exists": false }), true),
            (json!({ "computed_trait": "spent", "equals": 50 }), true),
            (json!({ "computed_trait": "last_due", "within_last": "1h" }), true),
        ],
        world,
        second(30),
    );
}

#[test]
fn seg_1_consent_is_granted_denied_or_unknown() {
    let world = || {
        World::default()
            .answered("marketing", true)
            .answered("profiling", false)
    };
    check(
        &[
            (json!({ "consent": "marketing" }), true),
            (json!({ "consent": "profiling" }), false),
            (json!({ "consent": "telephone" }), false),
            (json!({ "consent": "profiling", "answer": "denied" }), true),
            (json!({ "consent": "telephone", "answer": "denied" }), false),
            (json!({ "consent": "telephone", "answer": "unknown" }), true),
            (json!({ "consent": "marketing", "answer": "unknown" }), false),
        ],
        world,
        second(0),
    );
}

#[test]
fn seg_1_other_segments_are_asked_at_the_same_instant() {
    let world = || World::default().did("Order", 10, json!({}));
    let (buyers, quiet) = (json!({ "segment": "buyers" }), json!({ "segment": "quiet_buyers" }));
    check(&[(buyers.clone(), false)], world, second(9));
    check(&[(buyers.clone(), true), (quiet.clone(), true)], world, second(10));
    check(&[(buyers, false), (quiet.clone(), false)], world, second(16));
    check(
        &[(quiet, false)],
        || world().did("Complaint", 11, json!({})),
        second(12),
    );
}

#[test]
fn seg_1_conditions_combine() {
    let (yes, no) = (
        json!({ "trait": "country", "equals": "DE" }),
        json!({ "trait": "country", "equals": "FR" }),
    );
    check(
        &[
            (json!({ "all": [yes, yes] }), true),
            (json!({ "all": [yes, no] }), false),
            (json!({ "any": [no, yes] }), true),
            (json!({ "any": [no, no] }), false),
            (json!({ "not": { "any": [no, { "not": yes }] } }), true),
            (json!({ "all": [{ "any": [yes, no] }, { "not": no }] }), true),
        ],
        || World::default().with_trait("country", json!("DE")),
        second(0),
    );
}

#[test]
fn seg_1_an_aggregate_that_is_not_kept_is_no_event() {
    let segment = compile(&json!({ "performed": "Order" }));
    let world = World::default().did("Order", 1, json!({}));
    assert!(!segment.is_member(&world, second(2)));
}
