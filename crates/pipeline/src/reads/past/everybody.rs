//! Who held which identifier as of an instant: everybody, for who joins events with the people of then (contract IDN-8).
//!
//! Component by component, each in little memory however many events it has; where rules read events otherwise then, from all of
//! the space's events at once, within the bound of [`super::rescan`].

use super::AsOf;
use super::rescan::{RESCANNED_EVENTS_MAX, visit_known, within_bounds};
use crate::definitions::Definitions;
use crate::history::{self, History};
use crate::reads::Reads;
use crate::{PipelineError, in_order, keys};
use kith_identity::{Component, Gathering, Rules};
use kith_state::{Keyspace, Read};
use kith_types::{Identifier, ProfileId, SpaceId, Timestamp};
use std::sync::Arc;

/// Components read at once.
const PAGE: usize = if cfg!(test) { 2 } else { 1_000 };

/// Who held an identifier, as of an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldThen {
    /// Type and normalised value, by the rules of then.
    pub identifier: Identifier,
    /// Who held it.
    pub profile: ProfileId,
    /// When it was first seen; of a held identifier, in its interval.
    pub first_seen: Timestamp,
    /// The start of the interval for which it was held (contract IDN-9); none: from the beginning.
    pub from: Option<Timestamp>,
    /// The end of that interval, exclusive; none: it was still held.
    pub to: Option<Timestamp>,
}

/// Whether more is wanted.
type Take<'a> = &'a mut dyn FnMut(HeldThen) -> bool;
/// Asked while nothing is told: whether the answer is still wanted.
type GoOn<'a> = &'a dyn Fn() -> bool;

impl Reads {
    /// The rules of identity that were in force at an instant.
    ///
    /// # Errors
    /// As [`Reads::person_as_of`].
    pub fn rules_as_of(&self, space: &SpaceId, at: Timestamp) -> Result<Arc<Rules>, PipelineError> {
        let Some((now, snapshot)) = self.look(space)? else {
            return Ok(Arc::default());
        };
        let then = self.past_definitions.at(&*snapshot, space, &now, at)?;
        Ok(Arc::clone(&then.rules))
    }

    /// Every identifier of a space with who held it as of an instant, by what was received and decided by then, until `take` or
    /// `go_on`, which is asked in between, says no. `take` may wait: nothing that others need is held meanwhile.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Limit`] where the definitions of then are forgotten, or their rules read events otherwise than
    /// those of today and there are too many events; otherwise as [`Reads::person`].
    pub fn identifiers_as_of(
        &self,
        space: &SpaceId,
        at: Timestamp,
        go_on: GoOn<'_>,
        take: Take<'_>,
    ) -> Result<(), PipelineError> {
        let Some((now, snapshot)) = self.look(space)? else {
            return Ok(());
        };
        let then = self.past_definitions.at(&*snapshot, space, &now, at)?;
        let known = Known {
            reader: &*snapshot,
            history: History::of(&*snapshot, space),
            space,
            now: &now,
            then: &then,
            at: AsOf::then(at).known_at,
        };
        if then.rules.reads_as(&now.rules) {
            return known.by_components(go_on, take);
        }
        let components = {
            let _one_at_a_time = self.past_definitions.large();
            known.at_once(go_on)?
        };
        // Whoever takes them may be slow.
        let _ = components.iter().all(|component| tell(component, take));
        Ok(())
    }
}

/// What was known at an instant, by the definitions of then.
struct Known<'a> {
    reader: &'a dyn Read,
    history: History<'a>,
    space: &'a SpaceId,
    now: &'a Definitions,
    then: &'a Definitions,
    at: Timestamp,
}

impl Known<'_> {
    fn by_components(&self, go_on: GoOn<'_>, take: Take<'_>) -> Result<(), PipelineError> {
        let is_alike =
            self.then.vetoes == self.now.vetoes && self.then.rules.fingerprint() == self.now.rules.fingerprint();
        let mut from = keys::space(self.space);
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        loop {
            let (mut page, mut next) = (Vec::new(), Vec::new());
            self.reader.scan(Keyspace::Components, &from, &to, &mut |key, bytes| {
                page.push(Component::decode(bytes));
                next = [key, &[0]].concat();
                page.len() < PAGE
            })?;
            if page.is_empty() {
                return Ok(());
            }
            from = next;
            for today in page {
                let today = today.map_err(|_| PipelineError::corrupt("components"))?;
                let all = is_alike && self.are_all_known(&today)?;
                let components = if all { vec![today] } else { self.gathered(&today)? };
                if !go_on() || !components.iter().all(|component| tell(component, take)) {
                    return Ok(());
                }
            }
        }
    }

    /// Whether a component has no event that was received later.
    fn are_all_known(&self, component: &Component) -> Result<bool, PipelineError> {
        let (mut all, mut damaged) = (true, false);
        for carrier in component.hashes() {
            let (from, to) = keys::row_range(self.space, carrier, None, None);
            self.reader.scan(Keyspace::Events, &from, &to, &mut |key, row| {
                match history::received_at(key, row) {
                    Some(received_at) => all = received_at <= self.at,
                    None => damaged = true,
                }
                all && !damaged
            })?;
            if damaged {
                return Err(PipelineError::corrupt("history"));
            }
            if !all {
                break;
            }
        }
        Ok(all)
    }

    /// What a component was by what was known of it.
    fn gathered(&self, today: &Component) -> Result<Vec<Component>, PipelineError> {
        in_order::gather(&self.history, self.then, today, &mut |event, _| {
            event.received_at <= self.at
        })
    }

    fn at_once(&self, go_on: GoOn<'_>) -> Result<Vec<Component>, PipelineError> {
        let mut gathering = Gathering::new(self.space, &self.then.rules, self.then.vetoes.apart());
        let what = (self.space, self.at);
        let wanted = visit_known(self.reader, what, RESCANNED_EVENTS_MAX, &mut |event| {
            gathering.add(&self.then.read(event));
            go_on()
        })?;
        if !wanted {
            return Ok(Vec::new());
        }
        let components = gathering.components();
        within_bounds(&components, self.at)?;
        Ok(components)
    }
}

/// Whether more is wanted.
fn tell(component: &Component, take: Take<'_>) -> bool {
    component.profiles().into_iter().all(|profile| {
        profile.members.into_iter().all(|member| {
            take(HeldThen {
                profile: profile.id,
                first_seen: member.first.time,
                from: member.part.start.map(|(time, _)| time),
                to: member.end.map(|(time, _)| time),
                identifier: member.identifier,
            })
        })
    })
}
