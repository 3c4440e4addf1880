//! Parts of raw that are lost after the log let go: named, never passed over in silence, and borne only when accepted.

use super::{Run, World};
use kith_lake::{HoleCause, Proof, RawHole, RawRange};
use kith_pipeline::{Engine, EngineConfig, compare_states};
use kith_state::{MemoryStore, Store};
use kith_types::{SpaceId, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A small generator: which file is lost is all that is drawn.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|its| its == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn other() -> SpaceId {
    "other".parse().unwrap()
}

/// A folder whose log has let go of several segments of two spaces.
fn world() -> World {
    let world = World::new();
    for round in 0..3 {
        let run = world.start();
        for number in 0..12 {
            run.send(round * 60 + number * 5, round * 60 + number * 5 + 5);
            run.append_to(
                &other(),
                &format!(r#"{{"batch":[{{"type":"track","event":"Seen","userId":"o{number}"}}]}}"#),
            );
        }
        world.flush(&run).unwrap();
        run.stop();
    }
    world
}

/// The same folder and the same state, to be spoilt.
fn copy_of(world: &World) -> World {
    let copy = World {
        store: Arc::clone(&world.store),
        ..World::new()
    };
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(world.folder.path().join("."))
        .arg(copy.folder.path())
        .status();
    assert!(copied.unwrap().success());
    copy
}

/// What raw lacks of what the log has let go.
fn missing(world: &World, run: &Run) -> Vec<RawRange> {
    let expected = RawRange {
        generation: 0,
        partition: 0,
        first: 0,
        end: run.log.removed_before(),
    };
    world
        .runtime
        .block_on(run.lake.raw().missing(expected, Proof::Hashed))
        .unwrap()
}

/// Loses or spoils something of raw that only raw has; says what.
fn lose(world: &World, dice: &mut Dice, kind: usize) -> String {
    let raw = world.path("raw");
    let let_go = {
        let run = world.start();
        let end = run.log.removed_before();
        run.stop();
        end
    };
    let range = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        RawRange::parse(name.split('.').next().unwrap()).unwrap()
    };
    let only_raw = |paths: Vec<PathBuf>| -> Vec<PathBuf> {
        let old = paths.into_iter().filter(|path| range(path).end <= let_go);
        old.collect()
    };
    let manifests = only_raw(files(&raw, "json"));
    let objects = only_raw(files(&raw, "zst"));
    let spoil = |path: &Path, at: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 0x15;
        std::fs::write(path, bytes).unwrap();
    };
    match kind {
        0 => {
            let path = dice.pick(&manifests);
            std::fs::remove_file(path).unwrap();
            format!("manifest {}", path.display())
        }
        1 => {
            let path = dice.pick(&objects);
            std::fs::remove_file(path).unwrap();
            format!("object {}", path.display())
        }
        2 => {
            let name = *dice.pick(&["space=main", "space=other"]);
            std::fs::remove_dir_all(raw.join(name)).unwrap();
            format!("folder {name}")
        }
        3 => {
            let path = dice.pick(&objects);
            spoil(path, dice.below(10_000));
            format!("a byte of {}", path.display())
        }
        4 => {
            let path = dice.pick(&manifests);
            std::fs::write(path, "{").unwrap();
            format!("the contents of {}", path.display())
        }
        5 => {
            // A whole segment, in every space.
            let lost = range(dice.pick::<PathBuf>(&manifests));
            for path in manifests.iter().chain(&objects).filter(|path| range(path) == lost) {
                std::fs::remove_file(path).unwrap();
            }
            format!("segment {lost}")
        }
        _ => {
            std::fs::remove_dir_all(&raw).unwrap();
            "the whole zone".to_owned()
        }
    }
}

/// The state that the records which are left give.
fn state_of_what_is_left(world: &World, run: &Run) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::default());
    let mut engine = Engine::open(Arc::clone(&store) as Arc<dyn Store>, EngineConfig::default()).unwrap();
    let mut raw = world.runtime.block_on(run.lake.raw().read(None)).unwrap();
    while let Some(segment) = world.runtime.block_on(raw.next_segment()).unwrap() {
        let gone = segment
            .records
            .iter()
            .filter(|record| record.address.sequence < run.log.start());
        gone.for_each(|record| engine.apply(record).unwrap());
    }
    let mut reader = run.log.reader(run.log.start());
    loop {
        let records = reader.read(1_000, 1 << 20).unwrap();
        if records.is_empty() {
            break;
        }
        records.iter().for_each(|record| engine.apply(record).unwrap());
    }
    engine.commit().unwrap();
    store
}

fn caught_up(run: &Run) -> bool {
    run.pipeline
        .wait_committed(run.log.durable_end(), Duration::from_secs(60))
}

#[test]
fn raw_2_what_raw_lost_is_named_and_borne_only_when_accepted() {
    let whole = world();
    for seed in 0..7 {
        let mut world = copy_of(&whole);
        let mut dice = Dice(seed);
        let what = format!("seed {seed}: {}", lose(&world, &mut dice, seed as usize % 7));

        // The live state has everything: it goes on as it is.
        let before = Arc::clone(&world.store);
        let run = world.start();
        assert!(caught_up(&run), "{what}");
        let lost = missing(&world, &run);
        assert!(!lost.is_empty(), "{what}");
        let report = compare_states(&*before.snapshot(), &*world.store.snapshot(), Timestamp::MAX).unwrap();
        assert_eq!(report.different, 0, "{what}");
        run.stop();

        // A state that is built again stops, and names what is missing.
        world.store = Arc::new(MemoryStore::default());
        let run = world.start();
        assert!(!caught_up(&run), "{what}");
        let failure = run.pipeline.status().failure.unwrap();
        let named = match lost.as_slice() {
            [first, .., last] if lost.len() > 10 => vec![format!("0-0-{}-{}", first.first, last.end)],
            all => all.iter().map(ToString::to_string).collect(),
        };
        for range in &named {
            assert!(failure.contains(range), "{what}: {range} in {failure}");
        }
        assert!(failure.contains("--accept-loss"), "{failure}");
        let report = world.runtime.block_on(run.lake.raw().verify_with(RawRange {
            generation: 0,
            partition: 0,
            first: 0,
            end: run.log.removed_before(),
        }));
        let report = report.unwrap();
        assert!(!report.is_sound(), "{what}");
        // What the log has still is missing in raw too, and is written there again before the log lets go of it.
        let let_go = run.log.removed_before();
        let gone = report.missing.into_iter().filter(|range| range.first < let_go);
        assert_eq!(gone.collect::<Vec<_>>(), lost, "{what}");

        // All but one accepted is not enough.
        for (at, range) in lost.iter().enumerate() {
            if at + 1 == lost.len() {
                assert!(!world.reads_whole(&run), "{what}: all but one accepted");
            }
            let hole = RawHole {
                range: *range,
                cause: HoleCause::AcceptedLoss,
                decided_by: Some("0-0-1-0".to_owned()),
            };
            world.runtime.block_on(run.lake.raw().note_hole(&hole)).unwrap();
        }
        run.stop();
        world.store = Arc::new(MemoryStore::default());
        let run = world.start();
        assert!(caught_up(&run), "{what}: {:?}", run.pipeline.status().failure);
        let expected = state_of_what_is_left(&world, &run);
        let report = compare_states(&*world.store.snapshot(), &*expected.snapshot(), Timestamp::MAX).unwrap();
        assert_eq!(report.different, 0, "{what}: {:?}", report.differences);
        let verified = world.runtime.block_on(run.lake.raw().verify(None)).unwrap();
        let gone = verified.missing.iter().filter(|range| range.first < let_go);
        assert_eq!(gone.count() as u64 + verified.damaged_count, 0, "{what}: {verified:?}");
        assert_eq!(verified.holes.len(), lost.len(), "{what}");
        run.stop();
    }
}

#[test]
fn raw_2_tables_are_not_filled_around_what_raw_lost() {
    let world = world();
    lose(&world, &mut Dice(4), 1);
    std::fs::remove_dir_all(world.path("lake")).unwrap();
    std::fs::remove_file(world.path("tables.db")).unwrap();
    let run = world.start();
    let refused = world.flush(&run).unwrap_err();
    assert!(refused.contains("the raw zone has lost"), "{refused}");
    run.stop();
}

/// Numbers that the log could not give when they were sealed are on record, and no loss of raw.
#[test]
fn raw_2_what_the_log_never_gave_is_no_loss_of_raw() {
    let mut world = World::new();
    let run = world.start();
    run.send(0, 30);
    world.flush(&run).unwrap();
    run.send(30, 60);
    assert!(caught_up(&run));
    run.stop();
    let newest = files(&world.path("log"), "segment").pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&newest, bytes).unwrap();

    let run = world.start();
    run.send(60, 120);
    world.flush(&run).unwrap();
    run.send(120, 180);
    world.flush(&run).unwrap();
    let holes = world.runtime.block_on(run.lake.raw().holes()).unwrap();
    assert!(holes.iter().any(|hole| hole.cause == HoleCause::Damaged), "{holes:?}");
    assert!(
        run.log.removed_before() > holes[0].range.end,
        "the damaged segment is gone"
    );
    assert!(missing(&world, &run).is_empty());
    run.stop();
    world.store = Arc::new(MemoryStore::default());
    let run = world.start();
    assert!(caught_up(&run), "{:?}", run.pipeline.status().failure);
    run.stop();
    // The note is part of what must be there.
    let run = world.start();
    std::fs::remove_dir_all(world.path("raw/_holes")).unwrap();
    assert!(!world.reads_whole(&run));
    run.stop();
}

/// The log lets go of nothing that raw has lost meanwhile: raw is given it again.
#[test]
fn raw_1_the_log_keeps_what_raw_does_not_hold() {
    let world = World::new();
    let run = world.start();
    run.send(0, 60);
    world.flush(&run).unwrap();
    // The newest segment is in raw and in the log.
    let first = run.log.sealed_segments()[0].first_sequence;
    let objects = files(&world.path("raw"), "zst");
    let newest: Vec<&PathBuf> = objects
        .iter()
        .filter(|path| path.to_str().unwrap().contains(&format!("0-0-{first}-")))
        .collect();
    assert!(!newest.is_empty());
    newest.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    run.send(60, 120);
    world.flush(&run).unwrap();
    assert!(run.log.start() > first, "the segment is gone");
    assert!(missing(&world, &run).is_empty());
    assert_eq!(world.rows(&run, "clean", "events"), 120);
    run.stop();
}
