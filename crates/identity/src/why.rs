//! Why two identifiers are one person, or are not: the evidence between them.
//!
//! Works with [`Component`], whose links, intervals and left-out links it walks. It sees the outcome only, never events:
//! who has them looks them up by their positions.

use crate::component::{Component, Position, Whose};
use crate::left_out::{Because, LeftOut};
use kith_types::Identifier;
use std::collections::VecDeque;

/// How an event joins two identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It names both.
    NamedTogether,
    /// It names both, or several ids of one type, as an alias.
    Alias,
    /// It signs in on a held identifier: an interval of it begins.
    SignedIn,
    /// A held identifier that never saw a sign-in was first seen beside the other.
    FirstCompany,
}

/// An identifier on the way, and where its interval starts when it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The identifier.
    pub identifier: Identifier,
    /// The start of its interval; `None` for its first, and for what is not held.
    pub start: Option<Position>,
    /// Why the step's event does not link it; `None` where it does.
    pub left_out: Option<LeftOut>,
}

/// One event on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joint {
    /// The earliest event that says so.
    pub event: Position,
    /// What it does.
    pub how: How,
    /// From this identifier.
    pub from: Stop,
    /// To this one.
    pub to: Stop,
}

/// The evidence between two identifiers of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// Whether they are one person (for held ones: in some interval).
    pub together: bool,
    /// The shortest way from one to the other, of several the earliest. Where they are not together, a way by evidence of
    /// which some was left out.
    pub path: Vec<Joint>,
}

/// A node and its interval.
type Unit = (u32, u32);

struct Event {
    at: Position,
    how: How,
    /// What it joins, each with the reason why it does not.
    units: Vec<(Unit, Option<Because>)>,
}

impl Component {
    /// Why two identifiers (their hashes) are, or are not, one person; nothing where one of them is not here.
    #[must_use]
    pub fn why(&self, one: u128, other: u128) -> Option<Why> {
        let (one, other) = (
            u32::try_from(self.node(one)?).ok()?,
            u32::try_from(self.node(other)?).ok()?,
        );
        let all = self.evidence();
        let without = |event: &Event| Event {
            units: event
                .units
                .iter()
                .copied()
                .filter(|(_, because)| because.is_none())
                .collect(),
            ..*event
        };
        let held: Vec<Event> = all.iter().map(without).collect();
        if let Some(path) = self.walk(&held, one, other) {
            return Some(Why { together: true, path });
        }
        let path = self.walk(&all, one, other).unwrap_or_default();
        Some(Why { together: false, path })
    }

    /// Everything said, left-out links included, in canonical order.
    fn evidence(&self) -> Vec<Event> {
        let mut events: Vec<Event> = self
            .links
            .iter()
            .map(|link| Event {
                at: link.at,
                how: if link.alias { How::Alias } else { How::NamedTogether },
                units: link
                    .members
                    .iter()
                    .map(|node| ((*node, 0), self.reason(link.at, (*node, 0))))
                    .collect(),
            })
            .collect();
        for (node, held) in (0_u32..).zip(&self.nodes) {
            let Whose::Held(held) = &held.whose else { continue };
            for (stay, one) in (0_u32..).zip(&held.stays) {
                let how = if one.sign_in.is_some() {
                    How::SignedIn
                } else {
                    How::FirstCompany
                };
                events.extend(one.sign_in.or(held.beside).map(|(at, to)| Event {
                    at,
                    how,
                    // An interval that does not fit is left out, never what it would belong to.
                    units: vec![((node, stay), self.reason(at, (node, stay))), ((to, 0), None)],
                }));
            }
        }
        events.sort_by_key(|event| event.at);
        events
    }

    fn reason(&self, event: Position, (node, stay): Unit) -> Option<Because> {
        let parked = self
            .parked
            .iter()
            .find(|one| (one.event, one.node, one.stay) == (event, node, stay));
        parked.map(|parked| parked.because)
    }

    /// The shortest way (breadth first), each step by the earliest event.
    fn walk(&self, events: &[Event], from: u32, to: u32) -> Option<Vec<Joint>> {
        let mut base = Vec::with_capacity(self.nodes.len());
        let mut count = 0;
        for node in &self.nodes {
            base.push(count);
            count += if let Whose::Held(held) = &node.whose {
                held.stays.len()
            } else {
                1
            };
        }
        let index = |(node, stay): Unit| base[node as usize] + stay as usize;
        let mut of_unit: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (number, event) in events.iter().enumerate() {
            for (unit, _) in &event.units {
                of_unit[index(*unit)].push(number);
            }
        }
        let end = base.get(from as usize + 1).copied().unwrap_or(count);
        let starts = (base[from as usize]..end).zip(0_u32..).map(|(_, stay)| (from, stay));
        let mut seen: Vec<Option<Option<(Unit, usize)>>> = vec![None; count];
        let mut waiting: VecDeque<Unit> = starts.collect();
        for unit in &waiting {
            seen[index(*unit)] = Some(None);
        }
        while let Some(unit) = waiting.pop_front() {
            if unit.0 == to {
                return Some(self.path(events, &seen, unit, &index));
            }
            for number in &of_unit[index(unit)] {
                for (next, _) in &events[*number].units {
                    let known = &mut seen[index(*next)];
                    if known.is_none() {
                        *known = Some(Some((unit, *number)));
                        waiting.push_back(*next);
                    }
                }
            }
        }
        None
    }

    fn path(
        &self,
        events: &[Event],
        seen: &[Option<Option<(Unit, usize)>>],
        last: Unit,
        index: &dyn Fn(Unit) -> usize,
    ) -> Vec<Joint> {
        let mut path = Vec::new();
        let mut at = last;
        while let Some(Some((before, number))) = seen[index(at)] {
            let event = &events[number];
            path.push(Joint {
                event: event.at,
                how: event.how,
                from: self.stop(event, before),
                to: self.stop(event, at),
            });
            at = before;
        }
        path.reverse();
        path
    }

    fn stop(&self, event: &Event, unit: Unit) -> Stop {
        let node = &self.nodes[unit.0 as usize];
        let start = match &node.whose {
            Whose::Held(held) => held.start(unit.1 as usize),
            Whose::Linked(_) => None,
        };
        Stop {
            identifier: node.identifier.clone(),
            start,
            left_out: event
                .units
                .iter()
                .find_map(|(one, because)| because.filter(|_| *one == unit))
                .map(|because| self.left_out(because)),
        }
    }
}
