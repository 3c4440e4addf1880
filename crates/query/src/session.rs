//! The DataFusion session of one request, and what all requests share: memory, disk, the store, cached footers.

use crate::config::{SpaceAccess, SqlConfig};
use crate::error::SqlError;
use crate::functions;
use crate::spaces::Spaces;
use crate::table::store_url;
use crate::yielding::GiveWay;
use datafusion::error::Result;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use kith_lake::Lake;
use std::sync::Arc;

/// Bytes of footers kept for the next statement.
const FOOTER_CACHE_BYTES: usize = 32 << 20;

/// What all statements of an engine share.
pub(crate) fn runtime(lake: &Lake, config: &SqlConfig) -> Result<Arc<RuntimeEnv>> {
    let mode = match &config.spill_dir {
        Some(folder) => DiskManagerMode::Directories(vec![folder.clone()]),
        None => DiskManagerMode::Disabled,
    };
    let disk = DiskManagerBuilder::default()
        .with_mode(mode)
        .with_max_temp_directory_size(config.spill_bytes);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(config.memory_bytes)))
        .with_disk_manager_builder(disk)
        .with_metadata_cache_limit(FOOTER_CACHE_BYTES)
        .build_arc()?;
    runtime.register_object_store(store_url()?.as_ref(), lake.objects());
    Ok(runtime)
}

/// A session that sees the spaces of `access` and nothing else.
pub(crate) fn open(
    lake: &Arc<Lake>,
    runtime: &Arc<RuntimeEnv>,
    config: &SqlConfig,
    access: &SpaceAccess,
) -> Result<SessionState, SqlError> {
    let spaces = Spaces::open(lake, config, access)?;
    let state = base(Arc::clone(runtime), session_config(config, access.default.as_str()))
        .with_catalog_list(Arc::new(spaces))
        .with_physical_optimizer_rule(Arc::new(GiveWay))
        .build();
    Ok(state)
}

pub(crate) fn session_config(config: &SqlConfig, space: &str) -> SessionConfig {
    let mut session = SessionConfig::new()
        .with_target_partitions(config.target_partitions.max(1))
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(space, "clean")
        .with_information_schema(true);
    // One spelling of the time zone: the columns' own.
    session.options_mut().execution.time_zone = Some("UTC".to_owned());
    session
}

/// The engine's functions and ours, without the ways in and out that it has beside tables.
pub(crate) fn base(runtime: Arc<RuntimeEnv>, config: SessionConfig) -> SessionStateBuilder {
    let mut builder = SessionStateBuilder::new_with_default_features()
        .with_runtime_env(runtime)
        .with_config(config);
    *builder.table_factories() = None;
    *builder.file_formats() = None;
    builder
        .scalar_functions()
        .get_or_insert_default()
        .extend(functions::all());
    builder
}
