//! What the fold computes beside traits and consent: the aggregates, compiled so that an event meets only those that
//! can want it.

use kith_expr::{AggregateId, AggregateSpec, FilterIndex};
use kith_types::Event;
use smallvec::SmallVec;
use std::sync::Arc;

/// The slots of the aggregates that count an event, each once and in rising order.
pub type Counting = SmallVec<[u32; 24]>;

/// A set of aggregates, ready to fold events. Cheap to share behind an `Arc`; a change of definitions makes a new one.
#[derive(Debug)]
pub struct FoldPlan {
    /// Sorted; the position of an id is its slot.
    ids: Arc<[AggregateId]>,
    /// Where the ids begin whose leading bits are the position here; one more says where all end. Ids are hashes, so
    /// few share theirs.
    begin_at: Box<[u32]>,
    leading_bits: u32,
    fingerprint: u128,
    specs: Box<[AggregateSpec]>,
    /// The slots by their filters.
    by_filter: FilterIndex,
}

impl FoldPlan {
    /// The plan that computes these aggregates; equal ones are computed once.
    #[must_use]
    pub fn new(specs: Vec<AggregateSpec>) -> Self {
        let mut named: Vec<(AggregateId, AggregateSpec)> = specs.into_iter().map(|spec| (spec.id(), spec)).collect();
        named.sort_by_key(|(id, _)| *id);
        named.dedup_by_key(|(id, _)| *id);
        let ids: Arc<[AggregateId]> = named.iter().map(|(id, _)| *id).collect();
        let leading_bits = (2 * ids.len().max(1)).next_power_of_two().trailing_zeros();
        let begin = |bits: u128| ids.partition_point(|id| id.0 >> (128 - leading_bits) < bits) as u32;
        let mut plan = Self {
            begin_at: (0..=1_u128 << leading_bits).map(begin).collect(),
            leading_bits,
            fingerprint: fingerprint_of(&ids),
            ids,
            specs: named.into_iter().map(|(_, spec)| spec).collect(),
            by_filter: FilterIndex::default(),
        };
        for (slot, spec) in (0_u32..).zip(&plan.specs) {
            spec.filters().for_each(|filter| plan.by_filter.add(filter, slot));
        }
        plan
    }

    /// The aggregates, sorted by id.
    #[must_use]
    pub fn ids(&self) -> &[AggregateId] {
        &self.ids
    }

    /// The aggregate of that id.
    #[must_use]
    pub fn spec(&self, id: AggregateId) -> Option<&AggregateSpec> {
        self.slot(id).map(|slot| &self.specs[slot])
    }

    /// The slot of an aggregate.
    pub(crate) fn slot(&self, id: AggregateId) -> Option<usize> {
        let leading = (id.0 >> (128 - self.leading_bits)) as usize;
        let (from, to) = (self.begin_at[leading] as usize, self.begin_at[leading + 1] as usize);
        (from..to).find(|slot| self.ids[*slot] == id)
    }

    /// A number that two plans share when they compute the same aggregates, whatever the order they were given in.
    /// Encoded parts name their plan by it.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    /// The list itself, to be shared by parts and directories of plans.
    #[must_use]
    pub fn shared_ids(&self) -> &Arc<[AggregateId]> {
        &self.ids
    }

    /// The slots of the aggregates that count this event. Whoever folds an event into more than one part asks once.
    #[must_use]
    pub fn counting(&self, event: &Event) -> Counting {
        let mut slots = Counting::new();
        self.by_filter.passed(event, &mut |slot| slots.push(slot));
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// The aggregate of a slot.
    pub(crate) fn spec_of(&self, slot: usize) -> &AggregateSpec {
        &self.specs[slot]
    }
}

/// The ids are hashes already: a polynomial over them, in their sorted order, tells sets apart.
pub(crate) fn fingerprint_of(ids: &[AggregateId]) -> u128 {
    ids.iter().fold(0x6b69_7468_u128, |sum, id| {
        sum.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
            .rotate_left(23)
            ^ id.0
    })
}
