//! SEG-1 and SEG-6: definitions in English, explanations, and the documents that the users' guide shows.

use super::world::{World, compile, define, definitions, number, second};
use crate::{CompiledSegment, SegmentDefinition};
use serde_json::{Value as Json, json};

#[test]
fn seg_1_definitions_read_as_english() {
    for (condition, expected) in [
        (
            json!({ "performed": "Order Completed" }),
            "they did \"Order Completed\" at least once",
        ),
        (
            json!({ "performed": { "event": "A", "exactly": 1 } }),
            "they did \"A\" exactly once",
        ),
        (
            json!({ "performed": { "event": "A", "at_most": 2 } }),
            "they did \"A\" at most 2 times",
        ),
        (
            json!({ "performed": { "event": "A", "at_least": 2, "at_most": 5 } }),
            "they did \"A\" 2 to 5 times",
        ),
        (
            json!({ "performed": { "type": "page", "within": { "last": "1h" } } }),
            "they did a call of type page at least once in the last 1 hour",
        ),
        (
            json!({ "not_performed": { "type": "any", "within": { "last": "90d" } } }),
            "they did not do anything in the last 90 days",
        ),
        (
            json!({ "performed": { "events": ["A", "B"], "where": { "any": [{ "property": "x", "equals": 1 }, { "all": [{ "context": "page.url", "contains": "shop" }, { "property": "y", "exists": true }] }] } } }),
            "they did \"A\" or \"B\" at least once, where x is 1 or (context page.url contains \"shop\" and y is known)",
        ),
        (
            json!({ "performed": { "event": "A", "within": { "between": { "from": "2026-01-01", "to": "2026-02-01" } } } }),
            "they did \"A\" at least once from 2026-01-01T00:00:00.000Z until before 2026-02-01T00:00:00.000Z",
        ),
        (
            json!({ "performed": { "event": "A", "within": { "between": { "from": "2026-01-01" } } } }),
            "they did \"A\" at least once at or after 2026-01-01T00:00:00.000Z",
        ),
        (
            json!({ "trait": "points", "greater_or_equal": 50 }),
            "points is at least 50",
        ),
        (
            json!({ "trait": "country", "none_of": ["DE", "FR"] }),
            "country is none of \"DE\", \"FR\"",
        ),
        (
            json!({ "trait": "born", "before_last": "14d" }),
            "born is at least 14 days ago",
        ),
        (
            json!({ "computed_trait": "orders_30d", "greater_than": 2 }),
            "computed trait orders_30d is more than 2",
        ),
        (json!({ "consent": "marketing" }), "consent to marketing is granted"),
        (
            json!({ "not": { "segment": "vip" } }),
            "it is not so that they are in segment vip",
        ),
    ] {
        assert_eq!(
            define("tested", &condition).in_english(),
            format!("Everybody for whom {expected}\n")
        );
    }
    let tree = json!({ "all": [
        { "performed": { "event": "Order Completed", "where": { "property": "total", "greater_or_equal": 50 }, "within": { "last": "30d" } } },
        { "any": [{ "trait": "country", "equals": "DE" }, { "not": { "all": [{ "segment": "vip" }, { "consent": "calls" }] } }] },
        { "not_performed": { "event": "Complaint Filed", "within": { "last": "90d" } } },
    ] });
    let expected = "\
Everybody for whom all of these are so:
- they did \"Order Completed\" at least once in the last 30 days, where total is at least 50
- at least one of these is so:
  - country is \"DE\"
  - it is not so that all of these are so:
    - they are in segment vip
    - consent to calls is granted
- they did not do \"Complaint Filed\" in the last 90 days
";
    assert_eq!(define("tested", &tree).in_english(), expected);
}

#[test]
fn seg_6_an_explanation_gives_the_truth_of_every_leaf() {
    let segment = compile(&json!({ "all": [
        { "performed": { "event": "Order", "at_least": 2, "within": { "last": "10s" } } },
        { "not": { "trait": "country", "equals": "FR" } },
        { "any": [{ "consent": "marketing" }, { "segment": "buyers" }, { "computed_trait": "spent", "greater_than": 9 }] },
    ] }));
    let mut world = World::default()
        .did("Order", 5, json!({ "total": 4 }))
        .did("Order", 7, json!({ "total": 3 }))
        .with_trait("country", json!("DE"));
    world.keep(&segment);
    world.approximate.insert(segment.aggregate_ids()[0]);
    let explanation = segment.explain(&world, second(8));
    assert!(explanation.member && explanation.reason.holds && explanation.reason.approximate);
    assert!(segment.is_approximate(&world, second(8)));
    assert_eq!(explanation.next_transition, Some(second(13)));
    let [orders, country, any] = explanation.reason.parts.as_slice() else {
        panic!("three parts, as in the document")
    };
    assert_eq!(orders.actual, Some(number("2")));
    assert_eq!(orders.expected.as_deref(), Some("at least 2 times"));
    assert_eq!(orders.asks, Some(crate::Asks::Aggregate(segment.aggregate_ids()[0])));
    assert!(
        country.holds && !country.parts[0].holds,
        "a `not` shows what it turns round"
    );
    assert_eq!(
        any.parts.iter().map(|part| part.holds).collect::<Vec<_>>(),
        [false, true, false]
    );

    let document = explanation.to_document();
    assert_eq!(document["at"], json!("1970-01-01T00:00:08.000Z"));
    assert_eq!(document["next_transition"], json!("1970-01-01T00:00:13.000Z"));
    assert_eq!(
        document["reason"]["parts"][2]["parts"][0],
        json!({ "condition": "consent to marketing is granted", "holds": false, "expected": "granted", "actual": "unknown" })
    );
    assert_eq!(
        document["reason"]["parts"][2]["parts"][1]["condition"],
        json!("they are in segment buyers")
    );

    // At 13 the later order has left the six seconds of `buyers`, at 15 the earlier one the ten of this segment.
    let later = segment.explain(&world, second(13));
    assert!(!later.member && later.reason.parts[0].holds && !later.reason.parts[2].holds);
    let later = segment.explain(&world, second(15));
    assert_eq!(
        (later.reason.parts[0].holds, &later.reason.parts[0].actual),
        (false, &Some(number("1")))
    );
}

/// Every YAML block of the guide that is a document or a condition is read; a condition is compiled as it stands.
#[test]
fn seg_1_the_guide_shows_documents_that_work() {
    let guide = include_str!("../../../../docs/segments.md");
    let mut known = definitions().clone();
    let spec = json!({ "function": "count", "event": "Order Completed", "window": { "last": "30d" } });
    known
        .computed_traits
        .insert("orders_30d".into(), kith_expr::parse_aggregate(&spec).unwrap());
    let vip = define("vip", &json!({ "trait": "vip", "equals": true }));
    known.segments.insert(vip.name.clone(), vip);
    let blocks: Vec<&str> = guide
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(blocks.len() >= 8, "the guide has lost its examples");
    for block in blocks {
        let json: Json = serde_yaml_ng::from_str(block).unwrap_or_else(|error| panic!("{error}\n{block}"));
        let items = match json {
            Json::Array(items) => items,
            one => vec![one],
        };
        for item in items {
            if item["kind"] == "computed_trait" {
                kith_expr::parse_aggregate(&item["spec"]).unwrap_or_else(|error| panic!("{error}\n{block}"));
                continue;
            }
            let definition = if item.get("kind").is_some() {
                SegmentDefinition::parse(&item).unwrap_or_else(|error| panic!("{error}\n{block}"))
            } else {
                define("tested", &item)
            };
            CompiledSegment::compile(&definition, &known).unwrap_or_else(|error| panic!("{error}\n{block}"));
        }
    }
}

#[test]
fn pro_5_every_leaf_that_a_limit_may_have_touched_marks_the_answer() {
    for (condition, limited) in [
        (json!({ "trait": "country", "exists": false }), true),
        (json!({ "not": { "trait": "country", "equals": "FR" } }), true),
        (
            json!({ "any": [{ "consent": "marketing", "answer": "unknown" }, { "segment": "buyers" }] }),
            true,
        ),
        (json!({ "listed": ["user_id:u1"] }), true),
        (json!({ "bucket": { "salt": "s", "from": 0, "to": 50 } }), false),
    ] {
        let segment = compile(&condition);
        let mut world = World::default();
        world.keep(&segment);
        assert!(!segment.is_approximate(&world, second(8)), "{condition}");
        world.limited = true;
        assert_eq!(segment.is_approximate(&world, second(8)), limited, "{condition}");
        assert_eq!(
            segment.explain(&world, second(8)).reason.approximate,
            limited,
            "{condition}"
        );
    }
}
