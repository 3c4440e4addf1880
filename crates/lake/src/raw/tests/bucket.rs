//! What buckets add: locks that verification proves, versions that cover and do not harm, faults on the way, stores that cannot
//! keep the promise. Against a real S3 server.

use super::ground::{LOCK, bucket_zone};
use super::*;
use kith_peers::{FailingNetwork, S3Server};
use kith_s3::RetentionMode;
use std::io::{Read, Write};
use std::process::Command;

/// Does something to every object of the locked bucket beneath a prefix, as an outsider with boto3; gives what it saw.
fn outsider(server: &S3Server, prefix: &str, what: &str) -> serde_json::Value {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/raw/outsider.py");
    let python = std::env::var("KITH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let settings = server.settings(S3Server::LOCKED, prefix);
    let run = Command::new(python)
        .arg(script)
        .args([&server.endpoint(), S3Server::LOCKED, prefix, what])
        .env("AWS_ACCESS_KEY_ID", &settings.credentials.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &settings.credentials.secret_access_key)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).unwrap()
}

#[tokio::test]
async fn raw_1_a_locked_object_outlives_overwrites_and_deletions_and_verify_names_them() {
    let Some(server) = S3Server::start() else { return };
    let zone = bucket_zone(server.settings(S3Server::LOCKED, "zone"), Some(LOCK));
    zone.write_segment(&sample(), &whole).await.unwrap();
    let hole = RawHole {
        range: RawRange::parse("1-2-16-18").unwrap(),
        cause: HoleCause::Skipped,
        decided_by: None,
    };
    zone.note_hole(&hole).await.unwrap();
    let sound = zone.verify(None).await.unwrap();
    assert!(sound.is_sound(), "{sound:?}");
    // Six objects, two manifests, a note, and the object that tells whether the store replaces.
    assert_eq!(sound.locked, 10);
    for (what, told) in [
        ("overwrite", "written over"),
        ("delete", "deleted"),
        ("overwrite", "written over"),
    ] {
        let seen = outsider(&server, "zone/raw", what);
        assert_eq!(seen["objects"], 10, "{seen}");
        assert_eq!(read_all(&zone, None).await, sample(), "after {what}");
        assert_eq!(zone.holes().await.unwrap(), std::slice::from_ref(&hole));
        assert_eq!(
            zone.missing(RawRange::parse("1-2-10-18").unwrap(), Proof::Hashed)
                .await
                .unwrap(),
            []
        );
        zone.write_segment(&sample(), &whole).await.unwrap();
        let report = zone.verify(None).await.unwrap();
        assert_eq!((report.damaged_count, report.missing.len()), (0, 0), "{report:?}");
        assert_eq!((report.exposed_count, report.locked), (10, 10), "{report:?}");
        assert!(
            report.exposed.iter().all(|exposed| exposed.reason.contains(told)),
            "{report:?}"
        );
        assert!(!report.is_sound());
    }
    let seen = outsider(&server, "zone/raw", "delete_versions");
    assert_eq!(seen["refused"], 10, "a locked version was deleted: {seen}");
    let report = zone.verify(None).await.unwrap();
    assert!(report.is_sound(), "what covered them is gone: {report:?}");
    assert_eq!(read_all(&zone, None).await, sample());
}

#[tokio::test]
async fn raw_1_verify_proves_the_retention_of_every_object() {
    let Some(server) = S3Server::start() else { return };
    let asked = |mode, days| Some(RetentionAsked { mode, days });
    let later = |from: u64| -> Vec<Record> {
        (from..from + 3)
            .map(|at| record(at, "main", 9, envelope("web", b"{}")))
            .collect()
    };
    let settings = || server.settings(S3Server::LOCKED, "zone");
    let governed = bucket_zone(settings(), asked(RetentionMode::Governance, 10));
    governed.write_segment(&later(0), &whole).await.unwrap();
    assert_eq!(governed.verify(None).await.unwrap().exposed_count, 0);
    // Written without a lock, by a server that was set up otherwise.
    let unlocked = bucket_zone(settings(), None);
    unlocked.write_segment(&later(3), &whole).await.unwrap();
    assert!(unlocked.verify(None).await.unwrap().is_sound());
    let report = governed.verify(None).await.unwrap();
    assert_eq!(
        (report.exposed_count, report.damaged_count, report.missing.len()),
        (2, 0, 0),
        "{report:?}"
    );
    assert!(
        report.exposed.iter().all(|exposed| exposed.path.contains("1-2-3-6")),
        "{report:?}"
    );
    assert!(report.exposed[0].reason.contains("not locked"), "{report:?}");
    for (stricter, exposed) in [
        (asked(RetentionMode::Compliance, 10), 5),
        (asked(RetentionMode::Governance, 11), 5),
    ] {
        let report = bucket_zone(settings(), stricter).verify(None).await.unwrap();
        assert_eq!(report.exposed_count, exposed, "{stricter:?}: {report:?}");
        assert!(
            report.exposed.iter().any(|exposed| exposed.reason.contains("extend")),
            "{report:?}"
        );
    }
    let milder = bucket_zone(settings(), asked(RetentionMode::Governance, 9))
        .verify(None)
        .await
        .unwrap();
    assert_eq!(milder.exposed_count, 2, "{milder:?}");
}

#[tokio::test]
async fn raw_1_what_a_store_took_and_did_not_lock_is_locked_when_it_is_written_again() {
    let Some(server) = S3Server::start() else { return };
    let zone = |mode, days| {
        let asked = (days > 0).then_some(RetentionAsked { mode, days });
        bucket_zone(server.settings(S3Server::LOCKED, "zone"), asked)
    };
    // As a store leaves it that is killed between a write and its lock: everything there, and nothing locked.
    zone(RetentionMode::Compliance, 0)
        .write_segment(&sample(), &whole)
        .await
        .unwrap();
    let locked = zone(RetentionMode::Compliance, 2);
    assert_eq!(locked.verify(None).await.unwrap().exposed_count, 8);
    let range = RawRange::parse("1-2-10-16").unwrap();
    locked.lock_manifests(range).await.unwrap();
    let manifests = locked.verify(None).await.unwrap();
    assert_eq!(manifests.exposed_count, 6, "{manifests:?}");
    locked.write_segment(&sample(), &whole).await.unwrap();
    let sound = locked.verify(None).await.unwrap();
    assert!(sound.is_sound(), "{sound:?}");
    assert_eq!(sound.locked, 9);
    // A lock that is there stays as it is.
    let longer = zone(RetentionMode::Compliance, 3);
    longer.write_segment(&sample(), &whole).await.unwrap();
    assert_eq!(longer.verify(None).await.unwrap().exposed_count, 9);
    // What is not what was to be written is somebody else's, and is left as it is.
    let other: Vec<Record> = vec![record(90, "main", 9, envelope("web", b"{\"a\":1}"))];
    let foreign: Vec<Record> = vec![record(90, "main", 9, envelope("web", b"{\"a\":2}"))];
    zone(RetentionMode::Compliance, 0)
        .write_segment(&foreign, &whole)
        .await
        .unwrap();
    let refused = locked.write_segment(&other, &whole).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(locked.verify(None).await.unwrap().exposed_count, 2);
}

#[tokio::test]
async fn raw_1_a_bucket_that_cannot_keep_the_promise_is_refused() {
    let Some(mut server) = S3Server::start() else { return };
    let refused = bucket_zone(server.settings(S3Server::PLAIN, ""), Some(LOCK))
        .check()
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().contains("object lock"), "{refused}");
    let mut none = server.settings(S3Server::PLAIN, "");
    none.bucket = "none-such".into();
    assert_eq!(
        bucket_zone(none, None).check().await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
    // A store that is not there now is looked at again: nothing is held against it.
    let zone = bucket_zone(server.settings(S3Server::LOCKED, ""), Some(LOCK));
    server.kill();
    assert_eq!(zone.check().await.unwrap_err().kind(), ErrorKind::Unavailable);
    let failed = zone.write_segment(&sample(), &whole).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unavailable);
    server.start_again();
    zone.write_segment(&sample(), &whole).await.unwrap();
    assert!(zone.verify(None).await.unwrap().is_sound());
}

/// A store that takes every write, whatever its conditions.
fn careless_store() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            let answer = if head.starts_with("get") {
                "<VersioningConfiguration/>"
            } else {
                ""
            };
            let length = answer.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{answer}"
            )
            .unwrap();
        }
    });
    endpoint
}

#[tokio::test]
async fn raw_1_a_store_that_replaces_objects_is_refused() {
    let settings = kith_s3::S3Settings {
        bucket: "careless".into(),
        prefix: String::new(),
        endpoint: Some(careless_store()),
        region: "us-east-1".into(),
        path_style: true,
        credentials: kith_s3::Credentials {
            access_key_id: "id".into(),
            secret_access_key: "secret".into(),
            session_token: None,
        },
        authorities: None,
        patience: kith_s3::Patience::default(),
        names_per_page: 1_000,
    };
    let zone = bucket_zone(settings, None);
    let refused = zone.write_segment(&sample(), &whole).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().contains("If-None-Match"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_1_segments_written_over_a_failing_network_are_whole_and_written_once() {
    let Some(server) = S3Server::start() else { return };
    for seed in 0..4 {
        let name = format!("seed{seed}");
        let network = FailingNetwork::open(server.port(), seed, 40).await;
        let mut settings = server.settings(S3Server::LOCKED, &name);
        settings.endpoint = Some(network.endpoint());
        let zone = bucket_zone(settings, Some(LOCK));
        let mut all = Vec::new();
        for segment in 0..6_u64 {
            let records: Vec<Record> = (segment * 10..segment * 10 + 10)
                .map(|at| {
                    let source = ["web", "app", "tv"][at as usize % 3];
                    record(
                        at,
                        "main",
                        at as i64,
                        envelope(source, format!("{at} ").repeat(at as usize * 40).as_bytes()),
                    )
                })
                .collect();
            // As publishing does: again until it stands.
            let mut tries = 0;
            while let Err(error) = zone.write_segment(&records, &whole).await {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "seed {seed}: {error:?}");
                tries += 1;
                assert!(tries < 100, "seed {seed}");
            }
            all.extend(records);
        }
        assert!(network.faults() > 5, "seed {seed}: {} faults", network.faults());
        network.fail(0);
        let direct = bucket_zone(server.settings(S3Server::LOCKED, &name), Some(LOCK));
        assert_eq!(read_all(&direct, None).await, all, "seed {seed}");
        let report = direct.verify(None).await.unwrap();
        assert!(report.is_sound(), "seed {seed}: {report:?}");
        assert_eq!(report.lines, 60);
    }
}
