//! Writing segments: objects by space, source and hour of receipt, then per space one manifest that lists them.
//!
//! A segment is sealed in raw once its manifests stand, since they are written last. Writing it again is harmless:
//! what is there already must say the same.

use super::ByteRange;
use super::line;
use super::objects::RawObjects;
use super::ranges::{self, Range};
use super::s3::{RetentionAsked, S3Objects};
use crate::error::{ErrorKind, LakeError};
use bytes::Bytes;
use kith_s3::S3Settings;
use kith_types::{Clock, Record, SpaceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

/// The version of the segment manifests.
const MANIFEST_VERSION: u32 = 1;
/// How hard objects are compressed.
const ZSTD_LEVEL: i32 = 3;
/// Lines are handed to the compressor in pieces of this size, or of one line.
const BUFFER_BYTES: usize = 256 << 10;
/// No object may unpack to more: a segment is far smaller.
const UNPACKED_BYTES_MAX: u64 = 4 << 30;

/// A segment's place in the log: one partition of one generation, from `first` up to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawRange {
    /// The log's generation.
    pub generation: u16,
    /// The partition.
    pub partition: u16,
    /// The first sequence.
    pub first: u64,
    /// The sequence after the last.
    pub end: u64,
}

/// An object of a segment, as its manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawObject {
    /// Its path beneath the data folder.
    pub path: String,
    /// The lower-case hexadecimal SHA-256 hash of its bytes.
    pub sha256: String,
    /// How many records it holds.
    pub lines: u64,
    /// How many events those records hold.
    pub events: u64,
    /// Their sequences, as half-open ranges.
    pub sequences: Vec<(u64, u64)>,
}

/// A segment's objects of one space.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentManifest {
    v: u32,
    pub(super) space: String,
    pub(super) generation: u16,
    pub(super) partition: u16,
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) objects: Vec<RawObject>,
}

/// What writing a segment left in the raw zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenSegment {
    /// Its place.
    pub range: RawRange,
    /// Its objects, of all spaces.
    pub objects: Vec<RawObject>,
    /// How long they are together, as they lie in the store.
    pub bytes: u64,
}

/// A raw zone, in a data folder or in a bucket.
#[derive(Clone, Debug)]
pub struct RawZone {
    pub(super) store: Arc<dyn RawObjects>,
}

impl fmt::Display for RawRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.generation, self.partition, self.first, self.end)
    }
}

impl RawRange {
    /// The range that a segment manifest's file name states.
    pub(super) fn of_manifest(path: &str) -> Option<Self> {
        Self::parse(path.rsplit('/').next()?.strip_suffix(".json")?)
    }

    /// The range in the file name of an object or a segment manifest.
    pub(super) fn of_object(path: &str) -> Option<Self> {
        Self::parse(path.rsplit('/').next()?.split('.').next()?)
    }

    /// Reads what [`fmt::Display`] writes: generation, partition, first sequence, and the sequence after the last.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let mut next = || parts.next()?.parse::<u64>().ok();
        let (generation, partition, first, end) = (next()?, next()?, next()?, next()?);
        let (generation, partition) = (u16::try_from(generation).ok()?, u16::try_from(partition).ok()?);
        let whole = parts.next().is_none() && first < end;
        whole.then_some(Self {
            generation,
            partition,
            first,
            end,
        })
    }

    /// How many sequences it spans.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.end.saturating_sub(self.first)
    }

    /// What of it lies in another range.
    #[must_use]
    pub fn within(&self, other: &Self) -> Option<Self> {
        self.overlap(other).map(|range| self.with(range))
    }

    /// The same place with other sequences.
    pub(super) fn with(&self, (first, end): Range) -> Self {
        Self { first, end, ..*self }
    }

    /// The sequences that both have, if both are of one generation and partition.
    pub(super) fn overlap(&self, other: &Self) -> Option<Range> {
        let same = (self.generation, self.partition) == (other.generation, other.partition);
        let (first, end) = (self.first.max(other.first), self.end.min(other.end));
        (same && first < end).then_some((first, end))
    }
}

pub(super) fn manifest_folder(space: &str) -> String {
    format!("raw/space={space}/_segments")
}

/// One object to be: its lines, compressed.
struct Packed {
    bytes: Vec<u8>,
    events: u64,
    sequences: Vec<Range>,
}

impl RawZone {
    pub(crate) fn new(store: impl RawObjects + 'static) -> Self {
        Self { store: Arc::new(store) }
    }

    /// A raw zone in a bucket; nothing is asked of the store yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for settings that cannot be used.
    pub fn in_bucket(
        settings: S3Settings,
        retention: Option<RetentionAsked>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LakeError> {
        Ok(Self::new(S3Objects::new(settings, retention, clock)?))
    }

    /// Where it is, for people.
    #[must_use]
    pub fn name(&self) -> String {
        self.store.name()
    }

    /// Looks whether its place can keep what is promised. Where it could not be reached, the first use looks again.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when somebody must mend the settings, the bucket or the permissions;
    /// [`ErrorKind::Unavailable`] when the store cannot be reached.
    pub async fn check(&self) -> Result<(), LakeError> {
        self.store.check().await
    }

    /// Writes a sealed segment: all its records, in the order of their sequence, of one generation and partition.
    /// `ranges` gives where the events of a record lie in its body. Durable when it returns; writing the same records
    /// again changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the records are none or not of one segment; [`ErrorKind::Conflict`] when an object
    /// of that name holds something else; [`ErrorKind::Unavailable`] when the store fails.
    pub async fn write_segment(
        &self,
        records: &[Record],
        ranges: &(dyn Fn(&Record) -> Vec<ByteRange> + Sync),
    ) -> Result<WrittenSegment, LakeError> {
        let range = range_of(records)?;
        let (mut by_space, mut bytes): (BTreeMap<String, Vec<RawObject>>, u64) = (BTreeMap::new(), 0);
        for ((space, path), records) in divide(records, range) {
            let packed = pack(&records, ranges).map_err(|error| {
                LakeError::because(ErrorKind::Unavailable, "a raw object could not be compressed", error)
            })?;
            bytes += packed.bytes.len() as u64;
            let object = self.write_object(path, packed, records.len() as u64).await?;
            by_space.entry(space).or_default().push(object);
        }
        for (space, objects) in &by_space {
            let manifest = SegmentManifest {
                v: MANIFEST_VERSION,
                space: space.clone(),
                generation: range.generation,
                partition: range.partition,
                first: range.first,
                end: range.end,
                objects: objects.clone(),
            };
            self.write_manifest(&manifest, range).await?;
        }
        Ok(WrittenSegment {
            range,
            objects: by_space.into_values().flatten().collect(),
            bytes,
        })
    }

    /// Has the manifests of a segment that stands locked, where a lock is asked for: they are written last, so a store and a
    /// server that were killed together may have left one without.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store fails.
    pub async fn lock_manifests(&self, range: RawRange) -> Result<(), LakeError> {
        for space in self.spaces(None).await? {
            let path = format!("{}/{range}.json", manifest_folder(&space));
            self.store.lock_found(&path).await?;
        }
        Ok(())
    }

    /// The segments that stand, in order; of one space or of all.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store cannot be listed.
    pub async fn segments(&self, space: Option<&SpaceId>) -> Result<Vec<RawRange>, LakeError> {
        let mut segments = Vec::new();
        for space in self.spaces(space).await? {
            let manifests = self.store.list(&manifest_folder(&space)).await?;
            segments.extend(manifests.iter().filter_map(|path| RawRange::of_manifest(path)));
        }
        segments.sort_unstable();
        segments.dedup();
        Ok(segments)
    }

    /// The spaces that have raw objects, or the one asked for.
    pub(super) async fn spaces(&self, space: Option<&SpaceId>) -> Result<Vec<String>, LakeError> {
        if let Some(space) = space {
            return Ok(vec![space.as_str().to_owned()]);
        }
        let folders = self.store.folders("raw").await?;
        Ok(folders
            .iter()
            .filter_map(|folder| folder.strip_prefix("space=").map(str::to_owned))
            .collect())
    }

    async fn write_object(&self, path: String, packed: Packed, lines: u64) -> Result<RawObject, LakeError> {
        let mut sha256 = line::sha256_hex(&packed.bytes);
        let bytes = Bytes::from(packed.bytes);
        if !self.store.create(&path, bytes.clone()).await? {
            let there = self.store.get(&path).await?;
            // Another version of the compressor may have packed the same lines otherwise.
            if there != bytes && unpack(&there).ok() != unpack(&bytes).ok() {
                let message = format!("{path} exists and holds something else: raw objects are never replaced");
                return Err(LakeError::new(ErrorKind::Conflict, message));
            }
            self.store.lock_found(&path).await?;
            sha256 = line::sha256_hex(&there);
        }
        Ok(RawObject {
            path,
            sha256,
            lines,
            events: packed.events,
            sequences: packed.sequences,
        })
    }

    async fn write_manifest(&self, manifest: &SegmentManifest, range: RawRange) -> Result<(), LakeError> {
        let path = format!("{}/{range}.json", manifest_folder(&manifest.space));
        let json = serde_json::to_vec(manifest)
            .map_err(|error| LakeError::because(ErrorKind::Invalid, "a segment manifest cannot be written", error))?;
        if self.store.create(&path, json.into()).await? {
            return Ok(());
        }
        if self.read_manifest(&path).await? != *manifest {
            let message = format!("{path} exists and lists something else: raw objects are never replaced");
            return Err(LakeError::new(ErrorKind::Conflict, message));
        }
        self.store.lock_found(&path).await
    }

    pub(super) async fn read_manifest(&self, path: &str) -> Result<SegmentManifest, LakeError> {
        let bytes = self.store.get(path).await?;
        let damaged = || format!("{path} is not a segment manifest");
        let manifest: SegmentManifest =
            serde_json::from_slice(&bytes).map_err(|error| LakeError::because(ErrorKind::Damaged, damaged(), error))?;
        if manifest.v != MANIFEST_VERSION {
            let message = format!(
                "{path} has version {}, and this version reads {MANIFEST_VERSION}",
                manifest.v
            );
            return Err(LakeError::new(ErrorKind::Damaged, message));
        }
        Ok(manifest)
    }
}

/// The records by the space and the path of the object that they belong to.
fn divide(records: &[Record], range: RawRange) -> BTreeMap<(String, String), Vec<&Record>> {
    let mut objects: BTreeMap<(String, String), Vec<&Record>> = BTreeMap::new();
    for record in records {
        let (year, month, day, hour) = record.received_at.date_and_hour();
        let (space, source) = (record.space.as_str(), line::source_of(record));
        let path = format!(
            "raw/space={space}/source={source}/date={year:04}-{month:02}-{day:02}/hour={hour:02}/{range}.jsonl.zst"
        );
        objects.entry((space.to_owned(), path)).or_default().push(record);
    }
    objects
}

/// Compresses the lines of an object as they are written: only a buffer of them is ever held in full.
fn pack(records: &[&Record], ranges: &dyn Fn(&Record) -> Vec<ByteRange>) -> std::io::Result<Packed> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    let (mut buffer, mut events, mut sequences) = (Vec::with_capacity(2 * BUFFER_BYTES), 0, Vec::new());
    for record in records {
        let found = ranges(record);
        line::write(record, &found, &mut buffer);
        if buffer.len() >= BUFFER_BYTES {
            encoder.write_all(&buffer)?;
            buffer.clear();
        }
        events += found.len() as u64;
        ranges::push(&mut sequences, record.address.sequence);
    }
    encoder.write_all(&buffer)?;
    Ok(Packed {
        bytes: encoder.finish()?,
        events,
        sequences,
    })
}

fn range_of(records: &[Record]) -> Result<RawRange, LakeError> {
    let wrong = |message: &str| LakeError::new(ErrorKind::Invalid, message);
    let [first, ..] = records else {
        return Err(wrong("a segment without records is not written"));
    };
    let (generation, partition) = (first.address.generation, first.address.partition);
    let mut end = first.address.sequence;
    for record in records {
        let address = record.address;
        if (address.generation, address.partition) != (generation, partition) || address.sequence < end {
            return Err(wrong(
                "the records of a segment are of one partition and in the order of their sequence",
            ));
        }
        end = address.sequence + 1;
    }
    Ok(RawRange {
        generation,
        partition,
        first: first.address.sequence,
        end,
    })
}

/// Unpacks an object, within the limit.
pub(super) fn unpack(packed: &Bytes) -> std::io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let decoder = zstd::stream::Decoder::new(&packed[..])?;
    let length = decoder.take(UNPACKED_BYTES_MAX).read_to_end(&mut unpacked)?;
    if length as u64 == UNPACKED_BYTES_MAX {
        return Err(std::io::Error::other("a raw object unpacks to more than 4 GiB"));
    }
    Ok(unpacked)
}
