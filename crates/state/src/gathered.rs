//! Rows of one identifier that are committed together are stored together.
//!
//! A tree pays for each entry: it is searched for when it is written, copied whenever files are merged, and searched for
//! again when it is read. The rows that a step adds to an identifier's history lie close together in time, so they become
//! one *block* where they share a *bucket*: the first [`BUCKET_BYTES`] bytes of the key and two bits more, which is the
//! identifier and a span of eighteen minutes. A row that comes alone is an entry as in any other keyspace.
//!
//! Blocks of a bucket may overlap, since rows come in any order. Readers see rows, in the order of their keys, and never
//! blocks: a scan merges what is open in a bucket, and begins where the bucket of its first key does.
//!
//! Works for [`crate::FjallStore`] alone. Of a key it knows its length and its bucket, and nothing of a value.

use crate::{StateError, StateErrorKind, Visit};
use fjall::{Guard, UserKey, UserValue};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops::Range;

/// The length of a key that may be gathered: space, identifier, time, address.
const ROW_KEY: usize = 43;
/// What the keys of a block share, but for two bits of the next byte.
const BUCKET_BYTES: usize = 23;
const BUCKET_BITS: u8 = 0b1100_0000;
/// A block's entry has its first row's key, and these bytes of its last row's after it.
const REACH: Range<usize> = BUCKET_BYTES..27;
const BLOCK_KEY: usize = ROW_KEY + 4;
const VERSION: u8 = 1;
/// A block holds at most so many rows, and no further one once it has so many bytes.
const BLOCK_ROWS: usize = 64;
const BLOCK_BYTES: usize = 16 * 1024;
/// Rows of a bucket that are put in order at once when it is read from its end; more of them are read by turns.
const BUCKET_ROWS: usize = if cfg!(test) { 5 } else { 256 };

type Row = (Vec<u8>, Vec<u8>);
/// An entry to write, or a key to remove.
type EntryWrite = (Vec<u8>, Option<Vec<u8>>);

/// The entries of a tree between two keys, in order.
pub(crate) trait Entries {
    /// The entries of `from..to`.
    fn range(&self, from: &[u8], to: &[u8]) -> fjall::Iter;
}

impl<F: Fn(&[u8], &[u8]) -> fjall::Iter> Entries for F {
    fn range(&self, from: &[u8], to: &[u8]) -> fjall::Iter {
        self(from, to)
    }
}

fn read_error(error: fjall::Error) -> StateError {
    StateError::new(StateErrorKind::Failed, "the state cannot be read", Some(error.into()))
}

fn damaged() -> StateError {
    StateError::new(StateErrorKind::Failed, "a block of rows in the state is damaged", None)
}

/// The bucket of a row's or an entry's key: where its entries begin. Other keys have one each.
fn bucket(key: &[u8]) -> Vec<u8> {
    let mut start = key.to_vec();
    if key.len() >= ROW_KEY {
        start.truncate(BUCKET_BYTES + 1);
        start[BUCKET_BYTES] &= BUCKET_BITS;
    }
    start
}

/// Whether two rows may be in one block.
fn share_bucket(one: &[u8], other: &[u8]) -> bool {
    one.len() == ROW_KEY
        && other.len() == ROW_KEY
        && one[..BUCKET_BYTES] == other[..BUCKET_BYTES]
        && (one[BUCKET_BYTES] ^ other[BUCKET_BYTES]) & BUCKET_BITS == 0
}

/// Where the entries begin that may hold a row at or after `from`: a shorter key than a bucket's is before all of its rows.
fn entries_from(from: &[u8]) -> Vec<u8> {
    let mut start = from.to_vec();
    if start.len() > BUCKET_BYTES {
        start.truncate(BUCKET_BYTES + 1);
        start[BUCKET_BYTES] &= BUCKET_BITS;
    }
    start
}

/// Before what the entries end that may hold a row before `to`.
fn entries_to(to: &[u8]) -> Vec<u8> {
    let mut end = to.to_vec();
    if end.len() > ROW_KEY {
        // Behind every block that begins with that row.
        end.truncate(ROW_KEY);
        end.extend_from_slice(&[0xff; 5]);
    }
    end
}

fn is_block(key: &[u8]) -> bool {
    key.len() == BLOCK_KEY
}

/// The key of an entry's first row.
fn first_row(key: &[u8]) -> &[u8] {
    if is_block(key) { &key[..ROW_KEY] } else { key }
}

/// Whether an entry may hold a row at or after `from`.
fn reaches(key: &[u8], from: &[u8]) -> bool {
    if !is_block(key) {
        return key >= from;
    }
    let mut last = [0xff; ROW_KEY];
    last[..BUCKET_BYTES].copy_from_slice(&key[..BUCKET_BYTES]);
    last[REACH].copy_from_slice(&key[ROW_KEY..]);
    last.as_slice() >= from
}

/// The entry of some rows of a bucket, in order.
fn entry(rows: &mut Vec<Row>) -> Option<Row> {
    let ((first, _), (last, _)) = rows.first().zip(rows.last())?;
    if rows.len() == 1 {
        return rows.pop();
    }
    let mut key = first.clone();
    key.extend_from_slice(&last[REACH]);
    let size: usize = rows
        .iter()
        .map(|(_, value)| ROW_KEY - BUCKET_BYTES + 4 + value.len())
        .sum();
    let mut block = Vec::with_capacity(1 + size);
    block.push(VERSION);
    for (key, value) in rows.drain(..) {
        block.extend_from_slice(&key[BUCKET_BYTES..]);
        let mut length = value.len();
        while length >= 0x80 {
            block.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        block.push(length as u8);
        block.extend_from_slice(&value);
    }
    Some((key, block))
}

/// Puts rows, which are in order, into entries.
fn gather(rows: impl Iterator<Item = Row>, mut write: impl FnMut(Row)) {
    let (mut open, mut bytes): (Vec<Row>, usize) = (Vec::new(), 0);
    for row in rows {
        let fits = open.first().is_some_and(|(first, _)| share_bucket(first, &row.0))
            && open.len() < BLOCK_ROWS
            && bytes < BLOCK_BYTES;
        if !fits {
            entry(&mut open).into_iter().for_each(&mut write);
            bytes = 0;
        }
        bytes += row.1.len();
        open.push(row);
    }
    entry(&mut open).into_iter().for_each(write);
}

/// A block, or a row that is an entry of its own, read from its first row to its last.
struct Cursor {
    key: Vec<u8>,
    value: UserValue,
    at: Range<usize>,
}

impl Cursor {
    fn open(key: &UserKey, value: UserValue) -> Result<Self, StateError> {
        if !is_block(key) {
            let at = 0..value.len();
            let key = key.to_vec();
            return Ok(Self { key, value, at });
        }
        if value.first() != Some(&VERSION) {
            return Err(damaged());
        }
        let mut cursor = Self {
            key: key[..ROW_KEY].to_vec(),
            value,
            at: 1..1,
        };
        if cursor.advance()? { Ok(cursor) } else { Err(damaged()) }
    }

    fn row(&self) -> (&[u8], &[u8]) {
        (&self.key, &self.value[self.at.clone()])
    }

    /// Goes to the next row; false at the end.
    fn advance(&mut self) -> Result<bool, StateError> {
        let rest = &self.value[self.at.end..];
        if rest.is_empty() {
            return Ok(false);
        }
        let (suffix, mut rest) = rest.split_at_checked(ROW_KEY - BUCKET_BYTES).ok_or_else(damaged)?;
        self.key[BUCKET_BYTES..].copy_from_slice(suffix);
        let (mut length, mut shift) = (0_usize, 0_u32);
        loop {
            let (byte, after) = rest.split_first().ok_or_else(damaged)?;
            rest = after;
            length |= usize::from(byte & 0x7f).checked_shl(shift).ok_or_else(damaged)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if length > rest.len() {
            return Err(damaged());
        }
        let start = self.value.len() - rest.len();
        self.at = start..start + length;
        Ok(true)
    }
}

impl PartialEq for Cursor {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Cursor {}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cursor {
    /// The one at the smaller key is the greater: the heap gives it first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.key.cmp(&self.key)
    }
}

/// The open blocks of a bucket, and who is shown their rows.
struct Merge<'a, 'v> {
    open: BinaryHeap<Cursor>,
    from: &'a [u8],
    to: &'a [u8],
    visit: &'a mut Visit<'v>,
}

impl Merge<'_, '_> {
    /// Shows the rows before a key, or all; answers whether more are wanted.
    fn show(&mut self, before: Option<&[u8]>) -> Result<bool, StateError> {
        while let Some(mut next) = self.open.pop() {
            if before.is_some_and(|before| next.key.as_slice() >= before) {
                self.open.push(next);
                return Ok(true);
            }
            let (key, value) = next.row();
            if key >= self.to {
                // So are the rows behind it.
                continue;
            }
            if key >= self.from && !(self.visit)(key, value) {
                return Ok(false);
            }
            if next.advance()? {
                self.open.push(next);
            }
        }
        Ok(true)
    }

    fn take(&mut self, guard: Guard) -> Result<bool, StateError> {
        let from = self.from;
        let (key, value) = guard.into_inner_if(|key| reaches(key, from)).map_err(read_error)?;
        let Some(value) = value else {
            return Ok(true);
        };
        if !self.open.is_empty() && !self.show(Some(first_row(&key)))? {
            return Ok(false);
        }
        if is_block(&key) {
            self.open.push(Cursor::open(&key, value)?);
            return Ok(true);
        }
        // No key is in two entries: what is open is behind this one.
        Ok(&*key >= self.to || (self.visit)(&key, &value))
    }
}

/// Visits the rows of `from..to` in order.
pub(crate) fn scan(entries: &impl Entries, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
    let mut merge = Merge {
        open: BinaryHeap::new(),
        from,
        to,
        visit,
    };
    for guard in entries.range(&entries_from(from), &entries_to(to)) {
        if !merge.take(guard)? {
            return Ok(());
        }
    }
    merge.show(None).map(drop)
}

/// Visits the rows of `from..to`, the last one first. A bucket of many rows is read several times from its start, so that
/// no more than a bounded number of them is held.
pub(crate) fn scan_back(
    entries: &impl Entries,
    from: &[u8],
    to: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), StateError> {
    let mut end = entries_to(to);
    loop {
        let (mut rows, mut here): (Vec<Row>, Option<Vec<u8>>) = (Vec::new(), None);
        let mut dense = false;
        for guard in entries.range(&entries_from(from), &end).rev() {
            let (key, value) = guard.into_inner_if(|key| reaches(key, from)).map_err(read_error)?;
            let Some(value) = value else { continue };
            let bucket = bucket(&key);
            if here.as_ref() != Some(&bucket) {
                if !show_back(&mut rows, visit) {
                    return Ok(());
                }
                here = Some(bucket);
            }
            let mut cursor = Cursor::open(&key, value)?;
            loop {
                let (key, value) = cursor.row();
                if key >= from && key < to {
                    rows.push((key.to_vec(), value.to_vec()));
                }
                if !cursor.advance()? {
                    break;
                }
            }
            dense = rows.len() > BUCKET_ROWS;
            if dense {
                break;
            }
        }
        match here.filter(|_| dense) {
            Some(bucket) => {
                if !show_dense(entries, &bucket, from, to, visit)? {
                    return Ok(());
                }
                end = bucket;
            }
            None => {
                show_back(&mut rows, visit);
                return Ok(());
            }
        }
    }
}

fn show_back(rows: &mut Vec<Row>, visit: &mut Visit<'_>) -> bool {
    rows.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
    rows.drain(..).all(|(key, value)| visit(&key, &value))
}

/// The rows of a bucket with many, the last ones first, some of them each time that it is read.
fn show_dense(
    entries: &impl Entries,
    bucket: &[u8],
    from: &[u8],
    to: &[u8],
    visit: &mut Visit<'_>,
) -> Result<bool, StateError> {
    let low = bucket.max(from);
    // Behind the bucket's last row.
    let mut behind = bucket.to_vec();
    behind.resize(ROW_KEY, 0xff);
    behind[BUCKET_BYTES] = bucket[BUCKET_BYTES] | !BUCKET_BITS;
    behind.push(0);
    let mut high = behind.as_slice().min(to).to_vec();
    loop {
        let mut last: VecDeque<Row> = VecDeque::new();
        scan(entries, low, &high, &mut |key, value| {
            if last.len() == BUCKET_ROWS {
                last.pop_front();
            }
            last.push_back((key.to_vec(), value.to_vec()));
            true
        })?;
        let Some((first, _)) = last.front() else {
            return Ok(true);
        };
        high.clone_from(first);
        for (key, value) in last.iter().rev() {
            if !visit(key, value) {
                return Ok(false);
            }
        }
    }
}

/// The row of a key that is in a block.
pub(crate) fn in_block(entries: &impl Entries, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
    if key.len() != ROW_KEY {
        return Ok(None);
    }
    let mut behind = key.to_vec();
    behind.push(0);
    let mut found = None;
    scan(entries, key, &behind, &mut |_, value| {
        found = Some(value.to_vec());
        false
    })?;
    Ok(found)
}

/// The entries that the writes of a keyspace come to; `writes` are in the order of their keys, and those of one key in
/// the order they were made. A key that is set must not be there, unless it is removed before in the same batch.
pub(crate) fn entry_writes(entries: &impl Entries, writes: Vec<EntryWrite>) -> Result<Vec<EntryWrite>, StateError> {
    let (mut removed, mut rows): (Vec<Vec<u8>>, Vec<Row>) = (Vec::new(), Vec::with_capacity(writes.len()));
    for (key, value) in writes {
        if rows.last().is_some_and(|(last, _)| *last == key) {
            rows.pop();
        }
        match value {
            Some(value) => rows.push((key, value)),
            None if removed.last() != Some(&key) => removed.push(key),
            None => {}
        }
    }
    let mut written = BTreeMap::new();
    for of_bucket in removed.chunk_by(|one, other| share_bucket(one, other)) {
        remove_from_blocks(entries, of_bucket, &mut written)?;
    }
    if written.is_empty() {
        let mut list = Vec::with_capacity(rows.len());
        gather(rows.into_iter(), |(key, value)| list.push((key, Some(value))));
        return Ok(list);
    }
    gather(rows.into_iter(), |(key, value)| {
        written.insert(key, Some(value));
    });
    Ok(written.into_iter().collect())
}

/// Removes rows of one bucket: the entries of their keys, and from the blocks that hold them.
fn remove_from_blocks(
    entries: &impl Entries,
    removed: &[Vec<u8>],
    written: &mut BTreeMap<Vec<u8>, Option<Vec<u8>>>,
) -> Result<(), StateError> {
    let (Some(first), Some(last)) = (removed.first(), removed.last()) else {
        return Ok(());
    };
    written.extend(removed.iter().map(|key| (key.clone(), None)));
    if first.len() != ROW_KEY {
        return Ok(());
    }
    let mut behind = last.clone();
    behind.push(0);
    for guard in entries.range(&entries_from(first), &entries_to(&behind)) {
        let (key, value) = guard
            .into_inner_if(|key| is_block(key) && reaches(key, first))
            .map_err(read_error)?;
        let Some(value) = value else { continue };
        let (mut cursor, mut left, mut held) = (Cursor::open(&key, value)?, Vec::new(), 0);
        loop {
            let (key, value) = cursor.row();
            held += 1;
            if removed.binary_search_by(|removed| removed.as_slice().cmp(key)).is_err() {
                left.push((key.to_vec(), value.to_vec()));
            }
            if !cursor.advance()? {
                break;
            }
        }
        if left.len() < held {
            written.insert(key.to_vec(), None);
            gather(left.into_iter(), |(key, value)| {
                written.insert(key, Some(value));
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
