//! Snapshots that no reader needs any more go, and with them the files that only they refer to.
//!
//! A table that is rewritten leaves a whole copy of itself with each snapshot, one that is appended to no more than
//! metadata. So the first keeps its snapshots for as long as a long query takes, the second for as long as somebody may
//! want to see what came when.

use crate::PublishConfig;
use kith_lake::{ErrorKind, Lake, tables};
use kith_types::{Clock, Duration, SpaceId};

/// The newest snapshots of a table stay, however old.
const KEPT: usize = 3;

/// Expires what is old in every table of a space, as far as it can be done.
pub(crate) async fn expire(lake: &Lake, space: &SpaceId, config: &PublishConfig, clock: &dyn Clock) {
    for table in tables::all() {
        // What is rewritten is rewritten by bucket.
        let kept_for = match table.buckets {
            Some(_) => config.rewritten_kept,
            None => config.appended_kept,
        };
        let kept_for = Duration::from_micros(i64::try_from(kept_for.as_micros()).unwrap_or(i64::MAX));
        let before = clock.now() - kept_for;
        match lake.expire(space, table.namespace, table.name, KEPT, before).await {
            Ok(_) => {}
            // A table is made when its first row comes.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let error = kith_telemetry::error_chain(&error);
                tracing::warn!(%space, table = table.name, error, "old snapshots could not be removed");
            }
        }
    }
}
