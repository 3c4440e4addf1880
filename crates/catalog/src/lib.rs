//! Versioned definitions, spaces, sources, keys and table pointers on SQLite.
//!
//! One file holds what operators decide and what opens the doors. Definitions follow the log: the binary appends a
//! decision first and then has it recorded here, so a lost catalog is rebuilt from raw (contract RAW-2); keys are
//! primary and are backed up. The crate never validates what a definition means (the binary hands in a
//! [`DefinitionValidator`]), never holds a key in clear, and never knows Arrow or DataFusion.

mod api_keys;
mod definitions;
mod diff;
mod documents;
mod error;
mod folder;
mod plan;
mod recovery;
mod secrets;
mod sources;
mod space_limits;
mod spaces;
mod store;
pub mod tables;
mod write_keys;
mod yaml;

pub use api_keys::{ApiKey, ApiKeyScope, NewApiKey, Principal};
pub use definitions::{DECISION_KIND, DefinitionVersion, DefinitionsDecision};
pub use diff::line_diff;
pub use documents::{DefinitionValidator, Document, DocumentId, DocumentKind, Problem};
pub use error::{CatalogError, CatalogErrorKind};
pub use folder::{document_places, read_documents};
pub use plan::{ChangeAction, PlannedChange, Proposal};
pub use sources::{NewSource, OWN_SOURCE, Source};
pub use space_limits::{SpaceLimits, SpaceUsage};
pub use spaces::Space;
pub use store::{CATALOG_VERSION, Catalog};
pub use tables::{PointerError, TablePointer, TablePointers};
pub use write_keys::WriteKeyOutcome;
pub use yaml::{parse_yaml, to_yaml};

#[cfg(test)]
mod tests;
