//! People who merge, split, share a device, or are derived anew: their parts, segments, ids and redirects.

use super::oracle::{check, tree};
use super::worlds::{documents, world};
use super::{Bench, at, event, performed};
use kith_state::Keyspace;
use kith_types::ProfileId;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

fn order(identifiers: &str, second: i64) -> Json {
    event(identifiers, "Order Completed", second, json!({}))
}

fn buyers() -> Bench {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 1_000))]);
    bench
}

/// What an id that vanished leads to.
fn redirect(bench: &Bench, id: ProfileId) -> Option<ProfileId> {
    let led = crate::redirects::follow(&*bench.store, &super::main_space(), id).unwrap();
    led.map(|(holder, _)| holder)
}

#[test]
fn idn_9_a_late_sign_in_on_a_shared_device_moves_what_was_done_after_it() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "viewers", performed("Product Viewed", 2, 1_000))]);
    let viewed = |second| event("anonymous_id:tablet", "Product Viewed", second, json!({}));
    bench.take(
        30,
        &[
            event("user_id:u1 anonymous_id:tablet", "Signed In", 10, json!({})),
            viewed(20),
            viewed(25),
        ],
    );
    let first = bench.last_person();
    bench.take(
        40,
        &[event("user_id:u2 anonymous_id:tablet", "Signed In", 15, json!({}))],
    );
    let second = bench.last_person();
    assert_ne!(first, second);
    let told: Vec<_> = bench
        .numbered()
        .iter()
        .map(|one| (one.change.entered, one.change.profile))
        .collect();
    assert_eq!(told[0], (true, first));
    assert_eq!(
        told[1..].iter().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from([(false, first), (true, second)])
    );
    bench.settle(at(50));
    check(&bench, at(50), "a part that was cut");
}

#[test]
fn idn_9_an_interval_that_loses_all_it_carried_leaves_no_bytes() {
    let mut bench = buyers();
    let signed_in = |user: &str, second| {
        event(
            &format!("user_id:{user} anonymous_id:tablet"),
            "Signed In",
            second,
            json!({}),
        )
    };
    bench.take(30, &[signed_in("u1", 10), order("anonymous_id:tablet", 20)]);
    bench.commit();
    bench.take(31, &[signed_in("u2", 15)]);
    bench.settle(at(40));
    check(
        &bench,
        at(40),
        "everything that the first interval carried belongs to the second",
    );
}

#[test]
fn idn_5_a_vanished_id_leads_to_whoever_holds_its_identifier_now() {
    let mut bench = buyers();
    let mut first = |received, text: &str, time| {
        bench.take(received, &[order(text, time)]);
        bench.last_person()
    };
    let of_phone = first(1, "phone:+31612345678", 1);
    let of_mail = first(2, "email:m1@x.org", 2);
    let of_user = first(3, "user_id:u1", 3);
    first(20, "user_id:u1 email:m1@x.org", 20);
    assert_eq!(redirect(&bench, of_user), Some(of_mail));
    bench.take(22, &[order("user_id:u1 phone:+31612345678", 22)]);
    bench.commit();
    assert_eq!([of_user, of_mail].map(|id| redirect(&bench, id)), [Some(of_phone); 2]);
    // The mail was somebody else's before: they have its id again, and the user's id has nothing to do with them any more.
    bench.take(30, &[order("user_id:u2 email:m1@x.org", 10)]);
    assert_eq!(bench.last_person(), of_mail);
    assert_eq!(redirect(&bench, of_user), Some(of_phone));
}

#[test]
fn idn_5_a_merge_ends_one_id_and_a_split_restores_it() {
    let mut bench = buyers();
    bench.take(1, &[order("email:m1@x.org", 1)]);
    let older = bench.last_person();
    bench.take(2, &[order("user_id:u1", 2)]);
    let younger = bench.last_person();
    bench.take(20, &[event("user_id:u1 email:m1@x.org", "Signed Up", 20, json!({}))]);
    assert_eq!(bench.last_person(), older);
    assert_eq!(redirect(&bench, younger), Some(older));
    assert_eq!(
        bench.told(),
        ["+buyers 1 event", "+buyers 2 event", "-buyers 20 event"],
        "the id that vanished leaves"
    );
    // Somebody else was seen with the mail earlier: a user id stands for one person.
    bench.take(30, &[event("user_id:u2 email:m1@x.org", "Signed Up", 10, json!({}))]);
    assert_eq!(bench.last_person(), older);
    assert_eq!(redirect(&bench, younger), None, "the id stands again");
    let last = bench.numbered().last().unwrap().change.clone();
    assert_eq!((last.profile, last.entered), (younger, true));
    bench.settle(at(40));
    check(&bench, at(40), "split");
}

#[test]
fn seg_5_a_merge_of_a_member_and_a_stranger_keeps_one_member() {
    for member_is_older in [true, false] {
        let mut bench = buyers();
        let seen = |identifiers, second| event(identifiers, "Seen", second, json!({}));
        let (mail, user) = ("email:m1@x.org", "user_id:u1");
        let first = if member_is_older { order(mail, 1) } else { seen(mail, 1) };
        let second = if member_is_older { seen(user, 2) } else { order(user, 2) };
        bench.take(2, &[first, second]);
        bench.take(20, &[seen("user_id:u1 email:m1@x.org", 20)]);
        let person = bench.last_person();
        let told = bench.told();
        if member_is_older {
            assert_eq!(told, ["+buyers 2 event"]);
        } else {
            assert_eq!(told, ["+buyers 2 event", "-buyers 20 event", "+buyers 20 event"]);
        }
        assert_eq!(bench.numbered().last().unwrap().change.profile, person);
        bench.settle(at(30));
        check(&bench, at(30), "merge");
    }
}

#[test]
fn idn_4_a_kiosk_with_many_sign_ins_stays_exact() {
    let mut bench = buyers();
    for n in 0..40_i64 {
        let user = (n * 7) % 13;
        let signed_in = event(
            &format!("user_id:u{user} anonymous_id:kiosk"),
            "Signed In",
            (n * 11) % 97,
            json!({}),
        );
        bench.take(100 + n, &[signed_in, order("anonymous_id:kiosk", (n * 17) % 97)]);
        if n % 3 == 0 {
            bench.commit();
        }
    }
    bench.settle(at(200));
    check(&bench, at(200), "kiosk");
}

fn keys_of(bench: &Bench, keyspace: Keyspace) -> BTreeSet<Vec<u8>> {
    tree(&*bench.store, keyspace).into_keys().collect()
}

#[test]
fn idn_2_changed_rules_give_what_a_run_under_them_gives() {
    let rules = (
        "identity_rules",
        "main",
        json!({"types": {"email": {"limit": 1}, "anonymous_id": {"claim": "link", "limit": 3}}}),
    );
    for seed in 0..30 {
        let mut world = world(seed + 9_000, 50, false);
        world
            .records
            .retain(|record| matches!(record.body, kith_types::RecordBody::Envelope(_)) && record.address.sequence > 0);
        let (mut changed, mut fresh) = (Bench::new(), Bench::new());
        changed.apply(&super::decision(0, 0, &documents()));
        fresh.apply(&super::decision(0, 0, &[documents(), vec![rules.clone()]].concat()));
        for record in &world.records {
            changed.apply(record);
            fresh.apply(record);
        }
        changed.commit();
        let stood = keys_of(&changed, Keyspace::Profiles);
        changed.apply(&super::decision(1_000, world.end, std::slice::from_ref(&rules)));
        // The change is durable as a whole.
        changed.commit();
        changed.crash();
        // Just after a whole second, when no timer is due.
        let now = at(world.end + 5) + kith_types::Duration::from_micros(1);
        changed.settle(now);
        fresh.settle(now);
        for keyspace in [
            Keyspace::Components,
            Keyspace::Identifiers,
            Keyspace::Events,
            Keyspace::Presence,
        ] {
            assert_eq!(
                tree(&*changed.store, keyspace),
                tree(&*fresh.store, keyspace),
                "seed {seed}: {}",
                keyspace.as_str()
            );
        }
        for keyspace in [Keyspace::Profiles, Keyspace::Parts, Keyspace::Members, Keyspace::Due] {
            assert_eq!(
                keys_of(&changed, keyspace),
                keys_of(&fresh, keyspace),
                "seed {seed}: {}",
                keyspace.as_str()
            );
        }
        let stands = keys_of(&changed, Keyspace::Profiles);
        let redirects = keys_of(&changed, Keyspace::Redirects);
        assert!(
            stood.iter().all(|id| stands.contains(id) != redirects.contains(id)),
            "seed {seed}: ids lead on"
        );
        check(&changed, now, &format!("seed {seed}"));
    }
}

#[test]
fn idn_2_an_identifier_that_was_blocked_counts_once_the_rules_allow_it() {
    let blocked = |values: Json| {
        (
            "identity_rules",
            "main",
            json!({"types": {"email": {"blocked": values}}}),
        )
    };
    let mut bench = buyers();
    bench.decide(0, &[blocked(json!(["m1@x.org"]))]);
    bench.take(1, &[order("email:m1@x.org", 1)]);
    bench.commit();
    assert!(bench.told().is_empty(), "it names nobody");
    bench.decide(2, &[blocked(json!([]))]);
    while bench.sweep() {}
    assert_eq!(bench.told(), ["+buyers 2 regrouping"]);
    bench.decide(3, &[blocked(json!(["m1@x.org"])), ("segment", "buyers", Json::Null)]);
    bench.settle(at(4));
    assert_eq!(bench.told()[1..], ["-buyers 3 definition"]);
}
