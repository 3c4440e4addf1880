//! A loss is decided once, however many accept it at once, and raw goes by the decision.

use super::*;
use crate::server::testing;
use kith_catalog::TablePointers;
use kith_lake::Lake;
use kith_log::{LogConfig, OsDisk};
use kith_types::{Clock, ManualClock, Record, Timestamp};

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
    let noted: u64 = zone
        .raw
        .holes()
        .await
        .unwrap()
        .iter()
        .map(|hole| hole.range.count())
        .sum();
    assert_eq!(noted, records, "every record is noted by one decision");

    // What raw need not hold is nothing that could be lost.
    let beyond = losses.accept(zone.clone(), "0-0-100-110", "jo", "").await;
    assert!(
        beyond
            .unwrap_err()
            .to_string()
            .contains("nothing of 0-0-100-110 is lost")
    );
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

fn record(sequence: u64) -> Record {
    let document = format!("{{\"number\":{sequence}}}").into();
    let kind = "tested".into();
    testing::record(sequence, RecordBody::Decision(Decision { kind, document }))
}

/// Changes the last byte of an object, or changes it back.
fn flip(folder: &std::path::Path, path: &str) {
    let path = folder.join(path);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_2_a_look_finds_what_is_gone_and_damage_of_the_newest_and_in_time_of_any() {
    let folder = tempfile::tempdir().unwrap();
    let (mut zone, losses) = (empty(folder.path()), Losses::default());
    let mut objects = Vec::new();
    for segment in 0..20 {
        let records: Vec<Record> = (segment * 10..segment * 10 + 10).map(record).collect();
        let written = zone.raw.write_segment(&records, &|_| Vec::new()).await.unwrap();
        objects.push(written.objects[0].path.clone());
    }
    zone.expected = RawRange::parse("0-0-0-200").unwrap();
    let told = async |chance: u64| {
        losses.look(&zone, chance).await.unwrap();
        losses.check().note
    };
    let lost = Some("10 records missing or damaged".to_owned());
    assert_eq!(told(0).await, None);
    // The newest is read by every look; what was found once is told until it reads well again.
    flip(folder.path(), &objects[19]);
    assert_eq!(told(0).await, lost);
    flip(folder.path(), &objects[19]);
    assert_eq!(told(0).await, None);
    // An old one is found by chance: a look reads four of sixteen.
    flip(folder.path(), &objects[3]);
    let mut looks = 0;
    while told(looks * 1_000_003).await.is_none() {
        looks += 1;
        assert!(looks < 100, "no look has found it");
    }
    for chance in 0..8 {
        assert_eq!(told(chance).await, lost, "what is known to be damaged is read again");
    }
    flip(folder.path(), &objects[3]);
    assert_eq!(told(0).await, None);
    // What is gone is missed by the list alone.
    std::fs::remove_file(folder.path().join(&objects[7])).unwrap();
    assert_eq!(told(0).await, lost);
    assert!(losses.check().fault.is_some() && losses.check().bearable);
}

#[test]
fn raw_2_looks_read_the_newest_and_reach_every_other() {
    let segments: Vec<RawRange> = (0..50_u64)
        .map(|at| RawRange::parse(&format!("0-0-{}-{}", at, at + 1)).unwrap())
        .collect();
    let mut reached = BTreeSet::new();
    for chance in 0..400 {
        let read = drawn(&segments, chance * 3_600_000_123);
        assert_eq!(read[..READ_BACK], segments[50 - READ_BACK..]);
        assert_eq!(read.iter().collect::<BTreeSet<_>>().len(), 2 * READ_BACK, "none twice");
        reached.extend(read);
    }
    assert_eq!(reached.len(), 50);
    for few in 0..=READ_BACK {
        assert_eq!(drawn(&segments[..few], 7), segments[..few]);
    }
}
