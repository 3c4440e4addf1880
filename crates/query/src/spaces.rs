//! Spaces as databases and zones as schemas, for one request.
//!
//! A request's catalogs are made from its [`SpaceAccess`]: what is not in it is not there to be found, listed or
//! guessed at (contract SPC-1). Tables are loaded when a statement names them, each once, so that a statement reads
//! one snapshot of a table however often it names it.

use crate::config::{RulesOf, SpaceAccess, SqlConfig};
use crate::error::SqlError;
use crate::past::{self, OfThen, PastIdentity};
use crate::table::LakeTable;
use crate::views::View;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use kith_lake::{ErrorKind, Lake};
use kith_types::{SpaceId, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The tables that one request has loaded.
pub(crate) struct RequestTables {
    lake: Arc<Lake>,
    rules: RulesOf,
    past: Arc<dyn PastIdentity>,
    loaded: Mutex<HashMap<(SpaceId, String, String), Arc<LakeTable>>>,
}

impl RequestTables {
    async fn table(&self, space: &SpaceId, zone: &str, name: &str) -> Result<Option<Arc<LakeTable>>> {
        let key = (space.clone(), zone.to_owned(), name.to_owned());
        let mut loaded = self.loaded.lock().await;
        if let Some(table) = loaded.get(&key) {
            return Ok(Some(Arc::clone(table)));
        }
        let table = match self.lake.table(space, zone, name).await {
            Ok(table) => Arc::new(LakeTable::new(table)),
            // Dropped since it was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DataFusionError::External(Box::new(error))),
        };
        loaded.insert(key, Arc::clone(&table));
        Ok(Some(table))
    }
}

impl fmt::Debug for RequestTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestTables")
    }
}

/// The databases of a request.
#[derive(Debug)]
pub(crate) struct Spaces {
    spaces: BTreeMap<String, Arc<Space>>,
}

impl Spaces {
    /// The databases that `access` opens.
    ///
    /// # Errors
    /// As [`Lake::tables`].
    pub(crate) fn open(lake: &Arc<Lake>, config: &SqlConfig, access: &SpaceAccess) -> Result<Self, SqlError> {
        let tables = Arc::new(RequestTables {
            lake: Arc::clone(lake),
            rules: Arc::clone(&config.rules),
            past: Arc::clone(&config.past),
            loaded: Mutex::default(),
        });
        let mut spaces = BTreeMap::new();
        for space in &access.spaces {
            let mut zones: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (zone, table) in lake.tables(space)? {
                zones.entry(zone).or_default().push(table);
            }
            let zones = zones.into_iter().map(|(name, names)| {
                let views = View::all().iter().filter(|view| view.zone() == name);
                let views = views
                    .filter(|view| !names.iter().any(|table| table == view.name()))
                    .copied()
                    .collect();
                let zone = Zone {
                    space: space.clone(),
                    name: name.clone(),
                    tables: names,
                    views,
                    requested: Arc::clone(&tables),
                };
                (name, Arc::new(zone))
            });
            spaces.insert(space.as_str().to_owned(), Arc::new(Space { zones: zones.collect() }));
        }
        Ok(Self { spaces })
    }

    /// Every zone, by space and name.
    pub(crate) fn zones(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.spaces.values().flat_map(|space| space.zones.values())
    }
}

impl CatalogProviderList for Spaces {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        self.spaces.keys().cloned().collect()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        self.spaces
            .get(name)
            .map(|space| Arc::clone(space) as Arc<dyn CatalogProvider>)
    }
}

/// A space as a database.
#[derive(Debug)]
struct Space {
    zones: BTreeMap<String, Arc<Zone>>,
}

impl CatalogProvider for Space {
    fn schema_names(&self) -> Vec<String> {
        self.zones.keys().cloned().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.zones
            .get(name)
            .map(|zone| Arc::clone(zone) as Arc<dyn SchemaProvider>)
    }
}

/// A zone of a space as a schema: its tables, and the views that are made of them.
#[derive(Debug)]
pub(crate) struct Zone {
    space: SpaceId,
    name: String,
    tables: Vec<String>,
    views: Vec<View>,
    requested: Arc<RequestTables>,
}

impl Zone {
    pub(crate) fn space(&self) -> &SpaceId {
        &self.space
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn tables(&self) -> &[String] {
        &self.tables
    }

    pub(crate) fn views(&self) -> &[View] {
        &self.views
    }

    pub(crate) async fn table_of_lake(&self, name: &str) -> Result<Option<Arc<LakeTable>>> {
        self.requested.table(&self.space, &self.name, name).await
    }

    pub(crate) async fn view(&self, view: View) -> Result<Option<Arc<dyn TableProvider>>> {
        let events = self.requested.table(&self.space, "clean", "events").await?;
        let identifiers = self.requested.table(&self.space, "curated", "identifiers").await?;
        let (Some(events), Some(identifiers)) = (events, identifiers) else {
            return Ok(None);
        };
        let rules = (self.requested.rules)(&self.space);
        Ok(Some(view.build(events, identifiers, (rules, None)).await?))
    }

    /// What was so at an instant.
    async fn of_then(&self, asked: OfThen, at: Timestamp) -> Result<Option<Arc<dyn TableProvider>>> {
        let past = &self.requested.past;
        let identifiers = Arc::new(past::identifiers(Arc::clone(past), self.space.clone(), at)?);
        // An instant of which nothing can be told is refused here, before a row is.
        let (past, space) = (Arc::clone(past), self.space.clone());
        let rules = tokio::task::spawn_blocking(move || past.rules(&space, at)).await;
        let rules = rules.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let rules = rules.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let OfThen::View(view) = asked else {
            return Ok(Some(identifiers));
        };
        let Some(events) = self.requested.table(&self.space, "clean", "events").await? else {
            return Ok(None);
        };
        Ok(Some(view.build(events, identifiers, (rules, Some(at))).await?))
    }
}

#[async_trait]
impl SchemaProvider for Zone {
    fn table_names(&self) -> Vec<String> {
        let views = self.views.iter().map(|view| view.name().to_owned());
        let mut names: Vec<String> = self.tables.iter().cloned().chain(views).collect();
        names.sort();
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(view) = self.views.iter().find(|view| view.name() == name) {
            return self.view(*view).await;
        }
        if let Some((asked, at)) = OfThen::parse(name).filter(|_| self.name == "curated") {
            return self.of_then(asked, at).await;
        }
        if !self.tables.iter().any(|table| table == name) {
            return Ok(None);
        }
        Ok(self
            .table_of_lake(name)
            .await?
            .map(|table| table as Arc<dyn TableProvider>))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        if self.views.iter().any(|view| view.name() == name) {
            return Ok(Some(TableType::View));
        }
        Ok(self.tables.iter().any(|table| table == name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.iter().any(|table| table == name) || self.views.iter().any(|view| view.name() == name)
    }
}
