//! What other rules or other vetoes would make of the same events: who would split, who would merge.
//!
//! Works with [`Gathering`] on both sides, so that neither is a guess. It changes nothing, and is as large as the events
//! that are handed in: the caller bounds them.

use crate::component::{Component, Position, ProfileMembers};
use crate::evidence::Evidence;
use crate::gather::Gathering;
use crate::rules::Rules;
use crate::vetoes::Vetoes;
use kith_types::{Event, Identifier, ProfileId, SpaceId};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

/// One side: how events are read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The rules.
    pub rules: &'a Rules,
    /// The vetoes.
    pub vetoes: &'a Vetoes,
}

/// A profile that would become several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// It, today.
    pub profile: ProfileId,
    /// What it would be, the ones with most identifiers first.
    pub into: Vec<ProfileMembers>,
}

/// Profiles that would become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// They, today.
    pub profiles: Vec<ProfileId>,
    /// What they would be.
    pub into: ProfileMembers,
}

/// An identifier that leads, or led at some time, to another profile than it would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// It, as a profile would show it.
    pub identifier: Identifier,
    /// The profile, today.
    pub from: ProfileId,
    /// The profile that it would be of.
    pub to: ProfileId,
}

/// What would differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Events looked at.
    pub events: u64,
    /// Profiles of these events now.
    pub profiles_before: u64,
    /// Profiles that they would have.
    pub profiles_after: u64,
    /// Identifiers of the largest profile there would be.
    pub largest_after: u64,
    /// Who would split, by id.
    pub splits: Vec<Split>,
    /// Who would merge, by the id they would have.
    pub merges: Vec<Merge>,
    /// Identifiers that would move from one profile to another, by these.
    pub moves: Vec<Move>,
    /// What bounds would refuse beyond what they refuse now.
    pub refused: u64,
}

/// The comparison under way.
pub struct WhatIf<'a> {
    before: (Reading<'a>, Gathering<'a>),
    after: (Reading<'a>, Gathering<'a>),
    /// By event and identifier: what it is on either side.
    seen: Vec<(Position, u128, u128)>,
    events: u64,
}

impl<'a> WhatIf<'a> {
    /// Between two readings of a space.
    #[must_use]
    pub fn new(space: &SpaceId, before: Reading<'a>, after: Reading<'a>) -> Self {
        let gathering = |one: Reading<'a>| (one, Gathering::new(space, one.rules, one.vetoes.apart()));
        Self {
            before: gathering(before),
            after: gathering(after),
            seen: Vec::new(),
            events: 0,
        }
    }

    /// Takes in an event; each once.
    pub fn add(&mut self, event: &Event) {
        self.events += 1;
        let take = |(reading, gathering): &mut (Reading<'a>, Gathering<'a>)| -> Evidence {
            let mut evidence = reading.rules.read(event);
            reading.vetoes.mark(&mut evidence);
            gathering.add(&evidence);
            evidence
        };
        let (before, after) = (take(&mut self.before), take(&mut self.after));
        let rules = (self.before.0.rules, self.after.0.rules);
        let both = spelt_by_both(event, (rules.0, &before), (rules.1, &after));
        let position = before.position();
        self.seen.extend(both.map(|(old, new)| (position, old, new)));
    }

    /// What would differ. `splits` and `merges` hold all of them.
    #[must_use]
    pub fn outlook(self) -> Outlook {
        let refused_before = self.before.1.refused();
        let refused_after = self.after.1.refused();
        let (before, after) = (self.before.1.components(), self.after.1.components());
        let (homes_before, homes_after) = (homes(&before), homes(&after));
        let mut becomes: BTreeMap<ProfileId, BTreeSet<ProfileId>> = BTreeMap::new();
        let mut comes_from: BTreeMap<ProfileId, BTreeSet<ProfileId>> = BTreeMap::new();
        let mut moved: BTreeSet<(ProfileId, ProfileId, u128)> = BTreeSet::new();
        for (position, old, new) in self.seen {
            let place =
                |homes: &FxHashMap<u128, &Component>, hash| Some(homes.get(&hash)?.place(hash, position)?.profile);
            let hash = new;
            if let (Some(old), Some(new)) = (place(&homes_before, old), place(&homes_after, new)) {
                if old != new {
                    moved.insert((old, new, hash));
                }
                becomes.entry(old).or_default().insert(new);
                comes_from.entry(new).or_default().insert(old);
            }
        }
        let profiles: BTreeMap<ProfileId, ProfileMembers> = after
            .iter()
            .flat_map(Component::profiles)
            .map(|profile| (profile.id, profile))
            .collect();
        let members = |id: &ProfileId| profiles.get(id).cloned();
        let moves = moved.into_iter().filter_map(|(from, to, hash)| {
            let mut members = profiles.get(&to)?.members.iter();
            let identifier = members
                .find(|member| member.identifier.hash128() == hash)?
                .identifier
                .clone();
            Some(Move { identifier, from, to })
        });
        let splits = becomes
            .iter()
            .filter(|(_, into)| into.len() > 1)
            .map(|(profile, into)| {
                let mut into: Vec<ProfileMembers> = into.iter().filter_map(members).collect();
                into.sort_by_key(|one| (std::cmp::Reverse(one.size()), one.id));
                Split {
                    profile: *profile,
                    into,
                }
            });
        let merges = comes_from
            .iter()
            .filter(|(_, from)| from.len() > 1)
            .filter_map(|(id, from)| {
                Some(Merge {
                    profiles: from.iter().copied().collect(),
                    into: members(id)?,
                })
            });
        Outlook {
            events: self.events,
            profiles_before: before.iter().map(|one| one.profiles.len() as u64).sum(),
            profiles_after: profiles.len() as u64,
            largest_after: profiles.values().map(|one| one.size() as u64).max().unwrap_or(0),
            splits: splits.collect(),
            merges: merges.collect(),
            moves: moves.collect(),
            refused: refused_after.saturating_sub(refused_before),
        }
    }
}

/// The identifiers of an event that two readings of it both have: the hash of each under the one and under the other.
pub fn spelt_by_both<'a>(
    event: &'a Event,
    one: (&'a Rules, &'a Evidence),
    other: (&'a Rules, &'a Evidence),
) -> impl Iterator<Item = (u128, u128)> + 'a {
    let hash = |(rules, evidence): (&Rules, &Evidence), sent: &Identifier| {
        let spelt = rules.spell(sent)?;
        let found = evidence.identifiers.iter().find(|named| named.identifier == spelt)?;
        Some(found.hash)
    };
    let sent = event.identifiers.iter();
    sent.filter_map(move |sent| hash(one, sent).zip(hash(other, sent)))
}

fn homes(components: &[Component]) -> FxHashMap<u128, &Component> {
    let of_one = |one: &'_ Component| one.hashes().collect::<Vec<_>>();
    components
        .iter()
        .flat_map(|one| of_one(one).into_iter().map(move |hash| (hash, one)))
        .collect()
}
