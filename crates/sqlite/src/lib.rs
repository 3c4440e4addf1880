//! Opening a file of ours on SQLite: a foreign, damaged or newer one is refused before anything is changed, an older one is
//! migrated, and what a call returns survives a power loss.
//!
//! The catalog, the table pointers and the send ledger open their files here; each says what its file is and how its layout grew. Nothing here
//! knows what is in a file, and nothing is repaired.

use rusqlite::{Connection, TransactionBehavior};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// How long a call waits for another process that holds the file.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// What a file is.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// What people call it, with its article, such as `a catalog`.
    pub name: &'static str,
    /// SQLite's `application_id` of such a file.
    pub application_id: u32,
    /// The steps from each version of the layout to the next; there are as many versions. A released step is never edited:
    /// a new one is added.
    pub migrations: &'static [&'static str],
    /// Whether references between tables are kept.
    pub foreign_keys: bool,
    /// A table by which a file without an `application_id` is known as one of these too; for files that were not marked at
    /// first. Their layout is version 0, so the first step must bear that it is there.
    pub unmarked: Option<&'static str>,
}

impl Format {
    /// The version of the layout that this release writes.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "steps are written by hand")]
    pub const fn version(&self) -> u32 {
        self.migrations.len() as u32
    }
}

/// What to do about an [`OpenError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenErrorKind {
    /// The file is foreign, damaged or of a newer release: nothing was changed; the text says what to do.
    Refused,
    /// It could not be read or written; trying again may help.
    Storage,
}

/// Why a file was not opened.
#[derive(Debug)]
pub struct OpenError {
    kind: OpenErrorKind,
    message: String,
    cause: Option<rusqlite::Error>,
}

impl OpenError {
    fn refused(message: String) -> Self {
        Self {
            kind: OpenErrorKind::Refused,
            message,
            cause: None,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> OpenErrorKind {
        self.kind
    }

    /// What SQLite said, where it said something.
    #[must_use]
    pub fn into_cause(self) -> Option<rusqlite::Error> {
        self.cause
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

/// Opens the file at `path`, made and migrated where needed: write-ahead journal and full synchronisation.
///
/// # Errors
/// As [`OpenErrorKind`] says.
pub fn open(path: &Path, format: &Format) -> Result<Connection, OpenError> {
    let connection = Connection::open(path).map_err(|error| unreadable(path, format, error))?;
    prepare(connection, path, format)
}

/// The same in memory; gone with the connection.
///
/// # Errors
/// [`OpenErrorKind::Storage`] where SQLite has no memory.
pub fn in_memory(format: &Format) -> Result<Connection, OpenError> {
    let path = Path::new(":memory:");
    let connection = Connection::open_in_memory().map_err(|error| unreadable(path, format, error))?;
    prepare(connection, path, format)
}

fn prepare(mut connection: Connection, path: &Path, format: &Format) -> Result<Connection, OpenError> {
    let failed = |error| unreadable(path, format, error);
    connection.busy_timeout(BUSY_MAX).map_err(failed)?;
    // The first statement that touches the file tells a damaged or foreign one.
    let version: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed)?;
    refuse_foreign(&connection, path, version, format)?;
    set_up(&mut connection, version, format).map_err(failed)?;
    Ok(connection)
}

fn set_up(connection: &mut Connection, version: u32, format: &Format) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    if format.foreign_keys {
        connection.pragma_update(None, "foreign_keys", true)?;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in format.migrations.iter().skip(version as usize) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", format.application_id)?;
    transaction.pragma_update(None, "user_version", format.version())?;
    transaction.commit()
}

fn refuse_foreign(connection: &Connection, path: &Path, version: u32, format: &Format) -> Result<(), OpenError> {
    let failed = |error| unreadable(path, format, error);
    let (shown, newest) = (path.display(), format.version());
    let application: u32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(failed)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let ours =
        application == format.application_id || application == 0 && is_unmarked(connection, format).map_err(failed)?;
    if tables > 0 && !ours {
        return Err(OpenError::refused(format!(
            "{shown} is a database of another program: name another data folder"
        )));
    }
    if version > newest {
        return Err(OpenError::refused(format!(
            "{shown} has format {version}, written by a newer Kith; this release knows formats up to {newest}: start the newer release, or restore a backup made before the upgrade"
        )));
    }
    let sound: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(failed)?;
    if sound == "ok" {
        return Ok(());
    }
    Err(OpenError::refused(format!(
        "{shown} is damaged ({sound}): restore it from a backup; nothing was changed"
    )))
}

fn is_unmarked(connection: &Connection, format: &Format) -> rusqlite::Result<bool> {
    const NAMED: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    match format.unmarked {
        Some(table) => connection.query_row(NAMED, [table], |row| row.get(0)),
        None => Ok(false),
    }
}

fn unreadable(path: &Path, format: &Format, error: rusqlite::Error) -> OpenError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let shown = path.display();
    let (kind, message) = match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => (
            OpenErrorKind::Refused,
            format!(
                "{shown} is damaged or not {}: restore it from a backup; nothing was changed",
                format.name
            ),
        ),
        _ => (
            OpenErrorKind::Storage,
            format!("{shown} cannot be opened: check the folder, its rights and the disk"),
        ),
    };
    OpenError {
        kind,
        message,
        cause: Some(error),
    }
}
