//! The store as steps see it while staged writes that have taken over are moved to their places (contract SEG-2).
//!
//! Moving all of them takes as long as writing them did. So some are moved at a time, between steps: until the last is in its
//! place, reads find each where it will be, and what a step writes goes to its place at once and takes away what was staged
//! for it.

use super::overlaid::TakenOver;
use super::{List, MARK, Overlaid, discard, read_row, staged_key, taken_over, tree_of};
use crate::PipelineError;
use kith_state::{Batch, Keyspace, Read, StateError, Store, Visit};
use kith_types::SpaceId;
use std::sync::Arc;

/// Rows moved at once: so many, or of so many bytes.
const MOVED_ROWS: usize = if cfg!(test) { 7 } else { 10_000 };
const MOVED_BYTES: usize = 8 * 1024 * 1024;

/// A store as it is between two turns of moving: whoever has moved some goes on with what [`Served::after_moving_some`] gives.
/// The pipeline alone writes through it; what others remove from the store itself is never staged.
pub(crate) struct Served {
    base: Arc<dyn Store>,
    moving: Option<Moving>,
}

struct Moving {
    space: SpaceId,
    /// Where to go on among the staged writes.
    from: Vec<u8>,
}

impl Served {
    /// A store as it was left: what has not taken over is discarded, what has goes on being moved.
    pub(crate) fn open(base: Arc<dyn Store>) -> Result<Self, PipelineError> {
        if let Some(space) = taken_over(&*base)? {
            tracing::info!(%space, "what changed rules of identity have changed is still on its way to its place");
            return Ok(Self::once_taken_over(base, space));
        }
        if discard(&*base)? {
            tracing::info!("rules of identity were changing when the pipeline ended: that begins again");
        }
        Ok(Self { base, moving: None })
    }

    /// A store in which a space's staged writes have just taken over.
    pub(crate) fn once_taken_over(base: Arc<dyn Store>, space: SpaceId) -> Self {
        let moving = Some(Moving {
            space,
            from: Vec::new(),
        });
        Self { base, moving }
    }

    /// The store itself, in which what is being moved is not seen.
    pub(crate) fn base(&self) -> &Arc<dyn Store> {
        &self.base
    }

    /// The space of which something has still to be moved.
    pub(crate) fn moves_of(&self) -> Option<&SpaceId> {
        self.moving.as_ref().map(|moving| &moving.space)
    }

    /// Whether anything has still to be moved.
    pub(crate) fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// Moves some of what has taken over, in a transaction of its own. Answers what the store is after it; nothing where there
    /// was nothing to move.
    pub(crate) fn after_moving_some(&self) -> Result<Option<Self>, PipelineError> {
        let Some(Moving { space, from }) = &self.moving else {
            return Ok(None);
        };
        let moving = match move_rows(&*self.base, space, from)? {
            Some(from) => Some(Moving {
                space: space.clone(),
                from,
            }),
            None => {
                let mut batch = Batch::default();
                batch.remove(Keyspace::Meta, MARK.to_vec());
                self.base.commit(batch)?;
                tracing::info!(%space, "what changed rules of identity have changed is in its place");
                None
            }
        };
        let base = Arc::clone(&self.base);
        Ok(Some(Self { base, moving }))
    }

    fn seen(&self) -> Option<Overlaid<'_>> {
        self.moving.as_ref().map(|moving| Overlaid {
            base: &*self.base,
            space: &moving.space,
        })
    }
}

/// Moves staged rows of a space's trees to their places, and discards all others, some of them. Answers where to go on.
fn move_rows(store: &dyn Store, space: &SpaceId, from: &[u8]) -> Result<Option<Vec<u8>>, PipelineError> {
    let (mut batch, mut last) = (Batch::default(), Vec::new());
    let (mut rows, mut bytes) = (0, 0);
    let (code, mut damaged) = (space.code(), false);
    // Codes of spaces begin below this.
    store.scan(Keyspace::Staged, from, &[0x80], &mut |key, row| {
        let is_of_a_tree = key.starts_with(&code) && key.get(3).is_some_and(|tree| *tree < List::Reread as u8);
        if is_of_a_tree {
            let place = key.split_at_checked(4);
            match place.and_then(|(lead, key)| Some((tree_of(lead[3])?, key))) {
                Some((keyspace, key)) => match read_row(row) {
                    // Much of what is placed again stands where it stood.
                    Some(value) => batch.replace(keyspace, key.to_vec(), value.to_vec()),
                    None => batch.remove(keyspace, key.to_vec()),
                },
                None => damaged = true,
            }
        }
        batch.remove(Keyspace::Staged, key.to_vec());
        last = key.to_vec();
        rows += 1;
        bytes += row.len() + key.len() * 2;
        !damaged && rows < MOVED_ROWS && bytes < MOVED_BYTES
    })?;
    if damaged {
        return Err(PipelineError::corrupt("staged writes"));
    }
    if batch.is_empty() {
        return Ok(None);
    }
    store.commit(batch)?;
    last.push(0);
    Ok(Some(last))
}

impl Read for Served {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        match self.seen() {
            None => self.base.get(keyspace, key),
            Some(seen) => seen.get(keyspace, key),
        }
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        match self.seen() {
            None => self.base.scan(keyspace, from, to, visit),
            Some(seen) => seen.scan(keyspace, from, to, visit),
        }
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        match self.seen() {
            None => self.base.scan_back(keyspace, from, to, visit),
            Some(seen) => seen.scan_back(keyspace, from, to, visit),
        }
    }
}

impl Store for Served {
    fn commit(&self, batch: Batch) -> Result<(), StateError> {
        let Some(Moving { space, .. }) = &self.moving else {
            return self.base.commit(batch);
        };
        let (code, mut placed) = (space.code(), Batch::default());
        for (keyspace, key, value) in batch.into_writes() {
            let may_be_staged = keyspace == Keyspace::Meta || keyspace != Keyspace::Staged && key.starts_with(&code);
            let staged = may_be_staged.then(|| staged_key(space, keyspace, &key));
            let staged = match staged {
                Some(staged) if self.base.get(Keyspace::Staged, &staged)?.is_some() => Some(staged),
                _ => None,
            };
            match (value, staged.is_some()) {
                // What stood there may be there still.
                (Some(value), true) => placed.replace(keyspace, key, value),
                (Some(value), false) => placed.put(keyspace, key, value),
                (None, _) => placed.remove(keyspace, key),
            }
            if let Some(staged) = staged {
                placed.remove(Keyspace::Staged, staged);
            }
        }
        self.base.commit(placed)
    }

    fn reopen(&self) -> Result<(), StateError> {
        self.base.reopen()
    }

    fn snapshot(&self) -> Box<dyn Read> {
        let base = self.base.snapshot();
        match &self.moving {
            None => base,
            Some(Moving { space, .. }) => Box::new(TakenOver {
                base,
                space: space.clone(),
            }),
        }
    }

    fn size_bytes(&self) -> u64 {
        self.base.size_bytes()
    }
}
