//! How many members segments have, for the list of them: counted when somebody asks, and kept for a while where counting
//! takes long.
//!
//! Counting walks over every member of every segment. Where it takes a moment only, each answer is counted anew. Where it
//! takes longer, a count is given again until it is ten times as old as what counting took, so that no more than a tenth of
//! the time goes into counting however often it is asked for. One count runs at a time for a space; whoever asks meanwhile
//! waits for it.

use kith_api::ports::PortError;
use kith_pipeline::PipelineError;
use kith_types::{Clock, SegmentName, SpaceId, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A count that takes less than this is not kept.
const KEPT_FROM_MICROS: i64 = 10_000;
/// How many times as old as it took a kept count may become.
const AGE_BY_TIME_TAKEN: i64 = 10;
/// How old a count may become, whatever it took: the clock may have been set while it was counted.
const AGE_MAX_MICROS: i64 = 600_000_000;

/// What a count is true of beside its instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counting {
    /// How many decisions had made the definitions.
    pub(crate) version: u64,
    /// Whether everybody is where the definitions put them: no history is being folded, and no lost state built again.
    pub(crate) whole: bool,
}

/// The sizes of the segments of a space.
#[derive(Debug)]
pub(crate) struct Counted {
    /// When they were counted.
    pub(crate) counted_at: Timestamp,
    /// How many members each has.
    pub(crate) sizes: BTreeMap<SegmentName, u64>,
    of: Counting,
    /// Its number among the counts since the start.
    number: u64,
    took_micros: i64,
}

impl Counted {
    /// Whether it may be given at an instant to somebody who asked when so many counts had begun.
    fn serves(&self, of: Counting, begun: u64, now: Timestamp) -> bool {
        let age = now.as_micros().saturating_sub(self.counted_at.as_micros());
        let kept = self.took_micros >= KEPT_FROM_MICROS;
        let young = age < self.took_micros.saturating_mul(AGE_BY_TIME_TAKEN).min(AGE_MAX_MICROS);
        // What began after the question holds all that had happened when it was asked.
        self.of == of && (self.number > begun || (kept && age >= 0 && young))
    }
}

/// Of one space.
#[derive(Default)]
struct OfSpace {
    /// How many counts have begun.
    begun: AtomicU64,
    last: Arc<tokio::sync::Mutex<Option<Arc<Counted>>>>,
}

/// The sizes of segments, as they were counted last.
pub(crate) struct SegmentSizes {
    clock: Arc<dyn Clock>,
    spaces: Mutex<HashMap<SpaceId, Arc<OfSpace>>>,
}

impl SegmentSizes {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            spaces: Mutex::default(),
        }
    }

    /// The sizes in a space: those that were counted last, or those that `count` finds now.
    ///
    /// # Errors
    /// What keeps them from being counted.
    pub(crate) async fn of(
        &self,
        space: &SpaceId,
        of: Counting,
        count: impl FnOnce() -> Result<BTreeMap<SegmentName, u64>, PipelineError> + Send + 'static,
    ) -> Result<Arc<Counted>, PortError> {
        let in_space = {
            let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(spaces.entry(space.clone()).or_default())
        };
        let begun = in_space.begun.load(Ordering::SeqCst);
        let mut last = Arc::clone(&in_space.last).lock_owned().await;
        if let Some(counted) = last
            .as_ref()
            .filter(|counted| counted.serves(of, begun, self.clock.now()))
        {
            return Ok(Arc::clone(counted));
        }
        let clock = Arc::clone(&self.clock);
        // It is counted and kept to the end, also when nobody waits for it any more: the next one would begin anew.
        let counting = tokio::task::spawn_blocking(move || {
            let number = in_space.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let counted_at = clock.now();
            let sizes = count()?;
            let counted = Arc::new(Counted {
                counted_at,
                sizes,
                of,
                number,
                took_micros: clock.now().as_micros().saturating_sub(counted_at.as_micros()),
            });
            *last = Some(Arc::clone(&counted));
            Ok(counted)
        });
        let counted: Result<_, PipelineError> = counting.await.map_err(PortError::internal)?;
        counted.map_err(PortError::internal)
    }
}

#[cfg(test)]
mod tests;
