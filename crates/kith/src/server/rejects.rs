//! Putting rejects through again: finds them in `clean.rejects`, their bodies in log or raw, and appends decisions that hold
//! what cleaning takes now.
//!
//! What counts already is left out, so that asking twice appends nothing; should two ask at once all the same, the pipeline
//! counts each key once.

use super::Parts;
use kith_api::ports::{PortError, PortErrorKind, RejectsReplayed, ReplayRejects};
use kith_clean::{REJECTS_REPLAYED, RejectsReplay, replay_limits};
use kith_lake::{RejectPlace, RejectsAsked};
use kith_pipeline::Backlog;
use kith_publish::RawArchive;
use kith_types::{Decision, EventKey, Limits, Record, RecordBody, SpaceId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Rejects that one call looks at, about; the next goes on behind them.
const REJECTS_MAX: usize = 100_000;
/// Bytes of bodies in one decision: with their encoding well below the log's bound for a record.
const BODIES_BYTES_MAX: usize = 4 << 20;

/// Puts the rejects of a space through again.
pub(crate) async fn replay(
    parts: &Arc<Parts>,
    space: &SpaceId,
    asked: ReplayRejects,
) -> Result<RejectsReplayed, PortError> {
    let limits = limits_of(&asked, parts.catalog.space_limits(space).terms().limits)?;
    let page = RejectsAsked {
        generation: parts.generation,
        source: asked.source.as_ref().map(kith_types::SourceName::as_str),
        code: asked.reason.as_deref(),
        after: asked.after,
        places_max: REJECTS_MAX,
    };
    let places = parts.lake.reject_places(space, &page).await;
    let (places, next) = places.map_err(PortError::internal)?;
    let rejects = places.len() as u64;
    let runtime = tokio::runtime::Handle::current();
    let (parts, space) = (Arc::clone(parts), space.clone());
    let work = move || {
        let mut decisions = Decisions {
            parts: &parts,
            space: &space,
            asked: &asked,
            limits,
            waiting: Vec::new(),
            waiting_bytes: 0,
            report: RejectsReplayed {
                rejects,
                next,
                ..RejectsReplayed::default()
            },
        };
        decisions.take(&runtime, places)?;
        decisions.decide()?;
        Ok(decisions.report)
    };
    tokio::task::spawn_blocking(work).await.map_err(PortError::internal)?
}

/// What is asked for; where nothing is, what the space may send now.
fn limits_of(asked: &ReplayRejects, usual: Limits) -> Result<Limits, PortError> {
    let limits = Limits {
        event_bytes: asked.event_bytes.unwrap_or(usual.event_bytes),
        batch_bytes: asked.batch_bytes.unwrap_or(usual.batch_bytes),
        batch_events: asked.batch_events.unwrap_or(usual.batch_events),
    };
    replay_limits(limits).map_err(|violation| PortError::new(PortErrorKind::Invalid, violation.message))
}

struct Decisions<'a> {
    parts: &'a Parts,
    space: &'a SpaceId,
    asked: &'a ReplayRejects,
    limits: Limits,
    waiting: Vec<(Record, Vec<u32>)>,
    waiting_bytes: usize,
    report: RejectsReplayed,
}

impl Decisions<'_> {
    /// Finds the bodies of the rejects, in the order of the log.
    fn take(&mut self, runtime: &tokio::runtime::Handle, places: Vec<RejectPlace>) -> Result<(), PortError> {
        let mut by_record: BTreeMap<u64, Vec<RejectPlace>> = BTreeMap::new();
        for place in places {
            by_record.entry(place.sequence).or_default().push(place);
        }
        let mut wanted: VecDeque<(u64, Vec<RejectPlace>)> = by_record.into_iter().collect();
        let Some((first, _)) = wanted.front() else {
            return Ok(());
        };
        let archive = RawArchive::new(self.parts.lake.raw(), self.parts.generation, runtime.clone());
        let mut backlog = Backlog::new(&self.parts.log, Arc::new(archive), *first);
        while !wanted.is_empty() {
            let records = backlog.read(1_024, 8 << 20).map_err(PortError::internal)?;
            if records.is_empty() {
                break;
            }
            for record in records {
                // A record that is damaged has no body to put through.
                while wanted
                    .front()
                    .is_some_and(|(sequence, _)| *sequence < record.address.sequence)
                {
                    wanted.pop_front();
                }
                if wanted
                    .front()
                    .is_some_and(|(sequence, _)| *sequence == record.address.sequence)
                    && let Some((_, places)) = wanted.pop_front()
                {
                    self.add(record, &places)?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, mut record: Record, places: &[RejectPlace]) -> Result<(), PortError> {
        let RecordBody::Envelope(envelope) = &mut record.body else {
            return Ok(());
        };
        // A body as it was read holds all that was read with it.
        envelope.body = bytes::Bytes::copy_from_slice(&envelope.body);
        let bytes = envelope.body.len();
        let text_bytes = match std::str::from_utf8(&envelope.body) {
            Ok(text) => text.len(),
            Err(_) => bytes.div_ceil(3) * 4,
        };
        // A body that was rejected as a whole stands as its first event: all that it holds is meant.
        let whole = places
            .iter()
            .any(|place| place.index == 0 && place.original_bytes == text_bytes);
        let indexes = match whole {
            true => {
                let split = kith_clean::split(envelope.route, &envelope.body, &self.limits);
                let events = split.map_or(0, |split| split.events.len());
                (0..u32::try_from(events).unwrap_or(u32::MAX)).collect()
            }
            false => places.iter().map(|place| place.index).collect(),
        };
        if self.waiting_bytes + bytes > BODIES_BYTES_MAX {
            self.decide()?;
        }
        self.waiting_bytes += bytes;
        self.waiting.push((record, indexes));
        Ok(())
    }

    /// Appends a decision with what waits, where anything of it is taken now.
    fn decide(&mut self) -> Result<(), PortError> {
        self.waiting_bytes = 0;
        let mut replay = RejectsReplay {
            author: self.asked.author.clone(),
            reason: self.asked.why.clone(),
            limits: self.limits,
            bodies: std::mem::take(&mut self.waiting),
        };
        let keys: BTreeSet<EventKey> = replay.keep_accepted().into_iter().collect();
        let counted = self.parts.reads.counted(self.space, &keys, self.parts.clock.now());
        let counted = counted.map_err(PortError::internal)?;
        self.report.counted += counted.len() as u64;
        let accepted = replay.leave_out(&counted);
        if accepted == 0 {
            return Ok(());
        }
        let body = RecordBody::Decision(Decision {
            kind: REJECTS_REPLAYED.into(),
            document: replay.to_json().into(),
        });
        let appended = self.parts.log.append_blocking(self.space, &body).map_err(|error| {
            let message = "the decision could not be made durable; what was decided before stands, and asking again adds nothing twice";
            PortError::new(PortErrorKind::Unavailable, message).with_cause(error)
        })?;
        self.report.accepted += accepted as u64;
        self.report.decided_by.push(appended.address);
        Ok(())
    }
}
