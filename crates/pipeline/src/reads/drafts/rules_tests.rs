//! What is told of changed rules of identity before they are applied, against what applying them does.

use super::renamed_tests::{check_blocks, check_renamed};
use super::tests::{document, impact, members, played, proposed};
use super::veto_tests::{became, lists, related, stored};
use super::{Impact, SegmentImpact, Shown};
use crate::definitions::DefinitionDocument;
use crate::history::History;
use crate::reads::tests::reads_of;
use crate::tests::oracle::tree;
use crate::tests::worlds::{documents, some_rules, some_vetoes};
use crate::tests::{Bench, at, event, main_space};
use crate::{Definitions, Question, Rearranged, Veto, keys};
use kith_identity::{Outlook, ProfileMembers, Reading, WhatIf};
use kith_profile::Part;
use kith_state::Keyspace;
use kith_types::{Duration, Event, ProfileId, Timestamp, Value};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every event that the state has.
pub(super) fn events_of(bench: &Bench) -> Vec<Event> {
    let rows = tree(&*bench.store, Keyspace::Events).into_iter();
    let space = main_space();
    let history = History::of(&*bench.store, &space);
    rows.map(|(key, row)| history.event(&key, &row).unwrap()).collect()
}

pub(super) fn in_force(bench: &Bench) -> Arc<Definitions> {
    bench.engine.definitions(&main_space()).unwrap()
}

/// What the comparison of all events that holds them in memory says, without looking at anything that is stored.
fn outlook(events: &[Event], before: &Definitions, after: &Definitions) -> Outlook {
    let [before, after] = [before, after].map(|definitions| Reading {
        rules: &definitions.rules,
        vetoes: &definitions.vetoes,
    });
    let mut comparison = WhatIf::new(&main_space(), before, after);
    events.iter().for_each(|event| comparison.add(event));
    comparison.outlook()
}

pub(super) fn ids(bench: &Bench) -> BTreeSet<ProfileId> {
    let profiles = tree(&*bench.store, Keyspace::Profiles).into_keys();
    profiles.map(|key| ProfileId(keys::wide_id(&key).unwrap())).collect()
}

fn check_people(told: &Rearranged, expected: &Outlook, what: &str) {
    assert_eq!(told.splits, expected.splits, "{what}");
    assert_eq!(told.merges, expected.merges, "{what}");
    assert_eq!(told.moves, expected.moves, "{what}");
    assert_eq!(
        (told.splits_total, told.merges_total, told.moves_total),
        (
            expected.splits.len() as u64,
            expected.merges.len() as u64,
            expected.moves.len() as u64
        ),
        "{what}"
    );
    assert_eq!(
        (told.profiles_before, told.profiles_after, told.largest_after),
        (
            expected.profiles_before,
            expected.profiles_after,
            expected.largest_after
        ),
        "{what}"
    );
}

/// Each person's value of each computed trait at an instant.
fn values(bench: &Bench, now: Timestamp) -> BTreeMap<(String, ProfileId), Value> {
    let mut values = BTreeMap::new();
    for id in ids(bench) {
        let person = reads_of(bench).person_of(&main_space(), id, false, now);
        for (name, value, ..) in person.unwrap().unwrap().computed {
            values.insert((name, id), value);
        }
    }
    values
}

/// How many people have another value of a computed trait after than before. Who is not there has what nobody's events give.
fn changed_values(
    name: &str,
    (before, stood): (&Definitions, &BTreeMap<(String, ProfileId), Value>),
    (after, stands): (&Definitions, &BTreeMap<(String, ProfileId), Value>),
    everybody: &BTreeSet<ProfileId>,
    now: Timestamp,
) -> u64 {
    let of = |definitions: &Definitions, values: &BTreeMap<(String, ProfileId), Value>, id: &ProfileId| {
        let known = definitions.computed.iter().find(|computed| computed.name == name);
        known.map_or(Value::Null, |computed| {
            let nobodys = || Part::default().aggregate(&definitions.plan, computed.aggregate, now);
            values.get(&(name.to_owned(), *id)).cloned().unwrap_or_else(nobodys)
        })
    };
    let differs = |id: &&ProfileId| of(before, stood, id) != of(after, stands, id);
    everybody.iter().filter(differs).count() as u64
}

/// Changes of segments, computed traits and rules for traits that come with the rules of identity, sometimes.
fn beside(random: &mut ChaCha8Rng) -> Vec<DefinitionDocument> {
    let all = documents();
    let mut changes = Vec::new();
    if random.random_bool(0.5) {
        let (kind, name, _) = &all[random.random_range(2..all.len())];
        changes.push(document(kind, name, Json::Null));
        changes.push(document(
            "segment",
            "twice",
            crate::tests::performed("Order Completed", 2, 90),
        ));
        let spec = json!({"function": "count", "event": "Product Viewed"});
        changes.push(document("computed_trait", "orders", spec));
        changes.push(document("trait_rules", "main", json!({"default": "oldest"})));
    }
    changes
}

#[test]
fn idn_7_what_a_plan_tells_of_changed_rules_is_what_applying_them_does() {
    let soak: u64 = std::env::var("KITH_SOAK").map_or(1, |times| times.parse().unwrap());
    let (mut regrouped, mut entered, mut left, mut moved, mut values_changed) = (0, 0, 0, 0, 0);
    let (mut renamed_members, mut blocks) = (0, 0);
    for seed in 0..60 * soak {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (mut bench, end) = played(seed + 80_000);
        bench.decide(end, &documents());
        // No timer is due at the very instant, which would be left for later.
        let now = at(end + 2) + Duration::from_micros(1);
        bench.settle(now);
        let mut changes = beside(&mut random);
        changes.push(document("identity_rules", "main", some_rules(&mut random)));
        let before = (in_force(&bench), ids(&bench), values(&bench, now));
        let stored_before = stored(&bench);
        let stood: BTreeMap<String, BTreeSet<ProfileId>> = (before.0.segments.iter())
            .map(|live| (live.name.to_string(), members(&bench, live.name.as_str())))
            .collect();
        let all_before = crate::tests::all_of_main(&bench.store);
        let told = impact(&bench, &proposed(changes.clone()), now, 1 + seed as usize % 3);
        assert!(
            all_before == crate::tests::all_of_main(&bench.store),
            "asking changes nothing"
        );

        let applied: Vec<(&str, &str, Json)> = (changes.iter())
            .map(|one| (&*one.kind, &*one.name, one.spec.clone().unwrap_or(Json::Null)))
            .collect();
        let so_far = bench.numbered().len();
        bench.decide(end + 2, &applied);
        bench.settle(now);
        let after = (in_force(&bench), ids(&bench), values(&bench, now));
        let what = format!("seed {seed}");

        let same_rules = before.0.rules.fingerprint() == after.0.rules.fingerprint();
        match &told.identity {
            None => assert!(same_rules, "{what}"),
            Some(identity) => {
                check_people(identity, &outlook(&events_of(&bench), &before.0, &after.0), &what);
                assert_eq!(identity.profiles_after, after.1.len() as u64, "{what}");
                moved += identity.moves_total;
                let found = related(
                    &events_of(&bench),
                    (&before.0, &stored_before),
                    (&after.0, &stored(&bench)),
                );
                check_renamed(identity, &found, (&before.1, &after.1), &what);
                check_blocks(identity, &events_of(&bench), (&before.0, &after.0), &what);
                blocks += identity.blocked_total.min(1) + identity.unblocked_total.min(1);
            }
        }
        let renamed = told.identity.iter().flat_map(|identity| &identity.renamed);
        let renamed: BTreeMap<ProfileId, ProfileId> = renamed.map(|(old, new)| (new.id, *old)).collect();
        assert_eq!(told.people, before.1.len() as u64, "{what}");
        regrouped += u64::from(before.1 != after.1);

        let (mut enters, mut leaves) = (0, 0);
        let names = before.0.segments.iter().chain(&after.0.segments);
        for name in names.map(|live| live.name.to_string()).collect::<BTreeSet<_>>() {
            let was = stood.get(&name).cloned().unwrap_or_default();
            let is = members(&bench, &name);
            let Some(segment) = told.segments.iter().find(|one| one.name.as_str() == name) else {
                assert_eq!(was, is, "{what}: {name} is not told of");
                continue;
            };
            check_segment(segment, (&was, &is), &renamed, &format!("{what}: {name}"));
            // Whoever only has another id is told to others as one who goes and one who comes.
            enters += segment.enters + segment.renamed;
            leaves += segment.leaves + segment.renamed;
            renamed_members += segment.renamed;
        }
        // What is told to segments once it has happened is what was told before.
        let changes: Vec<_> = bench.numbered().split_off(so_far);
        let told_entered = changes.iter().filter(|numbered| numbered.change.entered).count() as u64;
        assert_eq!(
            (told_entered, changes.len() as u64 - told_entered),
            (enters, leaves),
            "{what}"
        );
        (entered, left) = (entered + enters, left + leaves);

        let mut before = before;
        // Compared are those who are one person.
        for (new, old) in &renamed {
            before.1.remove(old);
            for name in ["orders", "spent"].map(str::to_owned) {
                if let Some(value) = before.2.remove(&(name.clone(), *old)) {
                    before.2.insert((name, *new), value);
                }
            }
        }
        let everybody: BTreeSet<ProfileId> = &before.1 | &after.1;
        for name in ["orders", "spent"] {
            let expected = changed_values(name, (&before.0, &before.2), (&after.0, &after.2), &everybody, now);
            let found = told.computed_traits.iter().find(|one| one.name == name);
            assert_eq!(found.map_or(0, |one| one.changes), expected, "{what}: {name}");
            values_changed += expected;
        }
    }
    assert!(
        regrouped > 20 && entered > 60 && left > 60 && moved > 60 && values_changed > 40,
        "the worlds must say something: {regrouped} {entered} {left} {moved} {values_changed}"
    );
    assert!(
        renamed_members > 5 && blocks > 5,
        "{renamed_members} keep their place under another id, {blocks} worlds block something else"
    );
}

fn check_segment(
    segment: &SegmentImpact,
    (was, is): (&BTreeSet<ProfileId>, &BTreeSet<ProfileId>),
    renamed: &BTreeMap<ProfileId, ProfileId>,
    what: &str,
) {
    let stay = renamed
        .iter()
        .filter(|(new, old)| is.contains(new) && was.contains(old));
    let (stay_new, stay_old): (BTreeSet<ProfileId>, BTreeSet<ProfileId>) = stay.unzip();
    assert_eq!(segment.renamed, stay_new.len() as u64, "{what} under another id");
    let shown = |list: &[Shown]| -> BTreeSet<ProfileId> { list.iter().map(|shown| shown.id).collect() };
    assert_eq!(segment.before.unwrap_or(0), was.len() as u64, "{what}");
    assert_eq!(segment.after.unwrap_or(0), is.len() as u64, "{what}");
    assert_eq!(&shown(&segment.members), is, "{what}");
    assert_eq!(shown(&segment.entering), &(is - was) - &stay_new, "{what} enters");
    assert_eq!(shown(&segment.leaving), &(was - is) - &stay_old, "{what} leaves");
    assert_eq!(
        (segment.enters, segment.leaves),
        (segment.entering.len() as u64, segment.leaving.len() as u64),
        "{what}"
    );
}

#[test]
fn idn_7_what_if_over_all_events_is_what_a_comparison_of_all_events_says() {
    let mut differ = 0;
    for seed in 0..80 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (mut bench, end) = played(seed + 90_000);
        bench.settle(at(end + 2));
        let events = events_of(&bench);
        let before = in_force(&bench);
        let mut vetoed: Vec<Veto> = before.vetoes_decided.iter().cloned().collect();
        let (mut added, mut removed) = some_vetoes(&mut random, &mut vetoed, 60);
        // What is in force is not added, nor removed what is not.
        added.retain(|veto| !before.vetoes_decided.contains(veto));
        removed.retain(|veto| before.vetoes_decided.contains(veto));
        let rules = random.random_bool(0.5).then(|| some_rules(&mut random));
        let question = Question {
            rules: rules.clone(),
            added: added.clone(),
            removed: removed.clone(),
            around: None,
        };
        let told = reads_of(&bench).what_if(&main_space(), &question, at(end + 2), &|| true);
        let told = told.unwrap().unwrap();
        let stood = stored(&bench);
        // Decided after one another: first what evidence counts, then the rules.
        bench.veto(end + 2, &added, &removed);
        if let Some(rules) = &rules {
            bench.decide(end + 2, &[("identity_rules", "main", rules.clone())]);
        }
        bench.settle(at(end + 3));
        if rules.is_none() {
            let found = became(&events, &before, &stood, &stored(&bench));
            assert_eq!(lists(&told), found, "seed {seed}: {question:?}, as applied");
        }
        let expected = outlook(&events, &before, &in_force(&bench));
        let what = format!("seed {seed}: {question:?}");
        let lists = [
            ("splits_total", expected.splits.len()),
            ("merges_total", expected.merges.len()),
            ("moves_total", expected.moves.len()),
        ];
        for (name, count) in lists {
            assert_eq!(told[name], json!(count), "{what}: {name}");
        }
        let named = |one: &ProfileMembers| one.id.to_string();
        let into = expected.splits.iter().flat_map(|split| split.into.iter().map(named));
        let told_into = told["splits"].as_array().unwrap().iter();
        let told_into = told_into.flat_map(|split| split["into"].as_array().unwrap());
        assert!(told_into.map(|one| one["profile"].as_str().unwrap()).eq(into), "{what}");
        if rules.is_some() {
            let counts = (
                expected.profiles_before,
                expected.profiles_after,
                expected.largest_after,
            );
            assert_eq!(told["profiles_before"], json!(counts.0), "{what}");
            assert_eq!(told["profiles_after"], json!(counts.1), "{what}");
            assert_eq!(told["largest_after"], json!(counts.2), "{what}");
        }
        differ += usize::from(!expected.splits.is_empty() || !expected.merges.is_empty());
    }
    assert!(differ > 20, "{differ}");
}

/// A bench in which two people share an address, and the rules that part them.
fn shared_address() -> (Bench, Vec<DefinitionDocument>) {
    let mut bench = Bench::new();
    bench.decide(0, &documents());
    for n in 0..10 {
        let named = format!("user_id:u{n} email:m{}@x.org", n / 2);
        bench.take(n, &[event(&named, "Order Completed", n, json!({"total": 9}))]);
    }
    bench.settle(at(11));
    let loose = json!({"types": {"user_id": {"limit": 2}}});
    (bench, vec![document("identity_rules", "main", loose)])
}

#[test]
fn idn_7_a_plan_of_other_rules_can_be_called_off_at_any_moment_and_leaves_nothing() {
    let (bench, changes) = shared_address();
    let folder = tempfile::tempdir().unwrap();
    let reads = reads_of(&bench).with_scratch(&folder.path().join("dry_runs")).unwrap();
    let ask = |goes_on_for: u64| -> (Option<Impact>, u64) {
        let asked = AtomicU64::new(0);
        let go_on = |_| asked.fetch_add(1, Ordering::Relaxed) < goes_on_for;
        let told = reads.impact(&main_space(), &proposed(changes.clone()), at(11), 1, &go_on);
        (told.unwrap(), asked.load(Ordering::Relaxed))
    };
    let (whole, looks) = ask(u64::MAX);
    let whole = whole.unwrap();
    assert_eq!(whole.identity.as_ref().unwrap().merges_total, 5);
    assert!(looks > 200, "{looks}");
    for goes_on_for in 0..looks {
        let (told, _) = ask(goes_on_for);
        assert!(told.is_none(), "called off after {goes_on_for}");
        assert_eq!(reads.dry_run(), None, "nothing is under way any more");
    }
    assert_eq!(ask(looks).0, Some(whole), "the next one begins anew");
    assert!(!folder.path().join("dry_runs").exists(), "so little stays in memory");
}

#[test]
fn idn_7_a_plan_counts_everybody_and_lists_the_first_hundred() {
    let mut bench = Bench::new();
    bench.decide(0, &documents());
    // Of 260 people every two share an address; so do the names of what some of them are sent.
    let people: Vec<Json> = (0..260)
        .map(|n| {
            event(
                &format!("user_id:u{n} email:m{}@x.org", n / 2),
                "Order Completed",
                1,
                json!({"total": 9}),
            )
        })
        .collect();
    people.chunks(20).for_each(|some| bench.take(1, some));
    bench.settle(at(2));
    let loose = document("identity_rules", "main", json!({"types": {"user_id": {"limit": 2}}}));
    let told = impact(&bench, &proposed(vec![loose.clone()]), at(2), 2);
    let identity = told.identity.unwrap();
    assert_eq!((identity.profiles_before, identity.profiles_after), (260, 130));
    assert_eq!((identity.merges_total, identity.merges.len()), (130, 100));
    assert_eq!(
        (identity.splits_total, identity.moves_total),
        (0, 130),
        "each younger one moves"
    );
    assert_eq!(identity.moves.len(), 100);
    assert_eq!(identity.events, 0, "no event says anything else");
    let buyers = told.segments.iter().find(|one| one.name.as_str() == "buyers").unwrap();
    assert_eq!((buyers.before, buyers.after), (Some(260), Some(130)));
    assert_eq!((buyers.enters, buyers.leaves, buyers.leaving.len()), (0, 130, 100));
    assert!(
        told.segments.iter().all(|one| one.enters + one.leaves > 0),
        "others keep their members and are not told of"
    );

    bench.decide(3, &[("identity_rules", "main", loose.spec.unwrap())]);
    bench.settle(at(4));
    let parted = document("identity_rules", "main", Json::Null);
    let told = impact(&bench, &proposed(vec![parted]), at(4), 2).identity.unwrap();
    assert_eq!((told.splits_total, told.splits.len(), told.merges_total), (130, 100, 0));
    assert_eq!(told.splits[0].into.len(), 2);
    // An address that is blocked parts nobody from anybody; whoever had it goes on without.
    let blocked = json!({"types": {"user_id": {"limit": 2}, "email": {"blocked": ["m7@x.org"]}}});
    let blocked = document("identity_rules", "main", blocked);
    let told = impact(&bench, &proposed(vec![blocked]), at(4), 2).identity.unwrap();
    assert_eq!((told.events, told.splits_total, told.profiles_after), (2, 1, 131));
}

#[test]
fn idn_7_a_stretch_of_a_device_in_which_nobody_had_it_moves_to_nobody() {
    let mut bench = Bench::new();
    bench.decide(0, &documents());
    // Jo has two devices, and Kim has two which the rules to come spell like Jo's. One of Jo's is seen again after Kim has signed
    // in on hers, the other one never.
    for device in ["a1", "a2"] {
        let named = format!("user_id:jo anonymous_id:{device}");
        bench.take(1, &[event(&named, "Signed In", 1, json!({}))]);
    }
    for device in ["A-1", "A-2"] {
        let named = format!("user_id:kim anonymous_id:{device}");
        bench.take(5, &[event(&named, "Signed In", 5, json!({}))]);
    }
    bench.settle(at(6));
    let alike =
        json!({"types": {"anonymous_id": {"normalise": "lowercase", "replace": [{"pattern": "-", "with": ""}]}}});
    let change = [document("identity_rules", "main", alike)];
    let ask = |bench: &Bench| impact(bench, &proposed(change.to_vec()), at(20), 1).identity.unwrap();
    let told = ask(&bench);
    assert_eq!((told.splits_total, told.merges_total, told.moves_total), (0, 0, 0));
    assert_eq!((told.events, told.profiles_before, told.profiles_after), (2, 2, 2));
    bench.take(10, &[event("anonymous_id:a2", "Product Viewed", 10, json!({}))]);
    bench.settle(at(11));
    let told = ask(&bench);
    assert_eq!((told.splits_total, told.merges_total, told.moves_total), (1, 1, 1));
    assert_eq!(
        told.moves[0].identifier.to_string(),
        "anonymous_id:a2",
        "what is seen again is Kim's"
    );
}
