//! What is being folded or worked out of history, as the status shows it.

use kith_api::ports::RefoldStatus;
use kith_pipeline::{PipelineStatus, RulesProgress};
use kith_types::{SpaceId, Timestamp};
use std::time::Duration;

/// Everything that is under way or waits, in the order in which it is shown.
pub(super) fn under_way(pipeline: &PipelineStatus, now: Timestamp) -> Vec<RefoldStatus> {
    // The catalog knows spaces by name, and a state that is built again is of all of them.
    let rebuild = pipeline.rebuilding.map(|end| RefoldStatus {
        records_done: pipeline.committed,
        records_total: end,
        ..of(SpaceId::main(), "the whole state")
    });
    let new_rules = pipeline.new_rules.as_ref().map(|rules| of_rules(rules, now));
    let sweeps = pipeline.sweeps.iter().map(|(space, sweep)| RefoldStatus {
        records_done: sweep.swept,
        records_total: sweep.profiles,
        live: sweep.is_live,
        ..of(space.clone(), "definitions")
    });
    let at_work = pipeline.new_rules.as_ref().map(|rules| &rules.space);
    let waiting = pipeline.decisions_waiting.keys().filter(|space| {
        // What is being done for one that waits is told by itself.
        Some(*space) != at_work && !pipeline.sweeps.contains_key(*space)
    });
    let waiting = waiting.map(|space| of(space.clone(), "a decision that waits"));
    rebuild
        .into_iter()
        .chain(new_rules)
        .chain(sweeps)
        .chain(waiting)
        .collect()
}

/// Changed rules of identity that are worked out.
pub(super) fn of_rules(rules: &RulesProgress, now: Timestamp) -> RefoldStatus {
    let later = |span: Duration| {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(now.as_micros().saturating_add(micros))
    };
    let elapsed = i64::try_from(rules.elapsed.as_micros()).unwrap_or(i64::MAX);
    let (doing, counted) = rules.part.in_words();
    let waits = if rules.holds_up { " (events wait for it)" } else { "" };
    RefoldStatus {
        records_done: rules.done,
        records_total: rules.total.max(rules.done),
        since: Some(Timestamp::from_micros(now.as_micros().saturating_sub(elapsed))),
        ends_about: rules.left.map(later),
        ..of(
            rules.space.clone(),
            &format!("identity_rules{waits}, {doing} {counted}"),
        )
    }
}

fn of(space: SpaceId, definition: &str) -> RefoldStatus {
    RefoldStatus {
        space,
        definition: definition.to_owned(),
        records_done: 0,
        records_total: 0,
        since: None,
        ends_about: None,
        live: false,
    }
}
