//! Loading people and folding events into them.
//!
//! A profile is loaded whole: its record, its parts, and their merge. A part that does not hold every aggregate of the
//! plan in force is folded from its carrier's history while it is loaded, so that a new definition is exact from the
//! first read on; the sweep only visits who would not have been loaded anyway.

use crate::entry::{End, PartSlot, ProfileEntry, StoredRecord};
use crate::history::Counting;
use crate::place::Counted;
use crate::record::ProfileRecord;
use crate::space::Space;
use crate::{PipelineError, keys, plans};
use kith_identity::{Component, PartKey, Position};
use kith_profile::Part;
use kith_state::{Keyspace, Read};
use kith_types::{Event, ProfileId};
use smallvec::SmallVec;

/// Takes a row at its place.
type VisitRow<'a> = dyn FnMut(Position, &[u8]) -> Result<(), PipelineError> + 'a;

/// The parts of a person, each with its end.
pub(crate) type Members = SmallVec<[(PartKey, End); 4]>;

pub(crate) fn members_of(component: &Component, id: ProfileId) -> Members {
    let members = component.members_of(id);
    members.iter().map(|member| (member.part, member.end)).collect()
}

impl Space {
    /// Has a profile in memory, with every aggregate of the plan, and brought to where every timer has fired.
    pub(crate) fn load_profile(&mut self, store: &dyn Read, id: ProfileId) -> Result<(), PipelineError> {
        if let Some(entry) = self.profiles.get_mut(id.0) {
            self.figures.found += 1;
            let lacks = self.account_changes.is_waiting() && entry.taken < self.account_changes.newest();
            return if lacks { self.bring_up(store, id) } else { Ok(()) };
        }
        let stored = self.stored_record(store, id)?;
        let (record, stored) = stored.ok_or_else(|| PipelineError::corrupt("profiles"))?;
        let home = self
            .component_of(store, record.founder)?
            .ok_or_else(|| PipelineError::corrupt("identifiers"))?;
        let members = members_of(&self.component(store, home)?.component, id);
        let entry = self.assembled(store, id, (record, stored), &members)?;
        self.take_loaded(store, id, entry)
    }

    pub(crate) fn stored_record(
        &self,
        store: &dyn Read,
        id: ProfileId,
    ) -> Result<Option<(ProfileRecord, StoredRecord)>, PipelineError> {
        let Some(bytes) = store.get(Keyspace::Profiles, &keys::wide(&self.id, id.0))? else {
            return Ok(None);
        };
        let record = ProfileRecord::decode(&bytes).ok_or_else(|| PipelineError::corrupt("profiles"))?;
        let due = record.due;
        let bytes = bytes.into_boxed_slice();
        Ok(Some((record, StoredRecord { bytes, due })))
    }

    /// A profile of a record and the parts that the store has.
    pub(crate) fn assembled(
        &self,
        store: &dyn Read,
        id: ProfileId,
        (record, stored): (ProfileRecord, StoredRecord),
        members: &[(PartKey, End)],
    ) -> Result<ProfileEntry, PipelineError> {
        let mut parts = Vec::with_capacity(members.len());
        for (key, end) in members {
            parts.push(self.load_part(store, *key, *end)?);
        }
        let mut entry = ProfileEntry::new(record, parts, stored);
        entry.taken = self.noted(store, id)?;
        Ok(entry)
    }

    pub(crate) fn take_loaded(
        &mut self,
        store: &dyn Read,
        id: ProfileId,
        entry: ProfileEntry,
    ) -> Result<(), PipelineError> {
        self.figures.loaded += 1;
        let lagged = entry.parts.iter().any(|slot| slot.dirty);
        self.profiles.insert(id.0, entry);
        if lagged {
            self.profile_changed(id);
        }
        self.bring_up(store, id)
    }

    fn load_part(&self, store: &dyn Read, key: PartKey, end: End) -> Result<PartSlot, PipelineError> {
        let Some(bytes) = store.get(Keyspace::Parts, &keys::part(&self.id, &key))? else {
            return Ok(PartSlot {
                key,
                part: Part::default(),
                dirty: false,
            });
        };
        let plan = &self.definitions.plan;
        let Some(mut part) = plans::decode(&bytes, &self.plans)? else {
            return self.refold(store, key, end);
        };
        // What lags behind the plan is written anew, so that no part names a plan for longer than a sweep.
        let dirty = !part.is_of(plan);
        let missing = part.missing(plan);
        if !missing.is_empty() && !self.adopt(&mut part, &missing, key, end)? {
            part.begin(&missing);
            let (history, counting) = (self.history.history(store, &self.id), Counting::new(plan, &missing));
            self.visit_rows(store, key, end, &mut |place, row| {
                if let Some(event) = counting.event(&history, place, row)? {
                    part.apply_only(plan, &missing, &event);
                }
                Ok(())
            })?;
        }
        part.retain(plan);
        Ok(PartSlot { key, part, dirty })
    }

    /// A part folded anew from its carrier's history, this step's events among it; one that is being placed is not.
    pub(crate) fn refold(&self, store: &dyn Read, key: PartKey, end: End) -> Result<PartSlot, PipelineError> {
        let mut part = Part::default();
        let plan = &self.definitions.plan;
        self.visit_history(store, key, end, &mut |event| part.apply(plan, event))?;
        Ok(PartSlot { key, part, dirty: true })
    }

    pub(crate) fn visit_history(
        &self,
        store: &dyn Read,
        key: PartKey,
        end: End,
        visit: &mut dyn FnMut(&Event),
    ) -> Result<(), PipelineError> {
        let history = self.history.history(store, &self.id);
        self.visit_rows(store, key, end, &mut |place, row| {
            visit(&history.event_at(place, row)?);
            Ok(())
        })
    }

    /// The rows of a part.
    fn visit_rows(
        &self,
        store: &dyn Read,
        key: PartKey,
        end: End,
        visit: &mut VisitRow<'_>,
    ) -> Result<(), PipelineError> {
        let mut failed = None;
        let of = (Keyspace::Events, key.carrier);
        self.rows(store, of, key.start, end, &mut |place, row| {
            failed = visit(place, row).err();
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Folds an event into a loaded profile.
    pub(crate) fn fold(&mut self, id: ProfileId, key: PartKey, Counted { event, counting }: Counted<'_>) {
        let plan = &self.definitions.plan;
        let Some(entry) = self.profiles.get_mut(id.0) else {
            return;
        };
        if let Some(slot) = entry.parts.iter_mut().find(|slot| slot.key == key) {
            slot.part.apply_counting(plan, counting, event);
            slot.dirty = true;
        }
        if let Some(merged) = &mut entry.merged {
            merged.apply_counting(plan, counting, event);
        }
        self.profile_changed(id);
    }
}
