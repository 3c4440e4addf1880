//! SEG-1, SEG-6, PRO-5: conditions on the accounts of a person.

use super::world::{World, compile, define, number, second};
use crate::{Asks, SegmentDefinition};
use serde_json::{Value as Json, json};

fn refused(condition: &Json) -> String {
    let document = json!({ "kind": "segment", "name": "tested", "spec": { "where": condition } });
    SegmentDefinition::parse(&document).unwrap_err().to_string()
}

fn enterprise() -> Json {
    json!({ "account": { "trait": "plan", "equals": "enterprise" } })
}

#[test]
fn seg_1_one_account_must_meet_all_that_is_asked_of_it() {
    let both = json!({ "account": { "all": [
        { "trait": "plan", "equals": "enterprise" }, { "trait": "seats", "greater_than": 50 },
    ] } });
    let not = json!({ "account": { "not": { "trait": "plan", "equals": "enterprise" } } });
    let unknown = json!({ "account": { "trait": "plan", "not_exists": true } });
    let none = json!({ "not": enterprise() });
    let world = |accounts: &[(&str, Json)]| {
        let all = accounts.iter();
        all.fold(World::default(), |world, (id, traits)| {
            world.of_account(id, traits.clone())
        })
    };
    let (large, small) = (
        json!({ "plan": "enterprise", "seats": 100 }),
        json!({ "plan": "enterprise", "seats": 5 }),
    );
    let free = json!({ "plan": "free", "seats": 100 });
    let check = |accounts: &[(&str, Json)], expected: [bool; 5]| {
        let found = [&enterprise(), &both, &not, &unknown, &none]
            .map(|condition| compile(condition).is_member(&world(accounts), second(1)));
        assert_eq!(found, expected, "{accounts:?}");
    };
    check(&[], [false, false, false, false, true]);
    check(&[("acme", large.clone())], [true, true, false, false, false]);
    check(
        &[("acme", small.clone()), ("globex", free)],
        [true, false, true, false, false],
    );
    check(&[("acme", json!({ "plan": null }))], [false, false, true, true, true]);
    check(
        &[("acme", json!({})), ("globex", large)],
        [true, true, true, true, false],
    );
}

#[test]
fn seg_2_a_date_of_any_account_turns_the_answer_at_its_instant() {
    let segment = compile(&json!({ "account": { "trait": "renewal", "within_last": "10s" } }));
    let world = World::default()
        .of_account("acme", json!({ "renewal": second(20).to_string() }))
        .of_account("globex", json!({ "renewal": second(25).to_string() }));
    let at = |at| segment.evaluate(&world, second(at));
    assert_eq!((at(19).member, at(19).next_transition), (false, Some(second(20))));
    assert_eq!((at(20).member, at(20).next_transition), (true, Some(second(35))));
    assert_eq!((at(35).member, at(35).next_transition), (false, None));
}

#[test]
fn seg_1_conditions_on_accounts_read_back_as_they_were_written() {
    for (condition, words) in [
        (enterprise(), "of one of their accounts plan is \"enterprise\""),
        (
            json!({ "account": { "all": [
                { "trait": "seats", "greater_than": 50 },
                { "any": [{ "trait": "plan", "exists": false }, { "not": { "trait": "plan", "equals": "free" } }] },
            ] } }),
            "of one of their accounts seats is more than 50 and (plan is not known or not (plan is \"free\"))",
        ),
    ] {
        let definition = define("tested", &condition);
        let document = definition.to_document();
        assert_eq!(document["spec"]["where"], condition);
        assert_eq!(SegmentDefinition::parse(&document).unwrap(), definition);
        assert_eq!(definition.in_english(), format!("Everybody for whom {words}\n"));
        assert_eq!(
            compile(&condition)
                .explain(&World::default(), second(1))
                .reason
                .condition,
            words
        );
    }
    let segment =
        compile(&json!({ "all": [enterprise(), { "account": { "trait": "address.city", "exists": true } }] }));
    assert_eq!(segment.account_traits(), ["address.city".into(), "plan".into()]);
    assert!(segment.traits().is_empty() && segment.depends_on_traits());
}

#[test]
fn seg_1_errors_in_conditions_on_accounts_point_at_the_place() {
    for (condition, expected) in [
        (
            json!({ "account": { "traits": "plan", "equals": "pro" } }),
            "account: unknown condition `traits`: did you mean `trait`?",
        ),
        (
            json!({ "account": { "equals": "pro" } }),
            "account: `equals` of what? Name a `trait` of the account beside it",
        ),
        (
            json!({ "account": { "all": [{ "trait": "plan", "equals": "pro" }, { "performed": "Order" }] } }),
            "account.all[1]: `performed` asks of a person, and `account` of one account of theirs; put it beside the `account`, both inside an `all`",
        ),
        (
            json!({ "account": { "trait": "plan", "equal": "pro" } }),
            "account: unknown key `equal`: did you mean `equals`?",
        ),
        (
            json!({ "account": [{ "trait": "plan", "equals": "pro" }] }),
            "account: expected one condition, found a list; put the list inside `all` or `any`",
        ),
        (
            json!({ "account": {} }),
            "account: expected one of trait, all, any, not",
        ),
        (
            json!({ "account": { "trait": "plan", "exists": true }, "trait": "plan" }),
            "both `trait` and `account` in one condition; put each into its own entry of an `all`",
        ),
    ] {
        let refused = refused(&condition);
        let rest = refused.strip_prefix("segment tested: spec.where").unwrap();
        assert_eq!(rest.trim_start_matches(['.', ':', ' ']), expected);
    }
}

#[test]
fn seg_6_an_explanation_tells_of_every_account() {
    let segment = compile(&json!({ "account": { "trait": "seats", "greater_than": 50 } }));
    let world = World::default()
        .of_account("acme", json!({ "seats": 5 }))
        .of_account("globex", json!({ "seats": 100 }));
    let reason = segment.explain(&world, second(1)).reason;
    assert!(reason.holds && matches!(reason.asks, Some(Asks::Aggregate(_))));
    let told: Vec<_> = reason
        .parts
        .iter()
        .map(|part| (part.condition.as_str(), part.holds))
        .collect();
    assert_eq!(told, [("account globex", true), ("account acme", false)]);
    let leaf = &reason.parts[1].parts[0];
    assert_eq!(
        (leaf.condition.as_str(), &leaf.actual),
        ("seats is more than 50", &Some(number("5")))
    );
    let asks = Asks::AccountTrait {
        account: "acme".into(),
        name: "seats".into(),
    };
    assert_eq!(leaf.asks, Some(asks));
}

#[test]
fn pro_5_a_limit_of_any_account_marks_the_conditions_that_ask_for_what_it_touched() {
    let segment = compile(&json!({ "not": { "account": { "any": [
        { "trait": "plan", "equals": "enterprise" }, { "not": { "trait": "seats", "exists": true } },
    ] } } }));
    let mut world = World::default()
        .of_account("acme", json!({ "seats": 5 }))
        .of_account("globex", json!({ "seats": 100 }));
    world.accounts[1].limited.insert("city".to_owned());
    assert!(!segment.is_approximate(&world, second(1)), "nobody asks for the city");
    world.accounts[1].limited.insert("seats".to_owned());
    assert!(segment.is_approximate(&world, second(1)));
    let reason = segment.explain(&world, second(1)).reason;
    let leaf = &reason.parts[0];
    assert!(reason.approximate && leaf.approximate);
    let marked: Vec<_> = leaf
        .parts
        .iter()
        .map(|part| (part.condition.as_str(), part.approximate))
        .collect();
    assert_eq!(marked, [("account acme", false), ("account globex", true)]);
    let asked = &leaf.parts[1].parts[0].parts;
    assert_eq!(
        asked.iter().map(|part| part.approximate).collect::<Vec<_>>(),
        [false, true],
        "the plan is known as it is"
    );
}
