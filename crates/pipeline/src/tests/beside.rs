//! Changed rules of identity that are worked out beside the steps: whatever comes meanwhile, and however it is cut, what
//! stands afterwards and what was told is what a run gives that works them out when they are taken.

use super::new_rules::{copy, ending, placed};
use super::oracle::{check, tree};
use super::worlds::{documents, some_rules, some_vetoes, world};
use super::{Bench, at, decision, main_space, same, vetoes};
use crate::new_rules::Beside;
use crate::published::Published;
use crate::reads::tests::reads_of;
use crate::{Engine, EngineConfig, Numbered, staged, waiting};
use kith_state::{Keyspace, Read, Store};
use kith_types::{Duration, Record, RecordBody, SpaceId};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// A decision that waits until it is taken.
fn when_ready(sequence: u64, second: i64, documents: &[(&str, &str, Json)]) -> Record {
    let mut record = decision(sequence, second, documents);
    if let RecordBody::Decision(decision) = &mut record.body {
        let mut document: Json = serde_json::from_str(&decision.document).unwrap();
        document["when_ready"] = json!(true);
        decision.document = document.to_string().into();
    }
    record
}

/// The record by which it is taken.
fn taken(sequence: u64, second: i64, of: u64) -> Record {
    Record {
        body: RecordBody::Decision(waiting::taken(of).unwrap()),
        ..super::record(sequence, second, &[])
    }
}

/// What was told, in the order of texts: people take a decision in any order.
fn told(bench: &Bench) -> Vec<String> {
    let mut told: Vec<String> = (bench.numbered().iter())
        .map(|Numbered { space, change, .. }| format!("{space} {} {}", change.profile, super::tell(change)))
        .collect();
    told.sort();
    told
}

/// What happened in the worlds of a test.
#[derive(Debug, Default)]
struct Seen {
    taken: usize,
    prepared: usize,
    caught_up: u64,
    with_vetoes: usize,
    /// Records that came while what had taken over was moved to its place.
    while_moving: usize,
}

/// A bench that works changed rules out beside its steps, as the dice say.
struct Served {
    bench: Bench,
    log: Vec<Record>,
    published: Published,
    beside: Option<Beside>,
    /// Decisions that wait, by number.
    waiting: Vec<u64>,
    seen: Seen,
}

impl Served {
    fn new() -> Self {
        let mut served = Self {
            bench: Bench::new(),
            log: Vec::new(),
            published: Published::default(),
            beside: None,
            waiting: Vec::new(),
            seen: Seen::default(),
        };
        served.take(decision(0, 0, &documents()));
        served
    }

    fn take(&mut self, record: Record) {
        let store = &*self.bench.store;
        self.seen.while_moving += usize::from(store.get(Keyspace::Meta, staged::MARK).unwrap().is_some());
        self.bench.apply(&record);
        self.log.push(record);
    }

    /// One of the things that happen between two records.
    fn between(&mut self, random: &mut ChaCha8Rng, second: i64, sequence: u64) {
        match random.random_range(0..8) {
            0 | 1 => self.bench.commit(),
            2 => while self.bench.sweep() {},
            3 | 4 => _ = self.bench.sweep(),
            _ => {}
        }
        let Some(first) = self.waiting.first().copied() else {
            return;
        };
        match &mut self.beside {
            None if random.random_bool(0.6) => {
                // Only where nobody has still to take a decision.
                while self.bench.sweep() {}
                self.beside = self.bench.engine.begin_beside(&main_space()).unwrap();
                if let Some(beside) = &mut self.beside {
                    beside.work_out(&self.published).unwrap();
                }
            }
            Some(beside) if random.random_bool(0.4) => {
                self.seen.caught_up += beside.catch_up(&self.published).unwrap();
            }
            _ => {}
        }
        if random.random_bool(0.25) {
            self.call(first, second, sequence);
        }
    }

    fn call(&mut self, first: u64, second: i64, sequence: u64) {
        self.seen.taken += 1;
        if let Some(beside) = self.beside.take() {
            self.seen.prepared += 1;
            self.bench.engine.was_prepared(beside);
        }
        self.take(taken(sequence, second, first));
        self.waiting.remove(0);
    }
}

#[test]
fn seg_2_rules_that_are_worked_out_beside_the_steps_come_to_what_they_come_to_when_they_are_taken() {
    let soak = super::soak();
    let mut all = Seen::default();
    for seed in 0..150 * soak {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let world = world(seed + 90_000, 60, false);
        let records = world.records.into_iter().filter_map(|mut record| {
            record.address.sequence = (record.address.sequence + 1) * 100;
            matches!(record.body, RecordBody::Envelope(_)).then_some(record)
        });
        let mut served = Served::new();
        let mut in_force = Vec::new();
        for (place, record) in (1_u64..).zip(records.collect::<Vec<_>>()) {
            let second = (record.received_at.as_micros() - at(0).as_micros()) / 1_000_000;
            let mut sequence = record.address.sequence;
            served.take(record);
            if random.random_bool(0.12) {
                sequence += 1;
                let mut changed = vec![("identity_rules", "main", some_rules(&mut random))];
                if random.random_bool(0.2) {
                    changed.push(("segment", "more", super::performed("Call Ended", 1, 25)));
                }
                if random.random_bool(0.1) {
                    changed.remove(0);
                    changed.push(("segment", "pro", Json::Null));
                }
                served.take(when_ready(sequence, second, &changed));
                served.waiting.push(sequence);
            }
            if random.random_bool(0.1) {
                sequence += 1;
                let (added, removed) = some_vetoes(&mut random, &mut in_force, place);
                let [added, removed] = [added, removed].map(|list| list.iter().map(placed).collect::<Vec<_>>());
                served.seen.with_vetoes += usize::from(served.beside.is_some());
                served.take(vetoes(sequence, second, &added, &removed));
            }
            served.between(&mut random, second, sequence + 1);
        }
        let mut sequence = 1_000_000;
        while let Some(first) = served.waiting.first().copied() {
            served.call(first, world.end, sequence);
            sequence += 1;
        }
        let now = at(world.end + 5) + Duration::from_micros(1);
        let mut plain = Bench::new();
        for record in &served.log {
            plain.apply(record);
        }
        let what = format!("seed {seed}");
        for bench in [&mut served.bench, &mut plain] {
            bench.settle(now);
            check(bench, now, &what);
            assert!(
                tree(&*bench.store, Keyspace::Staged).is_empty(),
                "{what}: nothing is left beside"
            );
        }
        same(&served.bench.store, &plain.store, now, &what);
        assert_eq!(told(&served.bench), told(&plain), "{what}");
        let Seen {
            taken,
            prepared,
            caught_up,
            with_vetoes,
            while_moving,
        } = served.seen;
        all.taken += taken;
        all.prepared += prepared;
        all.caught_up += caught_up;
        all.with_vetoes += with_vetoes;
        all.while_moving += while_moving;
    }
    assert!(
        all.prepared > 200 && all.caught_up > 1_000 && all.with_vetoes > 30 && all.while_moving > 500,
        "{all:?}"
    );
}

#[test]
fn seg_2_a_process_that_ends_while_a_decision_is_taken_takes_it_at_its_next_start() {
    let mut ends = 0;
    for seed in 0..10 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let world = world(seed + 95_000, 25, false);
        let mut served = Served::new();
        let is_envelope = |record: &Record| matches!(record.body, RecordBody::Envelope(_));
        let mut records: Vec<Record> = world.records.into_iter().filter(is_envelope).collect();
        // The last of them come once the decision is taken.
        let mut later = records.split_off(records.len() - 5);
        for mut record in records {
            record.address.sequence = (record.address.sequence + 1) * 100;
            served.take(record);
        }
        for (record, sequence) in later.iter_mut().zip(1_000_002..) {
            record.address.sequence = sequence;
            record.received_at = at(world.end);
        }
        served.bench.settle(at(world.end));
        let mut changed = vec![("segment", "more", super::performed("Call Ended", 1, 25))];
        if seed % 5 > 0 {
            changed.push(("identity_rules", "main", some_rules(&mut random)));
        }
        served.take(when_ready(1_000_000, world.end, &changed));
        served.bench.commit();
        let before = copy(&served.bench.store);
        let record = taken(1_000_001, world.end, 1_000_000);
        let prepares = seed % 2 == 0;
        let change = |store: Arc<dyn Store>| -> Result<(), crate::PipelineError> {
            let mut engine = Engine::open(store, EngineConfig::default())?;
            let published = Published::default();
            if prepares && let Some(mut beside) = engine.begin_beside(&main_space())? {
                beside.work_out(&published)?;
                beside.catch_up(&published)?;
                engine.was_prepared(beside);
            }
            engine.apply(&record)?;
            for record in &later {
                engine.sweep(&mut Vec::new())?;
                engine.apply(record)?;
            }
            while engine.sweep(&mut Vec::new())? {}
            engine.commit()?;
            Ok(())
        };
        let undisturbed = copy(&before);
        change(Arc::clone(&undisturbed) as Arc<dyn Store>).unwrap();
        let in_force = crate::definition_history::in_force(&*undisturbed, &main_space()).unwrap();
        assert_eq!(in_force.version, 2, "seed {seed}: it is in force");
        let mut commits = 0;
        loop {
            let store = copy(&before);
            if change(ending(&store, commits)).is_ok() {
                break;
            }
            commits += 1;
            ends += 1;
            change(Arc::clone(&store) as Arc<dyn Store>).unwrap();
            let what = format!("seed {seed}: ended after {commits} commits");
            let after = crate::definition_history::in_force(&*store, &main_space()).unwrap();
            assert_eq!(after, in_force, "{what}");
            same(&store, &undisturbed, at(world.end), &what);
        }
    }
    assert!(ends > 60, "{ends}");
}

#[test]
fn seg_2_spaces_take_decisions_while_what_other_rules_of_another_changed_is_moved_to_its_place() {
    let mut moved_in_turns = 0;
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let other: SpaceId = "other".parse().unwrap();
        let world = world(seed + 97_000, 50, false);
        let mut log = vec![decision(0, 0, &documents()), decision(1, 0, &documents())];
        log[1].space = other.clone();
        for mut record in world.records {
            record.address.sequence = log.len() as u64;
            if matches!(record.body, RecordBody::Envelope(_)) {
                record.space = if log.len().is_multiple_of(2) {
                    other.clone()
                } else {
                    main_space()
                };
                log.push(record);
            }
        }
        let [mut bench, mut plain] = [Bench::new(), Bench::new()];
        for bench in [&mut bench, &mut plain] {
            log.iter().for_each(|record| bench.apply(record));
            bench.settle(at(world.end));
        }
        let mut sequence = log.len() as u64;
        let mut next = |space: &SpaceId, documents: &[(&str, &str, Json)]| {
            let mut record = decision(sequence, world.end, documents);
            record.space = space.clone();
            sequence += 1;
            record
        };
        let rules = |random: &mut ChaCha8Rng| [("identity_rules", "main", some_rules(random))];
        let changes = [
            next(&main_space(), &rules(&mut random)),
            next(&other, &[("segment", "more", super::performed("Call Ended", 1, 25))]),
            next(&other, &rules(&mut random)),
        ];
        let is_moving = |bench: &Bench| bench.store.get(Keyspace::Meta, staged::MARK).unwrap().is_some();
        bench.apply(&changes[0]);
        let moves = is_moving(&bench);
        assert!(
            bench.engine.make_way(&changes[1]).unwrap(),
            "seed {seed}: it waits for nobody of another space"
        );
        bench.apply(&changes[1]);
        assert_eq!(
            is_moving(&bench),
            moves,
            "seed {seed}: nothing of another space was moved for it"
        );
        let mut turns = 0;
        while !bench.engine.make_way(&changes[2]).unwrap() {
            turns += 1;
        }
        moved_in_turns += usize::from(moves && turns > 1);
        bench.apply(&changes[2]);
        for change in &changes {
            plain.apply(change);
            while plain.sweep() {}
        }
        let now = at(world.end + 5);
        bench.settle(now);
        plain.settle(now);
        let what = format!("seed {seed}");
        same(&bench.store, &plain.store, now, &what);
        assert_eq!(told(&bench), told(&plain), "{what}");
    }
    assert!(moved_in_turns > 10, "{moved_in_turns}");
}

#[test]
fn seg_4_it_is_known_which_documents_say_who_is_in_a_segment() {
    let mut bench = Bench::new();
    let calls = json!({"function": "count", "event": "Call Ended"});
    bench.decide(
        0,
        &[
            ("computed_trait", "calls", calls.clone()),
            ("computed_trait", "others", calls),
            (
                "segment",
                "callers",
                json!({"where": {"computed_trait": "calls", "greater_or_equal": 2}}),
            ),
            (
                "segment",
                "near",
                json!({"where": {"any": [{"segment": "callers"}, {"trait": "city", "equals": "Bonn"}]}}),
            ),
            ("segment", "far", json!({"where": {"not": {"segment": "near"}}})),
            ("segment", "buyers", super::performed("Order Completed", 1, 25)),
        ],
    );
    let definitions = bench.engine.definitions(&main_space()).unwrap();
    let made_of = |document: (&str, &str)| -> Vec<String> {
        let live = definitions
            .segments
            .iter()
            .filter(|live| live.is_made_of(document.0, document.1));
        live.map(|live| live.name.to_string()).collect()
    };
    assert_eq!(made_of(("segment", "buyers")), ["buyers"]);
    assert_eq!(made_of(("segment", "callers")), ["callers", "far", "near"]);
    assert_eq!(made_of(("computed_trait", "calls")), ["callers", "far", "near"]);
    assert_eq!(made_of(("trait_rules", "trait_rules")), ["far", "near"]);
    assert!(made_of(("computed_trait", "others")).is_empty() && made_of(("computed_trait", "near")).is_empty());
}

#[test]
fn seg_4_what_decisions_that_wait_change_is_known_until_they_are_taken() {
    let mut bench = Bench::new();
    let segment = |least: u32| super::performed("Call Ended", least, 25);
    bench.apply(&decision(
        0,
        0,
        &[("segment", "s", segment(1)), ("segment", "gone", segment(1))],
    ));
    bench.apply(&when_ready(
        1,
        1,
        &[("segment", "s", segment(2)), ("segment", "gone", Json::Null)],
    ));
    bench.apply(&when_ready(2, 2, &[("segment", "s", segment(3))]));
    bench.commit();
    let waiting = |bench: &Bench| -> Vec<(String, bool)> {
        let changes = reads_of(bench).decisions_waiting(&main_space()).unwrap();
        changes
            .into_iter()
            .map(|change| (change.name, change.spec.is_some()))
            .collect()
    };
    let named = |names: &[(&str, bool)]| -> Vec<(String, bool)> {
        names
            .iter()
            .map(|(name, is_there)| ((*name).to_owned(), *is_there))
            .collect()
    };
    assert_eq!(waiting(&bench), named(&[("s", true), ("gone", false), ("s", true)]));
    bench.apply(&taken(3, 3, 1));
    bench.commit();
    assert_eq!(waiting(&bench), named(&[("s", true)]));
    bench.apply(&taken(4, 4, 2));
    bench.commit();
    assert_eq!(waiting(&bench), []);
}
