//! Rejects that are put through again (contract CLN-4).

use super::{Bench, at, event, main_space, performed, record_of, same, with_id};
use crate::Handover;
use kith_clean::{REJECTS_REPLAYED, RejectsReplay, clean_record};
use kith_types::{Decision, Limits, Record, RecordBody};
use serde_json::json;
use std::sync::Arc;

/// A body with an event that is too large, one without a message id that is too large as well, and a sound one.
fn sent(sequence: u64) -> Record {
    let large = "x".repeat(33_000);
    let events = [
        with_id(event("user_id:u1", "Bought", 1, json!({ "note": large })), "m1"),
        event("user_id:u1", "Bought", 2, json!({ "note": large })),
        with_id(event("user_id:u1", "Bought", 3, json!({})), "m3"),
    ];
    record_of("main", sequence, at(10), &json!({ "batch": events }).to_string())
}

/// The decision to put rejects of a record through again, where an event may be twice as large.
fn again(record: &Record, sequence: u64, second: i64, indexes: &[u32]) -> Record {
    let mut replay = RejectsReplay {
        author: "me".to_owned(),
        reason: "the limit was too small".to_owned(),
        limits: Limits {
            event_bytes: 65_536,
            ..Limits::default()
        },
        bodies: vec![(record.clone(), indexes.to_vec())],
    };
    replay.keep_accepted();
    let body = Decision {
        kind: REJECTS_REPLAYED.into(),
        document: replay.to_json().into(),
    };
    Record {
        body: RecordBody::Decision(body),
        ..record_of("main", sequence, at(second), "")
    }
}

#[test]
fn cln_4_rejects_go_through_again_once_and_a_rebuild_gives_the_same() {
    let first = sent(1);
    assert_eq!(clean_record(&first).rejects.len(), 2);
    let (replayed, repeated) = (again(&first, 2, 20, &[0, 1, 7]), again(&first, 3, 30, &[0, 1]));
    let decided = super::decision(0, 0, &[("segment", "buyers", performed("Bought", 3, 1_000))]);
    let records = [decided, first, replayed.clone(), repeated];
    let mut bench = Bench::new();
    for record in &records {
        bench.apply(record);
        bench.commit();
        bench.crash();
    }
    let events = bench.events();
    let names: Vec<String> = events.iter().map(|event| event.event_time.to_string()).collect();
    assert_eq!(
        names,
        [3, 1, 2].map(|second| at(second).to_string()),
        "each once, at its own time"
    );
    assert_eq!(bench.outputs.iter().map(|output| output.duplicates).sum::<u64>(), 2);
    assert_eq!(
        bench.outputs.iter().map(|output| output.rejects.len()).sum::<usize>(),
        2,
        "no reject is told twice"
    );
    assert_eq!(bench.told(), ["+buyers 20 import"], "history sends nothing");
    // What the tables take from the log after a crash: the same events at the same places, without the later copies.
    let handover = Handover::new(Arc::clone(&bench.store) as _);
    let caught_up: Vec<_> = records
        .iter()
        .flat_map(|record| clean_record(record).events)
        .filter(|event| !handover.is_later_copy(&main_space(), event.address).unwrap())
        .collect();
    assert_eq!(
        caught_up.iter().map(|event| event.address).collect::<Vec<_>>(),
        events.iter().map(|event| event.address).collect::<Vec<_>>()
    );
    assert_eq!(clean_record(&replayed).events.len(), 2);

    let mut rebuilt = Bench::new();
    records.iter().for_each(|record| rebuilt.apply(record));
    rebuilt.commit();
    same(&bench.store, &rebuilt.store, at(30), "a rebuild");
}

/// An event that came again by itself meanwhile is not counted a second time.
#[test]
fn cln_4_a_reject_whose_key_counts_already_adds_nothing() {
    let first = sent(0);
    let mut bench = Bench::new();
    bench.apply(&first);
    bench.take(11, &[with_id(event("user_id:u1", "Bought", 1, json!({})), "m1")]);
    bench.apply(&again(&first, 2, 20, &[0]));
    bench.commit();
    assert_eq!(bench.events().len(), 2);
    assert_eq!(bench.outputs.last().unwrap().duplicates, 1);
}

/// A replay asks which keys count at its own moment: those of before may be forgotten by then, or not yet.
#[test]
fn cln_4_a_key_that_has_expired_by_the_replay_does_not_hold_it_off() {
    let first = sent(0);
    let mut bench = Bench::new();
    bench.apply(&first);
    bench.take(11, &[with_id(event("user_id:u1", "Bought", 1, json!({})), "m1")]);
    let day = 86_400;
    bench.apply(&again(&first, 2, 31 * day, &[0]));
    bench.commit();
    assert_eq!(bench.events().len(), 3);
    assert_eq!(bench.outputs.last().unwrap().duplicates, 0);
}
