//! API keys: the administrator's and those that read one space.
//!
//! They are kept as hashes, compared in constant time, and never collect; write keys never read. The first
//! administrator's key comes from the environment or is made and shown once: there is no default.

use crate::secrets::{API_KEY_PREFIX, KEY_BYTES_MAX, KeyHash, WRITE_KEY_PREFIX, hash_key, make_key, read_hash};
use crate::spaces::{parse_stored, require_space};
use crate::{Catalog, CatalogError, CatalogErrorKind};
use kith_types::{SpaceId, Timestamp};
use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::PoisonError;
use subtle::ConstantTimeEq;

/// The most API keys of a server: they stay in memory.
const API_KEYS_MAX: i64 = 10_000;
/// The shortest key that is accepted from the environment, in characters.
const ENVIRONMENT_KEY_CHARS_MIN: usize = 16;

/// What an API key allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiKeyScope {
    /// Everything on the server.
    Admin,
    /// Reading one space.
    Read(SpaceId),
}

/// An API key as it is listed: never the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name, unique on the server.
    pub name: String,
    /// What it allows.
    pub scope: ApiKeyScope,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A new API key, which is shown this once and never again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiKey {
    /// The key as it will be listed.
    pub key: ApiKey,
    /// The key in clear.
    pub secret: String,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name of the API key.
    pub key_name: String,
    /// What it allows.
    pub scope: ApiKeyScope,
}

/// The API keys by hash.
#[derive(Default)]
pub(crate) struct ApiKeyCache(HashMap<KeyHash, (KeyHash, Principal)>);

impl Catalog {
    /// Sees to it that an administrator's key exists. A key given in the environment is taken in place of any that was
    /// given before. Without one, a key is made at the first start and returned: print it, it is not kept.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Invalid`] for a weak key.
    pub fn ensure_admin_key(&self, from_environment: Option<&str>) -> Result<Option<String>, CatalogError> {
        let given = from_environment.map(checked_environment_key).transpose()?;
        let now = self.now();
        let made = self.transaction(|transaction| {
            transaction.execute("DELETE FROM api_keys WHERE origin = 'environment'", [])?;
            if let Some(key) = given {
                // The same key may have been made here: then it stays as it is.
                let known = transaction
                    .prepare_cached("SELECT 1 FROM api_keys WHERE hash = ?1")?
                    .exists([hash_key(key)])?;
                if !known {
                    insert_key(transaction, "environment", key, None, "environment", now)?;
                }
                return Ok(None);
            }
            if transaction
                .prepare_cached("SELECT 1 FROM api_keys WHERE scope = 'admin'")?
                .exists([])?
            {
                return Ok(None);
            }
            let key = make_key(API_KEY_PREFIX)?;
            insert_key(transaction, "admin", &key, None, "made", now)?;
            Ok(Some(key))
        })?;
        self.reload_api_keys()?;
        Ok(made)
    }

    /// Makes a key. `name` is 1 to 64 printable characters.
    ///
    /// # Errors
    /// `Conflict` for a name in use, `NotFound` without the space, `Invalid` for a bad name, `Limit` beyond 10,000 keys.
    pub fn create_api_key(&self, name: &str, scope: &ApiKeyScope) -> Result<NewApiKey, CatalogError> {
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
            return Err(CatalogError::invalid(
                "the name of an API key must have 1 to 64 printable characters",
            ));
        }
        if name == "environment" {
            return Err(CatalogError::invalid(
                "the name environment is kept for the key given at the start: choose another",
            ));
        }
        let secret = make_key(API_KEY_PREFIX)?;
        let created_at = self.now();
        let space = match scope {
            ApiKeyScope::Admin => None,
            ApiKeyScope::Read(space) => Some(space),
        };
        self.transaction(|transaction| {
            if let Some(space) = space {
                require_space(transaction, space)?;
            }
            insert_key(transaction, name, &secret, space, "made", created_at)
        })?;
        self.reload_api_keys()?;
        Ok(NewApiKey {
            key: ApiKey {
                name: name.to_owned(),
                scope: scope.clone(),
                created_at,
            },
            secret,
        })
    }

    /// Ends a key at once.
    ///
    /// # Errors
    /// `NotFound` without it, `Conflict` for the last administrator's key.
    pub fn revoke_api_key(&self, name: &str) -> Result<(), CatalogError> {
        self.transaction(|transaction| {
            if transaction.execute("DELETE FROM api_keys WHERE name = ?1", [name])? == 0 {
                return Err(CatalogError::not_found(format!("there is no API key {name:?}")));
            }
            if !transaction
                .prepare_cached("SELECT 1 FROM api_keys WHERE scope = 'admin'")?
                .exists([])?
            {
                let message = "this is the last administrator's key: make another before ending it";
                return Err(CatalogError::new(CatalogErrorKind::Conflict, message));
            }
            Ok(())
        })?;
        self.reload_api_keys()
    }

    /// Every API key, by name.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Storage`].
    pub fn api_keys(&self) -> Result<Vec<ApiKey>, CatalogError> {
        read_keys(&self.connection())?
            .into_iter()
            .map(|(_, key)| Ok(key))
            .collect()
    }

    /// Whom an API key names; `None` for a write key and for anything else. Costs one SHA-256 and no IO.
    #[must_use]
    pub fn resolve_api_key(&self, key: &str) -> Option<Principal> {
        if key.len() > KEY_BYTES_MAX {
            return None;
        }
        let hash = hash_key(key);
        let cache = self.api_keys.read().unwrap_or_else(PoisonError::into_inner);
        let (stored, principal) = cache.0.get(&hash)?;
        bool::from(stored.ct_eq(&hash)).then(|| principal.clone())
    }

    pub(crate) fn reload_api_keys(&self) -> Result<(), CatalogError> {
        // The connection is held until the cache is set, so that of two changes the later is what stays.
        let connection = self.connection();
        let entries = read_keys(&connection)?;
        let cache = entries.into_iter().map(|(hash, key)| {
            (
                hash,
                (
                    hash,
                    Principal {
                        key_name: key.name,
                        scope: key.scope,
                    },
                ),
            )
        });
        *self.api_keys.write().unwrap_or_else(PoisonError::into_inner) = ApiKeyCache(cache.collect());
        Ok(())
    }
}

fn checked_environment_key(key: &str) -> Result<&str, CatalogError> {
    let distinct = key.chars().collect::<std::collections::HashSet<_>>().len();
    if key.starts_with(WRITE_KEY_PREFIX) {
        return Err(CatalogError::invalid(
            "KITH_ADMIN_KEY holds a write key; write keys cannot read: give it a key of its own",
        ));
    }
    if key.chars().count() < ENVIRONMENT_KEY_CHARS_MIN
        || key.len() > KEY_BYTES_MAX
        || distinct < 6
        || key.contains([':', ' '])
        || key.chars().any(char::is_control)
    {
        let message = "KITH_ADMIN_KEY is too weak: it needs 16 to 256 characters, at least six of them different, without blanks and colons; \
             `openssl rand -hex 24` makes one, and without the variable Kith makes one itself";
        return Err(CatalogError::invalid(message));
    }
    Ok(key)
}

fn insert_key(
    connection: &Connection,
    name: &str,
    key: &str,
    space: Option<&SpaceId>,
    origin: &str,
    now: Timestamp,
) -> Result<(), CatalogError> {
    let count: i64 = connection.query_row("SELECT count(*) FROM api_keys", [], |row| row.get(0))?;
    if count >= API_KEYS_MAX {
        return Err(CatalogError::new(
            CatalogErrorKind::Limit,
            format!("a server holds at most {API_KEYS_MAX} API keys"),
        ));
    }
    const INSERT: &str = "INSERT INTO api_keys (name, hash, scope, space, origin, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    let scope = if space.is_some() { "read" } else { "admin" };
    let added = connection.execute(
        INSERT,
        (
            name,
            hash_key(key),
            scope,
            space.map(SpaceId::as_str),
            origin,
            now.as_micros(),
        ),
    )?;
    if added == 0 {
        return Err(CatalogError::new(
            CatalogErrorKind::Conflict,
            format!("an API key named {name:?} exists already"),
        ));
    }
    Ok(())
}

fn read_keys(connection: &Connection) -> Result<Vec<(KeyHash, ApiKey)>, CatalogError> {
    let mut statement =
        connection.prepare_cached("SELECT hash, name, scope, space, created_at FROM api_keys ORDER BY name")?;
    let rows = statement.query_map([], |row| {
        Ok((
            read_hash(row, 0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, Option<String>>(3)?,
            row.get::<_, i64>(4)?,
        ))
    })?;
    rows.map(|row| {
        let (hash, name, scope, space, micros) = row?;
        let scope = match (scope.as_str(), space) {
            ("admin", None) => ApiKeyScope::Admin,
            ("read", Some(space)) => ApiKeyScope::Read(parse_stored(&space)?),
            _ => {
                return Err(CatalogError::new(
                    CatalogErrorKind::Refused,
                    format!("the catalog holds API key {name:?} with an unknown scope: restore it from a backup"),
                ));
            }
        };
        Ok((
            hash,
            ApiKey {
                name,
                scope,
                created_at: Timestamp::from_micros(micros),
            },
        ))
    })
    .collect()
}
