//! Pages of a person's events: every event once and in order, whatever is passed over and however small the steps.

use super::*;
use crate::reads::tests::reads_of;
use crate::tests::{Bench, at, event, identify, main_space};
use kith_types::Address;
use proptest::prelude::*;
use serde_json::json;

const NAMES: [&str; 3] = ["Seen", "Bought", "Left"];

/// Somebody whose events stand under several carriers, of whom all are one person.
fn somebody(events: &[(u8, u8, u8)]) -> Reads {
    let carriers = [
        "user_id:u1",
        "phone:+31612345678",
        "anonymous_id:a1",
        "email:jo@example.com",
    ];
    let mut bench = Bench::new();
    for (at, (carrier, name, second)) in (0..).zip(events) {
        let carrier = carriers[usize::from(*carrier) % carriers.len()];
        let name = NAMES[usize::from(*name) % NAMES.len()];
        bench.take(1_000 + at, &[event(carrier, name, i64::from(*second), json!({}))]);
    }
    let together = identify("user_id:u1 email:jo@example.com", 300, json!({}));
    let others = identify("user_id:u1 phone:+31612345678", 301, json!({}));
    let device = identify("user_id:u1 anonymous_id:a1", 302, json!({}));
    bench.take(2_000, &[together, others, device]);
    bench.commit();
    let reads = reads_of(&bench);
    for carrier in carriers {
        let one = reads.resolve(&main_space(), carrier).unwrap();
        assert_eq!(one, reads.resolve(&main_space(), "user_id:u1").unwrap(), "{carrier}");
    }
    reads
}

fn all_pages(reads: &Reads, asked: &EventsAsked<'_>) -> Vec<Event> {
    let (mut events, mut after) = (Vec::new(), None);
    loop {
        let page = EventsAsked { after, ..*asked };
        let found = reads.events_page(&main_space(), "user_id:u1", &page).unwrap().unwrap();
        assert!(found.events.len() <= asked.limit);
        assert!(found.next.is_none() || found.next != after, "a page goes on");
        events.extend(found.events);
        after = found.next;
        if after.is_none() {
            return events;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn api_1_pages_of_events_hold_each_wanted_event_once_and_in_order(
        events in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 0..60),
        wanted in prop::sample::subsequence(NAMES.to_vec(), 0..=3),
        (start, end) in (prop::option::of(0_i64..260), prop::option::of(0_i64..400)),
        ascending in any::<bool>(),
        (limit, rows_max) in (1_usize..9, 1_usize..40),
    ) {
        let reads = somebody(&events);
        let mut expected = reads.events(&main_space(), "user_id:u1", None, 1_000).unwrap().unwrap();
        expected.retain(|event| {
            wanted.contains(&&*event.name)
                && start.is_none_or(|start| event.event_time >= at(start))
                && end.is_none_or(|end| event.event_time < at(end))
        });
        if ascending {
            expected.reverse();
        }
        let asked = EventsAsked {
            ascending,
            after: None,
            start: start.map(at),
            end: end.map(at),
            wanted: &|name| wanted.contains(&name),
            limit,
            rows_max,
        };
        let places = |events: &[Event]| -> Vec<(Timestamp, Address)> {
            events.iter().map(Event::canonical_order).collect()
        };
        prop_assert_eq!(places(&all_pages(&reads, &asked)), places(&expected));
    }
}

#[test]
fn api_1_a_rare_event_is_found_behind_many_others_in_either_order() {
    let mut events = vec![(0, 1, 0)];
    events.extend((0..2_000).map(|at| ((at % 4) as u8, 0, 1 + (at % 200) as u8)));
    events.push((2, 1, 250));
    let reads = somebody(&events);
    for ascending in [false, true] {
        let asked = EventsAsked {
            ascending,
            after: None,
            start: None,
            end: None,
            wanted: &|name| name == "Bought",
            limit: 1,
            rows_max: 50,
        };
        let mut seconds = [at(0), at(250)];
        if !ascending {
            seconds.reverse();
        }
        let found: Vec<Timestamp> = all_pages(&reads, &asked).iter().map(|event| event.event_time).collect();
        assert_eq!(found, seconds);
    }
}
