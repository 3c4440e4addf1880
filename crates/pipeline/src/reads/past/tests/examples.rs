//! Small histories, each told step by step.

use super::super::super::account_history::LINKS_MAX;
use super::super::super::tests::reads_of;
use super::super::rescan::RESCANNED_EVENTS_MAX;
use super::super::{Absent, AsOf};
use crate::tests::accounts::group;
use crate::tests::{Bench, at, event, identify, main_space, performed};
use crate::{NoSegment, PipelineErrorKind, Veto};
use kith_types::{Identifier, SegmentName};
use serde_json::json;

#[test]
fn idn_8_a_merge_and_its_undoing_are_each_seen_as_of_their_time() {
    let id = |text: &str| Identifier::parse(text).unwrap();
    let mut bench = Bench::new();
    bench.take(1, &[event("email:jo@x.org", "Order Completed", 1, json!({}))]);
    let jo = bench.last_person();
    bench.take(2, &[event("user_id:ann", "Seen", 2, json!({}))]);
    let ann = bench.last_person();
    bench.take(3, &[event("user_id:ann email:jo@x.org", "Signed Up", 3, json!({}))]);
    let wrong = Veto::Event {
        event: "1-0-2-0".parse().unwrap(),
        identifier: id("email:jo@x.org"),
    };
    bench.veto(5, &[wrong], &[]);
    bench.commit();
    let reads = reads_of(&bench);
    let led = |name: &str, then: AsOf| {
        let found = reads.resolve_as_of(&main_space(), name, then).unwrap();
        found.map(|found| (found.profile, found.redirected_from, found.identifiers.len()))
    };
    let then = |second| AsOf::then(at(second));
    assert_eq!(led("email:Jo@X.org", then(0)), None, "nobody had it");
    assert_eq!(led("user_id:ann", then(2)), Some((ann, None, 1)));
    assert_eq!(led("user_id:ann", then(3)), Some((jo, None, 2)), "one person");
    assert_eq!(
        led(&ann.to_string(), then(4)),
        Some((jo, Some(ann), 2)),
        "the younger id redirected"
    );
    assert_eq!(led("user_id:ann", then(5)), Some((ann, None, 1)), "undone");
    let hindsight = AsOf {
        at: at(3),
        known_at: at(6),
    };
    assert_eq!(
        led("user_id:ann", hindsight),
        Some((ann, None, 1)),
        "as it is known since"
    );
}

#[test]
fn seg_6_hindsight_counts_what_came_late_and_nothing_that_came_after() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 60))]);
    bench.take(10, &[identify("user_id:u1", 10, json!({"plan": "free"}))]);
    bench.take(50, &[event("user_id:u1", "Order Completed", 20, json!({}))]);
    bench.take(60, &[identify("user_id:u1", 60, json!({"plan": "pro"}))]);
    bench.commit();
    let reads = reads_of(&bench);
    let ask = |second, known| {
        let as_of = AsOf {
            at: at(second),
            known_at: at(known),
        };
        let person = reads.person_as_of(&main_space(), "user_id:u1", as_of, 9).unwrap()?;
        let why = reads.explain_by_events(
            &main_space(),
            &"buyers".parse().unwrap(),
            "user_id:u1",
            Some(as_of),
            at(0),
        );
        let why = why.unwrap().unwrap()?;
        let behind = why.explanation.reason.behind?;
        assert_eq!(person.0.segments.is_empty(), !why.explanation.member);
        Some((
            why.explanation.member,
            behind.total,
            person.0.traits[0].value.as_str()?.to_owned(),
        ))
    };
    let plan = |text: &str| text.to_owned();
    assert_eq!(ask(9, 9), None, "not there yet");
    assert_eq!(ask(30, 30), Some((false, 0, plan("free"))), "the order had not come");
    assert_eq!(ask(30, 70), Some((true, 1, plan("free"))), "it had happened");
    assert_eq!(ask(50, 50), Some((true, 1, plan("free"))));
    assert_eq!(ask(90, 90), Some((false, 0, plan("pro"))), "the window has passed");
    assert_eq!(ask(19, 70), Some((false, 0, plan("free"))), "before it happened");
}

#[test]
fn idn_8_hindsight_knows_whoever_was_first_received_later() {
    let mut bench = Bench::new();
    let seen = |identifiers: &str, second| event(identifiers, "Seen", second, json!({}));
    bench.take(40, &[seen("anonymous_id:a", 40), seen("user_id:u1", 40)]);
    // From an application that was without a network: it happened before, and came after.
    bench.take(50, &[seen("anonymous_id:a", 20), seen("user_id:u1 email:m1@x.org", 25)]);
    bench.take(60, &[seen("user_id:u1 email:m2@x.org", 55)]);
    bench.commit();
    let reads = reads_of(&bench);
    let hindsight = AsOf {
        at: at(30),
        known_at: at(70),
    };
    let ask = |name: &str, as_of| {
        let person = reads.person_as_of(&main_space(), name, as_of, 9).unwrap();
        person.map(|(person, events)| (person.event_count, events.len(), person.identifiers.len()))
    };
    assert_eq!(
        ask("anonymous_id:a", hindsight),
        Some((1, 1, 1)),
        "only what had happened"
    );
    assert_eq!(
        ask("user_id:u1", hindsight),
        Some((1, 1, 2)),
        "and the address that was named by then"
    );
    assert_eq!(
        ask("email:m2@x.org", hindsight).map(|(_, _, all)| all),
        Some(2),
        "not yet one of them"
    );
    assert_eq!(ask("anonymous_id:a", AsOf::then(at(30))), None, "nobody knew then");
    let before = AsOf {
        at: at(10),
        known_at: at(70),
    };
    assert_eq!(ask("anonymous_id:a", before), None, "nothing had happened");
}

#[test]
fn idn_8_an_account_with_more_than_one_answer_reads_refuses_only_what_asks_for_it() {
    let mut bench = Bench::new();
    let of_pro = json!({"where": {"account": {"trait": "plan", "equals": "pro"}}});
    bench.decide(
        0,
        &[
            ("segment", "of_pro", of_pro),
            ("segment", "buyers", performed("Order", 1, 600)),
        ],
    );
    bench.take(1, &[event("user_id:u1", "Order", 1, json!({}))]);
    let mut member = 0;
    let mut members_come = |bench: &mut Bench, count: usize| {
        for _ in 0..count {
            member += 1;
            let user = format!("user_id:m{member}");
            bench.take(2, &[group(&user, "acme", 2, json!({"plan": "pro"}))]);
        }
        bench.commit();
    };
    bench.take(2, &[group("user_id:u1", "acme", 2, json!({"plan": "pro"}))]);
    members_come(&mut bench, LINKS_MAX - 1);
    let as_of = AsOf::then(at(3));
    let check = |bench: &Bench, too_much: bool| {
        let reads = reads_of(bench);
        let explained = |segment: &str| {
            let segment = segment.parse().unwrap();
            reads.explain_by_events(&main_space(), &segment, "user_id:u1", Some(as_of), at(9))
        };
        assert!(explained("buyers").unwrap().unwrap().unwrap().explanation.member);
        match explained("of_pro") {
            Err(refused) => assert!(too_much && refused.kind() == PipelineErrorKind::Limit, "{refused}"),
            Ok(explained) => assert!(!too_much && explained.unwrap().unwrap().explanation.member),
        }
        assert!(
            reads
                .resolve_as_of(&main_space(), "user_id:u1", as_of)
                .unwrap()
                .is_some()
        );
        let (person, _) = reads
            .person_as_of(&main_space(), "user_id:u1", as_of, 0)
            .unwrap()
            .unwrap();
        let limited: Vec<_> = person.segments_limited.iter().map(SegmentName::as_str).collect();
        assert_eq!(limited, if too_much { vec!["of_pro"] } else { Vec::new() });
        assert!(person.segments.iter().any(|held| held.segment.as_str() == "buyers"));
    };
    check(&bench, false);
    members_come(&mut bench, 1);
    check(&bench, true);
}

#[test]
fn seg_6_an_edited_segment_is_explained_by_its_condition_of_then() {
    let mut bench = Bench::new();
    let segment: SegmentName = "buyers".parse().unwrap();
    bench.take(1, &[event("user_id:u1", "Order", 1, json!({}))]);
    bench.decide(10, &[("segment", "buyers", performed("Order", 1, 600))]);
    bench.decide(20, &[("segment", "buyers", performed("Order", 2, 600))]);
    bench.decide(30, &[("segment", "buyers", json!(null))]);
    bench.take(40, &[event("user_id:u1", "Order", 40, json!({}))]);
    bench.commit();
    let reads = reads_of(&bench);
    let asked = |as_of: AsOf| {
        let explained = reads.explain_by_events(&main_space(), &segment, "user_id:u1", Some(as_of), at(50));
        let explained = explained.unwrap();
        explained.map(|one| {
            let one = one.unwrap();
            (one.explanation.member, one.is_edited)
        })
    };
    let then = |second| asked(AsOf::then(at(second)));
    let gone = Err(NoSegment { is_live: false });
    assert_eq!(then(5), gone, "there was none");
    assert_eq!(then(15), Ok((true, true)));
    assert_eq!(then(25), Ok((false, true)));
    assert_eq!(then(35), gone, "it was removed");
    let (at_five, known_at) = (at(5), at(15));
    assert_eq!(
        asked(AsOf { at: at_five, known_at }),
        Ok((true, true)),
        "by what was decided later"
    );
    bench.decide(60, &[("segment", "buyers", performed("Order", 3, 600))]);
    bench.commit();
    let reads = reads_of(&bench);
    let now = AsOf::then(at(61));
    let explained = reads.explain_by_events(&main_space(), &segment, "user_id:u1", Some(now), at(70));
    assert!(!explained.unwrap().unwrap().unwrap().is_edited);
    let before = reads.explain_by_events(&main_space(), &segment, "user_id:u1", Some(AsOf::then(at(35))), at(70));
    assert_eq!(before.unwrap(), Err(NoSegment { is_live: true }), "it has one again");
    let nobody = reads.explain_by_events(&main_space(), &segment, "user_id:u2", Some(now), at(70));
    assert_eq!(nobody.unwrap(), Ok(None));
}

#[test]
fn idn_8_whom_other_rules_connected_is_refused_where_there_is_too_much_to_look_through() {
    let mut bench = Bench::new();
    bench.take(1, &[event("user_id:u1 email:e@x.org", "Seen", 1, json!({}))]);
    let blocked = json!({"types": {"email": {"blocked": ["e@x.org"]}}});
    bench.decide(10, &[("identity_rules", "main", blocked)]);
    let led = |bench: &Bench, second| {
        let resolved = reads_of(bench).resolve_as_of(&main_space(), "email:e@x.org", AsOf::then(at(second)));
        resolved.map(|found| found.map(|found| found.identifiers.len()))
    };
    bench.commit();
    assert_eq!(led(&bench, 5).unwrap(), Some(2), "it was somebody's");
    assert_eq!(led(&bench, 15).unwrap(), None, "and is nobody's since");
    for second in 20..=RESCANNED_EVENTS_MAX as i64 + 20 {
        bench.take(second, &[event("user_id:u2", "Seen", second, json!({}))]);
    }
    bench.commit();
    assert_eq!(led(&bench, 5).unwrap_err().kind(), PipelineErrorKind::Limit);
    assert_eq!(led(&bench, 15).unwrap(), None);
}

#[test]
fn seg_6_an_event_that_adds_zero_is_behind_a_sum() {
    let mut bench = Bench::new();
    let spec = json!({"function": "sum", "event": "Order", "property": "total"});
    let spenders = json!({"where": {"computed_trait": "spent", "greater_or_equal": 0}});
    bench.decide(
        0,
        &[("computed_trait", "spent", spec), ("segment", "spenders", spenders)],
    );
    for (second, total) in [(1, json!(5)), (2, json!(0)), (3, json!("none")), (4, json!(-5))] {
        bench.take(second, &[event("user_id:u1", "Order", second, json!({"total": total}))]);
    }
    bench.commit();
    let segment = "spenders".parse().unwrap();
    let explained = reads_of(&bench).explain_by_events(&main_space(), &segment, "user_id:u1", None, at(9));
    let reason = explained.unwrap().unwrap().unwrap().explanation.reason;
    assert_eq!(reason.behind.unwrap().total, 3, "all but the one that is no number");
}

#[test]
fn idn_8_what_a_bound_left_out_by_other_rules_is_refused_and_not_guessed() {
    let mut bench = Bench::new();
    let shared = |user: i64| event(&format!("user_id:u{user} email:e@x.org"), "Seen", user, json!({}));
    for user in 0..kith_identity::MAX_IDENTIFIERS as i64 + 5 {
        bench.take(user, &[shared(user)]);
    }
    let blocked = json!({"types": {"email": {"blocked": ["e@x.org"]}}});
    bench.decide(2_000, &[("identity_rules", "main", blocked)]);
    bench.take(2_001, &[event("user_id:far", "Seen", 2_001, json!({}))]);
    bench.commit();
    let reads = reads_of(&bench);
    let then = |name: &str, second| reads.resolve_as_of(&main_space(), name, AsOf::then(at(second)));
    assert_eq!(then("user_id:u3", 1_999).unwrap_err().kind(), PipelineErrorKind::Limit);
    assert!(then("user_id:u3", 500).unwrap().is_some(), "there were fewer then");
    assert!(then("user_id:u3", 2_001).unwrap().is_some());
    let everybody = |second| reads.identifiers_as_of(&main_space(), at(second), &|| true, &mut |_| true);
    assert_eq!(everybody(1_999).unwrap_err().kind(), PipelineErrorKind::Limit);
    everybody(500).unwrap();
    everybody(2_001).unwrap();
    let mut told = 0;
    let mut take = |_| {
        told += 1;
        true
    };
    reads
        .identifiers_as_of(&main_space(), at(500), &|| false, &mut take)
        .unwrap();
    assert_eq!(told, 0, "nobody waits for it any more");
}

#[test]
fn seg_6_a_segment_is_edited_where_what_it_names_is() {
    let mut bench = Bench::new();
    let orders = |event: &str| ("computed_trait", "orders", json!({"function": "count", "event": event}));
    let of_orders = json!({"where": {"computed_trait": "orders", "greater_than": 0}});
    bench.take(1, &[event("user_id:u1", "Order", 1, json!({}))]);
    bench.decide(10, &[orders("Order"), ("segment", "buyers", of_orders)]);
    bench.decide(20, &[("segment", "other", performed("Order", 2, 600))]);
    bench.decide(30, &[orders("Call")]);
    bench.decide(40, &[orders("Order")]);
    bench.commit();
    let reads = reads_of(&bench);
    let edited = |second| {
        let (segment, then) = ("buyers".parse().unwrap(), AsOf::then(at(second)));
        let explained = reads.explain_by_events(&main_space(), &segment, "user_id:u1", Some(then), at(50));
        let explained = explained.unwrap().unwrap().unwrap();
        (explained.explanation.member, explained.is_edited)
    };
    assert_eq!(edited(15), (true, false), "something else was edited since");
    assert_eq!(edited(35), (false, true), "what it names was another");
    assert_eq!(edited(45), (true, false));
}

#[test]
fn idn_8_nobody_as_of_an_instant_is_told_with_the_question_that_finds_somebody() {
    let mut bench = Bench::new();
    // Received long after it happened.
    bench.take(100, &[event("user_id:u1", "Order", 20, json!({}))]);
    bench.take(200, &[event("user_id:u1 email:e@x.org", "Order", 150, json!({}))]);
    bench.commit();
    let reads = reads_of(&bench);
    let ask = |name: &str, second: i64, known: i64| {
        let as_of = AsOf {
            at: at(second),
            known_at: at(known),
        };
        let found = |as_of| reads.person_as_of(&main_space(), name, as_of, 0).unwrap().is_some();
        assert!(!found(as_of), "{name} as of {second}");
        let absent = reads.absent_as_of(&main_space(), name, as_of, at(300)).unwrap();
        // Whoever follows the hint finds somebody.
        if let Absent::KnownLater(asked) | Absent::HappenedLater(asked) = absent {
            assert!(found(asked), "{name} as of {second}: {absent:?}");
        }
        absent
    };
    let hindsight = |second| AsOf {
        at: at(second),
        known_at: at(300),
    };
    assert_eq!(ask("user_id:u1", 50, 50), Absent::KnownLater(hindsight(50)));
    assert_eq!(ask("user_id:u1", 50, 99), Absent::KnownLater(hindsight(50)));
    assert_eq!(ask("user_id:u1", 10, 10), Absent::HappenedLater(hindsight(20)));
    assert_eq!(ask("user_id:u1", 19, 300), Absent::HappenedLater(hindsight(20)));
    // In hindsight it leads to whoever has it since.
    assert_eq!(ask("email:e@x.org", 10, 300), Absent::HappenedLater(hindsight(20)));
    assert_eq!(ask("email:e@x.org", 120, 120), Absent::KnownLater(hindsight(120)));
    assert_eq!(ask("user_id:u2", 120, 300), Absent::NowToo);
    assert_eq!(
        ask(&bench.last_person().to_string(), 10, 10),
        Absent::HappenedLater(hindsight(20))
    );
}
