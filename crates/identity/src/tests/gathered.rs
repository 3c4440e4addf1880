//! Evidence taken at once, compared, explained: against the way event by event, and against plain recomputation.

use super::keeper::{after, event, id, keeper};
use super::worlds::world;
use crate::{Component, Difference, Evidence, Gathering, Reading, Vetoes, WhatIf};
use kith_types::{ProfileId, SpaceId};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn idn_3_evidence_taken_at_once_gives_the_bytes_of_evidence_taken_one_by_one() {
    for seed in 0..400 {
        let world = world(seed);
        let mut keeper = world.keeper();
        world.events.iter().for_each(|event| drop(keeper.take(event)));
        let mut evidence = world.evidence();
        evidence.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let vetoes = world.vetoes();
        let mut gathering = Gathering::new(&SpaceId::main(), &world.rules, vetoes.apart());
        evidence.iter().for_each(|one| gathering.add(one));
        assert_eq!(gathering.refused(), 0);
        let gathered: BTreeMap<u128, Vec<u8>> = gathering
            .components()
            .iter()
            .map(|one| (one.id().0, one.encode()))
            .collect();
        let stored: BTreeMap<u128, Vec<u8>> = keeper.components.into_iter().map(|(id, one)| (id.0, one)).collect();
        assert!(gathered == stored, "world {seed}");
        // In order, and settled now and then.
        evidence.sort_by_key(Evidence::position);
        let mut gathering = Gathering::new(&SpaceId::main(), &world.rules, vetoes.apart());
        for (at, one) in (0_u64..).zip(&evidence) {
            gathering.add(one);
            if (at * 7 + seed) % 5 < 2 {
                gathering.settle(one.position());
            }
        }
        let settled = gathering.components();
        let settled: BTreeMap<u128, Vec<u8>> = settled.iter().map(|one| (one.id().0, one.encode())).collect();
        assert!(settled == stored, "world {seed}, settled");
    }
}

#[test]
fn idn_6_the_difference_of_a_veto_leads_from_one_outcome_to_the_other() {
    let mut differing = 0;
    for seed in 0..300 {
        let world = world(seed);
        let mut with = world.keeper();
        let mut without = world.keeper();
        without.vetoes = Vetoes::default();
        for event in &world.events {
            with.take(event);
            without.take(event);
        }
        let components = |keeper: &super::keeper::Keeper| -> Vec<Component> {
            keeper
                .components
                .values()
                .map(|bytes| Component::decode(bytes).unwrap())
                .collect()
        };
        let difference = Difference::between(&components(&without), &components(&with));
        differing += usize::from(!difference.is_empty());
        let mut parts: BTreeMap<_, ProfileId> = without.part_profiles.clone();
        for (part, profile) in &difference.gone {
            assert_eq!(parts.remove(part), Some(*profile));
        }
        for moved in &difference.moved {
            assert_eq!(parts.insert(moved.part, moved.to), moved.from);
        }
        assert_eq!(parts, with.part_profiles, "world {seed}");
        let mut standing = without.standing.clone();
        difference
            .vanished
            .iter()
            .for_each(|one| assert!(standing.remove(&one.profile)));
        standing.extend(&difference.created);
        assert_eq!(standing, with.standing, "world {seed}");
        assert!(
            difference
                .vanished
                .iter()
                .all(|one| with.standing.contains(&one.redirect))
        );
        // What is not folded anew takes the very events it took.
        let refold: BTreeSet<_> = difference.refold.iter().map(|interval| interval.part).collect();
        for part in with.part_profiles.keys().filter(|part| !refold.contains(part)) {
            let taken = |keeper: &super::keeper::Keeper| keeper.part_events.get(part).cloned().unwrap_or_default();
            assert_eq!(taken(&with), taken(&without), "world {seed}");
        }
    }
    assert!(differing > 50, "{differing} worlds differ");
}

#[test]
fn idn_7_why_gives_the_shortest_and_earliest_way() {
    let mut keeper = keeper("{}");
    after(
        &mut keeper,
        &[
            (1, "user_id:u email:e@x.org"),
            (2, "email:e@x.org card:c"),
            (3, "card:c phone:+31612345678"),
            (5, "email:e@x.org phone:+31612345678"),
            (4, "email:e@x.org card:c phone:+31612345678"),
            (6, "user_id:u anonymous_id:a"),
            (7, "user_id:u2 email:e@x.org anonymous_id:a"),
        ],
    );
    let component = keeper.component(id("user_id:u").hash128()).unwrap();
    let why = |one: &str, other: &str| component.why(id(one).hash128(), id(other).hash128()).unwrap();
    let tell = |why: &crate::Why| -> Vec<String> {
        why.path
            .iter()
            .map(|joint| {
                let second = joint.event.0.as_micros() / 1_000_000;
                let out = joint.from.left_out.as_ref().or(joint.to.left_out.as_ref());
                let out = out.map_or_else(String::new, |out| format!(", but {out}"));
                format!(
                    "{second} {:?} {} {}{out}",
                    joint.how, joint.from.identifier, joint.to.identifier
                )
            })
            .collect()
    };
    let phone = why("anonymous_id:a", "phone:+31612345678");
    assert!(phone.together);
    assert_eq!(
        tell(&phone),
        [
            "6 SignedIn anonymous_id:a user_id:u",
            "1 NamedTogether user_id:u email:e@x.org",
            "4 NamedTogether email:e@x.org phone:+31612345678",
        ]
    );
    let other = why("user_id:u2", "user_id:u");
    assert!(!other.together);
    assert_eq!(
        tell(&other),
        [
            "7 NamedTogether user_id:u2 email:e@x.org, but more than 1 of user_id",
            "1 NamedTogether email:e@x.org user_id:u",
        ]
    );
    assert_eq!(why("card:c", "card:c").path, []);
    assert!(component.why(id("card:c").hash128(), id("card:x").hash128()).is_none());
}

#[test]
fn idn_7_why_agrees_with_who_is_who() {
    for seed in 0..150 {
        let world = world(seed);
        let mut keeper = world.keeper();
        world.events.iter().for_each(|event| drop(keeper.take(event)));
        for bytes in keeper.components.values() {
            let component = Component::decode(bytes).unwrap();
            let profiles = component.profiles();
            let hashes: Vec<u128> = component.hashes().collect();
            for one in &hashes {
                for other in &hashes {
                    let has = |profile: &crate::ProfileMembers, hash: u128| {
                        profile.members.iter().any(|member| member.identifier.hash128() == hash)
                    };
                    let together = profiles
                        .iter()
                        .any(|profile| has(profile, *one) && has(profile, *other));
                    let why = component.why(*one, *other).unwrap();
                    assert_eq!(why.together, together, "world {seed}");
                    for (joint, next) in why.path.iter().zip(why.path.iter().skip(1)) {
                        assert_eq!(joint.to.identifier, next.from.identifier);
                    }
                    let left_out = |joint: &crate::Joint| joint.from.left_out.is_some() || joint.to.left_out.is_some();
                    assert_eq!(
                        why.path.iter().any(left_out),
                        !why.together && !why.path.is_empty(),
                        "{why:?} {:?}",
                        component.parked().collect::<Vec<_>>()
                    );
                }
            }
        }
    }
}

#[test]
fn idn_7_what_if_tells_who_would_split_and_who_would_merge() {
    let rules = crate::Rules::default();
    let strict = crate::Rules::from_json(&serde_json::json!({"types": {"email": {"claim": "ambiguous"}}})).unwrap();
    let loose = crate::Rules::from_json(&serde_json::json!({"types": {"user_id": {"limit": 2}}})).unwrap();
    let none = Vetoes::default();
    let mut veto = Vetoes::default();
    let texts = [
        "user_id:u1 email:e@x.org",
        "user_id:u2 email:e@x.org",
        "user_id:u1 phone:+31612345678",
    ];
    let events: Vec<_> = (0_u64..)
        .zip(texts)
        .map(|(n, text)| event(n, n as i64, n as i64, false, &super::keeper::ids(text)))
        .collect();
    veto.insert_link(events[2].address, id("phone:+31612345678").hash128());
    let ask = |rules: &crate::Rules, vetoes: &Vetoes| {
        let before = Reading {
            rules: &crate::Rules::default(),
            vetoes: &none,
        };
        let mut what_if = WhatIf::new(&SpaceId::main(), before, Reading { rules, vetoes });
        events.iter().for_each(|event| what_if.add(event));
        let outlook = what_if.outlook();
        let names = |one: &crate::ProfileMembers| {
            let names: Vec<String> = one.members.iter().map(|member| member.identifier.to_string()).collect();
            names.join(" ")
        };
        let splits: Vec<Vec<String>> = outlook
            .splits
            .iter()
            .map(|one| one.into.iter().map(names).collect())
            .collect();
        let merges: Vec<(usize, String)> = outlook
            .merges
            .iter()
            .map(|one| (one.profiles.len(), names(&one.into)))
            .collect();
        assert_eq!(outlook.events, 3);
        (outlook.profiles_before, outlook.profiles_after, splits, merges)
    };
    assert_eq!(ask(&rules, &none), (2, 2, vec![], vec![]));
    let lines = |lines: &[&str]| vec![lines.iter().map(ToString::to_string).collect::<Vec<_>>()];
    assert_eq!(
        ask(&strict, &none),
        (2, 3, lines(&["user_id:u1 phone:+31612345678", "email:e@x.org"]), vec![])
    );
    assert_eq!(
        ask(&loose, &none),
        (
            2,
            1,
            vec![],
            vec![(2, "user_id:u1 email:e@x.org user_id:u2 phone:+31612345678".to_owned())]
        )
    );
    assert_eq!(
        ask(&rules, &veto),
        (2, 3, lines(&["user_id:u1 email:e@x.org", "phone:+31612345678"]), vec![])
    );
}
