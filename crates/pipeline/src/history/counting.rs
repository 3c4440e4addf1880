//! Events of a history as far as some aggregates look at them: rows that cannot count are passed by, and what nobody asks for is not
//! read.

use super::History;
use crate::PipelineError;
use kith_expr::{AggregateId, AggregateSpec};
use kith_identity::Position;
use kith_profile::FoldPlan;
use kith_types::Event;

/// What some aggregates of a plan ask of rows.
pub(crate) struct Counting<'a> {
    specs: Vec<&'a AggregateSpec>,
    /// Whether any looks at what events tell.
    fields: bool,
}

impl<'a> Counting<'a> {
    pub(crate) fn new(plan: &'a FoldPlan, ids: &[AggregateId]) -> Self {
        let specs: Vec<_> = ids.iter().filter_map(|id| plan.spec(*id)).collect();
        Self {
            fields: specs.iter().any(|spec| spec.looks_at_fields()),
            specs,
        }
    }

    /// The event of a row, with as much as the aggregates look at; nothing where none of them counts it.
    ///
    /// # Errors
    /// As [`History::event`].
    pub(crate) fn event(
        &self,
        history: &History<'_>,
        place: Position,
        row: &[u8],
    ) -> Result<Option<Event>, PipelineError> {
        let (kind, name) = history.kind_of(row)?;
        if !self.specs.iter().any(|spec| spec.may_match(kind, &name)) {
            return Ok(None);
        }
        history.read(place, row, self.fields).map(Some)
    }
}
