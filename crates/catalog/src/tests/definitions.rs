//! Definitions: decisions, plans, versions.

use super::{at, catalog, decision, document, source, space};
use crate::{
    CatalogErrorKind, ChangeAction, DefinitionsDecision, Document, DocumentId, DocumentKind, Proposal, WriteKeyOutcome,
};
use kith_types::Timestamp;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn raw_2_recording_a_decision_again_changes_nothing() {
    let catalog = catalog();
    let main = space("main");
    let first = decision(
        vec![
            document(DocumentKind::Segment, "vip", json!({ "a": 1 })),
            document(DocumentKind::Source, "web", json!({})),
        ],
        vec![],
    );
    assert!(
        catalog
            .record_definitions(&main, &first, at(3), Timestamp::from_millis(5))
            .unwrap()
    );
    assert!(
        !catalog
            .record_definitions(&main, &first, at(3), Timestamp::from_millis(5))
            .unwrap()
    );
    let id = DocumentId::new("segment", "vip").unwrap();
    assert_eq!(catalog.definition_history(&main, &id).unwrap().len(), 1);
    // The source exists with the definition, and gets its key when somebody asks for one.
    assert!(!catalog.source(&main, &source("web")).unwrap().has_write_key);
    let key = catalog.rotate_write_key(&main, &source("web")).unwrap().write_key;
    let gone = decision(vec![], vec![DocumentId::new("source", "web").unwrap()]);
    catalog
        .record_definitions(&main, &gone, at(9), Timestamp::from_millis(6))
        .unwrap();
    assert_eq!(catalog.resolve_write_key(&key), WriteKeyOutcome::Disabled);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn raw_2_the_catalog_follows_the_log_in_whatever_order_it_is_recorded(
        decisions in prop::collection::vec((0_u8..3, any::<bool>()), 1..8),
        order in prop::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let main = space("main");
        let made: Vec<_> = decisions.iter().enumerate().map(|(at_sequence, (name, removes))| {
            let name = format!("s{name}");
            let id = DocumentId::new("segment", &name).unwrap();
            let content = match removes {
                true => decision(vec![], vec![id]),
                false => decision(vec![document(DocumentKind::Segment, &name, json!({ "n": at_sequence }))], vec![]),
            };
            (at(at_sequence as u64), content)
        }).collect();
        let (one, other) = (catalog(), catalog());
        for (address, content) in &made {
            one.record_definitions(&main, content, *address, Timestamp::from_millis(7)).unwrap();
        }
        let mut shuffled = made.clone();
        for (at, index) in order.iter().enumerate().take(shuffled.len()) {
            let with = index.index(shuffled.len());
            shuffled.swap(at, with);
        }
        for (address, content) in &shuffled {
            other.record_definitions(&main, content, *address, Timestamp::from_millis(7)).unwrap();
        }
        prop_assert_eq!(one.definitions(&main).unwrap(), other.definitions(&main).unwrap());
        for (_, content) in &made {
            for id in content.applied.iter().map(Document::id).chain(content.removed.iter().cloned()) {
                prop_assert_eq!(one.definition_history(&main, &id).unwrap(), other.definition_history(&main, &id).unwrap());
            }
        }
    }
}

#[test]
fn what_was_decided_from_a_place_on_is_named_with_whether_the_newest_is_there() {
    let (catalog, main) = (catalog(), space("main"));
    let segment = |name: &str, min: u64| document(DocumentKind::Segment, name, json!({ "min": min }));
    let record = |sequence: u64, applied: &[Document], removed: &[Document]| {
        let removed = removed.iter().map(Document::id).collect();
        let when = Timestamp::from_millis(i64::try_from(sequence).unwrap());
        let decision = decision(applied.to_vec(), removed);
        catalog
            .record_definitions(&main, &decision, at(sequence), when)
            .unwrap();
    };
    record(1, &[segment("a", 1), segment("b", 1), segment("c", 1)], &[]);
    record(2, &[segment("b", 2)], &[segment("c", 1)]);
    record(3, &[segment("d", 3)], &[segment("b", 2)]);
    record(
        4,
        &[segment("c", 4), document(DocumentKind::ComputedTrait, "e", json!({}))],
        &[],
    );
    let from = |sequence: u64| -> Vec<(String, bool)> {
        catalog
            .decided_from(&main, DocumentKind::Segment, at(sequence))
            .unwrap()
    };
    let named = |names: &[(&str, bool)]| -> Vec<(String, bool)> {
        names
            .iter()
            .map(|(name, is_there)| ((*name).to_owned(), *is_there))
            .collect()
    };
    assert_eq!(from(1), named(&[("a", true), ("b", false), ("c", true), ("d", true)]));
    assert_eq!(from(3), named(&[("b", false), ("c", true), ("d", true)]));
    assert_eq!(from(4), named(&[("c", true)]));
    assert_eq!(from(5), []);
    let elsewhere = catalog.decided_from(&space("other"), DocumentKind::Segment, at(1));
    assert_eq!(elsewhere.unwrap(), []);
}

#[test]
fn a_plan_says_what_would_change_and_applying_does_that() {
    let catalog = catalog();
    let main = space("main");
    let before = [
        document(DocumentKind::Segment, "a", json!({ "min": 1, "max": 9 })),
        document(DocumentKind::Segment, "b", json!({ "x": 1 })),
    ];
    catalog
        .record_definitions(
            &main,
            &decision(before.to_vec(), vec![]),
            at(1),
            Timestamp::from_millis(1),
        )
        .unwrap();
    let proposal = Proposal {
        documents: vec![
            document(DocumentKind::Segment, "a", json!({ "min": 2, "max": 9 })),
            document(DocumentKind::ComputedTrait, "orders", json!({ "count": {} })),
            document(DocumentKind::Segment, "c", json!({})),
        ],
        removals: vec![],
        prune: true,
    };
    let plan = catalog.plan(&main, &proposal).unwrap();
    let shown: Vec<String> = plan
        .iter()
        .map(|change| format!("{} {} {:?}", change.action.as_str(), change.id, change.diff))
        .collect();
    assert_eq!(
        shown,
        [
            r#"create computed_trait/orders ["+ count: {}"]"#,
            r#"update segment/a ["- min: 1", "+ min: 2", "  max: 9"]"#,
            r#"delete segment/b ["- x: 1"]"#,
            r#"create segment/c ["+ {}"]"#,
        ]
    );
    let made = catalog.decision_for(&main, &proposal, "jo", "tidy").unwrap().unwrap();
    let read = DefinitionsDecision::from_json(&made.to_json()).unwrap();
    assert_eq!(read, made);
    catalog
        .record_definitions(&main, &read, at(2), Timestamp::from_millis(2))
        .unwrap();
    assert_eq!(
        catalog.definitions(&main).unwrap(),
        catalog.definitions_after(&main, &proposal).unwrap()
    );
    assert_eq!(
        catalog.decision_for(&main, &proposal, "jo", "again").unwrap(),
        None,
        "what holds needs no decision"
    );
    assert!(
        catalog
            .plan(&main, &proposal)
            .unwrap()
            .iter()
            .all(|change| change.action == ChangeAction::Unchanged)
    );
    let history = catalog
        .definition_history(&main, &DocumentId::new("segment", "b").unwrap())
        .unwrap();
    assert_eq!(
        history
            .iter()
            .map(|version| (version.version, version.spec.is_none(), version.reason.as_str()))
            .collect::<Vec<_>>(),
        [(2, true, "tidy"), (1, false, "because")]
    );
}

#[test]
fn a_proposal_that_contradicts_itself_is_refused() {
    let (catalog, main) = (catalog(), space("main"));
    let twice = document(DocumentKind::Segment, "a", json!({}));
    let proposal = Proposal {
        documents: vec![twice.clone(), twice.clone()],
        ..Proposal::default()
    };
    assert_eq!(
        catalog.plan(&main, &proposal).unwrap_err().kind(),
        CatalogErrorKind::Invalid
    );
    let proposal = Proposal {
        removals: vec![twice.id()],
        ..Proposal::default()
    };
    assert_eq!(
        catalog.plan(&main, &proposal).unwrap_err().kind(),
        CatalogErrorKind::NotFound
    );
    let many = (0..1_001)
        .map(|at| document(DocumentKind::Segment, &format!("s{at}"), json!({})))
        .collect();
    let proposal = Proposal {
        documents: many,
        ..Proposal::default()
    };
    assert_eq!(
        catalog.plan(&main, &proposal).unwrap_err().kind(),
        CatalogErrorKind::Invalid
    );
}

#[test]
fn golden_the_form_of_a_decision() {
    let made = decision(
        vec![document(DocumentKind::Segment, "vip", json!({ "a": 1 }))],
        vec![DocumentId::new("message", "hello").unwrap()],
    );
    let golden = concat!(
        r#"{"format":1,"author":"jo","reason":"because","applied":[{"kind":"segment","name":"vip","spec":{"a":1}}],"#,
        r#""removed":[{"kind":"message","name":"hello"}]}"#
    );
    assert_eq!(made.to_json(), golden);
    assert_eq!(DefinitionsDecision::from_json(golden).unwrap(), made);
    let newer = golden.replace("\"format\":1", "\"format\":2");
    assert!(
        DefinitionsDecision::from_json(&newer)
            .unwrap_err()
            .to_string()
            .contains("start the newer release")
    );
    assert!(DefinitionsDecision::from_json("[{}]").is_err() && DefinitionsDecision::from_json("{}").is_err());
}
