//! The keys of live state. The space leads every key; everything after it sorts as its parts do.
//!
//! In [`kith_state::Keyspace::Meta`] the space is its name, elsewhere its code: short keys are compared without another look into memory, and
//! comparing keys is most of what the trees do.
//!
//! Works with the store only through bytes; nothing else in the project knows how a key is spelt.

use kith_identity::PartKey;
use kith_types::{Address, ProfileId, SegmentName, SpaceId, Timestamp};

/// Bytes that sort as the signed microseconds do.
fn time_bytes(time: Timestamp) -> [u8; 8] {
    (time.as_micros().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn time_from(bytes: &[u8]) -> Option<Timestamp> {
    let raw = u64::from_be_bytes(bytes.try_into().ok()?);
    Some(Timestamp::from_micros((raw ^ (1 << 63)).cast_signed()))
}

/// The bytes that lead every key but those of named entries.
const SPACE_BYTES: usize = 3;

/// The prefix of everything in a space, but for named entries.
#[must_use]
pub(crate) fn space(space: &SpaceId) -> Vec<u8> {
    let mut key = Vec::with_capacity(48);
    key.extend_from_slice(&space.code());
    key
}

/// A key that ends in 128 bits: components, identifiers, profiles, redirects.
#[must_use]
pub(crate) fn wide(at: &SpaceId, id: u128) -> Vec<u8> {
    let mut key = space(at);
    key.extend_from_slice(&id.to_be_bytes());
    key
}

/// A key of two ids, the second under the first.
#[must_use]
pub(crate) fn link(at: &SpaceId, lead: u128, id: u128) -> Vec<u8> {
    let mut key = wide(at, lead);
    key.extend_from_slice(&id.to_be_bytes());
    key
}

/// The last 128 bits of a key that [`wide`] or [`link`] made.
#[must_use]
pub(crate) fn wide_id(key: &[u8]) -> Option<u128> {
    let tail = key.len().checked_sub(16)?;
    Some(u128::from_be_bytes(key.get(tail..)?.try_into().ok()?))
}

/// The key of a named entry of [`kith_state::Keyspace::Meta`].
#[must_use]
pub(crate) fn named(at: &SpaceId, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(at.as_str().len() + 1 + name.len());
    key.extend_from_slice(at.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(name.as_bytes());
    key
}

/// The bytes of a place in a history: they sort as places do.
pub(crate) type PlaceBytes = [u8; 24];

/// Where something stands in a history, as keys have it.
pub(crate) fn place_bytes((time, address): (Timestamp, Address)) -> PlaceBytes {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&time_bytes(time));
    bytes[8..].copy_from_slice(&address.to_bytes());
    bytes
}

/// The key of a part: its carrier, and where its interval starts.
#[must_use]
pub(crate) fn part(at: &SpaceId, part: &PartKey) -> Vec<u8> {
    let mut key = wide(at, part.carrier);
    if let Some(start) = part.start {
        key.extend_from_slice(&place_bytes(start));
    }
    key
}

/// The carrier of a key that [`part`] made, and where its interval starts.
#[must_use]
pub(crate) fn part_of(key: &[u8]) -> Option<(u128, Option<PlaceBytes>)> {
    let (_, of_space) = key.split_at_checked(SPACE_BYTES)?;
    let (carrier, start) = of_space.split_first_chunk::<16>()?;
    let start = match start {
        [] => None,
        start => Some(start.try_into().ok()?),
    };
    Some((u128::from_be_bytes(*carrier), start))
}

/// The key of an event's row under an identifier: the carrier for events, a held identifier for presence.
#[must_use]
pub(crate) fn row(at: &SpaceId, identifier: u128, time: Timestamp, address: Address) -> Vec<u8> {
    let mut key = wide(at, identifier);
    key.extend_from_slice(&time_bytes(time));
    key.extend_from_slice(&address.to_bytes());
    key
}

/// Time and address of a key that [`row`] made.
#[must_use]
pub(crate) fn row_place(key: &[u8]) -> Option<(Timestamp, Address)> {
    let tail = key.get(key.len().checked_sub(24)?..)?;
    Some((time_from(&tail[..8])?, Address::from_bytes(tail[8..].try_into().ok()?)))
}

/// The range of the rows of an identifier from one place to another; `None` is open.
#[must_use]
pub(crate) fn row_range(
    at: &SpaceId,
    identifier: u128,
    from: Option<(Timestamp, Address)>,
    to: Option<(Timestamp, Address)>,
) -> (Vec<u8>, Vec<u8>) {
    let start = match from {
        Some((time, address)) => row(at, identifier, time, address),
        None => wide(at, identifier),
    };
    let end = match to {
        Some((time, address)) => row(at, identifier, time, address),
        None => kith_state::prefix_end(&wide(at, identifier)).unwrap_or_default(),
    };
    (start, end)
}

/// The key of a timer.
#[must_use]
pub(crate) fn due(at: &SpaceId, time: Timestamp, profile: ProfileId) -> Vec<u8> {
    let mut key = space(at);
    key.extend_from_slice(&time_bytes(time));
    key.extend_from_slice(&profile.0.to_be_bytes());
    key
}

/// Time and profile of a key that [`due`] made.
#[must_use]
pub(crate) fn due_parts(key: &[u8]) -> Option<(Timestamp, ProfileId)> {
    let tail = key.get(key.len().checked_sub(24)?..)?;
    Some((
        time_from(&tail[..8])?,
        ProfileId(u128::from_be_bytes(tail[8..].try_into().ok()?)),
    ))
}

/// The kinds of entries of [`kith_state::Keyspace::AccountChanges`].
const CHANGE: u8 = 0;
const WALK: u8 = 1;
const NOTE: u8 = 2;

fn of_kind(at: &SpaceId, kind: u8) -> Vec<u8> {
    let mut key = space(at);
    key.push(kind);
    key
}

fn range_of_kind(at: &SpaceId, kind: u8) -> (Vec<u8>, Vec<u8>) {
    (of_kind(at, kind), of_kind(at, kind + 1))
}

/// The key of a change of an account, by its number.
#[must_use]
pub(crate) fn account_change(at: &SpaceId, account: u128, number: u64) -> Vec<u8> {
    let mut key = of_kind(at, CHANGE);
    key.extend_from_slice(&account.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Account and number of a key that [`account_change`] made.
#[must_use]
pub(crate) fn account_change_parts(key: &[u8]) -> Option<(u128, u64)> {
    let (account, number) = key.get(key.len().checked_sub(24)?..)?.split_at(16);
    Some((
        u128::from_be_bytes(account.try_into().ok()?),
        u64::from_be_bytes(number.try_into().ok()?),
    ))
}

/// The range of all changes of accounts.
#[must_use]
pub(crate) fn account_changes(at: &SpaceId) -> (Vec<u8>, Vec<u8>) {
    range_of_kind(at, CHANGE)
}

/// The key of where the walk to an account's members stands.
#[must_use]
pub(crate) fn account_walk(at: &SpaceId, account: u128) -> Vec<u8> {
    let mut key = of_kind(at, WALK);
    key.extend_from_slice(&account.to_be_bytes());
    key
}

/// The range of all walks.
#[must_use]
pub(crate) fn account_walks(at: &SpaceId) -> (Vec<u8>, Vec<u8>) {
    range_of_kind(at, WALK)
}

/// The key of what a profile has taken of the changes of its accounts.
#[must_use]
pub(crate) fn account_note(at: &SpaceId, profile: ProfileId) -> Vec<u8> {
    let mut key = of_kind(at, NOTE);
    key.extend_from_slice(&profile.0.to_be_bytes());
    key
}

/// The range of all such notes.
#[must_use]
pub(crate) fn account_notes(at: &SpaceId) -> (Vec<u8>, Vec<u8>) {
    range_of_kind(at, NOTE)
}

/// The key of a member of a segment.
#[must_use]
pub(crate) fn member(at: &SpaceId, segment: &str, profile: ProfileId) -> Vec<u8> {
    let mut key = members(at, segment);
    key.extend_from_slice(&profile.0.to_be_bytes());
    key
}

/// The prefix of the members of a segment.
#[must_use]
pub(crate) fn members(at: &SpaceId, segment: &str) -> Vec<u8> {
    let mut key = space(at);
    key.extend_from_slice(segment.as_bytes());
    key.push(0);
    key
}

/// Segment and profile of a key that [`member`] made.
#[must_use]
pub(crate) fn member_parts(at: &SpaceId, key: &[u8]) -> Option<(SegmentName, ProfileId)> {
    let rest = key.strip_prefix(space(at).as_slice())?;
    let (name, id) = rest.split_at_checked(rest.len().checked_sub(16)?)?;
    let name = std::str::from_utf8(name.strip_suffix(&[0])?).ok()?;
    Some((name.parse().ok()?, ProfileId(u128::from_be_bytes(id.try_into().ok()?))))
}

/// The key of a numbered entry: outbox rows, by their sequence.
#[must_use]
pub(crate) fn numbered(at: &SpaceId, number: u64) -> Vec<u8> {
    let mut key = space(at);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number of a key that [`numbered`] made.
#[must_use]
pub(crate) fn number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(
        key.get(key.len().checked_sub(8)?..)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spc_1_the_space_leads_every_key_and_times_sort() {
        let main = SpaceId::main();
        let early = row(&main, 7, Timestamp::from_micros(-5), Address::default());
        let late = row(&main, 7, Timestamp::from_micros(5), Address::default());
        assert!(early < late && early.starts_with(&main.code()));
        assert_eq!(
            row_place(&early),
            Some((Timestamp::from_micros(-5), Address::default()))
        );
        let key = due(&main, Timestamp::from_micros(9), ProfileId(3));
        assert_eq!(due_parts(&key), Some((Timestamp::from_micros(9), ProfileId(3))));
        let vip: SegmentName = "vip".parse().unwrap();
        let key = member(&main, vip.as_str(), ProfileId(256));
        assert_eq!(member_parts(&main, &key), Some((vip, ProfileId(256))));
        assert_eq!(member_parts(&main, &key[..key.len() - 1]), None);
    }
}
