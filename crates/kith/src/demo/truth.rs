//! The truth about the world's events, kept while they stream in, and the score of the profiles against it.
//!
//! Works with the loader, which notes every event, and reads people from the running server once it has them. It keeps
//! some forty bytes an event; the file beside it keeps everything.

use crate::error::CommandError;
use crate::server::Parts;
use kith_pipeline::PipelineError;
use kith_testkit::world::{Evidence, Score, Scoring, Truth, WorldEvent};
use kith_types::SpaceId;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Events of one person that are read: more than any world gives one.
const EVENTS_A_PERSON_MAX: usize = 1_000_000;

/// The truth file while it is written, and what scoring needs of it.
pub(super) struct TruthBook {
    path: PathBuf,
    lines: BufWriter<File>,
    evidence: Evidence,
    by_message: HashMap<u64, Truth>,
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
            by_message: HashMap::new(),
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
        self.by_message.insert(place(event.message_id()), event.truth);
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
    /// People cannot be read.
    pub(super) fn score(mut self, parts: &Parts, space: &SpaceId) -> Result<Score, PipelineError> {
        let mut scoring = Scoring::new(&self.evidence);
        for profile in parts.reads.profile_ids(space)? {
            let profile = profile.to_string();
            let events = parts.reads.events(space, &profile, None, EVENTS_A_PERSON_MAX)?;
            for event in events.unwrap_or_default() {
                let truth = event.message_id.and_then(|id| self.by_message.remove(&place(&id)));
                if let Some(truth) = truth {
                    scoring.count(&truth, Some(&profile));
                }
            }
        }
        // Whoever no profile holds stands alone.
        for truth in self.by_message.values() {
            scoring.count(truth, None);
        }
        Ok(scoring.score())
    }
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
