//! SEG-1: one tree, written and read back alike; what a compiled segment needs; which events touch it.

use super::world::{Kept, compile, define, event_of_type, object, second};
use crate::{CompiledSegment, CountRange, SegmentDefinition};
use kith_expr::{AggregateSpec, EventFilter, Window};
use kith_types::{Duration, Event, EventType};
use serde_json::{Value as Json, json};

#[test]
fn seg_1_documents_read_back_as_they_were_written() {
    for (condition, written) in [
        (
            json!({ "performed": "Order" }),
            json!({ "performed": { "event": "Order" } }),
        ),
        (
            json!({ "not_performed": "Order" }),
            json!({ "not_performed": { "event": "Order" } }),
        ),
        (
            json!({ "performed": { "event": "Order", "exactly": 0 } }),
            json!({ "not_performed": { "event": "Order" } }),
        ),
        (
            json!({ "performed": { "event": "Order", "at_least": 1, "within": { "last": "720h" } } }),
            json!({ "performed": { "event": "Order", "within": { "last": "30d" } } }),
        ),
        (
            json!({ "performed": { "event": "Order", "more_than": 1, "less_than": 6 } }),
            json!({ "performed": { "event": "Order", "at_least": 2, "at_most": 5 } }),
        ),
        (
            json!({ "consent": "marketing", "answer": "granted" }),
            json!({ "consent": "marketing" }),
        ),
        (
            json!({ "consent": "marketing", "answer": "unknown" }),
            json!({ "consent": "marketing", "answer": "unknown" }),
        ),
        (
            json!({ "trait": "a", "not_exists": true }),
            json!({ "trait": "a", "exists": false }),
        ),
        (
            json!({ "all": [{ "segment": "vip" }, { "any": [{ "not": { "trait": "a", "equals": 1.50 } }] }] }),
            json!({ "all": [{ "segment": "vip" }, { "any": [{ "not": { "trait": "a", "equals": 1.5 } }] }] }),
        ),
        (
            json!({ "computed_trait": "x", "any_of": [1, "b", true] }),
            json!({ "computed_trait": "x", "any_of": [1, "b", true] }),
        ),
    ] {
        let definition = define("tested", &condition);
        let document = definition.to_document();
        assert_eq!(document["spec"]["where"], written);
        assert_eq!(SegmentDefinition::parse(&document).unwrap(), definition);
    }
    let described =
        json!({ "kind": "segment", "name": "a-b", "spec": { "description": "why", "where": { "consent": "x" } } });
    assert_eq!(SegmentDefinition::parse(&described).unwrap().to_document(), described);
}

#[test]
fn seg_1_counts_are_ranges() {
    assert_eq!(CountRange::new(3, Some(2)), None);
    let range = CountRange::new(2, Some(3)).unwrap();
    assert_eq!(
        [1, 2, 3, 4].map(|count| range.contains(count)),
        [false, true, true, false]
    );
}

#[test]
fn seg_1_what_must_be_kept_is_stated_once() {
    let bought = json!({ "performed": { "event": "Order", "within": { "last": "5s" } } });
    let segment = compile(&json!({ "all": [
        bought,
        { "not": { "performed": { "event": "Order", "at_least": 9, "within": { "last": "5s" } } } },
        { "computed_trait": "orders_5s", "less_than": 3 },
        { "trait": "address.city", "equals": "Bonn" },
        { "segment": "quiet_buyers" },
    ] }));
    // The three leaves over orders of five seconds share one count.
    let count = |event: &str, window| AggregateSpec::count(EventFilter::named(event), window);
    assert_eq!(
        segment.aggregates(),
        [
            count("Order", Window::Last(Duration::from_secs(5))),
            count("Order", Window::Last(Duration::from_secs(6))),
            count("Complaint", Window::AllTime),
        ]
    );
    assert_eq!(
        segment.aggregate_ids(),
        segment.aggregates().iter().map(AggregateSpec::id).collect::<Vec<_>>()
    );
    assert_eq!(
        segment
            .references()
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>(),
        ["buyers", "quiet_buyers"]
    );
    assert_eq!(segment.computed_traits(), ["orders_5s".into()]);
    assert!(segment.depends_on_traits() && !segment.depends_on_consent());
    assert!(segment.touches_event(EventType::Track, "Order") && segment.touches_event(EventType::Track, "Complaint"));
    assert!(!segment.touches_event(EventType::Track, "Refund") && !segment.touches_event(EventType::Page, "Order"));
}

#[test]
fn seg_1_the_index_finds_what_an_event_touches() {
    let segments: Vec<CompiledSegment> = [
        json!({ "performed": { "event": "Order", "where": { "property": "total", "greater_than": 10 } } }),
        json!({ "all": [{ "segment": "buyers" }, { "trait": "address.city", "equals": "Bonn" }] }),
        json!({ "consent": "marketing" }),
        json!({ "performed": { "type": "page" } }),
        json!({ "performed": { "type": "any" } }),
        json!({ "trait": "country", "exists": true }),
        json!({ "computed_trait": "spent", "greater_than": 5 }),
    ]
    .iter()
    .map(compile)
    .collect();
    let kept = Kept::of(&segments);
    let index = kept.index(&segments);
    let identify = |traits: Json| {
        let mut event = event_of_type(EventType::Identify, "identify", second(1), &json!({}));
        event.traits = object(&traits);
        event
    };
    let event = |kind, name: &str, properties: Json| event_of_type(kind, name, second(1), &properties);
    let cases: [(Event, &[usize]); 7] = [
        (
            event(EventType::Track, "Order", json!({ "total": 11 })),
            &[0, 1, 2, 4, 6],
        ),
        (event(EventType::Track, "Order", json!({ "total": 10 })), &[1, 2, 4, 6]),
        (event(EventType::Track, "Other", json!({})), &[2, 4]),
        (event(EventType::Page, "Order", json!({})), &[2, 3, 4]),
        (identify(json!({ "country": "DE", "name": "Jo" })), &[2, 4, 5]),
        (identify(json!({ "address": { "city": "Bonn" } })), &[1, 2, 4]),
        (
            identify(json!({ "address.city": "Bonn", "country_of_birth": "x" })),
            &[1, 2, 4],
        ),
    ];
    let mut touched = vec![99];
    for (event, expected) in cases {
        index.touched_by(&event, &kept.counting(&event), &mut touched);
        assert_eq!(touched, expected, "{event:?}");
        let each: Vec<usize> = (0..segments.len())
            .filter(|place| segments[*place].touched_by(&event))
            .collect();
        assert_eq!(touched, each, "the index and the segments agree");
    }
}

#[test]
fn seg_2_the_index_finds_what_may_answer_other_than_of_nobody() {
    let segments: Vec<CompiledSegment> = [
        json!({ "performed": { "event": "Order", "within": { "last": "1d" } } }),
        json!({ "not_performed": "Order" }),
        json!({ "consent": "marketing" }),
        json!({ "trait": "address.city", "equals": "Bonn" }),
        json!({ "all": [{ "bucket": { "salt": "a", "from": 0, "to": 50 } }, { "performed": "View" }] }),
        json!({ "all": [{ "performed": "View" }, { "not_performed": "Order" }] }),
        json!({ "account": { "trait": "plan", "equals": "team" } }),
    ]
    .iter()
    .map(compile)
    .collect();
    let kept = Kept::of(&segments);
    let index = kept.index(&segments);
    let told = |name: &str| kept.counting(&event_of_type(EventType::Track, name, second(1), &json!({})));
    let mut asked = vec![99];
    // Whether they are drawn or may be sent to is for everybody to say, and whoever never ordered is one who did not.
    for (told, traits, expected) in [
        (vec![], &[][..], &[1, 2, 4][..]),
        (told("Order"), &[], &[0, 1, 2, 4, 5, 6]),
        (told("View"), &[], &[1, 2, 4, 5, 6]),
        (vec![], &["address", "name"], &[1, 2, 3, 4]),
        (vec![], &["address.city"], &[1, 2, 3, 4]),
    ] {
        index.asked_of(told.into_iter(), traits.iter().copied(), &mut asked);
        assert_eq!(asked, expected, "{traits:?}");
    }
}
