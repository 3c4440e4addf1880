//! Where questions about changes of rules are worked out, and how far the present one is.

use super::Reads;
use crate::rules_progress::{RulesAtWork, RulesProgress};
use kith_state::ScratchStore;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that a question stages in memory before it goes to disk.
const IN_MEMORY: usize = 32 << 20;

/// Where questions about changes of rules stage what they work out.
#[derive(Debug, Default)]
pub(crate) struct DryRuns {
    folder: Option<PathBuf>,
    begun: AtomicU64,
    pub(super) progress: RulesAtWork,
}

impl DryRuns {
    /// In a folder that is nobody else's: what an earlier process left in it goes now.
    pub(super) fn within(folder: &Path) -> std::io::Result<Self> {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(Self {
                folder: Some(folder.to_owned()),
                ..Self::default()
            }),
        }
    }

    /// A scratch store for one question, which goes with it.
    pub(super) fn scratch(&self) -> ScratchStore {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.as_ref().map(|folder| folder.join(number.to_string()));
        ScratchStore::new(folder, IN_MEMORY)
    }
}

impl Reads {
    /// The same, whose questions about changes of rules go to disk in a folder where they are large, and stay in memory no
    /// longer. The folder must be nobody else's: what an earlier process left in it goes now.
    ///
    /// # Errors
    /// When what was left cannot be removed.
    pub fn with_scratch(self, folder: &Path) -> std::io::Result<Self> {
        let dry_runs = Arc::new(DryRuns::within(folder)?);
        Ok(Self { dry_runs, ..self })
    }

    /// How far a question about changed rules of identity is, while one is worked out.
    #[must_use]
    pub fn dry_run(&self) -> Option<RulesProgress> {
        self.dry_runs.progress.progress()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idn_7_what_a_kill_left_of_a_dry_run_goes_at_the_next_start() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("dry_runs");
        assert!(DryRuns::within(&folder).is_ok(), "the first start of all");
        std::fs::create_dir_all(folder.join("3").join("trees")).unwrap();
        DryRuns::within(&folder).unwrap();
        assert!(!folder.exists());
    }
}
