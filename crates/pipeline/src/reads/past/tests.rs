//! What a run had said at an instant, and what is said of that instant afterwards: the same.

mod examples;

use super::super::Reads;
use super::super::tests::reads_of;
use super::AsOf;
use crate::tests::worlds::{documents, world};
use crate::tests::{Bench, at, decision, event, main_space};
use crate::{DEFINITIONS_APPLIED, HeldThen, PersonDocument, keys, redirects};
use kith_expr::Function;
use kith_segment::{Asks, Explanation, Reason};
use kith_state::{Keyspace, Read};
use kith_types::{Duration, ProfileId, Record, RecordBody, SegmentName, Timestamp};
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

/// The records of a world whose definitions and rules of identity come, change and go, with the vetoes.
fn edited(seed: u64) -> (Vec<Record>, i64) {
    let world = world(seed, 60, true);
    (world.records, world.end)
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

/// Whether somebody has, in a run's state, the identifier that an id comes from.
fn has_founder(bench: &Bench, id: ProfileId) -> bool {
    let founder = redirects::founder(&*bench.store, &main_space(), id).unwrap().unwrap();
    super::home_of(&*bench.store, &main_space(), founder.0)
        .unwrap()
        .is_some()
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
    explanations_are_those_of_then(records);
}

#[test]
fn seg_6_an_explanation_is_by_the_definitions_and_rules_of_then() {
    explanations_are_those_of_then(edited);
}

fn explanations_are_those_of_then(records: fn(u64) -> (Vec<Record>, i64)) {
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
                    let said = said.unwrap().unwrap().unwrap().explanation;
                    let told = all.explain_by_events(&main_space(), &segment, &name, Some(AsOf::then(then)), at(0));
                    let told = told.unwrap().unwrap().unwrap_or_else(|| panic!("{what}"));
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
    people_are_those_of_then(records);
}

#[test]
fn idn_8_a_person_as_of_an_instant_is_by_the_definitions_and_rules_of_then() {
    people_are_those_of_then(edited);
}

fn people_are_those_of_then(records: fn(u64) -> (Vec<Record>, i64)) {
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
    names_lead_where_they_led(records);
}

#[test]
fn idn_8_identifiers_and_ids_lead_where_they_led_by_the_rules_of_then() {
    names_lead_where_they_led(edited);
}

fn names_lead_where_they_led(records: fn(u64) -> (Vec<Record>, i64)) {
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
                let led = reads.resolve(&main_space(), &name).unwrap();
                // Where nobody has its identifier by the rules of then, a run remembers who had it.
                let led = led.filter(|_| has_founder(&bench, id));
                assert_eq!(told(&name), led, "seed {seed}, {then}, {name}");
                redirects += u32::from(led.is_some());
            }
        }
    }
    assert!(
        asked > 1_000 && elsewhere > 50 && redirects > 50,
        "{asked} {elsewhere} {redirects}"
    );
}

#[test]
fn idn_8_everybodys_identifiers_as_of_an_instant_are_those_of_a_run_that_ended_there() {
    let (mut asked, mut otherwise) = (0, 0);
    for (seed, records) in (43_000..43_008).flat_map(|seed| [(seed, records(seed)), (seed, edited(seed))]) {
        let (records, end) = records;
        let all = reads_of(&run(&records, at(end + 60)));
        let of_today = identifiers_as_of(&all, at(end + 60));
        for then in instants(end) {
            let bench = run(&records, then);
            let reads = reads_of(&bench);
            let mut held = Vec::new();
            for profile in profiles(&bench) {
                let person = reads
                    .person(&main_space(), &profile.to_string(), then)
                    .unwrap()
                    .unwrap();
                held.extend(person.identifiers.into_iter().map(|view| HeldThen {
                    identifier: view.identifier,
                    profile,
                    first_seen: view.first_seen,
                    from: view.from,
                    to: view.to,
                }));
            }
            sort(&mut held);
            let told = identifiers_as_of(&all, then);
            assert_eq!(told, held, "seed {seed}, {then}");
            assert_eq!(all.rules_as_of(&main_space(), then).unwrap().fingerprint(), {
                let definitions = bench.engine.definitions(&main_space());
                definitions.map_or_else(
                    || kith_identity::Rules::default().fingerprint(),
                    |one| one.rules.fingerprint(),
                )
            });
            asked += held.len();
            otherwise += held.iter().filter(|one| !of_today.contains(one)).count();
        }
    }
    assert!(asked > 1_000 && otherwise > 300, "{asked} {otherwise}");
}

fn identifiers_as_of(reads: &Reads, then: Timestamp) -> Vec<HeldThen> {
    let mut told = Vec::new();
    let mut take = |held| {
        told.push(held);
        true
    };
    reads
        .identifiers_as_of(&main_space(), then, &|| true, &mut take)
        .unwrap();
    sort(&mut told);
    told
}

fn sort(held: &mut [HeldThen]) {
    held.sort_by_key(|one| (one.profile, one.identifier.to_string(), one.from, one.to));
}
