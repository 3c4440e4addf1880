//! Events that have still to go into the log: they stay here until the log has them. It never reads or changes a body.

use super::Ledger;
use crate::error::ActivateError;
use kith_types::SpaceId;

/// An event to append.
#[derive(Clone, Debug)]
pub(crate) struct QueuedFeedback {
    pub(crate) id: i64,
    pub(crate) space: SpaceId,
    pub(crate) body: String,
}

impl Ledger {
    /// The oldest events that the log does not have yet.
    pub(crate) fn feedback(&self, limit: usize) -> Result<Vec<QueuedFeedback>, ActivateError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT id, space, body FROM feedback ORDER BY id LIMIT ?1")?;
        let rows = statement.query_map([limit], |row| {
            Ok(QueuedFeedback {
                id: row.get(0)?,
                space: super::parsed(row, 1)?,
                body: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The log has these events.
    pub(crate) fn feedback_appended(&self, ids: &[i64]) -> Result<(), ActivateError> {
        self.transaction(|ledger| {
            let mut statement = ledger.prepare_cached("DELETE FROM feedback WHERE id = ?1")?;
            for id in ids {
                statement.execute([id])?;
            }
            Ok(())
        })
    }
}
