//! Which profile of now would become which, put down in a scratch store in the order in which it is told.

use crate::PipelineError;
use kith_state::{Batch, Keyspace, Store, prefix_end};
use kith_types::{Identifier, IdentifierType, ProfileId};
use std::collections::BTreeMap;

/// Under which first byte each order stands.
const BECOMES: u8 = 1;
const COMES_FROM: u8 = 2;
const MOVES: u8 = 3;
const COMES_INTO_BLOCK: u8 = 4;
const COMES_OUT_OF_BLOCK: u8 = 5;
/// Profiles looked at between two looks at the others that each is related to.
const PAGE: usize = if cfg!(test) { 2 } else { 1_024 };
/// The scratch store uses only the keyspace of staged writes for anything else.
const PUT_DOWN: Keyspace = Keyspace::Redirects;

/// A profile, and those of the other side that it is related to.
type Related = (ProfileId, Vec<ProfileId>);

/// An identifier that moves: from which profile to which, and its hash.
type Moved = (ProfileId, ProfileId, u128);

/// Whether an identifier that events name would be left out by the rules, or would be no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    Into,
    OutOf,
}

impl Block {
    fn order(self) -> u8 {
        match self {
            Self::Into => COMES_INTO_BLOCK,
            Self::OutOf => COMES_OUT_OF_BLOCK,
        }
    }
}

/// The relation between the profiles of now and those there would be.
pub(super) struct Relation<'a> {
    scratch: &'a dyn Store,
    /// Not put down yet.
    fresh: BTreeMap<Vec<u8>, Vec<u8>>,
    held: usize,
}

impl<'a> Relation<'a> {
    /// None yet; `held` entries wait in memory at most, about.
    pub(super) fn new(scratch: &'a dyn Store, held: usize) -> Self {
        Self {
            scratch,
            fresh: BTreeMap::new(),
            held,
        }
    }

    /// An event of `old` would be one of `new`, as what this identifier leads to.
    pub(super) fn add(&mut self, old: ProfileId, new: ProfileId, identifier: u128) -> Result<(), PipelineError> {
        self.fresh.insert(key(BECOMES, &[old.0, new.0]), Vec::new());
        self.fresh.insert(key(COMES_FROM, &[new.0, old.0]), Vec::new());
        if old != new {
            self.fresh.insert(key(MOVES, &[old.0, new.0, identifier]), Vec::new());
        }
        self.flush_when_full()
    }

    /// An identifier comes into a block or out of one.
    pub(super) fn add_block(&mut self, block: Block, identifier: &Identifier) -> Result<(), PipelineError> {
        let kind = identifier.kind.as_str().as_bytes();
        let key = [&[block.order()], kind, b":", identifier.value.as_bytes()].concat();
        self.fresh.insert(key, (kind.len() as u64).to_be_bytes().to_vec());
        self.flush_when_full()
    }

    fn flush_when_full(&mut self) -> Result<(), PipelineError> {
        match self.fresh.len() >= self.held {
            true => self.flush(),
            false => Ok(()),
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), PipelineError> {
        let mut batch = Batch::default();
        for (key, value) in std::mem::take(&mut self.fresh) {
            batch.put(PUT_DOWN, key, value);
        }
        Ok(self.scratch.commit(batch)?)
    }

    /// How many profiles become several, and the first of them.
    pub(super) fn splits(&self, limit: usize) -> Result<(u64, Vec<Related>), PipelineError> {
        self.several(BECOMES, limit)
    }

    /// How many profiles come from several, and the first of them.
    pub(super) fn merges(&self, limit: usize) -> Result<(u64, Vec<Related>), PipelineError> {
        self.several(COMES_FROM, limit)
    }

    /// How many identifiers move from a profile to another one, and the first of them.
    pub(super) fn moves(&self, limit: usize) -> Result<(u64, Vec<Moved>), PipelineError> {
        let (mut total, mut first) = (0, Vec::new());
        self.scratch.scan(PUT_DOWN, &[MOVES], &[MOVES + 1], &mut |key, _| {
            total += 1;
            if first.len() < limit
                && let [from, to, identifier] = ids(key)[..]
            {
                first.push((ProfileId(from), ProfileId(to), identifier));
            }
            true
        })?;
        Ok((total, first))
    }

    /// How many identifiers come into a block or out of one, and the first of them.
    pub(super) fn blocks(&self, block: Block, limit: usize) -> Result<(u64, Vec<Identifier>), PipelineError> {
        let (mut total, mut first) = (0, Vec::new());
        let order = block.order();
        self.scratch
            .scan(PUT_DOWN, &[order], &[order + 1], &mut |key, kind_bytes| {
                total += 1;
                if first.len() < limit {
                    first.extend(identifier_in(key, kind_bytes));
                }
                true
            })?;
        Ok((total, first))
    }

    /// The profiles that become one other profile and nothing else, while that comes from nobody else; `is_one` says of such a pair
    /// whether the one ends and the other begins with it. How many there are, and the first of them.
    pub(super) fn renamed(
        &self,
        limit: usize,
        is_one: &dyn Fn(ProfileId, ProfileId) -> Result<bool, PipelineError>,
    ) -> Result<(u64, Vec<(ProfileId, ProfileId)>), PipelineError> {
        let (mut total, mut first) = (0, Vec::new());
        let mut from = Some(vec![BECOMES]);
        while let Some(start) = from.take() {
            let mut some = Vec::with_capacity(PAGE);
            self.scratch.scan(PUT_DOWN, &start, &[BECOMES + 1], &mut |key, _| {
                if let [old, new] = ids(key)[..] {
                    some.extend((old != new).then_some((ProfileId(old), ProfileId(new))));
                }
                from = (some.len() >= PAGE).then(|| [key, &[0]].concat());
                from.is_none()
            })?;
            for (old, new) in some {
                if only(self.scratch, BECOMES, old)? == Some(new)
                    && only(self.scratch, COMES_FROM, new)? == Some(old)
                    && is_one(old, new)?
                {
                    total += 1;
                    if first.len() < limit {
                        first.push((old, new));
                    }
                }
            }
        }
        Ok((total, first))
    }

    fn several(&self, order: u8, limit: usize) -> Result<(u64, Vec<Related>), PipelineError> {
        let (mut total, mut first) = (0, Vec::new());
        let mut open: Option<Related> = None;
        let mut close = |open: Option<Related>| {
            if let Some((id, others)) = open.filter(|(_, others)| others.len() > 1) {
                total += 1;
                if first.len() < limit {
                    first.push((id, others));
                }
            }
        };
        self.scratch.scan(PUT_DOWN, &[order], &[order + 1], &mut |key, _| {
            let [one, other] = ids(key)[..] else { return true };
            let (one, other) = (ProfileId(one), ProfileId(other));
            match &mut open {
                Some((id, others)) if *id == one => others.push(other),
                _ => close(open.replace((one, vec![other]))),
            }
            true
        })?;
        close(open);
        Ok((total, first))
    }
}

/// The other profile that somebody of now becomes, where the two are related to nobody else.
pub(super) fn becomes_only(scratch: &dyn Store, old: ProfileId) -> Result<Option<ProfileId>, PipelineError> {
    let Some(new) = only(scratch, BECOMES, old)?.filter(|new| *new != old) else {
        return Ok(None);
    };
    Ok((only(scratch, COMES_FROM, new)? == Some(old)).then_some(new))
}

/// The other profile of now that somebody comes from, where the two are related to nobody else.
pub(super) fn comes_only_from(scratch: &dyn Store, new: ProfileId) -> Result<Option<ProfileId>, PipelineError> {
    let Some(old) = only(scratch, COMES_FROM, new)?.filter(|old| *old != new) else {
        return Ok(None);
    };
    Ok((only(scratch, BECOMES, old)? == Some(new)).then_some(old))
}

/// The one profile of the other side that a profile is related to; nothing where there is none, or several.
fn only(scratch: &dyn Store, order: u8, id: ProfileId) -> Result<Option<ProfileId>, PipelineError> {
    let from = key(order, &[id.0]);
    let to = prefix_end(&from).unwrap_or_default();
    let mut others = Vec::with_capacity(2);
    scratch.scan(PUT_DOWN, &from, &to, &mut |key, _| {
        others.extend(ids(key).get(1).map(|other| ProfileId(*other)));
        others.len() < 2
    })?;
    Ok(match others[..] {
        [other] => Some(other),
        _ => None,
    })
}

fn identifier_in(key: &[u8], kind_bytes: &[u8]) -> Option<Identifier> {
    let length = usize::try_from(u64::from_be_bytes(kind_bytes.try_into().ok()?)).ok()?;
    let text = std::str::from_utf8(key.get(1..)?).ok()?;
    let (kind, value) = (text.get(..length)?, text.get(length + 1..)?);
    Some(Identifier {
        kind: IdentifierType::from_name(kind),
        value: value.into(),
    })
}

fn key(order: u8, ids: &[u128]) -> Vec<u8> {
    let mut key = vec![order];
    ids.iter().for_each(|id| key.extend_from_slice(&id.to_be_bytes()));
    key
}

fn ids(key: &[u8]) -> Vec<u128> {
    let (ids, _) = key.get(1..).unwrap_or_default().as_chunks::<16>();
    ids.iter().map(|id| u128::from_be_bytes(*id)).collect()
}
