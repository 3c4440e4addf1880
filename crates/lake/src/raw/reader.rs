//! Reading segments back, in the order of the log: what a rebuild replays.
//!
//! One segment is in memory at a time. A record that two segments hold, because the log was cut anew after a crash,
//! is given once. An object that does not read as its manifest says is named and left out: whoever replays sees which
//! addresses are missing, and decides.

use super::line;
use super::verify::Damage;
use super::zone::{RawObject, RawRange, RawZone, SegmentManifest, manifest_folder, unpack};
use crate::error::{ErrorKind, LakeError};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use kith_types::{Record, SpaceId};
use std::collections::VecDeque;

/// How many objects are read at once.
pub(super) const READS_AT_ONCE: usize = 4;

/// Gives the records of the raw zone segment by segment.
#[derive(Debug)]
pub struct RawReader {
    zone: RawZone,
    spaces: Vec<String>,
    segments: VecDeque<RawRange>,
    /// Generation, partition and first sequence not given yet.
    reached: (u16, u16, u64),
}

/// What could be read of a segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawSegment {
    /// Its records, in the order of their sequence.
    pub records: Vec<Record>,
    /// What is damaged or gone of it: the records there are not given.
    pub damaged: Vec<Damage>,
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
}

impl RawReader {
    /// The next segment in the order of the log, with those that overlap it, as far as it can be read; `None` at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store fails; damage is no error but a finding.
    pub async fn next_segment(&mut self) -> Result<Option<RawSegment>, LakeError> {
        let overlapping = self.overlapping();
        let Some(segment) = overlapping.first().copied() else {
            return Ok(None);
        };
        let end = overlapping.iter().map(|segment| segment.end).max().unwrap_or_default();
        let mut read = RawSegment::default();
        let paths_of = |space: &String| {
            let folder = manifest_folder(space);
            let paths = overlapping.iter().map(|segment| format!("{folder}/{segment}.json"));
            paths.collect::<Vec<_>>()
        };
        let paths: Vec<String> = self.spaces.iter().flat_map(paths_of).collect();
        for path in paths {
            match self.zone.read_manifest(&path).await {
                Ok(manifest) => self.take(&manifest, &mut read).await?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if error.kind() == ErrorKind::Damaged => read.damaged.push(Damage {
                    path,
                    reason: error.to_string(),
                }),
                Err(error) => return Err(error),
            }
        }
        let (generation, partition, reached) = self.reached;
        let same_partition = (generation, partition) == (segment.generation, segment.partition);
        let next = if same_partition { reached } else { 0 };
        read.records.retain(|record| record.address.sequence >= next);
        self.reached = (segment.generation, segment.partition, next.max(end));
        read.records.sort_unstable_by_key(|record| record.address);
        read.records.dedup_by_key(|record| record.address);
        Ok(Some(read))
    }

    /// The next segments that overlap one another: cut anew after a fault, one may hold the records of some spaces and
    /// another those of others.
    fn overlapping(&mut self) -> Vec<RawRange> {
        let mut found: Vec<RawRange> = self.segments.pop_front().into_iter().collect();
        while let Some(next) = self.segments.front().copied()
            && found.iter().any(|segment| segment.overlap(&next).is_some())
        {
            found.push(next);
            self.segments.pop_front();
        }
        found
    }

    async fn take(&self, manifest: &SegmentManifest, read: &mut RawSegment) -> Result<(), LakeError> {
        let mut fetched = self.zone.fetch(&manifest.objects);
        for object in &manifest.objects {
            let Some(packed) = fetched.next().await else { break };
            match records_of(object, packed)? {
                Ok(records) => read.records.extend(records),
                Err(reason) => read.damaged.push(Damage {
                    path: object.path.clone(),
                    reason,
                }),
            }
        }
        Ok(())
    }
}

impl RawZone {
    /// The bytes of objects, in their order, a few read at once.
    pub(super) fn fetch<'a>(&'a self, objects: &'a [RawObject]) -> BoxStream<'a, Result<Bytes, LakeError>> {
        // Boxed one by one: the compiler loses the lifetimes of a lazy closure's futures.
        let reads: Vec<BoxFuture<'a, _>> = (objects.iter())
            .map(|object| self.store.get_hashed(&object.path, &object.sha256))
            .collect();
        stream::iter(reads).buffered(READS_AT_ONCE).boxed()
    }
}

/// The records of an object, or why it does not read as its manifest says.
fn records_of(object: &RawObject, packed: Result<Bytes, LakeError>) -> Result<Result<Vec<Record>, String>, LakeError> {
    let packed = match packed {
        Ok(packed) => packed,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err("it is gone".to_owned())),
        Err(error) => return Err(error),
    };
    if line::sha256_hex(&packed) != object.sha256 {
        return Ok(Err("it does not have the hash that its segment lists".to_owned()));
    }
    let Ok(lines) = unpack(&packed) else {
        return Ok(Err("it cannot be unpacked".to_owned()));
    };
    let texts = lines.split(|byte| *byte == b'\n').filter(|text| !text.is_empty());
    Ok(texts
        .map(|text| line::parse(text).map(|parsed| parsed.record))
        .collect())
}
