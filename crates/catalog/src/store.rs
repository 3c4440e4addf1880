//! The catalog's file: what it is, transactions and settings.
//!
//! One connection behind a lock serves a process; writes are rare and small. Write-ahead journal and full
//! synchronisation: what a call returned survives a power loss. It never runs on an async thread by itself: callers
//! hand it to a blocking one.

use crate::CatalogError;
use crate::api_keys::ApiKeyCache;
use crate::space_limits::SpaceLimitsCache;
use crate::write_keys::WriteKeyCache;
use kith_sqlite::Format;
use kith_types::{Clock, Timestamp};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// What a catalog's file is.
const FORMAT: Format = Format {
    name: "a catalog",
    // The bytes `KITH`.
    application_id: 0x4b49_5448,
    migrations: &[include_str!("migrations/0001_first.sql")],
    foreign_keys: true,
    unmarked: None,
};

/// The version of the file's layout that this release writes.
pub const CATALOG_VERSION: u32 = FORMAT.version();

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
        Self::over(kith_sqlite::open(path, &FORMAT)?, clock)
    }

    /// A catalog in memory, for tests and for trying definitions out. It is gone with the value.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Storage`] where SQLite has no memory.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self, CatalogError> {
        Self::over(kith_sqlite::in_memory(&FORMAT)?, clock)
    }

    fn over(connection: Connection, clock: Arc<dyn Clock>) -> Result<Self, CatalogError> {
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
