//! Answers of people who are alike to a draft: of each kind one is asked.
//!
//! Where a draft asks for nothing but what parts say, whoever has one part alone answers as that part does; and where the part
//! says one value of each trait that is asked for, as everybody does of whom the same values are known
//! ([`kith_profile::CutPart::alone`]). So each combination of values is asked once, and people are counted by it. There is a bound on how many
//! are known, and on the memory they take: who is of a further one is asked themselves.

use super::comparison::{Accounts, Asked, Both, Comparison};
use super::tally::{Tally, Who};
use crate::PipelineError;
use kith_profile::{CutPart, Part};
use kith_types::{ProfileId, Timestamp};
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Combinations that each thread knows.
const KNOWN: usize = if cfg!(test) { 4 } else { 4096 };

/// Bytes that the combinations of all threads may take, with their answers.
const ROOM: usize = if cfg!(test) { 20_000 } else { 16 << 20 };

/// What is known of one kind of people, by the number under which parts remember it.
pub(super) type Kind = u16;
/// The number of no kind.
pub(super) const NO_KIND: Kind = Kind::MAX;

/// The answers of each kind, which threads add to.
pub(super) struct Kinds<'a> {
    comparison: &'a Comparison,
    now: Timestamp,
    /// What one person of the kind adds to a tally.
    answers: Mutex<Vec<Tally>>,
    /// Bytes that are left for more.
    room: AtomicUsize,
}

/// The combinations that a thread knows.
pub(super) struct KnownKinds<'a> {
    kinds: &'a Kinds<'a>,
    by_values: FxHashMap<Box<[u8]>, Kind>,
}

impl<'a> Kinds<'a> {
    /// None yet; nothing where more is asked for than what parts say.
    pub(super) fn new(comparison: &'a Comparison, now: Timestamp) -> Option<Self> {
        comparison.asks_parts_alone().then(|| Self {
            comparison,
            now,
            answers: Mutex::default(),
            room: AtomicUsize::new(ROOM),
        })
    }

    /// Takes the room that a kind of these values needs; answers whether there was enough.
    fn has_room(&self, values: &[u8]) -> bool {
        let needed = values.len() + size_of::<(Box<[u8]>, Kind)>() + self.comparison.tally_bytes();
        let taken = self
            .room
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(needed));
        taken.is_ok()
    }

    pub(super) fn known(&'a self) -> KnownKinds<'a> {
        KnownKinds {
            kinds: self,
            by_values: FxHashMap::default(),
        }
    }

    /// What one person of each kind adds, by its number.
    pub(super) fn into_answers(self) -> Vec<Tally> {
        self.answers.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks somebody who has nothing but this part; answers the number of their kind.
    fn ask(&self, whole: &Part) -> Kind {
        let mut tally = Tally::default();
        let asked = Asked {
            who: Who {
                id: ProfileId(0),
                identifiers: &|_| Vec::new(),
            },
            carriers: &[],
            whole,
            identity_limited: false,
            accounts: &Accounts::default(),
        };
        self.comparison.ask_showing(Both::Same(&asked), self.now, &mut tally, 0);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = Kind::try_from(answers.len()).unwrap_or(NO_KIND);
        if kind != NO_KIND {
            answers.push(tally);
        }
        kind
    }
}

impl KnownKinds<'_> {
    /// The kind of whoever has this part alone, of which `bytes` is what is asked for.
    pub(super) fn of(&mut self, cut: &CutPart<'_>, bytes: &[u8]) -> Result<Kind, PipelineError> {
        // From its horizon on a part answers.
        let Some(values) = cut.alone.filter(|_| cut.horizon <= self.kinds.now) else {
            return Ok(NO_KIND);
        };
        if let Some(known) = self.by_values.get(values) {
            return Ok(*known);
        }
        if self.by_values.len() >= KNOWN || !self.kinds.has_room(values) {
            return Ok(NO_KIND);
        }
        let whole = Part::decode_for(bytes, &self.kinds.comparison.plan);
        let kind = self.kinds.ask(&whole.map_err(|_| PipelineError::corrupt("parts"))?);
        self.by_values.insert(values.into(), kind);
        Ok(kind)
    }
}
