//! The few things a durable write asks of a disk, and the operating system's disk.
//!
//! [`super::Folder`] writes through [`Disk`] alone, so that a test can record what is asked and take the power away at
//! any moment. Never caches, never retries.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// A file that is being written.
pub(crate) trait DiskFile: Send {
    /// Writes all of `bytes` after what was written before. Not durable until [`DiskFile::sync`].
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written so far durable. After an error none of it may be trusted, ever.
    fn sync(&self) -> io::Result<()>;
}

/// A disk. Names, of files and folders alike, become durable by [`Disk::sync_folder`] of the folder they are in.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Whether something has this name.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Makes a folder in one that is there; `AlreadyExists` where the name is taken.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes a new file; `AlreadyExists` where the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, replacing the file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name; `AlreadyExists` where it is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name of a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OsDisk;

impl DiskFile for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Disk for OsDisk {
    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create_new(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}
