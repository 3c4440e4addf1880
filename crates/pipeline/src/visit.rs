//! Visiting people for a decision: several threads find out what each makes of it, and the pipeline's thread writes that down.
//!
//! A sweep visits everybody, and few of them are asked for soon. So they are not brought into memory, where they would take the place of
//! whoever is: each thread puts a person together, has them take the decision, encodes what that changed and lets go of them, and the
//! memory of one serves for the next. What comes of it is the same rows, changes and timers, in the order in which people are visited.
//! Whoever is in memory already takes the decision there, and so does everybody while segments ask for accounts, which are held
//! there, too.

use crate::entry::{ComponentEntry, ProfileEntry, StoredRecord};
use crate::evaluate::{bring_up_beside, take_foreseen};
use crate::fold::members_of;
use crate::reads::{Foreseen, Named};
use crate::record::ProfileRecord;
use crate::space::Space;
use crate::{PipelineError, keys, threads};
use kith_identity::Component;
use kith_segment::Change;
use kith_state::{Batch, Keyspace, Read};
use kith_types::{ProfileId, Timestamp};
use std::sync::atomic::{AtomicUsize, Ordering};

/// For each so many people another thread takes some.
const VISITED_BY_ONE: usize = if cfg!(test) { 1 } else { 64 };
/// The most threads that do: a sweep is beside doors and reads.
const VISITORS_MAX: usize = 8;
/// How many people a thread takes at once.
const VISITED_AT_ONCE: usize = if cfg!(test) { 1 } else { 16 };

/// What a thread found of a person who is not in memory.
enum Found {
    /// They took the decision.
    Visited(Visited),
    /// They are to take it in memory.
    Stored(Box<FromStore>),
}

/// What comes of a visit.
struct Visited {
    changes: Vec<Change>,
    /// Their timer, before and after.
    due: (Option<Timestamp>, Option<Timestamp>),
    /// How many of their timers fired.
    timers: u64,
    rows: Batch,
}

/// A person as the store has them.
struct FromStore {
    entry: ProfileEntry,
    home: u128,
    /// Their component, where it was not in memory.
    component: Option<Component>,
}

impl Space {
    /// Has people take the newest decision and brings them to where every timer has fired, whoever of them is there, in this
    /// order. Between steps only, when the store holds everything; `clock` is the instant of the step that is to write it.
    pub(crate) fn visit_people(
        &mut self,
        store: &dyn Read,
        foreseen: &Foreseen,
        clock: Timestamp,
    ) -> Result<(), PipelineError> {
        let Foreseen { people, concerned } = foreseen;
        let threads = threads::available()
            .min(people.len() / VISITED_BY_ONE)
            .clamp(1, VISITORS_MAX);
        let (next, space) = (AtomicUsize::new(0), &*self);
        let shares = threads::in_threads(threads, &|| {
            let mut found = Vec::new();
            loop {
                let from = next.fetch_add(VISITED_AT_ONCE, Ordering::Relaxed);
                let Some(some) = people.get(from..) else {
                    return Ok(found);
                };
                for (at, named) in (from..).zip(some.iter().take(VISITED_AT_ONCE)) {
                    if space.profiles.peek(named.id).is_none() {
                        found.push((at, space.find(store, (named, concerned), clock)?));
                    }
                }
            }
        })?;
        let mut all: Vec<Option<Found>> = Vec::new();
        all.resize_with(people.len(), || None);
        for (at, found) in shares.into_iter().flatten() {
            all[at] = found;
        }
        for (named, found) in people.iter().zip(all) {
            let id = ProfileId(named.id);
            match found {
                Some(Found::Visited(visited)) => self.take_visited(id, visited),
                Some(Found::Stored(stored)) => {
                    let FromStore { entry, home, component } = *stored;
                    if let Some(component) = component {
                        self.identifiers.insert(entry.record.founder, home);
                        let dirty = false;
                        self.components.insert(home, ComponentEntry { component, dirty });
                    }
                    self.take_loaded(store, id, entry)?;
                }
                None if self.profiles.peek(id.0).is_some() => self.load_profile(store, id)?,
                None => {}
            }
        }
        Ok(())
    }

    fn find(
        &self,
        store: &dyn Read,
        (named, concerned): (&Named, &[usize]),
        clock: Timestamp,
    ) -> Result<Option<Found>, PipelineError> {
        let id = ProfileId(named.id);
        let Some((mut record, mut kept)) = self.stored_record(store, id)? else {
            return Ok(None);
        };
        // What was said of accounts reaches those who lack it in memory.
        let lacks_nothing = !self.account_changes.is_waiting();
        if let Some(answer) = named.answer.as_ref().filter(|_| lacks_nothing) {
            let (before, found) = (record.due, (concerned, answer));
            if let Some(changes) = take_foreseen(&self.definitions, (id, &mut record), found, self.fired) {
                let mut rows = Batch::default();
                kept.write(&self.id, id, &record, &mut rows);
                return Ok(Some(Found::Visited(Visited {
                    changes,
                    due: (before, record.due),
                    timers: 0,
                    rows,
                })));
            }
        }
        let mut stored = self.stored_person(store, id, (record, kept))?;
        if self.definitions.accounts.is_some() || !lacks_nothing {
            return Ok(Some(Found::Stored(Box::new(stored))));
        }
        let home = self.components.peek(stored.home).map(|known| &known.component);
        let is_at_a_bound = home.or(stored.component.as_ref()).is_some_and(Component::is_full);
        let entry = &mut stored.entry;
        let before = entry.record.due;
        let (changes, timers) = bring_up_beside(&self.definitions, (id, entry), self.fired, is_at_a_bound);
        let mut rows = Batch::default();
        entry.write(&self.id, id, &self.definitions.plan, &mut rows, clock);
        Ok(Some(Found::Visited(Visited {
            changes,
            due: (before, entry.record.due),
            timers,
            rows,
        })))
    }

    fn take_visited(&mut self, id: ProfileId, mut visited: Visited) {
        self.figures.loaded += 1;
        self.figures.timers += visited.timers;
        let (before, after) = visited.due;
        self.set_due(id, before, after);
        for change in visited.changes {
            self.record_change(change);
        }
        self.writes.append(&mut visited.rows);
    }

    /// A profile of this record as the store has it. What is in memory is what the store holds.
    fn stored_person(
        &self,
        store: &dyn Read,
        id: ProfileId,
        (record, stored): (ProfileRecord, StoredRecord),
    ) -> Result<FromStore, PipelineError> {
        let home = match self.identifiers.peek(record.founder) {
            Some(home) => *home,
            None => {
                let home = store.get(Keyspace::Identifiers, &keys::wide(&self.id, record.founder))?;
                let home = home.and_then(|bytes| bytes.try_into().ok()).map(u128::from_be_bytes);
                home.ok_or_else(|| PipelineError::corrupt("identifiers"))?
            }
        };
        let (members, component) = match self.components.peek(home) {
            Some(known) => (members_of(&known.component, id), None),
            None => {
                let component = store.get(Keyspace::Components, &keys::wide(&self.id, home))?;
                let component = component.and_then(|bytes| Component::decode(&bytes).ok());
                let component = component.ok_or_else(|| PipelineError::corrupt("components"))?;
                (members_of(&component, id), Some(component))
            }
        };
        let entry = self.assembled(store, id, (record, stored), &members)?;
        Ok(FromStore { entry, home, component })
    }
}
