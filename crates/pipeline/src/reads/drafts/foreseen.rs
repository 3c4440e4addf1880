//! Whom a decision changes, or may change as time passes: everybody is asked what it concerns, in the order of the store
//! (contract SEG-4).
//!
//! What people lack for it comes from folds of their histories that were made elsewhere. Whoever cannot be told about from what is held in
//! memory is named, too, without an answer: they are asked when they are visited. Who is not named is taken to stay as they are.

use super::everybody::{Page, each_page, join};
use super::held::{BYTES_HELD, Held, HeldParts, PIECES, Reading};
use crate::account_facts::AccountsOf;
use crate::definitions::{Definitions, LiveSegment};
use crate::evaluate::Answer;
use crate::folds::Folds;
use crate::person::PersonOf;
use crate::threads::in_threads;
use crate::{PipelineError, keys, plans};
use kith_expr::{AggregateId, AggregateSpec};
use kith_identity::{Outline, OutlinedPart};
use kith_profile::limits::MAX_TRAITS;
use kith_profile::{Asked, FoldPlan, Part};
use kith_state::{Keyspace, Read};
use kith_types::{ProfileId, SegmentName, SpaceId, Timestamp};
use rustc_hash::FxHashSet;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The most people that are named; where it is more it is not worth while.
const NAMED_MAX: usize = if cfg!(test) { 1_000 } else { 4 << 20 };

/// Somebody whom a decision changes, or may change.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) id: u128,
    /// What the segments concerned answer of them; nothing where that is to be found out by who visits them.
    pub(crate) answer: Option<Answer>,
}

/// Whom a decision changes or may change.
#[derive(Debug)]
pub(crate) struct Foreseen {
    /// By their ids, falling: whoever takes them takes them from the end.
    pub(crate) people: Vec<Named>,
    /// The segments that ask something else than before, by their places, rising.
    pub(crate) concerned: Arc<[usize]>,
}

impl Foreseen {
    /// People of whom it is to be found out.
    pub(crate) fn unknown(people: Vec<Named>) -> Self {
        let concerned = Arc::default();
        Self { people, concerned }
    }
}

/// Places that all sets of one thread may have, 4 bytes each: whoever would need more has no answer.
const PLACES_MAX: usize = if cfg!(test) { 100 } else { 4 << 20 };

/// What a decision asks of people.
pub(crate) struct Foresight {
    after: Arc<Definitions>,
    /// The segments that ask something else than before, by their places, rising.
    concerned: Arc<[usize]>,
    /// Whose members may cease to be members.
    left: Vec<SegmentName>,
    /// Of the aggregates that these segments ask for, those that everybody's parts hold.
    kept: FoldPlan,
    /// The others.
    lacking: Vec<AggregateId>,
    /// Whether what the segments concerned answer is handed on. Whether evidence around a person was refused may change by somebody
    /// else's event, so a segment that asks for identifiers is asked at the visit.
    answers: bool,
    /// What the parts lack.
    pub(crate) folds: Option<Folds>,
}

impl Foresight {
    /// What a decision asks; nothing where it asks for accounts, which are not looked at here.
    pub(crate) fn between(before: &Definitions, after: &Arc<Definitions>) -> Option<Self> {
        let trait_rules_change = before.trait_rules != after.trait_rules;
        let stays = |live: &LiveSegment| {
            let place = before.segments.binary_search_by(|one| one.name.cmp(&live.name));
            let as_before = place.is_ok_and(|place| before.segments[place].compiled.asks_as(&live.compiled));
            as_before && !(trait_rules_change && live.compiled.depends_on_traits())
        };
        let places = 0..after.segments.len();
        let concerned: Arc<[usize]> = places.filter(|place| !stays(&after.segments[*place])).collect();
        let is_left = |live: &&LiveSegment| {
            let place = after.segments.binary_search_by(|one| one.name.cmp(&live.name));
            place.is_ok_and(|place| concerned.contains(&place)) || place.is_err()
        };
        let left = before.segments.iter().filter(is_left);
        let left = left.map(|live| live.name.clone()).collect();
        let asked = concerned.iter().map(|place| &after.segments[*place].compiled);
        if asked.clone().any(|segment| !segment.account_traits().is_empty()) {
            return None;
        }
        let answers = !asked.clone().any(|segment| segment.depends_on_identifiers());
        let aggregates = asked.flat_map(|segment| segment.aggregates());
        let (kept, lacking): (Vec<&AggregateSpec>, Vec<_>) =
            aggregates.partition(|spec| before.plan.spec(spec.id()).is_some());
        let lacking: BTreeSet<AggregateId> = lacking.into_iter().map(AggregateSpec::id).collect();
        Some(Self {
            kept: FoldPlan::new(kept.into_iter().cloned().collect()),
            lacking: lacking.into_iter().collect(),
            after: Arc::clone(after),
            concerned,
            left,
            answers,
            folds: None,
        })
    }

    fn segments(&self) -> impl Iterator<Item = &LiveSegment> {
        self.concerned.iter().map(|place| &self.after.segments[*place])
    }

    /// What is asked of stored parts; nothing where folds say all.
    fn of_parts(&self) -> Option<Asked<'_>> {
        let compiled = || self.segments().map(|live| &live.compiled);
        let consents = compiled().any(|segment| segment.depends_on_consent());
        let names: Vec<&str> = compiled()
            .flat_map(|segment| segment.traits())
            .map(|name| &**name)
            .collect();
        let any = consents || !names.is_empty() || !self.kept.ids().is_empty();
        any.then(|| Asked::new(&self.kept, Some(names.into_iter()), consents))
    }

    /// Names a person of these parts where a segment concerned answers other than of nobody, or where they are named whatever it answers.
    fn name(
        &self,
        (id, is_named): (ProfileId, bool),
        carriers: &[u128],
        whole: &Part,
        sets: &mut Sets,
    ) -> Option<Named> {
        let person = PersonOf {
            id,
            view: whole.view(&self.after.plan, &self.after.trait_rules),
            carriers,
            accounts: AccountsOf::default(),
            identity_limited: false,
        };
        let (at, mut next) = (self.after.decided_at, None::<Timestamp>);
        let mut member_of = SmallVec::<[u32; 8]>::new();
        for (place, live) in self.concerned.iter().zip(self.segments()) {
            let evaluation = live.compiled.evaluate(&person, at);
            if evaluation.member {
                member_of.push(*place as u32);
            }
            next = next.into_iter().chain(evaluation.next_transition).min();
        }
        if member_of.is_empty() && next.is_none() && !is_named {
            return None;
        }
        // Whether a change is approximate is said with it.
        let is_exact = !self.segments().any(|live| live.compiled.is_approximate(&person, at));
        let member_of = sets.of(&member_of).filter(|_| is_exact && self.answers);
        Some(Named {
            id: id.0,
            answer: member_of.map(|member_of| Answer { member_of, next }),
        })
    }
}

/// The sets of segments that people are members of: most are members of the same few.
#[derive(Default)]
struct Sets {
    known: FxHashSet<Arc<[u32]>>,
    /// How many places all of them have.
    places: usize,
}

impl Sets {
    /// One of them; nothing once they are too many.
    fn of(&mut self, places: &[u32]) -> Option<Arc<[u32]>> {
        if let Some(known) = self.known.get(places) {
            return Some(Arc::clone(known));
        }
        // A set has a few words of its own.
        let more = self.places + places.len() + 16;
        if more > PLACES_MAX {
            return None;
        }
        self.places = more;
        let set: Arc<[u32]> = places.into();
        self.known.insert(Arc::clone(&set));
        Some(set)
    }
}

/// Everybody whom a decision changes or may change as time passes, at its instant; some whom it does not may
/// be among them. Nothing where it cannot be told, or `go_on` says no.
///
/// # Errors
/// The store fails or holds something damaged, or a fold cannot be read.
pub(crate) fn foresee(
    reader: &dyn Read,
    space: &SpaceId,
    foresight: &Foresight,
    threads: usize,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Foreseen>, PipelineError> {
    let has = |id: &AggregateId| foresight.folds.as_ref().is_some_and(|folds| folds.have(*id));
    if !foresight.lacking.iter().all(has) {
        return Ok(None);
    }
    let mut stood = members(reader, space, &foresight.left)?;
    stood.sort_unstable();
    stood.dedup();
    let mut people = Vec::new();
    due_by(reader, space, foresight.after.decided_at, &mut people)?;
    if foresight.concerned.is_empty() {
        // Whoever was a member of a segment that is gone is in none of those concerned.
        let of_none = Answer {
            member_of: Arc::default(),
            next: None,
        };
        people.extend(stood.into_iter().map(|id| Named {
            id,
            answer: Some(of_none.clone()),
        }));
    } else {
        let (asked, plans) = (foresight.of_parts(), plans::load(reader, space)?);
        let held = asked.is_some().then(|| HeldParts::new(BYTES_HELD));
        if let (Some(asked), Some(held)) = (&asked, &held) {
            let reading = Reading {
                reader,
                space,
                asked,
                plans: &plans,
                kinds: None,
            };
            in_threads(threads, &|| held.read(&reading, go_on))?;
        }
        let walk = Walk {
            reader,
            space,
            foresight,
            stood: &stood,
            held,
            go_on,
            next_piece: AtomicUsize::new(0),
            named: AtomicUsize::new(people.len()),
            stopped: AtomicBool::new(false),
        };
        let found = in_threads(threads, &|| walk.run())?;
        if walk.stopped.load(Ordering::Acquire) {
            return Ok(None);
        }
        found.into_iter().for_each(|some| people.extend(some));
    }
    // Of somebody who was named twice the answer is kept.
    people.sort_unstable_by_key(|named| (Reverse(named.id), named.answer.is_none()));
    people.dedup_by_key(|named| named.id);
    let concerned = Arc::clone(&foresight.concerned);
    Ok((people.len() <= NAMED_MAX).then_some(Foreseen { people, concerned }))
}

/// The members of these segments.
fn members(reader: &dyn Read, space: &SpaceId, segments: &[SegmentName]) -> Result<Vec<u128>, PipelineError> {
    let mut found = Vec::new();
    for segment in segments {
        let from = keys::members(space, segment.as_str());
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        reader.scan(Keyspace::Members, &from, &to, &mut |key, _| {
            found.extend(keys::wide_id(key));
            found.len() <= NAMED_MAX
        })?;
    }
    Ok(found)
}

/// Whose timers are due by an instant: of them other segments may turn at the decision, too.
fn due_by(reader: &dyn Read, space: &SpaceId, at: Timestamp, named: &mut Vec<Named>) -> Result<(), PipelineError> {
    let from = keys::space(space);
    let to = keys::due(space, at, ProfileId(u128::MAX));
    reader.scan(Keyspace::Due, &from, &to, &mut |key, _| {
        named.extend(keys::wide_id(key).map(|id| Named { id, answer: None }));
        named.len() <= NAMED_MAX
    })?;
    Ok(())
}

/// What the threads of a walk share.
struct Walk<'a> {
    reader: &'a dyn Read,
    space: &'a SpaceId,
    foresight: &'a Foresight,
    /// Who is named whatever is answered of them, by their ids, rising.
    stood: &'a [u128],
    /// What is asked for of stored parts, where anything is.
    held: Option<HeldParts>,
    go_on: &'a (dyn Fn() -> bool + Sync),
    next_piece: AtomicUsize,
    /// How many all threads have named.
    named: AtomicUsize,
    stopped: AtomicBool,
}

impl Walk<'_> {
    /// Those of whom the decision may make something else, of the pieces that this thread takes.
    fn run(&self) -> Result<Vec<Named>, PipelineError> {
        let (mut named, mut page, mut outline) = (Vec::new(), Page::default(), Outline::default());
        let mut sets = Sets::default();
        loop {
            let piece = self.next_piece.fetch_add(1, Ordering::Relaxed);
            if piece >= PIECES {
                return Ok(named);
            }
            let asked = each_page(self.reader, self.space, piece, &mut page, &mut |page| {
                let before = named.len();
                for component in page.components() {
                    let corrupt = |_| PipelineError::corrupt("components");
                    outline.read(component).map_err(corrupt)?;
                    for (id, parts) in outline.profiles() {
                        let is_named = self.stood.binary_search(&id.0).is_ok();
                        named.extend(self.name((id, is_named), parts, &mut sets)?);
                    }
                }
                let own = named.len() - before;
                let all = self.named.fetch_add(own, Ordering::Relaxed) + own;
                Ok((self.go_on)() && all <= NAMED_MAX && !self.stopped.load(Ordering::Acquire))
            });
            if !matches!(asked, Ok(true)) {
                self.stopped.store(true, Ordering::Release);
            }
            asked?;
            if self.stopped.load(Ordering::Acquire) {
                return Ok(Vec::new());
            }
        }
    }

    /// Names somebody whom the decision may change, without an answer where what is held does not say.
    fn name(
        &self,
        (id, is_named): (ProfileId, bool),
        parts: &[OutlinedPart],
        sets: &mut Sets,
    ) -> Result<Option<Named>, PipelineError> {
        let unknown = Some(Named { id: id.0, answer: None });
        // Folds are of whole carriers.
        if parts.iter().any(|part| part.key.start.is_some() || part.end.is_some()) {
            return Ok(unknown);
        }
        let (mut whole, mut traits) = (Part::default(), 0);
        for part in parts {
            let held = self.held.as_ref().map(|held| held.get(&part.key));
            let mut own = match held {
                Some(Held::Absent) => continue,
                Some(Held::Unknown) => return Ok(unknown),
                Some(Held::Cut(cut)) => {
                    traits += cut.traits;
                    let read = Part::decode_for(cut.bytes, &self.foresight.kept);
                    Some(read.map_err(|_| PipelineError::corrupt("parts"))?)
                }
                None => None,
            };
            if let Some(folds) = self
                .foresight
                .folds
                .as_ref()
                .filter(|_| !self.foresight.lacking.is_empty())
            {
                let fold = folds.of(part.key.carrier)?;
                match &mut own {
                    Some(own) => own.adopt(&self.foresight.lacking, &fold),
                    None => own = Some(fold),
                }
            }
            own.into_iter().for_each(|own| join(&mut whole, own));
        }
        // A limit may take traits from them together, whichever those are.
        if traits > MAX_TRAITS {
            return Ok(unknown);
        }
        let carriers: SmallVec<[u128; 8]> = parts.iter().map(|part| part.key.carrier).collect();
        Ok(self.foresight.name((id, is_named), &carriers, &whole, sets))
    }
}
