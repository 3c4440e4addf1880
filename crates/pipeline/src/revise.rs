//! Evidence looked at again: what a veto or its end makes of people (contract IDN-6).
//!
//! Only the components that the vetoed identifiers are in are worked out anew, from the history of their carriers, within
//! one step: readers see the people before or after, never between. Parts are moved as they are; only one whose
//! interval changed is folded anew. Changes of membership carry the cause `regrouping`.

use crate::place::{Moment, Outcome, Pieces};
use crate::space::Space;
use crate::vetoes::{Veto, VetoDecision};
use crate::{PipelineError, history, in_order, keys};
use kith_identity::{Component, Difference};
use kith_segment::Cause;
use kith_state::{Keyspace, Read};
use kith_types::{Address, ProfileId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What other vetoes concern.
#[derive(Default)]
pub(crate) struct ByVetoes {
    /// Components that may be others.
    pub(crate) components: BTreeSet<u128>,
    /// Events that say something else than before.
    pub(crate) events: BTreeSet<Address>,
}

impl Space {
    /// Applies a decision about vetoes, from a committed state; what it wrote must be committed before the next record.
    /// Answers whether anything is written.
    pub(crate) fn take_vetoes(
        &mut self,
        store: &dyn Read,
        decision: &VetoDecision,
        now: Timestamp,
    ) -> Result<bool, PipelineError> {
        let Some(after) = decision.after(&self.set.vetoes) else {
            // The door refuses what is too much; one that slipped through changes nothing.
            tracing::error!(space = %self.id, "there would be too many vetoes: a decision is passed over");
            return Ok(false);
        };
        let changed: Vec<Veto> = after.symmetric_difference(&self.set.vetoes).cloned().collect();
        if changed.is_empty() {
            return Ok(false);
        }
        self.set
            .veto_history
            .decided(&self.set.vetoes, &after, now, &decision.reason);
        self.set.vetoes = after;
        tracing::info!(space = %self.id, vetoes = changed.len(), "vetoes have changed: whoever they concern is looked at again");
        self.definitions = Arc::new(self.set.compile()?);
        self.profiles.clear();
        self.store_definitions()?;
        let concerned = self.concerned_by(store, changed)?;
        for component in &concerned.components {
            self.revise(store, *component, &concerned.events, now)?;
        }
        Ok(true)
    }

    /// Whose evidence other vetoes concern, under the rules in force.
    pub(crate) fn concerned_by(
        &mut self,
        store: &dyn Read,
        changed: impl IntoIterator<Item = Veto>,
    ) -> Result<ByVetoes, PipelineError> {
        let ByVetoes {
            mut components,
            mut events,
        } = ByVetoes::default();
        for veto in changed {
            match veto.spelt(&self.definitions.rules) {
                Veto::Event { event, identifier } => {
                    events.insert(event);
                    components.extend(self.component_of(store, identifier.hash128())?);
                }
                Veto::Pair { one, other } => {
                    let one = self.component_of(store, one.hash128())?;
                    let other = self.component_of(store, other.hash128())?;
                    // What no evidence connects is no one person anyhow.
                    components.extend(one.filter(|_| one == other));
                }
            }
        }
        Ok(ByVetoes { components, events })
    }

    /// Works out a component anew from the history of its carriers. `touched`: the events that say something else than
    /// before. Answers how many events it has.
    pub(crate) fn revise(
        &mut self,
        store: &dyn Read,
        id: u128,
        touched: &BTreeSet<Address>,
        now: Timestamp,
    ) -> Result<u64, PipelineError> {
        let before = self.component(store, id)?.component.clone();
        let (after, events) = self.gathered(store, &before, touched)?;
        let found: usize = after.iter().map(Component::len).sum();
        if found != before.len() {
            return Err(PipelineError::corrupt("history"));
        }
        let before = [before];
        let difference = Difference::between(&before, &after);
        if !difference.is_empty() {
            self.carry_out(store, &difference, &after, now)?;
        }
        for gone in before.iter().filter(|old| after.iter().all(|new| new.id() != old.id())) {
            self.remove_component(gone.id().0);
        }
        for component in after {
            let home = component.id().0;
            if home != id {
                component.hashes().for_each(|hash| self.set_component_of(hash, home));
            }
            if component != before[0] {
                self.set_component(home, component);
            }
        }
        Ok(events)
    }

    /// The components of a component's events under the rules and vetoes in force, and how many events those are; the rows
    /// of held identifiers are written anew where a touched event has them.
    fn gathered(
        &mut self,
        store: &dyn Read,
        before: &Component,
        touched: &BTreeSet<Address>,
    ) -> Result<(Vec<Component>, u64), PipelineError> {
        let definitions = Arc::clone(&self.definitions);
        let (mut presence, mut events) = (BTreeMap::new(), 0);
        let history = self.history.history(store, &self.id);
        let components = in_order::gather(&history, &definitions, before, &mut |event, evidence| {
            events += 1;
            if touched.contains(&event.address) {
                for held in evidence.held() {
                    let row = history::encode_presence(event.received_at, evidence.signed_in_beside(held));
                    presence.insert(keys::row(&self.id, held.hash, event.event_time, event.address), row);
                }
            }
            true
        })?;
        for (key, row) in presence {
            self.writes.replace(Keyspace::Presence, key, row);
        }
        Ok((components, events))
    }

    /// Takes the people concerned apart and puts them together as they are now.
    pub(crate) fn carry_out(
        &mut self,
        store: &dyn Read,
        difference: &Difference,
        components: &[Component],
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let mut before: BTreeSet<ProfileId> = difference.moved.iter().filter_map(|moved| moved.from).collect();
        before.extend(difference.gone.iter().map(|(_, profile)| *profile));
        before.extend(difference.vanished.iter().map(|vanished| vanished.profile));
        let mut after: BTreeSet<ProfileId> = difference.moved.iter().map(|moved| moved.to).collect();
        after.extend(difference.refold.iter().map(|interval| interval.profile));
        let created: BTreeSet<ProfileId> = difference.created.iter().copied().collect();
        before.extend(after.difference(&created));
        let ended = |id: &ProfileId| difference.vanished.iter().any(|vanished| vanished.profile == *id);
        after.extend(before.iter().filter(|id| !ended(id)));
        let mut pieces = Pieces::default();
        // They are loaded as they stood, by the components that are still stored.
        for id in &before {
            self.load_profile(store, *id)?;
            self.take_apart(*id, &mut pieces);
        }
        let outcome = Outcome {
            components,
            refold: difference.refold.iter().map(|interval| interval.part).collect(),
            vanished: &difference.vanished,
        };
        let moment = Moment {
            now,
            cause: Cause::Regrouping,
        };
        self.put_together(store, &outcome, &after, pieces, moment)?;
        for id in after {
            self.evaluate(store, id, now, Cause::Regrouping)?;
        }
        Ok(())
    }
}
