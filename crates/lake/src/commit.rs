//! Commits: append and overwrite, each one new snapshot behind one compare and swap of the table's pointer.
//!
//! Metadata is on disk before the pointer moves. A lost race is tried again on the new base after its conflict checks;
//! a lost reply is resolved by reading (contract LAK-2). Every snapshot carries on the end offsets of the log that its
//! rows reach. Snapshot, manifests and totals follow the Iceberg table specification, version 2.

use crate::error::{ErrorKind, LakeError};
use crate::files::NewFile;
use crate::lake::{Base, Lake};
use crate::loaded::bucket;
use crate::manifests::{LiveFile, ManifestTarget};
use crate::spec::TableSpec;
use crate::summary::{CARRIED_PREFIX, carried, summary, take_range};
use iceberg::spec::{DataFile, MAIN_BRANCH, ManifestFile, Snapshot, TableMetadata, UNASSIGNED_SEQUENCE_NUMBER};
use kith_telemetry::{Counter, Histogram};
use kith_types::SpaceId;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How often a commit is tried before the table counts as too busy.
pub(crate) const ATTEMPTS_MAX: u32 = 60;
/// From so many small manifests on, a commit merges them.
const MERGE_FROM: usize = 100;
/// A manifest larger than this is left as it is.
const MERGED_BYTES_MAX: i64 = 8 << 20;
/// Changes to one table at the same time wait up to so many milliseconds between attempts.
const WAIT_MS_MAX: u64 = 64;

/// What a commit states beside its files.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Which records of the log the rows come from. The commit fails unless the table ends where the range starts.
    pub range: Option<OffsetRange>,
    /// Properties of the snapshot, by names that begin with `kith.`; later snapshots carry them on.
    pub properties: BTreeMap<String, String>,
    /// The snapshot from which an overwrite was computed. Where the replaced part has changed since, the commit fails.
    pub computed_from: Option<i64>,
}

/// A range of a partition of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// The log's generation.
    pub generation: u16,
    /// The partition.
    pub partition: u16,
    /// The first sequence.
    pub start: u64,
    /// The sequence after the last.
    pub end: u64,
}

/// Which files an overwrite replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replace {
    /// All.
    All,
    /// Those of these buckets.
    Buckets(BTreeSet<u32>),
    /// Those of these locations; each must be live.
    Files(BTreeSet<String>),
}

/// A commit that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The new snapshot.
    pub snapshot_id: i64,
    /// How many attempts lost a race before.
    pub lost_races: u32,
}

/// Metadata that is written and waits for the pointer.
struct Prepared {
    metadata: TableMetadata,
    /// What this attempt wrote and a lost race leaves without use.
    written: Vec<String>,
}

/// The change of one commit, fixed over its attempts.
struct Change<'a> {
    table: &'a TableSpec,
    adds: &'a [NewFile],
    replace: Option<&'a Replace>,
    commit: &'a Commit,
    snapshot_id: i64,
    /// The manifest of the added files: independent of the base, so it survives lost races.
    added: Option<ManifestFile>,
}

impl Lake {
    /// Adds files to a table.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the table does not end where the commit's range starts: read [`Lake::offset`].
    /// [`ErrorKind::Unavailable`] when the outcome could not be learnt or the table is too busy: read the offset, too.
    pub async fn append(
        &self,
        space: &SpaceId,
        table: &TableSpec,
        files: Vec<NewFile>,
        commit: &Commit,
    ) -> Result<Committed, LakeError> {
        self.commit(space, table, &files, None, commit).await
    }

    /// Replaces files of a table by others in one snapshot.
    ///
    /// # Errors
    /// As [`Lake::append`]; also [`ErrorKind::Conflict`] when a named file is not live, or the replaced part has
    /// changed since [`Commit::computed_from`].
    pub async fn overwrite(
        &self,
        space: &SpaceId,
        table: &TableSpec,
        replace: &Replace,
        files: Vec<NewFile>,
        commit: &Commit,
    ) -> Result<Committed, LakeError> {
        self.commit(space, table, &files, Some(replace), commit).await
    }

    async fn commit(
        &self,
        space: &SpaceId,
        table: &TableSpec,
        adds: &[NewFile],
        replace: Option<&Replace>,
        commit: &Commit,
    ) -> Result<Committed, LakeError> {
        if let Some(name) = commit.properties.keys().find(|name| !name.starts_with(CARRIED_PREFIX)) {
            let message = format!("snapshot property {name} must begin with {CARRIED_PREFIX}");
            return Err(LakeError::new(ErrorKind::Invalid, message));
        }
        let mut change = Change {
            table,
            adds,
            replace,
            commit,
            snapshot_id: new_snapshot_id(),
            added: None,
        };
        let began = Instant::now();
        let outcome = self.attempt_all(space, &mut change).await;
        if outcome.is_ok() {
            Histogram::LakeCommitSeconds.observe(began.elapsed());
            Counter::LakeCommits.increment();
            Counter::LakeRows.add(adds.iter().map(NewFile::record_count).sum());
            Counter::LakeBytes.add(adds.iter().map(NewFile::size).sum());
        }
        if let Err(error) = &outcome
            && error.kind() != ErrorKind::Unavailable
        {
            // The commit surely does not stand, so nothing refers to what it wrote.
            let mut written: Vec<String> = adds.iter().map(|file| file.location().to_owned()).collect();
            written.extend(change.added.map(|manifest| manifest.manifest_path));
            self.discard(written).await;
        }
        outcome
    }

    async fn attempt_all(&self, space: &SpaceId, change: &mut Change<'_>) -> Result<Committed, LakeError> {
        let (namespace, name) = (change.table.namespace, change.table.name);
        for lost_races in 0..ATTEMPTS_MAX {
            let base = self.existing(space, namespace, name).await?;
            let prepared = self.prepare(&base, change).await?;
            if self
                .publish(space, namespace, name, Some(&base), prepared.metadata)
                .await?
                .is_some()
            {
                let snapshot_id = change.snapshot_id;
                tracing::debug!(%space, namespace, table = name, snapshot_id, lost_races, "committed to the lake");
                return Ok(Committed {
                    snapshot_id,
                    lost_races,
                });
            }
            Counter::LakeCommitConflicts.increment();
            self.discard(prepared.written).await;
            let jitter = u64::from(Uuid::new_v4().as_bytes()[0]) % (1 << lost_races.min(6));
            tokio::time::sleep(Duration::from_millis(jitter.min(WAIT_MS_MAX))).await;
        }
        Err(LakeError::new(
            ErrorKind::Conflict,
            format!("{namespace}.{name} is changed too often by others to commit"),
        ))
    }

    /// Writes everything of an attempt but its metadata file.
    async fn prepare(&self, base: &Base, change: &mut Change<'_>) -> Result<Prepared, LakeError> {
        let metadata = &base.metadata;
        let mut carried = carried(metadata);
        if let Some(range) = change.commit.range {
            take_range(&mut carried, range)?;
        }
        carried.extend(change.commit.properties.clone());
        let mut written = Vec::new();
        let (mut manifests, removed) = self.kept_manifests(metadata, change, &mut written).await?;
        if !change.adds.is_empty() {
            manifests.insert(0, self.added_manifest(metadata, change).await?);
        }
        let manifests = self
            .merged(metadata, change.snapshot_id, manifests, &mut written)
            .await?;
        let sequence = metadata.next_sequence_number();
        let parent = metadata.current_snapshot_id();
        let list = format!(
            "{}/metadata/snap-{}-{}.avro",
            metadata.location(),
            change.snapshot_id,
            Uuid::new_v4()
        );
        self.manifests
            .write_list(&list, change.snapshot_id, parent, sequence, manifests)
            .await?;
        written.push(list.clone());
        let added = change.adds.iter().map(|add| &add.file);
        let summary = summary(metadata, change.replace.is_some(), added, &removed, carried);
        let snapshot = Snapshot::builder()
            .with_snapshot_id(change.snapshot_id)
            .with_parent_snapshot_id(parent)
            .with_sequence_number(sequence)
            .with_timestamp_ms(self.clock.now().as_millis().max(metadata.last_updated_ms()))
            .with_manifest_list(list)
            .with_summary(summary)
            .with_schema_id(metadata.current_schema_id())
            .build();
        let builder = TableMetadata::clone(metadata).into_builder(Some(base.location.clone()));
        let metadata = builder.set_branch_snapshot(snapshot, MAIN_BRANCH)?.build()?.metadata;
        Ok(Prepared { metadata, written })
    }

    /// The manifest of the added files, written once per commit: its numbers are inherited from the snapshot.
    async fn added_manifest(
        &self,
        metadata: &TableMetadata,
        change: &mut Change<'_>,
    ) -> Result<ManifestFile, LakeError> {
        if let Some(added) = &change.added {
            return Ok(added.clone());
        }
        let target = ManifestTarget {
            location: manifest_location(metadata),
            snapshot_id: change.snapshot_id,
            schema: metadata.current_schema(),
            spec: metadata.default_partition_spec(),
        };
        let files: Vec<DataFile> = change.adds.iter().map(|add| add.file.clone()).collect();
        let fill = move |writer: &mut iceberg::spec::ManifestWriter| {
            files
                .into_iter()
                .try_for_each(|file| writer.add_file(file, UNASSIGNED_SEQUENCE_NUMBER))
        };
        let added = self.manifests.write(target, fill).await?;
        change.added = Some(added.clone());
        Ok(added)
    }

    /// The base's manifests without the replaced files, and those files.
    async fn kept_manifests(
        &self,
        metadata: &TableMetadata,
        change: &Change<'_>,
        written: &mut Vec<String>,
    ) -> Result<(Vec<ManifestFile>, Vec<DataFile>), LakeError> {
        let Some(snapshot) = metadata.current_snapshot() else {
            return no_files(change.replace);
        };
        let mut listed = self.manifests.list(snapshot).await?;
        // A manifest that only told what an older snapshot removed has told it.
        listed.retain(|manifest| manifest.has_added_files() || manifest.has_existing_files());
        let Some(replace) = change.replace else {
            return Ok((listed, Vec::new()));
        };
        self.check_unchanged(metadata, replace, change.commit.computed_from)
            .await?;
        let (mut kept, mut removed) = (Vec::with_capacity(listed.len()), Vec::new());
        for manifest in listed {
            let loaded = self.manifests.load(&manifest).await?;
            let (gone, staying): (Vec<LiveFile>, Vec<LiveFile>) =
                loaded.live.iter().cloned().partition(|live| replace.covers(&live.file));
            if gone.is_empty() {
                kept.push(manifest);
                continue;
            }
            removed.extend(gone.iter().map(|live| live.file.clone()));
            // The manifest's own schema: the spec it was written with may rest on a column dropped since.
            let target = ManifestTarget {
                location: manifest_location(metadata),
                snapshot_id: change.snapshot_id,
                schema: &loaded.schema,
                spec: &loaded.spec,
            };
            let rewritten = self.manifests.write(target, move |writer| {
                for live in staying {
                    writer.add_existing_file(live.file, live.snapshot_id, live.sequence, Some(live.file_sequence))?;
                }
                gone.into_iter()
                    .try_for_each(|live| writer.add_delete_file(live.file, live.sequence, Some(live.file_sequence)))
            });
            let rewritten = rewritten.await?;
            written.push(rewritten.manifest_path.clone());
            kept.push(rewritten);
        }
        if let Replace::Files(files) = replace
            && removed.len() != files.len()
        {
            let message = "files to be replaced are no longer live: read the table again".to_owned();
            return Err(LakeError::new(ErrorKind::Conflict, message));
        }
        Ok((kept, removed))
    }

    /// Fails where the part that an overwrite replaces is not what it was computed from.
    async fn check_unchanged(
        &self,
        metadata: &TableMetadata,
        replace: &Replace,
        computed_from: Option<i64>,
    ) -> Result<(), LakeError> {
        let Some(then) = computed_from.filter(|then| metadata.current_snapshot_id() != Some(*then)) else {
            return Ok(());
        };
        let changed = || {
            LakeError::new(
                ErrorKind::Conflict,
                "what the overwrite replaces has changed: compute it again",
            )
        };
        let seen = metadata.snapshot_by_id(then).ok_or_else(changed)?;
        let mut before = HashSet::new();
        for manifest in self.manifests.list(seen).await? {
            let loaded = self.manifests.load(&manifest).await?;
            let covered = loaded.live.iter().filter(|live| replace.covers(&live.file));
            before.extend(covered.map(|live| live.file.file_path().to_owned()));
        }
        let now = self.live_files(metadata).await?;
        let now = now.into_values().filter(|live| replace.covers(&live.file));
        let now: HashSet<String> = now.map(|live| live.file.file_path().to_owned()).collect();
        if before == now { Ok(()) } else { Err(changed()) }
    }

    /// Merges small manifests of older snapshots once there are many: each costs a read when a query is planned.
    async fn merged(
        &self,
        metadata: &TableMetadata,
        snapshot_id: i64,
        manifests: Vec<ManifestFile>,
        written: &mut Vec<String>,
    ) -> Result<Vec<ManifestFile>, LakeError> {
        let spec = metadata.default_partition_spec();
        let mergeable = |manifest: &ManifestFile| {
            manifest.added_snapshot_id != snapshot_id
                && manifest.manifest_length < MERGED_BYTES_MAX
                && manifest.partition_spec_id == spec.spec_id()
        };
        let (small, mut kept): (Vec<_>, Vec<_>) = manifests.into_iter().partition(mergeable);
        if small.len() < MERGE_FROM {
            kept.extend(small);
            return Ok(kept);
        }
        let mut live = Vec::new();
        for manifest in &small {
            live.extend(self.manifests.load(manifest).await?.live.iter().cloned());
        }
        let target = ManifestTarget {
            location: manifest_location(metadata),
            snapshot_id,
            schema: metadata.current_schema(),
            spec,
        };
        let merged = self.manifests.write(target, move |writer| {
            live.into_iter().try_for_each(|live| {
                writer.add_existing_file(live.file, live.snapshot_id, live.sequence, Some(live.file_sequence))
            })
        });
        let merged = merged.await?;
        written.push(merged.manifest_path.clone());
        kept.push(merged);
        Ok(kept)
    }
}

impl Replace {
    fn covers(&self, file: &DataFile) -> bool {
        match self {
            Self::All => true,
            Self::Buckets(buckets) => bucket(file).is_some_and(|bucket| buckets.contains(&bucket)),
            Self::Files(files) => files.contains(file.file_path()),
        }
    }
}

fn no_files(replace: Option<&Replace>) -> Result<(Vec<ManifestFile>, Vec<DataFile>), LakeError> {
    match replace {
        Some(Replace::Files(files)) if !files.is_empty() => Err(LakeError::new(
            ErrorKind::Conflict,
            "files to be replaced are not live: the table is empty",
        )),
        _ => Ok((Vec::new(), Vec::new())),
    }
}

fn manifest_location(metadata: &TableMetadata) -> String {
    format!("{}/metadata/{}-m0.avro", metadata.location(), Uuid::new_v4())
}

/// A positive number that no other snapshot has: 62 random bits.
fn new_snapshot_id() -> i64 {
    i64::try_from(Uuid::new_v4().as_u128() >> 66).unwrap_or(i64::MAX)
}
