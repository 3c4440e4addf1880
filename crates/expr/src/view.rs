//! What a condition may ask about one person.

use crate::AggregateId;
use kith_types::{Timestamp, Value};
use std::borrow::Cow;

/// A person, as a condition sees them. The profile crate answers from folded state; tests answer from plain events.
pub trait PersonView {
    /// The value that survives for a trait; `None` when nobody said one.
    fn trait_value(&self, name: &str) -> Option<Cow<'_, Value>>;

    /// The value of an aggregate at the instant `now`: of no event, what [`crate::Function`] says (0 or `Null`). `Null`
    /// as well for an aggregate that is not kept.
    fn aggregate(&self, id: AggregateId, now: Timestamp) -> Value;

    /// The next instant, strictly after `after`, at which the aggregate's value may change without a new event.
    /// Between `after` and it the value does not change; `None`: never again.
    fn aggregate_next_change(&self, id: AggregateId, after: Timestamp) -> Option<Timestamp>;

    /// Whether a stated limit may have made the aggregate's value at `now` other than exact.
    fn approximate(&self, id: AggregateId, now: Timestamp) -> bool;

    /// Whether a stated limit may have made the value of a trait, or that there is none, other than exact.
    fn trait_approximate(&self, name: &str) -> bool;
}
