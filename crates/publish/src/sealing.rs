//! Sealed segments of the log into raw objects, with a note of every number that the log cannot give, and the proof
//! that raw holds a segment before the log lets go of it.
//!
//! It never takes a segment's word for what raw holds: objects are read again, and have their hashes. It never replaces an
//! object.

use crate::PublishError;
use kith_lake::{HoleCause, LakeError, Proof, RawHole, RawRange, RawZone};
use kith_log::{GapCause, Log, SealedSegment};
use kith_telemetry::Counter;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// The raw zone, as segments are put into it.
pub(crate) struct Sealing {
    pub(crate) raw: RawZone,
    pub(crate) generation: u16,
    pub(crate) runtime: Handle,
    /// True when nothing is waited for any more.
    pub(crate) stopping: watch::Receiver<bool>,
}

fn failed(error: LakeError) -> PublishError {
    PublishError::new("a raw object could not be written", error)
}

impl Sealing {
    /// Waits for the store, unless the server ends: every write can be left and done again.
    fn wait<T>(&self, work: impl Future<Output = Result<T, LakeError>>) -> Result<T, LakeError> {
        let mut stopping = self.stopping.clone();
        self.runtime.block_on(async {
            tokio::select! {
                outcome = work => outcome,
                _ = stopping.wait_for(|stopping| *stopping) => {
                    Err(LakeError::unavailable("the raw zone was not waited for", "the server ends"))
                }
            }
        })
    }

    /// Looks whether the raw zone can be used as it is set up.
    pub(crate) fn check(&self) -> Result<(), PublishError> {
        let checked = self.wait(self.raw.check());
        checked.map_err(|error| PublishError::new("the raw zone cannot be used", error))
    }

    /// Where sealing goes on after a start: at the newest segment that stands, which a crash may have left half-written.
    pub(crate) fn begun(&self) -> Result<u64, PublishError> {
        let ranges = self.wait(self.raw.segments(None));
        let ranges = ranges.map_err(|error| PublishError::new("the raw zone could not be listed", error))?;
        Ok(ranges.iter().map(|range| range.first).max().unwrap_or(0))
    }

    /// Puts a segment into raw, after notes of what the log cannot give between `done` and its end.
    pub(crate) fn seal(&self, log: &Log, segment: &SealedSegment, done: u64) -> Result<(), PublishError> {
        let whole = self.range(segment.first_sequence, segment.end_sequence);
        // What stands is left alone: the log may have been damaged since.
        if segment.first_sequence == done && self.lacks(whole)?.is_empty() {
            return self.wait(self.raw.lock_manifests(whole)).map_err(failed);
        }
        for gap in log.holes_before(segment.end_sequence) {
            let range = self.range(gap.from.max(done), gap.to);
            if range.first < range.end {
                let hole = RawHole {
                    range,
                    cause: match gap.cause {
                        GapCause::Damaged => HoleCause::Damaged,
                        GapCause::Skipped | GapCause::Removed => HoleCause::Skipped,
                    },
                    decided_by: None,
                };
                self.wait(self.raw.note_hole(&hole)).map_err(failed)?;
            }
        }
        self.write(log, segment)
    }

    fn write(&self, log: &Log, segment: &SealedSegment) -> Result<(), PublishError> {
        let contents = log
            .read_segment(segment.first_sequence)
            .map_err(|error| PublishError::new("a sealed segment could not be read", error))?;
        if contents.records.is_empty() {
            return Ok(());
        }
        let ranges = |record: &kith_types::Record| crate::writer::event_ranges(record);
        let written = self.wait(self.raw.write_segment(&contents.records, &ranges));
        let written = written.map_err(failed)?;
        Counter::RawObjectsWritten.add(written.objects.len() as u64);
        Counter::RawBytesWritten.add(written.bytes);
        Ok(())
    }

    /// Proves that raw holds a segment that the log is about to let go; what raw has lost meanwhile it is given again.
    pub(crate) fn prove(&self, log: &Log, segment: &SealedSegment) -> Result<(), PublishError> {
        let whole = self.range(segment.first_sequence, segment.end_sequence);
        if self.lacks(whole)?.is_empty() {
            return Ok(());
        }
        tracing::warn!(segment = %whole, "the raw zone has lost records that the log still has: writing them again");
        self.write(log, segment)?;
        let missing: Vec<String> = self.lacks(whole)?.iter().map(ToString::to_string).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(PublishError::new(
            "the log keeps a segment that the raw zone does not hold",
            format!(
                "missing: {}; `kith raw verify` says what is damaged",
                missing.join(", ")
            ),
        ))
    }

    fn lacks(&self, range: RawRange) -> Result<Vec<RawRange>, PublishError> {
        let missing = self.wait(self.raw.missing(range, Proof::Hashed));
        missing.map_err(|error| PublishError::new("the raw zone could not be read", error))
    }

    fn range(&self, first: u64, end: u64) -> RawRange {
        RawRange {
            generation: self.generation,
            partition: 0,
            first,
            end,
        }
    }
}
