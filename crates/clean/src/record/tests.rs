//! Tests of cleaning whole records: determinism, lossless rejects, and agreement with the doors.

use super::*;
use crate::inspect;
use kith_types::{Decision, Envelope, Origin, Route};
use proptest::prelude::*;

fn record(route: Route, body: &[u8]) -> Record {
    let envelope = Envelope {
        source: "web".parse().unwrap(),
        route,
        origin: Origin::Live,
        content_type: "text/plain".into(),
        client_ip: "192.0.2.1".into(),
        user_agent: "".into(),
        terms: kith_types::Terms::USUAL,
        body: bytes::Bytes::copy_from_slice(body),
    };
    Record {
        address: Address {
            generation: 1,
            partition: 0,
            sequence: 9,
            index: 0,
        },
        space: SpaceId::main(),
        received_at: Timestamp::from_millis(1_700_000_000_000),
        body: RecordBody::Envelope(envelope),
    }
}

#[test]
fn cln_4_a_reject_keeps_what_was_sent() {
    let body =
        b"{\"batch\":[{\"type\":\"page\"}, {\"type\":\"page\",\"a\":\"\xff\"},{\"type\":\"track\" , \"userId\":1}]}";
    let cleaned = clean_record(&record(Route::Batch, body));
    assert_eq!(
        cleaned
            .events
            .iter()
            .map(|event| event.address.index)
            .collect::<Vec<_>>(),
        [0]
    );
    let [utf8, rule] = cleaned.rejects.as_slice() else {
        panic!("{:?}", cleaned.rejects)
    };
    assert_eq!(
        (utf8.code, utf8.address.index, utf8.original.encoding()),
        ("invalid_utf8", 1, "base64")
    );
    assert_eq!(utf8.original.as_bytes(), b"{\"type\":\"page\",\"a\":\"\xff\"}");
    assert_eq!(utf8.original.as_text(), "eyJ0eXBlIjoicGFnZSIsImEiOiL/In0=");
    assert_eq!(
        (rule.code, rule.path.as_str(), rule.address.index),
        ("missing_field", "event", 2)
    );
    assert_eq!(
        (rule.original.as_text().as_ref(), rule.original.encoding()),
        ("{\"type\":\"track\" , \"userId\":1}", "utf-8")
    );
}

#[test]
fn cln_4_a_body_that_fails_as_a_whole_is_one_reject() {
    for (body, code) in [
        (&b"{\"batch\":["[..], "invalid_json"),
        (b"", "invalid_json"),
        (b"{}", "missing_batch"),
    ] {
        let cleaned = clean_record(&record(Route::Batch, body));
        assert_eq!((cleaned.events.len(), cleaned.rejects.len()), (0, 1));
        let reject = &cleaned.rejects[0];
        assert_eq!(
            (reject.code, reject.address.index, reject.original.as_bytes()),
            (code, 0, body)
        );
    }
    let mut small = record(Route::Track, br#"{"event":"a"}"#);
    if let RecordBody::Envelope(envelope) = &mut small.body {
        envelope.terms.limits.batch_bytes = 10;
    }
    assert_eq!(clean_record(&small).rejects[0].code, "body_too_large");
}

#[test]
fn a_decision_holds_no_events() {
    let decision = Decision {
        kind: "definition.applied".into(),
        document: "{}".into(),
    };
    let record = Record {
        body: RecordBody::Decision(decision),
        ..record(Route::Track, b"")
    };
    assert_eq!(clean_record(&record), Cleaned::default());
}

/// Bodies near to sound ones, and some that are not.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let event = prop_oneof![
        Just(r#"{"type":"track","event":"a","userId":"u","timestamp":"2023-11-14T22:00:00Z"}"#),
        Just(r#"{"type":"identify","traits":{"email":"a@x.com","n":1.50},"context":{"device":{"id":"d"}}}"#),
        Just(r#"{"type":"alias","userId":"u","previousId":"p","messageId":"m"}"#),
        Just(r#"{"type":"group","groupId":7,"anonymousId":"\u0000é"}"#),
        Just(r#"{"type":"track"}"#),
        Just(r#"{"type":"page","a":{"b":1,"b":2}}"#),
        Just("[1]"),
    ];
    let batch = prop::collection::vec(event, 0..5)
        .prop_map(|events| format!("{{\"batch\":[{}],\"context\":{{\"ip\":\"1\"}}}}", events.join(",")).into_bytes());
    let damaged = (
        batch,
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    )
        .prop_map(|(mut body, damages)| {
            for (at, byte) in damages {
                let place = at.index(body.len());
                body[place] = byte;
            }
            body
        });
    prop_oneof![4 => damaged, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #[test]
    fn cln_1_clean_is_deterministic(body in any_body()) {
        for route in [Route::Batch, Route::Track, Route::Internal] {
            let record = record(route, &body);
            prop_assert_eq!(clean_record(&record), clean_record(&record.clone()));
        }
    }

    #[test]
    fn col_4_the_door_reports_what_cleaning_rejects(body in any_body()) {
        for route in [Route::Batch, Route::Identify, Route::Internal] {
            let cleaned = clean_record(&record(route, &body));
            let rejects: Vec<(u32, &str, &str)> =
                cleaned.rejects.iter().map(|reject| (reject.address.index, reject.code, reject.message.as_str())).collect();
            prop_assert!(rejects.iter().all(|(_, code, _)| REASONS.contains(code)), "{:?}", rejects);
            match inspect(route, &body, &Limits::default()) {
                Ok(inspection) => {
                    let rejected: Vec<(u32, &str, &str)> = inspection
                        .rejected
                        .iter()
                        .map(|one| (one.index as u32, one.violation.code, one.violation.message.as_str()))
                        .collect();
                    prop_assert_eq!(rejected, rejects);
                    prop_assert_eq!(inspection.events, cleaned.events.len() + cleaned.rejects.len());
                }
                Err(error) => prop_assert_eq!(vec![(0, error.code, error.message.as_str())], rejects),
            }
        }
    }
}
