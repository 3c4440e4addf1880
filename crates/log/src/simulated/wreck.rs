//! What becomes of unsynced changes when the power goes.
//!
//! Works with [`super::SimulatedDisk`]. Never touches a disk.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a disk writes at once: a torn write tears between such sectors.
const SECTOR_BYTES: u64 = 512;

/// A change to a file.
#[derive(Clone)]
pub(super) enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Truncate(u64),
}

/// A change to the names in a folder.
#[derive(Clone)]
pub(super) enum NameChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough to choose what is lost.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

impl Change {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => overwrite(content, *offset as usize, bytes),
            Self::Truncate(length) => content.resize(*length as usize, 0),
        }
    }
}

fn overwrite(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

pub(super) fn wreck(content: &mut Vec<u8>, change: &Change, chance: &mut Chance) {
    let fate = chance.below(3);
    let Change::Write { offset, bytes } = change else {
        if fate > 0 {
            change.apply(content);
        }
        return;
    };
    match fate {
        0 => {}
        1 => change.apply(content),
        _ => {
            let mut at = 0;
            while at < bytes.len() {
                let place = offset + at as u64;
                let sector = bytes.len().min(at + (SECTOR_BYTES - place % SECTOR_BYTES) as usize);
                match chance.below(5) {
                    0 => {}
                    1 => overwrite(content, place as usize, &vec![0; sector - at]),
                    2 => {
                        let garbage: Vec<u8> = (at..sector).map(|_| chance.next() as u8).collect();
                        overwrite(content, place as usize, &garbage);
                    }
                    _ => overwrite(content, place as usize, &bytes[at..sector]),
                }
                at = sector;
            }
        }
    }
}

pub(super) fn rename(names: &mut BTreeMap<PathBuf, usize>, change: &NameChange) {
    match change {
        NameChange::Link(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        NameChange::Unlink(path) => {
            names.remove(path);
        }
        NameChange::Rename(from, to, inode) => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
    }
}
