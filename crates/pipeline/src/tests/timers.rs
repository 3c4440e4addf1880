//! Membership when only time passes, and the order of timers and records.

use super::{Bench, at, event, performed, record, same};
use crate::{Engine, EngineConfig};
use kith_state::{MemoryStore, Store};
use serde_json::json;
use std::sync::Arc;

/// A bench with one segment: ordered within the last minute.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 60))]);
    bench.commit();
    bench
}

fn order(second: i64) -> serde_json::Value {
    event("user_id:u1", "Order Completed", second, json!({}))
}

#[test]
fn seg_2_time_alone_moves_people_out() {
    let mut bench = bench();
    bench.take(10, &[order(10)]);
    bench.until(at(70));
    assert_eq!(
        bench.told(),
        ["+buyers 10 event"],
        "the window still holds the order at its last instant"
    );
    bench.until(at(71));
    let told = bench.told();
    assert!(
        told.len() == 2 && told[1].starts_with("-buyers 70") && told[1].ends_with("clock"),
        "{told:?}"
    );
}

#[test]
fn seg_2_restart_keeps_timers() {
    let mut bench = bench();
    bench.take(10, &[order(10)]);
    bench.commit();
    for _ in 0..3 {
        bench.crash();
        bench.until(at(50));
    }
    assert_eq!(bench.told(), ["+buyers 10 event"]);
    bench.crash();
    bench.until(at(1_000));
    let told = bench.told();
    assert_eq!(told.len(), 2, "{told:?}");
    bench.crash();
    bench.until(at(2_000));
    assert_eq!(bench.told(), told, "a timer fires once");
}

#[test]
fn seg_2_an_exit_that_was_not_committed_fires_again_with_its_number() {
    let mut bench = bench();
    bench.take(10, &[order(10)]);
    bench.commit();
    bench.until(at(100));
    bench.crash();
    bench.until(at(200));
    let told = bench.told();
    assert!(told.len() == 2 && told[1].starts_with("-buyers 70"), "{told:?}");
    let numbers: Vec<u64> = bench.numbered().iter().map(|numbered| numbered.number).collect();
    assert_eq!(numbers, [0, 1]);
}

#[test]
fn seg_2_an_event_that_renews_at_the_instant_causes_no_exit() {
    let mut bench = bench();
    bench.take(10, &[order(10)]);
    bench.commit();
    let due = bench.engine_due();
    // The record comes at the very instant at which the timer is due.
    let second = (due.as_micros() - at(0).as_micros()) / 1_000_000;
    assert_eq!(at(second), due, "the instant of a whole second");
    bench.until(due);
    bench.take(second, &[order(second)]);
    bench.until(at(second + 1));
    assert_eq!(bench.told(), ["+buyers 10 event"]);
    // A moment later is too late.
    let mut late = self::bench();
    late.take(10, &[order(10)]);
    late.take(second + 1, &[order(second + 1)]);
    assert_eq!(late.told().len(), 3);
}

#[test]
fn seg_2_a_record_that_comes_late_finds_every_timer_before_it_fired_in_order() {
    let mut bench = bench();
    for (second, user) in [(10, "u1"), (20, "u2"), (30, "u3"), (40, "u4"), (50, "u5")] {
        bench.take(
            second,
            &[event(&format!("user_id:{user}"), "Order Completed", second, json!({}))],
        );
    }
    bench.take(10_000, &[event("user_id:u9", "Other", 10_000, json!({}))]);
    let told = bench.told();
    let exits: Vec<&String> = told.iter().filter(|one| one.starts_with('-')).collect();
    assert_eq!(exits.len(), 5, "{told:?}");
    assert!(
        bench.numbered().is_sorted_by_key(|numbered| numbered.change.at),
        "{told:?}"
    );
}

#[test]
fn seg_2_a_clock_that_is_set_back_takes_nothing_back() {
    let mut bench = bench();
    bench.take(10, &[order(10)]);
    bench.until(at(100));
    let told = bench.told();
    bench.until(at(20));
    assert_eq!(bench.engine.clock(), at(100));
    // A record stamped by the clock that was set back is taken at the instant reached.
    bench.take(30, &[order(30)]);
    bench.until(at(90));
    assert_eq!(
        bench.told().len(),
        told.len(),
        "an order 70 seconds ago is out of the window already"
    );
    bench.take(101, &[order(101)]);
    assert_eq!(bench.told().len(), told.len() + 1);
}

#[test]
fn spc_1_two_spaces_in_one_engine_share_nothing() {
    let body = |user: &str| {
        let order = super::with_id(
            event(&format!("user_id:{user}"), "Order Completed", 10, json!({})),
            "m1",
        );
        json!({"batch": [order]}).to_string()
    };
    let decision = super::decision(0, 0, &[("segment", "buyers", performed("Order Completed", 1, 60))]);
    let mut bench = Bench::new();
    bench.apply(&decision);
    bench.apply(&super::record_of("main", 1, at(10), &body("u1")));
    bench.apply(&super::record_of("other", 2, at(10), &body("u1")));
    bench.until(at(20));
    bench.commit();
    let output = bench.outputs.last().unwrap();
    assert_eq!(
        (output.events.len(), output.duplicates),
        (2, 0),
        "the same message id counts in each space"
    );
    assert_ne!(
        output.people[0], output.people[1],
        "the same identifier is another person"
    );
    assert_eq!(output.changes.len(), 1, "a definition holds in its space only");
    assert_eq!(
        bench.engine.spaces().map(|(_, people, _)| people).collect::<Vec<_>>(),
        [1, 1]
    );
    // What lies in one space is what it is without the other.
    let mut alone = Bench::new();
    alone.apply(&decision);
    alone.apply(&super::record_of("main", 1, at(10), &body("u1")));
    alone.until(at(20));
    alone.commit();
    assert_eq!(super::all_of_main(&bench.store), super::all_of_main(&alone.store));
    // A definition in the other space leaves the first alone.
    let other = kith_types::Record {
        space: "other".parse().unwrap(),
        ..super::decision(3, 20, &[("segment", "ever", performed("Order Completed", 1, 600))])
    };
    bench.apply(&other);
    bench.settle(at(500));
    let told: Vec<String> = bench
        .numbered()
        .iter()
        .map(|one| format!("{} {}", one.space, one.number))
        .collect();
    assert_eq!(
        told,
        ["main 0", "other 0", "main 1"],
        "each space counts its own changes"
    );
}

#[test]
fn a_state_that_an_earlier_release_left_midway_is_refused_with_the_remedy() {
    let store = Arc::new(MemoryStore::default());
    let mut batch = kith_state::Batch::default();
    let mark = crate::keys::named(&super::main_space(), "rederiving");
    batch.put(kith_state::Keyspace::Meta, mark, vec![1]);
    store.commit(batch).unwrap();
    let refused = Engine::open(store, EngineConfig::default()).err().unwrap();
    assert_eq!(refused.kind(), crate::PipelineErrorKind::Corrupt);
    assert!(refused.to_string().contains("move the state folder away"), "{refused}");
}

#[test]
fn seg_2_timers_fire_alike_whether_time_is_told_or_records_bring_it() {
    let orders: Vec<_> = (0..6)
        .map(|n| {
            (
                10 + n * 25,
                event(
                    &format!("user_id:u{}", n % 3),
                    "Order Completed",
                    10 + n * 25,
                    json!({}),
                ),
            )
        })
        .collect();
    let mut told = bench();
    let mut untold = bench();
    for (n, (second, order)) in orders.iter().enumerate() {
        for early in (*second - 20)..*second {
            told.until(at(early));
        }
        let record = record(n as u64 + 1, *second, std::slice::from_ref(order));
        told.apply(&record);
        untold.apply(&record);
    }
    told.settle(at(400));
    untold.settle(at(400));
    same(&told.store, &untold.store, at(400), "told");
    assert_eq!(told.told(), untold.told());
}

#[test]
fn raw_2_a_lost_state_is_built_again_in_silence() {
    let records = [record(0, 10, &[order(10)]), record(1, 200, &[order(200)])];
    let decided = super::decision(2, 300, &[("segment", "buyers", performed("Order Completed", 1, 60))]);
    let late = record(3, 310, &[order(310)]);
    let store = Arc::new(MemoryStore::default());
    let config = EngineConfig {
        rebuilt_before: 4,
        rebuilt_until: at(311),
        outbox_from: 1 << 32,
        ..EngineConfig::default()
    };
    let mut engine = Engine::open(Arc::clone(&store) as Arc<dyn Store>, config).unwrap();
    for record in records.iter().chain([&decided]) {
        engine.apply(record).unwrap();
    }
    assert!(engine.commit().unwrap().changes.is_empty());
    // The server dies on the way; what it was building is known from the state alone.
    let mut engine = Engine::open(Arc::clone(&store) as Arc<dyn Store>, EngineConfig::default()).unwrap();
    engine.apply(&late).unwrap();
    assert!(
        engine.commit().unwrap().changes.is_empty(),
        "told before the state was lost"
    );
    // No record comes any more: time alone ends the silence.
    assert!(engine.advance(at(1_000)).unwrap());
    let told = engine.commit().unwrap().changes;
    let [left] = &told[..] else { panic!("{told:?}") };
    assert!(left.number >= 1 << 32 && !left.change.entered, "{left:?}");
}

#[test]
fn seg_2_a_great_many_due_at_one_instant_are_committed_in_bounded_steps() {
    let orders: Vec<_> = (0..20)
        .map(|user| event(&format!("user_id:u{user}"), "Order Completed", 10, json!({})))
        .collect();
    let (mut at_once, mut in_turns) = (bench(), bench());
    let late = record(2, 200, &[event("user_id:u7", "Order Completed", 200, json!({}))]);
    for bench in [&mut at_once, &mut in_turns] {
        bench.take(10, &orders);
        bench.commit();
    }
    while !in_turns.engine.make_way(&late).unwrap() {
        in_turns.commit();
        let left = in_turns.outputs.last().unwrap();
        assert!(left.changes.len() <= 2 && left.from == left.to, "{left:?}");
        assert!(
            crate::is_between(&*in_turns.store).unwrap(),
            "some have left and others not"
        );
        // A server that dies on the way goes on where it was.
        in_turns.crash();
    }
    assert!(in_turns.outputs.len() >= 10);
    at_once.apply(&late);
    in_turns.apply(&late);
    at_once.settle(at(205));
    in_turns.settle(at(205));
    assert!(!crate::is_between(&*in_turns.store).unwrap());
    assert_eq!(at_once.numbered(), in_turns.numbered());
    same(&at_once.store, &in_turns.store, at(205), "in turns");
}
