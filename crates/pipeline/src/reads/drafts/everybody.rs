//! Walks over everybody of a space in a snapshot, component by component, by several threads.
//!
//! Components lie in the order of hashes, so their range is cut evenly; each thread takes the next piece. Memory is
//! bounded by a page of components for each thread, whatever the number of people. Where rules of identity change, it walks
//! over everybody there would be, and over those there would be no more: each is asked as they are and as they would be.

use super::comparison::{Accounts, Asked, Both, Comparison};
use super::tally::Tally;
use crate::new_rules::{Trial, home_of_profile};
use crate::reads::parts::StoredParts;
use crate::{PipelineError, keys};
use kith_identity::{Component, Member};
use kith_profile::Part;
use kith_state::{Keyspace, Read};
use kith_types::{ProfileId, SpaceId, Timestamp};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Pieces of the walk; some 16 for each thread even things out.
const PIECES: usize = 128;
/// Components read at once.
const PAGE: usize = if cfg!(test) { 2 } else { 256 };

/// Who is asked.
#[derive(Clone, Copy)]
pub(super) enum Everybody<'a> {
    /// Everybody of a snapshot.
    Standing(&'a dyn Read),
    /// Everybody of a snapshot, and everybody there would be by what a trial has staged over it.
    Tried(&'a Trial<'a>),
}

/// A look at people: a state, and their parts in it.
struct Look<'a> {
    reader: &'a dyn Read,
    parts: StoredParts<'a>,
}

/// What the threads of a walk share.
struct Walk<'a> {
    space: &'a SpaceId,
    comparison: &'a Comparison,
    /// Whom it walks over.
    look: Look<'a>,
    /// Who they are now, where they would be others.
    tried: Option<(&'a Trial<'a>, Look<'a>)>,
    now: Timestamp,
    go_on: &'a (dyn Fn(u64) -> bool + Sync),
    next_piece: AtomicUsize,
    people: &'a AtomicU64,
    stopped: AtomicBool,
}

/// A person as they lie in a look.
struct Found<'a> {
    id: ProfileId,
    carriers: Vec<u128>,
    members: &'a [Member],
    whole: Part,
    identity_limited: bool,
    accounts: Accounts,
}

impl Found<'_> {
    fn asked(&self) -> Asked<'_> {
        Asked {
            id: self.id,
            accounts: &self.accounts,
            carriers: &self.carriers,
            members: self.members,
            whole: &self.whole,
            identity_limited: self.identity_limited,
        }
    }
}

/// Everybody's answers, by some threads; nothing when `go_on` said no. `people` counts who has been asked.
pub(super) fn ask(
    everybody: Everybody<'_>,
    (space, comparison): (&SpaceId, &Comparison),
    now: Timestamp,
    threads: usize,
    (people, go_on): (&AtomicU64, &(dyn Fn(u64) -> bool + Sync)),
) -> Result<Option<Tally>, PipelineError> {
    let look = |reader| Look {
        reader,
        parts: StoredParts::new(reader, space, &comparison.plan),
    };
    let then;
    let (reader, tried): (&dyn Read, _) = match everybody {
        Everybody::Standing(reader) => (reader, None),
        Everybody::Tried(trial) => {
            then = trial.after(space);
            (&then, Some((trial, look(trial.stands()))))
        }
    };
    let walk = Walk {
        space,
        comparison,
        look: look(reader),
        tried,
        now,
        go_on,
        next_piece: AtomicUsize::new(0),
        people,
        stopped: AtomicBool::new(false),
    };
    let answers = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.clamp(1, PIECES))
            .map(|_| scope.spawn(|| walk.run()))
            .collect();
        let mut answers = vec![walk.run()];
        answers.extend(others.into_iter().map(|other| {
            let ended = other.join();
            ended.unwrap_or_else(|_| {
                let panicked = "a thread that asks people ended by a panic";
                Err(PipelineError::storage("people could not be asked", panicked))
            })
        }));
        answers
    });
    let mut tally = Tally::default();
    for answer in answers {
        tally.add(answer?, comparison.samples);
    }
    Ok((!walk.stopped.load(Ordering::Acquire)).then_some(tally))
}

impl Walk<'_> {
    fn run(&self) -> Result<Tally, PipelineError> {
        let mut tally = Tally::default();
        loop {
            let piece = self.next_piece.fetch_add(1, Ordering::Relaxed);
            if piece >= PIECES {
                return Ok(tally);
            }
            let asked = self.ask_piece(piece, &mut tally);
            if asked.is_err() || self.stopped.load(Ordering::Acquire) {
                self.stopped.store(true, Ordering::Release);
                return asked.map(|()| tally);
            }
        }
    }

    fn ask_piece(&self, piece: usize, tally: &mut Tally) -> Result<(), PipelineError> {
        let width = u128::MAX / PIECES as u128 + 1;
        let first = width * piece as u128;
        let mut from = keys::wide(self.space, first);
        let to = match piece + 1 {
            PIECES => kith_state::prefix_end(&keys::space(self.space)).unwrap_or_default(),
            next => keys::wide(self.space, width * next as u128),
        };
        loop {
            let (mut page, mut last) = (Vec::with_capacity(PAGE), Vec::new());
            self.look
                .reader
                .scan(Keyspace::Components, &from, &to, &mut |key, bytes| {
                    page.push(Component::decode(bytes).ok());
                    last.clear();
                    last.extend_from_slice(key);
                    page.len() < PAGE
                })?;
            let full = page.len() == PAGE;
            for component in page {
                let component = component.ok_or_else(|| PipelineError::corrupt("components"))?;
                self.ask_component(&component, tally)?;
            }
            if !self.goes_on() {
                return Ok(());
            }
            if !full {
                break;
            }
            last.push(0);
            from = last;
        }
        match &self.tried {
            Some(tried) => self.ask_who_is_gone(tried, (first, first.saturating_add(width - 1)), tally),
            None => Ok(()),
        }
    }

    fn goes_on(&self) -> bool {
        if !(self.go_on)(self.people.load(Ordering::Relaxed)) {
            self.stopped.store(true, Ordering::Release);
        }
        !self.stopped.load(Ordering::Acquire)
    }

    fn ask_component(&self, component: &Component, tally: &mut Tally) -> Result<(), PipelineError> {
        for profile in component.profiles() {
            let found = self.find(&self.look, (profile.id, &profile.members), component)?;
            let asked = found.asked();
            match &self.tried {
                Some(tried) if tried.0.concerns(self.space, profile.id)? => {
                    self.ask_both(tried, profile.id, Some(&asked), tally)?;
                }
                _ => self.comparison.ask(Both::Same(&asked), self.now, tally),
            }
            self.people.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Asks whoever there would be no more, of those whose ids lie in a span.
    fn ask_who_is_gone(
        &self,
        tried: &(&Trial<'_>, Look<'_>),
        (first, last): (u128, u128),
        tally: &mut Tally,
    ) -> Result<(), PipelineError> {
        let mut from = Some(first);
        while let Some(start) = from {
            let some = tried.0.concerned(self.space, start, PAGE)?;
            let within = some.iter().copied().take_while(|id| *id <= last);
            for id in within.map(ProfileId) {
                let key = keys::wide(self.space, id.0);
                if self.look.reader.get(Keyspace::Profiles, &key)?.is_none() {
                    self.ask_both(tried, id, None, tally)?;
                }
            }
            from = (some.last().filter(|id| **id < last && self.goes_on())).map(|id| id + 1);
        }
        Ok(())
    }

    /// Asks somebody as they stand, where they do, and as they would be, where they would.
    fn ask_both(
        &self,
        (_, stands): &(&Trial<'_>, Look<'_>),
        id: ProfileId,
        then: Option<&Asked<'_>>,
        tally: &mut Tally,
    ) -> Result<(), PipelineError> {
        let Some((_, component)) = home_of_profile(stands.reader, self.space, id)? else {
            self.comparison.ask(Both::Other(None, then), self.now, tally);
            return Ok(());
        };
        let members = component.members_of(id);
        let found = self.find(stands, (id, &members), &component)?;
        let both = Both::Other(Some(&found.asked()), then);
        self.comparison.ask(both, self.now, tally);
        Ok(())
    }

    fn find<'b>(
        &self,
        look: &Look<'_>,
        (id, members): (ProfileId, &'b [Member]),
        component: &Component,
    ) -> Result<Found<'b>, PipelineError> {
        let mut whole = Part::default();
        let mut carriers = Vec::with_capacity(members.len());
        for member in members {
            carriers.push(member.part.carrier);
            let part = look.parts.read(&member.part, member.end)?;
            match whole.is_empty() {
                true => whole = part,
                false => whole.merge_from(&part),
            }
        }
        let accounts = self.comparison.accounts(look.reader, self.space, &whole)?;
        Ok(Found {
            id,
            carriers,
            members,
            whole,
            identity_limited: component.is_full(),
            accounts,
        })
    }
}
