//! What is told of documents that cannot be used: everything, each mistake where it stands.

use super::problems_of;
use kith_catalog::Document;
use serde_json::{Value, json};

fn told(documents: &[Value]) -> Vec<String> {
    let read = |document: &Value| Document::from_json("test", document.clone()).unwrap();
    let documents: Vec<Document> = documents.iter().map(read).collect();
    problems_of(&documents).iter().map(ToString::to_string).collect()
}

#[test]
fn seg_1_all_mistakes_of_all_documents_are_told_with_their_places() {
    let told = told(&[
        json!({ "kind": "segment", "name": "vip", "spec": { "were": 1, "where": { "all": [
            { "performed": { "event": "Order", "at_lest": 2, "within": { "lst": "3d" } } },
            { "segment": "buyer" },
            { "computed_trait": "spent", "greater_than": 5 },
        ] } } }),
        json!({ "kind": "segment", "name": "buyers", "spec": { "where": { "segment": "vip" } } }),
        json!({ "kind": "computed_trait", "name": "spent", "spec": {
            "functon": "sum", "event": "Order", "property": "a..b", "window": { "last": "30 days" },
        } }),
        json!({ "kind": "trait_rules", "name": "main", "spec": { "default": "newest", "traits": {
            "country": { "source_prioriy": ["crm"] }, "plan": "most_recnt", "city": { "source_priority": ["crm", 5] },
        } } }),
        json!({ "kind": "identity_rules", "name": "main", "spec": { "types": {
            "email": { "limt": 1, "claim": "first_ownr" }, "card": { "limit": 0 },
        } } }),
    ]);
    assert_eq!(
        told,
        [
            "identity_rules/main: spec.types.email: unknown key `limt`: did you mean `limit`?",
            "identity_rules/main: spec.types.card.limit: 0 is not between 1 and 500",
            "identity_rules/main: spec.types.email.claim: unknown claim policy `first_ownr`: did you mean `first_owner`?",
            "trait_rules/main: spec.default: unknown rule `newest`: known are most_recent, most_frequent, oldest, min, max, most_restrictive, a map with source_priority",
            "trait_rules/main: spec.traits.country: unknown key `source_prioriy`: did you mean `source_priority`?",
            "trait_rules/main: spec.traits.plan: unknown rule `most_recnt`: did you mean `most_recent`?",
            "trait_rules/main: spec.traits.city.source_priority[1]: expected the name of a source, found a number",
            "computed_trait/spent: spec: unknown key `functon`: did you mean `function`?",
            "computed_trait/spent: spec.property: \"a..b\" is not a path such as `total` or `order.total`",
            "computed_trait/spent: spec.window.last: \"30 days\" is not a duration: a whole number and one of ms, s, m, h, d, w, from 1ms to 366000d",
            "segment/vip: spec: unknown key `were`: did you mean `where`?",
            "segment/vip: spec.where.all[0].performed: unknown key `at_lest`: did you mean `at_least`?",
            "segment/vip: spec.where.all[0].performed.within: unknown key `lst`: did you mean `last`?",
            "segment/vip: spec.where.all[1].segment: unknown segment `buyer`: did you mean `buyers`?",
        ]
    );
}

#[test]
fn seg_1_mistakes_beyond_twenty_of_a_document_are_counted() {
    let segment = |mistakes: usize| {
        let wrong = vec![json!({ "consent": 5 }); mistakes];
        json!({ "kind": "segment", "name": "vip", "spec": { "where": { "all": wrong } } })
    };
    let all = told(&[segment(20)]);
    assert_eq!(all.len(), 20);
    assert_eq!(
        all[19],
        "segment/vip: spec.where.all[19].consent: expected a text, found 5"
    );
    let bounded = told(&[segment(25)]);
    assert_eq!(bounded[..20], all);
    assert_eq!(bounded[20..], ["segment/vip: and 5 more mistakes"]);
    assert_eq!(told(&[segment(21)])[20], "segment/vip: and 1 more mistake");
}
