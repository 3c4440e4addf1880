//! Limits of a space: decided like any definition, kept when something grows, and of one space only.

use super::{at, catalog, decision, document, source, space};
use crate::{Catalog, CatalogErrorKind, Document, DocumentId, DocumentKind, Proposal, SpaceLimits};
use kith_types::{Limits, SpaceId, Terms, Timestamp};
use serde_json::json;

fn proposal(documents: Vec<Document>) -> Proposal {
    Proposal {
        documents,
        ..Proposal::default()
    }
}

fn decide(catalog: &Catalog, space: &SpaceId, sequence: u64, wanted: &Proposal) {
    let decision = catalog.decision_for(space, wanted, "jo", "because").unwrap().unwrap();
    catalog
        .record_definitions(space, &decision, at(sequence), Timestamp::from_millis(1))
        .unwrap();
}

fn segment(name: &str) -> Document {
    document(DocumentKind::Segment, name, json!({}))
}

#[test]
fn spc_1_a_count_at_its_limit_is_refused_by_name_and_other_spaces_are_untouched() {
    let catalog = catalog();
    let (main, other) = (space("main"), space("other"));
    catalog.create_space(&other).unwrap();
    let limits = SpaceLimits {
        sources: Some(2),
        segments: Some(2),
        definitions: Some(3),
        ..SpaceLimits::default()
    };
    decide(
        &catalog,
        &main,
        1,
        &proposal(vec![limits.to_document(), segment("a"), segment("b")]),
    );
    assert_eq!(catalog.space_limits(&main), limits);
    assert_eq!(catalog.space_limits(&other), SpaceLimits::default());

    for at in 0..3 {
        catalog.create_source(&other, &source(&format!("s{at}"))).unwrap();
    }
    catalog.create_source(&main, &source("s0")).unwrap();
    catalog.create_source(&main, &source("s1")).unwrap();
    let refused = catalog.create_source(&main, &source("s2")).unwrap_err();
    assert_eq!(refused.kind(), CatalogErrorKind::Limit);
    assert!(refused.to_string().contains("may have 2 sources"), "{refused}");
    let taken = catalog.create_source(&main, &source("s1")).unwrap_err();
    assert_eq!(taken.kind(), CatalogErrorKind::Conflict, "a taken name is told as that");

    let rules = document(DocumentKind::IdentityRules, "default", json!({}));
    let new_source = document(DocumentKind::Source, "s9", json!({}));
    let known_source = document(DocumentKind::Source, "s1", json!({}));
    let trait_rules = document(DocumentKind::TraitRules, "default", json!({}));
    for (documents, named) in [
        (vec![segment("c")], "2 segments"),
        (vec![new_source], "2 sources"),
        (vec![known_source.clone(), rules, trait_rules], "3 definitions"),
    ] {
        for planned in [
            catalog.plan(&main, &proposal(documents.clone())).map(|_| ()),
            catalog
                .decision_for(&main, &proposal(documents.clone()), "jo", "")
                .map(|_| ()),
        ] {
            let refused = planned.unwrap_err();
            assert_eq!(refused.kind(), CatalogErrorKind::Limit);
            assert!(refused.to_string().contains(named), "{refused}");
        }
        catalog.plan(&other, &proposal(documents)).unwrap();
    }
    catalog.plan(&main, &proposal(vec![known_source])).unwrap();
}

#[test]
fn spc_1_a_limit_below_what_there_is_takes_nothing_away_and_a_folder_does_not_end_it() {
    let catalog = catalog();
    let main = space("main");
    decide(
        &catalog,
        &main,
        1,
        &proposal(vec![segment("a"), segment("b"), segment("c")]),
    );
    let one = SpaceLimits {
        segments: Some(1),
        ..SpaceLimits::default()
    };
    decide(&catalog, &main, 2, &proposal(vec![one.to_document()]));
    assert_eq!(catalog.space_usage(&main).unwrap().segments, 3);
    let changed = document(DocumentKind::Segment, "a", json!({ "description": "again" }));
    catalog.plan(&main, &proposal(vec![changed])).unwrap();
    let fewer = Proposal {
        removals: vec![DocumentId::new("segment", "c").unwrap()],
        ..Proposal::default()
    };
    decide(&catalog, &main, 3, &fewer);
    assert!(catalog.plan(&main, &proposal(vec![segment("d")])).is_err());

    // A limit is raised and used in one decision.
    let raised = SpaceLimits {
        segments: Some(3),
        ..SpaceLimits::default()
    };
    catalog
        .plan(&main, &proposal(vec![raised.to_document(), segment("d")]))
        .unwrap();

    let pruned = Proposal {
        documents: vec![segment("a")],
        prune: true,
        ..Proposal::default()
    };
    decide(&catalog, &main, 4, &pruned);
    assert_eq!(catalog.space_limits(&main), one);
    let ended = Proposal {
        removals: vec![DocumentId::new("space_limits", "limits").unwrap()],
        ..Proposal::default()
    };
    decide(&catalog, &main, 5, &ended);
    assert_eq!(catalog.space_limits(&main), SpaceLimits::default());
}

#[test]
fn spc_1_limits_stand_as_the_log_has_them_whatever_the_order_of_recording() {
    let catalog = catalog();
    let main = space("main");
    let rate = |events| SpaceLimits {
        events_per_second: Some(events),
        ..SpaceLimits::default()
    };
    for sequence in [2, 1] {
        let written = decision(vec![rate(sequence).to_document()], vec![]);
        catalog
            .record_definitions(&main, &written, at(sequence), Timestamp::from_millis(1))
            .unwrap();
    }
    assert_eq!(catalog.space_limits(&main), rate(2));
    catalog.forget_definitions().unwrap();
    assert_eq!(catalog.space_limits(&main), SpaceLimits::default());
}

#[test]
fn spc_1_wrong_limits_are_told_with_their_place() {
    let wrong = |name: &str, spec: serde_json::Value| {
        let document = json!({ "kind": "space_limits", "name": name, "spec": spec });
        Document::from_json("body", document).unwrap_err()
    };
    assert_eq!(wrong("other", json!({})).path, "name");
    assert_eq!(wrong("limits", json!({ "sauces": 1 })).path, "spec.sauces");
    assert_eq!(wrong("limits", json!({ "sources": 0 })).path, "spec.sources");
    assert_eq!(wrong("limits", json!({ "sources": "3" })).path, "spec.sources");
    assert_eq!(wrong("limits", json!({ "burst_events": 5 })).path, "spec.burst_events");
    let cases = [
        json!({ "event_bytes": 1_048_577 }),
        json!({ "event_bytes": 600_000 }),
        json!({ "event_bytes": 600_000, "batch_bytes": 599_999 }),
        json!({ "event_bytes": 5_000, "batch_bytes": 4_000 }),
    ];
    for case in cases {
        assert_eq!(wrong("limits", case).path, "spec.event_bytes");
    }
    assert_eq!(
        wrong("limits", json!({ "dedupe_days": 3_651 })).path,
        "spec.dedupe_days"
    );
    let all = SpaceLimits {
        events_per_second: Some(1),
        burst_events: Some(2),
        batch_events: Some(3),
        batch_bytes: Some(4),
        event_bytes: Some(3),
        dedupe_days: Some(10),
        sources: Some(5),
        definitions: Some(6),
        segments: Some(7),
        computed_traits: Some(8),
    };
    let document = all.to_document();
    let golden = r#"{"kind":"space_limits","name":"limits","spec":{"events_per_second":1,"burst_events":2,"batch_events":3,"batch_bytes":4,"event_bytes":3,"dedupe_days":10,"sources":5,"definitions":6,"segments":7,"computed_traits":8}}"#;
    assert_eq!(document.to_json().to_string(), golden);
    assert_eq!(SpaceLimits::parse(&document.spec), Ok(all));
}

#[test]
fn col_4_what_a_body_is_taken_under_is_within_what_a_door_can_take() {
    let terms = |spec| SpaceLimits::parse(&spec).unwrap().terms();
    assert_eq!(terms(json!({})), Terms::USUAL);
    let wide = terms(json!({ "batch_events": 1_000_000, "batch_bytes": 1_000_000_000, "event_bytes": 600_000 }));
    let expected = Limits {
        event_bytes: 600_000,
        ..Limits::MAX
    };
    assert_eq!(wide.limits, expected);
    // Of what is larger than a lowered limit of batches nothing is kept, so it is the doors' to refuse.
    let narrow = terms(json!({ "batch_events": 3, "batch_bytes": 4_000, "event_bytes": 1_000, "dedupe_days": 1 }));
    let expected = Terms {
        limits: Limits {
            event_bytes: 1_000,
            ..Limits::USUAL
        },
        dedupe_days: 1,
    };
    assert_eq!(narrow, expected);
}

#[test]
fn spc_1_more_sources_than_a_server_holds_are_refused_before_they_are_decided() {
    let catalog = catalog();
    let (main, other) = (space("main"), space("other"));
    catalog.create_space(&other).unwrap();
    let sources = |from: usize, to: usize| {
        let named = (from..to).map(|at| document(DocumentKind::Source, &format!("s{at}"), json!({})));
        proposal(named.collect())
    };
    decide(&catalog, &main, 1, &sources(0, 8));
    decide(&catalog, &other, 2, &sources(0, 3));
    // Of the twelve that a test's server holds, one is left.
    let refused = catalog.decision_for(&main, &sources(0, 10), "jo", "").unwrap_err();
    assert_eq!(refused.kind(), CatalogErrorKind::Limit);
    assert!(refused.to_string().contains("a server holds at most"), "{refused}");
    assert_eq!(
        catalog.plan(&main, &sources(0, 10)).unwrap_err().kind(),
        CatalogErrorKind::Limit
    );

    // What two decided at once, each within the limit, is carried out all the same: nothing could undo it.
    let more = [(&main, sources(0, 9)), (&other, sources(0, 4))];
    let decided = more.map(|(space, wanted)| (space, catalog.decision_for(space, &wanted, "jo", "").unwrap().unwrap()));
    for (sequence, (space, decision)) in (3..).zip(&decided) {
        catalog
            .record_definitions(space, decision, at(sequence), Timestamp::from_millis(1))
            .unwrap();
    }
    assert_eq!(catalog.sources(&other).unwrap().len(), 4);
    let refused = catalog.create_source(&other, &source("s9")).unwrap_err();
    assert_eq!(refused.kind(), CatalogErrorKind::Limit);
}

#[test]
fn act_1_no_source_takes_the_name_of_what_the_server_itself_says() {
    let catalog = catalog();
    let main = space("main");
    let refused = catalog.create_source(&main, &source("kith")).unwrap_err();
    assert_eq!(refused.kind(), CatalogErrorKind::Invalid);
    let wanted = proposal(vec![document(DocumentKind::Source, "kith", json!({}))]);
    assert_eq!(
        catalog.plan(&main, &wanted).unwrap_err().kind(),
        CatalogErrorKind::Invalid
    );
    assert_eq!(
        catalog.decision_for(&main, &wanted, "jo", "").unwrap_err().kind(),
        CatalogErrorKind::Invalid
    );
}
