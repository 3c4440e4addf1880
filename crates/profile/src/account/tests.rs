//! PRO-1, PRO-2 and PRO-3 for accounts: a function of a set of events, whose merges equal the fold of the union.

use super::*;
use crate::Survivorship;
use crate::part::tests::{at, event, number};
use kith_types::Value;
use proptest::prelude::*;

/// A call that names the account: a `group` call with traits, or an `identify` whose traits are the person's.
fn names(sequence: u64, group: bool, source: &str, time: i64, plan: &str, seats: i64) -> Event {
    Event {
        source: source.parse().unwrap(),
        event_type: if group { EventType::Group } else { EventType::Identify },
        group_id: Some("acme".into()),
        traits: vec![("plan".into(), Value::from(plan)), ("seats".into(), Value::from(seats))],
        ..event(sequence, "", at(time))
    }
}

fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> AccountFold {
    let mut fold = AccountFold::new("acme");
    events.into_iter().for_each(|event| fold.apply(event));
    fold
}

proptest! {
    #[test]
    fn pro_1_pro_2_an_account_is_a_function_of_the_set_of_its_events(
        calls in prop::collection::vec((any::<bool>(), 0..3_usize, 0..50_i64, 0..40_i64), 1..60),
        order in any::<u64>(),
        cut in 0..60_usize,
    ) {
        let sources = ["web", "crm", "billing"];
        let plan = |seats: i64| format!("plan {}", seats % 7);
        let mut events: Vec<Event> = (0..).zip(&calls)
            .map(|(n, (group, source, time, seats))| names(n, *group, sources[*source], *time, &plan(*seats), *seats))
            .collect();
        let whole = fold(&events);
        events.sort_by_key(|event| (event.address.sequence.wrapping_mul(order | 1), event.address.sequence));
        prop_assert_eq!(fold(&events).encode(), whole.encode());
        let (one, other) = events.split_at(cut.min(events.len()));
        let mut merged = fold(one);
        merged.merge_from(&fold(other));
        prop_assert_eq!(&merged, &whole);
        prop_assert_eq!(AccountFold::decode(&whole.encode()).unwrap(), whole);
    }
}

#[test]
fn pro_3_an_account_has_the_rules_of_traits_and_shows_its_losers() {
    let events = [
        names(1, true, "crm", 10, "pro", 5),
        names(2, true, "web", 20, "free", 7),
        names(3, false, "web", 30, "the person's own", 99),
    ];
    let account = fold(&events);
    let with = |rule| TraitRules {
        default: rule,
        ..TraitRules::default()
    };
    let check = |rule: Survivorship, plan: &str, seats: &str| {
        let rules = with(rule);
        let found: Vec<_> = account.resolved_traits(&rules).collect();
        let values: Vec<_> = found.iter().map(|(name, resolved)| (*name, resolved.value)).collect();
        assert_eq!(values, [("plan", &Value::from(plan)), ("seats", &number(seats))]);
        assert_eq!(found[0].1.losers.len(), 1, "the other source's word");
    };
    check(Survivorship::MostRecent, "free", "7");
    check(Survivorship::Oldest, "pro", "5");
    check(Survivorship::SourcePriority(vec!["crm".parse().unwrap()]), "pro", "5");
    assert_eq!((account.event_count(), account.last_seen()), (3, Some(at(30))));
}

#[test]
fn the_bytes_of_an_account_are_those_of_version_1() {
    let account = fold(&[names(1, true, "crm", 10, "pro", 5)]);
    let hex: String = account.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("../../golden/account_v1.hex").trim());
    assert_eq!(AccountFold::decode(&[2]), Err(PartError::UnknownVersion(2)));
    let bytes = account.encode();
    assert!((0..bytes.len()).all(|length| AccountFold::decode(&bytes[..length]).is_err()));
}
