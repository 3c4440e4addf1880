//! How many events a fold has taken, and when the earliest and the latest of them happened: of people and of accounts alike.

use crate::PartError;
use crate::codec::{Reader, put_time};
use kith_types::Timestamp;

/// The count and the ends of a set of events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Default for Span {
    fn default() -> Self {
        Self {
            count: 0,
            first: Timestamp::MAX,
            last: Timestamp::MIN,
        }
    }
}

impl Span {
    /// Takes an event of that time.
    pub(crate) fn take(&mut self, time: Timestamp) {
        self.count = self.count.saturating_add(1);
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }

    /// Takes in those of other events.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The earliest event time; `None` of no event.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        (self.count > 0).then_some(self.first)
    }

    /// The latest event time; `None` of no event.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        (self.count > 0).then_some(self.last)
    }

    /// Appends the two ends; the count is the caller's to write.
    pub(crate) fn encode_ends(&self, out: &mut Vec<u8>) {
        put_time(out, self.first);
        put_time(out, self.last);
    }

    /// Reads what [`Span::encode_ends`] wrote of so many events.
    pub(crate) fn decode_ends(count: u64, reader: &mut Reader<'_>) -> Result<Self, PartError> {
        Ok(Self {
            count,
            first: reader.time()?,
            last: reader.time()?,
        })
    }
}
