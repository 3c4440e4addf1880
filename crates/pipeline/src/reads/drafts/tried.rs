//! Walks over everybody there would be under other rules of identity, and over those there would be no more: each is asked as they
//! are and as they would be.
//!
//! Component by component, by several threads, in what a trial has staged over a snapshot; memory is bounded by a page of
//! components for each thread.

use super::comparison::{Accounts, Asked, Both, Comparison};
use super::everybody::{How, join};
use super::held::{PIECES, piece_key, span_of_piece};
use super::tally::{Tally, Who};
use crate::new_rules::{Trial, home_of_profile};
use crate::reads::parts::StoredParts;
use crate::threads::in_threads;
use crate::{PipelineError, keys};
use kith_identity::{Component, Member};
use kith_profile::Part;
use kith_state::{Keyspace, Read};
use kith_types::{Identifier, ProfileId, SpaceId};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Components read at once.
const PAGE: usize = if cfg!(test) { 2 } else { 256 };

/// A look at people: a state, and their parts in it.
struct Look<'a> {
    reader: &'a dyn Read,
    parts: StoredParts<'a>,
}

/// What the threads of a walk share.
struct Walk<'a> {
    space: &'a SpaceId,
    comparison: &'a Comparison,
    trial: &'a Trial<'a>,
    /// Who they are now.
    now: Look<'a>,
    /// Who they would be, whom it walks over.
    then: Look<'a>,
    how: How<'a>,
    next_piece: AtomicUsize,
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
    fn asked<'b>(&'b self, identifiers: &'b dyn Fn(usize) -> Vec<Identifier>) -> Asked<'b> {
        Asked {
            who: Who {
                id: self.id,
                identifiers,
            },
            accounts: &self.accounts,
            carriers: &self.carriers,
            whole: &self.whole,
            identity_limited: self.identity_limited,
        }
    }

    fn identifiers(&self, most: usize) -> Vec<Identifier> {
        Member::identifiers(self.members).take(most).cloned().collect()
    }
}

/// Everybody's answers; nothing when `go_on` said no.
pub(super) fn ask(
    trial: &Trial<'_>,
    (space, comparison): (&SpaceId, &Comparison),
    how: How<'_>,
) -> Result<Option<Tally>, PipelineError> {
    let look = |reader| Look {
        reader,
        parts: StoredParts::new(reader, space, &comparison.plan),
    };
    let then = trial.after(space);
    let walk = Walk {
        space,
        comparison,
        trial,
        now: look(trial.stands()),
        then: look(&then),
        how,
        next_piece: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
    };
    let mut tally = Tally::default();
    for answer in in_threads(how.threads, &|| walk.run())? {
        tally.add(answer, comparison.samples);
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
        let mut from = piece_key(self.space, piece);
        let to = piece_key(self.space, piece + 1);
        loop {
            let (mut page, mut last) = (Vec::with_capacity(PAGE), Vec::new());
            self.then
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
        self.ask_who_is_gone(piece, tally)
    }

    fn goes_on(&self) -> bool {
        if !(self.how.go_on)(self.how.people.load(Ordering::Relaxed)) {
            self.stopped.store(true, Ordering::Release);
        }
        !self.stopped.load(Ordering::Acquire)
    }

    fn ask_component(&self, component: &Component, tally: &mut Tally) -> Result<(), PipelineError> {
        for profile in component.profiles() {
            let found = self.find(&self.then, (profile.id, &profile.members), component)?;
            let identifiers = |most| found.identifiers(most);
            let asked = found.asked(&identifiers);
            match self.trial.concerns(self.space, profile.id)? {
                true => self.ask_both(profile.id, Some(&asked), tally)?,
                false => self.comparison.ask(Both::Same(&asked), self.how.now, tally),
            }
            self.how.people.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Asks whoever there would be no more, of those whose ids lie in a piece.
    fn ask_who_is_gone(&self, piece: usize, tally: &mut Tally) -> Result<(), PipelineError> {
        let (first, last) = span_of_piece(piece);
        let mut from = Some(first);
        while let Some(start) = from {
            let some = self.trial.concerned(self.space, start, PAGE)?;
            let within = some.iter().copied().take_while(|id| *id <= last);
            for id in within.map(ProfileId) {
                let key = keys::wide(self.space, id.0);
                // Who only has another id was asked under that.
                if self.then.reader.get(Keyspace::Profiles, &key)?.is_none()
                    && self.trial.renamed_to(self.space, id)?.is_none()
                {
                    self.ask_both(id, None, tally)?;
                }
            }
            from = (some.last().filter(|id| **id < last && self.goes_on())).map(|id| id + 1);
        }
        Ok(())
    }

    /// Asks somebody as they stand, where they do, maybe under another id, and as they would be, where they would.
    fn ask_both(&self, id: ProfileId, then: Option<&Asked<'_>>, tally: &mut Tally) -> Result<(), PipelineError> {
        let mut id = id;
        let mut home = home_of_profile(self.now.reader, self.space, id)?;
        if home.is_none()
            && let Some(old) = self.trial.renamed_from(self.space, id)?
        {
            id = old;
            home = home_of_profile(self.now.reader, self.space, old)?;
        }
        let Some((_, component)) = home else {
            self.comparison.ask(Both::Other(None, then), self.how.now, tally);
            return Ok(());
        };
        let members = component.members_of(id);
        let found = self.find(&self.now, (id, &members), &component)?;
        let identifiers = |most| found.identifiers(most);
        let both = Both::Other(Some(&found.asked(&identifiers)), then);
        self.comparison.ask(both, self.how.now, tally);
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
            join(&mut whole, part);
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
