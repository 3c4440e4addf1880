//! Reads over a committed store, without a pipeline's thread.

use super::{PersonDocument, document, find};
use crate::tests::{Bench, at, event, identify, main_space, performed};
use kith_types::Timestamp;
use serde_json::json;

fn person(bench: &Bench, name: &str, now: Timestamp) -> Option<PersonDocument> {
    let definitions = bench.engine.definitions(&main_space()).unwrap();
    let (loaded, asked) = find(&*bench.store, &main_space(), &definitions, name).unwrap()?;
    Some(document(&loaded, asked, &definitions, now))
}

#[test]
fn seg_2_a_read_evaluates_at_its_instant() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 60))]);
    bench.take(10, &[event("user_id:u1", "Order Completed", 10, json!({}))]);
    bench.commit();
    let read = |second| person(&bench, "user_id:u1", at(second)).unwrap();
    assert_eq!(read(11).segments, [("buyers".parse().unwrap(), Some(at(10)))]);
    assert!(read(71).segments.is_empty(), "no timer has fired, and none is needed");
    assert_eq!(
        read(0).segments.len(),
        1,
        "a clock that was set back does not go behind what was folded"
    );
}

#[test]
fn a_read_knows_a_definition_that_no_sweep_has_brought_yet() {
    let mut bench = Bench::new();
    for n in 0..5 {
        bench.take(
            n,
            &[event(
                &format!("user_id:u{n}"),
                "Order Completed",
                n,
                json!({"total": 7}),
            )],
        );
    }
    bench.decide(
        10,
        &[
            (
                "computed_trait",
                "spent",
                json!({"function": "sum", "event": "Order Completed", "property": "total"}),
            ),
            ("segment", "buyers", performed("Order Completed", 1, 60)),
        ],
    );
    bench.commit();
    let person = person(&bench, "user_id:u3", at(11)).unwrap();
    assert_eq!(person.computed.len(), 1);
    assert_eq!(person.computed[0].1.as_number().unwrap().to_i64(), Some(7));
    assert_eq!(
        person.segments,
        [("buyers".parse().unwrap(), None)],
        "entered, at an instant that is not known yet"
    );
}

#[test]
fn api_1_any_identifier_and_any_earlier_id_lead_to_the_person() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 600))]);
    bench.take(1, &[event("email:m1@x.org", "Order Completed", 1, json!({}))]);
    bench.take(2, &[identify("user_id:u1", 2, json!({"plan": "pro"}))]);
    let younger = bench.last_person();
    bench.take(3, &[event("user_id:u1 email:m1@x.org", "Signed Up", 3, json!({}))]);
    let id = bench.last_person();
    bench.commit();
    for name in ["user_id:u1", "email:M1@x.org ", &id.to_string(), &younger.to_string()] {
        let found = person(&bench, name, at(4)).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(found.id, id, "{name}");
        assert_eq!(found.redirected_from, (name == younger.to_string()).then_some(younger));
        assert_eq!(found.event_count, 3);
        assert_eq!(found.identifiers.len(), 2);
        assert_eq!(found.traits[0].name, "plan");
        assert_eq!(found.segments.len(), 1);
    }
    assert!(person(&bench, "user_id:u9", at(4)).is_none());
}
