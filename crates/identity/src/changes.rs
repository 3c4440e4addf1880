//! What taking in evidence changed: the answer of [`crate::Resolver::apply`].
//!
//! Works with the keeper of components, parts and profiles, which carries the changes out. Plain values; it decides
//! nothing.

use crate::component::{Component, ComponentId, PartKey, Placement, Position};
use crate::left_out::Parked;
use kith_types::{Identifier, ProfileId};

/// A part that belongs to another profile than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartMove {
    /// The part.
    pub part: PartKey,
    /// Where it was; `None` for a part that is new.
    pub from: Option<ProfileId>,
    /// Where it is.
    pub to: ProfileId,
}

/// An interval of a held identifier: the events it carries with `part.start <= position < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The part that takes them.
    pub part: PartKey,
    /// Where it ends (exclusive); `None`: never.
    pub end: Option<Position>,
    /// The profile it belongs to.
    pub profile: ProfileId,
}

/// A held identifier whose intervals changed although events may lie in what moved: its parts are folded anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The held identifier.
    pub held: Identifier,
    /// Parts that no longer exist, and whose they were. Their state is dropped.
    pub gone: Vec<(PartKey, ProfileId)>,
    /// Parts whose events changed: their state is replaced by a fold of exactly the events that this identifier carries
    /// within the interval, the event being applied included if it does.
    pub refold: Vec<Interval>,
    /// All intervals as they are now.
    pub intervals: Vec<Interval>,
}

/// A profile id that no longer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vanished {
    /// The id.
    pub profile: ProfileId,
    /// The profile that holds its identifier now: what the id redirects to.
    pub redirect: ProfileId,
    /// That identifier, and where it was first seen: whoever holds it later is whom the id leads to then.
    pub founder: (u128, Position),
}

/// What a bound refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The component would have more than [`crate::MAX_IDENTIFIERS`]: the identifier is not joined.
    Identifiers,
    /// The component would have more than [`crate::MAX_LINKS`]: the event's link is not taken.
    Links,
    /// The component would have more than [`crate::MAX_INTERVALS`]: the held identifier's sign-in is not taken.
    Intervals,
}

/// Evidence that a bound refused. It is reported; nothing waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The identifier whose evidence it is.
    pub identifier: Identifier,
    /// The bound.
    pub because: Refusal,
}

/// What became of the evidence of one event.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The component, to be stored under its id where `stored_differs`.
    pub component: Component,
    /// Whether it differs from what was handed in: if not, nothing needs to be stored.
    pub stored_differs: bool,
    /// Ids of components handed in that no longer exist: delete them.
    pub absorbed: Vec<ComponentId>,
    /// Hashes of the identifiers that now belong to `component.id()` and did not before: store the pointer of each.
    pub rehomed: Vec<u128>,
    /// Components handed in that did not fit, unchanged.
    pub apart: Vec<Component>,
    /// Where the event belongs.
    pub placement: Placement,
    /// Whether any of `moved`, `cuts`, `vanished`, `created` holds anything.
    pub changed: bool,
    /// Parts that belong to another profile than before, new ones included; a part may hold no event.
    pub moved: Vec<PartMove>,
    /// Held identifiers whose parts must be folded anew.
    pub cuts: Vec<Cut>,
    /// Ids that no longer stand, and what they redirect to from now on.
    pub vanished: Vec<Vanished>,
    /// Ids that did not stand before. Where the keeper has a redirect from such an id, it ends (contract IDN-5).
    pub created: Vec<ProfileId>,
    /// What limits left out that was not left out before.
    pub parked: Vec<Parked>,
    /// What bounds refused.
    pub refused: Vec<Refused>,
}
