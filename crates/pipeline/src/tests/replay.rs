//! A live run, disturbed in every way, against an undisturbed replay.

use super::worlds::{World, documents, world};
use super::{Bench, at, decision, record_of, same};
use kith_segment::Change;
use kith_testkit::world::{SentAt, WorldConfig};
use kith_types::{Record, RecordBody, Timestamp};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Every record in order, one commit at the end.
pub(super) fn replay(world: &World, now: Timestamp) -> Bench {
    let mut bench = Bench::new();
    world.records.iter().for_each(|record| bench.apply(record));
    bench.settle(now);
    bench
}

fn changes(bench: &Bench) -> Vec<Change> {
    let mut changes: Vec<Change> = bench.numbered().into_iter().map(|numbered| numbered.change).collect();
    changes.sort_by_key(|change| {
        (
            change.at,
            change.profile,
            change.segment.clone(),
            change.entered,
            change.cause,
        )
    });
    changes
}

/// Commits, crashes, timers and sweeps wherever the dice put them.
pub(super) fn live(world: &World, seed: u64, now: Timestamp) -> Bench {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut bench = Bench::new();
    let mut next = 0;
    let mut crashes = 0;
    while let Some(record) = world.records.get(next) {
        let before = next
            .checked_sub(1)
            .map_or(record.received_at, |last| world.records[last].received_at);
        if random.random_bool(0.3) {
            let passed = record.received_at - before;
            let passed = kith_types::Duration::from_micros(random.random_range(0..=passed.as_micros()));
            // Not always to the end: timers wait for their turn.
            let all = bench.engine.advance(before + passed).unwrap();
            if !all && random.random_bool(0.5) {
                bench.until(before + passed);
            }
        }
        bench.apply(record);
        if matches!(record.body, RecordBody::Decision(_)) && random.random_bool(0.8) {
            bench.commit();
        }
        match random.random_range(0..10) {
            0..3 => bench.commit(),
            3 => drop(bench.sweep()),
            4 if crashes < 20 => {
                crashes += 1;
                bench.crash();
            }
            _ => {}
        }
        next = bench.engine.next() as usize;
    }
    bench.settle(now);
    bench
}

#[test]
fn raw_2_replay_gives_the_same_bytes() {
    let mut told_of_all = 0;
    for seed in 0..100 {
        let world = world(seed, 80, seed % 3 == 0);
        let now = at(world.end + 25);
        let undisturbed = replay(&world, now);
        for disturbed in 0..2 {
            let live = live(&world, seed * 10 + disturbed, now);
            same(
                &live.store,
                &undisturbed.store,
                now,
                &format!("seed {seed}, run {disturbed}"),
            );
            if live.lost {
                continue;
            }
            told_of_all += 1;
            assert_eq!(changes(&live), changes(&undisturbed), "seed {seed}, run {disturbed}");
            let numbers: Vec<u64> = live.numbered().iter().map(|numbered| numbered.number).collect();
            assert_eq!(
                numbers,
                (0..numbers.len() as u64).collect::<Vec<_>>(),
                "seed {seed}: no gaps, no repeats"
            );
            assert_eq!(live.events(), undisturbed.events(), "seed {seed}: clean rows");
        }
    }
    assert!(told_of_all > 60, "{told_of_all}");
}

#[test]
fn a_step_tells_of_its_records_in_their_order() {
    for seed in 0..30 {
        let world = world(seed, 60, true);
        let bench = live(&world, seed, at(world.end));
        if bench.lost {
            continue;
        }
        let mut expected = 0;
        for output in &bench.outputs {
            assert_eq!(output.from, expected, "seed {seed}: steps follow each other");
            expected = output.to;
            assert_eq!(output.events.len(), output.people.len());
            assert!(
                output
                    .events
                    .iter()
                    .all(|event| (output.from..output.to).contains(&event.address.sequence))
            );
            assert!(output.events.is_sorted_by_key(|event| event.address));
        }
        assert_eq!(expected, world.records.len() as u64);
    }
}

#[test]
fn a_record_taken_twice_counts_once() {
    let world = world(5, 40, false);
    let mut bench = Bench::new();
    for record in &world.records {
        bench.apply(record);
        bench.apply(record);
    }
    let now = at(world.end);
    bench.settle(now);
    same(&bench.store, &replay(&world, now).store, now, "taken twice");
}

/// The retail world of the demo, with late and double events, shared tablets and bots.
fn retail(seed: u64, count: u64) -> World {
    let now = at(0);
    let config = WorldConfig {
        sent_at: SentAt::World,
        ..WorldConfig::new(seed, count, now)
    };
    let first = (config.start().as_micros() - at(0).as_micros()) / 1_000_000;
    let mut records = vec![decision(0, first, &documents())];
    for event in kith_testkit::world::World::new(config) {
        let received_at = records
            .last()
            .map_or(now, |last: &Record| last.received_at)
            .max(event.sent_at);
        let body = format!("{{\"batch\":[{}]}}", event.body);
        records.push(record_of("main", records.len() as u64, received_at, &body));
    }
    let end = records.last().map_or(now, |last| last.received_at);
    World {
        records,
        end: (end.as_micros() - at(0).as_micros()) / 1_000_000 + 2,
    }
}

#[test]
fn raw_2_a_retail_world_replays_to_the_same_bytes_and_is_what_an_oracle_finds() {
    for seed in 0..3 {
        let world = retail(seed, 700);
        let now = at(world.end);
        let undisturbed = replay(&world, now);
        assert!(undisturbed.events().len() > 600 && undisturbed.numbered().len() > 50);
        super::oracle::check(&undisturbed, now, "retail");
        let live = live(&world, seed, now);
        same(&live.store, &undisturbed.store, now, "retail");
        assert!(live.lost || changes(&live) == changes(&undisturbed));
    }
}
