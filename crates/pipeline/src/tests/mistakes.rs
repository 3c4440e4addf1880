//! SEG-1: what cannot be used is told, and nothing else is; over random definitions with random mistakes.

use crate::definitions::{DefinitionDocument, DefinitionSet};
use kith_oracle::{Decision, Item, World};
use kith_types::Timestamp;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};

/// The definitions that a random world begins with.
fn documents(seed: u64) -> Vec<DefinitionDocument> {
    let world = World::random(seed, 6);
    let defined = world.items().into_iter().find_map(|(_, item)| match item {
        Item::Decision(Decision::Define(documents)) => Some(documents.clone()),
        _ => None,
    });
    let defined = defined.into_iter().flatten().map(|document| DefinitionDocument {
        kind: document.kind,
        name: document.name,
        spec: Some(document.spec),
    });
    defined.chain([rules_of_identity()]).collect()
}

fn rules_of_identity() -> DefinitionDocument {
    DefinitionDocument {
        kind: "identity_rules".to_owned(),
        name: "main".to_owned(),
        spec: Some(json!({ "version": 1, "types": {
            "email": { "limit": 3, "claim": "first_owner", "blocked": ["a@x.org", "b@x.org"], "normalise": "email" },
            "card": { "priority": 5, "authenticates": true, "replace": [{ "pattern": "[- ]", "with": "" }] },
        } })),
    }
}

/// Misspells a key or a text, or puts something else in its place, anywhere.
fn spoil(random: &mut ChaCha8Rng, json: &mut Json) {
    let place = match json {
        Json::Object(fields) if !fields.is_empty() && random.random_bool(0.8) => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            let key = keys.choose(random).unwrap();
            if random.random_bool(0.2) {
                let value = fields.remove(key).unwrap();
                fields.insert(key[1..].to_owned(), value);
                return;
            }
            &mut fields[key.as_str()]
        }
        Json::Array(items) if !items.is_empty() => {
            let at = random.random_range(0..items.len());
            &mut items[at]
        }
        Json::String(text) if text.len() > 1 && random.random_bool(0.7) => {
            text.pop();
            return;
        }
        place => {
            let others = [
                json!(null),
                json!(5),
                json!("x"),
                json!([]),
                json!({}),
                json!({ "segment": "first" }),
            ];
            *place = others.choose(random).unwrap().clone();
            return;
        }
    };
    spoil(random, place);
}

#[test]
fn seg_1_what_is_refused_is_told_and_nothing_else() {
    let (mut sound, mut several) = (0, 0);
    for seed in 0..150 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let documents = documents(seed);
        for mistakes in [0, 1, 1, 2, 3, 5, 8] {
            let mut documents = documents.clone();
            for _ in 0..mistakes {
                let at = random.random_range(0..documents.len());
                spoil(&mut random, documents[at].spec.as_mut().unwrap());
            }
            let set = DefinitionSet::default().with(&documents, Timestamp::default());
            let problems = set.problems();
            match set.compile_sound() {
                Ok(_) => {
                    assert_eq!(problems, [], "seed {seed}");
                    sound += 1;
                }
                Err(first) => {
                    // What is wrong inside another segment is told of that one.
                    let own = !first.message.contains("within segment ");
                    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
                    assert!(
                        !own || told.contains(&first.to_string()),
                        "seed {seed}: {first} is not of {told:#?}"
                    );
                    assert!(!told.is_empty(), "seed {seed}: {first}");
                    assert!(
                        told.iter().all(|one| !one.contains("within segment ")),
                        "seed {seed}: {told:#?}"
                    );
                    several += usize::from(told.len() > 1);
                }
            }
        }
    }
    assert!(sound > 150 && several > 150, "{sound} {several}");
}
