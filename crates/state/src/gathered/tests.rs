//! Rows that are gathered, against the same rows in a plain map: whatever is written, read forwards, backwards, between any
//! two keys or one by one is the same.

use super::*;
use crate::fjall_store::OpenStore;
use crate::{Batch, Keyspace, Read};
use proptest::prelude::*;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// Opening a store takes longer than a case: each has a space of its own in this one.
static STORE: LazyLock<(OpenStore, tempfile::TempDir)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    (OpenStore::open(folder.path(), 8 << 20).unwrap(), folder)
});
static SPACES: AtomicU16 = AtomicU16::new(0);

/// Few identifiers and few buckets, so that blocks overlap and rows are replaced.
fn row(identifier: u8, bucket: u8, low: u32, address: u8) -> Vec<u8> {
    let mut key = vec![0, 0, 7];
    key.extend_from_slice(&[identifier; 16]);
    let time = (1_u64 << 63) | (u64::from(bucket) << 30) | u64::from(low);
    key.extend_from_slice(&time.to_be_bytes());
    key.extend_from_slice(&[address; 16]);
    key
}

fn a_key() -> impl Strategy<Value = Vec<u8>> {
    (0..2_u8, 0..3_u8, 0..6_u32, 0..3_u8).prop_map(|(identifier, bucket, low, address)| {
        // Over the whole of the bucket, its first and last instants among them.
        row(
            identifier,
            bucket,
            [0, 1, 1 << 20, 1 << 29, (1 << 30) - 2, (1 << 30) - 1][low as usize],
            address,
        )
    })
}

/// A key to read from or to: a row's, one right behind it, or a part of one.
fn a_bound() -> impl Strategy<Value = Vec<u8>> {
    (a_key(), 0..4_u8, 3..44_usize).prop_map(|(mut key, kind, length)| {
        match kind {
            0 => key.push(0),
            1 => key.truncate(length),
            _ => {}
        }
        key
    })
}

type Change = (Vec<u8>, Option<Vec<u8>>);

fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let value = prop_oneof![
        6 => proptest::collection::vec(any::<u8>(), 0..6).prop_map(Some),
        1 => Just(Some(vec![5; 300])),
        2 => Just(None),
    ];
    proptest::collection::vec(proptest::collection::vec((a_key(), value), 0..30), 1..6)
}

fn read(store: &dyn Read, from: &[u8], to: &[u8], back: bool, limit: usize) -> Vec<Row> {
    let mut found = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        found.len() < limit
    };
    match back {
        true => store.scan_back(Keyspace::Events, from, to, &mut visit).unwrap(),
        false => store.scan(Keyspace::Events, from, to, &mut visit).unwrap(),
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn gathered_rows_read_as_if_each_were_alone(
        batches in changes(),
        bounds in proptest::collection::vec((a_bound(), a_bound(), 1..40_usize), 8),
    ) {
        let store = &STORE.0;
        let space = SPACES.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let here = |mut key: Vec<u8>| {
            key[..2].copy_from_slice(&space);
            key
        };
        let (first, last) = ([space[0], space[1], 0], [space[0], space[1], 255]);
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for batch in batches {
            let (before, stood) = (store.snapshot(), model.clone());
            let mut writes = Batch::default();
            for (key, value) in batch {
                let key = here(key);
                match value {
                    Some(value) if model.contains_key(&key) => writes.replace(Keyspace::Events, key.clone(), value),
                    Some(value) => writes.put(Keyspace::Events, key.clone(), value),
                    None => writes.remove(Keyspace::Events, key.clone()),
                }
                // As the batch says it, the later one of a key wins.
                let last = writes.writes.last().cloned().unwrap();
                match last.2 {
                    Some(value) => drop(model.insert(key, value)),
                    None => drop(model.remove(&key)),
                }
            }
            store.commit(writes).unwrap();
            let everything: Vec<Row> = stood.into_iter().collect();
            prop_assert_eq!(read(&*before, &first, &last, false, usize::MAX), everything, "a snapshot");
        }
        let everything: Vec<Row> = model.clone().into_iter().collect();
        prop_assert_eq!(&read(store, &first, &last, false, usize::MAX), &everything);
        for (from, to, limit) in bounds {
            let (from, to) = (here(from), here(to));
            let mut wanted: Vec<Row> = (model.iter())
                .filter(|(key, _)| **key >= from && **key < to)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            let forwards: Vec<Row> = wanted.iter().take(limit).cloned().collect();
            prop_assert_eq!(read(store, &from, &to, false, limit), forwards);
            wanted.reverse();
            wanted.truncate(limit);
            prop_assert_eq!(read(store, &from, &to, true, limit), wanted);
            prop_assert_eq!(store.get(Keyspace::Events, &from).unwrap(), model.get(&from).cloned());
        }
    }
}

#[test]
fn what_comes_together_is_one_entry() {
    let folder = tempfile::tempdir().unwrap();
    let store = OpenStore::open(folder.path(), 8 << 20).unwrap();
    let mut batch = Batch::default();
    for low in 0..10 {
        batch.put(Keyspace::Events, row(1, 0, low, 1), vec![low as u8]);
        batch.put(Keyspace::Events, row(2, low as u8, 0, 1), vec![low as u8]);
    }
    store.commit(batch).unwrap();
    let entries = |store: &OpenStore| store.entries_of(Keyspace::Events);
    assert_eq!(entries(&store), 1 + 10, "ten rows of one bucket, and ten of ten");
    drop(store);
    let store = OpenStore::open(folder.path(), 8 << 20).unwrap();
    assert_eq!(read(&store, &[0], &[255], false, usize::MAX).len(), 20);
    assert_eq!(store.get(Keyspace::Events, &row(1, 0, 3, 1)).unwrap(), Some(vec![3]));
}

#[test]
fn the_bytes_of_a_block_are_those_of_version_1() {
    let mut rows = vec![(row(1, 0, 5, 9), vec![1, 2]), (row(1, 0, 70_000, 9), vec![7; 200])];
    let (key, block) = entry(&mut rows).unwrap();
    let mut expected = row(1, 0, 5, 9);
    expected.extend_from_slice(&[0, 1, 0x11, 0x70]);
    assert_eq!(
        key, expected,
        "the first row's key, and the low bytes of the last one's time"
    );
    let mut expected = vec![1, 0, 0, 0, 5];
    expected.extend_from_slice(&[9; 16]);
    expected.extend_from_slice(&[2, 1, 2, 0, 1, 0x11, 0x70]);
    expected.extend_from_slice(&[9; 16]);
    expected.extend_from_slice(&[0xc8, 1]);
    expected.extend_from_slice(&[7; 200]);
    assert_eq!(block, expected);
}

#[test]
fn a_damaged_block_is_an_error_and_no_row() {
    let mut rows = vec![(row(1, 0, 5, 9), vec![1, 2]), (row(1, 0, 6, 9), vec![3])];
    let (key, block) = entry(&mut rows).unwrap();
    let whole = block.len();
    for length in 0..whole {
        let cut = UserValue::from(&block[..length]);
        let Ok(mut cursor) = Cursor::open(&UserKey::from(key.as_slice()), cut) else {
            continue;
        };
        let second = cursor.advance();
        assert!(
            second.is_err() || !second.unwrap(),
            "the second row was read from {length} of {whole} bytes"
        );
    }
}
