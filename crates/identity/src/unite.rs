//! Joins the components that an event touches, and adds the identifiers that none of them has.
//!
//! Works with `apply`. It changes no outcome and takes in no evidence beyond the presence of an identifier: nodes keep
//! the profiles they had, under new numbers.

use crate::changes::{Refusal, Refused};
use crate::component::{
    Component, ComponentId, Held, Link, MAX_IDENTIFIERS, MAX_INTERVALS, MAX_LINKS, NO_PROFILE, Node, Stay, Whose,
};
use crate::evidence::{Evidence, Named};
use crate::left_out::ParkedNode;
use rustc_hash::FxHashSet;
use smallvec::{SmallVec, smallvec};

/// The joined component, with the outcomes of before.
pub(crate) struct United<'a> {
    pub(crate) component: Component,
    /// The identifiers of the evidence that it has, highest priority first.
    pub(crate) named: SmallVec<[(&'a Named, u32); 4]>,
    pub(crate) absorbed: Vec<ComponentId>,
    pub(crate) rehomed: Vec<u128>,
    pub(crate) apart: Vec<Component>,
    pub(crate) refused: Vec<Refused>,
    /// Whether it is more than the one component handed in.
    pub(crate) grown: bool,
}

/// Joins, the carrier's component first, then by priority as far as the bounds allow.
pub(crate) fn unite(touched: Vec<Component>, evidence: &Evidence) -> United<'_> {
    let mut touched: Vec<Option<Component>> = touched.into_iter().map(Some).collect();
    let mut sources: Vec<Component> = Vec::with_capacity(touched.len());
    let mut fresh: Vec<Node> = Vec::new();
    let mut accepted: SmallVec<[&Named; 4]> = SmallVec::new();
    let mut refused = Vec::new();
    let (mut identifiers, mut links, mut intervals) = (0, 0, 0);
    for named in &evidence.identifiers {
        if sources.iter().any(|source| source.node(named.hash).is_some()) {
            accepted.push(named);
            continue;
        }
        let home = touched
            .iter()
            .position(|slot| slot.as_ref().is_some_and(|one| one.node(named.hash).is_some()));
        let found = home.and_then(|index| touched[index].as_ref());
        let (more, more_links, more_intervals) = found.map_or((1, 0, usize::from(named.held)), |one| {
            (one.len(), one.links.len(), one.intervals())
        });
        let fits = identifiers + more <= MAX_IDENTIFIERS
            && links + more_links <= MAX_LINKS
            && intervals + more_intervals <= MAX_INTERVALS;
        // The carrier is always taken: the event must have a place.
        if !fits && !accepted.is_empty() {
            refused.push(Refused {
                identifier: named.identifier.clone(),
                because: Refusal::Identifiers,
            });
            continue;
        }
        accepted.push(named);
        (identifiers, links, intervals) = (identifiers + more, links + more_links, intervals + more_intervals);
        match home.and_then(|index| touched[index].take()) {
            Some(component) => sources.push(component),
            None => fresh.push(fresh_node(named, evidence)),
        }
    }
    let apart = touched.into_iter().flatten().collect();
    let grown = sources.len() != 1 || !fresh.is_empty();
    let known: SmallVec<[ComponentId; 4]> = sources.iter().map(Component::id).collect();
    let mut rehomed = Vec::new();
    let mut absorbed = Vec::new();
    let component = match (grown, sources.pop()) {
        (false, Some(only)) => only,
        (_, last) => {
            sources.extend(last);
            let fresh_hashes: FxHashSet<u128> = fresh.iter().map(|node| node.hash).collect();
            let homes: Vec<(ComponentId, Vec<u128>)> = sources
                .iter()
                .map(|source| (source.id(), source.hashes().collect()))
                .collect();
            let joined = join(sources, fresh);
            rehomed.extend(fresh_hashes);
            for (_, hashes) in homes.into_iter().filter(|(id, _)| *id != joined.id()) {
                rehomed.extend(hashes);
            }
            rehomed.sort_unstable();
            absorbed.extend(known.into_iter().filter(|id| *id != joined.id()));
            joined
        }
    };
    let named = accepted
        .into_iter()
        .filter_map(|named| Some((named, u32::try_from(component.node(named.hash)?).ok()?)))
        .collect();
    United {
        component,
        named,
        absorbed,
        rehomed,
        apart,
        refused,
        grown,
    }
}

fn fresh_node(named: &Named, evidence: &Evidence) -> Node {
    let first = evidence.appearance();
    let whose = if named.held {
        Whose::Held(Held {
            beside: None,
            stays: smallvec![Stay {
                sign_in: None,
                first,
                profile: NO_PROFILE
            }],
        })
    } else {
        Whose::Linked(NO_PROFILE)
    };
    Node {
        identifier: named.identifier.clone(),
        hash: named.hash,
        first,
        whose,
    }
}

fn join(sources: Vec<Component>, fresh: Vec<Node>) -> Component {
    let mut joined = Component::default();
    let mut nodes: Vec<(usize, u32, Node)> = Vec::new();
    let mut parts: Vec<(usize, Vec<Link>, Vec<ParkedNode>)> = Vec::new();
    for (source, component) in sources.into_iter().enumerate() {
        let offset = u32::try_from(joined.profiles.len()).unwrap_or(NO_PROFILE);
        joined.profiles.extend(component.profiles);
        for (index, mut node) in (0_u32..).zip(component.nodes) {
            match &mut node.whose {
                Whose::Linked(profile) => *profile = profile.saturating_add(offset),
                Whose::Held(held) => {
                    for stay in &mut held.stays {
                        stay.profile = stay.profile.saturating_add(offset);
                    }
                }
            }
            nodes.push((source, index, node));
        }
        parts.push((source, component.links, component.parked));
    }
    let none = parts.len();
    nodes.extend((0_u32..).zip(fresh).map(|(index, node)| (none, index, node)));
    nodes.sort_unstable_by_key(|(.., node)| node.hash);
    let mut places: Vec<Vec<u32>> = vec![Vec::new(); none + 1];
    for (place, (source, index, _)) in (0_u32..).zip(&nodes) {
        let known = &mut places[*source];
        if known.len() <= *index as usize {
            known.resize(*index as usize + 1, 0);
        }
        known[*index as usize] = place;
    }
    for (source, _, mut node) in nodes {
        if let Whose::Held(held) = &mut node.whose {
            let signed_in = held.stays.iter_mut().filter_map(|stay| stay.sign_in.as_mut());
            for (_, other) in signed_in.chain(held.beside.as_mut()) {
                *other = places[source][*other as usize];
            }
        }
        joined.nodes.push(node);
    }
    for (source, links, parked) in parts {
        let place = &places[source];
        for mut link in links {
            for member in &mut link.members {
                *member = place[*member as usize];
            }
            joined.links.push(link);
        }
        joined.parked.extend(parked.into_iter().map(|one| ParkedNode {
            node: place[one.node as usize],
            because: one.because.at(place),
            ..one
        }));
    }
    joined.links.sort_unstable_by(|a, b| a.members.cmp(&b.members));
    joined
}
