//! Who is who, worked out anew over all history: what changed rules of identity ask for.
//!
//! Every event of the space is taken from its history under the new rules, into emptied trees. What people see changes
//! once, at the end: the difference of memberships leaves with the cause `regrouping`. While it runs, the state carries
//! a mark; a process that ends before the mark is gone finds it and builds the state from the log instead.

use crate::space::Space;
use crate::{PipelineError, history, keys};
use kith_segment::{Cause, Change};
use kith_state::{Batch, Keyspace, Store};
use kith_types::{ProfileId, SegmentName, Timestamp};
use std::collections::BTreeMap;

/// The name of the mark in [`Keyspace::Meta`].
pub(crate) const REDERIVING: &str = "rederiving";

/// What is worked out anew. Redirects stay: an id that stood may be asked for.
const DERIVED: [Keyspace; 8] = [
    Keyspace::Components,
    Keyspace::Identifiers,
    Keyspace::Parts,
    Keyspace::Profiles,
    Keyspace::Events,
    Keyspace::Presence,
    Keyspace::Due,
    Keyspace::Members,
];

/// Events taken, or people visited, in one transaction.
const STEP: usize = 10_000;

type Members = BTreeMap<(SegmentName, ProfileId), Timestamp>;

impl Space {
    /// Derives the space's people anew under the definitions in force.
    pub(crate) fn rederive(&mut self, store: &dyn Store, now: Timestamp) -> Result<(), PipelineError> {
        let before = self.members(store)?;
        let history = store.snapshot();
        self.empty(store)?;
        self.quiet = true;
        let from = keys::space(&self.id);
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        let (mut taken, mut failed) = (0_usize, None);
        history.scan(Keyspace::Events, &from, &to, &mut |key, row| {
            let event = keys::row_place(key).and_then(|(time, address)| history::decode(&self.id, time, address, row));
            let step = match event {
                Some(event) => self.place_event(store, &event, now, Cause::Regrouping).map(|_| ()),
                None => Err(PipelineError::corrupt("history")),
            };
            taken += 1;
            let step = step.and_then(|()| if taken.is_multiple_of(STEP) { self.write_step(store, now) } else { Ok(()) });
            failed = step.err();
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.write_step(store, now)?;
        self.evaluate_everybody(store, now)?;
        self.quiet = false;
        let after = self.members(store)?;
        self.tell_difference(&before, &after, now);
        self.writes.remove(Keyspace::Meta, keys::named(&self.id, REDERIVING));
        self.sweep = None;
        Ok(())
    }

    fn members(&self, store: &dyn Store) -> Result<Members, PipelineError> {
        let mut members = Members::new();
        for segment in &self.definitions.segments {
            let from = keys::members(&self.id, segment.name.as_str());
            let to = kith_state::prefix_end(&from).unwrap_or_default();
            store.scan(Keyspace::Members, &from, &to, &mut |key, since| {
                if let (Some(id), Ok(since)) = (keys::wide_id(key), since.try_into()) {
                    let since = Timestamp::from_micros(i64::from_be_bytes(since));
                    members.insert((segment.name.clone(), ProfileId(id)), since);
                }
                true
            })?;
        }
        Ok(members)
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
        let from = keys::space(&self.id);
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        for keyspace in DERIVED {
            let mut found = Vec::new();
            store.scan(keyspace, &from, &to, &mut |key, _| {
                found.push(key.to_vec());
                true
            })?;
            for keys in found.chunks(STEP) {
                let mut batch = Batch::default();
                keys.iter().for_each(|key| batch.remove(keyspace, key.clone()));
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

    fn evaluate_everybody(&mut self, store: &dyn Store, now: Timestamp) -> Result<(), PipelineError> {
        let from = keys::space(&self.id);
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        let mut everybody = Vec::new();
        store.scan(Keyspace::Profiles, &from, &to, &mut |key, _| {
            everybody.extend(keys::wide_id(key).map(ProfileId));
            true
        })?;
        for people in everybody.chunks(STEP) {
            for id in people {
                self.load_profile(store, *id)?;
                self.evaluate_now(*id, now, Cause::Regrouping);
            }
            self.write_step(store, now)?;
        }
        Ok(())
    }

    fn tell_difference(&mut self, before: &Members, after: &Members, now: Timestamp) {
        let change = |(segment, profile): &(SegmentName, ProfileId), entered| Change {
            segment: segment.clone(),
            profile: *profile,
            entered,
            at: now,
            cause: Cause::Regrouping,
        };
        let left: Vec<Change> =
            before.keys().filter(|key| !after.contains_key(*key)).map(|key| change(key, false)).collect();
        let entered: Vec<Change> =
            after.keys().filter(|key| !before.contains_key(*key)).map(|key| change(key, true)).collect();
        for change in left.into_iter().chain(entered) {
            self.tell_change(change);
        }
    }
}
