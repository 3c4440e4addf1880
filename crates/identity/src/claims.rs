//! Claims: whose a value is that belongs to its first owner, or to nobody once two claim it.
//!
//! Works with `resolve`. A value is claimed by the authenticating identifier of highest priority that stands beside it
//! in a link; identifiers that aliases make one count as one. What claims say follows from all links at once, as aliases
//! do, never from the order of resolving: hence a group that is repeated later still says nothing new.

use crate::component::{Component, Link, Position};
use crate::document::Claim;
use crate::left_out::Because;

/// What the types of a component's nodes say.
pub(crate) struct Types<'a> {
    /// By node: the claim policy of its type.
    pub(crate) claim: &'a dyn Fn(u32) -> Claim,
    /// By node: whether its type authenticates.
    pub(crate) authenticates: &'a dyn Fn(u32) -> bool,
    /// By node: its place in the order of priority.
    pub(crate) ranks: &'a [u32],
    /// By node: the first node of its alias class.
    pub(crate) class: &'a [u32],
}

/// Who claims the nodes of a component.
pub(crate) struct Claims {
    /// By node; empty where no node's policy asks.
    of: Vec<Claimed>,
}

#[derive(Clone, Copy, Default)]
struct Claimed {
    /// The earliest claim, and the node that made it.
    first: Option<(Position, u32)>,
    /// Whether there is a claim of another class.
    contested: bool,
    /// What the policy makes of that.
    ambiguous: bool,
}

impl Claims {
    /// Reads the claims in all links.
    pub(crate) fn read(component: &Component, types: &Types<'_>) -> Self {
        let asks = |node: u32| matches!((types.claim)(node), Claim::FirstOwner | Claim::Ambiguous);
        if !(0_u32..).zip(&component.nodes).any(|(node, _)| asks(node)) {
            return Self { of: Vec::new() };
        }
        let mut of = vec![Claimed::default(); component.nodes.len()];
        for link in &component.links {
            let Some(owner) = sign_in(link, types) else { continue };
            for member in link.members.iter().filter(|member| asks(**member)) {
                let claimed = &mut of[*member as usize];
                claimed.ambiguous = (types.claim)(*member) == Claim::Ambiguous;
                if let Some((at, known)) = claimed.first {
                    claimed.contested |= types.class[known as usize] != types.class[owner as usize];
                    if at < link.at {
                        continue;
                    }
                }
                claimed.first = Some((link.at, owner));
            }
        }
        Self { of }
    }

    /// Why a link leaves one of its members out, if it does.
    pub(crate) fn refuse(&self, link: &Link, member: u32, types: &Types<'_>) -> Option<Because> {
        let claimed = self.of.get(member as usize)?;
        let (_, owner) = claimed.first?;
        if !claimed.contested {
            return None;
        }
        if claimed.ambiguous {
            return Some(Because::Ambiguous);
        }
        let other = sign_in(link, types)?;
        (types.class[other as usize] != types.class[owner as usize]).then_some(Because::Owner(owner))
    }
}

/// The authenticating node of highest priority in a link.
fn sign_in(link: &Link, types: &Types<'_>) -> Option<u32> {
    let authenticating = link.members.iter().copied().filter(|node| (types.authenticates)(*node));
    authenticating.min_by_key(|node| types.ranks[*node as usize])
}
