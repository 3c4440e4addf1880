//! What counts: later copies, rejects, imports.

use super::{Bench, at, event, performed, record_of, with_id};
use kith_types::{Origin, Record, RecordBody};
use serde_json::{Value as Json, json};

fn order(message: &str, total: i64, second: i64) -> Json {
    with_id(
        event("user_id:u1", "Order Completed", second, json!({"total": total})),
        message,
    )
}

const DAY: i64 = 86_400;

#[test]
fn cln_2_later_copies_are_dropped_whatever_they_say() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "twice", performed("Order Completed", 2, 1_000))]);
    bench.take(1, &[order("m1", 10, 1), order("m1", 99, 1)]);
    bench.commit();
    bench.crash();
    let other_person = with_id(event("user_id:u2", "Signed Up", 2, json!({})), "m1");
    bench.take(2, &[other_person]);
    bench.take(30 * DAY + 1, &[order("m1", 10, 1)]);
    assert!(bench.told().is_empty());
    assert_eq!(bench.events().len(), 1, "only the first copy counts");
    assert_eq!(bench.outputs.iter().map(|output| output.duplicates).sum::<u64>(), 3);
    let handover = crate::Handover::new(std::sync::Arc::clone(&bench.store) as _);
    let address = |sequence, index| kith_types::Address {
        generation: 1,
        partition: 0,
        sequence,
        index,
    };
    let marks = [address(1, 0), address(1, 1), address(2, 0), address(3, 0)];
    let copies = marks.map(|mark| handover.is_later_copy(&super::main_space(), mark).unwrap());
    assert_eq!(copies, [false, true, true, true], "what the lake leaves out");
    bench.take(30 * DAY + 2, &[order("m1", 10, 30 * DAY + 2)]);
    bench.commit();
    assert_eq!(bench.events().len(), 2, "after the window the key counts anew");
}

#[test]
fn cln_2_the_window_is_that_of_the_copy_that_counts() {
    let mut bench = Bench::new();
    let mut sequence = 0;
    let mut send = |bench: &mut Bench, second: i64, days: u16| {
        sequence += 1;
        let body = json!({"batch": [order("m1", 10, second)]}).to_string();
        let mut record = record_of("main", sequence, at(second), &body);
        if let RecordBody::Envelope(envelope) = &mut record.body {
            envelope.terms.dedupe_days = days;
        }
        bench.apply(&record);
        bench.commit();
        bench.crash();
        bench.events().len()
    };
    let counted = [
        (1, 2),
        // Another window from then on says nothing of a copy that counts already.
        (2 * DAY + 1, 1),
        (2 * DAY + 2, 1),
        (3 * DAY + 2, 90),
        (3 * DAY + 3, 90),
        (93 * DAY + 3, 1),
        (93 * DAY + 4, 1),
    ]
    .map(|(second, days)| send(&mut bench, second, days));
    assert_eq!(counted, [1, 1, 2, 2, 3, 3, 4]);
}

#[test]
fn cln_2_a_reject_claims_no_key() {
    let mut bench = Bench::new();
    let rejected = json!({"type": "track", "messageId": "m1", "userId": "u1"});
    bench.take(1, &[rejected, order("m1", 10, 1)]);
    bench.commit();
    let output = bench.outputs.last().unwrap();
    assert_eq!(
        (output.rejects.len(), output.events.len(), output.duplicates),
        (1, 1, 0)
    );
}

#[test]
fn cln_2_the_key_of_an_import_never_expires() {
    let mut bench = Bench::new();
    let imported = |sequence, second: i64| {
        let body = json!({"batch": [order("m1", 10, 1)]}).to_string();
        let mut record: Record = record_of("main", sequence, at(second), &body);
        if let RecordBody::Envelope(envelope) = &mut record.body {
            envelope.origin = Origin::Import;
        }
        record
    };
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 1_000))]);
    bench.apply(&imported(1, 10));
    assert_eq!(bench.told(), ["+buyers 10 import"]);
    bench.apply(&imported(2, 400 * DAY));
    bench.commit();
    assert_eq!(bench.events().len(), 1);
}

#[test]
fn cln_1_a_record_that_cannot_be_read_is_a_reject_and_stalls_nothing() {
    let mut bench = Bench::new();
    bench.apply(&record_of("main", 0, at(1), "{not json"));
    bench.take(2, &[order("m1", 10, 2)]);
    bench.commit();
    let output = bench.outputs.last().unwrap();
    assert_eq!((output.rejects.len(), output.events.len()), (1, 1));
    assert_eq!(bench.engine.next(), 2);
}
