//! Opening: one process a folder, formats that are refused, and the machine's own disk.

use super::{Bench, append, body_of, read_all};
use crate::{ErrorKind, Log, LogConfig, OsDisk};
use kith_types::ManualClock;
use std::path::Path;
use std::sync::Arc;

fn open_on_disk(dir: &Path) -> Result<Arc<Log>, crate::LogError> {
    Log::open(
        LogConfig::new(dir),
        Arc::new(OsDisk),
        Arc::new(ManualClock::new(super::START)),
    )
    .map(|(log, _)| log)
}

#[test]
fn log_1_a_second_opener_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("deep").join("log");
    let log = open_on_disk(&dir).unwrap();
    let refused = open_on_disk(&dir).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Locked);
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
    append(&log, b"kept").unwrap();
    drop(log);
    let log = open_on_disk(&dir).unwrap();
    assert_eq!(body_of(&read_all(&log).0[0]), b"kept");
}

#[test]
fn log_1_the_log_works_on_the_machines_disk() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_on_disk(folder.path()).unwrap();
    for n in 0..300_u32 {
        assert_eq!(append(&log, &n.to_le_bytes()).unwrap().address.sequence, u64::from(n));
        if n % 100 == 99 {
            log.seal_now().unwrap();
        }
    }
    assert_eq!(log.sealed_segments().len(), 3);
    log.remove_segment(0).unwrap();
    log.close();
    assert_eq!(append(&log, b"late").unwrap_err().kind(), ErrorKind::Unavailable);
    drop(log);
    let log = open_on_disk(folder.path()).unwrap();
    assert_eq!((log.start(), log.durable_end()), (100, 300));
    let (records, gaps) = read_all(&log);
    assert!(gaps.is_empty());
    assert!(
        records
            .iter()
            .zip(100..300_u32)
            .all(|(record, n)| body_of(record) == n.to_le_bytes())
    );
}

#[test]
fn log_1_unknown_later_and_corrupt_formats_are_refused_with_what_to_do() {
    let cases: [(&[u8], &str); 6] = [
        (
            b"kith-log 2\ngeneration 0\npartition 0\nsalt 0\n",
            "start the newer version of kith",
        ),
        (b"kith-log 0\n", "check that the folder is the right one"),
        (b"something else entirely", "restore FORMAT from a backup"),
        (b"", "restore FORMAT from a backup"),
        (b"\xff\xfe\x00", "restore FORMAT from a backup"),
        (
            b"kith-log 1\ngeneration 0\npartition 0\nsalt 00000000000000ff\ncheck 00000000\n",
            "restore FORMAT from a backup",
        ),
    ];
    for (text, advice) in cases {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("FORMAT"), text).unwrap();
        let refused = open_on_disk(folder.path()).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Format);
        assert!(refused.to_string().contains(advice), "{refused}");
        assert_eq!(
            std::fs::read(folder.path().join("FORMAT")).unwrap(),
            text,
            "a refused folder is left as it was"
        );
    }
}

#[test]
fn log_1_segments_without_format_and_other_generations_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_on_disk(folder.path()).unwrap();
    append(&log, b"a").unwrap();
    drop(log);
    let other = LogConfig {
        generation: 3,
        ..LogConfig::new(folder.path())
    };
    let refused = Log::open(other, Arc::new(OsDisk), Arc::new(ManualClock::default()))
        .err()
        .unwrap();
    assert_eq!(refused.kind(), ErrorKind::Format);
    assert!(refused.to_string().contains("generation 0"), "{refused}");
    std::fs::remove_file(folder.path().join("FORMAT")).unwrap();
    let refused = open_on_disk(folder.path()).err().unwrap();
    assert!(
        refused.to_string().contains("holds segments but no FORMAT file"),
        "{refused}"
    );
}

#[test]
fn log_1_what_a_reader_has_passed_is_never_given_out_again() {
    let mut bench = Bench::new();
    let (log, _) = bench.open().unwrap();
    append(&log, b"a").unwrap();
    drop(log);
    bench.config.sequence_floor = 5;
    let (log, report) = bench.open().unwrap();
    assert_eq!(report.end, 5);
    assert_eq!(append(&log, b"b").unwrap().address.sequence, 5);
    let (records, gaps) = read_all(&log);
    assert_eq!(records.len(), 2);
    assert_eq!(
        (gaps[0].from, gaps[0].to, gaps[0].cause),
        (1, 5, crate::GapCause::Skipped)
    );
    drop(log);
    let (_, again) = bench.open().unwrap();
    assert_eq!((again.end, again.gaps), (6, gaps));
}
