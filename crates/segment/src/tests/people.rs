//! SEG-1: conditions on who somebody is and where: buckets, lists, areas.

use super::world::{World, compile, define, second};
use crate::{MAX_LISTED, SegmentDefinition};
use kith_types::Identifier;
use serde_json::{Value as Json, json};

fn refused(condition: &Json) -> String {
    let document = json!({ "kind": "segment", "name": "tested", "spec": { "where": condition } });
    SegmentDefinition::parse(&document).unwrap_err().to_string()
}

#[test]
fn seg_1_lists_hold_whoever_has_one_of_the_identifiers() {
    let segment = compile(&json!({ "listed": ["user_id:u2", "email:jo@example.com"] }));
    let mut world = World::default();
    assert!(!segment.is_member(&world, second(1)));
    for (identifier, member) in [
        ("user_id:u2", true),
        ("email:jo@example.com", true),
        ("email:u2", false),
        ("user_id:U2", false),
    ] {
        world.identifiers = vec![
            Identifier::parse("anonymous_id:a").unwrap(),
            Identifier::parse(identifier).unwrap(),
        ];
        assert_eq!(segment.is_member(&world, second(1)), member, "{identifier}");
    }
    let event = super::world::event_of_type(kith_types::EventType::Page, "Home", second(1), &json!({}));
    assert!(segment.touched_by(&event), "an event may bring an identifier");
}

#[test]
fn seg_1_areas_are_asked_of_traits_and_of_events() {
    let near = json!({ "latitude": 52.52, "longitude": 13.405, "metres": 10_000 });
    let (potsdam, mitte) = (
        json!({ "latitude": 52.3906, "longitude": 13.0645 }),
        json!({ "lat": 52.5163, "lng": 13.3777 }),
    );
    let lives = compile(&json!({ "trait": "home", "near": near }));
    for (home, member) in [(&potsdam, false), (&mitte, true), (&json!("Berlin"), false)] {
        let world = World::default().with_trait("home", home.clone());
        assert_eq!(lives.is_member(&world, second(1)), member, "{home}");
    }
    let was = compile(&json!({ "performed": { "event": "Scan", "where": { "property": "place", "near": near } } }));
    for (place, member) in [(&potsdam, false), (&mitte, true)] {
        let mut world = World::default().did("Scan", 1, json!({ "place": place }));
        world.keep(&was);
        assert_eq!(was.is_member(&world, second(1)), member, "{place}");
    }
}

#[test]
fn seg_1_buckets_lists_and_areas_read_back_as_they_were_written() {
    for (condition, words) in [
        (
            json!({ "bucket": { "salt": "spring", "from": 0, "to": 12.5 } }),
            "they are in the 0 to 12.5 percent drawn by \"spring\"",
        ),
        (
            json!({ "listed": ["email:jo@example.com", "user_id:u1"] }),
            "they are on a list of 2 identifiers",
        ),
        (
            json!({ "trait": "home", "near": { "latitude": 52.5, "longitude": -13.405, "metres": 5000 } }),
            "home is within 5000 metres of latitude 52.5, longitude -13.405",
        ),
    ] {
        let definition = define("tested", &condition);
        let document = definition.to_document();
        let back = SegmentDefinition::parse(&document).unwrap();
        assert_eq!(back, definition);
        assert_eq!(define("tested", &document["spec"]["where"]), definition);
        assert_eq!(definition.in_english(), format!("Everybody for whom {words}\n"));
        let explained = compile(&condition).explain(&World::default(), second(1));
        assert_eq!(explained.reason.condition, words);
    }
}

#[test]
fn seg_1_errors_in_buckets_lists_and_areas_point_at_the_place() {
    let many: Vec<String> = (0..=MAX_LISTED).map(|n| format!("user_id:{n}")).collect();
    for (condition, expected) in [
        (
            json!({ "bucket": { "from": 0, "to": 50 } }),
            "bucket: `salt` is missing: a word that draws this split apart from others",
        ),
        (
            json!({ "bucket": { "salt": "s", "form": 1 } }),
            "bucket: unknown key `form`: did you mean `from`?",
        ),
        (
            json!({ "bucket": { "salt": "s" } }),
            "bucket: everybody is from 0 to 100 percent: this says nothing; name `from`, `to` or both",
        ),
        (
            json!({ "bucket": { "salt": "s", "from": 50, "to": 50 } }),
            "bucket: `from` must be less than `to`",
        ),
        (
            json!({ "bucket": { "salt": "s", "to": 0.0001 } }),
            "bucket.to: expected a percentage from 0 to 100 with up to three decimal places, found 0.0001",
        ),
        (
            json!({ "bucket": { "salt": "s", "to": 101 } }),
            "bucket.to: expected a percentage from 0 to 100 with up to three decimal places, found 101",
        ),
        (json!({ "listed": [] }), "listed: the list is empty"),
        (
            json!({ "listed": "user_id:u1" }),
            "listed: expected a list of identifiers such as `email:jo@example.com`",
        ),
        (
            json!({ "listed": ["user_id:u1", "u2"] }),
            "listed[1]: expected `type:value` such as `user_id:u1`, found \"u2\"",
        ),
        (
            json!({ "listed": many }),
            "listed: the list has 10001 identifiers, the limit is 10000; split it into several, inside an `any`",
        ),
        (
            json!({ "trait": "home", "near": { "latitude": 52.5, "longitud": 13.4, "metres": 5 } }),
            "near: unknown key `longitud`: did you mean `longitude`?",
        ),
        (
            json!({ "trait": "home", "near": { "latitude": 52.5, "longitude": 13.4 } }),
            "near: `metres` is missing; write `{ latitude: 52.52, longitude: 13.405, metres: 5000 }`",
        ),
        (
            json!({ "trait": "home", "near": { "latitude": 95, "longitude": 13.4, "metres": 5 } }),
            "near: no such area: latitudes go from -90 to 90, longitudes from -180 to 180, and `metres` is above 0 and at most 20015115",
        ),
        (
            json!({ "trait": "home", "near": { "latitude": "52", "longitude": 13.4, "metres": 5 } }),
            "near.latitude: expected a number, found a text",
        ),
    ] {
        assert_eq!(refused(&condition), format!("segment tested: spec.where.{expected}"));
    }
}
