//! Proving the raw zone: every hash, every listed object, and that no address is missing.
//!
//! `kith raw verify` prints its report. It reads every object and changes nothing. A loss that an operator has accepted is
//! told apart from what is missing.

use super::holes::{Holes, RawHole};
use super::line;
use super::ranges::{self, Range};
use super::reader::READS_AT_ONCE;
use super::zone::{RawObject, RawRange, RawZone, SegmentManifest, manifest_folder, unpack};
use crate::error::{ErrorKind, LakeError};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use kith_types::SpaceId;
use std::collections::{BTreeMap, BTreeSet};

/// How many damages and unlisted objects are named; beyond that they are counted.
const NAMED_MAX: usize = 1_000;

/// Something that does not read as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The object.
    pub path: String,
    /// What is wrong with it, without a value from it.
    pub reason: String,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Objects whose every hash is right.
    pub objects: u64,
    /// Records in them.
    pub lines: u64,
    /// Events in those.
    pub events: u64,
    /// Bytes of those objects, as they lie in the store.
    pub bytes: u64,
    /// Addresses between the first and the last sealed one that no sound object holds, and that nothing is on record for.
    pub missing: Vec<RawRange>,
    /// Addresses that hold nothing for a cause on record: the log never had them, or their loss was accepted.
    pub holes: Vec<RawHole>,
    /// What is damaged or gone; at most 1,000 are named.
    pub damaged: Vec<Damage>,
    /// How many are damaged or gone.
    pub damaged_count: u64,
    /// What is whole, and less guarded than is asked: without its lock, or covered by an overwrite or a deletion. At most
    /// 1,000 are named.
    pub exposed: Vec<Damage>,
    /// How many are exposed.
    pub exposed_count: u64,
    /// How many objects, manifests and notes have the lock that is asked for.
    pub locked: u64,
    /// Objects that no segment lists: left by a crash before its segment was sealed. At most 1,000 are named.
    pub unlisted: Vec<String>,
}

impl VerifyReport {
    /// Whether every hash is right, no address is missing, but for losses that were accepted, and everything is guarded as
    /// is asked.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged_count == 0 && self.missing.is_empty() && self.exposed_count == 0
    }

    fn expose(&mut self, path: String, reason: String) {
        self.exposed_count += 1;
        if self.exposed.len() < NAMED_MAX {
            self.exposed.push(Damage { path, reason });
        }
    }

    fn damage(&mut self, path: &str, reason: impl Into<String>) {
        self.damaged_count += 1;
        if self.damaged.len() < NAMED_MAX {
            self.damaged.push(Damage {
                path: path.to_owned(),
                reason: reason.into(),
            });
        }
    }

    /// Takes away the damages whose every record is in a hole on record: there is nothing left to mend.
    fn settle(&mut self, holes: &Holes) {
        let missing = &self.missing;
        let before = self.damaged.len();
        self.damaged.retain(|damage| {
            let Some(range) = RawRange::of_object(&damage.path) else {
                return true;
            };
            let on_record = !holes.within(&range).is_empty();
            !on_record || missing.iter().any(|lost| lost.overlap(&range).is_some())
        });
        self.damaged_count -= (before - self.damaged.len()) as u64;
        self.holes.clone_from(&holes.holes);
    }
}

/// Sequences expected and found, by generation and partition.
#[derive(Default)]
struct Coverage(BTreeMap<(u16, u16), (Vec<Range>, Vec<Range>)>);

impl RawZone {
    /// Checks every object of one space or of all. Of all, it proves that the addresses from the first to the last
    /// sealed one are there without a gap; of one, that all which its manifests list are.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store fails; damage is no error but a finding.
    pub async fn verify(&self, space: Option<&SpaceId>) -> Result<VerifyReport, LakeError> {
        self.verify_against(space, None).await
    }

    /// As [`RawZone::verify`] of all spaces, where everything of a range must be there: what the log has let go.
    ///
    /// # Errors
    /// As [`RawZone::verify`].
    pub async fn verify_with(&self, expected: RawRange) -> Result<VerifyReport, LakeError> {
        self.verify_against(None, Some(expected)).await
    }

    async fn verify_against(
        &self,
        space: Option<&SpaceId>,
        expected: Option<RawRange>,
    ) -> Result<VerifyReport, LakeError> {
        let holes = self.read_holes().await?;
        let mut report = VerifyReport::default();
        for (path, reason) in &holes.damaged {
            report.damage(path, reason);
        }
        let mut coverage = Coverage::default();
        for name in self.spaces(space).await? {
            self.verify_space(&name, &mut report, &mut coverage).await?;
        }
        if let Some(range) = expected.filter(|range| range.count() > 0) {
            let (expected, _) = coverage.0.entry((range.generation, range.partition)).or_default();
            expected.push((range.first, range.end));
        }
        for ((generation, partition), (expected, found)) in coverage.0 {
            let expected = ranges::normalise(expected);
            let (Some((first, _)), Some((_, end))) = (expected.first().copied(), expected.last().copied()) else {
                continue;
            };
            let whole = RawRange {
                generation,
                partition,
                first,
                end,
            };
            let expected = if space.is_none() { vec![(first, end)] } else { expected };
            let mut found = found;
            found.extend(holes.within(&whole));
            let missing = ranges::subtract(&expected, &ranges::normalise(found));
            report
                .missing
                .extend(missing.into_iter().map(|range| whole.with(range)));
        }
        report.settle(&holes);
        self.verify_guards(space, &mut report).await?;
        Ok(report)
    }

    /// Whether what is there has its lock, and lies under nothing.
    async fn verify_guards(&self, space: Option<&SpaceId>, report: &mut VerifyReport) -> Result<(), LakeError> {
        let beneath = space.map_or_else(|| "raw".to_owned(), |space| format!("raw/space={space}"));
        let Some(guards) = self.store.guards(&beneath).await? else {
            return Ok(());
        };
        for (path, reason) in guards.covered {
            report.expose(path, reason);
        }
        if !guards.locks {
            return Ok(());
        }
        let versions: Vec<_> = guards.versions.iter().collect();
        for some in versions.chunks(READS_AT_ONCE) {
            let asked = some.iter().map(|(path, guarded)| self.store.lock_fault(path, guarded));
            for ((path, _), fault) in some.iter().zip(join_all(asked).await) {
                match fault? {
                    Some(fault) => report.expose((*path).clone(), fault),
                    None => report.locked += 1,
                }
            }
        }
        Ok(())
    }

    async fn verify_space(
        &self,
        space: &str,
        report: &mut VerifyReport,
        coverage: &mut Coverage,
    ) -> Result<(), LakeError> {
        let folder = manifest_folder(space);
        let mut listed = BTreeSet::new();
        for path in self.store.list(&folder).await? {
            let Some(range) = RawRange::of_manifest(&path) else {
                report.damage(&path, "not the name of a segment manifest");
                continue;
            };
            let (expected, found) = coverage.0.entry((range.generation, range.partition)).or_default();
            let manifest = match self.read_manifest(&path).await {
                Ok(manifest) => manifest,
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    // What it listed is unknown; that the segment existed is not.
                    expected.push((range.first, range.end));
                    report.damage(&path, error.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            let stated = (manifest.generation, manifest.partition, manifest.first, manifest.end);
            if manifest.space != space || stated != (range.generation, range.partition, range.first, range.end) {
                report.damage(&path, "lists another segment than its name states");
            }
            let mut fetched = self.fetch(&manifest.objects);
            for object in &manifest.objects {
                expected.extend(&object.sequences);
                let Some(packed) = fetched.next().await else { break };
                found.extend(judge(&manifest, object, packed, report)?.unwrap_or_default());
                listed.insert(object.path.clone());
            }
        }
        let all = self.store.list(&format!("raw/space={space}")).await?;
        let unlisted = all
            .into_iter()
            .filter(|path| !path.starts_with(&folder) && !listed.contains(path));
        let room = NAMED_MAX.saturating_sub(report.unlisted.len());
        report.unlisted.extend(unlisted.take(room));
        Ok(())
    }
}

/// The sequences of an object, if all of it is as its manifest says.
fn judge(
    manifest: &SegmentManifest,
    object: &RawObject,
    packed: Result<Bytes, LakeError>,
    report: &mut VerifyReport,
) -> Result<Option<Vec<Range>>, LakeError> {
    let packed = match packed {
        Ok(packed) => packed,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            report.damage(&object.path, "it is gone");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if line::sha256_hex(&packed) != object.sha256 {
        report.damage(&object.path, "it does not have the hash that its segment lists");
        return Ok(None);
    }
    let Ok(lines) = unpack(&packed) else {
        report.damage(&object.path, "it cannot be unpacked");
        return Ok(None);
    };
    let (mut count, mut events, mut sequences) = (0, 0, Vec::new());
    for text in lines.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
        let parsed = match line::parse(text) {
            Ok(parsed) => parsed,
            Err(reason) => {
                report.damage(&object.path, reason);
                return Ok(None);
            }
        };
        if parsed.record.space.as_str() != manifest.space {
            report.damage(&object.path, "it holds a record of another space");
            return Ok(None);
        }
        count += 1;
        events += parsed.events;
        ranges::push(&mut sequences, parsed.record.address.sequence);
    }
    if (count, events, &sequences) != (object.lines, object.events, &object.sequences) {
        report.damage(&object.path, "it holds other records than its segment lists");
        return Ok(None);
    }
    report.objects += 1;
    report.bytes += packed.len() as u64;
    report.lines += count;
    report.events += events;
    Ok(Some(sequences))
}
