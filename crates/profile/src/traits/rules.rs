//! Survivorship: which of the things said of a trait is taken, decided when it is read (contract PRO-3).

use super::{TraitEntry, TraitSet};
use crate::mark::Mark;
use kith_types::{Address, SourceName, Timestamp, Value};
use std::collections::BTreeMap;

/// Which of the values of a trait survives. A value that is empty (`null`, blank text) never does. Observations of equal
/// time are told apart by their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Survivorship {
    /// The latest.
    #[default]
    MostRecent,
    /// The latest from the first of these sources that says anything; when none does, the latest of all.
    SourcePriority(Vec<SourceName>),
    /// The value said by the most events, over all sources; of several the latest.
    MostFrequent,
    /// The earliest.
    Oldest,
    /// The smallest number; what is no number does not take part. Of equal ones the latest.
    Min,
    /// The largest number; what is no number does not take part. Of equal ones the latest.
    Max,
    /// For consent: `false` as soon as the latest word of any source is `false`; else the latest.
    MostRestrictive,
}

/// The rules of a space: one for all traits and others for some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraitRules {
    /// The rule for every trait that has none of its own.
    pub default: Survivorship,
    /// The rules of single traits, by name.
    pub by_name: BTreeMap<Box<str>, Survivorship>,
}

impl TraitRules {
    /// The rule of that trait.
    #[must_use]
    pub fn of(&self, name: &str) -> &Survivorship {
        self.by_name.get(name).unwrap_or(&self.default)
    }
}

/// A value of a trait, who said it, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate<'a> {
    /// The value.
    pub value: &'a Value,
    /// The source that said it.
    pub source: &'a SourceName,
    /// The time of the event that said it.
    pub time: Timestamp,
    /// The address of that event.
    pub address: Address,
}

impl<'a> Candidate<'a> {
    fn new(source: &'a SourceName, (value, mark): (&'a Value, Mark)) -> Self {
        Self {
            value,
            source,
            time: mark.time,
            address: mark.address,
        }
    }

    fn mark(&self) -> Mark {
        Mark {
            time: self.time,
            address: self.address,
        }
    }
}

/// What survives of a trait, and what does not.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved<'a> {
    /// The value that survives.
    pub value: &'a Value,
    /// The source that said it.
    pub source: &'a SourceName,
    /// The time of the event that the rule picked.
    pub time: Timestamp,
    /// The address of that event.
    pub address: Address,
    /// Whether a limit may have made the answer other than exact.
    pub approximate: bool,
    /// The other values kept, once for each source that said them, the latest first. A source that agrees with the
    /// winner is not among them.
    pub losers: Vec<Candidate<'a>>,
}

impl TraitSet {
    /// The value that survives, without its losers.
    pub(crate) fn survivor<'a>(&'a self, name: &str, rule: &Survivorship) -> Option<Candidate<'a>> {
        let entries = self.of(name);
        let all = || entries.iter().flat_map(filled);
        match rule {
            Survivorship::MostRecent => latest(all()),
            Survivorship::SourcePriority(sources) => {
                let of = |source: &SourceName| {
                    latest(entries.iter().filter(|entry| entry.source == *source).flat_map(filled))
                };
                sources.iter().find_map(of).or_else(|| latest(all()))
            }
            Survivorship::MostFrequent => most_frequent(entries).or_else(|| latest(all())),
            Survivorship::Oldest => all().min_by_key(Candidate::mark),
            Survivorship::Min => numbers(all()).reduce(|held, other| {
                if smaller((other.value, other.mark()), (held.value, held.mark())) {
                    other
                } else {
                    held
                }
            }),
            Survivorship::Max => numbers(all()).reduce(|held, other| {
                if larger((other.value, other.mark()), (held.value, held.mark())) {
                    other
                } else {
                    held
                }
            }),
            Survivorship::MostRestrictive => {
                let words = || entries.iter().filter_map(|entry| latest(filled(entry)));
                latest(words().filter(|word| *word.value == Value::Bool(false))).or_else(|| latest(words()))
            }
        }
    }

    /// [`TraitSet::survivor`], of which nothing is asked but the value. Of one value that one source said, as most traits have,
    /// no rule needs to know when.
    pub(crate) fn surviving(&self, name: &str, rule: &Survivorship) -> Option<&Value> {
        if let [entry] = self.of(name)
            && let ([seen], None) = (&entry.values[..], &entry.picks)
        {
            let wants_number = matches!(rule, Survivorship::Min | Survivorship::Max);
            let takes = |value: &&Value| !value.is_empty() && (!wants_number || value.as_number().is_some());
            return Some(&seen.value).filter(takes);
        }
        self.survivor(name, rule).map(|candidate| candidate.value)
    }

    /// The value that survives and all that do not.
    pub(crate) fn resolve<'a>(&'a self, name: &str, rule: &Survivorship) -> Option<Resolved<'a>> {
        let winner = self.survivor(name, rule)?;
        let entries = self.of(name);
        let mut losers: Vec<Candidate<'a>> = Vec::new();
        for candidate in entries
            .iter()
            .flat_map(filled)
            .filter(|candidate| candidate.value != winner.value)
        {
            match losers
                .iter_mut()
                .find(|held| held.value == candidate.value && held.source == candidate.source)
            {
                Some(held) if held.mark() < candidate.mark() => *held = candidate,
                Some(_) => {}
                None => losers.push(candidate),
            }
        }
        losers.sort_by_key(|candidate| std::cmp::Reverse(candidate.mark()));
        Some(Resolved {
            value: winner.value,
            source: winner.source,
            time: winner.time,
            address: winner.address,
            approximate: is_cut(entries, rule),
            losers,
        })
    }

    /// Whether a limit may have made the value for a name, or that there is none, other than exact.
    pub(crate) fn is_approximate(&self, name: &str, rules: &TraitRules) -> bool {
        let of = |name: &str| {
            let (rule, entries) = (rules.of(name), self.of(name));
            (self.surviving(name, rule).is_some(), is_cut(entries, rule))
        };
        match of(name) {
            (true, cut) => cut,
            // It may have been one too many, or inside another one.
            (false, cut) => cut || self.is_limited() || name.split_once('.').is_some_and(|(first, _)| of(first).1),
        }
    }
}

/// Whether a limit has left out of a trait what the rule may have picked.
fn is_cut(entries: &[TraitEntry], rule: &Survivorship) -> bool {
    let counts_cut = *rule == Survivorship::MostFrequent && entries.iter().any(|entry| entry.picks.is_some());
    counts_cut || entries.iter().any(|entry| entry.left_out)
}

fn filled(entry: &TraitEntry) -> impl Iterator<Item = Candidate<'_>> {
    entry
        .observations()
        .filter(|(value, _)| !value.is_empty())
        .map(|observation| Candidate::new(&entry.source, observation))
}

fn latest<'a>(candidates: impl Iterator<Item = Candidate<'a>>) -> Option<Candidate<'a>> {
    candidates.max_by_key(Candidate::mark)
}

fn numbers<'a>(candidates: impl Iterator<Item = Candidate<'a>>) -> impl Iterator<Item = Candidate<'a>> {
    candidates.filter(|candidate| candidate.value.as_number().is_some())
}

/// Whether the first of two observations of numbers is the smaller; of equal ones the later.
pub(super) fn smaller(one: (&Value, Mark), other: (&Value, Mark)) -> bool {
    let (a, b) = (one.0.as_number(), other.0.as_number());
    a < b || (a == b && one.1 > other.1)
}

/// Whether the first of two observations of numbers is the larger; of equal ones the later.
pub(super) fn larger(one: (&Value, Mark), other: (&Value, Mark)) -> bool {
    let (a, b) = (one.0.as_number(), other.0.as_number());
    a > b || (a == b && one.1 > other.1)
}

fn most_frequent(entries: &[TraitEntry]) -> Option<Candidate<'_>> {
    let mut counted: Vec<(u64, Candidate<'_>)> = Vec::new();
    for entry in entries {
        for seen in entry.values.iter().filter(|seen| !seen.value.is_empty()) {
            let candidate = Candidate::new(&entry.source, (&seen.value, seen.last));
            match counted.iter_mut().find(|(_, held)| held.value == candidate.value) {
                Some((count, held)) => {
                    *count = count.saturating_add(seen.count);
                    if held.mark() < candidate.mark() {
                        *held = candidate;
                    }
                }
                None => counted.push((seen.count, candidate)),
            }
        }
    }
    counted
        .into_iter()
        .max_by_key(|(count, candidate)| (*count, candidate.mark()))
        .map(|(_, candidate)| candidate)
}
