//! Losing definitions and having them again: how the catalog knows that rows are gone, and what is made out of the log.
//!
//! The number of versions is kept beside them, changed in the same transaction, so rows that somebody deleted are missed.
//! Keys are primary: nothing here makes or removes one.

use crate::sources::insert_source;
use crate::spaces::insert_space;
use crate::{Catalog, CatalogError};
use kith_types::{SourceName, SpaceId};
use rusqlite::{Connection, OptionalExtension};

/// The setting that says how many decisions and how many versions there are.
const RECORDED: &str = "definitions_recorded";

fn counted(connection: &Connection) -> rusqlite::Result<String> {
    const COUNT: &str = "SELECT (SELECT count(*) FROM decisions) || '/' || (SELECT count(*) FROM definitions)";
    connection.query_row(COUNT, [], |row| row.get(0))
}

/// Notes how much is recorded.
pub(crate) fn note_recorded(connection: &Connection) -> rusqlite::Result<()> {
    const SET: &str =
        "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.execute(SET, [RECORDED, &counted(connection)?])?;
    Ok(())
}

impl Catalog {
    /// Whether rows of decisions or definitions are gone that were recorded.
    ///
    /// # Errors
    /// [`crate::CatalogErrorKind::Storage`].
    pub fn lacks_definitions(&self) -> Result<bool, CatalogError> {
        let connection = self.connection();
        const NOTED: &str = "SELECT value FROM settings WHERE name = ?1";
        let noted: Option<String> = connection.query_row(NOTED, [RECORDED], |row| row.get(0)).optional()?;
        // A catalog of before this was noted, or a new one, misses nothing that is known of.
        Ok(match noted {
            Some(noted) => noted != counted(&connection)?,
            None => false,
        })
    }

    /// Forgets every decision and definition, to record them again. Keys, sources and spaces stay.
    ///
    /// # Errors
    /// [`crate::CatalogErrorKind::Storage`]; nothing is forgotten then.
    pub fn forget_definitions(&self) -> Result<(), CatalogError> {
        self.transaction(|transaction| {
            Ok(transaction.execute_batch("DELETE FROM definitions; DELETE FROM decisions")?)
        })?;
        self.reload_space_limits()
    }

    /// Makes a source, without a key, and its space, where they are missing.
    ///
    /// # Errors
    /// [`crate::CatalogErrorKind::Storage`], or `Limit` as for any new source.
    pub fn ensure_source(&self, space: &SpaceId, name: &SourceName) -> Result<(), CatalogError> {
        let now = self.now();
        self.transaction(|transaction| {
            insert_space(transaction, space, now)?;
            insert_source(transaction, space, name, true, now).map(|_| ())
        })
    }
}
