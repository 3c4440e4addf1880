//! What the pipeline's thread tells is what is committed.

use super::*;
use crate::tests::failing_store::{FailingStore, Goes};
use crate::tests::{at, decision, event, performed, record, same};
use crate::{ArchiveFailure, ArchiveReader, FoldsStanding, HistoryFolds, Hole, MadeElsewhere, WantedFolds};
use kith_log::{LogConfig, OsDisk};
use kith_state::MemoryStore;
use kith_types::{Event, ManualClock, ProfileId};
use serde_json::json;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// What was told.
#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    /// Of each step, the record after its last.
    ends: Vec<u64>,
    /// The numbers of the changes.
    changes: Vec<u64>,
    events: u64,
}

/// Keeps what is told.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Told>>);

impl Heard {
    fn told(&self) -> Told {
        self.0.lock().unwrap().clone()
    }
}

impl Listener for Heard {
    fn events(&mut self, _: &[Event], _: &[Option<ProfileId>]) {}

    fn begun_again(&mut self) {}

    fn committed(&mut self, step: &Arc<StepOutput>) -> bool {
        let mut told = self.0.lock().unwrap();
        told.ends.push(step.to);
        told.changes.extend(step.changes.iter().map(|change| change.number));
        told.events += step.event_count;
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
    let heard = Heard::default();
    let mut worker = Worker {
        shared: Arc::default(),
        log,
        archive: Arc::new(Nothing),
        engine: Engine::open(Arc::clone(&store) as Arc<dyn Store>, config).unwrap(),
        listeners: vec![Box::new(heard.clone())],
        committed_at: Instant::now(),
        commits: 0,
        step_bytes: 0,
        step_began: None,
        asked_to_end: None,
        take_again_at: None,
        found_end: 0,
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
    assert_eq!(heard.told().ends, [13]);
    worker.commit().unwrap();
    assert_eq!((status().committed, status().events), (20, 19));
    assert_eq!(heard.told().ends, [13, 20]);
    worker.log.close();
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
        let (store, heard) = (Arc::new(MemoryStore::default()), Heard::default());
        let failing = Arc::new(AtomicBool::new(false));
        let fails = Arc::clone(&failing);
        let failing_store = FailingStore {
            store: Arc::clone(&store),
            next: Box::new(move || match (fails.load(Ordering::Relaxed), applied_all_the_same) {
                (false, _) => Goes::Well,
                (true, false) => Goes::Lost,
                (true, true) => Goes::LostAndThere,
            }),
        };
        let pipeline = begin(Arc::new(failing_store), &heard);
        let patience = Duration::from_secs(60);
        buy(1, 20);
        assert!(pipeline.wait_committed(20, patience));
        failing.store(true, Ordering::Relaxed);
        buy(20, 40);
        assert!(pipeline.wait_until(patience, |status| status.failure.is_some()));
        assert!(pipeline.status().tries_again);
        buy(40, 60);
        failing.store(false, Ordering::Relaxed);
        while !pipeline.wait_committed(60, patience) {
            std::thread::yield_now();
        }
        assert_eq!(pipeline.status().failure, None);
        pipeline.stop();

        let (undisturbed, all) = (Arc::new(MemoryStore::default()), Heard::default());
        let other = begin(Arc::clone(&undisturbed) as Arc<dyn Store>, &all);
        assert!(other.wait_committed(60, patience));
        other.stop();
        same(&store, &undisturbed, at(0), "after the failure");
        let (told, undisturbed) = (heard.told(), all.told());
        assert_eq!(undisturbed.events, 59);
        assert!(told.changes.is_sorted_by(|one, other| one < other), "{told:?}");
        if !applied_all_the_same {
            assert_eq!((told.changes, told.events), (undisturbed.changes, undisturbed.events));
        }
        log.close();
    }
}

#[test]
fn ops_1_a_pipeline_that_ended_by_a_panic_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(at(0)));
    let (log, _) = Log::open(LogConfig::new(folder.path().to_owned()), Arc::new(OsDisk), clock).unwrap();
    let breaking = FailingStore {
        store: Arc::new(MemoryStore::default()),
        next: Box::new(|| panic!("a defect")),
    };
    let pipeline = Pipeline::start(
        Arc::clone(&log),
        Arc::new(Nothing),
        Arc::new(breaking),
        EngineConfig::default(),
        Vec::new(),
    )
    .unwrap();
    let once = [("segment", "once", performed("Order Completed", 1, 1_000))];
    let decided = decision(0, 0, &once);
    log.append_blocking(&decided.space, &decided.body).unwrap();
    assert!(pipeline.wait_until(Duration::from_secs(60), |status| status.failure.is_some()));
    let status = pipeline.status();
    assert_eq!(status.failure.as_deref(), Some("the pipeline ended by a panic"));
    assert!(!status.tries_again);
    pipeline.stop();
    log.close();
}

#[test]
fn seg_2_timers_fire_and_everything_is_taken_where_the_newest_numbers_are_those_of_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(at(0)));
    let open = |sequence_floor| {
        let config = LogConfig {
            sequence_floor,
            ..LogConfig::new(folder.path().to_owned())
        };
        Log::open(config, Arc::new(OsDisk), clock.clone()).unwrap().0
    };
    let log = open(0);
    let append = |record: Record| log.append_blocking(&record.space, &record.body).unwrap();
    append(decision(
        0,
        0,
        &[("segment", "lately", performed("Order Completed", 1, 1_000))],
    ));
    append(record(1, 0, &[event("user_id:u1", "Order Completed", 0, json!({}))]));
    log.close();
    drop(log);
    let log = open(9);
    assert_eq!(log.durable_end(), 9);

    let (store, heard) = (Arc::new(MemoryStore::default()), Heard::default());
    let pipeline = Pipeline::start(
        Arc::clone(&log),
        Arc::new(Nothing),
        store as Arc<dyn Store>,
        EngineConfig::default(),
        vec![Box::new(heard.clone())],
    )
    .unwrap();
    let patience = Duration::from_secs(60);
    assert!(
        pipeline.wait_committed(9, patience),
        "a flush waits for the end of the log"
    );
    clock.set(at(2_000_000));
    assert!(pipeline.wait_clock(at(1_500_000), patience));
    pipeline.stop();
    assert_eq!(heard.told().changes, [0, 1], "an entry, and an exit by time alone");
    log.close();
}
