//! The outbox into `curated.membership_changes`, by the numbers of the changes.
//!
//! The table says which change comes next. Where the outbox cannot give that one any more, the table was lost or the state
//! was: all changes of the space are built again from the records, and what the outbox has follows. It forgets nothing
//! in the outbox before the table has it.

use crate::PublishError;
use crate::changes::{ChangesReplay, RebuiltTable};
use crate::writer::LakeWriter;
use kith_lake::rows::{self, MembershipChangeRow};
use kith_lake::{Commit, LakeError, Replace, tables};
use kith_pipeline::{Backlog, OutboxReader};
use kith_segment::Change;
use kith_types::SpaceId;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The property in which `curated.membership_changes` says which change comes next.
const OUTBOX_END: &str = "kith.outbox.end";
/// Changes that are taken from the outbox and committed at once while catching up.
const OUTBOX_PAGE: usize = 50_000;

fn unwritten(error: LakeError) -> PublishError {
    PublishError::new("the lake could not be written", error)
}

fn ends_at(end: u64) -> Commit {
    Commit {
        properties: BTreeMap::from([(OUTBOX_END.to_owned(), end.to_string())]),
        ..Commit::default()
    }
}

impl LakeWriter {
    /// Commits the changes that wait.
    pub(crate) async fn commit_changes(&mut self, space: &SpaceId) -> Result<(), PublishError> {
        let Some(waiting) = self.waiting.get_mut(space) else {
            return Ok(());
        };
        let Some(end) = waiting.changes.last().map(|last| last.number + 1) else {
            return Ok(());
        };
        let table = tables::curated_membership_changes();
        let rows: Vec<MembershipChangeRow> = waiting
            .changes
            .iter()
            .map(|one| change_row(&one.change, one.number))
            .collect();
        let batch = rows::membership_changes(&rows).map_err(unwritten)?;
        let file = self.lake.write(space, table, None, &[batch]).await.map_err(unwritten)?;
        let appended = self.lake.append(space, table, vec![file], &ends_at(end)).await;
        appended.map_err(unwritten)?;
        if let Some(waiting) = self.waiting.get_mut(space) {
            waiting.changes = Vec::new();
        }
        Ok(self.handover.passed(OutboxReader::Lake, space, end)?)
    }

    /// Takes the changes that the outbox has and the table lacks. Full pages are committed; the last one waits.
    pub(crate) async fn read_outbox(&mut self, space: &SpaceId) -> Result<(), PublishError> {
        let table = tables::curated_membership_changes();
        let loaded = self
            .lake
            .table(space, table.namespace, table.name)
            .await
            .map_err(|error| PublishError::new("the lake could not be read", error))?;
        let next: u64 = loaded
            .summary
            .get(OUTBOX_END)
            .and_then(|end| end.parse().ok())
            .unwrap_or(0);
        self.handover.passed(OutboxReader::Lake, space, next)?;
        let lacks_changes = self.handover.first_kept(space, next)? > next;
        let waiting = self.waiting.entry(space.clone()).or_default();
        (waiting.next_change, waiting.lacks_changes) = (next, lacks_changes);
        if lacks_changes {
            tracing::warn!(%space, "changes of membership are missing in their table: building them again from the records");
            return Ok(());
        }
        loop {
            let waiting = self.waiting.entry(space.clone()).or_default();
            let page = self.handover.changes_from(space, waiting.next_change, OUTBOX_PAGE)?;
            let full = page.len() == OUTBOX_PAGE;
            waiting.next_change = page.last().map_or(waiting.next_change, |last| last.number + 1);
            waiting.changes.extend(page);
            if !full {
                return Ok(());
            }
            self.commit_changes(space).await?;
        }
    }

    /// Whether a table lacks changes that the outbox cannot give.
    pub(crate) fn lacks_changes(&self) -> bool {
        self.waiting.values().any(|waiting| waiting.lacks_changes)
    }

    /// Starts building them again; `None` while the state does not stand still enough for it.
    pub(crate) fn replay_changes(
        &self,
        scratch: &Path,
        runtime: Handle,
    ) -> Result<Option<ChangesReplay>, PublishError> {
        let lacking = self.waiting.iter().filter(|(_, waiting)| waiting.lacks_changes);
        let spaces: Vec<SpaceId> = lacking.map(|(space, _)| space.clone()).collect();
        let Some(moment) = self.handover.moment(&spaces)? else {
            return Ok(None);
        };
        let backlog = Backlog::new(&self.log, Arc::clone(&self.archive), 0);
        ChangesReplay::start(moment, backlog, Arc::clone(&self.lake), scratch, runtime).map(Some)
    }

    /// Puts the changes that were built again in the place of what the tables have, and goes on with the outbox.
    pub(crate) async fn take_rebuilt(&mut self, rebuilt: BTreeMap<SpaceId, RebuiltTable>) -> Result<(), PublishError> {
        for (space, RebuiltTable { files, end }) in rebuilt {
            if !self.waiting.get(&space).is_some_and(|waiting| waiting.lacks_changes) {
                continue;
            }
            let table = tables::curated_membership_changes();
            let replaced = self
                .lake
                .overwrite(&space, table, &Replace::All, files, &ends_at(end))
                .await;
            replaced.map_err(unwritten)?;
            self.read_outbox(&space).await?;
        }
        Ok(())
    }
}

/// A change as a row of its table.
pub(crate) fn change_row(change: &Change, number: u64) -> MembershipChangeRow {
    MembershipChangeRow {
        segment: change.segment.clone(),
        profile_id: change.profile,
        entered: change.entered,
        at: change.at,
        cause: change.cause.as_str().into(),
        event_key: change.cause.event_key(),
        sequence: number,
        approximate: change.approximate,
    }
}
