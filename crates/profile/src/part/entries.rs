//! The aggregates of a part that its events gave anything to, sorted by slot.
//!
//! The slots lie together, apart from the states: looking for one among many reads a line or two of memory, where the
//! states, each larger than a line, would be one each.

use crate::aggregates::Entry;
use crate::growth::insert_tight;
use std::ops::{Deref, DerefMut};

/// Entries by slot, the position of an aggregate among those the part holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entries {
    /// The slot of each entry.
    slots: Vec<u32>,
    list: Vec<Entry>,
}

impl Entries {
    /// Drops all, and has room for so many.
    pub(super) fn become_empty(&mut self, length: usize) {
        self.clear();
        self.slots.reserve_exact(length);
        self.list.reserve_exact(length);
    }

    /// The slots that have an entry, sorted.
    pub(super) fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Where the entry of a slot is, or where it would be.
    pub(super) fn find(&self, slot: usize) -> Result<usize, usize> {
        self.slots.binary_search_by_key(&slot, |held| *held as usize)
    }

    /// Adds an entry at the place that [`Entries::find`] gave for its slot.
    pub(super) fn insert(&mut self, at: usize, entry: Entry) {
        insert_tight(&mut self.slots, at, entry.slot);
        insert_tight(&mut self.list, at, entry);
    }

    /// Adds an entry after all others.
    pub(super) fn push(&mut self, entry: Entry) {
        self.slots.push(entry.slot);
        self.list.push(entry);
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.slots.remove(at);
        self.list.remove(at);
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.list.clear();
    }

    /// Keeps the entries that `kept` holds of; it may give them other slots in the same order.
    pub(super) fn retain_mut(&mut self, kept: impl FnMut(&mut Entry) -> bool) {
        self.list.retain_mut(kept);
        self.slots.clear();
        self.slots.extend(self.list.iter().map(|entry| entry.slot));
    }

    /// The bytes of memory that it holds beside itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let states: usize = self.list.iter().map(Entry::heap_bytes).sum();
        self.slots.capacity() * size_of::<u32>() + self.list.capacity() * size_of::<Entry>() + states
    }
}

impl Deref for Entries {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.list
    }
}

impl DerefMut for Entries {
    fn deref_mut(&mut self) -> &mut [Entry] {
        &mut self.list
    }
}
