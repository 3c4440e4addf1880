//! What the pipeline has under way beside taking records, as the status shows it, and what records wait for.

use kith_api::ports::RefoldStatus;
use kith_pipeline::{PipelineStatus, RulesProgress};
use kith_types::{SpaceId, Timestamp};
use std::time::Duration;

/// What is folded, worked out or waited for, in the order in which it is shown.
pub(super) fn refolds(pipeline: &PipelineStatus, now: Timestamp) -> Vec<RefoldStatus> {
    let plain = |space: &SpaceId, definition: &str, done, total| RefoldStatus {
        space: space.clone(),
        definition: definition.to_owned(),
        records_done: done,
        records_total: total,
        since: None,
        ends_about: None,
        live: false,
    };
    // The catalog knows spaces by name, and a state that is built again is of all of them.
    let rebuild = pipeline.rebuilding;
    let rebuild = rebuild.map(|end| plain(&SpaceId::main(), "the whole state", pipeline.committed, end));
    let rules = pipeline.new_rules.as_ref();
    let sweeps = pipeline.sweeps.iter();
    let sweeps = sweeps.map(|(space, sweep)| RefoldStatus {
        live: sweep.is_live,
        ..plain(space, "definitions", sweep.swept, sweep.profiles)
    });
    let waiting = pipeline.decisions_waiting.keys().filter(|space| {
        // What is being done for one that waits is told by itself; a sweep whose segments are live says of the next nothing.
        let sweep = pipeline.sweeps.get(*space).filter(|sweep| !sweep.is_live);
        rules.is_none_or(|rules| rules.space != **space) && sweep.is_none()
    });
    let waiting = waiting.map(|space| plain(space, "a decision that waits", 0, 0));
    let rules = rules.map(|rules| rules_in_work(rules, now));
    rebuild.into_iter().chain(rules).chain(sweeps).chain(waiting).collect()
}

/// What records wait for that nobody has to mend; nothing where they are taken.
pub(super) fn waits_for(pipeline: &PipelineStatus) -> Option<String> {
    let rules = pipeline.new_rules.as_ref().filter(|rules| rules.holds_up)?;
    Some(format!("changed rules of identity of {}", rules.space))
}

/// Changed rules of identity that are worked out, as progress that is shown.
pub(super) fn rules_in_work(rules: &RulesProgress, now: Timestamp) -> RefoldStatus {
    let later = |span: Duration| {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(now.as_micros().saturating_add(micros))
    };
    let elapsed = i64::try_from(rules.elapsed.as_micros()).unwrap_or(i64::MAX);
    let (doing, counted) = rules.part.in_words();
    let waits = if rules.holds_up { " (events wait for it)" } else { "" };
    RefoldStatus {
        space: rules.space.clone(),
        definition: format!("identity_rules{waits}, {doing} {counted}"),
        records_done: rules.done,
        records_total: rules.total.max(rules.done),
        since: Some(Timestamp::from_micros(now.as_micros().saturating_sub(elapsed))),
        ends_about: rules.left.map(later),
        live: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_pipeline::{RulesPart, SweepProgress};

    #[test]
    fn seg_2_it_is_told_where_events_wait_for_rules_and_only_there() {
        let mut pipeline = PipelineStatus::default();
        assert_eq!(waits_for(&pipeline), None);
        let shop: SpaceId = "shop".parse().unwrap();
        pipeline.decisions_waiting.insert(shop.clone(), 1);
        pipeline.decisions_waiting.insert(SpaceId::main(), 1);
        for holds_up in [false, true] {
            pipeline.new_rules = Some(RulesProgress {
                space: shop.clone(),
                part: RulesPart::Linking,
                holds_up,
                done: 3,
                total: 9,
                elapsed: Duration::from_secs(5),
                left: None,
            });
            let waits = holds_up.then(|| "changed rules of identity of shop".to_owned());
            assert_eq!(waits_for(&pipeline), waits);
            let shown: Vec<String> = refolds(&pipeline, Timestamp::default())
                .iter()
                .map(|one| format!("{}: {}", one.space, one.definition))
                .collect();
            let rules = match holds_up {
                true => "shop: identity_rules (events wait for it), linking people",
                false => "shop: identity_rules, linking people",
            };
            assert_eq!(shown, [rules, "main: a decision that waits"]);
        }
    }

    #[test]
    fn seg_4_a_decision_that_waits_for_a_sweep_is_told_once_that_has_nothing_more_to_say() {
        let mut pipeline = PipelineStatus::default();
        pipeline.decisions_waiting.insert(SpaceId::main(), 1);
        for is_live in [false, true] {
            let sweep = SweepProgress {
                swept: 1,
                profiles: 9,
                is_live,
            };
            pipeline.sweeps.insert(SpaceId::main(), sweep);
            let shown: Vec<(String, bool)> = refolds(&pipeline, Timestamp::default())
                .into_iter()
                .map(|one| (one.definition, one.live))
                .collect();
            let mut expected = vec![("definitions".to_owned(), is_live)];
            expected.extend(is_live.then(|| ("a decision that waits".to_owned(), false)));
            assert_eq!(shown, expected);
        }
    }
}
