//! Estimates while a draft is edited: the same questions, asked of a fixed sample of people held folded in memory.
//!
//! Profile ids are keyed hashes of what founded them, so the people of smallest id are a fair draw of all, and the same
//! ones each time. Who is not in memory yet, or has been for too long, is loaded while the caller's time lasts; what is
//! asked then is the beginning of the sample, as fair and less sure. The answer says between what the count lies.

use super::comparison::{Asked, Both, Comparison};
use super::tally::{Tally, Who};
use super::{Asking, Impact, Proposed};
use crate::reads::{Reads, load};
use crate::{PipelineError, keys};
use kith_expr::AggregateSpec;
use kith_identity::Member;
use kith_profile::{FoldPlan, Part};
use kith_state::{Keyspace, Read};
use kith_types::{Duration, ProfileId, SpaceId, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// People in a sample: half of them in a segment is known to one in a hundred.
const SAMPLE: usize = if cfg!(test) { 40 } else { 10_000 };
/// So many are asked however little time there is: an estimate of nobody is none.
const LEAST: u64 = if cfg!(test) { 3 } else { 100 };
/// How long a person in memory stands for the one in the state.
const FRESH: Duration = Duration::from_secs(60);
/// Aggregates that the people of a sample hold for drafts; beyond these it begins anew.
const AGGREGATES_HELD: usize = 256;
/// Bytes of the people of one sample that are held; whoever is beyond them is loaded for each answer, while there is time.
const BYTES_HELD: usize = if cfg!(test) { 100_000 } else { 8 << 20 };
/// Spaces whose samples are held.
const SPACES_HELD: usize = 8;
/// How many standard deviations 95 of 100 answers lie within.
const SURE: f64 = 1.96;

/// Samples of people, by space.
pub struct Sampler {
    reads: Reads,
    spaces: Mutex<BTreeMap<SpaceId, Arc<Mutex<Sample>>>>,
}

/// What an estimate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// The counts of the people asked, who are `of_sample.people`.
    pub of_sample: Impact,
    /// How many people there are.
    pub people: u64,
    /// Whether more people would be asked, had there been more time.
    pub more: bool,
}

/// The people of one space's sample.
#[derive(Default)]
struct Sample {
    ids: Vec<ProfileId>,
    drawn_at: Option<Timestamp>,
    people: BTreeMap<ProfileId, Sampled>,
    /// About how many bytes they take.
    bytes: usize,
    /// What people are loaded with: all that was asked for lately.
    held: Option<FoldPlan>,
}

struct Sampled {
    members: Vec<Member>,
    carriers: Vec<u128>,
    whole: Part,
    identity_limited: bool,
    loaded_at: Timestamp,
}

impl Sampled {
    fn memory_bytes(&self) -> usize {
        let members: usize = self
            .members
            .iter()
            .map(|member| size_of::<Member>() + member.identifier.value.len())
            .sum();
        size_of::<Self>() + self.whole.memory_bytes() + members + self.carriers.len() * size_of::<u128>()
    }
}

impl Sampler {
    /// A sampler of what these read.
    #[must_use]
    pub fn new(reads: Reads) -> Self {
        Self {
            reads,
            spaces: Mutex::default(),
        }
    }

    /// What proposed definitions would make of the people of the sample at `now`. People are loaded while `more_time`
    /// says so. Nothing while people are missing from the state.
    ///
    /// # Errors
    /// As [`Reads::impact`].
    pub fn estimate(
        &self,
        space: &SpaceId,
        proposed: &Proposed,
        now: Timestamp,
        more_time: &dyn Fn() -> bool,
    ) -> Result<Option<Estimate>, PipelineError> {
        let Some(Asking { snapshot, comparison }) = self.reads.compare(space, proposed)? else {
            return Ok(None);
        };
        let people = people_in(&*snapshot, space)?;
        let sample = self.sample_of(space);
        // What is behind the lock is whole at every moment: people are put in whole.
        let mut sample = sample.lock().unwrap_or_else(PoisonError::into_inner);
        sample.draw(&*snapshot, space, now)?;
        let (tally, more) = sample.ask(&*snapshot, space, &comparison, now, more_time)?;
        Ok(Some(Estimate {
            of_sample: comparison.impact(tally, None, now),
            people,
            more,
        }))
    }

    fn sample_of(&self, space: &SpaceId) -> Arc<Mutex<Sample>> {
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        if spaces.len() >= SPACES_HELD && !spaces.contains_key(space) {
            spaces.clear();
        }
        Arc::clone(spaces.entry(space.clone()).or_default())
    }
}

impl Estimate {
    /// How many of all people a count of the sample stands for, and between what that lies 95 times in 100: Wilson's
    /// interval, narrowed by the share of people who were asked.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts stay far below 2^52, and none is negative"
    )]
    pub fn of_all(&self, count: u64) -> (u64, u64, u64) {
        let asked = self.of_sample.people.min(self.people);
        if asked == self.people {
            return (count, count, count);
        }
        if asked == 0 {
            return (0, 0, self.people);
        }
        let (sampled, all) = (asked as f64, self.people as f64);
        let share = count as f64 / sampled;
        let worth = sampled * (all - 1.0) / (all - sampled);
        let spread = SURE * SURE / worth;
        let centre = (share + spread / 2.0) / (1.0 + spread);
        let half = SURE / (1.0 + spread) * (share * (1.0 - share) / worth + spread / (4.0 * worth)).sqrt();
        // Whoever was asked is known.
        let known = (count, self.people - (asked - count.min(asked)));
        let low = ((centre - half).max(0.0) * all).floor() as u64;
        let high = ((centre + half).min(1.0) * all).ceil() as u64;
        let value = (share * all).round() as u64;
        (value, low.clamp(known.0, known.1), high.clamp(known.0, known.1))
    }
}

impl Sample {
    /// Has the ids of the sample, drawn anew when they have aged.
    fn draw(&mut self, reader: &dyn Read, space: &SpaceId, now: Timestamp) -> Result<(), PipelineError> {
        if self.drawn_at.is_some_and(|at| now - at < FRESH) {
            return Ok(());
        }
        let from = keys::space(space);
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        self.ids.clear();
        reader.scan(Keyspace::Profiles, &from, &to, &mut |key, _| {
            self.ids.extend(keys::wide_id(key).map(ProfileId));
            self.ids.len() < SAMPLE
        })?;
        let last = self.ids.last().copied();
        self.people.retain(|id, _| Some(*id) <= last);
        self.bytes = self.people.values().map(Sampled::memory_bytes).sum();
        self.drawn_at = Some(now);
        Ok(())
    }

    fn ask(
        &mut self,
        reader: &dyn Read,
        space: &SpaceId,
        comparison: &Comparison,
        now: Timestamp,
        more_time: &dyn Fn() -> bool,
    ) -> Result<(Tally, bool), PipelineError> {
        self.hold(&comparison.plan);
        let mut tally = Tally::default();
        for id in self.ids.clone() {
            let fresh = self.people.get(&id).is_some_and(|person| {
                now - person.loaded_at < FRESH && person.whole.missing(&comparison.plan).is_empty()
            });
            if !fresh {
                if tally.people >= LEAST && !more_time() {
                    return Ok((tally, true));
                }
                self.load(reader, space, id, now)?;
            }
            // Somebody who has become part of somebody else since the draw is nobody any more.
            let Some(person) = self.people.get(&id) else { continue };
            let accounts = comparison.accounts(reader, space, &person.whole)?;
            let asked = Asked {
                who: Who {
                    id,
                    identifiers: &|most| Member::identifiers(&person.members).take(most).cloned().collect(),
                },
                accounts: &accounts,
                carriers: &person.carriers,
                whole: &person.whole,
                identity_limited: person.identity_limited,
            };
            comparison.ask(Both::Same(&asked), now, &mut tally);
            if self.bytes > BYTES_HELD {
                self.forget(id);
            }
        }
        Ok((tally, false))
    }

    fn load(&mut self, reader: &dyn Read, space: &SpaceId, id: ProfileId, now: Timestamp) -> Result<(), PipelineError> {
        self.forget(id);
        let Some(plan) = &self.held else { return Ok(()) };
        if let Some(loaded) = load(reader, space, plan, id, None)? {
            let sampled = Sampled {
                carriers: loaded.carriers(),
                identity_limited: loaded.component.is_full(),
                members: loaded.members,
                whole: loaded.whole,
                loaded_at: now,
            };
            self.bytes += sampled.memory_bytes();
            self.people.insert(id, sampled);
        }
        Ok(())
    }

    fn forget(&mut self, id: ProfileId) {
        if let Some(gone) = self.people.remove(&id) {
            self.bytes = self.bytes.saturating_sub(gone.memory_bytes());
        }
    }

    /// Has people loaded with the plan's aggregates from now on.
    fn hold(&mut self, plan: &FoldPlan) {
        let specs = |plan: &FoldPlan| -> Vec<AggregateSpec> {
            plan.ids().iter().filter_map(|id| plan.spec(*id)).cloned().collect()
        };
        let mut held = self.held.as_ref().map(specs).unwrap_or_default();
        let known = |id| self.held.as_ref().is_some_and(|held| held.spec(id).is_some());
        if self.held.is_some() && plan.ids().iter().all(|id| known(*id)) {
            return;
        }
        if held.len() + plan.ids().len() > AGGREGATES_HELD {
            held.clear();
            self.people.clear();
            self.bytes = 0;
        }
        held.extend(specs(plan));
        self.held = Some(FoldPlan::new(held));
    }
}

/// How many people a space has.
fn people_in(reader: &dyn Read, space: &SpaceId) -> Result<u64, PipelineError> {
    let bytes = reader.get(Keyspace::Meta, &keys::named(space, crate::space::PROFILE_COUNT))?;
    Ok(bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_be_bytes))
}
