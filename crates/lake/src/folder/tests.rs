//! Power loss under the folder of objects: at every step, whatever has a name is whole, and what was acknowledged is
//! there. Raw objects and the files of tables are both written this way.

use super::recorded::{RecordedDisk, Without};
use super::{Folder, Put};
use std::fs;
use std::path::Path;
use std::sync::Arc;

const SEEDS: u64 = 6;
/// Raw objects are written create-only, files of tables under fresh names.
const OBJECTS: [(&str, Put); 4] = [
    ("raw/web/0001.jsonl.zst", Put::Create),
    ("raw/web/0002.jsonl.zst", Put::Create),
    ("tables/clean/events/data/a.parquet", Put::Fresh),
    ("tables/clean/events/metadata/v1.json", Put::Fresh),
];

fn content(path: &str) -> Vec<u8> {
    path.as_bytes().repeat(40)
}

fn folder(root: &Path, disk: &RecordedDisk) -> Folder {
    Folder::open(root, Arc::new(disk.clone())).unwrap()
}

/// What is wrong after a power loss: an acknowledged object that is missing, or an object that is not whole.
fn faults(disk: &RecordedDisk, root: &Path, acknowledged: &[(&str, usize)], steps: usize, without: Without) -> usize {
    let mut faults = 0;
    for seed in 0..SEEDS {
        let wreck = tempfile::tempdir().unwrap();
        disk.lose_power(root, wreck.path(), steps, without, seed);
        for (path, _) in OBJECTS {
            let acknowledged = acknowledged.iter().any(|(name, at)| *name == path && *at <= steps);
            faults += match fs::read(wreck.path().join(path)) {
                Ok(bytes) => usize::from(bytes != content(path)),
                Err(_) => usize::from(acknowledged),
            };
        }
    }
    faults
}

fn faults_of_a_history(without: Without) -> usize {
    let root = tempfile::tempdir().unwrap();
    let disk = RecordedDisk::default();
    let folder = folder(root.path(), &disk);
    let mut acknowledged = Vec::new();
    for (path, mode) in OBJECTS {
        assert!(folder.put(path, &content(path), mode).unwrap());
        acknowledged.push((path, disk.steps()));
    }
    (0..=disk.steps())
        .map(|steps| faults(&disk, root.path(), &acknowledged, steps, without))
        .sum()
}

#[test]
fn raw_1_lak_2_an_acknowledged_object_survives_power_loss_and_none_is_torn() {
    assert_eq!(faults_of_a_history(Without::Nothing), 0);
}

#[test]
fn raw_1_lak_2_the_loss_of_power_finds_a_missing_sync_of_a_file_or_of_a_folder() {
    assert!(faults_of_a_history(Without::FileSyncs) > 0);
    assert!(faults_of_a_history(Without::FolderSyncs) > 0);
}

#[test]
fn raw_1_an_object_that_a_dead_writer_left_is_durable_once_the_next_one_is_told_it_is_there() {
    let (path, mode) = OBJECTS[0];
    for dies_after in 0..16 {
        let root = tempfile::tempdir().unwrap();
        let disk = RecordedDisk::default();
        disk.die_after(Some(dies_after));
        drop(folder(root.path(), &disk).put(path, &content(path), mode));
        disk.die_after(None);
        folder(root.path(), &disk).put(path, &content(path), mode).unwrap();
        let steps = disk.steps();
        let found = faults(&disk, root.path(), &[(path, steps)], steps, Without::Nothing);
        assert_eq!(found, 0, "died after {dies_after} steps");
    }
}
