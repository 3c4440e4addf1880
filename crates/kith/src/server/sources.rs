//! The doors' port to the catalog: who a write key belongs to, and what its space may send.

use kith_catalog::{Catalog, WriteKeyOutcome};
use kith_collect::{KeyVerdict, Sources, SpaceDoorLimits};
use kith_types::SpaceId;
use std::sync::Arc;

/// The catalog as the doors see it.
pub(crate) struct CatalogSources(pub(crate) Arc<Catalog>);

impl Sources for CatalogSources {
    fn resolve(&self, write_key: &str) -> KeyVerdict {
        match self.0.resolve_write_key(write_key) {
            WriteKeyOutcome::Unknown => KeyVerdict::Unknown,
            WriteKeyOutcome::Disabled => KeyVerdict::Disabled,
            WriteKeyOutcome::Source { space, source } => KeyVerdict::Source { space, source },
        }
    }

    fn limits(&self, space: &SpaceId) -> SpaceDoorLimits {
        door_limits(&self.0, space)
    }
}

/// What a space may send, of all that it may.
pub(crate) fn door_limits(catalog: &Catalog, space: &SpaceId) -> SpaceDoorLimits {
    let limits = catalog.space_limits(space);
    SpaceDoorLimits {
        events_per_second: limits.events_per_second,
        burst_events: limits.burst_events,
        batch_events: limits.batch_events,
        batch_bytes: limits.batch_bytes,
        terms: limits.terms(),
    }
}
