//! Typed ids: spaces, sources, addresses, event keys, profiles.

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

static MESSAGE_KEYS: HashContext = HashContext::new("kith event key: message");
static ADDRESS_KEYS: HashContext = HashContext::new("kith event key: address");

/// A name that breaks the rule for names of spaces, sources and segments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} name {name:?} must start with a letter and have at most {limit} of the characters a-z, 0-9, _{extra}")]
pub struct InvalidName {
    kind: &'static str,
    name: String,
    limit: usize,
    extra: &'static str,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $limit:literal, $extra:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(name: &str) -> Result<Self, InvalidName> {
                let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || $extra.as_bytes().contains(&byte);
                let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
                if starts && name.len() <= $limit && name.bytes().all(allowed) {
                    return Ok(Self(Arc::from(name)));
                }
                let shown = name.chars().take(80).collect();
                Err(InvalidName { kind: $kind, name: shown, limit: $limit, extra: if $extra.is_empty() { "" } else { " and -" } })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// One brand or environment; everything belongs to exactly one. In SQL it is the database.
    SpaceId, "space", 32, ""
}
name_type! {
    /// A source within a space: what a write key names.
    SourceName, "source", 64, "-"
}
name_type! {
    /// A segment within a space.
    SegmentName, "segment", 64, "-"
}

impl SpaceId {
    /// The space that every server has.
    #[must_use]
    pub fn main() -> Self {
        Self(Arc::from("main"))
    }

    /// Three bytes that stand for the space where keys must be short; never `ff` first, so that something follows all of
    /// them. Two names may share a code: a server takes no space whose code another one has.
    #[must_use]
    pub fn code(&self) -> [u8; 3] {
        // FNV-1a, 32 bits: http://www.isthe.com/chongo/tech/comp/fnv/
        let hash = self.0.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        let [first, second, third, last] = hash.to_be_bytes();
        [(first ^ last) & 0x7f, second, third]
    }
}

/// Where an event stands in the log, fixed when it is acknowledged. Addresses order as their parts do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The log's generation: raised when a log is begun anew over the same spaces.
    pub generation: u16,
    /// The partition (the embedded log has one).
    pub partition: u16,
    /// The record's place in the partition's sequence, from 0.
    pub sequence: u64,
    /// The event's place in the body of that record, from 0.
    pub index: u32,
}

impl Address {
    /// The address as 16 bytes that sort as addresses do.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&self.generation.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.partition.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[12..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    /// The address that [`Address::to_bytes`] wrote.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Self {
            generation: u16::from_be_bytes([a, b]),
            partition: u16::from_be_bytes([c, d]),
            sequence: u64::from_be_bytes([e, f, g, h, i, j, k, l]),
            index: u32::from_be_bytes([m, n, o, p]),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}-{}-{}",
            self.generation, self.partition, self.sequence, self.index
        )
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an address (generation-partition-sequence-index)");
        let mut parts = text.split('-');
        let mut next = || parts.next().and_then(|part| part.parse::<u64>().ok()).ok_or_else(wrong);
        let (generation, partition, sequence, index) = (next()?, next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self {
            generation: u16::try_from(generation).map_err(|_| wrong())?,
            partition: u16::try_from(partition).map_err(|_| wrong())?,
            sequence,
            index: u32::try_from(index).map_err(|_| wrong())?,
        })
    }
}

/// What makes an event one event: space, source and message id, or its address where there is no message id, as a
/// 128-bit BLAKE3 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey(pub u128);

impl EventKey {
    /// The key of an event that carries a message id.
    #[must_use]
    pub fn of_message(space: &SpaceId, source: &SourceName, message_id: &str) -> Self {
        Self(hash_fields(
            &MESSAGE_KEYS,
            &[
                space.as_str().as_bytes(),
                source.as_str().as_bytes(),
                message_id.as_bytes(),
            ],
        ))
    }

    /// The key of an event without a message id.
    #[must_use]
    pub fn of_address(space: &SpaceId, address: Address) -> Self {
        Self(hash_fields(
            &ADDRESS_KEYS,
            &[space.as_str().as_bytes(), &address.to_bytes()],
        ))
    }
}

impl fmt::Debug for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A person's profile. A pure function of the evidence (contract IDN-5): see `kith-identity`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileId(pub u128);

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prf_{:032x}", self.0)
    }
}

impl fmt::Debug for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ProfileId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.strip_prefix("prf_")
            .filter(|hex| hex.len() == 32)
            .and_then(|hex| u128::from_str_radix(hex, 16).ok())
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a profile id (prf_ and 32 hexadecimal digits)"))
    }
}

/// A context of key derivation, hashed once: that is half the work of a short input.
pub(crate) struct HashContext {
    name: &'static str,
    key: OnceLock<ContextKey>,
}

impl HashContext {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            key: OnceLock::new(),
        }
    }

    fn hasher(&self) -> blake3::Hasher {
        let key = self.key.get_or_init(|| hash_derive_key_context(self.name));
        blake3::Hasher::new_from_context_key(key)
    }
}

/// The first 128 bits of BLAKE3 in key-derivation mode over length-prefixed fields, so that no two lists of fields
/// give the same input.
pub(crate) fn hash_fields(context: &HashContext, fields: &[&[u8]]) -> u128 {
    let mut hasher = context.hasher();
    for field in fields {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field);
    }
    let hash = hasher.finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cln_2_hashes_are_those_of_the_key_derivation_mode() {
        let mut hasher = blake3::Hasher::new_derive_key("kith event key: message");
        hasher.update(&3_u64.to_le_bytes());
        hasher.update(b"abc");
        let first: [u8; 16] = hasher.finalize().as_bytes()[..16].try_into().unwrap();
        assert_eq!(hash_fields(&MESSAGE_KEYS, &[b"abc"]), u128::from_be_bytes(first));
    }

    #[test]
    fn names_follow_their_rule() {
        assert!("main".parse::<SpaceId>().is_ok());
        assert!("web-shop".parse::<SourceName>().is_ok());
        for wrong in ["", "Main", "1st", "a-b", "über", "a b", &"a".repeat(33)] {
            assert!(wrong.parse::<SpaceId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn spc_1_codes_of_spaces_stay_what_they_are() {
        // They lead the keys of stored state: another code would hide all of it.
        for (name, code) in [
            ("main", [98, 144, 226]),
            ("staging", [60, 215, 105]),
            ("brand_b", [117, 49, 86]),
        ] {
            assert_eq!(name.parse::<SpaceId>().map(|space| space.code()), Ok(code), "{name}");
        }
    }

    #[test]
    fn addresses_sort_as_their_bytes() {
        let low = Address {
            generation: 1,
            partition: 0,
            sequence: 255,
            index: 9,
        };
        let high = Address {
            generation: 1,
            partition: 0,
            sequence: 256,
            index: 0,
        };
        assert!(low < high && low.to_bytes() < high.to_bytes());
        assert_eq!(Address::from_bytes(high.to_bytes()), high);
        assert_eq!(high.to_string().parse::<Address>(), Ok(high));
    }
}
