//! Snapshot summaries: what a commit added and removed, the table's totals, and what is carried from snapshot to
//! snapshot.
//!
//! Commits write them. The names of the counts are those of the Iceberg specification's snapshot summary fields.

use crate::commit::OffsetRange;
use crate::error::{ErrorKind, LakeError};
use iceberg::spec::{DataFile, Operation, Struct, Summary, TableMetadata};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What this prefix names in a summary is carried from snapshot to snapshot.
pub(crate) const CARRIED_PREFIX: &str = "kith.";

/// The property that holds the end offset of a partition of the log.
pub(crate) fn offset_key(generation: u16, partition: u16) -> String {
    format!("{CARRIED_PREFIX}offset.{generation}.{partition}")
}

/// What the newest snapshot carries. Other writers' snapshots do not know of it, so it is looked for beneath them.
pub(crate) fn carried(metadata: &TableMetadata) -> BTreeMap<String, String> {
    let mut snapshot = metadata.current_snapshot();
    while let Some(current) = snapshot {
        let properties = &current.summary().additional_properties;
        let found: BTreeMap<_, _> = properties
            .iter()
            .filter(|(name, _)| name.starts_with(CARRIED_PREFIX))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !found.is_empty() {
            return found;
        }
        snapshot = current
            .parent_snapshot_id()
            .and_then(|parent| metadata.snapshot_by_id(parent));
    }
    BTreeMap::new()
}

/// Moves the end offset over a range, which must start where the table ends.
pub(crate) fn take_range(carried: &mut BTreeMap<String, String>, range: OffsetRange) -> Result<(), LakeError> {
    let key = offset_key(range.generation, range.partition);
    let ends = carried.get(&key).map(|end| end.parse::<u64>());
    let ends = ends.transpose().map_err(|error| {
        LakeError::because(
            ErrorKind::Damaged,
            format!("the snapshot property {key} is not a number"),
            error,
        )
    })?;
    if let Some(end) = ends.filter(|end| *end != range.start) {
        let message = format!(
            "the table holds the log up to {end}, and the rows start at {}: go on from there",
            range.start
        );
        return Err(LakeError::new(ErrorKind::Conflict, message));
    }
    if range.end < range.start {
        return Err(LakeError::new(
            ErrorKind::Invalid,
            "the range of a commit ends before it starts",
        ));
    }
    carried.insert(key, range.end.to_string());
    Ok(())
}

/// The summary of a snapshot on top of `metadata`.
pub(crate) fn summary<'a>(
    metadata: &TableMetadata,
    overwrites: bool,
    added: impl Iterator<Item = &'a DataFile>,
    removed: &'a [DataFile],
    carried: BTreeMap<String, String>,
) -> Summary {
    let mut partitions: HashSet<&Struct> = HashSet::new();
    let mut count = |files: &mut dyn Iterator<Item = &'a DataFile>| {
        files.fold([0_u64; 3], |[files, records, bytes], file| {
            partitions.insert(file.partition());
            [
                files + 1,
                records + file.record_count(),
                bytes + file.file_size_in_bytes(),
            ]
        })
    };
    let (added, removed) = (count(&mut { added }), count(&mut removed.iter()));
    let mut properties: HashMap<String, String> = carried.into_iter().collect();
    let mut put = |name: &str, value: u64| {
        if value > 0 {
            properties.insert(name.to_owned(), value.to_string());
        }
    };
    for (name, value) in ["added-data-files", "added-records", "added-files-size"]
        .into_iter()
        .zip(added)
    {
        put(name, value);
    }
    for (name, value) in ["deleted-data-files", "deleted-records", "removed-files-size"]
        .into_iter()
        .zip(removed)
    {
        put(name, value);
    }
    put("changed-partition-count", partitions.len() as u64);
    let before = metadata
        .current_snapshot()
        .map(|snapshot| &snapshot.summary().additional_properties);
    for (at, name) in ["total-data-files", "total-records", "total-files-size"]
        .into_iter()
        .enumerate()
    {
        // A total that another writer left out cannot be known here, so it stays out.
        let total = before.map_or(Some(0), |before| {
            before.get(name).and_then(|total| total.parse::<u64>().ok())
        });
        if let Some(total) = total {
            properties.insert(
                name.to_owned(),
                (total + added[at]).saturating_sub(removed[at]).to_string(),
            );
        }
    }
    for name in ["total-delete-files", "total-position-deletes", "total-equality-deletes"] {
        properties.insert(name.to_owned(), "0".to_owned());
    }
    let operation = match (overwrites, added[0]) {
        (false, _) => Operation::Append,
        (true, 0) => Operation::Delete,
        (true, _) => Operation::Overwrite,
    };
    Summary {
        operation,
        additional_properties: properties,
    }
}
