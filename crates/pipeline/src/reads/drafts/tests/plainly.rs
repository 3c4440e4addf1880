//! What is held of people in memory against asking each of them with all of their parts.

use super::super::comparison::{Asked, Both, Comparison};
use super::super::everybody::{self, How};
use super::super::tally::{Tally, Who};
use super::super::{Asking, Impact, Proposed};
use super::{document, played, proposed};
use crate::definitions::DefinitionDocument;
use crate::keys;
use crate::reads::parts::StoredParts;
use crate::reads::tests::reads_of;
use crate::tests::worlds::documents;
use crate::tests::{Bench, at, event, identify, main_space};
use kith_identity::Component;
use kith_profile::Part;
use kith_state::{Keyspace, Read};
use kith_types::{Identifier, Timestamp};
use serde_json::json;
use std::sync::atomic::AtomicU64;

/// Everybody is looked up whole, one after the other.
fn plainly(reader: &dyn Read, comparison: &Comparison, now: Timestamp) -> Tally {
    let space = main_space();
    let (parts, mut tally) = (StoredParts::new(reader, &space, &comparison.plan), Tally::default());
    let from = keys::space(&space);
    let to = kith_state::prefix_end(&from).unwrap();
    let mut components = Vec::new();
    let keep = &mut |_: &[u8], bytes: &[u8]| {
        components.push(Component::decode(bytes).unwrap());
        true
    };
    reader.scan(Keyspace::Components, &from, &to, keep).unwrap();
    for (component, profile) in components
        .iter()
        .flat_map(|one| one.profiles().into_iter().map(move |p| (one, p)))
    {
        let members = &profile.members;
        let of_members: Vec<Part> = members
            .iter()
            .map(|one| parts.read(&one.part, one.end).unwrap())
            .collect();
        let whole = Part::merged(of_members.iter());
        let asked = Asked {
            who: Who {
                id: profile.id,
                identifiers: &|most| {
                    let mut shown: Vec<Identifier> = Vec::new();
                    for member in members {
                        if !shown.contains(&member.identifier) && shown.len() < most {
                            shown.push(member.identifier.clone());
                        }
                    }
                    shown
                },
            },
            accounts: &comparison.accounts(reader, &space, &whole).unwrap(),
            carriers: &members.iter().map(|one| one.part.carrier).collect::<Vec<_>>(),
            whole: &whole,
            identity_limited: component.is_full(),
        };
        comparison.ask(Both::Same(&asked), now, &mut tally);
    }
    tally
}

/// The answer of asking plainly, after every way of holding people has given the same.
fn compared(bench: &Bench, proposed: &Proposed, now: Timestamp) -> Impact {
    let Asking { snapshot, comparison } = reads_of(bench).compare(&main_space(), proposed).unwrap().unwrap();
    let expected = comparison.impact(plainly(&*snapshot, &comparison, now), None, now);
    // None held, some of them, all of them.
    for (bytes_held, threads) in [(0, 1), (60 * 128, 3), (1 << 20, 2)] {
        let how = How {
            now,
            threads,
            bytes_held,
            people: &AtomicU64::new(0),
            go_on: &|_| true,
        };
        let tally = everybody::ask(&*snapshot, (&main_space(), &comparison), how)
            .unwrap()
            .unwrap();
        assert_eq!(comparison.impact(tally, None, now), expected, "{bytes_held} bytes held");
    }
    expected
}

#[test]
fn seg_7_what_is_held_of_people_answers_as_they_do() {
    let mut said = 0;
    let rules = document(
        "trait_rules",
        "main",
        json!({"default": "oldest", "traits": {"plan": "most_frequent"}}),
    );
    for seed in 0..60 {
        let (mut bench, end) = played(seed);
        let all = documents();
        // Some are in force and held by every fold, the others are asked for from histories.
        let decided = &all[..2 + seed as usize % (all.len() - 2)];
        bench.decide(end, decided);
        bench.settle(at(end + 1));
        let drafts = |names: &[(&str, &str, serde_json::Value)]| -> Vec<DefinitionDocument> {
            names
                .iter()
                .map(|(kind, name, spec)| document(kind, name, spec.clone()))
                .collect()
        };
        let now = at(end + 2);
        for one in all.chunks(1).skip(2) {
            said += compared(&bench, &proposed(drafts(one)), now).segments[0].members.len();
        }
        compared(&bench, &proposed(drafts(&all)), now);
        compared(&bench, &proposed(vec![rules.clone()]), now);
    }
    assert!(said > 500, "the worlds must say something: {said}");
}

#[test]
fn seg_7_traits_that_a_limit_takes_are_not_asked_for() {
    let mut bench = Bench::new();
    // Each device says four hundred traits: the person who used both has more than are kept.
    for (n, device) in ["anonymous_id:a1", "anonymous_id:a2"].into_iter().enumerate() {
        let first = n * 400;
        let traits: serde_json::Map<_, _> = (first..first + 400).map(|at| (format!("t{at}"), json!(at))).collect();
        bench.take(n as i64, &[identify(device, n as i64, json!(traits))]);
    }
    bench.settle(at(5));
    let ask = |bench: &Bench, name: &str| {
        let draft = json!({"where": {"trait": name, "exists": true}});
        let drafted = compared(bench, &proposed(vec![document("segment", "drafted", draft)]), at(10));
        (drafted.segments[0].after, drafted.segments[0].approximate)
    };
    let names: Vec<String> = (0..800).step_by(40).map(|at| format!("t{at}")).collect();
    assert!(names.iter().all(|name| ask(&bench, name).0 == Some(1)), "two people");
    for device in ["a1", "a2"] {
        let both = format!("user_id:u1 anonymous_id:{device}");
        bench.take(6, &[event(&both, "Order Completed", 6, json!({}))]);
    }
    bench.settle(at(7));
    let kept = names.iter().filter(|name| ask(&bench, name).0 == Some(1)).count();
    assert!((5..18).contains(&kept), "{kept} of {}", names.len());
}
