//! The SQL functions that Kith adds to DataFusion's: reading JSON text, and the carrier of an event.

mod carrier;
mod carrier_hash;
mod json;
mod json_path;

pub(crate) use carrier::{CarrierKey, nobody};
pub(crate) use carrier_hash::CarrierHash;

use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// The functions that every statement may call.
pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
    json::all().into_iter().map(Arc::new).collect()
}
