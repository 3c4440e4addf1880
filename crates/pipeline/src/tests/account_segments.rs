//! Segments that ask of accounts: members follow what is said of their account, at its instant, however late they are
//! reached.

use super::accounts::group;
use super::replay::{live, replay};
use super::worlds::{documents, world};
use super::{Bench, at, event, main_space, oracle, same, vetoes};
use crate::reads::tests::reads_of;
use crate::{AsOf, Veto};
use kith_state::Keyspace;
use kith_types::Identifier;
use serde_json::{Value as Json, json};

const PLAN: &str = "of_pro_accounts";

fn of_pro_accounts() -> Json {
    json!({"where": {"account": {"trait": "plan", "equals": "pro"}}})
}

/// An account of so many members, each by an event of their own.
fn company(bench: &mut Bench, members: i64) {
    bench.decide(0, &[("segment", PLAN, of_pro_accounts())]);
    for n in 0..members {
        let user = format!("user_id:u{n}");
        bench.take(1, &[group(&user, "acme", 1, json!({"plan": "free"}))]);
    }
    bench.settle(at(2));
}

fn plan(second: i64, user: &str, plan: &str) -> Json {
    group(user, "acme", second, json!({"plan": plan}))
}

/// How many changes were told as this.
fn count(bench: &mut Bench, told: &str) -> usize {
    bench.told().iter().filter(|one| *one == told).count()
}

#[test]
fn seg_2_seg_5_every_member_follows_what_is_said_of_the_account_at_its_instant() {
    let mut bench = Bench::new();
    company(&mut bench, 9);
    assert!(bench.told().is_empty());
    bench.take(10, &[plan(10, "user_id:u0", "pro")]);
    assert_eq!(
        count(&mut bench, "+of_pro_accounts 10 event"),
        1,
        "whose event it is, at once"
    );
    bench.take(20, &[plan(20, "user_id:u0", "free")]);
    // One who has an event of their own before the walk comes takes both changes first, each at its instant.
    bench.take(30, &[event("user_id:u5", "Viewed", 30, json!({}))]);
    assert_eq!(count(&mut bench, "+of_pro_accounts 10 event"), 2);
    assert_eq!(count(&mut bench, "-of_pro_accounts 20 event"), 2);
    assert!(bench.sweep(), "some at a time");
    bench.settle(at(31));
    assert_eq!(count(&mut bench, "+of_pro_accounts 10 event"), 9);
    assert_eq!(count(&mut bench, "-of_pro_accounts 20 event"), 9);
    assert_eq!(bench.told().len(), 18, "each once");
    let told = bench.numbered();
    let said: Vec<_> = bench
        .events()
        .iter()
        .filter(|event| event.event_time >= at(10))
        .map(|event| event.key)
        .collect();
    let caused =
        |one: &&crate::Numbered| one.change.cause.event_key() == Some(said[usize::from(one.change.at > at(10))]);
    assert_eq!(
        told.iter().filter(caused).count(),
        18,
        "the event that said it is the cause"
    );
    assert!(
        oracle::tree(&*bench.store, Keyspace::AccountChanges).is_empty(),
        "nothing is left behind"
    );
    oracle::check(&bench, at(31), "followed");
}

#[test]
fn seg_5_whoever_joins_or_is_merged_while_changes_are_on_their_way_takes_each_once() {
    let mut bench = Bench::new();
    company(&mut bench, 7);
    bench.take(5, &[event("email:new@x.org", "Viewed", 5, json!({}))]);
    bench.settle(at(6));
    bench.take(10, &[plan(10, "user_id:u0", "pro")]);
    // One joins after the change, one is joined to a member who has not taken it.
    bench.take(20, &[group("user_id:late", "acme", 20, json!({}))]);
    bench.take(21, &[event("user_id:u6 email:new@x.org", "Signed In", 21, json!({}))]);
    bench.crash();
    // The log gives again what was not committed.
    bench.take(10, &[plan(10, "user_id:u0", "pro")]);
    bench.take(20, &[group("user_id:late", "acme", 20, json!({}))]);
    bench.commit();
    bench.crash();
    bench.take(21, &[event("user_id:u6 email:new@x.org", "Signed In", 21, json!({}))]);
    bench.commit();
    while bench.sweep() {
        bench.crash();
    }
    bench.settle(at(30));
    assert_eq!(
        count(&mut bench, "+of_pro_accounts 20 event"),
        1,
        "who joins enters then"
    );
    assert_eq!(count(&mut bench, "+of_pro_accounts 10 event"), 7);
    assert_eq!(bench.told().len(), 8, "{:?}", bench.told());
    oracle::check(&bench, at(30), "joined");
}

#[test]
fn seg_2_a_date_of_the_account_lets_every_member_in_and_out_on_time() {
    let mut bench = Bench::new();
    let renewing = json!({"where": {"account": {"trait": "renewal", "within_last": "10s"}}});
    bench.decide(0, &[("segment", "renewing", renewing)]);
    for n in 0..5 {
        bench.take(1, &[group(&format!("user_id:u{n}"), "acme", 1, json!({}))]);
    }
    bench.take(
        2,
        &[group("user_id:u0", "acme", 2, json!({"renewal": at(20).to_string()}))],
    );
    // The date and the end of its span pass before the walk has been anywhere.
    bench.take(50, &[event("user_id:nobody", "Viewed", 50, json!({}))]);
    bench.settle(at(60));
    assert_eq!(count(&mut bench, "+renewing 20 clock"), 5);
    assert_eq!(count(&mut bench, "-renewing 30 clock"), 5);
    assert_eq!(bench.told().len(), 10);
}

#[test]
fn seg_4_a_definition_that_asks_of_accounts_covers_all_history_while_accounts_change() {
    let mut bench = Bench::new();
    for n in 0..9 {
        bench.take(1, &[plan(1, &format!("user_id:u{n}"), "pro")]);
    }
    bench.decide(10, &[("segment", PLAN, of_pro_accounts())]);
    // Nobody is swept yet: everybody enters at the decision and leaves by what is said after it.
    bench.take(11, &[plan(11, "user_id:u3", "free")]);
    bench.settle(at(20));
    assert_eq!(count(&mut bench, "+of_pro_accounts 10 definition"), 9);
    assert_eq!(count(&mut bench, "-of_pro_accounts 11 event"), 9);
    bench.take(21, &[plan(21, "user_id:u3", "pro")]);
    // A decision waits until everybody has taken what was said before it.
    bench.decide(22, &[("trait_rules", "main", json!({"default": "oldest"}))]);
    assert_eq!(count(&mut bench, "+of_pro_accounts 21 event"), 9);
    bench.decide(23, &[("segment", PLAN, Json::Null)]);
    bench.settle(at(30));
    assert_eq!(count(&mut bench, "-of_pro_accounts 23 definition"), 9);
    oracle::check(&bench, at(30), "removed");
}

#[test]
fn seg_2_more_changes_than_may_wait_get_their_turns_before_another_record() {
    let (mut bench, mut patient) = (Bench::new(), Bench::new());
    company(&mut bench, 9);
    company(&mut patient, 9);
    for second in 10..40 {
        let call = plan(second, "user_id:u0", ["pro", "free"][second as usize % 2]);
        bench.take(second, std::slice::from_ref(&call));
        patient.take(second, &[call]);
        patient.settle(at(second));
        assert!(bench.engine.account_changes_waiting() <= 4);
    }
    bench.settle(at(41));
    patient.settle(at(41));
    same(&bench.store, &patient.store, at(41), "waiting changes nothing");
    let sorted = |bench: &mut Bench| {
        let mut told = bench.told();
        told.sort();
        told
    };
    assert_eq!(sorted(&mut bench), sorted(&mut patient));
    assert_eq!(bench.told().len(), 30 * 9);
}

#[test]
fn idn_6_seg_2_members_of_an_account_follow_an_unmerge() {
    let mut bench = Bench::new();
    company(&mut bench, 3);
    bench.take(
        5,
        &[
            plan(5, "user_id:u0", "pro"),
            event("user_id:u1 email:e@x.org", "Signed In", 5, json!({})),
        ],
    );
    bench.take(6, &[event("email:e@x.org", "Viewed", 6, json!({}))]);
    bench.settle(at(7));
    let told = bench.told().len();
    let joined = bench
        .events()
        .iter()
        .find(|event| &*event.name == "Signed In")
        .unwrap()
        .address;
    let veto = Veto::Event {
        event: joined,
        identifier: Identifier::parse("email:e@x.org").unwrap(),
    };
    bench.apply(&vetoes(bench.engine.next(), 10, &[veto], &[]));
    bench.settle(at(11));
    assert_eq!(
        bench.told().len(),
        told,
        "who is split off was never of the account: {:?}",
        bench.told()
    );
    oracle::check(&bench, at(11), "split");
}

#[test]
fn seg_6_an_explanation_names_the_event_that_said_it_whoever_sent_it() {
    let mut bench = Bench::new();
    company(&mut bench, 3);
    bench.take(10, &[plan(10, "user_id:u0", "pro")]);
    bench.take(20, &[plan(20, "user_id:u1", "free")]);
    bench.settle(at(30));
    let (reads, segment) = (reads_of(&bench), PLAN.parse().unwrap());
    let explain = |as_of: Option<AsOf>| {
        let found = reads.explain_by_events(&main_space(), &segment, "user_id:u2", as_of, at(40));
        found.unwrap().unwrap().unwrap().to_document()
    };
    let check = |found: Json, member: bool, plan: &str, second: i64| {
        assert_eq!(found["member"], member, "{found:#}");
        let account = &found["reason"]["parts"][0];
        assert_eq!(account["condition"], "account acme");
        let leaf = &account["parts"][0];
        assert_eq!(
            (&leaf["actual"], &leaf["events_total"]),
            (&json!(plan), &json!(1)),
            "{found:#}"
        );
        assert_eq!(leaf["events"][0]["event_time"], at(second).to_string());
        assert_eq!(found["reason"]["events_total"], 1, "the event that makes them a member");
    };
    check(explain(None), false, "free", 20);
    check(explain(Some(AsOf::then(at(15)))), true, "pro", 10);
    check(explain(Some(AsOf::then(at(25)))), false, "free", 20);
    let person = reads
        .person_as_of(&main_space(), "user_id:u2", AsOf::then(at(15)), 0)
        .unwrap()
        .unwrap()
        .0;
    assert_eq!(person.segments.len(), 1);
    assert!(
        reads
            .person(&main_space(), "user_id:u2", at(40))
            .unwrap()
            .unwrap()
            .segments
            .is_empty()
    );
}

#[test]
fn seg_4_accounts_in_any_cut_and_after_crashes_are_those_of_a_plain_recomputation() {
    for seed in 0..60 {
        let mut world = world(seed + 77_000, 60, seed % 2 == 0);
        // Every segment that asks of accounts is there from the beginning.
        let all: Vec<_> = documents()
            .into_iter()
            .filter(|(_, name, _)| name.contains("accounts"))
            .collect();
        world.records[0] = super::decision(0, 0, &all);
        let now = at(world.end + 100);
        let just_after = now + kith_types::Duration::from_micros(1);
        let mut run = live(&world, seed, now);
        if run.lost {
            continue;
        }
        run.settle(just_after);
        oracle::check(&run, just_after, &format!("seed {seed}"));
        let mut rebuilt = replay(&world, now);
        rebuilt.settle(just_after);
        same(&run.store, &rebuilt.store, just_after, &format!("seed {seed}"));
        let changes = |bench: &Bench| {
            let mut all: Vec<String> = bench.numbered().iter().map(|one| format!("{:?}", one.change)).collect();
            all.sort();
            all
        };
        assert_eq!(changes(&run), changes(&rebuilt), "seed {seed}");
    }
}
