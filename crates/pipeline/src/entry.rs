//! People and components as they lie in memory while a space works, and how a person is written.
//!
//! `space` keeps them in its caches and decides when they are written. Nothing here reads the store.

use crate::keys;
use crate::record::ProfileRecord;
use crate::transitions::Transitions;
use kith_identity::{Component, PartKey, Position};
use kith_profile::{FoldPlan, Part};
use kith_state::{Batch, Keyspace};
use kith_types::{ProfileId, SpaceId, Timestamp};

/// Where a part of a held identifier ends: the start of the next interval.
pub(crate) type End = Option<Position>;

/// A part in memory.
#[derive(Debug)]
pub(crate) struct PartSlot {
    pub(crate) key: PartKey,
    pub(crate) part: Part,
    pub(crate) dirty: bool,
}

/// A profile in memory: its record, its parts, and what they merge to.
#[derive(Debug)]
pub(crate) struct ProfileEntry {
    pub(crate) record: ProfileRecord,
    pub(crate) parts: Vec<PartSlot>,
    /// The merge of the parts, where there is more than one.
    pub(crate) merged: Option<Part>,
    /// What the store holds of the record.
    pub(crate) stored: StoredRecord,
    /// When time alone may turn each segment, once all were asked.
    pub(crate) transitions: Option<Transitions>,
    pub(crate) dirty: bool,
    /// The newest of the changes of accounts that it has taken.
    pub(crate) taken: u64,
}

/// A profile's record as the store holds it; empty where it holds none.
#[derive(Debug, Default)]
pub(crate) struct StoredRecord {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) due: Option<Timestamp>,
}

impl StoredRecord {
    /// Writes what differs from it into the step, after which it is as the record says.
    pub(crate) fn write(&mut self, space: &SpaceId, id: ProfileId, record: &ProfileRecord, batch: &mut Batch) {
        let bytes = record.encode();
        // Most events change a fold and no membership.
        if *bytes != *self.bytes {
            self.bytes = bytes.clone().into();
            batch.put(Keyspace::Profiles, keys::wide(space, id.0), bytes);
        }
        let before = std::mem::replace(&mut self.due, record.due);
        if before != record.due {
            if let Some(time) = before {
                batch.remove(Keyspace::Due, keys::due(space, time, id));
            }
            if let Some(time) = record.due {
                batch.put(Keyspace::Due, keys::due(space, time, id), Vec::new());
            }
        }
    }
}

impl ProfileEntry {
    /// A profile of these parts.
    pub(crate) fn new(record: ProfileRecord, parts: Vec<PartSlot>, stored: StoredRecord) -> Self {
        let merged = (parts.len() > 1).then(|| Part::merged(parts.iter().map(|slot| &slot.part)));
        Self {
            record,
            parts,
            merged,
            stored,
            transitions: None,
            dirty: false,
            taken: 0,
        }
    }

    /// The whole fold of the person.
    pub(crate) fn whole(&self) -> Option<&Part> {
        self.merged
            .as_ref()
            .or_else(|| self.parts.first().map(|slot| &slot.part))
    }

    /// Writes what differs from the store into the step.
    pub(crate) fn write(&mut self, space: &SpaceId, id: ProfileId, plan: &FoldPlan, batch: &mut Batch, now: Timestamp) {
        self.stored.write(space, id, &self.record, batch);
        for slot in self.parts.iter_mut().filter(|slot| slot.dirty) {
            slot.dirty = false;
            let key = keys::part(space, &slot.key);
            if slot.part.is_empty() {
                // An interval that was cut may have lost every event that it carried.
                batch.remove(Keyspace::Parts, key);
                continue;
            }
            slot.part.prune(now);
            let mut bytes = Vec::with_capacity(256);
            slot.part.encode_for(plan, &mut bytes);
            batch.put(Keyspace::Parts, key, bytes);
        }
        if let Some(merged) = &mut self.merged {
            merged.prune(now);
        }
    }
}

/// A component in memory.
#[derive(Debug)]
pub(crate) struct ComponentEntry {
    pub(crate) component: Component,
    pub(crate) dirty: bool,
}
