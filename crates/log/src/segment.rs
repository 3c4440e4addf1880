//! A segment file as bytes: its header, its groups of records, its footer, and the scan that judges what of it stands.
//!
//! ```text
//! segment      = header (64 bytes) · group* · footer (once sealed)
//! header       = "KITHLOG1" · format version u16 · generation u16 · partition u16 · 0 u16 · ordinal u64
//!                · first sequence u64 · created at i64 · last received_at before it i64 · 0 (12 bytes) · crc u32
//! group        = header (48 bytes) · body
//! group header = "KGR1" · body length u32 · first sequence u64 · count u32 · 0 u32 · received_at i64
//!                · offset known durable when it was written u64 · crc of body u32 · crc of header u32
//! footer       = "KITHFOOT" · first sequence u64 · end sequence u64 · first and last received_at i64
//!                · end of groups u64 · hash of groups u32 · number of places u32 · (sequence u64 · offset u64)*
//!                · crc u32 · length of the footer u32 · "KEND"
//! ```
//!
//! Numbers are little-endian, times are UTC microseconds. Every crc is CRC-32 begun with the log's salt, the segment's
//! ordinal and the offset, so that bytes which a client sends, or which an older file left, never pass for a group.
//! A group is written only after the one before it was synced, and says so: a whole group therefore proves that
//! everything before its known-durable offset was durable. Does no IO.

use kith_types::Timestamp;

pub(crate) const FORMAT_VERSION: u16 = 1;
pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;
pub(crate) const GROUP_HEADER_BYTES: usize = 48;
const FOOTER_FIXED_BYTES: usize = 56;
const FOOTER_END_BYTES: usize = 12;
const SEGMENT_MAGIC: &[u8; 8] = b"KITHLOG1";
const GROUP_MAGIC: &[u8; 4] = b"KGR1";
const FOOTER_MAGIC: &[u8; 8] = b"KITHFOOT";
const END_MAGIC: &[u8; 4] = b"KEND";

/// What every checksum of one segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(salt: u64, ordinal: u64) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&salt.to_le_bytes());
        hasher.update(&ordinal.to_le_bytes());
        Self(hasher.finalize())
    }

    fn checksum(self, offset: u64, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(&offset.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) generation: u16,
    pub(crate) partition: u16,
    pub(crate) ordinal: u64,
    pub(crate) first_sequence: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) received_floor: Timestamp,
}

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderState {
    Whole(SegmentHeader),
    /// Whole, but of a format version that this binary does not know.
    Version(u16),
    Damaged,
}

impl SegmentHeader {
    pub(crate) fn encode(&self, seed: Seed) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.generation.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.partition.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.ordinal.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.created_at.as_micros().to_le_bytes());
        bytes[40..48].copy_from_slice(&self.received_floor.as_micros().to_le_bytes());
        let crc = seed.checksum(0, &bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], seed: Seed) -> HeaderState {
        let Some(bytes) = bytes.get(..SEGMENT_HEADER_BYTES) else {
            return HeaderState::Damaged;
        };
        if &bytes[..8] != SEGMENT_MAGIC || u32_at(bytes, 60) != seed.checksum(0, &bytes[..60]) {
            return HeaderState::Damaged;
        }
        let version = u16_at(bytes, 8);
        if version != FORMAT_VERSION {
            return HeaderState::Version(version);
        }
        HeaderState::Whole(Self {
            generation: u16_at(bytes, 10),
            partition: u16_at(bytes, 12),
            ordinal: u64_at(bytes, 16),
            first_sequence: u64_at(bytes, 24),
            created_at: Timestamp::from_micros(u64_at(bytes, 32) as i64),
            received_floor: Timestamp::from_micros(u64_at(bytes, 40) as i64),
        })
    }
}

/// The first bytes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    pub(crate) body_bytes: u32,
    pub(crate) first_sequence: u64,
    pub(crate) count: u32,
    pub(crate) received_at: Timestamp,
    pub(crate) durable_offset: u64,
    pub(crate) body_crc: u32,
}

impl GroupHeader {
    pub(crate) fn decode(bytes: &[u8], offset: u64, seed: Seed) -> Option<Self> {
        let bytes = bytes.get(..GROUP_HEADER_BYTES)?;
        if &bytes[..4] != GROUP_MAGIC || u32_at(bytes, 44) != seed.checksum(offset, &bytes[..44]) {
            return None;
        }
        Some(Self {
            body_bytes: u32_at(bytes, 4),
            first_sequence: u64_at(bytes, 8),
            count: u32_at(bytes, 16),
            received_at: Timestamp::from_micros(u64_at(bytes, 24) as i64),
            durable_offset: u64_at(bytes, 32),
            body_crc: u32_at(bytes, 40),
        })
    }

    pub(crate) fn group_bytes(&self) -> u64 {
        GROUP_HEADER_BYTES as u64 + u64::from(self.body_bytes)
    }

    pub(crate) fn end_sequence(&self) -> u64 {
        self.first_sequence + u64::from(self.count)
    }

    pub(crate) fn body_is_whole(&self, body: &[u8]) -> bool {
        body.len() == self.body_bytes as usize && crc32fast::hash(body) == self.body_crc
    }
}

/// Fills in the header of a group: `group` is [`GROUP_HEADER_BYTES`] to overwrite, then the framed records. Returns
/// the header's checksum, which vouches for the body too.
pub(crate) fn finish_group(
    group: &mut [u8],
    first_sequence: u64,
    count: u32,
    received_at: Timestamp,
    offset: u64,
    seed: Seed,
) -> u32 {
    let (header, body) = group.split_at_mut(GROUP_HEADER_BYTES);
    header[..4].copy_from_slice(GROUP_MAGIC);
    header[4..8].copy_from_slice(&(body.len() as u32).to_le_bytes());
    header[8..16].copy_from_slice(&first_sequence.to_le_bytes());
    header[16..20].copy_from_slice(&count.to_le_bytes());
    header[20..24].fill(0);
    header[24..32].copy_from_slice(&received_at.as_micros().to_le_bytes());
    header[32..40].copy_from_slice(&offset.to_le_bytes());
    header[40..44].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    let crc = seed.checksum(offset, &header[..44]);
    header[44..].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// The hash of a segment's groups: each group's header checksum folded into the one before.
pub(crate) fn fold_hash(hash: u32, header_crc: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(hash);
    hasher.update(&header_crc.to_le_bytes());
    hasher.finalize()
}

/// The last bytes of a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) first_sequence: u64,
    pub(crate) end_sequence: u64,
    pub(crate) first_received_at: Timestamp,
    pub(crate) last_received_at: Timestamp,
    pub(crate) groups_end: u64,
    pub(crate) hash: u32,
    /// Places of groups, about one a mebibyte: the sequence they begin with and their offset.
    pub(crate) index: Vec<(u64, u64)>,
}

impl Footer {
    pub(crate) fn encode(&self, seed: Seed) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FOOTER_FIXED_BYTES + self.index.len() * 16 + FOOTER_END_BYTES);
        bytes.extend_from_slice(FOOTER_MAGIC);
        bytes.extend_from_slice(&self.first_sequence.to_le_bytes());
        bytes.extend_from_slice(&self.end_sequence.to_le_bytes());
        bytes.extend_from_slice(&self.first_received_at.as_micros().to_le_bytes());
        bytes.extend_from_slice(&self.last_received_at.as_micros().to_le_bytes());
        bytes.extend_from_slice(&self.groups_end.to_le_bytes());
        bytes.extend_from_slice(&self.hash.to_le_bytes());
        bytes.extend_from_slice(&(self.index.len() as u32).to_le_bytes());
        for (sequence, offset) in &self.index {
            bytes.extend_from_slice(&sequence.to_le_bytes());
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        let crc = seed.checksum(self.groups_end, &bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&((bytes.len() + 8) as u32).to_le_bytes());
        bytes.extend_from_slice(END_MAGIC);
        bytes
    }

    /// How many bytes from the file's end the footer takes, if `end` (the file's last 8 bytes or more) closes one.
    pub(crate) fn length_from(end: &[u8]) -> Option<usize> {
        let end = end.get(end.len().checked_sub(8)?..)?;
        let length = u32_at(end, 0) as usize;
        (&end[4..] == END_MAGIC && length >= FOOTER_FIXED_BYTES + FOOTER_END_BYTES).then_some(length)
    }

    /// The footer that `bytes`, whose last byte is the file's last, holds; `file_bytes` is the file's length.
    pub(crate) fn decode(bytes: &[u8], file_bytes: u64, seed: Seed) -> Option<Self> {
        let length = Self::length_from(bytes)?;
        let bytes = bytes.get(bytes.len().checked_sub(length)?..)?;
        let places = u32_at(bytes, 52) as usize;
        let groups_end = u64_at(bytes, 40);
        let summed = bytes.get(..FOOTER_FIXED_BYTES + places.checked_mul(16)?)?;
        if &bytes[..8] != FOOTER_MAGIC
            || summed.len() + FOOTER_END_BYTES != length
            || groups_end.checked_add(length as u64)? != file_bytes
            || u32_at(bytes, summed.len()) != seed.checksum(groups_end, summed)
        {
            return None;
        }
        let index = summed[FOOTER_FIXED_BYTES..]
            .chunks_exact(16)
            .map(|place| (u64_at(place, 0), u64_at(place, 8)))
            .collect();
        Some(Self {
            first_sequence: u64_at(bytes, 8),
            end_sequence: u64_at(bytes, 16),
            first_received_at: Timestamp::from_micros(u64_at(bytes, 24) as i64),
            last_received_at: Timestamp::from_micros(u64_at(bytes, 32) as i64),
            groups_end,
            hash: u32_at(bytes, 48),
            index,
        })
    }
}

/// A whole group found by a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundGroup {
    pub(crate) offset: u64,
    pub(crate) header: GroupHeader,
    pub(crate) header_crc: u32,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) groups: Vec<FoundGroup>,
    /// Ranges of the sequence that were durable and are damaged: first missing, first after.
    pub(crate) holes: Vec<(u64, u64)>,
    /// Where the part that stands ends, in bytes.
    pub(crate) groups_end: u64,
    /// The sequence after the last one that stands or is known to be missing.
    pub(crate) end_sequence: u64,
}

/// Judges a segment. `known_end` is the sequence up to which the segment is known to have been durable, from its
/// footer or its successor; without it the last group that proves durability decides, and what follows it is the tail.
pub(crate) fn scan(bytes: &[u8], seed: Seed, first_sequence: u64, known_end: Option<u64>) -> Scan {
    let mut found = Scan {
        groups_end: SEGMENT_HEADER_BYTES as u64,
        end_sequence: first_sequence,
        ..Scan::default()
    };
    let mut at = SEGMENT_HEADER_BYTES;
    while known_end.is_none_or(|end| found.end_sequence < end) {
        if let Some((header, header_crc)) = whole_group(bytes, at, seed)
            && header.first_sequence >= found.end_sequence
            && known_end.is_none_or(|end| header.end_sequence() <= end)
        {
            found.miss_until(header.first_sequence);
            found.groups.push(FoundGroup {
                offset: at as u64,
                header,
                header_crc,
            });
            found.end_sequence = header.end_sequence();
            at += header.group_bytes() as usize;
            found.groups_end = at as u64;
            continue;
        }
        // A later group, even one whose body is damaged, proves that what stands before it was durable.
        let Some((next, header)) = next_header(bytes, at + 1, seed) else {
            break;
        };
        if header.durable_offset <= at as u64 || known_end.is_some_and(|end| header.first_sequence > end) {
            break;
        }
        found.miss_until(header.first_sequence);
        at = next;
        found.groups_end = at as u64;
    }
    if let Some(end) = known_end {
        found.miss_until(end);
    }
    found
}

impl Scan {
    fn miss_until(&mut self, sequence: u64) {
        if sequence > self.end_sequence {
            match self.holes.last_mut() {
                Some(last) if last.1 == self.end_sequence => last.1 = sequence,
                _ => self.holes.push((self.end_sequence, sequence)),
            }
            self.end_sequence = sequence;
        }
    }
}

fn whole_group(bytes: &[u8], at: usize, seed: Seed) -> Option<(GroupHeader, u32)> {
    let group = bytes.get(at..)?;
    let header = GroupHeader::decode(group, at as u64, seed)?;
    let body = group.get(GROUP_HEADER_BYTES..header.group_bytes() as usize)?;
    header.body_is_whole(body).then(|| (header, u32_at(group, 44)))
}

fn next_header(bytes: &[u8], from: usize, seed: Seed) -> Option<(usize, GroupHeader)> {
    let mut at = from;
    while at + GROUP_HEADER_BYTES <= bytes.len() {
        at += bytes[at..].iter().position(|byte| *byte == GROUP_MAGIC[0])?;
        if let Some(header) = GroupHeader::decode(&bytes[at..], at as u64, seed) {
            return Some((at, header));
        }
        at += 1;
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests;
