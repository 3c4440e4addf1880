//! What is stored of a profile beside its parts: where it belongs, what it is a member of, when it is due.

use crate::bytes::{Reader, put_number, put_signed, put_text};
use kith_segment::CauseKind;
use kith_types::{SegmentName, Timestamp};

/// Raised when the meaning of the bytes changes. Version 1 had no causes and is still read.
const VERSION: u8 = 2;
const WITHOUT_CAUSES: u8 = 1;
/// As [`VERSION`], of a profile whose parts lag.
const WITH_PARTS_BEHIND: u8 = 3;

/// A segment that a profile is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The segment.
    pub(crate) segment: SegmentName,
    /// The instant it was entered: that of the last change.
    pub(crate) since: Timestamp,
    /// Why it was entered; unknown where it was written before causes were kept.
    pub(crate) cause: Option<CauseKind>,
}

/// The stored record of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProfileRecord {
    /// The identifier that its id comes from, which leads to its component.
    pub(crate) founder: u128,
    /// How many decisions its memberships know; fewer than there are means that the newest are still to be applied.
    pub(crate) version: u64,
    /// The segments it is in, by name.
    pub(crate) memberships: Vec<Membership>,
    /// The instant at which time alone may change a membership.
    pub(crate) due: Option<Timestamp>,
    /// Whether only its memberships know the newest decision: its parts may lack what that asks for, and it may be due later than it
    /// says. Whoever loads it makes up for that.
    pub(crate) parts_behind: bool,
}

impl ProfileRecord {
    fn place(&self, segment: &SegmentName) -> Result<usize, usize> {
        self.memberships.binary_search_by(|held| held.segment.cmp(segment))
    }

    /// Its membership of a segment.
    pub(crate) fn membership(&self, segment: &SegmentName) -> Option<&Membership> {
        self.memberships.get(self.place(segment).ok()?)
    }

    /// Enters a segment.
    pub(crate) fn enter(&mut self, membership: Membership) {
        match self.place(&membership.segment) {
            Ok(at) => self.memberships[at] = membership,
            Err(at) => self.memberships.insert(at, membership),
        }
    }

    /// Leaves a segment.
    pub(crate) fn leave(&mut self, segment: &SegmentName) {
        if let Ok(at) = self.place(segment) {
            self.memberships.remove(at);
        }
    }

    /// The same without causes that another record of it does not know: for comparing what was written before causes were
    /// kept with what is written now.
    pub(crate) fn known_to(mut self, other: &Self) -> Self {
        for held in &mut self.memberships {
            if other
                .membership(&held.segment)
                .is_some_and(|known| known.cause.is_none())
            {
                held.cause = None;
            }
        }
        self
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48 + self.memberships.len() * 24);
        out.push(if self.parts_behind { WITH_PARTS_BEHIND } else { VERSION });
        out.extend_from_slice(&self.founder.to_be_bytes());
        put_number(&mut out, self.version);
        put_signed(&mut out, self.due.map_or(i64::MAX, Timestamp::as_micros));
        put_number(&mut out, self.memberships.len() as u64);
        for held in &self.memberships {
            put_text(&mut out, held.segment.as_str());
            put_signed(&mut out, held.since.as_micros());
            out.push(code_of(held.cause));
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let version_of_bytes = reader.byte()?;
        if ![VERSION, WITHOUT_CAUSES, WITH_PARTS_BEHIND].contains(&version_of_bytes) {
            return None;
        }
        let founder = reader.wide()?;
        let version = reader.number()?;
        let due = reader
            .signed()
            .map(|micros| (micros != i64::MAX).then(|| Timestamp::from_micros(micros)))?;
        let mut memberships = Vec::new();
        for _ in 0..reader.number()? {
            memberships.push(Membership {
                segment: reader.text()?.parse().ok()?,
                since: Timestamp::from_micros(reader.signed()?),
                cause: match version_of_bytes {
                    WITHOUT_CAUSES => None,
                    _ => cause_of(reader.byte()?)?,
                },
            });
        }
        Some(Self {
            founder,
            version,
            memberships,
            due,
            parts_behind: version_of_bytes == WITH_PARTS_BEHIND,
        })
    }
}

/// 0 where it is unknown, then the place among all kinds.
fn code_of(cause: Option<CauseKind>) -> u8 {
    let place = CauseKind::ALL.iter().position(|kind| Some(*kind) == cause);
    place.map_or(0, |place| place as u8 + 1)
}

/// What [`code_of`] wrote; `None` for what it never writes.
fn cause_of(code: u8) -> Option<Option<CauseKind>> {
    match code.checked_sub(1) {
        None => Some(None),
        Some(place) => CauseKind::ALL.get(usize::from(place)).map(|kind| Some(*kind)),
    }
}

/// Whether a stored record has still to take some of a decision, the newest of so many, without reading its memberships. One that
/// cannot be read has.
pub(crate) fn is_behind(bytes: &[u8], version: u64) -> bool {
    let known = |bytes| {
        let mut reader = Reader(bytes);
        let version_of_bytes = reader.byte()?;
        reader.wide()?;
        Some((version_of_bytes, reader.number()?))
    };
    known(bytes).is_none_or(|(version_of_bytes, known)| version_of_bytes == WITH_PARTS_BEHIND || known < version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership(segment: &str, micros: i64, cause: Option<CauseKind>) -> Membership {
        Membership {
            segment: segment.parse().unwrap(),
            since: Timestamp::from_micros(micros),
            cause,
        }
    }

    fn record(causes: [Option<CauseKind>; 2]) -> ProfileRecord {
        let mut record = ProfileRecord {
            founder: 7,
            version: 3,
            due: Some(Timestamp::from_micros(-9)),
            ..Default::default()
        };
        record.enter(membership("b", 2, causes[1]));
        record.enter(membership("a", 1, causes[0]));
        record
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for kind in CauseKind::ALL {
            let mut record = record([Some(kind), None]);
            assert_eq!(ProfileRecord::decode(&record.encode()), Some(record.clone()));
            record.leave(&"a".parse().unwrap());
            assert_eq!(record.membership(&"a".parse().unwrap()), None);
            assert_eq!(record.memberships, [membership("b", 2, None)]);
        }
        let whole = record([Some(CauseKind::Event), Some(CauseKind::Regrouping)]);
        assert_eq!(whole.encode(), GOLDEN, "the bytes of version 2");
        for length in 0..GOLDEN.len() {
            assert_eq!(ProfileRecord::decode(&GOLDEN[..length]), None);
        }
    }

    #[test]
    fn a_record_says_whether_anything_of_a_decision_is_left_to_take() {
        let whole = record([Some(CauseKind::Event), Some(CauseKind::Regrouping)]);
        let behind = ProfileRecord {
            parts_behind: true,
            ..whole.clone()
        };
        let bytes = behind.encode();
        assert_eq!((bytes[0], &bytes[1..]), (3, &GOLDEN[1..]));
        assert_eq!(ProfileRecord::decode(&bytes), Some(behind));
        assert!(is_behind(&bytes, 3), "it knows the decision, its parts lag");
        assert!(!is_behind(&whole.encode(), 3));
        assert!(is_behind(&whole.encode(), 4));
        assert!(is_behind(&GOLDEN[..9], 3), "damaged");
    }

    #[test]
    fn a_record_of_version_1_is_read_with_causes_unknown() {
        let old = record([None, None]);
        assert_eq!(ProfileRecord::decode(GOLDEN_1), Some(old.clone()));
        let now = record([Some(CauseKind::Clock), Some(CauseKind::Import)]);
        assert_eq!(now.clone().known_to(&old), old);
        assert_eq!(now.clone().known_to(&now), now);
    }

    const GOLDEN: &[u8] = &[
        2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 3, 17, 2, 1, 97, 2, 1, 1, 98, 4, 5,
    ];
    const GOLDEN_1: &[u8] = &[
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 3, 17, 2, 1, 97, 2, 1, 98, 4,
    ];
}
