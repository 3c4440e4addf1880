//! Committed steps as metrics. Only the pipeline that runs is counted: engines that prove a rebuild are not.

use crate::output::StepOutput;
use kith_segment::Cause;
use kith_telemetry::{Counter, Histogram};
use kith_types::Timestamp;

/// Counts a step that is committed, at `now` by the machine's clock.
pub(super) fn count(step: &StepOutput, now: Timestamp) {
    let figures = step.figures;
    Counter::PipelineSteps.add(u64::from(!step.is_empty()));
    Counter::PipelineTimersFired.add(figures.timers);
    Counter::IdentityRecomputations.add(figures.recomputed);
    Counter::IdentityMerges.add(figures.merged);
    Counter::IdentitySplits.add(figures.split);
    Counter::IdentityComponentsOverBound.add(figures.beyond_bounds);
    Counter::ProfilesFound.add(figures.found);
    Counter::ProfilesLoaded.add(figures.loaded);
    // Once a step: a device that everybody shares has some in every event.
    if figures.beyond_bounds > 0 {
        tracing::warn!(events = figures.beyond_bounds, "evidence beyond a bound was not taken");
    }
    for numbered in &step.changes {
        let change = &numbered.change;
        match change.entered {
            true => Counter::SegmentEntered.increment(),
            false => Counter::SegmentExited.increment(),
        }
        // A clock that was set back shows no time.
        let micros = u64::try_from((now - change.at).as_micros()).unwrap_or(0);
        match change.cause {
            Cause::Event(_) => Histogram::MembershipSeconds.observe_micros(micros),
            Cause::Clock => Histogram::TimerSeconds.observe_micros(micros),
            _ => {}
        }
    }
}
