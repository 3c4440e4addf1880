//! What of the log can be read: its segments, its gaps, and the newest groups in memory.
//!
//! Shared by the writer, which adds to it, and the readers, under one lock that is never held during IO.

use crate::error::{Gap, GapCause};
use crate::segment::Scan;
use bytes::Bytes;
use kith_types::Timestamp;
use std::collections::VecDeque;

/// One place is remembered for about so many bytes of a segment.
const INDEX_EVERY_BYTES: u64 = 1024 * 1024;

/// A segment that holds durable records, or will.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) ordinal: u64,
    pub(crate) name: String,
    pub(crate) first_sequence: u64,
    pub(crate) end_sequence: u64,
    pub(crate) first_received_at: Timestamp,
    pub(crate) last_received_at: Timestamp,
    /// Where its durable groups end, in bytes.
    pub(crate) groups_end: u64,
    /// Each group's header checksum folded into the one before.
    pub(crate) hash: u32,
    pub(crate) index: Vec<(u64, u64)>,
    /// Whether it takes no more records.
    pub(crate) sealed: bool,
}

impl Segment {
    /// Notes a group that stands. One that follows a hole gets a place: nothing leads to it through the damage.
    pub(crate) fn add_group(
        &mut self,
        offset: u64,
        bytes: u64,
        first_sequence: u64,
        count: u32,
        received_at: Timestamp,
    ) {
        let after_hole = first_sequence != self.end_sequence;
        if after_hole
            || self
                .index
                .last()
                .is_none_or(|(_, last)| offset - last >= INDEX_EVERY_BYTES)
        {
            self.index.push((first_sequence, offset));
        }
        if self.end_sequence == self.first_sequence {
            self.first_received_at = received_at;
        }
        self.last_received_at = received_at;
        self.end_sequence = first_sequence + u64::from(count);
        self.groups_end = offset + bytes;
    }

    /// Takes in what a scan of its first part found, after damage.
    pub(crate) fn take_in(&mut self, scan: &Scan) {
        let mut scanned = Self {
            index: Vec::new(),
            end_sequence: self.first_sequence,
            ..self.clone()
        };
        for group in &scan.groups {
            let header = &group.header;
            scanned.add_group(
                group.offset,
                header.group_bytes(),
                header.first_sequence,
                header.count,
                header.received_at,
            );
        }
        let later = self.index.iter().filter(|(sequence, _)| *sequence >= scan.end_sequence);
        scanned.index.extend(later);
        self.index = scanned.index;
    }

    /// Where to begin looking for a sequence: the place of a group that does not begin after it.
    pub(crate) fn place_before(&self, sequence: u64) -> Option<(u64, u64)> {
        let after = self.index.partition_point(|(first, _)| *first <= sequence);
        self.index.get(after.checked_sub(1)?).copied()
    }
}

/// A durable group: `body` is its framed records.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) first_sequence: u64,
    pub(crate) end_sequence: u64,
    pub(crate) received_at: Timestamp,
    pub(crate) body: Bytes,
}

/// Where a sequence is to be read from.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// It is not durable yet.
    CaughtUp,
    Gap(Gap),
    InMemory(Group),
    OnDisk {
        ordinal: u64,
        name: String,
        place: Option<(u64, u64)>,
        groups_end: u64,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    /// In order; the active one, if there is one, is last and not sealed.
    pub(crate) segments: Vec<Segment>,
    /// In order, never overlapping.
    pub(crate) gaps: Vec<Gap>,
    tail: VecDeque<Group>,
    tail_bytes: usize,
    /// Segments before this sequence may have been removed on purpose.
    pub(crate) removed_before: u64,
    pub(crate) durable_end: u64,
}

impl Table {
    /// The first sequence that has not been removed.
    pub(crate) fn start(&self) -> u64 {
        self.segments
            .first()
            .map_or(self.durable_end, |segment| segment.first_sequence)
    }

    /// Keeps a durable group in memory, at the price of the oldest ones.
    pub(crate) fn remember(&mut self, group: Group, limit_bytes: usize) {
        self.tail_bytes += group.body.len();
        self.tail.push_back(group);
        while self.tail_bytes > limit_bytes {
            let Some(oldest) = self.tail.pop_front() else { break };
            self.tail_bytes -= oldest.body.len();
        }
    }

    /// Adds a gap; parts of it that are known already are not added again.
    pub(crate) fn add_gap(&mut self, mut gap: Gap) {
        for known in &self.gaps {
            if known.from <= gap.from && gap.from < known.to {
                gap.from = known.to;
            }
            if known.from < gap.to && gap.to <= known.to {
                gap.to = known.from;
            }
        }
        if gap.from < gap.to {
            let at = self.gaps.partition_point(|known| known.from < gap.from);
            self.gaps.insert(at, gap);
        }
    }

    pub(crate) fn gap_at(&self, sequence: u64) -> Option<Gap> {
        let start = self.start();
        if sequence < start {
            let removed = sequence < self.removed_before;
            let (to, cause) = match removed {
                true => (start.min(self.removed_before), GapCause::Removed),
                false => (start, GapCause::Skipped),
            };
            return Some(Gap {
                from: sequence,
                to,
                cause,
            });
        }
        self.gaps
            .iter()
            .find(|gap| gap.from <= sequence && sequence < gap.to)
            .copied()
    }

    /// Everything before `end` that cannot be served and was not removed on purpose, in order: gaps, and the numbers
    /// between segments.
    pub(crate) fn holes(&self, end: u64) -> Vec<Gap> {
        let skipped = |from: u64, to: u64| Gap {
            from,
            to,
            cause: GapCause::Skipped,
        };
        let mut holes = self.gaps.clone();
        let mut position = self.removed_before.min(self.start());
        for segment in &self.segments {
            let mut from = position;
            for gap in self
                .gaps
                .iter()
                .filter(|gap| gap.to > position && gap.from < segment.first_sequence)
            {
                holes.extend((from < gap.from).then(|| skipped(from, gap.from)));
                from = from.max(gap.to);
            }
            holes.extend((from < segment.first_sequence).then(|| skipped(from, segment.first_sequence)));
            position = position.max(segment.end_sequence);
        }
        holes.retain_mut(|hole| {
            hole.to = hole.to.min(end);
            hole.from < hole.to
        });
        holes.sort_unstable_by_key(|hole| hole.from);
        holes
    }

    pub(crate) fn look_up(&self, sequence: u64) -> Lookup {
        if sequence >= self.durable_end {
            return Lookup::CaughtUp;
        }
        if let Some(gap) = self.gap_at(sequence) {
            return Lookup::Gap(gap);
        }
        let after = self.tail.partition_point(|group| group.first_sequence <= sequence);
        if let Some(group) = after.checked_sub(1).and_then(|at| self.tail.get(at))
            && sequence < group.end_sequence
        {
            return Lookup::InMemory(group.clone());
        }
        let after = self
            .segments
            .partition_point(|segment| segment.first_sequence <= sequence);
        match after.checked_sub(1).and_then(|at| self.segments.get(at)) {
            Some(segment) if sequence < segment.end_sequence => Lookup::OnDisk {
                ordinal: segment.ordinal,
                name: segment.name.clone(),
                place: segment.place_before(sequence),
                groups_end: segment.groups_end,
            },
            // Between segments there is nothing but numbers that were passed over.
            _ => {
                let to = self
                    .segments
                    .get(after)
                    .map_or(self.durable_end, |next| next.first_sequence);
                Lookup::Gap(Gap {
                    from: sequence,
                    to,
                    cause: GapCause::Skipped,
                })
            }
        }
    }
}
