//! A part as a condition sees a person.

use crate::{FoldPlan, Part, TraitRules};
use kith_expr::{AggregateId, PersonView};
use kith_types::{Timestamp, Value};
use std::borrow::Cow;

/// A part, the plan that folds it and the rules by which its traits survive.
#[derive(Clone, Copy, Debug)]
pub struct PartView<'a> {
    part: &'a Part,
    plan: &'a FoldPlan,
    rules: &'a TraitRules,
}

impl<'a> PartView<'a> {
    pub(crate) fn new(part: &'a Part, plan: &'a FoldPlan, rules: &'a TraitRules) -> Self {
        Self { part, plan, rules }
    }

    /// Whether the person allows a category; `None`: nobody said.
    #[must_use]
    pub fn consent(&self, category: &str) -> Option<bool> {
        self.part.consent(category)
    }

    /// Whether a limit may have left out what the person said of a category.
    #[must_use]
    pub fn consent_approximate(&self, category: &str) -> bool {
        self.part.consent_approximate(category)
    }
}

impl PersonView for PartView<'_> {
    fn trait_value(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.part.trait_value(name, self.rules).map(Cow::Borrowed)
    }

    fn aggregate(&self, id: AggregateId, now: Timestamp) -> Value {
        self.part.aggregate(self.plan, id, now)
    }

    fn aggregate_next_change(&self, id: AggregateId, after: Timestamp) -> Option<Timestamp> {
        self.part.aggregate_next_change_in(self.plan, id, after)
    }

    fn approximate(&self, id: AggregateId, now: Timestamp) -> bool {
        self.part.approximate(id, now)
    }

    fn trait_approximate(&self, name: &str) -> bool {
        self.part.trait_approximate(name, self.rules)
    }
}
