//! Decisions about definitions that wait until they can be taken without holding anything up (contract SEG-2).
//!
//! One that changes rules of identity waits until what it makes of everybody has been worked out beside the steps; one that
//! comes while people have still to take the one before waits for them. A record of its own says that it is taken: so
//! where in the log it takes effect is in the log, and a replay takes it there. Decisions are taken in their order.

use crate::definitions::DefinitionDocument;
use crate::{PipelineError, keys};
use kith_state::{Batch, Keyspace, Read};
use kith_types::{Decision, SpaceId};
use serde::{Deserialize, Serialize};

/// The kind of decision by which one that waits is taken. The pipeline puts it into the log itself.
pub(crate) const DEFINITIONS_TAKEN: &str = "definitions.taken";

const FORMAT: u64 = 1;
/// The named entry that lists what waits.
const WAITING: &str = "decisions_waiting";

/// A decision that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// The sequence number of its record.
    pub(crate) sequence: u64,
    /// What it changes.
    pub(crate) changes: Vec<DefinitionDocument>,
}

#[derive(Serialize, Deserialize)]
struct WrittenTaken {
    format: u64,
    /// The sequence number of the decision that is taken.
    decision: u64,
}

/// The record by which the decision at a sequence number is taken.
pub(crate) fn taken(sequence: u64) -> Result<Decision, PipelineError> {
    let written = WrittenTaken {
        format: FORMAT,
        decision: sequence,
    };
    let document = serde_json::to_string(&written).map_err(|error| PipelineError::storage("a decision", error))?;
    Ok(Decision {
        kind: DEFINITIONS_TAKEN.into(),
        document: document.into(),
    })
}

/// The sequence number of the decision that is taken; `None` when it cannot be read.
pub(crate) fn read_taken(document: &str) -> Option<u64> {
    let written: WrittenTaken = serde_json::from_str(document).ok()?;
    (written.format == FORMAT).then_some(written.decision)
}

/// What waits in a space, in the order of the log.
pub(crate) fn load(store: &dyn Read, space: &SpaceId) -> Result<Vec<Waiting>, PipelineError> {
    match store.get(Keyspace::Meta, &keys::named(space, WAITING))? {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| PipelineError::corrupt("decisions")),
        None => Ok(Vec::new()),
    }
}

/// Writes what waits into a step.
pub(crate) fn store(space: &SpaceId, waiting: &[Waiting], batch: &mut Batch) -> Result<(), PipelineError> {
    let key = keys::named(space, WAITING);
    if waiting.is_empty() {
        batch.remove(Keyspace::Meta, key);
        return Ok(());
    }
    let bytes = serde_json::to_vec(waiting).map_err(|error| PipelineError::storage("decisions", error))?;
    batch.put(Keyspace::Meta, key, bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_the_record_by_which_a_decision_is_taken() {
        let decision = taken(7).unwrap();
        assert_eq!(
            (&*decision.kind, &*decision.document),
            ("definitions.taken", r#"{"format":1,"decision":7}"#)
        );
        assert_eq!(read_taken(&decision.document), Some(7));
        assert_eq!(read_taken(r#"{"format":2,"decision":7}"#), None, "of a newer release");
        assert_eq!(read_taken("{}"), None);
    }
}
