//! Finding one value in a JSON text without building a tree of it.
//!
//! A path is names joined by dots, such as `address.city`; numbers count the entries of a list from 0, as in
//! `products.0.price`. A backslash takes the next character as it is: `a\.b` is the name `a.b`. The empty path is the
//! whole text. Where an object has a name twice, the last one counts.

use serde::Deserializer;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A path that was read once and serves for many texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPath {
    steps: Vec<String>,
}

impl JsonPath {
    pub(crate) fn parse(path: &str) -> Self {
        let mut steps = Vec::new();
        if path.is_empty() {
            return Self { steps };
        }
        let mut step = String::new();
        let mut symbols = path.chars();
        while let Some(symbol) = symbols.next() {
            match symbol {
                '.' => steps.push(std::mem::take(&mut step)),
                '\\' => step.extend(symbols.next()),
                other => step.push(other),
            }
        }
        steps.push(step);
        Self { steps }
    }

    /// The text of the value at the path, as it stands; none where there is no such value or no JSON.
    pub(crate) fn find<'a>(&self, text: &'a str) -> Option<&'a str> {
        let mut found: &str = serde_json::from_str::<&RawValue>(text).ok()?.get();
        for step in &self.steps {
            let mut reader = serde_json::Deserializer::from_str(found);
            found = reader.deserialize_any(Step { name: step }).ok()??.get();
        }
        Some(found)
    }
}

/// A JSON value as text: a string's characters, anything else as written; none for null.
pub(crate) fn text_of(value: &str) -> Option<Cow<'_, str>> {
    match value.as_bytes().first()? {
        b'"' => serde_json::from_str::<JsonText<'_>>(value).ok().map(|text| text.0),
        b'n' => None,
        _ => Some(Cow::Borrowed(value)),
    }
}

/// The number of entries of a list; none for anything else.
pub(crate) fn list_length(value: &str) -> Option<i64> {
    let entries = serde_json::from_str::<Vec<IgnoredAny>>(value).ok()?;
    i64::try_from(entries.len()).ok()
}

#[derive(serde::Deserialize)]
struct JsonText<'a>(#[serde(borrow)] Cow<'a, str>);

/// Takes the entry of that name or number.
struct Step<'s> {
    name: &'s str,
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<JsonText<'de>>()? {
            if key.0 == self.name {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let wanted: usize = self.name.parse().map_err(|_| A::Error::custom("a list has no names"))?;
        let mut found = None;
        let mut at = 0;
        while let Some(value) = list.next_element::<&RawValue>()? {
            if at == wanted {
                found = Some(value);
            }
            at += 1;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(text: &'a str, path: &str) -> Option<Cow<'a, str>> {
        text_of(JsonPath::parse(path).find(text)?)
    }

    #[test]
    fn paths_reach_names_entries_and_escaped_dots() {
        let text =
            r#"{"a":{"b":"ü\n\"x"},"list":[{"p":1.50},[7]],"c.d":true,"e":null,"":4,"n":12345678901234567890.10}"#;
        assert_eq!(get(text, "a.b").as_deref(), Some("ü\n\"x"));
        assert_eq!(get(text, "list.0.p").as_deref(), Some("1.50"));
        assert_eq!(get(text, "list.1.0").as_deref(), Some("7"));
        assert_eq!(get(text, r"c\.d").as_deref(), Some("true"));
        assert_eq!(get(text, "n").as_deref(), Some("12345678901234567890.10"));
        assert_eq!(get(text, "a").as_deref(), Some(r#"{"b":"ü\n\"x"}"#));
        for missing in ["e", "a.c", "list.9", "list.x", "a.b.c", "c.d", "zz"] {
            assert_eq!(get(text, missing), None, "{missing}");
        }
        assert_eq!(get(" [1, 2]", "").as_deref(), Some("[1, 2]"));
        assert_eq!(get(r#"{"a":1,"a":2}"#, "a").as_deref(), Some("2"));
    }

    #[test]
    fn what_is_no_json_has_no_values() {
        for text in ["", "{", "{\"a\":1", "nope", "{\"a\":1} x"] {
            assert_eq!(get(text, "a"), None, "{text}");
        }
        assert_eq!(list_length("[1,[2,3],{}]"), Some(3));
        assert_eq!(list_length("{}"), None);
    }
}
