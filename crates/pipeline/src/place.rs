//! Who an event belongs to, and what becomes of people when evidence joins or splits them.
//!
//! Most events change nothing: their component answers at once. Otherwise identity resolves the component anew, and the
//! people whose parts moved or were cut are regrouped: a part is moved as it is, and one that identity names as cut is
//! folded from its carrier's history. Nobody else of the component is loaded, and no other event is read.

use crate::entry::{PartSlot, ProfileEntry, StoredRecord};
use crate::presence::SpacePresence;
use crate::record::ProfileRecord;
use crate::space::Space;
use crate::{PipelineError, keys, redirects};
use kith_identity::{Applied, Component, Evidence, MAX_IDENTIFIERS, PartKey, Placement, Resolver, Vanished};
use kith_profile::Part;
use kith_segment::{Cause, Change};
use kith_state::{Keyspace, Read};
use kith_types::{Event, ProfileId, Timestamp};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// The carrier under which the history keeps events whose identifiers the rules leave out.
pub(crate) const NOBODY: u128 = 0;

/// Whom an event concerns.
type Affected = SmallVec<[ProfileId; 4]>;

/// People taken apart while they are regrouped.
#[derive(Default)]
pub(crate) struct Pieces {
    records: BTreeMap<ProfileId, (ProfileRecord, StoredRecord)>,
    parts: BTreeMap<PartKey, PartSlot>,
}

/// What every change of a step is told with.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Timestamp,
    pub(crate) cause: Cause,
}

/// An event with what it counts for, which several ask.
#[derive(Clone, Copy)]
pub(crate) struct Counted<'a> {
    pub(crate) event: &'a Event,
    /// What the plan in force says.
    pub(crate) counting: &'a [u32],
}

/// Who is who from now on, as far as people are put together by it.
pub(crate) struct Outcome<'a> {
    pub(crate) components: &'a [Component],
    /// Parts that take other events than before.
    pub(crate) refold: BTreeSet<PartKey>,
    pub(crate) vanished: &'a [Vanished],
}

/// The components that an event touches.
struct Homes {
    touched: SmallVec<[u128; 4]>,
    /// Whether every identifier is in one of them.
    all_known: bool,
}

impl Homes {
    fn is_one(&self) -> bool {
        self.all_known && self.touched.len() == 1
    }
}

impl Space {
    /// Takes an event: folds it into its person and its account, and evaluates whoever changed. The account's other members
    /// follow. `None`: the event names nobody.
    pub(crate) fn take_event(
        &mut self,
        store: &dyn Read,
        event: &Event,
        now: Timestamp,
        cause: Cause,
    ) -> Result<Option<ProfileId>, PipelineError> {
        self.sent_names.note(event, &self.id, &mut self.writes);
        let counting = self.definitions.plan.counting(event);
        let counted = Counted {
            event,
            counting: &counting,
        };
        let moment = Moment { now, cause };
        let (profile, affected) = self.place_counted(store, counted, moment)?;
        // Not before whoever the event concerns has been loaded: they take it with the event.
        self.fold_account(store, event, moment)?;
        for id in affected {
            self.has_taken(id, self.account_changes.newest());
            self.evaluate_event(store, id, counted, moment)?;
        }
        Ok(profile)
    }

    /// Finds an event's person and folds it, and evaluates nobody.
    pub(crate) fn place_event(
        &mut self,
        store: &dyn Read,
        event: &Event,
        now: Timestamp,
        cause: Cause,
    ) -> Result<(), PipelineError> {
        let counting = self.definitions.plan.counting(event);
        let counted = Counted {
            event,
            counting: &counting,
        };
        self.place_counted(store, counted, Moment { now, cause })?;
        Ok(())
    }

    /// Finds the event's person and folds it; answers whom to evaluate, too.
    fn place_counted(
        &mut self,
        store: &dyn Read,
        counted: Counted<'_>,
        moment: Moment,
    ) -> Result<(Option<ProfileId>, Affected), PipelineError> {
        let event = counted.event;
        let mut evidence = self.definitions.read(event);
        let Some(carrier) = evidence.carrier().map(|carrier| carrier.hash) else {
            if !event.identifiers.is_empty() {
                // Rules to come may take what these leave out.
                self.add_history(event, NOBODY);
            }
            return Ok((None, Affected::new()));
        };
        for held in evidence.held() {
            self.add_presence(event, held.hash, evidence.signed_in_beside(held));
        }
        let mut homes = self.homes(store, &evidence)?;
        if !homes.is_one() && self.leave_out_beyond_bounds(store, &mut evidence)? {
            homes = self.homes(store, &evidence)?;
        }
        let Homes { touched, all_known } = homes;
        let quickly = match touched[..] {
            [only] if all_known => self.component(store, only)?.component.place_quickly(&evidence),
            _ => None,
        };
        let (placement, affected) = match quickly {
            Some(placement) => {
                self.load_profile(store, placement.profile)?;
                (placement, SmallVec::from_elem(placement.profile, 1))
            }
            None => self.regroup(store, &touched, &evidence, moment)?,
        };
        self.fold(placement.profile, placement.part, counted);
        self.add_history(event, carrier);
        Ok((Some(placement.profile), affected))
    }

    /// The components of an event's identifiers.
    fn homes(&mut self, store: &dyn Read, evidence: &Evidence) -> Result<Homes, PipelineError> {
        let mut homes = Homes {
            touched: SmallVec::new(),
            all_known: true,
        };
        for named in &evidence.identifiers {
            match self.component_of(store, named.hash)? {
                Some(component) if !homes.touched.contains(&component) => homes.touched.push(component),
                Some(_) => {}
                None => homes.all_known = false,
            }
        }
        Ok(homes)
    }

    /// Leaves out of the evidence what identity would refuse because a component is full: beside a carrier in a full one
    /// everything that is not in it, beside another carrier whatever is in a full one. It would come to the same, after
    /// the full component was joined and worked through for nothing; here it costs the same however many events name
    /// such a component. Answers whether anything was left out.
    fn leave_out_beyond_bounds(&mut self, store: &dyn Read, evidence: &mut Evidence) -> Result<bool, PipelineError> {
        let mut places: SmallVec<[(Option<u128>, bool); 4]> = SmallVec::new();
        for named in &evidence.identifiers {
            let home = self.component_of(store, named.hash)?;
            let full = match home {
                Some(home) => self.component(store, home)?.component.len() >= MAX_IDENTIFIERS,
                None => false,
            };
            places.push((home, full));
        }
        let Some((home, full)) = places.first().copied() else {
            return Ok(false);
        };
        let before = evidence.identifiers.len();
        let mut places = places.into_iter();
        evidence.identifiers.retain(|_| {
            let place = places.next().unwrap_or_default();
            place.0 == home && home.is_some() || !full && !place.1
        });
        let refused = before - evidence.identifiers.len();
        self.figures.beyond_bounds += u64::from(refused > 0);
        Ok(refused > 0)
    }

    /// Takes in evidence that may change who is who; answers where the event belongs and whom to evaluate.
    fn regroup(
        &mut self,
        store: &dyn Read,
        touched: &[u128],
        evidence: &Evidence,
        moment: Moment,
    ) -> Result<(Placement, Affected), PipelineError> {
        let mut components = Vec::with_capacity(touched.len());
        for id in touched {
            components.push(self.component(store, *id)?.component.clone());
        }
        self.figures.recomputed += 1;
        let applied = {
            let presence = SpacePresence { space: self, store };
            Resolver::new(&*self.definitions.rules, &self.id)
                .holding_apart(self.definitions.vetoes.apart())
                .apply(components, evidence, &presence)
                .map_err(|error| PipelineError::storage("identity could not be resolved", error))?
                .ok_or_else(|| PipelineError::corrupt("evidence"))?
        };
        self.figures.beyond_bounds += u64::from(!applied.refused.is_empty());
        let placement = applied.placement;
        let (before, after) = concerned(&applied);
        // They are loaded as they stood before the evidence, by the components that are still stored.
        let mut pieces = Pieces::default();
        for id in before {
            self.load_profile(store, id)?;
            if applied.changed {
                self.take_apart(id, &mut pieces);
            }
        }
        let mut affected: Affected = SmallVec::from_elem(placement.profile, 1);
        if applied.changed {
            let refold = applied.cuts.iter().flat_map(|cut| &cut.refold);
            let outcome = Outcome {
                components: std::slice::from_ref(&applied.component),
                refold: refold.map(|interval| interval.part).collect(),
                vanished: &applied.vanished,
            };
            self.put_together(store, &outcome, &after, pieces, moment)?;
            affected = after.into_iter().collect();
        }
        self.keep_component(applied);
        Ok((placement, affected))
    }

    /// Stores the component and where its identifiers point.
    fn keep_component(&mut self, applied: Applied) {
        let id = applied.component.id().0;
        for gone in &applied.absorbed {
            self.remove_component(gone.0);
        }
        for identifier in &applied.rehomed {
            self.set_component_of(*identifier, id);
        }
        if applied.stored_differs {
            self.set_component(id, applied.component);
        }
    }

    /// Takes a loaded person out of memory.
    pub(crate) fn take_apart(&mut self, id: ProfileId, pieces: &mut Pieces) {
        let Some(entry) = self.profiles.remove(id.0) else {
            return;
        };
        pieces.records.insert(id, (entry.record, entry.stored));
        pieces
            .parts
            .extend(entry.parts.into_iter().map(|slot| (slot.key, slot)));
    }

    /// Builds the people `after` from the pieces.
    pub(crate) fn put_together(
        &mut self,
        store: &dyn Read,
        outcome: &Outcome<'_>,
        after: &BTreeSet<ProfileId>,
        mut pieces: Pieces,
        moment: Moment,
    ) -> Result<(), PipelineError> {
        // Only an id that stood before can have a redirect.
        let all_new = pieces.records.is_empty();
        for id in after {
            let found = outcome.components.iter().map(|one| one.members_of(*id));
            let members = found
                .into_iter()
                .find(|members| !members.is_empty())
                .unwrap_or_default();
            let mut parts = Vec::with_capacity(members.len());
            let mut had_parts = false;
            for member in &members {
                let slot = pieces.parts.remove(&member.part);
                had_parts |= slot.is_some();
                parts.push(match slot {
                    _ if outcome.refold.contains(&member.part) => self.refold(store, member.part, member.end)?,
                    // Bounds that moved without an event between them leave the fold as it is.
                    Some(slot) => slot,
                    None => PartSlot {
                        key: member.part,
                        part: Part::default(),
                        dirty: false,
                    },
                });
            }
            let (record, stored) = match pieces.records.remove(id) {
                Some(record) => record,
                None => {
                    let founder = members.first().map_or(0, |oldest| oldest.part.carrier);
                    if !all_new && !self.quiet {
                        // Of those who are new, only who has something that others had comes out of them.
                        self.figures.split += u64::from(had_parts);
                        self.writes.remove(Keyspace::Redirects, keys::wide(&self.id, id.0));
                    }
                    (self.new_record(founder), StoredRecord::default())
                }
            };
            let mut entry = ProfileEntry::new(record, parts, stored);
            // Whoever they were before has been loaded.
            entry.taken = self.account_changes.newest();
            self.profiles.insert(id.0, entry);
            self.profile_changed(*id);
        }
        // Parts that nobody has any more: intervals that are gone.
        for key in pieces.parts.keys() {
            self.writes.remove(Keyspace::Parts, keys::part(&self.id, key));
        }
        for (id, (record, stored)) in pieces.records {
            self.vanish(id, &record, stored.due, outcome, moment);
        }
        Ok(())
    }

    fn new_record(&mut self, founder: u128) -> ProfileRecord {
        self.profile_count += 1;
        ProfileRecord {
            founder,
            version: self.definitions.version,
            ..ProfileRecord::default()
        }
    }

    fn vanish(
        &mut self,
        id: ProfileId,
        record: &ProfileRecord,
        stored_due: Option<Timestamp>,
        outcome: &Outcome<'_>,
        Moment { now, cause }: Moment,
    ) {
        // What is worked out quietly is told at its end.
        self.list_changed(id);
        let told = if self.quiet { &[] } else { record.memberships.as_slice() };
        for held in told {
            self.record_change(Change {
                segment: held.segment.clone(),
                profile: id,
                entered: false,
                at: now,
                cause,
                approximate: false,
            });
        }
        if !self.quiet {
            self.set_due(id, record.due, None);
            if let Some(time) = stored_due {
                self.writes.remove(Keyspace::Due, keys::due(&self.id, time, id));
            }
        }
        self.writes.remove(Keyspace::Profiles, keys::wide(&self.id, id.0));
        self.profile_count = self.profile_count.saturating_sub(1);
        let vanished = outcome.vanished.iter().find(|vanished| vanished.profile == id);
        if let Some(vanished) = vanished.filter(|_| !self.quiet) {
            self.figures.merged += 1;
            let row = redirects::encode(vanished.founder, Some(vanished.redirect));
            self.writes.put(Keyspace::Redirects, keys::wide(&self.id, id.0), row);
        }
    }
}

/// The people whose parts the evidence concerns, as they stood before it and as they stand after it.
fn concerned(applied: &Applied) -> (BTreeSet<ProfileId>, BTreeSet<ProfileId>) {
    let mut all = BTreeSet::from([applied.placement.profile]);
    all.extend(
        applied
            .moved
            .iter()
            .flat_map(|moved| moved.from.into_iter().chain([moved.to])),
    );
    for cut in &applied.cuts {
        all.extend(cut.gone.iter().map(|(_, profile)| *profile));
        all.extend(cut.refold.iter().map(|interval| interval.profile));
    }
    all.extend(
        applied
            .vanished
            .iter()
            .flat_map(|vanished| [vanished.profile, vanished.redirect]),
    );
    all.extend(&applied.created);
    let before = all.iter().filter(|id| !applied.created.contains(id)).copied().collect();
    all.retain(|id| applied.vanished.iter().all(|vanished| vanished.profile != *id));
    (before, all)
}
