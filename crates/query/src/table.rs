//! A table of the lake as DataFusion reads it: one snapshot, pinned when the statement is planned.
//!
//! Files whose bounds exclude the filters are never opened. Columns are matched by name, and a file older than a column
//! has nulls for it; the lake refuses tables with delete files, and renames no columns.

use crate::pruning::{FileBounds, statistics};
use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, Statistics, ToDFSchema};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::object_store::ObjectMeta;
use datafusion::physical_optimizer::pruning::PruningPredicate;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use kith_lake::{DataFileEntry, LoadedTable};
use std::sync::Arc;

/// Bytes read from the end of a file at once: its footer, mostly whole.
const FOOTER_BYTES: usize = 64 << 10;

/// The name under which the runtime knows the store of the lake.
pub(crate) fn store_url() -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse("kith://lake")
}

/// A table at one snapshot.
#[derive(Debug)]
pub(crate) struct LakeTable {
    loaded: Arc<LoadedTable>,
    schema: SchemaRef,
}

impl LakeTable {
    pub(crate) fn new(loaded: Arc<LoadedTable>) -> Self {
        // Views of text are cheap to gather and have no limit of 2 GiB to a column.
        let fields = loaded.schema.fields().iter().map(|field| match field.data_type() {
            DataType::Utf8 => Field::new(field.name(), DataType::Utf8View, field.is_nullable()),
            _ => Field::new(field.name(), field.data_type().clone(), field.is_nullable()),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { loaded, schema }
    }

    pub(crate) fn loaded(&self) -> &LoadedTable {
        &self.loaded
    }

    /// The files that may hold rows for which all filters are true.
    fn matching(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<&DataFileEntry>> {
        let files: Vec<&DataFileEntry> = self.loaded.files.iter().collect();
        let Some(filter) = conjunction(filters.to_vec()) else {
            return Ok(files);
        };
        if files.is_empty() {
            return Ok(files);
        }
        let columns = Arc::clone(&self.schema).to_dfschema()?;
        let predicate = state.create_physical_expr(filter, &columns)?;
        let kept = PruningPredicate::try_new(predicate, Arc::clone(&self.schema))
            .and_then(|pruning| pruning.prune(&FileBounds::new(&self.schema, &self.loaded.files)));
        match kept {
            Ok(kept) => Ok(files
                .into_iter()
                .zip(kept)
                .filter_map(|(file, kept)| kept.then_some(file))
                .collect()),
            Err(error) => {
                // Filters are applied above the scan in any case.
                tracing::debug!(%error, "a filter could not be used to leave files out");
                Ok(files)
            }
        }
    }

    fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut files = self.matching(state, filters)?;
        if let (true, Some(limit)) = (filters.is_empty(), limit) {
            files.truncate(enough(&files, limit));
        }
        if files.is_empty() {
            let schema = match projection {
                Some(indices) => Arc::new(self.schema.project(indices)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let parts: Vec<PartitionedFile> = files.into_iter().map(|file| self.partitioned(file)).collect();
        let groups = FileGroup::new(parts).split_files(state.config().target_partitions().max(1));
        let groups = groups
            .into_iter()
            .map(|group| self.with_statistics(group))
            .collect::<Result<Vec<_>>>()?;
        let of_groups = groups.iter().filter_map(|group| group.file_statistics(None));
        let statistics = Statistics::try_merge_iter(of_groups, &self.schema)?;
        let schema = Arc::clone(&self.schema);
        let url = store_url()?;
        let runtime = state.runtime_env();
        let metadata = runtime.cache_manager.get_file_metadata_cache();
        let reader = CachedParquetFileReaderFactory::new(runtime.object_store(&url)?, metadata);
        let source = ParquetSource::new(schema)
            .with_table_parquet_options(state.table_options().parquet.clone())
            .with_metadata_size_hint(FOOTER_BYTES)
            .with_parquet_file_reader_factory(Arc::new(reader));
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn with_statistics(&self, group: FileGroup) -> Result<FileGroup> {
        let of_files = group.iter().filter_map(|file| file.statistics.as_deref());
        let statistics = Statistics::try_merge_iter(of_files, &self.schema)?;
        Ok(group.with_statistics(Arc::new(statistics)))
    }

    fn partitioned(&self, file: &DataFileEntry) -> PartitionedFile {
        let meta = ObjectMeta {
            location: file.path.clone(),
            // A data file never changes under its name, so the time says nothing; the cache of footers compares it.
            last_modified: Default::default(),
            size: file.size,
            e_tag: None,
            version: None,
        };
        PartitionedFile::new_from_meta(meta).with_statistics(Arc::new(statistics(&self.schema, file)))
    }
}

/// How many of the files hold `limit` rows.
fn enough(files: &[&DataFileEntry], limit: usize) -> usize {
    let mut rows: u64 = 0;
    let counted = files.iter().take_while(|file| {
        let wanted = usize::try_from(rows).is_ok_and(|rows| rows < limit);
        rows = rows.saturating_add(file.record_count);
        wanted
    });
    counted.count()
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.plan(state, projection, filters, limit)
    }
}
