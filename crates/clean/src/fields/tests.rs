//! Tests of the rules that an event must keep.

use super::*;

fn check(route: Route, sent: &str, expected: Option<(&str, &str)>) {
    let verdict = check_event(route, sent.as_bytes(), &Limits::default());
    let found = verdict
        .as_ref()
        .err()
        .map(|violation| (violation.code, violation.path.as_str()));
    assert_eq!(found, expected, "{sent}: {verdict:?}");
    if let Err(violation) = verdict {
        assert!(violation.message.len() > 10, "{sent}");
    }
}

#[test]
fn col_4_the_rules_of_an_event() {
    let id = |chars: usize| format!(r#"{{"event":"a","messageId":"{}"}}"#, "é".repeat(chars));
    check(Route::Track, &id(100), None);
    check(Route::Track, &id(101), Some(("message_id_too_long", "messageId")));
    for (route, sent, expected) in [
        (Route::Track, r#"{"event":"Bought","userId":"u"}"#, None),
        (Route::Track, r#"{"event":"Bought"}"#, None),
        (Route::Track, r#"{"event":7}"#, None),
        (Route::Track, r#"{"event":"Bought","type":"identify"}"#, None),
        (Route::Track, r#"{"userId":"u"}"#, Some(("missing_field", "event"))),
        (Route::Track, r#"{"event":" "}"#, Some(("missing_field", "event"))),
        (Route::Track, r#"{"event":["a"]}"#, Some(("invalid_field", "event"))),
        (
            Route::Track,
            r#"{"event":"a","userId":{"id":1}}"#,
            Some(("invalid_field", "userId")),
        ),
        (Route::Track, r#"{"event":"a","userId":123}"#, None),
        (
            Route::Track,
            r#"{"event":"a","anonymousId":true}"#,
            Some(("invalid_field", "anonymousId")),
        ),
        (
            Route::Track,
            r#"{"event":"a","userId":null,"context":null,"properties":[]}"#,
            None,
        ),
        (
            Route::Track,
            r#"{"event":"a","properties":[1]}"#,
            Some(("invalid_field", "properties")),
        ),
        (
            Route::Track,
            r#"{"event":"a","context":"x"}"#,
            Some(("invalid_field", "context")),
        ),
        (
            Route::Track,
            r#"{"event":"a","externalIds":{}}"#,
            Some(("invalid_field", "externalIds")),
        ),
        (Route::Track, r#"{"event":"a","timestamp":7,"sentAt":{}}"#, None),
        (
            Route::Track,
            r#"{"event":"a","context":{"x":1,"x":2}}"#,
            Some(("duplicate_key", "context.x")),
        ),
        (
            Route::Track,
            r#"{"event":"a","x":1e999}"#,
            Some(("number_out_of_range", "x")),
        ),
        (Route::Track, "[]", Some(("not_an_object", ""))),
        (Route::Track, "{} x", Some(("invalid_json", ""))),
        (Route::Identify, "{}", None),
        (Route::Page, "{}", None),
        (Route::Screen, r#"{"name":"Home"}"#, None),
        (Route::Group, r#"{"userId":"u"}"#, Some(("missing_field", "groupId"))),
        (Route::Group, r#"{"userId":"u","groupId":5}"#, None),
        (Route::Alias, r#"{"userId":"u","previousId":"p"}"#, None),
        (Route::Alias, r#"{"userId":"u","anonymousId":"p"}"#, None),
        (Route::Alias, r#"{"userId":"u"}"#, Some(("missing_field", "previousId"))),
        (Route::Alias, r#"{"previousId":"u"}"#, Some(("missing_field", "userId"))),
        (Route::Batch, r#"{"type":"page"}"#, None),
        (Route::Batch, r#"{"event":"a"}"#, Some(("missing_type", "type"))),
        (
            Route::Batch,
            r#"{"type":"Track","event":"a"}"#,
            Some(("unknown_type", "type")),
        ),
        (Route::Batch, r#"{"type":"merge"}"#, Some(("unsupported_type", "type"))),
        (Route::Batch, r#"{"type":5}"#, Some(("unknown_type", "type"))),
        (Route::Internal, r#"{"type":"track","event":"Email Sent"}"#, None),
    ] {
        check(route, sent, expected);
    }
}

#[test]
fn col_4_an_event_has_a_largest_size() {
    let sized = |bytes: usize| {
        let frame = r#"{"event":"a","x":""}"#.len();
        format!(r#"{{"event":"a","x":"{}"}}"#, "x".repeat(bytes - frame))
    };
    check(Route::Track, &sized(32_768), None);
    check(Route::Track, &format!(" {}\n", sized(32_768)), None);
    check(Route::Track, &sized(32_769), Some(("event_too_large", "")));
}
