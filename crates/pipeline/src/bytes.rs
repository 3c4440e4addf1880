//! Writing and reading the bytes of stored rows: varints, strings and values.
//!
//! Every reader is bounded by the bytes it is given and answers `None` for anything that no writer wrote.

use kith_types::{Decimal, Object, Value};

/// How deep a stored value may nest; the door refuses deeper ones long before.
pub(crate) const DEPTH_LIMIT: u32 = 128;

/// Appends an unsigned number, seven bits a byte.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a signed number.
pub(crate) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Appends a text with its length.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends the fields of an object.
pub(crate) fn put_object(out: &mut Vec<u8>, object: &Object) {
    put_number(out, object.len() as u64);
    for (key, value) in object {
        put_text(out, key);
        put_value(out, value);
    }
}

/// Appends a value.
pub(crate) fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0),
        Value::Bool(false) => out.push(1),
        Value::Bool(true) => out.push(2),
        Value::Number(number) => {
            if let Ok(small) = i64::try_from(number.mantissa()) {
                out.push(3);
                put_signed(out, small);
            } else {
                out.push(4);
                out.extend_from_slice(&number.mantissa().to_le_bytes());
            }
            put_signed(out, i64::from(number.exponent()));
        }
        Value::String(text) => {
            out.push(5);
            put_text(out, text);
        }
        Value::Array(items) => {
            out.push(6);
            put_number(out, items.len() as u64);
            items.iter().for_each(|item| put_value(out, item));
        }
        Value::Object(fields) => {
            out.push(7);
            put_object(out, fields);
        }
    }
}

/// Reads what the `put` functions wrote, from the front.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|one| one[0])
    }

    pub(crate) fn wide(&mut self) -> Option<u128> {
        Some(u128::from_be_bytes(self.bytes(16)?.try_into().ok()?))
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let raw = self.number()?;
        Some((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.bytes(length)?).ok()
    }

    pub(crate) fn value(&mut self) -> Option<Value> {
        self.value_at(0)
    }

    pub(crate) fn object(&mut self) -> Option<Object> {
        self.object_at(0)
    }

    fn object_at(&mut self, depth: u32) -> Option<Object> {
        let count = usize::try_from(self.number()?).ok()?;
        // A field takes at least two bytes: a count beyond that is damage, not a reason to reserve memory.
        let mut fields = Vec::with_capacity(count.min(self.0.len() / 2));
        for _ in 0..count {
            let key = self.text()?.into();
            fields.push((key, self.value_at(depth + 1)?));
        }
        Some(fields)
    }

    fn value_at(&mut self, depth: u32) -> Option<Value> {
        if depth > DEPTH_LIMIT {
            return None;
        }
        Some(match self.byte()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            tag @ (3 | 4) => {
                let mantissa = if tag == 3 {
                    i128::from(self.signed()?)
                } else {
                    i128::from_le_bytes(self.bytes(16)?.try_into().ok()?)
                };
                Value::Number(Decimal::new(mantissa, i32::try_from(self.signed()?).ok()?).ok()?)
            }
            5 => Value::String(self.text()?.into()),
            6 => {
                let count = usize::try_from(self.number()?).ok()?;
                let mut items = Vec::with_capacity(count.min(self.0.len()));
                for _ in 0..count {
                    items.push(self.value_at(depth + 1)?);
                }
                Value::Array(items)
            }
            7 => Value::Object(self.object_at(depth)?),
            _ => return None,
        })
    }
}
