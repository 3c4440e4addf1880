//! The truth about the world's events, kept while they stream in, and the score of the profiles against it.
//!
//! Works with the loader, which notes every event, and reads people from the running server once it has them. In memory it
//! keeps what evidence can link of each person; what it knows of each event lies on disk.

mod parted;

use crate::error::CommandError;
use crate::server::Parts;
use kith_testkit::world::{Evidence, Score, Scoring, Truth, WorldEvent};
use kith_types::{ProfileId, SpaceId};
use parted::{PARTS, Parted};
use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Events of one person that are read: more than any world gives one.
const EVENTS_A_PERSON_MAX: usize = 1_000_000;

/// A truth: person, slots, and whether it is ambiguous.
const TRUTH_BYTES: usize = 11;
/// A profile, by its number among those read.
const PROFILE_BYTES: usize = 4;

/// The truth file while it is written, and what scoring needs of it.
pub(super) struct TruthBook {
    path: PathBuf,
    lines: BufWriter<File>,
    evidence: Evidence,
    by_message: Parted<TRUTH_BYTES>,
}

impl TruthBook {
    /// An empty book that writes to a new file.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(super) fn create(path: &Path) -> Result<Self, CommandError> {
        let lines = File::create(path).map_err(|error| unwritten(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            lines: BufWriter::new(lines),
            evidence: Evidence::default(),
            by_message: Parted::create(folder_of(path)).map_err(|error| unwritten(path, error))?,
        })
    }

    /// Takes an event; a second copy adds nothing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn note(&mut self, event: &WorldEvent) -> Result<(), CommandError> {
        if event.duplicate {
            return Ok(());
        }
        self.evidence.observe(&event.truth);
        self.by_message
            .push(place(event.message_id()), packed(&event.truth))
            .map_err(|error| unwritten(&self.path, error))?;
        writeln!(self.lines, "{}", event.truth.to_line(event.message_id()))
            .map_err(|error| unwritten(&self.path, error))
    }

    /// Closes the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn close(&mut self) -> Result<(), CommandError> {
        self.lines.flush().map_err(|error| unwritten(&self.path, error))
    }

    /// Scores the profiles of a space: every person's events are read once. It blocks.
    ///
    /// # Errors
    /// People cannot be read, or what is known of the events.
    pub(super) fn score(mut self, parts: &Parts, space: &SpaceId) -> Result<Score, CommandError> {
        let ids = parts.reads.profile_ids(space).map_err(unread)?;
        let mut held = Parted::create(folder_of(&self.path)).map_err(unread)?;
        for (number, profile) in (0_u32..).zip(&ids) {
            let profile = profile.to_string();
            let events = parts.reads.events(space, &profile, None, EVENTS_A_PERSON_MAX);
            for event in events.map_err(unread)?.unwrap_or_default() {
                if let Some(id) = event.message_id {
                    held.push(place(&id), number.to_le_bytes()).map_err(unread)?;
                }
            }
        }
        self.joined(&mut held, &ids).map_err(unread)
    }

    /// Counts every truth with the profile that holds its event; whoever no profile holds stands alone.
    fn joined(&mut self, held: &mut Parted<PROFILE_BYTES>, profiles: &[ProfileId]) -> std::io::Result<Score> {
        let mut scoring = Scoring::new(&self.evidence);
        for part in 0..PARTS {
            let mut truths = HashMap::new();
            self.by_message.each(part, &mut |place, truth| {
                truths.insert(place, unpacked(truth));
            })?;
            held.each(part, &mut |place, number| {
                if let Some(truth) = truths.remove(&place) {
                    let profile = profiles.get(u32::from_le_bytes(number) as usize);
                    scoring.count(&truth, profile.map(ToString::to_string).as_deref());
                }
            })?;
            truths.values().for_each(|truth| scoring.count(truth, None));
        }
        Ok(scoring.score())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn packed(truth: &Truth) -> [u8; TRUTH_BYTES] {
    let mut bytes = [0; TRUTH_BYTES];
    bytes[..8].copy_from_slice(&truth.person.to_le_bytes());
    bytes[8..10].copy_from_slice(&truth.slots.to_le_bytes());
    bytes[10] = u8::from(truth.ambiguous);
    bytes
}

fn unpacked(bytes: [u8; TRUTH_BYTES]) -> Truth {
    let [p0, p1, p2, p3, p4, p5, p6, p7, s0, s1, ambiguous] = bytes;
    Truth {
        person: u64::from_le_bytes([p0, p1, p2, p3, p4, p5, p6, p7]),
        slots: u16::from_le_bytes([s0, s1]),
        ambiguous: ambiguous != 0,
    }
}

fn unread(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::caused("the world's people cannot be scored against the truth", error)
}

fn unwritten(path: &Path, error: std::io::Error) -> CommandError {
    CommandError::caused(format!("{} cannot be written", path.display()), error)
}

/// Where a message id stands in the map. Two of a million share a place once in thirty million worlds.
fn place(message_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    message_id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_testkit::world::{World, WorldConfig};
    use kith_types::Timestamp;

    /// The score where the profile that holds an event is a function of the truth.
    fn check(profile_of: impl Fn(&Truth, u64) -> Option<u64>) -> Score {
        let folder = tempfile::tempdir().unwrap();
        let mut book = TruthBook::create(&folder.path().join("truth.jsonl")).unwrap();
        let world = WorldConfig::new(5, 3_000, Timestamp::from_millis(1_800_000_000_000));
        let events: Vec<WorldEvent> = World::new(world).collect();
        events.iter().for_each(|event| book.note(event).unwrap());
        let mut held = Parted::create(folder.path()).unwrap();
        let mut profiles = Vec::new();
        for event in events.iter().filter(|event| !event.duplicate) {
            let group = book.evidence.group_of(&event.truth).unwrap_or(u64::MAX);
            let Some(profile) = profile_of(&event.truth, group) else {
                continue;
            };
            let profile = ProfileId(u128::from(profile));
            let number = profiles.iter().position(|seen| *seen == profile);
            let number = number.unwrap_or_else(|| {
                profiles.push(profile);
                profiles.len() - 1
            });
            held.push(place(event.message_id()), (number as u32).to_le_bytes())
                .unwrap();
        }
        book.joined(&mut held, &profiles).unwrap()
    }

    #[test]
    fn idn_2_profiles_are_scored_against_the_truth() {
        let exact = check(|_, group| Some(group));
        assert_eq!((exact.precision, exact.recall), (1.0, 1.0));
        assert!(exact.events > 2_500 && exact.ambiguous > 0);
        let mixed = check(|truth, _| Some(truth.person % 7));
        assert!(mixed.precision < 0.5 && mixed.events == exact.events);
        let lost = check(|_, _| None);
        assert!(lost.recall < 0.1 && lost.events == exact.events && lost.ambiguous == exact.ambiguous);
    }
}
