//! Drafts against what applying them does: the same people, by the same code.

mod plainly;

use super::{Impact, Proposed, Sampler};
use crate::definitions::DefinitionDocument;
use crate::reads::tests::reads_of;
use crate::tests::worlds::{documents, world};
use crate::tests::{Bench, at, event, identify, main_space, performed};
use kith_types::{ProfileId, SegmentName, Timestamp};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

pub(super) fn document(kind: &str, name: &str, spec: Json) -> DefinitionDocument {
    DefinitionDocument {
        kind: kind.to_owned(),
        name: name.to_owned(),
        spec: (!spec.is_null()).then_some(spec),
    }
}

pub(super) fn proposed(changes: Vec<DefinitionDocument>) -> Proposed {
    Proposed {
        changes,
        beside: Vec::new(),
        samples: 100,
    }
}

pub(super) fn impact(bench: &Bench, proposed: &Proposed, now: Timestamp, threads: usize) -> Impact {
    let go_on = |_| true;
    let asked = reads_of(bench).impact(&main_space(), proposed, now, threads, &go_on);
    asked.unwrap().unwrap()
}

pub(super) fn members(bench: &Bench, name: &str) -> BTreeSet<ProfileId> {
    let name: SegmentName = name.parse().unwrap();
    let members = reads_of(bench).members(&main_space(), &name, None, usize::MAX);
    members.unwrap().into_iter().map(|(id, _)| id).collect()
}

/// Plays a world and brings it to rest, definitions and timers included.
pub(super) fn played(seed: u64) -> (Bench, i64) {
    let world = world(seed, 60, true);
    let mut bench = Bench::new();
    for record in &world.records {
        bench.apply(record);
    }
    bench.settle(at(world.end));
    (bench, world.end)
}

#[test]
fn seg_7_a_drafts_size_is_its_size_once_applied() {
    let mut entered = 0;
    for seed in 0..60 {
        let (mut bench, end) = played(seed);
        let all = documents();
        // Computed traits first: segments name them.
        let base: Vec<_> = all[..2].to_vec();
        bench.decide(end, &base);
        bench.settle(at(end + 1));
        // No timer is due at the very instant, which would be left for later.
        let now = at(end + 2) + kith_types::Duration::from_micros(1);
        bench.settle(now);
        for (kind, name, spec) in &all[2..] {
            // Nobody leaves or enters by time alone between the question and the decision.
            let now = at(end + 2) + kith_types::Duration::from_micros(1);
            bench.until(now);
            bench.commit();
            let before = members(&bench, name);
            let draft = impact(
                &bench,
                &proposed(vec![document(kind, name, spec.clone())]),
                now,
                1 + seed as usize % 3,
            );
            bench.decide(end + 2, &[(kind, name, spec.clone())]);
            bench.settle(now);
            let after = members(&bench, name);
            let segment = draft.segments.iter().find(|one| one.name.as_str() == *name).unwrap();
            let shown = |list: &[super::Shown]| -> BTreeSet<ProfileId> { list.iter().map(|shown| shown.id).collect() };
            assert_eq!(segment.after, Some(after.len() as u64), "seed {seed}: {name}");
            assert_eq!(shown(&segment.members), after, "seed {seed}: {name}");
            assert_eq!(shown(&segment.entering), &after - &before, "seed {seed}: {name} enters");
            assert_eq!(shown(&segment.leaving), &before - &after, "seed {seed}: {name} leaves");
            assert_eq!(
                (segment.enters, segment.leaves),
                (segment.entering.len() as u64, segment.leaving.len() as u64)
            );
            let people = reads_of(&bench).profile_ids(&main_space()).unwrap().len() as u64;
            assert_eq!(draft.people, people, "seed {seed}: everybody is asked once");
            entered += segment.enters;
        }
    }
    assert!(entered > 150, "the worlds must say something: {entered}");
}

#[test]
fn seg_7_editing_what_a_segment_names_tells_who_enters_and_leaves() {
    let mut bench = Bench::new();
    let orders = |seconds: u32| json!({"function": "count", "event": "Order Completed", "window": {"last": format!("{seconds}s")}});
    bench.decide(
        0,
        &[
            ("computed_trait", "orders", orders(10)),
            (
                "segment",
                "loyal",
                json!({"where": {"computed_trait": "orders", "greater_or_equal": 2}}),
            ),
            ("segment", "not_loyal", json!({"where": {"not": {"segment": "loyal"}}})),
            ("segment", "pro", json!({"where": {"trait": "plan", "equals": "pro"}})),
        ],
    );
    for n in 0..6 {
        let user = format!("user_id:u{n}");
        bench.take(
            n,
            &[
                identify(&user, n, json!({"plan": "pro"})),
                event(&user, "Order Completed", n, json!({})),
            ],
        );
        bench.take(n + 10, &[event(&user, "Order Completed", n + 10, json!({}))]);
    }
    bench.settle(at(16));
    let change = proposed(vec![document("computed_trait", "orders", orders(100))]);
    let asked = impact(&bench, &change, at(16), 2);
    let told: Vec<_> = (asked.segments.iter())
        .map(|one| (one.name.as_str(), one.before, one.after, one.enters, one.leaves))
        .collect();
    assert_eq!(
        told,
        [("loyal", Some(0), Some(6), 6, 0), ("not_loyal", Some(6), Some(0), 0, 6)],
        "what does not name the trait is not concerned"
    );
    assert_eq!(asked.computed_traits.len(), 1);
    assert_eq!((asked.computed_traits[0].changes, asked.traits), (6, None));

    // Who has no value has none before the trait is there either.
    let sum = json!({"function": "max", "event": "Order Completed", "property": "total", "window": "all_time"});
    let asked = impact(
        &bench,
        &proposed(vec![document("computed_trait", "dearest", sum)]),
        at(16),
        1,
    );
    assert_eq!(asked.computed_traits[0].changes, 0, "no order tells a total");

    // The rules for traits concern who asks for traits.
    bench.take(17, &[identify("user_id:u1", 17, json!({"plan": "free"}))]);
    bench.settle(at(17));
    let oldest = proposed(vec![document("trait_rules", "main", json!({"default": "oldest"}))]);
    let asked = impact(&bench, &oldest, at(17), 1);
    assert_eq!(asked.traits, Some(1));
    assert_eq!(asked.segments.len(), 1);
    assert_eq!((asked.segments[0].before, asked.segments[0].after), (Some(5), Some(6)));

    // What is removed loses everybody; what names it cannot stay.
    let removed = proposed(vec![document("segment", "pro", Json::Null)]);
    let asked = impact(&bench, &removed, at(17), 1);
    assert_eq!((asked.segments[0].after, asked.segments[0].leaves), (None, 5));
    let wrong = proposed(vec![document("segment", "loyal", Json::Null)]);
    let refused = reads_of(&bench).impact(&main_space(), &wrong, at(17), 1, &|_| true);
    assert!(refused.unwrap_err().to_string().contains("not_loyal"));
}

#[test]
fn seg_7_a_draft_counts_who_is_in_other_segments_too_and_can_be_called_off() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 100))]);
    for n in 0..12 {
        let name = if n % 3 == 0 {
            "Order Completed"
        } else {
            "Product Viewed"
        };
        bench.take(n, &[event(&format!("user_id:u{n}"), name, n, json!({}))]);
    }
    bench.settle(at(12));
    let draft = Proposed {
        beside: vec!["buyers".parse().unwrap()],
        samples: 3,
        ..proposed(vec![document(
            "segment",
            "anybody",
            json!({"where": {"performed": {"type": "any"}}}),
        )])
    };
    let asked = impact(&bench, &draft, at(12), 3);
    let segment = &asked.segments[0];
    assert_eq!((segment.before, segment.after), (None, Some(12)));
    assert_eq!(segment.beside, [("buyers".parse().unwrap(), 4)]);
    assert_eq!(
        asked,
        impact(&bench, &draft, at(12), 1),
        "however many threads ask, samples included"
    );
    assert_eq!(segment.members.len(), 3);
    let called_off = reads_of(&bench).impact(&main_space(), &draft, at(12), 2, &|_| false);
    assert_eq!(called_off.unwrap(), None);
}

#[test]
fn seg_7_an_estimate_holds_the_exact_size_and_grows_surer() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 100))]);
    for n in 0..300 {
        let name = if n % 4 == 0 {
            "Order Completed"
        } else {
            "Product Viewed"
        };
        bench.take(n, &[event(&format!("user_id:u{n}"), name, n, json!({}))]);
    }
    bench.settle(at(300));
    let draft = proposed(vec![document(
        "segment",
        "drafted",
        performed("Product Viewed", 1, 10_000),
    )]);
    let sampler = Sampler::new(reads_of(&bench));
    let exact = impact(&bench, &draft, at(300), 1).segments[0].after.unwrap();
    assert_eq!(exact, 225);
    let none = Sampler::new(reads_of(&bench)).estimate(&main_space(), &draft, at(300), &|| false);
    assert_eq!(
        none.unwrap().unwrap().of_sample.people,
        3,
        "some are asked without any time"
    );
    let left = std::cell::Cell::new(22_u32);
    let some_time = || left.replace(left.get().saturating_sub(1)) > 0;
    let ask = |time: &dyn Fn() -> bool| sampler.estimate(&main_space(), &draft, at(300), time).unwrap().unwrap();
    let first = ask(&some_time);
    assert_eq!((first.of_sample.people, first.more, first.people), (25, true, 300));
    let (_, low, high) = first.of_all(first.of_sample.segments[0].after.unwrap());
    assert!(low < exact && exact < high, "{low} to {high}");
    let whole = ask(&|| true);
    assert_eq!((whole.of_sample.people, whole.more), (40, false));
    let (value, narrow_low, narrow_high) = whole.of_all(whole.of_sample.segments[0].after.unwrap());
    assert!((narrow_low..=narrow_high).contains(&value) && narrow_high - narrow_low < high - low);
    let again = ask(&|| false);
    assert_eq!(again, whole, "what is in memory needs no time");
}

#[test]
fn seg_7_people_of_any_size_are_asked_and_few_of_them_are_held() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 100))]);
    let text = "x".repeat(1_000);
    for n in 0..30 {
        let traits: serde_json::Map<_, _> = (0..20).map(|at| (format!("trait {at}"), json!(text))).collect();
        bench.take(n, &[identify(&format!("user_id:u{n}"), n, json!(traits))]);
    }
    bench.settle(at(30));
    let draft = proposed(vec![document(
        "segment",
        "drafted",
        json!({"where": {"trait": "trait 3", "exists": true}}),
    )]);
    let sampler = Sampler::new(reads_of(&bench));
    for _ in 0..3 {
        let whole = sampler
            .estimate(&main_space(), &draft, at(31), &|| true)
            .unwrap()
            .unwrap();
        assert_eq!((whole.of_sample.people, whole.more), (30, false), "while there is time");
        assert_eq!(whole.of_sample.segments[0].after, Some(30));
        let held = sampler
            .estimate(&main_space(), &draft, at(31), &|| false)
            .unwrap()
            .unwrap();
        assert!(
            held.more && (1..8).contains(&held.of_sample.people),
            "{}",
            held.of_sample.people
        );
    }
}

#[test]
fn seg_7_a_sample_of_everybody_is_exact_and_ages() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 100))]);
    for n in 0..9 {
        bench.take(n, &[event(&format!("user_id:u{n}"), "Order Completed", n, json!({}))]);
    }
    bench.settle(at(9));
    let draft = proposed(vec![document(
        "segment",
        "twice",
        performed("Order Completed", 2, 10_000),
    )]);
    let sampler = Sampler::new(reads_of(&bench));
    let size = |second: i64| {
        let estimate = sampler
            .estimate(&main_space(), &draft, at(second), &|| true)
            .unwrap()
            .unwrap();
        estimate.of_all(estimate.of_sample.segments[0].after.unwrap())
    };
    assert_eq!(size(9), (0, 0, 0));
    bench.take(10, &[event("user_id:u3", "Order Completed", 10, json!({}))]);
    bench.settle(at(10));
    assert_eq!(size(80), (1, 1, 1), "after a minute people are read anew");
}

#[test]
fn seg_7_overlaps_count_everybody_once() {
    let mut bench = Bench::new();
    let names = ["Order Completed", "Product Viewed", "Call Ended"];
    let segments = ["buyers", "viewers", "callers"];
    let decided: Vec<_> = (segments.iter().zip(names))
        .map(|(segment, name)| ("segment", *segment, performed(name, 1, 10_000)))
        .collect();
    bench.decide(0, &decided);
    for n in 0..21_usize {
        // Each person did what the bits of their number say.
        for (bit, name) in names.iter().enumerate().filter(|(bit, _)| n >> bit & 1 == 1) {
            let second = (n * 3 + bit) as i64;
            bench.take(second, &[event(&format!("user_id:u{n}"), name, second, json!({}))]);
        }
    }
    bench.settle(at(100));
    let reads = reads_of(&bench);
    let asked: Vec<SegmentName> = segments.iter().map(|name| name.parse().unwrap()).collect();
    let overlap = reads.overlap(&main_space(), &asked, &|| true).unwrap().unwrap();
    for (place, region) in overlap.regions.iter().enumerate() {
        let expected = (0..21).filter(|n| n & 7 == place + 1).count() as u64;
        assert_eq!(region.people, expected, "{:?}", region.within);
    }
    assert_eq!(overlap.regions.len(), 7);
    for (bit, (_, size)) in overlap.sizes.iter().enumerate() {
        assert_eq!(*size, (0..21).filter(|n| n >> bit & 1 == 1).count() as u64);
    }
    let pair = overlap.in_all(&[&asked[0], &asked[2]]);
    assert_eq!(pair, (0..21).filter(|n| n & 5 == 5).count() as u64);
    let unknown = [asked[0].clone(), "nobody".parse().unwrap()];
    assert_eq!(reads.overlap(&main_space(), &unknown, &|| true).unwrap(), None);
}
