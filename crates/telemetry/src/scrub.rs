//! Masks what would name a person or open a door in a line of log.
//!
//! The rule of the code base is that nobody logs such values; this is the net beneath the rule. It knows the shapes of
//! e-mail addresses, IP addresses, telephone numbers in E.164 and Kith's own keys. It never parses the line as JSON.

use std::borrow::Cow;

/// The beginnings of Kith's secrets.
const KEY_PREFIXES: [&str; 2] = ["kith_wk_", "kith_ak_"];

/// The line with e-mail addresses, IP addresses, telephone numbers and keys replaced by `[email]`, `[ip]`, `[phone]`
/// and `[key]`. A line that holds none is returned as it is.
#[must_use]
pub fn scrub(line: &str) -> Cow<'_, str> {
    let mut out: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    let bytes = line.as_bytes();
    while at < bytes.len() {
        if !is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let end = bytes[at..]
            .iter()
            .position(|byte| !is_word(*byte))
            .map_or(bytes.len(), |length| at + length);
        let (start, stop) = trim(bytes, at, end);
        if let Some(mask) = mask_of(&line[start..stop]) {
            let text = out.get_or_insert_with(|| String::with_capacity(line.len()));
            text.push_str(&line[copied..start]);
            text.push_str(mask);
            copied = stop;
        }
        at = end;
    }
    match out {
        Some(mut text) => {
            text.push_str(&line[copied..]);
            Cow::Owned(text)
        }
        None => Cow::Borrowed(line),
    }
}

/// The bytes of which addresses, numbers and keys are made. All of UTF-8 beyond ASCII counts, so that a word is never
/// cut inside a character.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"@.+-_%:'!#$&*/?^`|~".contains(&byte)
}

/// Leaves punctuation around a word out of it.
fn trim(bytes: &[u8], mut start: usize, mut end: usize) -> (usize, usize) {
    let edge = |byte: u8| b".-:'!#$&*/?^`|~".contains(&byte);
    while start < end && edge(bytes[start]) && !bytes[start..end].starts_with(b"::") {
        start += 1;
    }
    while end > start && edge(bytes[end - 1]) && !bytes[start..end].ends_with(b"::") {
        end -= 1;
    }
    (start, end)
}

fn mask_of(word: &str) -> Option<&'static str> {
    if KEY_PREFIXES.iter().any(|prefix| word.contains(prefix)) {
        return Some("[key]");
    }
    if let Some((local, domain)) = word.split_once('@')
        && !local.is_empty()
        && !domain.is_empty()
    {
        return Some("[email]");
    }
    let digits = word.strip_prefix('+').unwrap_or("");
    if digits.len() >= 7 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some("[phone]");
    }
    let host = word.rsplit_once(':').map_or(word, |(host, _)| host);
    // An address of IPv4 may carry a port. The loopback and unspecified addresses are the server's own.
    for text in [word, host] {
        if let Ok(address) = text.parse::<std::net::IpAddr>()
            && !address.is_loopback()
            && !address.is_unspecified()
        {
            return Some("[ip]");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_1_what_names_a_person_is_masked() {
        for (line, masked) in [
            ("mail to jo@example.com failed", "mail to [email] failed"),
            (r#"{"to":"jö+x@exämple.de","n":1}"#, r#"{"to":"[email]","n":1}"#),
            ("email:jo@example.com.", "[email]."),
            ("from 203.0.113.9:4711, then 2001:db8::1", "from [ip], then [ip]"),
            ("called +4915112345678", "called [phone]"),
            ("Basic kith_wk_AAAA-bbbb: refused", "Basic [key]: refused"),
            ("<jo@example.com>", "<[email]>"),
        ] {
            assert_eq!(scrub(line), masked);
        }
    }

    #[test]
    fn what_names_nobody_stays() {
        for line in [
            "listening on 127.0.0.1:8080 and 0.0.0.0:5433",
            "2026-11-23T09:30:00.000Z INFO kith_log::segment sealed address=1-0-25-0 bytes=1048576",
            "took 12.5 ms at 10:30:00, version 0.1.0",
            "prf_0123456789abcdef0123456789abcdef",
            "a @ b",
            "",
        ] {
            assert!(matches!(scrub(line), Cow::Borrowed(_)), "{line} -> {}", scrub(line));
        }
    }
}
