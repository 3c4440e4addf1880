//! What is stored of a profile beside its parts: where it belongs, what it is a member of, when it is due.

use crate::bytes::{Reader, put_number, put_signed, put_text};
use kith_types::{SegmentName, Timestamp};

/// Raised when the meaning of the bytes changes.
const VERSION: u8 = 1;

/// The stored record of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProfileRecord {
    /// The identifier that its id comes from, which leads to its component.
    pub(crate) founder: u128,
    /// How many decisions its memberships know; fewer than there are means that the newest are still to be applied.
    pub(crate) version: u64,
    /// The segments it is in and the instant it entered each, by name.
    pub(crate) memberships: Vec<(SegmentName, Timestamp)>,
    /// The instant at which time alone may change a membership.
    pub(crate) due: Option<Timestamp>,
}

impl ProfileRecord {
    /// Whether it is a member, and since when.
    pub(crate) fn member_since(&self, segment: &SegmentName) -> Option<Timestamp> {
        let at = self.memberships.binary_search_by(|(name, _)| name.cmp(segment)).ok()?;
        self.memberships.get(at).map(|(_, since)| *since)
    }

    /// Enters or leaves a segment.
    pub(crate) fn set_member(&mut self, segment: &SegmentName, since: Option<Timestamp>) {
        match (self.memberships.binary_search_by(|(name, _)| name.cmp(segment)), since) {
            (Ok(at), Some(since)) => self.memberships[at].1 = since,
            (Ok(at), None) => {
                self.memberships.remove(at);
            }
            (Err(at), Some(since)) => self.memberships.insert(at, (segment.clone(), since)),
            (Err(_), None) => {}
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48 + self.memberships.len() * 24);
        out.push(VERSION);
        out.extend_from_slice(&self.founder.to_be_bytes());
        put_number(&mut out, self.version);
        put_signed(&mut out, self.due.map_or(i64::MAX, Timestamp::as_micros));
        put_number(&mut out, self.memberships.len() as u64);
        for (segment, since) in &self.memberships {
            put_text(&mut out, segment.as_str());
            put_signed(&mut out, since.as_micros());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.byte()? != VERSION {
            return None;
        }
        let founder = reader.wide()?;
        let version = reader.number()?;
        let due = reader
            .signed()
            .map(|micros| (micros != i64::MAX).then(|| Timestamp::from_micros(micros)))?;
        let mut memberships = Vec::new();
        for _ in 0..reader.number()? {
            memberships.push((reader.text()?.parse().ok()?, Timestamp::from_micros(reader.signed()?)));
        }
        Some(Self {
            founder,
            version,
            memberships,
            due,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut record = ProfileRecord {
            founder: 7,
            version: 3,
            due: Some(Timestamp::from_micros(-9)),
            ..Default::default()
        };
        record.set_member(&"b".parse().unwrap(), Some(Timestamp::from_micros(2)));
        record.set_member(&"a".parse().unwrap(), Some(Timestamp::from_micros(1)));
        assert_eq!(ProfileRecord::decode(&record.encode()), Some(record.clone()));
        assert_eq!(record.encode(), GOLDEN, "the bytes of version 1");
        record.set_member(&"a".parse().unwrap(), None);
        assert_eq!(record.member_since(&"a".parse().unwrap()), None);
        assert_eq!(
            record.member_since(&"b".parse().unwrap()),
            Some(Timestamp::from_micros(2))
        );
    }

    const GOLDEN: &[u8] = &[
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 3, 17, 2, 1, 97, 2, 1, 98, 4,
    ];
}
