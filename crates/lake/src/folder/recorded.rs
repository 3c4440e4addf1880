//! A disk that does what is asked, and records it, so that a test can take the power away at any moment.
//!
//! What was written and not synced is lost, torn or kept after a power loss, as the seed says, each change of a name by
//! itself; the same seed gives the same wreck. For tests; never used by the lake.

use super::disk::{Disk, DiskFile, OsDisk};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// One thing that was asked of the disk and done. Files are numbered in the order in which they were made.
#[derive(Clone, Debug)]
enum Step {
    Folder(PathBuf),
    Create(PathBuf),
    Write(usize, Vec<u8>),
    Sync(usize),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncFolder(PathBuf),
}

/// What a broken disk, or code without the call, would leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    Nothing,
    FileSyncs,
    FolderSyncs,
}

#[derive(Debug, Default)]
struct Record {
    steps: Vec<Step>,
    files: usize,
    /// The process dies when it has done so many steps.
    dies_after: Option<usize>,
}

/// The recording disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordedDisk(Arc<Mutex<Record>>);

struct RecordedFile {
    disk: RecordedDisk,
    file: Box<dyn DiskFile>,
    number: usize,
}

/// A name, and the number of its file; `None` for a folder.
type Names = BTreeMap<PathBuf, Option<usize>>;

/// A change of names that is durable, or lost, as a whole: names given, and names taken away.
#[derive(Debug)]
struct Change {
    folder: PathBuf,
    gives: Option<(PathBuf, Option<usize>)>,
    takes: Option<PathBuf>,
}

impl RecordedDisk {
    /// How many steps were done.
    pub(crate) fn steps(&self) -> usize {
        self.record().steps.len()
    }

    /// Makes everything fail from the step of this number on, as for a process that died; `None` ends that.
    pub(crate) fn die_after(&self, steps: Option<usize>) {
        self.record().dies_after = steps;
    }

    /// Writes into the empty folder `wreck` what of `root` is left when the power goes after so many steps.
    pub(crate) fn lose_power(&self, root: &Path, wreck: &Path, steps: usize, without: Without, seed: u64) {
        let (names, bytes) = self.left(steps, without, seed);
        // In order, so that a folder comes before what is in it; what is in a lost folder is lost.
        let mut reachable = BTreeSet::from([root.to_owned()]);
        for (name, file) in names {
            if !name.parent().is_some_and(|parent| reachable.contains(parent)) {
                continue;
            }
            let path = wreck.join(name.strip_prefix(root).unwrap());
            match file {
                None => {
                    fs::create_dir(path).unwrap();
                    reachable.insert(name);
                }
                Some(number) => fs::write(path, &bytes[number]).unwrap(),
            }
        }
    }

    fn left(&self, steps: usize, without: Without, seed: u64) -> (Names, Vec<Vec<u8>>) {
        let record = self.record();
        let mut visible = Names::new();
        let mut durable = Names::new();
        let mut pending: Vec<Change> = Vec::new();
        let mut written: Vec<Vec<u8>> = Vec::new();
        let mut synced: Vec<usize> = Vec::new();
        for step in &record.steps[..steps] {
            match step {
                Step::Write(number, bytes) => written[*number].extend_from_slice(bytes),
                Step::Sync(number) if without != Without::FileSyncs => synced[*number] = written[*number].len(),
                Step::SyncFolder(folder) if without != Without::FolderSyncs => {
                    let (kept, others) = pending.into_iter().partition(|change| change.folder == *folder);
                    pending = others;
                    Vec::<Change>::into_iter(kept).for_each(|change| change.apply(&mut durable));
                }
                Step::Sync(_) | Step::SyncFolder(_) => {}
                Step::Create(_) => {
                    pending.extend(Change::of(step, &mut visible, written.len()));
                    written.push(Vec::new());
                    synced.push(0);
                }
                _ => pending.extend(Change::of(step, &mut visible, 0)),
            }
        }
        let mut chance = Chance(seed);
        for change in pending {
            if chance.below(2) == 0 {
                change.apply(&mut durable);
            }
        }
        for (bytes, synced) in written.iter_mut().zip(synced) {
            let kept = synced + chance.below(bytes.len() - synced + 1);
            bytes.truncate(kept);
        }
        (durable, written)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap()
    }

    /// Does a thing and records it, unless the process is dead or the thing fails.
    fn step<T>(&self, step: Step, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut record = self.record();
        if record.dies_after.is_some_and(|most| record.steps.len() >= most) {
            return Err(io::Error::other("the process died"));
        }
        let done = act()?;
        record.steps.push(step);
        Ok(done)
    }
}

impl Change {
    /// The change that a step makes, which is made to the visible names at once.
    fn of(step: &Step, visible: &mut Names, next_file: usize) -> Option<Self> {
        let (gives, takes) = match step {
            Step::Folder(path) => (Some((path.clone(), None)), None),
            Step::Create(path) => (Some((path.clone(), Some(next_file))), None),
            Step::Rename(from, to) => (Some((to.clone(), visible[from])), Some(from.clone())),
            Step::Link(from, to) => (Some((to.clone(), visible[from])), None),
            Step::Remove(path) => (None, Some(path.clone())),
            Step::Write(..) | Step::Sync(_) | Step::SyncFolder(_) => return None,
        };
        let name = gives.as_ref().map(|(name, _)| name).or(takes.as_ref())?;
        let folder = name.parent()?.to_owned();
        let change = Self { folder, gives, takes };
        change.apply(visible);
        Some(change)
    }

    fn apply(&self, names: &mut Names) {
        if let Some(name) = &self.takes {
            names.remove(name);
        }
        if let Some((name, file)) = &self.gives {
            names.insert(name.clone(), *file);
        }
    }
}

/// Numbers from a seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

impl DiskFile for RecordedFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let step = Step::Write(self.number, bytes.to_vec());
        let file = &mut self.file;
        self.disk.step(step, || file.write_all(bytes))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.step(Step::Sync(self.number), || Ok(()))
    }
}

impl Disk for RecordedDisk {
    fn exists(&self, path: &Path) -> io::Result<bool> {
        OsDisk.exists(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.step(Step::Folder(path.to_owned()), || OsDisk.create_folder(path))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.step(Step::Create(path.to_owned()), || OsDisk.create(path))?;
        let mut record = self.record();
        let number = record.files;
        record.files += 1;
        drop(record);
        let disk = self.clone();
        Ok(Box::new(RecordedFile { disk, file, number }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Step::Rename(from.to_owned(), to.to_owned()), || OsDisk.rename(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Step::Link(from.to_owned(), to.to_owned()), || OsDisk.link(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(Step::Remove(path.to_owned()), || OsDisk.remove(path))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step(Step::SyncFolder(path.to_owned()), || Ok(()))
    }
}
