//! A bounded write-back cache in two generations.
//!
//! What a step touches is young. When the young half is full at the end of a step, it becomes the old half and what was
//! old is dropped; touching an old entry makes it young again. Entries are dropped only between steps, when everything
//! is committed, so nothing unsaved is lost and no order of use has to be kept.

use rustc_hash::FxHashMap;
use std::hash::Hash;

/// Entries by key; at most twice `young_limit` of them after [`Cache::age`].
pub(crate) struct Cache<K, V> {
    young: FxHashMap<K, V>,
    old: FxHashMap<K, V>,
    young_limit: usize,
}

impl<K: Hash + Eq + Copy, V> Cache<K, V> {
    /// A cache whose young half holds so many entries between steps.
    pub(crate) fn new(young_limit: usize) -> Self {
        Self {
            young: FxHashMap::default(),
            old: FxHashMap::default(),
            young_limit,
        }
    }

    /// The entry, which is young from now on.
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        if !self.old.is_empty()
            && !self.young.contains_key(&key)
            && let Some(entry) = self.old.remove(&key)
        {
            self.young.insert(key, entry);
        }
        self.young.get_mut(&key)
    }

    /// Sets an entry.
    pub(crate) fn insert(&mut self, key: K, entry: V) {
        self.old.remove(&key);
        self.young.insert(key, entry);
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        self.young.remove(&key).or_else(|| self.old.remove(&key))
    }

    /// Ends a step: drops the old half when the young one is full.
    pub(crate) fn age(&mut self) {
        if self.young.len() > self.young_limit {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// How many entries are held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let mut cache = Cache::new(10);
        for number in 0..1_000_u32 {
            cache.insert(number, number);
            assert_eq!(cache.get_mut(0), Some(&mut 0), "used at every step");
            cache.age();
            assert!(cache.len() <= 22, "{}", cache.len());
        }
        assert_eq!(cache.get_mut(5), None);
    }
}
