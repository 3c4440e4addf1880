//! Lists that grow without slack while they are short: most of what a person has, they have little of.

/// From how many entries on a list grows by doubling.
const SHORT: usize = 8;

/// Inserts, taking memory for one more entry only as long as the list is short.
pub(crate) fn insert_tight<T>(list: &mut Vec<T>, at: usize, entry: T) {
    if list.len() == list.capacity() && list.len() < SHORT {
        list.reserve_exact(1);
    }
    list.insert(at, entry);
}
