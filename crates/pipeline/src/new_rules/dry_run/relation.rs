//! Which profile of now would become which, put down in a scratch store in the order in which it is told.

use crate::PipelineError;
use kith_state::{Batch, Keyspace, Store};
use kith_types::ProfileId;
use std::collections::BTreeSet;

/// Under which first byte each order stands.
const BECOMES: u8 = 1;
const COMES_FROM: u8 = 2;
const MOVES: u8 = 3;
/// The scratch store uses only the keyspace of staged writes for anything else.
const PUT_DOWN: Keyspace = Keyspace::Redirects;

/// A profile, and those of the other side that it is related to.
type Related = (ProfileId, Vec<ProfileId>);

/// An identifier that moves: from which profile to which, and its hash.
type Moved = (ProfileId, ProfileId, u128);

/// The relation between the profiles of now and those there would be.
pub(super) struct Relation<'a> {
    scratch: &'a dyn Store,
    /// Not put down yet.
    fresh: BTreeSet<Vec<u8>>,
    held: usize,
}

impl<'a> Relation<'a> {
    /// None yet; `held` entries wait in memory at most, about.
    pub(super) fn new(scratch: &'a dyn Store, held: usize) -> Self {
        Self {
            scratch,
            fresh: BTreeSet::new(),
            held,
        }
    }

    /// An event of `old` would be one of `new`, as what this identifier leads to.
    pub(super) fn add(&mut self, old: ProfileId, new: ProfileId, identifier: u128) -> Result<(), PipelineError> {
        self.fresh.insert(key(BECOMES, &[old.0, new.0]));
        self.fresh.insert(key(COMES_FROM, &[new.0, old.0]));
        if old != new {
            self.fresh.insert(key(MOVES, &[old.0, new.0, identifier]));
        }
        if self.fresh.len() >= self.held {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), PipelineError> {
        let mut batch = Batch::default();
        for key in std::mem::take(&mut self.fresh) {
            batch.put(PUT_DOWN, key, Vec::new());
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

fn key(order: u8, ids: &[u128]) -> Vec<u8> {
    let mut key = vec![order];
    ids.iter().for_each(|id| key.extend_from_slice(&id.to_be_bytes()));
    key
}

fn ids(key: &[u8]) -> Vec<u128> {
    let (ids, _) = key.get(1..).unwrap_or_default().as_chunks::<16>();
    ids.iter().map(|id| u128::from_be_bytes(*id)).collect()
}
