//! Proofs of the log's contracts, on a simulated disk and on the machine's.
//!
//! Here stand the pieces that the proofs share; the proofs are in the files below. Never sleeps and never times.

mod faults;
mod opening;
mod reading;
mod simulation;

use crate::simulated::SimulatedDisk;
use crate::{Appended, Log, LogConfig, LogError, RecoveryReport};
use bytes::Bytes;
use kith_types::{Decision, Duration, Envelope, ManualClock, Origin, Record, RecordBody, Route, SpaceId, Timestamp};
use std::path::Path;
use std::sync::Arc;

/// Half a second before a round number, so that moments are told apart easily.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_700_000_000_500_000);

pub(crate) fn envelope(body: &[u8]) -> RecordBody {
    RecordBody::Envelope(Envelope {
        source: "web-shop".parse().unwrap(),
        route: Route::Batch,
        origin: Origin::Live,
        content_type: "application/json".into(),
        client_ip: "192.0.2.7".into(),
        user_agent: "analytics-node/2.1.0 é".into(),
        terms: kith_types::Terms::USUAL,
        body: Bytes::copy_from_slice(body),
    })
}

pub(crate) fn decision(document: &str) -> RecordBody {
    RecordBody::Decision(Decision {
        kind: "definition.applied".into(),
        document: document.into(),
    })
}

/// A log on a simulated disk, with small segments and a clock moved by hand.
pub(crate) struct Bench {
    pub(crate) disk: SimulatedDisk,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) config: LogConfig,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let config = LogConfig {
            segment_bytes: 4096,
            segment_age: Duration::from_days(3650),
            retry_every: std::time::Duration::from_secs(3600),
            ..LogConfig::new("/kith/log")
        };
        Self {
            disk: SimulatedDisk::new(),
            clock: Arc::new(ManualClock::new(START)),
            config,
        }
    }

    pub(crate) fn open(&self) -> Result<(Arc<Log>, RecoveryReport), LogError> {
        Log::open(self.config.clone(), Arc::new(self.disk.clone()), self.clock.clone())
    }

    /// The paths of the segments, oldest first.
    pub(crate) fn segments(&self) -> Vec<std::path::PathBuf> {
        let named = |path: &Path| {
            path.extension().is_some_and(|end| end == "segment") && path.parent() == Some(&self.config.dir)
        };
        self.disk.paths().into_iter().filter(|path| named(path)).collect()
    }
}

pub(crate) fn append(log: &Log, body: &[u8]) -> Result<Appended, LogError> {
    log.append_blocking(&SpaceId::main(), &envelope(body))
}

/// All records that can be read, and the gaps between them.
pub(crate) fn read_all(log: &Log) -> (Vec<Record>, Vec<crate::Gap>) {
    let (mut records, mut gaps) = (Vec::new(), Vec::new());
    let mut reader = log.reader(log.start());
    loop {
        match reader.read(7, 5_000) {
            Ok(more) if more.is_empty() => return (records, gaps),
            Ok(more) => records.extend(more),
            Err(error) => {
                let gap = error.gap().unwrap_or_else(|| panic!("{error}"));
                gaps.push(gap);
                reader.skip_to(gap.to);
            }
        }
    }
}

pub(crate) fn body_of(record: &Record) -> &[u8] {
    match &record.body {
        RecordBody::Envelope(envelope) => &envelope.body,
        RecordBody::Decision(decision) => decision.document.as_bytes(),
    }
}
