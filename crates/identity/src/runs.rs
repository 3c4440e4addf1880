//! The intervals of a held identifier from all its events.
//!
//! Works with [`crate::Gathering`], which hands in each event with who was signed in beside it, in any order. Whoever
//! hands them in by their position may settle what will not change any more; then only intervals stay in memory, however many
//! events there are. The intervals are those of [`crate::Resolver`], which finds them event by event.

use crate::component::{Appearance, MAX_INTERVALS, NO_PROFILE, Position, Stay};
use smallvec::SmallVec;

/// Events of a held identifier, as they are known so far; `W` names who signed in.
pub(crate) struct Runs<W> {
    /// In canonical order.
    settled: Vec<Run<W>>,
    waiting: Vec<(Appearance, Option<W>)>,
    /// Sign-ins beyond the bound.
    refused: u64,
}

/// Events between which nobody else signed in.
struct Run<W> {
    /// The first sign-in, and who.
    sign_in: Option<(Position, W)>,
    first: Appearance,
    sign_ins: u64,
}

impl<W> Default for Runs<W> {
    fn default() -> Self {
        Self {
            settled: Vec::new(),
            waiting: Vec::new(),
            refused: 0,
        }
    }
}

impl<W: Copy + Eq> Runs<W> {
    pub(crate) fn add(&mut self, event: Appearance, signed_in: Option<W>) {
        self.waiting.push((event, signed_in));
    }

    /// Takes what stands before a position as all that there is before it.
    pub(crate) fn settle(&mut self, before: Option<Position>) {
        self.waiting.sort_unstable_by_key(|(event, _)| event.position());
        let settled = before.map_or(self.waiting.len(), |before| {
            self.waiting.partition_point(|(event, _)| event.position() < before)
        });
        for (event, signed_in) in self.waiting.drain(..settled) {
            let sign_ins = u64::from(signed_in.is_some());
            let goes_on = self.settled.last().is_some_and(|last| match (signed_in, last.sign_in) {
                (None, _) | (_, None) => true,
                (Some(who), Some((_, run))) => who == run,
            });
            let sign_in = signed_in.map(|who| (event.position(), who));
            let has_room = self.settled.len() < MAX_INTERVALS;
            match self.settled.last_mut() {
                Some(last) if goes_on || !has_room => {
                    // The time before the first sign-in belongs to it.
                    last.sign_in = last.sign_in.or(sign_in);
                    last.first = last.first.min(event);
                    last.sign_ins += sign_ins * u64::from(goes_on);
                    self.refused += u64::from(!goes_on);
                }
                _ => self.settled.push(Run {
                    sign_in,
                    first: event,
                    sign_ins,
                }),
            }
        }
    }

    /// At most `most` intervals, and one in any case, and how many sign-ins were refused for it.
    pub(crate) fn stays(mut self, most: usize, number: &dyn Fn(W) -> u32) -> (SmallVec<[Stay; 1]>, u64) {
        self.settle(None);
        let mut refused = self.refused;
        let beyond = self.settled.split_off(most.max(1).min(self.settled.len()));
        if let Some(last) = self.settled.last_mut() {
            let owner = last.sign_in.map(|(_, who)| who);
            for run in beyond {
                last.first = last.first.min(run.first);
                if run.sign_in.map(|(_, who)| who) != owner {
                    refused += run.sign_ins;
                }
            }
        }
        let stays = self.settled.into_iter().map(|run| Stay {
            sign_in: run.sign_in.map(|(at, who)| (at, number(who))),
            first: run.first,
            profile: NO_PROFILE,
        });
        (stays.collect(), refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_types::{Address, Timestamp};
    use rand::seq::SliceRandom;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn appearance(at: i64, received: i64) -> Appearance {
        Appearance {
            received_at: Timestamp::from_micros(received),
            address: Address::default(),
            time: Timestamp::from_micros(at),
        }
    }

    #[test]
    fn idn_4_the_intervals_are_the_same_settled_or_not_and_as_many_as_a_bound_lets_be() {
        for seed in 0..200 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut events: Vec<(Appearance, Option<u32>)> = (0..80)
                .map(|at| {
                    let who = random.random_bool(0.7).then(|| random.random_range(0..3));
                    (appearance(at, random.random_range(0..1_000)), who)
                })
                .collect();
            let mut at_once = Runs::default();
            let mut settled = Runs::default();
            for (event, who) in &events {
                settled.add(*event, *who);
                if random.random_bool(0.2) {
                    settled.settle(Some(event.position()));
                }
            }
            let in_memory = settled.waiting.len();
            assert!(in_memory < events.len());
            events.shuffle(&mut random);
            events.iter().for_each(|(event, who)| at_once.add(*event, *who));
            let most = random.random_range(0..60);
            let (stays, refused) = settled.stays(most, &|who| who);
            let (expected, also) = at_once.stays(most, &|who| who);
            assert_eq!((&stays, refused), (&expected, also), "{seed}");
            assert!(stays.len() <= most.max(1), "{seed}");
            let first = events.iter().map(|(event, _)| *event).min();
            assert_eq!(
                stays.iter().map(|stay| stay.first).min(),
                first,
                "every event is in one: {seed}"
            );
        }
    }

    #[test]
    fn idn_4_who_alternates_for_ever_takes_no_more_memory_than_the_bound() {
        let mut runs = Runs::default();
        for at in 0..10_000 {
            runs.add(appearance(at, at), Some(at % 2));
            runs.settle(Some(appearance(at, at).position()));
        }
        assert!(runs.settled.len() <= MAX_INTERVALS && runs.waiting.len() <= 1);
        let (stays, refused) = runs.stays(MAX_INTERVALS, &|who| who as u32);
        assert_eq!(stays.len(), MAX_INTERVALS);
        assert!(refused > 3_000, "{refused}");
    }
}
