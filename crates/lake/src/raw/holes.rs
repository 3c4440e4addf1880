//! Addresses that the raw zone does not hold for a reason that is on record, and those that it should hold and lacks.
//!
//! Sealing notes what the log itself could not give, so that a number which nobody ever had is not taken for a loss; an
//! operator's acceptance of a loss is noted too. A note is a write-once object: one that is itself lost makes its
//! addresses count as missing again. Nothing here decides that a loss is borne.

use super::line;
use super::ranges::{self, Range};
use super::zone::{RawObject, RawRange, RawZone, manifest_folder};
use crate::error::{ErrorKind, LakeError};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The version of the notes.
const HOLE_VERSION: u32 = 1;
/// Where the notes are; no space's folder has this name.
pub(super) const HOLES: &str = "raw/_holes";
/// Manifests read at once: a store far away takes its time for each.
const MANIFESTS_AT_ONCE: usize = 16;

/// Why addresses hold nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoleCause {
    /// The log had found them damaged before they were sealed.
    Damaged,
    /// The log passed the numbers over: no record ever had them.
    Skipped,
    /// Raw lost them, and an operator has accepted that.
    AcceptedLoss,
}

/// Addresses that hold nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawHole {
    /// The addresses.
    pub range: RawRange,
    /// Why.
    pub cause: HoleCause,
    /// The address of the decision that accepted a loss.
    pub decided_by: Option<String>,
}

/// How thoroughly the raw zone is asked whether it holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The objects that sound manifests list are there.
    Listed,
    /// They are read, and have their hashes.
    Hashed,
}

#[derive(Serialize, Deserialize)]
struct Note {
    v: u32,
    generation: u16,
    partition: u16,
    first: u64,
    end: u64,
    cause: HoleCause,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
}

/// The notes that stand, and those that cannot be read.
#[derive(Debug, Default)]
pub(super) struct Holes {
    pub(super) holes: Vec<RawHole>,
    /// Paths, and what is wrong there.
    pub(super) damaged: Vec<(String, String)>,
}

impl Holes {
    /// What of a range holds nothing for a cause on record.
    pub(super) fn within(&self, range: &RawRange) -> Vec<Range> {
        let overlaps = self.holes.iter().filter_map(|hole| hole.range.overlap(range));
        ranges::normalise(overlaps.collect())
    }
}

impl RawZone {
    /// Notes that addresses hold nothing. Noting the same again changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store fails.
    pub async fn note_hole(&self, hole: &RawHole) -> Result<(), LakeError> {
        let note = Note {
            v: HOLE_VERSION,
            generation: hole.range.generation,
            partition: hole.range.partition,
            first: hole.range.first,
            end: hole.range.end,
            cause: hole.cause,
            decided_by: hole.decided_by.clone(),
        };
        let json = serde_json::to_vec(&note).map_err(|error| {
            LakeError::because(ErrorKind::Invalid, "a note of the raw zone cannot be written", error)
        })?;
        let cause = match hole.cause {
            HoleCause::Damaged => "damaged",
            HoleCause::Skipped => "skipped",
            HoleCause::AcceptedLoss => "accepted_loss",
        };
        // What is noted already says the same, but for the decision that said it first.
        let path = format!("{HOLES}/{}.{cause}.json", hole.range);
        if self.store.create(&path, json.into()).await? {
            return Ok(());
        }
        self.store.lock_found(&path).await
    }

    /// The addresses that hold nothing for a cause on record. A note that cannot be read is left out, so that its
    /// addresses count as missing.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store fails.
    pub async fn holes(&self) -> Result<Vec<RawHole>, LakeError> {
        Ok(self.read_holes().await?.holes)
    }

    pub(super) async fn read_holes(&self) -> Result<Holes, LakeError> {
        let mut found = Holes::default();
        for path in self.store.list(HOLES).await? {
            let bytes = match self.store.get(&path).await {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match serde_json::from_slice::<Note>(&bytes) {
                Ok(note) if note.v == HOLE_VERSION && note.first < note.end => found.holes.push(RawHole {
                    range: RawRange {
                        generation: note.generation,
                        partition: note.partition,
                        first: note.first,
                        end: note.end,
                    },
                    cause: note.cause,
                    decided_by: note.decided_by,
                }),
                Ok(_) => found.damaged.push((path, "a note of another version".to_owned())),
                Err(_) => found
                    .damaged
                    .push((path, "not a note of addresses that hold nothing".to_owned())),
            }
        }
        found.holes.sort_unstable();
        Ok(found)
    }

    /// What of a range the raw zone neither holds nor has on record as holding nothing. What is damaged counts as missing.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store fails.
    pub async fn missing(&self, expected: RawRange, proof: Proof) -> Result<Vec<RawRange>, LakeError> {
        let mut found = self.read_holes().await?.within(&expected);
        for space in self.spaces(None).await? {
            let folder = manifest_folder(&space);
            // An object that is read needs no listing of all.
            let listed = match proof {
                Proof::Listed => self.store.list(&format!("raw/space={space}")).await?,
                Proof::Hashed => self.store.list(&folder).await?,
            };
            let (manifests, objects): (BTreeSet<String>, BTreeSet<String>) =
                listed.into_iter().partition(|path| path.starts_with(&folder));
            let concerned: Vec<&String> = (manifests.iter())
                .filter(|path| RawRange::of_manifest(path).is_some_and(|range| range.overlap(&expected).is_some()))
                .collect();
            for some in concerned.chunks(MANIFESTS_AT_ONCE) {
                for manifest in join_all(some.iter().map(|path| self.read_manifest(path))).await {
                    let manifest = match manifest {
                        Ok(manifest) => manifest,
                        Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NotFound) => continue,
                        Err(error) => return Err(error),
                    };
                    for object in manifest.objects {
                        let held = match proof {
                            Proof::Listed => objects.contains(&object.path),
                            Proof::Hashed => self.has_hash(&object).await?,
                        };
                        if held {
                            found.extend(object.sequences);
                        }
                    }
                }
            }
        }
        let missing = ranges::subtract(&[(expected.first, expected.end)], &ranges::normalise(found));
        Ok(missing.into_iter().map(|range| expected.with(range)).collect())
    }

    async fn has_hash(&self, object: &RawObject) -> Result<bool, LakeError> {
        match self.store.get_hashed(&object.path, &object.sha256).await {
            Ok(bytes) => Ok(line::sha256_hex(&bytes) == object.sha256),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_2_the_note_of_a_hole_stays_readable() {
        let golden =
            r#"{"v":1,"generation":0,"partition":0,"first":5,"end":9,"cause":"accepted_loss","decided_by":"0-0-12-0"}"#;
        let note: Note = serde_json::from_str(golden).unwrap();
        assert_eq!((note.first, note.end, note.cause), (5, 9, HoleCause::AcceptedLoss));
        assert_eq!(serde_json::to_string(&note).unwrap(), golden);
    }
}
