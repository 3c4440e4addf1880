//! Folds of history out of the tables, for sweeps of many people: made beside everything else, kept in a file of the
//! scratch folder until the sweep is over.
//!
//! Nothing of it is needed: folds that cannot be made, or whose file is lost with the process, are asked for again or
//! done without. It never changes a table or the state.

mod made;

use super::Parts;
use crate::error::CommandError;
use kith_lake::Lake;
use kith_pipeline::{FoldsStanding, HistoryFolds, MadeElsewhere, WantedFolds};
use kith_query::{HistoryQuestion, SqlConfig, SqlEngine};
use kith_types::SpaceId;
use made::{FoldsMade, FoldsMaking};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Memory that folding may take; beyond it groups spill to disk.
const MEMORY_BYTES: usize = 512 << 20;
/// How long tables that come no nearer to the decision are waited for.
const TABLES_MOVE_WITHIN: Duration = Duration::from_secs(30);
/// How often it looks.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Makes folds out of the lake's tables.
pub(crate) struct LakeFolds {
    engine: Arc<SqlEngine>,
    generation: u16,
    folder: PathBuf,
    /// The server, once it is put together: it knows how far the tables are.
    parts: OnceLock<Weak<Parts>>,
    jobs: Mutex<BTreeMap<SpaceId, Arc<Job>>>,
}

/// One space's folds.
struct Job {
    standing: Mutex<Standing>,
    /// Nobody wants them any more.
    over: AtomicBool,
}

enum Standing {
    Working(f64),
    Made(Arc<FoldsMade>),
    Failed,
}

impl LakeFolds {
    /// Nothing is made until somebody asks.
    ///
    /// # Errors
    /// A scratch folder that cannot be used.
    pub(crate) fn new(lake: &Arc<Lake>, generation: u16, scratch: &Path) -> Result<Self, CommandError> {
        let failed = |error: std::io::Error| CommandError::caused("the scratch folder cannot be made", error);
        let folder = scratch.join("folds");
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let config = SqlConfig {
            memory_bytes: MEMORY_BYTES,
            spill_dir: Some(folder.join("spill")),
            ..SqlConfig::default()
        };
        let engine = SqlEngine::new(Arc::clone(lake), config)
            .map_err(|error| CommandError::caused("history cannot be folded", error))?;
        Ok(Self {
            engine: Arc::new(engine),
            generation,
            folder,
            parts: OnceLock::new(),
            jobs: Mutex::default(),
        })
    }

    /// How the pipeline asks, for spaces of at least so many people.
    pub(crate) fn serving(self: &Arc<Self>, from_people: u64) -> MadeElsewhere {
        MadeElsewhere {
            by: Arc::new(Served(Arc::clone(self))),
            from_people,
        }
    }

    /// Learns of the server that it serves.
    pub(crate) fn follow(&self, parts: &Arc<Parts>) {
        // There is one server a process, and it is put together once.
        self.parts.get_or_init(|| Arc::downgrade(parts));
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<SpaceId, Arc<Job>>> {
        // Jobs are put in and taken out whole.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn job(&self, space: &SpaceId) -> Option<Arc<Job>> {
        self.jobs().get(space).cloned()
    }

    /// Waits until the tables have every record before a sequence.
    fn wait_for_tables(&self, before: u64, job: &Job) -> Result<(), Failure> {
        let (mut moved, mut end) = (Instant::now(), 0);
        let mut hastened = false;
        loop {
            let parts = self.parts.get().map(Weak::upgrade);
            if let Some(parts) = parts {
                let parts = parts.ok_or("the server ends")?;
                hastened = hastened
                    || parts
                        .publisher
                        .as_ref()
                        .is_none_or(|publisher| publisher.hasten(before));
                let published = parts.published();
                if published.clean_end >= before {
                    return Ok(());
                }
                if published.failure.is_some() {
                    return Err("publishing fails, and the tables lack what came before the decision".into());
                }
                if published.clean_end > end {
                    (moved, end) = (Instant::now(), published.clean_end);
                }
            }
            if job.is_over() {
                return Err("nobody wants them any more".into());
            }
            if moved.elapsed() > TABLES_MOVE_WITHIN {
                return Err("the tables do not come up to the decision".into());
            }
            std::thread::sleep(LOOKS_EVERY);
        }
    }

    /// Makes folds, on a thread of its own and with threads of its own, so that the doors stay quick.
    fn make(&self, wanted: &WantedFolds, job: &Job) -> Result<FoldsMade, Failure> {
        self.wait_for_tables(wanted.before, job)?;
        let question = HistoryQuestion {
            space: wanted.space.clone(),
            generation: self.generation,
            before: wanted.before,
            rules: Arc::clone(&wanted.rules),
            plan: Arc::clone(&wanted.plan),
        };
        let mut making = FoldsMaking::new(tempfile::tempfile_in(&self.folder)?);
        let mut take = |fold: kith_query::CarrierFold<'_>| match job.is_over() {
            true => Err(std::io::Error::other("nobody wants them any more")),
            false => making.take(fold.carrier, fold.fold),
        };
        let progress = |share: f64| job.stand(Standing::Working(share));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("kith-folds")
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let folding = self.engine.fold_history(&question, &mut take, &progress);
            let given_up = async {
                while !job.is_over() {
                    tokio::time::sleep(LOOKS_EVERY).await;
                }
            };
            tokio::select! {
                folded = folding => folded.map_err(Failure::from),
                () = given_up => Err("nobody wants them any more".into()),
            }
        })?;
        Ok(making.made()?)
    }
}

impl Job {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        // What is behind it is replaced whole.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stand(&self, standing: Standing) {
        *self.standing() = standing;
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// How the pipeline sees it.
struct Served(Arc<LakeFolds>);

impl HistoryFolds for Served {
    fn begin(&self, wanted: WantedFolds) {
        let job = Arc::new(Job {
            standing: Mutex::new(Standing::Working(0.0)),
            over: AtomicBool::new(false),
        });
        let before = self.0.jobs().insert(wanted.space.clone(), Arc::clone(&job));
        if let Some(before) = before {
            before.over.store(true, Ordering::Release);
        }
        let (folds, making) = (Arc::clone(&self.0), Arc::clone(&job));
        let started = std::thread::Builder::new()
            .name("kith-folds".to_owned())
            .spawn(move || {
                let began = Instant::now();
                match folds.make(&wanted, &making) {
                    Ok(made) => {
                        let (carriers, took) = (made.len(), began.elapsed());
                        tracing::info!(space = %wanted.space, carriers, ?took, "history is folded");
                        making.stand(Standing::Made(Arc::new(made)));
                    }
                    Err(error) => {
                        tracing::warn!(space = %wanted.space, error = %kith_telemetry::error_chain(&*error), "history cannot be folded from the tables");
                        making.stand(Standing::Failed);
                    }
                }
            });
        if let Err(error) = started {
            tracing::warn!(%error, "a thread that folds history could not start");
            job.stand(Standing::Failed);
        }
    }

    fn standing(&self, space: &SpaceId) -> FoldsStanding {
        match self.0.job(space).as_deref().map(|job| match *job.standing() {
            Standing::Working(share) => FoldsStanding::Working(share),
            Standing::Made(_) => FoldsStanding::Ready,
            Standing::Failed => FoldsStanding::Absent,
        }) {
            Some(standing) => standing,
            None => FoldsStanding::Absent,
        }
    }

    fn fold_of(&self, space: &SpaceId, carrier: u128) -> Result<Option<Vec<u8>>, Failure> {
        let job = self.0.job(space).ok_or("there are no folds of this space")?;
        // Several may ask at once: nobody waits for what another reads.
        let made = match &*job.standing() {
            Standing::Made(made) => Arc::clone(made),
            _ => return Err("the folds of this space are not made".into()),
        };
        Ok(made.find(carrier)?)
    }

    fn end(&self, space: &SpaceId) {
        if let Some(job) = self.0.jobs().remove(space) {
            job.over.store(true, Ordering::Release);
        }
    }
}
