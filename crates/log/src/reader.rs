//! Reading: durable records in the order of their sequence, from memory where the newest groups are kept, else from disk.
//!
//! Works with the table, which says where a sequence stands. Every group read from disk is verified by checksum, so
//! damage that came after start-up is quarantined here. Never returns a record that is not durable.

use crate::codec::Decoder;
use crate::disk::DiskFile;
use crate::error::{ErrorKind, Gap, LogError};
use crate::segment::{GROUP_HEADER_BYTES, GroupHeader, Seed, u32_at};
use crate::shared::{Shared, locked};
use crate::table::{Group, Lookup};
use bytes::Bytes;
use kith_types::{Address, Record, SpaceId};
use std::sync::Arc;

/// How much is read from disk at a time; a larger group is read at once.
const BLOCK_BYTES: usize = 1024 * 1024;

/// Reads records from a place on, in order. Independent of every other reader.
pub struct LogReader {
    shared: Arc<Shared>,
    decoder: Decoder,
    position: u64,
    group: Option<OpenGroup>,
    cursor: Option<Cursor>,
}

/// A group of which not every record has been read.
struct OpenGroup {
    group: Group,
    /// Where the next record's frame begins.
    at: usize,
    /// The sequence of that record.
    next: u64,
}

/// Where the reader stands in a segment's file.
struct Cursor {
    ordinal: u64,
    file: Arc<dyn DiskFile>,
    seed: Seed,
    /// Where the next group begins, and with which sequence.
    offset: u64,
    sequence: u64,
    block: Bytes,
    block_offset: u64,
}

impl LogReader {
    pub(crate) fn new(shared: Arc<Shared>, from: u64) -> Self {
        Self {
            shared,
            decoder: Decoder::default(),
            position: from,
            group: None,
            cursor: None,
        }
    }

    /// The sequence of the record that is read next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on at `sequence`: how a reader skips a gap, once it has noted it.
    pub fn skip_to(&mut self, sequence: u64) {
        self.position = sequence;
        self.group = None;
    }

    /// The next records: at most `records_max`, and no further one once their bodies have `bytes_max` bytes. At least
    /// one, if there is one that is durable; none when the reader has caught up. The bodies share the memory of the
    /// group that they were written in (at most 8 MiB, or one append), which lives as long as any of them.
    ///
    /// # Errors
    /// [`ErrorKind::Gap`] when the next record cannot be served: [`LogError::gap`] says up to where, and
    /// [`LogReader::skip_to`] goes on there. [`ErrorKind::Unavailable`] when a segment cannot be read now;
    /// [`ErrorKind::Format`] for records of a later version.
    pub fn read(&mut self, records_max: usize, bytes_max: usize) -> Result<Vec<Record>, LogError> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < records_max && bytes < bytes_max {
            let Some(open) = &mut self.group else {
                match self.next_group() {
                    Ok(Some(group)) => {
                        let next = group.first_sequence;
                        self.group = Some(OpenGroup { group, at: 0, next });
                        continue;
                    }
                    Ok(None) => break,
                    // What was read before an error is served first; the error comes again.
                    Err(_) if !records.is_empty() => break,
                    Err(error) => return Err(error),
                }
            };
            let (sequence, received_at) = (open.next, open.group.received_at);
            let frame = open.take();
            if open.next >= open.group.end_sequence || frame.is_err() {
                self.group = None;
            }
            let frame = frame?;
            if sequence < self.position {
                continue;
            }
            match self.decoder.decode(&frame) {
                Ok((space, body)) => records.push(self.record(sequence, received_at, space, body)),
                // The position stays, so that the error comes again and nothing is passed over in silence.
                Err(error) => {
                    self.group = None;
                    return if records.is_empty() { Err(error) } else { Ok(records) };
                }
            }
            bytes += frame.len();
            self.position = sequence + 1;
        }
        Ok(records)
    }

    fn record(
        &self,
        sequence: u64,
        received_at: kith_types::Timestamp,
        space: SpaceId,
        body: kith_types::RecordBody,
    ) -> Record {
        let (generation, partition) = (self.shared.config.generation, self.shared.config.partition);
        Record {
            address: Address {
                generation,
                partition,
                sequence,
                index: 0,
            },
            space,
            received_at,
            body,
        }
    }

    /// The group that holds the position; nothing once the reader has caught up.
    fn next_group(&mut self) -> Result<Option<Group>, LogError> {
        // A second look follows the quarantining of damage, a third one the removal of a segment meanwhile.
        for _ in 0..3 {
            let lookup = locked(&self.shared.table).look_up(self.position);
            match lookup {
                Lookup::CaughtUp => return Ok(None),
                Lookup::Gap(gap) => return Err(LogError::of_gap(gap)),
                Lookup::InMemory(group) => return Ok(Some(group)),
                Lookup::OnDisk {
                    ordinal,
                    name,
                    place,
                    groups_end,
                } => match self.group_on_disk(ordinal, &name, place, groups_end) {
                    Ok(Some(group)) => return Ok(Some(group)),
                    Ok(None) => {
                        self.cursor = None;
                        self.shared.quarantine(ordinal)?;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.cursor = None,
                    Err(error) => return Err(LogError::unavailable("read a segment", &error)),
                },
            }
        }
        Err(LogError::new(
            ErrorKind::Corrupt,
            format!(
                "sequence {} can neither be read nor be found damaged: check the disk",
                self.position
            ),
        ))
    }

    /// The group that holds the position, or nothing if a checksum does not fit on the way there.
    fn group_on_disk(
        &mut self,
        ordinal: u64,
        name: &str,
        place: Option<(u64, u64)>,
        groups_end: u64,
    ) -> std::io::Result<Option<Group>> {
        let position = self.position;
        let Some((place_sequence, place_offset)) = place else {
            return Ok(None);
        };
        let mut cursor = match self.cursor.take() {
            Some(cursor)
                if cursor.ordinal == ordinal && cursor.sequence <= position && cursor.sequence >= place_sequence =>
            {
                cursor
            }
            _ => Cursor {
                ordinal,
                file: self.shared.disk.open(&self.shared.segment_path(name))?,
                seed: Seed::new(self.shared.salt, ordinal),
                offset: place_offset,
                sequence: place_sequence,
                block: Bytes::new(),
                block_offset: 0,
            },
        };
        loop {
            let Some(header) = cursor.header(groups_end) else {
                return Ok(None);
            };
            if header.end_sequence() <= position {
                cursor.pass(&header);
                continue;
            }
            let body = cursor.body(&header, groups_end);
            if header.first_sequence > position || !header.body_is_whole(&body) {
                return Ok(None);
            }
            cursor.pass(&header);
            self.cursor = Some(cursor);
            let (first_sequence, end_sequence) = (header.first_sequence, header.end_sequence());
            return Ok(Some(Group {
                first_sequence,
                end_sequence,
                received_at: header.received_at,
                body,
            }));
        }
    }
}

impl OpenGroup {
    /// The next record's bytes.
    fn take(&mut self) -> Result<Bytes, LogError> {
        let body = &self.group.body;
        let broken = || {
            LogError::new(
                ErrorKind::Corrupt,
                "a group of the log does not hold the records that it counts",
            )
        };
        let frame = body.get(self.at..self.at + 4).ok_or_else(broken)?;
        let (from, length) = (self.at + 4, u32_at(frame, 0) as usize);
        if from + length > body.len() {
            return Err(broken());
        }
        let record = body.slice(from..from + length);
        self.at = from + length;
        self.next += 1;
        Ok(record)
    }
}

impl Cursor {
    /// The header of the next group, if its checksum fits.
    fn header(&mut self, groups_end: u64) -> Option<GroupHeader> {
        let header = GroupHeader::decode(&self.bytes(GROUP_HEADER_BYTES, groups_end), self.offset, self.seed)?;
        (header.count > 0).then_some(header)
    }

    fn body(&mut self, header: &GroupHeader, groups_end: u64) -> Bytes {
        let group = self.bytes(header.group_bytes() as usize, groups_end);
        group.slice(GROUP_HEADER_BYTES.min(group.len())..)
    }

    fn pass(&mut self, header: &GroupHeader) {
        self.offset += header.group_bytes();
        self.sequence = header.end_sequence();
    }

    /// So many bytes from the next group's beginning, fewer where the segment ends or cannot be read.
    fn bytes(&mut self, length: usize, groups_end: u64) -> Bytes {
        let end = self.offset + length as u64;
        if self.offset < self.block_offset || end > self.block_offset + self.block.len() as u64 {
            let left = usize::try_from(groups_end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
            let mut block = vec![0; left.min(length.max(BLOCK_BYTES))];
            let read = self.file.read_at(self.offset, &mut block).unwrap_or(0);
            block.truncate(read);
            self.block = Bytes::from(block);
            self.block_offset = self.offset;
        }
        let from = (self.offset - self.block_offset) as usize;
        self.block.slice(from..self.block.len().min(from + length))
    }
}

/// The records of one segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SegmentContents {
    /// Its records, in order.
    pub records: Vec<Record>,
    /// What of it cannot be served.
    pub gaps: Vec<Gap>,
}

/// Reads a whole segment.
pub(crate) fn read_segment(
    shared: &Arc<Shared>,
    first_sequence: u64,
    end_sequence: u64,
) -> Result<SegmentContents, LogError> {
    let mut reader = LogReader::new(Arc::clone(shared), first_sequence);
    let mut contents = SegmentContents::default();
    while reader.position() < end_sequence {
        let left = usize::try_from(end_sequence - reader.position()).unwrap_or(usize::MAX);
        match reader.read(left, usize::MAX) {
            Ok(records) if records.is_empty() => break,
            Ok(records) => contents.records.extend(records),
            Err(error) => {
                let Some(gap) = error.gap() else { return Err(error) };
                contents.gaps.push(Gap {
                    to: gap.to.min(end_sequence),
                    ..gap
                });
                reader.skip_to(gap.to);
            }
        }
    }
    Ok(contents)
}
