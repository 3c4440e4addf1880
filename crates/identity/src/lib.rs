//! Evidence to who is who: what an event says about people, and the people that follow from it.
//!
//! Works with `kith-types` (events, identifiers) and with whoever keeps its [`Component`]s and presence rows, through
//! the port [`Presence`]. It never does IO, reads a clock, or depends on the order in which events are handed in.
//!
//! # The rules of the game
//! Identity is a pure function of a set of events and of the [`Rules`] (contract IDN-3). In this order an event's
//! identifiers are normalised, blocked, given intervals, and held to the limits:
//!
//! 1. Evidence is taken in *canonical order*: event time, then address. That pair is a [`Position`].
//! 2. The identifiers of an event that are not held link as a group. If the union of the profiles they belong to would
//!    exceed a type's limit of distinct values, the identifier of lowest priority (ties by type, value) is left out of
//!    that event's link and the rest is tried again. What was left out is kept with its reason ([`Parked`]), and stays
//!    in the profile it has, or is its own. Values of an authenticating type that an `alias` event names together
//!    count as one, whenever that alias was said: an alias tells who two ids always were. Hence what a profile holds
//!    only grows along the order, a group repeated later changes nothing, and its earliest occurrence stands for all.
//! 3. Types with the claim policy `last_authenticated` are *held* (IDN-9). Where a held identifier stands beside an
//!    authenticating one, that is a *sign-in*. Equal sign-ins in a row are one interval; it lasts until the next one
//!    starts; the time before the first belongs to the first. An interval belongs to the profile of its sign-in. A held
//!    identifier never joins two profiles, and held identifiers never link each other. An interval is attached at the
//!    position where it starts, under the limits; one that does not fit is a profile of its own.
//! 4. A held identifier that never saw a sign-in belongs, for all time, to the identifier of highest priority of its
//!    first event that has one that is not held (under the limits). It joins nothing else.
//! 5. A profile's id is a keyed hash of the first appearance (`received_at`, address), type and value of its oldest
//!    identifier (ties: by type with user ids first, then value); a held identifier counts once per interval, with its
//!    first appearance within that interval (IDN-5).
//! 6. A *part* ([`PartKey`]) is what one carrier brings: an identifier, or an interval of a held one.
//!
//! # The flow
//! [`Resolver::read`] gives an event's [`Evidence`]. The keeper loads the components of its identifiers. Where there is
//! exactly one, [`Component::place_quickly`] answers in most cases without any change. Otherwise
//! [`Resolver::apply`] joins the components, takes in the evidence, and says what moved.

mod apart;
mod apply;
mod changes;
mod claims;
mod codec;
mod component;
mod difference;
mod document;
mod error;
mod evidence;
mod founder;
mod gather;
mod left_out;
mod normalise;
mod presence;
mod resolve;
mod rules;
mod runs;
mod sign_in;
#[cfg(test)]
mod tests;
mod unite;
mod vetoes;
mod what_if;
mod why;

pub use apart::Apart;
pub use apply::Resolver;
pub use changes::{Applied, Cut, Interval, PartMove, Refusal, Refused, Vanished};
pub use codec::{Outline, OutlinedPart};
pub use component::{
    Appearance, Component, ComponentId, MAX_IDENTIFIERS, MAX_INTERVALS, MAX_LINKS, Member, PartKey, Placement,
    Position, ProfileMembers,
};
pub use difference::Difference;
pub use document::{Claim, ReplaceDocument, RulesDocument, TypeDocument};
pub use error::{IdentityError, IdentityErrorKind};
pub use evidence::{Blocked, BlockedBecause, Evidence, MAX_IDENTIFIERS_PER_EVENT, Named};
pub use founder::FounderIds;
pub use gather::Gathering;
pub use left_out::{LeftOut, Parked};
pub use normalise::Normaliser;
pub use presence::{Presence, PresenceError, PresenceRow};
pub use rules::{Rules, TypeRule};
pub use vetoes::Vetoes;
pub use what_if::{Merge, Move, Outlook, Reading, Split, WhatIf};
pub use why::{How, Joint, Stop, Why};
