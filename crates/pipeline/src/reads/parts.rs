//! Stored parts as a reader needs them: with every aggregate of a plan, which may be another than the one in force.
//!
//! What a stored part lacks is folded from its carrier's history for this answer and thrown away after it; nothing here
//! writes.

use crate::history::{Counting, History};
use crate::{PipelineError, keys, plans};
use kith_identity::{PartKey, Position};
use kith_profile::{FoldPlan, Part, Plans};
use kith_state::{Keyspace, Read};
use kith_types::SpaceId;
use std::sync::OnceLock;

/// Takes the key and the row of an event.
type VisitRow<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), PipelineError> + 'a;

/// The parts of a space, asked for by a plan.
pub(super) struct StoredParts<'a> {
    reader: &'a dyn Read,
    space: &'a SpaceId,
    plan: &'a FoldPlan,
    /// The plans that stored parts may name, read when one names another than `plan`.
    known: OnceLock<Plans>,
    history: History<'a>,
}

impl<'a> StoredParts<'a> {
    pub(super) fn new(reader: &'a dyn Read, space: &'a SpaceId, plan: &'a FoldPlan) -> Self {
        Self {
            reader,
            space,
            plan,
            known: OnceLock::new(),
            history: History::of(reader, space),
        }
    }

    /// The part with exactly the aggregates of the plan; `end` is where its interval ends.
    pub(super) fn read(&self, key: &PartKey, end: Option<Position>) -> Result<Part, PipelineError> {
        let Some(bytes) = self.reader.get(Keyspace::Parts, &keys::part(self.space, key))? else {
            return Ok(Part::default());
        };
        let (mut part, whole) = match self.decode(&bytes)? {
            Some(part) => (part, false),
            None => (Part::default(), true),
        };
        let missing = part.missing(self.plan);
        if whole || !missing.is_empty() {
            // A definition that is no more than proposed, or that the sweep has not brought here yet.
            let counting = Counting::new(self.plan, &missing);
            part.begin(&missing);
            self.visit(key, end, &mut |key, row| {
                if whole {
                    part.apply(self.plan, &self.history.event(key, row)?);
                    return Ok(());
                }
                let place = keys::row_place(key).ok_or_else(|| PipelineError::corrupt("rows"))?;
                if let Some(event) = counting.event(&self.history, place, row)? {
                    part.apply_only(self.plan, &missing, &event);
                }
                Ok(())
            })?;
        }
        part.retain(self.plan);
        Ok(part)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Option<Part>, PipelineError> {
        if let Some(part) = plans::decode(bytes, self.plan)? {
            return Ok(Some(part));
        }
        let known = match self.known.get() {
            Some(known) => known,
            None => {
                let read = plans::load(self.reader, self.space)?;
                self.known.get_or_init(|| read)
            }
        };
        plans::decode(bytes, known)
    }

    /// Visits the rows of a part.
    fn visit(&self, key: &PartKey, end: Option<Position>, visit: &mut VisitRow<'_>) -> Result<(), PipelineError> {
        let (from, to) = keys::row_range(self.space, key.carrier, key.start, end);
        let mut failed = None;
        self.reader.scan(Keyspace::Events, &from, &to, &mut |key, row| {
            failed = visit(key, row).err();
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)
    }
}
