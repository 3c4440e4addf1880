//! Documents to aggregates and back, the errors of wrong ones, and the ids that must never change.

use super::*;
use crate::{AggregateId, Path};
use kith_types::{Address, Duration, Event, EventKey, Origin, SpaceId, Timestamp};
use serde_json::json;

fn event(kind: EventType, name: &str, properties: &Json) -> Event {
    let Ok(Value::Object(properties)) = value_of_json(properties) else {
        panic!("properties are an object")
    };
    Event {
        space: SpaceId::main(),
        source: "web".parse().unwrap(),
        address: Address::default(),
        key: EventKey(1),
        message_id: None,
        event_type: kind,
        name: name.into(),
        event_time: Timestamp::default(),
        received_at: Timestamp::default(),
        time_note: None,
        identifiers: Vec::new(),
        group_id: None,
        traits: vec![("plan".into(), Value::from("gold"))],
        properties,
        context: vec![("page".into(), Value::Object(vec![("path".into(), Value::from("/"))]))],
        origin: Origin::Live,
    }
}

fn example() -> Json {
    json!({
        "function": "sum",
        "event": "Order Completed",
        "where": { "all": [
            { "property": "total", "greater_than": 100 },
            { "not": { "any": [{ "property": "currency", "equals": "EUR" }, { "context": "page.path", "starts_with": "/test" }] } },
        ] },
        "property": "total",
        "window": { "last": "30d" },
    })
}

#[test]
fn pro_4_a_computed_trait_is_read_and_written() {
    let spec = parse_aggregate(&example()).unwrap();
    assert_eq!(spec.function, Function::Sum);
    assert_eq!(spec.property, Path::new("total"));
    assert_eq!(spec.window, Window::Last(Duration::from_days(30)));
    assert_eq!(write_aggregate(&spec), example());
    for document in [
        json!({ "function": "count", "type": "any" }),
        json!({ "function": "count", "type": "page", "event": "Home" }),
        json!({ "function": "count", "types": ["identify", "screen"], "window": { "between": { "from": "2026-01-01T00:00:00.000Z" } } }),
        json!({ "function": "last", "events": ["A", "B"], "property": "a.b",
            "window": { "between": { "from": "2026-01-01T00:00:00.000Z", "to": "2026-02-01T00:00:00.000Z" } } }),
        json!({ "function": "min", "event": "A", "property": "n", "where": { "trait": "plan", "any_of": ["gold", 1.5, true] } }),
    ] {
        assert_eq!(write_aggregate(&parse_aggregate(&document).unwrap()), document);
    }
}

#[test]
fn every_value_test_is_read_and_written() {
    for (key, operand) in [
        ("equals", json!("a")),
        ("not_equals", json!(1.25)),
        ("greater_than", json!(-3)),
        ("greater_or_equal", json!(0)),
        ("less_than", json!(18_446_744_073_709_551_615_u64)),
        ("less_or_equal", json!(1)),
        ("contains", json!("x")),
        ("starts_with", json!("x")),
        ("ends_with", json!("x")),
        ("any_of", json!(["a", 1, false])),
        ("none_of", json!(["a"])),
        ("exists", json!(true)),
        ("exists", json!(false)),
        ("before", json!("2026-01-01T00:00:00.000Z")),
        ("after", json!("2026-01-01T00:00:00.000Z")),
        ("within_last", json!("7d")),
        ("before_last", json!("90s")),
    ] {
        let leaf = json!({ "trait": "x", key: operand });
        let test = parse_value_test(leaf.as_object().unwrap(), &["trait"]).unwrap();
        assert_eq!(write_value_test(&test), (key, operand));
    }
    let is = json!({ "is": true });
    assert_eq!(
        parse_value_test(is.as_object().unwrap(), &[]),
        Ok(ValueTest::Equals(Value::Bool(true)))
    );
}

#[test]
fn wrong_documents_say_what_and_where_and_how_to_mend_it() {
    let leaf = |test: Json| json!({ "function": "count", "event": "A", "where": { "all": [{ "property": "p", "exists": true }, test] } });
    for (document, expected) in [
        (json!([]), "expected an object, found a list"),
        (
            json!({ "event": "A" }),
            "`function` is missing: what is to be computed?",
        ),
        (
            json!({ "function": "cuont", "event": "A" }),
            "function: unknown function `cuont`: did you mean `count`?",
        ),
        (
            json!({ "function": "count", "evnet": "A" }),
            "unknown key `evnet`: did you mean `event`?",
        ),
        (
            json!({ "function": "count" }),
            "`event` or `type` is missing: which events count? (`type: any` for all)",
        ),
        (
            json!({ "function": "count", "type": "pages" }),
            "type: unknown type `pages`: did you mean `page`?",
        ),
        (
            json!({ "function": "count", "type": "any", "event": "A" }),
            "type: `type: any` with an event name",
        ),
        (
            json!({ "function": "count", "event": "A", "events": ["B"] }),
            "both `event` and `events`: keep one",
        ),
        (
            json!({ "function": "count", "events": ["B", 3] }),
            "events[1]: expected a text, found a number; put it in quotes",
        ),
        (
            json!({ "function": "sum", "event": "A" }),
            "`property` is missing: sum of what?",
        ),
        (
            json!({ "function": "sum", "event": "A", "property": "a..b" }),
            "property: \"a..b\" is not a path",
        ),
        (
            json!({ "function": "count", "event": "A", "property": "p" }),
            "property: a count takes no property",
        ),
        (
            json!({ "function": "count", "event": "A", "window": { "last": "30 days" } }),
            "window.last: \"30 days\" is not a duration",
        ),
        (
            json!({ "function": "count", "event": "A", "window": { "between": { "from": "2026-02-01", "to": "2026-01-01" } } }),
            "window.between: `from` (2026-02-01T00:00:00.000Z) must be before `to`",
        ),
        (
            leaf(json!({ "property": "p", "greater_than": "5" })),
            "where.all[1].greater_than: expected a number, found a text",
        ),
        (
            leaf(json!({ "property": "p", "greter_than": 5 })),
            "where.all[1]: unknown key `greter_than`: did you mean `greater_than`?",
        ),
        (
            leaf(json!({ "property": "p" })),
            "where.all[1]: what is asked of the value?",
        ),
        (
            leaf(json!({ "property": "p", "equals": 1, "exists": true })),
            "where.all[1]: both `equals` and `exists`",
        ),
        (
            leaf(json!({ "property": "p", "equals": null })),
            "where.all[1].equals: nothing equals null; ask `exists: false`",
        ),
        (
            leaf(json!({ "property": "p", "any_of": [1, []] })),
            "where.all[1].any_of[1]: expected a text, a number, true or false",
        ),
        (
            leaf(json!({ "property": "p", "within_last": "7d" })),
            "where.all[1]: a filter on events cannot use within_last",
        ),
        (
            leaf(json!({ "properti": "p", "equals": 1 })),
            "where.all[1]: unknown key `properti`: did you mean `property`?",
        ),
        (leaf(json!({ "all": [] })), "where.all[1].all: the list is empty"),
        (
            leaf(json!({ "all": [{ "property": "p", "exists": true }], "property": "q" })),
            "where.all[1]: unknown key `property`",
        ),
    ] {
        let error = parse_aggregate(&document).unwrap_err().to_string();
        assert!(
            error.starts_with(expected),
            "{document}\n  gives {error}\n  not   {expected}"
        );
    }
}

#[test]
fn conditions_have_limits() {
    let mut deep = json!({ "property": "p", "exists": true });
    for _ in 0..MAX_DEPTH {
        deep = json!({ "not": deep });
    }
    assert!(
        parse_condition(&deep)
            .unwrap_err()
            .problem()
            .contains("nest deeper than 16")
    );
    assert!(parse_condition(&deep["not"]).is_ok());
    let leaf = json!({ "property": "p", "exists": true });
    let wide = json!({ "any": vec![leaf; MAX_CONDITIONS] });
    assert!(parse_condition(&wide).unwrap_err().problem().contains("more than 500"));
    let long = json!({ "property": "p", "equals": "x".repeat(MAX_TEXT_BYTES + 1) });
    assert!(
        parse_condition(&long)
            .unwrap_err()
            .to_string()
            .starts_with("equals: the text is longer")
    );
}

#[test]
fn a_filter_takes_type_name_and_condition_together() {
    let matches = |filter: Json, event: &Event| parse_filter(&filter).unwrap().matches(event);
    let track = event(EventType::Track, "Home", &json!({ "total": 120, "tags": ["a"] }));
    let page = event(EventType::Page, "Home", &json!({}));
    // A name alone means track calls.
    assert!(matches(json!({ "event": "Home" }), &track));
    assert!(!matches(json!({ "event": "Home" }), &page));
    assert!(!matches(json!({ "event": "home" }), &track));
    assert!(matches(json!({ "type": "page", "event": "Home" }), &page));
    assert!(matches(json!({ "types": ["page", "track"] }), &track));
    assert!(!matches(json!({ "type": "screen" }), &track));
    assert!(matches(json!({ "type": "any" }), &page));
    for (condition, expected) in [
        (json!({ "property": "total", "greater_than": 100 }), true),
        (json!({ "property": "total", "greater_than": 120 }), false),
        (json!({ "property": "tags", "contains": "a" }), true),
        (json!({ "context": "page.path", "equals": "/" }), true),
        (json!({ "trait": "plan", "equals": "silver" }), false),
        (json!({ "not": { "property": "missing", "exists": true } }), true),
        (
            json!({ "any": [{ "property": "total", "less_than": 1 }, { "trait": "plan", "equals": "gold" }] }),
            true,
        ),
        (
            json!({ "all": [{ "property": "total", "less_than": 1 }, { "trait": "plan", "equals": "gold" }] }),
            false,
        ),
    ] {
        assert_eq!(
            matches(json!({ "event": "Home", "where": condition }), &track),
            expected,
            "{condition}"
        );
    }
}

#[test]
fn equal_definitions_have_equal_ids_and_ids_never_change() {
    let id = |document: Json| parse_aggregate(&document).unwrap().id();
    let conditions = [
        json!({ "property": "a", "equals": 1 }),
        json!({ "property": "b", "any_of": ["x", "y"] }),
    ];
    let all =
        |conditions: Vec<&Json>| json!({ "function": "count", "events": ["A", "B"], "where": { "all": conditions } });
    assert_eq!(
        id(all(vec![&conditions[0], &conditions[1]])),
        id(all(vec![&conditions[1], &conditions[0], &conditions[1]]))
    );
    assert_ne!(
        id(all(vec![&conditions[0], &conditions[1]])),
        id(all(vec![&conditions[0]]))
    );
    assert_eq!(
        id(json!({ "function": "count", "events": ["B", "A", "B"], "window": "all_time" })),
        id(json!({ "function": "count", "types": ["track"], "events": ["A", "B"] })),
    );
    assert_ne!(
        id(json!({ "function": "count", "event": "A" })),
        id(json!({ "function": "count", "type": "page", "event": "A" }))
    );
    assert_eq!(
        id(json!({ "function": "count", "event": "A", "window": { "last": "7d" } })),
        id(json!({ "function": "count", "event": "A", "window": { "last": "1w" } })),
    );
    // Persisted state names aggregates by these: a change of the canonical form orphans it.
    assert_eq!(id(example()), AggregateId(0x535e_0c5b_c229_ddd8_d88e_881f_ac58_76e1));
    assert_eq!(
        id(json!({ "function": "count", "event": "A" })),
        AggregateId(0xf89d_cb30_408d_34ec_2ff8_7a8b_b21c_b336)
    );
}

#[test]
fn pro_4_every_window_is_read_and_written() {
    for window in [
        json!("all_time"),
        json!({ "last": "30d" }),
        json!({ "before_last": "90d" }),
        json!({ "ago": { "from": "60d", "to": "30d" } }),
        json!({ "between": { "from": "2026-01-01T00:00:00.000Z", "to": "2026-02-01T00:00:00.000Z" } }),
        json!({ "this": "week", "zone": "Europe/Berlin" }),
        json!({ "previous": "month", "zone": "UTC" }),
        json!({ "previous": "quarter", "count": 3, "zone": "America/New_York" }),
    ] {
        assert_eq!(write_window(&parse_window(&window).unwrap()), window);
    }
    // The zone is UTC and the count one where they are left out.
    let month = json!({ "previous": "month", "count": 1, "zone": "UTC" });
    assert_eq!(parse_window(&json!({ "previous": "month" })), parse_window(&month));
    for (wrong, expected) in [
        (json!({ "lst": "30d" }), "unknown key `lst`: did you mean `last`?"),
        (
            json!({}),
            "expected one of `last`, `before_last`, `ago`, `between`, `this`, `previous`",
        ),
        (json!({ "last": "3d", "this": "day" }), "expected one of"),
        (
            json!({ "last": "3d", "zone": "UTC" }),
            "zone: `zone` does not go with `last`",
        ),
        (
            json!({ "this": "day", "count": 2 }),
            "count: `count` does not go with `this`",
        ),
        (
            json!({ "ago": { "from": "3d", "to": "5d" } }),
            "ago: `from` (3d) must be longer ago than `to` (5d)",
        ),
        (
            json!({ "ago": { "from": "3d" } }),
            "ago: `to` is missing; write `ago: { from: 60d, to: 30d }`",
        ),
        (
            json!({ "this": "moth" }),
            "this: unknown period `moth`: did you mean `month`?",
        ),
        (
            json!({ "this": "day", "zone": "Europe/Berln" }),
            "zone: unknown zone `Europe/Berln`: did you mean `Europe/Berlin`?",
        ),
        (
            json!({ "this": "day", "zone": "Middle Earth" }),
            "zone: unknown zone `Middle Earth`: expected a name of the IANA database",
        ),
        (
            json!({ "previous": "day", "count": 1001 }),
            "count: expected a whole number from 1 to 1000",
        ),
    ] {
        let error = parse_window(&wrong).unwrap_err().to_string();
        assert!(
            error.starts_with(expected),
            "{wrong}\n  gives {error}\n  not   {expected}"
        );
    }
}

#[test]
fn pro_4_all_mistakes_of_a_computed_trait_are_told_at_once() {
    for (document, expected) in [
        (
            json!({ "function": "sums", "event": 5, "type": "trak", "where": { "all": [{ "property": "x" }, { "propert": 1 }] },
                "window": { "ago": { "from": "x", "to": 5 } } }),
            &[
                "function: unknown function `sums`: did you mean `sum`?",
                "window.ago.from: \"x\" is not a duration: a whole number and one of ms, s, m, h, d, w, from 1ms to 366000d",
                "window.ago.to: expected a span such as 30d, found a number",
                "event: expected a text, found a number; put it in quotes",
                "type: unknown type `trak`: did you mean `track`?",
                "where.all[0]: what is asked of the value? Add one of equals, not_equals, greater_than, greater_or_equal, less_than, less_or_equal, contains, starts_with, ends_with, any_of, none_of, exists, not_exists, is, before, after, within_last, before_last, near",
                "where.all[1]: unknown key `propert`: did you mean `property`?",
            ][..],
        ),
        (
            json!({ "function": "max", "property": "total", "event": "A", "sequence": { "first": {}, "then": "B", "gap_less_than": 1 } }),
            &[
                "function: a sequence can only be counted: use `function: count`",
                "event: `event` does not go with `sequence`: put it inside `first` or `then`",
                "sequence.first: `event` or `type` is missing: which events count? (`type: any` for all)",
                "sequence.gap_less_than: expected a span such as 30d, found a number",
            ],
        ),
        (
            json!({ "function": "count", "evnt": "A", "propert": "x" }),
            &[
                "unknown key `evnt`: did you mean `event`?",
                "unknown key `propert`: did you mean `property`?",
            ],
        ),
    ] {
        let wrong = parse_aggregate(&document).unwrap_err();
        let told: Vec<String> = wrong.told().0.map(ToString::to_string).collect();
        assert_eq!(told, expected, "{document}");
    }
}
