//! A transaction that is too large for memory: its writes are staged in the store beside what stands, and take over by
//! one mark.
//!
//! While it is staged, nothing that stands changes: readers see what was, and a process that ends leaves writes that the
//! next one discards. The commit that sets the mark makes all of them stand: from then on readers see them over what
//! was ([`Overlaid`]), and so do steps ([`Served`]), while they are moved to their places, some in each transaction. A process
//! that ends on that way goes on with it at its next start.

mod overlaid;
mod served;

pub(crate) use overlaid::Overlaid;
pub use overlaid::snapshot_of;
pub(crate) use served::Served;

use crate::PipelineError;
use kith_state::{Batch, Keyspace, Read, Store};
use kith_types::SpaceId;

/// The key, in [`Keyspace::Meta`], of the mark that staged writes stand. It belongs to no space: spaces change one by one.
pub(crate) const MARK: &[u8] = b"\0taken_over";
/// Raised when the meaning of staged bytes changes.
const VERSION: u8 = 1;

const PUT: u8 = 1;
const REMOVED: u8 = 0;

/// Writes discarded at once.
const DISCARDED: usize = if cfg!(test) { 7 } else { 10_000 };

/// What is still to be done, kept beside the staged writes. Lists come after all trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// Components of which an event says something else under new rules.
    Reread = 200,
    /// Profiles that may not stand as they stood.
    Changed = 201,
    /// Keys of who is who that steps have written while a change of rules is worked out beside them, each with the number of
    /// the latest step that did.
    Touched = 202,
}

/// The trees of who is who and of whose fold is whose. A change of rules that is worked out beside the steps writes no
/// other.
pub(crate) const OF_PEOPLE: [Keyspace; 7] = [
    Keyspace::Components,
    Keyspace::Identifiers,
    Keyspace::Parts,
    Keyspace::Profiles,
    Keyspace::Events,
    Keyspace::Presence,
    Keyspace::AccountLinks,
];

/// Numbers of trees within staged keys.
fn number(keyspace: Keyspace) -> u8 {
    match keyspace {
        Keyspace::Meta => 1,
        Keyspace::Components => 2,
        Keyspace::Identifiers => 3,
        Keyspace::Parts => 4,
        Keyspace::Profiles => 5,
        Keyspace::Redirects => 6,
        Keyspace::Events => 7,
        Keyspace::Presence => 8,
        Keyspace::Dedupe => 9,
        Keyspace::Due => 10,
        Keyspace::Outbox => 11,
        Keyspace::Duplicates => 12,
        Keyspace::Members => 13,
        Keyspace::Accounts => 14,
        Keyspace::AccountLinks => 15,
        Keyspace::Staged => 16,
        Keyspace::AccountChanges => 17,
    }
}

fn key_in(space: &SpaceId, tree: u8, key: &[u8]) -> Vec<u8> {
    let mut staged = Vec::with_capacity(4 + key.len());
    staged.extend_from_slice(&space.code());
    staged.push(tree);
    staged.extend_from_slice(key);
    staged
}

/// The key under which a write of a tree is staged.
pub(crate) fn staged_key(space: &SpaceId, keyspace: Keyspace, key: &[u8]) -> Vec<u8> {
    key_in(space, number(keyspace), key)
}

/// The key, in the list of what steps have touched, of a key of a tree.
fn touched_key(space: &SpaceId, keyspace: Keyspace, key: &[u8]) -> Vec<u8> {
    let mut listed = key_in(space, List::Touched as u8, &[number(keyspace)]);
    listed.extend_from_slice(key);
    listed
}

/// Adds to a step's transaction which keys of who is who it writes: those of its writes from one on.
pub(crate) fn list_touched(space: &SpaceId, batch: &mut Batch, from: usize, step: u64) {
    let of_people = batch.writes().iter().skip(from);
    let of_people = of_people.filter(|(keyspace, ..)| OF_PEOPLE.contains(keyspace));
    let listed: Vec<_> = of_people
        .map(|(keyspace, key, _)| touched_key(space, *keyspace, key))
        .collect();
    for key in listed {
        batch.put(Keyspace::Staged, key, step.to_be_bytes().to_vec());
    }
}

/// The next keys of a tree, from one on, that a step after `step` has touched, at most so many, and the latest such step;
/// with where to go on.
pub(crate) fn next_touched(
    store: &dyn Read,
    space: &SpaceId,
    keyspace: Keyspace,
    from: &[u8],
    (step, limit): (u64, usize),
) -> Result<Touched, PipelineError> {
    let first = touched_key(space, keyspace, from);
    let last = key_in(space, List::Touched as u8, &[number(keyspace) + 1]);
    let mut touched = Touched::default();
    let mut damaged = false;
    store.scan(Keyspace::Staged, &first, &last, &mut |key, row| {
        let (key, at) = (key.get(5..).unwrap_or_default(), row.try_into().map(u64::from_be_bytes));
        match at {
            Ok(at) if at > step => {
                touched.latest = touched.latest.max(at);
                touched.keys.push(key.to_vec());
            }
            Ok(_) => {}
            Err(_) => damaged = true,
        }
        let goes_on = touched.keys.len() < limit && !damaged;
        if !goes_on {
            touched.go_on_at = Some([key, &[0]].concat());
        }
        goes_on
    })?;
    match damaged {
        true => Err(PipelineError::corrupt("staged writes")),
        false => Ok(touched),
    }
}

/// Keys that steps have touched.
#[derive(Default)]
pub(crate) struct Touched {
    pub(crate) keys: Vec<Vec<u8>>,
    /// The latest step that touched one of them; 0 where there is none.
    pub(crate) latest: u64,
    /// Where to go on; nothing at the end.
    pub(crate) go_on_at: Option<Vec<u8>>,
}

/// The key of an entry of a list.
pub(crate) fn listed(space: &SpaceId, list: List, id: u128) -> Vec<u8> {
    key_in(space, list as u8, &id.to_be_bytes())
}

/// The next entries of a list, from one on, at most `limit`.
pub(crate) fn next_listed(
    store: &dyn Read,
    space: &SpaceId,
    list: List,
    from: u128,
    limit: usize,
) -> Result<Vec<u128>, PipelineError> {
    let (first, last) = (listed(space, list, from), key_in(space, list as u8 + 1, &[]));
    let mut found = Vec::new();
    store.scan(Keyspace::Staged, &first, &last, &mut |key, _| {
        found.extend(crate::keys::wide_id(key));
        found.len() < limit
    })?;
    Ok(found)
}

/// The same writes, to be staged: those of the trees that are named, where some are. Entries of lists are staged already. Rows of
/// the outbox never are: its readers forget them by number, in the store itself, so they are put there as the rest takes over.
pub(crate) fn stage(space: &SpaceId, batch: Batch, only: Option<&[Keyspace]>) -> Batch {
    let mut staged = Batch::default();
    for (keyspace, key, value) in batch.into_writes() {
        let is_left_out = |only: &[Keyspace]| keyspace != Keyspace::Staged && !only.contains(&keyspace);
        if keyspace == Keyspace::Outbox || only.is_some_and(is_left_out) {
            continue;
        }
        if keyspace == Keyspace::Staged {
            match value {
                Some(value) => staged.put(keyspace, key, value),
                None => staged.remove(keyspace, key),
            }
            continue;
        }
        let value = match value {
            Some(value) => [&[PUT], value.as_slice()].concat(),
            None => vec![REMOVED],
        };
        staged.put(Keyspace::Staged, key_in(space, number(keyspace), &key), value);
    }
    staged
}

/// What a staged row says: the new value, or that there is none any more.
fn read_row(row: &[u8]) -> Option<&[u8]> {
    row.split_first()
        .and_then(|(kind, value)| (*kind == PUT).then_some(value))
}

/// Adds the mark to the transaction by which a space's staged writes take over.
pub(crate) fn take_over(space: &SpaceId, batch: &mut Batch) {
    let mark = [&[VERSION], space.as_str().as_bytes()].concat();
    batch.put(Keyspace::Meta, MARK.to_vec(), mark);
}

/// The space whose staged writes stand.
fn taken_over(store: &dyn Read) -> Result<Option<SpaceId>, PipelineError> {
    let Some(mark) = store.get(Keyspace::Meta, MARK)? else {
        return Ok(None);
    };
    let space = match mark.split_first() {
        Some((&VERSION, name)) => std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()),
        _ => None,
    };
    space
        .map(Some)
        .ok_or_else(|| PipelineError::corrupt("mark of staged writes"))
}

/// Discards whatever is staged. Answers whether there was anything. What has taken over must be in its place.
pub(crate) fn discard(store: &dyn Store) -> Result<bool, PipelineError> {
    if let Some(space) = taken_over(store)? {
        let left = format!("{space} has staged writes that stand");
        return Err(PipelineError::storage("staged writes may not be discarded", left));
    }
    // Codes of spaces begin below this.
    let (mut from, end) = (Vec::new(), [0x80]);
    let mut found = false;
    loop {
        let (mut batch, mut last) = (Batch::default(), Vec::new());
        store.scan(Keyspace::Staged, &from, &end, &mut |key, _| {
            batch.remove(Keyspace::Staged, key.to_vec());
            last = [key, &[0]].concat();
            batch.len() < DISCARDED
        })?;
        if batch.is_empty() {
            return Ok(found);
        }
        found = true;
        store.commit(batch)?;
        from = last;
    }
}

fn tree_of(wanted: u8) -> Option<Keyspace> {
    Keyspace::ALL
        .iter()
        .copied()
        .find(|keyspace| number(*keyspace) == wanted && *keyspace != Keyspace::Staged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idn_2_the_bytes_of_staged_writes_are_those_of_version_1() {
        let space = SpaceId::main();
        let mut batch = Batch::default();
        batch.put(Keyspace::Parts, vec![7, 8], vec![9]);
        batch.remove(Keyspace::Members, vec![7]);
        batch.put(Keyspace::Staged, listed(&space, List::Reread, 5), Vec::new());
        take_over(&space, &mut batch);
        let lead = space.code();
        let key = |rest: &[u8]| [lead.as_slice(), rest].concat();
        let list = [&[200; 1][..], &5_u128.to_be_bytes()].concat();
        let wanted = [
            (key(&[4, 7, 8]), Some(vec![1, 9])),
            (key(&[13, 7]), Some(vec![0])),
            (key(&list), Some(vec![])),
            (key(b"\x01\0taken_over"), Some(b"\x01\x01main".to_vec())),
        ];
        let staged = stage(&space, batch, None).into_writes();
        assert!(staged.iter().all(|(keyspace, ..)| *keyspace == Keyspace::Staged));
        assert!(staged.into_iter().map(|(_, key, value)| (key, value)).eq(wanted));
        let numbers: Vec<u8> = Keyspace::ALL.iter().map(|keyspace| number(*keyspace)).collect();
        assert_eq!(numbers, (1..=17).collect::<Vec<u8>>(), "no number changes its tree");
        assert!(
            Keyspace::ALL[..15]
                .iter()
                .all(|keyspace| tree_of(number(*keyspace)) == Some(*keyspace))
        );
    }
}
