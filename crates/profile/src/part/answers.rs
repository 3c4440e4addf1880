//! What a part says of an aggregate at an instant not before its horizon.

use super::Part;
use crate::FoldPlan;
use crate::aggregates::{Entry, value_of_none};
use kith_expr::AggregateId;
use kith_types::{Timestamp, Value};

impl Part {
    /// The value of an aggregate at `now`, an instant not before the horizon. `Null` for one that is not held.
    #[must_use]
    pub fn aggregate(&self, plan: &FoldPlan, id: AggregateId, now: Timestamp) -> Value {
        if let Some(entry) = self.entry_in(plan, id) {
            return entry.value(now);
        }
        match plan.spec(id) {
            Some(spec) if self.held.is_of(plan) || self.is_empty() || self.held.slot(id).is_some() => {
                value_of_none(spec.function)
            }
            _ => Value::Null,
        }
    }

    /// The next instant, strictly after `after`, at which an aggregate's value may change with no new event.
    #[must_use]
    pub fn aggregate_next_change(&self, id: AggregateId, after: Timestamp) -> Option<Timestamp> {
        self.entry(id)?.next_change(after)
    }

    pub(crate) fn aggregate_next_change_in(
        &self,
        plan: &FoldPlan,
        id: AggregateId,
        after: Timestamp,
    ) -> Option<Timestamp> {
        self.entry_in(plan, id)?.next_change(after)
    }

    /// Whether an aggregate's value at `now` may be other than exact: a limit left something out, or the events of the
    /// part were not all folded into it.
    #[must_use]
    pub fn approximate(&self, id: AggregateId, now: Timestamp) -> bool {
        let unknown = !self.is_empty() && self.held.slot(id).is_none();
        unknown || self.entry(id).is_some_and(|entry| entry.approximate(now))
    }

    pub(super) fn entry(&self, id: AggregateId) -> Option<&Entry> {
        self.entry_at(self.held.slot(id)?)
    }

    /// The same of a part that is folded by a plan, which finds slots faster.
    fn entry_in(&self, plan: &FoldPlan, id: AggregateId) -> Option<&Entry> {
        let slot = match self.held.is_of(plan) {
            true => plan.slot(id),
            false => self.held.slot(id),
        };
        self.entry_at(slot?)
    }

    fn entry_at(&self, slot: usize) -> Option<&Entry> {
        self.entries.find(slot).ok().map(|at| &self.entries[at])
    }
}
