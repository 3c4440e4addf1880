//! Message ids that come twice within the files of an import: the second is a copy, which counts once with the first.

use super::row::Place;
use rustc_hash::FxHashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Message ids that are held to compare: with the place of each, about 36 MB at most.
pub(crate) const IDS_MAX: usize = 1_000_000;
/// Bytes of a message id that a report shows.
const SHOWN_CHARS_MAX: usize = 120;

/// An event whose message id came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopiedRow {
    /// The message id, shortened where it is long.
    pub(crate) message_id: String,
    /// Where the copy stands.
    pub(crate) place: Place,
    /// Where the first stands.
    pub(crate) first: Place,
}

/// The message ids so far: a hash of eight bytes each, and where it came first.
#[derive(Default)]
pub(crate) struct Seen {
    places: FxHashMap<u64, (u32, u32)>,
    files: Vec<(Arc<str>, &'static str)>,
    full: bool,
}

impl Seen {
    /// Notes a message id; gives the copy that it is, if it is one.
    pub(crate) fn note(&mut self, message_id: &str, place: &Place) -> Option<CopiedRow> {
        let mut hash = DefaultHasher::new();
        message_id.hash(&mut hash);
        let hash = hash.finish();
        if let Some((file, number)) = self.places.get(&hash) {
            let (file, unit) = self.files.get(*file as usize)?;
            return Some(CopiedRow {
                message_id: message_id.chars().take(SHOWN_CHARS_MAX).collect(),
                place: place.clone(),
                first: Place {
                    file: Arc::clone(file),
                    unit,
                    number: u64::from(*number),
                },
            });
        }
        if self.places.len() == IDS_MAX {
            self.full = true;
            return None;
        }
        // Files are read one after the other.
        if self.files.last().is_none_or(|(last, _)| *last != place.file) {
            self.files.push((Arc::clone(&place.file), place.unit));
        }
        let file = u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX);
        let number = u32::try_from(place.number).unwrap_or(u32::MAX);
        self.places.insert(hash, (file, number));
        None
    }

    /// Whether there were more message ids than are held.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn con_2_ids_beyond_the_bound_are_not_held_and_it_is_told() {
        let place = |number| Place {
            file: "a.csv".into(),
            unit: "line",
            number,
        };
        let mut seen = Seen::default();
        for number in 0..=IDS_MAX as u64 {
            assert!(!seen.is_full());
            assert_eq!(seen.note(&number.to_string(), &place(number)), None);
        }
        assert!(seen.is_full());
        assert_eq!(seen.note("7", &place(9)).unwrap().first.number, 7);
        assert_eq!(
            (seen.note(&IDS_MAX.to_string(), &place(9)), seen.places.len()),
            (None, IDS_MAX)
        );
    }
}
