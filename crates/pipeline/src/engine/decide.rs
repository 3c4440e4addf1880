//! Decisions of the log: definitions that are applied, evidence that is vetoed or not any more.
//!
//! Works with the engine, of which it is a part, between a committed step and the next. A decision is carried through before the next
//! record is taken.

use super::{CLOCK, Engine, NEXT};
use crate::definitions::{DEFINITIONS_APPLIED, read_decision};
use crate::new_rules::Staging;
use crate::space::Space;
use crate::vetoes::{IDENTITY_VETOED, VetoDecision};
use crate::{PipelineError, definition_history, staged};
use kith_state::{Batch, Keyspace};
use kith_types::{Decision, Record, RecordBody, SpaceId, Timestamp};
use std::sync::Arc;

impl Engine {
    /// Whether a record changes definitions while people have still to take the decision before it.
    pub(super) fn waits_for_people(&self, record: &Record) -> bool {
        let RecordBody::Decision(decision) = &record.body else {
            return false;
        };
        let behind = self.spaces.get(&record.space).filter(|space| space.is_behind());
        let (DEFINITIONS_APPLIED, Some(space)) = (&*decision.kind, behind) else {
            return false;
        };
        let changes = read_decision(&decision.document);
        changes.is_some_and(|changes| space.set.with(&changes, record.received_at).documents != space.set.documents)
    }

    /// Applies a decision; answers whether people were worked out anew.
    pub(super) fn apply_decision(
        &mut self,
        at: &SpaceId,
        decision: &Decision,
        sequence: u64,
        now: Timestamp,
    ) -> Result<bool, PipelineError> {
        if &*decision.kind == IDENTITY_VETOED {
            return self.apply_vetoes(at, decision, now);
        }
        if &*decision.kind != DEFINITIONS_APPLIED {
            return Ok(false);
        }
        let Some(changes) = read_decision(&decision.document) else {
            tracing::error!(space = %at, "a decision cannot be read and is passed over");
            return Ok(false);
        };
        let space = self.space(at)?;
        let mut set = space.set.with(&changes, now);
        if set.documents == space.set.documents {
            return Ok(false);
        }
        let definitions = match set.compile() {
            Ok(definitions) => definitions,
            Err(error) => {
                // The door checks documents before they become decisions; one that slipped through changes nothing.
                tracing::error!(space = %at, error = %error, "a decision cannot be used and is passed over");
                return Ok(false);
            }
        };
        // One decision is carried through before the next: everybody takes each at its own instant.
        self.space(at)?.give_up_waiting();
        while self.spaces.get(at).is_some_and(Space::is_behind) {
            self.sweep_turn()?;
        }
        self.commit_inside()?;
        let (store, published) = (Arc::clone(&self.store), Arc::clone(&self.published));
        let made_elsewhere = self.config.folds.clone();
        let space = self.space(at)?;
        let rules_changed = definitions.rules.fingerprint() != space.definitions.rules.fingerprint();
        let before = std::mem::replace(&mut space.definitions, Arc::new(definitions));
        definition_history::decided(&*store, at, &space.set, &mut set, &mut space.writes)?;
        space.set = set;
        space.profiles.clear();
        space.accounts.forget_facts();
        space.sweep = Some(0);
        space.swept = 0;
        space.forget_folds();
        if rules_changed {
            tracing::info!(space = %at, people = space.profile_count, "rules of identity have changed: the difference is worked out");
            staged::settle(&*store)?;
            let stands = store.snapshot();
            let staging = Staging {
                stands: &*stands,
                reader: &*store,
                writer: &*store,
            };
            space.take_rules(staging, &before, &published.rules, now)?;
            self.take_over(at, sequence)?;
        } else {
            space.store_definitions()?;
            space.want_folds(made_elsewhere, &before, sequence);
        }
        Ok(rules_changed)
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
        staged::settle(&*self.store)?;
        Ok(())
    }

    /// Applies a decision about evidence; answers whether anything must be committed before the next record.
    fn apply_vetoes(&mut self, at: &SpaceId, decision: &Decision, now: Timestamp) -> Result<bool, PipelineError> {
        let Some(decision) = VetoDecision::read(&decision.document) else {
            tracing::error!(space = %at, "a decision cannot be read and is passed over");
            return Ok(false);
        };
        self.space(at)?;
        self.commit_inside()?;
        let store = Arc::clone(&self.store);
        self.space(at)?.take_vetoes(&*store, &decision, now)
    }
}
