//! What leaves a step once it is committed: clean rows, rejects, changes.

use crate::bytes::{Reader, put_signed, put_text};
use kith_clean::Reject;
use kith_segment::{Cause, Change};
use kith_types::{Event, EventKey, ProfileId, SpaceId, Timestamp};

/// Raised when the meaning of the bytes changes.
const VERSION: u8 = 1;
/// A change that a limit may have made other than exact; all else is as in [`VERSION`].
const VERSION_APPROXIMATE: u8 = 2;

/// A change of membership with its place in the space's outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbered {
    /// The space.
    pub space: SpaceId,
    /// Its number, counted from 0 without gaps within the space.
    pub number: u64,
    /// The change.
    pub change: Change,
}

/// What a step did that only metrics tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepFigures {
    /// Components that evidence had resolved anew.
    pub recomputed: u64,
    /// People who became part of another.
    pub merged: u64,
    /// People who came out of others.
    pub split: u64,
    /// Times that a bound refused evidence.
    pub beyond_bounds: u64,
    /// Due times that fired.
    pub timers: u64,
    /// People who were in memory when they were needed.
    pub found: u64,
    /// People who were loaded from the store.
    pub loaded: u64,
}

impl std::ops::AddAssign for StepFigures {
    fn add_assign(&mut self, other: Self) {
        self.recomputed += other.recomputed;
        self.merged += other.merged;
        self.split += other.split;
        self.beyond_bounds += other.beyond_bounds;
        self.timers += other.timers;
        self.found += other.found;
        self.loaded += other.loaded;
    }
}

/// Everything that a committed step did.
#[derive(Clone, Debug, Default)]
pub struct StepOutput {
    /// The sequence number of the first record of the step.
    pub from: u64,
    /// The sequence number after the last record of the step.
    pub to: u64,
    /// The pipeline's clock at its end.
    pub clock: Timestamp,
    /// How many events count.
    pub event_count: u64,
    /// Of the events that count, in order, those that [`crate::Engine::take_events`] did not take.
    pub events: Vec<Event>,
    /// The person of each of `events` at that moment; `None` for one without identifiers.
    pub people: Vec<Option<ProfileId>>,
    /// Later copies, dropped.
    pub duplicates: u64,
    /// What could not be cleaned.
    pub rejects: Vec<Reject>,
    /// Changes of membership, in order.
    pub changes: Vec<Numbered>,
    /// The bytes of the bodies that were taken: a measure of what the step takes in memory.
    pub body_bytes: usize,
    /// What else it did.
    pub figures: StepFigures,
}

impl StepOutput {
    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from == self.to && self.changes.is_empty()
    }
}

pub(crate) fn encode_change(change: &Change) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.push(if change.approximate {
        VERSION_APPROXIMATE
    } else {
        VERSION
    });
    out.push(u8::from(change.entered));
    out.extend_from_slice(&change.profile.0.to_be_bytes());
    put_signed(&mut out, change.at.as_micros());
    put_text(&mut out, change.segment.as_str());
    put_text(&mut out, change.cause.as_str());
    if let Some(key) = change.cause.event_key() {
        out.extend_from_slice(&key.0.to_be_bytes());
    }
    out
}

/// Reads a change from an outbox row.
pub(crate) fn decode_change(bytes: &[u8]) -> Option<Change> {
    let mut reader = Reader(bytes);
    let approximate = match reader.byte()? {
        VERSION => false,
        VERSION_APPROXIMATE => true,
        _ => return None,
    };
    let entered = reader.byte()? == 1;
    let profile = ProfileId(reader.wide()?);
    let at = Timestamp::from_micros(reader.signed()?);
    let segment = reader.text()?.parse().ok()?;
    let name = reader.text()?;
    let key = if name == "event" {
        Some(EventKey(reader.wide()?))
    } else {
        None
    };
    Some(Change {
        segment,
        profile,
        entered,
        at,
        cause: Cause::from_name(name, key)?,
        approximate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_as_it_was_written() {
        for cause in [
            Cause::Event(EventKey(9)),
            Cause::Clock,
            Cause::Definition,
            Cause::Import,
            Cause::Regrouping,
        ] {
            let change = Change {
                segment: "vip".parse().unwrap(),
                profile: ProfileId(5),
                entered: true,
                at: Timestamp::from_micros(77),
                cause,
                approximate: false,
            };
            let bytes = encode_change(&change);
            assert_eq!(decode_change(&bytes).as_ref(), Some(&change));
            let unsure = Change {
                approximate: true,
                ..change.clone()
            };
            let marked = encode_change(&unsure);
            assert_eq!(decode_change(&marked), Some(unsure));
            assert_eq!((marked[0], &marked[1..]), (VERSION_APPROXIMATE, &bytes[1..]));
            for length in 0..bytes.len() {
                assert_eq!(decode_change(&bytes[..length]), None);
            }
            if cause == Cause::Event(EventKey(9)) {
                assert_eq!(bytes, GOLDEN, "the bytes of version 1");
            }
        }
    }

    const GOLDEN: &[u8] = &[
        1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 154, 1, 3, b'v', b'i', b'p', 5, b'e', b'v', b'e', b'n',
        b't', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
    ];
}
