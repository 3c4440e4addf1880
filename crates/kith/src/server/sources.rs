//! The doors' port to the catalog: who a write key belongs to.

use kith_catalog::{Catalog, WriteKeyOutcome};
use kith_collect::{KeyVerdict, Sources};
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
}
