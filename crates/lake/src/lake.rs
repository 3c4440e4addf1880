//! The front of the lake: opening it, making tables, storing files, reading.
//!
//! Commits are in `commit.rs`, the removal of old snapshots in `expire.rs`. All calls are async and want a tokio
//! runtime; encoding runs on the caller's thread.

use crate::error::{ErrorKind, LakeError};
use crate::files::{FileWriter, NewFile};
use crate::loaded::LoadedTable;
use crate::manifests::{LiveFile, LoadedManifest, Manifests};
use crate::pointers::PointerStore;
use crate::raw::RawZone;
use crate::spec::TableSpec;
use crate::store::{Put, Store};
use crate::summary::{carried, offset_key};
use crate::tables;
use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use futures::{FutureExt, StreamExt, TryStreamExt};
use iceberg::spec::{FormatVersion, SortOrder, TableMetadata, TableMetadataBuilder};
use kith_types::{Clock, SpaceId};
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// How many manifests are read at once.
const READS_AT_ONCE: usize = 8;
/// How many tables are kept loaded.
const CACHED_TABLES_MAX: usize = 256;

type TableKey = (SpaceId, String, String);

/// A data folder's tables, and the raw zone. Cheap to share: hand it about in an `Arc`.
pub struct Lake {
    pub(crate) store: Store,
    raw: RawZone,
    pub(crate) pointers: Arc<dyn PointerStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) manifests: Manifests,
    metadata: Mutex<HashMap<TableKey, (String, Arc<TableMetadata>)>>,
    loaded: Mutex<HashMap<TableKey, Arc<LoadedTable>>>,
}

/// A table's current metadata and where it lies.
pub(crate) struct Base {
    pub(crate) location: String,
    pub(crate) metadata: Arc<TableMetadata>,
}

impl Lake {
    /// Opens the lake in a folder (a path or a `file://` URL), which is made where there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for another scheme, [`ErrorKind::Unavailable`] when the folder cannot be used.
    pub fn open(root: &str, pointers: Arc<dyn PointerStore>, clock: Arc<dyn Clock>) -> Result<Self, LakeError> {
        let store = Store::open(root)?;
        let manifests = Manifests::new(store.clone());
        Ok(Self {
            raw: RawZone::new(store.clone()),
            store,
            pointers,
            clock,
            manifests,
            metadata: Mutex::default(),
            loaded: Mutex::default(),
        })
    }

    /// The client for the objects of all tables; [`crate::DataFileEntry::path`] is relative to its root.
    #[must_use]
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(self.store.objects())
    }

    /// The raw zone: in the same folder, unless it is kept elsewhere.
    #[must_use]
    pub fn raw(&self) -> RawZone {
        self.raw.clone()
    }

    /// The lake with its raw zone elsewhere.
    #[must_use]
    pub fn with_raw(self, raw: RawZone) -> Self {
        Self { raw, ..self }
    }

    /// Makes every table of the platform for a space, where it is missing.
    ///
    /// # Errors
    /// As [`Lake::ensure`].
    pub async fn ensure_space(&self, space: &SpaceId) -> Result<(), LakeError> {
        for table in tables::all() {
            self.ensure(space, table).await?;
        }
        Ok(())
    }

    /// Makes a table where it is missing, and adds columns that it lacks.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the table has columns that contradict `table`; else as commits.
    pub async fn ensure(&self, space: &SpaceId, table: &TableSpec) -> Result<(), LakeError> {
        if self.base(space, table.namespace, table.name).await?.is_some() {
            return self.add_columns(space, table).await;
        }
        let folder = format!("lake/space={space}/{}/{}", table.namespace, table.name);
        let location = self.store.location(&folder);
        let metadata = TableMetadataBuilder::new(
            table.iceberg_schema()?,
            table.partition_spec()?,
            SortOrder::unsorted_order(),
            location,
            FormatVersion::V2,
            table.properties(),
        )?;
        let metadata = metadata.build()?.metadata;
        if self
            .publish(space, table.namespace, table.name, None, metadata)
            .await?
            .is_some()
        {
            tracing::info!(%space, namespace = table.namespace, table = table.name, "made a table");
        }
        Ok(())
    }

    /// Stores batches as one durable data file, ready to be committed. `bucket` says which of its buckets the rows
    /// belong to, in a table that is divided.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the rows are not the table's, [`ErrorKind::NotFound`] when there is no such table,
    /// [`ErrorKind::Unavailable`] when the file cannot be written.
    pub async fn write(
        &self,
        space: &SpaceId,
        table: &TableSpec,
        bucket: Option<u32>,
        batches: &[RecordBatch],
    ) -> Result<NewFile, LakeError> {
        let mut file = self.begin(space, table, bucket).await?;
        for batch in batches {
            file.append(batch)?;
        }
        self.store_file(file).await
    }

    /// Begins a data file whose rows come one batch after the other; [`Lake::store_file`] stores it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such table, [`ErrorKind::Invalid`] when it is not divided so.
    pub async fn begin<'a>(
        &self,
        space: &SpaceId,
        table: &'a TableSpec,
        bucket: Option<u32>,
    ) -> Result<FileWriter<'a>, LakeError> {
        let base = self.existing(space, table.namespace, table.name).await?;
        // The name says nothing: a value in it would be a value in metadata.
        let location = format!("{}/data/{}.parquet", base.metadata.location(), Uuid::now_v7());
        FileWriter::new(table, location, bucket)
    }

    /// Stores a data file, durable and ready to be committed.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when it cannot be written.
    pub async fn store_file(&self, file: FileWriter<'_>) -> Result<NewFile, LakeError> {
        let (bytes, file) = file.finish()?;
        self.store
            .put(self.store.path_of(file.location())?, bytes, Put::Fresh)
            .await?;
        Ok(file)
    }

    /// The table as of its newest snapshot.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such table in that space; [`ErrorKind::Invalid`] when it holds what
    /// is not read here (delete files, nested columns).
    pub async fn table(&self, space: &SpaceId, namespace: &str, name: &str) -> Result<Arc<LoadedTable>, LakeError> {
        let base = self.existing(space, namespace, name).await?;
        let key = (space.clone(), namespace.to_owned(), name.to_owned());
        if let Some(loaded) = lock(&self.loaded).get(&key)
            && loaded.metadata_location == base.location
        {
            return Ok(Arc::clone(loaded));
        }
        let manifests = self.live_manifests(&base.metadata).await?;
        let live = manifests.iter().flat_map(|manifest| &manifest.live);
        let loaded = Arc::new(LoadedTable::new(&self.store, base.location, &base.metadata, live)?);
        remember(&self.loaded, key, Arc::clone(&loaded));
        Ok(loaded)
    }

    /// Namespace and name of every table of a space.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the pointers cannot be read.
    pub fn tables(&self, space: &SpaceId) -> Result<Vec<(String, String)>, LakeError> {
        self.pointers.list(space)
    }

    /// Up to which record of a partition of the log the table has its rows: the first sequence that it lacks.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such table.
    pub async fn offset(
        &self,
        space: &SpaceId,
        table: &TableSpec,
        generation: u16,
        partition: u16,
    ) -> Result<Option<u64>, LakeError> {
        let base = self.existing(space, table.namespace, table.name).await?;
        Ok(carried(&base.metadata)
            .get(&offset_key(generation, partition))
            .and_then(|end| end.parse().ok()))
    }

    /// All rows of a table, file by file, newest first; for tests and for comparing.
    ///
    /// # Errors
    /// As [`Lake::table`], and [`ErrorKind::Damaged`] for an unreadable file.
    pub async fn read_all(&self, space: &SpaceId, namespace: &str, name: &str) -> Result<Vec<RecordBatch>, LakeError> {
        let mut batches = Vec::new();
        self.visit_rows(space, namespace, name, &mut |batch| batches.push(batch))
            .await?;
        Ok(batches)
    }

    /// Visits all rows of a table, file by file, newest first; one file is in memory at a time.
    ///
    /// # Errors
    /// As [`Lake::read_all`].
    pub(crate) async fn visit_rows(
        &self,
        space: &SpaceId,
        namespace: &str,
        name: &str,
        visit: &mut (dyn FnMut(RecordBatch) + Send),
    ) -> Result<(), LakeError> {
        let table = self.table(space, namespace, name).await?;
        for file in &table.files {
            let bytes = self.store.get(file.path.as_ref()).await?;
            for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
                let batch = batch?;
                let columns = table.schema.fields().iter().map(|field| -> ArrayRef {
                    // A file older than the column has no values for it.
                    let found = batch.column_by_name(field.name()).cloned();
                    found.unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
                });
                visit(RecordBatch::try_new(Arc::clone(&table.schema), columns.collect())?);
            }
        }
        Ok(())
    }

    /// The table's current metadata, if there is such a table.
    pub(crate) async fn base(&self, space: &SpaceId, namespace: &str, name: &str) -> Result<Option<Base>, LakeError> {
        let key = (space.clone(), namespace.to_owned(), name.to_owned());
        let mut gone = None;
        loop {
            let Some(location) = self.pointers.get(space, namespace, name)? else {
                return Ok(None);
            };
            if let Some((cached, metadata)) = lock(&self.metadata).get(&key)
                && *cached == location
            {
                return Ok(Some(Base {
                    location,
                    metadata: Arc::clone(metadata),
                }));
            }
            let read = self.read_metadata(&location).await;
            if matches!(&read, Err(error) if error.kind() == ErrorKind::NotFound) && gone.as_ref() != Some(&location) {
                // Later commits may have dropped the file since the pointer was read; then the pointer has moved on.
                gone = Some(location);
                continue;
            }
            let metadata = Arc::new(read?);
            remember(&self.metadata, key, (location.clone(), Arc::clone(&metadata)));
            return Ok(Some(Base { location, metadata }));
        }
    }

    pub(crate) async fn existing(&self, space: &SpaceId, namespace: &str, name: &str) -> Result<Base, LakeError> {
        let base = self.base(space, namespace, name).await?;
        base.ok_or_else(|| {
            LakeError::new(
                ErrorKind::NotFound,
                format!("space {space} has no table {namespace}.{name}"),
            )
        })
    }

    pub(crate) async fn read_metadata(&self, location: &str) -> Result<TableMetadata, LakeError> {
        let bytes = self.store.get(self.store.path_of(location)?).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            LakeError::because(
                ErrorKind::Damaged,
                format!("{location} is not the metadata of an Iceberg table"),
                error,
            )
        })
    }

    /// The manifests of the newest snapshot, read through the cache, in the list's order.
    pub(crate) async fn live_manifests(&self, metadata: &TableMetadata) -> Result<Vec<Arc<LoadedManifest>>, LakeError> {
        let Some(snapshot) = metadata.current_snapshot() else {
            return Ok(Vec::new());
        };
        let listed = self.manifests.list(snapshot).await?;
        let reads: Vec<_> = listed
            .iter()
            .map(|manifest| self.manifests.load(manifest).boxed())
            .collect();
        futures::stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await
    }

    /// The live files of the newest snapshot by location.
    pub(crate) async fn live_files(&self, metadata: &TableMetadata) -> Result<HashMap<String, LiveFile>, LakeError> {
        let manifests = self.live_manifests(metadata).await?;
        let live = manifests.iter().flat_map(|manifest| &manifest.live);
        Ok(live
            .map(|live| (live.file.file_path().to_owned(), live.clone()))
            .collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What these locks guard are caches, sound at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember<T>(cache: &Mutex<HashMap<TableKey, T>>, key: TableKey, value: T) {
    let mut cache = lock(cache);
    if cache.len() >= CACHED_TABLES_MAX && !cache.contains_key(&key) {
        cache.clear();
    }
    cache.insert(key, value);
}
