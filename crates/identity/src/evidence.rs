//! Evidence: what one event says about who somebody is, read under the rules.
//!
//! Works with [`crate::Rules`]. It never looks at other events: the same event under the same rules is always the same
//! evidence.

use crate::component::{Appearance, Position};
use crate::rules::Rules;
use kith_types::{Address, Event, EventType, Identifier, Timestamp};
use smallvec::SmallVec;

/// Identifiers that one event may name; those of lowest priority beyond it are blocked.
pub const MAX_IDENTIFIERS_PER_EVENT: usize = 50;

/// Bytes of an identifier's value; a longer one is blocked.
pub(crate) const MAX_VALUE_BYTES: usize = 512;

/// A normalised identifier of an event, with what the rules say of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The identifier, its value normalised.
    pub identifier: Identifier,
    /// [`Identifier::hash128`] of it.
    pub hash: u128,
    /// Its type's priority: the smaller, the higher.
    pub priority: u16,
    /// Whether its type authenticates.
    pub authenticates: bool,
    /// Whether its type is held (claim policy `last_authenticated`).
    pub held: bool,
    /// Whether an operator decided that this event does not link it (contract IDN-6).
    pub vetoed: bool,
}

/// Why a value is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockedBecause {
    /// It is a blocked value.
    Value,
    /// It matches a blocked pattern.
    Pattern,
    /// The normaliser cannot read it as a value of its type.
    Malformed,
    /// It has more than 512 bytes.
    TooLong,
    /// The event names more than [`MAX_IDENTIFIERS_PER_EVENT`].
    TooMany,
}

/// An identifier of an event that the rules do not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The identifier as sent.
    pub identifier: Identifier,
    /// Why.
    pub because: BlockedBecause,
}

/// What one event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The event's time.
    pub time: Timestamp,
    /// The event's address.
    pub address: Address,
    /// When its record was received.
    pub received_at: Timestamp,
    /// Whether it is an alias call: its values of an authenticating type are one person's.
    pub alias: bool,
    /// Its identifiers: normalised, not blocked, distinct, highest priority first (ties by type, value).
    pub identifiers: SmallVec<[Named; 4]>,
    /// What was not used.
    pub blocked: SmallVec<[Blocked; 1]>,
}

impl Named {
    /// Whether it is of the event's group: neither held nor vetoed.
    #[must_use]
    pub fn links(&self) -> bool {
        !self.held && !self.vetoed
    }
}

impl Evidence {
    /// The event's place in canonical order.
    #[must_use]
    pub fn position(&self) -> Position {
        (self.time, self.address)
    }

    /// The identifier of highest priority, if the event has one that is not blocked.
    #[must_use]
    pub fn carrier(&self) -> Option<&Named> {
        self.identifiers.first()
    }

    /// The authenticating identifier of highest priority that is not vetoed: what each held identifier of the event
    /// stands beside.
    #[must_use]
    pub fn sign_in(&self) -> Option<&Named> {
        self.identifiers
            .iter()
            .find(|named| named.authenticates && !named.vetoed)
    }

    /// What a presence row says was signed in beside one of the held identifiers.
    #[must_use]
    pub fn signed_in_beside(&self, held: &Named) -> Option<u128> {
        self.sign_in().filter(|_| !held.vetoed).map(|named| named.hash)
    }

    /// The identifiers that the event links as a group: neither held nor vetoed.
    pub fn linked(&self) -> impl Iterator<Item = &Named> {
        self.identifiers.iter().filter(|named| named.links())
    }

    /// The held identifiers: the event has a presence row under each.
    pub fn held(&self) -> impl Iterator<Item = &Named> {
        self.identifiers.iter().filter(|named| named.held)
    }

    /// Whether it links as another reading of the same event does: the same identifiers in the same order, and each as
    /// before authenticates, is held or is vetoed.
    #[must_use]
    pub fn says_as(&self, other: &Self) -> bool {
        let says = |named: &Named| (named.hash, named.authenticates, named.held, named.vetoed);
        self.alias == other.alias && self.identifiers.iter().map(says).eq(other.identifiers.iter().map(says))
    }

    pub(crate) fn appearance(&self) -> Appearance {
        Appearance {
            received_at: self.received_at,
            address: self.address,
            time: self.time,
        }
    }
}

impl Rules {
    /// Reads what an event says: normalise, then block. Pure.
    #[must_use]
    pub fn read(&self, event: &Event) -> Evidence {
        let mut evidence = Evidence {
            time: event.event_time,
            address: event.address,
            received_at: event.received_at,
            alias: event.event_type == EventType::Alias,
            identifiers: SmallVec::new(),
            blocked: SmallVec::new(),
        };
        for sent in &event.identifiers {
            let rule = self.of(&sent.kind);
            match rule.accept(&sent.value) {
                Ok(normalised) => {
                    let identifier = match normalised {
                        None => sent.clone(),
                        Some(value) => Identifier {
                            kind: sent.kind.clone(),
                            value,
                        },
                    };
                    if evidence.identifiers.iter().any(|known| known.identifier == identifier) {
                        continue;
                    }
                    let hash = identifier.hash128();
                    evidence.identifiers.push(Named {
                        identifier,
                        hash,
                        priority: rule.priority,
                        authenticates: rule.authenticates,
                        held: rule.held(),
                        vetoed: false,
                    });
                }
                Err(because) => evidence.blocked.push(Blocked {
                    identifier: sent.clone(),
                    because,
                }),
            }
        }
        evidence.identifiers.sort_unstable_by(|a, b| {
            a.priority
                .cmp(&b.priority)
                .then_with(|| a.identifier.cmp(&b.identifier))
        });
        while evidence.identifiers.len() > MAX_IDENTIFIERS_PER_EVENT {
            if let Some(extra) = evidence.identifiers.pop() {
                let because = BlockedBecause::TooMany;
                evidence.blocked.push(Blocked {
                    identifier: extra.identifier,
                    because,
                });
            }
        }
        evidence
    }
}
