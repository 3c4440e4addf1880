//! Counts of answers, which add up in any order: people may be asked by several threads.

use super::{IDENTIFIERS_SHOWN, Shown};
use kith_types::{Identifier, ProfileId};
use std::collections::BTreeMap;

/// Who may be shown.
#[derive(Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) id: ProfileId,
    /// The oldest of their identifiers, at most so many.
    pub(super) identifiers: &'a dyn Fn(usize) -> Vec<Identifier>,
}

/// The answers of some people.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) people: u64,
    /// One for each segment concerned.
    pub(super) segments: Vec<Counts>,
    /// One for each computed trait concerned: who has another value.
    pub(super) computed: Vec<u64>,
    /// Who has another trait survive.
    pub(super) traits: u64,
}

/// The answers about one segment. Each list holds the people of smallest id, so that it is the same however many
/// threads asked.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) enters: u64,
    pub(super) leaves: u64,
    pub(super) renamed: u64,
    pub(super) approximate: u64,
    pub(super) beside: Vec<u64>,
    pub(super) members: BTreeMap<ProfileId, Shown>,
    pub(super) entering: BTreeMap<ProfileId, Shown>,
    pub(super) leaving: BTreeMap<ProfileId, Shown>,
}

impl Tally {
    /// Adds what so many people of a kind answer, of whom none is shown.
    pub(super) fn add_times(&mut self, one: &Tally, times: u64) {
        let multiply = |counts: &[u64]| -> Vec<u64> { counts.iter().map(|count| count * times).collect() };
        let counts = one.segments.iter().map(|counts| Counts {
            before: counts.before * times,
            after: counts.after * times,
            enters: counts.enters * times,
            leaves: counts.leaves * times,
            renamed: counts.renamed * times,
            approximate: counts.approximate * times,
            beside: multiply(&counts.beside),
            ..Counts::default()
        });
        let of_all = Tally {
            people: one.people * times,
            segments: counts.collect(),
            computed: multiply(&one.computed),
            traits: one.traits * times,
        };
        self.add(of_all, usize::MAX);
    }

    /// Shows somebody who answers as one person does, without counting them.
    pub(super) fn show(&mut self, one: &Tally, who: &Who<'_>, samples: usize) {
        if self.segments.len() < one.segments.len() {
            self.segments.resize_with(one.segments.len(), Counts::default);
        }
        for (mine, answer) in self.segments.iter_mut().zip(&one.segments) {
            mine.show(answer.before > 0, answer.after > 0, who, samples);
        }
    }

    pub(super) fn add(&mut self, other: Tally, samples: usize) {
        self.people += other.people;
        self.traits += other.traits;
        add_each(&mut self.computed, &other.computed);
        if self.segments.len() < other.segments.len() {
            self.segments.resize_with(other.segments.len(), Counts::default);
        }
        for (mine, theirs) in self.segments.iter_mut().zip(other.segments) {
            mine.add(theirs, samples);
        }
    }
}

impl Counts {
    pub(super) fn count(&mut self, was: bool, is: bool, who: &Who<'_>, samples: usize) {
        self.before += u64::from(was);
        self.after += u64::from(is);
        self.enters += u64::from(is && !was);
        self.leaves += u64::from(was && !is);
        self.show(was, is, who, samples);
    }

    fn show(&mut self, was: bool, is: bool, who: &Who<'_>, samples: usize) {
        if samples == 0 {
            return;
        }
        if is {
            show(&mut self.members, who, samples);
        }
        if is && !was {
            show(&mut self.entering, who, samples);
        }
        if was && !is {
            show(&mut self.leaving, who, samples);
        }
    }

    fn add(&mut self, other: Counts, samples: usize) {
        self.before += other.before;
        self.after += other.after;
        self.enters += other.enters;
        self.leaves += other.leaves;
        self.renamed += other.renamed;
        self.approximate += other.approximate;
        add_each(&mut self.beside, &other.beside);
        let lists = [
            (&mut self.members, other.members),
            (&mut self.entering, other.entering),
            (&mut self.leaving, other.leaving),
        ];
        for (mine, theirs) in lists {
            mine.extend(theirs);
            while mine.len() > samples {
                mine.pop_last();
            }
        }
    }
}

fn add_each(mine: &mut Vec<u64>, theirs: &[u64]) {
    mine.resize(mine.len().max(theirs.len()), 0);
    mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
}

fn show(list: &mut BTreeMap<ProfileId, Shown>, who: &Who<'_>, samples: usize) {
    let belongs = list.len() < samples || list.last_key_value().is_some_and(|(last, _)| who.id < *last);
    if !belongs {
        return;
    }
    let shown = Shown {
        id: who.id,
        identifiers: (who.identifiers)(IDENTIFIERS_SHOWN),
    };
    list.insert(who.id, shown);
    if list.len() > samples {
        list.pop_last();
    }
}
