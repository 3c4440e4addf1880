//! The distinct values of a property: how often each came, and when last.
//!
//! At most [`MAX_DISTINCT`] are kept, those of smallest hash, which is a function of the set of events: a value that is
//! among them in the end was among them from its first event on, so its count is exact.

use super::points::ValuePoint;
use crate::PartError;
use crate::codec::{Reader, put_flag, put_len, put_mark, put_u64, put_value};
use crate::growth::insert_tight;
use crate::limits::MAX_DISTINCT;
use crate::mark::{self, Mark, hash_value};
use kith_expr::Function;
use kith_types::{Decimal, Value};
use std::cmp::{Ordering, Reverse};

#[derive(Clone, Debug, PartialEq)]
struct Held {
    hash: u64,
    value: Value,
    count: u64,
    last: Mark,
}

impl Held {
    fn order(&self, hash: u64, value: &Value) -> Ordering {
        mark::order((self.hash, &self.value), (hash, value))
    }
}

/// The distinct values of an aggregate, sorted by hash.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Distinct {
    held: Vec<Held>,
    /// Whether there were more than are kept.
    limited: bool,
}

impl Distinct {
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(crate) fn add(&mut self, point: &ValuePoint) {
        self.insert(hash_value(&point.value), &point.value, 1, point.mark);
    }

    fn insert(&mut self, hash: u64, value: &Value, count: u64, last: Mark) {
        match self.held.binary_search_by(|held| held.order(hash, value)) {
            Ok(at) => {
                let held = &mut self.held[at];
                held.count = held.count.saturating_add(count);
                held.last = held.last.max(last);
            }
            Err(MAX_DISTINCT) => self.limited = true,
            Err(at) => {
                let held = Held {
                    hash,
                    value: value.clone(),
                    count,
                    last,
                };
                insert_tight(&mut self.held, at, held);
                if self.held.len() > MAX_DISTINCT {
                    self.held.truncate(MAX_DISTINCT);
                    self.limited = true;
                }
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.limited |= other.limited;
        for held in &other.held {
            self.insert(held.hash, &held.value, held.count, held.last);
        }
    }

    /// The value of the function, and whether it is exact.
    pub(crate) fn render(&self, function: Function) -> (Value, bool) {
        let value = match function {
            Function::MostFrequent => {
                let most = self.held.iter().max_by_key(|held| (held.count, held.last));
                most.map_or(Value::Null, |held| held.value.clone())
            }
            Function::UniqueList | Function::Accounts => {
                let mut held: Vec<&Held> = self.held.iter().collect();
                held.sort_by_key(|held| Reverse(held.last));
                Value::Array(held.into_iter().map(|held| held.value.clone()).collect())
            }
            _ => Decimal::new(self.count(), 0).map_or(Value::Null, Value::Number),
        };
        (value, !self.limited)
    }

    /// How many distinct values; beyond the limit estimated from how densely the smallest hashes lie (Bar-Yossef and
    /// others, Counting distinct elements in a data stream, 2002).
    fn count(&self) -> i128 {
        let held = self.held.len() as u128;
        let estimate = match self.held.last() {
            Some(largest) if self.limited => ((held - 1) << 64) / (u128::from(largest.hash) + 1),
            _ => held,
        };
        i128::try_from(estimate).unwrap_or(i128::MAX)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_flag(out, self.limited);
        put_len(out, self.held.len());
        for held in &self.held {
            put_value(out, &held.value);
            put_u64(out, held.count);
            put_mark(out, &held.last);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, PartError> {
        let limited = reader.flag()?;
        let length = reader.len(7)?;
        let mut held = Vec::with_capacity(length);
        for _ in 0..length {
            let value = reader.value()?;
            held.push(Held {
                hash: hash_value(&value),
                value,
                count: reader.u64()?,
                last: reader.mark()?,
            });
        }
        let sorted = held.is_sorted_by(|one, next| one.order(next.hash, &next.value) == Ordering::Less);
        if !sorted || length > MAX_DISTINCT || (limited && length == 0) {
            return Err(reader.damaged("distinct values are out of order"));
        }
        Ok(Self { held, limited })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let texts = |held: &Held| held.value.as_str().map_or(0, str::len);
        self.held.capacity() * size_of::<Held>() + self.held.iter().map(texts).sum::<usize>()
    }
}
