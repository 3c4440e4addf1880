//! Cut parts answer as whole ones do, and damaged bytes are refused.

use super::histories::{all_specs, history};
use super::*;
use crate::{Asked, Cutter, Plans};
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Gives some events a trait with others inside.
fn with_addresses(mut events: Vec<Event>, random: &mut ChaCha8Rng) -> Vec<Event> {
    for event in &mut events {
        if random.random_bool(0.3) {
            let inside = object(&[
                ("city", Value::from("Kiel")),
                ("lines", Value::Array(vec![number("1.5"), Value::Null])),
            ]);
            event.traits.push(("address".into(), Value::Object(inside)));
        }
    }
    events
}

fn cut(part: &Part, plan: &FoldPlan, asked: &Asked<'_>) -> Vec<u8> {
    let (mut stored, mut out) = (Vec::new(), Vec::new());
    part.encode_for(plan, &mut stored);
    Cutter::new(asked, plan).cut(&stored, &mut out).unwrap().unwrap();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn seg_7_a_cut_part_is_the_part_without_what_nobody_asked_for(seed: u64, length in 0_usize..60) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut specs = all_specs();
        specs.shuffle(&mut random);
        let plan = FoldPlan::new(specs.clone());
        specs.truncate(random.random_range(0..6));
        let few = FoldPlan::new(specs);
        let events = history(&mut random, length);
        let events = with_addresses(events, &mut random);
        let (one, other) = events.split_at(length / 3);
        let mut names = vec!["city", "plan", "score", "address.city", "nobody"];
        names.shuffle(&mut random);
        names.truncate(random.random_range(0..4));
        let names = random.random_bool(0.8).then_some(names);
        let asked = Asked::new(&few, names.map(Vec::into_iter), random.random_bool(0.5));
        let (mut merged, mut again) = (Part::default(), Part::default());
        for events in [one, other] {
            let part = fold(&plan, events);
            let cut = cut(&part, &plan, &asked);
            let read = Part::decode_for(&cut, &few).unwrap();
            prop_assert_eq!(bytes(&read), bytes(&part.only(&asked)));
            merged.merge_from(&read);
            let mut stored = Vec::new();
            part.encode_for(&plan, &mut stored);
            let of_another = plan.fingerprint() != few.fingerprint() && !part.is_empty();
            prop_assert!(!of_another || again.decode_again(&stored, &few).is_err(), "another plan's");
            for events in [events, other, events] {
                let part = fold(&plan, events);
                again.decode_again(&self::cut(&part, &plan, &asked), &few).unwrap();
                prop_assert_eq!(bytes(&again), bytes(&part.only(&asked)), "in the memory of another");
            }
        }
        let whole = Part::merged([&fold(&plan, one), &fold(&plan, other)].into_iter());
        prop_assert_eq!(bytes(&merged), bytes(&whole.only(&asked)), "of merged parts as well");
    }
}

#[test]
fn seg_7_parts_that_are_alike_alone_answer_alike() {
    let count = serde_json::json!({ "function": "count", "events": ["C"], "window": { "last": "60s" } });
    let plan = FoldPlan::new(vec![spec(&count)]);
    let names = ["plan", "address.city"];
    let asked = Asked::new(&plan, Some(names.into_iter()), false);
    let priority = Survivorship::SourcePriority(vec!["crm".parse().unwrap()]);
    let rules = [
        Survivorship::MostRecent,
        priority,
        Survivorship::MostFrequent,
        Survivorship::Oldest,
        Survivorship::Min,
        Survivorship::Max,
        Survivorship::MostRestrictive,
    ];
    let rules = rules.map(|default| TraitRules {
        default,
        ..TraitRules::default()
    });
    let (mut alike, mut differing) = (std::collections::BTreeMap::new(), 0);
    for seed in 0..1_500 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let length = random.random_range(1..6);
        let events = history(&mut random, length);
        let events = with_addresses(events, &mut random);
        let part = fold(&plan, &events);
        let mut stored = Vec::new();
        part.encode_for(&plan, &mut stored);
        let (mut cutter, mut out) = (Cutter::new(&asked, &plan), Vec::new());
        let cut = cutter.cut(&stored, &mut out).unwrap().unwrap();
        assert_eq!(cut.horizon, part.horizon());
        let Some(values) = cut.alone else { continue };
        let now = at(100_000);
        let id = plan.ids()[0];
        let counted = (part.aggregate(&plan, id, now), part.approximate(id, now));
        let said: Vec<_> = (rules.iter())
            .flat_map(|rules| {
                names.map(|name| {
                    (
                        part.trait_value(name, rules).cloned(),
                        part.trait_approximate(name, rules),
                    )
                })
            })
            .collect();
        let (answers, first) = alike
            .entry(values.to_vec())
            .or_insert_with(|| ((said.clone(), counted.clone()), stored.clone()));
        assert_eq!(*answers, (said, counted), "seed {seed}");
        differing += usize::from(*first != stored);
    }
    assert!(
        alike.len() > 5 && differing > 300,
        "{} kinds, {differing} more parts",
        alike.len()
    );

    let is_alone = |asked: &Asked<'_>, events: &[Event]| {
        let mut stored = Vec::new();
        fold(&plan, events).encode_for(&plan, &mut stored);
        let mut cutter = Cutter::new(asked, &plan);
        cutter.cut(&stored, &mut Vec::new()).unwrap().unwrap().alone.is_some()
    };
    let gold = said(1, "crm", 10, "plan", Value::from("gold"));
    let once_more = said(2, "crm", 20, "plan", Value::from("gold"));
    let other_value = said(2, "crm", 20, "plan", Value::from("silver"));
    let other_source = said(2, "shop", 20, "plan", Value::from("silver"));
    let counted = event(2, "C", at(20));
    assert!(is_alone(&asked, &[gold.clone(), once_more]));
    for more in [other_value, other_source, counted] {
        assert!(!is_alone(&asked, &[gold.clone(), more]));
    }
    let with_consents = Asked::new(&plan, Some(names.into_iter()), true);
    let all_traits = Asked::new(&plan, None::<std::iter::Empty<&str>>, false);
    assert!(!is_alone(&with_consents, std::slice::from_ref(&gold)) && !is_alone(&all_traits, &[gold]));
}

#[test]
fn seg_7_traits_out_of_order_are_refused_as_far_as_they_are_looked_at() {
    let plan = FoldPlan::new(Vec::new());
    let part = fold(
        &plan,
        &[
            said(1, "crm", 0, "city", Value::from("Rome")),
            said(2, "crm", 1, "plan", Value::from("gold")),
        ],
    );
    let mut stored = Vec::new();
    part.encode_for(&plan, &mut stored);
    // A name after both, so that all are looked at.
    let asked = Asked::new(&plan, Some(["plan", "zone"].into_iter()), false);
    assert!(Cutter::new(&asked, &plan).cut(&stored, &mut Vec::new()).is_ok());
    let name = stored.windows(4).position(|bytes| bytes == b"city").unwrap();
    stored[name] = b'z';
    assert!(Part::decode_for(&stored, &plan).is_err());
    assert!(Cutter::new(&asked, &plan).cut(&stored, &mut Vec::new()).is_err());
}

#[test]
fn seg_7_parts_that_lack_what_is_asked_for_are_not_cut() {
    let specs = all_specs();
    let (few, plan) = (FoldPlan::new(specs[..4].to_vec()), FoldPlan::new(specs));
    let asked = Asked::new(&plan, None::<std::iter::Empty<&str>>, true);
    let part = fold(&few, &[event(1, "A", at(0))]);
    let (mut stored, mut listed, mut out) = (Vec::new(), Vec::new(), vec![7]);
    part.encode_for(&few, &mut stored);
    part.encode(&mut listed);
    let mut plans = Plans::default();
    plans.remember(&few);
    for bytes in [&stored, &listed] {
        assert_eq!(Cutter::new(&asked, &plans).cut(bytes, &mut out), Ok(None), "aggregates");
    }
    assert_eq!(
        Cutter::new(&asked, &plan).cut(&stored, &mut out),
        Ok(None),
        "no such plan"
    );
    let asked = Asked::new(&few, None::<std::iter::Empty<&str>>, true);
    listed[0] = 1;
    assert_eq!(
        Cutter::new(&asked, &plans).cut(&listed, &mut out),
        Ok(None),
        "an older form"
    );
    for length in 0..stored.len() {
        let mut cutter = Cutter::new(&asked, &plans);
        let short = cutter.cut(&stored[..length], &mut out);
        let whole = short.is_ok_and(|cut| cut.is_some()) && Part::decode_for(&out[1..], &few).is_ok();
        assert!(!whole, "{length} bytes are no part");
        out.truncate(1);
    }
    assert_eq!(out, [7]);
}
