//! Segments leave the log, and nothing that was in them is missed.

use super::{World, space};
use crate::retention::removable;
use kith_log::SealedSegment;
use kith_state::MemoryStore;
use kith_types::Timestamp;
use std::sync::Arc;

#[test]
fn log_1_only_what_everything_has_passed_leaves_and_the_newest_stay() {
    let segment = |first_sequence: u64| SealedSegment {
        first_sequence,
        end_sequence: first_sequence + 10,
        first_received_at: Timestamp::MIN,
        last_received_at: Timestamp::MIN,
        path: "segment".into(),
        bytes: 100,
    };
    let sealed: Vec<SealedSegment> = (0..5).map(|number| segment(number * 10)).collect();
    assert_eq!(
        removable(&sealed, 50, 0),
        [0, 10, 20, 30],
        "one stays whatever the margin"
    );
    assert_eq!(removable(&sealed, 50, 150), [0, 10, 20]);
    assert_eq!(
        removable(&sealed, 29, 0),
        [0, 10],
        "the third has not been passed whole"
    );
    assert!(removable(&sealed, 50, 1_000).is_empty() && removable(&[], 50, 0).is_empty());
}

/// Whatever is lost after segments have left the log comes back from raw, once.
#[test]
fn raw_2_what_the_log_let_go_is_rebuilt_from_raw() {
    let mut world = World::new();
    let mut sent = 0;
    for round in 0..8 {
        match round {
            3 => world.store = Arc::new(MemoryStore::default()),
            5 => {
                std::fs::remove_dir_all(world.path("lake")).unwrap();
                std::fs::remove_file(world.path("tables.db")).unwrap();
            }
            6 => world.store = Arc::new(MemoryStore::default()),
            _ => {}
        }
        let run = world.start();
        run.send(sent, sent + 60);
        sent += 60;
        world.flush(&run).unwrap();
        assert!(run.log.start() > 0, "segments have left the log");
        assert!(!run.log.sealed_segments().is_empty(), "the newest stays");
        assert_eq!(world.rows(&run, "clean", "events"), sent, "round {round}");
        run.send(sent, sent + 7);
        sent += 7;
        run.stop();
    }
    let run = world.start();
    world.flush(&run).unwrap();
    assert_eq!(world.rows(&run, "clean", "events"), sent);
    world.assert_raw_gives_the_state(&run);
    let verified = world.runtime.block_on(run.lake.raw().verify(None)).unwrap();
    assert!(verified.is_sound() && verified.bytes > 0, "{verified:?}");
    run.stop();
}

/// A raw zone that is gone is told: a state that needs it is not built without it.
#[test]
fn raw_2_a_state_is_not_rebuilt_without_what_has_left_the_log() {
    let mut world = World::new();
    let run = world.start();
    run.send(0, 60);
    world.flush(&run).unwrap();
    run.stop();
    std::fs::remove_dir_all(world.path("raw")).unwrap();
    world.store = Arc::new(MemoryStore::default());
    let run = world.start();
    assert!(
        !run.pipeline
            .wait_committed(run.log.durable_end(), std::time::Duration::from_secs(60))
    );
    let failure = run.pipeline.status().failure.unwrap();
    assert!(failure.contains("could not be read"), "{failure}");
    assert_eq!(run.pipeline.status().profiles.get(&space()), None);
}
