//! Expiry: old snapshots go, and with them the files that only they refer to.
//!
//! The server calls it by the clock. It commits the shorter history first and deletes afterwards, so a crash between
//! leaves files too many, never too few.

use crate::commit::ATTEMPTS_MAX;
use crate::error::{ErrorKind, LakeError};
use crate::lake::Lake;
use iceberg::spec::{SnapshotRef, TableMetadata};
use kith_types::{SpaceId, Timestamp};
use std::collections::HashSet;

/// What an expiry removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Snapshots.
    pub snapshots: usize,
    /// Data files, manifests and manifest lists.
    pub files: usize,
}

impl Lake {
    /// Removes the snapshots that are neither among the newest `keep` (at least one) nor were the table at `before` or later,
    /// and the files that only they refer to. Whoever still reads such a snapshot loses it: give `before` the room that
    /// the longest query needs.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such table; else as commits.
    pub async fn expire(
        &self,
        space: &SpaceId,
        namespace: &str,
        name: &str,
        keep: usize,
        before: Timestamp,
    ) -> Result<Expired, LakeError> {
        for _ in 0..ATTEMPTS_MAX {
            let base = self.existing(space, namespace, name).await?;
            let old = old_snapshots(&base.metadata, keep, before);
            // Metadata must not be dated before its newest snapshot: with a clock set back, expiry waits.
            if old.is_empty() || self.clock.now().as_millis() < base.metadata.last_updated_ms() {
                return Ok(Expired::default());
            }
            let ids: Vec<i64> = old.iter().map(|snapshot| snapshot.snapshot_id()).collect();
            let builder = TableMetadata::clone(&base.metadata).into_builder(Some(base.location.clone()));
            let metadata = builder.remove_snapshots(&ids).build()?.metadata;
            let mut kept = HashSet::new();
            for snapshot in metadata.snapshots() {
                self.reach(snapshot, &mut kept).await?;
            }
            let mut unneeded = HashSet::new();
            for snapshot in &old {
                self.reach(snapshot, &mut unneeded).await?;
            }
            if self
                .publish(space, namespace, name, Some(&base), metadata)
                .await?
                .is_none()
            {
                continue;
            }
            unneeded.retain(|location| !kept.contains(location));
            let expired = Expired {
                snapshots: ids.len(),
                files: unneeded.len(),
            };
            self.discard(unneeded.into_iter().collect()).await;
            let (snapshots, files) = (expired.snapshots, expired.files);
            tracing::debug!(%space, namespace, table = name, snapshots, files, "expired old snapshots");
            return Ok(expired);
        }
        Err(LakeError::new(
            ErrorKind::Conflict,
            "the table is changed too often by others to expire snapshots",
        ))
    }

    /// Adds everything that a snapshot refers to.
    async fn reach(&self, snapshot: &SnapshotRef, reached: &mut HashSet<String>) -> Result<(), LakeError> {
        reached.insert(snapshot.manifest_list().to_owned());
        for manifest in self.manifests.list(snapshot).await? {
            if !reached.insert(manifest.manifest_path.clone()) {
                continue;
            }
            let loaded = self.manifests.load(&manifest).await?;
            reached.extend(loaded.live.iter().map(|live| live.file.file_path().to_owned()));
        }
        Ok(())
    }
}

fn old_snapshots(metadata: &TableMetadata, keep: usize, before: Timestamp) -> Vec<SnapshotRef> {
    let mut snapshots: Vec<SnapshotRef> = metadata.snapshots().cloned().collect();
    snapshots.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.sequence_number()));
    // A snapshot was the table until the next one followed.
    let until = snapshots.iter().map(|snapshot| snapshot.timestamp_ms());
    let old = snapshots.iter().skip(1).zip(until).skip(keep.max(1) - 1);
    old.filter(|(_, until)| *until < before.as_millis())
        .map(|(snapshot, _)| SnapshotRef::clone(snapshot))
        .filter(|snapshot| metadata.current_snapshot_id() != Some(snapshot.snapshot_id()))
        .collect()
}
