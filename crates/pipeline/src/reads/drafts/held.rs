//! The stored parts of everybody, cut down to what a draft asks, in memory for as long as it is counted.
//!
//! People's parts lie apart from one another in the order of hashes, and looking each up costs more than all else that is done
//! with it. So all are read once, in their order, and what is asked for of each is kept here, within a bound: where it is reached
//! the parts beyond are looked up as before. Parts that lack something asked for are never here. It never says that a part is not there unless it has read past its place.

use super::alike::{Kind, Kinds, KnownKinds, NO_KIND};
use crate::PipelineError;
use crate::keys::{self, PlaceBytes};
use kith_identity::PartKey;
use kith_profile::{Asked, Cutter, PlanDirectory};
use kith_state::{Keyspace, Read};
use kith_types::SpaceId;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Pieces that the hashes are cut into, by their first bits. Hashes are as good as drawn by lot, so each piece has as many.
pub(super) const PIECES: usize = 1 << PIECE_BITS;
const PIECE_BITS: u32 = 7;
/// Bytes of all pieces.
pub(super) const BYTES_HELD: usize = 128 << 20;
/// What a part takes beside its bytes, with its share of a bucket.
const PLACE_BYTES: usize = size_of::<Place>() + size_of::<Bucket>();
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
    /// By their carriers, ascending.
    places: Vec<Place>,
    /// By the leading bits of carriers; one more says where all places end.
    buckets: Vec<Bucket>,
    leading_bits: u32,
    bytes: Vec<u8>,
    /// The intervals of held identifiers but the first of each, which begins with time: ascending.
    intervals: Vec<Interval>,
    interval_bytes: Vec<u8>,
    /// The first carrier that was not read, where the bound was reached.
    beyond: Option<u128>,
}

/// The places whose carriers have the same leading bits. Most identifiers have no part, and most of these are told so without
/// a look at a place.
#[derive(Clone, Copy, Default)]
struct Bucket {
    begin: u32,
    /// A byte of the carrier of each of the first places.
    marks: [u8; 4],
}

/// Where a part is. Two halves, since an integer of 128 bits would make it a third larger.
#[derive(Clone, Copy)]
struct Place {
    carrier: (u64, u64),
    /// Where its bytes end; they begin where those of the place before end.
    end: u32,
    /// How many traits it has; [`LOOKED_UP`] where nothing is held of it.
    traits: u16,
    /// What kind of person it makes alone.
    kind: Kind,
}

/// Where the part of an interval is.
#[derive(Clone, Copy)]
struct Interval {
    key: (u128, PlaceBytes),
    /// Where its bytes begin and end.
    begin: u32,
    end: u32,
    traits: u16,
    kind: Kind,
}

/// Stands for the number of traits of a part that must be looked up.
const LOOKED_UP: u16 = u16::MAX;

fn halves(carrier: u128) -> (u64, u64) {
    ((carrier >> 64) as u64, carrier as u64)
}

/// What is known of a carrier's part.
#[derive(Clone, Copy)]
pub(super) enum Held<'a> {
    /// What is asked for of it.
    Cut(HeldPart<'a>),
    /// There is none.
    Absent,
    /// Nothing: it must be looked up.
    Unknown,
}

/// A part that is held.
#[derive(Clone, Copy)]
pub(super) struct HeldPart<'a> {
    /// What is asked for of it.
    pub(super) bytes: &'a [u8],
    /// How many traits the whole part has.
    pub(super) traits: usize,
    /// What kind of person it makes alone.
    pub(super) kind: Kind,
}

/// What all parts are read with.
pub(super) struct Reading<'a> {
    pub(super) reader: &'a dyn Read,
    pub(super) space: &'a SpaceId,
    pub(super) asked: &'a Asked<'a>,
    pub(super) plans: &'a (dyn PlanDirectory + Sync),
    pub(super) kinds: Option<&'a Kinds<'a>>,
}

/// What a thread makes of parts.
struct Making<'a> {
    cutter: Cutter<'a>,
    kinds: Option<KnownKinds<'a>>,
}

/// Where the piece of that number begins; for the number after the last one, where hashes end.
pub(super) fn piece_key(space: &SpaceId, piece: usize) -> Vec<u8> {
    match piece {
        PIECES.. => kith_state::prefix_end(&keys::space(space)).unwrap_or_default(),
        _ => keys::wide(space, (piece as u128) << (u128::BITS - PIECE_BITS)),
    }
}

/// The hashes of the piece of that number: the first and the last.
pub(super) fn span_of_piece(piece: usize) -> (u128, u128) {
    let first = (piece as u128) << (u128::BITS - PIECE_BITS);
    (first, first | (u128::MAX >> PIECE_BITS))
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
        let mut making = Making {
            cutter: Cutter::new(reading.asked, reading.plans),
            kinds: reading.kinds.map(Kinds::known),
        };
        // Grown once; what is kept is a copy without room to grow.
        let mut piece = Piece::default();
        loop {
            let number = self.next_piece.fetch_add(1, Ordering::Relaxed);
            let Some(place) = self.pieces.get(number) else {
                return Ok(());
            };
            if !self.read_piece(number, reading, &mut making, (&mut piece, go_on))? {
                return Ok(());
            }
            piece.fill_buckets();
            // Each number is drawn once.
            place.get_or_init(|| piece.clone());
        }
    }

    fn read_piece(
        &self,
        number: usize,
        reading: &Reading<'_>,
        making: &mut Making<'_>,
        (piece, go_on): (&mut Piece, &dyn Fn() -> bool),
    ) -> Result<bool, PipelineError> {
        piece.clear();
        let (from, to) = (piece_key(reading.space, number), piece_key(reading.space, number + 1));
        let (mut stopped, mut damaged, mut page) = (false, None, 0);
        let visit = &mut |key: &[u8], bytes: &[u8]| {
            page += 1;
            if page % PAGE == 0 && !go_on() {
                stopped = true;
                return false;
            }
            let Some((carrier, start)) = keys::part_of(key) else {
                damaged = Some(PipelineError::corrupt("parts"));
                return false;
            };
            if piece.taken() >= self.piece_bytes {
                piece.beyond = Some(carrier);
                return false;
            }
            damaged = piece.take((carrier, start), bytes, making).err();
            damaged.is_none()
        };
        reading.reader.scan(Keyspace::Parts, &from, &to, visit)?;
        match damaged {
            Some(damaged) => Err(damaged),
            None => Ok(!stopped),
        }
    }

    /// What is known of a part.
    pub(super) fn get(&self, key: &PartKey) -> Held<'_> {
        let piece = self
            .pieces
            .get((key.carrier >> (u128::BITS - PIECE_BITS)) as usize)
            .and_then(OnceLock::get);
        piece.map_or(Held::Unknown, |piece| match key.start {
            None => piece.get(key.carrier),
            Some(start) => piece.interval((key.carrier, keys::place_bytes(start))),
        })
    }
}

impl Piece {
    fn clear(&mut self) {
        self.places.clear();
        self.buckets.clear();
        self.bytes.clear();
        self.intervals.clear();
        self.interval_bytes.clear();
        self.beyond = None;
    }

    fn taken(&self) -> usize {
        let places = self.places.len() * PLACE_BYTES + self.intervals.len() * size_of::<Interval>();
        self.bytes.len() + self.interval_bytes.len() + places
    }

    /// Takes a part in: what is asked for of it, or that it must be looked up.
    fn take(
        &mut self,
        (carrier, start): (u128, Option<PlaceBytes>),
        stored: &[u8],
        making: &mut Making<'_>,
    ) -> Result<(), PipelineError> {
        // A piece is far smaller than that, and a part within its bound.
        let place = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let Some(start) = start else {
            let (traits, kind) = making.cut(stored, &mut self.bytes)?;
            self.places.push(Place {
                carrier: halves(carrier),
                end: place(&self.bytes),
                traits,
                kind,
            });
            return Ok(());
        };
        let begin = place(&self.interval_bytes);
        let (traits, kind) = making.cut(stored, &mut self.interval_bytes)?;
        self.intervals.push(Interval {
            key: (carrier, start),
            begin,
            end: place(&self.interval_bytes),
            traits,
            kind,
        });
        Ok(())
    }

    /// Fills the buckets, with two places or so each.
    fn fill_buckets(&mut self) {
        self.leading_bits = self.places.len().div_ceil(2).next_power_of_two().trailing_zeros();
        self.buckets.resize((1 << self.leading_bits) + 1, Bucket::default());
        let mut at = 0;
        for number in 0..self.buckets.len() {
            let mut bucket = Bucket {
                begin: u32::try_from(at).unwrap_or(u32::MAX),
                ..Bucket::default()
            };
            let own = self.places[at..].iter();
            for (place, one) in own.take_while(|one| self.leading(one.carrier.0) == number).enumerate() {
                if let Some(mark) = bucket.marks.get_mut(place) {
                    *mark = mark_of(one.carrier);
                }
                at += 1;
            }
            self.buckets[number] = bucket;
        }
    }

    /// The first bits of a carrier after those that all of the piece have in common.
    fn leading(&self, high: u64) -> usize {
        let own = high << PIECE_BITS;
        // Not by all 64 bits at once, where there are none.
        (own >> 1 >> (u64::BITS - 1 - self.leading_bits)) as usize
    }

    fn get(&self, carrier: u128) -> Held<'_> {
        let wanted = halves(carrier);
        let leading = self.leading(wanted.0);
        let bucket = self.buckets[leading];
        let (begin, end) = (bucket.begin as usize, self.buckets[leading + 1].begin as usize);
        let own = &self.places[begin..end];
        let found = match own.len() <= bucket.marks.len() {
            true => {
                let mark = mark_of(wanted);
                let mut marked = own.iter().zip(bucket.marks);
                marked.position(|(place, of_place)| of_place == mark && place.carrier == wanted)
            }
            false => own.binary_search_by_key(&wanted, |place| place.carrier).ok(),
        };
        let Some(found) = found.map(|at| begin + at) else {
            return self.without(carrier);
        };
        let place = &self.places[found];
        let begin = found.checked_sub(1).map_or(0, |before| self.places[before].end);
        held(&self.bytes, (begin, place.end), place.traits, place.kind)
    }

    fn interval(&self, key: (u128, PlaceBytes)) -> Held<'_> {
        let found = self.intervals.binary_search_by_key(&key, |interval| interval.key);
        let Some(interval) = found.ok().map(|at| &self.intervals[at]) else {
            return self.without(key.0);
        };
        let span = (interval.begin, interval.end);
        held(&self.interval_bytes, span, interval.traits, interval.kind)
    }

    /// What is known of a part of a carrier where none is here.
    fn without(&self, carrier: u128) -> Held<'_> {
        match self.beyond.is_some_and(|beyond| carrier >= beyond) {
            true => Held::Unknown,
            false => Held::Absent,
        }
    }
}

/// A byte that has nothing to do with where a carrier stands among others.
fn mark_of((_, low): (u64, u64)) -> u8 {
    low as u8
}

fn held(bytes: &[u8], (begin, end): (u32, u32), traits: u16, kind: Kind) -> Held<'_> {
    match bytes.get(begin as usize..end as usize) {
        Some(bytes) if traits != LOOKED_UP => Held::Cut(HeldPart {
            bytes,
            traits: usize::from(traits),
            kind,
        }),
        _ => Held::Unknown,
    }
}

impl Making<'_> {
    /// Appends what is asked for of a part; answers the number of its traits, or that it must be looked up, and its kind.
    fn cut(&mut self, stored: &[u8], bytes: &mut Vec<u8>) -> Result<(u16, Kind), PipelineError> {
        let before = bytes.len();
        let cut = self.cutter.cut(stored, bytes);
        let Some(cut) = cut.map_err(|_| PipelineError::corrupt("parts"))? else {
            return Ok((LOOKED_UP, NO_KIND));
        };
        let kind = match &mut self.kinds {
            Some(kinds) => kinds.of(&cut, &bytes[before..])?,
            None => NO_KIND,
        };
        Ok((u16::try_from(cut.traits).unwrap_or(LOOKED_UP), kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A piece of such carriers, each with a byte of its own.
    fn piece_of(carriers: &[u128]) -> Piece {
        let mut piece = Piece::default();
        for (at, carrier) in carriers.iter().enumerate() {
            piece.bytes.push(at as u8);
            piece.places.push(Place {
                carrier: halves(*carrier),
                end: at as u32 + 1,
                traits: 1,
                kind: NO_KIND,
            });
        }
        piece.fill_buckets();
        piece
    }

    fn byte_of(piece: &Piece, carrier: u128) -> Option<u8> {
        match piece.get(carrier) {
            Held::Cut(part) => Some(part.bytes[0]),
            _ => None,
        }
    }

    #[test]
    fn seg_7_a_hash_is_found_wherever_it_lies() {
        let first = 5_u128 << (u128::BITS - PIECE_BITS);
        let width = u128::MAX >> PIECE_BITS;
        let even: Vec<u128> = (0..500).map(|at| first + (width / 500) * at + 7).collect();
        let uneven: Vec<u128> = (0..u128::BITS - PIECE_BITS).map(|bit| first + (1 << bit)).collect();
        let late: Vec<u128> = (0..300).map(|at| first + width - 900 + 3 * at).collect();
        for carriers in [
            &even[..],
            &uneven,
            &late,
            &even[..1],
            &even[..2],
            &[first, first + width],
            &[first + width],
        ] {
            let piece = piece_of(carriers);
            for (at, carrier) in carriers.iter().enumerate() {
                assert_eq!(byte_of(&piece, *carrier), Some(at as u8));
                for beside in [carrier - 1, carrier + 1, carrier ^ (1 << 40)] {
                    let within = (first..=first + width).contains(&beside) && !carriers.contains(&beside);
                    assert!(!within || byte_of(&piece, beside).is_none());
                }
            }
        }
        let none = piece_of(&[]);
        assert!(matches!(none.get(first + 3), Held::Absent));
    }
}
