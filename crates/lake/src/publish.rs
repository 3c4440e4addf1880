//! Making new metadata the current one: written durably, then one compare and swap of the table's pointer.
//!
//! Commits, expiry and the making of tables end here. A lost reply is resolved by reading, never by repeating blindly
//! (contract LAK-2).

use crate::commit::ATTEMPTS_MAX;
use crate::error::{ErrorKind, LakeError};
use crate::lake::{Base, Lake};
use crate::spec::TableSpec;
use crate::store::Put;
use iceberg::spec::TableMetadata;
use kith_types::SpaceId;
use std::collections::HashSet;
use std::time::Duration;
use uuid::Uuid;

/// How often an unknown outcome is looked at before it is reported as unknown.
const LOOKS_MAX: u32 = 5;

impl Lake {
    /// Adds the columns that a table lacks.
    pub(crate) async fn add_columns(&self, space: &SpaceId, table: &TableSpec) -> Result<(), LakeError> {
        let wanted = table.iceberg_schema()?;
        for _ in 0..ATTEMPTS_MAX {
            let base = self.existing(space, table.namespace, table.name).await?;
            let current = base.metadata.current_schema();
            for field in current.as_struct().fields() {
                if wanted.field_by_id(field.id) != Some(field) {
                    let message = format!(
                        "column {} of {}.{} differs from what this version knows: use the version that made it",
                        field.name, table.namespace, table.name
                    );
                    return Err(LakeError::new(ErrorKind::Conflict, message));
                }
            }
            if current.as_struct().fields().len() == wanted.as_struct().fields().len() {
                return Ok(());
            }
            let builder = TableMetadata::clone(&base.metadata).into_builder(Some(base.location.clone()));
            let builder = builder
                .add_current_schema(wanted.clone())?
                .set_properties(table.properties())?;
            let metadata = builder.build()?.metadata;
            if self
                .publish(space, table.namespace, table.name, Some(&base), metadata)
                .await?
                .is_some()
            {
                return Ok(());
            }
        }
        Err(LakeError::new(
            ErrorKind::Conflict,
            "the table is changed too often by others to add columns",
        ))
    }

    /// Writes a metadata file durably and moves the pointer to it. Its location, or `None` when somebody else was
    /// first and nothing was changed.
    pub(crate) async fn publish(
        &self,
        space: &SpaceId,
        namespace: &str,
        name: &str,
        base: Option<&Base>,
        metadata: TableMetadata,
    ) -> Result<Option<String>, LakeError> {
        let version = base.map_or(0, |base| version_of(&base.location) + 1);
        let location = format!(
            "{}/metadata/{version:05}-{}.metadata.json",
            metadata.location(),
            Uuid::new_v4()
        );
        let json = serde_json::to_vec(&metadata)
            .map_err(|error| LakeError::because(ErrorKind::Invalid, "table metadata cannot be written", error))?;
        self.store
            .put(self.store.path_of(&location)?, json.into(), Put::Fresh)
            .await?;
        let from = base.map(|base| base.location.as_str());
        if !self.move_pointer(space, namespace, name, from, &location).await? {
            self.discard(vec![location]).await;
            return Ok(None);
        }
        self.discard(dropped_metadata(base, &metadata)).await;
        Ok(Some(location))
    }

    /// Moves the pointer; false when it stood elsewhere. An error of the swap says nothing about its outcome, so the
    /// pointer is read.
    async fn move_pointer(
        &self,
        space: &SpaceId,
        namespace: &str,
        name: &str,
        from: Option<&str>,
        to: &str,
    ) -> Result<bool, LakeError> {
        let mut unknown = None;
        for look in 0..LOOKS_MAX {
            if look > 0 {
                tokio::time::sleep(Duration::from_millis(10 << look)).await;
            }
            match self.pointers.swap(space, namespace, name, from, to) {
                Ok(true) => return Ok(true),
                Ok(false) if unknown.is_none() => return Ok(false),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%space, namespace, table = name, %error, "the reply to a commit was lost");
                    unknown = Some(error);
                }
            }
            let Ok(now) = self.pointers.get(space, namespace, name) else {
                continue;
            };
            if now.as_deref() == Some(to) {
                return Ok(true);
            }
            if now.as_deref() == from {
                continue;
            }
            let Some(now) = now else { return Ok(false) };
            // Another commit stands there: ours lies beneath it, or never happened and never will.
            let Ok(current) = self.read_metadata(&now).await else {
                continue;
            };
            return Ok(current.metadata_log().iter().any(|entry| entry.metadata_file == to));
        }
        let message = "the outcome of a commit could not be learnt: read the table before trying again";
        Err(match unknown {
            Some(error) => LakeError::because(ErrorKind::Unavailable, message, error),
            None => LakeError::new(ErrorKind::Unavailable, message),
        })
    }

    /// Deletes files that nothing refers to. One that stays costs space, never truth, so a failure is only logged.
    pub(crate) async fn discard(&self, locations: Vec<String>) {
        for location in locations {
            let deleted = match self.store.path_of(&location) {
                Ok(path) => self.store.delete(path).await,
                Err(error) => Err(error),
            };
            if let Err(error) = deleted {
                tracing::warn!(location, %error, "a file without use could not be deleted");
            }
        }
    }
}

/// The older metadata files that the new metadata no longer lists.
fn dropped_metadata(base: Option<&Base>, metadata: &TableMetadata) -> Vec<String> {
    let kept: HashSet<&str> = metadata
        .metadata_log()
        .iter()
        .map(|entry| entry.metadata_file.as_str())
        .collect();
    let logged = base.into_iter().flat_map(|base| base.metadata.metadata_log());
    let dropped = logged.filter(|entry| !kept.contains(entry.metadata_file.as_str()));
    dropped.map(|entry| entry.metadata_file.clone()).collect()
}

/// The version that a metadata file's name begins with.
fn version_of(location: &str) -> u64 {
    let name = location.rsplit('/').next().unwrap_or(location);
    name.split('-')
        .next()
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}
