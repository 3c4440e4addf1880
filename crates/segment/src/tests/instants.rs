//! SEG-2: membership is exact at every instant, and the next transition is known.

use super::oracle::meets;
use super::world::{World, compile, second};
use crate::{Cause, Change, CompiledSegment, Condition, Evaluation};
use kith_types::{Duration, Identifier, ProfileId, Timestamp};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// Spans, ends of windows and dates in the random trees are whole seconds up to here, and so are all events.
const LAST_SECOND: i64 = 24;
/// After this second nothing can change any more: the latest event or date, the longest gap and the longest span.
const END: i64 = 3 * LAST_SECOND + 1;

fn moment(at: i64) -> Json {
    Json::from(second(at).to_string())
}

fn random_window() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::from("all_time")),
        (1..LAST_SECOND).prop_map(|span| json!({ "last": format!("{span}s") })),
        (0..LAST_SECOND, 1..LAST_SECOND)
            .prop_map(|(from, span)| json!({ "between": { "from": moment(from), "to": moment(from + span) } })),
        (0..LAST_SECOND).prop_map(|to| json!({ "between": { "to": moment(to) } })),
        (1..LAST_SECOND).prop_map(|span| json!({ "before_last": format!("{span}s") })),
        (1..12_i64, 1..12_i64)
            .prop_map(|(to, more)| json!({ "ago": { "from": format!("{}s", to + more), "to": format!("{to}s") } })),
    ]
}

fn random_performed() -> impl Strategy<Value = Json> {
    let count = prop_oneof![
        Just(json!({})),
        (1..4_u64).prop_map(|count| json!({ "at_least": count })),
        (0..4_u64).prop_map(|count| json!({ "at_most": count })),
        (0..4_u64).prop_map(|count| json!({ "exactly": count })),
        (0..3_u64).prop_map(|count| json!({ "more_than": count, "less_than": count + 2 })),
    ];
    let events = prop_oneof![
        Just(json!({ "event": "Order" })),
        Just(json!({ "events": ["Order", "Complaint"] }))
    ];
    (events, count, random_window(), proptest::option::of(0..4_i64)).prop_map(|(events, count, window, total)| {
        let mut fields = events.as_object().unwrap().clone();
        fields.extend(count.as_object().unwrap().clone());
        fields.insert("within".into(), window);
        if let Some(total) = total {
            fields.insert(
                "where".into(),
                json!({ "property": "total", "greater_or_equal": total }),
            );
        }
        json!({ "performed": fields })
    })
}

fn random_sequence() -> impl Strategy<Value = Json> {
    let words = prop_oneof![
        Just(json!("Order")),
        Just(json!("Complaint")),
        Just(json!({ "events": ["Order", "Complaint"] })),
        Just(json!({ "event": "Order", "where": { "property": "total", "greater_or_equal": 2 } })),
    ];
    let follows = prop_oneof![
        Just(json!({})),
        (1..9_i64).prop_map(|gap| json!({ "gap_less_than": format!("{gap}s") })),
        (1..9_i64).prop_map(|gap| json!({ "gap_at_least": format!("{gap}s") })),
        (1..5_i64, 1..9_i64).prop_map(
            |(from, more)| json!({ "gap_at_least": format!("{from}s"), "gap_less_than": format!("{}s", from + more) })
        ),
        (1..9_i64).prop_map(|gap| json!({ "not": true, "gap_less_than": format!("{gap}s") })),
    ];
    let count = prop_oneof![
        3 => Just(json!({})),
        1 => (2..4_u64).prop_map(|count| json!({ "at_least": count })),
        1 => (0..3_u64).prop_map(|count| json!({ "exactly": count })),
    ];
    (words.clone(), words, follows, count, random_window(), any::<bool>()).prop_map(
        |(first, then, follows, count, window, keyed)| {
            let mut fields = count.as_object().unwrap().clone();
            fields.extend(follows.as_object().unwrap().clone());
            let key = if fields.remove("not").is_some() {
                "then_not"
            } else {
                "then"
            };
            fields.insert("first".into(), first);
            fields.insert(key.into(), then);
            fields.insert("within".into(), window);
            if keyed {
                fields.insert("same".into(), json!("total"));
            }
            json!({ "sequence": fields })
        },
    )
}

fn random_lifecycle() -> impl Strategy<Value = Json> {
    let second = |span: i64| format!("{span}s");
    let stage = prop_oneof![
        (1..LAST_SECOND).prop_map(move |last| json!({ "stage": "first_time", "last": second(last) })),
        (1..5_i64, 2..4_u32)
            .prop_map(move |(every, times)| json!({ "stage": "regularly", "every": second(every), "times": times })),
        (1..LAST_SECOND).prop_map(move |after| json!({ "stage": "stopped", "after": second(after) })),
        (1..9_i64, 1..9_i64).prop_map(
            move |(after, last)| json!({ "stage": "came_back", "after": second(after), "last": second(last) })
        ),
    ];
    stage.prop_map(|stage| {
        let mut fields = stage.as_object().unwrap().clone();
        fields.insert("event".into(), json!("Order"));
        json!({ "lifecycle": fields })
    })
}

fn random_leaf() -> impl Strategy<Value = Json> {
    let test = prop_oneof![
        (0..6_i64).prop_map(|limit| json!({ "greater_or_equal": limit })),
        (0..6_i64).prop_map(|limit| json!({ "less_than": limit })),
        (0..3_i64).prop_map(|limit| json!({ "equals": limit })),
        (0..3_i64).prop_map(|limit| json!({ "not_equals": limit })),
        any::<bool>().prop_map(|exists| json!({ "exists": exists })),
        (1..LAST_SECOND).prop_map(|span| json!({ "within_last": format!("{span}s") })),
        (1..LAST_SECOND).prop_map(|span| json!({ "before_last": format!("{span}s") })),
    ];
    let subject = prop_oneof![
        Just(json!({ "trait": "points" })),
        Just(json!({ "trait": "birthday" })),
        Just(json!({ "computed_trait": "orders_5s" })),
        Just(json!({ "computed_trait": "spent" })),
        Just(json!({ "computed_trait": "largest_7s" })),
        Just(json!({ "computed_trait": "last_due" })),
    ];
    let tested = (subject, test.clone()).prop_map(|(subject, test)| {
        let mut fields = subject.as_object().unwrap().clone();
        fields.extend(test.as_object().unwrap().clone());
        Json::Object(fields)
    });
    let of_account = (prop_oneof![Just("points"), Just("renewal")], test).prop_map(|(name, test)| {
        let mut fields = test.as_object().unwrap().clone();
        fields.insert("trait".into(), json!(name));
        Json::Object(fields)
    });
    let account = of_account.prop_recursive(2, 6, 3, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            parts.clone().prop_map(|parts| json!({ "all": parts })),
            parts.prop_map(|parts| json!({ "any": parts })),
            inner.prop_map(|part| json!({ "not": part })),
        ]
    });
    prop_oneof![
        4 => random_performed(),
        3 => random_sequence(),
        2 => random_lifecycle(),
        3 => tested,
        3 => account.prop_map(|condition| json!({ "account": condition })),
        1 => prop_oneof![Just("granted"), Just("denied"), Just("unknown")].prop_map(|answer| json!({ "consent": "marketing", "answer": answer })),
        1 => (0..50_i64, 50..101_i64).prop_map(|(from, to)| json!({ "bucket": { "salt": "s", "from": from, "to": to.min(99) } })),
        1 => prop_oneof![Just(json!(["user_id:u1"])), Just(json!(["user_id:u2", "email:a@b.c"]))].prop_map(|list| json!({ "listed": list })),
        1 => prop_oneof![Just("buyers"), Just("quiet_buyers")].prop_map(|name| json!({ "segment": name })),
    ]
}

pub(super) fn random_tree() -> impl Strategy<Value = Json> {
    random_leaf().prop_recursive(3, 12, 4, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            parts.clone().prop_map(|parts| json!({ "all": parts })),
            parts.prop_map(|parts| json!({ "any": parts })),
            inner.prop_map(|part| json!({ "not": part })),
        ]
    })
}

fn random_world() -> impl Strategy<Value = World> {
    let event = (
        prop_oneof![3 => Just("Order"), 1 => Just("Complaint")],
        0..LAST_SECOND,
        0..4_i64,
        0..LAST_SECOND,
    );
    (
        proptest::collection::vec(event, 0..9),
        proptest::option::of(0..6_i64),
        proptest::option::of(0..LAST_SECOND),
        proptest::option::of(any::<bool>()),
        0..1_000_u128,
        any::<bool>(),
        proptest::collection::vec(
            (proptest::option::of(0..6_i64), proptest::option::of(0..LAST_SECOND)),
            0..4,
        ),
    )
        .prop_map(|(events, points, birthday, consent, profile, named, accounts)| {
            let mut world = World {
                profile,
                identifiers: named
                    .then(|| Identifier::parse("user_id:u1").unwrap())
                    .into_iter()
                    .collect(),
                ..World::default()
            };
            for (name, at, total, due) in events {
                world = world.did(name, at, json!({ "total": total, "due": moment(due) }));
            }
            if let Some(points) = points {
                world = world.with_trait("points", json!(points));
            }
            if let Some(birthday) = birthday {
                world = world.with_trait("birthday", moment(birthday));
            }
            if let Some(granted) = consent {
                world = world.answered("marketing", granted);
            }
            for (n, (points, renewal)) in accounts.into_iter().enumerate() {
                let renewal = renewal.map(moment);
                world = world.of_account(&format!("acme {n}"), json!({ "points": points, "renewal": renewal }));
            }
            world
        })
}

/// All instants at which a random tree may turn, with the microsecond before, the one after and one in between.
fn instants() -> impl Iterator<Item = Timestamp> {
    (-2..=END).flat_map(|at| [-1, 0, 1, 500_000].map(|off| Timestamp::from_micros(at * 1_000_000 + off)))
}

/// The first whole second after `now` at which the oracle says otherwise than at `now`.
fn next_flip(condition: &Condition, world: &World, now: Timestamp) -> Option<Timestamp> {
    let member = meets(condition, world, now.as_micros());
    let after = now.as_micros().div_euclid(1_000_000) + 1;
    (after..=END)
        .map(second)
        .find(|at| meets(condition, world, at.as_micros()) != member)
}

fn evaluate(segment: &CompiledSegment, world: &World, now: Timestamp) -> Evaluation {
    let evaluation = segment.evaluate(world, now);
    assert_eq!(evaluation.member, segment.is_member(world, now));
    assert!(
        evaluation.next_transition.is_none_or(|at| at > now),
        "a transition in the past"
    );
    evaluation
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn seg_2_membership_is_exact_at_every_instant(tree in random_tree(), mut world in random_world()) {
        let segment = compile(&tree);
        world.keep(&segment);
        let condition = &segment.definition().condition;
        for now in instants() {
            let evaluation = evaluate(&segment, &world, now);
            prop_assert_eq!(evaluation.member, meets(condition, &world, now.as_micros()), "at {}", now);
            // Worlds this small never reach the bound of the search, so its answer is the very instant.
            prop_assert_eq!(evaluation.next_transition, next_flip(condition, &world, now), "after {}", now);
            prop_assert_eq!(evaluation.member, segment.explain(&world, now).reason.holds, "explained at {}", now);
        }
    }

    #[test]
    fn seg_2_timers_and_events_keep_membership_exact(
        tree in random_tree(),
        mut world in random_world(),
        delays in proptest::collection::vec(-3..8_i64, 9),
    ) {
        let segment = compile(&tree);
        world.keep(&segment);
        let condition = segment.definition().condition.clone();
        // Events come late, out of order, and some a little before they say that they happen.
        let events = std::mem::take(&mut world.events).into_iter();
        let delivered = events.zip(delays).map(|(event, delay)| (event.event_time + Duration::from_secs(delay), event));
        let mut coming: Vec<_> = delivered.collect();
        coming.sort_by_key(|(delivered_at, _)| *delivered_at);
        let mut coming = coming.into_iter().peekable();
        // What the pipeline does: timers due strictly before a record fire first, then the record is applied.
        let mut known = evaluate(&segment, &world, second(-9));
        for now in (-8..=END).map(second) {
            while let Some(due) = known.next_transition.filter(|due| *due < now) {
                known = evaluate(&segment, &world, due);
            }
            let mut applied = false;
            while let Some((_, event)) = coming.next_if(|(delivered_at, _)| *delivered_at == now) {
                let (touched, before) = (segment.touched_by(&event), known);
                world.events.push(event);
                known = evaluate(&segment, &world, now);
                // An event that does not touch the segment changes nothing that its timers do not know already.
                let quiet = !touched && before.next_transition.is_none_or(|due| due > now);
                prop_assert!(!quiet || known == before, "an event of no concern changed the answer");
                applied = true;
            }
            if let (false, Some(due)) = (applied, known.next_transition.filter(|due| *due == now)) {
                known = evaluate(&segment, &world, due);
            }
            prop_assert_eq!(known.member, meets(&condition, &world, now.as_micros()), "at {}", now);
        }
    }
}

fn renewed(tree: &Json, events: &[i64]) -> Vec<(bool, i64)> {
    let segment = compile(tree);
    let mut world = World::default();
    world.keep(&segment);
    let mut changes = Vec::new();
    let mut known = segment.evaluate(&world, second(0));
    let name = segment.name();
    let mut tell = |before: Evaluation, after: Evaluation, at: Timestamp| {
        let change = Change::between(before.member, after.member, name, ProfileId(1), at, Cause::Clock);
        changes.extend(change.map(|change| (change.entered, change.at.as_micros() / 1_000_000)));
        after
    };
    for at in events.iter().copied().chain([1_000]) {
        while let Some(due) = known.next_transition.filter(|due| *due < second(at)) {
            known = tell(known, segment.evaluate(&world, due), due);
        }
        if at < 1_000 {
            world = world.did("Order", at, json!({}));
            known = tell(known, segment.evaluate(&world, second(at)), second(at));
        }
    }
    changes
}

#[test]
fn seg_2_an_event_that_renews_a_window_as_it_ends_causes_no_exit() {
    let bought = json!({ "performed": { "event": "Order", "within": { "last": "10s" } } });
    // The order of second 5 counts up to, not including, second 15.
    assert_eq!(renewed(&bought, &[5]), [(true, 5), (false, 15)]);
    assert_eq!(
        renewed(&bought, &[5, 15]),
        [(true, 5), (false, 25)],
        "renewed at the very instant"
    );
    assert_eq!(
        renewed(&bought, &[5, 16]),
        [(true, 5), (false, 15), (true, 16), (false, 26)],
        "renewed too late"
    );
    let twice = json!({ "performed": { "event": "Order", "at_least": 2, "within": { "last": "10s" } } });
    assert_eq!(renewed(&twice, &[5, 8, 15, 18]), [(true, 8), (false, 25)]);
    let quiet = json!({ "not_performed": { "event": "Order", "within": { "last": "10s" } } });
    assert_eq!(renewed(&quiet, &[5, 15]), [(false, 5), (true, 25)]);
}

#[test]
fn seg_2_a_search_that_reaches_its_bound_is_early_and_never_late() {
    let segment = compile(&json!({ "performed": { "event": "Order", "within": { "last": "1000s" } } }));
    let mut world = (0..500).fold(World::default(), |world, at| world.did("Order", at, json!({})));
    world.keep(&segment);
    world.asked.set(0);
    let first = segment.evaluate(&world, second(500));
    assert!(first.member && !first.exact);
    assert!(
        world.asked.get() < 200,
        "the work is bounded, it asked {} times",
        world.asked.get()
    );
    // Each early timer finds nothing changed and goes on; the one exit comes at its very instant.
    let (mut known, mut woken) = (first, 0);
    while let Some(due) = known.next_transition {
        known = segment.evaluate(&world, due);
        woken += 1;
        assert_eq!(known.member, due < second(1_499));
    }
    assert!(woken < 10, "woken {woken} times");
    assert!(!known.member && known.exact);
}

#[test]
fn seg_2_what_time_cannot_change_has_no_timer_and_asks_no_events() {
    let tree = json!({ "all": [{ "performed": { "event": "Order", "within": { "last": "10s" } } }, { "trait": "country", "equals": "DE" }] });
    let segment = compile(&tree);
    let mut world = World::default()
        .did("Order", 5, json!({}))
        .with_trait("country", json!("FR"));
    world.keep(&segment);
    assert_eq!(
        segment.evaluate(&world, second(6)),
        Evaluation {
            member: false,
            next_transition: None,
            exact: true,
        }
    );
    assert_eq!(world.asked.get(), 0, "a trait that decides spares the events");
    let mut world = World::default()
        .did("Order", 5, json!({}))
        .with_trait("country", json!("DE"));
    world.keep(&segment);
    assert_eq!(
        segment.evaluate(&world, second(6)),
        Evaluation {
            member: true,
            next_transition: Some(second(15)),
            exact: true,
        }
    );
}
