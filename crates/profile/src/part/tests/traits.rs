//! PRO-3: every survivorship rule, applied when read, with its losers; and consent.

use super::histories::history;
use super::*;
use kith_expr::PersonView;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn source(name: &str) -> kith_types::SourceName {
    name.parse().unwrap()
}

/// What three sources said of somebody's city, out of order.
fn cities() -> Part {
    let said = [
        said(4, "crm", 40, "city", Value::from("Ulm")),
        said(1, "web", 10, "city", Value::from("Bonn")),
        said(5, "web", 50, "city", Value::from("  ")),
        said(2, "web", 20, "city", Value::from("Kiel")),
        said(3, "shop", 30, "city", Value::from("Bonn")),
        said(0, "shop", 5, "city", Value::Null),
    ];
    fold(&FoldPlan::new(Vec::new()), &said)
}

#[test]
fn pro_3_every_rule_is_applied_when_read() {
    let part = cities();
    let survives = |rule: Survivorship| {
        let resolved = part.resolve_trait("city", &rule)?;
        Some((
            resolved.value.as_str()?.to_owned(),
            resolved.source.as_str().to_owned(),
            resolved.time,
        ))
    };
    let expected = |value: &str, source: &str, time| Some((value.to_owned(), source.to_owned(), at(time)));
    assert_eq!(survives(Survivorship::MostRecent), expected("Ulm", "crm", 40));
    assert_eq!(
        survives(Survivorship::SourcePriority(vec![source("web"), source("crm")])),
        expected("Kiel", "web", 20)
    );
    assert_eq!(
        survives(Survivorship::SourcePriority(vec![source("app"), source("shop")])),
        expected("Bonn", "shop", 30)
    );
    assert_eq!(
        survives(Survivorship::SourcePriority(vec![source("app")])),
        expected("Ulm", "crm", 40)
    );
    assert_eq!(survives(Survivorship::MostFrequent), expected("Bonn", "shop", 30));
    assert_eq!(survives(Survivorship::Oldest), expected("Bonn", "web", 10));
    assert_eq!(survives(Survivorship::MostRestrictive), expected("Ulm", "crm", 40));
    assert_eq!(survives(Survivorship::Min), None);
    assert_eq!(part.resolve_trait("country", &Survivorship::MostRecent), None);
}

#[test]
fn pro_3_min_and_max_take_numbers_and_restriction_takes_the_latest_word_of_each_source() {
    let part = fold(
        &FoldPlan::new(Vec::new()),
        &[
            said(1, "web", 1, "age", Value::from(40)),
            said(2, "web", 2, "age", number("39.5")),
            said(3, "crm", 3, "age", Value::from(40)),
            said(4, "crm", 4, "age", Value::from("old")),
            said(5, "web", 5, "mail", Value::from(false)),
            said(6, "web", 6, "mail", Value::from(true)),
            said(7, "crm", 4, "mail", Value::from(false)),
            said(8, "crm", 3, "mail", Value::from(true)),
        ],
    );
    let resolve = |name, rule| part.resolve_trait(name, &rule).unwrap();
    assert_eq!(resolve("age", Survivorship::Min).value, &number("39.5"));
    let max = resolve("age", Survivorship::Max);
    assert_eq!(
        (max.value, max.source.as_str(), max.time),
        (&Value::from(40), "crm", at(3))
    );
    assert_eq!(resolve("age", Survivorship::MostRecent).value, &Value::from("old"));
    let mail = resolve("mail", Survivorship::MostRestrictive);
    assert_eq!((mail.value, mail.source.as_str()), (&Value::from(false), "crm"));
    assert_eq!(resolve("mail", Survivorship::MostRecent).value, &Value::from(true));
}

#[test]
fn pro_3_the_losers_stay_visible() {
    let part = cities();
    let losers = |rule| {
        let resolved = part.resolve_trait("city", &rule).unwrap();
        resolved
            .losers
            .iter()
            .map(|loser| {
                format!(
                    "{} {} {}",
                    loser.source,
                    loser.value.as_str().unwrap(),
                    loser.address.sequence
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        losers(Survivorship::MostRecent),
        ["shop Bonn 3", "web Kiel 2", "web Bonn 1"]
    );
    assert_eq!(losers(Survivorship::MostFrequent), ["crm Ulm 4", "web Kiel 2"]);
}

#[test]
fn pro_3_ties_in_time_break_by_address() {
    let part = fold(
        &FoldPlan::new(Vec::new()),
        &[
            said(2, "web", 1, "x", Value::from("b")),
            said(3, "web", 1, "x", Value::from("c")),
            said(1, "web", 1, "x", Value::from("a")),
        ],
    );
    assert_eq!(
        part.resolve_trait("x", &Survivorship::MostRecent).unwrap().value,
        &Value::from("c")
    );
    assert_eq!(
        part.resolve_trait("x", &Survivorship::Oldest).unwrap().value,
        &Value::from("a")
    );
    assert_eq!(
        part.resolve_trait("x", &Survivorship::MostFrequent).unwrap().value,
        &Value::from("c")
    );
}

#[test]
fn pro_3_group_calls_say_nothing_of_the_person() {
    let group = Event {
        event_type: EventType::Group,
        ..said(1, "web", 1, "name", Value::from("Acme"))
    };
    let page = Event {
        event_type: EventType::Page,
        ..said(2, "web", 2, "plan", Value::from("gold"))
    };
    let part = fold(&FoldPlan::new(Vec::new()), &[group, page]);
    assert_eq!(part.trait_names().collect::<Vec<_>>(), ["plan"]);
    assert_eq!(part.event_count(), 2);
    assert_eq!((part.first_seen(), part.last_seen()), (Some(at(1)), Some(at(2))));
}

#[test]
fn pro_3_a_view_answers_by_the_rules_of_the_space() {
    let part = cities();
    let plan = FoldPlan::new(Vec::new());
    let mut rules = TraitRules::default();
    assert_eq!(
        part.view(&plan, &rules).trait_value("city").as_deref(),
        Some(&Value::from("Ulm"))
    );
    rules.by_name.insert("city".into(), Survivorship::Oldest);
    assert_eq!(
        part.view(&plan, &rules).trait_value("city").as_deref(),
        Some(&Value::from("Bonn"))
    );
    assert_eq!(
        part.resolved_traits(&rules)
            .map(|(name, resolved)| (name, resolved.value))
            .collect::<Vec<_>>(),
        [("city", &Value::from("Bonn"))]
    );
    let nested = Value::Object(object(&[("city", Value::from("Ulm"))]));
    let part = fold(
        &plan,
        &[
            said(1, "web", 1, "address", nested),
            said(2, "web", 2, "a.b", Value::from(1)),
        ],
    );
    let view = part.view(&plan, &rules);
    assert_eq!(view.trait_value("address.city").as_deref(), Some(&Value::from("Ulm")));
    assert_eq!(view.trait_value("a.b").as_deref(), Some(&Value::from(1)));
    assert_eq!(view.trait_value("address.zip"), None);
    assert_eq!(view.trait_value("zip"), None);
}

#[test]
fn pro_3_the_latest_word_on_consent_counts_and_of_two_the_restrictive() {
    let word = |sequence: u64, source: &str, time: i64, preferences: &[(&str, Value)]| {
        let preferences = Value::Object(object(preferences));
        let context = object(&[(
            "consent",
            Value::Object(object(&[("categoryPreferences", preferences)])),
        )]);
        Event {
            source: source.parse().unwrap(),
            context,
            ..event(sequence, "A", at(time))
        }
    };
    let yes = || Value::from(true);
    let no = || Value::from(false);
    let part = fold(
        &FoldPlan::new(Vec::new()),
        &[
            word(
                1,
                "web",
                10,
                &[("email", yes()), ("ads", yes()), ("sms", Value::from("yes"))],
            ),
            word(2, "crm", 20, &[("email", no())]),
            word(3, "web", 15, &[("email", yes())]),
            word(4, "crm", 10, &[("ads", no())]),
            word(5, "web", 9, &[("ads", no())]),
        ],
    );
    assert_eq!(part.consent("email"), Some(false));
    assert_eq!(part.consent("ads"), Some(false));
    assert_eq!(part.consent("sms"), None);
    assert_eq!(part.consent("push"), None);
    let words: Vec<(&str, bool, &str, u64)> = part
        .consents()
        .map(|word| (word.category, word.granted, word.source.as_str(), word.address.sequence))
        .collect();
    assert_eq!(words, [("ads", false, "crm", 4), ("email", false, "crm", 2)]);
}

#[test]
fn pro_3_the_value_alone_is_the_one_that_is_told_with_its_losers() {
    let sources = vec![source("crm"), source("shop")];
    let rules = [
        Survivorship::MostRecent,
        Survivorship::SourcePriority(sources),
        Survivorship::MostFrequent,
        Survivorship::Oldest,
        Survivorship::Min,
        Survivorship::Max,
        Survivorship::MostRestrictive,
    ];
    let (mut said, mut nothing) = (0, 0);
    for seed in 0..200 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let length = random.random_range(1..8);
        let part = fold(&FoldPlan::new(Vec::new()), &history(&mut random, length));
        for rule in &rules {
            let of_all = TraitRules {
                default: rule.clone(),
                ..TraitRules::default()
            };
            for name in part.trait_names() {
                let told = part.resolve_trait(name, rule).map(|told| told.value);
                assert_eq!(part.trait_value(name, &of_all), told, "seed {seed}: {name} by {rule:?}");
                said += usize::from(told.is_some());
                nothing += usize::from(told.is_none());
            }
        }
    }
    assert!(said > 500 && nothing > 100, "{said} and {nothing}");
}
