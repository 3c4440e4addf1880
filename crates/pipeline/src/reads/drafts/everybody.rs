//! Walks over everybody of a space in a snapshot, component by component, by several threads.
//!
//! First all parts are read in their order and cut to what is asked, then components, whose range is cut evenly; each thread takes
//! the next piece. Memory is bounded by a page of components for each thread and by what is held of parts, whatever the
//! number of people.

use super::comparison::{Asked, Both, Comparison};
use super::held::{Held, HeldParts, PIECES, Reading, piece_key};
use super::tally::Tally;
use crate::reads::parts::StoredParts;
use crate::{PipelineError, plans};
use kith_identity::{Component, Member, Outline, OutlinedPart};
use kith_profile::Part;
use kith_profile::limits::MAX_TRAITS;
use kith_state::{Keyspace, Read};
use kith_types::{ProfileId, SpaceId, Timestamp};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Components read at once.
const PAGE: usize = if cfg!(test) { 2 } else { 1024 };

/// How everybody is asked.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    /// The instant.
    pub(super) now: Timestamp,
    pub(super) threads: usize,
    /// At most about how many bytes of parts are held.
    pub(super) bytes_held: usize,
    /// Counts who has been asked.
    pub(super) people: &'a AtomicU64,
    /// Asked between people, with how many have been asked so far.
    pub(super) go_on: &'a (dyn Fn(u64) -> bool + Sync),
}

/// What the threads of a walk share.
struct Walk<'a> {
    reader: &'a dyn Read,
    space: &'a SpaceId,
    comparison: &'a Comparison,
    /// What is asked for of most parts.
    held: HeldParts,
    /// The others.
    parts: StoredParts<'a>,
    how: How<'a>,
    next_piece: AtomicUsize,
    stopped: AtomicBool,
}

/// Stored components, one behind the other.
#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// What a thread uses again from one component to the next.
#[derive(Default)]
struct Reused {
    page: Page,
    outline: Outline,
    carriers: Vec<u128>,
}

/// Everybody's answers; nothing when `go_on` said no.
pub(super) fn ask(
    reader: &dyn Read,
    (space, comparison): (&SpaceId, &Comparison),
    how: How<'_>,
) -> Result<Option<Tally>, PipelineError> {
    let walk = Walk {
        reader,
        space,
        comparison,
        held: HeldParts::new(how.bytes_held),
        parts: StoredParts::new(reader, space, &comparison.plan),
        how,
        next_piece: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
    };
    let plans = plans::load(reader, space)?;
    let reading = Reading {
        reader,
        space,
        asked: &comparison.asked_of_parts(),
        plans: &plans,
    };
    in_threads(how.threads, &|| walk.held.read(&reading, &|| walk.goes_on()))?;
    let mut tally = Tally::default();
    for answer in in_threads(how.threads, &|| walk.run())? {
        tally.add(answer, comparison.samples);
    }
    Ok((!walk.stopped.load(Ordering::Acquire)).then_some(tally))
}

/// What each of several threads comes to.
pub(super) fn in_threads<T: Send>(
    threads: usize,
    work: &(dyn Fn() -> Result<T, PipelineError> + Sync),
) -> Result<Vec<T>, PipelineError> {
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.clamp(1, PIECES)).map(|_| scope.spawn(work)).collect();
        let mut ended = vec![work()];
        ended.extend(others.into_iter().map(|other| {
            other.join().unwrap_or_else(|_| {
                let panicked = "a thread that asks people ended by a panic";
                Err(PipelineError::storage("people could not be asked", panicked))
            })
        }));
        ended.into_iter().collect()
    })
}

impl Walk<'_> {
    /// Whether the answer is still wanted.
    fn goes_on(&self) -> bool {
        if !(self.how.go_on)(self.how.people.load(Ordering::Relaxed)) {
            self.stopped.store(true, Ordering::Release);
        }
        !self.stopped.load(Ordering::Acquire)
    }

    fn run(&self) -> Result<Tally, PipelineError> {
        let (mut tally, mut reused) = (Tally::default(), Reused::default());
        loop {
            let piece = self.next_piece.fetch_add(1, Ordering::Relaxed);
            if piece >= PIECES {
                return Ok(tally);
            }
            let asked = self.ask_piece(piece, &mut reused, &mut tally);
            if asked.is_err() || self.stopped.load(Ordering::Acquire) {
                self.stopped.store(true, Ordering::Release);
                return asked.map(|()| tally);
            }
        }
    }

    fn ask_piece(&self, piece: usize, reused: &mut Reused, tally: &mut Tally) -> Result<(), PipelineError> {
        let mut from = piece_key(self.space, piece);
        let to = piece_key(self.space, piece + 1);
        loop {
            let page = &mut reused.page;
            page.clear();
            let mut last = Vec::new();
            self.reader.scan(Keyspace::Components, &from, &to, &mut |key, bytes| {
                page.push(bytes);
                last.clear();
                last.extend_from_slice(key);
                page.ends.len() < PAGE
            })?;
            let Reused {
                page,
                outline,
                carriers,
            } = &mut *reused;
            for component in page.components() {
                self.ask_component(component, (outline, carriers), tally)?;
            }
            if !self.goes_on() || page.ends.len() < PAGE {
                return Ok(());
            }
            last.push(0);
            from = last;
        }
    }

    fn ask_component(
        &self,
        bytes: &[u8],
        (outline, carriers): (&mut Outline, &mut Vec<u128>),
        tally: &mut Tally,
    ) -> Result<(), PipelineError> {
        let corrupt = |_| PipelineError::corrupt("components");
        outline.read(bytes).map_err(corrupt)?;
        let damaged = Cell::new(false);
        for (id, parts) in outline.profiles() {
            carriers.clear();
            carriers.extend(parts.iter().map(|part| part.key.carrier));
            let whole = self.whole(parts)?;
            let accounts = self.comparison.accounts(self.reader, self.space, &whole)?;
            let asked = Asked {
                id,
                accounts: &accounts,
                carriers,
                identifiers: &|most| {
                    identifiers(bytes, id, most).unwrap_or_else(|| {
                        damaged.set(true);
                        Vec::new()
                    })
                },
                whole: &whole,
                identity_limited: outline.is_full(),
            };
            self.comparison.ask(Both::Same(&asked), self.how.now, tally);
            self.how.people.fetch_add(1, Ordering::Relaxed);
        }
        match damaged.get() {
            true => Err(PipelineError::corrupt("components")),
            false => Ok(()),
        }
    }

    /// A profile's fold, with all that is asked for.
    fn whole(&self, parts: &[OutlinedPart]) -> Result<Part, PipelineError> {
        let (mut whole, mut traits) = (Part::default(), 0);
        for part in parts {
            let held = match part.key.start {
                None => self.held.get(part.key.carrier),
                Some(_) => Held::Unknown,
            };
            let stored = match held {
                Held::Absent => continue,
                Held::Cut(bytes, count) => {
                    traits += count;
                    let part = Part::decode_for(bytes, &self.comparison.plan);
                    part.map_err(|_| PipelineError::corrupt("parts"))?
                }
                Held::Unknown => {
                    let part = self.parts.read(&part.key, part.end)?;
                    traits += part.trait_entries();
                    part
                }
            };
            join(&mut whole, stored);
        }
        if traits <= MAX_TRAITS {
            return Ok(whole);
        }
        // A limit may take traits from them together, whichever those are: all must be there.
        let mut whole = Part::default();
        for part in parts {
            join(&mut whole, self.parts.read(&part.key, part.end)?);
        }
        Ok(whole)
    }
}

pub(super) fn join(whole: &mut Part, part: Part) {
    match whole.is_empty() {
        true => *whole = part,
        false => whole.merge_from(&part),
    }
}

/// The first identifiers of a profile, the oldest first.
fn identifiers(component: &[u8], id: ProfileId, most: usize) -> Option<Vec<kith_types::Identifier>> {
    let members = Component::decode(component).ok()?.members_of(id);
    Some(Member::identifiers(&members).take(most).cloned().collect())
}

impl Page {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn push(&mut self, component: &[u8]) {
        self.bytes.extend_from_slice(component);
        self.ends.push(self.bytes.len());
    }

    fn components(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(from, to)| &self.bytes[from..*to])
    }
}
