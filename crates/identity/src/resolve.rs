//! The pure function from a component's evidence to its profiles: links and intervals in canonical order, under limits.
//!
//! Works with [`crate::Component`], whose outcome it replaces. It sees evidence only, never an earlier outcome, so it
//! cannot depend on how the evidence came in.
//!
//! The partition is kept by union by smallest number with path halving (Tarjan and van Leeuwen, 1984). Each root knows
//! the distinct `(type, value)` keys of its profile, so that a limit is checked on the union before anything is joined.

use crate::apart::Apart;
use crate::claims::{Claims, Types};
use crate::component::{Appearance, Component, Position, Stay, Whose};
use crate::document::Claim;
use crate::left_out::{Because, ParkedNode};
use crate::rules::Rules;
use kith_types::{Identifier, IdentifierType, ProfileId};
use smallvec::SmallVec;

/// Distinct values of a profile: the number of the type, and the node (or the first node of its alias class).
type Keys = SmallVec<[(u16, u32); 4]>;

/// Units of one event: a node that is not held, or a held node and one of its intervals.
type Units = SmallVec<[(u32, u32); 8]>;

/// A type within the component.
struct Slot<'a> {
    kind: &'a IdentifierType,
    limit: u32,
    authenticates: bool,
    claim: Claim,
    /// Some node of that type.
    example: u32,
}

enum Step {
    Link(u32),
    Attach { node: u32, stay: u32, to: u32 },
}

struct Working {
    /// The number of each node's first unit, and at the end how many units there are: a node has one, or one for each
    /// interval.
    base: Vec<u32>,
    parent: Vec<u32>,
    keys: Vec<Keys>,
    union: Vec<(u16, u32)>,
    roots: Vec<u32>,
    /// Nodes that must not be in one profile.
    apart: Vec<(u32, u32)>,
}

/// Works out profiles, their ids and what was left out, and writes them into the component.
pub(crate) fn resolve(rules: &Rules, apart: &Apart, key: &[u8; 32], component: &mut Component) {
    let (mut working, parked) = work(rules, apart, component);
    component.parked = parked;
    number(key, component, &mut working);
}

/// Goes through the evidence in canonical order.
fn work(rules: &Rules, apart: &Apart, component: &Component) -> (Working, Vec<ParkedNode>) {
    let ranks = ranks(rules, component);
    let (slots, slot_of) = slots(rules, component, &ranks);
    let class = alias_classes(component, &slots, &slot_of);
    let slot = |node: u32| &slots[usize::from(slot_of[node as usize])];
    let types = Types {
        claim: &|node| slot(node).claim,
        authenticates: &|node| slot(node).authenticates,
        ranks: &ranks,
        class: &class,
    };
    let claims = Claims::read(component, &types);
    let mut working = Working::new(component, apart, &class, &slot_of);
    let mut parked = Vec::new();
    let mut group: Units = SmallVec::new();
    for (event, _, step) in steps(component, &ranks) {
        group.clear();
        match step {
            Step::Link(link) => {
                let link = &component.links[link as usize];
                for node in &link.members {
                    match claims.refuse(link, *node, &types) {
                        None => group.push((*node, 0)),
                        Some(because) => parked.push(ParkedNode::new(event, (*node, 0), because)),
                    }
                }
                group.sort_unstable_by_key(|(node, _)| ranks[*node as usize]);
            }
            Step::Attach { node, stay, to } => group.extend([(to, 0), (node, stay)]),
        }
        while group.len() > 1 {
            let Err(because) = working.join(&group, &slots) else {
                break;
            };
            let Some(left_out) = group.pop() else { break };
            parked.push(ParkedNode::new(event, left_out, because));
        }
    }
    (working, parked)
}

/// The id that a profile has by its oldest member.
pub(crate) fn profile_id(key: &[u8; 32], first: &Appearance, identifier: &Identifier) -> ProfileId {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&first.received_at.as_micros().to_be_bytes());
    hasher.update(&first.address.to_bytes());
    let kind = identifier.kind.as_str().as_bytes();
    hasher.update(&(kind.len() as u64).to_be_bytes());
    hasher.update(kind);
    hasher.update(identifier.value.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    ProfileId(u128::from_be_bytes(id))
}

/// The key of a space's profile ids.
pub(crate) fn space_key(space: &str) -> [u8; 32] {
    blake3::derive_key("kith profile id", space.as_bytes())
}

/// Each node's place in the order of priority, the highest first; ties by type, then value.
fn ranks(rules: &Rules, component: &Component) -> Vec<u32> {
    let mut order: Vec<(u16, &Identifier, u32)> = (0_u32..)
        .zip(&component.nodes)
        .map(|(index, node)| (rules.of(&node.identifier.kind).priority, &node.identifier, index))
        .collect();
    order.sort_unstable();
    let mut ranks = vec![0; order.len()];
    for (rank, (.., node)) in (0_u32..).zip(order) {
        ranks[node as usize] = rank;
    }
    ranks
}

/// The types in the order of priority, and the number of each node's type.
fn slots<'a>(rules: &Rules, component: &'a Component, ranks: &[u32]) -> (Vec<Slot<'a>>, Vec<u16>) {
    let mut by_rank = vec![0_u32; ranks.len()];
    for (node, rank) in (0_u32..).zip(ranks) {
        by_rank[*rank as usize] = node;
    }
    let mut slots: Vec<Slot<'a>> = Vec::new();
    let mut slot_of = vec![0; ranks.len()];
    // Values of one type lie side by side, since priority belongs to the type.
    for example in by_rank {
        let kind = &component.nodes[example as usize].identifier.kind;
        if slots.last().is_none_or(|last| last.kind != kind) {
            let rule = rules.of(kind);
            slots.push(Slot {
                kind,
                limit: rule.limit,
                authenticates: rule.authenticates,
                claim: rule.claim,
                example,
            });
        }
        // A component has at most a thousand identifiers, so at most that many types.
        slot_of[example as usize] = u16::try_from(slots.len() - 1).unwrap_or(u16::MAX);
    }
    (slots, slot_of)
}

/// What happens, in canonical order; at one event the link first, then held identifiers by priority.
fn steps(component: &Component, ranks: &[u32]) -> Vec<(Position, u32, Step)> {
    let mut steps = Vec::with_capacity(component.links.len() + component.nodes.len());
    for (index, link) in (0_u32..).zip(&component.links) {
        steps.push((link.at, 0, Step::Link(index)));
    }
    for (node, (held, rank)) in (0_u32..).zip(component.nodes.iter().zip(ranks)) {
        let Whose::Held(held) = &held.whose else { continue };
        for (stay, Stay { sign_in, .. }) in (0_u32..).zip(&held.stays) {
            if let Some((at, to)) = sign_in.or(held.beside) {
                steps.push((at, rank + 1, Step::Attach { node, stay, to }));
            }
        }
    }
    steps.sort_unstable_by_key(|(at, rank, _)| (*at, *rank));
    steps
}

/// Gives the roots their numbers (in the order of their first unit) and ids.
fn number(key: &[u8; 32], component: &mut Component, working: &mut Working) {
    let mut number_of = vec![u32::MAX; working.parent.len()];
    let mut oldest: Vec<(Appearance, usize)> = Vec::new();
    let mut unit = 0_u32;
    for node in 0..component.nodes.len() {
        let count = if let Whose::Held(held) = &component.nodes[node].whose {
            held.stays.len()
        } else {
            1
        };
        for stay in 0..count {
            let root = working.root(unit) as usize;
            unit += 1;
            let first = match &component.nodes[node].whose {
                Whose::Linked(_) => component.nodes[node].first,
                Whose::Held(held) => held.stays[stay].first,
            };
            if number_of[root] == u32::MAX {
                number_of[root] = u32::try_from(oldest.len()).unwrap_or(u32::MAX);
                oldest.push((first, node));
            }
            let number = number_of[root];
            let best = &mut oldest[number as usize];
            let age = |(first, node): (Appearance, usize)| {
                (first.received_at, first.address, &component.nodes[node].identifier)
            };
            if age((first, node)) < age(*best) {
                *best = (first, node);
            }
            match &mut component.nodes[node].whose {
                Whose::Linked(profile) => *profile = number,
                Whose::Held(held) => held.stays[stay].profile = number,
            }
        }
    }
    component.profiles = oldest
        .iter()
        .map(|(first, node)| profile_id(key, first, &component.nodes[*node].identifier))
        .collect();
}

impl Working {
    fn new(component: &Component, apart: &Apart, class: &[u32], slot_of: &[u16]) -> Self {
        let mut base = Vec::with_capacity(component.nodes.len() + 1);
        let mut keys: Vec<Keys> = Vec::with_capacity(component.nodes.len());
        for (index, node) in component.nodes.iter().enumerate() {
            base.push(u32::try_from(keys.len()).unwrap_or(u32::MAX));
            let count = if let Whose::Held(held) = &node.whose {
                held.stays.len()
            } else {
                1
            };
            for _ in 0..count {
                keys.push(smallvec::smallvec![(slot_of[index], class[index])]);
            }
        }
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        base.push(count);
        Self {
            base,
            parent: (0..count).collect(),
            keys,
            union: Vec::new(),
            roots: Vec::new(),
            apart: apart.within(component),
        }
    }

    fn root(&mut self, unit: u32) -> u32 {
        halving_root(&mut self.parent, unit)
    }

    /// Joins the profiles of these units, or says why that must not be and joins nothing.
    fn join(&mut self, units: &Units, slots: &[Slot<'_>]) -> Result<(), Because> {
        let mut roots = std::mem::take(&mut self.roots);
        roots.clear();
        for (node, stay) in units {
            let unit = self.base[*node as usize] + stay;
            roots.push(self.root(unit));
        }
        roots.sort_unstable();
        roots.dedup();
        let joined = if roots.len() > 1 {
            self.join_roots(&roots, slots)
        } else {
            Ok(())
        };
        self.roots = roots;
        joined
    }

    fn join_roots(&mut self, roots: &[u32], slots: &[Slot<'_>]) -> Result<(), Because> {
        for pair in 0..self.apart.len() {
            let (one, other) = self.apart[pair];
            if self.has(roots, one) && self.has(roots, other) {
                return Err(Because::Apart(one, other));
            }
        }
        self.union.clear();
        for root in roots {
            self.union.extend_from_slice(&self.keys[*root as usize]);
        }
        self.union.sort_unstable();
        self.union.dedup();
        let mut rest = self.union.as_slice();
        while let Some((slot, _)) = rest.first() {
            let count = rest.iter().take_while(|(other, _)| other == slot).count();
            let Slot { limit, example, .. } = slots[usize::from(*slot)];
            if count > limit as usize {
                return Err(Because::Limit(example, limit));
            }
            rest = &rest[count..];
        }
        let first = roots[0];
        for root in roots {
            self.parent[*root as usize] = first;
            self.keys[*root as usize] = Keys::new();
        }
        self.keys[first as usize] = Keys::from_slice(&self.union);
        Ok(())
    }

    /// Whether one of these profiles has a unit of a node.
    fn has(&mut self, roots: &[u32], node: u32) -> bool {
        let units = self.base[node as usize]..self.base[node as usize + 1];
        units.into_iter().any(|unit| roots.contains(&self.root(unit)))
    }
}

/// For each node the first node of its alias class: itself, unless aliases name it.
fn alias_classes(component: &Component, slots: &[Slot<'_>], slot_of: &[u16]) -> Vec<u32> {
    let mut class: Vec<u32> = (0..u32::try_from(component.nodes.len()).unwrap_or(u32::MAX)).collect();
    for link in component.links.iter().filter(|link| link.alias) {
        for (place, one) in link.members.iter().enumerate() {
            for other in &link.members[place + 1..] {
                let slot = slot_of[*one as usize];
                if slot == slot_of[*other as usize] && slots[usize::from(slot)].authenticates {
                    let (one, other) = (halving_root(&mut class, *one), halving_root(&mut class, *other));
                    class[one.max(other) as usize] = one.min(other);
                }
            }
        }
    }
    for node in 0..class.len() {
        class[node] = halving_root(&mut class, u32::try_from(node).unwrap_or(u32::MAX));
    }
    class
}

fn halving_root(parent: &mut [u32], mut unit: u32) -> u32 {
    while parent[unit as usize] != unit {
        parent[unit as usize] = parent[parent[unit as usize] as usize];
        unit = parent[unit as usize];
    }
    unit
}
