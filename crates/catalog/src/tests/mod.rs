//! The catalog against its contracts: what all its tests share.

mod definitions;
mod file;
mod keys;
mod limits;
mod yaml;

use crate::{Catalog, DefinitionsDecision, Document, DocumentId, DocumentKind};
use kith_types::{Address, Clock, ManualClock, SourceName, SpaceId, Timestamp};
use std::sync::Arc;

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)))
}

pub(crate) fn catalog() -> Catalog {
    Catalog::in_memory(clock()).unwrap()
}

pub(crate) fn space(name: &str) -> SpaceId {
    name.parse().unwrap()
}

pub(crate) fn source(name: &str) -> SourceName {
    name.parse().unwrap()
}

pub(crate) fn document(kind: DocumentKind, name: &str, spec: serde_json::Value) -> Document {
    Document {
        kind,
        name: name.to_owned(),
        spec,
    }
}

pub(crate) fn at(sequence: u64) -> Address {
    Address {
        generation: 1,
        partition: 0,
        sequence,
        index: 0,
    }
}

pub(crate) fn decision(applied: Vec<Document>, removed: Vec<DocumentId>) -> DefinitionsDecision {
    DefinitionsDecision {
        author: "jo".to_owned(),
        reason: "because".to_owned(),
        applied,
        removed,
        when_ready: false,
    }
}
