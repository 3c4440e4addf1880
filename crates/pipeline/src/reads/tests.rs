//! Reads over a committed store, without a pipeline's thread.

use super::{PersonDocument, Question, Reads, document, find};
use crate::document::MembershipView;
use crate::tests::accounts::group;
use crate::tests::{Bench, at, event, identify, main_space, performed};
use crate::{AccountDocument, AccountMember, AsOf, EngineConfig, Pipeline, Veto};
use kith_segment::CauseKind;
use kith_state::Store;
use kith_types::{Identifier, SegmentName, Timestamp};
use serde_json::{Value as Json, json};
use std::sync::Arc;

pub(crate) fn person(bench: &Bench, name: &str, now: Timestamp) -> Option<PersonDocument> {
    let definitions = bench.engine.definitions(&main_space()).unwrap();
    let (loaded, asked) = find(&*bench.store, &main_space(), &definitions, name).unwrap()?;
    let mut person = document(&loaded, asked, &definitions, now);
    super::accounts::add(&*bench.store, &main_space(), &loaded, &mut person).unwrap();
    Some(person)
}

pub(crate) fn account(bench: &Bench, group_id: &str) -> Option<AccountDocument> {
    reads_of(bench).account(&main_space(), group_id).unwrap()
}

/// Everybody who belongs to an account, page by page.
pub(crate) fn account_members(bench: &Bench, group_id: &str, limit: usize) -> Vec<AccountMember> {
    let (reads, mut from, mut found) = (reads_of(bench), None, Vec::new());
    loop {
        let page = reads.account_members(&main_space(), group_id, from, limit).unwrap();
        found.extend(page.members);
        from = page.next;
        if from.is_none() {
            return found;
        }
    }
}

#[test]
fn seg_2_a_read_evaluates_at_its_instant() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 60))]);
    bench.take(10, &[event("user_id:u1", "Order Completed", 10, json!({}))]);
    bench.commit();
    let read = |second| person(&bench, "user_id:u1", at(second)).unwrap();
    let buyers = |since, cause| MembershipView {
        segment: "buyers".parse().unwrap(),
        since,
        cause: Some(cause),
        approximate: false,
    };
    assert_eq!(read(11).segments, [buyers(Some(at(10)), CauseKind::Event)]);
    assert!(read(71).segments.is_empty(), "no timer has fired, and none is needed");
    assert_eq!(
        read(0).segments.len(),
        1,
        "a clock that was set back does not go behind what was folded"
    );
}

#[test]
fn a_read_knows_a_definition_that_no_sweep_has_brought_yet() {
    let mut bench = Bench::new();
    for n in 0..5 {
        bench.take(
            n,
            &[event(
                &format!("user_id:u{n}"),
                "Order Completed",
                n,
                json!({"total": 7}),
            )],
        );
    }
    bench.decide(
        10,
        &[
            (
                "computed_trait",
                "spent",
                json!({"function": "sum", "event": "Order Completed", "property": "total"}),
            ),
            ("segment", "buyers", performed("Order Completed", 1, 60)),
        ],
    );
    bench.commit();
    let person = person(&bench, "user_id:u3", at(11)).unwrap();
    assert_eq!(person.computed.len(), 1);
    assert_eq!(person.computed[0].1.as_number().unwrap().to_i64(), Some(7));
    assert_eq!(
        person.segments,
        [MembershipView {
            segment: "buyers".parse().unwrap(),
            since: None,
            cause: Some(CauseKind::Definition),
            approximate: false,
        }],
        "entered, at an instant that is not known yet"
    );
}

#[test]
fn api_1_any_identifier_and_any_earlier_id_lead_to_the_person() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 600))]);
    bench.take(1, &[event("email:m1@x.org", "Order Completed", 1, json!({}))]);
    bench.take(2, &[identify("user_id:u1", 2, json!({"plan": "pro"}))]);
    let younger = bench.last_person();
    bench.take(3, &[event("user_id:u1 email:m1@x.org", "Signed Up", 3, json!({}))]);
    let id = bench.last_person();
    bench.commit();
    for name in ["user_id:u1", "email:M1@x.org ", &id.to_string(), &younger.to_string()] {
        let found = person(&bench, name, at(4)).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(found.id, id, "{name}");
        assert_eq!(found.redirected_from, (name == younger.to_string()).then_some(younger));
        assert_eq!(found.event_count, 3);
        assert_eq!(found.identifiers.len(), 2);
        assert_eq!(found.traits[0].name, "plan");
        assert_eq!(found.segments.len(), 1);
    }
    assert!(person(&bench, "user_id:u9", at(4)).is_none());
}

fn id(text: &str) -> Identifier {
    Identifier::parse(text).unwrap()
}

/// Ann types her friend's address; Bo has it too.
fn melted() -> (Bench, Reads) {
    let mut bench = Bench::new();
    bench.take(1, &[event("email:jo@x.org", "Order Completed", 1, json!({}))]);
    bench.take(2, &[event("user_id:ann phone:+31612345678", "Seen", 2, json!({}))]);
    bench.take(3, &[event("user_id:ann email:jo@x.org", "Signed Up", 3, json!({}))]);
    bench.take(4, &[event("user_id:bo email:jo@x.org", "Signed Up", 4, json!({}))]);
    bench.take(5, &[event("user_id:far", "Seen", 5, json!({}))]);
    bench.commit();
    let reads = reads_of(&bench);
    (bench, reads)
}

pub(crate) fn reads_of(bench: &Bench) -> Reads {
    let store = Arc::clone(&bench.store) as Arc<dyn Store>;
    let pipeline = Pipeline::at_rest(Arc::clone(&store), EngineConfig::default()).unwrap();
    Reads::new(store, Arc::new(pipeline))
}

#[test]
fn idn_7_why_names_the_events_and_what_was_left_out() {
    let (mut bench, reads) = melted();
    let why = |reads: &Reads, one: &str, other: &str| reads.why(&main_space(), one, other).unwrap();
    let one = why(&reads, "phone:+31612345678", "email:Jo@X.org").unwrap();
    assert_eq!(
        (&one["together"], one["path"].as_array().unwrap().len()),
        (&json!(true), 2)
    );
    let last = &one["path"][1];
    assert_eq!(last["how"], "named_together");
    assert_eq!(
        (&last["event"]["name"], &last["event"]["address"]),
        (&json!("Signed Up"), &json!("1-0-2-0"))
    );
    assert_eq!(last["event"]["identifiers"], json!(["user_id:ann", "email:jo@x.org"]));
    let apart = why(&reads, "user_id:bo", "user_id:ann").unwrap();
    assert_eq!(apart["together"], false);
    assert_eq!(
        apart["path"][0]["left_out"],
        json!([{"identifier": "email:jo@x.org", "because": "more than 1 of user_id"}])
    );
    assert_eq!(apart["left_out"][0]["event"]["address"], "1-0-3-0");
    // Bo's event does not link Jo's address, which stands at the person who has it.
    let jo = person(&bench, "email:jo@x.org", at(5)).unwrap();
    assert_eq!(
        jo.left_out,
        [(id("email:jo@x.org"), "more than 1 of user_id".to_owned())]
    );
    assert_eq!(person(&bench, "user_id:far", at(5)).unwrap().left_out, []);
    let nothing = why(&reads, "user_id:far", "user_id:ann").unwrap();
    assert_eq!((&nothing["together"], &nothing["path"]), (&json!(false), &json!([])));
    let unknown = why(&reads, "user_id:far", "user_id:nobody").unwrap_err();
    assert_eq!(unknown.to_string(), "other: no event has named this identifier yet");
    bench.veto(6, &[veto("1-0-2-0", "email:jo@x.org")], &[]);
    bench.commit();
    let vetoed = why(&reads_of(&bench), "user_id:ann", "email:jo@x.org").unwrap();
    assert_eq!(vetoed["together"], false);
    assert_eq!(
        vetoed["vetoes"],
        json!([{"event": "1-0-2-0", "identifier": "email:jo@x.org"}])
    );
}

#[test]
fn idn_7_why_takes_a_profile_id_for_the_identifier_that_it_comes_from() {
    let (bench, reads) = melted();
    let of = |name: &str| reads.resolve(&main_space(), name).unwrap().unwrap().to_string();
    let (jo, bo, far) = (of("email:jo@x.org"), of("user_id:bo"), of("user_id:far"));
    let why = |one: &str, other: &str| reads.why(&main_space(), one, other).unwrap();
    let ids = why(&format!("profile_id:{jo}"), &bo).unwrap();
    assert_eq!(ids, why("email:jo@x.org", "user_id:bo").unwrap());
    assert_eq!((&ids["together"], &ids["profiles"]), (&json!(false), &json!([jo, bo])));
    // An id that was merged stands for its own identifier still, so the merge is explained.
    let mut before = Bench::new();
    before.take(1, &[event("email:jo@x.org", "Order Completed", 1, json!({}))]);
    before.take(2, &[event("user_id:ann phone:+31612345678", "Seen", 2, json!({}))]);
    before.commit();
    let ann = reads_of(&before)
        .resolve(&main_space(), "user_id:ann")
        .unwrap()
        .unwrap()
        .to_string();
    let merged = why(&jo, &ann).unwrap();
    assert_eq!(
        (&merged["together"], &merged["profiles"]),
        (&json!(true), &json!([jo, jo]))
    );
    assert_eq!(
        (&merged["one"], merged["path"].as_array().unwrap().len()),
        (&json!("email:jo@x.org"), 1)
    );
    assert_eq!(merged["path"][0]["event"]["address"], "1-0-2-0");
    // What names nobody is told of each, with the reason.
    let never = "prf_00000000000000000000000000000010";
    for (one, other, told) in [
        (never, far.as_str(), "one: no profile has or had this id"),
        (
            "user_id:x",
            "email:null",
            "one: no event has named this identifier yet; other: the rules of identity block this value, so it names nobody",
        ),
        (
            &far,
            "phone:00",
            "other: by the rules of identity this is no value of its type, so it names nobody",
        ),
        (
            &far,
            "user_id:0000",
            "other: the rules of identity block this value by a pattern, so it names nobody",
        ),
    ] {
        let unnamed = why(one, other).unwrap_err();
        assert_eq!(
            (unnamed.to_string().as_str(), unnamed.needs_other_names()),
            (told, false)
        );
    }
    drop(bench);
}

#[test]
fn idn_7_why_asks_for_an_identifier_where_that_of_a_profile_changed_hands() {
    let mut bench = Bench::new();
    let seen = |identifiers: &str, second| event(identifiers, "Seen", second, json!({}));
    bench.take(1, &[seen("anonymous_id:tablet user_id:ann", 1)]);
    bench.take(2, &[seen("anonymous_id:tablet user_id:bo", 2)]);
    bench.commit();
    let reads = reads_of(&bench);
    let of = |name: &str| reads.resolve(&main_space(), name).unwrap().unwrap().to_string();
    let (ann, bo) = (of("user_id:ann"), of("user_id:bo"));
    let why = reads.why(&main_space(), &ann, &bo).unwrap();
    match why {
        Ok(why) => assert_eq!(
            why["profiles"],
            json!([ann, bo]),
            "whichever stood first, it is of those who were asked"
        ),
        Err(unnamed) => {
            assert!(unnamed.needs_other_names());
            assert!(
                unnamed
                    .to_string()
                    .starts_with("one: the identifier that this profile comes from belongs to somebody else")
            );
        }
    }
}

pub(crate) fn veto(event: &str, identifier: &str) -> Veto {
    Veto::Event {
        event: event.parse().unwrap(),
        identifier: id(identifier),
    }
}

#[test]
fn idn_7_what_if_tells_what_a_veto_or_rules_would_do_before_they_do() {
    let (_bench, reads) = melted();
    let ask = |question: &Question| {
        let told = reads.what_if(&main_space(), question, at(9), &|| true);
        told.unwrap().unwrap()
    };
    let without = Question {
        added: vec![veto("1-0-2-0", "email:Jo@x.org")],
        ..Question::default()
    };
    let outlook = ask(&without);
    assert_eq!((&outlook["events"], &outlook["complete"]), (&json!(4), &json!(true)));
    assert_eq!(
        (&outlook["splits_total"], &outlook["merges_total"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        outlook["merges"][0]["into"]["identifiers"],
        json!(["email:jo@x.org", "user_id:bo"])
    );
    let rules = Question {
        rules: Some(json!({"types": {"email": {"claim": "ambiguous"}}})),
        ..Question::default()
    };
    let outlook = ask(&rules);
    assert_eq!(
        (
            &outlook["events"],
            &outlook["profiles_before"],
            &outlook["profiles_after"]
        ),
        (&json!(0), &json!(3), &json!(4)),
        "no event says anything else: links are made otherwise"
    );
    let around = Question {
        around: Some(id("email:jo@x.org")),
        ..rules
    };
    let outlook = ask(&around);
    assert_eq!((&outlook["events"], &outlook["complete"]), (&json!(4), &json!(true)));
    let wrong = Question {
        rules: Some(json!({"types": {"email": {"claim": "mine"}}})),
        ..Question::default()
    };
    assert!(
        reads
            .what_if(&main_space(), &wrong, at(9), &|| true)
            .unwrap_err()
            .to_string()
            .contains("unknown claim policy `mine`")
    );
    let sound = |veto: &Veto| reads.sound_veto(&main_space(), veto).unwrap();
    assert_eq!(
        sound(&veto("1-0-2-0", "email:Jo@X.org")),
        Some(veto("1-0-2-0", "email:jo@x.org"))
    );
    assert_eq!(
        sound(&veto("1-0-1-0", "email:jo@x.org")),
        None,
        "that event does not name it"
    );
    assert_eq!(sound(&veto("1-0-9-0", "email:jo@x.org")), None);
}

#[test]
fn pro_5_what_a_limit_of_an_account_may_have_decided_is_marked_in_the_list_and_in_the_answer() {
    let mut bench = Bench::new();
    let asking = |test: Json| json!({"where": {"account": test}});
    bench.decide(
        0,
        &[
            ("segment", "no_plan", asking(json!({"trait": "plan", "exists": false}))),
            ("segment", "of_pro", asking(json!({"trait": "plan", "equals": "pro"}))),
            ("segment", "large", asking(json!({"trait": "seats", "greater_than": 5}))),
        ],
    );
    let traits = json!({"plan": "p".repeat(2_000), "seats": 9});
    bench.take(1, &[group("user_id:u1", "acme", 1, traits)]);
    bench.take(1, &[group("user_id:u2", "globex", 1, json!({"seats": 9}))]);
    bench.commit();
    let check = |person: &PersonDocument, in_without_a_plan: bool| {
        let listed: Vec<_> = person
            .segments
            .iter()
            .map(|held| (held.segment.as_str(), held.approximate))
            .collect();
        assert_eq!(listed, [("large", false), ("no_plan", in_without_a_plan)]);
        let limited: Vec<_> = person.segments_limited.iter().map(SegmentName::as_str).collect();
        let named: &[&str] = if in_without_a_plan { &["no_plan", "of_pro"] } else { &[] };
        assert_eq!(limited, named, "whoever may be missing from one, too");
    };
    check(&person(&bench, "user_id:u1", at(2)).unwrap(), true);
    check(&person(&bench, "user_id:u2", at(2)).unwrap(), false);
    let reads = reads_of(&bench);
    let then = reads.person_as_of(&main_space(), "user_id:u1", AsOf::then(at(2)), 0);
    check(&then.unwrap().unwrap().0, true);
    for (segment, marked) in [("of_pro", true), ("large", false)] {
        let segment = segment.parse().unwrap();
        let explained = reads
            .explain(&main_space(), &segment, "user_id:u1", at(2))
            .unwrap()
            .unwrap();
        assert_eq!(explained.reason.approximate, marked, "{segment}");
    }
}
