//! A disk in memory that fails, fills up and loses power as real ones do, for proofs of durability.
//!
//! What was written and not synced is visible until a [`SimulatedDisk::crash`], which drops, tears and reorders it, as
//! the seed says; the same seed gives the same wreck. For tests; nothing in the log uses it.

mod wreck;

use crate::disk::{Disk, DiskFile, DiskLock};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use wreck::{Chance, Change, NameChange, rename, wreck};

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct SimulatedDisk(Arc<Core>);

struct Core {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Default)]
struct State {
    dead: bool,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    unsynced_names: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    /// Operations that change anything, since the disk was made.
    operations: u64,
    syncs: u64,
    dies_after: Option<u64>,
    syncs_failing: u64,
    file_syncs_ignored: bool,
    folder_syncs_ignored: bool,
    syncs_held: bool,
    syncs_waiting: usize,
    space_bytes: Option<u64>,
}

#[derive(Clone, Default)]
struct Inode {
    visible: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// Changes whose sync failed: still visible, and no later sync makes them durable.
    abandoned: Vec<Change>,
}

struct SimulatedFile {
    core: Arc<Core>,
    inode: usize,
}

struct SimulatedLock {
    core: Arc<Core>,
    path: PathBuf,
}

impl DiskLock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.core.lock().locks.remove(&self.path);
    }
}

impl Default for SimulatedDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimulatedDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::of(State::default())
    }

    fn of(state: State) -> Self {
        Self(Arc::new(Core {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }))
    }

    /// The power goes: this disk answers errors from now on, and the disk that is returned holds what survived. Every
    /// unsynced write was kept, dropped or torn by sectors, in any order; unsynced names were kept or dropped.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let survived = self.crash_copy(seed);
        self.0.lock().dead = true;
        self.0.changed.notify_all();
        survived
    }

    /// What would survive if the power went now; this disk goes on.
    #[must_use]
    pub fn crash_copy(&self, seed: u64) -> Self {
        let old = self.0.lock();
        let mut chance = Chance(seed);
        let mut state = State {
            operations: old.operations,
            syncs: old.syncs,
            ..State::default()
        };
        state.durable_names.clone_from(&old.durable_names);
        let mut names: Vec<&NameChange> = old.unsynced_names.iter().collect();
        chance.shuffle(&mut names);
        for name in names {
            if chance.below(2) == 0 {
                rename(&mut state.durable_names, name);
            }
        }
        let named: BTreeSet<usize> = state.durable_names.values().copied().collect();
        for (number, inode) in old.inodes.iter().enumerate() {
            let mut survived = Inode::default();
            if named.contains(&number) {
                let mut changes: Vec<&Change> = inode.abandoned.iter().chain(&inode.unsynced).collect();
                chance.shuffle(&mut changes);
                survived.durable.clone_from(&inode.durable);
                for change in changes {
                    wreck(&mut survived.durable, change, &mut chance);
                }
                survived.visible.clone_from(&survived.durable);
            }
            state.inodes.push(survived);
        }
        state.names.clone_from(&state.durable_names);
        Self::of(state)
    }

    /// The process is killed, the machine goes on: this disk answers errors from now on, and the disk that is returned
    /// holds everything, synced or not.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut old = self.0.lock();
        old.dead = true;
        let survived = State {
            inodes: old.inodes.clone(),
            names: old.names.clone(),
            durable_names: old.durable_names.clone(),
            unsynced_names: old.unsynced_names.clone(),
            operations: old.operations,
            syncs: old.syncs,
            ..State::default()
        };
        drop(old);
        self.0.changed.notify_all();
        Self::of(survived)
    }

    /// After so many more changing operations the disk answers errors only, as if its process were gone.
    pub fn die_after(&self, operations: u64) {
        let mut state = self.0.lock();
        state.dies_after = Some(state.operations + operations);
    }

    /// The next so many syncs of files fail, and what they should have made durable never becomes so.
    pub fn fail_syncs(&self, count: u64) {
        self.0.lock().syncs_failing = count;
    }

    /// Syncs of files answer success and do nothing.
    pub fn ignore_file_syncs(&self) {
        self.0.lock().file_syncs_ignored = true;
    }

    /// Syncs of folders answer success and do nothing.
    pub fn ignore_folder_syncs(&self) {
        self.0.lock().folder_syncs_ignored = true;
    }

    /// Whether the disk answers errors only.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.lock().dead
    }

    /// Syncs of files wait until they are let go again.
    pub fn hold_syncs(&self, held: bool) {
        self.0.lock().syncs_held = held;
        self.0.changed.notify_all();
    }

    /// Blocks until a sync is being held.
    pub fn await_held_sync(&self) {
        let mut state = self.0.lock();
        while state.syncs_waiting == 0 && !state.dead {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// All files together may have so many bytes; none is no limit.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.0.lock().space_bytes = bytes;
    }

    /// Bytes that all files take together.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.0.lock().used_bytes()
    }

    /// Flips bits of one stored byte, as a failing sector does. Whether there was such a byte.
    #[must_use]
    pub fn damage(&self, path: &Path, offset: u64, flipped: u8) -> bool {
        let mut state = self.0.lock();
        let Some(inode) = state.names.get(path).copied() else {
            return false;
        };
        let inode = &mut state.inodes[inode];
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        for content in [&mut inode.visible, &mut inode.durable] {
            if let Some(byte) = content.get_mut(at) {
                *byte ^= flipped;
            }
        }
        at < inode.visible.len()
    }

    /// A file's bytes, as a reader sees them.
    #[must_use]
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.0.lock();
        let inode = *state.names.get(path)?;
        Some(state.inodes[inode].visible.clone())
    }

    /// The paths of all files, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// How many syncs of files have been asked for.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// How many changing operations there have been.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    fn file(&self, inode: usize) -> Arc<dyn DiskFile> {
        Arc::new(SimulatedFile {
            core: Arc::clone(&self.0),
            inode,
        })
    }

    fn change_names(&self, change: impl FnOnce(&mut State) -> io::Result<NameChange>) -> io::Result<()> {
        let mut state = self.0.lock();
        state.begin_change()?;
        let change = change(&mut state)?;
        rename(&mut state.names, &change);
        state.unsynced_names.push(change);
        Ok(())
    }
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn alive(&self) -> io::Result<()> {
        if self.dead {
            Err(io::Error::other("the disk is gone"))
        } else {
            Ok(())
        }
    }

    fn begin_change(&mut self) -> io::Result<()> {
        self.operations += 1;
        self.dead |= self.dies_after.is_some_and(|last| self.operations > last);
        self.alive()
    }

    fn used_bytes(&self) -> u64 {
        self.names
            .values()
            .map(|inode| self.inodes[*inode].visible.len() as u64)
            .sum()
    }
}

impl DiskFile for SimulatedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.core.lock();
        state.begin_change()?;
        let growth = (offset + bytes.len() as u64).saturating_sub(state.inodes[self.inode].visible.len() as u64);
        let room = state
            .space_bytes
            .map_or(u64::MAX, |limit| limit.saturating_sub(state.used_bytes()));
        let fits = bytes
            .len()
            .saturating_sub(usize::try_from(growth.saturating_sub(room)).unwrap_or(usize::MAX));
        let inode = &mut state.inodes[self.inode];
        let change = Change::Write {
            offset,
            bytes: bytes[..fits].to_vec(),
        };
        change.apply(&mut inode.visible);
        inode.unsynced.push(change);
        if fits < bytes.len() {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.core.lock();
        state.alive()?;
        let content = &state.inodes[self.inode].visible;
        let from = content.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let read = buffer.len().min(content.len() - from);
        buffer[..read].copy_from_slice(&content[from..from + read]);
        Ok(read)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.core.lock();
        state.syncs += 1;
        state.syncs_waiting += 1;
        self.core.changed.notify_all();
        while state.syncs_held && !state.dead {
            state = self.core.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.syncs_waiting -= 1;
        state.begin_change()?;
        if state.syncs_failing > 0 {
            state.syncs_failing -= 1;
            let inode = &mut state.inodes[self.inode];
            let lost = std::mem::take(&mut inode.unsynced);
            inode.abandoned.extend(lost);
            return Err(io::Error::other("the sync failed"));
        }
        if !state.file_syncs_ignored {
            let inode = &mut state.inodes[self.inode];
            for change in std::mem::take(&mut inode.unsynced) {
                change.apply(&mut inode.durable);
            }
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut state = self.core.lock();
        state.begin_change()?;
        let inode = &mut state.inodes[self.inode];
        let change = Change::Truncate(length);
        change.apply(&mut inode.visible);
        inode.unsynced.push(change);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.core.lock();
        state.alive()?;
        Ok(state.inodes[self.inode].visible.len() as u64)
    }
}

impl Disk for SimulatedDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.0.lock().alive()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        state.alive()?;
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inode = 0;
        self.change_names(|state| {
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            inode = state.inodes.len();
            state.inodes.push(Inode::default());
            Ok(NameChange::Link(path.to_owned(), inode))
        })?;
        Ok(self.file(inode))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.0.lock();
        state.alive()?;
        let inode = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        drop(state);
        Ok(self.file(inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change_names(|state| {
            let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            Ok(NameChange::Rename(from.to_owned(), to.to_owned(), inode))
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change_names(|state| {
            state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
            Ok(NameChange::Unlink(path.to_owned()))
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.begin_change()?;
        if state.folder_syncs_ignored {
            return Ok(());
        }
        let changes = std::mem::take(&mut state.unsynced_names);
        for change in changes {
            let (NameChange::Link(path, _) | NameChange::Unlink(path) | NameChange::Rename(_, path, _)) = &change;
            if path.parent() == Some(dir) {
                rename(&mut state.durable_names, &change);
            } else {
                state.unsynced_names.push(change);
            }
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut state = self.0.lock();
        state.alive()?;
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimulatedLock {
            core: Arc::clone(&self.0),
            path: path.to_owned(),
        }))
    }
}
