//! Walks over everybody of a space in a snapshot, component by component, by several threads.
//!
//! First all parts are read in their order and cut to what is asked, then components, whose range is cut evenly; each thread takes
//! the next piece. Memory is bounded by a page of components for each thread and by what is held of parts, whatever the
//! number of people.

use super::alike::{Kinds, NO_KIND};
use super::comparison::{Asked, Both, Comparison};
use super::held::{Held, HeldParts, PIECES, Reading, piece_key};
use super::tally::{Tally, Who};
use crate::reads::parts::StoredParts;
use crate::threads::in_threads;
use crate::{PipelineError, plans};
use kith_identity::{Component, Member, Outline, OutlinedPart};
use kith_profile::Part;
use kith_profile::limits::MAX_TRAITS;
use kith_state::{Keyspace, Read};
use kith_types::{Identifier, ProfileId, SpaceId, Timestamp};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Components read at once.
const PAGE: usize = if cfg!(test) { 2 } else { 1024 };
/// Of these, components whose parts are looked for together.
const TOGETHER: usize = if cfg!(test) { 2 } else { 64 };

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
    /// What one person of each kind answers.
    kinds: Vec<Tally>,
    how: How<'a>,
    next_piece: AtomicUsize,
    stopped: AtomicBool,
}

/// Stored components, one behind the other.
#[derive(Default)]
pub(super) struct Page {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// What a thread comes to, and what it uses again from some components to the next.
#[derive(Default)]
struct Asker<'a> {
    tally: Tally,
    /// How many people are of each kind.
    of_kind: Vec<u64>,
    outline: Outline,
    people: Vec<Person>,
    parts: Vec<OutlinedPart>,
    /// What is held of each part.
    held: Vec<Held<'a>>,
    carriers: Vec<u128>,
    whole: Part,
    part: Part,
}

/// Somebody of a page.
struct Person {
    id: ProfileId,
    /// Where their component is in the page.
    component: usize,
    /// Where their parts end; they begin where those of the person before end.
    parts_end: usize,
    identity_limited: bool,
}

/// Everybody's answers; nothing when `go_on` said no.
pub(super) fn ask(
    reader: &dyn Read,
    (space, comparison): (&SpaceId, &Comparison),
    how: How<'_>,
) -> Result<Option<Tally>, PipelineError> {
    let plans = plans::load(reader, space)?;
    let kinds = Kinds::new(comparison, how.now);
    let reading = Reading {
        reader,
        space,
        asked: &comparison.asked_of_parts(),
        plans: &plans,
        kinds: kinds.as_ref(),
    };
    let mut walk = Walk {
        reader,
        space,
        comparison,
        held: HeldParts::new(how.bytes_held),
        parts: StoredParts::new(reader, space, &comparison.plan),
        kinds: Vec::new(),
        how,
        next_piece: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
    };
    in_threads(how.threads, &|| walk.held.read(&reading, &|| walk.goes_on()))?;
    walk.kinds = kinds.map(Kinds::into_answers).unwrap_or_default();
    let mut tally = Tally::default();
    for answer in in_threads(how.threads, &|| walk.run())? {
        tally.add(answer, comparison.samples);
    }
    Ok((!walk.stopped.load(Ordering::Acquire)).then_some(tally))
}

/// Reads the components of a piece, page after page into the same memory, until `take` says no; answers whether it never did.
pub(super) fn each_page(
    reader: &dyn Read,
    space: &SpaceId,
    piece: usize,
    page: &mut Page,
    take: &mut dyn FnMut(&Page) -> Result<bool, PipelineError>,
) -> Result<bool, PipelineError> {
    let mut from = piece_key(space, piece);
    let to = piece_key(space, piece + 1);
    loop {
        page.clear();
        let mut last = Vec::new();
        reader.scan(Keyspace::Components, &from, &to, &mut |key, bytes| {
            page.push(bytes);
            last.clear();
            last.extend_from_slice(key);
            page.ends.len() < PAGE
        })?;
        if !take(page)? {
            return Ok(false);
        }
        if page.ends.len() < PAGE {
            return Ok(true);
        }
        last.push(0);
        from = last;
    }
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
        let (mut asker, mut page) = (Asker::default(), Page::default());
        asker.of_kind.resize(self.kinds.len(), 0);
        loop {
            let piece = self.next_piece.fetch_add(1, Ordering::Relaxed);
            if piece >= PIECES {
                break;
            }
            let asked = self.ask_piece(piece, &mut page, &mut asker);
            if asked.is_err() || self.stopped.load(Ordering::Acquire) {
                self.stopped.store(true, Ordering::Release);
                asked?;
                break;
            }
        }
        let Asker { mut tally, of_kind, .. } = asker;
        for (answer, people) in self.kinds.iter().zip(of_kind).filter(|(_, people)| *people > 0) {
            tally.add_times(answer, people);
        }
        Ok(tally)
    }

    fn ask_piece<'a>(&'a self, piece: usize, page: &mut Page, asker: &mut Asker<'a>) -> Result<(), PipelineError> {
        each_page(self.reader, self.space, piece, page, &mut |page| {
            for first in (0..page.ends.len()).step_by(TOGETHER) {
                self.ask_some(page, first, asker)?;
            }
            Ok(self.goes_on())
        })
        .map(drop)
    }

    /// Asks the people of some components, from one on. Their parts are looked for one right after the other, so that the memory
    /// that each lies in is waited for once for all.
    fn ask_some<'a>(&'a self, page: &Page, first: usize, asker: &mut Asker<'a>) -> Result<(), PipelineError> {
        let Asker {
            outline,
            people,
            parts,
            held,
            ..
        } = asker;
        people.clear();
        parts.clear();
        held.clear();
        for component in first..page.ends.len().min(first + TOGETHER) {
            let corrupt = |_| PipelineError::corrupt("components");
            outline.read(page.component(component)).map_err(corrupt)?;
            for (id, own) in outline.profiles() {
                parts.extend_from_slice(own);
                people.push(Person {
                    id,
                    component,
                    parts_end: parts.len(),
                    identity_limited: outline.is_full(),
                });
            }
        }
        held.extend(parts.iter().map(|part| self.held.get(&part.key)));
        self.how.people.fetch_add(people.len() as u64, Ordering::Relaxed);
        self.ask_people(page, asker)
    }

    fn ask_people(&self, page: &Page, asker: &mut Asker<'_>) -> Result<(), PipelineError> {
        let damaged = Cell::new(false);
        let (mut begin, samples) = (0, self.comparison.samples);
        for person in &asker.people {
            let own = begin..person.parts_end;
            begin = person.parts_end;
            let (parts, held) = (&asker.parts[own.clone()], &asker.held[own]);
            let identifiers = |most: usize| {
                let found = identifiers(page.component(person.component), person.id, most);
                found.unwrap_or_else(|| {
                    damaged.set(true);
                    Vec::new()
                })
            };
            let who = Who {
                id: person.id,
                identifiers: &identifiers,
            };
            if let Some(kind) = kind_of(held)
                && let Some(people) = asker.of_kind.get_mut(kind)
            {
                *people += 1;
                if samples > 0 {
                    asker.tally.show(&self.kinds[kind], &who, samples);
                }
                continue;
            }
            asker.carriers.clear();
            asker.carriers.extend(parts.iter().map(|part| part.key.carrier));
            let whole = &mut asker.whole;
            self.make_whole((parts, held), whole, &mut asker.part)?;
            let accounts = self.comparison.accounts(self.reader, self.space, whole)?;
            let asked = Asked {
                who,
                accounts: &accounts,
                carriers: &asker.carriers,
                whole,
                identity_limited: person.identity_limited,
            };
            self.comparison.ask(Both::Same(&asked), self.how.now, &mut asker.tally);
        }
        match damaged.get() {
            true => Err(PipelineError::corrupt("components")),
            false => Ok(()),
        }
    }

    /// Makes a profile's fold, with all that is asked for. Both folds are used again.
    fn make_whole(
        &self,
        (parts, held): (&[OutlinedPart], &[Held<'_>]),
        whole: &mut Part,
        another: &mut Part,
    ) -> Result<(), PipelineError> {
        let (mut is_begun, mut traits) = (false, 0);
        for (part, held) in parts.iter().zip(held) {
            let into = if is_begun { &mut *another } else { &mut *whole };
            match held {
                Held::Absent => continue,
                Held::Cut(held) => {
                    traits += held.traits;
                    let read = into.decode_again(held.bytes, &self.comparison.plan);
                    read.map_err(|_| PipelineError::corrupt("parts"))?;
                }
                Held::Unknown => {
                    *into = self.parts.read(&part.key, part.end)?;
                    traits += into.trait_entries();
                }
            }
            if is_begun {
                whole.merge_from(another);
            }
            is_begun = true;
        }
        if is_begun && traits <= MAX_TRAITS {
            return Ok(());
        }
        *whole = Part::default();
        // A limit may take traits from them together, whichever those are: all must be there.
        for part in parts.iter().filter(|_| is_begun) {
            join(whole, self.parts.read(&part.key, part.end)?);
        }
        Ok(())
    }
}

/// The kind of who has these parts: that of the only part there is.
fn kind_of(held: &[Held<'_>]) -> Option<usize> {
    let mut only = NO_KIND;
    for part in held {
        match part {
            Held::Absent => {}
            Held::Cut(part) if only == NO_KIND && part.kind != NO_KIND => only = part.kind,
            Held::Cut(_) | Held::Unknown => return None,
        }
    }
    (only != NO_KIND).then_some(usize::from(only))
}

pub(super) fn join(whole: &mut Part, part: Part) {
    match whole.is_empty() {
        true => *whole = part,
        false => whole.merge_from(&part),
    }
}

/// The first identifiers of a profile, the oldest first.
fn identifiers(component: &[u8], id: ProfileId, most: usize) -> Option<Vec<Identifier>> {
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

    pub(super) fn components(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|at| self.component(at))
    }

    fn component(&self, at: usize) -> &[u8] {
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[from..self.ends[at]]
    }
}
