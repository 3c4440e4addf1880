//! Visiting everybody after a decision, some in each turn: first whom it changes, then all others in the order of their ids.

use crate::reads::{Foreseen, Named};
use crate::space::Space;
use crate::{PipelineError, keys, record};
use kith_segment::Cause;
use kith_state::{Keyspace, Read, Store};
use kith_types::Timestamp;

/// How many have their record looked at in a turn for each who may be visited: most may have taken the decision already.
const LOOKED_AT: usize = 8;

impl Space {
    /// Visits the next profiles of the sweep after a decision. Called between steps only, when the store holds everything; `clock` is
    /// the instant of the step that is to write what comes of it.
    pub(crate) fn sweep_some(
        &mut self,
        store: &dyn Store,
        budget: usize,
        clock: Timestamp,
    ) -> Result<(), PipelineError> {
        if self.sweep.is_none() {
            return Ok(());
        }
        self.check_folds(store)?;
        self.look_ahead(store);
        if self.awaits_foresight() {
            return Ok(());
        }
        if let Some(first) = self.next_of_first(budget) {
            return self.visit(store, &first, clock).map(|_| ());
        }
        self.sweep_in_order(store, budget, clock)
    }

    fn sweep_in_order(&mut self, store: &dyn Read, budget: usize, clock: Timestamp) -> Result<(), PipelineError> {
        let Some(from) = self.sweep else { return Ok(()) };
        let start = keys::wide(&self.id, from);
        let end = kith_state::prefix_end(&keys::space(&self.id)).unwrap_or_default();
        let version = self.definitions.version;
        let (mut found, mut last, mut looked_at) = (Vec::with_capacity(budget), None, 0);
        store.scan(Keyspace::Profiles, &start, &end, &mut |key, bytes| {
            looked_at += 1;
            last = keys::wide_id(key);
            // Whoever was visited by an event or before knows the decision, and their parts hold what it asks for.
            if record::is_behind(bytes, version) {
                found.extend(last.map(|id| Named { id, answer: None }));
            }
            found.len() < budget && looked_at < budget * LOOKED_AT
        })?;
        let (visited, all) = (found.len(), Foreseen::unknown(found));
        let changed = self.visit(store, &all, clock)?;
        let missed = changed > 0 && self.has_visited_first();
        if missed {
            tracing::error!(space = %self.id, changed, "people whom a decision changes were not among those foreseen");
        }
        debug_assert!(!missed, "whom a decision changes is foreseen");
        self.swept += looked_at as u64;
        let more = visited == budget || looked_at == budget * LOOKED_AT;
        self.sweep = last.filter(|_| more).and_then(|last| last.checked_add(1));
        if self.sweep.is_none() {
            self.end_folds();
        }
        Ok(())
    }

    /// Has these take the decision, as far as they are there; answers how many changes of membership it makes of them.
    fn visit(&mut self, store: &dyn Read, people: &Foreseen, clock: Timestamp) -> Result<usize, PipelineError> {
        let told = self.changes.len();
        self.visit_people(store, people, clock)?;
        let made = &self.changes[told..];
        Ok(made
            .iter()
            .filter(|one| matches!(one.change.cause, Cause::Definition))
            .count())
    }
}
