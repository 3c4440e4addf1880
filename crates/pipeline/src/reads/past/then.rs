//! The definitions that were in force at a past instant, compiled, and the latest of them kept for whoever asks next.

use crate::definitions::{DefinitionSet, Definitions};
use crate::{PipelineError, definition_history};
use kith_state::Read;
use kith_types::{SpaceId, Timestamp};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sets of definitions that are kept compiled.
const KEPT: usize = 8;

/// Definitions that were in force from one instant to another, with the vetoes of then.
struct Kept {
    space: SpaceId,
    until: Timestamp,
    compiled: Arc<Definitions>,
}

/// Definitions of the past that were asked for lately.
#[derive(Default)]
pub(crate) struct PastDefinitions {
    /// The latest asked for first.
    kept: Mutex<VecDeque<Kept>>,
    /// Held by who holds a long history in memory, or looks through a whole one.
    large: Mutex<()>,
}

impl PastDefinitions {
    /// What was in force in a space at an instant, vetoes included; `today` is what is in force in the snapshot.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Limit`] where that is not known any more; otherwise as [`crate::Reads::person`].
    pub(crate) fn at(
        &self,
        reader: &dyn Read,
        space: &SpaceId,
        today: &Arc<Definitions>,
        at: Timestamp,
    ) -> Result<Arc<Definitions>, PipelineError> {
        let vetoes = today.vetoes_decided_at(at)?;
        let is_today = today.version == 0 || today.decided_at <= at;
        if is_today && vetoes == today.vetoes_decided {
            return Ok(Arc::clone(today));
        }
        let knows = |one: &Kept| {
            let within = one.compiled.decided_at <= at && at < one.until;
            one.space == *space && within && one.compiled.vetoes_decided == vetoes
        };
        if !is_today {
            let mut kept = self.kept();
            let known = kept.iter().position(knows).and_then(|place| kept.remove(place));
            if let Some(known) = known {
                let compiled = Arc::clone(&known.compiled);
                kept.push_front(known);
                return Ok(compiled);
            }
        }
        let then = definition_history::at(reader, space, at)?;
        let compiled = Arc::new(DefinitionSet { vetoes, ..then.set }.compile()?);
        if let Some(until) = then.until {
            let mut kept = self.kept();
            kept.truncate(KEPT - 1);
            kept.push_front(Kept {
                space: space.clone(),
                until,
                compiled: Arc::clone(&compiled),
            });
        }
        Ok(compiled)
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else has a large question, and then keeps others from one.
    pub(super) fn large(&self) -> MutexGuard<'_, ()> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
