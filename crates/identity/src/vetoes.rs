//! What operators decided about evidence (contract IDN-6): this event does not link that identifier; these two are not
//! one person.
//!
//! Works with [`Evidence`], which it marks, and with [`Apart`], which holds the pairs. It says nothing about when a veto
//! was spoken: who is who follows from the vetoes in force as if they had always been.

use crate::apart::Apart;
use crate::evidence::Evidence;
use kith_types::Address;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// The vetoes in force in a space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vetoes {
    links: FxHashMap<Address, SmallVec<[u128; 2]>>,
    apart: Apart,
}

impl Vetoes {
    /// The event at this address does not link this identifier (its [`kith_types::Identifier::hash128`]).
    pub fn insert_link(&mut self, event: Address, identifier: u128) {
        let known = self.links.entry(event).or_default();
        if !known.contains(&identifier) {
            known.push(identifier);
        }
    }

    /// These two identifiers are not one person.
    pub fn insert_pair(&mut self, one: u128, other: u128) {
        self.apart.insert(one, other);
    }

    /// The pairs.
    #[must_use]
    pub fn apart(&self) -> &Apart {
        &self.apart
    }

    /// Marks what an event does not link.
    pub fn mark(&self, evidence: &mut Evidence) {
        if self.links.is_empty() {
            return;
        }
        let Some(vetoed) = self.links.get(&evidence.address) else {
            return;
        };
        for named in &mut evidence.identifiers {
            named.vetoed = vetoed.contains(&named.hash);
        }
    }
}
