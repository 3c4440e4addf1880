//! Proves what the page is told at each stage.

use super::*;
use kith_types::{Origin, SpaceId};

fn seen(name: &str) -> Seen {
    Seen {
        message_id: format!("m-{name}"),
        name: name.to_owned(),
        event_type: "track".to_owned(),
    }
}

fn record(route: Route, body: &str) -> Record {
    Record {
        address: "0-0-7-0".parse().unwrap(),
        space: SpaceId::main(),
        received_at: Timestamp::from_millis(5),
        body: RecordBody::Envelope(Envelope {
            source: "web".parse().unwrap(),
            route,
            origin: Origin::Live,
            content_type: "text/plain".into(),
            client_ip: "127.0.0.1".into(),
            user_agent: "".into(),
            terms: kith_types::Terms::USUAL,
            body: bytes::Bytes::copy_from_slice(body.as_bytes()),
        }),
    }
}

#[test]
fn raw_shows_the_visitors_event_as_it_was_sent_and_no_neighbour() {
    let address = "0-0-7-1".parse().unwrap();
    let batch = record(
        Route::Batch,
        r#"{"batch":[{"secret":1},{"price":1.50,"big":12345678901234567890}]}"#,
    );
    let told = raw(Some(&batch), address, "2026-11-23T09:30:00.000Z")
        .as_text()
        .to_owned();
    assert!(
        told.contains(r#""body":{"price":1.50,"big":12345678901234567890}"#),
        "{told}"
    );
    assert!(
        told.contains(r#""address":"0-0-7-1""#) && !told.contains("secret"),
        "{told}"
    );
    let single = record(Route::Track, r#"{ "event" : "Order Completed" }"#);
    assert!(
        raw(Some(&single), address, "")
            .as_text()
            .contains(r#"{ "event" : "Order Completed" }"#)
    );
    for broken in ["", "{", r#"{"batch":[]}"#] {
        assert!(
            raw(Some(&record(Route::Batch, broken)), address, "")
                .as_text()
                .contains(r#""body":null"#)
        );
    }
    assert!(!raw(None, address, "now").as_text().contains("body"));
}

#[test]
fn an_arrival_is_told_as_the_page_reads_it() {
    let arrival = Arrival {
        stage: Stage::Segment,
        at: Timestamp::from_millis(1_000),
        seen: seen("Order Completed"),
        payload: membership(
            "just_bought",
            Moved::Entered,
            "event",
            Some(Timestamp::from_millis(61_000)),
            "bought",
        ),
    };
    let told: Value = serde_json::from_str(&arrival.to_json()).unwrap();
    let expected = json!({
        "stage": "segment", "at": "1970-01-01T00:00:01.000Z", "messageId": "m-Order Completed",
        "event": "Order Completed",
        "payload": {
            "segment": "just_bought", "change": "entered", "cause": "event",
            "until": "1970-01-01T00:01:01.000Z", "explanation": "bought",
        },
    });
    assert_eq!(told, expected);
}

#[test]
fn a_change_is_told_with_the_event_that_the_segment_looks_at() {
    let pending = [
        seen("Product Viewed"),
        seen("Order Completed"),
        seen("Order Completed 2"),
        seen("Email Opened"),
    ];
    let orders = |seen: &Seen| seen.name.starts_with("Order");
    let name = |moved| caused_by(&pending, moved, orders).map(|seen| seen.name.as_str());
    assert_eq!(name(Moved::Entered), Some("Order Completed"));
    assert_eq!(name(Moved::Renewed), Some("Order Completed 2"));
    assert_eq!(name(Moved::Exited), Some("Order Completed 2"));
    assert_eq!(caused_by(&pending, Moved::Exited, |_| false), pending.last());
    assert_eq!(caused_by(&[], Moved::Exited, |_| true), None);
}

fn reason(condition: &str, holds: bool, parts: Vec<Reason>) -> Reason {
    Reason {
        condition: condition.to_owned(),
        holds,
        expected: None,
        actual: None,
        asks: None,
        behind: None,
        approximate: false,
        parts,
    }
}

#[test]
fn an_exit_names_the_condition_that_no_longer_holds() {
    let explained = |parts| Explanation {
        segment: "just_bought".parse().unwrap(),
        at: Timestamp::default(),
        member: false,
        next_transition: None,
        reason: reason("all of these", false, parts),
    };
    let bought = reason("they did \"Order Completed\" in the last 1 minute", false, Vec::new());
    let agrees = reason("they allow marketing", true, Vec::new());
    let one = explained(vec![bought.clone(), agrees]);
    let words = why_out("clock", &Seen::default(), Some(&one));
    assert_eq!(
        words,
        "only time went by; no longer so: they did \"Order Completed\" in the last 1 minute"
    );
    let both = explained(vec![bought.clone(), bought]);
    assert_eq!(
        why_out("event", &seen("Consent"), Some(&both)),
        "because of Consent; no longer so: all of these"
    );
    assert_eq!(why_out("clock", &Seen::default(), None), "only time went by");
    assert_eq!(why_in("Bought just now", None), "bought just now");
    assert_eq!(why_in("", Some(&one)), "all of these");
}
