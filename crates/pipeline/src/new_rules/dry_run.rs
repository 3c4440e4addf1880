//! A change of rules or of vetoes that is only asked about (contract IDN-7): the code that would apply it works it out beside
//! a snapshot, and nothing takes over. Rules go the way of `new_rules.rs`, vetoes that of `revise.rs`.
//!
//! What an applied change stages in the store is staged in a scratch store here, so that what is told before and what is
//! done after cannot differ. From what stands and what is staged follows who splits, who merges and which identifiers
//! move; those pairs are put down in the scratch store, too, and memory holds no more than the first of them.

mod relation;
mod trial;

use super::{STEP, Staging, Work, everything};
use crate::definitions::{DefinitionSet, Definitions};
use crate::place::NOBODY;
use crate::reads::{component_of, home_of};
use crate::record::ProfileRecord;
use crate::rules_progress::{RulesAtWork, RulesPart};
use crate::space::Space;
use crate::staged::{self, List};
use crate::{PipelineError, keys};
use kith_identity::{Component, Evidence, Merge, Move, Position, ProfileMembers, Split, spelt_by_both};
use kith_state::{Keyspace, Read};
use kith_types::{Event, Identifier, ProfileId, SpaceId, Timestamp};
use relation::{Block, Relation};
use std::collections::BTreeSet;
use std::sync::Arc;
pub(crate) use trial::Trial;

/// Entries of a list in an answer; how many there are is told beside it.
pub(crate) const LISTED_MAX: usize = 100;

/// Whose evidence a change concerns.
pub(crate) enum Concerned {
    /// That of all events: rules are others.
    Everybody,
    /// That of some components, of which it is told: only vetoes are others.
    Components(BTreeSet<u128>),
}

/// What a change would make of who is who. Each list holds the first hundred, its total counts them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rearranged {
    /// Events that say something else, or stand beside one that does: they were looked at again.
    pub events: u64,
    /// Profiles now, of all or of the components concerned.
    pub profiles_before: u64,
    /// Profiles there would be of the same events.
    pub profiles_after: u64,
    /// Identifiers of the largest profile there would be.
    pub largest_after: u64,
    /// Of the profiles now, how many are at a bound of identity.
    pub bounded_before: u64,
    /// Of the profiles that there would be.
    pub bounded_after: u64,
    /// How many would split.
    pub splits_total: u64,
    /// Who would split, by id.
    pub splits: Vec<Split>,
    /// How many would come from several.
    pub merges_total: u64,
    /// Who would merge, by the id they would have.
    pub merges: Vec<Merge>,
    /// How many identifiers would move, by profile that they would leave and profile that they would come to.
    pub moves_total: u64,
    /// Identifiers that would move from one profile to another, by these.
    pub moves: Vec<Move>,
    /// Of how many nothing but the id would change: one profile becomes one other.
    pub renamed_total: u64,
    /// Who that is, by the id of now, and as whom they would go on.
    pub renamed: Vec<(ProfileId, ProfileMembers)>,
    /// How many identifiers that an event names would be left out: blocked, or no value of their type.
    pub blocked_total: u64,
    /// Which, by type and value.
    pub blocked: Vec<Identifier>,
    /// How many would be left out no more.
    pub unblocked_total: u64,
    /// Which.
    pub unblocked: Vec<Identifier>,
}

/// Profiles of one side.
#[derive(Default)]
struct Standing {
    profiles: u64,
    largest: u64,
    bounded: u64,
}

impl Standing {
    fn add(&mut self, component: &Component) {
        let profiles = component.profiles();
        self.profiles += profiles.len() as u64;
        if component.is_full() {
            self.bounded += profiles.len() as u64;
        }
        let sizes = profiles.iter().map(|profile| profile.size() as u64);
        self.largest = sizes.fold(self.largest, u64::max);
    }
}

/// What is asked about.
pub(crate) struct DryRun<'a> {
    pub(crate) space: &'a SpaceId,
    pub(crate) before: &'a Definitions,
    /// The definitions that there would be, and their documents.
    pub(crate) after: (Arc<Definitions>, &'a DefinitionSet),
    pub(crate) concerned: Concerned,
    pub(crate) progress: &'a RulesAtWork,
    pub(crate) now: Timestamp,
}

impl DryRun<'_> {
    /// Works it out beside what stands. Nobody is evaluated: whoever may not be who they were is listed in the scratch store.
    /// The caller has begun the progress.
    pub(crate) fn run(&self, trial: &Trial<'_>) -> Result<Rearranged, PipelineError> {
        let mut space = Space::to_try(trial, self.space, &self.after)?;
        let staging = Staging {
            stands: trial,
            reader: trial,
            writer: trial.scratch,
            only: None,
        };
        let work = Work::new(staging, self.space, self.progress, self.now)?;
        let events = match &self.concerned {
            Concerned::Everybody => space.work_out(work, self.before)?,
            Concerned::Components(_) => space.work_out_vetoes(work, self.before)?,
        };
        let mut relation = Relation::new(trial.scratch, STEP);
        self.progress.enter(RulesPart::Comparing, 0);
        space.relate_changed(work, &mut relation)?;
        self.progress.enter(RulesPart::Comparing, 0);
        space.relate_reread(work, self.before, &mut relation)?;
        relation.flush()?;
        let (before, after) = match &self.concerned {
            Concerned::Everybody => (
                all_of(trial.stands, self.space)?,
                all_of(&trial.after(self.space), self.space)?,
            ),
            Concerned::Components(components) => space.standing_of(work, components)?,
        };
        let (splits_total, splits) = relation.splits(LISTED_MAX)?;
        let (merges_total, merges) = relation.merges(LISTED_MAX)?;
        let (moves_total, moves) = relation.moves(LISTED_MAX)?;
        let is_renaming = |old, new| trial.is_renaming(self.space, old, new);
        let (renamed_total, renamed) = relation.renamed(LISTED_MAX, &is_renaming)?;
        let (blocked_total, blocked) = relation.blocks(Block::Into, LISTED_MAX)?;
        let (unblocked_total, unblocked) = relation.blocks(Block::OutOf, LISTED_MAX)?;
        let mut members = |id: ProfileId| space.members_then(work, id);
        Ok(Rearranged {
            events,
            profiles_before: before.profiles,
            profiles_after: after.profiles,
            largest_after: after.largest,
            bounded_before: before.bounded,
            bounded_after: after.bounded,
            splits_total,
            splits: (splits.into_iter())
                .map(|(profile, into)| {
                    let into: Result<Vec<_>, _> = into.into_iter().map(&mut members).collect();
                    let mut into = into?;
                    into.sort_by_key(|one| (std::cmp::Reverse(one.size()), one.id));
                    Ok(Split { profile, into })
                })
                .collect::<Result<_, PipelineError>>()?,
            merges_total,
            merges: (merges.into_iter())
                .map(|(into, profiles)| {
                    let into = members(into)?;
                    Ok(Merge { profiles, into })
                })
                .collect::<Result<_, PipelineError>>()?,
            moves_total,
            moves: (moves.into_iter())
                .map(|(from, to, hash)| {
                    let mut named = members(to)?.members.into_iter().map(|member| member.identifier);
                    let identifier = named
                        .find(|identifier| identifier.hash128() == hash)
                        .ok_or_else(|| PipelineError::corrupt("components"))?;
                    Ok(Move { identifier, from, to })
                })
                .collect::<Result<_, PipelineError>>()?,
            renamed_total,
            renamed: (renamed.into_iter())
                .map(|(old, new)| Ok((old, members(new)?)))
                .collect::<Result<_, PipelineError>>()?,
            blocked_total,
            blocked,
            unblocked_total,
            unblocked,
        })
    }
}

impl Space {
    /// As [`Space::work_out`] where only vetoes are others. Answers how many events were looked at again.
    fn work_out_vetoes(&mut self, work: Work<'_>, before: &Definitions) -> Result<u64, PipelineError> {
        self.quiet = true;
        let vetoes = self.set.vetoes.symmetric_difference(&before.vetoes_decided);
        let changed: Vec<_> = vetoes.cloned().collect();
        let concerned = self.concerned_by(work.stands, changed)?;
        let mut events = 0;
        for component in &concerned.components {
            events += self.revise(&work.view, *component, &concerned.events, work.now)?;
            self.stage_when_full(work)?;
        }
        self.stage_step(work)?;
        self.forget_loaded();
        self.quiet = false;
        Ok(events)
    }

    /// Relates those of whom no event says something else: where each of their identifiers would lead.
    fn relate_changed(&mut self, work: Work<'_>, relation: &mut Relation<'_>) -> Result<(), PipelineError> {
        let mut from = Some(0);
        while let Some(start) = from {
            let some = staged::next_listed(work.reader, &self.id, List::Changed, start, STEP)?;
            from = some.last().and_then(|last| last.checked_add(1));
            for id in some {
                work.progress.has_reached(id);
                let Some((home, component)) = home_of_profile(work.stands, &self.id, ProfileId(id))? else {
                    continue;
                };
                let listed = staged::listed(&self.id, List::Reread, home);
                if work.reader.get(Keyspace::Staged, &listed)?.is_none() {
                    work.progress.did(1);
                    self.relate_profile(work, ProfileId(id), &component, relation)?;
                    self.age();
                }
            }
        }
        Ok(())
    }

    fn relate_profile(
        &mut self,
        work: Work<'_>,
        id: ProfileId,
        component: &Component,
        relation: &mut Relation<'_>,
    ) -> Result<(), PipelineError> {
        for member in component.members_of(id) {
            let hash = member.part.carrier;
            let Some(home) = self.component_of(&work.view, hash)? else {
                continue;
            };
            let then = &self.component(&work.view, home)?.component;
            let holders: Vec<_> = then.holders_within(hash, (member.part.start, member.end)).collect();
            for (new, span) in holders {
                // Of a held identifier only a stretch in which an event names it is anybody's.
                if !member.held || is_named_within(work.stands, &self.id, hash, span)? {
                    relation.add(id, new, hash)?;
                }
            }
        }
        Ok(())
    }

    /// Relates, event by event, those of whom an event says something else.
    fn relate_reread(
        &mut self,
        work: Work<'_>,
        before: &Definitions,
        relation: &mut Relation<'_>,
    ) -> Result<(), PipelineError> {
        let mut from = Some(0);
        while let Some(start) = from {
            let some = staged::next_listed(work.reader, &self.id, List::Reread, start, STEP)?;
            from = some.last().and_then(|last| last.checked_add(1));
            for id in some {
                let component = component_of(work.stands, &self.id, id)?;
                work.progress.has_reached(id);
                work.progress.did(component.profiles().len() as u64);
                for carrier in component.hashes() {
                    let (from, to) = keys::row_range(&self.id, carrier, None, None);
                    let mut failed = None;
                    work.stands.scan(Keyspace::Events, &from, &to, &mut |key, row| {
                        let related = self.relate_event(work, (key, row), (before, &component), relation);
                        failed = related.err();
                        failed.is_none()
                    })?;
                    failed.map_or(Ok(()), Err)?;
                    self.age();
                }
            }
        }
        if before.rules.reads_as(&self.definitions.rules) {
            return Ok(());
        }
        // What nobody has: rules may take what these leave out.
        let (from, to) = keys::row_range(&self.id, NOBODY, None, None);
        let history = self.history.history(work.stands, work.view.space);
        let mut failed = None;
        work.stands.scan(Keyspace::Events, &from, &to, &mut |key, row| {
            let nobodys = history.evidence(key, row);
            let after = &self.definitions;
            let related = nobodys.and_then(|event| {
                let (then, now) = (before.read(&event), after.read(&event));
                relate_blocks(&event, (before, &then), (after, &now), relation)
            });
            failed = related.err();
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn relate_event(
        &mut self,
        work: Work<'_>,
        (key, row): (&[u8], &[u8]),
        (before, component): (&Definitions, &Component),
        relation: &mut Relation<'_>,
    ) -> Result<(), PipelineError> {
        let event = self.history.history(work.stands, work.view.space).evidence(key, row)?;
        let after = Arc::clone(&self.definitions);
        let (then, now) = (before.read(&event), after.read(&event));
        relate_blocks(&event, (before, &then), (&after, &now), relation)?;
        let position = then.position();
        for (old, new) in spelt_by_both(&event, (&before.rules, &then), (&after.rules, &now)) {
            let stood = match component.place(old, position) {
                Some(placement) => Some(placement),
                // A bound kept it out of the event's component; it is in another one.
                None => match home_of(work.stands, &self.id, old)? {
                    Some(home) => component_of(work.stands, &self.id, home)?.place(old, position),
                    None => None,
                },
            };
            let placed = match self.component_of(&work.view, new)? {
                Some(home) => self.component(&work.view, home)?.component.place(new, position),
                None => None,
            };
            if let (Some(stood), Some(placed)) = (stood, placed) {
                relation.add(stood.profile, placed.profile, new)?;
            }
        }
        Ok(())
    }

    /// Of some components the profiles now, and those there would be.
    fn standing_of(
        &mut self,
        work: Work<'_>,
        components: &BTreeSet<u128>,
    ) -> Result<(Standing, Standing), PipelineError> {
        let (mut before, mut after) = (Standing::default(), Standing::default());
        let mut homes = BTreeSet::new();
        for id in components {
            let component = component_of(work.stands, &self.id, *id)?;
            before.add(&component);
            for hash in component.hashes() {
                homes.extend(self.component_of(&work.view, hash)?);
            }
        }
        for home in homes {
            after.add(&self.component(&work.view, home)?.component);
        }
        Ok((before, after))
    }

    /// A profile as it would be.
    fn members_then(&mut self, work: Work<'_>, id: ProfileId) -> Result<ProfileMembers, PipelineError> {
        let (_, component) =
            home_of_profile(&work.view, &self.id, id)?.ok_or_else(|| PipelineError::corrupt("profiles"))?;
        let members = component.members_of(id);
        Ok(ProfileMembers { id, members })
    }
}

/// Notes the identifiers of an event that one reading of it takes and the other leaves out.
fn relate_blocks(
    event: &Event,
    (before, then): (&Definitions, &Evidence),
    (after, now): (&Definitions, &Evidence),
    relation: &mut Relation<'_>,
) -> Result<(), PipelineError> {
    for sent in &event.identifiers {
        let (stays_out, is_out) = (
            after.rules.refuses(sent).is_some(),
            before.rules.refuses(sent).is_some(),
        );
        let (block, rules, evidence) = match (is_out, stays_out) {
            (false, true) => (Block::Into, &before.rules, then),
            (true, false) => (Block::OutOf, &after.rules, now),
            _ => continue,
        };
        let spelt = rules.spell(sent);
        let is_named = |spelt: &Identifier| evidence.identifiers.iter().any(|named| named.identifier == *spelt);
        if let Some(spelt) = spelt.filter(is_named) {
            relation.add_block(block, &spelt)?;
        }
    }
    Ok(())
}

/// All profiles of a space.
fn all_of(reader: &dyn Read, space: &SpaceId) -> Result<Standing, PipelineError> {
    let (from, to) = everything(space);
    let (mut all, mut damaged) = (Standing::default(), false);
    reader.scan(Keyspace::Components, &from, &to, &mut |_, bytes| {
        match Component::decode(bytes) {
            Ok(component) => all.add(&component),
            Err(_) => damaged = true,
        }
        !damaged
    })?;
    match damaged {
        true => Err(PipelineError::corrupt("components")),
        false => Ok(all),
    }
}

/// Whether an event names a held identifier within a span.
fn is_named_within(
    reader: &dyn Read,
    space: &SpaceId,
    identifier: u128,
    (start, end): (Option<Position>, Option<Position>),
) -> Result<bool, PipelineError> {
    let (from, to) = keys::row_range(space, identifier, start, end);
    let mut found = false;
    reader.scan(Keyspace::Presence, &from, &to, &mut |_, _| {
        found = true;
        false
    })?;
    Ok(found)
}

/// The component of a profile, where there is such a profile.
pub(crate) fn home_of_profile(
    reader: &dyn Read,
    space: &SpaceId,
    id: ProfileId,
) -> Result<Option<(u128, Component)>, PipelineError> {
    let Some(bytes) = reader.get(Keyspace::Profiles, &keys::wide(space, id.0))? else {
        return Ok(None);
    };
    let record = ProfileRecord::decode(&bytes).ok_or_else(|| PipelineError::corrupt("profiles"))?;
    let home = home_of(reader, space, record.founder)?.ok_or_else(|| PipelineError::corrupt("identifiers"))?;
    Ok(Some((home, component_of(reader, space, home)?)))
}
