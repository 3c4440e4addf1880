//! Which parts make up each profile of a stored component, without what they are called and why they belong together.
//!
//! For whoever visits everybody: reading an outline into one that was read before takes no memory for a component as most
//! are. It says of parts and profiles what [`Component::decode`] says; links are passed over, not checked.

use super::{Reader, VERSION};
use crate::component::{MAX_IDENTIFIERS, MAX_INTERVALS, MAX_LINKS, NO_PROFILE, Position};
use crate::error::IdentityError;
use crate::{Component, PartKey};
use kith_types::{ProfileId, end_of_numbers};

/// A part of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlinedPart {
    /// Which.
    pub key: PartKey,
    /// Where the interval of a held carrier ends; `None` for its last, and for what is not held.
    pub end: Option<Position>,
    profile: u32,
}

/// The profiles of a component and their parts.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// By the number of the profile, then in the order of their keys.
    parts: Vec<OutlinedPart>,
    profiles: Vec<ProfileId>,
    full: bool,
}

impl Outline {
    /// Becomes the outline of a stored component.
    ///
    /// # Errors
    /// [`IdentityError::Corrupt`] for bytes that cannot be read.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), IdentityError> {
        self.parts.clear();
        self.profiles.clear();
        let mut from = Reader { bytes, at: 0 };
        if from.byte()? != VERSION {
            return Err(IdentityError::Corrupt {
                at: 0,
                what: "version 1",
            });
        }
        let nodes = from.count(MAX_IDENTIFIERS)?;
        let mut intervals = 0;
        for _ in 0..nodes {
            self.read_node(&mut from, nodes, &mut intervals)?;
        }
        let links = from.count(MAX_LINKS)?;
        for _ in 0..links {
            for _ in 0..from.count(nodes)? {
                from.index(nodes)?;
            }
            from.pass_position()?;
            from.byte()?;
        }
        for _ in 0..from.count(MAX_IDENTIFIERS + MAX_INTERVALS)? {
            self.profiles.push(ProfileId(u128::from_be_bytes(from.array()?)));
        }
        let known = self.profiles.len();
        if self.parts.iter().any(|part| part.profile as usize >= known) {
            return Err(from.wrong("a profile of every part"));
        }
        if known > 1 {
            self.parts.sort_by_key(|part| part.profile);
        }
        self.full = Component::is_at_a_bound(nodes, links, intervals);
        Ok(())
    }

    /// Whether the component is at a bound, as [`Component::is_full`] says.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The profiles in the order of their numbers, each with its parts in the order of their keys.
    pub fn profiles(&self) -> impl Iterator<Item = (ProfileId, &[OutlinedPart])> {
        let mut left = &self.parts[..];
        (0_u32..).zip(&self.profiles).map(move |(number, id)| {
            let length = left.iter().take_while(|part| part.profile == number).count();
            let (own, others) = left.split_at(length);
            left = others;
            (*id, own)
        })
    }

    fn read_node(&mut self, from: &mut Reader<'_>, nodes: usize, intervals: &mut usize) -> Result<(), IdentityError> {
        if from.byte()? == super::CUSTOM {
            from.pass_text()?;
        }
        from.pass_text()?;
        let carrier = u128::from_be_bytes(from.array()?);
        from.pass_appearance()?;
        let stays = from.count(MAX_INTERVALS)?;
        if stays == 0 {
            self.parts.push(OutlinedPart {
                key: PartKey { carrier, start: None },
                end: None,
                profile: from.small()?,
            });
            return Ok(());
        }
        *intervals += stays;
        from.beside(nodes)?;
        for stay in 0..stays {
            let sign_in = from.beside(nodes)?.map(|(at, _)| at);
            from.pass_appearance()?;
            let profile = from.small()?;
            if sign_in.is_none() && stays > 1 || profile == NO_PROFILE {
                return Err(from.wrong("an interval's sign-in and profile"));
            }
            // The first reaches back to the beginning of time, and each ends where the next one begins.
            let start = sign_in.filter(|_| stay > 0);
            if let (Some(_), Some(before)) = (start, self.parts.last_mut()) {
                before.end = start;
            }
            self.parts.push(OutlinedPart {
                key: PartKey { carrier, start },
                end: None,
                profile,
            });
        }
        Ok(())
    }
}

impl Reader<'_> {
    fn pass_text(&mut self) -> Result<(), IdentityError> {
        let length = self.count(super::MAX_TEXT_BYTES)?;
        self.take(length).map(drop)
    }

    fn pass_numbers(&mut self, count: usize) -> Result<(), IdentityError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = end_of_numbers(rest, count).ok_or_else(|| self.wrong("more bytes"))?;
        self.at += end;
        Ok(())
    }

    /// A time and the four numbers of an address.
    fn pass_position(&mut self) -> Result<(), IdentityError> {
        self.pass_numbers(5)
    }

    fn pass_appearance(&mut self) -> Result<(), IdentityError> {
        self.pass_numbers(6)
    }
}
