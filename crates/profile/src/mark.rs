//! Where an observation stands among others, and the fixed hash that limits keep by.

use crate::limits::{MAX_VALUE_BYTES, MAX_VALUE_DEPTH};
use kith_types::{Address, Event, Timestamp, Value};
use std::cmp::Ordering;

/// The canonical place of an observation: event time, then address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) time: Timestamp,
    pub(crate) address: Address,
}

impl Mark {
    pub(crate) fn of(event: &Event) -> Self {
        Self {
            time: event.event_time,
            address: event.address,
        }
    }
}

/// FNV-1a over 64 bits, finished with the mixer of SplitMix64. Limits choose by it, so it must never change: the
/// choice is part of the persisted form.
struct Hasher(u64);

impl Hasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn text(&mut self, tag: u8, text: &str) {
        self.write(&[tag]);
        self.write(&(text.len() as u64).to_le_bytes());
        self.write(text.as_bytes());
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.write(&[0]),
            Value::Bool(truth) => self.write(&[1, u8::from(*truth)]),
            Value::Number(number) => {
                self.write(&[2]);
                self.write(&number.mantissa().to_le_bytes());
                self.write(&number.exponent().to_le_bytes());
            }
            Value::String(text) => self.text(3, text),
            Value::Array(items) => {
                self.write(&[4]);
                self.write(&(items.len() as u64).to_le_bytes());
                items.iter().for_each(|item| self.value(item));
            }
            Value::Object(fields) => {
                self.write(&[5]);
                self.write(&(fields.len() as u64).to_le_bytes());
                for (key, value) in fields {
                    self.text(6, key);
                    self.value(value);
                }
            }
        }
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

pub(crate) fn hash_text(text: &str) -> u64 {
    let mut hasher = Hasher(0xcbf2_9ce4_8422_2325);
    hasher.text(7, text);
    hasher.finish()
}

pub(crate) fn hash_value(value: &Value) -> u64 {
    let mut hasher = Hasher(0xcbf2_9ce4_8422_2325);
    hasher.value(value);
    hasher.finish()
}

/// The order in which values are kept: by hash. Values of equal hash are rare enough to be written out for their order.
pub(crate) fn order((hash, value): (u64, &Value), (other_hash, other): (u64, &Value)) -> Ordering {
    hash.cmp(&other_hash).then_with(|| {
        if value == other {
            Ordering::Equal
        } else {
            value.to_json().cmp(&other.to_json())
        }
    })
}

/// Whether a value is small enough to be kept.
pub(crate) fn fits(value: &Value) -> bool {
    let mut left = MAX_VALUE_BYTES;
    spend(value, &mut left, MAX_VALUE_DEPTH).is_some()
}

fn spend(value: &Value, left: &mut usize, depth: usize) -> Option<()> {
    let own = match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(_) | Value::Object(_) => 2,
    };
    *left = left.checked_sub(own)?;
    match value {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| spend(item, left, depth.checked_sub(1)?)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| {
            *left = left.checked_sub(key.len() + 4)?;
            spend(value, left, depth.checked_sub(1)?)
        }),
        _ => Some(()),
    }
}
