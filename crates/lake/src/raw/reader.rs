//! Reading segments back, in the order of the log: what a rebuild replays.
//!
//! One segment is in memory at a time. A record that two segments hold, because the log was cut anew after a crash,
//! is given once.

use super::line;
use super::zone::{RawRange, RawZone, SegmentManifest, manifest_folder, unpack};
use crate::error::{ErrorKind, LakeError};
use kith_types::{Record, SpaceId};
use std::collections::VecDeque;

/// Gives the records of the raw zone segment by segment.
#[derive(Debug)]
pub struct RawReader {
    zone: RawZone,
    spaces: Vec<String>,
    segments: VecDeque<RawRange>,
    /// Generation, partition and first sequence not given yet.
    reached: (u16, u16, u64),
}

impl RawZone {
    /// A reader over all segments, of one space or of all, from the first address on.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store cannot be listed.
    pub async fn read(&self, space: Option<&SpaceId>) -> Result<RawReader, LakeError> {
        let segments = self.segments(space).await?.into();
        Ok(RawReader {
            zone: self.clone(),
            spaces: self.spaces(space).await?,
            segments,
            reached: (0, 0, 0),
        })
    }

    /// As [`RawZone::read`] for all spaces, without the segments of a generation that end before a sequence number.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store cannot be listed.
    pub async fn read_from(&self, generation: u16, partition: u16, sequence: u64) -> Result<RawReader, LakeError> {
        let mut reader = self.read(None).await?;
        reader.segments.retain(|segment| {
            (segment.generation, segment.partition) == (generation, partition) && segment.end > sequence
        });
        Ok(reader)
    }

    pub(super) async fn object_lines(&self, path: &str) -> Result<Vec<u8>, LakeError> {
        let packed = self.store.get(path).await?;
        unpack(&packed)
            .map_err(|error| LakeError::because(ErrorKind::Damaged, format!("{path} cannot be unpacked"), error))
    }
}

impl RawReader {
    /// The records of the next segment in the order of their sequence; `None` at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] and [`ErrorKind::NotFound`] when an object does not read as its manifest says:
    /// nothing of the segment is given, and the next call goes on behind it.
    pub async fn next_segment(&mut self) -> Result<Option<Vec<Record>>, LakeError> {
        let Some(segment) = self.segments.pop_front() else {
            return Ok(None);
        };
        let mut records = Vec::new();
        for space in &self.spaces {
            let path = format!("{}/{segment}.json", manifest_folder(space));
            match self.zone.read_manifest(&path).await {
                Ok(manifest) => self.take(&manifest, &mut records).await?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let (generation, partition, reached) = self.reached;
        let same_partition = (generation, partition) == (segment.generation, segment.partition);
        let next = if same_partition { reached } else { 0 };
        records.retain(|record| record.address.sequence >= next);
        self.reached = (segment.generation, segment.partition, next.max(segment.end));
        records.sort_unstable_by_key(|record| record.address);
        Ok(Some(records))
    }

    async fn take(&self, manifest: &SegmentManifest, records: &mut Vec<Record>) -> Result<(), LakeError> {
        for object in &manifest.objects {
            let lines = self.zone.object_lines(&object.path).await?;
            for text in lines.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
                let parsed = line::parse(text).map_err(|reason| {
                    LakeError::new(ErrorKind::Damaged, format!("{} is damaged: {reason}", object.path))
                })?;
                records.push(parsed.record);
            }
        }
        Ok(())
    }
}
