//! Where profile ids lead that no longer stand.
//!
//! An id comes from its oldest identifier at that identifier's first appearance, so the row of one that vanished names these
//! two and no profile: it leads to whoever holds the identifier when it is asked (contract IDN-5). What is merged, unmerged
//! or decided afterwards needs no second look at it, and the order in which things came to pass leaves no trace in it.

use crate::{PipelineError, keys};
use kith_identity::{Component, Placement, Position};
use kith_state::{Keyspace, Read};
use kith_types::{Address, ProfileId, SpaceId, Timestamp};

/// The row of an id that comes from this identifier.
pub(crate) fn encode((carrier, (time, address)): (u128, Position)) -> Vec<u8> {
    let mut row = Vec::with_capacity(40);
    row.extend_from_slice(&carrier.to_be_bytes());
    row.extend_from_slice(&time.as_micros().to_be_bytes());
    row.extend_from_slice(&address.to_bytes());
    row
}

fn decode(row: &[u8]) -> Option<(u128, Position)> {
    let (carrier, rest) = row.split_first_chunk::<16>()?;
    let (time, address) = rest.split_first_chunk::<8>()?;
    let time = Timestamp::from_micros(i64::from_be_bytes(*time));
    let address = Address::from_bytes(address.try_into().ok()?);
    Some((u128::from_be_bytes(*carrier), (time, address)))
}

/// Who holds the identifier that an id comes from, with their component; nobody where the id never stood or its identifier
/// counts no more.
pub(crate) fn follow(
    reader: &dyn Read,
    space: &SpaceId,
    id: ProfileId,
) -> Result<Option<(ProfileId, Component)>, PipelineError> {
    let Some(row) = reader.get(Keyspace::Redirects, &keys::wide(space, id.0))? else {
        return Ok(None);
    };
    let (carrier, first_seen) = decode(&row).ok_or_else(|| PipelineError::corrupt("redirects"))?;
    let Some(home) = crate::reads::home_of(reader, space, carrier)? else {
        return Ok(None);
    };
    let component = crate::reads::component_of(reader, space, home)?;
    let holder = component.place(carrier, first_seen);
    Ok(holder.map(|Placement { profile, .. }| (profile, component)))
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
        let row = encode(founder);
        let mut golden = vec![0; 15];
        golden.extend([7, 0, 0, 0, 0, 0, 0, 1, 4]);
        golden.extend(address.to_bytes());
        assert_eq!(row, golden, "the bytes of version 4 of the state");
        assert_eq!(decode(&row), Some(founder));
        for length in 0..row.len() {
            assert_eq!(decode(&row[..length]), None);
        }
    }
}
