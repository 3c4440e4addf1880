//! Two states compared byte by byte at the same offset and instant (contract: a replay gives the same bytes).
//!
//! Parts are pruned to one instant and hold one plan's aggregates before they are compared, since what a part may drop
//! depends on when it was last touched. Rows of history are compared by the events that they hold: when a vocabulary came
//! that they are written by depends on how the work was cut into steps. Everything else is compared as it is stored.

use crate::account_changes::are_waiting;
use crate::changes::is_swept;
use crate::engine::FIRING;
use crate::history::History;
use crate::record::ProfileRecord;
use crate::{PipelineError, definition_history, keys, plans, sent_names};
use kith_profile::{FoldPlan, Plans};
use kith_state::{Keyspace, Read};
use kith_types::{SpaceId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// What is compared. Dedupe keys, in blocks and generations, marks and the outbox say how the work was cut into steps, not
/// what came of it.
const COMPARED: [Keyspace; 11] = [
    Keyspace::Components,
    Keyspace::Identifiers,
    Keyspace::Parts,
    Keyspace::Profiles,
    Keyspace::Events,
    Keyspace::Presence,
    Keyspace::Due,
    Keyspace::Members,
    Keyspace::Redirects,
    Keyspace::Accounts,
    Keyspace::AccountLinks,
];

/// How many differences are told in full.
const TOLD_MAX: usize = 20;

/// A key whose values differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The tree.
    pub keyspace: &'static str,
    /// The key, in hexadecimal.
    pub key: String,
    /// `only live`, `only rebuilt` or `differs`.
    pub what: &'static str,
}

/// What the comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Entries compared, by tree.
    pub compared: BTreeMap<&'static str, u64>,
    /// How many differ.
    pub different: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
}

/// Whether a snapshot is between an instant and what it makes of everybody: timers that are due, a decision, or what was said
/// of an account have reached some people and not yet others. A replay to its offset and instant is further then.
///
/// # Errors
/// [`crate::PipelineErrorKind::Storage`] or `Corrupt` when it cannot be read.
pub fn is_between(snapshot: &dyn Read) -> Result<bool, PipelineError> {
    if snapshot.get(Keyspace::Meta, FIRING)?.is_some() {
        return Ok(true);
    }
    for space in spaces(snapshot)? {
        if !is_swept(snapshot, &space)? || are_waiting(snapshot, &space)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Compares two states that have taken the same records, as of `now`.
///
/// # Errors
/// [`crate::PipelineErrorKind::Storage`] or `Corrupt` when one cannot be read.
pub fn compare_states(live: &dyn Read, rebuilt: &dyn Read, now: Timestamp) -> Result<VerifyReport, PipelineError> {
    let mut report = VerifyReport::default();
    let mut seen = spaces(live)?;
    seen.extend(spaces(rebuilt)?);
    for space in seen {
        let sides = Sides {
            plan: &definition_history::in_force(live, &space)?.compile()?.plan,
            plans: [plans::load(live, &space)?, plans::load(rebuilt, &space)?],
            histories: [History::of(live, &space), History::of(rebuilt, &space)],
            now,
        };
        let from = keys::space(&space);
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        for keyspace in COMPARED {
            compare_range(live, rebuilt, keyspace, (&from, &to), &sides, &mut report)?;
        }
        // A state that an earlier release began lacks names that a replay finds.
        for (from, to) in sent_names::kept_ranges(live, &space)? {
            let range = (&*from, &*to);
            compare_range(live, rebuilt, Keyspace::Meta, range, &sides, &mut report)?;
        }
        // The same of what decisions replaced.
        if let Some((from, to)) = definition_history::kept_range(live, &space)? {
            let range = (&*from, &*to);
            compare_range(live, rebuilt, Keyspace::Meta, range, &sides, &mut report)?;
        }
    }
    Ok(report)
}

fn spaces(reader: &dyn Read) -> Result<BTreeSet<SpaceId>, PipelineError> {
    let mut found = BTreeSet::new();
    reader.scan(Keyspace::Meta, &[1], &[255], &mut |key, _| {
        if key.ends_with(crate::space::DEFINITIONS.as_bytes())
            && let Some(name) = key.split(|byte| *byte == 0).next()
        {
            found.extend(std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()));
        }
        true
    })?;
    Ok(found)
}

/// What the rows of the two states mean, the live one's first.
struct Sides<'a> {
    plan: &'a FoldPlan,
    plans: [Plans; 2],
    histories: [History<'a>; 2],
    now: Timestamp,
}

fn compare_range(
    live: &dyn Read,
    rebuilt: &dyn Read,
    keyspace: Keyspace,
    (from, to): (&[u8], &[u8]),
    sides: &Sides<'_>,
    report: &mut VerifyReport,
) -> Result<(), PipelineError> {
    let (mut compared, mut failed) = (0, None);
    live.scan(keyspace, from, to, &mut |key, value| {
        compared += 1;
        let step = rebuilt
            .get(keyspace, key)
            .map_err(PipelineError::from)
            .and_then(|other| {
                let Some(other) = other else {
                    tell(report, keyspace, key, "only live");
                    return Ok(());
                };
                if value != other && !sides.say_the_same(keyspace, key, [value, &other])? {
                    tell(report, keyspace, key, "differs");
                }
                Ok(())
            });
        failed = step.err();
        failed.is_none()
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    rebuilt.scan(keyspace, from, to, &mut |key, _| {
        match live.get(keyspace, key) {
            Ok(Some(_)) => {}
            Ok(None) => tell(report, keyspace, key, "only rebuilt"),
            Err(error) => failed = Some(error.into()),
        }
        failed.is_none()
    })?;
    *report.compared.entry(keyspace.as_str()).or_default() += compared;
    failed.map_or(Ok(()), Err)
}

impl Sides<'_> {
    /// Whether two values of a key that are not the same bytes say the same.
    fn say_the_same(&self, keyspace: Keyspace, key: &[u8], values: [&[u8]; 2]) -> Result<bool, PipelineError> {
        let [live, rebuilt] = values;
        match keyspace {
            Keyspace::Profiles => Ok(are_same_profile(live, rebuilt)),
            Keyspace::Parts => Ok(self.part(live, 0)? == self.part(rebuilt, 1)?),
            Keyspace::Events => {
                let [mine, theirs] = &self.histories;
                Ok(mine.event(key, live)? == theirs.event(key, rebuilt)?)
            }
            _ => Ok(false),
        }
    }

    fn part(&self, value: &[u8], side: usize) -> Result<Vec<u8>, PipelineError> {
        let mut part = plans::decode(value, &self.plans[side])?.ok_or_else(|| PipelineError::corrupt("parts"))?;
        part.retain(self.plan);
        part.prune(self.now);
        let mut bytes = Vec::with_capacity(value.len());
        part.encode(&mut bytes);
        Ok(bytes)
    }
}

/// Whether two records of a profile say the same, but for causes that the live one does not know.
fn are_same_profile(live: &[u8], rebuilt: &[u8]) -> bool {
    let records = ProfileRecord::decode(live).zip(ProfileRecord::decode(rebuilt));
    records.is_some_and(|(live, rebuilt)| rebuilt.known_to(&live) == live)
}

fn tell(report: &mut VerifyReport, keyspace: Keyspace, key: &[u8], what: &'static str) {
    report.different += 1;
    if report.differences.len() < TOLD_MAX {
        let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
        report.differences.push(Difference {
            keyspace: keyspace.as_str(),
            key,
            what,
        });
    }
}
