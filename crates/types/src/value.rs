//! JSON values with exact numbers.

use crate::{Decimal, write_json_string};
use ecow::EcoString;
use std::fmt;

/// A text of a value: up to 15 bytes, which most keys and many values have, lie in it and need no allocation.
pub type Text = EcoString;

/// The fields of an object in the order they were sent; keys are distinct.
pub type Object = Vec<(Text, Value)>;

/// A JSON value whose numbers are exact decimals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, exact.
    Number(Decimal),
    /// A string.
    String(Text),
    /// A list.
    Array(Vec<Value>),
    /// An object, its fields in the order they were sent.
    Object(Object),
}

impl Value {
    /// The string, if this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The number, if this is one.
    #[must_use]
    pub fn as_number(&self) -> Option<Decimal> {
        if let Self::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// The truth value, if this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self {
            Some(*truth)
        } else {
            None
        }
    }

    /// The fields, if this is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(fields) = self {
            Some(fields)
        } else {
            None
        }
    }

    /// The field of that name, if this is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?
            .iter()
            .find(|(name, _)| &**name == key)
            .map(|(_, value)| value)
    }

    /// Whether nothing is said: `null`, an empty or blank string.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::String(text) => text.trim().is_empty(),
            _ => false,
        }
    }

    /// Appends the value as compact JSON.
    pub fn write_json(&self, out: &mut String) {
        use fmt::Write;
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            // Writing to a string cannot fail.
            Self::Number(number) => write!(out, "{number}").unwrap_or_default(),
            Self::String(text) => write_json_string(text, out),
            Self::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Self::Object(fields) => write_json_object(fields, out),
        }
    }

    /// The value as compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Decimal::from(number))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

/// Appends the fields as a compact JSON object.
pub fn write_json_object(fields: &Object, out: &mut String) {
    out.push('{');
    for (at, (key, value)) in fields.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_json_string(key, out);
        out.push(':');
        value.write_json(out);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_with_exact_numbers_and_escapes() {
        let value = Value::Object(vec![
            ("n".into(), Value::Number("9007199254740993".parse().unwrap())),
            ("s".into(), Value::from("a\"b\\c\u{0}\u{1f}é\n")),
            ("l".into(), Value::Array(vec![Value::Null, Value::Bool(true)])),
        ]);
        assert_eq!(
            value.to_json(),
            r#"{"n":9007199254740993,"s":"a\"b\\c\u0000\u001fé\n","l":[null,true]}"#
        );
    }
}
