//! Counting drafts and what would become of people while the server serves: few at a time, given up when nobody waits for the answer any more.

use super::looking_back::refused;
use kith_api::RawJson;
use kith_api::ports::{PortError, PortErrorKind, SegmentDraft};
use kith_pipeline::{DefinitionDocument, Proposed, Question, Reads, Sampler, Unsent};
use kith_types::{Clock, SegmentName, SpaceId};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Exact counts at a time: each takes every core that is free.
const EXACT_AT_ONCE: usize = 1;
/// Estimates, overlaps and questions about what is around somebody at a time.
const QUICK_AT_ONCE: usize = 4;
const EXACT_BUSY: &str = "another question about everybody is being worked out: ask again in a while; the size of a draft is estimated at once with quick";
const QUICK_BUSY: &str = "other questions are being worked out: ask again in a moment";
/// How long a request waits for those before it.
const WAITS: Duration = Duration::from_secs(5);
/// How long an estimate goes on loading people.
const ESTIMATE_LOADS: Duration = Duration::from_millis(25);
/// How long a turn of loading the rest of a sample after an estimate takes, and how many there are at most. Other estimates come in
/// between, though whoever waits for one turn may find the next one begun.
const TURN_LOADS: Duration = Duration::from_millis(10);
const TURNS_AFTER: usize = 1_000;

/// Counts drafts.
pub(crate) struct Drafts {
    reads: Reads,
    clock: Arc<dyn Clock>,
    sampler: Arc<Sampler>,
    exact: Turns,
    quick: Turns,
    /// Whether the rest of a sample is being loaded.
    filling: Arc<AtomicBool>,
}

/// Questions of a kind that are worked out at a time.
struct Turns {
    free: Arc<Semaphore>,
    /// What is told where none becomes free in time.
    busy: &'static str,
}

impl Turns {
    fn new(at_once: usize, busy: &'static str) -> Self {
        let free = Arc::new(Semaphore::new(at_once));
        Self { free, busy }
    }

    /// Held by the work itself, until it ends, also when nobody waits for it any more.
    async fn take(&self) -> Result<OwnedSemaphorePermit, PortError> {
        match tokio::time::timeout(WAITS, Arc::clone(&self.free).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(PortError::new(PortErrorKind::Busy, self.busy)),
        }
    }
}

/// Says so when whoever waits for an answer has gone.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Lets the next sample be loaded once this one ends, however it ends.
struct Filling(Arc<AtomicBool>);

impl Filling {
    /// Nothing where a sample is being loaded already.
    fn begin(flag: &Arc<AtomicBool>) -> Option<Self> {
        (!flag.swap(true, Ordering::AcqRel)).then(|| Self(Arc::clone(flag)))
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Drafts {
    pub(crate) fn new(reads: Reads, clock: Arc<dyn Clock>) -> Self {
        Self {
            sampler: Arc::new(Sampler::new(reads.clone())),
            reads,
            clock,
            exact: Turns::new(EXACT_AT_ONCE, EXACT_BUSY),
            quick: Turns::new(QUICK_AT_ONCE, QUICK_BUSY),
            filling: Arc::default(),
        }
    }

    /// A draft's size, exactly or by an estimate.
    pub(crate) async fn estimate(&self, space: &SpaceId, draft: &SegmentDraft) -> Result<RawJson, PortError> {
        let proposed = Proposed {
            changes: vec![DefinitionDocument {
                kind: "segment".to_owned(),
                name: draft.name.to_string(),
                spec: Some(draft.spec.clone()),
            }],
            beside: draft.beside.clone(),
            samples: draft.samples,
        };
        let documents = proposed.changes.clone();
        let mut counted = match draft.quick {
            true => self.sampled(space, proposed).await?,
            false => self.exactly(space, proposed).await?,
        };
        // The draft stands before those that name it.
        if let Some(segments) = counted["segments"].as_array_mut() {
            segments.sort_by_key(|segment| segment["name"] != json!(draft.name.as_str()));
        }
        let concerned = vec![("segment".to_owned(), draft.name.to_string())];
        let unsent = self.unsent(space, documents, concerned).await;
        if !unsent.is_empty() {
            counted["warnings"] = unsent.into_iter().map(|unsent| unsent.warning).collect();
        }
        Ok(RawJson::of(&counted))
    }

    /// The names that documents ask for and nobody has sent, as [`Reads::unsent`]. What cannot be told is only logged: it is
    /// a word beside an answer.
    pub(crate) async fn unsent(
        &self,
        space: &SpaceId,
        documents: Vec<DefinitionDocument>,
        concerned: Vec<(String, String)>,
    ) -> Vec<Unsent> {
        let (reads, space) = (self.reads.clone(), space.clone());
        let told = tokio::task::spawn_blocking(move || {
            let concerned: Vec<(&str, &str)> = concerned.iter().map(|(kind, name)| (&**kind, &**name)).collect();
            reads.unsent(&space, &documents, &concerned)
        });
        match told.await {
            Ok(Ok(unsent)) => unsent,
            Ok(Err(error)) => {
                tracing::warn!(error = %kith_telemetry::error_chain(&error), "names that nobody has sent cannot be told");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// What documents would do to everybody, and other rules of identity to who is who.
    pub(crate) async fn impact(
        &self,
        space: &SpaceId,
        changes: Vec<DefinitionDocument>,
        samples: usize,
    ) -> Result<RawJson, PortError> {
        let proposed = Proposed {
            changes,
            beside: Vec::new(),
            samples,
        };
        Ok(RawJson::of(&self.exactly(space, proposed).await?))
    }

    /// What other rules of identity or other vetoes would do to who is who.
    pub(crate) async fn what_if(&self, space: &SpaceId, question: Question) -> Result<RawJson, PortError> {
        // Whatever is not about everybody is about what evidence connects with somebody.
        let of_everybody = question.rules.is_some() && question.around.is_none();
        let turns = if of_everybody { &self.exact } else { &self.quick };
        let permit = turns.take().await?;
        let (reads, space, now) = (self.reads.clone(), space.clone(), self.clock.now());
        let gone = Arc::new(AtomicBool::new(false));
        let _guard = Gone(Arc::clone(&gone));
        let told = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            reads.what_if(&space, &question, now, &|| !gone.load(Ordering::Acquire))
        });
        let told = told.await.map_err(PortError::internal)?.map_err(refused)?;
        told.map(|told| RawJson::of(&told)).ok_or_else(not_now)
    }

    /// How segments overlap.
    pub(crate) async fn overlap(
        &self,
        space: &SpaceId,
        segments: &[SegmentName],
    ) -> Result<Option<RawJson>, PortError> {
        let permit = self.quick.take().await?;
        let (reads, space, segments) = (self.reads.clone(), space.clone(), segments.to_vec());
        let gone = Arc::new(AtomicBool::new(false));
        let _guard = Gone(Arc::clone(&gone));
        let counted = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            reads.overlap(&space, &segments, &|| !gone.load(Ordering::Acquire))
        });
        let counted = counted.await.map_err(PortError::internal)?.map_err(refused)?;
        Ok(counted.map(|overlap| RawJson::of(&overlap.to_document())))
    }

    async fn exactly(&self, space: &SpaceId, proposed: Proposed) -> Result<Json, PortError> {
        let permit = self.exact.take().await?;
        let (reads, space, now) = (self.reads.clone(), space.clone(), self.clock.now());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let gone = Arc::new(AtomicBool::new(false));
        let _guard = Gone(Arc::clone(&gone));
        let counted = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            reads.impact(&space, &proposed, now, threads, &|_| !gone.load(Ordering::Acquire))
        });
        let counted = counted.await.map_err(PortError::internal)?.map_err(refused)?;
        counted.map(|impact| impact.to_document()).ok_or_else(not_now)
    }

    async fn sampled(&self, space: &SpaceId, proposed: Proposed) -> Result<Json, PortError> {
        let permit = self.quick.take().await?;
        let (sampler, now) = (Arc::clone(&self.sampler), self.clock.now());
        let (asked_space, asked) = (space.clone(), proposed.clone());
        let counted = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let began = Instant::now();
            sampler.estimate(&asked_space, &asked, now, &|| began.elapsed() < ESTIMATE_LOADS)
        });
        let counted = counted.await.map_err(PortError::internal)?.map_err(refused)?;
        let estimate = counted.ok_or_else(not_now)?;
        if estimate.more {
            self.fill(space.clone(), proposed);
        }
        Ok(estimate.to_document())
    }

    /// Loads the rest of a sample for the edits to come, one sample at a time.
    fn fill(&self, space: SpaceId, proposed: Proposed) {
        let Some(filling) = Filling::begin(&self.filling) else {
            return;
        };
        let (sampler, now) = (Arc::clone(&self.sampler), self.clock.now());
        tokio::task::spawn_blocking(move || {
            let _filling = filling;
            for _ in 0..TURNS_AFTER {
                let began = Instant::now();
                let turn = sampler.estimate(&space, &proposed, now, &|| began.elapsed() < TURN_LOADS);
                if !matches!(turn, Ok(Some(estimate)) if estimate.more) {
                    break;
                }
            }
        });
    }
}

fn not_now() -> PortError {
    PortError::new(
        PortErrorKind::Unavailable,
        "people are being worked out anew: ask again when that has ended, `kith doctor` shows how far it is",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn seg_7_a_sample_that_panics_does_not_end_the_loading_of_others() {
        let flag = Arc::new(AtomicBool::new(false));
        let filling = Filling::begin(&flag).unwrap();
        assert!(Filling::begin(&flag).is_none(), "one at a time");
        let panicked = tokio::task::spawn_blocking(move || {
            let _filling = filling;
            std::panic::resume_unwind(Box::new("a sample"));
        });
        assert!(panicked.await.is_err());
        assert!(Filling::begin(&flag).is_some());
    }
}
