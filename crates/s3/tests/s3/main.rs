//! The client against a real S3 server: what is written once stays, what is listed is whole, what is refused is named.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says why it is skipped"
)]

mod faults;

use kith_peers::S3Server;
use kith_s3::{Bucket, Retention, RetentionMode, S3ErrorKind, S3Settings};
use kith_types::{Clock, Duration, SystemClock};
use std::sync::Arc;

fn open(settings: S3Settings) -> Bucket {
    Bucket::new(settings, Arc::new(SystemClock)).unwrap()
}

fn day() -> Retention {
    Retention {
        mode: RetentionMode::Compliance,
        until: SystemClock.now() + Duration::from_millis(86_400_000),
    }
}

fn installed() -> Option<S3Server> {
    let server = S3Server::start();
    if server.is_none() {
        println!("skipped: KITH_PEERS is not set, so the peers are not installed");
    }
    server
}

#[tokio::test]
async fn raw_1_an_object_is_put_once_and_read_as_it_was() {
    let Some(server) = installed() else { return };
    for name in [S3Server::PLAIN, S3Server::LOCKED] {
        let bucket = open(server.settings(name, "some/prefix"));
        let lock = (name == S3Server::LOCKED).then(day);
        let path = "raw/space=main/source=a/1-2-3-4.jsonl.zst";
        let bytes = bytes::Bytes::from(vec![7; 3 << 20]);
        assert!(bucket.put_new(path, bytes.clone(), lock).await.unwrap());
        assert!(!bucket.put_new(path, "other".into(), lock).await.unwrap());
        assert_eq!(bucket.get(path, None).await.unwrap(), bytes);
        assert!(bucket.put_new("raw/empty", "".into(), lock).await.unwrap());
        assert_eq!(bucket.get("raw/empty", None).await.unwrap(), "");
        let gone = bucket.get("raw/none", None).await.unwrap_err();
        assert_eq!(gone.kind(), S3ErrorKind::NotFound, "{gone}");
        assert!(server.files(name).join("some/prefix").join(path).is_file());
    }
}

#[tokio::test]
async fn raw_1_listings_come_by_pages_and_whole() {
    let Some(server) = installed() else { return };
    for name in [S3Server::PLAIN, S3Server::LOCKED] {
        let bucket = open(server.settings(name, "p"));
        let mut paths: Vec<String> = (0..11).map(|at| format!("raw/a={}/x&<'{at:02}", at % 4)).collect();
        for path in &paths {
            assert!(bucket.put_new(path, "1".into(), None).await.unwrap());
        }
        assert!(bucket.put_new("rawer/b", "1".into(), None).await.unwrap());
        paths.sort_unstable();
        let mut found = bucket.list("raw/", false).await.unwrap().keys;
        found.sort_unstable();
        assert_eq!(found, paths);
        let folders: Vec<String> = (0..4).map(|at| format!("raw/a={at}/")).collect();
        assert_eq!(bucket.list("raw/", true).await.unwrap().folders, folders);
        assert!(bucket.list("none/", false).await.unwrap().keys.is_empty());
        if name == S3Server::LOCKED {
            let found = bucket.versions("raw/", false).await.unwrap().versions;
            let mut keys: Vec<String> = found.iter().map(|version| version.key.clone()).collect();
            keys.sort_unstable();
            assert_eq!(keys, paths);
            assert!(
                found
                    .iter()
                    .all(|version| version.is_latest && !version.deletes && version.taken_at.is_some())
            );
            assert_eq!(bucket.versions("raw/", true).await.unwrap().folders, folders);
        }
    }
}

#[tokio::test]
async fn raw_1_the_lock_that_was_asked_for_is_on_the_version() {
    let Some(server) = installed() else { return };
    let locked = open(server.settings(S3Server::LOCKED, ""));
    assert!(locked.has_object_lock().await.unwrap() && locked.has_versions().await.unwrap());
    let lock = day();
    assert!(locked.put_new("raw/a", "1".into(), Some(lock)).await.unwrap());
    assert!(locked.put_new("raw/b", "1".into(), None).await.unwrap());
    let found = locked.versions("raw/a", false).await.unwrap().versions;
    let retention = locked.retention("raw/a", Some(&found[0].id)).await.unwrap().unwrap();
    assert_eq!(retention.mode, RetentionMode::Compliance);
    let difference = (retention.until - lock.until).as_micros().abs();
    assert!(difference <= 1_000_000, "{retention:?} {lock:?}");
    assert_eq!(locked.retention("raw/b", None).await.unwrap(), None);
    let plain = open(server.settings(S3Server::PLAIN, ""));
    assert!(!plain.has_object_lock().await.unwrap() && !plain.has_versions().await.unwrap());
    let refused = plain.put_new("raw/a", "1".into(), Some(day())).await.unwrap_err();
    assert_eq!(refused.kind(), S3ErrorKind::Misconfigured, "{refused}");
}

#[tokio::test]
async fn raw_1_what_an_operator_must_mend_is_said_and_no_secret_is() {
    let Some(mut server) = installed() else { return };
    let good = server.settings(S3Server::PLAIN, "");
    let mut secret = good.clone();
    secret.credentials.secret_access_key = "a-wrong-secret".into();
    let mut id = good.clone();
    id.credentials.access_key_id = "a-wrong-id".into();
    let mut region = good.clone();
    region.region = "eu-central-1".into();
    let mut bucket = good.clone();
    bucket.bucket = "none-such".into();
    let cases = [
        (secret, S3ErrorKind::Denied, "AWS_SECRET_ACCESS_KEY"),
        (id, S3ErrorKind::Denied, "AWS_ACCESS_KEY_ID"),
        (region, S3ErrorKind::Misconfigured, "region"),
        (bucket, S3ErrorKind::Misconfigured, "bucket"),
    ];
    for (settings, kind, told) in cases {
        let shown = format!("{settings:?}");
        let error = open(settings).has_versions().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = format!("{error} {error:?} {shown}");
        assert!(text.contains(told), "{text}");
        assert!(
            !text.contains("a-wrong-secret") && !text.contains("kith-test-secret"),
            "{text}"
        );
    }
    server.kill();
    let error = open(good).has_versions().await.unwrap_err();
    assert_eq!(error.kind(), S3ErrorKind::Unavailable);
    assert!(error.to_string().contains(&server.endpoint()), "{error}");
}
