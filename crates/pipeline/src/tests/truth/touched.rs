//! Only the segments that an event touches, or whose instant has come, are asked of somebody in memory. It must come to
//! what asking every segment at every event comes to: the same changes with the same numbers and causes, and the same state.
//!
//! An engine that is opened anew before each record knows of nobody what was asked, so it asks everything.

use super::records::records;
use crate::tests::{Bench, at, same};
use kith_oracle::World;
use kith_types::{Record, RecordBody};

/// Takes the records; changes of definitions reach everybody at once, so that changes come in one order.
fn taken(records: &[Record], asks_everything: bool) -> Bench {
    let mut bench = Bench::new();
    for (number, record) in records.iter().enumerate() {
        if asks_everything {
            bench.commit();
            bench.crash();
        }
        bench.apply(record);
        let decided = matches!(record.body, RecordBody::Decision(_));
        while decided && bench.sweep() {}
        // Whoever a step holds stays in memory until it is committed.
        if number % 16 == 15 {
            bench.commit();
        }
    }
    bench
}

fn check(records: &[Record], what: &str) -> usize {
    let last = records.last().map_or(at(0), |record| record.received_at);
    let end = last + kith_types::Duration::from_secs(40);
    let (mut touched, mut everything) = (taken(records, false), taken(records, true));
    touched.settle(end);
    everything.settle(end);
    assert_eq!(touched.numbered(), everything.numbered(), "{what}");
    same(&touched.store, &everything.store, end, what);
    touched.numbered().len()
}

#[test]
fn seg_2_asking_what_an_event_touches_tells_what_asking_everything_tells() {
    let mut changes = 0;
    for seed in 0..300 {
        let random = records(&World::random(seed, 2));
        changes += check(&random, &format!("random trees, seed {seed}"));
    }
    for seed in 0..100 {
        let world = crate::tests::worlds::world(seed, 80, seed % 3 == 0);
        changes += check(&world.records, &format!("few people, seed {seed}"));
    }
    // The worlds are worth something only if much changes in them.
    assert!(changes > 2_000, "{changes}");
}
