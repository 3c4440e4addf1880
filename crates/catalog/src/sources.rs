//! Sources of a space and the turning of their write keys.

use crate::secrets::{WRITE_KEY_PREFIX, hash_key, make_key};
use crate::spaces::{parse_stored, require_space};
use crate::{Catalog, CatalogError, CatalogErrorKind};
use kith_types::{SourceName, SpaceId, Timestamp};
use rusqlite::{Connection, OptionalExtension};

/// The source of what the server itself says, such as that a mail was sent.
pub const OWN_SOURCE: &str = "kith";

/// The most sources of a server: their keys stay in memory.
const SOURCES_MAX: u64 = if cfg!(test) { 12 } else { 10_000 };

/// A source: what a write key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The space it belongs to.
    pub space: SpaceId,
    /// Its name, unique within the space.
    pub name: SourceName,
    /// Whether its write key opens the doors.
    pub enabled: bool,
    /// Whether it has a write key; a source that was applied as a document has none until one is made.
    pub has_write_key: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A source with its new write key, which is shown this once and never again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSource {
    /// The source.
    pub source: Source,
    /// The key in clear.
    pub write_key: String,
}

const SELECT: &str = "SELECT s.space, s.name, s.enabled, s.created_at, k.hash IS NOT NULL FROM sources s \
     LEFT JOIN write_keys k ON k.space = s.space AND k.source = s.name WHERE s.space = ?1";

impl Catalog {
    /// Makes a source and its write key.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Conflict`] where it exists, `NotFound` without its space, `Limit` beyond
    /// 10,000 sources or those that the space may have.
    pub fn create_source(&self, space: &SpaceId, name: &SourceName) -> Result<NewSource, CatalogError> {
        let created_at = self.now();
        let write_key = make_key(WRITE_KEY_PREFIX)?;
        self.transaction(|transaction| {
            require_space(transaction, space)?;
            refuse_own(name.as_str())?;
            // A name that is taken is told as that, whatever the limits.
            if !has_source(transaction, space, name)? {
                self.check_new_source(transaction, space)?;
                check_all_sources(transaction, 1)?;
            }
            if !insert_source(transaction, space, name, true, created_at)? {
                let message = format!("source {name} exists already in space {space}: rotate its key to get a new one");
                return Err(CatalogError::new(CatalogErrorKind::Conflict, message));
            }
            store_write_key(transaction, space, name, &write_key, created_at)
        })?;
        self.reload_write_keys()?;
        let source = Source {
            space: space.clone(),
            name: name.clone(),
            enabled: true,
            has_write_key: true,
            created_at,
        };
        Ok(NewSource { source, write_key })
    }

    /// The sources of a space, by name.
    ///
    /// # Errors
    /// [`CatalogErrorKind::NotFound`] without the space.
    pub fn sources(&self, space: &SpaceId) -> Result<Vec<Source>, CatalogError> {
        let connection = self.connection();
        require_space(&connection, space)?;
        let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY s.name"))?;
        let rows = statement.query_map([space.as_str()], read_row)?;
        rows.map(|row| row?.into_source()).collect()
    }

    /// One source.
    ///
    /// # Errors
    /// [`CatalogErrorKind::NotFound`] without it.
    pub fn source(&self, space: &SpaceId, name: &SourceName) -> Result<Source, CatalogError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&format!("{SELECT} AND s.name = ?2"))?;
        let row = statement
            .query_row([space.as_str(), name.as_str()], read_row)
            .optional()?;
        row.ok_or_else(|| missing(space, name))?.into_source()
    }

    /// Opens or closes the doors for a source; its key stays.
    ///
    /// # Errors
    /// [`CatalogErrorKind::NotFound`] without it.
    pub fn set_source_enabled(
        &self,
        space: &SpaceId,
        name: &SourceName,
        enabled: bool,
    ) -> Result<Source, CatalogError> {
        const SET: &str = "UPDATE sources SET enabled = ?3 WHERE space = ?1 AND name = ?2";
        if self
            .connection()
            .execute(SET, (space.as_str(), name.as_str(), enabled))?
            == 0
        {
            return Err(missing(space, name));
        }
        self.reload_write_keys()?;
        self.source(space, name)
    }

    /// Gives a source a new write key; the old one stops at once.
    ///
    /// # Errors
    /// [`CatalogErrorKind::NotFound`] without it.
    pub fn rotate_write_key(&self, space: &SpaceId, name: &SourceName) -> Result<NewSource, CatalogError> {
        let write_key = make_key(WRITE_KEY_PREFIX)?;
        let source = self.source(space, name)?;
        self.transaction(|transaction| store_write_key(transaction, space, name, &write_key, self.now()))?;
        self.reload_write_keys()?;
        Ok(NewSource {
            source: Source {
                has_write_key: true,
                ..source
            },
            write_key,
        })
    }
}

struct SourceRow(String, String, bool, i64, bool);

impl SourceRow {
    fn into_source(self) -> Result<Source, CatalogError> {
        let Self(space, name, enabled, micros, has_write_key) = self;
        let created_at = Timestamp::from_micros(micros);
        Ok(Source {
            space: parse_stored(&space)?,
            name: parse_stored(&name)?,
            enabled,
            has_write_key,
            created_at,
        })
    }
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<SourceRow> {
    Ok(SourceRow(
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
    ))
}

fn missing(space: &SpaceId, name: &SourceName) -> CatalogError {
    CatalogError::not_found(format!("space {space} has no source {name}"))
}

fn has_source(connection: &Connection, space: &SpaceId, name: &SourceName) -> Result<bool, CatalogError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM sources WHERE space = ?1 AND name = ?2")?
        .exists([space.as_str(), name.as_str()])?)
}

/// Makes a source without a key and says whether it is new. It asks for no limit.
pub(crate) fn insert_source(
    connection: &Connection,
    space: &SpaceId,
    name: &SourceName,
    enabled: bool,
    now: Timestamp,
) -> Result<bool, CatalogError> {
    const INSERT: &str =
        "INSERT INTO sources (space, name, enabled, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    let added = connection.execute(INSERT, (space.as_str(), name.as_str(), enabled, now.as_micros()))?;
    Ok(added > 0)
}

/// Refuses the name of the source that carries what the server itself says: whoever had its write key could claim the keys of
/// those events first.
pub(crate) fn refuse_own(name: &str) -> Result<(), CatalogError> {
    match name == OWN_SOURCE {
        true => Err(CatalogError::new(
            CatalogErrorKind::Invalid,
            format!("the name {OWN_SOURCE} is kept for what the server itself says: give the source another"),
        )),
        false => Ok(()),
    }
}

/// Refuses more sources than a server holds. It is asked before anything is decided: what was decided is carried out.
pub(crate) fn check_all_sources(connection: &Connection, new: u64) -> Result<(), CatalogError> {
    let count: i64 = connection.query_row("SELECT count(*) FROM sources", [], |row| row.get(0))?;
    if new > 0 && count.unsigned_abs() + new > SOURCES_MAX {
        return Err(CatalogError::new(
            CatalogErrorKind::Limit,
            format!("a server holds at most {SOURCES_MAX} sources"),
        ));
    }
    Ok(())
}

fn store_write_key(
    connection: &Connection,
    space: &SpaceId,
    name: &SourceName,
    key: &str,
    now: Timestamp,
) -> Result<(), CatalogError> {
    connection.execute(
        "DELETE FROM write_keys WHERE space = ?1 AND source = ?2",
        [space.as_str(), name.as_str()],
    )?;
    const INSERT: &str = "INSERT INTO write_keys (hash, space, source, created_at) VALUES (?1, ?2, ?3, ?4)";
    connection.execute(INSERT, (hash_key(key), space.as_str(), name.as_str(), now.as_micros()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{catalog, document, source, space};
    use crate::{DocumentKind, Proposal};
    use serde_json::json;

    #[test]
    fn act_1_a_source_of_an_older_release_that_has_the_name_works_as_before() {
        let (catalog, main, kith) = (catalog(), space("main"), source(OWN_SOURCE));
        // As it comes out of an older release, or again out of the log after the catalog was lost.
        catalog.ensure_source(&main, &kith).unwrap();
        assert!(!catalog.set_source_enabled(&main, &kith, false).unwrap().enabled);
        assert!(catalog.rotate_write_key(&main, &kith).unwrap().source.has_write_key);
        let wanted = Proposal {
            documents: vec![document(DocumentKind::Source, OWN_SOURCE, json!({}))],
            ..Proposal::default()
        };
        catalog.plan(&main, &wanted).unwrap();
        assert!(catalog.decision_for(&main, &wanted, "jo", "").unwrap().is_some());
        // Another space has none of it.
        let shop = space("shop");
        catalog.create_space(&shop).unwrap();
        let refused = catalog.plan(&shop, &wanted).unwrap_err();
        assert_eq!(refused.kind(), CatalogErrorKind::Invalid);
        assert!(refused.to_string().contains("give the source another"), "{refused}");
    }
}
