//! What publishing does without being asked: commits by size and by age, and the removal of old snapshots.

use super::{World, space};
use crate::PublishConfig;
use std::path::Path;
use std::time::{Duration, Instant};

const NEVER: Duration = Duration::from_secs(86_400);

fn quiet() -> PublishConfig {
    PublishConfig {
        rows: usize::MAX,
        bytes: usize::MAX,
        age: NEVER,
        curated_period: NEVER,
        expiry_period: NEVER,
        ..PublishConfig::default()
    }
}

/// Looks again and again until it holds; false after a minute.
fn comes_true(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

fn data_files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let count = |path: &Path| match path.is_dir() {
        true => data_files(path),
        false => usize::from(path.extension().is_some_and(|extension| extension == "parquet")),
    };
    entries.map(|entry| count(&entry.path())).sum()
}

#[test]
fn lak_2_rows_are_committed_by_their_number_and_by_their_age() {
    let by_number = PublishConfig { rows: 20, ..quiet() };
    let by_age = PublishConfig {
        age: Duration::from_millis(50),
        ..quiet()
    };
    for config in [by_number, by_age] {
        let world = World::new();
        let run = world.start_with(config);
        run.send(0, 20);
        let end = run.log.durable_end();
        assert!(run.pipeline.wait_committed(end, Duration::from_secs(60)));
        assert!(
            comes_true(|| run.publisher.status().clean_at.is_some() && world.rows(&run, "clean", "events") == 20),
            "{:?}",
            run.publisher.status()
        );
        run.pipeline.stop();
        run.publisher.stop();
    }
}

#[test]
fn seg_4_rows_are_committed_at_once_where_a_fold_of_history_waits_for_them() {
    let world = World::new();
    let run = world.start_with(quiet());
    run.send(0, 20);
    let end = run.log.durable_end();
    assert!(run.pipeline.wait_committed(end, Duration::from_secs(60)));
    assert!(run.publisher.status().clean_at.is_none(), "neither many nor old");
    assert!(comes_true(|| run.publisher.hasten(end)));
    assert!(
        comes_true(|| run.publisher.status().clean_end >= end && world.rows(&run, "clean", "events") == 20),
        "{:?}",
        run.publisher.status()
    );
    run.pipeline.stop();
    run.publisher.stop();
}

#[test]
fn lak_3_snapshots_that_are_old_go_with_their_files_and_the_newest_stay() {
    let world = World::new();
    let run = world.start_with(quiet());
    let flushes = 8;
    for at in 0..flushes {
        run.send(at * 10, at * 10 + 10);
        world.flush(&run).unwrap();
    }
    let profiles = world.path("lake");
    let before = data_files(&profiles);
    run.pipeline.stop();
    run.publisher.stop();
    drop(run);

    let run = world.start_with(PublishConfig {
        expiry_period: Duration::ZERO,
        rewritten_kept: Duration::ZERO,
        appended_kept: Duration::ZERO,
        ..quiet()
    });
    // Seven people: a snapshot of a table that is rewritten has a file for each of their buckets.
    assert!(
        comes_true(|| data_files(&profiles) * 2 < before),
        "{before}: {}",
        data_files(&profiles)
    );
    assert_eq!(world.rows(&run, "clean", "events"), flushes * 10);
    assert_eq!(world.rows(&run, "curated", "profiles"), 7);
    assert!(
        world
            .runtime
            .block_on(run.lake.table(&space(), "curated", "profiles"))
            .is_ok()
    );
    run.pipeline.stop();
    run.publisher.stop();
}
