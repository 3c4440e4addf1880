//! Pairs of identifiers that are not one person, by an operator's word (contract IDN-6).
//!
//! Works with `resolve`, to which a pair is a limit: a link that would bring both into one profile leaves out its
//! identifier of lowest priority and tries again. It knows nothing of events.

use crate::component::Component;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// Pairs of identifiers, by [`kith_types::Identifier::hash128`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Apart {
    from: FxHashMap<u128, SmallVec<[u128; 2]>>,
}

impl Apart {
    /// Nobody is held apart.
    pub const NONE: &'static Self = &Self {
        from: FxHashMap::with_hasher(rustc_hash::FxBuildHasher),
    };

    /// Holds two identifiers apart; one alone is never apart from itself.
    pub fn insert(&mut self, one: u128, other: u128) {
        if one == other {
            return;
        }
        for (from, to) in [(one, other), (other, one)] {
            let known = self.from.entry(from).or_default();
            if let Err(place) = known.binary_search(&to) {
                known.insert(place, to);
            }
        }
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from.is_empty()
    }

    /// The pairs of a component's nodes, ascending.
    pub(crate) fn within(&self, component: &Component) -> Vec<(u32, u32)> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut pairs = BTreeSet::new();
        for (one, node) in (0_u32..).zip(&component.nodes) {
            for other in self.from.get(&node.hash).into_iter().flatten() {
                let other = component.node(*other).and_then(|other| u32::try_from(other).ok());
                pairs.extend(other.map(|other| (one.min(other), one.max(other))));
            }
        }
        pairs.into_iter().collect()
    }
}
