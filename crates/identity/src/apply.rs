//! Takes in the evidence of one event: joins the components it touches, records it, resolves anew, says what changed.
//!
//! Works with `unite`, `sign_in` and `resolve`, each of which does one of these steps. It never resolves where the
//! evidence added nothing (contract IDN-4), and never touches a component that the event does not name.

use crate::apart::Apart;
use crate::changes::{Applied, Cut, PartMove, Refusal, Refused, Vanished};
use crate::component::{Appearance, Component, Link, MAX_INTERVALS, MAX_LINKS, PartKey, Placement, Position, Whose};
use crate::error::IdentityError;
use crate::evidence::{Evidence, Named};
use crate::left_out::ParkedNode;
use crate::presence::Presence;
use crate::resolve::{resolve, space_key};
use crate::rules::Rules;
use crate::sign_in::{Rows, SignedIn, cut};
use crate::unite::{United, unite};
use kith_types::{Event, ProfileId, SpaceId};
use rustc_hash::FxHashSet;
use smallvec::SmallVec;
use std::borrow::Borrow;
use std::sync::Arc;

/// Works out who is who in one space, under one set of rules, owned, shared or borrowed. Cheap to make.
#[derive(Clone, Debug)]
pub struct Resolver<'a, R = Arc<Rules>> {
    rules: R,
    apart: &'a Apart,
    key: [u8; 32],
}

/// A part as it was before the evidence.
struct OldPart {
    part: PartKey,
    profile: ProfileId,
    first: Appearance,
}

/// A held node whose intervals changed, as they were.
struct OldIntervals {
    node: usize,
    bounds: Vec<(Option<Position>, Option<Position>)>,
    profiles: Vec<Option<ProfileId>>,
}

#[derive(Default)]
struct Recorded {
    differs: bool,
    intervals: Vec<OldIntervals>,
    refused: Vec<Refused>,
}

impl<'a, R: Borrow<Rules>> Resolver<'a, R> {
    /// For a space, under its rules.
    #[must_use]
    pub fn new(rules: R, space: &SpaceId) -> Self {
        Self {
            rules,
            apart: Apart::NONE,
            key: space_key(space.as_str()),
        }
    }

    /// The same, with these pairs held apart.
    #[must_use]
    pub fn holding_apart<'b>(self, apart: &'b Apart) -> Resolver<'b, R> {
        Resolver {
            rules: self.rules,
            apart,
            key: self.key,
        }
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        self.rules.borrow()
    }

    /// Reads what an event says.
    #[must_use]
    pub fn read(&self, event: &Event) -> Evidence {
        self.rules().read(event)
    }

    /// A component's people as these rules make them of its evidence, where other rules read its events alike. Reads no
    /// event: what a component holds is all that linking asks for.
    #[must_use]
    pub fn again(&self, component: &Component) -> Component {
        let mut component = component.clone();
        resolve(self.rules.borrow(), self.apart, &self.key, &mut component);
        component
    }

    /// Takes in the evidence of one event.
    ///
    /// `touched` is every component that has one of the event's identifiers, in any order; none for an event whose
    /// identifiers are all new. `None` is the answer for an event without identifiers. The event's presence rows must be
    /// visible through `presence` already. Taking in the same event twice changes nothing.
    ///
    /// # Errors
    /// [`IdentityError::Presence`] where rows cannot be read, [`IdentityError::RowMissing`] and
    /// [`IdentityError::OtherRules`] where the stored state does not fit; nothing is changed then, and the keeper's
    /// stored components still stand.
    pub fn apply(
        &self,
        touched: Vec<Component>,
        evidence: &Evidence,
        presence: &dyn Presence,
    ) -> Result<Option<Applied>, IdentityError> {
        let Some(carrier) = evidence.carrier() else {
            return Ok(None);
        };
        let United {
            mut component,
            named,
            absorbed,
            rehomed,
            apart,
            mut refused,
            grown,
        } = unite(touched, evidence);
        let before = old_parts(&component);
        let parked_before: FxHashSet<ParkedNode> = component.parked.iter().cloned().collect();
        let profiles_before = component.profiles.clone();
        let recorded = record(&mut component, &named, evidence, presence)?;
        refused.extend(recorded.refused);
        let stored_differs = grown || recorded.differs;
        let mut applied = Applied {
            stored_differs,
            absorbed,
            rehomed,
            apart,
            placement: Placement {
                profile: ProfileId(0),
                part: PartKey {
                    carrier: carrier.hash,
                    start: None,
                },
            },
            changed: false,
            moved: Vec::new(),
            cuts: Vec::new(),
            vanished: Vec::new(),
            created: Vec::new(),
            parked: Vec::new(),
            refused,
            component,
        };
        if stored_differs {
            resolve(self.rules.borrow(), self.apart, &self.key, &mut applied.component);
            applied.moved = moves(&before, &applied.component);
            applied.cuts = self.cuts(&recorded.intervals, &applied.component, evidence, presence)?;
            standing(&mut applied, &before, &profiles_before);
            let component = &applied.component;
            let is_new = component.parked.iter().map(|parked| !parked_before.contains(parked));
            applied.parked = component
                .parked()
                .zip(is_new)
                .filter_map(|(parked, is_new)| is_new.then_some(parked))
                .collect();
        }
        let placement = applied.component.place(carrier.hash, evidence.position());
        applied.placement = placement.ok_or(IdentityError::RowMissing { what: "the carrier" })?;
        applied.changed = !(applied.moved.is_empty()
            && applied.cuts.is_empty()
            && applied.vanished.is_empty()
            && applied.created.is_empty());
        Ok(Some(applied))
    }

    fn cuts(
        &self,
        changed: &[OldIntervals],
        component: &Component,
        evidence: &Evidence,
        presence: &dyn Presence,
    ) -> Result<Vec<Cut>, IdentityError> {
        let mut cuts = Vec::new();
        for OldIntervals { node, bounds, profiles } in changed {
            let rank = |node: usize| {
                let identifier = &component.nodes[node].identifier;
                (self.rules().of(&identifier.kind).priority, identifier)
            };
            let outranks = |hash: u128| component.node(hash).is_some_and(|other| rank(other) < rank(*node));
            let rows = Rows {
                presence,
                held: component.nodes[*node].hash,
            };
            cuts.extend(cut(
                component,
                *node,
                bounds,
                profiles,
                evidence.position(),
                &rows,
                &outranks,
            )?);
        }
        Ok(cuts)
    }
}

/// Writes the evidence into the component.
fn record(
    component: &mut Component,
    named: &[(&Named, u32)],
    evidence: &Evidence,
    presence: &dyn Presence,
) -> Result<Recorded, IdentityError> {
    let mut recorded = Recorded::default();
    let event = evidence.appearance();
    for (one, node) in named {
        let node = &mut component.nodes[*node as usize];
        if one.held != matches!(node.whose, Whose::Held(_)) {
            return Err(IdentityError::OtherRules);
        }
        if event < node.first {
            node.first = event;
            recorded.differs = true;
        }
    }
    link(component, named, evidence, &mut recorded);
    let signed_in = named.iter().find(|(one, _)| one.authenticates && !one.vetoed);
    let company = named.iter().find(|(one, _)| one.links());
    let mut intervals = component.intervals();
    for (one, index) in named.iter().filter(|(one, _)| one.held) {
        let node = *index as usize;
        let sign_in = signed_in.filter(|_| !one.vetoed).map(|(_, node)| *node);
        let beside = company.filter(|_| !one.vetoed).map(|(_, node)| *node);
        // The nodes' own hashes are read while one of them is changed, so that one is taken out for the while.
        let mut whose = std::mem::replace(&mut component.nodes[node].whose, Whose::Linked(0));
        let Whose::Held(held) = &mut whose else {
            return Err(IdentityError::OtherRules);
        };
        let changed = match sign_in {
            // An interval in the middle of another makes two.
            Some(owner) if intervals + 2 > MAX_INTERVALS && held.begins(owner, evidence.position()) => {
                recorded.refused.push(Refused {
                    identifier: one.identifier.clone(),
                    because: Refusal::Intervals,
                });
                if held.seen(event, beside) {
                    SignedIn::Stored
                } else {
                    SignedIn::Nothing
                }
            }
            Some(owner) => {
                let begins = held.begins(owner, evidence.position());
                let before = begins.then(|| (held.bounds(), held.stays.clone()));
                let rows = Rows {
                    presence,
                    held: one.hash,
                };
                let nodes = &component.nodes;
                let signed_in = held.sign_in(owner, event, &rows, &|node| nodes[node as usize].hash)?;
                if let (SignedIn::Intervals, Some((bounds, stays))) = (signed_in, before) {
                    intervals = intervals + held.stays.len() - stays.len();
                    let id = |profile: u32| component.profiles.get(profile as usize).copied();
                    let profiles = stays.iter().map(|stay| id(stay.profile)).collect();
                    recorded.intervals.push(OldIntervals { node, bounds, profiles });
                }
                signed_in
            }
            None if held.seen(event, beside) => SignedIn::Stored,
            None => SignedIn::Nothing,
        };
        component.nodes[node].whose = whose;
        recorded.differs |= changed != SignedIn::Nothing;
    }
    Ok(recorded)
}

/// Keeps the earliest event of each distinct group.
fn link(component: &mut Component, named: &[(&Named, u32)], evidence: &Evidence, recorded: &mut Recorded) {
    let mut members: SmallVec<[u32; 4]> = named
        .iter()
        .filter(|(one, _)| one.links())
        .map(|(_, node)| *node)
        .collect();
    if members.len() < 2 {
        return;
    }
    members.sort_unstable();
    let at = evidence.position();
    match component.link(&members) {
        Ok(known) => {
            let link = &mut component.links[known];
            if at < link.at || (evidence.alias && !link.alias) {
                link.at = at.min(link.at);
                link.alias |= evidence.alias;
                recorded.differs = true;
            }
        }
        Err(_) if component.links.len() >= MAX_LINKS => {
            let identifiers = named
                .iter()
                .filter(|(one, _)| one.links())
                .map(|(one, _)| one.identifier.clone());
            recorded.refused.extend(identifiers.map(|identifier| Refused {
                identifier,
                because: Refusal::Links,
            }));
        }
        Err(place) => {
            component.links.insert(
                place,
                Link {
                    members,
                    at,
                    alias: evidence.alias,
                },
            );
            recorded.differs = true;
        }
    }
}

fn old_parts(component: &Component) -> Vec<OldPart> {
    component
        .parts()
        .filter_map(|(part, first, number)| {
            let profile = component.profiles.get(number as usize).copied()?;
            Some(OldPart { part, profile, first })
        })
        .collect()
}

/// Which parts changed hands: both lists are in the order of part keys.
fn moves(before: &[OldPart], component: &Component) -> Vec<PartMove> {
    let mut before = before.iter().peekable();
    let mut moved = Vec::new();
    for (part, _, number) in component.parts() {
        let Some(to) = component.profiles.get(number as usize).copied() else {
            continue;
        };
        while before.next_if(|old| old.part < part).is_some() {}
        let from = before.next_if(|old| old.part == part).map(|old| old.profile);
        if from != Some(to) {
            moved.push(PartMove { part, from, to });
        }
    }
    moved
}

/// Which ids stand no longer, and which did not before.
fn standing(applied: &mut Applied, before: &[OldPart], profiles_before: &[ProfileId]) {
    let component = &applied.component;
    if component.profiles == profiles_before {
        return;
    }
    let were: FxHashSet<ProfileId> = profiles_before.iter().copied().collect();
    let are: FxHashSet<ProfileId> = component.profiles.iter().copied().collect();
    applied.created = component
        .profiles
        .iter()
        .copied()
        .filter(|id| !were.contains(id))
        .collect();
    for profile in profiles_before.iter().copied().filter(|id| !are.contains(id)) {
        let parts = before.iter().filter(|old| old.profile == profile);
        let founder = parts.min_by_key(|old| {
            let identifier = component
                .node(old.part.carrier)
                .map(|node| &component.nodes[node].identifier);
            (old.first.received_at, old.first.address, identifier)
        });
        let Some(founder) = founder.map(|old| (old.part.carrier, old.first.position())) else {
            continue;
        };
        if let Some(Placement { profile: redirect, .. }) = component.place(founder.0, founder.1) {
            applied.vanished.push(Vanished {
                profile,
                redirect,
                founder,
            });
        }
    }
}
