//! Who an event belongs to, and what becomes of people when evidence joins or splits them.
//!
//! Most events change nothing: their component answers at once. Otherwise the people concerned are loaded, identity
//! resolves their component anew, and their parts are regrouped: a part is moved as it is, and one
//! that identity names as cut is folded from its carrier's history. No other event is read.

use crate::PipelineError;
use crate::record::ProfileRecord;
use crate::space::{PartSlot, ProfileEntry, Space, SpacePresence};
use kith_identity::{Applied, Component, Evidence, PartKey, Placement, Resolver};
use kith_profile::Part;
use kith_segment::{Cause, Change};
use kith_state::{Keyspace, Read};
use kith_types::{Event, ProfileId, Timestamp};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// People taken apart while they are regrouped.
#[derive(Default)]
struct Pieces {
    records: BTreeMap<ProfileId, ProfileRecord>,
    parts: BTreeMap<PartKey, PartSlot>,
}

impl Space {
    /// Finds the event's person, folds it, and evaluates whoever changed. `None`: the event names nobody.
    pub(crate) fn place_event(
        &mut self,
        store: &dyn Read,
        event: &Event,
        now: Timestamp,
        cause: Cause,
    ) -> Result<Option<ProfileId>, PipelineError> {
        let evidence = self.definitions.rules.read(event);
        let Some(carrier) = evidence.carrier() else { return Ok(None) };
        let held: SmallVec<[u128; 2]> = evidence.held().map(|named| named.hash).collect();
        self.add_rows(event, carrier.hash, &held, evidence.sign_in().map(|named| named.hash));

        let mut touched: SmallVec<[u128; 4]> = SmallVec::new();
        let mut all_known = true;
        for named in &evidence.identifiers {
            match self.component_of(store, named.hash)? {
                Some(component) if !touched.contains(&component) => touched.push(component),
                Some(_) => {}
                None => all_known = false,
            }
        }
        if all_known && let [only] = touched[..] {
            let placement = self.component(store, only)?.component.place_quickly(&evidence);
            if let Some(Placement { profile, part }) = placement {
                self.load_profile(store, profile)?;
                self.fold(profile, part, event);
                self.evaluate(profile, now, cause);
                return Ok(Some(profile));
            }
        }
        self.regroup(store, &touched, &evidence, event, now, cause).map(Some)
    }

    fn regroup(
        &mut self,
        store: &dyn Read,
        touched: &[u128],
        evidence: &Evidence,
        event: &Event,
        now: Timestamp,
        cause: Cause,
    ) -> Result<ProfileId, PipelineError> {
        let mut components = Vec::with_capacity(touched.len());
        for id in touched {
            components.push(self.component(store, *id)?.component.clone());
        }
        for profile in components.iter().flat_map(Component::profiles) {
            self.load_profile(store, profile.id)?;
        }
        let applied = {
            let presence = SpacePresence { space: self, store };
            Resolver::new(&*self.definitions.rules, &self.id)
                .apply(components.clone(), evidence, &presence)
                .map_err(|error| PipelineError::storage("identity could not be resolved", error))?
                .ok_or_else(|| PipelineError::corrupt("evidence"))?
        };
        let Placement { profile, part } = applied.placement;
        if !applied.changed {
            self.keep_component(&applied);
            self.fold(profile, part, event);
            self.evaluate(profile, now, cause);
            return Ok(profile);
        }
        let pieces = self.take_apart(&applied, &components);
        self.keep_component(&applied);
        let (affected, folded) = self.put_together(store, &applied, pieces, now, cause)?;
        if !folded.contains(&part) {
            self.fold(profile, part, event);
        }
        for id in affected {
            self.evaluate(id, now, cause);
        }
        Ok(profile)
    }

    /// Stores the component and where its identifiers point.
    fn keep_component(&mut self, applied: &Applied) {
        for gone in &applied.absorbed {
            self.remove_component(gone.0);
        }
        for identifier in &applied.rehomed {
            self.set_component_of(*identifier, applied.component.id().0);
        }
        if applied.stored_differs {
            self.set_component(applied.component.id().0, applied.component.clone());
        }
    }

    /// Takes the people of the components that were joined out of memory.
    fn take_apart(&mut self, applied: &Applied, components: &[Component]) -> Pieces {
        let mut pieces = Pieces::default();
        let apart: Vec<_> = applied.apart.iter().map(Component::id).collect();
        for component in components.iter().filter(|component| !apart.contains(&component.id())) {
            for profile in component.profiles() {
                let Some(entry) = self.profiles.remove(profile.id.0) else { continue };
                pieces.records.insert(profile.id, entry.record);
                for slot in entry.parts {
                    pieces.parts.insert(slot.key, slot);
                }
            }
        }
        pieces
    }

    /// Builds the people of the component from the pieces; answers who they are and which parts were folded anew.
    fn put_together(
        &mut self,
        store: &dyn Read,
        applied: &Applied,
        mut pieces: Pieces,
        now: Timestamp,
        cause: Cause,
    ) -> Result<(Vec<ProfileId>, BTreeSet<PartKey>), PipelineError> {
        let component = applied.component.id().0;
        let cut: BTreeSet<PartKey> =
            applied.cuts.iter().flat_map(|cut| &cut.refold).map(|interval| interval.part).collect();
        let (mut people, mut folded) = (Vec::new(), BTreeSet::new());
        for profile in applied.component.profiles() {
            let mut parts = Vec::with_capacity(profile.members.len());
            for member in &profile.members {
                let slot = match pieces.parts.remove(&member.part) {
                    _ if cut.contains(&member.part) => {
                        folded.insert(member.part);
                        self.refold(store, member.part, member.end)?
                    }
                    // Bounds that moved without an event between them leave the fold as it is.
                    Some(slot) => PartSlot { end: member.end, ..slot },
                    None => PartSlot { key: member.part, end: member.end, part: Part::default(), dirty: false },
                };
                parts.push(slot);
            }
            let record = match pieces.records.remove(&profile.id) {
                Some(record) => ProfileRecord { component, ..record },
                None => {
                    self.profile_count += 1;
                    self.writes.remove(Keyspace::Redirects, crate::keys::wide(&self.id, profile.id.0));
                    ProfileRecord { component, version: self.definitions.version, ..ProfileRecord::default() }
                }
            };
            let mut entry = ProfileEntry { record, parts, merged: None, dirty: false };
            entry.merge();
            self.profiles.insert(profile.id.0, entry);
            self.profile_changed(profile.id);
            people.push(profile.id);
        }
        // A part that was folded anew took its old slot's place under the same key; only keys that are gone are left.
        for key in pieces.parts.keys().filter(|key| !folded.contains(*key)) {
            self.writes.remove(Keyspace::Parts, crate::keys::part(&self.id, key));
        }
        for (id, record) in pieces.records {
            self.vanish(id, &record, applied, now, cause);
        }
        Ok((people, folded))
    }

    fn vanish(&mut self, id: ProfileId, record: &ProfileRecord, applied: &Applied, now: Timestamp, cause: Cause) {
        for (segment, _) in &record.memberships {
            self.record_change(Change { segment: segment.clone(), profile: id, entered: false, at: now, cause });
        }
        self.set_due(id, record.due, None);
        self.writes.remove(Keyspace::Profiles, crate::keys::wide(&self.id, id.0));
        self.profile_count = self.profile_count.saturating_sub(1);
        if let Some(vanished) = applied.vanished.iter().find(|vanished| vanished.profile == id) {
            let key = crate::keys::wide(&self.id, id.0);
            self.writes.put(Keyspace::Redirects, key, vanished.redirect.0.to_be_bytes().to_vec());
        }
    }
}
