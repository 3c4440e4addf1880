//! What the lake needs of the state after a restart: marks of later copies, and changes that wait in the outbox.
//!
//! Works with whoever writes the tables; it hands over and, once told that the tables have passed, forgets. It never
//! decides what a table holds.

use crate::output::{Numbered, decode_change};
use crate::{PipelineError, keys};
use kith_state::{Batch, Keyspace, Store};
use kith_types::{Address, SpaceId};
use std::sync::Arc;

/// Gives the lake's writer what it lacks.
#[derive(Clone)]
pub struct Handover {
    store: Arc<dyn Store>,
}

impl Handover {
    /// A handover from a store that the pipeline writes.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Whether the event at an address is a later copy, which no table holds.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Storage`] when the store cannot be read.
    pub fn is_later_copy(&self, space: &SpaceId, address: Address) -> Result<bool, PipelineError> {
        Ok(self.store.get(Keyspace::Duplicates, &mark(space, address))?.is_some())
    }

    /// The changes of membership from a number on, in order.
    ///
    /// # Errors
    /// As [`Handover::is_later_copy`].
    pub fn changes_from(&self, space: &SpaceId, number: u64) -> Result<Vec<Numbered>, PipelineError> {
        let from = keys::numbered(space, number);
        let to = kith_state::prefix_end(&keys::space(space)).unwrap_or_default();
        let (mut changes, mut damaged) = (Vec::new(), false);
        self.store.scan(Keyspace::Outbox, &from, &to, &mut |key, row| {
            match (keys::number(key), decode_change(row)) {
                (Some(number), Some(change)) => changes.push(Numbered {
                    space: space.clone(),
                    number,
                    change,
                }),
                _ => damaged = true,
            }
            !damaged
        })?;
        if damaged {
            Err(PipelineError::corrupt("outbox"))
        } else {
            Ok(changes)
        }
    }

    /// Forgets marks of later copies before a sequence number, which every clean table has passed.
    ///
    /// # Errors
    /// As [`Handover::is_later_copy`].
    pub fn forget_copies(&self, space: &SpaceId, generation: u16, before: u64) -> Result<(), PipelineError> {
        let end = Address {
            generation,
            partition: 0,
            sequence: before,
            index: 0,
        };
        self.remove_range(Keyspace::Duplicates, &keys::space(space), &mark(space, end))
    }

    /// Forgets changes before a number, which every reader of the outbox has passed.
    ///
    /// # Errors
    /// As [`Handover::is_later_copy`].
    pub fn forget_changes(&self, space: &SpaceId, before: u64) -> Result<(), PipelineError> {
        self.remove_range(
            Keyspace::Outbox,
            &keys::numbered(space, 0),
            &keys::numbered(space, before),
        )
    }

    fn remove_range(&self, keyspace: Keyspace, from: &[u8], to: &[u8]) -> Result<(), PipelineError> {
        let mut batch = Batch::default();
        self.store.scan(keyspace, from, to, &mut |key, _| {
            batch.remove(keyspace, key.to_vec());
            true
        })?;
        if batch.is_empty() {
            Ok(())
        } else {
            Ok(self.store.commit(batch)?)
        }
    }
}

fn mark(space: &SpaceId, address: Address) -> Vec<u8> {
    let mut key = keys::space(space);
    key.extend_from_slice(&address.to_bytes());
    key
}
