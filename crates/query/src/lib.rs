//! SQL over the lake: read-only, capped in memory and time, cancelled by letting go.
//!
//! [`SqlEngine`] plans a statement with DataFusion over the Iceberg tables that `kith-lake` loads, and streams its rows
//! as lines of JSON. Spaces are databases, zones are schemas: `main.clean.events`. A space outside the request's
//! [`SpaceAccess`] does not exist for it (contract SPC-1). [`SqlEngine::fold_history`] folds all of a space's events for new
//! definitions. Whoever serves SQL calls this crate; it never writes.

mod config;
mod describe;
mod engine;
mod error;
mod functions;
mod history;
mod listed;
mod moments;
mod past;
mod pruning;
mod render;
mod session;
mod spaces;
mod statement;
mod stream;
mod table;
mod views;
mod yielding;

pub use config::{RulesOf, SpaceAccess, SqlConfig};
pub use describe::{ColumnDescription, TableDescription};
pub use engine::SqlEngine;
pub use error::{SqlError, SqlErrorKind};
pub use history::{CarrierFold, HistoryQuestion};
pub use past::PastIdentity;
pub use stream::QueryStream;

#[cfg(test)]
mod tests;
