//! What a text is made of: UUIDs and long numbers, which take less than their digits, and what is between them.

use smallvec::SmallVec;

/// Digits that a number has, where it is taken for one: fewer would gain nothing, and more not fit.
const DIGITS: std::ops::RangeInclusive<usize> = 10..=19;
/// Pieces that a text is cut into, about.
const PIECES_MAX: usize = 8;
const UUID_CHARS: usize = 36;

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    /// A UUID in its canonical form, with small letters.
    Uuid(u128),
    /// A number without leading zeros.
    Digits(u64),
}

/// The pieces of a text, in their order: put together they give exactly it. There is at least one.
pub(super) fn of(text: &str) -> SmallVec<[Piece<'_>; 4]> {
    let (mut pieces, mut from, mut at) = (SmallVec::new(), 0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() && pieces.len() < PIECES_MAX {
        let (piece, length) = match bytes.get(at..) {
            Some(rest) if rest[0].is_ascii_hexdigit() => match uuid(rest) {
                Some(uuid) => (Some(Piece::Uuid(uuid)), UUID_CHARS),
                None => digits(rest),
            },
            _ => (None, 1),
        };
        if let Some(piece) = piece {
            if from < at {
                pieces.push(Piece::Text(&text[from..at]));
            }
            pieces.push(piece);
            from = at + length;
        }
        at += length;
    }
    if from < text.len() || pieces.is_empty() {
        pieces.push(Piece::Text(&text[from..]));
    }
    pieces
}

/// The number that some digits begin with, and how many bytes are dealt with.
fn digits(bytes: &[u8]) -> (Option<Piece<'_>>, usize) {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !DIGITS.contains(&length) || bytes[0] == b'0' {
        return (None, length.max(1));
    }
    let digits = bytes.get(..length).and_then(|digits| std::str::from_utf8(digits).ok());
    let number = digits.and_then(|digits| digits.parse().ok());
    (number.map(Piece::Digits), length)
}

/// The UUID that some bytes begin with.
fn uuid(bytes: &[u8]) -> Option<u128> {
    let bytes = bytes.get(..UUID_CHARS)?;
    let mut uuid = 0_u128;
    for (at, byte) in bytes.iter().enumerate() {
        let digit = match (at, byte) {
            (8 | 13 | 18 | 23, b'-') => continue,
            (8 | 13 | 18 | 23, _) => return None,
            (_, b'0'..=b'9') => byte - b'0',
            (_, b'a'..=b'f') => byte - b'a' + 10,
            _ => return None,
        };
        uuid = uuid << 4 | u128::from(digit);
    }
    Some(uuid)
}

/// A UUID as text.
pub(super) fn uuid_text(uuid: u128) -> String {
    let digits = format!("{uuid:032x}");
    let mut text = String::with_capacity(UUID_CHARS);
    for (at, digit) in digits.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text_of(pieces: &[Piece<'_>]) -> String {
        let each = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => (*text).to_owned(),
            Piece::Uuid(uuid) => uuid_text(*uuid),
            Piece::Digits(number) => number.to_string(),
        });
        each.collect()
    }

    #[test]
    fn a_text_is_cut_at_uuids_and_long_numbers() {
        let uuid = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
        let text = "ajs-next-1700000000000-01234567-89ab-cdef-0123-456789abcdef";
        let wanted = [
            Piece::Text("ajs-next-"),
            Piece::Digits(1_700_000_000_000),
            Piece::Text("-"),
            Piece::Uuid(uuid),
        ];
        assert_eq!(of(text).as_slice(), wanted);
        let whole = [
            "",
            "é",
            "order-000123",
            "0123456789012",
            "99999999999999999999",
            "01234567-89AB-cdef-0123-456789abcdef",
        ];
        for text in whole {
            assert_eq!(of(text).as_slice(), [Piece::Text(text)], "{text}");
        }
        assert_eq!(of("é9999999999é").len(), 3);
    }

    proptest! {
        #[test]
        fn pieces_give_back_exactly_their_text(
            parts in prop::collection::vec(prop_oneof![
                "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
                "[0-9]{1,25}", "[0-9A-Fa-f-]{0,40}", ".{0,6}"
            ], 0..12)
        ) {
            let text = parts.concat();
            prop_assert_eq!(text_of(&of(&text)), text);
        }
    }
}
