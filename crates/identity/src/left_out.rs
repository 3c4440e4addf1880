//! What was left out of links, and why.
//!
//! Works with `resolve`, which leaves out, and with whoever shows people why they are not one. It decides nothing.

use crate::component::{Component, Position, Whose};
use kith_types::{Identifier, IdentifierType};
use std::fmt;

/// Why an identifier was left out of an event's link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// A profile would have had more distinct values of a type than its limit; of several types, the one of highest
    /// priority.
    Limit {
        /// The type.
        exceeded: IdentifierType,
        /// Its limit.
        limit: u32,
    },
    /// Its claim policy is `first_owner`, and it appeared beside this identifier first.
    Owner(Identifier),
    /// Its claim policy is `ambiguous`, and it appeared beside more than one authenticating identifier.
    Ambiguous,
    /// The two were declared not to be one person.
    Apart(Identifier, Identifier),
    /// The event was declared not to link it.
    Vetoed,
}

/// An identifier that was kept out of a link, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// What was left out.
    pub identifier: Identifier,
    /// Which interval of it, where it is held.
    pub start: Option<Position>,
    /// The event that would have linked it.
    pub event: Position,
    /// Why.
    pub because: LeftOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ParkedNode {
    pub(crate) event: Position,
    pub(crate) node: u32,
    /// Which interval, where the node is held.
    pub(crate) stay: u32,
    pub(crate) because: Because,
}

/// As [`LeftOut`], by nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Because {
    /// A node of the type whose limit would have been exceeded, and that limit.
    Limit(u32, u32),
    Owner(u32),
    Ambiguous,
    Apart(u32, u32),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { exceeded, limit } => write!(f, "more than {limit} of {exceeded}"),
            Self::Owner(owner) => write!(f, "{owner} was its first owner"),
            Self::Ambiguous => f.write_str("more than one claims it"),
            Self::Apart(one, other) => write!(f, "{one} and {other} were declared not to be one person"),
            Self::Vetoed => f.write_str("the event was declared not to link it"),
        }
    }
}

impl ParkedNode {
    /// A node, and which interval of it where it is held, that an event's link left out.
    pub(crate) fn new(event: Position, (node, stay): (u32, u32), because: Because) -> Self {
        Self {
            event,
            node,
            stay,
            because,
        }
    }
}

impl Because {
    /// The same, where nodes have other places.
    pub(crate) fn at(self, place: &[u32]) -> Self {
        let at = |node: u32| place[node as usize];
        match self {
            Self::Limit(example, limit) => Self::Limit(at(example), limit),
            Self::Owner(node) => Self::Owner(at(node)),
            Self::Ambiguous => Self::Ambiguous,
            Self::Apart(one, other) => Self::Apart(at(one), at(other)),
        }
    }
}

impl Component {
    /// What was left out of links, in canonical order.
    pub fn parked(&self) -> impl ExactSizeIterator<Item = Parked> {
        self.parked.iter().map(|parked| {
            let node = &self.nodes[parked.node as usize];
            let start = match &node.whose {
                Whose::Held(held) => held.start(parked.stay as usize),
                Whose::Linked(_) => None,
            };
            Parked {
                identifier: node.identifier.clone(),
                start,
                event: parked.event,
                because: self.left_out(parked.because),
            }
        })
    }

    pub(crate) fn left_out(&self, because: Because) -> LeftOut {
        let identifier = |node: u32| self.nodes[node as usize].identifier.clone();
        match because {
            Because::Limit(example, limit) => LeftOut::Limit {
                exceeded: identifier(example).kind,
                limit,
            },
            Because::Owner(node) => LeftOut::Owner(identifier(node)),
            Because::Ambiguous => LeftOut::Ambiguous,
            Because::Apart(one, other) => LeftOut::Apart(identifier(one), identifier(other)),
        }
    }
}
