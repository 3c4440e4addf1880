//! The stored form of a component: version 1.
//!
//! Works with whoever stores components. The bytes are canonical: equal evidence under equal rules gives equal bytes,
//! however it came. Reading trusts nothing: every count and number is checked against its bound.
//!
//! All integers are LEB128; signed ones are zigzag first. Layout: version byte; nodes (type tag, name of a custom type,
//! value, hash, first appearance, then its profile or its intervals); links; profile ids; what was left out.

use crate::component::{
    Appearance, Component, Held, Link, MAX_IDENTIFIERS, MAX_INTERVALS, MAX_LINKS, NO_PROFILE, Node, Position, Stay,
    Whose,
};
use crate::error::IdentityError;
use crate::left_out::{Because, ParkedNode};
use kith_types::{Address, Identifier, IdentifierType, ProfileId, Timestamp};
use smallvec::SmallVec;
use std::sync::Arc;

mod outline;

pub use outline::{Outline, OutlinedPart};

const VERSION: u8 = 1;
const CUSTOM: u8 = 5;
const OWNER: u8 = 1;
const AMBIGUOUS: u8 = 2;
const APART: u8 = 3;
const MAX_TEXT_BYTES: usize = 1 << 16;
/// Each link can leave out all its members but one.
const MAX_PARKED: usize = MAX_LINKS * 50 + MAX_INTERVALS;

impl Component {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer {
            bytes: Vec::with_capacity(64 + 96 * self.nodes.len()),
        };
        to.bytes.push(VERSION);
        to.count(self.nodes.len());
        for node in &self.nodes {
            to.node(node);
        }
        to.count(self.links.len());
        for link in &self.links {
            to.count(link.members.len());
            for member in &link.members {
                to.number(u64::from(*member));
            }
            to.position(link.at);
            to.bytes.push(u8::from(link.alias));
        }
        to.count(self.profiles.len());
        for id in &self.profiles {
            to.bytes.extend_from_slice(&id.0.to_be_bytes());
        }
        to.count(self.parked.len());
        for parked in &self.parked {
            to.position(parked.event);
            to.number(u64::from(parked.node));
            to.number(u64::from(parked.stay));
            to.because(parked.because);
        }
        to.bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`IdentityError::Corrupt`] for anything that [`Component::encode`] of this version cannot have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, IdentityError> {
        let mut from = Reader { bytes, at: 0 };
        if from.byte()? != VERSION {
            return Err(IdentityError::Corrupt {
                at: 0,
                what: "version 1",
            });
        }
        let count = from.count(MAX_IDENTIFIERS)?;
        let mut component = Component {
            nodes: Vec::with_capacity(count),
            ..Component::default()
        };
        let mut intervals = 0;
        for _ in 0..count {
            let node = from.node(count, &mut intervals)?;
            if component.nodes.last().is_some_and(|last| last.hash >= node.hash) {
                return Err(from.wrong("a greater hash"));
            }
            component.nodes.push(node);
        }
        for _ in 0..from.count(MAX_LINKS)? {
            let mut members: SmallVec<[u32; 4]> = SmallVec::new();
            for _ in 0..from.count(count)? {
                members.push(from.index(count)?);
            }
            let at = from.position()?;
            let link = Link {
                members,
                at,
                alias: from.byte()? != 0,
            };
            if component.links.last().is_some_and(|last| last.members >= link.members) {
                return Err(from.wrong("a greater link"));
            }
            component.links.push(link);
        }
        for _ in 0..from.count(MAX_IDENTIFIERS + MAX_INTERVALS)? {
            component.profiles.push(ProfileId(u128::from_be_bytes(from.array()?)));
        }
        for _ in 0..from.count(MAX_PARKED)? {
            let event = from.position()?;
            let node = from.index(count)?;
            let (stay, because) = (from.small()?, from.because(count)?);
            component.parked.push(ParkedNode {
                event,
                node,
                stay,
                because,
            });
        }
        if from.at != bytes.len() {
            return Err(from.wrong("the end"));
        }
        if component
            .parts()
            .any(|(.., profile)| profile as usize >= component.profiles.len())
        {
            return Err(from.wrong("a profile of every part"));
        }
        Ok(component)
    }
}

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn time(&mut self, time: Timestamp) {
        let micros = time.as_micros();
        self.number(((micros << 1) ^ (micros >> 63)) as u64);
    }

    fn address(&mut self, address: Address) {
        self.number(u64::from(address.generation));
        self.number(u64::from(address.partition));
        self.number(address.sequence);
        self.number(u64::from(address.index));
    }

    fn position(&mut self, (time, address): Position) {
        self.time(time);
        self.address(address);
    }

    fn appearance(&mut self, appearance: &Appearance) {
        self.time(appearance.received_at);
        self.position(appearance.position());
    }

    fn beside(&mut self, beside: Option<(Position, u32)>) {
        match beside {
            None => self.number(0),
            Some((at, node)) => {
                self.number(u64::from(node) + 1);
                self.position(at);
            }
        }
    }

    /// A limit is a node and a number that is not zero; after a zero the other reasons have a byte.
    fn because(&mut self, because: Because) {
        let (node, limit) = match because {
            Because::Limit(node, limit) => (node, limit),
            Because::Owner(node) | Because::Apart(node, _) => (node, 0),
            Because::Ambiguous => (0, 0),
        };
        self.number(u64::from(node));
        self.number(u64::from(limit));
        match because {
            Because::Limit(..) => {}
            Because::Owner(_) => self.bytes.push(OWNER),
            Because::Ambiguous => self.bytes.push(AMBIGUOUS),
            Because::Apart(_, other) => {
                self.bytes.push(APART);
                self.number(u64::from(other));
            }
        }
    }

    fn node(&mut self, node: &Node) {
        match &node.identifier.kind {
            IdentifierType::UserId => self.bytes.push(0),
            IdentifierType::Email => self.bytes.push(1),
            IdentifierType::Phone => self.bytes.push(2),
            IdentifierType::DeviceId => self.bytes.push(3),
            IdentifierType::AnonymousId => self.bytes.push(4),
            IdentifierType::Custom(name) => {
                self.bytes.push(CUSTOM);
                self.text(name);
            }
        }
        self.text(&node.identifier.value);
        self.bytes.extend_from_slice(&node.hash.to_be_bytes());
        self.appearance(&node.first);
        match &node.whose {
            Whose::Linked(profile) => {
                self.number(0);
                self.number(u64::from(*profile));
            }
            Whose::Held(held) => {
                self.count(held.stays.len());
                self.beside(held.beside);
                for stay in &held.stays {
                    self.beside(stay.sign_in);
                    self.appearance(&stay.first);
                    self.number(u64::from(stay.profile));
                }
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: &'static str) -> IdentityError {
        IdentityError::Corrupt { at: self.at, what }
    }

    #[inline]
    fn take(&mut self, count: usize) -> Result<&'a [u8], IdentityError> {
        let taken = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.get(..count))
            .ok_or_else(|| self.wrong("more bytes"))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], IdentityError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, IdentityError> {
        let byte = self.bytes.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte.ok_or_else(|| self.wrong("more bytes"))
    }

    #[inline]
    fn number(&mut self) -> Result<u64, IdentityError> {
        // Most are counts and the like.
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<u64, IdentityError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.wrong("a number of 64 bits"))
    }

    fn small(&mut self) -> Result<u32, IdentityError> {
        u32::try_from(self.number()?).map_err(|_| self.wrong("a number of 32 bits"))
    }

    fn count(&mut self, most: usize) -> Result<usize, IdentityError> {
        let count = self.number()?;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= most)
            .ok_or_else(|| self.wrong("a count within its bound"))
    }

    /// The number of a node.
    fn index(&mut self, nodes: usize) -> Result<u32, IdentityError> {
        let index = self.small()?;
        if (index as usize) < nodes {
            Ok(index)
        } else {
            Err(self.wrong("a node's number"))
        }
    }

    fn text(&mut self) -> Result<&'a str, IdentityError> {
        let count = self.count(MAX_TEXT_BYTES)?;
        std::str::from_utf8(self.take(count)?).map_err(|_| self.wrong("UTF-8"))
    }

    fn time(&mut self) -> Result<Timestamp, IdentityError> {
        let zigzag = self.number()?;
        Ok(Timestamp::from_micros((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)))
    }

    fn address(&mut self) -> Result<Address, IdentityError> {
        let part = |number: u32, this: &Self| u16::try_from(number).map_err(|_| this.wrong("an address"));
        let generation = part(self.small()?, self)?;
        let partition = part(self.small()?, self)?;
        Ok(Address {
            generation,
            partition,
            sequence: self.number()?,
            index: self.small()?,
        })
    }

    fn position(&mut self) -> Result<Position, IdentityError> {
        Ok((self.time()?, self.address()?))
    }

    fn appearance(&mut self) -> Result<Appearance, IdentityError> {
        let received_at = self.time()?;
        let (time, address) = self.position()?;
        Ok(Appearance {
            received_at,
            address,
            time,
        })
    }

    fn beside(&mut self, nodes: usize) -> Result<Option<(Position, u32)>, IdentityError> {
        match self.number()? {
            0 => Ok(None),
            node if node <= nodes as u64 => Ok(Some((self.position()?, (node - 1) as u32))),
            _ => Err(self.wrong("a node's number")),
        }
    }

    fn because(&mut self, nodes: usize) -> Result<Because, IdentityError> {
        let node = self.index(nodes)?;
        match self.small()? {
            0 => match self.byte()? {
                OWNER => Ok(Because::Owner(node)),
                AMBIGUOUS if node == 0 => Ok(Because::Ambiguous),
                APART => Ok(Because::Apart(node, self.index(nodes)?)),
                _ => Err(self.wrong("a reason")),
            },
            limit => Ok(Because::Limit(node, limit)),
        }
    }

    fn node(&mut self, nodes: usize, intervals: &mut usize) -> Result<Node, IdentityError> {
        let kind = match self.byte()? {
            0 => IdentifierType::UserId,
            1 => IdentifierType::Email,
            2 => IdentifierType::Phone,
            3 => IdentifierType::DeviceId,
            4 => IdentifierType::AnonymousId,
            CUSTOM => IdentifierType::Custom(Arc::from(self.text()?)),
            _ => return Err(self.wrong("an identifier type")),
        };
        let identifier = Identifier {
            kind,
            value: Arc::from(self.text()?),
        };
        let hash = u128::from_be_bytes(self.array()?);
        let first = self.appearance()?;
        let stays = self.count(MAX_INTERVALS)?;
        if stays == 0 {
            return Ok(Node {
                identifier,
                hash,
                first,
                whose: Whose::Linked(self.small()?),
            });
        }
        *intervals += stays;
        if *intervals > MAX_INTERVALS {
            return Err(self.wrong("no more intervals"));
        }
        let mut held = Held {
            beside: self.beside(nodes)?,
            stays: SmallVec::with_capacity(stays),
        };
        for _ in 0..stays {
            let sign_in = self.beside(nodes)?;
            let first = self.appearance()?;
            let profile = self.small()?;
            if sign_in.is_none() && stays > 1 || profile == NO_PROFILE {
                return Err(self.wrong("an interval's sign-in and profile"));
            }
            held.stays.push(Stay {
                sign_in,
                first,
                profile,
            });
        }
        Ok(Node {
            identifier,
            hash,
            first,
            whose: Whose::Held(held),
        })
    }
}
