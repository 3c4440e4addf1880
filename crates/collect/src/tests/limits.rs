//! COL-4 and COL-8: limits, rejects, and hostile bodies.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use kith_clean::clean_record;
use kith_types::{Limits, Record, Terms};
use std::io::Write;

/// What cleaning makes of the last body that was kept.
fn cleaned(house: &House) -> (usize, Vec<(u32, &'static str)>) {
    let (space, envelope) = house.envelopes().pop().unwrap();
    let address = Address::default();
    let record = Record {
        address,
        space,
        received_at: Timestamp::from_millis(0),
        body: RecordBody::Envelope(envelope),
    };
    let cleaned = clean_record(&record);
    (
        cleaned.events.len(),
        cleaned
            .rejects
            .iter()
            .map(|reject| (reject.address.index, reject.code))
            .collect(),
    )
}

#[tokio::test]
async fn col_4_one_bad_event_never_fails_its_neighbours() {
    let house = House::new(DoorsConfig::default());
    let large = format!(r#"{{"type":"page","x":"{}"}}"#, "x".repeat(33_000));
    let body = format!(
        r#"{{"batch":[{{"type":"page"}},{{"type":"track"}},{large},{{"type":"page","a":1,"a":2}},{{"type":"page"}},{{"type":"page","userId":{{}}}}]}}"#
    );
    let answer = house.post("/v1/batch", body).await;
    let json = answer.json();
    assert_eq!((answer.status, &json["success"]), (StatusCode::OK, &true.into()));
    let told: Vec<(u32, String)> = json["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            assert!(one["message"].is_string());
            (
                one["index"].as_u64().unwrap() as u32,
                one["code"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let expected = [
        (1, "missing_field"),
        (2, "event_too_large"),
        (3, "duplicate_key"),
        (5, "invalid_field"),
    ];
    assert_eq!(told, expected.map(|(index, code)| (index, code.to_owned())));
    assert_eq!(json["rejected"][3]["path"], "userId");
    assert_eq!(cleaned(&house), (2, expected.to_vec()));
}

fn under(limits: Limits) -> SpaceDoorLimits {
    SpaceDoorLimits {
        terms: Terms { limits, ..Terms::USUAL },
        ..SpaceDoorLimits::default()
    }
}

#[tokio::test]
async fn col_4_a_space_has_limits_of_its_own_and_each_body_is_cleaned_under_those_it_was_taken_under() {
    let large = Limits {
        event_bytes: 100_000,
        batch_bytes: 900_000,
        batch_events: 4_000,
    };
    let house = House::limited(DoorsConfig::default(), under(large));
    let event = |bytes: usize| format!(r#"{{"type":"track","event":"a","x":"{}"}}"#, "x".repeat(bytes));
    let body = format!(r#"{{"batch":[{},{}]}}"#, event(99_000), event(100_000));
    let answer = house.post("/v1/batch", body.clone()).await;
    assert_eq!(answer.json()["rejected"][0]["code"], "event_too_large");
    assert_eq!(cleaned(&house), (1, vec![(1, "event_too_large")]));
    let many = format!(r#"{{"batch":[{}]}}"#, vec![event(200); 3_000].join(","));
    assert!(many.len() > Limits::USUAL.batch_bytes);
    assert_eq!(house.post("/v1/batch", many.clone()).await.status, StatusCode::OK);
    assert_eq!(cleaned(&house), (3_000, vec![]));
    // Another space has what is usual.
    let other = house.send(post("/v1/batch", "app", many)).await;
    assert_eq!(
        (other.status, other.code().as_str()),
        (StatusCode::BAD_REQUEST, "body_too_large")
    );
    assert_eq!(cleaned(&house), (0, vec![(0, "body_too_large")]));
    house.send(post("/v1/batch", "app", body)).await;
    assert_eq!(
        cleaned(&house),
        (0, vec![(0, "event_too_large"), (1, "event_too_large")])
    );
}

#[tokio::test]
async fn col_4_a_rejected_body_is_told_and_kept() {
    let limits = Limits {
        event_bytes: 1_000,
        batch_bytes: 2_000,
        batch_events: 3,
    };
    let config = DoorsConfig {
        kept_bytes_max: 4_000,
        ..DoorsConfig::default()
    };
    let house = House::limited(config, under(limits));
    let sized = |bytes: usize| format!(r#"{{"event":"a","x":"{}"}}"#, "x".repeat(bytes));
    for (path, body, code) in [
        ("/v1/track", sized(1_000), "event_too_large"),
        ("/v1/track", sized(2_000), "body_too_large"),
        ("/v1/track", r#"{"userId":"u"}"#.to_owned(), "missing_field"),
        ("/v1/track", r#"{"event":"a""#.to_owned(), "invalid_json"),
        ("/v1/batch", r#"{"batch":[{"type":"page"}"#.to_owned(), "invalid_json"),
        ("/v1/batch", "{}".to_owned(), "missing_batch"),
        ("/v1/batch", r#"{"batch":[1,2,3,4]}"#.to_owned(), "too_many_events"),
        (
            "/v1/batch",
            format!(r#"{{"batch":["{}"]}}"#, "x".repeat(2_000)),
            "body_too_large",
        ),
    ] {
        let answer = house.post(path, body.clone()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::BAD_REQUEST, code),
            "{body:.60}"
        );
        assert_eq!(
            (house.last_body(), cleaned(&house)),
            (body.into_bytes(), (0, vec![(0, code)]))
        );
    }
    let kept = house.envelopes().len();
    let answer = house.post("/v1/track", sized(4_000)).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
    );
    assert_eq!((house.envelopes().len(), house.doors.budget.taken()), (kept, 0));
}

#[tokio::test]
async fn col_8_hostile_bodies_are_refused_with_their_reason() {
    let house = House::new(DoorsConfig::default());
    let deep = format!(r#"{{"event":"a","x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for (body, code) in [
        (deep.as_bytes(), "too_deep"),
        (&b"{\"event\":\"a\",\"n\":1e999999}"[..], "number_out_of_range"),
        (b"{\"event\":\"a\",\"event\":\"b\"}", "duplicate_key"),
        (b"{\"event\":\"\xc3\x28\"}", "invalid_utf8"),
        (b"{\"event\":\"\\ud800\"}", "lone_surrogate"),
        (b"\x00\x01\x02", "invalid_json"),
    ] {
        let answer = house.post("/v1/track", body.to_vec()).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, code));
        assert_eq!(cleaned(&house), (0, vec![(0, code)]));
    }
}

#[tokio::test]
async fn col_8_a_zip_bomb_is_refused_before_it_unfolds() {
    let packed = |bytes: usize| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        for _ in 0..bytes / 1_000 {
            encoder.write_all(&[b' '; 1_000]).unwrap();
        }
        encoder.finish().unwrap()
    };
    for (bomb, code) in [
        (packed(900_000), "compression_ratio_too_high"),
        (packed(64_000_000), "body_too_large"),
    ] {
        let house = House::new(DoorsConfig::default());
        let mut request = post("/v1/batch", "web", bomb);
        request
            .headers_mut()
            .insert("content-encoding", "gzip".parse().unwrap());
        let answer = house.send(request).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::PAYLOAD_TOO_LARGE, code)
        );
        assert_eq!((house.envelopes().len(), house.doors.budget.taken()), (0, 0));
    }
}

#[tokio::test]
async fn col_8_a_body_that_is_not_what_its_encoding_says() {
    let house = House::new(DoorsConfig::default());
    for (encoding, body, status, code) in [
        ("gzip", &b"plain"[..], 400, "invalid_encoding"),
        (
            "gzip",
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x01",
            400,
            "invalid_encoding",
        ),
        ("deflate", b"plain", 400, "invalid_encoding"),
        ("br", b"plain", 415, "unknown_encoding"),
        ("gzip, gzip", b"plain", 415, "unknown_encoding"),
    ] {
        let mut request = post("/v1/track", "web", body);
        request
            .headers_mut()
            .insert("content-encoding", encoding.parse().unwrap());
        let answer = house.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (status, code),
            "{encoding}"
        );
    }
    assert!(house.envelopes().is_empty());
}
