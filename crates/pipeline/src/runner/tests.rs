//! What the pipeline's thread tells is what is committed.

use super::*;
use crate::tests::{at, decision, event, performed, record};
use crate::{ArchiveFailure, ArchiveReader, FoldsStanding, HistoryFolds, Hole, MadeElsewhere, WantedFolds};
use kith_log::{LogConfig, OsDisk};
use kith_state::MemoryStore;
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
