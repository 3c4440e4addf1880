//! Definitions that are applied, replaced and removed while events flow.

use super::{Bench, at, event, performed};
use kith_profile::Part;
use kith_state::{Batch, Keyspace, Store};
use serde_json::{Value as Json, json};

fn order(user: &str, second: i64) -> Json {
    event(
        &format!("user_id:{user}"),
        "Order Completed",
        second,
        json!({"total": 10}),
    )
}

#[test]
fn seg_4_a_definition_applied_after_covers_all_history() {
    let mut bench = Bench::new();
    for n in 0..7 {
        bench.take(n, &[order(&format!("u{n}"), n), order(&format!("u{n}"), n)]);
    }
    bench.take(8, &[order("once", 8)]);
    bench.decide(10, &[("segment", "twice", performed("Order Completed", 2, 100))]);
    bench.settle(at(11));
    let told = bench.told();
    assert_eq!(told, vec!["+twice 10 definition"; 7]);
    bench.take(12, &[order("once", 12)]);
    assert_eq!(
        bench.told()[7..],
        ["+twice 12 event"],
        "what comes after has its own cause and instant"
    );
}

#[test]
fn seg_4_events_flow_while_a_sweep_is_under_way() {
    let mut bench = Bench::new();
    for n in 0..9 {
        bench.take(n, &[order(&format!("u{n}"), n)]);
    }
    bench.decide(
        10,
        &[
            ("segment", "twice", performed("Order Completed", 2, 20)),
            ("segment", "once", performed("Order Completed", 1, 20)),
        ],
    );
    // Nobody is swept yet: whoever is seen takes the definition at its instant first, and what time did since.
    bench.take(11, &[order("u5", 11)]);
    bench.take(60, &[order("u6", 60)]);
    let told = bench.told();
    assert_eq!(told[..2], ["+once 10 definition", "+twice 11 event"], "{told:?}");
    let of_u6: Vec<&str> = told
        .iter()
        .map(String::as_str)
        .filter(|one| one.starts_with("+once 60") || one.starts_with("-once 26"))
        .collect();
    assert_eq!(of_u6.len(), 2, "{told:?}");
    assert!(bench.sweep(), "two at a time");
    bench.settle(at(61));
    let told = bench.told();
    let entered = told.iter().filter(|one| *one == "+once 10 definition").count();
    let left = told
        .iter()
        .filter(|one| one.starts_with("-once") && one.ends_with("clock"))
        .count();
    assert_eq!(
        (entered, left),
        (9, 9),
        "everybody entered at the decision and left by the clock: {told:?}"
    );
}

#[test]
fn seg_4_a_definition_that_is_replaced_or_removed_tells_who_leaves() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "some", performed("Order Completed", 1, 1_000))]);
    bench.take(1, &[order("u1", 1), order("u2", 1), order("u2", 1)]);
    bench.decide(2, &[("segment", "some", performed("Order Completed", 2, 1_000))]);
    bench.decide(2, &[("segment", "some", performed("Order Completed", 3, 1_000))]);
    bench.take(3, &[order("u2", 3)]);
    bench.decide(4, &[("segment", "some", Json::Null)]);
    bench.settle(at(5));
    let told = bench.told();
    let expected = [
        "+some 1 event",
        "+some 1 event",
        "-some 2 definition",
        "-some 2 definition",
        "+some 3 event",
        "-some 4 definition",
    ];
    assert_eq!(told, expected);
    let of_some = crate::keys::members(&super::main_space(), "some");
    assert!(
        super::oracle::tree(&*bench.store, Keyspace::Members)
            .keys()
            .all(|key| !key.starts_with(&of_some))
    );
}

#[test]
fn seg_5_changes_are_emitted_only_on_change() {
    let mut bench = Bench::new();
    let spec = performed("Order Completed", 1, 1_000);
    bench.decide(0, &[("segment", "buyers", spec.clone())]);
    for second in 1..20 {
        bench.take(second, &[order("u1", second)]);
        bench.decide(second, &[("segment", "buyers", spec.clone())]);
        bench.settle(at(second));
    }
    bench.decide(
        20,
        &[
            ("segment", "buyers", performed("Order Completed", 2, 1_000)),
            ("message", "m", json!({})),
        ],
    );
    bench.settle(at(20));
    assert_eq!(bench.told(), ["+buyers 1 event"]);
}

#[test]
fn seg_5_the_outbox_has_no_gaps_across_restarts() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 10))]);
    bench.commit();
    let mut second = 0;
    for n in 0..30 {
        second += 7;
        bench.take(second, &[order(&format!("u{}", n % 4), second)]);
        if n % 3 == 0 {
            bench.crash();
        } else {
            bench.commit();
        }
    }
    bench.settle(at(second + 100));
    let store = std::sync::Arc::clone(&bench.store);
    let handover = crate::Handover::new(store);
    let kept = handover.changes_from(&super::main_space(), 0, usize::MAX).unwrap();
    assert_eq!(kept, bench.numbered());
    assert!(kept.len() > 10);
    assert!((0_u64..).zip(&kept).all(|(number, one)| one.number == number));
    assert_eq!(
        handover.changes_from(&super::main_space(), 3, 4).unwrap(),
        kept[3..7],
        "a page"
    );
}

#[test]
fn a_definition_of_another_kind_or_one_that_cannot_be_read_changes_nothing() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 1_000))]);
    bench.take(1, &[order("u1", 1)]);
    bench.settle(at(1));
    let version = bench.engine.definitions(&super::main_space()).unwrap().version;
    bench.decide(
        2,
        &[("message", "hello", json!({"x": 1})), ("source", "web", json!({}))],
    );
    bench.decide(3, &[("segment", "wrong", json!({"where": {"nothing": 1}}))]);
    assert_eq!(bench.engine.definitions(&super::main_space()).unwrap().version, version);
    assert!(!bench.sweep());
    assert_eq!(bench.told(), ["+buyers 1 event"]);
}

#[test]
fn pro_4_a_computed_trait_applied_while_its_event_comes_counts_it_once() {
    let mut bench = Bench::new();
    bench.take(1, &[order("u1", 1)]);
    bench.decide(2, &[("segment", "thrice", performed("Order Completed", 3, 1_000))]);
    // The person is loaded, and their history folded, by the very event that is being placed.
    bench.take(3, &[order("u1", 3)]);
    assert!(bench.told().is_empty(), "two orders are not three");
    bench.take(4, &[order("u1", 4)]);
    assert_eq!(bench.told(), ["+thrice 4 event"]);
}

#[test]
fn seg_4_parts_name_the_plan_in_force_and_are_folded_anew_when_theirs_is_not_kept() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 1_000))]);
    for n in 1..9 {
        bench.take(n, &[order(&format!("u{n}"), n)]);
    }
    bench.settle(at(10));
    let named = |bench: &Bench| {
        let definitions = bench.engine.definitions(&super::main_space()).unwrap();
        let parts = super::oracle::tree(&*bench.store, Keyspace::Parts);
        let read = parts.values().filter(|bytes| Part::decode(bytes).is_err());
        read.filter(|bytes| Part::decode_for(bytes, &definitions.plan).is_ok())
            .count()
    };
    assert_eq!(named(&bench), 8);
    // A sweep has everybody name the new plan, also where it only lacks something.
    let twice = ("segment", "twice", performed("Order Completed", 2, 50));
    bench.decide(11, &[twice]);
    bench.settle(at(12));
    assert_eq!(named(&bench), 8);
    bench.decide(13, &[("segment", "twice", Json::Null)]);
    bench.settle(at(14));
    assert_eq!(named(&bench), 8);
    // Without the plans the parts cannot be read: they are folded anew from the history, and nothing is told.
    let told = bench.told();
    let mut batch = Batch::default();
    batch.remove(
        Keyspace::Meta,
        crate::keys::named(&super::main_space(), crate::plans::PLANS),
    );
    bench.store.commit(batch).unwrap();
    bench.crash();
    bench.decide(15, &[("segment", "thrice", performed("Order Completed", 3, 50))]);
    bench.take(16, &[order("u1", 16)]);
    bench.settle(at(17));
    assert_eq!(bench.told(), told);
    super::oracle::check(&bench, at(17), "plans lost");
}
