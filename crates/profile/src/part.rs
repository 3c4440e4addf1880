//! The fold of the events of one carrier.
//!
//! A part is a function of a set of distinct events (contract PRO-1) and of its *horizon*, the latest `received_at` among
//! them or the latest instant it was pruned at. Parts of disjoint sets merge (contract PRO-2). The caller applies each
//! event once. Asking is exact at any instant from the horizon on; the pipeline's clock never lies before it.

use crate::FoldPlan;
use crate::PartError;
use crate::aggregates::{Entry, Sample};
use crate::codec::{Reader, put_len, put_time, put_u64};
use crate::consents::{Consent, Consents};
use crate::mark::Mark;
use crate::span::Span;
use crate::traits::{Resolved, Survivorship, TraitRules, TraitSet};
use crate::view::PartView;
use kith_expr::AggregateId;
use kith_types::{Event, Timestamp, Value};
use std::sync::Arc;

mod adopted;
mod answers;
mod cut;
mod entries;
mod held;
mod plans;
#[cfg(test)]
pub(crate) mod tests;

pub use cut::{Asked, CutPart, Cutter};
use entries::Entries;
use held::Held;
pub use held::PlanDirectory;
pub use plans::{MAX_PLANS, Plans};

/// The first byte of an encoded part. Parts of version 1, which wrote all ids, are still read.
pub const PART_VERSION: u8 = 2;

/// The folded events of one carrier, or of several when merged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    span: Span,
    horizon: Timestamp,
    /// The aggregates that all events of the part were folded into, sorted.
    held: Held,
    /// By slot, the position in `held`.
    entries: Entries,
    settles_at: SettlesAt,
    traits: TraitSet,
    consents: Consents,
}

/// A moment before which no entry needs to settle. Only a bound, so it says nothing about a part's equality.
#[derive(Clone, Copy, Debug)]
struct SettlesAt(Timestamp);

impl Default for SettlesAt {
    fn default() -> Self {
        Self(Timestamp::MAX)
    }
}

impl PartialEq for SettlesAt {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Part {
    /// Folds an event in: traits, consent, and every aggregate that the part holds. A part without events takes up all
    /// aggregates of the plan; a part with events drops those that the plan no longer has, for it would miss this event
    /// in them.
    pub fn apply(&mut self, plan: &FoldPlan, event: &Event) {
        self.apply_counting(plan, &plan.counting(event), event);
    }

    /// [`Part::apply`] of an event of which is known what it counts for: what [`FoldPlan::counting`] says of it.
    pub fn apply_counting(&mut self, plan: &FoldPlan, counting: &[u32], event: &Event) {
        self.align(plan);
        let first = self.is_empty();
        self.span.take(event.event_time);
        if first || event.received_at > self.horizon {
            self.horizon = event.received_at;
            self.settle_due();
        }
        self.traits.observe(event);
        self.consents.observe(event);
        let same = self.held.is_of(plan);
        for slot in counting.iter().map(|slot| *slot as usize) {
            let held = if same {
                Some(slot)
            } else {
                self.held.slot(plan.ids()[slot])
            };
            if let Some(held) = held {
                self.add(held, plan.spec_of(slot), event);
            }
        }
    }

    /// Folds an event of the part's history into some of the plan's aggregates only, those that [`Part::missing`] named.
    /// From the first call on the part holds them, so every event of its history must follow, once each.
    pub fn apply_only(&mut self, plan: &FoldPlan, ids: &[AggregateId], event: &Event) {
        self.begin(ids);
        for slot in plan.counting(event).into_iter().map(|slot| slot as usize) {
            let id = plan.ids()[slot];
            if let (true, Some(held)) = (ids.contains(&id), self.held.slot(id)) {
                self.add(held, plan.spec_of(slot), event);
            }
        }
    }

    /// Begins to hold aggregates, as yet of no event. Those already held are left as they are.
    pub fn begin(&mut self, ids: &[AggregateId]) {
        if ids.iter().any(|id| self.held.slot(*id).is_none()) {
            let mut all: Vec<AggregateId> = self.held.ids().iter().chain(ids).copied().collect();
            all.sort_unstable();
            all.dedup();
            self.hold(Arc::from(all));
        }
    }

    /// The aggregates of the plan that the part's events were not folded into. None when it has no events.
    #[must_use]
    pub fn missing(&self, plan: &FoldPlan) -> Vec<AggregateId> {
        if self.is_empty() || self.held.is_of(plan) {
            return Vec::new();
        }
        plan.ids()
            .iter()
            .filter(|id| self.held.slot(**id).is_none())
            .copied()
            .collect()
    }

    /// Whether its events were folded into exactly the plan's aggregates.
    #[must_use]
    pub fn is_of(&self, plan: &FoldPlan) -> bool {
        self.held.is_of(plan) || self.held.ids() == plan.ids()
    }

    /// Drops the aggregates that the plan does not have.
    pub fn retain(&mut self, plan: &FoldPlan) {
        if self.is_of(plan) {
            self.held = Held::all(plan.shared_ids().clone());
        } else if self.held.ids().iter().any(|id| plan.spec(*id).is_none()) {
            let kept: Arc<[AggregateId]> = self
                .held
                .ids()
                .iter()
                .filter(|id| plan.spec(**id).is_some())
                .copied()
                .collect();
            self.hold(kept);
        }
    }

    /// Takes in the fold of other events; no event may be in both. Aggregates that only one of the two holds are
    /// dropped. A part without events changes nothing.
    pub fn merge_from(&mut self, other: &Part) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        self.span.merge(&other.span);
        self.horizon = self.horizon.max(other.horizon);
        let same = self.held.is_same(&other.held);
        if !same {
            self.hold(
                self.held
                    .ids()
                    .iter()
                    .filter(|id| other.held.slot(**id).is_some())
                    .copied()
                    .collect(),
            );
        }
        for entry in other.entries.iter() {
            let slot = if same {
                Some(entry.slot as usize)
            } else {
                self.held.slot(other.held.ids()[entry.slot as usize])
            };
            let Some(slot) = slot else { continue };
            match self.entries.find(slot) {
                Ok(at) => self.entries[at].merge(entry),
                Err(at) => self.entries.insert(at, entry.in_slot(slot as u32)),
            }
        }
        self.settle();
        self.traits.merge(&other.traits);
        self.consents.merge(&other.consents);
    }

    /// The merge of parts, in any order.
    pub fn merged<'a>(parts: impl Iterator<Item = &'a Part>) -> Part {
        let mut merged = Part::default();
        parts.for_each(|part| merged.merge_from(part));
        merged
    }

    /// Drops what no question at or after `now` can need, and folds what has come due. Parts of the same events pruned
    /// at the same instant have the same bytes; pruning never changes an answer.
    pub fn prune(&mut self, now: Timestamp) {
        if !self.is_empty() && now > self.horizon {
            self.horizon = now;
            self.settle_due();
        }
    }

    /// The slots, in the plan, of the aggregates that its events gave anything to, in rising order: every other one has
    /// the value that it has of no event, and time alone never changes that. `None` where it is not of the plan.
    pub fn told_slots(&self, plan: &FoldPlan) -> Option<impl Iterator<Item = u32>> {
        let known = self.is_empty() || self.is_of(plan);
        known.then(|| self.entries.slots().iter().copied())
    }

    /// Whether it holds no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.span.count() == 0
    }

    /// How many events it holds.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.span.count()
    }

    /// The earliest event time; `None` of no event.
    #[must_use]
    pub fn first_seen(&self) -> Option<Timestamp> {
        self.span.first()
    }

    /// The latest event time; `None` of no event.
    #[must_use]
    pub fn last_seen(&self) -> Option<Timestamp> {
        self.span.last()
    }

    /// The instant from which on answers are exact.
    #[must_use]
    pub fn horizon(&self) -> Timestamp {
        self.horizon
    }

    /// The names of the traits that anyone spoke of, sorted.
    pub fn trait_names(&self) -> impl Iterator<Item = &str> {
        self.traits.names()
    }

    /// How many traits it has, each as often as sources spoke of it.
    #[must_use]
    pub fn trait_entries(&self) -> usize {
        self.traits.len()
    }

    /// What survives of a trait under a rule; `None` when nobody said anything that the rule can take.
    #[must_use]
    pub fn resolve_trait(&self, name: &str, rule: &Survivorship) -> Option<Resolved<'_>> {
        self.traits.resolve(name, rule)
    }

    /// All traits that have a value, sorted by name, each under its own rule.
    pub fn resolved_traits<'a>(&'a self, rules: &'a TraitRules) -> impl Iterator<Item = (&'a str, Resolved<'a>)> {
        self.traits
            .names()
            .filter_map(|name| Some((name, self.traits.resolve(name, rules.of(name))?)))
    }

    /// Whether a trait was left out because there were too many or its name was too long.
    #[must_use]
    pub fn traits_limited(&self) -> bool {
        self.traits.is_limited()
    }

    /// Whether the person allows a category: the most recent word over all sources, of two at one instant the
    /// restrictive one. `None`: nobody said, which is not a yes.
    #[must_use]
    pub fn consent(&self, category: &str) -> Option<bool> {
        self.consents.of(category).map(|consent| consent.granted)
    }

    pub(crate) fn consent_approximate(&self, category: &str) -> bool {
        self.consents.is_approximate(category)
    }

    pub(crate) fn trait_approximate(&self, name: &str, rules: &TraitRules) -> bool {
        self.traits.is_approximate(name, rules)
    }

    /// The word that prevails for each category, sorted by category.
    pub fn consents(&self) -> impl Iterator<Item = Consent<'_>> {
        self.consents.all()
    }

    /// The part as a condition sees a person.
    #[must_use]
    pub fn view<'a>(&'a self, plan: &'a FoldPlan, rules: &'a TraitRules) -> PartView<'a> {
        PartView::new(self, plan, rules)
    }

    pub(crate) fn trait_value(&self, name: &str, rules: &TraitRules) -> Option<&Value> {
        self.traits.value(name, rules)
    }

    /// About how many bytes of memory it takes, for the sizing of caches.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.entries.heap_bytes() + self.traits.heap_bytes() + self.consents.heap_bytes()
    }

    /// Appends the part's bytes with the list of its aggregates. Equal parts have equal bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.write(None, out);
    }

    /// Appends the part's bytes. Where the part holds exactly the plan's aggregates they name the plan instead of
    /// listing them, which saves 16 bytes for each; [`Part::decode_with`] then needs to know the plan. Equal parts have
    /// equal bytes under equal plans.
    pub fn encode_for(&self, plan: &FoldPlan, out: &mut Vec<u8>) {
        self.write(Some(plan), out);
    }

    fn write(&self, plan: Option<&FoldPlan>, out: &mut Vec<u8>) {
        out.push(PART_VERSION);
        put_u64(out, self.span.count());
        if self.is_empty() {
            return;
        }
        self.span.encode_ends(out);
        put_time(out, self.horizon);
        self.held.encode(plan, out);
        put_len(out, self.entries.len());
        self.entries.iter().for_each(|entry| entry.encode(out));
        self.traits.encode(out);
        self.consents.encode(out);
    }

    /// The part that [`Part::encode`] wrote.
    ///
    /// # Errors
    /// [`PartError::UnknownPlan`] for a part that names its plan, [`PartError::UnknownVersion`] for bytes of a later
    /// version, [`PartError::Damaged`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, PartError> {
        struct Nobody;
        impl PlanDirectory for Nobody {
            fn ids_of(&self, _: u128) -> Option<Arc<[AggregateId]>> {
                None
            }
        }
        Self::decode_with(bytes, &Nobody)
    }

    /// The part that [`Part::encode_for`] wrote for this plan, or [`Part::encode`] for any.
    ///
    /// # Errors
    /// As [`Part::decode`].
    pub fn decode_for(bytes: &[u8], plan: &FoldPlan) -> Result<Self, PartError> {
        Self::decode_with(bytes, plan)
    }

    /// The part that [`Part::encode_for`] wrote for one of the plans that the directory knows, or [`Part::encode`] for
    /// any.
    ///
    /// # Errors
    /// As [`Part::decode`].
    pub fn decode_with(bytes: &[u8], plans: &dyn PlanDirectory) -> Result<Self, PartError> {
        let mut part = Self::default();
        part.read(bytes, |held, reader, version| {
            *held = Held::decode(reader, version, plans)?;
            Ok(())
        })?;
        Ok(part)
    }

    /// Becomes what [`Part::decode_for`] reads, and uses again what memory it has. After an error it means nothing.
    ///
    /// # Errors
    /// As [`Part::decode`].
    pub fn decode_again(&mut self, bytes: &[u8], plan: &FoldPlan) -> Result<(), PartError> {
        self.read(bytes, |held, reader, version| held.decode_again(reader, version, plan))
    }

    fn read(
        &mut self,
        bytes: &[u8],
        read_held: impl FnOnce(&mut Held, &mut Reader<'_>, u8) -> Result<(), PartError>,
    ) -> Result<(), PartError> {
        let reader = &mut Reader::new(bytes);
        let version = reader.byte()?;
        if !(1..=PART_VERSION).contains(&version) {
            return Err(PartError::UnknownVersion(version));
        }
        let event_count = reader.u64()?;
        if event_count == 0 {
            reader.finish()?;
            *self = Self::default();
            return Ok(());
        }
        self.span = Span::decode_ends(event_count, reader)?;
        self.horizon = reader.time()?;
        read_held(&mut self.held, reader, version)?;
        let length = reader.len(5)?;
        self.entries.become_empty(length);
        for _ in 0..length {
            self.entries.push(Entry::decode(reader, version)?);
        }
        let last = self.entries.last().map_or(0, |entry| entry.slot as usize + 1);
        if last > self.held.ids().len() || !self.entries.slots().is_sorted_by(|one, next| one < next) {
            return Err(reader.damaged("aggregates are out of order"));
        }
        self.settles_at = self.next_settling();
        self.traits.decode_again(reader)?;
        self.consents = Consents::decode(reader)?;
        reader.finish()
    }

    fn align(&mut self, plan: &FoldPlan) {
        if self.held.is_of(plan) {
            return;
        }
        if self.is_empty() {
            self.entries.clear();
            self.held = Held::all(plan.shared_ids().clone());
        } else {
            self.retain(plan);
        }
    }

    /// Holds another list of aggregates: entries move to their new slots, those of ids not in it are dropped.
    fn hold(&mut self, ids: Arc<[AggregateId]>) {
        let before = std::mem::replace(&mut self.held, Held::all(ids));
        let held = &self.held;
        self.entries
            .retain_mut(|entry| match held.slot(before.ids()[entry.slot as usize]) {
                Some(slot) => {
                    entry.slot = slot as u32;
                    true
                }
                None => false,
            });
    }

    fn add(&mut self, slot: usize, spec: &kith_expr::AggregateSpec, event: &Event) {
        let Some(sample) = Sample::of(spec, event) else { return };
        let at = match self.entries.find(slot) {
            Ok(at) => at,
            Err(at) => {
                self.entries.insert(at, Entry::new(slot as u32, spec));
                at
            }
        };
        let entry = &mut self.entries[at];
        entry.add(sample, Mark::of(event), self.horizon);
        entry.settle(self.horizon);
        self.settles_at.0 = self.settles_at.0.min(entry.settles_at());
        if entry.is_empty() {
            self.entries.remove(at);
        }
    }

    /// Settles where the horizon has reached something that it changes: most events find nothing to do.
    fn settle_due(&mut self) {
        if self.horizon >= self.settles_at.0 {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let horizon = self.horizon;
        self.entries.retain_mut(|entry| {
            entry.settle(horizon);
            !entry.is_empty()
        });
        self.settles_at = self.next_settling();
    }

    fn next_settling(&self) -> SettlesAt {
        let earliest = self.entries.iter().map(Entry::settles_at).min();
        earliest.map_or_else(SettlesAt::default, SettlesAt)
    }
}
