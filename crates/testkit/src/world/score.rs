//! Scores who-is-who against the truth by pairs of events, without ever listing the pairs.
//!
//! **What is counted.** Every event that is not ambiguous has an expected group: the events of the same person whose
//! identifiers the stream connects ([`Evidence`]). People whom nothing connects are not expected to be found one: two
//! cookies of a visitor who never signed in are two groups. Every event also has the profile that was assigned to it;
//! one without a profile stands alone. Then, over all pairs of events,
//!
//! - precision is the share of pairs within one profile that are within one group, and
//! - recall the share of pairs within one group that are within one profile.
//!
//! Both are 1 where there is no pair. With `n(g, p)` events in group `g` and profile `p`, the pairs within both are the
//! sum of `n(g, p) (n(g, p) - 1) / 2`, those of groups and profiles likewise from the sums of rows and columns of that
//! table (the pair counts of Rand, 1971). The table has one entry for each group and profile that share an event.

use super::truth::{Evidence, Truth};
use std::collections::HashMap;

/// The count of events by expected group and assigned profile.
#[derive(Debug)]
pub struct Scoring<'a> {
    evidence: &'a Evidence,
    profiles: HashMap<Box<str>, u32>,
    cells: HashMap<(u64, u32), u64>,
    alone: HashMap<u64, u64>,
    ambiguous: u64,
}

/// How well the profiles agree with what evidence can link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Share of the joined pairs of events that belong together.
    pub precision: f64,
    /// Share of the pairs of events that belong together which were joined.
    pub recall: f64,
    /// How many events were scored.
    pub events: u64,
    /// How many events were left out as ambiguous.
    pub ambiguous: u64,
    /// How many groups there are by the truth, bots included.
    pub groups: usize,
    /// How many profiles hold a scored event.
    pub profiles: usize,
}

impl<'a> Scoring<'a> {
    /// A scoring over all the evidence of a stream.
    #[must_use]
    pub fn new(evidence: &'a Evidence) -> Self {
        Self {
            evidence,
            profiles: HashMap::new(),
            cells: HashMap::new(),
            alone: HashMap::new(),
            ambiguous: 0,
        }
    }

    /// Counts an event, once for each message id, with the profile that it was assigned to.
    pub fn count(&mut self, truth: &Truth, profile: Option<&str>) {
        let Some(group) = self.evidence.group_of(truth) else {
            self.ambiguous += 1;
            return;
        };
        let Some(profile) = profile else {
            *self.alone.entry(group).or_default() += 1;
            return;
        };
        let number = match self.profiles.get(profile) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.profiles.len()).unwrap_or(u32::MAX);
                self.profiles.insert(profile.into(), number);
                number
            }
        };
        *self.cells.entry((group, number)).or_default() += 1;
    }

    /// The score of what was counted.
    #[must_use]
    pub fn score(&self) -> Score {
        let mut groups = self.alone.clone();
        let mut profiles: HashMap<u32, u64> = HashMap::new();
        let mut both = 0;
        for ((group, profile), count) in &self.cells {
            *groups.entry(*group).or_default() += count;
            *profiles.entry(*profile).or_default() += count;
            both += pairs(*count);
        }
        let joined = profiles.values().copied().map(pairs).sum();
        let expected = groups.values().copied().map(pairs).sum();
        Score {
            precision: share(both, joined),
            recall: share(both, expected),
            events: groups.values().sum(),
            ambiguous: self.ambiguous,
            groups: groups.len(),
            profiles: profiles.len(),
        }
    }
}

fn pairs(count: u64) -> u128 {
    let count = u128::from(count);
    count * count.saturating_sub(1) / 2
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with a few places")]
fn share(part: u128, whole: u128) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
