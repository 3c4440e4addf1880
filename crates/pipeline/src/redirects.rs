//! Where profile ids lead that no longer stand.
//!
//! An id comes from its oldest identifier at that identifier's first appearance, so the row of one that vanished names these
//! two and no profile: it leads to whoever holds the identifier when it is asked (contract IDN-5). What is merged, unmerged
//! or decided afterwards needs no second look at it, and the order in which things came to pass leaves no trace in it.

use crate::record::ProfileRecord;
use crate::{PipelineError, keys};
use kith_identity::{Component, Placement, Position};
use kith_state::{Keyspace, Read};
use kith_types::{Address, ProfileId, SpaceId, Timestamp};

/// Of a row, what the id comes from: the same in whatever order things came to pass.
pub(crate) const FOUNDER_BYTES: usize = 40;
/// How many redirects in a row are followed.
const REDIRECTS_MAX: usize = 64;

/// The row of an id that comes from this identifier, and who held it then.
pub(crate) fn encode((carrier, (time, address)): (u128, Position), holder: Option<ProfileId>) -> Vec<u8> {
    let mut row = Vec::with_capacity(FOUNDER_BYTES + 16);
    row.extend_from_slice(&carrier.to_be_bytes());
    row.extend_from_slice(&time.as_micros().to_be_bytes());
    row.extend_from_slice(&address.to_bytes());
    row.extend(holder.iter().flat_map(|holder| holder.0.to_be_bytes()));
    row
}

fn decode(row: &[u8]) -> Option<((u128, Position), Option<ProfileId>)> {
    let (carrier, rest) = row.split_first_chunk::<16>()?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (address, holder) = rest.split_first_chunk::<16>()?;
    let time = Timestamp::from_micros(i64::from_be_bytes(*time));
    let founder = (u128::from_be_bytes(*carrier), (time, Address::from_bytes(*address)));
    match holder {
        [] => Some((founder, None)),
        holder => Some((founder, Some(ProfileId(u128::from_be_bytes(holder.try_into().ok()?))))),
    }
}

/// Who holds the identifier that an id comes from, with their component where it was read. Where the identifier is not known
/// any more, since other rules spell it otherwise or leave it out, whoever held it when the id vanished. Nobody where
/// the id never stood.
pub(crate) fn follow(
    reader: &dyn Read,
    space: &SpaceId,
    vanished: ProfileId,
) -> Result<Option<(ProfileId, Option<Component>)>, PipelineError> {
    let mut id = vanished;
    for _ in 0..REDIRECTS_MAX {
        let Some(row) = reader.get(Keyspace::Redirects, &keys::wide(space, id.0))? else {
            return Ok(None);
        };
        let ((carrier, first_seen), held_then) = decode(&row).ok_or_else(|| PipelineError::corrupt("redirects"))?;
        if let Some(home) = crate::reads::home_of(reader, space, carrier)? {
            let component = crate::reads::component_of(reader, space, home)?;
            let holder = component.place(carrier, first_seen);
            return Ok(holder.map(|Placement { profile, .. }| (profile, Some(component))));
        }
        let Some(holder) = held_then else { return Ok(None) };
        if reader.get(Keyspace::Profiles, &keys::wide(space, holder.0))?.is_some() {
            return Ok(Some((holder, None)));
        }
        id = holder;
    }
    Ok(None)
}

/// The identifier that an id comes from, and where it was first seen, whether the id stands or not. Nothing where it never
/// stood.
pub(crate) fn founder(
    reader: &dyn Read,
    space: &SpaceId,
    id: ProfileId,
) -> Result<Option<(u128, Position)>, PipelineError> {
    if let Some(row) = reader.get(Keyspace::Redirects, &keys::wide(space, id.0))? {
        let (founder, _) = decode(&row).ok_or_else(|| PipelineError::corrupt("redirects"))?;
        return Ok(Some(founder));
    }
    let Some(bytes) = reader.get(Keyspace::Profiles, &keys::wide(space, id.0))? else {
        return Ok(None);
    };
    let record = ProfileRecord::decode(&bytes).ok_or_else(|| PipelineError::corrupt("profiles"))?;
    founder_of(reader, space, id, &record)
}

/// The same of a profile that stands.
pub(crate) fn founder_of(
    reader: &dyn Read,
    space: &SpaceId,
    id: ProfileId,
    record: &ProfileRecord,
) -> Result<Option<(u128, Position)>, PipelineError> {
    let component = crate::reads::component_of_profile(reader, space, record)?;
    let oldest = component.members_of(id).into_iter().next();
    Ok(oldest.map(|oldest| (oldest.part.carrier, oldest.first.position())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_the_bytes_of_a_redirect() {
        let address = Address {
            generation: 1,
            partition: 2,
            sequence: 3,
            index: 4,
        };
        let founder = (7, (Timestamp::from_micros(260), address));
        let row = encode(founder, None);
        let mut golden = vec![0; 15];
        golden.extend([7, 0, 0, 0, 0, 0, 0, 1, 4]);
        golden.extend(address.to_bytes());
        assert_eq!(row, golden, "the bytes of version 4 of the state");
        assert_eq!(decode(&row), Some((founder, None)));
        let row = encode(founder, Some(ProfileId(9)));
        golden.extend([0; 15]);
        golden.push(9);
        assert_eq!(row, golden);
        assert_eq!(decode(&row), Some((founder, Some(ProfileId(9)))));
        for length in (0..row.len()).filter(|length| *length != FOUNDER_BYTES) {
            assert_eq!(decode(&row[..length]), None);
        }
    }
}
