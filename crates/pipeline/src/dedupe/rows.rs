//! The rows of the dedupe tree: how their keys and values are spelt. Their bytes are part of the state's format.
//!
//! Every key is the space, a letter for the kind, the generation, and what tells rows of one kind apart. Chunks carry the
//! first of their event keys, so the one that may hold a key is found by one search, however many there are.

use crate::keys;
use kith_types::SpaceId;

/// Keys of one step of the open generation.
pub(super) const BLOCK: u8 = b'b';
/// Sorted keys of a sealed generation.
pub(super) const CHUNK: u8 = b'c';
/// A page of a sealed generation's filter.
pub(super) const PAGE: u8 = b'f';
/// That a sealed generation stands, and how large it is.
pub(super) const SEALED: u8 = b'g';
/// How far a merge has come; its generation is the one that it makes.
pub(super) const MERGE: u8 = b'm';
/// That the rows of a generation are on their way out.
pub(super) const RETIRED: u8 = b'x';

/// A key and the moment it expires, in microseconds.
pub(super) type Entry = (u128, i64);

/// Spells the keys of one space.
#[derive(Clone)]
pub(super) struct Rows {
    prefix: Vec<u8>,
}

impl Rows {
    pub(super) fn of(space: &SpaceId) -> Self {
        Self {
            prefix: keys::space(space),
        }
    }

    /// All rows of a kind: the first key and the end.
    pub(super) fn kind(&self, kind: u8) -> (Vec<u8>, Vec<u8>) {
        let from = [self.prefix.as_slice(), &[kind]].concat();
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        (from, to)
    }

    /// The row of a kind that a generation has one of; of other kinds what leads its rows.
    pub(super) fn generation(&self, kind: u8, generation: u32) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + 21);
        key.extend_from_slice(&self.prefix);
        key.push(kind);
        key.extend_from_slice(&generation.to_be_bytes());
        key
    }

    /// The end of a generation's rows of a kind.
    pub(super) fn end(&self, kind: u8, generation: u32) -> Vec<u8> {
        kith_state::prefix_end(&self.generation(kind, generation)).unwrap_or_default()
    }

    pub(super) fn block(&self, generation: u32, block: u32) -> Vec<u8> {
        let mut key = self.generation(BLOCK, generation);
        key.extend_from_slice(&block.to_be_bytes());
        key
    }

    pub(super) fn chunk(&self, generation: u32, first: u128) -> Vec<u8> {
        let mut key = self.generation(CHUNK, generation);
        key.extend_from_slice(&first.to_be_bytes());
        key
    }

    pub(super) fn page(&self, generation: u32, page: u32) -> Vec<u8> {
        let mut key = self.generation(PAGE, generation);
        key.extend_from_slice(&page.to_be_bytes());
        key
    }

    /// The generation that a key of any kind belongs to.
    pub(super) fn generation_of(&self, key: &[u8]) -> Option<u32> {
        let after = self.prefix.len() + 1;
        Some(u32::from_be_bytes(key.get(after..after + 4)?.try_into().ok()?))
    }
}

/// What stands of a sealed generation beside its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Keys.
    pub(super) count: u64,
    /// Lines of its filter.
    pub(super) lines: u64,
    /// When the last key expires.
    pub(super) last_expiry: i64,
}

impl Extent {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24);
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.lines.to_le_bytes());
        bytes.extend_from_slice(&self.last_expiry.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk()?;
        let (lines, rest) = rest.split_first_chunk()?;
        Some(Self {
            count: u64::from_le_bytes(*count),
            lines: u64::from_le_bytes(*lines),
            last_expiry: i64::from_le_bytes(rest.try_into().ok()?),
        })
    }
}

/// How far a merge has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// What is made so far; its lines are those of the filter when it is done.
    pub(super) extent: Extent,
    /// The last key of the last chunk that is written.
    pub(super) through: Option<u128>,
    /// The generations that it is made of.
    pub(super) inputs: Vec<u32>,
}

impl Progress {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.extent.encode();
        bytes.push(u8::from(self.through.is_some()));
        bytes.extend_from_slice(&self.through.unwrap_or_default().to_be_bytes());
        for input in &self.inputs {
            bytes.extend_from_slice(&input.to_le_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (extent, rest) = bytes.split_at_checked(24)?;
        let (begun, rest) = rest.split_first()?;
        let (through, inputs) = rest.split_first_chunk()?;
        let inputs = inputs.chunks_exact(4).filter_map(|input| input.try_into().ok());
        Some(Self {
            extent: Extent::decode(extent)?,
            through: (*begun == 1).then_some(u128::from_be_bytes(*through)),
            inputs: inputs.map(u32::from_le_bytes).collect(),
        })
    }
}

pub(super) fn packed(keys: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(keys.len() * 24);
    for (key, expiry) in keys {
        bytes.extend_from_slice(&key.to_be_bytes());
        bytes.extend_from_slice(&expiry.to_le_bytes());
    }
    bytes
}

pub(super) fn entries(bytes: &[u8]) -> impl Iterator<Item = Entry> + '_ {
    bytes.chunks_exact(24).filter_map(|entry| {
        let (key, expiry) = entry.split_at(16);
        Some((
            u128::from_be_bytes(key.try_into().ok()?),
            i64::from_le_bytes(expiry.try_into().ok()?),
        ))
    })
}
