//! Which source a write key names: the look-up that every request at a door makes.
//!
//! All write keys (at most 10,000) stand in memory by hash and are read anew after a change, so the look-up is one
//! hash and one read lock.

use crate::secrets::{KEY_BYTES_MAX, KeyHash, hash_key, read_hash};
use crate::spaces::parse_stored;
use crate::{Catalog, CatalogError};
use kith_types::{SourceName, SpaceId};
use std::collections::HashMap;
use std::sync::PoisonError;

/// What a write key opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteKeyOutcome {
    /// Nobody's key: 401 at the door.
    Unknown,
    /// The key of a source that is switched off: 404 at the door.
    Disabled,
    /// The key of this source.
    Source {
        /// Its space.
        space: SpaceId,
        /// Its name.
        source: SourceName,
    },
}

/// The write keys by hash, with what each opens.
pub(crate) type WriteKeyCache = HashMap<KeyHash, WriteKeyOutcome>;

impl Catalog {
    /// What a write key opens. Costs one SHA-256 of the key and no IO. The look-up is by the hash of 256 random bits, so
    /// its time tells nothing about any key.
    #[must_use]
    pub fn resolve_write_key(&self, key: &str) -> WriteKeyOutcome {
        if key.len() > KEY_BYTES_MAX {
            return WriteKeyOutcome::Unknown;
        }
        let hash = hash_key(key);
        let cache = self.write_keys.read().unwrap_or_else(PoisonError::into_inner);
        cache.get(&hash).cloned().unwrap_or(WriteKeyOutcome::Unknown)
    }

    pub(crate) fn reload_write_keys(&self) -> Result<(), CatalogError> {
        const SELECT: &str = "SELECT k.hash, k.space, k.source, s.enabled FROM write_keys k JOIN sources s ON s.space = k.space AND s.name = k.source";
        // The connection is held until the cache is set, so that of two changes the later is what stays.
        let connection = self.connection();
        let mut statement = connection.prepare_cached(SELECT)?;
        let rows = statement.query_map([], |row| {
            Ok((
                read_hash(row, 0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get(3)?,
            ))
        })?;
        let mut keys = WriteKeyCache::new();
        for row in rows {
            let (hash, space, source, enabled) = row?;
            let outcome = match enabled {
                true => WriteKeyOutcome::Source {
                    space: parse_stored(&space)?,
                    source: parse_stored(&source)?,
                },
                false => WriteKeyOutcome::Disabled,
            };
            keys.insert(hash, outcome);
        }
        *self.write_keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }
}
