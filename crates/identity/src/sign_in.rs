//! Intervals of a held identifier: how one more event changes them, and which parts that cuts.
//!
//! Works with `apply`, and reads rows through [`Presence`] where a stored interval alone cannot tell: a sign-in of
//! somebody else than the interval's. It never looks at profiles, only at who signed in when.

use crate::changes::{Cut, Interval};
use crate::component::{Appearance, Component, Held, NO_PROFILE, PartKey, Position, Stay, Whose};
use crate::error::IdentityError;
use crate::presence::Presence;
use kith_types::ProfileId;

/// The rows of one held identifier.
pub(crate) struct Rows<'a> {
    pub(crate) presence: &'a dyn Presence,
    pub(crate) held: u128,
}

/// What a sign-in did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignedIn {
    /// Nothing.
    Nothing,
    /// An interval's first sign-in or first appearance moved; no interval began or ended elsewhere.
    Stored,
    /// Intervals changed.
    Intervals,
}

impl Held {
    /// Takes in an event without a sign-in; `beside` is its identifier of highest priority that is not held.
    pub(crate) fn seen(&mut self, event: Appearance, beside: Option<u32>) -> bool {
        let mut differs = self.first_within(event);
        if let (Some(node), None) = (beside, self.stays[0].sign_in)
            && self.beside.is_none_or(|(at, _)| event.position() < at)
        {
            self.beside = Some((event.position(), node));
            differs = true;
        }
        differs
    }

    /// Whether a sign-in of `owner` at `position` could begin an interval.
    pub(crate) fn begins(&self, owner: u32, position: Position) -> bool {
        self.stays[self.covering(position)]
            .sign_in
            .is_some_and(|(_, run)| run != owner)
    }

    /// Takes in a sign-in: node `owner`, whose hash is `hash_of(owner)`.
    pub(crate) fn sign_in(
        &mut self,
        owner: u32,
        event: Appearance,
        rows: &Rows<'_>,
        hash_of: &dyn Fn(u32) -> u128,
    ) -> Result<SignedIn, IdentityError> {
        let position = event.position();
        let covering = self.covering(position);
        let stay = &mut self.stays[covering];
        match stay.sign_in {
            None => {
                stay.sign_in = Some((position, owner));
                self.beside = None;
                self.first_within(event);
                Ok(SignedIn::Stored)
            }
            Some((at, run)) if run == owner => {
                // Only the first interval reaches back before its first sign-in.
                if position < at {
                    stay.sign_in = Some((position, owner));
                }
                let earlier = self.first_within(event);
                Ok(if earlier || position < at {
                    SignedIn::Stored
                } else {
                    SignedIn::Nothing
                })
            }
            Some((at, _)) if position < at => self.begin_in_front(owner, event, at, rows),
            Some((_, run)) => self.begin_within(covering, owner, event, hash_of(run), rows),
        }
    }

    /// A sign-in before all others, by somebody else than the first: the time before belongs to them now.
    fn begin_in_front(
        &mut self,
        owner: u32,
        event: Appearance,
        at: Position,
        rows: &Rows<'_>,
    ) -> Result<SignedIn, IdentityError> {
        let known = self.stays[0].first;
        let (front, rest) = if known.position() < at {
            let rest = rows
                .first(Some(at), self.end(0))?
                .ok_or(IdentityError::RowMissing { what: "a sign-in" })?;
            (known.min(event), rest)
        } else {
            (
                rows.first(None, Some(at))?.map_or(event, |first| first.min(event)),
                known,
            )
        };
        self.stays[0].first = rest;
        self.stays.insert(0, stay(event.position(), owner, front));
        Ok(SignedIn::Intervals)
    }

    /// A sign-in after the first of the interval that covers it, by somebody else: it ends there, and goes on at its
    /// own next sign-in, if it has one.
    fn begin_within(
        &mut self,
        covering: usize,
        owner: u32,
        event: Appearance,
        run_hash: u128,
        rows: &Rows<'_>,
    ) -> Result<SignedIn, IdentityError> {
        let position = event.position();
        let known = self.stays[covering].first;
        let (start, end) = (self.start(covering), self.end(covering));
        let mut again: Option<Position> = None;
        let mut first_new = event;
        let mut first_again: Option<Appearance> = None;
        rows.presence.rows(rows.held, Some(position), end, &mut |row| {
            if again.is_none() && row.position() > position && row.authenticated == Some(run_hash) {
                again = Some(row.position());
            }
            match again {
                None => first_new = first_new.min(row.appearance()),
                Some(_) => {
                    first_again = Some(first_again.map_or(row.appearance(), |first| first.min(row.appearance())));
                }
            }
            // The interval's known first appearance lies behind: nothing further back can be older.
            again.is_none_or(|again| known.position() < again)
        })?;
        if known.position() >= position {
            let before = rows.first(start, Some(position))?;
            self.stays[covering].first = before.ok_or(IdentityError::RowMissing { what: "a sign-in" })?;
        }
        if let Some(again) = again {
            let run = self.stays[covering].sign_in.map_or(owner, |(_, run)| run);
            let first = if known.position() >= again {
                known
            } else {
                first_again.unwrap_or(known)
            };
            self.stays.insert(covering + 1, stay(again, run, first));
            self.stays.insert(covering + 1, stay(position, owner, first_new));
            return Ok(SignedIn::Intervals);
        }
        match self.stays.get_mut(covering + 1) {
            Some(next) if next.sign_in.is_some_and(|(_, run)| run == owner) => {
                next.sign_in = Some((position, owner));
                next.first = next.first.min(first_new);
            }
            _ => self.stays.insert(covering + 1, stay(position, owner, first_new)),
        }
        Ok(SignedIn::Intervals)
    }

    /// Lowers the first appearance of the interval that the event falls in.
    fn first_within(&mut self, event: Appearance) -> bool {
        let covering = self.covering(event.position());
        let first = &mut self.stays[covering].first;
        let earlier = event < *first;
        *first = event.min(*first);
        earlier
    }

    /// The starts and ends of its parts.
    pub(crate) fn bounds(&self) -> Vec<(Option<Position>, Option<Position>)> {
        (0..self.stays.len())
            .map(|stay| (self.start(stay), self.end(stay)))
            .collect()
    }
}

fn stay(at: Position, owner: u32, first: Appearance) -> Stay {
    Stay {
        sign_in: Some((at, owner)),
        first,
        profile: NO_PROFILE,
    }
}

impl Rows<'_> {
    /// The first appearance among the rows of a range.
    fn first(&self, from: Option<Position>, to: Option<Position>) -> Result<Option<Appearance>, IdentityError> {
        let mut first: Option<Appearance> = None;
        self.presence.rows(self.held, from, to, &mut |row| {
            first = Some(first.map_or(row.appearance(), |first| first.min(row.appearance())));
            true
        })?;
        Ok(first)
    }

    /// Whether an event of the range, other than `event`, may be carried by the held identifier.
    fn carries(
        &self,
        from: Option<Position>,
        to: Option<Position>,
        event: Position,
        outranks: &dyn Fn(u128) -> bool,
    ) -> Result<bool, IdentityError> {
        let mut carries = false;
        self.presence.rows(self.held, from, to, &mut |row| {
            carries = row.position() != event && !row.authenticated.is_some_and(outranks);
            !carries
        })?;
        Ok(carries)
    }
}

/// Which parts of a held node must be folded anew, now that its intervals have changed from `before`; nothing where no
/// event lies in what moved. `outranks` tells whether an authenticating identifier carries events before the held one.
pub(crate) fn cut(
    component: &Component,
    node: usize,
    before: &[(Option<Position>, Option<Position>)],
    owners_before: &[Option<ProfileId>],
    event: Position,
    rows: &Rows<'_>,
    outranks: &dyn Fn(u128) -> bool,
) -> Result<Option<Cut>, IdentityError> {
    let Whose::Held(held) = &component.nodes[node].whose else {
        return Ok(None);
    };
    let carrier = component.nodes[node].hash;
    let after = held.bounds();
    let mut intervals = Vec::with_capacity(after.len());
    let mut refold = Vec::new();
    // The old end and the new start of neighbours ask for the same rows.
    let mut asked = None;
    for (stay, (start, end)) in after.iter().copied().enumerate() {
        let Some(profile) = component.profiles.get(held.stays[stay].profile as usize).copied() else {
            continue;
        };
        let interval = Interval {
            part: PartKey { carrier, start },
            end,
            profile,
        };
        intervals.push(interval);
        let moved = match before.binary_search_by_key(&start, |(start, _)| *start) {
            Ok(old) if before[old].1 == end => continue,
            // What lies between the old end and the new one came or went.
            Ok(old) => match (before[old].1, end) {
                (Some(old), Some(new)) => (Some(old.min(new)), Some(old.max(new))),
                (one, other) => (one.or(other), None),
            },
            Err(_) => (start, end),
        };
        let carries = match asked {
            Some((range, carries)) if range == moved => carries,
            _ => rows.carries(moved.0, moved.1, event, outranks)?,
        };
        asked = Some((moved, carries));
        if carries {
            refold.push(interval);
        }
    }
    let gone: Vec<(PartKey, ProfileId)> = before
        .iter()
        .zip(owners_before)
        .filter(|((start, _), _)| after.binary_search_by_key(start, |(start, _)| *start).is_err())
        .filter_map(|((start, _), profile)| profile.map(|profile| (PartKey { carrier, start: *start }, profile)))
        .collect();
    if gone.is_empty() && refold.is_empty() {
        return Ok(None);
    }
    Ok(Some(Cut {
        held: component.nodes[node].identifier.clone(),
        gone,
        refold,
        intervals,
    }))
}
