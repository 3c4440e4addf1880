//! Accounts: their traits, and members that follow who is who.

use super::worlds::world;
use super::{Bench, at, event, identify, main_space, record_of, same};
use crate::Veto;
use crate::reads::tests::{account, account_members, person};
use kith_identity::Component;
use kith_state::{Keyspace, Read};
use kith_types::{Identifier, ProfileId};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// A `group` call.
pub(crate) fn group(identifiers: &str, account: &str, second: i64, traits: Json) -> Json {
    let mut event = identify(identifiers, second, traits);
    event["type"] = json!("group");
    event["groupId"] = json!(account);
    event
}

fn members(bench: &Bench, group_id: &str) -> BTreeSet<ProfileId> {
    let found: Vec<ProfileId> = account_members(bench, group_id, 1)
        .iter()
        .map(|member| member.profile)
        .collect();
    let members: BTreeSet<ProfileId> = found.iter().copied().collect();
    assert_eq!(found.len(), members.len(), "each once");
    members
}

fn accounts(bench: &Bench, name: &str) -> Vec<String> {
    let person = person(bench, name, at(1_000)).unwrap();
    person.accounts.into_iter().map(|account| account.group_id).collect()
}

#[test]
fn api_1_every_group_call_counts_and_a_person_may_have_several_accounts() {
    let mut bench = Bench::new();
    bench.take(
        1,
        &[group("user_id:u1", "acme", 1, json!({"plan": "pro", "name": "Acme"}))],
    );
    bench.take(2, &[group("user_id:u2", "acme", 2, json!({"plan": "free"}))]);
    bench.take(3, &[group("user_id:u1", "globex", 3, json!({"plan": "trial"}))]);
    // Long after, so that the calls are far from the latest events.
    for second in 10..60 {
        bench.take(second, &[event("user_id:u1", "Viewed", second, json!({}))]);
    }
    bench.commit();
    assert_eq!(accounts(&bench, "user_id:u1"), ["acme", "globex"]);
    assert_eq!(accounts(&bench, "user_id:u2"), ["acme"]);
    let acme = account(&bench, "acme").unwrap();
    let traits: Vec<_> = acme.traits.iter().map(|view| (&*view.name, &view.value)).collect();
    assert_eq!(traits, [("name", &"Acme".into()), ("plan", &"free".into())]);
    assert_eq!((acme.event_count, members(&bench, "acme").len()), (2, 2));
    let own = person(&bench, "user_id:u1", at(100)).unwrap();
    assert!(own.traits.is_empty(), "what an account is called, nobody is called");
    assert_eq!(account(&bench, "nobody"), None);
    bench.decide(70, &[("trait_rules", "main", json!({"default": "oldest"}))]);
    bench.commit();
    let acme = account(&bench, "acme").unwrap();
    assert_eq!(
        acme.traits[1].value,
        "pro".into(),
        "the rule is applied when it is read"
    );
}

#[test]
fn idn_1_idn_6_an_account_links_nobody_and_its_members_follow_a_merge_and_its_undoing() {
    let mut bench = Bench::new();
    bench.take(1, &[group("user_id:u1", "acme", 1, json!({}))]);
    bench.take(2, &[group("email:e@x.org", "globex", 2, json!({}))]);
    bench.take(3, &[group("user_id:u2", "acme", 3, json!({}))]);
    bench.commit();
    assert_eq!(members(&bench, "acme").len(), 2, "the same account, two people");
    let before = (members(&bench, "acme"), members(&bench, "globex"));
    bench.take(4, &[event("user_id:u1 email:e@x.org", "Signed In", 4, json!({}))]);
    bench.commit();
    assert_eq!(accounts(&bench, "email:e@x.org"), ["acme", "globex"]);
    assert!(members(&bench, "globex").is_subset(&members(&bench, "acme")));
    let joined = bench.events().last().unwrap().address;
    let veto = Veto::Event {
        event: joined,
        identifier: Identifier::parse("email:e@x.org").unwrap(),
    };
    bench.veto(5, &[veto], &[]);
    bench.commit();
    assert_eq!(accounts(&bench, "email:e@x.org"), ["globex"]);
    assert_eq!((members(&bench, "acme"), members(&bench, "globex")), before);
}

#[test]
fn idn_9_a_shared_device_takes_its_accounts_to_whoever_held_it() {
    let mut bench = Bench::new();
    bench.take(
        30,
        &[
            event("user_id:u1 anonymous_id:tablet", "Signed In", 10, json!({})),
            group("anonymous_id:tablet", "acme", 20, json!({})),
        ],
    );
    bench.commit();
    assert_eq!(accounts(&bench, "user_id:u1"), ["acme"]);
    bench.take(
        40,
        &[event("user_id:u2 anonymous_id:tablet", "Signed In", 15, json!({}))],
    );
    bench.commit();
    assert!(
        accounts(&bench, "user_id:u1").is_empty(),
        "a sign-in that came late moved it"
    );
    assert_eq!(accounts(&bench, "user_id:u2"), ["acme"]);
    assert_eq!(members(&bench, "acme").len(), 1);
}

#[test]
fn spc_1_an_account_of_one_space_is_none_of_another() {
    let mut bench = Bench::new();
    let call = group("user_id:u1", "acme", 1, json!({"plan": "pro"}));
    let body = json!({"batch": [call]}).to_string();
    bench.apply(&record_of("other", 0, at(1), &body));
    bench.take(2, &[event("user_id:u1", "Viewed", 2, json!({}))]);
    bench.commit();
    assert_eq!(account(&bench, "acme"), None);
    assert!(accounts(&bench, "user_id:u1").is_empty());
}

/// What accounts are, worked out anew from the events: who of the people in force each of them belongs to.
fn recounted(bench: &Bench) -> BTreeMap<String, (u64, BTreeSet<ProfileId>)> {
    let definitions = bench.engine.definitions(&main_space()).unwrap();
    let mut found: BTreeMap<String, (u64, BTreeSet<ProfileId>)> = BTreeMap::new();
    for event in bench.events() {
        let Some(group_id) = event.group_id.as_deref() else {
            continue;
        };
        let entry = found.entry(group_id.to_owned()).or_default();
        entry.0 += 1;
        let evidence = definitions.read(&event);
        let Some(carrier) = evidence.carrier() else { continue };
        let read = |keyspace, id| {
            bench
                .store
                .get(keyspace, &crate::keys::wide(&main_space(), id))
                .unwrap()
                .unwrap()
        };
        let home = u128::from_be_bytes(read(Keyspace::Identifiers, carrier.hash).try_into().unwrap());
        let component = Component::decode(&read(Keyspace::Components, home)).unwrap();
        entry.1.extend(
            component
                .place(carrier.hash, evidence.position())
                .map(|place| place.profile),
        );
    }
    found
}

#[test]
fn pro_1_accounts_are_the_same_in_any_cut_into_steps_and_after_crashes() {
    for seed in 0..40 {
        let world = world(seed + 9_000, 60, true);
        let mut whole = Bench::new();
        let mut cut = Bench::new();
        for (n, record) in world.records.iter().enumerate() {
            whole.apply(record);
            cut.apply(record);
            if n % 3 == seed as usize % 3 {
                cut.commit();
                if n % 2 == 0 {
                    cut.crash();
                }
            }
        }
        whole.settle(at(world.end));
        cut.settle(at(world.end));
        same(&whole.store, &cut.store, at(world.end), &format!("seed {seed}"));
        let counted: BTreeMap<_, _> = ["acme", "globex"]
            .into_iter()
            .filter_map(|id| Some((id.to_owned(), (account(&whole, id)?.event_count, members(&whole, id)))))
            .collect();
        assert_eq!(counted, recounted(&whole), "seed {seed}");
    }
}

#[test]
fn api_1_members_come_in_pages_each_once_whatever_identifiers_they_have() {
    let mut bench = Bench::new();
    for n in 0..20 {
        // Each has three identifiers that name the account, and some are joined.
        let user = format!("user_id:u{n}");
        bench.take(n, &[group(&user, "acme", n, json!({}))]);
        bench.take(n, &[group(&format!("email:e{n}@x.org"), "acme", n + 50, json!({}))]);
        bench.take(n, &[group(&format!("phone:+3161234567{n}"), "acme", n + 90, json!({}))]);
        bench.take(
            n,
            &[event(
                &format!("{user} email:e{n}@x.org phone:+3161234567{n}"),
                "Seen",
                n,
                json!({}),
            )],
        );
    }
    bench.commit();
    let all = account_members(&bench, "acme", 1_000);
    assert_eq!(all.len(), 20);
    for limit in [1, 2, 3, 7] {
        assert_eq!(account_members(&bench, "acme", limit), all, "pages of {limit}");
    }
    let mut since: Vec<_> = all.iter().map(|member| member.since).collect();
    since.sort();
    assert_eq!(
        since,
        (0..20).map(at).collect::<Vec<_>>(),
        "since the first of their events that names it"
    );
    assert!(account_members(&bench, "nobody", 5).is_empty());
}

#[test]
fn golden_the_rows_of_account_links() {
    let mut bench = Bench::new();
    bench.take(1, &[group("user_id:u1", "acme", 1, json!({}))]);
    bench.commit();
    let rows = super::oracle::tree(&*bench.store, Keyspace::AccountLinks);
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let told: Vec<String> = rows
        .iter()
        .map(|(key, value)| format!("{} {}", hex(key), hex(value)))
        .collect();
    assert_eq!(told.join("\n"), include_str!("../../golden/account_links.txt").trim());
}
