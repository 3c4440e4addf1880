//! The bytes that parts are made of: variable-length numbers, texts, values, marks.
//!
//! One value has one form, so equal state has equal bytes. The reader checks every length against what is left before
//! it takes memory, and never panics on damaged bytes.

use crate::PartError;
use crate::limits::MAX_VALUE_DEPTH;
use crate::mark::Mark;
use ethnum::I256;
use kith_types::{Address, Decimal, Timestamp, Value};

mod pass;

/// Numbers that a mark is written as.
pub(crate) const MARK_NUMBERS: usize = 5;

pub(crate) fn put_u128(out: &mut Vec<u8>, mut number: u128) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

pub(crate) fn put_u64(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(crate) fn put_len(out: &mut Vec<u8>, length: usize) {
    put_u64(out, length as u64);
}

pub(crate) fn put_i128(out: &mut Vec<u8>, number: i128) {
    put_u128(out, ((number << 1) ^ (number >> 127)).cast_unsigned());
}

pub(crate) fn put_i64(out: &mut Vec<u8>, number: i64) {
    put_u64(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

pub(crate) fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    put_i64(out, time.as_micros());
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_flag(out: &mut Vec<u8>, flag: bool) {
    out.push(u8::from(flag));
}

pub(crate) fn put_mark(out: &mut Vec<u8>, mark: &Mark) {
    put_time(out, mark.time);
    put_u64(out, u64::from(mark.address.generation));
    put_u64(out, u64::from(mark.address.partition));
    put_u64(out, mark.address.sequence);
    put_u64(out, u64::from(mark.address.index));
}

pub(crate) fn put_i256(out: &mut Vec<u8>, number: I256) {
    match i128::try_from(number) {
        Ok(small) => {
            out.push(0);
            put_i128(out, small);
        }
        Err(_) => {
            out.push(1);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

pub(crate) fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0),
        Value::Bool(truth) => out.push(1 + u8::from(*truth)),
        Value::Number(number) => {
            out.push(3);
            put_i128(out, number.mantissa());
            put_i64(out, i64::from(number.exponent()));
        }
        Value::String(text) => {
            out.push(4);
            put_text(out, text);
        }
        Value::Array(items) => {
            out.push(5);
            put_len(out, items.len());
            items.iter().for_each(|item| put_value(out, item));
        }
        Value::Object(fields) => {
            out.push(6);
            put_len(out, fields.len());
            for (key, value) in fields {
                put_text(out, key);
                put_value(out, value);
            }
        }
    }
}

/// Reads what the functions above wrote.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn damaged(&self, what: &'static str) -> PartError {
        PartError::Damaged { at: self.at, what }
    }

    pub(crate) fn finish(&self) -> Result<(), PartError> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.damaged("bytes after the end"))
        }
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], PartError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.damaged("the end is missing"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, PartError> {
        let byte = self.bytes.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte.ok_or_else(|| self.damaged("the end is missing"))
    }

    #[inline]
    pub(crate) fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], PartError> {
        let mut bytes = [0; LENGTH];
        bytes.copy_from_slice(self.take(LENGTH)?);
        Ok(bytes)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, PartError> {
        let mut number = 0_u128;
        for shift in (0..).step_by(7) {
            let byte = self.byte()?;
            let low = u128::from(byte & 0x7f);
            if shift > 126 || (shift == 126 && low > 3) || (byte == 0 && shift > 0) {
                return Err(self.damaged("a number is malformed"));
            }
            number |= low << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(number)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, PartError> {
        // Most are counts and the like.
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_u64(),
        }
    }

    fn long_u64(&mut self) -> Result<u64, PartError> {
        let mut number = 0_u64;
        for shift in (0..).step_by(7) {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            if shift > 63 || (shift == 63 && low > 1) || (byte == 0 && shift > 0) {
                return Err(self.damaged("a number is malformed"));
            }
            number |= low << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(number)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, PartError> {
        u32::try_from(self.u64()?).map_err(|_| self.damaged("a number is too large"))
    }

    /// A count of things that take at least `least_bytes` each, so it cannot exceed what is left.
    #[inline]
    pub(crate) fn len(&mut self, least_bytes: usize) -> Result<usize, PartError> {
        let length = usize::try_from(self.u64()?).map_err(|_| self.damaged("a length is too large"))?;
        if length > (self.bytes.len() - self.at) / least_bytes.max(1) {
            return Err(self.damaged("a length exceeds what is left"));
        }
        Ok(length)
    }

    pub(crate) fn i128(&mut self) -> Result<i128, PartError> {
        let folded = self.u128()?;
        Ok((folded >> 1).cast_signed() ^ -((folded & 1).cast_signed()))
    }

    #[inline]
    pub(crate) fn i64(&mut self) -> Result<i64, PartError> {
        let folded = self.u64()?;
        Ok((folded >> 1).cast_signed() ^ -((folded & 1).cast_signed()))
    }

    #[inline]
    pub(crate) fn time(&mut self) -> Result<Timestamp, PartError> {
        Ok(Timestamp::from_micros(self.i64()?))
    }

    #[inline]
    pub(crate) fn flag(&mut self) -> Result<bool, PartError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damaged("a flag is neither 0 nor 1")),
        }
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, PartError> {
        let length = self.len(1)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| self.damaged("a text is not UTF-8"))
    }

    #[inline]
    pub(crate) fn mark(&mut self) -> Result<Mark, PartError> {
        let time = self.time()?;
        let wrong = |_| PartError::Damaged {
            at: 0,
            what: "an address is too large",
        };
        let address = Address {
            generation: u16::try_from(self.u64()?).map_err(wrong)?,
            partition: u16::try_from(self.u64()?).map_err(wrong)?,
            sequence: self.u64()?,
            index: self.u32()?,
        };
        Ok(Mark { time, address })
    }

    pub(crate) fn i256(&mut self) -> Result<I256, PartError> {
        if !self.flag()? {
            return Ok(I256::from(self.i128()?));
        }
        let wide = I256::from_be_bytes(self.array()?);
        if i128::try_from(wide).is_ok() {
            Err(self.damaged("a sum is not in its short form"))
        } else {
            Ok(wide)
        }
    }

    pub(crate) fn value(&mut self) -> Result<Value, PartError> {
        self.value_within(MAX_VALUE_DEPTH)
    }

    fn value_within(&mut self, depth: usize) -> Result<Value, PartError> {
        Ok(match self.byte()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => {
                let (mantissa, exponent) = (self.i128()?, self.i64()?);
                let exponent = i32::try_from(exponent).map_err(|_| self.damaged("an exponent is too large"))?;
                Value::Number(Decimal::new(mantissa, exponent).map_err(|_| self.damaged("a decimal is out of range"))?)
            }
            4 => Value::String(self.text()?.into()),
            tag @ (5 | 6) => {
                let depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| self.damaged("a value nests too deep"))?;
                let length = self.len(1)?;
                if tag == 5 {
                    Value::Array(
                        (0..length)
                            .map(|_| self.value_within(depth))
                            .collect::<Result<_, _>>()?,
                    )
                } else {
                    let field = |reader: &mut Self| Ok((reader.text()?.into(), reader.value_within(depth)?));
                    Value::Object((0..length).map(|_| field(self)).collect::<Result<_, PartError>>()?)
                }
            }
            _ => return Err(self.damaged("an unknown kind of value")),
        })
    }
}
