//! PRO-1 and PRO-2: a part is a function of a set of events, and parts merge; and its bytes.

use super::histories::{all_specs, history, specs_of_sequences, specs_of_single_events, specs_of_version_1};
use super::*;
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Folds random groups of the events in random orders and merges them two by two until one is left.
fn fold_in_groups(plan: &FoldPlan, mut events: Vec<Event>, random: &mut ChaCha8Rng) -> Part {
    events.shuffle(random);
    let mut parts = vec![Part::default()];
    for event in &events {
        if random.random_bool(0.2) {
            parts.push(Part::default());
        }
        parts.last_mut().unwrap().apply(plan, event);
    }
    while parts.len() > 1 {
        let taken = parts.swap_remove(random.random_range(0..parts.len()));
        let at = random.random_range(0..parts.len());
        parts[at].merge_from(&taken);
    }
    parts.remove(0)
}

/// How many histories; more than ten thousand where the environment's `KITH_SOAK` says 5.
fn cases() -> u32 {
    let soak: u32 = std::env::var("KITH_SOAK").map_or(1, |times| times.parse().unwrap());
    60 * (1 + 45 * (soak - 1))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn pro_1_permutations_give_equal_bytes(seed: u64, length in 0_usize..120) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let plan = FoldPlan::new(all_specs());
        let mut events = history(&mut random, length);
        let expected = bytes(&fold(&plan, &events));
        for _ in 0..4 {
            events.shuffle(&mut random);
            prop_assert_eq!(&bytes(&fold(&plan, &events)), &expected);
        }
    }

    #[test]
    fn pro_1_equal_sets_pruned_at_one_instant_give_equal_bytes(seed: u64, length in 1_usize..60, wait in 0_i64..4_000) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let plan = FoldPlan::new(all_specs());
        let events = history(&mut random, length);
        let now = events.last().unwrap().received_at + kith_types::Duration::from_secs(wait);
        let mut one = fold(&plan, &events);
        one.prune(now);
        let mut other = fold_in_groups(&plan, events.clone(), &mut random);
        other.prune(now);
        other.prune(now);
        prop_assert_eq!(bytes(&one), bytes(&other));
        // Events that come after a prune fall into the same form as those that came before it.
        let (early, late) = events.split_at(length / 2);
        let mut pruned = fold(&plan, early);
        pruned.prune(late[0].received_at);
        late.iter().for_each(|event| pruned.apply(&plan, event));
        prop_assert_eq!(bytes(&pruned), bytes(&fold(&plan, &events)));
    }

    #[test]
    fn pro_2_merge_equals_fold_of_union(seed: u64, length in 0_usize..120) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let plan = FoldPlan::new(all_specs());
        let events = history(&mut random, length);
        let expected = bytes(&fold(&plan, &events));
        for _ in 0..4 {
            prop_assert_eq!(&bytes(&fold_in_groups(&plan, events.clone(), &mut random)), &expected);
        }
    }

    #[test]
    fn pro_2_an_aggregate_added_later_equals_one_held_from_the_start(seed: u64, length in 1_usize..60) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut specs = all_specs();
        specs.shuffle(&mut random);
        let whole = FoldPlan::new(specs.clone());
        let before = FoldPlan::new(specs.split_off(specs.len() / 2));
        let events = history(&mut random, length);
        let (early, late) = events.split_at(length / 2);

        let mut part = fold(&before, early);
        let missing = part.missing(&whole);
        prop_assert_eq!(missing.len(), if early.is_empty() { 0 } else { whole.ids().len() - before.ids().len() });
        // Live events may go on meanwhile, and the history may come in any order.
        let mut behind: Vec<&Event> = early.iter().collect();
        behind.shuffle(&mut random);
        behind.iter().for_each(|event| part.apply_only(&whole, &missing, event));
        late.iter().for_each(|event| part.apply(&whole, event));
        prop_assert!(part.missing(&whole).is_empty());
        prop_assert_eq!(bytes(&part), bytes(&fold(&whole, &events)));

        // What the plan drops is dropped, and is missing when it comes back.
        part.retain(&before);
        prop_assert_eq!(bytes(&part), bytes(&fold(&before, &events)));
        prop_assert_eq!(part.missing(&whole).len(), whole.ids().len() - before.ids().len());
        prop_assert!(part.missing(&before).is_empty());
    }

    #[test]
    fn pro_2_an_aggregate_folded_elsewhere_equals_one_held_from_the_start(seed: u64, length in 1_usize..60) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut specs = all_specs();
        specs.shuffle(&mut random);
        let whole = FoldPlan::new(specs.clone());
        let before = FoldPlan::new(specs.split_off(specs.len() / 2));
        let events = history(&mut random, length);
        let (early, late) = events.split_at(length.div_ceil(2));
        let mut part = fold(&before, early);
        part.prune(early.iter().map(|event| event.received_at).max().unwrap());
        let missing = part.missing(&whole);
        // Only events that any of them may want need to be seen, without what none of them asks for.
        let wanted = FoldPlan::new(specs);
        let seen: Vec<Event> = early
            .iter()
            .filter(|event| wanted.ids().iter().any(|id| wanted.spec(*id).unwrap().may_match(event.event_type, &event.name)))
            .cloned()
            .map(|mut event| { event.traits.clear(); event.identifiers.clear(); event })
            .collect();
        let elsewhere = fold_in_groups(&wanted, seen, &mut random);
        let mut stored = Vec::new();
        elsewhere.encode_for(&wanted, &mut stored);
        part.adopt(&missing, &Part::decode_for(&stored, &wanted).unwrap());
        late.iter().for_each(|event| part.apply(&whole, event));
        prop_assert_eq!(bytes(&part), bytes(&fold(&whole, &events)));
    }

    #[test]
    fn parts_survive_their_bytes_and_damaged_bytes_are_refused(seed: u64, length in 0_usize..60) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let plan = FoldPlan::new(all_specs());
        let part = fold(&plan, &history(&mut random, length));
        let whole = bytes(&part);
        prop_assert_eq!(Part::decode(&whole), Ok(part.clone()));
        prop_assert_eq!(Part::decode_for(&whole, &plan), Ok(part));
        let cut = random.random_range(0..whole.len());
        prop_assert!(Part::decode(&whole[..cut]).is_err());
        for _ in 0..50 {
            let mut damaged = whole.clone();
            let at = random.random_range(0..damaged.len());
            damaged[at] ^= 1 << random.random_range(0..8);
            // Most damage is seen; what is not must still be a part that can be asked.
            if let Ok(read) = Part::decode(&damaged) {
                plan.ids().iter().for_each(|id| drop(read.aggregate(&plan, *id, at_end())));
            }
        }
    }
}

fn at_end() -> Timestamp {
    at(1_000_000)
}

#[test]
fn pro_2_merging_parts_under_different_plans_keeps_what_both_hold() {
    let specs = all_specs();
    let (one, other, both) = (
        FoldPlan::new(specs[..6].to_vec()),
        FoldPlan::new(specs[4..].to_vec()),
        FoldPlan::new(specs[4..6].to_vec()),
    );
    let events = history(&mut ChaCha8Rng::seed_from_u64(7), 40);
    let merged = Part::merged([fold(&one, &events[..20]), fold(&other, &events[20..])].iter());
    assert_eq!(bytes(&merged), bytes(&fold(&both, &events)));
}

#[test]
fn plans_with_equal_aggregates_have_equal_fingerprints() {
    let specs = all_specs();
    let mut turned = specs.clone();
    turned.reverse();
    turned.push(specs[0].clone());
    let plan = FoldPlan::new(specs.clone());
    assert_eq!(plan.fingerprint(), FoldPlan::new(turned).fingerprint());
    assert_ne!(plan.fingerprint(), FoldPlan::new(specs[1..].to_vec()).fingerprint());
    assert_ne!(plan.fingerprint(), FoldPlan::new(Vec::new()).fingerprint());
    assert_eq!(plan.spec(specs[3].id()), Some(&specs[3]));
}

fn golden(hex: &str) -> Vec<u8> {
    let hex = hex.trim();
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

#[test]
fn the_persisted_form_of_version_1_is_read_and_written_as_version_2() {
    // Fifty events of a history as above, folded by version 1.
    let part = Part::decode(&golden(include_str!("../../../golden/part_v1.hex"))).unwrap();
    let plan = FoldPlan::new(specs_of_version_1());
    assert_eq!(
        (part.event_count(), part.missing(&plan)),
        (50, Vec::new()),
        "the ids of aggregates changed"
    );
    let count = spec(&serde_json::json!({ "function": "count", "type": "any" }));
    assert_eq!(part.aggregate(&plan, count.id(), at(1_000_000)), Value::from(50));
    let city = part.resolve_trait("city", &Survivorship::MostRecent).unwrap();
    assert_eq!(city.value, &Value::from("city 34"));
    let written = bytes(&part);
    assert_eq!(written[0], 2);
    assert_eq!(Part::decode(&written), Ok(part));
}

#[test]
fn the_persisted_form_of_version_2_is_read_and_written_unchanged() {
    // Fifty events of a history as above, folded by version 2.
    for (hex, specs) in [
        (include_str!("../../../golden/part_v2.hex"), specs_of_single_events()),
        (
            include_str!("../../../golden/part_v2_sequences.hex"),
            specs_of_sequences(),
        ),
    ] {
        let golden = golden(hex);
        let part = Part::decode(&golden).unwrap();
        assert_eq!(
            bytes(&part),
            golden,
            "the format changed: give it a new version and keep reading this one"
        );
        let plan = FoldPlan::new(specs);
        assert_eq!(
            (part.event_count(), part.missing(&plan)),
            (50, Vec::new()),
            "the ids of aggregates changed"
        );
    }
    assert_eq!(Part::decode(&[9]), Err(PartError::UnknownVersion(9)));
    assert_eq!(bytes(&Part::default()), [PART_VERSION, 0]);
}

#[test]
fn the_plans_that_parts_name_are_kept_up_to_a_limit_the_latest_last() {
    let specs = specs_of_sequences();
    let mut plans = Plans::default();
    let all: Vec<FoldPlan> = (0..MAX_PLANS + 3)
        .map(|n| FoldPlan::new(all_specs()[..n].to_vec()))
        .collect();
    assert!(all.iter().all(|plan| plans.remember(plan)));
    assert!(!plans.remember(all.last().unwrap()));
    assert_eq!(plans.ids_of(all[2].fingerprint()), None);
    // One that comes back is the latest again.
    assert!(plans.remember(&all[3]) && plans.remember(&FoldPlan::new(specs)));
    assert_eq!(plans.ids_of(all[3].fingerprint()).as_deref(), Some(all[3].ids()));
    assert_eq!(plans.ids_of(all[4].fingerprint()), None);
    assert_eq!(Plans::decode(&plans.encode()), Ok(plans));
    let mut few = Plans::default();
    few.remember(&all[0]);
    few.remember(&all[2]);
    let ids: String = all[2].ids().iter().map(|id| format!("{:032x}", id.0)).collect();
    let hex: String = few.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, format!("01020002{ids}"));
    assert_eq!(Plans::decode(&[2]), Err(PartError::UnknownVersion(2)));
}

#[test]
fn a_part_that_names_its_plan_is_smaller_and_needs_it_to_be_read() {
    let plan = FoldPlan::new(all_specs());
    let other = FoldPlan::new(all_specs()[1..].to_vec());
    let part = fold(&plan, &history(&mut ChaCha8Rng::seed_from_u64(3), 20));
    let mut named = Vec::new();
    part.encode_for(&plan, &mut named);
    assert!(named.len() + 16 * (plan.ids().len() - 1) <= bytes(&part).len());
    assert_eq!(Part::decode_for(&named, &plan), Ok(part.clone()));
    let unknown = Err(PartError::UnknownPlan(plan.fingerprint()));
    assert_eq!(Part::decode_for(&named, &other), unknown);
    assert_eq!(Part::decode(&named), unknown);
    // Under another plan than its own a part lists its aggregates.
    let mut listed = Vec::new();
    part.encode_for(&other, &mut listed);
    assert_eq!(listed, bytes(&part));
    assert_eq!(Part::decode_for(&listed, &plan), Ok(part));
}
