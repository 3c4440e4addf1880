//! SEG-1: all mistakes of a document are told at once, each as it is told alone, in the order in which they are read.

use super::world::definitions;
use crate::{SegmentDefinition, mistakes};
use kith_expr::{DocumentError, MISTAKES_MAX};
use kith_types::SegmentName;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

fn spelled(wrong: &DocumentError) -> Vec<String> {
    wrong.told().0.map(ToString::to_string).collect()
}

/// What is wrong with a condition as the only segment beside those of the tests' world.
fn told(condition: &Json) -> Vec<String> {
    let spec = json!({ "where": condition });
    let all = told_of(&[("tested", spec)]);
    all.into_iter().next().map(|(_, told)| told).unwrap_or_default()
}

/// What is wrong with the `spec`s of segments that stand beside those of the tests' world.
fn told_of(specs: &[(&str, Json)]) -> BTreeMap<String, Vec<String>> {
    let known = definitions();
    let sound: Vec<(SegmentName, Json)> = (known.segments.iter())
        .map(|(name, definition)| (name.clone(), definition.to_document()["spec"].clone()))
        .collect();
    let named = specs.iter().map(|(name, spec)| (name.parse().unwrap(), spec));
    let all = sound.iter().map(|(name, spec)| (name.clone(), spec)).chain(named);
    let found = mistakes(&all.collect(), &known.computed_traits);
    found
        .iter()
        .map(|(name, wrong)| (name.to_string(), spelled(wrong)))
        .collect()
}

#[test]
fn seg_1_all_mistakes_of_a_document_are_told_at_once() {
    let condition = json!({ "all": [
        { "performed": { "event": "Order", "where": { "all": [
            { "property": "total", "greater_than": "50" },
            { "property": "country", "equal": "DE" },
        ] }, "at_least": -1, "within": { "lst": "3d" } } },
        { "any": [{ "consent": "" , "answer": "grantd" }, { "segment": "buyer" }, { "trait": "plan", "is": 1 }] },
        { "not": { "lifecycle": { "stage": "stopped", "event": "Order", "after": "3 parsecs", "times": 3 } } },
        { "performd": "Order" },
        { "computed_trait": "spnt", "exists": true },
    ] });
    assert_eq!(
        told(&condition),
        [
            "spec.where.all[0].performed.where.all[0].greater_than: expected a number, found a text; times are compared with `before` and `after`",
            "spec.where.all[0].performed.where.all[1]: unknown key `equal`: did you mean `equals`?",
            "spec.where.all[0].performed.within: unknown key `lst`: did you mean `last`?",
            "spec.where.all[0].performed.at_least: expected a whole number from 0 to 1000000, found -1",
            "spec.where.all[1].any[0].consent: the text is empty",
            "spec.where.all[1].any[0].answer: unknown answer `grantd`: did you mean `granted`?",
            "spec.where.all[1].any[2].is: expected true or false, found a number",
            "spec.where.all[2].not.lifecycle.times: `times` does not go with `stopped`, which takes after",
            "spec.where.all[2].not.lifecycle.after: \"3 parsecs\" is not a duration: a whole number and one of ms, s, m, h, d, w, from 1ms to 366000d",
            "spec.where.all[3]: unknown condition `performd`: did you mean `performed`?",
            "spec.where.all[1].any[1].segment: unknown segment `buyer`: did you mean `buyers`?",
            "spec.where.all[4].computed_trait: unknown computed trait `spnt`: did you mean `spent`?",
        ]
    );
}

#[test]
fn seg_1_a_misspelt_key_is_told_without_what_is_missing_for_it() {
    for (condition, expected) in [
        (
            json!({ "performed": { "evnt": "Order", "within": { "last": 3 } } }),
            &[
                "spec.where.performed: unknown key `evnt`: did you mean `event`?",
                "spec.where.performed.within.last: expected a span such as 30d, found a number",
            ][..],
        ),
        (
            json!({ "sequence": { "frist": "A", "thn": "B", "gap_less_than": 1, "same": "" } }),
            &[
                "spec.where.sequence: unknown key `frist`: did you mean `first`?",
                "spec.where.sequence: unknown key `thn`: did you mean `then`?",
                "spec.where.sequence.same: the text is empty",
            ],
        ),
        (
            json!({ "bucket": { "slt": "a", "from": -1, "to": "x" } }),
            &[
                "spec.where.bucket: unknown key `slt`: did you mean `salt`?",
                "spec.where.bucket.from: expected a percentage from 0 to 100 with up to three decimal places, found -1",
                "spec.where.bucket.to: expected a percentage from 0 to 100 with up to three decimal places, found \"x\"",
            ],
        ),
        (
            json!({ "performed": { "event": "A", "within": { "last": "3d", "count": 0, "zoen": "UTC" } } }),
            &[
                "spec.where.performed.within: unknown key `zoen`: did you mean `zone`?",
                "spec.where.performed.within.count: `count` does not go with `last`",
            ],
        ),
        (
            json!({ "listed": ["email:a@b.c", 5, "nobody"] }),
            &[
                "spec.where.listed[1]: expected a text, found 5",
                "spec.where.listed[2]: expected `type:value` such as `user_id:u1`, found \"nobody\"",
            ],
        ),
    ] {
        assert_eq!(told(&condition), expected, "{condition}");
    }
}

#[test]
fn seg_1_many_mistakes_are_counted() {
    let wrong = vec![json!({ "trait": "a", "equal": 1 }); MISTAKES_MAX + 7];
    let spec = json!({ "where": { "all": [{ "any": wrong }, { "consent": 5 }] } });
    let error = SegmentDefinition::parse_spec("tested".parse().unwrap(), &spec).unwrap_err();
    let (first, more) = error.mistakes().told();
    assert_eq!((first.count(), more), (MISTAKES_MAX, 8));
    // A limit of the whole is one mistake, however much lies beyond it.
    let many =
        json!({ "any": [{ "any": vec![json!({ "consent": "x" }); 600] }, { "consent": "x" }, { "performd": 1 }] });
    assert_eq!(
        told(&many),
        ["spec.where.any[0].any[498]: more than 500 conditions"].map(str::to_owned)
    );
    let many = json!({ "performed": { "event": "A", "where": { "any": [
        { "all": vec![json!({ "property": "x", "equals": 1 }); 600] }, { "propert": 1 },
    ] } } });
    assert_eq!(
        told(&many),
        ["spec.where.performed.where.any[0].all[498]: more than 500 conditions"]
    );
}

#[test]
fn seg_1_a_mistake_is_told_of_the_segment_that_makes_it_and_of_no_other() {
    let refers = |name: &str| json!({ "where": { "segment": name } });
    let told = told_of(&[
        (
            "broken",
            json!({ "where": { "all": [{ "consent": 5 }, { "segment": "byers" }] } }),
        ),
        (
            "unknown",
            json!({ "where": { "any": [{ "segment": "broken" }, { "segment": "nobody_knows" }] } }),
        ),
        ("above", refers("unknown")),
        ("top", refers("above")),
        ("one", refers("two")),
        ("two", refers("one")),
        ("beside", refers("buyers")),
    ]);
    assert_eq!(told.keys().collect::<Vec<_>>(), ["broken", "one", "unknown"]);
    assert_eq!(
        told["broken"],
        [
            "spec.where.all[0].consent: expected a text, found 5",
            "spec.where.all[1].segment: unknown segment `byers`: did you mean `buyers`?",
        ]
    );
    assert_eq!(told["unknown"].len(), 1);
    assert!(told["unknown"][0].starts_with("spec.where.any[1].segment: unknown segment `nobody_knows`"));
    assert_eq!(
        told["one"],
        ["spec.where.segment: within segment two: segments refer to one another in a circle: one -> two -> one"]
    );
}

/// Leaves that can be read, and others with one mistake or several.
fn leaves() -> Vec<Json> {
    vec![
        json!({ "trait": "country", "equals": "DE" }),
        json!({ "performed": "Order" }),
        json!({ "account": { "any": [{ "trait": "plan", "equals": "pro" }, { "not": { "trait": "seats", "less_than": 5 } }] } }),
        json!({ "trait": "country", "equal": "DE" }),
        json!({ "trait": "", "is": 5 }),
        json!({ "performed": { "event": 5, "type": "trak", "within": { "ago": { "from": 1, "to": "1 d" } }, "at_least": 1, "more_than": 2 } }),
        json!({ "not_performed": { "event": "A", "at_most": 1, "exactly": 2 } }),
        json!({ "sequence": { "first": "A", "then_not": { "types": ["page", "pag"] }, "gap_at_least": "1d", "within": "3d" } }),
        json!({ "lifecycle": { "stage": "stoped", "where": { "not": { "property": "a..b", "near": { "latitude": "x" } } } } }),
        json!({ "account": { "all": [{ "trait": "plan" }, { "consent": "x" }, { "any": [] }] } }),
        json!({ "performed": { "event": "A", "within": { "previous": "mnth", "count": 0, "zone": "Europe/Berln" } } }),
        json!({ "any": [] }),
        json!([]),
        json!({}),
        json!({ "consent": "marketing", "trait": "a" }),
        json!({ "trait": "a", "any_of": [null, 1, {}, []] }),
    ]
}

fn trees() -> impl Strategy<Value = Json> {
    prop::sample::select(leaves()).prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| json!({ "all": parts })),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| json!({ "any": parts })),
            inner.prop_map(|part| json!({ "not": part })),
        ]
    })
}

/// What is wrong with each leaf alone, by the place where it stands.
fn one_by_one(tree: &Json, place: &str, told_alone: &mut Vec<String>) {
    let parts = |key: &str| tree.get(key).and_then(Json::as_array).filter(|parts| !parts.is_empty());
    for key in ["all", "any"] {
        for (at, part) in parts(key).into_iter().flatten().enumerate() {
            one_by_one(part, &format!("{place}.{key}[{at}]"), told_alone);
        }
    }
    if let Some(part) = tree.get("not") {
        one_by_one(part, &format!("{place}.not"), told_alone);
    }
    if parts("all").is_none() && parts("any").is_none() && tree.get("not").is_none() {
        let spec = json!({ "where": tree });
        if let Err(wrong) = SegmentDefinition::parse_spec("tested".parse().unwrap(), &spec) {
            let alone = spelled(wrong.mistakes()).into_iter();
            told_alone.extend(alone.map(|text| text.replacen("spec.where", place, 1)));
        }
    }
}

proptest! {
    #[test]
    fn seg_1_mistakes_together_are_told_as_each_alone(tree in trees()) {
        let mut alone = Vec::new();
        one_by_one(&tree, "spec.where", &mut alone);
        let read = SegmentDefinition::parse_spec("tested".parse().unwrap(), &json!({ "where": tree }));
        match read {
            Ok(_) => prop_assert_eq!(alone, Vec::<String>::new()),
            Err(wrong) => {
                let (_, more) = wrong.mistakes().told();
                prop_assert_eq!(more, alone.len().saturating_sub(MISTAKES_MAX));
                alone.truncate(MISTAKES_MAX);
                prop_assert_eq!(spelled(wrong.mistakes()), alone);
                prop_assert_eq!(wrong.mistakes().to_string(), format!("{}: {}", wrong.path(), wrong.problem()));
            }
        }
    }
}
