//! What is asked of each person: every segment and trait that a proposal concerns, as it is and as it would be.
//!
//! A segment is concerned when its own document changes or anything that it names; others keep their members and are not
//! asked. It works with `tally`, which counts the answers, and never looks for people.

use super::tally::{Counts, Tally, Who};
use super::{Impact, Proposed, SegmentImpact, Shown, ValueImpact};
use crate::PipelineError;
use crate::account_facts::{self, AccountFacts, AccountsOf};
use crate::definitions::{DefinitionSet, Definitions, LiveSegment};
use crate::new_rules::Rearranged;
use crate::person::PersonOf;
use kith_expr::{AggregateId, AggregateSpec};
use kith_profile::{FoldPlan, Part};
use kith_segment::CompiledSegment;
use kith_state::Read;
use kith_types::{ProfileId, SegmentName, SpaceId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A person as they are asked on both sides.
#[derive(Clone, Copy)]
pub(super) enum Both<'a> {
    /// Who is who stays: the same on both sides.
    Same(&'a Asked<'a>),
    /// Who may be another one then, has another id then, or is there on one side only.
    Other(Option<&'a Asked<'a>>, Option<&'a Asked<'a>>),
}

impl<'a> Both<'a> {
    fn sides(self) -> (Option<&'a Asked<'a>>, Option<&'a Asked<'a>>) {
        match self {
            Self::Same(asked) => (Some(asked), Some(asked)),
            Self::Other(before, after) => (before, after),
        }
    }
}

/// A person as they are asked.
pub(super) struct Asked<'a> {
    pub(super) who: Who<'a>,
    pub(super) carriers: &'a [u128],
    pub(super) whole: &'a Part,
    /// Whether a limit has left identifiers of theirs out.
    pub(super) identity_limited: bool,
    pub(super) accounts: &'a Accounts,
}

/// What is asked of somebody's accounts, before and after.
#[derive(Default)]
pub(super) struct Accounts {
    before: Vec<Arc<AccountFacts>>,
    after: Vec<Arc<AccountFacts>>,
}

/// What a proposal concerns, compiled.
pub(super) struct Comparison {
    pub(super) before: Arc<Definitions>,
    pub(super) after: Arc<Definitions>,
    /// The documents that would be in force.
    pub(super) proposal: DefinitionSet,
    /// Whether people are others then.
    pub(super) identity_changes: bool,
    segments: Vec<SegmentPair>,
    computed: Vec<ComputedPair>,
    trait_rules_change: bool,
    /// Where the segments asked for beside the others stand in `after`.
    beside: Vec<usize>,
    /// Every aggregate that is asked for.
    pub(super) plan: FoldPlan,
    pub(super) samples: usize,
}

/// A segment before and after, by its place in the definitions.
struct SegmentPair {
    name: SegmentName,
    before: Option<usize>,
    after: Option<usize>,
    /// Whether a document that says who is in it changes; without it only people do.
    concerned: bool,
}

struct ComputedPair {
    name: String,
    before: Option<AggregateId>,
    after: Option<AggregateId>,
}

impl ComputedPair {
    /// Whether its document changes; without it only people do.
    fn concerned(&self) -> bool {
        self.before != self.after
    }
}

impl Comparison {
    pub(super) fn new(in_force: &DefinitionSet, proposed: &Proposed) -> Result<Self, PipelineError> {
        let before = Arc::new(in_force.compile()?);
        let proposal = in_force.with(&proposed.changes, Timestamp::from_micros(in_force.decided_at_micros));
        let after = Arc::new(proposal.compile()?);
        let identity_changes = before.rules.fingerprint() != after.rules.fingerprint();
        let mut computed = computed_pairs(&before, &after);
        let changed_traits: BTreeSet<String> = (computed.iter().filter(|pair| pair.concerned()))
            .map(|pair| pair.name.clone())
            .collect();
        computed.retain(|pair| identity_changes || pair.concerned());
        let trait_rules_change = before.trait_rules != after.trait_rules;
        // What is proposed is asked for also where it says what holds already.
        let named: BTreeSet<&str> = proposed
            .changes
            .iter()
            .filter(|change| change.kind == "segment")
            .map(|change| change.name.as_str())
            .collect();
        let document = |set: &'_ DefinitionSet, name: &SegmentName| {
            set.documents
                .get("segment")
                .and_then(|kind| kind.get(name.as_str()))
                .cloned()
        };
        let changed = |name: &SegmentName| document(in_force, name) != document(&proposal, name);
        let concerned = |live: &LiveSegment| {
            let compiled = &live.compiled;
            named.contains(live.name.as_str())
                || changed(&live.name)
                || compiled.references().iter().any(changed)
                || (compiled.computed_traits().iter()).any(|name| changed_traits.contains(&**name))
                || (trait_rules_change && compiled.depends_on_traits())
        };
        let mut places: BTreeMap<&SegmentName, (Option<usize>, Option<usize>)> = BTreeMap::new();
        let asked = |live: &LiveSegment| identity_changes || concerned(live);
        for (place, live) in before.segments.iter().enumerate().filter(|(_, live)| asked(live)) {
            places.entry(&live.name).or_default().0 = Some(place);
        }
        for (place, live) in after.segments.iter().enumerate().filter(|(_, live)| asked(live)) {
            places.entry(&live.name).or_default().1 = Some(place);
        }
        let segments: Vec<SegmentPair> = places
            .into_iter()
            .map(|(name, (place, place_after))| SegmentPair {
                name: name.clone(),
                before: place,
                after: place_after,
                concerned: place.is_some_and(|place| concerned(&before.segments[place]))
                    || place_after.is_some_and(|place| concerned(&after.segments[place])),
            })
            .collect();
        let beside = (proposed.beside.iter())
            .map(|name| place_of(&after, name))
            .collect::<Result<Vec<_>, _>>()?;
        let plan = FoldPlan::new(asked_for(&before, &after, &segments, &computed, &beside));
        Ok(Self {
            segments,
            computed,
            trait_rules_change,
            beside,
            plan,
            samples: proposed.samples.min(super::SAMPLES_MAX),
            proposal,
            identity_changes,
            before,
            after,
        })
    }

    /// Counts a person's answers at `now`, or at the instant from which on their fold answers.
    pub(super) fn ask(&self, both: Both<'_>, now: Timestamp, tally: &mut Tally) {
        self.ask_showing(both, now, tally, self.samples);
    }

    /// As [`Comparison::ask`], with so many in each list.
    pub(super) fn ask_showing(&self, both: Both<'_>, now: Timestamp, tally: &mut Tally, samples: usize) {
        let (stands, then) = both.sides();
        let Some(shown) = then.or(stands) else { return };
        let is_renamed = stands
            .zip(then)
            .is_some_and(|(stands, then)| stands.who.id != then.who.id);
        let at = |asked: Option<&Asked<'_>>| asked.map_or(now, |asked| now.max(asked.whole.horizon()));
        let (now, now_then) = (at(stands), at(then));
        let before = stands.map(|asked| self.under(&self.before, asked, &asked.accounts.before));
        let after = then.map(|asked| self.under(&self.after, asked, &asked.accounts.after));
        let is_in = |place: usize| {
            let segment = &self.after.segments[place].compiled;
            after.as_ref().is_some_and(|person| segment.is_member(person, now_then))
        };
        tally.people += u64::from(stands.is_some());
        tally.segments.resize_with(self.segments.len(), Counts::default);
        for (pair, counts) in self.segments.iter().zip(&mut tally.segments) {
            let was = pair.before.is_some_and(|place| {
                let segment = &self.before.segments[place].compiled;
                before.as_ref().is_some_and(|person| segment.is_member(person, now))
            });
            let is = match both {
                // Neither they nor what they are asked changes.
                Both::Same(_) if !pair.concerned => was,
                _ => pair.after.is_some_and(is_in),
            };
            let unsure = |place: usize| {
                let segment = &self.after.segments[place].compiled;
                after
                    .as_ref()
                    .is_some_and(|person| segment.is_approximate(person, now_then))
            };
            counts.approximate += u64::from(pair.after.is_some_and(unsure));
            // Who has another id then and leaves is known by the id of now.
            let shown = stands.filter(|_| is_renamed && !is).unwrap_or(shown);
            counts.count(was, is, &shown.who, samples);
            counts.renamed += u64::from(was && is && is_renamed);
            if is {
                counts.beside.resize(self.beside.len(), 0);
                for (place, both) in self.beside.iter().zip(&mut counts.beside) {
                    *both += u64::from(is_in(*place));
                }
            }
        }
        // Who is not there has what somebody without events has.
        let nobody = Part::default();
        let (whole, whole_then) = (
            stands.map_or(&nobody, |asked| asked.whole),
            then.map_or(&nobody, |asked| asked.whole),
        );
        tally.computed.resize(self.computed.len(), 0);
        for (pair, changes) in self.computed.iter().zip(&mut tally.computed) {
            if matches!(both, Both::Same(_)) && !pair.concerned() {
                continue;
            }
            // Who has no value under rules that have the trait is as one under rules that lack it.
            let value = |id: Option<AggregateId>, whole: &Part, now: Timestamp| {
                id.map_or(kith_types::Value::Null, |id| whole.aggregate(&self.plan, id, now))
            };
            *changes += u64::from(value(pair.before, whole, now) != value(pair.after, whole_then, now_then));
        }
        if self.trait_rules_change || matches!(both, Both::Other(..)) {
            let surviving = |definitions: &'_ Definitions, whole: &Part| -> Vec<(String, kith_types::Value)> {
                let resolved = whole.resolved_traits(&definitions.trait_rules);
                resolved
                    .map(|(name, one)| (name.to_owned(), one.value.clone()))
                    .collect()
            };
            tally.traits += u64::from(surviving(&self.before, whole) != surviving(&self.after, whole_then));
        }
    }

    /// The segments that people are asked about, before and after.
    fn asked_segments(&self) -> impl Iterator<Item = &CompiledSegment> {
        let before = self.segments.iter().filter_map(|pair| pair.before);
        let after = self.segments.iter().filter_map(|pair| pair.after);
        let before = before.map(|place| &self.before.segments[place].compiled);
        let after = (after.chain(self.beside.iter().copied())).map(|place| &self.after.segments[place].compiled);
        before.chain(after)
    }

    /// Whether nothing is asked for but what people's parts say: neither who they are nor what their accounts are.
    pub(super) fn asks_parts_alone(&self) -> bool {
        let asks_more = |segment: &CompiledSegment| {
            segment.depends_on_identifiers() || segment.depends_on_profile_id() || !segment.account_traits().is_empty()
        };
        !self.asked_segments().any(asks_more)
    }

    /// About how many bytes the answers of one person take.
    pub(super) fn tally_bytes(&self) -> usize {
        let of_segment = size_of::<Counts>() + self.beside.len() * size_of::<u64>();
        size_of::<Tally>() + self.segments.len() * of_segment + self.computed.len() * size_of::<u64>()
    }

    /// What is asked of people's parts.
    pub(super) fn asked_of_parts(&self) -> kith_profile::Asked<'_> {
        let segments: Vec<_> = self.asked_segments().collect();
        let consents = segments.iter().any(|segment| segment.depends_on_consent());
        let names = segments.iter().flat_map(|segment| segment.traits()).map(|name| &**name);
        kith_profile::Asked::new(&self.plan, (!self.trait_rules_change).then_some(names), consents)
    }

    /// The person as segments see one under these definitions.
    fn under<'a>(
        &'a self,
        definitions: &'a Definitions,
        asked: &'a Asked<'a>,
        accounts: &'a [Arc<AccountFacts>],
    ) -> PersonOf<'a> {
        PersonOf {
            id: asked.who.id,
            view: asked.whole.view(&self.plan, &definitions.trait_rules),
            carriers: asked.carriers,
            accounts: AccountsOf::new(definitions.accounts.as_ref(), accounts),
            identity_limited: asked.identity_limited,
        }
    }

    /// What the accounts of a person are asked for, as they are committed.
    pub(super) fn accounts(&self, reader: &dyn Read, space: &SpaceId, whole: &Part) -> Result<Accounts, PipelineError> {
        let under = |definitions: &Definitions| match self.asks(definitions) {
            true => account_facts::committed(reader, space, definitions, (whole, &self.plan)),
            false => Ok(Vec::new()),
        };
        Ok(Accounts {
            before: under(&self.before)?,
            after: under(&self.after)?,
        })
    }

    /// Whether a segment concerned asks for accounts under these definitions.
    fn asks(&self, definitions: &Definitions) -> bool {
        let accounts = definitions.accounts.as_ref();
        accounts.is_some_and(|accounts| self.plan.spec(accounts.id).is_some())
    }

    /// The answer, from everybody's.
    pub(super) fn impact(&self, mut tally: Tally, identity: Option<Rearranged>, as_of: Timestamp) -> Impact {
        tally.segments.resize_with(self.segments.len(), Counts::default);
        tally.computed.resize(self.computed.len(), 0);
        let differing = (self.segments.iter().zip(tally.segments))
            .filter(|(pair, counts)| pair.concerned || counts.enters + counts.leaves + counts.renamed > 0);
        let segments = differing.map(|(pair, mut counts)| {
            counts.beside.resize(self.beside.len(), 0);
            let names = self.beside.iter().map(|place| self.after.segments[*place].name.clone());
            let listed = |list: BTreeMap<ProfileId, Shown>| list.into_values().collect();
            SegmentImpact {
                name: pair.name.clone(),
                before: pair.before.map(|_| counts.before),
                after: pair.after.map(|_| counts.after),
                enters: counts.enters,
                leaves: counts.leaves,
                renamed: counts.renamed,
                approximate: counts.approximate,
                beside: names.zip(counts.beside).collect(),
                members: listed(counts.members),
                entering: listed(counts.entering),
                leaving: listed(counts.leaving),
            }
        });
        let computed =
            (self.computed.iter().zip(tally.computed)).filter(|(pair, changes)| pair.concerned() || *changes > 0);
        Impact {
            as_of,
            people: tally.people,
            segments: segments.collect(),
            computed_traits: computed
                .map(|(pair, changes)| ValueImpact {
                    name: pair.name.clone(),
                    changes,
                })
                .collect(),
            traits: (self.trait_rules_change || tally.traits > 0).then_some(tally.traits),
            identity,
        }
    }
}

fn place_of(definitions: &Definitions, name: &SegmentName) -> Result<usize, PipelineError> {
    let place = definitions.segments.iter().position(|live| live.name == *name);
    place.ok_or_else(|| PipelineError::definition(format!("there is no segment {name}")))
}

fn computed_pairs(before: &Definitions, after: &Definitions) -> Vec<ComputedPair> {
    let mut pairs: BTreeMap<&str, (Option<AggregateId>, Option<AggregateId>)> = BTreeMap::new();
    for computed in &before.computed {
        pairs.entry(&computed.name).or_default().0 = Some(computed.aggregate);
    }
    for computed in &after.computed {
        pairs.entry(&computed.name).or_default().1 = Some(computed.aggregate);
    }
    pairs
        .into_iter()
        .map(|(name, (before, after))| ComputedPair {
            name: name.to_owned(),
            before,
            after,
        })
        .collect()
}

fn asked_for(
    before: &Definitions,
    after: &Definitions,
    segments: &[SegmentPair],
    computed: &[ComputedPair],
    beside: &[usize],
) -> Vec<AggregateSpec> {
    let of_segment = |definitions: &'_ Definitions, place: Option<usize>| -> Vec<AggregateSpec> {
        let live = place.and_then(|place| definitions.segments.get(place));
        live.map_or_else(Vec::new, |live| live.compiled.aggregates().to_vec())
    };
    let mut asked = Vec::new();
    for pair in segments {
        asked.extend(of_segment(before, pair.before));
        asked.extend(of_segment(after, pair.after));
    }
    for place in beside {
        asked.extend(of_segment(after, Some(*place)));
    }
    for pair in computed {
        asked.extend(pair.before.and_then(|id| before.plan.spec(id)).cloned());
        asked.extend(pair.after.and_then(|id| after.plan.spec(id)).cloned());
    }
    asked
}
