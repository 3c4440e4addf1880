//! Identity under evidence that is out of all proportion: values that everybody has, people with identifiers without end,
//! unmerges that overlap, and ends in the middle.

use super::oracle::tree;
use super::{Bench, at, event};
use crate::Veto;
use crate::reads::tests::person;
use kith_identity::{Component, MAX_IDENTIFIERS};
use kith_state::Keyspace;
use kith_types::{Address, Identifier};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

const BLOCKED: &str = "info@example.com";

/// Takes so many events, some in each record; answers how many are in the largest component.
fn take_all(bench: &mut Bench, count: i64, identifiers: impl Fn(i64) -> String) -> usize {
    for from in (0..count).step_by(100) {
        let events: Vec<Json> = (from..count.min(from + 100))
            .map(|n| event(&identifiers(n), "Seen", n, json!({})))
            .collect();
        bench.take(count, &events);
        bench.commit();
    }
    let components = tree(&*bench.store, Keyspace::Components);
    let sizes = components.values().map(|bytes| Component::decode(bytes).unwrap().len());
    sizes.max().unwrap()
}

fn hairball(count: i64) {
    let mut blocked = Bench::new();
    let rules = json!({"types": {"email": {"blocked": [BLOCKED]}}});
    blocked.decide(0, &[("identity_rules", "main", rules)]);
    let named = |n| format!("user_id:u{n} email:{BLOCKED}");
    assert_eq!(take_all(&mut blocked, count, named), 1, "a blocked value joins nobody");
    let people = tree(&*blocked.store, Keyspace::Profiles).len();
    assert_eq!(people as i64, count);
    let one = person(&blocked, "user_id:u7", at(count)).unwrap();
    assert!(!one.identity_limited && one.event_count == 1);

    let mut shared = Bench::new();
    assert!(take_all(&mut shared, count, named) <= MAX_IDENTIFIERS);
    let people = tree(&*shared.store, Keyspace::Profiles).len();
    assert_eq!(people as i64, count, "the limit of user ids keeps them apart");
    let first = person(&shared, "user_id:u0", at(count)).unwrap();
    assert_eq!(
        first.identity_limited,
        count >= MAX_IDENTIFIERS as i64,
        "the bound is told"
    );
    let last = person(&shared, &format!("user_id:u{}", count - 1), at(count)).unwrap();
    assert_eq!((last.event_count, last.identifiers.len()), (1, 1));
}

fn identifiers_without_end(count: i64) {
    let mut bench = Bench::new();
    let named = |n| format!("user_id:u anonymous_id:a{n}");
    assert!(take_all(&mut bench, count, named) <= MAX_IDENTIFIERS);
    let one = person(&bench, "user_id:u", at(count)).unwrap();
    assert_eq!(one.event_count as i64, count, "every event has its person");
    assert!(one.identifiers.len() <= MAX_IDENTIFIERS && one.identity_limited);
    // What was refused is nobody's: it is a person of its own once it comes alone.
    let alone = format!("anonymous_id:a{}", count - 1);
    assert!(person(&bench, &alone, at(count)).is_none());
    bench.take(count, &[event(&alone, "Seen", count, json!({}))]);
    bench.commit();
    let stranger = person(&bench, &alone, at(count)).unwrap();
    assert!(stranger.id != one.id && stranger.event_count == 1);
}

#[test]
fn idn_4_a_value_that_everybody_has_joins_nobody_beyond_the_bound() {
    hairball(1_300);
}

#[test]
fn idn_4_pro_5_a_person_with_identifiers_beyond_the_bound_is_marked() {
    identifiers_without_end(1_500);
}

#[test]
fn idn_4_what_is_left_out_of_a_full_component_is_what_identity_refuses() {
    let mut bench = Bench::new();
    let most = MAX_IDENTIFIERS as i64;
    let shared = format!("email:{BLOCKED}");
    take_all(&mut bench, most, |n| format!("user_id:u{n} {shared}"));
    // Carriers in the full component, in others and in none, beside identifiers of each, in the order of time.
    let others = [
        "user_id:u1 email:new@x.org".to_owned(),
        "user_id:alone".to_owned(),
        "user_id:alone anonymous_id:tablet".to_owned(),
        format!("user_id:alone {shared} email:own@x.org"),
        format!("user_id:u2 anonymous_id:tablet {shared}"),
        format!("user_id:late {shared} anonymous_id:tablet"),
        "user_id:late email:own@x.org".to_owned(),
        format!("anonymous_id:tablet {shared}"),
        format!("{shared} anonymous_id:phone loyalty_id:7"),
        "anonymous_id:phone".to_owned(),
    ];
    for (second, identifiers) in (most..).zip(&others) {
        bench.take(second, &[event(identifiers, "Seen", second, json!({}))]);
        if second % 3 == 0 {
            bench.commit();
        }
    }
    let now = at(most + 100);
    bench.settle(now);
    // The oracle hands identity all that an event says.
    super::oracle::check(&bench, now, "a full component");
}

#[test]
#[ignore = "full size: run it with --ignored"]
fn idn_4_a_hairball_of_a_hundred_thousand_events() {
    hairball(100_000);
}

#[test]
#[ignore = "full size: run it with --ignored"]
fn idn_4_pro_5_a_million_identifiers_on_one_person() {
    identifiers_without_end(1_000_000);
}

fn id(text: &str) -> Identifier {
    Identifier::parse(text).unwrap()
}

fn vetoed(sequence: u64, identifier: &str) -> Veto {
    let event = Address {
        generation: 1,
        partition: 0,
        sequence,
        index: 0,
    };
    Veto::Event {
        event,
        identifier: id(identifier),
    }
}

/// Three people whom two wrong events make one.
fn melted() -> Bench {
    let mut bench = Bench::new();
    let melting = [
        "user_id:ann",
        "email:jo@x.org",
        "phone:+4915112345678",
        "user_id:ann email:jo@x.org phone:+4915112345678",
        "email:jo@x.org phone:+4915112345678 loyalty_id:7",
    ];
    for (second, identifiers) in (0..).zip(melting) {
        bench.take(second, &[event(identifiers, "Seen", second, json!({}))]);
    }
    bench.commit();
    bench
}

#[test]
fn idn_6_two_unmerges_of_overlapping_evidence_give_one_result_in_either_order_and_end_without_a_trace() {
    let overlapping = [
        vetoed(3, "email:jo@x.org"),
        vetoed(4, "email:jo@x.org"),
        vetoed(4, "loyalty_id:7"),
    ];
    let before = melted();
    let stood = person(&before, "user_id:ann", at(5)).unwrap();
    assert_eq!(person(&before, "loyalty_id:7", at(5)).unwrap().id, stood.id);
    let (mut forth, mut back) = (melted(), melted());
    for (n, veto) in overlapping.iter().enumerate() {
        forth.veto(10, std::slice::from_ref(veto), &[]);
        back.veto(10, std::slice::from_ref(&overlapping[2 - n]), &[]);
        if n == 1 {
            // The process ends before its step is committed, and takes the decision again.
            forth.commit();
            back.crash();
            back.veto(10, std::slice::from_ref(&overlapping[2]), &[]);
            back.veto(10, std::slice::from_ref(&overlapping[1]), &[]);
        }
    }
    forth.settle(at(20));
    back.settle(at(20));
    let told = |bench: &Bench| -> Vec<BTreeSet<String>> {
        ["user_id:ann", "email:jo@x.org", "phone:+4915112345678", "loyalty_id:7"]
            .iter()
            .map(|name| {
                let found = person(bench, name, at(20)).unwrap();
                found
                    .identifiers
                    .iter()
                    .map(|view| view.identifier.to_string())
                    .collect()
            })
            .collect()
    };
    assert_eq!(told(&forth), told(&back));
    assert_eq!(told(&forth)[0].len(), 2, "Ann and the phone");
    assert_eq!(told(&forth)[1].len(), 1, "Jo alone");
    for veto in &overlapping {
        forth.veto(30, &[], std::slice::from_ref(veto));
    }
    forth.settle(at(40));
    let mut never = melted();
    never.settle(at(40));
    assert_eq!(
        person(&forth, "loyalty_id:7", at(40)),
        person(&never, "loyalty_id:7", at(40))
    );
    for keyspace in [
        Keyspace::Components,
        Keyspace::Identifiers,
        Keyspace::Parts,
        Keyspace::Events,
    ] {
        assert!(
            tree(&*forth.store, keyspace) == tree(&*never.store, keyspace),
            "{}",
            keyspace.as_str()
        );
    }
}

#[test]
fn pro_3_a_changed_rule_of_a_trait_needs_no_event() {
    let mut bench = Bench::new();
    let pro = json!({"where": {"trait": "plan", "equals": "pro"}});
    bench.decide(0, &[("segment", "pro", pro)]);
    bench.take(
        1,
        &[super::identify("user_id:u", 1, json!({"plan": "pro", "city": "Bonn"}))],
    );
    bench.take(
        2,
        &[super::identify("user_id:u", 2, json!({"plan": "free", "city": "Graz"}))],
    );
    bench.settle(at(3));
    // The history is gone: what is asked now is in the fold.
    let mut batch = kith_state::Batch::default();
    for key in tree(&*bench.store, Keyspace::Events).into_keys() {
        batch.remove(Keyspace::Events, key);
    }
    kith_state::Store::commit(&*bench.store, batch).unwrap();
    bench.decide(4, &[("trait_rules", "main", json!({"traits": {"plan": "oldest"}}))]);
    bench.settle(at(5));
    assert_eq!(bench.told().last().unwrap(), "+pro 4 definition");
    let found = person(&bench, "user_id:u", at(6)).unwrap();
    let traits: Vec<_> = found.traits.iter().map(|view| (&*view.name, &view.value)).collect();
    assert_eq!(
        traits,
        [("city", &"Graz".into()), ("plan", &"pro".into())],
        "one of its own"
    );
    assert_eq!(found.traits[1].losers[0].0, "free".into());
}
