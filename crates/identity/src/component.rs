//! A component: everything that evidence connects, with what follows from it.
//!
//! Works with [`crate::Resolver`], which makes and changes components, and with `codec`, which stores them. Its content
//! is a function of the set of evidence (and of the rules), never of the order in which that came; it never reads rows.

use crate::evidence::Evidence;
use crate::left_out::ParkedNode;
use kith_types::{Address, Identifier, ProfileId, Timestamp};
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

/// Identifiers in a component. Evidence that would exceed it is not joined, and is reported.
pub const MAX_IDENTIFIERS: usize = 1_000;
/// Distinct groups of linked identifiers in a component; a further group is not taken, and is reported.
pub const MAX_LINKS: usize = 4_000;
/// Intervals of held identifiers in a component; a further one is not begun, and is reported.
pub const MAX_INTERVALS: usize = 2_000;

/// A place in canonical order: event time, then address.
pub type Position = (Timestamp, Address);

/// Stands for "no profile yet" until the outcome is worked out.
pub(crate) const NO_PROFILE: u32 = u32::MAX;

/// Names a component: the smallest hash of its identifiers. It changes when components join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId(pub u128);

/// What one carrier brings to a profile: the key under which fold state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartKey {
    /// The carrier's [`Identifier::hash128`].
    pub carrier: u128,
    /// Where the interval of a held carrier starts; `None` for its first (which reaches back to the beginning of time)
    /// and for identifiers that are not held.
    pub start: Option<Position>,
}

/// Where an event belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The profile.
    pub profile: ProfileId,
    /// The part of it that takes the event.
    pub part: PartKey,
}

/// When an identifier was first seen, ordered by receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Appearance {
    /// When the record was received.
    pub received_at: Timestamp,
    /// The event's address.
    pub address: Address,
    /// The event's time.
    pub time: Timestamp,
}

/// An identifier, or an interval of a held one, in a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The identifier.
    pub identifier: Identifier,
    /// The part it carries.
    pub part: PartKey,
    /// Where a held identifier's interval ends (exclusive); `None` for its last, and for what is not held.
    pub end: Option<Position>,
    /// Its first appearance (within the interval, where it is held).
    pub first: Appearance,
    /// Whether its type is held.
    pub held: bool,
}

/// A profile and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileMembers {
    /// The profile's id.
    pub id: ProfileId,
    /// Its identifiers and intervals, the oldest first.
    pub members: Vec<Member>,
}

impl Member {
    /// The identifiers among members, each once, where it comes first: a held one is a member by each of its intervals.
    pub fn identifiers(members: &[Self]) -> impl Iterator<Item = &Identifier> {
        let mut seen = FxHashSet::default();
        let once = members
            .iter()
            .filter(move |one| !one.held || seen.insert(one.part.carrier));
        once.map(|one| &one.identifier)
    }
}

impl ProfileMembers {
    /// How many identifiers it has.
    #[must_use]
    pub fn size(&self) -> usize {
        Member::identifiers(&self.members).count()
    }
}

/// Everything connected by evidence, left-out links included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Component {
    /// Sorted by hash.
    pub(crate) nodes: Vec<Node>,
    /// Sorted by members.
    pub(crate) links: Vec<Link>,
    /// The outcome: ids by the numbers that nodes and stays carry.
    pub(crate) profiles: Vec<ProfileId>,
    /// The outcome: what was left out of links, in canonical order.
    pub(crate) parked: Vec<ParkedNode>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) identifier: Identifier,
    pub(crate) hash: u128,
    pub(crate) first: Appearance,
    pub(crate) whose: Whose,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Not held: the number of its profile.
    Linked(u32),
    /// Held, by intervals.
    Held(Held),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The earliest event beside an identifier that is not held, and the one of highest priority in it. Kept only while
    /// there was no sign-in: it has no meaning after.
    pub(crate) beside: Option<(Position, u32)>,
    /// At least one. Either one without a sign-in, or one for each run of equal sign-ins, in canonical order.
    pub(crate) stays: SmallVec<[Stay; 1]>,
}

/// An interval of a held identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    /// The first sign-in of its run, and who signed in (a node).
    pub(crate) sign_in: Option<(Position, u32)>,
    /// The first appearance within the interval.
    pub(crate) first: Appearance,
    /// The number of its profile.
    pub(crate) profile: u32,
}

/// A distinct group of identifiers (none held, at least two) that some event named together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Nodes, ascending.
    pub(crate) members: SmallVec<[u32; 4]>,
    /// The earliest event that named exactly this group.
    pub(crate) at: Position,
    /// Whether any of the events was an alias.
    pub(crate) alias: bool,
}

impl Appearance {
    /// The event's place in canonical order.
    #[must_use]
    pub fn position(&self) -> Position {
        (self.time, self.address)
    }
}

impl Held {
    /// The number of the interval that covers a position.
    pub(crate) fn covering(&self, position: Position) -> usize {
        let begun = self
            .stays
            .partition_point(|stay| stay.sign_in.is_none_or(|(at, _)| at <= position));
        begun.saturating_sub(1)
    }

    /// Where an interval starts: nowhere, for the first.
    pub(crate) fn start(&self, stay: usize) -> Option<Position> {
        if stay == 0 {
            None
        } else {
            self.stays.get(stay).and_then(|stay| stay.sign_in).map(|(at, _)| at)
        }
    }

    /// Where an interval ends: nowhere, for the last.
    pub(crate) fn end(&self, stay: usize) -> Option<Position> {
        self.start(stay + 1)
    }
}

impl Component {
    /// What names it now.
    #[must_use]
    pub fn id(&self) -> ComponentId {
        ComponentId(self.nodes.first().map_or(0, |node| node.hash))
    }

    /// How many identifiers it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether it has no identifier; no component that [`crate::Resolver::apply`] gave is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether it is at a bound, so that evidence may have been refused: who is who around it is approximate.
    #[must_use]
    pub fn is_full(&self) -> bool {
        Self::is_at_a_bound(self.nodes.len(), self.links.len(), self.intervals())
    }

    pub(crate) fn is_at_a_bound(nodes: usize, links: usize, intervals: usize) -> bool {
        nodes >= MAX_IDENTIFIERS || links >= MAX_LINKS || intervals.saturating_add(2) > MAX_INTERVALS
    }

    /// The hashes of its identifiers, ascending.
    pub fn hashes(&self) -> impl ExactSizeIterator<Item = u128> {
        self.nodes.iter().map(|node| node.hash)
    }

    /// The profile and part that an event with this carrier at this position belongs to.
    #[must_use]
    pub fn place(&self, carrier: u128, position: Position) -> Option<Placement> {
        let node = self.node(carrier)?;
        match &self.nodes[node].whose {
            Whose::Linked(profile) => {
                let profile = *self.profiles.get(*profile as usize)?;
                Some(Placement {
                    profile,
                    part: PartKey { carrier, start: None },
                })
            }
            Whose::Held(held) => {
                let covering = held.covering(position);
                let profile = *self.profiles.get(held.stays.get(covering)?.profile as usize)?;
                Some(Placement {
                    profile,
                    part: PartKey {
                        carrier,
                        start: held.start(covering),
                    },
                })
            }
        }
    }

    /// The profile that holds an identifier now; for a held one, its last interval's.
    #[must_use]
    pub fn holder(&self, identifier: u128) -> Option<ProfileId> {
        self.place(identifier, (Timestamp::MAX, LAST_ADDRESS))
            .map(|placement| placement.profile)
    }

    /// The profiles that hold an identifier within a span of canonical order, and between which places of it each does.
    pub fn holders_within(
        &self,
        identifier: u128,
        (from, to): (Option<Position>, Option<Position>),
    ) -> impl Iterator<Item = (ProfileId, (Option<Position>, Option<Position>))> {
        let node = self.node(identifier).map(|node| &self.nodes[node]);
        let count = node.map_or(0, |node| match &node.whose {
            Whose::Linked(_) => 1,
            Whose::Held(held) => held.stays.len(),
        });
        (0..count).filter_map(move |stay| {
            let (profile, start, end) = match &node?.whose {
                Whose::Linked(profile) => (*profile, None, None),
                Whose::Held(held) => (held.stays[stay].profile, held.start(stay), held.end(stay)),
            };
            // Nothing comes before whatever begins; nothing comes after what has no end.
            let (start, end) = (start.max(from), [end, to].into_iter().flatten().min());
            let is_some = end.is_none_or(|end| start.is_none_or(|start| start < end));
            let profile = *self.profiles.get(profile as usize)?;
            is_some.then_some((profile, (start, end)))
        })
    }

    /// The event's placement, where its evidence provably changes nothing; `None` where [`crate::Resolver::apply`] must
    /// look. Reads no rows, allocates nothing for small events.
    #[must_use]
    pub fn place_quickly(&self, evidence: &Evidence) -> Option<Placement> {
        let position = evidence.position();
        let appearance = evidence.appearance();
        let sign_in = match evidence.sign_in() {
            Some(named) => Some(u32::try_from(self.node(named.hash)?).ok()?),
            None => None,
        };
        let mut linked: SmallVec<[u32; 8]> = SmallVec::new();
        let mut beside = false;
        for named in &evidence.identifiers {
            let index = self.node(named.hash)?;
            let node = &self.nodes[index];
            if named.vetoed || appearance < node.first || named.held != matches!(node.whose, Whose::Held(_)) {
                return None;
            }
            if !named.held {
                linked.push(u32::try_from(index).ok()?);
                beside = true;
            }
        }
        for named in evidence.held() {
            let Whose::Held(held) = &self.nodes[self.node(named.hash)?].whose else {
                return None;
            };
            let stay = held.stays.get(held.covering(position))?;
            let settled = match (sign_in, stay.sign_in) {
                (Some(owner), Some((at, run))) => owner == run && at <= position,
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (None, None) => !beside || held.beside.is_some_and(|(at, _)| at <= position),
            };
            if !settled || appearance < stay.first {
                return None;
            }
        }
        if linked.len() > 1 {
            linked.sort_unstable();
            let link = &self.links[self.link(&linked).ok()?];
            if link.at > position || (evidence.alias && !link.alias) {
                return None;
            }
        }
        self.place(evidence.carrier()?.hash, position)
    }

    /// Its profiles in the order of their numbers, each with its members.
    #[must_use]
    pub fn profiles(&self) -> Vec<ProfileMembers> {
        let mut profiles: Vec<ProfileMembers> = self
            .profiles
            .iter()
            .map(|id| ProfileMembers {
                id: *id,
                members: Vec::new(),
            })
            .collect();
        for (member, profile) in self.members() {
            if let Some(profile) = profiles.get_mut(profile as usize) {
                profile.members.push(member);
            }
        }
        for profile in &mut profiles {
            profile.members.sort_by(|a, b| oldest(a).cmp(&oldest(b)));
        }
        profiles
    }

    /// The parts of one of its profiles, in the order of their keys.
    pub fn parts_of(&self, profile: ProfileId) -> impl Iterator<Item = PartKey> {
        let number = self.profiles.iter().position(|id| *id == profile);
        self.parts()
            .filter(move |(.., of)| number == Some(*of as usize))
            .map(|(part, ..)| part)
    }

    /// The members of one of its profiles, the oldest first.
    #[must_use]
    pub fn members_of(&self, profile: ProfileId) -> Vec<Member> {
        let number = self.profiles.iter().position(|id| *id == profile);
        let of_profile = self.members().filter(|(_, of)| number == Some(*of as usize));
        let mut members: Vec<Member> = of_profile.map(|(member, _)| member).collect();
        members.sort_by(|a, b| oldest(a).cmp(&oldest(b)));
        members
    }

    /// All members with the numbers of their profiles.
    pub(crate) fn members(&self) -> impl Iterator<Item = (Member, u32)> {
        self.nodes.iter().flat_map(|node| {
            let count = match &node.whose {
                Whose::Linked(_) => 1,
                Whose::Held(held) => held.stays.len(),
            };
            (0..count).map(move |stay| match &node.whose {
                Whose::Linked(profile) => (node.member(None, None, node.first, false), *profile),
                Whose::Held(held) => {
                    let Stay { first, profile, .. } = held.stays[stay];
                    (node.member(held.start(stay), held.end(stay), first, true), profile)
                }
            })
        })
    }

    /// All parts in the order of their keys, with their first appearances and the numbers of their profiles.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (PartKey, Appearance, u32)> {
        self.nodes.iter().flat_map(|node| {
            let count = if let Whose::Held(held) = &node.whose {
                held.stays.len()
            } else {
                1
            };
            (0..count).map(move |stay| match &node.whose {
                Whose::Linked(profile) => (
                    PartKey {
                        carrier: node.hash,
                        start: None,
                    },
                    node.first,
                    *profile,
                ),
                Whose::Held(held) => {
                    let Stay { first, profile, .. } = held.stays[stay];
                    (
                        PartKey {
                            carrier: node.hash,
                            start: held.start(stay),
                        },
                        first,
                        profile,
                    )
                }
            })
        })
    }

    pub(crate) fn node(&self, hash: u128) -> Option<usize> {
        if self.nodes.len() <= 8 {
            return self.nodes.iter().position(|node| node.hash == hash);
        }
        self.nodes.binary_search_by_key(&hash, |node| node.hash).ok()
    }

    /// Where the link of exactly these nodes (ascending) is, or where it would stand.
    pub(crate) fn link(&self, members: &[u32]) -> Result<usize, usize> {
        self.links.binary_search_by(|link| link.members.as_slice().cmp(members))
    }

    pub(crate) fn intervals(&self) -> usize {
        self.nodes
            .iter()
            .map(|node| {
                if let Whose::Held(held) = &node.whose {
                    held.stays.len()
                } else {
                    0
                }
            })
            .sum()
    }
}

impl Node {
    fn member(&self, start: Option<Position>, end: Option<Position>, first: Appearance, held: bool) -> Member {
        let part = PartKey {
            carrier: self.hash,
            start,
        };
        Member {
            identifier: self.identifier.clone(),
            part,
            end,
            first,
            held,
        }
    }
}

/// The address after all addresses.
const LAST_ADDRESS: Address = Address {
    generation: u16::MAX,
    partition: u16::MAX,
    sequence: u64::MAX,
    index: u32::MAX,
};

/// What orders the members of a profile by age: first appearance, then type (user ids first), then value.
pub(crate) fn oldest(member: &Member) -> (Timestamp, Address, &Identifier) {
    (member.first.received_at, member.first.address, &member.identifier)
}
