//! Manifests and manifest lists: read through a cache, written durably.
//!
//! Commits, expiry and table loading work on what is read here. A manifest is immutable and named by a UUID, so its
//! path is a sound cache key. Delete files are refused: tables are copy-on-write only.

use crate::error::{ErrorKind, LakeError};
use crate::store::{Put, Store};
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, FormatVersion, Manifest, ManifestContentType, ManifestFile, ManifestList, ManifestListWriter,
    ManifestStatus, ManifestWriter, ManifestWriterBuilder, PartitionSpec, SchemaRef, Snapshot,
};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// How many data files the cached manifests may describe together.
const CACHED_FILES_MAX: usize = 200_000;

/// A data file of a snapshot, with the numbers that its entry carries on.
#[derive(Clone, Debug)]
pub(crate) struct LiveFile {
    pub(crate) file: DataFile,
    pub(crate) snapshot_id: i64,
    pub(crate) sequence: i64,
    pub(crate) file_sequence: i64,
}

/// A manifest's live files and the schema and partition spec that they were written with.
#[derive(Debug)]
pub(crate) struct LoadedManifest {
    pub(crate) live: Vec<LiveFile>,
    pub(crate) schema: SchemaRef,
    pub(crate) spec: PartitionSpec,
}

#[derive(Debug, Default)]
struct Cache {
    manifests: HashMap<String, Arc<LoadedManifest>>,
    by_age: VecDeque<String>,
    files: usize,
}

/// Reads and writes manifests.
#[derive(Debug)]
pub(crate) struct Manifests {
    store: Store,
    cache: Mutex<Cache>,
}

/// What every manifest of one commit shares.
pub(crate) struct ManifestTarget<'a> {
    pub(crate) location: String,
    pub(crate) snapshot_id: i64,
    pub(crate) schema: &'a SchemaRef,
    pub(crate) spec: &'a PartitionSpec,
}

impl Manifests {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            cache: Mutex::default(),
        }
    }

    /// The manifests of a snapshot.
    pub(crate) async fn list(&self, snapshot: &Snapshot) -> Result<Vec<ManifestFile>, LakeError> {
        let bytes = self.store.get(self.store.path_of(snapshot.manifest_list())?).await?;
        let list = ManifestList::parse_with_version(&bytes, FormatVersion::V2)?;
        let manifests: Vec<_> = list.consume_entries().into_iter().collect();
        if manifests
            .iter()
            .any(|manifest| manifest.content == ManifestContentType::Deletes)
        {
            let message =
                "the table holds delete files, which only merge-on-read writers make: rewrite it copy-on-write";
            return Err(LakeError::new(ErrorKind::Invalid, message));
        }
        Ok(manifests)
    }

    /// A manifest of a committed snapshot.
    pub(crate) async fn load(&self, manifest: &ManifestFile) -> Result<Arc<LoadedManifest>, LakeError> {
        if let Some(cached) = self.lock().manifests.get(&manifest.manifest_path) {
            return Ok(Arc::clone(cached));
        }
        let bytes = self.store.get(self.store.path_of(&manifest.manifest_path)?).await?;
        let (entries, metadata) = Manifest::parse_avro(&bytes)?.into_parts();
        let mut live = Vec::with_capacity(entries.len());
        for entry in entries {
            if entry.status == ManifestStatus::Deleted {
                continue;
            }
            // Numbers that an added entry leaves out are those of its manifest (Iceberg, sequence number inheritance).
            live.push(LiveFile {
                file: entry.data_file.clone(),
                snapshot_id: entry.snapshot_id.unwrap_or(manifest.added_snapshot_id),
                sequence: entry.sequence_number.unwrap_or(manifest.sequence_number),
                file_sequence: entry.file_sequence_number.unwrap_or(manifest.sequence_number),
            });
        }
        let (schema, spec) = (Arc::clone(metadata.schema()), metadata.partition_spec().clone());
        let loaded = Arc::new(LoadedManifest { live, schema, spec });
        self.remember(manifest.manifest_path.clone(), &loaded);
        Ok(loaded)
    }

    fn remember(&self, path: String, loaded: &Arc<LoadedManifest>) {
        let mut cache = self.lock();
        if cache.manifests.insert(path.clone(), Arc::clone(loaded)).is_none() {
            cache.files += loaded.live.len().max(1);
            cache.by_age.push_back(path);
        }
        while cache.files > CACHED_FILES_MAX {
            let Some(oldest) = cache.by_age.pop_front() else { break };
            if let Some(dropped) = cache.manifests.remove(&oldest) {
                cache.files -= dropped.live.len().max(1);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        // The cache is sound after a panic elsewhere: at worst it has forgotten something.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one manifest; `fill` adds its entries.
    pub(crate) async fn write(
        &self,
        target: ManifestTarget<'_>,
        fill: impl FnOnce(&mut ManifestWriter) -> iceberg::Result<()>,
    ) -> Result<ManifestFile, LakeError> {
        // The crate's writer does not sync; so it writes to memory and the store writes durably.
        let memory = FileIO::new_with_memory();
        let output = memory.new_output(&target.location)?;
        let (schema, spec) = (Arc::clone(target.schema), target.spec.clone());
        let mut writer = ManifestWriterBuilder::new(output, Some(target.snapshot_id), schema, spec).build_v2_data();
        fill(&mut writer)?;
        let manifest = writer.write_manifest_file().await?;
        let bytes = memory.new_input(&target.location)?.read().await?;
        self.store
            .put(self.store.path_of(&target.location)?, bytes, Put::Fresh)
            .await?;
        Ok(manifest)
    }

    /// Writes the manifest list of a snapshot.
    pub(crate) async fn write_list(
        &self,
        location: &str,
        snapshot_id: i64,
        parent: Option<i64>,
        sequence: i64,
        manifests: Vec<ManifestFile>,
    ) -> Result<(), LakeError> {
        let memory = FileIO::new_with_memory();
        let output = memory.new_output(location)?.writer().await?;
        let mut writer = ManifestListWriter::v2(output, snapshot_id, parent, sequence);
        writer.add_manifests(manifests.into_iter())?;
        writer.close().await?;
        let bytes = memory.new_input(location)?.read().await?;
        self.store.put(self.store.path_of(location)?, bytes, Put::Fresh).await?;
        Ok(())
    }
}
