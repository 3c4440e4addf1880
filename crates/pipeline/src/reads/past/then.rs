//! The definitions that were in force at a past instant, compiled, and the latest of them kept for whoever asks next.

use crate::definitions::{DefinitionSet, Definitions};
use crate::{PipelineError, definition_history};
use kith_state::Read;
use kith_types::{SpaceId, Timestamp};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sets of definitions that are kept compiled.
const KEPT: usize = 8;

/// Definitions of the past that were asked for lately.
#[derive(Default)]
pub(crate) struct PastDefinitions {
    kept: Mutex<VecDeque<(SpaceId, DefinitionSet, Arc<Definitions>)>>,
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
        let mut set = definition_history::at(reader, space, at)?;
        set.vetoes = vetoes;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |(of, known, _): &(SpaceId, DefinitionSet, Arc<Definitions>)| {
            of == space
                && known.documents == set.documents
                && known.vetoes == set.vetoes
                && known.version == set.version
        };
        if let Some((_, _, compiled)) = kept.iter().find(|one| known(one)) {
            return Ok(Arc::clone(compiled));
        }
        let compiled = Arc::new(set.compile()?);
        kept.truncate(KEPT - 1);
        kept.push_front((space.clone(), set, Arc::clone(&compiled)));
        Ok(compiled)
    }

    /// Waits until nobody else has a large question, and then keeps others from one.
    pub(super) fn large(&self) -> MutexGuard<'_, ()> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
