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
}

impl PersonView for PartView<'_> {
    /// A name with dots that is no trait itself enters the trait that its first step names.
    fn trait_value(&self, name: &str) -> Option<Cow<'_, Value>> {
        let survivor = |name: &str| {
            self.part
                .survivor(name, self.rules.of(name))
                .map(|candidate| candidate.value)
        };
        if let Some(value) = survivor(name) {
            return Some(Cow::Borrowed(value));
        }
        let (first, rest) = name.split_once('.')?;
        rest.split('.')
            .try_fold(survivor(first)?, |value, step| value.get(step))
            .map(Cow::Borrowed)
    }

    fn aggregate(&self, id: AggregateId, now: Timestamp) -> Value {
        self.part.aggregate(self.plan, id, now)
    }

    fn aggregate_next_change(&self, id: AggregateId, after: Timestamp) -> Option<Timestamp> {
        self.part.aggregate_next_change(id, after)
    }

    fn approximate(&self, id: AggregateId, now: Timestamp) -> bool {
        self.part.approximate(id, now)
    }
}
