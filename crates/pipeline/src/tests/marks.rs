//! What a limit may have made other than exact is marked wherever it is told (contract PRO-5).

use super::accounts::group;
use super::folds::{self, FromTables};
use super::{Bench, event, foreseen, identify};
use kith_segment::Change;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// More traits than a fold keeps.
fn too_many() -> Json {
    let traits = (0..600).map(|n| (format!("t{n}"), json!(n)));
    Json::Object(traits.collect::<Map<_, _>>())
}

fn changes(bench: &Bench) -> Vec<(String, bool, bool)> {
    let told = bench.outputs.iter().flat_map(|output| &output.changes);
    let shown = |change: &Change| (change.segment.to_string(), change.entered, change.approximate);
    told.map(|numbered| shown(&numbered.change)).collect()
}

fn entered(segment: &str, approximate: bool) -> (String, bool, bool) {
    (segment.to_owned(), true, approximate)
}

#[test]
fn pro_5_a_change_of_membership_that_a_limit_may_have_made_is_marked() {
    let mut bench = Bench::new();
    let segments = [
        ("segment", "plain", json!({"where": {"performed": "Seen"}})),
        (
            "segment",
            "without_plan",
            json!({"where": {"all": [{"performed": "Seen"}, {"trait": "plan", "exists": false}]}}),
        ),
        (
            "segment",
            "of_free_account",
            json!({"where": {"all": [{"performed": "Seen"}, {"account": {"trait": "plan", "exists": false}}]}}),
        ),
    ];
    bench.decide(0, &segments);
    bench.take(1, &[identify("user_id:u1", 1, too_many())]);
    bench.take(2, &[group("user_id:u2", "acme", 2, too_many())]);
    bench.commit();
    bench.crash();
    for user in ["user_id:u1", "user_id:u2"] {
        bench.take(3, &[event(user, "Seen", 3, json!({}))]);
    }
    bench.commit();
    let mut told = changes(&bench);
    told[..2].sort();
    told[2..].sort();
    let expected = [
        entered("plain", false),
        entered("without_plan", true),
        entered("of_free_account", true),
        entered("plain", false),
        entered("without_plan", false),
    ];
    assert_eq!(told, expected);
}

/// More identifiers beside one than a component holds.
fn crowd(bench: &mut Bench) {
    for n in 0..20 {
        let shared = |at: i64| {
            event(
                &format!("user_id:u anonymous_id:a{}", n * 60 + at),
                "Came",
                n,
                json!({}),
            )
        };
        bench.take(n, &(0..60).map(shared).collect::<Vec<_>>());
    }
}

fn unlisted() -> Json {
    json!({"where": {"all": [{"performed": "Seen"}, {"not": {"listed": ["anonymous_id:nobody"]}}]}})
}

#[test]
fn pro_5_who_is_not_on_a_list_by_a_bound_of_identity_is_marked() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "unlisted", unlisted())]);
    crowd(&mut bench);
    bench.take(30, &[event("user_id:u", "Seen", 30, json!({}))]);
    bench.take(31, &[event("user_id:other", "Seen", 31, json!({}))]);
    bench.commit();
    assert_eq!(changes(&bench), [entered("unlisted", true), entered("unlisted", false)]);
}

#[test]
fn pro_5_a_change_that_a_definition_makes_of_history_is_marked_as_well() {
    let folds = Arc::new(FromTables::default());
    let mut bench = folds::bench(&folds);
    crowd(&mut bench);
    bench.take(21, &[identify("user_id:rich", 21, too_many())]);
    for user in ["user_id:u", "user_id:rich", "user_id:other"] {
        bench.take(30, &[event(user, "Seen", 30, json!({}))]);
    }
    bench.commit();
    let without_plan = json!({"where": {"all": [{"performed": "Seen"}, {"trait": "plan", "exists": false}]}});
    let cases = [
        (
            "unlisted",
            unlisted(),
            0,
            "who is on no list is asked when they are visited",
        ),
        ("without_plan", without_plan, 2, "and so is who has too many traits"),
    ];
    for (second, (segment, document, behind, what)) in (31..).zip(cases) {
        bench.decide(second, &[("segment", segment, document)]);
        foreseen::until_live(&mut bench, &folds).expect("the sweep goes on");
        assert!(foreseen::behind(&bench) <= behind, "{what}");
        let mut told = changes(&bench);
        told.retain(|(of, ..)| of == segment);
        told.sort();
        let expected = [false, false, true].map(|approximate| entered(segment, approximate));
        assert_eq!(told, expected, "{what}");
    }
}
