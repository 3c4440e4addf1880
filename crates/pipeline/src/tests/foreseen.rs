//! Sweeps that visit first whom a decision changes: every segment has its members long before everybody has been visited, and it
//! comes to the same in the end.

use super::folds::{FromTables, bench, reopen, told, with_the_quiet};
use super::worlds::{documents, world};
use super::{Bench, at, event, identify, performed, same, soak};
use crate::SweepProgress;
use crate::record::ProfileRecord;
use kith_state::Keyspace;
use kith_types::{Record, RecordBody};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};
use std::sync::Arc;

type Document = (&'static str, &'static str, Json);

fn progress(bench: &Bench) -> Option<SweepProgress> {
    bench.engine.spaces().find_map(|(.., sweep)| sweep)
}

/// Sweeps up to where every segment has its members, folds that are wanted made on the way; answers how the sweep stands, which may be over.
pub(super) fn until_live(bench: &mut Bench, folds: &FromTables) -> Option<SweepProgress> {
    loop {
        bench.sweep();
        if folds.are_wanted() {
            bench.commit();
            folds.make(bench.events(), 0);
        }
        match progress(bench) {
            Some(progress) if !progress.is_live => {}
            other => return other,
        }
    }
}

/// How many people have memberships that know the newest decision and parts that may not.
pub(super) fn behind(bench: &Bench) -> usize {
    let people = super::oracle::tree(&*bench.store, Keyspace::Profiles);
    let records = people.values().map(|bytes| ProfileRecord::decode(bytes).unwrap());
    records.filter(|record| record.parts_behind).count()
}

fn twelve(bench: &mut Bench) {
    for n in 0..12 {
        let user = format!("user_id:u{n}");
        let plan = if n % 4 == 0 { "pro" } else { "free" };
        let bought = event(&user, "Order Completed", n, json!({"total": 10 * n}));
        bench.take(n, &[bought, identify(&user, n, json!({"plan": plan}))]);
    }
    bench.commit();
}

#[test]
fn seg_4_whom_a_decision_changes_is_visited_first() {
    let total = |over: i64| {
        json!({"where": {"performed": {
            "event": "Order Completed", "where": {"property": "total", "greater_than": over}, "within": {"last": "1000s"},
        }}})
    };
    let cases: [(&str, Vec<Document>, Vec<&str>); 6] = [
        (
            "a new segment over history",
            vec![("segment", "dear", total(85))],
            vec!["+dear 20 definition"; 3],
        ),
        (
            "an edited one",
            vec![("segment", "dear", total(105))],
            vec!["-dear 21 definition"; 2],
        ),
        (
            "one over traits",
            vec![("segment", "pro", json!({"where": {"trait": "plan", "equals": "pro"}}))],
            vec!["+pro 22 definition"; 3],
        ),
        (
            "one that is removed",
            vec![("segment", "pro", Json::Null)],
            vec!["-pro 23 definition"; 3],
        ),
        (
            "one that names another",
            vec![(
                "segment",
                "not_dear",
                json!({"where": {"all": [{"not": {"segment": "dear"}}, {"trait": "plan", "equals": "pro"}]}}),
            )],
            vec!["+not_dear 24 definition"; 3],
        ),
        (
            "rules for traits",
            vec![("trait_rules", "main", json!({"traits": {"plan": "oldest"}}))],
            vec![],
        ),
    ];
    let folds = Arc::new(FromTables::default());
    let mut bench = bench(&folds);
    twelve(&mut bench);
    for (second, (what, documents, expected)) in (20..).zip(cases) {
        bench.outputs.retain(|output| !output.events.is_empty());
        bench.outputs.iter_mut().for_each(|output| output.changes.clear());
        bench.decide(second, &documents);
        let live = until_live(&mut bench, &folds).unwrap_or_else(|| panic!("{what}: the sweep goes on"));
        assert!(live.swept < live.profiles, "{what}");
        let when_live = bench.told();
        assert_eq!(when_live, expected, "{what}");
        assert_eq!(
            behind(&bench),
            3,
            "{what}: who is in such a segment, or was, takes what was found out of them"
        );
        bench.settle(at(second));
        assert_eq!(behind(&bench), 0, "{what}: everybody has been visited");
        assert_eq!(bench.told(), expected, "{what}");
    }
}

#[test]
fn seg_4_time_goes_on_for_who_is_visited_first() {
    let folds = Arc::new(FromTables::default());
    let mut bench = bench(&folds);
    twelve(&mut bench);
    bench.decide(20, &[("segment", "once", performed("Order Completed", 1, 1_000))]);
    // Five of them have left the window before it is known that they were in it.
    bench.until(at(1_005));
    let live = until_live(&mut bench, &folds).expect("the sweep goes on");
    assert!(live.swept < live.profiles);
    // Time has turned nothing of seven, of whom some may have been visited in turn.
    assert!((5..=7).contains(&behind(&bench)), "{}", behind(&bench));
    let exits = |seconds: std::ops::Range<i64>| seconds.map(|second| format!("-once {second} clock"));
    let told = |bench: &mut Bench| {
        let mut told = bench.told();
        told.sort();
        told
    };
    let mut expected = vec!["+once 20 definition".to_owned(); 12];
    expected.extend(exits(1_000..1_005));
    expected.sort();
    assert_eq!(told(&mut bench), expected);
    // Another two leave it before they are visited again.
    bench.until(at(1_007));
    bench.commit();
    expected.extend(exits(1_005..1_007));
    expected.sort();
    assert_eq!(told(&mut bench), expected);
}

#[test]
fn seg_4_another_decision_does_not_wait_for_who_is_visited_first() {
    let folds = Arc::new(FromTables::default());
    let mut bench = bench(&folds);
    twelve(&mut bench);
    bench.decide(20, &[("segment", "once", performed("Order Completed", 1, 1_000))]);
    bench.sweep();
    bench.decide(21, &[("segment", "once", performed("Order Completed", 2, 1_000))]);
    until_live(&mut bench, &folds);
    bench.settle(at(22));
    let told = bench.told();
    let count = |what: &str| told.iter().filter(|one| *one == what).count();
    assert_eq!(
        (count("+once 20 definition"), count("-once 21 definition")),
        (12, 12),
        "{told:?}"
    );
}

/// Documents that come, change and go, by dice.
fn some_documents(random: &mut ChaCha8Rng) -> Vec<Document> {
    let mut some: Vec<Document> = documents();
    some.retain(|(kind, ..)| *kind == "computed_trait" || random.random_bool(0.4));
    for document in some.iter_mut().filter(|(kind, ..)| *kind == "segment") {
        if random.random_bool(0.25) {
            document.2 = Json::Null;
        }
    }
    if random.random_bool(0.5) {
        let names = ["Order Completed", "Product Viewed", "Call Ended"];
        let spec = performed(
            names.choose(random).unwrap(),
            random.random_range(1..4),
            random.random_range(5..90),
        );
        some.retain(|(_, name, _)| *name != "buyers");
        some.push(("segment", "buyers", spec));
    }
    some
}

#[test]
fn seg_4_who_is_left_when_segments_are_live_stays_as_they_are() {
    let (mut seen_live, mut most_behind) = (0, 0);
    for seed in 0..60 * soak() {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let records: Vec<Record> = with_the_quiet(world(seed, 60, false).records)
            .into_iter()
            .filter(|record| matches!(record.body, RecordBody::Envelope(_)))
            .collect();
        let folds = Arc::new(FromTables::default());
        let (mut with, mut without) = (bench(&folds), Bench::new());
        let mut last = 0;
        for some in records.chunks(records.len().div_ceil(4)) {
            for record in some {
                let record = with.next(record);
                with.apply(&record);
                without.apply(&record);
                last = (record.received_at.as_micros() - at(0).as_micros()) / 1_000_000;
            }
            let documents = some_documents(&mut random);
            with.decide(last, &documents);
            without.decide(last, &documents);
            if seed % 2 == 0 {
                let live = until_live(&mut with, &folds);
                let members = |bench: &Bench| super::oracle::tree(&*bench.store, Keyspace::Members);
                let when_live = members(&with);
                while with.sweep() {}
                // A decision that changes nothing does not wait for what was said of accounts.
                if live.is_some() {
                    assert_eq!(members(&with), when_live, "seed {seed}");
                    seen_live += 1;
                }
            } else {
                // Records go on beside it, and find people who were visited first.
                with.sweep();
                if folds.are_wanted() && random.random_bool(0.7) {
                    with.commit();
                    folds.make(with.events(), 0);
                    for _ in 0..random.random_range(1..8) {
                        with.sweep();
                    }
                }
                most_behind = most_behind.max(behind(&with));
                if random.random_bool(0.3) {
                    with.commit();
                    reopen(&mut with, &folds);
                }
            }
        }
        let end = at(last + 100_000);
        with.sweep();
        if folds.are_wanted() {
            with.commit();
            folds.make(with.events(), 0);
        }
        with.settle(end);
        without.settle(end);
        assert_eq!(behind(&with), 0, "seed {seed}");
        same(&with.store, &without.store, end, &format!("seed {seed}"));
        assert_eq!(told(&mut with), told(&mut without), "seed {seed}");
    }
    assert!(seen_live > 60, "{seen_live}");
    assert!(most_behind > 2, "{most_behind}");
}
