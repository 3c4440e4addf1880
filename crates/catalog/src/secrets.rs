//! Making keys and hashing them. Keys are 256 random bits, so one round of SHA-256 hides them.

use crate::{CatalogError, CatalogErrorKind};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use sha2::{Digest, Sha256};

/// SHA-256 of a key in clear.
pub(crate) type KeyHash = [u8; 32];

/// What a write key begins with.
pub(crate) const WRITE_KEY_PREFIX: &str = "kith_wk_";
/// What an API key begins with.
pub(crate) const API_KEY_PREFIX: &str = "kith_ak_";

/// The longest key that is looked at, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 256;

/// A new key: the prefix and 43 characters.
pub(crate) fn make_key(prefix: &str) -> Result<String, CatalogError> {
    let mut random = [0_u8; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut random).map_err(|error| {
        CatalogError::caused(
            CatalogErrorKind::Storage,
            "the machine has no randomness for a key",
            error,
        )
    })?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random)))
}

pub(crate) fn hash_key(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

/// Reads a hash column.
pub(crate) fn read_hash(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<KeyHash> {
    row.get(column)
}
