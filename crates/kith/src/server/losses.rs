//! What raw has lost of what the log let go: looked for after a start, told, and accepted by an operator where there is no copy.
//!
//! An acceptance is a decision in the log and a note in the raw zone; readers of raw go by the note. What raw holds can
//! never be accepted as lost.

use super::Parts;
use crate::error::CommandError;
use kith_api::ports::{LossAccepted, PortError, PortErrorKind, ReadinessCheck};
use kith_lake::{HoleCause, LakeError, Proof, RawHole, RawRange, RawZone};
use kith_log::Log;
use kith_types::{Decision, RecordBody, SpaceId};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

/// The kind of the decision that accepts a loss.
const LOSS_ACCEPTED: &str = "raw.loss_accepted";
/// How many ranges one acceptance may come to.
const RANGES_MAX: usize = 1_000;

/// What is known of losses, for readiness; nothing until raw has been looked through.
#[derive(Default)]
pub(crate) struct Losses(Mutex<Option<Known>>);

#[derive(Clone, Copy, Default)]
struct Known {
    missing: u64,
    accepted: u64,
}

impl Losses {
    /// Whether raw has everything that the log let go, for the doctor: the server goes on as it is.
    pub(crate) fn check(&self) -> ReadinessCheck {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.unwrap_or_default();
        let accepted = (known.accepted > 0).then(|| format!("{} records lost, which was accepted", known.accepted));
        let missing = (known.missing > 0).then(|| format!("{} records missing", known.missing));
        let told: Vec<String> = missing.clone().into_iter().chain(accepted).collect();
        ReadinessCheck {
            name: "raw".to_owned(),
            fault: missing.map(|missing| format!("the raw zone has lost what the log no longer has: {missing}")),
            bearable: true,
            note: (!told.is_empty()).then(|| told.join(", ")),
        }
    }

    /// Looks raw through, without reading its objects.
    pub(crate) async fn look(&self, raw: &RawZone, log: &Log, generation: u16) -> Result<(), LakeError> {
        let lost = lost(raw, log, generation, Proof::Listed).await?;
        for range in &lost {
            tracing::error!(%range, "the raw zone has lost records that the log no longer has: restore them from a copy");
        }
        let accepted = raw.holes().await?;
        let accepted = accepted.iter().filter(|hole| hole.cause == HoleCause::AcceptedLoss);
        let known = Known {
            missing: lost.iter().map(RawRange::count).sum(),
            accepted: accepted.map(|hole| hole.range.count()).sum(),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
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

async fn lost(raw: &RawZone, log: &Log, generation: u16, proof: Proof) -> Result<Vec<RawRange>, LakeError> {
    match expected(log, generation) {
        range if range.end == 0 => Ok(Vec::new()),
        range => raw.missing(range, proof).await,
    }
}

/// Looks for losses beside the server, once.
pub(crate) fn watch(parts: &Arc<Parts>) {
    let parts = Arc::clone(parts);
    tokio::spawn(async move {
        let looked = parts.losses.look(&parts.lake.raw(), &parts.log, parts.generation).await;
        if let Err(error) = looked {
            tracing::warn!(error = %kith_telemetry::error_chain(&error), "the raw zone could not be looked through");
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

/// Accepts that what raw lacks of a range is lost.
pub(crate) async fn accept(
    zone: (&RawZone, &Arc<Log>, u16),
    range: &str,
    author: &str,
    reason: &str,
) -> Result<LossAccepted, PortError> {
    let asked = parse(range, zone.2)?;
    let accepted = accept_missing(zone, &asked, author, reason).await?;
    accepted.ok_or_else(|| {
        invalid(format!(
            "nothing of {asked} is lost: the log or the raw zone has it, or it is accepted already"
        ))
    })
}

/// Accepts what is lost of a range; nothing where nothing is.
async fn accept_missing(
    (raw, log, generation): (&RawZone, &Arc<Log>, u16),
    asked: &RawRange,
    author: &str,
    reason: &str,
) -> Result<Option<LossAccepted>, PortError> {
    let missing = lost(raw, log, generation, Proof::Hashed)
        .await
        .map_err(PortError::internal)?;
    let missing: Vec<RawRange> = missing.iter().filter_map(|lost| lost.within(asked)).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    if missing.len() > RANGES_MAX {
        let message = format!("{asked} has more than {RANGES_MAX} losses: accept it in parts");
        return Err(invalid(message));
    }
    let document = document(&missing, author, reason);
    let body = RecordBody::Decision(Decision {
        kind: LOSS_ACCEPTED.into(),
        document: document.into(),
    });
    let log = Arc::clone(log);
    let appended = tokio::task::spawn_blocking(move || log.append_blocking(&SpaceId::main(), &body));
    let appended = appended
        .await
        .map_err(PortError::internal)?
        .map_err(PortError::internal)?;
    for range in &missing {
        let hole = RawHole {
            range: *range,
            cause: HoleCause::AcceptedLoss,
            decided_by: Some(appended.address.to_string()),
        };
        raw.note_hole(&hole).await.map_err(PortError::internal)?;
    }
    Ok(Some(LossAccepted {
        ranges: missing.iter().map(ToString::to_string).collect(),
        records: missing.iter().map(RawRange::count).sum(),
        decided_by: appended.address,
    }))
}

fn document(missing: &[RawRange], author: &str, reason: &str) -> String {
    let ranges: Vec<String> = missing.iter().map(ToString::to_string).collect();
    json!({ "format": 1, "author": author, "reason": reason, "ranges": ranges }).to_string()
}

/// Accepts losses before anything reads raw: for a server that does not start without. What was accepted at an earlier start
/// is no error.
pub(crate) fn accept_at_start(zone: (&RawZone, &Arc<Log>, u16), ranges: &[String]) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Handle::current();
    let failed = |range: &str, error| CommandError::caused(format!("--accept-loss {range}"), error);
    // All are read before any is accepted.
    let asked: Result<Vec<RawRange>, _> = (ranges.iter())
        .map(|range| parse(range, zone.2).map_err(|error| failed(range, error)))
        .collect();
    for range in asked? {
        let accepted = runtime.block_on(accept_missing(zone, &range, "kith serve --accept-loss", ""));
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
mod tests {
    use super::*;

    #[test]
    fn raw_2_the_decision_stays_readable() {
        let lost = RawRange::parse("0-0-120-140").unwrap();
        let golden = r#"{"format":1,"author":"jo","reason":"no copy","ranges":["0-0-120-140"]}"#;
        assert_eq!(document(&[lost], "jo", "no copy"), golden);
    }
}
