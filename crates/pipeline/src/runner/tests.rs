//! What the pipeline's thread tells is what is committed.

use super::*;
use crate::tests::{at, decision, event, performed, record, same};
use crate::{ArchiveFailure, ArchiveReader, FoldsStanding, HistoryFolds, Hole, MadeElsewhere, WantedFolds};
use kith_log::{LogConfig, OsDisk};
use kith_state::{Batch, Keyspace, MemoryStore, Read, StateError, StateErrorKind, Visit};
use kith_types::ManualClock;
use serde_json::json;
use std::error::Error;

/// Folds that are never made.
struct NeverMade;

impl HistoryFolds for NeverMade {
    fn begin(&self, _: WantedFolds) {}

    fn standing(&self, _: &SpaceId) -> FoldsStanding {
        FoldsStanding::Working(0.5)
    }

    fn fold_of(&self, _: &SpaceId, _: u128) -> Result<Option<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        Ok(None)
    }

    fn end(&self, _: &SpaceId) {}
}

/// An archive of a log that has let nothing go.
struct Nothing;

impl Archive for Nothing {
    fn open(&self, _: u64) -> Result<Box<dyn ArchiveReader>, ArchiveFailure> {
        Err("nothing is archived".into())
    }

    fn holes(&self) -> Result<Vec<Hole>, ArchiveFailure> {
        Ok(Vec::new())
    }

    fn missing(&self, _: u64, _: u64) -> Result<Vec<(u64, u64)>, ArchiveFailure> {
        Ok(Vec::new())
    }

    fn name(&self, from: u64, to: u64) -> String {
        format!("{from}-{to}")
    }
}

/// Steps that were told, by the record after their last.
struct Told(Arc<Mutex<Vec<u64>>>);

impl Listener for Told {
    fn events(&mut self, _: &[Event], _: &[Option<ProfileId>]) {}

    fn begun_again(&mut self) {}

    fn committed(&mut self, step: &Arc<StepOutput>) -> bool {
        self.0.lock().unwrap().push(step.to);
        true
    }
}

#[test]
fn ops_1_nothing_that_is_open_is_told_as_committed_while_a_sweep_waits_for_folds() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(at(0)));
    let (log, _) = Log::open(LogConfig::new(folder.path().to_owned()), Arc::new(OsDisk), clock).unwrap();
    let config = EngineConfig {
        folds: Some(MadeElsewhere {
            by: Arc::new(NeverMade),
            from_people: 1,
        }),
        ..EngineConfig::default()
    };
    let store = Arc::new(MemoryStore::default());
    let told = Arc::default();
    let mut worker = Worker {
        shared: Arc::default(),
        log,
        archive: Arc::new(Nothing),
        engine: Engine::open(Arc::clone(&store) as Arc<dyn Store>, config).unwrap(),
        listeners: vec![Box::new(Told(Arc::clone(&told)))],
        committed_at: Instant::now(),
        commits: 0,
        step_bytes: 0,
        step_began: None,
    };
    let shared = Arc::clone(&worker.shared);
    let status = || locked(&shared.status).clone();
    let bought = |n: u64| {
        let user = format!("user_id:u{n}");
        record(n, 1, &[event(&user, "Order Completed", 1, json!({}))])
    };
    (0..12).for_each(|n| worker.engine.apply(&bought(n)).unwrap());
    let once = [("segment", "once", performed("Order Completed", 1, 1_000))];
    worker.engine.apply(&decision(12, 2, &once)).unwrap();
    worker.commit().unwrap();
    assert_eq!((status().committed, status().sweeps.len()), (13, 1));

    // Records go on while the sweep waits: they are open until the step is committed.
    (13..20).for_each(|n| worker.engine.apply(&bought(n)).unwrap());
    for _ in 0..3 {
        assert!(!worker.sweep().unwrap(), "it waits");
        assert_eq!((status().committed, status().events), (13, 12));
    }
    assert_eq!(*told.lock().unwrap(), [13]);
    worker.commit().unwrap();
    assert_eq!((status().committed, status().events), (20, 19));
    assert_eq!(*told.lock().unwrap(), [13, 20]);
    worker.log.close();
}

/// A store whose commits fail while they are said to; with `Some(true)` what they write is there all the same.
#[derive(Default)]
struct Flaky {
    store: MemoryStore,
    failing: Mutex<Option<bool>>,
}

impl Read for Flaky {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.store.get(keyspace, key)
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.store.scan(keyspace, from, to, visit)
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.store.scan_back(keyspace, from, to, visit)
    }
}

impl Store for Flaky {
    fn commit(&self, batch: Batch) -> Result<(), StateError> {
        let failing = *self.failing.lock().unwrap();
        if failing != Some(false) {
            self.store.commit(batch)?;
        }
        match failing {
            Some(_) => Err(StateError::new(StateErrorKind::Failed, "the disk is full", None)),
            None => Ok(()),
        }
    }

    fn reopen(&self) -> Result<(), StateError> {
        self.store.reopen()
    }

    fn snapshot(&self) -> Box<dyn Read> {
        self.store.snapshot()
    }

    fn size_bytes(&self) -> u64 {
        self.store.size_bytes()
    }
}

/// The numbers of the changes that were told, and the events of committed steps.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<(Vec<u64>, u64)>>);

impl Listener for Heard {
    fn events(&mut self, _: &[Event], _: &[Option<ProfileId>]) {}

    fn begun_again(&mut self) {}

    fn committed(&mut self, step: &Arc<StepOutput>) -> bool {
        let mut heard = self.0.lock().unwrap();
        heard.0.extend(step.changes.iter().map(|change| change.number));
        heard.1 += step.event_count;
        true
    }
}

#[test]
fn col_3_after_a_full_disk_the_pipeline_goes_on_by_itself_and_nothing_is_lost_or_twice() {
    for applied_all_the_same in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(at(0)));
        let (log, _) = Log::open(LogConfig::new(folder.path().to_owned()), Arc::new(OsDisk), clock).unwrap();
        let begin = |store: Arc<dyn Store>, heard: &Heard| {
            let listeners: Vec<Box<dyn Listener>> = vec![Box::new(heard.clone())];
            let archive = Arc::new(Nothing);
            Pipeline::start(Arc::clone(&log), archive, store, EngineConfig::default(), listeners).unwrap()
        };
        let once = [("segment", "once", performed("Order Completed", 1, 1_000))];
        let append = |record: Record| log.append_blocking(&record.space, &record.body).unwrap();
        append(decision(0, 0, &once));
        let buy = |from: u64, to: u64| {
            for n in from..to {
                let user = format!("user_id:u{}", n % 30);
                append(record(n, 0, &[event(&user, "Order Completed", -1, json!({"n": n}))]));
            }
        };
        let (store, heard) = (Arc::new(Flaky::default()), Heard::default());
        let pipeline = begin(Arc::clone(&store) as Arc<dyn Store>, &heard);
        let patience = Duration::from_secs(60);
        buy(1, 20);
        assert!(pipeline.wait_committed(20, patience));
        *store.failing.lock().unwrap() = Some(applied_all_the_same);
        buy(20, 40);
        assert!(pipeline.wait_until(patience, |status| status.failure.is_some()));
        assert!(pipeline.status().tries_again);
        buy(40, 60);
        *store.failing.lock().unwrap() = None;
        while !pipeline.wait_committed(60, patience) {
            std::thread::yield_now();
        }
        assert_eq!(pipeline.status().failure, None);
        pipeline.stop();

        let (undisturbed, all) = (Arc::new(MemoryStore::default()), Heard::default());
        let other = begin(Arc::clone(&undisturbed) as Arc<dyn Store>, &all);
        assert!(other.wait_committed(60, patience));
        other.stop();
        same(&store.store, &undisturbed, at(0), "after the failure");
        let (told, (numbers, events)) = (heard.0.lock().unwrap().0.clone(), all.0.lock().unwrap().clone());
        assert_eq!(events, 59);
        assert!(told.is_sorted_by(|one, other| one < other), "{told:?}");
        if !applied_all_the_same {
            assert_eq!(told, numbers);
            assert_eq!(heard.0.lock().unwrap().1, events);
        }
        log.close();
    }
}
