//! Whom other rules connected: where what events say was read otherwise at an instant, today's components do not tell.
//!
//! All of the space's history is looked through twice: to see what evidence connected, and to take the events of what is
//! connected with whoever is asked about. Only identifiers are read of the others.

use super::known::Known;
use super::{PAST_EVENTS_MAX, PAST_MEGABYTES_MAX};
use crate::definitions::Definitions;
use crate::history::History;
use crate::reads::budget::{Budget, too_much};
use crate::{PipelineError, keys};
use kith_identity::{Component, Evidence};
use kith_state::{Keyspace, Read};
use kith_types::{Event, SpaceId, Timestamp};
use rustc_hash::{FxHashMap, FxHashSet};

/// Events of a space that are looked through, at most.
pub(super) const RESCANNED_EVENTS_MAX: usize = if cfg!(test) { 2_000 } else { 2_000_000 };

/// What evidence connects, by the hashes of identifiers.
#[derive(Default)]
struct Connected {
    places: FxHashMap<u128, u32>,
    parent: Vec<u32>,
}

impl Connected {
    fn place(&mut self, hash: u128) -> u32 {
        let next = self.parent.len() as u32;
        let place = *self.places.entry(hash).or_insert(next);
        if place == next {
            self.parent.push(next);
        }
        place
    }

    fn root(&mut self, mut place: u32) -> u32 {
        while self.parent[place as usize] != place {
            let above = self.parent[place as usize];
            self.parent[place as usize] = self.parent[above as usize];
            place = above;
        }
        place
    }

    fn add(&mut self, evidence: &Evidence) {
        let mut first = None;
        for named in &evidence.identifiers {
            let place = self.place(named.hash);
            let root = self.root(place);
            let of_first = *first.get_or_insert(root);
            let of_first = self.root(of_first);
            self.parent[root as usize] = of_first;
        }
    }

    /// The identifiers connected with one.
    fn with(mut self, identifier: u128) -> FxHashSet<u128> {
        let Some(place) = self.places.get(&identifier).copied() else {
            return FxHashSet::default();
        };
        let root = self.root(place);
        let all = std::mem::take(&mut self.places);
        all.into_iter()
            .filter_map(|(hash, place)| (self.root(place) == root).then_some(hash))
            .collect()
    }
}

/// Every event that evidence, read by the rules of then, had connected with an identifier by an instant.
pub(super) fn rescan(
    reader: &dyn Read,
    space: &SpaceId,
    then: &Definitions,
    identifier: u128,
    known_at: Timestamp,
) -> Result<Known, PipelineError> {
    let mut connected = Connected::default();
    visit_known(reader, (space, known_at), RESCANNED_EVENTS_MAX, &mut |event| {
        connected.add(&then.rules.read(event));
        true
    })?;
    let wanted = connected.with(identifier);
    let mut known = Known::of(wanted.iter().copied().collect());
    let mut budget = Budget::new(PAST_EVENTS_MAX, PAST_MEGABYTES_MAX << 20);
    let (from, to) = everything(space);
    let history = History::of(reader, space);
    let mut failed = None;
    reader.scan(Keyspace::Events, &from, &to, &mut |key, row| {
        let mut take = || {
            let named = history.evidence(key, row)?;
            let evidence = then.rules.read(&named);
            let carrier = evidence.carrier().filter(|carrier| wanted.contains(&carrier.hash));
            let Some(carrier) = carrier.filter(|_| named.received_at <= known_at) else {
                return Ok(());
            };
            if !budget.spend(row) {
                return Err(too_much(PAST_EVENTS_MAX, PAST_MEGABYTES_MAX));
            }
            known.add(carrier.hash, history.event(key, row)?);
            Ok(())
        };
        failed = take().err();
        failed.is_none()
    })?;
    if let Some(failed) = failed {
        return Err(failed);
    }
    known.sort();
    Ok(known)
}

fn everything(space: &SpaceId) -> (Vec<u8>, Vec<u8>) {
    let from = keys::space(space);
    let to = kith_state::prefix_end(&from).unwrap_or_default();
    (from, to)
}

/// Refuses components that are at a bound: which evidence it kept out then depends on the order in which it came.
///
/// # Errors
/// [`crate::PipelineErrorKind::Limit`].
pub(super) fn within_bounds(components: &[Component], known_at: Timestamp) -> Result<(), PipelineError> {
    if !components.iter().any(Component::is_full) {
        return Ok(());
    }
    Err(PipelineError::limit(format!(
        "rules of identity have changed in how they read events since {known_at}, and by those of then evidence connected as \
         much as its bound takes; what that left out cannot be told: ask as of a later instant"
    )))
}

/// Visits every event of a space that was known at an instant, without what it tells, in no order that means anything, until
/// `visit` says no; answers whether it did not.
///
/// # Errors
/// [`crate::PipelineErrorKind::Limit`] where there are more than `max` events, known or not.
pub(super) fn visit_known(
    reader: &dyn Read,
    (space, known_at): (&SpaceId, Timestamp),
    max: usize,
    visit: &mut dyn FnMut(&Event) -> bool,
) -> Result<bool, PipelineError> {
    let (mut looked_at, mut wanted, mut failed) = (0, true, None);
    let history = History::of(reader, space);
    let (from, to) = everything(space);
    reader.scan(Keyspace::Events, &from, &to, &mut |key, row| {
        looked_at += 1;
        if looked_at > max {
            return false;
        }
        match history.evidence(key, row) {
            Ok(event) if event.received_at <= known_at => wanted = visit(&event),
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
        wanted && failed.is_none()
    })?;
    failed.map_or(Ok(()), Err)?;
    if looked_at > max {
        return Err(PipelineError::limit(format!(
            "rules of identity have changed in how they read events since {known_at}, so whom they connected then is found by going \
             through all events, and there are more than {max}: ask as of a later instant"
        )));
    }
    Ok(wanted)
}
