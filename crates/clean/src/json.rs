//! A strict JSON reader: exact numbers, distinct keys, no lone surrogates, bounded depth.
//!
//! Works for `fields` and `body`, which drive it through one body without copying. Written here, and not taken from
//! sonic-rs or `serde_json`, because the doors and cleaning must give one verdict on every input: the same code runs
//! with a builder that makes nothing ([`Skip`], at the doors) and one that makes [`Value`]s ([`Values`], in cleaning).
//! The libraries' readers keep the last of two equal keys, and read numbers that no decimal holds. Grammar: RFC 8259.
//! It never recurses deeper than [`JSON_DEPTH_MAX`] and never panics, whatever the bytes.

mod reader;

use kith_types::{Decimal, Object, Value};
use std::borrow::Cow;
use std::fmt;

/// How deep objects and lists may stand in one another.
pub const JSON_DEPTH_MAX: usize = 64;
/// The longest path that an error shows, in bytes.
const PATH_BYTES_MAX: usize = 200;

/// What is wrong with a text that should be JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// The grammar wants something else here; says what.
    Expected(&'static str),
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// Two equal keys in one object.
    DuplicateKey,
    /// Half of a surrogate pair.
    LoneSurrogate,
    /// A number that cannot be carried exactly.
    NumberOutOfRange,
    /// Deeper than [`JSON_DEPTH_MAX`].
    TooDeep,
}

impl JsonFault {
    /// The code that replies and rejects carry.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Expected(_) => "invalid_json",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::DuplicateKey => "duplicate_key",
            Self::LoneSurrogate => "lone_surrogate",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::TooDeep => "too_deep",
        }
    }
}

/// A fault, where it stands, and the path of keys that leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong.
    pub fault: JsonFault,
    /// Bytes before the fault in the text that was read.
    pub offset: usize,
    /// The keys and places that lead to it, such as `context.ids[2]`; empty at the top.
    pub path: String,
}

impl JsonError {
    pub(crate) fn new(fault: JsonFault, offset: usize) -> Box<Self> {
        Box::new(Self {
            fault,
            offset,
            path: String::new(),
        })
    }

    /// Puts a step before the path, while the path is short enough to be of use.
    fn under(mut self: Box<Self>, step: &str) -> Box<Self> {
        if self.path.len() + step.len() < PATH_BYTES_MAX {
            let dot = if self.path.is_empty() || self.path.starts_with('[') {
                ""
            } else {
                "."
            };
            self.path = format!("{step}{dot}{}", self.path);
        }
        self
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.offset;
        match self.fault {
            JsonFault::Expected(what) => write!(f, "not JSON: expected {what} at byte {at}"),
            JsonFault::InvalidUtf8 => write!(f, "byte {at} is not UTF-8; JSON is sent as UTF-8"),
            JsonFault::DuplicateKey => write!(f, "the key before byte {at} stands twice in its object; send it once"),
            JsonFault::LoneSurrogate => write!(
                f,
                "half of a surrogate pair at byte {at}; escape both halves or neither"
            ),
            JsonFault::NumberOutOfRange => {
                write!(
                    f,
                    "the number before byte {at} has more than 38 significant digits or an exponent beyond 400; send it as a string"
                )
            }
            JsonFault::TooDeep => write!(f, "nested deeper than {JSON_DEPTH_MAX} levels at byte {at}"),
        }
    }
}

impl std::error::Error for JsonError {}

pub(crate) use reader::Reader;

pub(crate) type Reading<T> = Result<T, Box<JsonError>>;

/// Reads a whole text as one JSON value with exact numbers.
///
/// # Errors
/// [`JsonError`] on anything but one strict JSON value with blanks around it.
pub fn parse_json(bytes: &[u8]) -> Result<Value, Box<JsonError>> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| JsonError::new(JsonFault::InvalidUtf8, error.valid_up_to()))?;
    let mut reader = Reader::new(text);
    let value = reader.value::<Values>(0)?;
    reader.end()?;
    Ok(value)
}

/// What a reader makes of what it reads.
pub(crate) trait Build {
    type Node: Default;
    type Items: Default;
    type Fields: Default;
    fn boolean(truth: bool) -> Self::Node;
    fn number(number: Number<'_>) -> Option<Self::Node>;
    fn string(text: Text<'_>) -> Self::Node;
    fn push(items: &mut Self::Items, node: Self::Node);
    fn array(items: Self::Items) -> Self::Node;
    fn insert(fields: &mut Self::Fields, key: &str, node: Self::Node);
    fn object(fields: Self::Fields) -> Self::Node;
}

/// Makes nothing: for a verdict alone.
pub(crate) struct Skip;

impl Build for Skip {
    type Node = ();
    type Items = ();
    type Fields = ();
    fn boolean(_: bool) {}
    fn number(number: Number<'_>) -> Option<()> {
        if number.is_short() {
            Some(())
        } else {
            number.token.parse::<Decimal>().ok().map(|_| ())
        }
    }
    fn string(_: Text<'_>) {}
    fn push((): &mut (), (): ()) {}
    fn array((): ()) {}
    fn insert((): &mut (), _: &str, (): ()) {}
    fn object((): ()) {}
}

/// Fields that room is made for when an object's first one is read.
const FIELDS_EXPECTED: usize = 8;

/// Makes [`Value`]s.
pub(crate) struct Values;

impl Build for Values {
    type Node = Value;
    type Items = Vec<Value>;
    type Fields = Object;
    fn boolean(truth: bool) -> Value {
        Value::Bool(truth)
    }
    fn number(number: Number<'_>) -> Option<Value> {
        number.decimal().map(Value::Number)
    }
    fn string(text: Text<'_>) -> Value {
        Value::String(if text.escaped {
            text.unescaped().into()
        } else {
            text.raw.into()
        })
    }
    fn push(items: &mut Vec<Value>, node: Value) {
        items.push(node);
    }
    fn array(items: Vec<Value>) -> Value {
        Value::Array(items)
    }
    fn insert(fields: &mut Object, key: &str, node: Value) {
        if fields.is_empty() {
            // Most objects have a handful of fields: one allocation instead of growth from one to the next size.
            fields.reserve_exact(FIELDS_EXPECTED);
        }
        fields.push((key.into(), node));
    }
    fn object(fields: Object) -> Value {
        Value::Object(fields)
    }
}

/// A number's text, whose grammar is right.
#[derive(Clone, Copy)]
pub(crate) struct Number<'a> {
    token: &'a str,
    has_exponent: bool,
}

impl Number<'_> {
    /// Whether any number so written fits a decimal and its digits fit 64 bits.
    fn is_short(self) -> bool {
        !self.has_exponent && self.token.len() <= 18
    }

    /// The exact number, if a decimal holds it.
    pub(crate) fn decimal(self) -> Option<Decimal> {
        if !self.is_short() {
            return self.token.parse().ok();
        }
        let (mut digits, mut places, mut in_fraction) = (0_i64, 0, false);
        for byte in self.token.bytes() {
            match byte {
                b'0'..=b'9' => {
                    digits = digits * 10 + i64::from(byte - b'0');
                    places += i32::from(in_fraction);
                }
                b'.' => in_fraction = true,
                _ => {}
            }
        }
        while digits != 0 && digits % 10 == 0 {
            digits /= 10;
            places -= 1;
        }
        let signed = if self.token.starts_with('-') { -digits } else { digits };
        Decimal::new(i128::from(signed), -places).ok()
    }
}

/// A string between its quotes, whose escapes are right.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// The string that the escapes write.
    #[inline]
    pub(crate) fn decoded(self) -> Cow<'a, str> {
        if self.escaped {
            Cow::Owned(self.unescaped())
        } else {
            Cow::Borrowed(self.raw)
        }
    }

    #[cold]
    fn unescaped(self) -> String {
        let mut out = String::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some(at) = rest.find('\\') {
            out.push_str(&rest[..at]);
            let escape = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
            let mut taken = 2;
            out.push(match escape {
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let first = reader::hex4(rest.as_bytes(), at + 2).unwrap_or(0xFFFD);
                    let low = reader::hex4(rest.as_bytes(), at + 8).unwrap_or(0);
                    let paired = (0xD800..0xDC00).contains(&first);
                    taken = if paired { 12 } else { 6 };
                    let code = if paired {
                        0x1_0000 + ((first - 0xD800) << 10) + low.wrapping_sub(0xDC00)
                    } else {
                        first
                    };
                    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
                plain => char::from(plain),
            });
            rest = rest.get(at + taken..).unwrap_or("");
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests;
