//! What is told of other vetoes before they are applied, against what stands after it.

use super::rules_tests::{events_of, ids, in_force};
use crate::reads::tests::reads_of;
use crate::tests::oracle::tree;
use crate::tests::{Bench, at, event, main_space};
use crate::{Definitions, Question, Veto};
use kith_identity::{Component, MAX_IDENTIFIERS, spelt_by_both};
use kith_state::Keyspace;
use kith_types::{Address, Event, Identifier};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The component of every identifier, as it is stored.
pub(super) fn stored(bench: &Bench) -> Stored {
    let mut of = BTreeMap::new();
    for bytes in tree(&*bench.store, Keyspace::Components).into_values() {
        let component = Arc::new(Component::decode(&bytes).unwrap());
        of.extend(component.hashes().map(|hash| (hash, Arc::clone(&component))));
    }
    of
}

/// Who became several, who came from several, and what moved, as an answer lists it.
pub(super) type Lists = (
    BTreeMap<String, BTreeSet<String>>,
    BTreeMap<String, BTreeSet<String>>,
    BTreeSet<[String; 3]>,
);

/// Every component, by each of its identifiers.
pub(super) type Stored = BTreeMap<u128, Arc<Component>>;

/// What became of each event's identifiers between two states, each with the definitions under which it stands: of everybody, also
/// of whom nothing came but themselves.
pub(super) fn related(
    events: &[Event],
    (before, stood): (&Definitions, &Stored),
    (after, stands): (&Definitions, &Stored),
) -> Lists {
    let (mut becomes, mut comes_from, mut moves) = Lists::default();
    for event in events {
        let (then, now) = (before.read(event), after.read(event));
        for (was, is) in spelt_by_both(event, (&before.rules, &then), (&after.rules, &now)) {
            let place = |of: &Stored, hash: u128| {
                let placement = of.get(&hash)?.place(hash, then.position())?;
                Some(placement.profile.to_string())
            };
            let (Some(old), Some(new)) = (place(stood, was), place(stands, is)) else {
                continue;
            };
            if old != new {
                let named = now.identifiers.iter().find(|named| named.hash == is).unwrap();
                moves.insert([named.identifier.to_string(), old.clone(), new.clone()]);
            }
            becomes.entry(old.clone()).or_default().insert(new.clone());
            comes_from.entry(new).or_default().insert(old);
        }
    }
    (becomes, comes_from, moves)
}

/// Who became several, who came from several, and what moved, under rules that stay.
pub(super) fn became(events: &[Event], definitions: &Definitions, stood: &Stored, stands: &Stored) -> Lists {
    let (mut becomes, mut comes_from, moves) = related(events, (definitions, stood), (definitions, stands));
    becomes.retain(|_, into| into.len() > 1);
    comes_from.retain(|_, from| from.len() > 1);
    (becomes, comes_from, moves)
}

/// The lists of an answer, which must hold all that it counts.
pub(super) fn lists(told: &Json) -> Lists {
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let list = |name: &str| {
        let list = told[name].as_array().unwrap();
        assert_eq!(told[format!("{name}_total")], json!(list.len()), "{name}");
        list.iter()
    };
    let splits = list("splits").map(|split| {
        let into = split["into"].as_array().unwrap().iter();
        (text(&split["profile"]), into.map(|one| text(&one["profile"])).collect())
    });
    let merges = list("merges").map(|merge| {
        let profiles = merge["profiles"].as_array().unwrap().iter();
        (text(&merge["into"]["profile"]), profiles.map(text).collect())
    });
    let moves = list("moves").map(|one| [text(&one["identifier"]), text(&one["from"]), text(&one["to"])]);
    (splits.collect(), merges.collect(), moves.collect())
}

#[test]
fn idn_7_what_a_veto_would_do_at_a_bound_is_what_it_does() {
    let mut bench = Bench::new();
    let most = MAX_IDENTIFIERS as i64;
    // The address is everybody's, until no more can have it.
    let named: Vec<Json> = (0..most - 1)
        .map(|n| event(&format!("user_id:u{n} email:all@x.org"), "Seen", n, json!({})))
        .collect();
    named.chunks(100).for_each(|some| {
        bench.take(most, some);
        bench.commit();
    });
    // Beyond the bound each of these is a person of its own, whoever it is named beside.
    for n in 0..5 {
        let own = format!("email:own{n}@x.org");
        bench.take(most, &[event(&format!("user_id:u{n} {own}"), "Seen", most, json!({}))]);
        bench.take(most, &[event(&own, "Seen", most, json!({}))]);
    }
    bench.settle(at(most + 1));
    let shared = Identifier::parse("email:all@x.org").unwrap();
    let first = Address {
        generation: 1,
        partition: 0,
        sequence: 0,
        index: 0,
    };
    let veto = Veto::Event {
        event: first,
        identifier: shared,
    };
    let (events, definitions) = (events_of(&bench), in_force(&bench));
    for (added, removed) in [(vec![veto.clone()], vec![]), (vec![], vec![veto])] {
        let (stood, ids_before) = (stored(&bench), ids(&bench));
        assert!(stood.values().any(|component| component.is_full()));
        let question = Question {
            added: added.clone(),
            removed: removed.clone(),
            ..Question::default()
        };
        let told = reads_of(&bench).what_if(&main_space(), &question, at(most + 2), &|| true);
        let told = told.unwrap().unwrap();
        bench.veto(most + 2, &added, &removed);
        bench.settle(at(most + 3));
        let (stands, ids_after) = (stored(&bench), ids(&bench));
        let found = became(&events, &definitions, &stood, &stands);
        assert!(!found.2.is_empty(), "the address moves");
        assert_eq!(lists(&told), found, "{question:?}");
        assert_eq!(
            ids_before.len(),
            ids_after.len(),
            "each has a user id or an address of their own"
        );
        assert_eq!(
            (&told["profiles_before"], &told["profiles_after"]),
            (&json!(most - 1), &json!(most - 1))
        );
        assert_eq!(
            (&told["bounded_before"], &told["bounded_after"]),
            (&json!(most - 1), &json!(most - 1))
        );
        assert_eq!(told["events"], json!(most + 4), "its own, and no others");
    }
}
