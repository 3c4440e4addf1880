//! The demo's folder: made new for every run, never made of anything but an earlier demo.
//!
//! A marker file says that a folder is a demo's; without it nothing is deleted. The marker is locked while a demo runs.

use crate::error::CommandError;
use crate::output::Hint;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file that says so.
const MARKER: &str = ".kith-demo";

/// A folder that this process alone uses, empty but for the marker.
#[derive(Debug)]
pub(super) struct DemoFolder {
    /// Where it is.
    pub(super) path: PathBuf,
    /// The lock on it, given back when the process ends.
    _lock: File,
}

impl DemoFolder {
    /// Makes the folder, or empties the one that an earlier demo left.
    ///
    /// # Errors
    /// A folder that holds something else, one that a running demo uses, and what the disk refuses.
    pub(super) fn prepare(path: &Path) -> Result<Self, CommandError> {
        let failed = |error| CommandError::caused(format!("the folder {} cannot be used", path.display()), error);
        std::fs::create_dir_all(path).map_err(failed)?;
        let marker = path.join(MARKER);
        if !marker.exists() && std::fs::read_dir(path).map_err(failed)?.next().is_some() {
            let hint = Hint::new("name another folder with --data, or empty this one yourself");
            let what = format!(
                "{} holds something that no demo made, so nothing in it is touched",
                path.display()
            );
            return Err(CommandError::caused(what, hint));
        }
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&marker)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let hint = Hint::new("end it, or name another folder with --data");
                return Err(CommandError::caused(
                    format!("a demo is running on {}", path.display()),
                    hint,
                ));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        empty(path).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }
}

/// Deletes everything but the marker. Links are deleted, never followed.
fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == MARKER {
            continue;
        }
        let gone = if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())
        } else {
            std::fs::remove_file(entry.path())
        };
        match gone {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_earlier_demo_left_is_deleted() {
        let home = tempfile::tempdir().unwrap();
        let (demo, other) = (home.path().join("demo"), home.path().join("other"));
        std::fs::create_dir_all(&other).unwrap();
        std::fs::write(other.join("letter.txt"), "dear").unwrap();
        let refused = DemoFolder::prepare(&other).unwrap_err();
        assert!(refused.to_string().contains("no demo made"), "{refused}");
        assert!(other.join("letter.txt").exists());

        let first = DemoFolder::prepare(&demo).unwrap();
        std::fs::create_dir(demo.join("log")).unwrap();
        std::fs::write(demo.join("log/segment"), "old").unwrap();
        std::os::unix::fs::symlink(&other, demo.join("link")).unwrap();
        let running = DemoFolder::prepare(&demo).unwrap_err();
        assert!(running.to_string().contains("is running"), "{running}");
        assert!(demo.join("log/segment").exists());

        drop(first);
        let second = DemoFolder::prepare(&demo).unwrap();
        assert_eq!(std::fs::read_dir(&second.path).unwrap().count(), 1);
        assert!(other.join("letter.txt").exists(), "a link was followed");
    }
}
