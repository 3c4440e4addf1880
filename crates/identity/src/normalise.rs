//! Normalisers: one spelling for each value of an identifier.
//!
//! Works with [`crate::Rules`]. Pure text work; it never judges whether a value is blocked.

use std::borrow::Cow;

/// How the values of a type are brought to one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normaliser {
    /// White space around it is dropped, letters become small; it must be `local@domain`.
    Email,
    /// `+` or `00` and digits become `+` and the digits (E.164); digits alone stay as they are. 5 to 15 digits.
    Phone,
    /// White space around it is dropped.
    Trim,
    /// White space around it is dropped, letters become small.
    Lowercase,
    /// The value stays as sent.
    None,
}

impl Normaliser {
    /// The names that definitions use.
    pub(crate) const NAMES: [&'static str; 5] = ["email", "phone", "trim", "lowercase", "none"];

    /// The name that definitions use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Trim => "trim",
            Self::Lowercase => "lowercase",
            Self::None => "none",
        }
    }

    /// The normaliser of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Email, Self::Phone, Self::Trim, Self::Lowercase, Self::None]
            .into_iter()
            .find(|one| one.as_str() == name)
    }

    /// The value in its one spelling, or nothing where it is no value of this kind.
    #[must_use]
    pub fn normalise(self, value: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::None => Some(Cow::Borrowed(value)),
            Self::Trim => Some(Cow::Borrowed(value.trim())),
            Self::Lowercase => Some(lowercase(value.trim())),
            Self::Email => email(value.trim()),
            Self::Phone => phone(value.trim()),
        }
    }
}

fn lowercase(value: &str) -> Cow<'_, str> {
    if value.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        Cow::Owned(value.to_lowercase())
    } else {
        Cow::Borrowed(value)
    }
}

fn email(value: &str) -> Option<Cow<'_, str>> {
    // The last `@` separates: a quoted local part may hold another one.
    let (local, domain) = value.rsplit_once('@')?;
    let plain = !local.is_empty() && !domain.is_empty() && !value.chars().any(|c| c.is_whitespace() || c.is_control());
    plain.then(|| lowercase(value))
}

fn phone(value: &str) -> Option<Cow<'_, str>> {
    let (international, rest) = match value.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => value.strip_prefix("00").map_or((false, value), |rest| (true, rest)),
    };
    let mut digits = String::with_capacity(16);
    if international {
        digits.push('+');
    }
    // `+44 (0)20 …` shows the trunk zero that is dialled only within the country.
    let without_trunk = if international {
        Cow::Owned(rest.replacen("(0)", "", 1))
    } else {
        Cow::Borrowed(rest)
    };
    for symbol in without_trunk.chars() {
        match symbol {
            '0'..='9' => digits.push(symbol),
            ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' => {}
            _ => return None,
        }
    }
    let count = digits.len() - usize::from(international);
    // No country code starts with zero.
    let possible = (5..=15).contains(&count) && !(international && digits.starts_with("+0"));
    possible.then_some(if digits == value {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(digits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idn_2_normalisers_give_one_spelling() {
        let check = |normaliser: Normaliser, sent: &str, expected: Option<&str>| {
            assert_eq!(
                normaliser.normalise(sent).as_deref(),
                expected,
                "{normaliser:?} {sent:?}"
            );
        };
        check(Normaliser::Email, "  Jo.Doe@Example.COM ", Some("jo.doe@example.com"));
        check(Normaliser::Email, "jo", None);
        check(Normaliser::Email, "@example.com", None);
        check(Normaliser::Email, "jo@", None);
        check(Normaliser::Email, "jo doe@example.com", None);
        check(Normaliser::Phone, "+31 (0)6-1234.5678", Some("+31612345678"));
        check(Normaliser::Phone, "0031612345678", Some("+31612345678"));
        check(Normaliser::Phone, "+31612345678", Some("+31612345678"));
        check(Normaliser::Phone, "06 1234 5678", Some("0612345678"));
        check(Normaliser::Phone, "1234", None);
        check(Normaliser::Phone, "+000000000", None);
        check(Normaliser::Phone, "call me", None);
        check(Normaliser::Phone, "1234567890123456", None);
        check(Normaliser::Trim, " A b ", Some("A b"));
        check(Normaliser::Lowercase, " ÄB ", Some("äb"));
        check(Normaliser::None, " A ", Some(" A "));
    }
}
