//! JSON text: finding what a string must escape, and escaping it.
//!
//! Works for whoever reads or writes JSON without a library: cleaning, the raw zone, table columns. It copies runs of
//! plain bytes whole. It never judges a text.

/// The place of the next quote, backslash or control character from `from` on, or the end. Eight bytes at a time, by the
/// test for a zero byte of "Bit Twiddling Hacks": its lowest mark is always right.
#[inline]
#[must_use]
pub fn find_json_special(bytes: &[u8], from: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut at = from;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        let (quote, slash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5C));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let marks = (control | (quote.wrapping_sub(ONES) & !quote) | (slash.wrapping_sub(ONES) & !slash)) & HIGH;
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or(&[]);
    at + rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
        .unwrap_or(rest.len())
}

/// The escape of a byte that a JSON string cannot hold as it is; a control character without a short form has none here.
fn short_escape(byte: u8) -> Option<&'static str> {
    Some(match byte {
        b'"' => "\\\"",
        b'\\' => "\\\\",
        b'\n' => "\\n",
        b'\r' => "\\r",
        b'\t' => "\\t",
        0x08 => "\\b",
        0x0C => "\\f",
        _ => return None,
    })
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn long_escape(byte: u8) -> [u8; 6] {
    let hex = |nibble: u8| HEX[usize::from(nibble)];
    [b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]
}

/// Appends the text as a JSON string, its quotes included.
pub fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    let mut from = 0;
    loop {
        let at = find_json_special(text.as_bytes(), from);
        out.push_str(&text[from..at]);
        let Some(byte) = text.as_bytes().get(at) else { break };
        match short_escape(*byte) {
            Some(escape) => out.push_str(escape),
            None => out.extend(long_escape(*byte).map(char::from)),
        }
        from = at + 1;
    }
    out.push('"');
}

/// As [`write_json_string`], to bytes.
pub fn write_json_bytes(text: &str, out: &mut Vec<u8>) {
    // A body that is JSON itself has an escape every few bytes.
    out.reserve(text.len() + text.len() / 4 + 2);
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let at = find_json_special(bytes, from);
        out.extend_from_slice(&bytes[from..at]);
        let Some(byte) = bytes.get(at) else { break };
        match short_escape(*byte) {
            Some(escape) => out.extend_from_slice(escape.as_bytes()),
            None => out.extend_from_slice(&long_escape(*byte)),
        }
        from = at + 1;
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn col_7_a_string_is_escaped_as_json_demands(text in "[\\x00-\\x7f é漢🦀\"\\\\]{0,60}") {
            let (mut string, mut bytes) = (String::new(), Vec::new());
            write_json_string(&text, &mut string);
            write_json_bytes(&text, &mut bytes);
            prop_assert_eq!(string.as_bytes(), bytes.as_slice());
            let inner = &bytes[1..bytes.len() - 1];
            prop_assert!(inner.iter().all(|byte| *byte >= 0x20));
            prop_assert_eq!(unescaped(inner), text.as_bytes());
        }
    }

    /// The reader of the tests, written apart from the writer.
    fn unescaped(bytes: &[u8]) -> Vec<u8> {
        let (mut out, mut at) = (Vec::new(), 0);
        while let Some(byte) = bytes.get(at) {
            if *byte != b'\\' {
                assert_ne!(*byte, b'"');
                out.push(*byte);
                at += 1;
                continue;
            }
            let plain = match bytes[at + 1] {
                b'n' => 10,
                b'r' => 13,
                b't' => 9,
                b'b' => 8,
                b'f' => 12,
                b'u' => u8::from_str_radix(std::str::from_utf8(&bytes[at + 4..at + 6]).unwrap(), 16).unwrap(),
                other => other,
            };
            at += if bytes[at + 1] == b'u' { 6 } else { 2 };
            out.push(plain);
        }
        out
    }
}
