//! Which of some keys count, asked of a store rather than of the engine. One page of a filter is in memory at a time.

use super::generation::Generation;
use super::rows::{BLOCK, Extent, RETIRED, Rows, SEALED, entries};
use super::{Answer, Sizes};
use crate::PipelineError;
use kith_state::{Keyspace, Read};
use kith_types::{EventKey, SpaceId, Timestamp};
use std::collections::BTreeSet;

/// Which of some keys count at `now`, as a store holds them.
///
/// # Errors
/// [`crate::PipelineErrorKind::Storage`] or `Corrupt` when it cannot be read.
pub(crate) fn counted(
    store: &dyn Read,
    space: &SpaceId,
    wanted: &BTreeSet<EventKey>,
    now: Timestamp,
) -> Result<BTreeSet<EventKey>, PipelineError> {
    counted_with(store, space, wanted, now, Sizes::default())
}

pub(super) fn counted_with(
    store: &dyn Read,
    space: &SpaceId,
    wanted: &BTreeSet<EventKey>,
    now: Timestamp,
    sizes: Sizes,
) -> Result<BTreeSet<EventKey>, PipelineError> {
    let (rows, now) = (Rows::of(space), now.as_micros());
    let mut found = in_blocks(store, &rows, wanted, now)?;
    for generation in sealed(store, &rows, sizes)? {
        if generation.extent.last_expiry < now {
            continue;
        }
        // Keys come in order, so the pages do.
        let mut page = None;
        for key in wanted {
            let Answer::Page(number) = generation.ask(key.0) else {
                continue;
            };
            let words = match page.take() {
                Some((read, words)) if read == number => words,
                _ => generation.read(store, &rows, number)?,
            };
            let possible = generation.is_possible(&words, key.0);
            page = Some((number, words));
            if possible
                && generation
                    .expiry(store, &rows, key.0)?
                    .is_some_and(|expiry| expiry >= now)
            {
                found.insert(*key);
            }
        }
    }
    Ok(found)
}

fn in_blocks(
    store: &dyn Read,
    rows: &Rows,
    wanted: &BTreeSet<EventKey>,
    now: i64,
) -> Result<BTreeSet<EventKey>, PipelineError> {
    let mut retired = BTreeSet::new();
    let (from, to) = rows.kind(RETIRED);
    store.scan(Keyspace::Dedupe, &from, &to, &mut |key, _| {
        retired.extend(rows.generation_of(key));
        true
    })?;
    let mut found = BTreeSet::new();
    let (from, to) = rows.kind(BLOCK);
    store.scan(Keyspace::Dedupe, &from, &to, &mut |key, value| {
        if rows.generation_of(key).is_some_and(|number| !retired.contains(&number)) {
            let live = entries(value).filter(|(_, expiry)| *expiry >= now);
            found.extend(live.map(|(key, _)| EventKey(key)).filter(|key| wanted.contains(key)));
        }
        true
    })?;
    Ok(found)
}

/// The sealed generations that stand, without any page in memory.
pub(super) fn sealed(store: &dyn Read, rows: &Rows, sizes: Sizes) -> Result<Vec<Generation>, PipelineError> {
    let (mut found, mut is_whole) = (Vec::new(), true);
    let (from, to) = rows.kind(SEALED);
    store.scan(Keyspace::Dedupe, &from, &to, &mut |key, value| {
        let read = rows.generation_of(key).zip(Extent::decode(value));
        is_whole &= read.is_some();
        found.extend(read.map(|(number, extent)| Generation::new(number, extent, sizes.page_lines)));
        true
    })?;
    if !is_whole {
        return Err(PipelineError::corrupt("dedupe"));
    }
    Ok(found)
}
