//! Writing segments: objects by space, source and hour of receipt, then per space one manifest that lists them.
//!
//! A segment is sealed in raw once its manifests stand, since they are written last. Writing it again is harmless:
//! what is there already must say the same.

use super::ByteRange;
use super::line;
use super::ranges::{self, Range};
use crate::error::{ErrorKind, LakeError};
use crate::store::{Put, Store};
use bytes::Bytes;
use kith_types::{Record, RecordBody, SpaceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};

/// The version of the segment manifests.
const MANIFEST_VERSION: u32 = 1;
/// How hard objects are compressed.
const ZSTD_LEVEL: i32 = 3;
/// What a line says besides its body takes about so much.
const LINE_HEAD_BYTES: usize = 512;
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
}

/// The raw zone of a data folder.
#[derive(Clone, Debug)]
pub struct RawZone {
    pub(super) store: Store,
}

impl fmt::Display for RawRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.generation, self.partition, self.first, self.end)
    }
}

impl RawRange {
    /// The range that a segment manifest's file name states.
    pub(super) fn of_manifest(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next()?.strip_suffix(".json")?;
        let mut parts = name.split('-');
        let mut next = || parts.next()?.parse::<u64>().ok();
        let (generation, partition, first, end) = (next()?, next()?, next()?, next()?);
        let (generation, partition) = (u16::try_from(generation).ok()?, u16::try_from(partition).ok()?);
        Some(Self {
            generation,
            partition,
            first,
            end,
        })
    }
}

pub(super) fn manifest_folder(space: &str) -> String {
    format!("raw/space={space}/_segments")
}

/// The lines of one object to be.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    lines: u64,
    events: u64,
    sequences: Vec<Range>,
}

impl RawZone {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
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
        let mut by_space: BTreeMap<String, Vec<RawObject>> = BTreeMap::new();
        // One object's lines at a time are in memory.
        for ((space, path), records) in by_object(records, range) {
            let lines = Lines::of(&records, ranges)?;
            let object = self.write_object(path, lines).await?;
            by_space.entry(space.to_owned()).or_default().push(object);
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
        })
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

    async fn write_object(&self, path: String, lines: Lines) -> Result<RawObject, LakeError> {
        let packed = pack(&lines.bytes).map_err(|error| {
            LakeError::because(ErrorKind::Unavailable, "a raw object could not be compressed", error)
        })?;
        let mut sha256 = line::sha256_hex(&packed);
        if !self.store.put(&path, packed.into(), Put::Create).await? {
            let there = self.store.get(&path).await?;
            // Another version of the compressor may have packed the same lines otherwise.
            if unpack(&there).ok().as_deref() != Some(lines.bytes.as_slice()) {
                let message = format!("{path} exists and holds something else: raw objects are never replaced");
                return Err(LakeError::new(ErrorKind::Conflict, message));
            }
            sha256 = line::sha256_hex(&there);
        }
        Ok(RawObject {
            path,
            sha256,
            lines: lines.lines,
            events: lines.events,
            sequences: lines.sequences,
        })
    }

    async fn write_manifest(&self, manifest: &SegmentManifest, range: RawRange) -> Result<(), LakeError> {
        let path = format!("{}/{range}.json", manifest_folder(&manifest.space));
        let json = serde_json::to_vec(manifest)
            .map_err(|error| LakeError::because(ErrorKind::Invalid, "a segment manifest cannot be written", error))?;
        if !self.store.put(&path, json.into(), Put::Create).await? && self.read_manifest(&path).await? != *manifest {
            let message = format!("{path} exists and lists something else: raw objects are never replaced");
            return Err(LakeError::new(ErrorKind::Conflict, message));
        }
        Ok(())
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

/// The records of each object, in order, by space and path.
fn by_object(records: &[Record], range: RawRange) -> BTreeMap<(&str, String), Vec<&Record>> {
    let mut objects: BTreeMap<(&str, String), Vec<&Record>> = BTreeMap::new();
    for record in records {
        let (year, month, day, hour) = record.received_at.date_and_hour();
        let (space, source) = (record.space.as_str(), line::source_of(record));
        let path = format!(
            "raw/space={space}/source={source}/date={year:04}-{month:02}-{day:02}/hour={hour:02}/{range}.jsonl.zst"
        );
        objects.entry((space, path)).or_default().push(record);
    }
    objects
}

impl Lines {
    fn of(records: &[&Record], ranges: &dyn Fn(&Record) -> Vec<ByteRange>) -> Result<Self, LakeError> {
        let body_bytes: usize = records.iter().map(|record| body_of(record).len()).sum();
        let mut lines = Self {
            // Quotes are escaped, and each line says where it came from.
            bytes: Vec::with_capacity(body_bytes + body_bytes / 4 + records.len() * LINE_HEAD_BYTES),
            ..Self::default()
        };
        for record in records {
            let events = ranges(record);
            line::write(record, &events, &mut lines.bytes)
                .map_err(|error| LakeError::because(ErrorKind::Invalid, "a record cannot be written as JSON", error))?;
            lines.lines += 1;
            lines.events += events.len() as u64;
            ranges::push(&mut lines.sequences, record.address.sequence);
        }
        Ok(lines)
    }
}

fn body_of(record: &Record) -> &[u8] {
    match &record.body {
        RecordBody::Envelope(envelope) => &envelope.body,
        RecordBody::Decision(decision) => decision.document.as_bytes(),
    }
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

/// Compresses in a stream: in one piece it would first ask for as much memory as lines that cannot be compressed take.
fn pack(lines: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.set_pledged_src_size(Some(lines.len() as u64))?;
    encoder.write_all(lines)?;
    encoder.finish()
}

/// Unpacks an object, within the limit.
pub(super) fn unpack(packed: &Bytes) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let decoder = zstd::stream::Decoder::new(&packed[..])?;
    let length = decoder.take(UNPACKED_BYTES_MAX).read_to_end(&mut unpacked)?;
    if length as u64 == UNPACKED_BYTES_MAX {
        return Err(io::Error::other("a raw object unpacks to more than 4 GiB"));
    }
    Ok(unpacked)
}
