//! Which segments to ask, without asking each: for servers with hundreds of segments.
//!
//! It is built once from a list of compiled segments and names them by their place in that list. Of an event it finds those
//! that [`CompiledSegment::touched_by`] names; of a person those that may answer other than of somebody of whom nothing is
//! known. It knows the aggregates that are kept by their places in a list, so whoever knows what an event counts for, or what
//! a person has, need not look at filters again. It never asks a segment of a person itself.

use crate::{CompiledSegment, Person};
use kith_expr::AggregateId;
use kith_types::{Event, Timestamp};
use std::collections::HashMap;

/// Finds the segments that an event touches, and those to ask of a person.
#[derive(Clone, Debug, Default)]
pub struct SegmentIndex {
    /// By the place of an aggregate among those that are kept.
    by_aggregate: Vec<Vec<usize>>,
    /// By a trait's name and each of the objects it stands in: `address.city` and `address`.
    by_trait: HashMap<Box<str>, Vec<usize>>,
    touched_by_all: Vec<usize>,
    asked_of_all: Vec<usize>,
}

impl SegmentIndex {
    /// The index of these segments. `aggregates` are those that are kept, sorted; `nobody` is somebody of whom no event
    /// is known.
    #[must_use]
    pub fn new<'a>(
        segments: impl IntoIterator<Item = &'a CompiledSegment>,
        aggregates: &[AggregateId],
        nobody: &dyn Person,
    ) -> Self {
        let mut index = Self {
            by_aggregate: vec![Vec::new(); aggregates.len()],
            ..Self::default()
        };
        for (place, segment) in segments.into_iter().enumerate() {
            index.add(place, segment, aggregates, nobody);
        }
        index
    }

    fn add(&mut self, place: usize, segment: &CompiledSegment, aggregates: &[AggregateId], nobody: &dyn Person) {
        let counted_at: Option<Vec<usize>> = segment
            .aggregate_ids()
            .iter()
            .map(|id| aggregates.binary_search(id).ok())
            .collect();
        // What is not kept cannot say when it changes.
        let touched_by_all = segment.depends_on_every_event() || counted_at.is_none();
        if touched_by_all {
            self.touched_by_all.push(place);
        }
        let of_nobody = segment.evaluate(nobody, Timestamp::default());
        let answers_of_nobody = of_nobody.member || of_nobody.next_transition.is_some();
        if touched_by_all || segment.depends_on_profile_id() || answers_of_nobody {
            self.asked_of_all.push(place);
        }
        if touched_by_all {
            return;
        }
        for at in counted_at.into_iter().flatten() {
            self.by_aggregate[at].push(place);
        }
        for name in segment.traits() {
            let ends = name.match_indices('.').map(|(at, _)| at).chain([name.len()]);
            for end in ends {
                self.by_trait.entry(name[..end].into()).or_default().push(place);
            }
        }
    }

    /// Writes the places of the segments that the event touches into `touched`, each once and in rising order; what
    /// stood there before is dropped. `counting` are the places of the aggregates that count the event.
    pub fn touched_by(&self, event: &Event, counting: &[u32], touched: &mut Vec<usize>) {
        touched.clear();
        touched.extend(&self.touched_by_all);
        self.of(
            counting.iter().copied(),
            event.traits.iter().map(|(key, _)| key.as_str()),
            touched,
        );
    }

    /// Writes the places of the segments that may answer other than *no, for ever* of a person, each once and in rising
    /// order; what stood there before is dropped. `told` are the places of the aggregates that their events gave
    /// anything to, `traits` the names of the traits that anyone spoke of.
    pub fn asked_of<'a>(
        &self,
        told: impl Iterator<Item = u32>,
        traits: impl Iterator<Item = &'a str>,
        asked: &mut Vec<usize>,
    ) {
        asked.clear();
        asked.extend(&self.asked_of_all);
        self.of(told, traits, asked);
    }

    fn of<'a>(
        &self,
        aggregates: impl Iterator<Item = u32>,
        traits: impl Iterator<Item = &'a str>,
        found: &mut Vec<usize>,
    ) {
        let counted = aggregates.filter_map(|at| self.by_aggregate.get(at as usize));
        found.extend(counted.flatten());
        if !self.by_trait.is_empty() {
            found.extend(traits.filter_map(|name| self.by_trait.get(name)).flatten());
        }
        found.sort_unstable();
        found.dedup();
    }
}
