//! A folded person as the segment language sees one.

use kith_expr::{AggregateId, PersonView};
use kith_profile::PartView;
use kith_segment::Person;
use kith_types::{Timestamp, Value};
use std::borrow::Cow;

/// The view of a fold; it adds consent, which only segments ask for.
pub(crate) struct PersonOf<'a>(pub(crate) PartView<'a>);

impl PersonView for PersonOf<'_> {
    fn trait_value(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.0.trait_value(name)
    }

    fn aggregate(&self, id: AggregateId, now: Timestamp) -> Value {
        self.0.aggregate(id, now)
    }

    fn aggregate_next_change(&self, id: AggregateId, after: Timestamp) -> Option<Timestamp> {
        self.0.aggregate_next_change(id, after)
    }

    fn approximate(&self, id: AggregateId, now: Timestamp) -> bool {
        self.0.approximate(id, now)
    }
}

impl Person for PersonOf<'_> {
    fn consent(&self, category: &str) -> Option<bool> {
        self.0.consent(category)
    }
}
