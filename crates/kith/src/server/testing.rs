//! What several tests of the server's parts are given.

use kith_catalog::{DefinitionsDecision, Document};
use kith_types::{Address, Record, RecordBody, SpaceId, Timestamp};

/// A record of the main space.
pub(super) fn record(sequence: u64, body: RecordBody) -> Record {
    Record {
        address: Address {
            generation: 0,
            partition: 0,
            sequence,
            index: 0,
        },
        space: SpaceId::main(),
        received_at: Timestamp::from_millis(1_800_000_000_000),
        body,
    }
}

/// A decision to apply these documents.
pub(super) fn decided(applied: Vec<Document>) -> DefinitionsDecision {
    DefinitionsDecision {
        author: "jo".to_owned(),
        reason: "because".to_owned(),
        applied,
        removed: Vec::new(),
        when_ready: false,
    }
}
