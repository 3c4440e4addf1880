//! One space's live state within a step: caches over the store, and the writes that the step has made so far.
//!
//! Loads what the step touches, keeps it decoded, writes each dirty entry once with the step, and decides nothing.

use crate::account_changes::AccountChanges;
use crate::accounts::Accounts;
use crate::cache::Cache;
use crate::dedupe::Dedupe;
use crate::definitions::{DefinitionSet, Definitions};
use crate::entry::{ComponentEntry, ProfileEntry};
use crate::folds::Awaited;
use crate::foreseen::VisitedFirst;
use crate::history::{self, Writing};
use crate::output::{Numbered, StepFigures};
use crate::sent_names::SentNames;
use crate::staged::{self, List};
use crate::waiting::{self, Waiting};
use crate::{PipelineError, definition_history, keys, output, plans};
use kith_identity::{Component, Position};
use kith_profile::Plans;
use kith_segment::Change;
use kith_state::{Batch, Keyspace, Read};
use kith_types::{Address, Event, ProfileId, SpaceId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Young entries kept between steps: identifiers, components, and profiles with their parts.
const IDENTIFIERS_CACHED: usize = if cfg!(test) { 3 } else { 400_000 };
const COMPONENTS_CACHED: usize = if cfg!(test) { 2 } else { 30_000 };
const PROFILES_CACHED: usize = if cfg!(test) { 2 } else { 20_000 };
/// Of those, the share that a space takes which is only tried: one in so many.
const TRIED_IN: usize = if cfg!(test) { 1 } else { 4 };

pub(crate) const DEFINITIONS: &str = "definitions";
pub(crate) const OUTBOX_NEXT: &str = "outbox_next";
/// The latest set of definitions that everybody has been evaluated by.
pub(crate) const SWEPT_VERSION: &str = "swept_version";
pub(crate) const PROFILE_COUNT: &str = "profile_count";

/// A row of a carrier's history or of a held identifier, until it is written: where it goes, and its place there.
type RowKey = (Keyspace, u128, Position);

const FIRST_PLACE: Position = (
    Timestamp::from_micros(i64::MIN),
    Address {
        generation: 0,
        partition: 0,
        sequence: 0,
        index: 0,
    },
);
const LAST_PLACE: Position = (
    Timestamp::from_micros(i64::MAX),
    Address {
        generation: u16::MAX,
        partition: u16::MAX,
        sequence: u64::MAX,
        index: u32::MAX,
    },
);

/// The live state of one space.
pub(crate) struct Space {
    pub(crate) id: SpaceId,
    pub(crate) set: DefinitionSet,
    pub(crate) definitions: Arc<Definitions>,
    /// The plans that stored parts may name.
    pub(crate) plans: Plans,
    pub(crate) dedupe: Dedupe,
    pub(crate) identifiers: Cache<u128, u128>,
    pub(crate) components: Cache<u128, ComponentEntry>,
    pub(crate) profiles: Cache<u128, ProfileEntry>,
    pub(crate) accounts: Accounts,
    /// What is said of accounts, on its way to their members.
    pub(crate) account_changes: AccountChanges,
    pub(crate) sent_names: SentNames,
    /// How rows of history are written.
    pub(crate) history: Writing,
    pub(crate) due: BTreeSet<(Timestamp, ProfileId)>,
    /// Every timer before this instant has fired.
    pub(crate) fired: Timestamp,
    pub(crate) changes: Vec<Numbered>,
    pub(crate) outbox_next: u64,
    pub(crate) profile_count: u64,
    /// Where the sweep after a decision stands: the next profile to take.
    pub(crate) sweep: Option<u128>,
    pub(crate) swept: u64,
    /// Whom the sweep visits before it goes by the order of ids.
    pub(crate) visited_first: VisitedFirst,
    /// Folds of history that are made elsewhere for the sweep.
    pub(crate) awaited: Option<Awaited>,
    /// Decisions that wait to be taken, in their order.
    pub(crate) waiting: Vec<Waiting>,
    /// Where the log has the record by which the first of them is taken, once it was put there.
    pub(crate) called: Option<u64>,
    /// While a change of rules is worked out beside the steps: the number of the latest step.
    pub(crate) watched: Option<u64>,
    /// While rules of identity change: nobody is evaluated, nothing is told, and who changed is listed.
    pub(crate) quiet: bool,
    /// While a lost state is built again: changes are made and not told.
    pub(crate) silent: bool,
    /// After that, what time alone changed before this instant is not told either.
    pub(crate) silent_until: Timestamp,
    pub(crate) rows: BTreeMap<RowKey, Vec<u8>>,
    pub(crate) writes: Batch,
    /// What the step under way did, for the metrics.
    pub(crate) figures: StepFigures,
    dirty_components: Vec<u128>,
    dirty_profiles: Vec<u128>,
}

impl Space {
    /// Reads what the store holds of a space.
    pub(crate) fn load(store: &dyn Read, id: &SpaceId) -> Result<Self, PipelineError> {
        let set = definition_history::in_force(store, id)?;
        let definitions = Arc::new(set.compile()?);
        let mut space = Self {
            account_changes: AccountChanges::load(store, id)?,
            sent_names: SentNames::load(store, id)?,
            history: Writing::load(store, id)?,
            waiting: waiting::load(store, id)?,
            ..Self::bare(store, id, (definitions, set), Dedupe::load(store, id)?, 1)?
        };
        let swept = number_in(store, id, SWEPT_VERSION)?;
        space.sweep = (space.set.version > swept).then_some(0);
        let from = keys::space(id);
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        let due = &mut space.due;
        store.scan(Keyspace::Due, &from, &to, &mut |key, _| {
            due.extend(keys::due_parts(key));
            true
        })?;
        Ok(space)
    }

    /// A space under other definitions than are in force, to try what they make of it. It takes no event, fires no timer, and
    /// holds less in memory than the one that serves.
    pub(crate) fn to_try(
        store: &dyn Read,
        id: &SpaceId,
        (definitions, set): &(Arc<Definitions>, &DefinitionSet),
    ) -> Result<Self, PipelineError> {
        let no_keys = Dedupe::load(&kith_state::MemoryStore::default(), id)?;
        let definitions = (Arc::clone(definitions), (*set).clone());
        Self::bare(store, id, definitions, no_keys, TRIED_IN)
    }

    /// A space with its plans and counts. Its caches take a share of what they take where it serves.
    fn bare(
        store: &dyn Read,
        id: &SpaceId,
        (definitions, set): (Arc<Definitions>, DefinitionSet),
        dedupe: Dedupe,
        share: usize,
    ) -> Result<Self, PipelineError> {
        let number = |name: &str| number_in(store, id, name);
        Ok(Self {
            definitions,
            plans: plans::load(store, id)?,
            set,
            dedupe,
            identifiers: Cache::new(IDENTIFIERS_CACHED / share),
            components: Cache::new(COMPONENTS_CACHED / share),
            profiles: Cache::new(PROFILES_CACHED / share),
            accounts: Accounts::default(),
            account_changes: AccountChanges::default(),
            sent_names: SentNames::default(),
            history: Writing::load_to_try(store, id)?,
            due: BTreeSet::new(),
            fired: Timestamp::MIN,
            changes: Vec::new(),
            outbox_next: number(OUTBOX_NEXT)?,
            profile_count: number(PROFILE_COUNT)?,
            sweep: None,
            swept: 0,
            visited_first: VisitedFirst::Nobody,
            awaited: None,
            waiting: Vec::new(),
            called: None,
            watched: None,
            quiet: false,
            silent: false,
            silent_until: Timestamp::MIN,
            rows: BTreeMap::new(),
            writes: Batch::default(),
            figures: StepFigures::default(),
            dirty_components: Vec::new(),
            dirty_profiles: Vec::new(),
            id: id.clone(),
        })
    }

    /// The component that holds an identifier.
    pub(crate) fn component_of(&mut self, store: &dyn Read, identifier: u128) -> Result<Option<u128>, PipelineError> {
        if let Some(component) = self.identifiers.get_mut(identifier) {
            return Ok(Some(*component));
        }
        let Some(bytes) = store.get(Keyspace::Identifiers, &keys::wide(&self.id, identifier))? else {
            return Ok(None);
        };
        let component = bytes
            .try_into()
            .map(u128::from_be_bytes)
            .map_err(|_| PipelineError::corrupt("identifiers"))?;
        self.identifiers.insert(identifier, component);
        Ok(Some(component))
    }

    /// Says which component holds an identifier from now on.
    pub(crate) fn set_component_of(&mut self, identifier: u128, component: u128) {
        self.identifiers.insert(identifier, component);
        let key = keys::wide(&self.id, identifier);
        self.writes
            .put(Keyspace::Identifiers, key, component.to_be_bytes().to_vec());
    }

    /// A component, loaded when it is not in memory.
    pub(crate) fn component(&mut self, store: &dyn Read, id: u128) -> Result<&mut ComponentEntry, PipelineError> {
        if self.components.get_mut(id).is_none() {
            let stored = store.get(Keyspace::Components, &keys::wide(&self.id, id))?;
            let component = stored
                .and_then(|bytes| Component::decode(&bytes).ok())
                .ok_or_else(|| PipelineError::corrupt("components"))?;
            let dirty = false;
            self.components.insert(id, ComponentEntry { component, dirty });
        }
        self.components
            .get_mut(id)
            .ok_or_else(|| PipelineError::corrupt("components"))
    }

    /// Sets a component.
    pub(crate) fn set_component(&mut self, id: u128, component: Component) {
        self.components.insert(id, ComponentEntry { component, dirty: true });
        self.dirty_components.push(id);
    }

    /// Forgets a component that another one absorbed.
    pub(crate) fn remove_component(&mut self, id: u128) {
        self.components.remove(id);
        self.writes.remove(Keyspace::Components, keys::wide(&self.id, id));
    }

    /// Marks a profile that changed.
    pub(crate) fn profile_changed(&mut self, id: ProfileId) {
        if let Some(entry) = self.profiles.get_mut(id.0)
            && !entry.dirty
        {
            entry.dirty = true;
            self.dirty_profiles.push(id.0);
            self.list_changed(id);
        }
    }

    /// While it is quiet: lists a profile that may not stand as it stood.
    pub(crate) fn list_changed(&mut self, id: ProfileId) {
        if self.quiet {
            let key = staged::listed(&self.id, List::Changed, id.0);
            self.writes.put(Keyspace::Staged, key, Vec::new());
        }
    }

    /// Moves a profile's timer in memory; the store learns of it when the step is committed.
    pub(crate) fn set_due(&mut self, id: ProfileId, before: Option<Timestamp>, after: Option<Timestamp>) {
        if before == after {
            return;
        }
        if let Some(time) = before {
            self.due.remove(&(time, id));
        }
        if let Some(time) = after {
            self.due.insert((time, id));
        }
    }

    /// Records a change of membership: in the members of the segment and in the outbox.
    pub(crate) fn record_change(&mut self, change: Change) {
        let key = keys::member(&self.id, change.segment.as_str(), change.profile);
        if change.entered {
            self.writes
                .put(Keyspace::Members, key, change.at.as_micros().to_be_bytes().to_vec());
        } else {
            self.writes.remove(Keyspace::Members, key);
        }
        if self.silent || change.at < self.silent_until {
            return;
        }
        let number = self.outbox_next;
        self.outbox_next += 1;
        self.writes.put(
            Keyspace::Outbox,
            keys::numbered(&self.id, number),
            output::encode_change(&change),
        );
        self.changes.push(Numbered {
            space: self.id.clone(),
            number,
            change,
        });
    }

    /// Adds an event to its carrier's history. An event that is being placed is added when it is folded, not before:
    /// what is folded from the history until then must not hold it.
    pub(crate) fn add_history(&mut self, event: &Event, carrier: u128) {
        let row = self.history.row(event, carrier);
        let place = (event.event_time, event.address);
        self.rows.insert((Keyspace::Events, carrier, place), row);
        self.link_account(event, carrier);
    }

    /// Adds who stood beside a held identifier in an event.
    pub(crate) fn add_presence(&mut self, event: &Event, held: u128, beside: Option<u128>) {
        let place = (event.event_time, event.address);
        let row = history::encode_presence(event.received_at, beside);
        self.rows.insert((Keyspace::Presence, held, place), row);
    }

    /// How much the open step holds that is not committed yet.
    pub(crate) fn pending(&self) -> usize {
        self.changes.len() + self.dirty_profiles.len() + self.accounts.pending()
    }

    /// Whether somebody has still to take a decision, or what was said of an account of theirs.
    pub(crate) fn is_behind(&self) -> bool {
        self.sweep.is_some() || self.account_changes.is_busy()
    }

    /// How much the open step would write, about.
    pub(crate) fn staging(&self) -> usize {
        self.writes.len() + self.rows.len() + self.dirty_profiles.len()
    }

    /// Visits the rows of an identifier in canonical order, those of this step among them: from one place to before
    /// another, where `None` is open.
    pub(crate) fn rows(
        &self,
        store: &dyn Read,
        (keyspace, identifier): (Keyspace, u128),
        from: Option<Position>,
        to: Option<Position>,
        visit: &mut dyn FnMut(Position, &[u8]) -> bool,
    ) -> Result<(), PipelineError> {
        let end = match to {
            Some(place) => Bound::Excluded((keyspace, identifier, place)),
            None => Bound::Included((keyspace, identifier, LAST_PLACE)),
        };
        let start = (keyspace, identifier, from.unwrap_or(FIRST_PLACE));
        if to.is_some_and(|to| to <= start.2) {
            return Ok(());
        }
        let mut fresh = self.rows.range((Bound::Included(start), end)).peekable();
        let (mut go_on, mut damaged) = (true, false);
        let (first, last) = keys::row_range(&self.id, identifier, from, to);
        store.scan(keyspace, &first, &last, &mut |key, row| {
            let Some(place) = keys::row_place(key) else {
                damaged = true;
                return false;
            };
            while let Some(((_, _, newer), row)) = fresh.next_if(|((_, _, newer), _)| *newer < place) {
                go_on = go_on && visit(*newer, row);
            }
            go_on = go_on && visit(place, row);
            go_on
        })?;
        if damaged {
            return Err(PipelineError::corrupt("rows"));
        }
        for ((_, _, place), row) in fresh {
            go_on = go_on && visit(*place, row);
        }
        Ok(())
    }

    /// Adds everything that the step changed to its transaction, and where somebody watches, which of who is who that is.
    pub(crate) fn commit_watched(&mut self, batch: &mut Batch, now: Timestamp) -> Result<(), PipelineError> {
        let from = batch.len();
        self.commit(batch, now)?;
        self.history.commit(&self.id, batch);
        if let Some(step) = &mut self.watched {
            *step += 1;
            staged::list_touched(&self.id, batch, from, *step);
        }
        Ok(())
    }

    /// Adds everything that the step changed to its transaction.
    pub(crate) fn commit(&mut self, batch: &mut Batch, now: Timestamp) -> Result<(), PipelineError> {
        let writes = std::mem::take(&mut self.writes).into_writes();
        for (keyspace, key, value) in writes {
            match value {
                Some(value) => batch.put(keyspace, key, value),
                None => batch.remove(keyspace, key),
            }
        }
        for ((keyspace, identifier, (time, address)), row) in std::mem::take(&mut self.rows) {
            batch.put(keyspace, keys::row(&self.id, identifier, time, address), row);
        }
        for id in std::mem::take(&mut self.dirty_components) {
            if let Some(entry) = self.components.get_mut(id)
                && std::mem::take(&mut entry.dirty)
            {
                batch.put(Keyspace::Components, keys::wide(&self.id, id), entry.component.encode());
            }
        }
        // Who lacks something keeps what an answer at its instant needs.
        let mut asked_from = BTreeMap::new();
        if self.account_changes.is_waiting() {
            for id in self.dirty_profiles.clone() {
                asked_from.extend(self.note_taken(ProfileId(id), batch).map(|at| (id, at)));
            }
        }
        let plan = &self.definitions.plan;
        if self.plans.remember(plan) {
            batch.put(Keyspace::Meta, keys::named(&self.id, plans::PLANS), self.plans.encode());
        }
        for id in std::mem::take(&mut self.dirty_profiles) {
            if let Some(entry) = self.profiles.get_mut(id)
                && std::mem::take(&mut entry.dirty)
            {
                let now = asked_from.get(&id).map_or(now, |at| now.min(*at));
                entry.write(&self.id, ProfileId(id), plan, batch, now);
            }
        }
        self.accounts.commit(&self.id, batch);
        let mut number = |name: &str, number: u64| {
            batch.put(
                Keyspace::Meta,
                keys::named(&self.id, name),
                number.to_be_bytes().to_vec(),
            );
        };
        number(OUTBOX_NEXT, self.outbox_next);
        number(PROFILE_COUNT, self.profile_count);
        if self.sweep.is_none() {
            number(SWEPT_VERSION, self.set.version);
        }
        self.age();
        Ok(())
    }

    /// Lets go of what was not looked at for long. Only where the store holds everything.
    pub(crate) fn age(&mut self) {
        self.identifiers.age();
        self.components.age();
        self.profiles.age();
    }

    /// Writes the definitions in force into the step.
    pub(crate) fn store_definitions(&mut self) -> Result<(), PipelineError> {
        let bytes = serde_json::to_vec(&self.set).map_err(|error| PipelineError::storage("definitions", error))?;
        self.writes
            .put(Keyspace::Meta, keys::named(&self.id, DEFINITIONS), bytes);
        Ok(())
    }
}

fn number_in(store: &dyn Read, space: &SpaceId, name: &str) -> Result<u64, PipelineError> {
    let bytes = store.get(Keyspace::Meta, &keys::named(space, name))?;
    Ok(bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_be_bytes))
}
