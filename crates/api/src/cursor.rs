//! Where a list goes on: opaque to clients, bound to its list, never kept by the server.
//!
//! Base64url of: version byte, a 64-bit FNV-1a hash of the list it belongs to (so that a cursor of another list is
//! refused, not misread), and the place in it.

use crate::ApiError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const VERSION: u8 = 1;
/// The longest cursor that is read, in characters.
const CHARS_MAX: usize = 4_096;

/// A cursor that goes on after `place` in `list`.
pub(crate) fn write(list: &str, place: &str) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&fnv(list).to_be_bytes());
    bytes.extend_from_slice(place.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that a cursor of `list` names; none for no cursor or an empty one.
pub(crate) fn read(list: &str, cursor: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) else {
        return Ok(None);
    };
    let wrong =
        || ApiError::invalid("next is not a cursor of this list: pass back what the page before gave, or leave it out");
    if cursor.len() > CHARS_MAX {
        return Err(wrong());
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
    let place = bytes
        .strip_prefix(&[VERSION])
        .and_then(|rest| rest.strip_prefix(&fnv(list).to_be_bytes()))
        .ok_or_else(wrong)?;
    String::from_utf8(place.to_vec()).map(Some).map_err(|_| wrong())
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): it guards against mistakes, not against malice; a place is checked when read.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_in_its_own_list_only() {
        let cursor = write("main/traits/user_id:u1", "first name, é");
        assert_eq!(
            read("main/traits/user_id:u1", Some(&cursor)).unwrap().as_deref(),
            Some("first name, é")
        );
        assert_eq!(read("main/traits/user_id:u1", None).unwrap(), None);
        assert!(read("main/traits/user_id:u2", Some(&cursor)).is_err());
        for wrong in ["x", "browser", "AQ", &"A".repeat(5_000)] {
            assert!(read("main/traits/user_id:u1", Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn golden_the_form_of_a_cursor() {
        assert_eq!(write("list", "place"), "Ab93mq1pdIFBcGxhY2U");
    }
}
