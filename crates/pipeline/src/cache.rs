//! A bounded write-back cache in two generations.
//!
//! What a step touches is young. When the young half is full at the end of a step, it becomes the old half and what was
//! old is dropped; touching an old entry makes it young again. Entries are dropped only between steps, when everything
//! is committed, so nothing unsaved is lost and no order of use has to be kept.

use rustc_hash::FxHashMap;
use std::hash::Hash;

/// Entries by key; at most twice `young_limit` of them after [`Cache::age`]. Where senders decide how large an entry is,
/// their bytes are bounded, too.
pub(crate) struct Cache<K, V> {
    young: FxHashMap<K, V>,
    old: FxHashMap<K, V>,
    young_limit: usize,
    weight: Option<Weight<V>>,
}

/// The bytes of the young entries: as they were when they became young or were weighed again.
struct Weight<V> {
    of: fn(&V) -> usize,
    young: usize,
    limit: usize,
}

impl<K: Hash + Eq + Copy, V> Cache<K, V> {
    /// A cache whose young half holds so many entries between steps.
    pub(crate) fn new(young_limit: usize) -> Self {
        Self {
            young: FxHashMap::default(),
            old: FxHashMap::default(),
            young_limit,
            weight: None,
        }
    }

    /// The same, whose young half also holds no more than so many bytes between steps.
    pub(crate) fn weighed(young_limit: usize, limit: usize, of: fn(&V) -> usize) -> Self {
        let weight = Some(Weight { of, young: 0, limit });
        Self {
            weight,
            ..Self::new(young_limit)
        }
    }

    /// The entry, which is young from now on.
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        if !self.old.is_empty()
            && !self.young.contains_key(&key)
            && let Some(entry) = self.old.remove(&key)
        {
            self.insert(key, entry);
        }
        self.young.get_mut(&key)
    }

    /// The entry, which stays as old as it is.
    pub(crate) fn peek(&self, key: K) -> Option<&V> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }

    /// Sets an entry.
    pub(crate) fn insert(&mut self, key: K, entry: V) {
        self.old.remove(&key);
        if let Some(weight) = &mut self.weight {
            weight.young += (weight.of)(&entry);
        }
        self.young.insert(key, entry);
    }

    /// Counts an entry that has grown: as a whole, so that the bytes are rather over than under what they are.
    pub(crate) fn weigh_again(&mut self, key: K) {
        if let Some((weight, entry)) = self.weight.as_mut().zip(self.young.get(&key)) {
            weight.young += (weight.of)(entry);
        }
    }

    /// Whether the young half holds more bytes than it may between steps.
    pub(crate) fn is_heavy(&self) -> bool {
        self.weight.as_ref().is_some_and(|weight| weight.young > weight.limit)
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        self.young.remove(&key).or_else(|| self.old.remove(&key))
    }

    /// Ends a step: drops the old half when the young one is full.
    pub(crate) fn age(&mut self) {
        if self.young.len() > self.young_limit || self.is_heavy() {
            self.old = std::mem::take(&mut self.young);
            if let Some(weight) = &mut self.weight {
                weight.young = 0;
            }
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        if let Some(weight) = &mut self.weight {
            weight.young = 0;
        }
    }

    /// How many entries are held.
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

    #[test]
    fn large_entries_are_bounded_by_their_bytes() {
        let mut cache: Cache<u32, Vec<u8>> = Cache::weighed(1_000, 100, Vec::len);
        let held = |cache: &Cache<u32, Vec<u8>>| -> usize {
            cache.young.values().chain(cache.old.values()).map(Vec::len).sum()
        };
        for number in 0..100_u32 {
            cache.insert(number, vec![0; 40]);
            cache.age();
            assert!(held(&cache) <= 240, "{}", held(&cache));
        }
        cache.get_mut(99).unwrap().extend([0; 200]);
        cache.weigh_again(99);
        assert!(cache.is_heavy());
        cache.age();
        cache.age();
        assert_eq!(
            cache.get_mut(99).map(|entry| entry.len()),
            Some(240),
            "touched, it is young again"
        );
        cache.age();
        cache.insert(1, Vec::new());
        cache.age();
        assert!(held(&cache) <= 240);
    }
}
