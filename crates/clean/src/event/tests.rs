//! Tests of the clean event: its time, name, key, traits, and whom it names.

use crate::clean_record;
use kith_types::{Address, Envelope, Event, EventKey, Origin, Record, RecordBody, Route, SpaceId, TimeNote, Timestamp};

/// 2023-11-14T22:13:20Z
const RECEIVED: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn clean(route: Route, origin: Origin, body: &str) -> Event {
    let envelope = Envelope {
        source: "web".parse().unwrap(),
        route,
        origin,
        content_type: "application/json".into(),
        client_ip: "192.0.2.1".into(),
        user_agent: "".into(),
        terms: kith_types::Terms::USUAL,
        body: bytes::Bytes::copy_from_slice(body.as_bytes()),
    };
    let address = Address {
        generation: 1,
        partition: 0,
        sequence: 7,
        index: 0,
    };
    let record = Record {
        address,
        space: SpaceId::main(),
        received_at: RECEIVED,
        body: RecordBody::Envelope(envelope),
    };
    let mut cleaned = clean_record(&record);
    assert_eq!(
        (cleaned.events.len(), cleaned.rejects.len()),
        (1, 0),
        "{body}: {:?}",
        cleaned.rejects
    );
    cleaned.events.remove(0)
}

fn json(object: &kith_types::Object) -> String {
    kith_types::Value::Object(object.clone()).to_json()
}

#[test]
fn col_6_the_time_of_an_event() {
    use TimeNote::{Absent, Future, Unparsable};
    for (fields, shown, note) in [
        // The client's clock is a day ahead; the event happened ten seconds before it was sent.
        (
            r#""originalTimestamp":"2023-11-15T22:00:00Z","sentAt":"2023-11-15T22:00:10Z""#,
            "2023-11-14T22:13:10.000Z",
            None,
        ),
        (
            r#""timestamp":"2023-11-15T22:00:00Z","sentAt":"2023-11-15T22:00:10Z""#,
            "2023-11-14T22:13:10.000Z",
            None,
        ),
        (
            r#""originalTimestamp":"2023-11-15T22:00:00Z","timestamp":"2001-01-01","sentAt":"2023-11-15T22:00:10Z""#,
            "2023-11-14T22:13:10.000Z",
            None,
        ),
        (
            r#""timestamp":"2023-11-14T22:00:00.123456Z""#,
            "2023-11-14T22:00:00.123456Z",
            None,
        ),
        (
            r#""timestamp":"2023-11-14T22:00:00Z","sentAt":"noon""#,
            "2023-11-14T22:00:00.000Z",
            None,
        ),
        (
            r#""timestamp":"2023-11-14T22:00:00Z","sentAt":null"#,
            "2023-11-14T22:00:00.000Z",
            None,
        ),
        (
            r#""timestamp":"2023-11-14T22:18:20Z""#,
            "2023-11-14T22:18:20.000Z",
            None,
        ),
        (
            r#""timestamp":"2023-11-14T22:18:20.000001Z""#,
            "2023-11-14T22:13:20.000Z",
            Some(Future),
        ),
        (
            r#""timestamp":"2023-11-14T22:20:00Z","sentAt":"2023-11-14T22:00:00Z""#,
            "2023-11-14T22:13:20.000Z",
            Some(Future),
        ),
        (
            r#""sentAt":"2023-11-14T22:00:00Z""#,
            "2023-11-14T22:13:20.000Z",
            Some(Absent),
        ),
        (r#""timestamp":"""#, "2023-11-14T22:13:20.000Z", Some(Absent)),
        (
            r#""timestamp":"0001-01-01T00:00:00Z""#,
            "2023-11-14T22:13:20.000Z",
            Some(Absent),
        ),
        (
            r#""timestamp":"yesterday""#,
            "2023-11-14T22:13:20.000Z",
            Some(Unparsable),
        ),
        (
            r#""timestamp":1700000000"#,
            "2023-11-14T22:13:20.000Z",
            Some(Unparsable),
        ),
        (
            r#""timestamp":"99999-01-01T00:00:00Z""#,
            "2023-11-14T22:13:20.000Z",
            Some(Unparsable),
        ),
        (
            r#""timestamp":"-0044-03-15T00:00:00Z""#,
            "2023-11-14T22:13:20.000Z",
            Some(Unparsable),
        ),
        // A clock that is wrong by an age leads to the first moment that can be written, not beyond it.
        (
            r#""timestamp":"0002-01-01T00:00:00Z","sentAt":"9999-01-01T00:00:00Z""#,
            "0001-01-01T00:00:00.000Z",
            None,
        ),
    ] {
        let event = clean(Route::Track, Origin::Live, &format!(r#"{{"event":"a",{fields}}}"#));
        assert_eq!(
            (event.event_time.to_string().as_str(), event.time_note),
            (shown, note),
            "{fields}"
        );
    }
    let batch = r#"{"batch":[{"type":"page","timestamp":"2023-11-15T22:00:00Z"}],"sentAt":"2023-11-15T22:00:10Z"}"#;
    assert_eq!(
        clean(Route::Batch, Origin::Live, batch).event_time.to_string(),
        "2023-11-14T22:13:10.000Z"
    );
}

#[test]
fn col_6_an_import_keeps_its_own_timestamps() {
    let body =
        r#"{"batch":[{"type":"page","timestamp":"1997-01-01","sentAt":"2023-11-15T22:00:10Z"}],"sentAt":"1999-01-01"}"#;
    let event = clean(Route::Batch, Origin::Import, body);
    assert_eq!(
        (event.event_time.to_string().as_str(), event.time_note),
        ("1997-01-01T00:00:00.000Z", None)
    );
    let event = clean(Route::Batch, Origin::Import, r#"{"batch":[{"type":"page"}]}"#);
    assert_eq!((event.event_time, event.time_note), (RECEIVED, Some(TimeNote::Absent)));
}

#[test]
fn idn_1_whom_an_event_names() {
    for (route, sent, named) in [
        (
            Route::Identify,
            r#"{"userId":"u","anonymousId":"a","traits":{"email":"E@x.com","phone":155500}}"#,
            "user_id:u anonymous_id:a email:E@x.com phone:155500",
        ),
        (
            Route::Track,
            r#"{"event":"e","userId":19.50,"properties":{"email":"no@x.com"}}"#,
            "user_id:19.5",
        ),
        (Route::Track, r#"{"event":"e","userId":" ","anonymousId":null}"#, ""),
        (
            Route::Track,
            r#"{"event":"e","context":{"traits":{"email":"c@x.com"},"device":{"id":"d"}}}"#,
            "email:c@x.com device_id:d",
        ),
        (
            Route::Identify,
            r#"{"traits":{"email":"a@x.com"},"context":{"traits":{"email":"a@x.com","phone":true}}}"#,
            "email:a@x.com",
        ),
        (
            Route::Track,
            r#"{"event":"e","context":{"externalIds":[{"id":"7","type":"loyalty","collection":"users","encoding":"none"},
               {"id":"acme","type":"crm","collection":"accounts"},{"id":8,"type":"user_id"},{"type":"x"},9]},
               "externalIds":[{"id":"7","type":"loyalty"},{"id":"z","type":"crm"}]}"#,
            "loyalty:7 crm:z user_id:8",
        ),
        (
            Route::Track,
            r#"{"event":"e","context":{"externalId":[{"id":"7","type":"braze"}]}}"#,
            "braze:7",
        ),
        (
            Route::Group,
            r#"{"userId":"u","groupId":"g","traits":{"email":"office@x.com"}}"#,
            "user_id:u",
        ),
        (
            Route::Alias,
            r#"{"userId":"new","previousId":"old"}"#,
            "user_id:new user_id:old",
        ),
        (
            Route::Alias,
            r#"{"userId":"new","previousId":"a","anonymousId":"a"}"#,
            "user_id:new anonymous_id:a",
        ),
        (
            Route::Alias,
            r#"{"userId":"new","anonymousId":"a"}"#,
            "user_id:new anonymous_id:a",
        ),
        (
            Route::Track,
            r#"{"event":"e","previousId":"old","userId":"u"}"#,
            "user_id:u",
        ),
    ] {
        let event = clean(route, Origin::Live, sent);
        let shown: Vec<String> = event.identifiers.iter().map(ToString::to_string).collect();
        assert_eq!(shown.join(" "), named, "{sent}");
    }
    let group = clean(Route::Group, Origin::Live, r#"{"userId":"u","groupId":42}"#);
    assert_eq!(group.group_id.as_deref(), Some("42"));
}

#[test]
fn cln_2_the_key_of_an_event() {
    let event = clean(Route::Track, Origin::Live, r#"{"event":"e","messageId":"m-1"}"#);
    assert_eq!(event.key, EventKey::of_message(&event.space, &event.source, "m-1"));
    assert_eq!(event.message_id.as_deref(), Some("m-1"));
    let event = clean(Route::Track, Origin::Live, r#"{"event":"e","messageId":17}"#);
    assert_eq!(event.key, EventKey::of_message(&event.space, &event.source, "17"));
    let event = clean(Route::Track, Origin::Live, r#"{"event":"e","messageId":""}"#);
    assert_eq!(
        (event.key, event.message_id.clone()),
        (EventKey::of_address(&event.space, event.address), None)
    );
}

#[test]
fn cln_1_large_contexts_merge_as_small_ones_do() {
    let fields = |from: usize, to: usize, value: usize| -> String {
        (from..to)
            .map(|at| format!(r#""k{at}":{{"v{value}":{value}}}"#))
            .collect::<Vec<_>>()
            .join(",")
    };
    let merged = |fields_each: usize| {
        let (own, beneath) = (fields(0, fields_each, 1), fields(fields_each / 2, fields_each + 2, 2));
        let body = format!(r#"{{"batch":[{{"type":"page","context":{{{own}}}}}],"context":{{{beneath}}}}}"#);
        clean(Route::Batch, Origin::Live, &body).context
    };
    for fields_each in [4, 400] {
        let context = merged(fields_each);
        assert_eq!(context.len(), fields_each + 2);
        for (at, (key, value)) in context.iter().enumerate() {
            assert_eq!(&**key, format!("k{at}"));
            let (own, beneath) = (value.get("v1").is_some(), value.get("v2").is_some());
            assert_eq!((own, beneath), (at < fields_each, at >= fields_each / 2), "{key}");
        }
    }
}

#[test]
fn cln_1_names_traits_properties_and_context() {
    for (route, sent, name, traits, properties) in [
        (
            Route::Track,
            r#"{"event":"Bought","properties":{"b":1,"a":2}}"#,
            "Bought",
            "{}",
            r#"{"b":1,"a":2}"#,
        ),
        (
            Route::Page,
            r#"{"name":"Home","category":"Docs"}"#,
            "Home",
            "{}",
            r#"{"category":"Docs"}"#,
        ),
        (
            Route::Page,
            r#"{"category":"Docs","properties":{"category":"own"}}"#,
            "page",
            "{}",
            r#"{"category":"own"}"#,
        ),
        (Route::Screen, "{}", "screen", "{}", "{}"),
        (
            Route::Identify,
            r#"{"event":"x","traits":{"a":1},"context":{"traits":{"a":2,"b":3}}}"#,
            "identify",
            r#"{"a":1,"b":3}"#,
            "{}",
        ),
        (
            Route::Identify,
            r#"{"context":{"traits":{"a":2}}}"#,
            "identify",
            r#"{"a":2}"#,
            "{}",
        ),
        (
            Route::Group,
            r#"{"groupId":"g","traits":{"n":"x"},"context":{"traits":{"a":2}}}"#,
            "group",
            r#"{"n":"x"}"#,
            "{}",
        ),
        (
            Route::Track,
            r#"{"event":"e","traits":{"no":1},"context":{"traits":{"a":2}}}"#,
            "e",
            r#"{"a":2}"#,
            "{}",
        ),
        (
            Route::Internal,
            r#"{"type":"track","event":"Email Sent"}"#,
            "Email Sent",
            "{}",
            "{}",
        ),
    ] {
        let event = clean(route, Origin::Live, sent);
        assert_eq!(
            (&*event.name, json(&event.traits), json(&event.properties)),
            (name, traits.into(), properties.into()),
            "{sent}"
        );
    }
    let batch = r#"{"batch":[{"type":"page","context":{"app":{"v":2},"ip":"1"}}],"context":{"app":{"v":1,"n":"a"},"ip":{},"os":"x"}}"#;
    assert_eq!(
        json(&clean(Route::Batch, Origin::Live, batch).context),
        r#"{"app":{"v":2,"n":"a"},"ip":"1","os":"x"}"#
    );
}
