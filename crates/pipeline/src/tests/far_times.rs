//! Times out of all proportion: a sign-in a day late, windows longer than history, events of the year 9999 and of the year 1.

use super::oracle::check;
use super::{Bench, at, decision, event, main_space, performed, record, same, with_id};
use kith_types::{Origin, Record, RecordBody, Timestamp};
use serde_json::{Value as Json, json};

const DAY: i64 = 86_400;

/// Takes records, and once more without a stop; both must hold the same.
fn run(records: &[Record], now: Timestamp, what: &str) -> Bench {
    let (mut bench, mut again) = (Bench::new(), Bench::new());
    for record in records {
        bench.until(record.received_at);
        bench.apply(record);
        bench.commit();
        again.apply(record);
    }
    bench.settle(now);
    again.settle(now);
    same(&bench.store, &again.store, now, what);
    check(&bench, now, what);
    bench
}

/// An event with the time that a text says.
fn timed(identifiers: &str, name: &str, time: &str) -> Json {
    let mut event = event(identifiers, name, 0, json!({}));
    event["timestamp"] = json!(time);
    event
}

/// The members of a segment as they are kept.
fn members(bench: &Bench, segment: &str) -> usize {
    let from = crate::keys::members(&main_space(), segment);
    let all = super::oracle::tree(&*bench.store, kith_state::Keyspace::Members);
    all.keys().filter(|key| key.starts_with(&from)).count()
}

#[test]
fn idn_9_a_sign_in_that_comes_a_day_late_takes_what_was_done_on_a_shared_device_since() {
    let viewed = |second| event("anonymous_id:tablet", "Product Viewed", second, json!({}));
    let signed_in = |who: &str, second| {
        event(
            &format!("user_id:{who} anonymous_id:tablet"),
            "Signed In",
            second,
            json!({}),
        )
    };
    let in_time = [
        (10, vec![signed_in("u1", 10)]),
        (20, vec![viewed(20)]),
        (30, vec![viewed(30)]),
        // Somebody else, all day long.
        (40 + DAY / 2, vec![viewed(40 + DAY / 2)]),
        (20 + DAY, vec![signed_in("u2", 15)]),
        (30 + DAY, vec![viewed(30 + DAY)]),
    ];
    let viewers = ("segment", "viewers", performed("Product Viewed", 2, 30 * 86_400));
    let mut records = vec![decision(0, 0, &[viewers])];
    records.extend(
        (1..)
            .zip(&in_time)
            .map(|(sequence, (second, events))| record(sequence, *second, events)),
    );
    let mut bench = run(&records, at(40 + DAY), "a sign-in a day late");
    let told = bench.told();
    let late = 20 + DAY;
    assert_eq!(told[0], "+viewers 30 event");
    let mut moved = told[1..].to_vec();
    moved.sort();
    assert_eq!(
        moved,
        [format!("+viewers {late} event"), format!("-viewers {late} event")]
    );
    let people: Vec<_> = bench.numbered().iter().map(|one| one.change.profile).collect();
    assert_ne!(people[1], people[2], "from one to the other");
    // As if it had come in time.
    let mut sorted: Vec<Json> = in_time.iter().flat_map(|(_, events)| events.clone()).collect();
    sorted.sort_by_key(|event| event["timestamp"].to_string());
    let mut prompt = Bench::new();
    prompt.take(40 + DAY, &sorted);
    prompt.commit();
    let identifiers = |bench: &Bench| -> Vec<(u64, usize)> {
        let of = |name| crate::reads::tests::person(bench, name, at(50 + DAY)).unwrap();
        let found = ["user_id:u1", "user_id:u2"].map(of);
        found
            .iter()
            .map(|person| (person.event_count, person.identifiers.len()))
            .collect()
    };
    assert_eq!(identifiers(&bench), identifiers(&prompt));
    assert_eq!(
        identifiers(&bench),
        [(1, 2), (5, 2)],
        "all that was done after it is the second one's"
    );
}

#[test]
fn seg_2_a_window_longer_than_history_ends_for_nobody() {
    // The last is the longest that can be written.
    for days in [400, 36_500, 366_000] {
        let last = json!({"where": {"performed": {"event": "A", "within": {"last": format!("{days}d")}}}});
        let before = json!({"where": {"performed": {"event": "A", "within": {"before_last": format!("{days}d")}}}});
        let ago = json!({"where": {"performed": {"event": "A", "within": {"ago": {"from": format!("{days}d"), "to": "1s"}}}}});
        let gone = json!({"where": {"lifecycle": {"stage": "stopped", "event": "A", "after": format!("{days}d")}}});
        let spec = json!({"function": "count", "event": "A", "window": {"last": format!("{days}d")}});
        let often = json!({"where": {"computed_trait": "recent", "greater_or_equal": 2}});
        let documents = [
            ("computed_trait", "recent", spec),
            ("segment", "last", last),
            ("segment", "before", before),
            ("segment", "ago", ago),
            ("segment", "gone", gone),
            ("segment", "often", often),
        ];
        let records = [
            record(0, 1, &[event("user_id:u", "A", 1, json!({}))]),
            decision(1, 2, &documents),
            record(2, 3, &[event("user_id:u", "A", 3, json!({}))]),
        ];
        let mut bench = run(&records, at(300 * DAY), &format!("a window of {days} days"));
        let mut told = bench.told();
        told.sort();
        assert_eq!(
            told,
            ["+ago 2 definition", "+last 2 definition", "+often 3 event"],
            "{days} days"
        );
    }
}

#[test]
fn seg_2_an_event_of_a_far_future_counts_when_it_comes_and_one_sent_live_when_it_is_received() {
    let documents = [
        ("segment", "seen", json!({"where": {"performed": "A"}})),
        ("segment", "lately", performed("A", 1, 3_600)),
        (
            "segment",
            "not_yet",
            json!({"where": {"not_performed": {"event": "A"}}}),
        ),
    ];
    let far = ["9999-12-31T23:59:59.999999Z", "9999-12-31T00:00:00Z", "2200-01-01"];
    let imported = |sequence, events: &[Json]| {
        let mut record = record(sequence, 5, events);
        if let RecordBody::Envelope(envelope) = &mut record.body {
            envelope.origin = Origin::Import;
        }
        record
    };
    let coming: Vec<Json> = (0..)
        .zip(far)
        .map(|(n, time)| with_id(timed("user_id:import", "A", time), &format!("f{n}")))
        .collect();
    let live = timed("user_id:live", "A", "9999-12-31T23:59:59Z");
    let old = timed("user_id:old", "A", "0001-01-01T00:00:01Z");
    let records = [
        decision(0, 0, &documents),
        imported(1, &coming),
        imported(2, &[old]),
        record(3, 10, &[live]),
    ];
    let mut bench = run(&records, at(DAY), "the far future");
    let told = bench.told();
    // Nobody has come to be in `seen` by an event that is yet to happen; the live one is taken to happen when it is received.
    assert_eq!(
        told,
        [
            "+not_yet 5 import",
            "+seen 5 import",
            "+lately 10 event",
            "+seen 10 event",
            "-lately 3610 clock"
        ]
    );
    assert_eq!((members(&bench, "seen"), members(&bench, "not_yet")), (2, 1));
    // When each comes, by time alone; the last of them comes at the last instant there is.
    let rest = [
        (far[2], 1),
        ("2200-01-01T01:00:00Z", 0),
        (far[1], 1),
        ("9999-12-31T23:59:59Z", 0),
    ];
    for (time, lately) in rest {
        let after = Timestamp::from_micros(Timestamp::parse(time).unwrap().as_micros() + 1);
        bench.settle(after);
        check(&bench, after, time);
        assert_eq!((members(&bench, "seen"), members(&bench, "not_yet")), (3, 0), "{time}");
        assert_eq!(members(&bench, "lately"), lately, "{time}");
    }
}
