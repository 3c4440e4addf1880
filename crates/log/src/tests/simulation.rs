//! LOG-1 under power loss: seeded histories of appends, failures, kills and crashes, and what must hold after each.

use super::{Bench, START, decision, envelope, read_all};
use crate::simulated::SimulatedDisk;
use crate::{Appended, Log};
use kith_types::{Duration, RecordBody, SpaceId, Timestamp};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

const ROUNDS: usize = 7;

/// What was promised: acknowledged, or shown to a reader.
type Promised = BTreeMap<u64, (RecordBody, Timestamp)>;

struct History {
    chance: ChaCha8Rng,
    bench: Bench,
    promised: Promised,
    /// Records below this were removed on purpose.
    start: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let mut bench = Bench::new();
        bench.config.segment_bytes = chance.random_range(1_500..8_000);
        bench.config.tail_bytes = if chance.random() { 0 } else { 3_000 };
        bench.config.verify_bytes = if chance.random() { 0 } else { u64::MAX };
        Self {
            chance,
            bench,
            promised: Promised::new(),
            start: 0,
        }
    }

    /// Runs one life of the process; says what promise was broken.
    fn round(&mut self) -> Result<(), String> {
        if self.chance.random_ratio(2, 3) {
            let last = self.chance.random_range(0..90);
            self.bench.disk.die_after(last);
        }
        match self.bench.open() {
            Ok((log, report)) => {
                if !report.gaps.is_empty() {
                    return Err(format!("gaps {:?} without damage", report.gaps));
                }
                self.check(&log)?;
                for _ in 0..self.chance.random_range(0..25) {
                    self.act(&log);
                }
                // What is visible now was promised to its reader.
                self.check(&log)?;
                self.lose_power_or_be_killed();
                drop(log);
            }
            Err(_) if self.bench.disk.is_dead() => self.lose_power_or_be_killed(),
            Err(error) => return Err(format!("did not open: {error}")),
        }
        Ok(())
    }

    fn lose_power_or_be_killed(&mut self) {
        let next = if self.chance.random_ratio(2, 3) {
            self.bench.disk.crash(self.chance.random())
        } else {
            self.bench.disk.kill()
        };
        self.bench.disk = next;
    }

    fn act(&mut self, log: &Log) {
        let space = SpaceId::main();
        match self.chance.random_range(0..20) {
            0 => drop(log.seal_now()),
            1 => self.bench.disk.fail_syncs(self.chance.random_range(1..4)),
            2 => {
                let spare = self.chance.random_range(0..3_000);
                self.bench.disk.limit_space(Some(self.bench.disk.used_bytes() + spare));
            }
            3..=5 => {
                self.bench.disk.limit_space(None);
                log.tick();
            }
            6 => {
                let moved = Duration::from_secs(self.chance.random_range(-500..500));
                self.bench.clock.set(START + moved);
            }
            7 => {
                let sealed = log.sealed_segments();
                if let Some(oldest) = sealed.first().filter(|_| sealed.len() > 2) {
                    // Even a removal that failed may have taken it.
                    self.start = oldest.end_sequence;
                    drop(log.remove_segment(oldest.first_sequence));
                }
            }
            8..=11 => {
                let bodies: Vec<RecordBody> = (0..self.chance.random_range(2..6)).map(|_| self.body()).collect();
                if let Ok(all) = log.append_all_blocking(&space, &bodies) {
                    all.into_iter()
                        .zip(bodies)
                        .for_each(|(appended, body)| self.promise(appended, body));
                }
            }
            _ => {
                let body = self.body();
                if let Ok(appended) = log.append_blocking(&space, &body) {
                    self.promise(appended, body);
                }
            }
        }
    }

    fn body(&mut self) -> RecordBody {
        if self.chance.random_ratio(1, 8) {
            return decision(&format!("{{\"n\":{}}}", self.chance.random::<u32>()));
        }
        let length = self.chance.random_range(0..1_300);
        let bytes: Vec<u8> = (0..length).map(|_| self.chance.random()).collect();
        envelope(&bytes)
    }

    fn promise(&mut self, appended: Appended, body: RecordBody) {
        let taken = self
            .promised
            .insert(appended.address.sequence, (body, appended.received_at));
        assert!(
            taken.is_none(),
            "sequence {} was given twice",
            appended.address.sequence
        );
    }

    fn check(&mut self, log: &Log) -> Result<(), String> {
        if self.bench.disk.is_dead() {
            return Ok(());
        }
        let (records, gaps) = read_all(log);
        if !gaps.is_empty() {
            return Err(format!("gaps {gaps:?} without damage"));
        }
        let mut expected = log.start();
        let mut before = Timestamp::MIN;
        if expected > self.start {
            return Err(format!("starts at {expected}, removed up to {}", self.start));
        }
        let mut owed = self.promised.range(expected..);
        for record in records {
            if record.address.sequence != expected || record.received_at < before {
                return Err(format!(
                    "{} at {} after {before}, expected {expected}",
                    record.address, record.received_at
                ));
            }
            if let Some((sequence, (body, received_at))) = owed.next()
                && (*sequence, body, *received_at) != (expected, &record.body, record.received_at)
            {
                return Err(format!("sequence {expected} is not what was promised as {sequence}"));
            }
            (expected, before) = (expected + 1, record.received_at);
        }
        if let Some((lost, _)) = owed.next() {
            return Err(format!(
                "sequence {lost} was promised and is lost; the log ends at {expected}"
            ));
        }
        for record in read_all(log).0 {
            self.promised
                .insert(record.address.sequence, (record.body, record.received_at));
        }
        Ok(())
    }
}

/// Runs a history; a broken promise is the error. `faulty` takes something out of the disk first.
fn simulate(seed: u64, faulty: impl Fn(&SimulatedDisk)) -> Result<(), String> {
    let mut history = History::new(seed);
    for _ in 0..ROUNDS {
        faulty(&history.bench.disk);
        history.round()?;
    }
    // The last life has no faults: everything promised must be there.
    history.bench.disk.limit_space(None);
    let (log, _) = history.bench.open().map_err(|error| format!("did not open: {error}"))?;
    history.check(&log)
}

#[test]
fn log_1_an_acknowledged_record_survives_power_loss_and_kills() {
    for seed in 0..400 {
        if let Err(broken) = simulate(seed, |_| {}) {
            panic!("seed {seed}: {broken}");
        }
    }
}

#[test]
fn log_1_the_proof_fails_when_the_sync_of_files_is_removed() {
    let found = (0..60)
        .filter(|seed| simulate(*seed, SimulatedDisk::ignore_file_syncs).is_err())
        .count();
    assert!(found > 30, "only {found} of 60 histories showed the loss");
}

#[test]
fn log_1_the_proof_fails_when_the_sync_of_folders_is_removed() {
    let found = (0..60)
        .filter(|seed| simulate(*seed, SimulatedDisk::ignore_folder_syncs).is_err())
        .count();
    assert!(found > 30, "only {found} of 60 histories showed the loss");
}
