//! What definitions that are only proposed would make of people: exact sizes, who enters and leaves, samples (contract
//! SEG-7).
//!
//! Everybody in one snapshot of the state is asked by the code that keeps segments live, under the definitions in force
//! and under those that would be; what their stored folds lack is folded from their histories for the answer. Where rules of
//! identity would change, the code that applies them works out who would be who, beside the snapshot
//! (`new_rules/dry_run.rs`). Nothing here changes anything, and nothing of a draft is kept but what the sample of an estimate
//! holds in memory.

mod alike;
mod comparison;
mod document;
mod everybody;
mod foreseen;
mod held;
#[cfg(test)]
mod renamed_tests;
#[cfg(test)]
mod rules_tests;
mod sample;
mod tally;
#[cfg(test)]
mod tests;
mod tried;
#[cfg(test)]
mod veto_tests;

use super::Reads;
use crate::definitions::DefinitionDocument;
use crate::new_rules::{Concerned, DryRun, Rearranged, Trial};
use crate::rules_progress::RulesPart;
use crate::{PipelineError, definition_history, waiting};
use comparison::Comparison;
pub(crate) use foreseen::{Foreseen, Foresight, Named, foresee};
use kith_state::Read;
use kith_types::{Identifier, ProfileId, SegmentName, SpaceId, Timestamp};
pub use sample::{Estimate, Sampler};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most people that one list of an answer shows.
pub const SAMPLES_MAX: usize = 100;
/// Identifiers shown of a person.
const IDENTIFIERS_SHOWN: usize = 5;

/// Definitions that are proposed.
#[derive(Clone, Debug, Default)]
pub struct Proposed {
    /// What would be applied.
    pub changes: Vec<DefinitionDocument>,
    /// Segments, as they would be then, whose members are counted among those of each segment concerned.
    pub beside: Vec<SegmentName>,
    /// How many people each list shows, at most [`SAMPLES_MAX`].
    pub samples: usize,
}

/// A person in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Who.
    pub id: ProfileId,
    /// Some of their identifiers, the oldest first.
    pub identifiers: Vec<Identifier>,
}

/// What proposed definitions would make of people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impact {
    /// The instant that everybody was asked about.
    pub as_of: Timestamp,
    /// How many people were asked.
    pub people: u64,
    /// Every segment whose members may be others then, by name. Where only people are others: those that somebody enters or
    /// leaves.
    pub segments: Vec<SegmentImpact>,
    /// Every computed trait that is another then, by name.
    pub computed_traits: Vec<ValueImpact>,
    /// How many people would have another trait survive; `None` where neither the rules for traits change nor who they are.
    pub traits: Option<u64>,
    /// What would become of who is who; `None` where the rules of identity stay. Segments and traits are those of the people
    /// there would be.
    pub identity: Option<Rearranged>,
}

/// What would become of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentImpact {
    /// The segment.
    pub name: SegmentName,
    /// Its members now; `None` where there is no such segment.
    pub before: Option<u64>,
    /// Its members then; `None` where it would be removed.
    pub after: Option<u64>,
    /// Who would enter.
    pub enters: u64,
    /// Who would leave.
    pub leaves: u64,
    /// Who would stay under another id, as nothing but their id would change; neither enters nor leaves.
    pub renamed: u64,
    /// Of whom a limit of the profile may have made the answer other than exact.
    pub approximate: u64,
    /// Of its members then, how many are members of the segments asked for beside it.
    pub beside: Vec<(SegmentName, u64)>,
    /// Some members then, by the order of their ids, as in all lists.
    pub members: Vec<Shown>,
    /// Some who would enter.
    pub entering: Vec<Shown>,
    /// Some who would leave.
    pub leaving: Vec<Shown>,
}

/// What would become of a computed trait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueImpact {
    /// Its name.
    pub name: String,
    /// How many people would have another value than now, one or none included.
    pub changes: u64,
}

/// What is asked, and in which snapshot.
struct Asking {
    snapshot: Box<dyn Read>,
    comparison: Comparison,
}

impl Reads {
    /// What proposed definitions would make of everybody, exactly, at `now`. Everybody is asked by `threads` threads;
    /// between people they ask `go_on`, which is also told how many people have been asked so far. `None`: people are
    /// missing from the state just now, or `go_on` has said no.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Definition`] for documents that cannot be used, `Storage` or `Corrupt` when the store
    /// cannot be read.
    pub fn impact(
        &self,
        space: &SpaceId,
        proposed: &Proposed,
        now: Timestamp,
        threads: usize,
        go_on: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<Impact>, PipelineError> {
        let Some(Asking { snapshot, comparison }) = self.compare(space, proposed)? else {
            return Ok(None);
        };
        let what = (space, &comparison);
        let people = AtomicU64::new(0);
        let how = everybody::How {
            now,
            threads,
            bytes_held: held::BYTES_HELD,
            people: &people,
            go_on,
        };
        if !comparison.identity_changes {
            let tally = everybody::ask(&*snapshot, what, how)?;
            return Ok(tally.map(|tally| comparison.impact(tally, None, now)));
        }
        let scratch = self.dry_runs.scratch();
        let still = || go_on(people.load(Ordering::Relaxed));
        let trial = Trial::new(&*snapshot, &scratch, &still);
        let run = DryRun {
            space,
            before: &comparison.before,
            after: (Arc::clone(&comparison.after), &comparison.proposal),
            concerned: Concerned::Everybody,
            progress: &self.dry_runs.progress,
            now,
        };
        let progress = &self.dry_runs.progress;
        let _under_way = progress.begin(space, RulesPart::Reading);
        let worked = run.run(&trial).and_then(|identity| {
            progress.enter(RulesPart::Evaluating, identity.profiles_after);
            let go_on = |asked| {
                progress.has_done(asked);
                go_on(asked)
            };
            let go_on: &(dyn Fn(u64) -> bool + Sync) = &go_on;
            let tally = tried::ask(&trial, what, everybody::How { go_on, ..how })?;
            Ok(tally.map(|tally| comparison.impact(tally, Some(identity), now)))
        });
        Ok(trial.outcome(worked)?.flatten())
    }

    /// A snapshot, and what is to be compared in it; nothing while people are missing.
    fn compare(&self, space: &SpaceId, proposed: &Proposed) -> Result<Option<Asking>, PipelineError> {
        // Asked before the snapshot: once it is false, what was committed then is whole.
        let rebuilding = self.pipeline.status().rebuilding.is_some();
        let snapshot = self.snapshot()?;
        let in_force = definition_history::in_force(&*snapshot, space)?;
        // What is proposed comes on top of what waits.
        let to_come = waiting::load(&*snapshot, space)?;
        let to_come = to_come.into_iter().flat_map(|waiting| waiting.changes);
        let proposed = &Proposed {
            changes: to_come.chain(proposed.changes.iter().cloned()).collect(),
            ..proposed.clone()
        };
        let comparison = Comparison::new(&in_force, proposed)?;
        if rebuilding {
            return Ok(None);
        }
        Ok(Some(Asking { snapshot, comparison }))
    }
}
