//! The rows of a held identifier: who stood beside it, event by event.

use crate::bytes::{Reader, put_signed};
use kith_types::Timestamp;

/// Raised when the meaning of the bytes changes.
const VERSION: u8 = 1;

/// The row of a held identifier: when the event was received, and the authenticating identifier of highest priority
/// beside it.
pub(crate) fn encode_presence(received_at: Timestamp, beside: Option<u128>) -> Vec<u8> {
    let mut row = Vec::with_capacity(26);
    row.push(VERSION);
    put_signed(&mut row, received_at.as_micros());
    if let Some(identifier) = beside {
        row.extend_from_slice(&identifier.to_be_bytes());
    }
    row
}

/// Reads what [`encode_presence`] wrote.
pub(crate) fn decode_presence(row: &[u8]) -> Option<(Timestamp, Option<u128>)> {
    let mut reader = Reader(row);
    if reader.byte()? != VERSION {
        return None;
    }
    let received_at = Timestamp::from_micros(reader.signed()?);
    let beside = if reader.0.is_empty() {
        None
    } else {
        Some(reader.wide()?)
    };
    Some((received_at, beside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_presence_is_read_as_it_was_written() {
        let at = Timestamp::from_micros(77);
        assert_eq!(encode_presence(at, None), [1, 154, 1], "the bytes of version 1");
        let beside = encode_presence(at, Some(5));
        assert_eq!(
            beside,
            [1, 154, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5],
            "the bytes of version 1"
        );
        assert_eq!(decode_presence(&[1, 154, 1]), Some((at, None)));
        assert_eq!(decode_presence(&beside), Some((at, Some(5))));
        assert_eq!(decode_presence(&[2, 154, 1]), None);
    }
}
