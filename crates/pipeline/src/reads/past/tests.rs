//! What a run had said at an instant, and what is said of that instant afterwards: the same.

use super::super::Reads;
use super::super::account_history::LINKS_MAX;
use super::super::tests::reads_of;
use super::AsOf;
use crate::tests::accounts::group;
use crate::tests::worlds::{documents, world};
use crate::tests::{Bench, at, decision, event, identify, main_space, performed};
use crate::{DEFINITIONS_APPLIED, PersonDocument, Veto, keys};
use kith_expr::Function;
use kith_identity::FounderIds;
use kith_segment::{Asks, Explanation, Reason};
use kith_state::{Keyspace, Read};
use kith_types::{Duration, Identifier, ProfileId, Record, RecordBody, SegmentName, Timestamp};
use serde_json::{Value as Json, json};

const NAMES: [&str; 10] = [
    "user_id:u1",
    "user_id:u2",
    "user_id:u3",
    "user_id:u4",
    "anonymous_id:a1",
    "anonymous_id:a2",
    "anonymous_id:a3",
    "email:m1@x.org",
    "email:m2@x.org",
    "email:m3@x.org",
];

/// Conditions of every kind, each a segment.
fn more_documents() -> Vec<(&'static str, &'static str, Json)> {
    let value = |function: &str| json!({"function": function, "event": "Order Completed", "property": "total"});
    let mut all = documents();
    for name in [
        "average",
        "min",
        "max",
        "first",
        "last",
        "most_frequent",
        "unique_list",
        "unique_count",
    ] {
        all.push(("computed_trait", name, value(name)));
    }
    all.extend([
        (
            "segment",
            "cheap",
            json!({"where": {"computed_trait": "min", "less_than": 20}}),
        ),
        (
            "segment",
            "first_low",
            json!({"where": {"computed_trait": "first", "less_than": 30}}),
        ),
        (
            "segment",
            "last_low",
            json!({"where": {"computed_trait": "last", "less_than": 30}}),
        ),
        (
            "segment",
            "spread",
            json!({"where": {"all": [
                {"computed_trait": "max", "greater_than": 20},
                {"computed_trait": "average", "greater_than": 10},
                {"computed_trait": "unique_count", "greater_than": 1},
                {"computed_trait": "most_frequent", "exists": true},
            ]}}),
        ),
        (
            "segment",
            "allows",
            json!({"where": {"consent": "marketing", "answer": "granted"}}),
        ),
        (
            "segment",
            "followed",
            json!({"where": {"sequence": {
                "first": "Product Viewed", "then": "Order Completed", "within": {"last": "5m"},
            }}}),
        ),
    ]);
    all
}

/// The records of a world under one set of definitions from the beginning, with vetoes that come and go.
fn records(seed: u64) -> (Vec<Record>, i64) {
    let world = world(seed, 60, true);
    let mut records = vec![decision(0, 0, &more_documents())];
    for record in world.records.into_iter().skip(1) {
        let definitions =
            matches!(&record.body, RecordBody::Decision(decision) if *decision.kind == *DEFINITIONS_APPLIED);
        if !definitions {
            records.push(record);
            continue;
        }
        // In their place somebody speaks of consent.
        let sequence = record.address.sequence;
        let second = (record.received_at - at(0)).as_micros() / 1_000_000;
        let mut said = event(&format!("user_id:u{}", sequence % 4 + 1), "Asked", second, json!({}));
        said["context"] = json!({"consent": {"categoryPreferences": {"marketing": sequence % 3 > 0}}});
        records.push(crate::tests::record(sequence, second, &[said]));
    }
    (records, world.end)
}

fn run(records: &[Record], until: Timestamp) -> Bench {
    let mut bench = Bench::new();
    for record in records.iter().filter(|record| record.received_at <= until) {
        bench.apply(record);
    }
    // A timer that is due at the very instant fires with the moment after.
    bench.settle(until + Duration::from_micros(1));
    bench
}

fn profiles(bench: &Bench) -> Vec<ProfileId> {
    reads_of(bench).profile_ids(&main_space()).unwrap()
}

fn redirected(bench: &Bench) -> Vec<ProfileId> {
    let from = keys::space(&main_space());
    let to = kith_state::prefix_end(&from).unwrap();
    let mut found = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        found.extend(keys::wide_id(key).map(ProfileId));
        true
    };
    bench.store.scan(Keyspace::Redirects, &from, &to, &mut visit).unwrap();
    found
}

/// Who holds, in a run's state, the identifier that an id comes from.
fn holder_of_founder(bench: &Bench, id: ProfileId) -> ProfileId {
    let definitions = bench.engine.definitions(&main_space()).unwrap();
    let ids = FounderIds::new(&main_space());
    for event in bench.events() {
        let evidence = definitions.read(&event);
        for named in &evidence.identifiers {
            if ids.id(&evidence, named) == id {
                let home = super::home_of(&*bench.store, &main_space(), named.hash)
                    .unwrap()
                    .unwrap();
                let component = super::component_of(&*bench.store, &main_space(), home).unwrap();
                return component.place(named.hash, evidence.position()).unwrap().profile;
            }
        }
    }
    panic!("no event gave {id}");
}

fn without_entries(mut person: PersonDocument) -> PersonDocument {
    for membership in &mut person.segments {
        (membership.since, membership.cause) = (None, None);
    }
    person
}

fn instants(end: i64) -> impl Iterator<Item = Timestamp> {
    (1..8).map(move |part| at(end * part / 8) + Duration::from_micros(part % 2 * 300_000))
}

fn segments(reads: &Reads) -> Vec<SegmentName> {
    let definitions = reads.pipeline.definitions(&main_space()).unwrap();
    definitions
        .segments
        .iter()
        .map(|segment| segment.name.clone())
        .collect()
}

#[test]
fn seg_6_an_explanation_as_of_an_instant_is_what_a_run_said_then() {
    let (mut asked, mut members, mut behind) = (0, 0, 0);
    for seed in 40_000..40_008 {
        let (records, end) = records(seed);
        let all = reads_of(&run(&records, at(end + 60)));
        for then in instants(end) {
            let bench = run(&records, then);
            let reads = reads_of(&bench);
            for profile in profiles(&bench) {
                let name = profile.to_string();
                for segment in segments(&reads) {
                    let what = format!("seed {seed}, {then}, {segment}, {name}");
                    let said = reads.explain_by_events(&main_space(), &segment, &name, None, then);
                    let said = said.unwrap().unwrap().explanation;
                    let told = all.explain_by_events(&main_space(), &segment, &name, Some(AsOf::then(then)), at(0));
                    let told = told.unwrap().unwrap_or_else(|| panic!("{what}"));
                    assert_eq!(told.explanation, said, "{what}");
                    let key = keys::member(&main_space(), segment.as_str(), profile);
                    let stream = bench.store.get(Keyspace::Members, &key).unwrap().is_some();
                    assert_eq!(told.explanation.member, stream, "{what}");
                    asked += 1;
                    members += u32::from(stream);
                    behind += counted(&reads, &said, &what);
                }
            }
        }
    }
    assert!(
        asked > 2_000 && members > 300 && behind > 1_000,
        "{asked} {members} {behind}"
    );
}

/// Checks that what is behind a leaf accounts for its value; how many events there were.
fn counted(reads: &Reads, explanation: &Explanation, what: &str) -> u64 {
    let definitions = reads.pipeline.definitions(&main_space()).unwrap();
    let mut found = 0;
    leaves(&explanation.reason, &mut |leaf| {
        let actual = leaf.actual.as_ref().unwrap();
        let Some(behind) = &leaf.behind else {
            assert_eq!(leaf.asks, Some(Asks::Bucket));
            return;
        };
        let what = format!("{what}: {}", leaf.condition);
        assert_eq!(
            behind.events.len() as u64,
            behind.total.min(super::super::BEHIND_LISTED_MAX as u64),
            "{what}"
        );
        let known = match leaf.asks.as_ref().unwrap() {
            Asks::Aggregate(id) => {
                let spec = definitions.plan.spec(*id).unwrap();
                if spec.function == Function::Count {
                    let count = actual.as_number().unwrap().to_i64().unwrap();
                    assert_eq!(i64::try_from(behind.total).unwrap(), count, "{what}");
                    count > 0
                } else {
                    let nothing = kith_profile::Part::default().aggregate(&definitions.plan, *id, explanation.at);
                    *actual != nothing
                }
            }
            Asks::Trait(_) | Asks::AccountTrait { .. } => *actual != kith_types::Value::Null,
            Asks::Consent(_) => actual.as_str() != Some("unknown"),
            // What names it may be somebody else's event, which linked it.
            Asks::Listed(_) => leaf.holds && behind.total > 0,
            Asks::Bucket => leaf.holds,
        };
        assert_eq!(behind.total > 0, known, "{what}");
        found += behind.total;
    });
    found
}

fn leaves(reason: &Reason, visit: &mut dyn FnMut(&Reason)) {
    if reason.parts.is_empty() {
        visit(reason);
    }
    reason.parts.iter().for_each(|part| leaves(part, visit));
}

#[test]
fn pro_1_a_person_as_of_an_instant_is_the_person_of_a_run_that_ended_there() {
    let mut asked = 0;
    for seed in 41_000..41_015 {
        let (records, end) = records(seed);
        let all = reads_of(&run(&records, at(end + 60)));
        for then in instants(end) {
            let bench = run(&records, then);
            let reads = reads_of(&bench);
            for profile in profiles(&bench) {
                let name = profile.to_string();
                let (person, events) = reads
                    .person_with_events(&main_space(), &name, then, 7)
                    .unwrap()
                    .unwrap();
                let told = all.person_as_of(&main_space(), &name, AsOf::then(then), 7).unwrap();
                let (told, told_events) = told.unwrap_or_else(|| panic!("seed {seed}, {then}, {name}"));
                assert_eq!(without_entries(told), without_entries(person), "seed {seed}, {then}");
                assert_eq!(told_events, events, "seed {seed}, {then}");
                asked += 1;
            }
        }
    }
    assert!(asked > 300, "{asked}");
}

#[test]
fn idn_8_identifiers_and_ids_lead_where_they_led() {
    let (mut asked, mut elsewhere, mut redirects) = (0, 0, 0);
    for seed in 42_000..42_020 {
        let (records, end) = records(seed);
        let all = reads_of(&run(&records, at(end + 60)));
        for then in instants(end) {
            let bench = run(&records, then);
            let reads = reads_of(&bench);
            let told = |name: &str| {
                let told = all.resolve_as_of(&main_space(), name, AsOf::then(then)).unwrap();
                told.map(|told| told.profile)
            };
            for name in NAMES {
                let led = reads.resolve(&main_space(), name).unwrap();
                assert_eq!(told(name), led, "seed {seed}, {then}, {name}");
                asked += 1;
                elsewhere += u32::from(led.is_some() && all.resolve(&main_space(), name).unwrap() != led);
            }
            for id in redirected(&bench) {
                let name = id.to_string();
                if all.resolve(&main_space(), &name).unwrap().is_some() {
                    let told = told(&name);
                    assert_eq!(told, Some(holder_of_founder(&bench, id)), "seed {seed}, {then}, {name}");
                    redirects += 1;
                    assert_eq!(
                        reads.resolve(&main_space(), &name).unwrap(),
                        told,
                        "seed {seed}, {then}, {name}"
                    );
                }
            }
        }
    }
    assert!(
        asked > 1_000 && elsewhere > 50 && redirects > 50,
        "{asked} {elsewhere} {redirects}"
    );
}

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
        let why = why.unwrap()?;
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
        assert!(explained("buyers").unwrap().unwrap().explanation.member);
        match explained("of_pro") {
            Err(refused) => assert!(
                too_much && refused.kind() == crate::PipelineErrorKind::Limit,
                "{refused}"
            ),
            Ok(explained) => assert!(!too_much && explained.unwrap().explanation.member),
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
