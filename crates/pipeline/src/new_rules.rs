//! Changed rules of identity, applied to all history as a difference (contract IDN-2).
//!
//! Components of which every event says what it said are linked anew from what they hold, without reading an event. The
//! others are taken out, and their events are placed again, as if they came now. Everything is staged (`staged.rs`):
//! until the last of it is there, readers see who was who, and a process that ends on the way begins again; then all of
//! it takes over at once. Only then is anything told: the difference of memberships between the two, with the cause
//! `regrouping`, and ids that stand no longer redirect to whoever holds their identifier.
//!
//! What it holds in memory does not grow with the space: what is still to be done is listed beside the staged writes.

mod beside;
mod dry_run;
mod telling;

pub(crate) use beside::{Beside, Preparing};
pub use dry_run::Rearranged;
pub(crate) use dry_run::{Concerned, DryRun, LISTED_MAX, Trial, home_of_profile};

use crate::definitions::Definitions;
use crate::history::History;
use crate::place::NOBODY;
use crate::rules_progress::{RulesAtWork, RulesPart};
use crate::space::Space;
use crate::staged::{self, List, Overlaid};
use crate::{PipelineError, accounts, keys};
use kith_identity::{Component, Difference, Resolver};
use kith_segment::Cause;
use kith_state::{Batch, Keyspace, Read, Store};
use kith_types::{SpaceId, Timestamp};
use std::collections::BTreeSet;

/// Writes staged in one transaction, about, and entries looked at in one turn.
const STEP: usize = if cfg!(test) { 5 } else { 10_000 };

/// Where a change of rules is worked out.
#[derive(Clone, Copy)]
pub(crate) struct Staging<'a> {
    /// The space as it stands under the rules before, from a committed state.
    pub(crate) stands: &'a dyn Read,
    /// The same, with what is staged where staged writes are kept.
    pub(crate) reader: &'a dyn Read,
    /// Takes what is staged.
    pub(crate) writer: &'a dyn Store,
    /// The trees of which writes are staged; nothing where those of all are.
    pub(crate) only: Option<&'a [Keyspace]>,
}

/// What a change of rules works on.
#[derive(Clone, Copy)]
struct Work<'a> {
    writer: &'a dyn Store,
    reader: &'a dyn Read,
    stands: &'a dyn Read,
    only: Option<&'a [Keyspace]>,
    /// What stands, with what is staged in its place.
    view: Overlaid<'a>,
    /// Who counts how far it is.
    progress: &'a RulesAtWork,
    /// Whether any event names an account.
    has_accounts: bool,
    now: Timestamp,
}

impl<'a> Work<'a> {
    fn new(
        staging: Staging<'a>,
        space: &'a SpaceId,
        progress: &'a RulesAtWork,
        now: Timestamp,
    ) -> Result<Self, PipelineError> {
        let Staging {
            stands,
            reader,
            writer,
            only,
        } = staging;
        let (mut has_accounts, (from, to)) = (false, everything(space));
        stands.scan(Keyspace::AccountLinks, &from, &to, &mut |_, _| {
            has_accounts = true;
            false
        })?;
        Ok(Self {
            writer,
            reader,
            stands,
            only,
            view: Overlaid { base: reader, space },
            progress,
            has_accounts,
            now,
        })
    }
}

impl Space {
    /// Works everybody out anew under the definitions in force, where rules before them gave something else. What it does
    /// is staged when it returns; the caller makes it take over.
    pub(crate) fn take_rules(
        &mut self,
        staging: Staging<'_>,
        before: &Definitions,
        progress: &RulesAtWork,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let id = self.id.clone();
        let work = Work::new(staging, &id, progress, now)?;
        let _under_way = progress.begin_between_steps(&id, RulesPart::Reading);
        self.work_out(work, before)?;
        self.tell_all(work)
    }

    /// The same where who is who under the definitions in force is staged already, up to the last record.
    pub(crate) fn take_prepared(
        &mut self,
        staging: Staging<'_>,
        profile_count: u64,
        progress: &RulesAtWork,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let id = self.id.clone();
        let work = Work::new(staging, &id, progress, now)?;
        let _under_way = progress.begin_between_steps(&id, RulesPart::Telling);
        self.profile_count = profile_count;
        self.tell_all(work)
    }

    fn tell_all(&mut self, work: Work<'_>) -> Result<(), PipelineError> {
        work.progress.enter(RulesPart::Telling, 0);
        self.forget_loaded();
        self.tell_changed(work)?;
        self.store_definitions()?;
        self.stage_step(work)?;
        self.forget_loaded();
        Ok(())
    }

    /// Stages who is who under the definitions in force, and lists who may not be who they were. Nobody is evaluated.
    /// Answers how many events were placed again.
    fn work_out(&mut self, work: Work<'_>, before: &Definitions) -> Result<u64, PipelineError> {
        self.forget_loaded();
        self.quiet = true;
        let vetoes_stay = self.definitions.vetoes_decided == before.vetoes_decided;
        let rereads = !self.definitions.rules.reads_as(&before.rules) || !vetoes_stay;
        let of_nobody = if rereads { self.list_reread(work, before)? } else { 0 };
        work.progress.enter(RulesPart::Linking, self.profile_count);
        let taken_out = self.link_again(work)?;
        let mut placed = 0;
        if rereads {
            work.progress.enter(RulesPart::Placing, taken_out + of_nobody);
            placed = self.place_rows(work, NOBODY)? + self.place_again(work)?;
        }
        self.quiet = false;
        Ok(placed)
    }

    fn forget_loaded(&mut self) {
        self.identifiers.clear();
        self.components.clear();
        self.profiles.clear();
    }

    fn stage_step(&mut self, work: Work<'_>) -> Result<(), PipelineError> {
        let mut batch = Batch::default();
        self.commit(&mut batch, work.now)?;
        Ok(work.writer.commit(staged::stage(&self.id, batch, work.only))?)
    }

    fn stage_when_full(&mut self, work: Work<'_>) -> Result<(), PipelineError> {
        if self.staging() >= STEP {
            return self.stage_step(work);
        }
        Ok(())
    }

    /// Lists the components of which an event says something else than before. Answers how many events nobody has.
    fn list_reread(&mut self, work: Work<'_>, before: &Definitions) -> Result<u64, PipelineError> {
        let (mut from, mut of_nobody) = (Some(keys::space(&self.id)), 0);
        while let Some(start) = from {
            let reread = reread_carriers(work, &self.id, &start, (before, &self.definitions))?;
            from = reread.next;
            of_nobody += reread.of_nobody;
            for carrier in reread.carriers {
                let component = self
                    .component_of(work.stands, carrier)?
                    .ok_or_else(|| PipelineError::corrupt("identifiers"))?;
                let key = staged::listed(&self.id, List::Reread, component);
                self.writes.put(Keyspace::Staged, key, Vec::new());
            }
            self.stage_step(work)?;
        }
        Ok(of_nobody)
    }

    /// Goes over all components: takes out what is listed, and links the others as the rules do now. Answers how many events
    /// were taken out.
    fn link_again(&mut self, work: Work<'_>) -> Result<u64, PipelineError> {
        let (mut from, end) = everything(&self.id);
        let mut taken_out = 0;
        loop {
            let mut some = Vec::new();
            work.stands.scan(Keyspace::Components, &from, &end, &mut |key, bytes| {
                some.extend(keys::wide_id(key).map(|id| (id, Component::decode(bytes))));
                some.len() < STEP
            })?;
            let Some((last, _)) = some.last() else {
                // What was taken out is in memory still.
                self.forget_loaded();
                return Ok(taken_out);
            };
            from = [keys::wide(&self.id, *last).as_slice(), &[0]].concat();
            for (id, component) in some {
                let component = component.map_err(|_| PipelineError::corrupt("components"))?;
                work.progress.did(component.profiles().len() as u64);
                let listed = staged::listed(&self.id, List::Reread, id);
                if work.reader.get(Keyspace::Staged, &listed)?.is_some() {
                    taken_out += self.take_out(work, &component)?;
                } else {
                    self.link_otherwise(work, component)?;
                }
                self.stage_when_full(work)?;
            }
            self.stage_step(work)?;
        }
    }

    fn link_otherwise(&mut self, work: Work<'_>, before: Component) -> Result<(), PipelineError> {
        let definitions = std::sync::Arc::clone(&self.definitions);
        let after = Resolver::new(&*definitions.rules, &self.id)
            .holding_apart(definitions.vetoes.apart())
            .again(&before);
        if after == before {
            return Ok(());
        }
        let (before, after) = ([before], [after]);
        let difference = Difference::between(&before, &after);
        if !difference.is_empty() {
            self.carry_out(&work.view, &difference, &after, work.now)?;
        }
        let [after] = after;
        self.set_component(after.id().0, after);
        Ok(())
    }

    /// Removes a component with all that is derived of its events, the rows of their history among it. Answers how many
    /// events that were.
    fn take_out(&mut self, work: Work<'_>, component: &Component) -> Result<u64, PipelineError> {
        let mut events = 0;
        for profile in component.profiles() {
            let key = keys::wide(&self.id, profile.id.0);
            self.writes.remove(Keyspace::Profiles, key);
            self.list_changed(profile.id);
            self.profile_count = self.profile_count.saturating_sub(1);
            for member in &profile.members {
                self.writes.remove(Keyspace::Parts, keys::part(&self.id, &member.part));
            }
        }
        for identifier in component.hashes() {
            self.writes
                .remove(Keyspace::Identifiers, keys::wide(&self.id, identifier));
            let rows = keys::row_range(&self.id, identifier, None, None);
            events += self.take_out_rows(work, Keyspace::Events, rows)?;
            if !work.has_accounts {
                continue;
            }
            for link in accounts::links_of(work.stands, &self.id, identifier)? {
                self.writes.remove(Keyspace::AccountLinks, link);
                self.stage_when_full(work)?;
            }
        }
        let members = component.profiles().into_iter().flat_map(|profile| profile.members);
        let held: BTreeSet<u128> = members.filter(|one| one.held).map(|one| one.part.carrier).collect();
        for identifier in held {
            let rows = keys::row_range(&self.id, identifier, None, None);
            self.take_out_rows(work, Keyspace::Presence, rows)?;
        }
        self.writes
            .remove(Keyspace::Components, keys::wide(&self.id, component.id().0));
        Ok(events)
    }

    fn take_out_rows(
        &mut self,
        work: Work<'_>,
        keyspace: Keyspace,
        (from, to): (Vec<u8>, Vec<u8>),
    ) -> Result<u64, PipelineError> {
        let (mut rows, mut failed) = (0, None);
        work.stands.scan(keyspace, &from, &to, &mut |key, _| {
            rows += 1;
            self.writes.remove(keyspace, key.to_vec());
            failed = self.stage_when_full(work).err();
            failed.is_none()
        })?;
        failed.map_or(Ok(rows), Err)
    }

    /// Places the events of what was taken out. Answers how many.
    fn place_again(&mut self, work: Work<'_>) -> Result<u64, PipelineError> {
        let (mut from, mut placed) = (Some(0), 0);
        while let Some(start) = from {
            let some = staged::next_listed(work.reader, &self.id, List::Reread, start, STEP)?;
            from = some.last().and_then(|last| last.checked_add(1));
            for id in some {
                let stored = work.stands.get(Keyspace::Components, &keys::wide(&self.id, id))?;
                let component = stored
                    .and_then(|bytes| Component::decode(&bytes).ok())
                    .ok_or_else(|| PipelineError::corrupt("components"))?;
                for carrier in component.hashes() {
                    placed += self.place_rows(work, carrier)?;
                }
            }
        }
        self.stage_step(work)?;
        Ok(placed)
    }

    /// Places the events that stand under a carrier. Answers how many.
    fn place_rows(&mut self, work: Work<'_>, carrier: u128) -> Result<u64, PipelineError> {
        let (from, to) = keys::row_range(&self.id, carrier, None, None);
        let (mut placed, mut failed) = (0, None);
        work.stands.scan(Keyspace::Events, &from, &to, &mut |key, row| {
            match self.place_row(work, carrier, key, row) {
                Ok(is_placed) => placed += u64::from(is_placed),
                Err(error) => failed = Some(error),
            }
            failed.is_none()
        })?;
        failed.map_or(Ok(placed), Err)
    }

    /// Answers whether it is placed: of an event that nobody has, rules may still leave nothing.
    fn place_row(&mut self, work: Work<'_>, carrier: u128, key: &[u8], row: &[u8]) -> Result<bool, PipelineError> {
        let history = self.history.history(work.stands, work.view.space);
        work.progress.did(1);
        if carrier == NOBODY {
            let named = history.evidence(key, row)?;
            if self.definitions.read(&named).carrier().is_none() {
                return Ok(false);
            }
            self.writes.remove(Keyspace::Events, key.to_vec());
            if let Some(link) = accounts::link_of_nobody(&self.id, &named) {
                self.writes.remove(Keyspace::AccountLinks, link);
            }
        }
        let event = history.event(key, row)?;
        self.place_event(&work.view, &event, work.now, Cause::Regrouping)?;
        self.stage_when_full(work)?;
        Ok(true)
    }
}

/// The range of a space's keys in any tree.
fn everything(space: &SpaceId) -> (Vec<u8>, Vec<u8>) {
    let from = keys::space(space);
    let to = kith_state::prefix_end(&from).unwrap_or_default();
    (from, to)
}

/// Carriers that have an event which says something else than before.
struct Reread {
    carriers: Vec<u128>,
    /// Where to go on.
    next: Option<Vec<u8>>,
    /// Events on the way that nobody has.
    of_nobody: u64,
}

/// The next carriers that have an event which says something else under the second definitions than under the first.
fn reread_carriers(
    work: Work<'_>,
    space: &SpaceId,
    start: &[u8],
    (before, after): (&Definitions, &Definitions),
) -> Result<Reread, PipelineError> {
    let (prefix, end) = everything(space);
    let (mut found, mut next, mut failed): (Vec<u128>, _, _) = (Vec::new(), None, None);
    let mut of_nobody = 0;
    let history = History::of(work.stands, space);
    work.stands.scan(Keyspace::Events, start, &end, &mut |key, row| {
        work.progress.did(1);
        let carrier = key.get(prefix.len()..).and_then(|rest| rest.first_chunk::<16>());
        let carrier = carrier.map(|bytes| u128::from_be_bytes(*bytes));
        of_nobody += u64::from(carrier == Some(NOBODY));
        if carrier == Some(NOBODY) || carrier.is_some() && found.last().copied() == carrier {
            return true;
        }
        work.progress.has_reached(carrier.unwrap_or_default());
        let carrier = carrier.ok_or_else(|| PipelineError::corrupt("history"));
        let read = carrier.and_then(|carrier| Ok((carrier, history.evidence(key, row)?)));
        let (carrier, event) = match read {
            Ok(read) => read,
            Err(error) => {
                failed = Some(error);
                return false;
            }
        };
        if !after.read(&event).says_as(&before.read(&event)) {
            found.push(carrier);
            next = (found.len() >= STEP).then(|| [key, &[0]].concat());
        }
        next.is_none()
    })?;
    let reread = Reread {
        carriers: found,
        next,
        of_nobody,
    };
    failed.map_or(Ok(reread), Err)
}
