//! A loss is decided once, however many accept it at once, and raw goes by the decision.

use super::*;
use kith_catalog::TablePointers;
use kith_lake::Lake;
use kith_log::{LogConfig, OsDisk};
use kith_types::{Clock, ManualClock, Timestamp};

#[test]
fn raw_2_the_decision_stays_readable() {
    let lost = RawRange::parse("0-0-120-140").unwrap();
    let golden = r#"{"format":1,"author":"jo","reason":"no copy","ranges":["0-0-120-140"]}"#;
    assert_eq!(document(&[lost], "jo", "no copy"), golden);
}

/// A raw zone that has nothing of what it must hold.
fn empty(folder: &std::path::Path) -> Zone {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)));
    let pointers = TablePointers::open(&folder.join("tables.db")).unwrap();
    let root = folder.to_string_lossy().into_owned();
    let lake = Lake::open(&root, Arc::new(pointers), Arc::clone(&clock)).unwrap();
    let (log, _) = Log::open(LogConfig::new(folder.join("log")), Arc::new(OsDisk), clock).unwrap();
    Zone {
        raw: lake.raw(),
        log,
        expected: RawRange::parse("0-0-0-100").unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_2_a_loss_that_many_accept_at_once_is_decided_once() {
    let folder = tempfile::tempdir().unwrap();
    let (zone, losses) = (empty(folder.path()), Losses::default());
    // Ranges that overlap: what one has accepted is not lost to the next.
    let asked = ["0-0-10-20", "0-0-10-20", "0-0-15-30", "0-0-10-30"];
    let accepting = asked.map(|range| losses.accept(zone.clone(), range, "jo", "no copy"));
    let accepted = futures::future::join_all(accepting).await;
    let records: u64 = accepted.iter().flatten().map(|accepted| accepted.records).sum();
    assert_eq!(records, 20, "{accepted:?}");
    let decisions = accepted.iter().filter(|accepted| accepted.is_ok()).count() as u64;
    assert_eq!(zone.log.durable_end(), decisions);
    for refused in accepted.iter().filter_map(|accepted| accepted.as_ref().err()) {
        assert_eq!(refused.kind(), PortErrorKind::Invalid);
        assert!(refused.to_string().contains("it is accepted already"), "{refused}");
    }
    let noted: u64 = zone.raw.holes().await.unwrap().iter().map(|hole| hole.range.count()).sum();
    assert_eq!(noted, records, "every record is noted by one decision");

    // What raw need not hold is nothing that could be lost.
    let beyond = losses.accept(zone.clone(), "0-0-100-110", "jo", "").await;
    assert!(beyond.unwrap_err().to_string().contains("nothing of 0-0-100-110 is lost"));
    assert_eq!(zone.log.durable_end(), decisions);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_2_a_loss_that_was_decided_and_could_not_be_noted_is_not_decided_again() {
    let folder = tempfile::tempdir().unwrap();
    let (zone, losses) = (empty(folder.path()), Losses::default());
    // A file where the notes' folder is to be: the store refuses them.
    let raw = folder.path().join("raw");
    std::fs::create_dir_all(&raw).unwrap();
    std::fs::write(raw.join("_holes"), "in the way").unwrap();
    let refused = losses.accept(zone.clone(), "0-0-10-20", "jo", "").await;
    assert!(refused.is_err(), "{refused:?}");
    std::fs::remove_file(raw.join("_holes")).unwrap();
    assert_eq!(zone.log.durable_end(), 1, "it was decided");
    let again = losses.accept(zone.clone(), "0-0-10-20", "jo", "").await;
    assert!(again.unwrap_err().to_string().contains("accepted already"));
    assert_eq!(zone.log.durable_end(), 1);
    assert_eq!(zone.raw.holes().await.unwrap().len(), 1);
}
