//! Tests of walking a body: neighbours unharmed, limits, and one verdict at the doors and in cleaning.

use super::*;
use crate::{check_event, parse_json};
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    event_bytes: 32_768,
    batch_bytes: 512_000,
    batch_events: 2_500,
};

fn codes(route: Route, body: &[u8]) -> Vec<(usize, &'static str)> {
    let inspection = inspect(route, body, &LIMITS).unwrap();
    inspection
        .rejected
        .iter()
        .map(|rejected| (rejected.index, rejected.violation.code))
        .collect()
}

#[test]
fn col_4_one_bad_event_never_fails_its_neighbours() {
    let good = r#"{"type":"track","event":"a","userId":"u"}"#;
    for (bad, code) in [
        (r#"{"type":"track"}"#, "missing_field"),
        (r#"{"type":"track","event":"a","event":"b"}"#, "duplicate_key"),
        (r#"{"type":"track","event":"\ud800"}"#, "lone_surrogate"),
        (r#"{"type":"track","event":"a","n":1e999}"#, "number_out_of_range"),
        (r#"{"type":"track","event":"a",}"#, "invalid_json"),
        (r#"{"type":"track","event":"a","s":"\q]}"}"#, "invalid_json"),
        (r#"{"type":"track","event":"a" "x":[}}"#, "invalid_json"),
        ("17", "not_an_object"),
        ("017", "invalid_json"),
        ("nope", "invalid_json"),
        (r#""}""#, "not_an_object"),
        (&format!("{{\"x\":{}{}}}", "[".repeat(500), "]".repeat(500)), "too_deep"),
        (
            &format!("{{\"type\":\"page\",\"x\":\"{}\"}}", "x".repeat(40_000)),
            "event_too_large",
        ),
    ] {
        let body = format!("{{\"batch\":[{good}, {bad} ,{good}],\"sentAt\":\"2026-01-01T00:00:00Z\"}}");
        assert_eq!(codes(Route::Batch, body.as_bytes()), [(1, code)], "{bad}");
        let parts = split(Route::Batch, body.as_bytes(), &LIMITS).unwrap();
        let found: Vec<&str> = parts.events.iter().map(|range| &body[range.clone()]).collect();
        assert_eq!(found, [good, bad, good]);
    }
}

#[test]
fn col_4_the_keys_of_a_bad_event_are_not_its_batchs() {
    // The first key shares its mark with `context`, so that the keys themselves are compared.
    let body = r#"{"comment":1,"batch":[{"type":"page","context":{"x":}},{"type":"page"}],"context":{},"sentAt":"t"}"#;
    assert_eq!(codes(Route::Batch, body.as_bytes()), [(0, "invalid_json")]);
}

#[test]
fn col_8_invalid_utf8_is_the_fault_of_its_event() {
    let mut body = br#"{"batch":[{"type":"page"},{"type":"page","name":"XY"},{"type":"page","name":"e"}]}"#.to_vec();
    let place = body.iter().position(|byte| *byte == b'X').unwrap();
    body[place] = 0xC3;
    assert_eq!(codes(Route::Batch, &body), [(1, "invalid_utf8")]);
    assert_eq!(codes(Route::Track, b"{\"event\":\"\xff\"}"), [(0, "invalid_utf8")]);
    let outside = b"{\"batch\":[],\"\xff\":1}";
    assert_eq!(
        inspect(Route::Batch, outside, &LIMITS).unwrap_err().code,
        "invalid_utf8"
    );
}

#[test]
fn col_4_a_body_that_fails_as_a_whole() {
    let many = format!("{{\"batch\":[{}1]}}", "1,".repeat(2_500));
    let large = format!("{{\"batch\":[\"{}\"]}}", "x".repeat(512_000));
    for (route, sent, code) in [
        (Route::Batch, "", "invalid_json"),
        (Route::Batch, "[]", "invalid_json"),
        (Route::Batch, r#"{"batch":[{"type":"page"}"#, "invalid_json"),
        (Route::Batch, r#"{"batch":[{"type":"page"}]} x"#, "invalid_json"),
        (Route::Batch, r#"{"batch":[{"type":"page"}}"#, "invalid_json"),
        (Route::Batch, r#"{"batch":[],"batch":[]}"#, "duplicate_key"),
        (Route::Batch, r#"{"batch":[],"context":{"a":1,"a":2}}"#, "duplicate_key"),
        (Route::Batch, r#"{"batch":[],"context":5}"#, "invalid_field"),
        (Route::Batch, r#"{"batch":{}}"#, "invalid_field"),
        (Route::Batch, r#"{"event":"a"}"#, "missing_batch"),
        (Route::Batch, r#"{"mergeProperties":[]}"#, "unsupported_type"),
        (Route::Batch, &many, "too_many_events"),
        (Route::Batch, &large, "body_too_large"),
        (Route::Track, r#"{"event":"a"}}"#, "invalid_json"),
        (Route::Track, r#"{"event":"a"#, "invalid_json"),
        (Route::Track, "", "invalid_json"),
    ] {
        let error = inspect(route, sent.as_bytes(), &LIMITS).unwrap_err();
        assert_eq!(error.code, code, "{sent:.60} {error}");
        assert_eq!(split(route, sent.as_bytes(), &LIMITS), Err(error));
    }
    let most = format!("{{\"batch\":[{}1]}}", "1,".repeat(2_499));
    assert_eq!(inspect(Route::Batch, most.as_bytes(), &LIMITS).unwrap().events, 2_500);
}

#[test]
fn col_4_a_context_that_every_event_would_copy_is_bounded() {
    let body = |context_bytes: usize, events: usize| {
        let padding = "x".repeat(context_bytes - r#"{"x":""}"#.len());
        format!(
            r#"{{"batch":[{}1],"context":{{"x":"{padding}"}}}}"#,
            "1,".repeat(events - 1)
        )
    };
    for (context_bytes, events, code) in [
        (32_768, 250, None),
        (32_769, 1, Some("context_too_large")),
        (32_768, 251, Some("context_too_large")),
        (3_276, 2_500, None),
        (3_277, 2_500, Some("context_too_large")),
    ] {
        let found = inspect(Route::Batch, body(context_bytes, events).as_bytes(), &LIMITS);
        assert_eq!(found.err().map(|error| error.code), code, "{context_bytes} {events}");
    }
}

#[test]
fn the_parts_beside_the_events_are_found() {
    let body =
        r#"{"writeKey":"k","batch":[ {"type":"page"} ],"context":{"a":1},"integrations":{"All":true},"sentAt":"t"}"#;
    let parts = split(Route::Batch, body.as_bytes(), &LIMITS).unwrap();
    let text = |range: &Option<Range<usize>>| body[range.clone().unwrap()].to_owned();
    assert_eq!(text(&parts.context), r#"{"a":1}"#);
    assert_eq!(text(&parts.integrations), r#"{"All":true}"#);
    assert_eq!(text(&parts.sent_at), r#""t""#);
    assert_eq!(text(&parts.write_key), r#""k""#);
    assert_eq!(&body[parts.events[0].clone()], r#"{"type":"page"}"#);
    let alone = r#"{"type":"page","name":"n"}"#;
    let whole = 0..alone.len();
    assert_eq!(
        split(Route::Internal, alone.as_bytes(), &LIMITS)
            .unwrap()
            .events
            .as_slice(),
        std::slice::from_ref(&whole)
    );
}

#[test]
fn col_2_a_write_key_is_found_whatever_else_is_wrong() {
    for (body, key) in [
        (r#"{"writeKey":"k1"}"#, Some("k1")),
        (
            r#"{"batch":[{"writeKey":"no"},{"a":"\q}"}],"writeKey":"k2"}"#,
            Some("k2"),
        ),
        (r#"{"writeKey":"k3","batch":[{"#, Some("k3")),
        (r#"{"writeKey":7}"#, None),
        (r#"{"writeKey":""}"#, None),
        ("[]", None),
        ("", None),
        (r#"{"batch":[1e999,1,[[]]],"writeKey":"k\u0034"}"#, Some("k4")),
    ] {
        assert_eq!(write_key(body.as_bytes()).as_deref(), key, "{body}");
    }
    assert_eq!(write_key(b"{\"a\":\"\xff\",\"writeKey\":\"k\"}").as_deref(), Some("k"));
}

fn any_event() -> impl Strategy<Value = String> {
    let sound = (0_usize..6, ".{0,12}", any::<i32>(), any::<bool>()).prop_map(|(kind, text, number, with_event)| {
        let kind = ["track", "identify", "page", "group", "alias", "merge"][kind];
        let mut event =
            serde_json::json!({"type": kind, "userId": text, "properties": {"n": number, "l": [1, {"t": text}]}});
        if with_event {
            event["event"] = text.into();
        }
        event.to_string()
    });
    prop_oneof![4 => sound, 1 => "[\\[\\]{}\",:\\\\0-9a]{0,12}", 1 => Just("5".to_owned()), 1 => Just("{\"a\":1,\"a\":2}".to_owned())]
}

proptest! {
    #[test]
    fn cln_1_the_split_agrees_with_the_parse(events in prop::collection::vec(any_event(), 0..8), damage in any::<Option<(prop::sample::Index, u8)>>()) {
        let mut body = format!("{{\"batch\":[{}],\"context\":{{}}}}", events.join(",")).into_bytes();
        if let Some((at, byte)) = damage {
            let place = at.index(body.len());
            body[place] = byte;
        }
        let (parts, inspection) = (split(Route::Batch, &body, &LIMITS), inspect(Route::Batch, &body, &LIMITS));
        prop_assert_eq!(parts.as_ref().err(), inspection.as_ref().err());
        let (Ok(parts), Ok(inspection)) = (parts, inspection) else { return Ok(()) };
        prop_assert_eq!(parts.events.len(), inspection.events);
        for (index, range) in parts.events.iter().enumerate() {
            let rejected = inspection.rejected.iter().find(|rejected| rejected.index == index);
            let alone = check_event(Route::Batch, &body[range.clone()], &LIMITS).err().map(|violation| violation.code);
            prop_assert_eq!(alone, rejected.map(|rejected| rejected.violation.code), "{:?}", &body[range.clone()]);
            prop_assert!(rejected.is_some() || parse_json(&body[range.clone()]).is_ok());
        }
        if inspection.rejected.is_empty() {
            let whole: serde_json::Value = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(whole["batch"].as_array().map_or(1, Vec::len), parts.events.len());
        }
    }

    #[test]
    fn col_8_no_bytes_make_the_walk_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for route in [Route::Batch, Route::Track, Route::Internal] {
            let _ = (split(route, &bytes, &LIMITS), write_key(&bytes));
        }
    }
}
