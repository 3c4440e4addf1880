//! The stored parts of everybody, cut down to what a draft asks, in memory for as long as it is counted.
//!
//! People's parts lie apart from one another in the order of hashes, and looking each up costs more than all else that is done
//! with it. So all are read once, in their order, and what is asked for of each is kept here, within a bound: where it is reached
//! the parts beyond are looked up as before. Intervals of held identifiers and parts that lack something asked for are never
//! here. It never says that a part is not there unless it has read past its place.

use crate::{PipelineError, keys};
use kith_profile::{Asked, Cutter, PartError, PlanDirectory};
use kith_state::{Keyspace, Read};
use kith_types::SpaceId;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Pieces that the hashes are cut into, by their first bits. Hashes are as good as drawn by lot, so each piece has as many.
pub(super) const PIECES: usize = 1 << PIECE_BITS;
const PIECE_BITS: u32 = 7;
/// Bytes of all pieces.
pub(super) const BYTES_HELD: usize = 128 << 20;
/// What a part takes beside its bytes: its carrier, and where its bytes end.
const PLACE_BYTES: usize = size_of::<u128>() + size_of::<u32>();
/// Parts read between two looks at whether anybody still waits.
const PAGE: usize = if cfg!(test) { 3 } else { 1024 };

/// The parts of everybody, by pieces.
pub(super) struct HeldParts {
    pieces: Vec<OnceLock<Piece>>,
    next_piece: AtomicUsize,
    piece_bytes: usize,
}

/// The parts whose carriers lie in one piece of the hashes.
#[derive(Clone, Default)]
struct Piece {
    /// Ascending.
    carriers: Vec<u128>,
    /// Where the bytes of each end.
    ends: Vec<u32>,
    bytes: Vec<u8>,
    /// The first carrier that was not read, where the bound was reached.
    beyond: Option<u128>,
}

/// What is known of a carrier's part.
pub(super) enum Held<'a> {
    /// What is asked for of it, and how many traits it has.
    Cut(&'a [u8], usize),
    /// There is none.
    Absent,
    /// Nothing: it must be looked up.
    Unknown,
}

/// What all parts are read with.
pub(super) struct Reading<'a> {
    pub(super) reader: &'a dyn Read,
    pub(super) space: &'a SpaceId,
    pub(super) asked: &'a Asked<'a>,
    pub(super) plans: &'a (dyn PlanDirectory + Sync),
}

/// Where the piece of that number begins; for the number after the last one, where hashes end.
pub(super) fn piece_key(space: &SpaceId, piece: usize) -> Vec<u8> {
    match piece {
        PIECES.. => kith_state::prefix_end(&keys::space(space)).unwrap_or_default(),
        _ => keys::wide(space, (piece as u128) << (u128::BITS - PIECE_BITS)),
    }
}

impl HeldParts {
    /// Nothing yet; at most so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            pieces: (0..PIECES).map(|_| OnceLock::new()).collect(),
            next_piece: AtomicUsize::new(0),
            piece_bytes: bytes / PIECES,
        }
    }

    /// Reads pieces until none is left or `go_on` says no. Any number of threads may do so at once.
    pub(super) fn read(&self, reading: &Reading<'_>, go_on: &dyn Fn() -> bool) -> Result<(), PipelineError> {
        let mut cutter = Cutter::new(reading.asked, reading.plans);
        // Grown once; what is kept is a copy without room to grow.
        let mut piece = Piece::default();
        loop {
            let number = self.next_piece.fetch_add(1, Ordering::Relaxed);
            let Some(place) = self.pieces.get(number) else {
                return Ok(());
            };
            if !self.read_piece(number, reading, &mut cutter, (&mut piece, go_on))? {
                return Ok(());
            }
            // Each number is drawn once.
            place.get_or_init(|| piece.clone());
        }
    }

    fn read_piece(
        &self,
        number: usize,
        reading: &Reading<'_>,
        cutter: &mut Cutter<'_>,
        (piece, go_on): (&mut Piece, &dyn Fn() -> bool),
    ) -> Result<bool, PipelineError> {
        piece.clear();
        let (from, to) = (piece_key(reading.space, number), piece_key(reading.space, number + 1));
        // A key of a carrier alone; that of an interval goes on.
        let length = from.len();
        let (mut stopped, mut damaged, mut page) = (false, false, 0);
        let visit = &mut |key: &[u8], bytes: &[u8]| {
            page += 1;
            if page % PAGE == 0 && !go_on() {
                stopped = true;
                return false;
            }
            if key.len() != length {
                return true;
            }
            let Some(carrier) = keys::wide_id(key) else {
                damaged = true;
                return false;
            };
            if piece.taken() >= self.piece_bytes {
                piece.beyond = Some(carrier);
                return false;
            }
            damaged = piece.take(carrier, bytes, cutter).is_err();
            !damaged
        };
        reading.reader.scan(Keyspace::Parts, &from, &to, visit)?;
        match damaged {
            true => Err(PipelineError::corrupt("parts")),
            false => Ok(!stopped),
        }
    }

    /// What is known of a part that has no beginning.
    pub(super) fn get(&self, carrier: u128) -> Held<'_> {
        let piece = self
            .pieces
            .get((carrier >> (u128::BITS - PIECE_BITS)) as usize)
            .and_then(OnceLock::get);
        piece.map_or(Held::Unknown, |piece| piece.get(carrier))
    }
}

impl Piece {
    fn clear(&mut self) {
        self.carriers.clear();
        self.ends.clear();
        self.bytes.clear();
        self.beyond = None;
    }

    fn taken(&self) -> usize {
        self.bytes.len() + self.carriers.len() * PLACE_BYTES
    }

    /// Takes a part in: the number of its traits and what is asked for of it. Nothing says that it must be looked up.
    fn take(&mut self, carrier: u128, bytes: &[u8], cutter: &mut Cutter<'_>) -> Result<(), PartError> {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        match cutter.cut(bytes, &mut self.bytes)?.map(|cut| u16::try_from(cut.traits)) {
            Some(Ok(traits)) => self.bytes[before..before + 2].copy_from_slice(&traits.to_be_bytes()),
            _ => self.bytes.truncate(before),
        }
        self.carriers.push(carrier);
        // A piece is far smaller than that, and a part within its bound.
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
        Ok(())
    }

    fn get(&self, carrier: u128) -> Held<'_> {
        if self.beyond.is_some_and(|beyond| carrier >= beyond) {
            return Held::Unknown;
        }
        let Some(at) = place_of(&self.carriers, carrier) else {
            return Held::Absent;
        };
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        let held = self.bytes.get(from as usize..self.ends[at] as usize);
        match held.and_then(<[u8]>::split_first_chunk::<2>) {
            Some((traits, part)) => Held::Cut(part, usize::from(u16::from_be_bytes(*traits))),
            None => Held::Unknown,
        }
    }
}

/// Where a hash is among others of its piece, ascending. Hashes lie evenly, so it is near where its share of the piece is; from
/// there the steps double until it is between two.
fn place_of(hashes: &[u128], wanted: u128) -> Option<usize> {
    let share = (wanted << PIECE_BITS) >> 64;
    let guess = ((share * hashes.len() as u128) >> 64) as usize;
    let (mut low, mut end, mut step) = (guess, guess, 32);
    while low > 0 && hashes[low] > wanted {
        (end, low) = (low, low.saturating_sub(step));
        step *= 2;
    }
    while end < hashes.len() && hashes[end] < wanted {
        (low, end) = (end + 1, (end + step).min(hashes.len()));
        step *= 2;
    }
    let between = &hashes[low..hashes.len().min(end + 1)];
    between.binary_search(&wanted).ok().map(|at| low + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seg_7_a_hash_is_found_wherever_it_lies() {
        let last = u128::MAX >> PIECE_BITS;
        let even: Vec<u128> = (0..500).map(|at| (last / 500) * at + 7).collect();
        let uneven: Vec<u128> = (0..u128::BITS - PIECE_BITS).map(|bit| 1 << bit).collect();
        let late: Vec<u128> = (0..300).map(|at| last - 900 + 3 * at).collect();
        for hashes in [&even[..], &uneven, &late, &even[..1], &even[..2], &[0, last], &[last]] {
            for (at, hash) in hashes.iter().enumerate() {
                assert_eq!(place_of(hashes, *hash), Some(at));
                let before = hash.checked_sub(1).filter(|before| !hashes.contains(before));
                assert_eq!(before.and_then(|before| place_of(hashes, before)), None);
            }
        }
        assert_eq!((place_of(&[], 3), place_of(&[0, 9], last)), (None, None));
    }
}
