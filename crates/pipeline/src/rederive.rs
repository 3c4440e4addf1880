//! Who is who, worked out anew over all history: what changed rules of identity ask for.
//!
//! Every event of the space is taken from its history under the new rules, into emptied trees. Until it ends, readers
//! find fewer people than there are. Changes leave once, at the end: the difference of memberships with the cause
//! `regrouping`, and ids that stand no longer redirect to whoever holds their identifier. While it runs, the state
//! carries a mark; a process that finds the mark at its start refuses the state and says what to do.

use crate::record::{Membership, ProfileRecord};
use crate::space::Space;
use crate::{PipelineError, history, keys};
use kith_identity::{Component, Position};
use kith_segment::{Cause, Change};
use kith_state::{Batch, Keyspace, Store};
use kith_types::{ProfileId, Timestamp};
use std::collections::BTreeMap;

/// The name of the mark in [`Keyspace::Meta`].
pub(crate) const REDERIVING: &str = "rederiving";

/// What is worked out anew. Redirects stay: an id that stood may be asked for.
const DERIVED: [Keyspace; 9] = [
    Keyspace::Components,
    Keyspace::Identifiers,
    Keyspace::Parts,
    Keyspace::Profiles,
    Keyspace::Events,
    Keyspace::Presence,
    Keyspace::Due,
    Keyspace::Members,
    Keyspace::AccountLinks,
];

/// Events taken, or people visited, in one transaction.
const STEP: usize = if cfg!(test) { 3 } else { 10_000 };

/// Who stood before the rules changed.
struct Stood {
    /// What each was a member of; taken out when they are found again.
    memberships: BTreeMap<ProfileId, Vec<Membership>>,
    /// Every id, with the identifier that it came from and where that was first seen.
    founders: Vec<(ProfileId, u128, Position)>,
}

impl Space {
    /// Derives the space's people anew under the definitions in force.
    pub(crate) fn rederive(&mut self, store: &dyn Store, now: Timestamp) -> Result<(), PipelineError> {
        let mut before = self.stood(store)?;
        let history = store.snapshot();
        self.empty(store)?;
        self.quiet = true;
        let (from, to) = self.everything();
        let (mut taken, mut failed) = (0_usize, None);
        history.scan(Keyspace::Events, &from, &to, &mut |key, row| {
            let event = keys::row_place(key).and_then(|(time, address)| history::decode(&self.id, time, address, row));
            let step = match event {
                Some(event) => self.place_event(store, &event, now, Cause::Regrouping).map(|_| ()),
                None => Err(PipelineError::corrupt("history")),
            };
            taken += 1;
            let step = step.and_then(|()| {
                if taken.is_multiple_of(STEP) {
                    self.write_step(store, now)
                } else {
                    Ok(())
                }
            });
            failed = step.err();
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.write_step(store, now)?;
        self.quiet = false;
        self.evaluate_everybody(store, &mut before, now)?;
        self.tell_who_is_gone(store, &before, now)?;
        self.writes.remove(Keyspace::Meta, keys::named(&self.id, REDERIVING));
        self.sweep = None;
        Ok(())
    }

    /// The range of the space's keys in any tree.
    fn everything(&self) -> (Vec<u8>, Vec<u8>) {
        let from = keys::space(&self.id);
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        (from, to)
    }

    fn stood(&self, store: &dyn Store) -> Result<Stood, PipelineError> {
        let mut stood = Stood {
            memberships: BTreeMap::new(),
            founders: Vec::new(),
        };
        let (from, to) = self.everything();
        let mut damaged = false;
        store.scan(Keyspace::Profiles, &from, &to, &mut |key, bytes| {
            match (keys::wide_id(key), ProfileRecord::decode(bytes)) {
                (Some(id), Some(record)) if !record.memberships.is_empty() => {
                    stood.memberships.insert(ProfileId(id), record.memberships);
                }
                (Some(_), Some(_)) => {}
                _ => damaged = true,
            }
            !damaged
        })?;
        store.scan(Keyspace::Components, &from, &to, &mut |_, bytes| {
            match Component::decode(bytes) {
                Ok(component) => stood
                    .founders
                    .extend(component.profiles().into_iter().filter_map(|profile| {
                        let oldest = profile.members.first()?;
                        Some((profile.id, oldest.part.carrier, oldest.first.position()))
                    })),
                Err(_) => damaged = true,
            }
            !damaged
        })?;
        if damaged {
            Err(PipelineError::corrupt("profiles"))
        } else {
            Ok(stood)
        }
    }

    /// Empties the derived trees of the space, in memory and in the store, and sets the mark.
    fn empty(&mut self, store: &dyn Store) -> Result<(), PipelineError> {
        self.identifiers.clear();
        self.components.clear();
        self.profiles.clear();
        self.due.clear();
        self.profile_count = 0;
        let mark = keys::named(&self.id, REDERIVING);
        let mut batch = Batch::default();
        batch.put(Keyspace::Meta, mark, vec![1]);
        store.commit(batch)?;
        let (from, to) = self.everything();
        for keyspace in DERIVED {
            loop {
                let mut batch = Batch::default();
                store.scan(keyspace, &from, &to, &mut |key, _| {
                    batch.remove(keyspace, key.to_vec());
                    batch.len() < STEP
                })?;
                if batch.is_empty() {
                    break;
                }
                store.commit(batch)?;
            }
        }
        Ok(())
    }

    fn write_step(&mut self, store: &dyn Store, now: Timestamp) -> Result<(), PipelineError> {
        let mut batch = Batch::default();
        self.commit(&mut batch, now)?;
        Ok(store.commit(batch)?)
    }

    /// Evaluates everybody once. Who is found again under their id keeps the memberships that still hold.
    fn evaluate_everybody(
        &mut self,
        store: &dyn Store,
        before: &mut Stood,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let (from, to) = self.everything();
        let mut everybody = Vec::new();
        store.scan(Keyspace::Profiles, &from, &to, &mut |key, _| {
            everybody.extend(keys::wide_id(key).map(ProfileId));
            true
        })?;
        for people in everybody.chunks(STEP) {
            for id in people {
                self.load_profile(store, *id)?;
                self.writes.remove(Keyspace::Redirects, keys::wide(&self.id, id.0));
                for held in before.memberships.remove(id).unwrap_or_default() {
                    self.restore_membership(*id, held, now);
                }
                self.evaluate(*id, now, Cause::Regrouping);
            }
            self.write_step(store, now)?;
        }
        Ok(())
    }

    fn restore_membership(&mut self, id: ProfileId, held: Membership, now: Timestamp) {
        if self.definitions.segments.iter().all(|live| live.name != held.segment) {
            self.record_change(Change {
                segment: held.segment,
                profile: id,
                entered: false,
                at: now,
                cause: Cause::Definition,
            });
            return;
        }
        let key = keys::member(&self.id, held.segment.as_str(), id);
        self.writes
            .put(Keyspace::Members, key, held.since.as_micros().to_be_bytes().to_vec());
        if let Some(entry) = self.profiles.get_mut(id.0) {
            entry.record.enter(held);
        }
        self.profile_changed(id);
    }

    /// Tells the exits of ids that stand no longer, and redirects them to who holds their identifier now.
    fn tell_who_is_gone(&mut self, store: &dyn Store, before: &Stood, now: Timestamp) -> Result<(), PipelineError> {
        for (id, memberships) in &before.memberships {
            for Membership { segment, .. } in memberships {
                let known = self.definitions.segments.iter().any(|live| live.name == *segment);
                let cause = if known { Cause::Regrouping } else { Cause::Definition };
                let change = Change {
                    segment: segment.clone(),
                    profile: *id,
                    entered: false,
                    at: now,
                    cause,
                };
                self.record_change(change);
            }
        }
        for (id, founder, position) in &before.founders {
            if store.get(Keyspace::Profiles, &keys::wide(&self.id, id.0))?.is_some() {
                continue;
            }
            // An identifier that is blocked now has nobody; its old id leads nowhere.
            let Some(home) = self.component_of(store, *founder)? else {
                continue;
            };
            let Some(placement) = self.component(store, home)?.component.place(*founder, *position) else {
                continue;
            };
            let redirect = placement.profile.0.to_be_bytes().to_vec();
            self.writes
                .put(Keyspace::Redirects, keys::wide(&self.id, id.0), redirect);
        }
        Ok(())
    }
}
