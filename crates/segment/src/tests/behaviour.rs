//! SEG-1: sequences and lifecycles, pinned by examples: overlapping instances, keys, boundaries, documents, words.

use super::world::{Kept, World, compile, define, event_of_type, second};
use crate::{CompiledSegment, SegmentDefinition};
use kith_types::{Duration, EventType};
use serde_json::{Value as Json, json};

/// Events are `name@second` or `name@second/key`.
fn world(events: &str, segment: &CompiledSegment) -> World {
    let mut world = World::default();
    for word in events.split_whitespace() {
        let (name, rest) = word.split_once('@').unwrap();
        let (at, key) = rest.split_once('/').unwrap_or((rest, ""));
        let properties = if key.is_empty() {
            json!({})
        } else {
            json!({ "cart": key })
        };
        world = world.did(name, at.parse().unwrap(), properties);
    }
    world.keep(segment);
    world
}

/// The seconds up to 99 at which membership turns by the clock alone; before second 0 nobody is a member. A turn at a
/// second has not come a microsecond before it.
fn turns(condition: &Json, events: &str) -> Vec<i64> {
    let segment = compile(condition);
    let world = world(events, &segment);
    let (mut turns, mut member) = (Vec::new(), false);
    for at in 0..100 {
        assert_eq!(segment.is_member(&world, second(at) - Duration::from_micros(1)), member);
        if segment.is_member(&world, second(at)) != member {
            member = !member;
            turns.push(at);
        }
    }
    turns
}

/// How many sequences are done at second 99.
fn count(sequence: &Json, events: &str) -> u64 {
    let counted = (0..20_u64).filter(|count| {
        let mut fields = sequence.clone();
        fields["exactly"] = json!(count);
        let segment = compile(&json!({ "sequence": fields }));
        segment.is_member(&world(events, &segment), second(99))
    });
    let counts: Vec<u64> = counted.collect();
    assert_eq!(counts.len(), 1);
    counts[0]
}

#[test]
fn seg_1_every_first_event_is_an_instance_of_its_own() {
    let sequence = json!({ "first": "A", "then": "B", "gap_less_than": "10s" });
    for (events, expected) in [
        ("", 0),
        ("A@1", 0),
        ("B@1 A@2", 0),
        ("A@1 B@2", 1),
        // One B follows every A that is open; each A is followed once.
        ("A@1 A@2 B@3", 2),
        ("A@1 B@2 B@3", 1),
        ("A@1 B@2 A@3 B@4", 2),
        // What follows is strictly later, and sooner than the gap.
        ("A@5 B@5", 0),
        ("A@5 B@5 B@6", 1),
        ("A@5 B@14", 1),
        ("A@5 B@15", 0),
    ] {
        assert_eq!(count(&sequence, events), expected, "{events}");
    }
    // An event may end one instance and begin the next.
    let again = json!({ "first": "A", "then": "A", "gap_less_than": "10s" });
    assert_eq!(count(&again, "A@1 A@2 A@3 A@30"), 2);
    // The next event decides: one that comes too soon is not passed over for a later one.
    let rested = json!({ "first": "A", "then": "A", "gap_at_least": "10s" });
    assert_eq!(count(&rested, "A@1 A@11 A@20 A@40"), 2);
    let between = json!({ "first": "A", "then": "B", "gap_at_least": "5s", "gap_less_than": "10s" });
    assert_eq!(count(&between, "A@1 B@6"), 1);
    assert_eq!(count(&between, "A@1 B@5 B@6"), 0);
    assert_eq!(count(&json!({ "first": "A", "then": "B" }), "A@1 B@90"), 1);
}

#[test]
fn seg_1_a_key_tells_sequences_apart() {
    let bought = json!({ "first": "A", "then": "B", "gap_less_than": "10s", "same": "cart" });
    for (events, expected) in [
        ("A@1/x B@2/x", 1),
        ("A@1/x B@2/y", 0),
        ("A@1/x A@2/y B@3/y B@4/x", 2),
        ("A@1/x A@2/y B@3/y B@20/x", 1),
        // Without the property an event takes no part.
        ("A@1 B@2", 0),
        ("A@1/x B@2 B@3/x", 1),
    ] {
        assert_eq!(count(&bought, events), expected, "{events}");
    }
    let abandoned = json!({ "first": "A", "then_not": "B", "gap_less_than": "10s", "same": "cart" });
    for (events, expected) in [
        ("A@1/x B@2/x", 0),
        ("A@1/x B@2/y", 1),
        ("A@1/x A@2/y B@3/y", 1),
        ("A@1", 0),
    ] {
        assert_eq!(count(&abandoned, events), expected, "{events}");
    }
}

#[test]
fn seg_1_sequences_are_done_at_one_instant_and_counted_by_it() {
    let followed =
        |within: Json| json!({ "sequence": { "first": "A", "then": "B", "gap_less_than": "10s", "within": within } });
    assert_eq!(turns(&followed(json!("all_time")), "A@10 B@15"), [15]);
    assert_eq!(turns(&followed(json!({ "last": "20s" })), "A@10 B@15"), [15, 35]);
    assert_eq!(turns(&followed(json!({ "before_last": "20s" })), "A@10 B@15"), [35]);
    let from_12 = json!({ "between": { "from": second(12).to_string(), "to": second(20).to_string() } });
    assert_eq!(turns(&followed(from_12.clone()), "A@10 B@15"), [15]);
    assert_eq!(turns(&followed(from_12), "A@1 B@11 A@13 B@20"), [0_i64; 0]);
    // What is not followed is done when the gap has passed: then, not before, it is certain.
    let left = |within: Json| json!({ "sequence": { "first": "A", "then_not": "B", "gap_less_than": "10s", "within": within } });
    assert_eq!(turns(&left(json!({ "last": "20s" })), "A@10"), [20, 40]);
    assert_eq!(turns(&left(json!({ "last": "20s" })), "A@10 B@19"), [0_i64; 0]);
    // At the very end of the gap it comes too late.
    assert_eq!(turns(&left(json!({ "last": "20s" })), "A@10 B@20"), [20, 40]);
    // Silence after the last of several: whatever happens next takes the one before out.
    let silent = json!({ "sequence": { "first": "A", "then_not": { "events": ["A", "B"] }, "gap_less_than": "10s" } });
    assert_eq!(turns(&silent, "A@1 A@9 A@15"), [25]);
    assert_eq!(turns(&silent, "A@1 A@9 A@15 B@16"), [0_i64; 0]);
}

#[test]
fn seg_1_lifecycles_are_what_their_words_say() {
    let stage = |stage: &str, spans: Json| {
        let mut fields = spans;
        fields["stage"] = json!(stage);
        fields["event"] = json!("A");
        json!({ "lifecycle": fields })
    };
    let first = stage("first_time", json!({ "last": "30s" }));
    assert_eq!(turns(&first, "A@10"), [10, 40]);
    assert_eq!(turns(&first, "A@10 A@20"), [10, 40]);
    let regularly = stage("regularly", json!({ "every": "10s", "times": 3 }));
    // One in each of (now-10, now], (now-20, now-10], (now-30, now-20].
    assert_eq!(turns(&regularly, "A@10 A@20 A@30"), [30, 40]);
    assert_eq!(turns(&regularly, "A@10 A@20 A@41"), [0_i64; 0]);
    assert_eq!(turns(&regularly, "A@10 A@11 A@29 A@30"), [30, 31, 39, 40]);
    let stopped = stage("stopped", json!({ "after": "20s" }));
    assert_eq!(turns(&stopped, "A@10"), [30]);
    assert_eq!(turns(&stopped, "A@10 A@30 A@60"), [50, 60, 80]);
    let back = stage("came_back", json!({ "after": "20s", "last": "10s" }));
    assert_eq!(turns(&back, "A@10"), [0_i64; 0]);
    assert_eq!(turns(&back, "A@10 A@29"), [0_i64; 0]);
    assert_eq!(turns(&back, "A@10 A@30"), [30, 40]);
    assert_eq!(turns(&back, "A@10 A@30 A@35 A@60"), [30, 40, 60, 70]);
}

#[test]
fn seg_1_sequences_and_lifecycles_read_back_as_they_were_written() {
    for (condition, words) in [
        (
            json!({ "sequence": { "first": "A", "then_not": { "events": ["B", "C"] }, "gap_less_than": "2h", "same": "cart_id", "within": { "last": "7d" } } }),
            "they did \"A\" and not \"B\" or \"C\" for 2 hours after it, with the same cart_id: at least once in the last 7 days",
        ),
        (
            json!({ "sequence": { "first": { "event": "A", "where": { "property": "n", "greater_than": 1 } }, "then": "A", "gap_at_least": "1d", "gap_less_than": "30d", "exactly": 2 } }),
            "they did \"A\" (where n is more than 1) and next, at least 1 day and less than 30 days later, \"A\": exactly 2 times",
        ),
        (
            json!({ "sequence": { "first": "A", "then": { "type": "page" }, "exactly": 0 } }),
            "they did \"A\" and next a call of type page: never",
        ),
        (
            json!({ "lifecycle": { "stage": "first_time", "event": "A", "last": "30d" } }),
            "they did \"A\" for the first time in the last 30 days",
        ),
        (
            json!({ "lifecycle": { "stage": "regularly", "events": ["A", "B"], "every": "7d", "times": 4 } }),
            "they did \"A\" or \"B\" in each of the last 4 spans of 7 days",
        ),
        (
            json!({ "lifecycle": { "stage": "stopped", "event": "A", "after": "30d" } }),
            "they did \"A\", but not in the last 30 days",
        ),
        (
            json!({ "lifecycle": { "stage": "came_back", "type": "any", "after": "30d", "last": "7d" } }),
            "they did something in the last 7 days, after 30 days or longer without",
        ),
    ] {
        let definition = define("tested", &condition);
        let document = definition.to_document();
        assert_eq!(document["spec"]["where"], condition);
        assert_eq!(SegmentDefinition::parse(&document).unwrap(), definition);
        assert_eq!(definition.in_english(), format!("Everybody for whom {words}\n"));
        // An explanation says the same words.
        let segment = compile(&condition);
        let explained = segment.explain(&world("", &segment), second(1));
        assert_eq!(explained.reason.condition, words);
    }
}

#[test]
fn seg_1_either_event_of_a_sequence_touches_its_segment() {
    let segments = [
        json!({ "sequence": { "first": "A", "then": { "event": "B", "where": { "property": "n", "equals": 1 } }, "gap_less_than": "1h" } }),
        json!({ "sequence": { "first": { "type": "page" }, "then": "A" } }),
        json!({ "lifecycle": { "stage": "came_back", "event": "C", "after": "1d", "last": "1d" } }),
    ]
    .map(|condition| compile(&condition));
    let kept = Kept::of(&segments);
    let index = kept.index(&segments);
    let mut touched = Vec::new();
    for (kind, name, properties, expected) in [
        (EventType::Track, "A", json!({}), &[0, 1][..]),
        (EventType::Track, "B", json!({ "n": 1 }), &[0]),
        (EventType::Track, "B", json!({ "n": 2 }), &[]),
        (EventType::Page, "A", json!({}), &[1]),
        (EventType::Track, "C", json!({}), &[2]),
    ] {
        let event = event_of_type(kind, name, second(1), &properties);
        index.touched_by(&event, &kept.counting(&event), &mut touched);
        assert_eq!(touched, expected, "{event:?}");
        let each: Vec<usize> = (0..3).filter(|place| segments[*place].touched_by(&event)).collect();
        assert_eq!(touched, each);
    }
}

#[test]
fn seg_1_errors_in_sequences_and_lifecycles_point_at_the_place() {
    for (condition, expected) in [
        (
            json!({ "sequense": { "first": "A" } }),
            "spec.where: unknown condition `sequense`: did you mean `sequence`?",
        ),
        (
            json!({ "sequence": { "first": "A" } }),
            "spec.where.sequence: `then` or `then_not` is missing: what follows?",
        ),
        (
            json!({ "sequence": { "then": "A" } }),
            "spec.where.sequence: `first` is missing: which event begins it?",
        ),
        (
            json!({ "sequence": { "first": "A", "than": "B" } }),
            "spec.where.sequence: unknown key `than`: did you mean `then`?",
        ),
        (
            json!({ "sequence": { "first": "A", "then_not": "B" } }),
            "spec.where.sequence: `gap_less_than` is missing: for how long must it not follow?",
        ),
        (
            json!({ "sequence": { "first": "A", "then_not": "B", "gap_at_least": "1d" } }),
            "spec.where.sequence.gap_at_least: `gap_at_least` does not go with `then_not`: say with `gap_less_than` for how long nothing may follow",
        ),
        (
            json!({ "sequence": { "first": { "event": "A", "whre": 1 }, "then": "B" } }),
            "spec.where.sequence.first: unknown key `whre`: did you mean `where`?",
        ),
        (
            json!({ "sequence": { "first": "A", "then": "B", "gap_less_than": "1h", "gap_at_least": "1h" } }),
            "spec.where.sequence: no gap is at least 1h and less than 1h",
        ),
        (
            json!({ "sequence": { "first": "A", "then": "B", "within": "2h" } }),
            "spec.where.sequence.within: expected a window such as `{ last: 30d }`; the time between the two events is `gap_less_than`",
        ),
        (
            json!({ "sequence": { "first": "A", "then": "B", "same": "a..b" } }),
            "spec.where.sequence.same: \"a..b\" is not a path such as `total` or `order.total`",
        ),
        (
            json!({ "lifecycle": { "event": "A" } }),
            "spec.where.lifecycle: `stage` is missing: one of first_time, regularly, stopped, came_back",
        ),
        (
            json!({ "lifecycle": { "event": "A", "stage": "came_bak" } }),
            "spec.where.lifecycle.stage: unknown stage `came_bak`: did you mean `came_back`?",
        ),
        (
            json!({ "lifecycle": { "event": "A", "stage": "stopped", "last": "3d" } }),
            "spec.where.lifecycle.last: `last` does not go with `stopped`, which takes after",
        ),
        (
            json!({ "lifecycle": { "event": "A", "stage": "regularly", "every": "3d" } }),
            "spec.where.lifecycle: `times` is missing: `regularly` takes every and times",
        ),
        (
            json!({ "lifecycle": { "event": "A", "stage": "regularly", "every": "3d", "times": 1 } }),
            "spec.where.lifecycle.times: expected a whole number from 2 to 60, found 1",
        ),
        (
            json!({ "lifecycle": { "stage": "stopped", "after": "3d" } }),
            "spec.where.lifecycle: `event` or `type` is missing: which events count? (`type: any` for all)",
        ),
    ] {
        let document = json!({ "kind": "segment", "name": "tested", "spec": { "where": condition } });
        let error = SegmentDefinition::parse(&document).unwrap_err();
        assert_eq!(error.to_string(), format!("segment tested: {expected}"));
    }
}
