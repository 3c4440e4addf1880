//! Sweeps that take folds made elsewhere: the same state, the same changes, whatever happens meanwhile.

use super::worlds::{documents, world};
use super::{Bench, at, event, main_space, performed, same};
use crate::{Engine, EngineConfig, FoldsStanding, HistoryFolds, MadeElsewhere, WantedFolds};
use kith_profile::Part;
use kith_state::Store;
use kith_types::{Event, SpaceId};
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

/// Makes folds from the events that a bench has handed on, as the tables hold them.
#[derive(Default)]
pub(super) struct FromTables {
    events: Mutex<Vec<Event>>,
    wanted: Mutex<Option<WantedFolds>>,
    folds: Mutex<BTreeMap<u128, Vec<u8>>>,
    standing: Mutex<Option<FoldsStanding>>,
    taken: Mutex<usize>,
}

impl FromTables {
    /// Makes what was asked for, from all events but every `lost`th.
    pub(super) fn make(&self, events: Vec<Event>, lost: usize) {
        *self.events.lock().unwrap() = events;
        let wanted = self.wanted.lock().unwrap().clone().expect("folds are wanted");
        let mut parts: BTreeMap<u128, Part> = BTreeMap::new();
        for (number, event) in self.events.lock().unwrap().iter().enumerate() {
            let evidence = wanted.rules.read(event);
            let (Some(carrier), true) = (evidence.carrier(), event.address.sequence < wanted.before) else {
                continue;
            };
            if lost == 0 || number % lost > 0 {
                parts.entry(carrier.hash).or_default().apply(&wanted.plan, event);
            }
        }
        let encoded = parts.into_iter().map(|(carrier, part)| {
            let mut bytes = Vec::new();
            part.encode_for(&wanted.plan, &mut bytes);
            (carrier, bytes)
        });
        *self.folds.lock().unwrap() = encoded.collect();
        self.stand(FoldsStanding::Ready);
    }

    /// Whether somebody waits for them.
    pub(super) fn are_wanted(&self) -> bool {
        self.wanted.lock().unwrap().is_some() && *self.standing.lock().unwrap() != Some(FoldsStanding::Ready)
    }

    fn stand(&self, standing: FoldsStanding) {
        *self.standing.lock().unwrap() = Some(standing);
    }
}

impl HistoryFolds for FromTables {
    fn begin(&self, wanted: WantedFolds) {
        *self.wanted.lock().unwrap() = Some(wanted);
        self.stand(FoldsStanding::Working(0.5));
    }

    fn standing(&self, _: &SpaceId) -> FoldsStanding {
        self.standing.lock().unwrap().unwrap_or(FoldsStanding::Absent)
    }

    fn fold_of(&self, _: &SpaceId, carrier: u128) -> Result<Option<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        *self.taken.lock().unwrap() += 1;
        Ok(self.folds.lock().unwrap().get(&carrier).cloned())
    }

    fn end(&self, _: &SpaceId) {
        *self.wanted.lock().unwrap() = None;
        self.stand(FoldsStanding::Absent);
    }
}

fn config(folds: &Arc<FromTables>) -> EngineConfig {
    EngineConfig {
        folds: Some(MadeElsewhere {
            by: Arc::clone(folds) as Arc<dyn HistoryFolds>,
            from_people: 1,
        }),
        ..EngineConfig::default()
    }
}

/// A bench whose engine has folds made elsewhere.
pub(super) fn bench(folds: &Arc<FromTables>) -> Bench {
    let mut bench = Bench::new();
    reopen(&mut bench, folds);
    bench
}

pub(super) fn reopen(bench: &mut Bench, folds: &Arc<FromTables>) {
    let store = Arc::clone(&bench.store) as Arc<dyn Store>;
    bench.engine = Engine::open(store, config(folds)).unwrap();
}

/// The changes, in an order that does not depend on when whom was swept.
pub(super) fn told(bench: &mut Bench) -> Vec<String> {
    bench.commit();
    let mut told: Vec<String> = (bench.numbered().iter())
        .map(|one| format!("{} {}", super::tell(&one.change), one.change.profile))
        .collect();
    told.sort();
    told
}

/// People of whom nothing is heard any more, before the records of a world.
pub(super) fn with_the_quiet(mut records: Vec<kith_types::Record>) -> Vec<kith_types::Record> {
    let quiet = 12_u64;
    records.iter_mut().for_each(|record| record.address.sequence += quiet);
    let names = ["Order Completed", "Product Viewed", "Call Ended"];
    let seen = (0..quiet).map(|n| {
        let user = format!("user_id:q{n}");
        let events: Vec<_> = (0..1 + n as usize % 4)
            .map(|at| {
                event(
                    &user,
                    names[(n as usize + at) % 3],
                    -(at as i64) * 9,
                    json!({"total": at}),
                )
            })
            .collect();
        super::record(n, 0, &events)
    });
    let mut all: Vec<_> = seen.collect();
    all.extend(records);
    all
}

#[test]
fn seg_4_folds_made_elsewhere_give_the_same_bytes_and_changes() {
    let mut taken = 0;
    for seed in 0..40 {
        // A history under rules that hold for all of it, then every definition at once.
        let records = with_the_quiet(world(seed, 50, false).records);
        let folds = Arc::new(FromTables::default());
        let (mut with, mut without) = (bench(&folds), Bench::new());
        let half = records.len() / 2;
        for record in &records[..half] {
            with.apply(record);
            without.apply(record);
        }
        let end = (records[half - 1].received_at.as_micros() - at(0).as_micros()) / 1_000_000;
        with.settle(at(end));
        without.settle(at(end));
        let all: Vec<_> = documents();
        let mut new = all.clone();
        new.push(("segment", "fresh", performed("Call Ended", 1, 45)));
        let counted = json!({"function": "unique_count", "event": "Product Viewed", "property": "total"});
        new.push(("computed_trait", "totals", counted));
        with.decide(end, &new);
        without.decide(end, &new);
        assert!(!with.sweep(), "seed {seed}: it waits");
        assert!(with.engine.spaces().any(|(.., sweep)| sweep.is_some()));
        // Events go on while folds are made, people merge, and the server may end in the middle.
        let (meanwhile, after) = records[half..].split_at((records.len() - half) / 2);
        let no_decisions = |record: &&kith_types::Record| matches!(record.body, kith_types::RecordBody::Envelope(_));
        for record in meanwhile.iter().filter(no_decisions) {
            with.apply(record);
            without.apply(record);
        }
        if seed % 3 == 0 {
            with.commit();
            reopen(&mut with, &folds);
            assert!(folds.wanted.lock().unwrap().is_some(), "seed {seed}: asked for again");
        }
        with.commit();
        folds.make(with.events(), 0);
        with.sweep();
        for record in after.iter().filter(no_decisions) {
            with.apply(record);
            without.apply(record);
        }
        let last = at(100_000);
        with.settle(last);
        without.settle(last);
        same(&with.store, &without.store, last, &format!("seed {seed}"));
        assert_eq!(told(&mut with), told(&mut without), "seed {seed}");
        assert!(folds.wanted.lock().unwrap().is_none(), "seed {seed}: let go");
        taken += *folds.taken.lock().unwrap();
    }
    assert!(taken > 100, "folds were taken: {taken}");
}

fn many(bench: &mut Bench) {
    for n in 0..12 {
        bench.take(
            n,
            &[event(
                &format!("user_id:u{n}"),
                "Order Completed",
                n,
                json!({"total": 10}),
            )],
        );
    }
    bench.commit();
}

#[test]
fn seg_4_tables_that_lack_history_are_done_without() {
    for lost in [2, 3] {
        let folds = Arc::new(FromTables::default());
        let mut bench = bench(&folds);
        many(&mut bench);
        bench.decide(20, &[("segment", "once", performed("Order Completed", 1, 1_000))]);
        let events = bench.events();
        bench.commit();
        folds.make(if events.is_empty() { bench.events() } else { events }, lost);
        bench.settle(at(21));
        let told = bench.told();
        assert_eq!(told, vec!["+once 20 definition"; 12], "every {lost}th event was lost");
    }
}

#[test]
fn seg_4_a_definition_edited_twice_during_its_backfill_is_carried_through_each_time() {
    let folds = Arc::new(FromTables::default());
    let mut bench = bench(&folds);
    many(&mut bench);
    bench.decide(20, &[("segment", "some", performed("Order Completed", 1, 1_000))]);
    assert!(!bench.sweep(), "it waits");
    bench.decide(21, &[("segment", "some", performed("Order Completed", 2, 1_500))]);
    assert!(!bench.sweep(), "it waits for the next");
    bench.take(22, &[event("user_id:u3", "Order Completed", 22, json!({}))]);
    bench.decide(23, &[("segment", "some", performed("Order Completed", 1, 2_000))]);
    bench.commit();
    folds.make(bench.events(), 0);
    bench.settle(at(24));
    let told = bench.told();
    let count = |what: &str| told.iter().filter(|one| *one == what).count();
    assert_eq!(
        (
            count("+some 20 definition"),
            count("-some 21 definition"),
            count("+some 22 event")
        ),
        (12, 12, 1),
        "{told:?}"
    );
    assert_eq!((count("+some 23 definition"), told.len()), (11, 36));
}

#[test]
fn seg_4_folds_that_cannot_be_had_are_done_without() {
    let folds = Arc::new(FromTables::default());
    let mut bench = bench(&folds);
    many(&mut bench);
    bench.decide(20, &[("segment", "once", performed("Order Completed", 1, 1_000))]);
    assert!(!bench.sweep(), "it waits");
    let progress = bench.engine.spaces().find_map(|(.., sweep)| sweep).unwrap();
    assert_eq!((progress.swept, progress.profiles), (3, 12), "half of half of the way");
    folds.stand(FoldsStanding::Absent);
    bench.settle(at(21));
    assert_eq!(bench.told(), vec!["+once 20 definition"; 12]);
    assert_eq!(main_space(), SpaceId::main());
}
