//! `curated.membership_changes` built again, when it lacks changes that the outbox has forgotten.
//!
//! A thread of its own replays the records into a scratch state while the server goes on; changes of the spaces concerned wait
//! in the outbox until the table is replaced, in one commit. It sends nothing, and a server that ends leaves no half
//! of a table: the next one begins anew.

use crate::PublishError;
use crate::outbox::change_row;
use kith_lake::rows::{self, MembershipChangeRow};
use kith_lake::{FileWriter, Lake, NewFile, tables};
use kith_pipeline::{Backlog, OutboxMoment, replay_changes};
use kith_state::{FjallStore, Store};
use kith_types::SpaceId;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tokio::runtime::Handle;

/// Rows that are encoded at once, and rows of a file.
const ROWS_A_BATCH: usize = 2_048;
const ROWS_A_FILE: u64 = 1_000_000;
/// Bytes that the scratch state may cache.
const CACHE_BYTES: u64 = 64 << 20;

/// A space's table as it will be.
#[derive(Debug)]
pub(crate) struct RebuiltTable {
    /// Its files, stored and not committed.
    pub(crate) files: Vec<NewFile>,
    /// The number of the first change that comes from the outbox.
    pub(crate) end: u64,
}

type Rebuilt = BTreeMap<SpaceId, RebuiltTable>;

/// A replay under way. Dropping it ends it.
pub(crate) struct ChangesReplay {
    thread: Option<JoinHandle<Result<Rebuilt, PublishError>>>,
    stop: Arc<AtomicBool>,
}

impl ChangesReplay {
    /// Starts replaying up to a moment of the live state.
    pub(crate) fn start(
        moment: OutboxMoment,
        backlog: Backlog,
        lake: Arc<Lake>,
        scratch: &Path,
        runtime: Handle,
    ) -> Result<Self, PublishError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let scratch = scratch.join("changes");
        let work = move || {
            let _scratch = Scratch::new(scratch.clone())?;
            let store: Arc<dyn Store> = Arc::new(
                FjallStore::open(&scratch, CACHE_BYTES)
                    .map_err(|error| PublishError::new("a scratch state could not be opened", error))?,
            );
            replay(moment, backlog, &lake, store, &runtime, &stopping)
        };
        let thread = std::thread::Builder::new()
            .name("kith-changes".to_owned())
            .spawn(work)
            .map_err(|error| PublishError::new("a thread could not be started", error))?;
        Ok(Self {
            thread: Some(thread),
            stop,
        })
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the outcome.
    pub(crate) fn outcome(mut self) -> Result<Rebuilt, PublishError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            _ => Err(PublishError::new("changes were not built again", "it ended by a panic")),
        }
    }
}

impl Drop for ChangesReplay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("building the changes again ended by a panic");
        }
    }
}

/// A space's rows on their way into files.
struct Table {
    next: u64,
    rows: Vec<MembershipChangeRow>,
    file: Option<(FileWriter<'static>, u64)>,
    files: Vec<NewFile>,
}

fn replay(
    mut moment: OutboxMoment,
    mut backlog: Backlog,
    lake: &Lake,
    store: Arc<dyn Store>,
    runtime: &Handle,
    stop: &AtomicBool,
) -> Result<Rebuilt, PublishError> {
    let empty = || Table {
        next: 0,
        rows: Vec::new(),
        file: None,
        files: Vec::new(),
    };
    let mut built: BTreeMap<SpaceId, Table> = moment.spaces().map(|space| (space.clone(), empty())).collect();
    let mut failure = None;
    let all = replay_changes(&mut backlog, store, &mut moment, stop, &mut |space, change| {
        let Some(table) = built.get_mut(space) else {
            return !stop.load(Ordering::Acquire);
        };
        table.rows.push(change_row(&change, table.next));
        table.next += 1;
        if table.rows.len() >= ROWS_A_BATCH {
            failure = runtime.block_on(table.encode(lake, space)).err();
        }
        failure.is_none() && !stop.load(Ordering::Acquire)
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    if !all {
        return Err(PublishError::new("changes were not built again", "the server ends"));
    }
    let unmatched = moment.unmatched();
    if unmatched > 0 {
        tracing::warn!(
            changes = unmatched,
            lost = backlog.lost(),
            "changes that wait are not what raw gives: it has lost what they came of"
        );
    }
    let mut tables = Rebuilt::new();
    for (space, mut table) in built {
        let end = moment.first_waiting(&space);
        if table.next > end {
            return Err(PublishError::new(
                "changes were not built again",
                format!(
                    "space {space} has more of them than were ever numbered: `kith rebuild --verify` says what differs"
                ),
            ));
        }
        runtime.block_on(table.encode(lake, &space))?;
        runtime.block_on(table.close(lake))?;
        let files = table.files;
        tables.insert(space, RebuiltTable { files, end });
    }
    Ok(tables)
}

impl Table {
    async fn encode(&mut self, lake: &Lake, space: &SpaceId) -> Result<(), PublishError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let failed = |error| PublishError::new("rows could not be encoded", error);
        let batch = rows::membership_changes(&std::mem::take(&mut self.rows)).map_err(failed)?;
        let count = batch.num_rows() as u64;
        let table = tables::curated_membership_changes();
        let (file, rows) = match &mut self.file {
            Some(open) => open,
            none => none.insert((lake.begin(space, table, None).await.map_err(failed)?, 0)),
        };
        file.append(&batch).map_err(failed)?;
        *rows += count;
        if *rows >= ROWS_A_FILE {
            self.close(lake).await?;
        }
        Ok(())
    }

    async fn close(&mut self, lake: &Lake) -> Result<(), PublishError> {
        if let Some((file, _)) = self.file.take() {
            let stored = lake.store_file(file).await;
            let stored = stored.map_err(|error| PublishError::new("the lake could not be written", error))?;
            self.files.push(stored);
        }
        Ok(())
    }
}

/// A folder that goes when the replay ends, however it ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: PathBuf) -> Result<Self, PublishError> {
        let failed = |error| PublishError::new("a scratch folder could not be made", error);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            // What a killed server left is of no use.
            _ => {}
        }
        std::fs::create_dir_all(&folder).map_err(failed)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), error = %error, "a scratch folder could not be removed");
        }
    }
}
