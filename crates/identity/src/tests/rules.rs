//! IDN-1 and IDN-2: what is read from an event, the default rules, blocked values, and the rules document.

use super::keeper::{event, id, ids};
use crate::{BlockedBecause, Claim, MAX_IDENTIFIERS_PER_EVENT, Normaliser, Rules};
use kith_types::{Identifier, IdentifierType};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde_json::json;

fn rules(document: &str) -> Result<Rules, String> {
    Rules::from_json(&serde_json::from_str(document).unwrap()).map_err(|error| error.to_string())
}

fn read(rules: &Rules, identifiers: &[Identifier]) -> (Vec<String>, Vec<(String, BlockedBecause)>) {
    let evidence = rules.read(&event(0, 0, 0, false, identifiers));
    let used = evidence
        .identifiers
        .iter()
        .map(|named| named.identifier.to_string())
        .collect();
    (
        used,
        evidence
            .blocked
            .iter()
            .map(|blocked| (blocked.identifier.to_string(), blocked.because))
            .collect(),
    )
}

#[test]
fn idn_1_evidence_is_normalised_distinct_and_by_priority() {
    let rules = Rules::default();
    let sent = ids(
        "anonymous_id:a device_id:d card:c phone:0031612345678 email:Jo@X.org user_id:u email:jo@x.org phone:+31612345678",
    );
    let (used, blocked) = read(&rules, &sent);
    let expected = "user_id:u email:jo@x.org phone:+31612345678 card:c device_id:d anonymous_id:a";
    assert_eq!(used.join(" "), expected);
    assert!(blocked.is_empty());
    let evidence = rules.read(&event(0, 0, 0, true, &sent));
    assert!(evidence.alias);
    assert_eq!(evidence.carrier().unwrap().identifier, id("user_id:u"));
    assert_eq!(evidence.sign_in().unwrap().identifier, id("user_id:u"));
    assert_eq!(
        evidence
            .held()
            .map(|held| held.identifier.to_string())
            .collect::<Vec<_>>(),
        ["device_id:d", "anonymous_id:a"]
    );
    for named in &evidence.identifiers {
        assert_eq!(named.hash, named.identifier.hash128());
    }
}

#[test]
fn idn_1_a_group_never_links_people() {
    let mut one = event(0, 0, 0, false, &ids("user_id:u"));
    one.group_id = Some("acme".into());
    assert_eq!(Rules::default().read(&one).identifiers.len(), 1);
}

#[test]
fn idn_1_an_event_with_too_many_identifiers_keeps_the_highest() {
    let mut sent: Vec<Identifier> = (0..80).map(|n| id(&format!("email:e{n:02}@x.org"))).collect();
    sent.push(id("user_id:u"));
    let (used, blocked) = read(&Rules::default(), &sent);
    assert_eq!((used.len(), blocked.len()), (MAX_IDENTIFIERS_PER_EVENT, 31));
    assert_eq!(used[0], "user_id:u");
    assert!(blocked.iter().all(|(_, because)| *because == BlockedBecause::TooMany));
}

#[test]
fn idn_2_defaults() {
    let rules = Rules::default();
    let check = |name: &str, limit: u32, authenticates: bool, claim: Claim, normalise: Normaliser| {
        let rule = rules.of(&IdentifierType::from_name(name));
        assert_eq!(
            (rule.limit, rule.authenticates, rule.claim, rule.normalise),
            (limit, authenticates, claim, normalise)
        );
        rule.priority
    };
    let priorities = [
        check("user_id", 1, true, Claim::Link, Normaliser::Trim),
        check("email", 5, false, Claim::Link, Normaliser::Email),
        check("phone", 5, false, Claim::Link, Normaliser::Phone),
        check("loyalty_card", 5, false, Claim::Link, Normaliser::Trim),
        check("device_id", 5, false, Claim::LastAuthenticated, Normaliser::Trim),
        check("anonymous_id", 5, false, Claim::LastAuthenticated, Normaliser::Trim),
    ];
    assert!(priorities.is_sorted_by(|a, b| a < b));
    let empty = Rules::from_json(&serde_json::json!({})).unwrap();
    assert_eq!(empty.fingerprint(), rules.fingerprint());
}

#[test]
fn idn_2_blocked_values_name_nobody() {
    let rules = Rules::default();
    for value in [
        "-1",
        "0",
        "null",
        "NULL",
        "undefined",
        "Anonymous",
        "none",
        "N/A",
        " null ",
        "nil",
        "[object Object]",
        "",
        "  ",
    ] {
        let sent = Identifier::new(IdentifierType::UserId, value);
        let (used, blocked) = read(&rules, std::slice::from_ref(&sent));
        assert!(used.is_empty(), "{value:?}");
        assert_eq!(blocked, [(sent.to_string(), BlockedBecause::Value)]);
    }
    for value in ["000", "00000000-0000-0000-0000-000000000000", "---"] {
        let (used, blocked) = read(&rules, &[Identifier::new(IdentifierType::AnonymousId, value)]);
        assert!(used.is_empty() && blocked[0].1 == BlockedBecause::Pattern, "{value:?}");
    }
    let (used, blocked) = read(
        &rules,
        &[
            id("email:jo"),
            id(&format!("user_id:{}", "x".repeat(513))),
            id("user_id:10"),
        ],
    );
    assert_eq!(used, ["user_id:10"]);
    assert_eq!(
        blocked.iter().map(|(_, because)| *because).collect::<Vec<_>>(),
        [BlockedBecause::Malformed, BlockedBecause::TooLong]
    );
}

#[test]
fn idn_2_a_document_blocks_more_or_less() {
    let document = r#"{"types": {"email": {"blocked": ["Test@X.org"], "blocked_patterns": ["@example\\.com$", "^[0-]*$"]},
        "user_id": {"default_blocked": false}, "custom": {"normalise": "lowercase"}, "card": {"limit": 2}}}"#;
    let rules = rules(document).unwrap();
    let sent = ids("email:test@x.org email:Jo@Example.com email:jo@x.org user_id:null card:AB badge:AB");
    let (used, blocked) = read(&rules, &sent);
    assert_eq!(used, ["user_id:null", "email:jo@x.org", "badge:ab", "card:ab"]);
    assert_eq!(
        blocked.iter().map(|(_, because)| *because).collect::<Vec<_>>(),
        [BlockedBecause::Value, BlockedBecause::Pattern]
    );
    assert_eq!(
        (
            rules.of(&IdentifierType::from_name("card")).limit,
            rules.of(&IdentifierType::from_name("badge")).limit
        ),
        (2, 5)
    );
}

#[test]
fn idn_2_a_custom_normaliser_replaces_in_turn() {
    let document = r#"{"types": {"card": {"normalise": "lowercase", "blocked": ["AB-9"],
        "replace": [{"pattern": "[- ]", "with": ""}, {"pattern": "^nl([0-9]+)$", "with": "$1"}]}}}"#;
    let card = |value: &str| Identifier::new(IdentifierType::from_name("card"), value);
    let (used, blocked) = read(
        &rules(document).unwrap(),
        &[card("NL 12-34"), card("ab9"), card("1234")],
    );
    assert_eq!(used, ["card:1234"]);
    assert_eq!(blocked, [("card:ab9".to_owned(), BlockedBecause::Value)]);
    // What grows beyond a value's length is none.
    let grows = r#"{"types": {"card": {"replace": [{"pattern": ".", "with": "$0$0$0$0$0$0$0$0$0$0"}]}}}"#;
    let (used, blocked) = read(&rules(grows).unwrap(), &[card(&"x".repeat(100)), card("x")]);
    assert_eq!((used[0].len(), blocked[0].1), (15, BlockedBecause::Malformed));
}

/// All that is told of a document.
fn told(document: &serde_json::Value) -> Vec<String> {
    let wrong = Rules::from_json(document).unwrap_err();
    let (told, left) = wrong.told();
    let mut told: Vec<String> = told.map(ToString::to_string).collect();
    told.extend((left > 0).then(|| format!("{left} more")));
    told
}

#[test]
fn idn_2_a_wrong_document_is_refused_with_its_place() {
    let check = |document: &str, expected: &str| {
        let error = rules(document).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    check(
        r#"{"types": {"email": {"claim": "mine"}}}"#,
        "types.email.claim: unknown claim policy `mine`: known are link, first_owner, ambiguous, last_authenticated",
    );
    check(
        r#"{"types": {"user_id": {"claim": "first_owner"}}}"#,
        "types.user_id.authenticates: a type with claim first_owner cannot authenticate",
    );
    check(
        r#"{"types": {"card": {"replace": [{"pattern": "(", "with": ""}]}}}"#,
        "types.card.replace[0].pattern",
    );
    check(
        r#"{"types": {"email": {"limit": 0}}}"#,
        "types.email.limit: 0 is not between 1 and 500",
    );
    check(
        r#"{"types": {"email": {"normalise": "upper"}}}"#,
        "known are email, phone, trim, lowercase, none",
    );
    check(
        r#"{"types": {"email": {"blocked_patterns": ["ok", "^[0-]*$", "("]}}}"#,
        "types.email.blocked_patterns[2]",
    );
    check(
        r#"{"types": {"anonymous_id": {"authenticates": true}}}"#,
        "types.anonymous_id.authenticates",
    );
    check(r#"{"types": {"a b": {}}}"#, "is no type name");
    check(r#"{"version": 2}"#, "version: 2 is not known; write 1");
    check("[]", "expected an object such as");
}

#[test]
fn idn_2_all_mistakes_of_a_document_are_told_with_their_places_and_what_was_meant() {
    let document = json!({
        "version": "1",
        "tpes": {},
        "types": {
            "card": { "claim": "frist_owner", "limits": 3, "blocked": ["a", 5, null], "priority": 70_000 },
            "email": { "limit": 501, "normalise": "emial", "blocked_patterns": ["(", "ok"] },
            "phone": { "replace": [{ "pattern": "x" }, { "pattern": "x", "wiht": "" }, 7] },
            "user_id": 5,
        },
    });
    let told = told(&document);
    let (parse, told): (Vec<&String>, Vec<&String>) = told.iter().partition(|one| one.contains("regex parse error"));
    assert!(parse.len() == 1 && parse[0].starts_with("types.email.blocked_patterns[0]: "));
    assert_eq!(
        told,
        [
            "unknown key `tpes`: did you mean `types`?",
            "version: expected the number 1, found a text",
            "types.card: unknown key `limits`: did you mean `limit`?",
            "types.card.priority: expected a whole number from 0 to 65535, found 70000",
            "types.card.blocked[1]: expected a text, found 5",
            "types.card.blocked[2]: expected a text, found nothing (null)",
            "types.phone.replace[0]: `with` is missing",
            "types.phone.replace[1]: unknown key `wiht`: did you mean `with`?",
            "types.phone.replace[2]: expected an object, found a number",
            "types.user_id: expected an object, found a number",
            "types.card.claim: unknown claim policy `frist_owner`: did you mean `first_owner`?",
            "types.email.limit: 501 is not between 1 and 500",
            "types.email.normalise: unknown normaliser `emial`: did you mean `email`?",
        ]
    );
    let many: serde_json::Map<_, _> = (0..30).map(|n| (format!("t{n:02}"), json!({ "limit": 0 }))).collect();
    let many = self::told(&json!({ "types": many }));
    assert_eq!((many.len(), &*many[20]), (21, "10 more"));
}

#[test]
fn idn_2_nothing_is_said_of_what_a_mistake_leaves_open() {
    // Of whom it is not known what is meant, it is not said that it does not fit.
    for (types, expected) in [
        (
            json!({ "device_id": { "claim": 5, "authenticates": true } }),
            "types.device_id.claim: expected a text, found 5",
        ),
        (
            json!({ "user_id": { "claim": "first_owner", "authenticats": false } }),
            "types.user_id: unknown key `authenticats`: did you mean `authenticates`?",
        ),
        (
            json!({ "user_id": { "claim": "first_owner", "authenticates": "no" } }),
            "types.user_id.authenticates: expected true or false, found a text",
        ),
        (
            json!({ "card": { "claim": "frist_owner", "authenticates": true } }),
            "types.card.claim: unknown claim policy `frist_owner`: did you mean `first_owner`?",
        ),
        (
            json!({ "custom": { "authenticates": true, "limit": 0 }, "card": { "claim": "ambiguous" } }),
            "types.custom.limit: 0 is not between 1 and 500",
        ),
    ] {
        assert_eq!(told(&json!({ "types": types })), [expected]);
    }
}

/// Puts something else into a random place.
fn spoil(random: &mut ChaCha8Rng, json: &mut serde_json::Value) {
    let others = [
        json!(null),
        json!(5),
        json!(-1),
        json!(1.5),
        json!("x"),
        json!("link"),
        json!(true),
        json!([]),
        json!([7]),
        json!({}),
    ];
    match json {
        serde_json::Value::Object(fields) if !fields.is_empty() && random.random_bool(0.85) => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            let key = keys.choose(random).unwrap();
            if random.random_bool(0.2) {
                let value = fields.remove(key).unwrap();
                fields.insert(key[1..].to_owned(), value);
                return;
            }
            spoil(random, &mut fields[key.as_str()]);
        }
        serde_json::Value::Array(items) if !items.is_empty() && random.random_bool(0.8) => {
            let at = random.random_range(0..items.len());
            spoil(random, &mut items[at]);
        }
        place => *place = others.choose(random).unwrap().clone(),
    }
}

#[test]
fn idn_2_what_is_read_in_parts_is_wrong_exactly_where_it_is_refused_as_a_whole() {
    let sound = json!({ "version": 1, "types": {
        "user_id": { "priority": 5, "limit": 2, "authenticates": true, "claim": "link" },
        "email": { "normalise": "lowercase", "blocked": ["a", "b"], "blocked_patterns": ["x$"], "default_blocked": false },
        "card": { "replace": [{ "pattern": "[- ]", "with": "" }, ["a", "b"]], "claim": "ambiguous" },
        "custom": [40, 3, false, "first_owner"],
    } });
    let (mut read, mut refused) = (0, 0);
    for seed in 0..4_000 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut document = sound.clone();
        for _ in 0..seed % 4 {
            spoil(&mut random, &mut document);
        }
        let whole = crate::RulesDocument::deserialize(&document);
        let (parts, wrong) = crate::document::read_in_parts(&document);
        match whole {
            // An object alone: serde takes a list for it, which is refused before.
            Ok(whole) if document.is_object() => {
                assert_eq!((parts, wrong), (whole, None), "seed {seed}: {document}");
                read += 1;
            }
            _ => {
                assert!(
                    wrong.is_some() && Rules::from_json(&document).is_err(),
                    "seed {seed}: {document}"
                );
                refused += 1;
            }
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} {refused}");
}

#[test]
fn idn_2_rules_that_only_link_otherwise_read_events_alike() {
    let default = Rules::default();
    for (document, alike) in [
        (
            r#"{"types": {"email": {"limit": 1, "claim": "ambiguous"}, "card": {"limit": 2}}}"#,
            true,
        ),
        (r#"{"types": {"card": {"authenticates": true}}}"#, false),
        (r#"{"types": {"custom": {"limit": 2}, "user_id": {"limit": 9}}}"#, true),
        (r#"{"types": {"email": {"priority": 1}}}"#, false),
        (r#"{"types": {"email": {"claim": "last_authenticated"}}}"#, false),
        (r#"{"types": {"email": {"blocked": ["x@y.z"]}}}"#, false),
        (r#"{"types": {"card": {"blocked_patterns": ["x"]}}}"#, false),
        (r#"{"types": {"card": {"normalise": "lowercase"}}}"#, false),
        (
            r#"{"types": {"card": {"replace": [{"pattern": "x", "with": ""}]}}}"#,
            false,
        ),
        (r#"{"types": {"card": {"default_blocked": false}}}"#, false),
    ] {
        let other = rules(document).unwrap();
        assert_eq!(
            (default.reads_as(&other), other.reads_as(&default)),
            (alike, alike),
            "{document}"
        );
    }
}

#[test]
fn idn_2_the_fingerprint_tells_rules_apart() {
    let default = Rules::default().fingerprint();
    assert_eq!(
        rules(r#"{"types": {"email": {"limit": 5}}}"#).unwrap().fingerprint(),
        default
    );
    for document in [
        r#"{"types": {"email": {"limit": 4}}}"#,
        r#"{"types": {"email": {"priority": 21}}}"#,
        r#"{"types": {"email": {"blocked": ["x"]}}}"#,
        r#"{"types": {"email": {"blocked_patterns": ["x"]}}}"#,
        r#"{"types": {"email": {"claim": "last_authenticated"}}}"#,
        r#"{"types": {"email": {"claim": "first_owner"}}}"#,
        r#"{"types": {"email": {"claim": "ambiguous"}}}"#,
        r#"{"types": {"email": {"replace": [{"pattern": "a", "with": ""}]}}}"#,
        r#"{"types": {"email": {"authenticates": true}}}"#,
        r#"{"types": {"card": {}}}"#,
    ] {
        assert_ne!(rules(document).unwrap().fingerprint(), default, "{document}");
    }
}
