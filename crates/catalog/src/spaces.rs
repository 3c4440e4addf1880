//! Spaces: creating and listing them.

use crate::{Catalog, CatalogError, CatalogErrorKind};
use kith_types::{SpaceId, Timestamp};

/// The most spaces of a server.
const SPACES_MAX: usize = 1_000;

/// One brand or environment (contract SPC-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// Its name.
    pub name: SpaceId,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Catalog {
    /// Makes a space.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Conflict`] where it exists or its code is another one's ([`SpaceId::code`]),
    /// [`CatalogErrorKind::Limit`] beyond 1,000 spaces.
    pub fn create_space(&self, name: &SpaceId) -> Result<Space, CatalogError> {
        let created_at = self.now();
        if !insert_space(&self.connection(), name, created_at)? {
            return Err(CatalogError::new(
                CatalogErrorKind::Conflict,
                format!("space {name} exists already"),
            ));
        }
        Ok(Space {
            name: name.clone(),
            created_at,
        })
    }

    /// Every space, by name.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Storage`].
    pub fn spaces(&self) -> Result<Vec<Space>, CatalogError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT name, created_at FROM spaces ORDER BY name")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        rows.map(|row| {
            let (name, micros) = row?;
            Ok(Space {
                name: parse_stored(&name)?,
                created_at: Timestamp::from_micros(micros),
            })
        })
        .collect()
    }

    /// Whether the space exists.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Storage`].
    pub fn has_space(&self, name: &SpaceId) -> Result<bool, CatalogError> {
        has_space(&self.connection(), name)
    }

    pub(crate) fn create_space_if_missing(&self, name: &SpaceId) -> Result<(), CatalogError> {
        insert_space(&self.connection(), name, self.now()).map(|_| ())
    }
}

pub(crate) fn has_space(connection: &rusqlite::Connection, name: &SpaceId) -> Result<bool, CatalogError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM spaces WHERE name = ?1")?
        .exists([name.as_str()])?)
}

/// An error unless the space exists.
pub(crate) fn require_space(connection: &rusqlite::Connection, name: &SpaceId) -> Result<(), CatalogError> {
    if has_space(connection, name)? {
        return Ok(());
    }
    Err(CatalogError::not_found(format!(
        "there is no space {name}: create it first, or name another"
    )))
}

/// Makes a space and says whether it is new.
pub(crate) fn insert_space(
    connection: &rusqlite::Connection,
    name: &SpaceId,
    created_at: Timestamp,
) -> Result<bool, CatalogError> {
    if has_space(connection, name)? {
        return Ok(false);
    }
    let mut statement = connection.prepare_cached("SELECT name FROM spaces")?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    let names = names.collect::<Result<Vec<_>, _>>()?;
    for stored in &names {
        let other: SpaceId = parse_stored(stored)?;
        if other.code() == name.code() {
            return Err(CatalogError::new(
                CatalogErrorKind::Conflict,
                format!("space {name} would share the keys of the state with space {other}: choose another name"),
            ));
        }
    }
    if names.len() >= SPACES_MAX {
        return Err(CatalogError::new(
            CatalogErrorKind::Limit,
            format!("a server holds at most {SPACES_MAX} spaces"),
        ));
    }
    connection.execute(
        "INSERT INTO spaces (name, created_at) VALUES (?1, ?2)",
        (name.as_str(), created_at.as_micros()),
    )?;
    Ok(true)
}

/// A name that was checked when it was stored.
pub(crate) fn parse_stored<T: std::str::FromStr>(name: &str) -> Result<T, CatalogError>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    name.parse().map_err(|error| {
        CatalogError::caused(
            CatalogErrorKind::Refused,
            "the catalog holds a name that breaks its rule: restore it from a backup",
            error,
        )
    })
}
