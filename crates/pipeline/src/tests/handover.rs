//! The outbox as its readers use it: in pages, and forgotten when every reader has passed (contract ACT-1), and people
//! while they cannot be told apart.

use super::{Bench, at, event, identify, main_space, performed};
use crate::{Handover, OutboxReader, Pipeline, Reads, Standing};
use kith_segment::{Cause, Change};
use kith_state::{Batch, Keyspace, MemoryStore, Store};
use kith_types::{ProfileId, SegmentName, Timestamp};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

fn store_with(changes: u64, at: impl Fn(u64) -> Timestamp) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::default());
    let mut batch = Batch::default();
    for number in 0..changes {
        let change = Change {
            segment: "vip".parse().unwrap(),
            profile: ProfileId(number.into()),
            entered: true,
            at: at(number),
            cause: Cause::Clock,
            approximate: false,
        };
        let key = crate::keys::numbered(&main_space(), number);
        batch.put(Keyspace::Outbox, key, crate::output::encode_change(&change));
    }
    store.commit(batch).unwrap();
    store
}

fn numbers(handover: &Handover) -> Vec<u64> {
    let changes = handover.changes_from(&main_space(), 0, usize::MAX).unwrap();
    changes.into_iter().map(|change| change.number).collect()
}

#[test]
fn act_1_the_outbox_forgets_what_every_reader_has_passed_and_nothing_else() {
    let store = store_with(30_000, |_| at(0));
    let handover = Handover::new(Arc::clone(&store) as Arc<dyn Store>);
    let (lake, sender) = (OutboxReader::Lake, handover.clone());
    handover.passed(lake, &main_space(), 25_000).unwrap();
    assert_eq!(numbers(&handover).len(), 30_000, "activation has not spoken yet");
    sender.passed(OutboxReader::Activation, &main_space(), 20_000).unwrap();
    let left = numbers(&handover);
    assert_eq!(
        (left.first(), left.len()),
        (Some(&20_000), 10_000),
        "the slower one decides"
    );
    // A reader that says less than before, as after a restart, brings nothing back and removes nothing.
    handover.passed(lake, &main_space(), 3).unwrap();
    sender.passed(OutboxReader::Activation, &main_space(), 30_000).unwrap();
    assert_eq!(numbers(&handover).first(), Some(&25_000));
    let stands = handover.outbox(&main_space()).unwrap();
    assert_eq!((stands.end, stands.waiting_from), (30_000, None));
    handover.passed(lake, &main_space(), 30_000).unwrap();
    assert_eq!(numbers(&handover), Vec::<u64>::new());
    assert_eq!(handover.outbox(&main_space()).unwrap().end, 30_000);
    // Another handover, as after a restart: nobody has spoken to it, and it knows no more than the rows.
    let reopened = Handover::new(store as Arc<dyn Store>);
    reopened.passed(lake, &main_space(), 30_000).unwrap();
    assert_eq!(numbers(&reopened), Vec::<u64>::new());
}

#[test]
fn act_1_an_outbox_that_nobody_sends_by_is_bounded_by_age_and_number() {
    // One change a second: those within the bounds of number stay, and so would all within a week.
    let store = store_with(1_500_000, |number| at(i64::try_from(number).unwrap()));
    let handover = Handover::new(store as Arc<dyn Store>);
    handover.passed(OutboxReader::Lake, &main_space(), 1_500_000).unwrap();
    let week = 7 * 86_400;
    let first = numbers(&handover)[0];
    assert_eq!(
        first,
        500_000_u64.min(1_500_000 - 1 - week),
        "neither a million nor a week is cut"
    );
    let waiting = handover.outbox(&main_space()).unwrap().waiting_from;
    assert_eq!(waiting.map(|(number, _)| number), Some(first));
}

/// While a lost state is built again, somebody who is gone for the moment is not told to be gone.
#[test]
fn act_1_nobody_is_denied_while_a_lost_state_is_built_again() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 10))]);
    bench.take(1, &[event("user_id:u1", "Order Completed", 1, json!({}))]);
    bench.settle(at(2));
    let store = Arc::clone(&bench.store) as Arc<dyn Store>;
    let pipeline = Arc::new(Pipeline::at_rest(Arc::clone(&store), crate::EngineConfig::default()).unwrap());
    let reads = Reads::new(Arc::clone(&store), pipeline);
    let asked = |name: &str| reads.standing(&main_space(), name, at(3)).unwrap();
    assert!(matches!(asked("user_id:u1"), Standing::Found(_)));
    assert!(matches!(asked("user_id:u2"), Standing::Nobody));
    let buyers = "buyers".parse().unwrap();
    let members = |reads: &Reads| reads.standing_members(&main_space(), &buyers, None, 9).unwrap();
    assert_eq!(members(&reads).map(|members| members.len()), Some(1));
    // A state that was lost and has nobody yet.
    let empty = Arc::new(MemoryStore::default()) as Arc<dyn Store>;
    let lost = crate::EngineConfig {
        rebuilt_before: 4,
        ..crate::EngineConfig::default()
    };
    let pipeline = Arc::new(Pipeline::at_rest(Arc::clone(&empty), lost).unwrap());
    let reads = Reads::new(empty, pipeline);
    assert!(matches!(
        reads.standing(&main_space(), "user_id:u1", at(3)).unwrap(),
        Standing::NotNow
    ));
    assert_eq!(members(&reads), None);
}

/// Whoever begins at one moment is given the members of that moment, and with the changes from its number on everything that
/// ever was, each once.
#[test]
fn seg_5_members_and_the_changes_from_their_number_on_are_all_there_is() {
    let mut bench = Bench::new();
    let pro = json!({"where": {"trait": "plan", "equals": "pro"}});
    bench.decide(
        0,
        &[
            ("segment", "buyers", performed("Order Completed", 1, 10)),
            ("segment", "pro", pro),
        ],
    );
    let handover = Handover::new(Arc::clone(&bench.store) as Arc<dyn Store>);
    for second in 1..=6 {
        let user = format!("user_id:u{}", second % 4);
        let plan = if second % 3 == 0 { "free" } else { "pro" };
        bench.take(
            second,
            &[
                event(&user, "Order Completed", second, json!({})),
                identify(&user, second, json!({"plan": plan})),
            ],
        );
    }
    bench.settle(at(14));
    bench.take(20, &[event("user_id:u9", "Order Completed", 20, json!({}))]);
    bench.settle(at(21));
    let changes = handover.changes_from(&main_space(), 0, usize::MAX).unwrap();
    let mut then = BTreeSet::new();
    for numbered in changes {
        let membership = (numbered.change.segment, numbered.change.profile, numbered.change.at);
        match numbered.change.entered {
            true => then.insert(membership),
            false => {
                let before = then.len();
                then.retain(|(segment, profile, _)| (segment, profile) != (&membership.0, &membership.1));
                before > then.len()
            }
        };
    }
    let members = |named: Option<&BTreeSet<SegmentName>>| {
        let mut found = BTreeSet::new();
        let number = handover.members_now(&main_space(), named, &mut |segment, profile, since| {
            found.insert((segment, profile, since));
            true
        });
        (found, number.unwrap())
    };
    let (all, number) = members(None);
    assert!(!all.is_empty() && all.iter().any(|(segment, ..)| segment.as_str() == "buyers"));
    assert_eq!(all, then);
    assert_eq!(number, handover.next_number(&main_space()).unwrap());
    assert_eq!(handover.changes_from(&main_space(), number, 10).unwrap(), vec![]);
    assert_eq!(
        Some(number - 1),
        handover
            .changes_from(&main_space(), 0, usize::MAX)
            .unwrap()
            .last()
            .map(|last| last.number)
    );
    let (buyers, _) = members(Some(&BTreeSet::from(["buyers".parse().unwrap()])));
    let expected: BTreeSet<_> = all
        .into_iter()
        .filter(|(segment, ..)| segment.as_str() == "buyers")
        .collect();
    assert_eq!(buyers, expected);
}
