//! `rebuild --verify`: raw replayed into fresh state, and compared byte by byte with the live one; and the rows that it gives
//! with those of the clean tables.
//!
//! The live state is held in one snapshot with the offset and the instant it stands at; the replay stops at that offset
//! and fires its timers up to that instant. What the raw zone does not hold yet is read from the log.

mod tables;

use super::Parts;
use bytes::Bytes;
use futures::StreamExt;
use kith_api::ports::{LineStream, PortError, RawVerification};
use kith_lake::{HoleCause, VerifyReport};
use kith_pipeline::{Backlog, Engine, EngineConfig, PipelineError, compare_states};
use kith_publish::RawArchive;
use kith_state::{FjallStore, Keyspace, Read, Store};
use kith_types::{Record, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Sender, channel};

/// Records between two lines of progress, and events in a step of the replay.
const PROGRESS_RECORDS: u64 = 5_000;
const STEP: usize = 20_000;
/// How long a live state in which everybody stands at one instant is waited for.
const WHOLE_WITHIN: Duration = Duration::from_secs(600);
const LOOKS_EVERY: Duration = Duration::from_millis(20);

/// What the raw zone's proof found, for the API.
pub(crate) fn raw_report(report: &VerifyReport) -> RawVerification {
    let missing = report
        .missing
        .iter()
        .map(|range| format!("missing: {range}, {} records", range.count()));
    let notes = report.holes.iter().map(|hole| {
        let (range, count) = (hole.range, hole.range.count());
        match hole.cause {
            HoleCause::Damaged => format!("damaged in the log before it was sealed: {range}, {count} records"),
            HoleCause::Skipped => format!("numbers that no record had: {range}"),
            HoleCause::AcceptedLoss => format!(
                "lost, which was accepted by {}: {range}, {count} records",
                hole.decided_by.as_deref().unwrap_or("an operator")
            ),
        }
    });
    let damaged = report
        .damaged
        .iter()
        .map(|damage| format!("damaged: {}: {}", damage.path, damage.reason));
    let exposed = report
        .exposed
        .iter()
        .map(|exposed| format!("exposed: {}: {}", exposed.path, exposed.reason));
    let locked = (report.locked > 0).then(|| format!("locked as asked: {} objects", report.locked));
    RawVerification {
        objects: report.objects,
        records: report.lines,
        bytes: report.bytes,
        faults: missing.chain(damaged).chain(exposed).collect(),
        notes: notes.chain(locked).collect(),
    }
}

/// Starts the replay; its lines come as it goes, and dropping them ends it.
pub(crate) fn verify(parts: Arc<Parts>) -> Result<LineStream, PortError> {
    let (lines, stream) = channel::<Result<Bytes, PortError>>(16);
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("kith-rebuild".to_owned())
        .spawn(move || {
            // What a replay comes to happened long ago: the log tells what happens now.
            let _silence = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
            let outcome = replay(&parts, &runtime, &lines);
            let last = match outcome {
                Ok(Some(line)) => Ok(line),
                Ok(None) => return,
                Err(error) => Err(PortError::internal(error)),
            };
            // Whoever asked may have gone.
            let _gone = lines.blocking_send(last);
        })
        .map_err(PortError::internal)?;
    Ok(tokio_stream::wrappers::ReceiverStream::new(stream).boxed())
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn line(body: &serde_json::Value) -> Bytes {
    Bytes::from(format!("{body}\n"))
}

fn replay(
    parts: &Parts,
    runtime: &tokio::runtime::Handle,
    lines: &Sender<Result<Bytes, PortError>>,
) -> Result<Option<Bytes>, Failure> {
    let live = whole_snapshot(parts)?;
    let number = |key: &[u8]| -> Result<[u8; 8], Failure> {
        Ok(live
            .get(Keyspace::Meta, key)?
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or_default())
    };
    let end = u64::from_be_bytes(number(b"\0next")?);
    let instant = Timestamp::from_micros(i64::from_be_bytes(number(b"\0clock")?));
    std::fs::create_dir_all(&parts.scratch)?;
    let folder = Scratch::new(&parts.scratch)?;
    let store: Arc<dyn Store> = Arc::new(FjallStore::open(&folder.0, 64 << 20)?);
    let mut engine = Engine::open(Arc::clone(&store), EngineConfig::default())?;
    let mut rows = tables::Tables::new(parts, runtime, end)?;
    let mut told = 0;
    let mut take = |records: &[Record]| -> Result<bool, Failure> {
        for record in records.iter().filter(|record| record.address.sequence < end) {
            while !engine.make_way(record)? {
                rows.add(&engine.commit()?)?;
            }
            engine.apply(record)?;
            engine.move_all()?;
            if engine.pending() >= STEP {
                rows.add(&engine.commit()?)?;
            }
        }
        if engine.next() >= told + PROGRESS_RECORDS {
            told = engine.next();
            let progress = json!({ "done": false, "records": told, "of": end });
            return Ok(lines.blocking_send(Ok(line(&progress))).is_ok());
        }
        Ok(true)
    };
    // Raw comes first, though the log may have it too: it is raw that is proved. Segments may leave the log while this
    // reads: what has gone is in raw by then.
    let segments = runtime.block_on(parts.lake.raw().segments(None))?;
    let sealed = segments.iter().map(|range| range.end).max().unwrap_or(0).min(end);
    let archive = RawArchive::new(parts.lake.raw(), parts.generation, runtime.clone());
    let mut backlog = Backlog::archive_first(&parts.log, Arc::new(archive), 0, sealed)?;
    while backlog.position() < end {
        let records = backlog.read(4_096, 8 << 20)?;
        if records.is_empty() {
            break;
        }
        if !take(&records)? {
            return Ok(None);
        }
    }
    let lost = backlog.lost();
    rows.add(&engine.commit()?)?;
    finish(&mut engine, instant)?;
    let mut report = compare_states(&*live, &*store.snapshot(), instant)?;
    let mut differences: Vec<_> = report
        .differences
        .iter()
        .map(|found| json!({ "tree": found.keyspace, "key": found.key, "what": found.what }))
        .collect();
    let mut compared: BTreeMap<String, u64> = report
        .compared
        .iter()
        .map(|(tree, count)| ((*tree).to_owned(), *count))
        .collect();
    // Tables keep the rows of records whose loss was accepted since: what raw gives is less then.
    let found = if lost == 0 {
        rows.compare(parts, runtime)?
    } else {
        Vec::new()
    };
    for found in found {
        if let Some(difference) = found.difference {
            report.different += 1;
            differences.push(json!({ "tree": found.name, "key": "", "what": difference }));
        }
        compared.insert(found.name, found.rows);
    }
    Ok(Some(line(&json!({
        "done": true, "equal": report.different == 0, "records": end, "instant": instant.to_string(),
        "compared": compared, "different": report.different, "differences": differences, "lost": lost,
    }))))
}

/// A snapshot in which everybody stands at one instant: waited for while timers fire or members of an account are told.
fn whole_snapshot(parts: &Parts) -> Result<Box<dyn Read>, Failure> {
    let deadline = Instant::now() + WHOLE_WITHIN;
    loop {
        let live = kith_pipeline::snapshot_of(&*parts.store)?;
        if !kith_pipeline::is_between(&*live)? {
            return Ok(live);
        }
        if Instant::now() > deadline {
            return Err("timers or changes of accounts have been on their way to people for ten minutes: ask again once the pipeline has caught up".into());
        }
        std::thread::sleep(LOOKS_EVERY);
    }
}

/// Brings the replay to the instant at which the live state stands, its sweeps done.
fn finish(engine: &mut Engine, instant: Timestamp) -> Result<(), PipelineError> {
    let mut outputs = Vec::new();
    while engine.sweep(&mut outputs)? {
        outputs.clear();
    }
    while !engine.advance(instant)? {
        engine.commit()?;
    }
    engine.commit()?;
    // Accounts have timers as well, which members follow.
    while engine.sweep(&mut outputs)? {
        outputs.clear();
    }
    Ok(())
}

/// A folder that goes when the replay ends, however it ends.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(parent: &std::path::Path) -> std::io::Result<Self> {
        let folder = parent.join(format!("rebuild-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&folder)?;
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
