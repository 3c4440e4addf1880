//! What a limit may have made other than exact is marked wherever it is told (contract PRO-5).

use super::accounts::group;
use super::{Bench, event, identify};
use kith_segment::Change;
use serde_json::{Map, Value as Json, json};

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

#[test]
fn pro_5_who_is_not_on_a_list_by_a_bound_of_identity_is_marked() {
    let mut bench = Bench::new();
    let segment = json!({"where": {"all": [{"performed": "Seen"}, {"not": {"listed": ["anonymous_id:nobody"]}}]}});
    bench.decide(0, &[("segment", "unlisted", segment)]);
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
    bench.take(30, &[event("user_id:u", "Seen", 30, json!({}))]);
    bench.take(31, &[event("user_id:other", "Seen", 31, json!({}))]);
    bench.commit();
    assert_eq!(changes(&bench), [entered("unlisted", true), entered("unlisted", false)]);
}
