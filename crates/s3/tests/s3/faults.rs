//! The client over a network that fails, and a server that is killed: an object is there whole or not at all, and nobody is
//! told that a write stands which does not.

use super::{installed, open};
use kith_peers::{FailingNetwork, S3Server};
use kith_s3::S3ErrorKind;
use std::collections::BTreeMap;

#[tokio::test(flavor = "multi_thread")]
async fn raw_1_lost_requests_and_answers_leave_whole_objects() {
    let Some(server) = installed() else { return };
    for seed in 0..4 {
        let network = FailingNetwork::open(server.port(), seed, 45).await;
        let mut settings = server.settings(S3Server::PLAIN, &format!("seed{seed}"));
        settings.endpoint = Some(network.endpoint());
        // Keeps no connection, so that every request meets its own fault.
        settings.patience.tries = 3;
        let bucket = open(settings);
        let mut told: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut unknown = Vec::new();
        for number in 0..40_u32 {
            let path = format!("raw/{number}");
            let bytes = vec![number as u8; 1 + 977 * number as usize];
            match bucket.put_new(&path, bytes.clone().into(), None).await {
                // A try before may have put it: what stands there tells.
                Ok(_) => drop(told.insert(path, bytes)),
                Err(error) => {
                    assert_eq!(error.kind(), S3ErrorKind::Unavailable, "seed {seed}: {error}");
                    unknown.push((path, bytes));
                }
            }
        }
        assert!(network.faults() > 10, "seed {seed}: {} faults", network.faults());
        network.fail(0);
        let direct = open(server.settings(S3Server::PLAIN, &format!("seed{seed}")));
        for (path, bytes) in &told {
            assert_eq!(direct.get(path, None).await.unwrap(), bytes, "seed {seed}: {path}");
        }
        for (path, bytes) in &unknown {
            match direct.get(path, None).await {
                Ok(there) => assert_eq!(there, bytes, "seed {seed}: {path}"),
                Err(error) => assert_eq!(error.kind(), S3ErrorKind::NotFound, "seed {seed}: {path}: {error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_1_a_store_killed_amid_writes_keeps_what_it_acknowledged() {
    let Some(mut server) = installed() else { return };
    let mut settings = server.settings(S3Server::LOCKED, "killed");
    settings.patience.tries = 1;
    let mut acknowledged = Vec::new();
    for round in 0..6_u64 {
        let bucket = open(settings.clone());
        let writing = tokio::spawn(async move {
            let mut done = Vec::new();
            for number in 0..400_u64 {
                let path = format!("raw/{round}-{number}");
                let bytes = format!("{round} {number} ").repeat(500);
                match bucket.put_new(&path, bytes.clone().into(), Some(super::day())).await {
                    Ok(put) => {
                        assert!(put, "{path} was there");
                        done.push((path, bytes));
                    }
                    Err(_) => break,
                }
            }
            done
        });
        // Killed once some writes are seen to stand: at another place in each round.
        let seen = server
            .files(S3Server::LOCKED)
            .join(format!("killed/raw/{round}-{}", 7 * round + 3));
        while !seen.exists() && !writing.is_finished() {
            tokio::task::yield_now().await;
        }
        server.kill();
        let done = writing.await.unwrap();
        assert!(!done.is_empty(), "round {round}");
        acknowledged.extend(done);
        server.start_again();
    }
    let bucket = open(settings);
    for (path, bytes) in &acknowledged {
        assert_eq!(bucket.get(path, None).await.unwrap(), bytes.as_bytes(), "{path}");
    }
}
