//! Publishing over a real log and a real lake in a folder: what fails, what is lost, what leaves the log.

mod accounts;
mod by_itself;
mod changes;
mod failing;
mod letting_go;
mod losing;
mod memberships;
mod truth;

use crate::{LakeWriter, PublishConfig, PublishParts, Publisher, RawArchive};
use kith_catalog::TablePointers;
use kith_lake::Lake;
use kith_log::{Log, LogConfig, OsDisk};
use kith_pipeline::{Backlog, Engine, EngineConfig, Handover, Pipeline, Reads, compare_states};
use kith_state::{MemoryStore, Store};
use kith_types::{Clock, Envelope, Origin, RecordBody, Route, SpaceId, SystemClock, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(super) fn space() -> SpaceId {
    "main".parse().unwrap()
}

/// A data folder with a state beside it, over starts of the server.
pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) store: Arc<MemoryStore>,
    pub(super) runtime: Runtime,
    pub(super) clock: Arc<dyn Clock>,
}

/// One run of the server's parts.
pub(super) struct Run {
    pub(super) log: Arc<Log>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) lake: Arc<Lake>,
    pub(super) publisher: Publisher,
    pub(super) handover: Handover,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            store: Arc::new(MemoryStore::default()),
            runtime: Runtime::new().unwrap(),
            clock: Arc::new(SystemClock),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Opens everything. Rows are committed by a flush and at the end only.
    pub(super) fn start(&self) -> Run {
        self.start_with(PublishConfig {
            rows: usize::MAX,
            age: Duration::from_secs(86_400),
            log_keep_bytes: 0,
            ..PublishConfig::default()
        })
    }

    pub(super) fn start_with(&self, config: PublishConfig) -> Run {
        let clock = Arc::clone(&self.clock);
        let log = LogConfig {
            segment_bytes: 4_096,
            tail_bytes: 0,
            ..LogConfig::new(self.path("log"))
        };
        let (log, _) = Log::open(log, Arc::new(OsDisk), Arc::clone(&clock)).unwrap();
        let pointers = Arc::new(TablePointers::open(&self.path("tables.db")).unwrap());
        let root = self.folder.path().to_str().unwrap();
        let lake = Arc::new(Lake::open(root, pointers, Arc::clone(&clock)).unwrap());
        let archive = Arc::new(RawArchive::new(lake.raw(), 0, self.runtime.handle().clone()));
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let (steps, inbox) = crate::steps(2);
        let mut engine = EngineConfig::default();
        if log.durable_end() > 0 && Engine::is_new(&*store).unwrap() {
            engine.rebuilt_before = log.durable_end();
            engine.rebuilt_until = log.time_floor().unwrap().1;
            engine.outbox_from = 1 << 32;
        }
        let pipeline = Pipeline::start(
            Arc::clone(&log),
            archive.clone(),
            Arc::clone(&store),
            engine,
            vec![Box::new(steps)],
        );
        let pipeline = Arc::new(pipeline.unwrap());
        let handover = Handover::new(Arc::clone(&store));
        let parts = PublishParts {
            passed: Arc::new(|| u64::MAX),
            lake: Arc::clone(&lake),
            log: Arc::clone(&log),
            pipeline: Arc::clone(&pipeline),
            reads: Reads::new(Arc::clone(&store), Arc::clone(&pipeline)),
            writer: LakeWriter::new(Arc::clone(&lake), Arc::clone(&log), archive, handover.clone(), 0),
            clock,
            scratch: self.path("scratch"),
            runtime: self.runtime.handle().clone(),
        };
        Run {
            log,
            pipeline,
            lake,
            publisher: Publisher::start(config, parts, inbox).unwrap(),
            handover,
        }
    }

    /// Seals, commits and lets go.
    pub(super) fn flush(&self, run: &Run) -> Result<(), String> {
        assert!(
            run.pipeline
                .wait_committed(run.log.durable_end(), Duration::from_secs(60))
        );
        self.runtime.block_on(run.publisher.flush())
    }

    /// Whether everything can be read from the first record on, as a state that is built again does.
    pub(super) fn reads_whole(&self, run: &Run) -> bool {
        let archive = RawArchive::new(run.lake.raw(), 0, self.runtime.handle().clone());
        let mut backlog = Backlog::new(&run.log, Arc::new(archive), 0);
        loop {
            match backlog.read(1_000, 1 << 20) {
                Ok(records) if records.is_empty() => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// The rows of a table.
    pub(super) fn rows(&self, run: &Run, namespace: &str, name: &str) -> usize {
        let read = self.runtime.block_on(run.lake.read_all(&space(), namespace, name));
        read.unwrap().iter().map(|batch| batch.num_rows()).sum()
    }

    /// Replays what raw holds, and compares.
    pub(super) fn assert_raw_gives_the_state(&self, run: &Run) {
        let replayed = MemoryStore::default();
        let replayed: Arc<dyn Store> = Arc::new(replayed);
        let mut engine = Engine::open(Arc::clone(&replayed), EngineConfig::default()).unwrap();
        let mut raw = self.runtime.block_on(run.lake.raw().read(None)).unwrap();
        while let Some(records) = self.runtime.block_on(raw.next_segment()).unwrap() {
            records.records.iter().for_each(|record| engine.apply(record).unwrap());
            engine.commit().unwrap();
        }
        let instant = Timestamp::from_micros(i64::MAX);
        let report = compare_states(&*self.store.snapshot(), &*replayed.snapshot(), instant).unwrap();
        assert!(report.differences.is_empty(), "{:?}", report.differences);
    }
}

impl Run {
    /// Appends events `from..to` with their own message ids, a few a record.
    pub(super) fn send(&self, from: usize, to: usize) {
        for number in (from..to).step_by(5) {
            let events: Vec<String> = (number..to.min(number + 5))
                .map(|number| {
                    format!(
                        r#"{{"type":"track","event":"Seen","userId":"u{}","messageId":"m{number}"}}"#,
                        number % 7
                    )
                })
                .collect();
            self.append(&format!(r#"{{"batch":[{}]}}"#, events.join(",")));
        }
    }

    pub(super) fn append(&self, body: &str) {
        self.append_to(&space(), body);
    }

    pub(super) fn append_to(&self, space: &SpaceId, body: &str) {
        let envelope = RecordBody::Envelope(Envelope {
            source: "web".parse().unwrap(),
            route: Route::Batch,
            origin: Origin::Live,
            content_type: "application/json".into(),
            client_ip: "".into(),
            user_agent: "".into(),
            terms: kith_types::Terms::USUAL,
            body: body.to_owned().into(),
        });
        self.log.append_blocking(space, &envelope).unwrap();
    }

    /// Ends in order, as far as the disk lets it.
    pub(super) fn stop(self) {
        self.pipeline.stop();
        self.publisher.stop();
        self.log.close();
    }
}

/// Puts a file where a folder stands, so that nothing can be written there; gives back how to mend it.
pub(super) fn obstruct(folder: &Path) -> impl FnOnce() + use<> {
    let (folder, aside) = (folder.to_owned(), folder.with_extension("aside"));
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, b"in the way").unwrap();
    move || {
        std::fs::remove_file(&folder).unwrap();
        std::fs::rename(&aside, &folder).unwrap();
    }
}
