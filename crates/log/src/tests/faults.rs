//! LOG-1, LOG-2 and COL-3: failing syncs, full disks, damage, clocks set backwards, overload, group commit.

use super::{Bench, START, append, body_of, envelope, read_all};
use crate::{ErrorKind, Gap, GapCause, Log};
use kith_types::{Duration, SpaceId};
use std::sync::Arc;

#[test]
fn log_2_one_sync_serves_every_request_waiting() {
    let bench = Bench::new();
    let (log, _) = bench.open().unwrap();
    bench.disk.hold_syncs(true);
    let space = SpaceId::main();
    let first = log.append(&space, &envelope(b"first"));
    bench.disk.await_held_sync();
    let before = bench.disk.syncs();
    let waiting: Vec<_> = (0..200)
        .map(|n: u32| log.append(&space, &envelope(&n.to_le_bytes())))
        .collect();
    assert_eq!(log.durable_end(), 0);
    bench.disk.hold_syncs(false);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let sequences: Vec<u64> = runtime.block_on(async {
        let mut sequences = vec![first.await.unwrap().address.sequence];
        for appended in waiting {
            sequences.push(appended.await.unwrap().address.sequence);
        }
        sequences
    });
    assert_eq!(sequences, (0..=200).collect::<Vec<u64>>());
    // One for the 200, and those that the footers and headers of new segments need.
    let rolled = 2 * (bench.segments().len() as u64 - 1);
    assert_eq!(bench.disk.syncs() - before, 1 + rolled);
    assert_eq!(log.health().queued_bytes, 0);
}

#[test]
fn log_2_many_threads_share_one_sequence() {
    let bench = Bench::new();
    let (log, _) = bench.open().unwrap();
    let threads: Vec<_> = (0..8_u8)
        .map(|thread| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                (0..50)
                    .map(|n| (append(&log, &[thread, n]).unwrap().address.sequence, [thread, n]))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut given: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    given.sort_unstable();
    let (records, gaps) = read_all(&log);
    assert!(gaps.is_empty());
    let read: Vec<_> = records
        .iter()
        .map(|record| (record.address.sequence, [body_of(record)[0], body_of(record)[1]]))
        .collect();
    assert_eq!(read, given);
    assert_eq!(read.len(), 400);
}

#[test]
fn col_3_a_failed_sync_is_never_retried_into_a_success() {
    let bench = Bench::new();
    let (log, _) = bench.open().unwrap();
    append(&log, b"safe").unwrap();
    let failed_file = bench.segments().pop().unwrap();
    bench.disk.fail_syncs(3);
    assert_eq!(append(&log, b"lost").unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(!log.health().writable);
    assert!(log.health().last_error.unwrap().contains("the sync failed"));
    let syncs = bench.disk.syncs();
    assert_eq!(
        append(&log, b"refused at once").unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert_eq!(
        bench.disk.syncs(),
        syncs,
        "a broken log does not touch the disk for an append"
    );
    // Two more syncs fail while the log tries to begin anew; the third works, on another file.
    log.tick();
    log.tick();
    assert!(!log.health().writable);
    assert_eq!(
        append(&log, b"still refused").unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    log.tick();
    assert!(log.health().writable);
    assert_eq!(append(&log, b"after").unwrap().address.sequence, 1);
    assert_ne!(bench.segments().pop().unwrap(), failed_file);
    for power_loss in 0..20 {
        let bench = Bench {
            disk: bench.disk.clone().crash_copy(power_loss),
            ..Bench::new()
        };
        let (log, report) = bench.open().unwrap();
        assert_eq!(report.gaps, []);
        let bodies: Vec<_> = read_all(&log).0.iter().map(|record| body_of(record).to_vec()).collect();
        assert_eq!(bodies, [b"safe".to_vec(), b"after".to_vec()]);
    }
}

#[test]
fn col_3_a_full_disk_refuses_and_service_resumes_without_restart() {
    let bench = Bench::new();
    let (log, _) = bench.open().unwrap();
    append(&log, b"before").unwrap();
    bench.disk.limit_space(Some(bench.disk.used_bytes() + 100));
    assert_eq!(append(&log, &[7; 1000]).unwrap_err().kind(), ErrorKind::Unavailable);
    log.tick();
    assert!(!log.health().writable, "no room yet");
    assert_eq!(append(&log, b"x").unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(read_all(&log).0.len(), 1, "reading goes on");
    bench.disk.limit_space(None);
    log.tick();
    assert!(log.health().writable);
    assert_eq!(append(&log, b"after").unwrap().address.sequence, 1);
}

#[test]
fn col_3_a_log_opens_on_a_full_disk_and_resumes() {
    let bench = Bench::new();
    let (log, _) = bench.open().unwrap();
    append(&log, b"before").unwrap();
    let bench = Bench {
        disk: bench.disk.kill(),
        ..bench
    };
    drop(log);
    bench.disk.limit_space(Some(bench.disk.used_bytes()));
    let (log, report) = bench.open().unwrap();
    assert_eq!((report.end, log.health().writable), (1, false));
    assert_eq!(append(&log, b"x").unwrap_err().kind(), ErrorKind::Unavailable);
    bench.disk.limit_space(None);
    log.tick();
    assert_eq!(append(&log, b"after").unwrap().address.sequence, 1);
    assert_eq!(read_all(&log).0.len(), 2);
}

#[test]
fn log_1_received_at_never_decreases_when_the_clock_is_set_back() {
    let bench = Bench::new();
    let (log, _) = bench.open().unwrap();
    assert_eq!(append(&log, b"a").unwrap().received_at, START);
    bench.clock.set(START - Duration::from_secs(3600));
    assert_eq!(append(&log, b"b").unwrap().received_at, START);
    log.close();
    drop(log);
    let (log, _) = bench.open().unwrap();
    assert_eq!(append(&log, b"c").unwrap().received_at, START);
    // Nor after everything was removed: the segment that carries the sequence on remembers.
    log.seal_now().unwrap();
    for segment in log.sealed_segments() {
        log.remove_segment(segment.first_sequence).unwrap();
    }
    drop(log);
    let (log, report) = bench.open().unwrap();
    assert_eq!((report.start, report.end), (3, 3));
    let appended = append(&log, b"d").unwrap();
    assert_eq!((appended.address.sequence, appended.received_at), (3, START));
    bench.clock.set(START + Duration::from_secs(5));
    assert_eq!(append(&log, b"e").unwrap().received_at, START + Duration::from_secs(5));
    // Nor before what somebody knows who has gone by the clock while no record came.
    let known = START + Duration::from_secs(9);
    log.raise_floor(known).unwrap();
    log.raise_floor(START).unwrap();
    assert_eq!(append(&log, b"f").unwrap().received_at, known);
}

#[test]
fn col_5_overload_is_refused_before_memory_grows() {
    let mut bench = Bench::new();
    bench.config.queue_bytes = 10_000;
    let (log, _) = bench.open().unwrap();
    bench.disk.hold_syncs(true);
    let space = SpaceId::main();
    let first = log.append(&space, &envelope(&[1; 3_000]));
    bench.disk.await_held_sync();
    let second = log.append(&space, &envelope(&[2; 6_000]));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let refused = runtime
        .block_on(log.append(&space, &envelope(&[3; 3_000])))
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    assert!(log.health().queued_bytes <= 10_000);
    let never = runtime
        .block_on(log.append(&space, &envelope(&[3; 30_000])))
        .unwrap_err();
    assert_eq!(never.kind(), ErrorKind::Refused);
    bench.disk.hold_syncs(false);
    assert_eq!(runtime.block_on(first).unwrap().address.sequence, 0);
    assert_eq!(runtime.block_on(second).unwrap().address.sequence, 1);
    assert_eq!(
        runtime
            .block_on(log.append(&space, &envelope(&[3; 3_000])))
            .unwrap()
            .address
            .sequence,
        2
    );
}

/// Ten groups of one record each, in one segment; returns where the group of each record begins.
fn ten_records(bench: &Bench) -> (Arc<Log>, Vec<u64>) {
    let (log, _) = bench.open().unwrap();
    let path = bench.segments().pop().unwrap();
    let offsets = (0..10_u8).map(|n| {
        let offset = bench.disk.content(&path).unwrap().len() as u64;
        append(&log, &[n; 64]).unwrap();
        offset
    });
    let offsets = offsets.collect();
    (log, offsets)
}

fn damaged(from: u64, to: u64) -> Gap {
    Gap {
        from,
        to,
        cause: GapCause::Damaged,
    }
}

#[test]
fn log_1_damage_before_the_tail_is_quarantined_and_never_served() {
    // Damage to a header, to a body, to two groups at once, and to a segment's own header and footer.
    type Flips = &'static [(usize, u64)];
    let cases: [(Flips, &[Gap]); 4] = [
        (&[(4, 0)], &[damaged(4, 5)]),
        (&[(4, 70)], &[damaged(4, 5)]),
        (&[(2, 9), (3, 80), (7, 80)], &[damaged(2, 4), damaged(7, 8)]),
        (&[(0, 0)], &[damaged(0, 1)]),
    ];
    for sealed in [false, true] {
        for (flips, gaps) in cases {
            let mut bench = Bench::new();
            bench.config.tail_bytes = 0;
            let (log, offsets) = ten_records(&bench);
            let path = bench.segments().pop().unwrap();
            if sealed {
                log.seal_now().unwrap();
                append(&log, b"in the next segment").unwrap();
            }
            let bench = Bench {
                disk: bench.disk.kill(),
                ..bench
            };
            drop(log);
            for (group, at) in flips {
                assert!(bench.disk.damage(&path, offsets[*group] + at, 0x10));
            }
            let (log, report) = bench.open().unwrap();
            assert_eq!(report.gaps, gaps, "{flips:?} {sealed}");
            assert_eq!(report.quarantined.len(), 1);
            assert!(bench.disk.content(&report.quarantined[0]).unwrap().len() > 1000);
            let (records, read_gaps) = read_all(&log);
            assert_eq!(read_gaps, gaps);
            let lost = |sequence: u64| gaps.iter().any(|gap| gap.from <= sequence && sequence < gap.to);
            let expected: Vec<u64> = (0..report.end).filter(|sequence| !lost(*sequence)).collect();
            assert_eq!(
                records.iter().map(|record| record.address.sequence).collect::<Vec<_>>(),
                expected
            );
            for record in records.iter().filter(|record| record.address.sequence < 10) {
                assert_eq!(body_of(record), [record.address.sequence as u8; 64]);
            }
            // The next start says the same, and the sequence goes on.
            let end = append(&log, b"more").unwrap().address.sequence;
            assert_eq!(end, report.end);
            drop(log);
            let (_, again) = bench.open().unwrap();
            assert_eq!((again.gaps.as_slice(), again.end), (gaps, end + 1));
        }
    }
}

#[test]
fn log_1_only_the_tail_is_cut() {
    let bench = Bench::new();
    let (log, offsets) = ten_records(&bench);
    let path = bench.segments().pop().unwrap();
    let bench = Bench {
        disk: bench.disk.kill(),
        ..bench
    };
    drop(log);
    // Nothing proves that the last group was ever durable.
    assert!(bench.disk.damage(&path, offsets[9] + 60, 1));
    let (log, report) = bench.open().unwrap();
    assert_eq!((report.end, report.gaps.len(), report.quarantined.len()), (9, 0, 0));
    assert!(report.tail_bytes_cut > 64);
    assert_eq!(append(&log, b"again").unwrap().address.sequence, 9);
}

#[test]
fn log_1_a_damaged_header_or_footer_costs_no_record() {
    for from_end in [false, true] {
        let mut bench = Bench::new();
        bench.config.tail_bytes = 0;
        let (log, _) = ten_records(&bench);
        let path = bench.segments().pop().unwrap();
        log.seal_now().unwrap();
        append(&log, b"next").unwrap();
        drop(log);
        let length = bench.disk.content(&path).unwrap().len() as u64;
        assert!(bench.disk.damage(&path, if from_end { length - 20 } else { 20 }, 0xff));
        let (log, report) = bench.open().unwrap();
        assert_eq!((report.end, report.gaps.len()), (11, 0));
        assert_eq!(read_all(&log).0.len(), 11);
    }
}

#[test]
fn log_1_a_segment_of_which_nothing_stands_is_a_gap_and_its_numbers_are_not_given_again() {
    let bench = Bench::new();
    let (log, _) = ten_records(&bench);
    let path = bench.segments().pop().unwrap();
    let bench = Bench {
        disk: bench.disk.kill(),
        ..bench
    };
    drop(log);
    for offset in 0..bench.disk.content(&path).unwrap().len() as u64 {
        assert!(bench.disk.damage(&path, offset, 0xa5));
    }
    let (log, report) = bench.open().unwrap();
    assert_eq!(report.quarantined.len(), 1);
    let next = append(&log, b"after").unwrap().address.sequence;
    assert!(next >= 10, "{next} may have been acknowledged before");
    drop(log);
    let (log, _) = bench.open().unwrap();
    assert_eq!(body_of(&log.reader(next).read(1, 1).unwrap()[0]), b"after");
}

#[test]
fn log_1_damage_that_comes_while_the_log_is_open_is_found_by_its_reader() {
    for sealed in [false, true] {
        let mut bench = Bench::new();
        bench.config.tail_bytes = 0;
        let (log, offsets) = ten_records(&bench);
        let path = bench.segments().pop().unwrap();
        if sealed {
            log.seal_now().unwrap();
        }
        assert!(bench.disk.damage(&path, offsets[5] + 50, 0x40));
        let (records, gaps) = read_all(&log);
        assert_eq!(gaps, [damaged(5, 6)]);
        assert_eq!(records.len(), 9);
        assert_eq!(log.gaps(), gaps);
        assert!(
            bench
                .disk
                .paths()
                .iter()
                .any(|path| path.starts_with("/kith/log/quarantine"))
        );
    }
}

/// A clock that breaks when it is told to.
struct Breaking(std::sync::atomic::AtomicBool);

impl kith_types::Clock for Breaking {
    fn now(&self) -> kith_types::Timestamp {
        assert!(!self.0.load(std::sync::atomic::Ordering::Relaxed), "a defect");
        kith_types::Timestamp::from_millis(1)
    }
}

#[test]
fn col_3_a_writer_that_ended_by_a_panic_leaves_nobody_waiting_and_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Breaking(false.into()));
    let config = crate::LogConfig::new(folder.path().join("log"));
    let (log, _) = Log::open(config, Arc::new(crate::OsDisk), clock.clone()).unwrap();
    let body = envelope(b"one");
    log.append_blocking(&SpaceId::main(), &body).unwrap();
    clock.0.store(true, std::sync::atomic::Ordering::Relaxed);
    let refused = log.append_blocking(&SpaceId::main(), &body).unwrap_err();
    assert_eq!(
        refused.kind(),
        ErrorKind::Unavailable,
        "answered with 503, and answered"
    );
    while log.health().writable {
        std::thread::yield_now();
    }
    let later = log.append_blocking(&SpaceId::main(), &body).unwrap_err();
    assert!(later.to_string().contains("panic"), "{later}");
    clock.0.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(log.durable_end(), 1);
    log.close();
}
