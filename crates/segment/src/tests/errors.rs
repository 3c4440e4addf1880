//! SEG-1: what is wrong is said with its place and its remedy, and limits are stated errors.

use super::world::{compile, define, definitions};
use crate::{CompiledSegment, Definitions, MAX_CONDITIONS, MAX_DEPTH, SegmentDefinition, SegmentErrorKind as Kind};
use serde_json::{Value as Json, json};

fn refused(condition: &Json) -> (Kind, String) {
    let document = json!({ "kind": "segment", "name": "tested", "spec": { "where": condition } });
    let outcome = SegmentDefinition::parse(&document)
        .and_then(|definition| CompiledSegment::compile(&definition, definitions()).map(drop));
    let error = outcome.expect_err(&format!("accepted: {condition}"));
    assert_eq!(error.segment(), "tested");
    assert_eq!(
        error.to_string(),
        format!("segment tested: {}: {}", error.path(), error.problem())
    );
    (error.kind(), format!("{}: {}", error.path(), error.problem()))
}

#[test]
fn seg_1_errors_point_at_the_place() {
    let good = json!({ "performed": "Order" });
    for (condition, kind, expected) in [
        (
            json!({ "performd": "Order" }),
            Kind::Document,
            "spec.where: unknown condition `performd`: did you mean `performed`?",
        ),
        (
            json!({ "equals": "DE" }),
            Kind::Document,
            "spec.where: `equals` of what? Name a `trait` or a `computed_trait` beside it",
        ),
        (
            json!([good]),
            Kind::Document,
            "spec.where: expected one condition, found a list; put the list inside `all` or `any`",
        ),
        (
            json!({ "all": [] }),
            Kind::Document,
            "spec.where.all: the list is empty",
        ),
        (
            json!({ "all": good }),
            Kind::Document,
            "spec.where.all: expected a list of conditions; begin each with a dash",
        ),
        (
            json!({ "all": [good, { "any": [{ "trait": "country", "equal": "DE" }] }] }),
            Kind::Document,
            "spec.where.all[1].any[0]: unknown key `equal`: did you mean `equals`?",
        ),
        (
            json!({ "all": [{ "trait": "a", "exists": true, "segment": "b" }] }),
            Kind::Document,
            "spec.where.all[0]: both `trait` and `segment` in one condition; put each into its own entry of an `all`",
        ),
        (
            json!({ "performed": { "event": "Order" }, "within": { "last": "3d" } }),
            Kind::Document,
            "spec.where: unknown key `within`: known are performed; what belongs to the condition stands inside it",
        ),
        (
            json!({ "performed": { "event": "Order", "within": { "lst": "3d" } } }),
            Kind::Document,
            "spec.where.performed.within: unknown key `lst`: did you mean `last`?",
        ),
        (
            json!({ "performed": { "event": "Order", "within": { "last": "3 parsecs" } } }),
            Kind::Document,
            "spec.where.performed.within.last: \"3 parsecs\" is not a duration: a whole number and one of ms, s, m, h, d, w, from 1ms to 366000d",
        ),
        (
            json!({ "performed": { "event": "Order", "where": { "property": "total", "greater_or_equal": "50" } } }),
            Kind::Document,
            "spec.where.performed.where.greater_or_equal: expected a number, found a text",
        ),
        (
            json!({ "performed": { "event": "Order", "at_least": -1 } }),
            Kind::Document,
            "spec.where.performed.at_least: expected a whole number from 0 to 1000000, found -1",
        ),
        (
            json!({ "performed": { "event": "Order", "at_least": 0 } }),
            Kind::Document,
            "spec.where.performed.at_least: everybody did it 0 times or more: this says nothing",
        ),
        (
            json!({ "performed": { "event": "Order", "less_than": 0 } }),
            Kind::Document,
            "spec.where.performed.less_than: no count is below 0",
        ),
        (
            json!({ "performed": { "event": "Order", "at_least": 4, "less_than": 4 } }),
            Kind::Document,
            "spec.where.performed: no count is at least 4 and at most 3",
        ),
        (
            json!({ "performed": { "event": "Order", "exactly": 4, "at_most": 9 } }),
            Kind::Document,
            "spec.where.performed.exactly: this end of the count is said twice: keep one of the comparisons",
        ),
        (
            json!({ "not_performed": { "event": "Order", "at_least": 2 } }),
            Kind::Document,
            "spec.where.not_performed.at_least: `not_performed` means not once and takes no count: use `performed` with `at_most` or `exactly`",
        ),
        (
            json!({ "consent": "marketing", "answer": "grantd" }),
            Kind::Document,
            "spec.where.answer: unknown answer `grantd`: did you mean `granted`?",
        ),
        (
            json!({ "consent": " " }),
            Kind::Document,
            "spec.where.consent: the text is empty",
        ),
        (
            json!({ "not": { "computed_trait": "spnt", "exists": true } }),
            Kind::UnknownReference,
            "spec.where.not.computed_trait: unknown computed trait `spnt`: did you mean `spent`?",
        ),
        (
            json!({ "all": [good, { "segment": "buyer" }] }),
            Kind::UnknownReference,
            "spec.where.all[1].segment: unknown segment `buyer`: did you mean `buyers`?",
        ),
    ] {
        let (actual_kind, actual) = refused(&condition);
        let matches = actual == expected || (expected.ends_with("found a text") && actual.starts_with(expected));
        assert!(matches, "{condition}\n got {actual}\nwant {expected}");
        assert_eq!(actual_kind, kind, "{condition}");
    }
}

#[test]
fn seg_1_errors_of_the_document_itself_point_at_the_place() {
    let spec = json!({ "where": { "performed": "Order" } });
    for (document, expected) in [
        (json!("segment"), "segment: expected an object, found a text"),
        (
            json!({ "name": "a", "spec": spec }),
            "segment a: `kind: segment` is missing",
        ),
        (
            json!({ "kind": "segmnt", "name": "a", "spec": spec }),
            "segment a: kind: unknown kind `segmnt`: did you mean `segment`?",
        ),
        (
            json!({ "kind": "segment", "spec": spec }),
            "segment: `name` is missing: a text such as recent_buyers",
        ),
        (
            json!({ "kind": "segment", "name": "Big Spenders", "spec": spec }),
            "segment Big Spenders: name: segment name \"Big Spenders\" must start with a letter and have at most 64 of the characters a-z, 0-9, _ and -",
        ),
        (
            json!({ "kind": "segment", "name": "a" }),
            "segment a: `spec` is missing",
        ),
        (
            json!({ "kind": "segment", "name": "a", "spec": {} }),
            "segment a: spec: `where` is missing: what do the members meet?",
        ),
        (
            json!({ "kind": "segment", "name": "a", "spec": { "were": {} } }),
            "segment a: spec: unknown key `were`: did you mean `where`?",
        ),
        (
            json!({ "kind": "segment", "name": "a", "spec": { "description": 7, "where": {} } }),
            "segment a: spec.description: expected a text, found 7",
        ),
    ] {
        let error = SegmentDefinition::parse(&document).expect_err(&document.to_string());
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), Kind::Document);
    }
}

#[test]
fn seg_1_limits_are_stated_errors() {
    let leaf = json!({ "performed": "Order" });
    let nested = |depth: usize| (1..depth).fold(leaf.clone(), |inner, _| json!({ "not": inner }));
    compile(&nested(MAX_DEPTH));
    let (kind, text) = refused(&nested(MAX_DEPTH + 1));
    assert!(
        kind == Kind::Limit && text.ends_with("conditions nest deeper than 32"),
        "{text}"
    );

    let wide = |count: usize| json!({ "any": vec![leaf.clone(); count] });
    compile(&wide(MAX_CONDITIONS - 1));
    let (kind, text) = refused(&wide(MAX_CONDITIONS));
    assert!(
        kind == Kind::Limit && text.ends_with("more than 500 conditions"),
        "{text}"
    );
}

#[test]
fn seg_1_a_draft_is_not_among_the_segments_that_it_may_name() {
    let refused = |known: &Definitions, name: &str| {
        let draft = define(name, &json!({ "segment": "zzzzzz" }));
        let mut known = known.clone();
        known.segments.insert(draft.name.clone(), draft.clone());
        let error = CompiledSegment::compile(&draft, &known).expect_err("refused");
        error.problem().to_owned()
    };
    let mut known = Definitions::default();
    assert_eq!(refused(&known, "draft"), "unknown segment `zzzzzz`: none is defined");
    assert_eq!(refused(&known, "zzzzzy"), "unknown segment `zzzzzz`: none is defined");
    let buyers = define("buyers", &json!({ "performed": "Order" }));
    known.segments.insert(buyers.name.clone(), buyers);
    assert_eq!(refused(&known, "draft"), "unknown segment `zzzzzz`: known are buyers");
}

#[test]
fn seg_1_circles_and_deep_references_are_refused() {
    let mut known = definitions().clone();
    for (name, other) in [("a", "b"), ("b", "c"), ("c", "a"), ("own", "own")] {
        let definition = define(name, &json!({ "not": { "segment": other } }));
        known.segments.insert(definition.name.clone(), definition);
    }
    let compiled = |name: &str| CompiledSegment::compile(&known.segments[&name.parse().unwrap()], &known);
    let error = compiled("a").expect_err("a circle");
    assert_eq!(error.kind(), Kind::Cycle);
    assert_eq!(
        error.to_string(),
        "segment a: spec.where.not.segment: within segment b: within segment c: segments refer to one another in a circle: a -> b -> c -> a"
    );
    assert!(
        compiled("own")
            .expect_err("a circle")
            .to_string()
            .ends_with("own -> own")
    );

    let mut chain = definitions().clone();
    for depth in 0..=9 {
        let inner = if depth == 0 {
            json!({ "performed": "Order" })
        } else {
            json!({ "segment": format!("s{}", depth - 1) })
        };
        let definition = define(&format!("s{depth}"), &inner);
        chain.segments.insert(definition.name.clone(), definition);
    }
    let compiled = |name: &str| CompiledSegment::compile(&chain.segments[&name.parse().unwrap()], &chain);
    let deep = compiled("s8").unwrap();
    assert_eq!(deep.references().len(), 8);
    let error = compiled("s9").expect_err("too deep");
    assert_eq!(error.kind(), Kind::Limit);
    assert!(
        error.problem().ends_with("segments refer to segments deeper than 8"),
        "{error}"
    );
}

#[test]
fn seg_1_segments_that_double_each_other_are_refused_by_size() {
    let mut known = definitions().clone();
    for depth in 0..=8 {
        let inner = if depth == 0 {
            json!({ "performed": "Order" })
        } else {
            json!({ "segment": format!("s{}", depth - 1) })
        };
        let definition = define(&format!("s{depth}"), &json!({ "any": [inner, inner, inner] }));
        known.segments.insert(definition.name.clone(), definition);
    }
    let error = CompiledSegment::compile(&known.segments[&"s8".parse().unwrap()], &known).expect_err("too large");
    assert_eq!(error.kind(), Kind::Limit);
    assert!(error.problem().contains("more than 5000 conditions"), "{error}");
}

#[test]
fn seg_1_errors_stay_short_whatever_is_sent() {
    let long = "é".repeat(100_000);
    let fields: serde_json::Map<String, Json> = (0..20).map(|at| (format!("{long}{at}"), Json::Null)).collect();
    for condition in [
        json!({ "performed": { "event": "Order", "at_least": long } }),
        json!({ "performed": { "event": long } }),
        json!({ "performed": [long] }),
        json!({ "consent": [long] }),
        json!({ "consent": "x", "answer": long }),
        json!({ "segment": long }),
        json!({ "trait": long, "exists": true }),
        json!({ "trait": "a", "equals": long }),
        json!({ long.clone(): 1 }),
        Json::Object(fields),
        json!(long),
    ] {
        let (_, text) = refused(&condition);
        assert!(text.len() < 600, "{} bytes: {text:.200}", text.len());
    }
}
