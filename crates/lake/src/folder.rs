//! Durable writes into a folder: an object appears under its name only when its bytes are on disk, and what is
//! acknowledged survives a power loss, the folders above it included.
//!
//! The object store writes through it (see [`crate::store`]) and reads past it. Never reads an object, never retries.

mod disk;
#[cfg(test)]
pub(crate) mod recorded;
#[cfg(test)]
mod tests;

pub(crate) use disk::{Disk, OsDisk};

use crate::store::Put;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A folder of objects. Clones are the same folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    /// The folders whose names are known to be durable. That one is there is not enough: whoever made it may have died,
    /// or may still be at work, before its name was synced.
    durable: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Folder {
    /// Opens a folder, and makes it where there is none.
    pub(crate) fn open(folder: &Path, disk: Arc<dyn Disk>) -> io::Result<Self> {
        make_root(&*disk, folder)?;
        let root = folder.canonicalize()?;
        let durable = Arc::new(Mutex::new(HashSet::from([root.clone()])));
        Ok(Self { root, disk, durable })
    }

    /// Where it is, without symbolic links.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes beside the name, syncs, takes the name, and syncs the folder; false when `Put::Create` found one of that
    /// name, which is durable then. `LocalFileSystem` hides `#<digits>` names from listings, so what a crash leaves
    /// behind is never read.
    pub(crate) fn put(&self, path: &str, bytes: &[u8], mode: Put) -> io::Result<bool> {
        let target = self.root.join(path);
        let Some(parent) = target.parent() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.make_durable(parent)?;
        if mode == Put::Create && self.disk.exists(&target)? {
            // A writer that died before its last step may have left the name unsynced.
            self.disk.sync_folder(parent)?;
            return Ok(false);
        }
        let mut staged = target.clone().into_os_string();
        staged.push(format!("#{}", uuid::Uuid::new_v4().as_u128()));
        let staged = PathBuf::from(staged);
        let outcome = self.write(&staged, &target, bytes, mode).and_then(|taken| {
            // Also where another writer took the name: it may not have synced it yet.
            self.disk.sync_folder(parent)?;
            Ok(taken)
        });
        if mode == Put::Create || outcome.is_err() {
            // What stays behind is hidden and harmless; the outcome of the write is what counts.
            drop(self.disk.remove(&staged));
        }
        outcome
    }

    /// Gives the name to bytes that are on disk; false where it is taken and must not be replaced.
    fn write(&self, staged: &Path, target: &Path, bytes: &[u8], mode: Put) -> io::Result<bool> {
        let mut file = self.disk.create(staged)?;
        file.write_all(bytes)?;
        file.sync()?;
        match mode {
            Put::Fresh => self.disk.rename(staged, target)?,
            // A link, unlike a rename, fails where the name is taken.
            Put::Create => match self.disk.link(staged, target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                linked => linked?,
            },
        }
        Ok(true)
    }

    /// Makes the folders from the root down, where missing, and syncs the parent of each once.
    fn make_durable(&self, folder: &Path) -> io::Result<()> {
        if self.is_durable(folder) && self.disk.exists(folder)? {
            return Ok(());
        }
        let Some(parent) = folder.parent() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if parent.starts_with(&self.root) {
            self.make_durable(parent)?;
        }
        match self.disk.create_folder(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => self.disk.sync_folder(parent)?,
        }
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        durable.insert(folder.to_owned());
        Ok(())
    }

    fn is_durable(&self, folder: &Path) -> bool {
        let durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        durable.contains(folder)
    }
}

/// Makes a folder and those above it, where missing, and syncs the parent of each that is new.
fn make_root(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || disk.exists(folder)? {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new(""));
    make_root(disk, parent)?;
    match disk.create_folder(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ if parent.as_os_str().is_empty() => disk.sync_folder(Path::new(".")),
        _ => disk.sync_folder(parent),
    }
}
