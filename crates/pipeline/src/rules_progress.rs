//! How far a change of identity rules has come, for those who wait for it: records of all spaces do (contract IDN-2).
//!
//! The pipeline's thread counts while it works, anybody may look. Nothing that is worked out depends on it. The work goes
//! over keys that are hashes, which lie evenly: how far it is among them says about how much there is in all.

use kith_types::SpaceId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The parts of the work, in their order. Rules that read every event as those before do need two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RulesPart {
    /// Every event is read under both rules; events are counted.
    Reading,
    /// What evidence connects is linked anew; groups of connected identifiers are counted.
    Linking,
    /// Events that say something else are placed again; they are counted.
    Placing,
    /// People who may be others are evaluated; they are counted.
    Telling,
}

impl RulesPart {
    /// What is done, and what is counted.
    #[must_use]
    pub fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Reading => ("reading", "events"),
            Self::Linking => ("linking", "groups of identifiers"),
            Self::Placing => ("placing again", "events"),
            Self::Telling => ("evaluating", "people"),
        }
    }
}

/// How far a change of identity rules has come.
#[derive(Clone, Debug, PartialEq)]
pub struct RulesProgress {
    /// Whose rules.
    pub space: SpaceId,
    /// What is being done.
    pub part: RulesPart,
    /// How much of that part is done.
    pub done: u64,
    /// How much of it there is, about; 0 before anything is known.
    pub total: u64,
    /// How long all parts have taken until now.
    pub elapsed: Duration,
    /// How long the rest of this part takes at its own pace; nothing before that is known.
    pub left: Option<Duration>,
}

#[derive(Debug)]
struct Begun {
    space: SpaceId,
    at: Instant,
    part: RulesPart,
    part_at: Instant,
}

/// What is counted of a change of rules.
#[derive(Debug, Default)]
pub(crate) struct RulesAtWork {
    begun: Mutex<Option<Begun>>,
    done: AtomicU64,
    /// The first 64 bits of the key that the part has come to.
    reached: AtomicU64,
}

/// While it is there a change is under way; it ends with it, however that goes.
pub(crate) struct UnderWay<'a>(&'a RulesAtWork);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.0.begun() = None;
    }
}

impl RulesAtWork {
    fn begun(&self) -> MutexGuard<'_, Option<Begun>> {
        // It is replaced whole: a panic elsewhere leaves nothing half-written.
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, space: &SpaceId, part: RulesPart) -> UnderWay<'_> {
        let now = Instant::now();
        self.count_from_zero();
        *self.begun() = Some(Begun {
            space: space.clone(),
            at: now,
            part,
            part_at: now,
        });
        UnderWay(self)
    }

    /// A part begins, the one before is done.
    pub(crate) fn enter(&self, part: RulesPart) {
        self.count_from_zero();
        if let Some(begun) = self.begun().as_mut() {
            (begun.part, begun.part_at) = (part, Instant::now());
        }
    }

    fn count_from_zero(&self) {
        self.done.store(0, Ordering::Relaxed);
        self.reached.store(0, Ordering::Relaxed);
    }

    /// One more is done.
    pub(crate) fn did_one(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// The part has come to a key.
    pub(crate) fn has_reached(&self, key: u128) {
        self.reached.store((key >> 64) as u64, Ordering::Relaxed);
    }

    /// Where it stands; nothing where no rules change.
    pub(crate) fn progress(&self) -> Option<RulesProgress> {
        let begun = self.begun();
        let begun = begun.as_ref()?;
        let done = self.done.load(Ordering::Relaxed);
        let (total, left) = estimate(done, self.reached.load(Ordering::Relaxed), begun.part_at.elapsed());
        Some(RulesProgress {
            space: begun.space.clone(),
            part: begun.part,
            done,
            total,
            elapsed: begun.at.elapsed(),
            left,
        })
    }
}

/// About how much there is in all, and how long the rest takes.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, of counts that are not negative"
)]
fn estimate(done: u64, reached: u64, elapsed: Duration) -> (u64, Option<Duration>) {
    let share = reached as f64 / u64::MAX as f64;
    if done == 0 || share < 0.000_1 {
        return (done, None);
    }
    let left = elapsed.as_secs_f64() * (1.0 - share) / share;
    (
        (done as f64 / share).round() as u64,
        Duration::try_from_secs_f64(left).ok(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idn_2_how_much_there_is_follows_from_how_far_the_keys_are() {
        let second = Duration::from_secs(1);
        assert_eq!(estimate(0, u64::MAX / 2, second), (0, None), "nothing is known yet");
        assert_eq!(estimate(5, 0, second), (5, None));
        assert_eq!(estimate(50, u64::MAX / 4, second), (200, Some(3 * second)));
        assert_eq!(estimate(200, u64::MAX, second), (200, Some(Duration::ZERO)));
    }

    #[test]
    fn idn_2_progress_is_there_while_rules_change_and_no_longer() {
        let work = RulesAtWork::default();
        assert_eq!(work.progress(), None);
        let under_way = work.begin(&SpaceId::main(), RulesPart::Reading);
        work.did_one();
        work.has_reached(u128::MAX / 2);
        let progress = work.progress().unwrap();
        assert_eq!(
            (progress.part, progress.done, progress.total),
            (RulesPart::Reading, 1, 2)
        );
        work.enter(RulesPart::Linking);
        let progress = work.progress().unwrap();
        assert_eq!(
            (progress.part, progress.done, progress.left),
            (RulesPart::Linking, 0, None)
        );
        drop(under_way);
        assert_eq!(work.progress(), None, "also where it has failed");
    }
}
