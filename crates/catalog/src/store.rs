//! The catalog's file: opening, migrating, transactions and settings.
//!
//! One connection behind a lock serves a process; writes are rare and small. Write-ahead journal and full
//! synchronisation: what a call returned survives a power loss. It never runs on an async thread by itself: callers
//! hand it to a blocking one.

use crate::api_keys::ApiKeyCache;
use crate::space_limits::SpaceLimitsCache;
use crate::write_keys::WriteKeyCache;
use crate::{CatalogError, CatalogErrorKind};
use kith_types::{Clock, Timestamp};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The version of the file's layout that this release writes.
pub const CATALOG_VERSION: u32 = 1;

/// SQLite's `application_id` of a Kith catalog: the bytes `KITH`.
const APPLICATION_ID: u32 = 0x4b49_5448;

/// The steps from each version to the next. A released step is never edited: a new one is added.
const MIGRATIONS: [&str; CATALOG_VERSION as usize] = [include_str!("migrations/0001_first.sql")];

/// Definitions, spaces, sources and keys of one server.
pub struct Catalog {
    connection: Mutex<Connection>,
    clock: Arc<dyn Clock>,
    pub(crate) write_keys: RwLock<WriteKeyCache>,
    pub(crate) api_keys: RwLock<ApiKeyCache>,
    pub(crate) space_limits: RwLock<SpaceLimitsCache>,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").finish_non_exhaustive()
    }
}

impl Catalog {
    /// Opens the catalog at `path`, made and migrated where needed. The space `main` exists afterwards.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Refused`] for a file of a newer release, of another program or a damaged one;
    /// [`CatalogErrorKind::Storage`] where it cannot be read or written.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, CatalogError> {
        let connection = Connection::open(path).map_err(|error| unreadable(path, error))?;
        Self::prepare(connection, path, clock)
    }

    /// A catalog in memory, for tests and for trying definitions out. It is gone with the value.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Storage`] where SQLite has no memory.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self, CatalogError> {
        Self::prepare(Connection::open_in_memory()?, Path::new(":memory:"), clock)
    }

    fn prepare(mut connection: Connection, path: &Path, clock: Arc<dyn Clock>) -> Result<Self, CatalogError> {
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        // The first statement that touches the file tells a damaged or foreign one.
        let version: u32 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(|error| unreadable(path, error))?;
        refuse_foreign(&connection, path, version)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        migrate(&mut connection, version)?;
        let catalog = Self {
            connection: Mutex::new(connection),
            clock,
            write_keys: RwLock::new(WriteKeyCache::default()),
            api_keys: RwLock::new(ApiKeyCache::default()),
            space_limits: RwLock::new(SpaceLimitsCache::default()),
        };
        catalog.create_space_if_missing(&kith_types::SpaceId::main())?;
        catalog.reload_write_keys()?;
        catalog.reload_api_keys()?;
        catalog.reload_space_limits()?;
        Ok(catalog)
    }

    /// The server-wide setting of that name.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Storage`].
    pub fn setting(&self, name: &str) -> Result<Option<String>, CatalogError> {
        let connection = self.connection();
        Ok(connection
            .query_row("SELECT value FROM settings WHERE name = ?1", [name], |row| row.get(0))
            .optional()?)
    }

    /// Sets a server-wide setting.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Storage`].
    pub fn set_setting(&self, name: &str, value: &str) -> Result<(), CatalogError> {
        const SET: &str = "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.connection().execute(SET, [name, value])?;
        Ok(())
    }

    /// Proves that the file can be read, for the readiness of the process. It writes nothing: anybody may ask.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Storage`].
    pub fn check_reachable(&self) -> Result<(), CatalogError> {
        self.connection()
            .query_row("SELECT count(*) FROM settings", [], |_| Ok(()))?;
        Ok(())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The connection. A panic while it was held cannot have left half a write: SQLite rolls it back.
    pub(crate) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in one transaction that is committed only when it succeeds.
    pub(crate) fn transaction<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let outcome = work(&transaction)?;
        transaction.commit()?;
        Ok(outcome)
    }
}

fn migrate(connection: &mut Connection, from: u32) -> Result<(), CatalogError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in MIGRATIONS.iter().skip(from as usize) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", CATALOG_VERSION)?;
    transaction.commit()?;
    Ok(())
}

fn refuse_foreign(connection: &Connection, path: &Path, version: u32) -> Result<(), CatalogError> {
    let refused = |message: String| Err(CatalogError::new(CatalogErrorKind::Refused, message));
    let shown = path.display();
    let application: u32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| unreadable(path, error))?;
    if tables > 0 && application != APPLICATION_ID {
        return refused(format!(
            "{shown} is a database of another program: name another data folder"
        ));
    }
    if version > CATALOG_VERSION {
        return refused(format!(
            "{shown} has format {version}, written by a newer Kith; this release knows formats up to {CATALOG_VERSION}: start the newer release, or restore a backup made before the upgrade"
        ));
    }
    let sound: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| unreadable(path, error))?;
    if sound != "ok" {
        return refused(format!(
            "{shown} is damaged ({sound}): restore it from a backup; nothing was changed"
        ));
    }
    Ok(())
}

fn unreadable(path: &Path, error: rusqlite::Error) -> CatalogError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let shown = path.display();
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => CatalogError::caused(
            CatalogErrorKind::Refused,
            format!("{shown} is damaged or not a catalog: restore it from a backup; nothing was changed"),
            error,
        ),
        _ => CatalogError::caused(
            CatalogErrorKind::Storage,
            format!("{shown} cannot be opened: check the folder, its rights and the disk"),
            error,
        ),
    }
}
