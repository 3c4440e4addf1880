//! Walks over everybody of a space in a snapshot, component by component, by several threads.
//!
//! Components lie in the order of hashes, so their range is cut evenly; each thread takes the next piece. Memory is
//! bounded by a page of components for each thread, whatever the number of people.

use super::comparison::{Asked, Comparison};
use super::tally::Tally;
use crate::reads::parts::StoredParts;
use crate::{PipelineError, keys};
use kith_identity::Component;
use kith_profile::Part;
use kith_state::{Keyspace, Read};
use kith_types::{SpaceId, Timestamp};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Pieces of the walk; some 16 for each thread even things out.
const PIECES: usize = 128;
/// Components read at once.
const PAGE: usize = if cfg!(test) { 2 } else { 256 };

/// What the threads of a walk share.
struct Walk<'a> {
    reader: &'a dyn Read,
    space: &'a SpaceId,
    comparison: &'a Comparison,
    parts: StoredParts<'a>,
    now: Timestamp,
    go_on: &'a (dyn Fn(u64) -> bool + Sync),
    next_piece: AtomicUsize,
    people: AtomicU64,
    stopped: AtomicBool,
}

/// Everybody's answers; nothing when `go_on` said no.
pub(super) fn ask(
    reader: &dyn Read,
    space: &SpaceId,
    comparison: &Comparison,
    now: Timestamp,
    threads: usize,
    go_on: &(dyn Fn(u64) -> bool + Sync),
) -> Result<Option<Tally>, PipelineError> {
    let walk = Walk {
        reader,
        space,
        comparison,
        parts: StoredParts::new(reader, space, &comparison.plan),
        now,
        go_on,
        next_piece: AtomicUsize::new(0),
        people: AtomicU64::new(0),
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
        let mut from = keys::wide(self.space, width * piece as u128);
        let to = match piece + 1 {
            PIECES => kith_state::prefix_end(&keys::space(self.space)).unwrap_or_default(),
            next => keys::wide(self.space, width * next as u128),
        };
        loop {
            let (mut page, mut last) = (Vec::with_capacity(PAGE), Vec::new());
            self.reader.scan(Keyspace::Components, &from, &to, &mut |key, bytes| {
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
            let people = self.people.load(Ordering::Relaxed);
            if !(self.go_on)(people) {
                self.stopped.store(true, Ordering::Release);
            }
            if !full || self.stopped.load(Ordering::Acquire) {
                return Ok(());
            }
            last.push(0);
            from = last;
        }
    }

    fn ask_component(&self, component: &Component, tally: &mut Tally) -> Result<(), PipelineError> {
        let mut carriers = Vec::new();
        for profile in component.profiles() {
            let mut whole = Part::default();
            carriers.clear();
            for member in &profile.members {
                carriers.push(member.part.carrier);
                let part = self.parts.read(&member.part, member.end)?;
                match whole.is_empty() {
                    true => whole = part,
                    false => whole.merge_from(&part),
                }
            }
            let accounts = self.comparison.accounts(self.reader, self.space, &whole)?;
            let asked = Asked {
                id: profile.id,
                accounts: &accounts,
                carriers: &carriers,
                members: &profile.members,
                whole: &whole,
                identity_limited: component.is_full(),
            };
            self.comparison.ask(&asked, self.now, tally);
            self.people.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
