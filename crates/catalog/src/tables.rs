//! Which metadata file is the current one of each lake table: the commit point of every Iceberg commit.
//!
//! It keeps the two tables of pyiceberg's `SqlCatalog` in a SQLite file, the space as the catalogue's name, so that
//! outsiders open it as it is: they look at neither mark nor version. The lake alone moves pointers, by compare and swap. It never reads table metadata and
//! never deletes a file.

use kith_sqlite::Format;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a writer waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Released files of the first version bear neither mark nor version, so they are known by their table.
const FORMAT: Format = Format {
    name: "a file of table pointers",
    application_id: 0x4b54_4950, // "KTIP"
    migrations: &[SCHEMA],
    foreign_keys: false,
    unmarked: Some("iceberg_tables"),
};

/// The tables as pyiceberg creates them.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL,
    table_namespace VARCHAR(255) NOT NULL,
    table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000),
    previous_metadata_location VARCHAR(1000),
    iceberg_type VARCHAR(5) DEFAULT 'TABLE',
    PRIMARY KEY (catalog_name, table_namespace, table_name)
);
CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    property_key VARCHAR(255) NOT NULL,
    property_value VARCHAR(1000) NOT NULL,
    PRIMARY KEY (catalog_name, namespace, property_key)
);";

/// Why the pointer file failed.
#[derive(Debug, thiserror::Error)]
pub enum PointerError {
    /// It was not opened; the text says why and what to do, and nothing was changed where it was refused.
    #[error(transparent)]
    Opening(#[from] kith_sqlite::OpenError),
    /// It could not be read or written. After a failed write the outcome is unknown until it is read.
    #[error("the file of table pointers failed")]
    Failed(#[from] rusqlite::Error),
}

/// A table and where its current metadata lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePointer {
    /// The namespace within the space, such as `clean`.
    pub namespace: String,
    /// The table within the namespace, such as `events`.
    pub table: String,
    /// The location of the current metadata file.
    pub metadata_location: String,
}

/// The pointers of all spaces' tables.
#[derive(Debug)]
pub struct TablePointers {
    connection: Mutex<Connection>,
}

impl TablePointers {
    /// Opens the pointer file, and makes it where there is none. Writes are durable when they return.
    ///
    /// # Errors
    /// [`PointerError::Opening`] for a file of a newer release, of another program or a damaged one, and where it cannot
    /// be read or written.
    pub fn open(path: &Path) -> Result<Self, PointerError> {
        let connection = kith_sqlite::open(path, &FORMAT)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    /// The location of a table's current metadata, if there is such a table.
    ///
    /// # Errors
    /// [`PointerError`] when the file cannot be read.
    pub fn get(&self, space: &str, namespace: &str, table: &str) -> Result<Option<String>, PointerError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT metadata_location FROM iceberg_tables
             WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3",
        )?;
        let found = statement.query_row(params![space, namespace, table], |row| row.get::<_, Option<String>>(0));
        Ok(found.optional()?.flatten())
    }

    /// Moves a table's pointer from `expected` to `new`, or makes the table where `expected` is `None`. False when
    /// the pointer is not `expected`: somebody else has committed, and nothing was changed.
    ///
    /// # Errors
    /// [`PointerError`] when the outcome is unknown: read the pointer before trying again.
    pub fn swap(
        &self,
        space: &str,
        namespace: &str,
        table: &str,
        expected: Option<&str>,
        new: &str,
    ) -> Result<bool, PointerError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changed = match expected {
            Some(expected) => transaction.execute(
                "UPDATE iceberg_tables SET metadata_location = ?1, previous_metadata_location = ?2
                 WHERE catalog_name = ?3 AND table_namespace = ?4 AND table_name = ?5 AND metadata_location = ?2",
                params![new, expected, space, namespace, table],
            )?,
            None => {
                transaction.execute(
                    "INSERT OR IGNORE INTO iceberg_namespace_properties
                     (catalog_name, namespace, property_key, property_value) VALUES (?1, ?2, 'exists', 'true')",
                    params![space, namespace],
                )?;
                transaction.execute(
                    "INSERT OR IGNORE INTO iceberg_tables
                     (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
                     VALUES (?1, ?2, ?3, ?4, 'TABLE')",
                    params![space, namespace, table, new],
                )?
            }
        };
        transaction.commit()?;
        Ok(changed == 1)
    }

    /// All tables of a space, by namespace and name.
    ///
    /// # Errors
    /// [`PointerError`] when the file cannot be read.
    pub fn list(&self, space: &str) -> Result<Vec<TablePointer>, PointerError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT table_namespace, table_name, metadata_location FROM iceberg_tables
             WHERE catalog_name = ?1 AND metadata_location IS NOT NULL ORDER BY table_namespace, table_name",
        )?;
        let rows = statement.query_map([space], |row| {
            Ok(TablePointer {
                namespace: row.get(0)?,
                table: row.get(1)?,
                metadata_location: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The namespaces of a space, by name.
    ///
    /// # Errors
    /// [`PointerError`] when the file cannot be read.
    pub fn namespaces(&self, space: &str) -> Result<Vec<String>, PointerError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = ?1
             UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = ?1 ORDER BY 1",
        )?;
        let rows = statement.query_map([space], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere leaves the connection usable: an open transaction rolls back when it is dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lak_2_a_pointer_moves_only_from_where_it_was_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tables.sqlite");
        let pointers = TablePointers::open(&path).unwrap();
        assert_eq!(pointers.get("main", "clean", "events").unwrap(), None);
        assert!(pointers.swap("main", "clean", "events", None, "v0").unwrap());
        assert!(!pointers.swap("main", "clean", "events", None, "other").unwrap());
        assert!(pointers.swap("main", "clean", "events", Some("v0"), "v1").unwrap());
        assert!(!pointers.swap("main", "clean", "events", Some("v0"), "v2").unwrap());
        let again = TablePointers::open(&path).unwrap();
        assert_eq!(again.get("main", "clean", "events").unwrap().as_deref(), Some("v1"));
        assert!(!again.swap("main", "clean", "rejects", Some("v0"), "v1").unwrap());
    }

    #[test]
    fn spc_1_pointers_of_spaces_are_apart() {
        let folder = tempfile::tempdir().unwrap();
        let pointers = TablePointers::open(&folder.path().join("tables.sqlite")).unwrap();
        assert!(pointers.swap("main", "clean", "events", None, "a").unwrap());
        assert!(pointers.swap("other", "curated", "profiles", None, "b").unwrap());
        let pointer = |namespace: &str, table: &str, location: &str| TablePointer {
            namespace: namespace.into(),
            table: table.into(),
            metadata_location: location.into(),
        };
        assert_eq!(pointers.list("main").unwrap(), [pointer("clean", "events", "a")]);
        assert_eq!(pointers.list("other").unwrap(), [pointer("curated", "profiles", "b")]);
        assert_eq!(pointers.namespaces("main").unwrap(), ["clean"]);
        assert_eq!(pointers.get("other", "clean", "events").unwrap(), None);
    }

    #[test]
    fn lak_2_a_newer_foreign_or_damaged_file_is_refused_unchanged_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["newer.db", "torn.db"] {
            let pointers = TablePointers::open(&path(name)).unwrap();
            assert!(pointers.swap("main", "clean", "events", None, "v0").unwrap());
        }
        let newer = Connection::open(path("newer.db")).unwrap();
        newer.pragma_update(None, "user_version", FORMAT.version() + 1).unwrap();
        newer.close().unwrap();
        let foreign = Connection::open(path("foreign.db")).unwrap();
        foreign.execute_batch("CREATE TABLE theirs (x)").unwrap();
        foreign.close().unwrap();
        std::fs::write(
            path("none.db"),
            "no database, but long enough to be looked at".repeat(100),
        )
        .unwrap();
        let mut torn = std::fs::read(path("torn.db")).unwrap();
        torn[4096..8192].fill(0xa5);
        std::fs::write(path("torn.db"), torn).unwrap();
        for (name, expected) in [
            ("newer.db", "start the newer release, or restore a backup"),
            ("foreign.db", "another program: name another data folder"),
            ("none.db", "restore it from a backup"),
            ("torn.db", "restore it from a backup"),
        ] {
            let before = std::fs::read(path(name)).unwrap();
            let error = TablePointers::open(&path(name)).unwrap_err();
            assert!(matches!(error, PointerError::Opening(_)), "{name}: {error:?}");
            assert!(error.to_string().contains(expected), "{name}: {error}");
            assert_eq!(std::fs::read(path(name)).unwrap(), before, "{name}");
        }
    }

    #[test]
    fn lak_2_a_file_from_before_it_was_marked_opens_with_its_pointers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tables.db");
        let unmarked = Connection::open(&path).unwrap();
        unmarked.execute_batch(SCHEMA).unwrap();
        const POINTER: &str = "INSERT INTO iceberg_tables VALUES ('main', 'clean', 'events', 'v7', 'v6', 'TABLE')";
        unmarked.execute_batch(POINTER).unwrap();
        unmarked.close().unwrap();
        for _ in 0..2 {
            let pointers = TablePointers::open(&path).unwrap();
            assert_eq!(pointers.get("main", "clean", "events").unwrap().as_deref(), Some("v7"));
        }
    }
}
