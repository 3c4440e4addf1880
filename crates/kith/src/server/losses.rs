//! What raw has lost of what the log let go: looked for after a start and every hour, told, and accepted by an operator where
//! there is no copy.
//!
//! A look finds every object that is gone. Reading all of them would take as long as reading all of history, so that of the
//! objects that are there it reads a few, the newest and others by chance; `kith raw verify` reads all.
//!
//! An acceptance is a decision in the log and a note in the raw zone; readers of raw go by the note. What raw holds can
//! never be accepted as lost, and what is accepted is not decided again: one acceptance is worked on at a time.

use super::Parts;
use crate::error::CommandError;
use kith_api::ports::{LossAccepted, PortError, PortErrorKind, ReadinessCheck};
use kith_lake::{HoleCause, LakeError, Proof, RawHole, RawRange, RawZone};
use kith_log::Log;
use kith_types::{Decision, RecordBody, SpaceId};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The kind of the decision that accepts a loss.
const LOSS_ACCEPTED: &str = "raw.loss_accepted";
/// Of how many segments a look reads the objects: of the newest, and of as many others by chance.
const READ_BACK: usize = 4;
/// How often a look is taken.
const LOOKS_EVERY: std::time::Duration = std::time::Duration::from_secs(3_600);
/// How many ranges one acceptance may come to.
const RANGES_MAX: usize = 1_000;

/// What is known of losses, for readiness, and whoever accepts them.
#[derive(Default)]
pub(crate) struct Losses {
    /// Nothing until raw has been looked through.
    known: Mutex<Option<Known>>,
    /// Held by the one look that is taken: segments whose objects were there and did not read as they should.
    unsound: Arc<tokio::sync::Mutex<BTreeSet<RawRange>>>,
    /// Held by the one acceptance that is worked on: what is decided and not noted in raw yet.
    accepting: Arc<tokio::sync::Mutex<Vec<RawHole>>>,
}

#[derive(Clone, Copy, Default)]
struct Known {
    missing: u64,
    accepted: u64,
}

impl Losses {
    /// Whether raw has everything that the log let go, for the doctor: the server goes on as it is.
    pub(crate) fn check(&self) -> ReadinessCheck {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.unwrap_or_default();
        let accepted = (known.accepted > 0).then(|| format!("{} records lost, which was accepted", known.accepted));
        let missing = (known.missing > 0).then(|| format!("{} records missing or damaged", known.missing));
        let told: Vec<String> = missing.clone().into_iter().chain(accepted).collect();
        ReadinessCheck {
            name: "raw".to_owned(),
            fault: missing.map(|missing| {
                format!(
                    "the raw zone has lost what the log no longer has: {missing}; `kith raw verify` reads all of it"
                )
            }),
            bearable: true,
            note: (!told.is_empty()).then(|| told.join(", ")),
        }
    }

    /// Looks raw through, and reads back what chance, a number, draws.
    pub(crate) async fn look(&self, zone: &Zone, chance: u64) -> Result<(), LakeError> {
        // Hashing is work for a thread of its own, which keeps the turn until it ends.
        let mut unsound = Arc::clone(&self.unsound).lock_owned().await;
        let (looked_at, runtime) = (zone.clone(), tokio::runtime::Handle::current());
        let looked = tokio::task::spawn_blocking(move || runtime.block_on(looked_at.lost(&mut unsound, chance)));
        let looked = looked
            .await
            .map_err(|error| LakeError::unavailable("looking raw through", error))?;
        let (lost, accepted) = looked?;
        for range in &lost {
            tracing::error!(%range, "the raw zone has lost records that the log no longer has: restore them from a copy");
        }
        let known = Known {
            missing: lost.iter().map(RawRange::count).sum(),
            accepted,
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(())
    }
}

/// Everything that raw must hold: what the log has let go.
pub(crate) fn expected(log: &Log, generation: u16) -> RawRange {
    RawRange {
        generation,
        partition: 0,
        first: 0,
        end: log.removed_before(),
    }
}

async fn lost(raw: &RawZone, of: RawRange, proof: Proof) -> Result<Vec<RawRange>, LakeError> {
    match of.count() {
        0 => Ok(Vec::new()),
        _ => raw.missing(of, proof).await,
    }
}

/// The newest segments, and as many others as chance draws.
fn drawn(segments: &[RawRange], chance: u64) -> Vec<RawRange> {
    let (others, newest) = segments.split_at(segments.len().saturating_sub(READ_BACK));
    let mut drawn = newest.to_vec();
    if !others.is_empty() {
        // Steps of the golden ratio from a place that chance gives: no two draws fall together while there are others.
        let places = (0..READ_BACK as u64).map(|at| {
            let step = chance.wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (u128::from(step) * others.len() as u128) >> 64
        });
        drawn.extend(places.filter_map(|place| others.get(usize::try_from(place).ok()?).copied()));
    }
    drawn
}

/// Looks for losses beside the server, as long as it runs.
pub(crate) fn watch(parts: &Arc<Parts>) {
    let parts = Arc::downgrade(parts);
    tokio::spawn(async move {
        let mut turns = tokio::time::interval(LOOKS_EVERY);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let Some(parts) = parts.upgrade() else { return };
            let zone = Zone::of(parts.lake.raw(), &parts.log, parts.generation);
            let chance = parts.clock.now().as_micros().unsigned_abs();
            if let Err(error) = parts.losses.look(&zone, chance).await {
                tracing::warn!(error = %kith_telemetry::error_chain(&error), "the raw zone could not be looked through");
            }
        }
    });
}

fn invalid(message: String) -> PortError {
    PortError::new(PortErrorKind::Invalid, message)
}

fn parse(range: &str, generation: u16) -> Result<RawRange, PortError> {
    let asked = RawRange::parse(range).filter(|asked| (asked.generation, asked.partition) == (generation, 0));
    asked.ok_or_else(|| {
        invalid(format!(
            "{range:?} is no range of records: give it as it is told, such as 0-0-120-140"
        ))
    })
}

/// Where losses are, and where they are decided.
#[derive(Clone)]
pub(crate) struct Zone {
    pub(crate) raw: RawZone,
    pub(crate) log: Arc<Log>,
    /// What raw must hold.
    pub(crate) expected: RawRange,
}

impl Zone {
    pub(crate) fn of(raw: RawZone, log: &Arc<Log>, generation: u16) -> Self {
        Self {
            raw,
            log: Arc::clone(log),
            expected: expected(log, generation),
        }
    }

    /// What raw lacks, and how much of it is accepted. Segments that read back wrongly are kept in mind until they read well.
    async fn lost(&self, unsound: &mut BTreeSet<RawRange>, chance: u64) -> Result<(Vec<RawRange>, u64), LakeError> {
        let mut lost = lost(&self.raw, self.expected, Proof::Listed).await?;
        let segments = self.raw.segments(None).await?;
        let segments: Vec<RawRange> = (segments.iter())
            .filter_map(|segment| segment.within(&self.expected))
            .collect();
        let mut read: BTreeSet<RawRange> = drawn(&segments, chance)
            .into_iter()
            .chain(unsound.iter().copied())
            .collect();
        // What is known to be gone needs no reading.
        read.retain(|segment| lost.iter().all(|gone| gone.within(segment).is_none()));
        let mut found = BTreeSet::new();
        for segment in read {
            let damaged = self.raw.missing(segment, Proof::Hashed).await?;
            if !damaged.is_empty() {
                found.insert(segment);
            }
            lost.extend(damaged);
        }
        *unsound = found;
        let accepted = self.raw.holes().await?;
        let accepted = accepted.iter().filter(|hole| hole.cause == HoleCause::AcceptedLoss);
        Ok((lost, accepted.map(|hole| hole.range.count()).sum()))
    }

    /// Accepts what is lost of a range; nothing where nothing is. It hashes what raw has of the range, object by object.
    async fn accept(
        &self,
        decided: &mut Vec<RawHole>,
        asked: &RawRange,
        author: &str,
        reason: &str,
    ) -> Result<Option<LossAccepted>, PortError> {
        self.note(decided).await?;
        let Some(asked) = asked.within(&self.expected) else {
            return Ok(None);
        };
        let missing = lost(&self.raw, asked, Proof::Hashed).await;
        let missing = missing.map_err(PortError::internal)?;
        if missing.is_empty() {
            return Ok(None);
        }
        if missing.len() > RANGES_MAX {
            let message = format!("{asked} has more than {RANGES_MAX} losses: accept it in parts");
            return Err(invalid(message));
        }
        let body = RecordBody::Decision(Decision {
            kind: LOSS_ACCEPTED.into(),
            document: document(&missing, author, reason).into(),
        });
        let appended = self.log.append(&SpaceId::main(), &body).await;
        let appended = appended.map_err(PortError::internal)?;
        decided.extend(missing.iter().map(|range| RawHole {
            range: *range,
            cause: HoleCause::AcceptedLoss,
            decided_by: Some(appended.address.to_string()),
        }));
        self.note(decided).await?;
        Ok(Some(LossAccepted {
            ranges: missing.iter().map(ToString::to_string).collect(),
            records: missing.iter().map(RawRange::count).sum(),
            decided_by: appended.address,
        }))
    }

    /// Notes in raw what is decided; what could not be noted stays decided and is noted before the next is looked at.
    async fn note(&self, decided: &mut Vec<RawHole>) -> Result<(), PortError> {
        while let Some(hole) = decided.last() {
            self.raw.note_hole(hole).await.map_err(PortError::internal)?;
            decided.pop();
        }
        Ok(())
    }
}

impl Losses {
    /// Accepts that what raw lacks of a range is lost.
    pub(crate) async fn accept(
        &self,
        zone: Zone,
        range: &str,
        author: &str,
        reason: &str,
    ) -> Result<LossAccepted, PortError> {
        let asked = parse(range, zone.expected.generation)?;
        // Held by the work itself, until it ends, also when nobody waits for it any more.
        let mut accepting = Arc::clone(&self.accepting).lock_owned().await;
        let (author, reason) = (author.to_owned(), reason.to_owned());
        let runtime = tokio::runtime::Handle::current();
        // Hashing is work for a thread of its own.
        let accepted = tokio::task::spawn_blocking(move || {
            runtime.block_on(zone.accept(&mut accepting, &asked, &author, &reason))
        });
        let accepted = accepted.await.map_err(PortError::internal)??;
        accepted.ok_or_else(|| {
            invalid(format!(
                "nothing of {asked} is lost: the log or the raw zone has it, or it is accepted already"
            ))
        })
    }
}

/// Accepts a loss of the running server's, and looks at what is still lost.
pub(crate) async fn accept(parts: &Parts, range: &str, author: &str, reason: &str) -> Result<LossAccepted, PortError> {
    let zone = Zone::of(parts.lake.raw(), &parts.log, parts.generation);
    let accepted = parts.losses.accept(zone.clone(), range, author, reason).await?;
    // It is accepted, whatever becomes of the look.
    let chance = parts.clock.now().as_micros().unsigned_abs();
    if let Err(error) = parts.losses.look(&zone, chance).await {
        tracing::error!(error = %kith_telemetry::error_chain(&error), "what raw has lost could not be looked up again");
    }
    Ok(accepted)
}

fn document(missing: &[RawRange], author: &str, reason: &str) -> String {
    let ranges: Vec<String> = missing.iter().map(ToString::to_string).collect();
    json!({ "format": 1, "author": author, "reason": reason, "ranges": ranges }).to_string()
}

/// Accepts losses before anything reads raw: for a server that does not start without. What was accepted at an earlier start
/// is no error.
pub(crate) fn accept_at_start(zone: &Zone, ranges: &[String]) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Handle::current();
    let failed = |range: &str, error| CommandError::caused(format!("--accept-loss {range}"), error);
    // All are read before any is accepted.
    let asked: Result<Vec<RawRange>, _> = (ranges.iter())
        .map(|range| parse(range, zone.expected.generation).map_err(|error| failed(range, error)))
        .collect();
    let mut decided = Vec::new();
    for range in asked? {
        let accepted = runtime.block_on(zone.accept(&mut decided, &range, "kith serve --accept-loss", ""));
        match accepted.map_err(|error| failed(&range.to_string(), error))? {
            Some(accepted) => {
                tracing::warn!(records = accepted.records, decided_by = %accepted.decided_by, "a loss of the raw zone is accepted");
            }
            None => {
                tracing::warn!(%range, "nothing of a range is lost, or it was accepted before: --accept-loss is not needed");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
