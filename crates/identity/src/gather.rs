//! Components from the evidence of many events at once, in any order.
//!
//! Works with [`crate::Resolver`], which gives the same answer event by event (a test holds them equal), and with whoever
//! must know what other evidence or other rules would give. It never reads a store: whoever has the events hands in
//! their evidence; who does so in order says so from time to time, and little stays in memory. Bounds are those of [`crate::Component`]; here the earliest links and intervals stay.

use crate::apart::Apart;
use crate::component::{
    Appearance, Component, Held, Link, MAX_IDENTIFIERS, MAX_INTERVALS, MAX_LINKS, NO_PROFILE, Node, Position, Whose,
};
use crate::evidence::Evidence;
use crate::resolve::{resolve, space_key};
use crate::rules::Rules;
use crate::runs::Runs;
use kith_types::{Identifier, SpaceId};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Evidence on its way to components.
pub struct Gathering<'a> {
    rules: &'a Rules,
    apart: &'a Apart,
    key: [u8; 32],
    places: FxHashMap<u128, usize>,
    found: Vec<Found>,
    /// Union by smallest number: what evidence connects.
    parent: Vec<usize>,
    size: Vec<usize>,
    groups: FxHashMap<SmallVec<[usize; 4]>, (Position, bool)>,
    refused: u64,
}

/// A group's earliest event, its members, and whether any event was an alias.
type Group = (Position, SmallVec<[usize; 4]>, bool);

struct Found {
    identifier: Identifier,
    hash: u128,
    first: Appearance,
    /// Of a held identifier: every event that has it, and who was signed in beside it.
    held: Option<Runs<usize>>,
    beside: Option<(Position, usize)>,
}

impl<'a> Gathering<'a> {
    /// Nothing yet, in a space under its rules, with these pairs held apart.
    #[must_use]
    pub fn new(space: &SpaceId, rules: &'a Rules, apart: &'a Apart) -> Self {
        Self {
            rules,
            apart,
            key: space_key(space.as_str()),
            places: FxHashMap::default(),
            found: Vec::new(),
            parent: Vec::new(),
            size: Vec::new(),
            groups: FxHashMap::default(),
            refused: 0,
        }
    }

    /// How many identifiers, links and intervals bounds have refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes in what one event says; each event once.
    pub fn add(&mut self, evidence: &Evidence) {
        let event = evidence.appearance();
        let mut taken: SmallVec<[(usize, usize); 4]> = SmallVec::new();
        for (index, named) in evidence.identifiers.iter().enumerate() {
            let place = self.place(&named.identifier, named.hash, named.held, event);
            let connects = taken.first().is_none_or(|(carrier, _)| self.connect(*carrier, place));
            if connects {
                taken.push((place, index));
            } else {
                self.refused += 1;
            }
        }
        let named = |index: usize| &evidence.identifiers[index];
        let mut group: SmallVec<[usize; 4]> = SmallVec::new();
        group.extend(
            taken
                .iter()
                .filter(|(_, index)| named(*index).links())
                .map(|(place, _)| *place),
        );
        let company = group.first().copied();
        let signs_in = |index: usize| named(index).authenticates && !named(index).vetoed;
        let signed_in = taken
            .iter()
            .find(|(_, index)| signs_in(*index))
            .map(|(place, _)| *place);
        for (place, index) in &taken {
            let vetoed = named(*index).vetoed;
            let found = &mut self.found[*place];
            found.first = found.first.min(event);
            let Some(rows) = &mut found.held else { continue };
            rows.add(event, signed_in.filter(|_| !vetoed));
            if let Some(company) = company.filter(|_| !vetoed)
                && found.beside.is_none_or(|(at, _)| event.position() < at)
            {
                found.beside = Some((event.position(), company));
            }
        }
        if group.len() > 1 {
            group.sort_unstable();
            let (at, alias) = self.groups.entry(group).or_insert((event.position(), false));
            *at = event.position().min(*at);
            *alias |= evidence.alias;
        }
    }

    /// Says that no event before a position is still to come. Of held identifiers only intervals stay in memory then, however
    /// many events have them.
    pub fn settle(&mut self, before: Position) {
        for held in self.found.iter_mut().filter_map(|found| found.held.as_mut()) {
            held.settle(Some(before));
        }
    }

    fn place(&mut self, identifier: &Identifier, hash: u128, held: bool, event: Appearance) -> usize {
        if let Some(place) = self.places.get(&hash) {
            return *place;
        }
        let place = self.found.len();
        self.places.insert(hash, place);
        self.parent.push(place);
        self.size.push(1);
        self.found.push(Found {
            identifier: identifier.clone(),
            hash,
            first: event,
            held: held.then(Runs::default),
            beside: None,
        });
        place
    }

    fn root(&mut self, mut place: usize) -> usize {
        while self.parent[place] != place {
            self.parent[place] = self.parent[self.parent[place]];
            place = self.parent[place];
        }
        place
    }

    /// Connects two identifiers, unless they would be too many.
    fn connect(&mut self, one: usize, other: usize) -> bool {
        let (one, other) = (self.root(one), self.root(other));
        if one == other {
            return true;
        }
        if self.size[one] + self.size[other] > MAX_IDENTIFIERS {
            return false;
        }
        let (to, from) = (one.min(other), one.max(other));
        self.parent[from] = to;
        self.size[to] += self.size[from];
        true
    }

    /// The components, each resolved, in the order of their ids.
    #[must_use]
    pub fn components(mut self) -> Vec<Component> {
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for place in 0..self.found.len() {
            members.entry(self.root(place)).or_default().push(place);
        }
        let mut groups: FxHashMap<usize, Vec<Group>> = FxHashMap::default();
        for (group, (at, alias)) in std::mem::take(&mut self.groups) {
            let root = self.root(group[0]);
            groups.entry(root).or_default().push((at, group, alias));
        }
        let mut components: Vec<Component> = members
            .into_iter()
            .map(|(root, members)| self.component(members, groups.remove(&root).unwrap_or_default()))
            .collect();
        components.sort_unstable_by_key(Component::id);
        components
    }

    fn component(&mut self, mut members: Vec<usize>, mut groups: Vec<Group>) -> Component {
        members.sort_unstable_by_key(|place| self.found[*place].hash);
        let numbers: FxHashMap<usize, u32> = members.iter().copied().zip(0_u32..).collect();
        let number = |place: usize| numbers.get(&place).copied().unwrap_or(0);
        let mut component = Component::default();
        let mut left = MAX_INTERVALS;
        for place in members {
            let found = &mut self.found[place];
            let whose = match found.held.take() {
                None => Whose::Linked(NO_PROFILE),
                Some(rows) => {
                    let (stays, refused) = rows.stays(left, &number);
                    self.refused += refused;
                    left = left.saturating_sub(stays.len());
                    let signed_in = stays.iter().any(|stay| stay.sign_in.is_some());
                    let beside = found.beside.filter(|_| !signed_in);
                    let beside = beside.map(|(at, place)| (at, number(place)));
                    Whose::Held(Held { beside, stays })
                }
            };
            component.nodes.push(Node {
                identifier: found.identifier.clone(),
                hash: found.hash,
                first: found.first,
                whose,
            });
        }
        groups.sort_unstable_by_key(|(at, ..)| *at);
        self.refused += groups.len().saturating_sub(MAX_LINKS) as u64;
        groups.truncate(MAX_LINKS);
        component.links.extend(groups.into_iter().map(|(at, group, alias)| {
            let mut members: SmallVec<[u32; 4]> = group.into_iter().map(number).collect();
            members.sort_unstable();
            Link { members, at, alias }
        }));
        component.links.sort_unstable_by(|a, b| a.members.cmp(&b.members));
        resolve(self.rules, self.apart, &self.key, &mut component);
        component
    }
}
