//! IDN-1 and IDN-2: what is read from an event, the default rules, blocked values, and the rules document.

use super::keeper::{event, id, ids};
use crate::{BlockedBecause, Claim, MAX_IDENTIFIERS_PER_EVENT, Normaliser, Rules};
use kith_types::{Identifier, IdentifierType};

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

#[test]
fn idn_2_a_wrong_document_is_refused_with_its_place() {
    let check = |document: &str, expected: &str| {
        let error = rules(document).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    check(
        r#"{"types": {"email": {"claim": "mine"}}}"#,
        "types.email.claim: \"mine\" is no claim policy; use one of link, first_owner, ambiguous, last_authenticated",
    );
    check(
        r#"{"types": {"user_id": {"claim": "first_owner"}}}"#,
        "types.user_id.authenticates: a type with claim first_owner cannot authenticate",
    );
    check(
        r#"{"types": {"card": {"replace": [{"pattern": "(", "with": ""}]}}}"#,
        "types.card.replace[0]",
    );
    check(
        r#"{"types": {"email": {"limit": 0}}}"#,
        "types.email.limit: 0 is not between 1 and 500",
    );
    check(
        r#"{"types": {"email": {"normalise": "upper"}}}"#,
        "use one of email, phone, trim, lowercase, none",
    );
    check(
        r#"{"types": {"email": {"blocked_patterns": ["ok", "("]}}}"#,
        "types.email.blocked_patterns[1]",
    );
    check(r#"{"types": {"email": {"limits": 1}}}"#, "unknown field `limits`");
    check(
        r#"{"types": {"anonymous_id": {"authenticates": true}}}"#,
        "types.anonymous_id.authenticates",
    );
    check(r#"{"types": {"a b": {}}}"#, "is no type name");
    check(r#"{"version": 2}"#, "version: 2 is not known; write 1");
    check("[]", "the document");
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
