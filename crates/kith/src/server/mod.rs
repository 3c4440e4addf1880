//! The server: opens what it stands on, starts what runs, serves the doors and the API on one port, and ends in order.
//!
//! Only wiring. Every decision is in the crates that are wired here; adapters between their ports are in the modules
//! beside this one.

mod audiences;
mod config;
mod decisions;
mod definitions;
mod drafts;
mod folds;
mod identity;
mod ingest;
mod json;
mod listen;
mod log_clock;
mod looking_back;
mod losses;
mod metrics;
mod one_of_a_kind;
mod operations;
mod people;
mod raw_place;
mod rebuild;
mod rejects;
mod runs;
mod segment_sizes;
mod segments;
mod sending;
mod sources;
mod sql;
mod tail;
#[cfg(test)]
mod testing;
mod traces;
mod under_way;

pub(crate) use audiences::write_keys_of;
pub(crate) use config::{Role, ServerConfig};
#[cfg(test)]
pub(crate) use definitions::problems_of;

use crate::error::CommandError;
use axum::Router;
use kith_api::{ApiLimits, ApiState, Look};
use kith_catalog::{Catalog, TablePointers};
use kith_collect::{Doors, DoorsConfig, SpaceRates};
use kith_lake::Lake;
use kith_log::{Log, LogConfig, OsDisk};
use kith_pipeline::{Engine, EngineConfig, Handover, Listener, Pipeline, Reads};
use kith_publish::{LakeWriter, PublishConfig, PublishParts, PublishStatus, Publisher, RawArchive};
use kith_state::{FjallStore, Store};
use kith_types::{Clock, SystemClock, Timestamp};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Steps that wait for a listener before the pipeline is held back.
const STEPS_WAITING: usize = 1;

/// Everything that a running server is made of.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The administrator's key, where this start made it: shown once.
    pub(crate) new_admin_key: Option<String>,
    pub(crate) parts: Arc<Parts>,
    stop: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
    traces: Option<traces::Traces>,
}

/// What the adapters share.
pub(crate) struct Parts {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started_at: Timestamp,
    pub(crate) generation: u16,
    pub(crate) log: Arc<Log>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalog: Arc<Catalog>,
    /// How much of its rate each space has left, whichever way its events come.
    pub(crate) rates: Arc<SpaceRates>,
    /// Decisions that the catalog could not record yet.
    pub(crate) unrecorded: Arc<decisions::Unrecorded>,
    pub(crate) lake: Arc<Lake>,
    pub(crate) pipeline: Arc<Pipeline>,
    /// None where the process does not play the pipeline.
    pub(crate) publisher: Option<Publisher>,
    pub(crate) reads: Reads,
    pub(crate) drafts: drafts::Drafts,
    pub(crate) folds: Arc<folds::LakeFolds>,
    pub(crate) looking_back: looking_back::LookingBack,
    pub(crate) tail: tail::LiveTail,
    pub(crate) activation: Arc<kith_activate::Activation>,
    pub(crate) messages: Arc<sending::CatalogMessages>,
    pub(crate) scratch: std::path::PathBuf,
    /// Held while rejects are put through again.
    pub(crate) replaying: tokio::sync::Mutex<()>,
    /// What raw is known to have lost.
    pub(crate) losses: losses::Losses,
    /// Looks at the send ledger, for readiness.
    pub(crate) ledger_look: Look,
}

impl Parts {
    /// How far publishing has come; nowhere, where this process leaves it to others.
    pub(crate) fn published(&self) -> PublishStatus {
        self.publisher.as_ref().map(Publisher::status).unwrap_or_default()
    }
}

impl Server {
    /// Opens the data folder and serves. `extra` are routes of the caller's own, such as the demo's page.
    ///
    /// # Errors
    /// What cannot be opened or bound, with what to do.
    pub(crate) async fn start(config: ServerConfig, extra: Option<ExtraRoutes>) -> Result<Self, CommandError> {
        let listener = TcpListener::bind(config.http)
            .await
            .map_err(|error| CommandError::caused(format!("{} cannot be listened on", config.http), error))?;
        let address = listener
            .local_addr()
            .map_err(|error| CommandError::caused("the listener has no address", error))?;
        let traces = traces::start()?;
        let opening = config.clone();
        let (parts, new_admin_key) = tokio::task::spawn_blocking(move || open(&opening, address))
            .await
            .map_err(|error| CommandError::caused("opening the data folder", error))??;
        let parts = Arc::new(parts);
        parts.folds.follow(&parts);
        let mut router = Router::new();
        if config.has(Role::Collect) {
            let sources = Arc::new(sources::CatalogSources(Arc::clone(&parts.catalog)));
            let appender = Arc::clone(&parts.log) as Arc<dyn kith_collect::Appender>;
            router = router.merge(kith_collect::router(Doors::new(
                sources,
                appender,
                Arc::clone(&parts.rates),
                DoorsConfig {
                    trusts_forwarded_for: config.trust_forwarded_for,
                    ..DoorsConfig::default()
                },
            )));
        }
        if config.has(Role::Api) {
            router = router.merge(kith_api::router(api_state(&config, &parts)?));
        }
        if let Some(extra) = extra {
            router = router.merge(extra(&parts));
        }
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(listen::serve(listener, router, listen::Bounds::default(), stopping));
        metrics::watch(&parts);
        sending::follow(&parts);
        decisions::keep_recording(&parts);
        losses::watch(&parts);
        tracing::info!(%address, data = %config.data.display(), "serving");
        Ok(Self {
            address,
            new_admin_key,
            parts,
            stop,
            serving,
            traces,
        })
    }

    /// Takes no more requests, lets those under way end, commits everything, and closes.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.parts.tail.end();
        // Bounded: whoever does not read holds it up for a while and no longer.
        if self.serving.await.is_err() {
            tracing::error!("serving ended by a panic");
        }
        let parts = Arc::clone(&self.parts);
        let closed = tokio::task::spawn_blocking(move || {
            parts.activation.stop();
            parts.pipeline.stop();
            parts.publisher.iter().for_each(Publisher::stop);
            decisions::note_followed(&parts.catalog, &parts.pipeline, &parts.unrecorded);
            parts.log.close();
        });
        if closed.await.is_err() {
            tracing::error!("closing ended by a panic");
        }
        if let Some(traces) = self.traces {
            traces.end().await;
        }
    }
}

/// Routes that a caller adds, given what the server is made of.
pub(crate) type ExtraRoutes = Box<dyn FnOnce(&Arc<Parts>) -> Router + Send>;

/// Makes a folder that outlives a loss of power: each folder that is new is synced into the one above it.
fn make_durably(folder: &std::path::Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => std::path::Path::new("."),
    };
    make_durably(above)?;
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    std::fs::File::open(above)?.sync_all()
}

fn open(config: &ServerConfig, address: SocketAddr) -> Result<(Parts, Option<String>), CommandError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = &config.data;
    make_durably(data)
        .map_err(|error| CommandError::caused(format!("the data folder {} cannot be made", data.display()), error))?;
    // The log's lock comes first: a second server on the folder stops here and touches nothing.
    let log_config = LogConfig {
        segment_bytes: config.log_segment_bytes,
        ..LogConfig::new(data.join("log"))
    };
    let (log, recovered) = Log::open(log_config, Arc::new(OsDisk), Arc::clone(&clock))?;
    if recovered.tail_bytes_cut > 0 || !recovered.gaps.is_empty() {
        tracing::warn!(
            cut = recovered.tail_bytes_cut,
            gaps = recovered.gaps.len(),
            "the log was recovered"
        );
    }
    let store: Arc<dyn Store> = Arc::new(FjallStore::open(&data.join("state"), config.cache_bytes)?);
    let catalog = Arc::new(Catalog::open(&data.join("catalog.db"), Arc::clone(&clock))?);
    let new_admin_key = catalog.ensure_admin_key(config.admin_key.as_deref())?;
    let pointers = TablePointers::open(&data.join("tables.db"))
        .map_err(|error| CommandError::caused("the table pointers cannot be opened", error))?;
    let root = data
        .canonicalize()
        .map_err(|error| CommandError::caused("the data folder has no path", error))?;
    let lake = Lake::open(&root.to_string_lossy(), Arc::new(pointers), Arc::clone(&clock))?;
    let lake = Arc::new(match raw_place::open(config, &clock)? {
        Some(raw) => lake.with_raw(raw),
        None => lake,
    });

    let generation = 0;
    let archive = Arc::new(RawArchive::new(
        lake.raw(),
        generation,
        tokio::runtime::Handle::current(),
    ));
    losses::accept_at_start(&losses::Zone::of(lake.raw(), &log, generation), &config.accept_loss)?;
    decisions::follow(&catalog, &log, archive.clone())?;

    let (lake_steps, lake_inbox) = kith_publish::steps(STEPS_WAITING);
    let (tail, followers) = tail::LiveTail::start(STEPS_WAITING)?;
    let (send_steps, send_inbox) = sync_channel(STEPS_WAITING);
    let folds = Arc::new(folds::LakeFolds::new(&lake, generation, &data.join("scratch"))?);
    let mut engine = engine_config(&*store, &log)?;
    engine.folds = Some(folds.serving(config.fold_tables_from_people));
    engine.dedupe_filter_bytes = config.dedupe_filter_bytes;
    let pipeline = Arc::new(if config.has(Role::Pipeline) {
        let listeners: Vec<Box<dyn Listener>> = vec![Box::new(lake_steps), Box::new(followers), Box::new(send_steps)];
        Pipeline::start(Arc::clone(&log), archive.clone(), Arc::clone(&store), engine, listeners)?
    } else {
        Pipeline::at_rest(Arc::clone(&store), engine)?
    });
    let reads = Reads::new(Arc::clone(&store), Arc::clone(&pipeline));
    let reads = reads
        .with_scratch(&data.join("scratch").join("dry_runs"))
        .map_err(|error| CommandError::caused("the scratch folder cannot be emptied", error))?;
    let handover = Handover::new(Arc::clone(&store));
    let writer = LakeWriter::new(
        Arc::clone(&lake),
        Arc::clone(&log),
        archive,
        handover.clone(),
        generation,
    );
    let unrecorded = Arc::new(decisions::Unrecorded::default());
    let followed = (Arc::clone(&catalog), Arc::clone(&pipeline), Arc::clone(&unrecorded));
    let publish = PublishParts {
        passed: Arc::new(move || decisions::note_followed(&followed.0, &followed.1, &followed.2)),
        lake: Arc::clone(&lake),
        log: Arc::clone(&log),
        pipeline: Arc::clone(&pipeline),
        reads: reads.clone(),
        writer,
        clock: Arc::clone(&clock),
        scratch: data.join("scratch"),
        runtime: tokio::runtime::Handle::current(),
    };
    let publisher = match config.has(Role::Pipeline) {
        true => Some(Publisher::start(publish_config(config), publish, lake_inbox)?),
        false => None,
    };
    let messages = Arc::new(sending::CatalogMessages::new(Arc::clone(&catalog)));
    let sending = sending::Sending {
        config,
        address,
        clock: Arc::new(log_clock::LogClock {
            clock: Arc::clone(&clock),
            log: Arc::clone(&log),
        }),
        log: Arc::clone(&log),
        pipeline: Arc::clone(&pipeline),
        reads: reads.clone(),
        handover,
        messages: Arc::clone(&messages),
        unrecorded: Arc::clone(&unrecorded),
    };
    let activation = sending::start(sending, send_inbox)?;
    let drafts = drafts::Drafts::new(reads.clone(), Arc::clone(&clock));
    let parts = Parts {
        started_at: clock.now(),
        clock,
        generation,
        log,
        store,
        catalog,
        rates: Arc::default(),
        unrecorded,
        lake,
        pipeline,
        publisher,
        drafts,
        folds,
        looking_back: looking_back::LookingBack::default(),
        reads,
        tail,
        activation,
        messages,
        scratch: data.join("scratch"),
        replaying: tokio::sync::Mutex::default(),
        losses: losses::Losses::default(),
        ledger_look: Look::default(),
    };
    Ok((parts, new_admin_key))
}

fn publish_config(config: &ServerConfig) -> PublishConfig {
    PublishConfig {
        log_keep_bytes: config.log_keep_bytes,
        ..PublishConfig::default()
    }
}

/// A state that is new beside a log that is not was lost: it is built again from the log, in silence, and its outbox
/// counts from the next block of numbers, that of the records there are, so that none is given twice, but where it is lost twice
/// without a record in between.
fn engine_config(store: &dyn Store, log: &Log) -> Result<EngineConfig, CommandError> {
    let mut config = EngineConfig::default();
    let end = log.durable_end();
    if end > 0 && Engine::is_new(store)? {
        tracing::warn!(
            records = end,
            "the live state is new and the log is not: building it again from the log"
        );
        config.rebuilt_before = end;
        config.rebuilt_until = log.time_floor()?.1;
        config.outbox_from = (1 << 32) + (end << 24);
    }
    Ok(config)
}

fn api_state(config: &ServerConfig, parts: &Arc<Parts>) -> Result<ApiState, CommandError> {
    Ok(ApiState {
        catalog: Arc::clone(&parts.catalog),
        profiles: Arc::new(people::People(Arc::clone(parts))),
        segments: Arc::new(segments::LiveSegments::new(Arc::clone(parts))),
        definitions: Arc::new(definitions::AppliedDefinitions::new(Arc::clone(parts))),
        identity: Arc::new(identity::WhoIsWho::new(Arc::clone(parts))),
        sql: sql::over(config, parts)?,
        tail: Arc::new(parts.tail.clone()),
        operations: Arc::new(operations::Running(Arc::clone(parts))),
        ingest: Arc::new(ingest::Imports(Arc::clone(parts))),
        unsubscribe: Arc::new(sending::Links(Arc::clone(parts))),
        destinations: Arc::new(audiences::ConnectedDestinations(Arc::clone(parts))),
        runs: Arc::new(runs::AskedRuns(Arc::clone(parts))),
        catalog_look: Look::default(),
        limits: ApiLimits::default(),
    })
}
