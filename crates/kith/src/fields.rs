//! A JSON object with its fields in order and every value as it was written: a number keeps all its digits.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The fields of an object.
#[derive(Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, Box<RawValue>)>);

impl Fields {
    /// The field of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

/// Whether a value is a number.
pub(crate) fn is_number(value: &RawValue) -> bool {
    value
        .get()
        .starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// A value as people read it: text without its quotes, nothing for `null`, anything else as JSON.
pub(crate) fn plain(value: &RawValue) -> Cow<'_, str> {
    match value.get() {
        "null" => Cow::Borrowed(""),
        text if text.starts_with('"') => serde_json::from_str(text).map_or(Cow::Borrowed(text), Cow::Owned),
        text => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_digits_stay_as_written() {
        let fields: Fields =
            serde_json::from_str(r#"{"z":1.10,"a":9007199254740993.0000001,"t":"x\ny","n":null}"#).unwrap();
        let shown: Vec<_> = fields
            .0
            .iter()
            .map(|(name, value)| format!("{name}={}", plain(value)))
            .collect();
        assert_eq!(shown, ["z=1.10", "a=9007199254740993.0000001", "t=x\ny", "n="]);
        assert!(is_number(fields.get("a").unwrap()) && !is_number(fields.get("t").unwrap()));
    }
}
