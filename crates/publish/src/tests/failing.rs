//! Publishing that fails half-way, and what a crash before a commit must not lose.

use super::{World, obstruct, space};
use std::time::{Duration, Instant};

/// The events are committed and the rejects are not: once the disk is mended, each row is there once.
#[test]
fn cln_4_a_flush_that_fails_half_way_is_taken_up_without_repeating_a_row() {
    let world = World::new();
    let run = world.start();
    run.send(0, 10);
    run.append(r#"{"batch":[{"type":"track","userId":"u"}]}"#);
    world.flush(&run).unwrap();
    run.send(10, 20);
    run.append(r#"{"batch":[{"type":"track","userId":"u"}]}"#);
    let mend = obstruct(&world.path("lake/space=main/clean/rejects"));
    world.flush(&run).unwrap_err();
    assert_eq!(world.rows(&run, "clean", "events"), 20, "the first table was committed");
    let status = run.publisher.status();
    assert!(status.failures > 0 && status.failing_since.is_some() && status.failure.is_some());
    mend();
    world.flush(&run).unwrap();
    let status = run.publisher.status();
    assert!(status.failures == 0 && status.failing_since.is_none() && status.failure.is_none());
    assert_eq!(world.rows(&run, "clean", "events"), 20);
    assert_eq!(world.rows(&run, "clean", "rejects"), 2);
    run.stop();
}

/// A space that has sent nothing but rejects keeps them when the server ends before their commit.
#[test]
fn cln_4_a_space_with_rejects_alone_keeps_them_over_an_end_before_the_commit() {
    let world = World::new();
    let run = world.start();
    // No table can be made or written: as if the process had been killed before the commit.
    std::fs::write(world.path("lake"), b"in the way").unwrap();
    run.append(r#"{"batch":[{"type":"track","userId":"u"}]}"#);
    world.flush(&run).unwrap_err();
    run.stop();
    std::fs::remove_file(world.path("lake")).unwrap();
    let run = world.start();
    world.flush(&run).unwrap();
    assert_eq!(run.pipeline.status().profiles.get(&space()), Some(&0));
    assert_eq!(world.rows(&run, "clean", "rejects"), 1);
    run.stop();
}

/// What fails is not tried at every turn, and goes on by itself once it can.
#[test]
fn ops_1_publishing_that_fails_waits_before_it_tries_again() {
    let world = World::new();
    let run = world.start();
    run.send(0, 5);
    world.flush(&run).unwrap();
    let mend = obstruct(&world.path("raw"));
    run.send(5, 10);
    world.flush(&run).unwrap_err();
    let deadline = Instant::now() + Duration::from_secs(60);
    while run.publisher.status().raw.failures < 2 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    mend();
    while run.publisher.status().raw.failures > 0 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert_eq!(run.publisher.status().raw_end, run.log.durable_end());
    run.stop();
}
