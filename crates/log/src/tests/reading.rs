//! Reading: order, limits, tailing, waiting, sealing by size and age, removal.

use super::{Bench, START, append, body_of, decision, read_all};
use crate::ErrorKind;
use kith_types::{Duration, SpaceId};
use std::sync::Arc;

#[test]
fn log_2_readers_see_records_in_order_from_memory_and_from_disk() {
    for tail_bytes in [0, 700, 1 << 20] {
        let mut bench = Bench::new();
        bench.config.tail_bytes = tail_bytes;
        let (log, _) = bench.open().unwrap();
        let mut tailing = log.reader(0);
        for n in 0..120_u32 {
            append(&log, &n.to_le_bytes().repeat(40)).unwrap();
            if n % 3 == 0 {
                let read = tailing.read(100, usize::MAX).unwrap();
                assert_eq!(read.last().unwrap().address.sequence, u64::from(n));
            }
        }
        assert!(bench.segments().len() > 4);
        for from in [0, 1, 37, 119] {
            let mut reader = log.reader(from);
            for expected in from..120 {
                let read = reader.read(1, usize::MAX).unwrap();
                assert_eq!((read.len(), read[0].address.sequence), (1, expected));
                assert_eq!(body_of(&read[0]), (expected as u32).to_le_bytes().repeat(40));
            }
            assert!(reader.read(1, usize::MAX).unwrap().is_empty(), "caught up");
        }
        assert_eq!(log.reader(120).read(10, 10).unwrap(), []);
        assert_eq!(
            log.reader(0).read(1000, 400).unwrap().len(),
            2,
            "the bound of bytes stops after the record that meets it"
        );
    }
}

#[test]
fn log_2_decisions_and_envelopes_share_the_sequence() {
    let bench = Bench::new();
    let (log, _) = bench.open().unwrap();
    let space: SpaceId = "second".parse().unwrap();
    append(&log, b"{}").unwrap();
    let appended = log.append_blocking(&space, &decision("{\"name\":\"buyers\"}")).unwrap();
    assert_eq!(appended.address.sequence, 1);
    let (records, _) = read_all(&log);
    assert_eq!(
        (&records[1].space, &records[1].body),
        (&space, &decision("{\"name\":\"buyers\"}"))
    );
    assert_eq!(
        log.append_all_blocking(&space, &[]).unwrap_err().kind(),
        ErrorKind::Refused
    );
}

#[test]
fn log_1_segments_are_sealed_by_size_and_hold_what_they_say() {
    let bench = Bench::new();
    let (log, _) = bench.open().unwrap();
    for n in 0..40_u8 {
        bench.clock.advance(Duration::from_secs(1));
        append(&log, &[n; 300]).unwrap();
    }
    let sealed = log.sealed_segments();
    assert!(sealed.len() >= 3);
    let mut next = 0;
    for segment in &sealed {
        assert_eq!(segment.first_sequence, next);
        assert!(segment.bytes <= bench.config.segment_bytes);
        let contents = log.read_segment(segment.first_sequence).unwrap();
        assert_eq!(contents.gaps, []);
        assert_eq!(
            contents.records.len() as u64,
            segment.end_sequence - segment.first_sequence
        );
        assert_eq!(contents.records[0].received_at, segment.first_received_at);
        assert_eq!(contents.records.last().unwrap().received_at, segment.last_received_at);
        next = segment.end_sequence;
    }
    drop(log);
    let (log, _) = bench.open().unwrap();
    assert_eq!(
        log.sealed_segments()[..sealed.len()],
        sealed,
        "a restart sees the same segments"
    );
    assert_eq!(log.read_segment(1).unwrap_err().kind(), ErrorKind::Refused);
}

#[test]
fn log_1_a_segment_is_sealed_by_age_without_traffic() {
    let mut bench = Bench::new();
    bench.config.segment_age = Duration::from_secs(60);
    let (log, _) = bench.open().unwrap();
    log.tick();
    assert_eq!(log.sealed_segments(), [], "an empty segment does not age");
    append(&log, b"a").unwrap();
    bench.clock.advance(Duration::from_secs(59));
    log.tick();
    assert_eq!(log.sealed_segments(), []);
    bench.clock.advance(Duration::from_secs(1));
    log.tick();
    let sealed = log.sealed_segments();
    assert_eq!(
        (sealed.len(), sealed[0].end_sequence, sealed[0].last_received_at),
        (1, 1, START)
    );
}

#[test]
fn log_1_sealing_at_will_and_removal_are_safe() {
    let bench = Bench::new();
    let (log, _) = bench.open().unwrap();
    assert_eq!(log.seal_now().unwrap(), 0);
    assert_eq!(log.sealed_segments(), [], "nothing to seal");
    append(&log, b"a").unwrap();
    assert_eq!(log.seal_now().unwrap(), 1);
    append(&log, b"b").unwrap();
    assert_eq!(log.seal_now().unwrap(), 2);
    append(&log, b"c").unwrap();
    assert_eq!(
        log.remove_segment(1).unwrap_err().kind(),
        ErrorKind::Refused,
        "the oldest goes first"
    );
    assert_eq!(
        log.remove_segment(2).unwrap_err().kind(),
        ErrorKind::Refused,
        "the active one stays"
    );
    let mut reader = log.reader(0);
    log.remove_segment(0).unwrap();
    assert_eq!(log.start(), 1);
    let gap = reader.read(1, 1).unwrap_err().gap().unwrap();
    assert_eq!((gap.from, gap.to, gap.cause), (0, 1, crate::GapCause::Removed));
    reader.skip_to(gap.to);
    assert_eq!(body_of(&reader.read(1, 1).unwrap()[0]), b"b");
    for seed in 0..20 {
        let (log, report) = Bench {
            disk: bench.disk.crash_copy(seed),
            ..Bench::new()
        }
        .open()
        .unwrap();
        assert_eq!((report.start, report.end), (1, 3));
        let gap = log.reader(0).read(1, 1).unwrap_err().gap().unwrap();
        assert_eq!(
            (gap.to, gap.cause),
            (1, crate::GapCause::Removed),
            "a crash forgets nothing of it"
        );
        assert_eq!(read_all(&log).0.len(), 2);
    }
}

#[test]
fn log_2_waiting_readers_are_told() {
    let bench = Bench::new();
    let (log, _) = bench.open().unwrap();
    assert!(!log.wait_for(0, std::time::Duration::ZERO));
    let mut watched = log.watch_durable();
    let waiter = std::thread::spawn({
        let log = Arc::clone(&log);
        move || log.wait_for(0, std::time::Duration::from_secs(600))
    });
    append(&log, b"a").unwrap();
    assert!(waiter.join().unwrap());
    assert!(log.wait_for(0, std::time::Duration::ZERO));
    assert!(watched.has_changed().unwrap());
    assert_eq!(*watched.borrow_and_update(), 1);
}
