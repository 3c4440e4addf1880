//! How far a change of identity rules has come, for those who wait for it (contract IDN-2).
//!
//! Whoever works counts: the pipeline's thread, or that of a question about other rules, each in a gauge of its own. Anybody may
//! look, and nothing that is worked out depends on it: what an answer tells is counted by the work itself. Where nobody
//! knows how much there is, the work goes over keys that are hashes and lie evenly: how far it is among them says it, about.

use kith_types::SpaceId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The parts of the work, in their order. Rules that read every event as those before do need two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RulesPart {
    /// Every event is read under both rules; events are counted.
    Reading,
    /// What evidence connects is linked anew; people are counted.
    Linking,
    /// Events of those of whom one says something else, and those that nobody has, are placed again; they are counted.
    Placing,
    /// What steps did meanwhile is taken, too; what they wrote is counted.
    CatchingUp,
    /// Ids that come and go are told, of all that may; those are counted.
    Telling,
    /// Of a change that is only asked about: everybody is evaluated on both sides; people are counted.
    Evaluating,
    /// Of a change that is only asked about: people who would be others are compared with who they are; they are counted. It
    /// comes before evaluating: first those of whom no event says something else, then, from zero, the others.
    Comparing,
}

impl RulesPart {
    /// What is done, and what is counted.
    #[must_use]
    pub fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Reading => ("reading", "events"),
            Self::Linking => ("linking", "people"),
            Self::Placing => ("placing again", "events"),
            Self::CatchingUp => ("catching up", "writes"),
            Self::Telling => ("telling", "people"),
            Self::Evaluating => ("evaluating", "people"),
            Self::Comparing => ("comparing", "people"),
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
    /// Whether records wait for it: what could not be worked out beside the steps, and what is told as rules take over.
    pub holds_up: bool,
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
    holds_up: bool,
    at: Instant,
    part: RulesPart,
    part_at: Instant,
}

/// What is counted of a change of rules.
#[derive(Debug, Default)]
pub(crate) struct RulesAtWork {
    begun: Mutex<Option<Begun>>,
    done: AtomicU64,
    /// How much there is; 0 where nobody knows.
    total: AtomicU64,
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

    /// A change begins beside the steps.
    pub(crate) fn begin(&self, space: &SpaceId, part: RulesPart) -> UnderWay<'_> {
        self.begin_it(space, part, false)
    }

    /// A change begins, or goes on, between two steps, which wait for it.
    pub(crate) fn begin_between_steps(&self, space: &SpaceId, part: RulesPart) -> UnderWay<'_> {
        self.begin_it(space, part, true)
    }

    fn begin_it(&self, space: &SpaceId, part: RulesPart, holds_up: bool) -> UnderWay<'_> {
        let now = Instant::now();
        self.count_from_zero(0);
        *self.begun() = Some(Begun {
            space: space.clone(),
            holds_up,
            at: now,
            part,
            part_at: now,
        });
        UnderWay(self)
    }

    /// A part begins, the one before is done. `total` is how much there is of it, 0 where nobody knows.
    pub(crate) fn enter(&self, part: RulesPart, total: u64) {
        self.count_from_zero(total);
        if let Some(begun) = self.begun().as_mut() {
            (begun.part, begun.part_at) = (part, Instant::now());
        }
    }

    fn count_from_zero(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        self.reached.store(0, Ordering::Relaxed);
    }

    /// So many more are done.
    pub(crate) fn did(&self, count: u64) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    /// So many are done of the present part, as somebody else counts.
    pub(crate) fn has_done(&self, count: u64) {
        self.done.store(count, Ordering::Relaxed);
    }

    /// How many are done of the present part.
    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// The part has come to a key.
    pub(crate) fn has_reached(&self, key: u128) {
        self.reached.store((key >> 64) as u64, Ordering::Relaxed);
    }

    /// Where it stands; nothing where no rules change.
    pub(crate) fn progress(&self) -> Option<RulesProgress> {
        let begun = self.begun();
        let begun = begun.as_ref()?;
        let (done, total) = (self.done(), self.total.load(Ordering::Relaxed));
        let share = match total {
            0 => share_of(self.reached.load(Ordering::Relaxed), u64::MAX),
            _ => share_of(done, total).min(1.0),
        };
        let (estimated, left) = estimate(done, share, begun.part_at.elapsed());
        let total = if total > 0 { total.max(done) } else { estimated };
        Some(RulesProgress {
            space: begun.space.clone(),
            part: begun.part,
            holds_up: begun.holds_up,
            done,
            total,
            elapsed: begun.at.elapsed(),
            left,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn share_of(part: u64, all: u64) -> f64 {
    part as f64 / all as f64
}

/// About how much there is in all where that share of it is done, and how long the rest takes.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, of counts that are not negative"
)]
fn estimate(done: u64, share: f64, elapsed: Duration) -> (u64, Option<Duration>) {
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
        assert_eq!(estimate(0, 0.5, second), (0, None), "nothing is known yet");
        assert_eq!(estimate(5, 0.0, second), (5, None));
        assert_eq!(estimate(50, 0.25, second), (200, Some(3 * second)));
        assert_eq!(estimate(200, 1.0, second), (200, Some(Duration::ZERO)));
    }

    #[test]
    fn idn_2_progress_is_there_while_rules_change_and_no_longer() {
        let work = RulesAtWork::default();
        assert_eq!(work.progress(), None);
        let under_way = work.begin(&SpaceId::main(), RulesPart::Reading);
        work.did(1);
        work.has_reached(u128::MAX / 2);
        let progress = work.progress().unwrap();
        assert_eq!(
            (progress.part, progress.done, progress.total),
            (RulesPart::Reading, 1, 2)
        );
        work.enter(RulesPart::Linking, 8);
        let progress = work.progress().unwrap();
        assert_eq!(
            (progress.part, progress.done, progress.total, progress.left),
            (RulesPart::Linking, 0, 8, None)
        );
        work.did(9);
        assert_eq!(work.progress().unwrap().total, 9, "never less than what is done");
        assert!(!work.progress().unwrap().holds_up);
        drop(under_way);
        assert_eq!(work.progress(), None, "also where it has failed");
        let _under_way = work.begin_between_steps(&SpaceId::main(), RulesPart::Telling);
        assert!(work.progress().unwrap().holds_up);
    }
}
