//! COL-3 and COL-5: durability before the answer, and overload.

use super::*;
use kith_log::simulated::SimulatedDisk;
use kith_log::{Log, LogConfig, OsDisk};
use kith_types::{Record, SystemClock};

#[tokio::test]
async fn col_3_unavailable_is_503() {
    let house = House::new(DoorsConfig::default());
    *house.kept.failure.lock().unwrap() = Some(AppendError::Unavailable);
    let answer = house.post("/v1/batch", PAGES).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    );
    assert!(
        answer
            .header("retry-after")
            .parse::<u32>()
            .is_ok_and(|seconds| seconds > 0)
    );
    assert!(answer.header("access-control-expose-headers").contains("retry-after"));
    // A body that will be rejected is not told so before it is kept.
    assert_eq!(
        house.post("/v1/batch", "not JSON").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    *house.kept.failure.lock().unwrap() = None;
    assert_eq!(house.post("/v1/batch", PAGES).await.status, StatusCode::OK);
}

#[tokio::test]
async fn col_3_no_answer_before_durability() {
    let house = Arc::new(House::new(DoorsConfig::default()));
    house.kept.gate.forget_permits(Semaphore::MAX_PERMITS);
    let sender = Arc::clone(&house);
    let sending = tokio::spawn(async move { sender.post("/v1/batch", PAGES).await.status });
    house.kept.arrived.acquire().await.unwrap().forget();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!sending.is_finished());
    assert_eq!(house.doors.budget.taken(), PAGES.len());
    house.kept.gate.add_permits(1);
    assert_eq!(sending.await.unwrap(), StatusCode::OK);
    assert_eq!(house.doors.budget.taken(), 0);
}

#[tokio::test]
async fn col_5_overload_is_429() {
    let house = House::new(DoorsConfig::default());
    *house.kept.failure.lock().unwrap() = Some(AppendError::Overloaded);
    let answer = house.post("/v1/batch", PAGES).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::TOO_MANY_REQUESTS, "overloaded")
    );
    for header in ["retry-after", "x-ratelimit-reset"] {
        assert!(
            answer.header(header).parse::<u32>().is_ok_and(|seconds| seconds > 0),
            "{header}"
        );
    }
}

#[tokio::test]
async fn col_5_bodies_in_flight_are_bounded() {
    let house = Arc::new(House::new(DoorsConfig {
        in_flight_bytes_max: PAGES.len() * 2,
        ..DoorsConfig::default()
    }));
    house.kept.gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let sender = Arc::clone(&house);
        waiting.push(tokio::spawn(
            async move { sender.post("/v1/batch", PAGES).await.status },
        ));
        house.kept.arrived.acquire().await.unwrap().forget();
    }
    let deadline = std::time::Duration::from_secs(20);
    let refused = tokio::time::timeout(deadline, house.post("/v1/batch", PAGES))
        .await
        .unwrap();
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (StatusCode::TOO_MANY_REQUESTS, "overloaded")
    );
    assert_eq!(house.envelopes().len(), 2);
    house.kept.gate.add_permits(2);
    for sent in waiting {
        assert_eq!(sent.await.unwrap(), StatusCode::OK);
    }
    house.kept.gate.add_permits(1);
    assert_eq!(house.post("/v1/batch", PAGES).await.status, StatusCode::OK);
    assert_eq!(house.doors.budget.taken(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn col_3_what_was_answered_stands_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        Log::open(
            LogConfig::new(folder.path().join("log")),
            Arc::new(OsDisk),
            Arc::new(SystemClock),
        )
        .unwrap()
        .0
    };
    let log = open();
    let doors = Doors::new(
        Arc::new(FixedSources::default()),
        Arc::clone(&log) as Arc<dyn Appender>,
        Arc::default(),
        DoorsConfig::default(),
    );
    let response = router(doors).oneshot(post("/v1/batch", "app", PAGES)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    log.close();
    let response = router(Doors::new(
        Arc::new(FixedSources::default()),
        Arc::clone(&log) as Arc<dyn Appender>,
        Arc::default(),
        DoorsConfig::default(),
    ))
    .oneshot(post("/v1/batch", "app", PAGES))
    .await
    .unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(log);
    let log = open();
    let records = log.reader(0).read(10, 1_000_000).unwrap();
    let [record] = records.as_slice() else {
        panic!("{records:?}")
    };
    let RecordBody::Envelope(envelope) = &record.body else {
        panic!("{record:?}")
    };
    assert_eq!(
        (record.space.as_str(), envelope.source.as_str(), &envelope.body[..]),
        ("brand_b", "app", PAGES.as_bytes())
    );
}

/// A door over a log on a disk whose syncs fail: no 200 until the log has begun anew on a disk that syncs, and what the
/// client sends again stands once, whatever a power loss keeps of the failed writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn col_3_a_failed_sync_is_503_until_the_log_recovers_and_the_retry_is_taken_once() {
    let disk = SimulatedDisk::new();
    let open = |disk: &SimulatedDisk| {
        let config = LogConfig::new("/data/log");
        Log::open(config, Arc::new(disk.clone()), Arc::new(SystemClock))
            .unwrap()
            .0
    };
    let log = open(&disk);
    // Blocks until done, which a thread of the runtime may do only so.
    let tick = || tokio::task::block_in_place(|| log.tick());
    let doors = Doors::new(
        Arc::new(FixedSources::default()),
        Arc::clone(&log) as Arc<dyn Appender>,
        Arc::default(),
        DoorsConfig::default(),
    );
    let send = async |body: &'static str| {
        let sent = router(Arc::clone(&doors)).oneshot(post("/v1/batch", "app", body)).await;
        Answer::of(sent.unwrap()).await
    };
    assert_eq!(send(PAGES).await.status, StatusCode::OK);
    disk.fail_syncs(u64::MAX);
    for attempt in 0..5 {
        let answer = send(RETRIED).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "attempt {attempt}");
        assert_eq!(answer.code(), "unavailable");
        let seconds = answer.header("retry-after").parse::<u32>();
        assert!(seconds.is_ok_and(|seconds| seconds > 0), "attempt {attempt}");
        // The log tries to begin anew, and cannot.
        tick();
    }
    disk.fail_syncs(0);
    tick();
    assert_eq!(send(RETRIED).await.status, StatusCode::OK);
    assert_eq!(bodies(&log), [PAGES, RETRIED]);
    for seed in 0..20 {
        let survived = open(&disk.crash_copy(seed));
        assert_eq!(bodies(&survived), [PAGES, RETRIED], "seed {seed}");
    }
}

const RETRIED: &str = r#"{"batch":[{"type":"track","event":"Bought","messageId":"m1"}]}"#;

fn bodies(log: &Arc<Log>) -> Vec<String> {
    let records = log.reader(0).read(10, 1_000_000).unwrap();
    let body = |record: Record| match record.body {
        RecordBody::Envelope(envelope) => String::from_utf8(envelope.body.to_vec()).unwrap(),
        RecordBody::Decision(_) => panic!("the doors append no decisions"),
    };
    records.into_iter().map(body).collect()
}
