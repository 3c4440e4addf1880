//! The events of several carriers in canonical order, however many there are: a merge of their histories, each read some rows
//! at a time.

use crate::definitions::Definitions;
use crate::history::History;
use crate::{PipelineError, keys};
use kith_identity::{Component, Evidence, Gathering, Position};
use kith_state::Keyspace;
use kith_types::Event;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

/// Rows of all carriers together that are in memory at once, about.
const ROWS_MAX: usize = 16_384;

/// Events of held identifiers that are in memory at once, about.
const EVENTS_UNSETTLED_MAX: u32 = 16_384;

/// What is read of a carrier's history.
struct Cursor {
    /// The key from which on it is read next, and where it ends.
    range: (Vec<u8>, Vec<u8>),
    rows: VecDeque<Event>,
    ended: bool,
}

/// Visits every event of these carriers as it is committed, in canonical order, without what it tells: large events take no
/// more room than small ones.
///
/// # Errors
/// The store fails, or holds a damaged row.
pub(crate) fn visit(
    history: &History<'_>,
    carriers: impl Iterator<Item = u128>,
    take: &mut dyn FnMut(Event),
) -> Result<(), PipelineError> {
    visit_by(history, carriers, ROWS_MAX, take)
}

/// The components that a component's events make by these definitions: of those for which `counts`, which sees what each says, says so.
///
/// # Errors
/// As [`visit`].
pub(crate) fn gather(
    history: &History<'_>,
    definitions: &Definitions,
    of: &Component,
    counts: &mut dyn FnMut(&Event, &Evidence) -> bool,
) -> Result<Vec<Component>, PipelineError> {
    let within: BTreeSet<u128> = of.hashes().collect();
    let mut gathering = Gathering::new(history.space(), &definitions.rules, definitions.vetoes.apart());
    let mut taken = 0_u32;
    visit(history, within.iter().copied(), &mut |event| {
        let mut evidence = definitions.read(&event);
        // What a bound kept out of the component stays out.
        evidence.identifiers.retain(|named| within.contains(&named.hash));
        if !counts(&event, &evidence) {
            return;
        }
        gathering.add(&evidence);
        taken += 1;
        if taken.is_multiple_of(EVENTS_UNSETTLED_MAX) {
            gathering.settle((event.event_time, event.address));
        }
    })?;
    Ok(gathering.components())
}

fn visit_by(
    history: &History<'_>,
    carriers: impl Iterator<Item = u128>,
    rows_max: usize,
    take: &mut dyn FnMut(Event),
) -> Result<(), PipelineError> {
    let cursor = |carrier| Cursor {
        range: keys::row_range(history.space(), carrier, None, None),
        rows: VecDeque::new(),
        ended: false,
    };
    let mut cursors: Vec<Cursor> = carriers.map(cursor).collect();
    let rows_each = (rows_max / cursors.len().max(1)).max(1);
    let mut heads: BinaryHeap<Reverse<(Position, usize)>> = BinaryHeap::with_capacity(cursors.len());
    for (at, cursor) in cursors.iter_mut().enumerate() {
        heads.extend(cursor.head(history, rows_each)?.map(|head| Reverse((head, at))));
    }
    while let Some(Reverse((_, at))) = heads.pop() {
        let Some(cursor) = cursors.get_mut(at) else { break };
        if let Some(event) = cursor.rows.pop_front() {
            take(event);
        }
        heads.extend(cursor.head(history, rows_each)?.map(|head| Reverse((head, at))));
    }
    Ok(())
}

impl Cursor {
    /// The place of the next event, which is read where none is in memory.
    fn head(&mut self, history: &History<'_>, rows: usize) -> Result<Option<Position>, PipelineError> {
        if self.rows.is_empty() && !self.ended {
            self.read(history, rows)?;
        }
        Ok(self.rows.front().map(|event| (event.event_time, event.address)))
    }

    fn read(&mut self, history: &History<'_>, rows: usize) -> Result<(), PipelineError> {
        let (mut failed, mut last) = (None, Vec::new());
        let (from, to) = &self.range;
        let read = &mut self.rows;
        history.reader().scan(Keyspace::Events, from, to, &mut |key, row| {
            match history.evidence(key, row) {
                Ok(event) => read.push_back(event),
                Err(error) => failed = Some(error),
            }
            if read.len() == rows {
                last = key.to_vec();
            }
            failed.is_none() && read.len() < rows
        })?;
        failed.map_or(Ok(()), Err)?;
        self.ended = last.is_empty();
        // Right behind the last row.
        last.push(0);
        self.range.0 = last;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Bench, event, main_space};
    use serde_json::json;

    #[test]
    fn idn_3_histories_are_merged_in_canonical_order_however_few_rows_are_in_memory() {
        let mut bench = Bench::new();
        for n in 0..60_i64 {
            // Late, equal and early times, unevenly over four people and one who has none.
            let (user, second) = (n * n % 5 % 4, (n * 37) % 23);
            bench.take(
                100 + n,
                &[event(&format!("user_id:u{user}"), "Seen", second, json!({}))],
            );
        }
        bench.commit();
        let mut expected: Vec<Position> = bench
            .events()
            .iter()
            .map(|event| (event.event_time, event.address))
            .collect();
        expected.sort_unstable();
        let named = bench.events().into_iter().flat_map(|event| event.identifiers);
        let mut carriers: BTreeSet<u128> = named.map(|identifier| identifier.hash128()).collect();
        carriers.insert(7);
        for rows_max in [1, 2, 7, 20, 1_000] {
            let mut seen = Vec::new();
            let space = main_space();
            visit_by(
                &History::of(&*bench.store, &space),
                carriers.iter().copied(),
                rows_max,
                &mut |event| {
                    seen.push((event.event_time, event.address));
                },
            )
            .unwrap();
            assert_eq!(seen, expected, "{rows_max}");
        }
    }
}
