//! SPC-1: the rate and the sizes of a space are its own, and another space never feels them.

use super::*;
use crate::{SpaceDoorLimits, SpaceRates};
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn limited(limits: SpaceDoorLimits) -> House {
    House::limited(DoorsConfig::default(), limits)
}

/// Posts a body under the key `app`, of the other space.
async fn post_other(house: &House, path: &str, body: &str) -> Answer {
    house.send(post(path, "app", body.to_owned())).await
}

#[tokio::test]
async fn spc_1_a_space_over_its_rate_is_told_when_to_come_back_and_another_is_taken() {
    // So slow a rate that no pace of a machine fills the bucket again.
    let house = limited(SpaceDoorLimits {
        events_per_second: Some(1),
        burst_events: Some(3_500),
        ..SpaceDoorLimits::default()
    });
    let batch = format!(r#"{{"batch":[{}]}}"#, vec![r#"{"type":"page"}"#; 1_500].join(","));
    for _ in 0..2 {
        assert_eq!(house.post("/v1/batch", batch.clone()).await.status, StatusCode::OK);
    }
    let kept = house.envelopes().len();
    let refused = house.post("/v1/batch", batch.clone()).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.code(), "space_rate_limited");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((990..=1_000).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-ratelimit-reset"), refused.header("retry-after"));
    assert_eq!(refused.header("access-control-allow-origin"), "*");
    // With the bucket empty nothing of a body is read.
    let rest = format!(r#"{{"batch":[{}]}}"#, vec![r#"{"type":"page"}"#; 500].join(","));
    assert_eq!(house.post("/v1/batch", rest).await.status, StatusCode::OK);
    let refused = house.post("/v1/track", TRACK).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    let pixel = Request::get("/pixel/v1/page?writeKey=web&anonymousId=a")
        .body(Body::empty())
        .unwrap();
    let pixel = house.send(pixel).await;
    assert_eq!(pixel.status, StatusCode::TOO_MANY_REQUESTS, "by every door");
    assert_eq!(house.envelopes().len(), kept + 1, "what is refused is not kept");
    assert_eq!(house.doors.budget.taken(), 0);
    for _ in 0..5 {
        assert_eq!(post_other(&house, "/v1/batch", &batch).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn spc_1_what_the_log_did_not_take_costs_a_space_nothing() {
    let house = limited(SpaceDoorLimits {
        events_per_second: Some(1),
        ..SpaceDoorLimits::default()
    });
    *house.kept.failure.lock().unwrap() = Some(AppendError::Unavailable);
    for _ in 0..3 {
        assert_eq!(
            house.post("/v1/track", TRACK).await.status,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
    *house.kept.failure.lock().unwrap() = None;
    assert_eq!(house.post("/v1/track", TRACK).await.status, StatusCode::OK);
}

#[tokio::test]
async fn spc_1_the_size_of_a_batch_is_the_spaces_own() {
    let house = limited(SpaceDoorLimits {
        batch_events: Some(1),
        batch_bytes: Some(200),
        ..SpaceDoorLimits::default()
    });
    let long = format!(r#"{{"event":"Bought","userId":"{}"}}"#, "u".repeat(300));
    for (path, body, named) in [
        ("/v1/batch", PAGES, "batch_events"),
        ("/v1/track", &*long, "batch_bytes"),
    ] {
        let refused = house.post(path, body.to_owned()).await;
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(refused.code(), "space_limit_reached");
        assert!(refused.json()["message"].as_str().unwrap().contains(named));
        assert_eq!(post_other(&house, path, body).await.status, StatusCode::OK);
    }
    assert_eq!(house.post("/v1/track", TRACK).await.status, StatusCode::OK);
    assert_eq!(house.envelopes().len(), 3);
}

proptest! {
    #[test]
    fn spc_1_a_space_never_gets_more_than_burst_and_rate_and_a_promise_to_take_it_is_kept(
        rate in 1_u64..50, burst in 1_u64..50,
        steps in prop::collection::vec((0_u64..2_000, 1_usize..80), 1..60),
    ) {
        let limits = SpaceDoorLimits {
            events_per_second: Some(rate),
            burst_events: Some(burst),
            ..SpaceDoorLimits::default()
        };
        let (rates, main) = (SpaceRates::default(), SpaceId::main());
        let begun = Instant::now();
        let (mut now, mut taken) = (begun, 0_u64);
        for (pause, events) in steps {
            now += Duration::from_millis(pause);
            let mut at = now;
            if let Err(wait) = rates.take(&main, &limits, events, now) {
                at = now + wait + Duration::from_micros(1);
                prop_assert!(rates.take(&main, &limits, events, at).is_ok());
            }
            now = at;
            let allowed = burst as f64 + rate as f64 * (now - begun).as_secs_f64() + 0.001;
            // What is above the burst was taken on credit, when the bucket was full.
            let credit = (events as u64).saturating_sub(burst);
            taken += events as u64;
            prop_assert!((taken - credit) as f64 <= allowed, "{taken} taken and {allowed} allowed");
        }
    }
}

#[test]
fn spc_1_each_space_has_a_bucket_of_its_own() {
    let limits = SpaceDoorLimits {
        events_per_second: Some(10),
        ..SpaceDoorLimits::default()
    };
    let (rates, now) = (SpaceRates::default(), Instant::now());
    let (main, other) = (SpaceId::main(), "brand_b".parse::<SpaceId>().unwrap());
    assert!(rates.take(&main, &limits, 10, now).is_ok());
    assert_eq!(rates.take(&main, &limits, 1, now), Err(Duration::from_millis(100)));
    assert_eq!(rates.wait(&main, &limits, now), Some(Duration::from_millis(100)));
    assert_eq!(rates.wait(&other, &limits, now), None);
    assert!(rates.take(&other, &limits, 10, now).is_ok());
    rates.give_back(&other, 10);
    assert!(
        rates.take(&main, &limits, 1, now).is_err(),
        "what one gives back is not another's"
    );
}
