//! Decisions of the log: definitions that are applied, evidence that is vetoed or not any more.
//!
//! Works with the engine, of which it is a part, between a committed step and the next. A decision is in force before the next record
//! is taken; people take it, and changed rules are moved to their places, in turns after it.

use super::{CLOCK, Engine, NEXT};
use crate::definitions::{
    DEFINITIONS_APPLIED, Decided, DefinitionDocument, Definitions, IDENTITY_RULES, is_used, read_decision,
};
use crate::foreseen::VisitedFirst;
use crate::new_rules::{Beside, Preparing, Staging};
use crate::rules_progress::RulesPart;
use crate::space::Space;
use crate::staged::{self, Served};
use crate::vetoes::{IDENTITY_VETOED, VetoDecision};
use crate::waiting::{self, DEFINITIONS_TAKEN, Waiting};
use crate::{PipelineError, definition_history, keys, output};
use kith_state::{Batch, Keyspace, Store};
use kith_types::{Decision, Record, RecordBody, SpaceId, Timestamp};
use std::sync::Arc;

impl Space {
    /// Takes the first of the decisions that wait off their list, where it is the one that is being taken.
    fn leave_list(&mut self, waited: bool) -> Result<(), PipelineError> {
        if waited && !self.waiting.is_empty() {
            self.waiting.remove(0);
            self.called = None;
            waiting::store(&self.id, &self.waiting, &mut self.writes)?;
        }
        Ok(())
    }
}

impl Engine {
    /// Whether a record changes definitions while people have still to take the decision before it, or rules while what other
    /// rules have changed is still moved to its place.
    pub(super) fn waits_for_turns(&self, record: &Record) -> bool {
        let RecordBody::Decision(decision) = &record.body else {
            return false;
        };
        let Some(space) = self.spaces.get(&record.space) else {
            return false;
        };
        if !space.is_behind() && !self.store.is_moving() {
            return false;
        }
        let changes = match &*decision.kind {
            DEFINITIONS_APPLIED => match read_decision(&decision.document) {
                Some(decided) if !decided.when_ready && space.waiting.is_empty() => decided.changes,
                _ => return false,
            },
            DEFINITIONS_TAKEN => match space.waiting.first() {
                Some(first) if waiting::read_taken(&decision.document) == Some(first.sequence) => first.changes.clone(),
                _ => return false,
            },
            _ => return false,
        };
        let after = space.set.with(&changes, record.received_at).documents;
        let changes_rules = after.get(IDENTITY_RULES) != space.set.documents.get(IDENTITY_RULES);
        after != space.set.documents && (space.is_behind() || changes_rules)
    }

    /// Applies a decision; answers whether people were worked out anew.
    pub(super) fn apply_decision(
        &mut self,
        at: &SpaceId,
        decision: &Decision,
        sequence: u64,
        now: Timestamp,
    ) -> Result<bool, PipelineError> {
        match &*decision.kind {
            IDENTITY_VETOED => return self.apply_vetoes(at, decision, now),
            DEFINITIONS_TAKEN => return self.take_waiting(at, decision, sequence, now),
            DEFINITIONS_APPLIED => {}
            _ => return Ok(false),
        }
        let Some(Decided { changes, when_ready }) = read_decision(&decision.document) else {
            pass_over_unread(at);
            return Ok(false);
        };
        let space = self.space(at)?;
        if !changes.iter().any(|change| is_used(&change.kind)) {
            return Ok(false);
        }
        if when_ready || !space.waiting.is_empty() {
            tracing::info!(space = %at, sequence, "a decision waits until it can be taken without holding up what comes");
            space.waiting.push(Waiting { sequence, changes });
            waiting::store(at, &space.waiting, &mut space.writes)?;
            return Ok(false);
        }
        self.carry_through(at, &changes, (sequence, false), now)
    }

    /// Takes the first of the decisions that wait, where it is the one that the record names. One that was taken already is
    /// not taken again.
    fn take_waiting(
        &mut self,
        at: &SpaceId,
        decision: &Decision,
        sequence: u64,
        now: Timestamp,
    ) -> Result<bool, PipelineError> {
        let Some(named) = waiting::read_taken(&decision.document) else {
            pass_over_unread(at);
            return Ok(false);
        };
        let space = self.space(at)?;
        if space.waiting.first().is_none_or(|first| first.sequence != named) {
            return Ok(false);
        }
        // It stays on the list until what it changes is written with that: a process may end before.
        let changes = space.waiting[0].changes.clone();
        let derived_anew = self.carry_through(at, &changes, (sequence, true), now)?;
        // What was worked out for it is of no use any more, where it was not used.
        if self.preparing.as_ref().is_some_and(|preparing| preparing.space == *at) {
            self.preparing = None;
            self.space(at)?.watched = None;
        }
        Ok(derived_anew)
    }

    /// Carries changes of definitions through, for the record at a sequence number: of a decision, or by which the first of those
    /// that wait is taken. Answers whether people were worked out anew.
    fn carry_through(
        &mut self,
        at: &SpaceId,
        changes: &[DefinitionDocument],
        (sequence, waited): (u64, bool),
        now: Timestamp,
    ) -> Result<bool, PipelineError> {
        let space = self.space(at)?;
        let mut set = space.set.with(changes, now);
        if set.documents == space.set.documents {
            space.leave_list(waited)?;
            return Ok(false);
        }
        let definitions = match set.compile() {
            Ok(definitions) => definitions,
            Err(error) => {
                // The door checks documents before they become decisions; one that slipped through changes nothing.
                tracing::error!(space = %at, error = %error, "a decision cannot be used and is passed over");
                space.leave_list(waited)?;
                return Ok(false);
            }
        };
        // One decision is carried through before the next: everybody takes each at its own instant. And one space's change of rules is
        // in its place before another's takes over.
        let rules_changed = definitions.rules.fingerprint() != self.space(at)?.definitions.rules.fingerprint();
        self.space(at)?.give_up_waiting();
        while rules_changed && self.store.is_moving() || self.spaces.get(at).is_some_and(Space::is_behind) {
            self.sweep_turn()?;
        }
        self.commit_inside()?;
        let (store, published) = (Arc::clone(&self.store), Arc::clone(&self.published));
        let made_elsewhere = self.config.folds.clone();
        let prepared = match rules_changed {
            true => self.prepared_for(at, &definitions)?,
            false => None,
        };
        let left_staged = rules_changed && std::mem::take(&mut self.left_staged);
        let space = self.space(at)?;
        space.leave_list(waited)?;
        let before = std::mem::replace(&mut space.definitions, Arc::new(definitions));
        definition_history::decided(&*store, at, &space.set, &mut set, &mut space.writes)?;
        space.set = set;
        space.profiles.clear();
        space.accounts.forget_facts();
        space.sweep = Some(0);
        space.swept = 0;
        space.forget_folds();
        space.visited_first = VisitedFirst::Nobody;
        if !rules_changed {
            space.store_definitions()?;
            space.want_foresight(&before, made_elsewhere.as_ref());
            space.want_folds(made_elsewhere, &before, sequence);
            return Ok(false);
        }
        tracing::info!(space = %at, people = space.profile_count, "rules of identity have changed: the difference is worked out");
        if left_staged && prepared.is_none() {
            let _under_way = published.rules.begin_between_steps(at, RulesPart::Reading);
            staged::discard(&*store)?;
        }
        let stands = store.snapshot();
        let staging = Staging {
            stands: &*stands,
            reader: &*store,
            writer: &*store,
            only: None,
        };
        match prepared {
            Some(people) => space.take_prepared(staging, people, &published.rules, now)?,
            None => space.take_rules(staging, &before, &published.rules, now)?,
        }
        self.take_over(at, sequence)?;
        Ok(true)
    }

    /// Where rules were worked out beside the steps: has all of it staged, up to the last record, and answers how many people
    /// there are under them.
    fn prepared_for(&mut self, at: &SpaceId, definitions: &Definitions) -> Result<Option<u64>, PipelineError> {
        let Some(preparing) = self.preparing.take() else {
            return Ok(None);
        };
        if let Some(space) = self.spaces.get_mut(&preparing.space) {
            space.watched = None;
        }
        // That of another space begins again after this. One that is not done has only begun, after a start that found this record
        // ahead: dropping it ends it, and all of it is worked out here.
        if preparing.space != *at || !preparing.is_done() {
            return Ok(None);
        }
        let Some(mut beside) = preparing.finish().filter(|beside| beside.is_for(at, definitions)) else {
            return Ok(None);
        };
        let _under_way = self.published.rules.begin_between_steps(at, RulesPart::CatchingUp);
        beside.catch_up(&self.published)?;
        Ok((!beside.met_a_bound()).then(|| beside.profile_count()))
    }

    /// Gets on with decisions that wait, between steps: has changed rules of identity worked out beside them. Answers what to
    /// put into the log for one that can be taken now; it is asked again until [`Engine::was_called`].
    pub(crate) fn next_decision(&mut self) -> Result<Option<(SpaceId, Decision)>, PipelineError> {
        if self.rebuilding().is_some() {
            return Ok(None);
        }
        let next = self.next;
        // What was said of accounts is taken by everybody once the record is there.
        let waits = |space: &&Space| {
            !space.waiting.is_empty() && space.called.is_none_or(|at| at < next) && space.sweep.is_none()
        };
        let waiting: Vec<SpaceId> = (self.spaces.values().filter(waits))
            .map(|space| space.id.clone())
            .collect();
        for id in waiting {
            if self.is_worked_out(&id)?
                && let Some(first) = self.space(&id)?.waiting.first()
            {
                return Ok(Some((id, waiting::taken(first.sequence)?)));
            }
        }
        Ok(None)
    }

    /// Says that the record which [`Engine::next_decision`] gave stands in the log, and where.
    pub(crate) fn was_called(&mut self, at: &SpaceId, sequence: u64) {
        if let Some(space) = self.spaces.get_mut(at) {
            space.called = Some(sequence);
        }
    }

    /// Whether what the first of the decisions that wait makes of everybody is worked out, or need not be. Begins with it
    /// where nothing else is being worked out.
    fn is_worked_out(&mut self, at: &SpaceId) -> Result<bool, PipelineError> {
        if let Some(preparing) = self.preparing.as_ref().filter(|preparing| preparing.space == *at) {
            return Ok(preparing.is_done());
        }
        if !self.first_changes_rules(at)? {
            return Ok(true);
        }
        // There is one area for what is staged: what another change has left there is moved first.
        if self.preparing.is_some() || self.store.is_moving() {
            return Ok(false);
        }
        let Some(beside) = self.begin_beside(at)? else {
            return Ok(true);
        };
        self.preparing = Some(Preparing::start(beside, Arc::clone(&self.published))?);
        Ok(false)
    }

    /// Has what was worked out in a test's own steps.
    #[cfg(test)]
    pub(crate) fn was_prepared(&mut self, beside: Beside) {
        self.preparing = Some(Preparing::done(beside));
    }

    fn first_changes_rules(&mut self, at: &SpaceId) -> Result<bool, PipelineError> {
        let space = self.space(at)?;
        let Some(first) = space.waiting.first() else {
            return Ok(false);
        };
        Ok(first.changes.iter().any(|change| change.kind == IDENTITY_RULES))
    }

    /// What is to be worked out of the first of the decisions that wait; nothing where no rules change, or it cannot be used.
    pub(crate) fn begin_beside(&mut self, at: &SpaceId) -> Result<Option<Beside>, PipelineError> {
        self.commit_inside()?;
        let (store, clock) = (Arc::clone(self.store.base()), self.clock);
        let left_staged = self.left_staged;
        let space = self.space(at)?;
        let Some(first) = space.waiting.first() else {
            return Ok(None);
        };
        let set = space.set.with(&first.changes, clock);
        let Ok(definitions) = set.compile() else {
            return Ok(None);
        };
        if definitions.rules.fingerprint() == space.definitions.rules.fingerprint() {
            return Ok(None);
        }
        if left_staged {
            staged::discard(&*store)?;
        }
        let beside = Beside::begin(&store, at, &space.definitions, (definitions, &set), clock)?;
        space.watched = Some(0);
        tracing::info!(space = %at, people = space.profile_count, "rules of identity are to change: the difference is worked out beside the steps");
        self.left_staged = true;
        Ok(Some(beside))
    }

    /// Makes what a space has staged for the decision at a sequence number stand, at once for readers and for good.
    fn take_over(&mut self, at: &SpaceId, sequence: u64) -> Result<(), PipelineError> {
        self.next = sequence + 1;
        let mut batch = Batch::default();
        batch.put(Keyspace::Meta, NEXT.to_vec(), self.next.to_be_bytes().to_vec());
        batch.put(
            Keyspace::Meta,
            CLOCK.to_vec(),
            self.clock.as_micros().to_be_bytes().to_vec(),
        );
        for told in self.spaces.get(at).iter().flat_map(|space| &space.changes) {
            let key = keys::numbered(at, told.number);
            batch.put(Keyspace::Outbox, key, output::encode_change(&told.change));
        }
        staged::take_over(at, &mut batch);
        {
            // Readers take definitions and state as one.
            let mut published = self.published.write();
            self.store.commit(batch)?;
            if let Some(space) = self.spaces.get(at) {
                published.insert(at.clone(), Arc::clone(&space.definitions));
            }
        }
        tracing::info!(space = %at, changes = self.spaces.get(at).map_or(0, |space| space.changes.len()), "changed rules of identity have taken over");
        self.store = Arc::new(Served::once_taken_over(Arc::clone(self.store.base()), at.clone()));
        Ok(())
    }

    /// Applies a decision about evidence; answers whether anything must be committed before the next record.
    fn apply_vetoes(&mut self, at: &SpaceId, decision: &Decision, now: Timestamp) -> Result<bool, PipelineError> {
        let Some(decision) = VetoDecision::read(&decision.document) else {
            pass_over_unread(at);
            return Ok(false);
        };
        self.space(at)?;
        self.commit_inside()?;
        let store = Arc::clone(&self.store);
        self.space(at)?.take_vetoes(&*store, &decision, now)
    }
}

/// Whoever puts a decision into the log writes one that can be read; one that cannot be changes nothing.
fn pass_over_unread(at: &SpaceId) {
    tracing::error!(space = %at, "a decision cannot be read and is passed over");
}
