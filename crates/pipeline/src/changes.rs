//! Every change of membership that the records give, worked out again (contract RAW-2): what the table of changes is built
//! from when it was lost and the outbox has forgotten.
//!
//! Changes are a pure function of the records and the clock, so a replay up to the state's own moment gives all that were
//! made until then. What still waits in the outbox is left out: it comes from there, with its number. However much waits, it
//! is read in pages and marked in the store that the replay is given, the only one that is written to. It tells nobody of
//! a change.

use crate::account_changes::are_waiting;
use crate::definitions::DefinitionSet;
use crate::engine::{CLOCK, Engine, EngineConfig, FIRING, NEXT, REBUILT_BEFORE};
use crate::output::{StepOutput, decode_change, encode_change};
use crate::{Backlog, Handover, PipelineError, keys};
use kith_segment::Change;
use kith_state::{Batch, Keyspace, Read, Store};
use kith_types::{SpaceId, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Records read at once, and what a step of the replay holds at most.
const READ_RECORDS: usize = 4_096;
const READ_BYTES: usize = 4 << 20;
const STEP: usize = 20_000;
/// Rows of the outbox that are held at once.
const PAGE: usize = 4_096;

/// A moment of the live state at which every change before it is either told or waits in the outbox.
pub struct OutboxMoment {
    /// The sequence after the last record taken.
    end: u64,
    /// The instant up to which time has passed.
    instant: Timestamp,
    /// By space the number of the first change that waits, or of the next one.
    first: BTreeMap<SpaceId, u64>,
    /// How many changes wait that the replay has not given yet.
    unmatched: u64,
    /// What waits is read from here when the replay begins, and let go of: a snapshot costs the store something.
    state: Option<Box<dyn Read>>,
}

impl OutboxMoment {
    /// The spaces that were asked for.
    pub fn spaces(&self) -> impl Iterator<Item = &SpaceId> {
        self.first.keys()
    }

    /// The number of a space's first change that comes from the outbox: all before it come from the replay.
    #[must_use]
    pub fn first_waiting(&self, space: &SpaceId) -> u64 {
        self.first.get(space).copied().unwrap_or(0)
    }

    /// How many changes wait that the replay did not give: 0 unless raw has lost something.
    #[must_use]
    pub fn unmatched(&self) -> u64 {
        self.unmatched
    }
}

/// What waits, marked in the store of a replay: how often each change does.
struct Waiting<'a> {
    moment: &'a mut OutboxMoment,
    store: Arc<dyn Store>,
}

impl<'a> Waiting<'a> {
    fn mark(moment: &'a mut OutboxMoment, store: Arc<dyn Store>, page: usize) -> Result<Self, PipelineError> {
        let state = moment.state.take();
        for (space, state) in moment.first.keys().filter_map(|space| Some((space, state.as_ref()?))) {
            let mut from = keys::space(space);
            let to = kith_state::prefix_end(&from).unwrap_or_default();
            loop {
                let (mut rows, mut next, mut damaged) = (Vec::new(), Vec::new(), false);
                state.scan(Keyspace::Outbox, &from, &to, &mut |key, row| {
                    damaged |= keys::number(key).is_none() || decode_change(row).is_none();
                    next = [key, &[0]].concat();
                    rows.push(waiting_key(space, row));
                    !damaged && rows.len() < page
                })?;
                if damaged {
                    return Err(PipelineError::corrupt("outbox"));
                }
                if rows.is_empty() {
                    break;
                }
                from = next;
                moment.unmatched += rows.len() as u64;
                let mut counts = BTreeMap::<Vec<u8>, u64>::new();
                rows.into_iter().for_each(|row| *counts.entry(row).or_default() += 1);
                let mut batch = Batch::default();
                for (key, count) in counts {
                    put_count(&mut batch, key.clone(), count_of(&*store, &key)? + count);
                }
                store.commit(batch)?;
            }
        }
        Ok(Self { moment, store })
    }

    /// Takes from the changes of a step what waits.
    fn leave_out(&mut self, output: StepOutput) -> Result<Vec<(SpaceId, Change)>, PipelineError> {
        let mut left = BTreeMap::<Vec<u8>, u64>::new();
        let mut told = Vec::new();
        for numbered in output.changes {
            let (space, change) = (numbered.space, numbered.change);
            if !self.moment.first.contains_key(&space) {
                continue;
            }
            let key = waiting_key(&space, &encode_change(&change));
            let waits = match left.get(&key) {
                Some(waits) => *waits,
                None => count_of(&*self.store, &key)?,
            };
            if waits == 0 {
                told.push((space, change));
            } else {
                left.insert(key, waits - 1);
                self.moment.unmatched -= 1;
            }
        }
        if !left.is_empty() {
            let mut batch = Batch::default();
            left.into_iter()
                .for_each(|(key, waits)| put_count(&mut batch, key, waits));
            self.store.commit(batch)?;
        }
        Ok(told)
    }
}

/// Where it is marked how often a change waits. The replay's own marks of later copies in this keyspace are of another length.
fn waiting_key(space: &SpaceId, change: &[u8]) -> Vec<u8> {
    let mut key = keys::space(space);
    key.extend_from_slice(b"waiting");
    key.extend_from_slice(change);
    key
}

fn count_of(store: &dyn Store, key: &[u8]) -> Result<u64, PipelineError> {
    let stored = store.get(Keyspace::Duplicates, key)?;
    Ok((stored.and_then(|bytes| bytes.try_into().ok())).map_or(0, u64::from_be_bytes))
}

fn put_count(batch: &mut Batch, key: Vec<u8>, count: u64) {
    match count {
        0 => batch.remove(Keyspace::Duplicates, key),
        _ => batch.put(Keyspace::Duplicates, key, count.to_be_bytes().to_vec()),
    }
}

impl Handover {
    /// The number of the first change from `number` on that the outbox can still give, or of the next one to be made.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Storage`] when the store cannot be read.
    pub fn first_kept(&self, space: &SpaceId, number: u64) -> Result<u64, PipelineError> {
        // One look for both: a commit between them would make what it told seem to be forgotten.
        first_of(&*crate::snapshot_of(&*self.store)?, space, number)
    }

    /// The moment that the state stands at, for a replay of these spaces' changes; `None` while people are being worked
    /// out anew or a lost state is being built again: changes are still to come then that the replay would have.
    ///
    /// # Errors
    /// As [`Handover::first_kept`].
    pub fn moment(&self, spaces: &[SpaceId]) -> Result<Option<OutboxMoment>, PipelineError> {
        let state = crate::snapshot_of(&*self.store)?;
        let number = |key: &[u8]| -> Result<[u8; 8], PipelineError> {
            let stored = state.get(Keyspace::Meta, key)?;
            Ok(stored.and_then(|bytes| bytes.try_into().ok()).unwrap_or_default())
        };
        let end = u64::from_be_bytes(number(NEXT)?);
        let instant = Timestamp::from_micros(i64::from_be_bytes(number(CLOCK)?));
        let (before, until) = match state.get(Keyspace::Meta, REBUILT_BEFORE)? {
            Some(stored) => rebuilt_of(&stored).ok_or_else(|| PipelineError::corrupt("rebuilding"))?,
            None => (0, Timestamp::MIN),
        };
        // Timers that have fired already may be due at the clock or later: the replay would not fire them.
        if end < before || state.get(Keyspace::Meta, FIRING)?.is_some() {
            return Ok(None);
        }
        let mut first = BTreeMap::new();
        for space in spaces {
            // What time alone changes before `until` is made without being told.
            let due = first_due(&*state, space)?.filter(|due| *due < until);
            if due.is_none() && is_swept(&*state, space)? && !are_waiting(&*state, space)? {
                first.insert(space.clone(), first_of(&*state, space, 0)?);
            } else {
                return Ok(None);
            }
        }
        Ok(Some(OutboxMoment {
            end,
            instant,
            first,
            unmatched: 0,
            state: Some(state),
        }))
    }
}

fn meta_number(state: &dyn Read, space: &SpaceId, name: &str) -> Result<u64, PipelineError> {
    let stored = state.get(Keyspace::Meta, &keys::named(space, name))?;
    Ok(stored
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_be_bytes))
}

fn outbox_next(state: &dyn Read, space: &SpaceId) -> Result<u64, PipelineError> {
    meta_number(state, space, crate::space::OUTBOX_NEXT)
}

/// Where a lost state is built again: before which record and which instant nothing is told.
fn rebuilt_of(stored: &[u8]) -> Option<(u64, Timestamp)> {
    let (before, until) = stored.split_at_checked(8)?;
    let until = i64::from_be_bytes(until.try_into().ok()?);
    Some((
        u64::from_be_bytes(before.try_into().ok()?),
        Timestamp::from_micros(until),
    ))
}

fn first_due(state: &dyn Read, space: &SpaceId) -> Result<Option<Timestamp>, PipelineError> {
    let from = keys::space(space);
    let to = kith_state::prefix_end(&from).unwrap_or_default();
    let mut first = None;
    state.scan(Keyspace::Due, &from, &to, &mut |key, _| {
        first = keys::due_parts(key).map(|(due, _)| due);
        false
    })?;
    Ok(first)
}

/// Whether everybody has taken the newest decision.
pub(crate) fn is_swept(state: &dyn Read, space: &SpaceId) -> Result<bool, PipelineError> {
    let stored = state.get(Keyspace::Meta, &keys::named(space, crate::space::DEFINITIONS))?;
    let Some(bytes) = stored else {
        return Ok(true);
    };
    let set: DefinitionSet = serde_json::from_slice(&bytes).map_err(|_| PipelineError::corrupt("definitions"))?;
    Ok(set.version <= meta_number(state, space, crate::space::SWEPT_VERSION)?)
}

/// The number of the first change from a number on that the outbox has, or of the next one to be made.
fn first_of(state: &dyn Read, space: &SpaceId, from: u64) -> Result<u64, PipelineError> {
    let to = kith_state::prefix_end(&keys::space(space)).unwrap_or_default();
    let from = keys::numbered(space, from);
    let mut first = None;
    state.scan(Keyspace::Outbox, &from, &to, &mut |key, _| {
        first = Some(keys::number(key));
        false
    })?;
    match first {
        Some(first) => first.ok_or_else(|| PipelineError::corrupt("outbox")),
        None => outbox_next(state, space),
    }
}

/// Replays records from the first one on into a fresh store, up to the moment, and gives every change of the spaces that does
/// not wait in their outbox, in the order of the replay. `give` and `stop` say whether to go on; answers whether all was given.
///
/// # Errors
/// [`crate::PipelineErrorKind::Storage`] when records or the store cannot be read.
pub fn replay_changes(
    backlog: &mut Backlog,
    fresh: Arc<dyn Store>,
    moment: &mut OutboxMoment,
    stop: &AtomicBool,
    give: &mut dyn FnMut(&SpaceId, Change) -> bool,
) -> Result<bool, PipelineError> {
    let (end, instant) = (moment.end, moment.instant);
    let mut engine = Engine::open(Arc::clone(&fresh), EngineConfig::default())?;
    let mut waiting = Waiting::mark(moment, fresh, PAGE)?;
    let mut hand_on = |output: StepOutput| -> Result<bool, PipelineError> {
        let mut told = waiting.leave_out(output)?.into_iter();
        Ok(told.all(|(space, change)| give(&space, change)))
    };
    while backlog.position() < end {
        let records = backlog
            .read(READ_RECORDS, READ_BYTES)
            .map_err(|error| PipelineError::storage("the records could not be read again", error))?;
        if stop.load(Ordering::Acquire) {
            return Ok(false);
        }
        if records.is_empty() {
            break;
        }
        for record in records.iter().filter(|record| record.address.sequence < end) {
            while !engine.make_way(record)? {
                if !hand_on(engine.commit()?)? {
                    return Ok(false);
                }
            }
            engine.apply(record)?;
            engine.move_all()?;
            if engine.pending() >= STEP && !hand_on(engine.commit()?)? {
                return Ok(false);
            }
        }
        if !hand_on(engine.commit()?)? {
            return Ok(false);
        }
    }
    let mut outputs = Vec::new();
    loop {
        let more = engine.sweep(&mut outputs)?;
        for output in outputs.drain(..) {
            if !hand_on(output)? {
                return Ok(false);
            }
        }
        if !more {
            break;
        }
    }
    while !engine.advance(instant)? {
        if !hand_on(engine.commit()?)? {
            return Ok(false);
        }
    }
    hand_on(engine.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Numbered;
    use kith_segment::Cause;
    use kith_state::MemoryStore;
    use kith_types::ProfileId;

    fn change(number: u64) -> Change {
        Change {
            segment: "vip".parse().unwrap(),
            profile: ProfileId(u128::from(number)),
            entered: true,
            at: Timestamp::from_millis(7),
            cause: Cause::Clock,
            approximate: false,
        }
    }

    #[test]
    fn raw_2_what_waits_in_the_outbox_is_left_out_as_often_as_it_waits_whatever_the_pages() {
        let (main, other): (SpaceId, SpaceId) = (SpaceId::main(), "other".parse().unwrap());
        // The first of three people waits four times, on several pages; another space has the same changes and is not asked for.
        let waiting = [0, 1, 0, 2, 0, 1, 0];
        for page in 1..=waiting.len() + 1 {
            let live = Arc::new(MemoryStore::default());
            let mut batch = Batch::default();
            for (number, person) in (40..).zip(waiting) {
                for space in [&main, &other] {
                    let row = encode_change(&change(person));
                    batch.put(Keyspace::Outbox, keys::numbered(space, number), row);
                }
            }
            live.commit(batch).unwrap();
            let handover = Handover::new(Arc::clone(&live) as Arc<dyn Store>);
            let mut moment = handover.moment(std::slice::from_ref(&main)).unwrap().unwrap();
            assert_eq!(moment.first_waiting(&main), 40);
            let mut marked = Waiting::mark(&mut moment, Arc::new(MemoryStore::default()), page).unwrap();
            assert_eq!(marked.moment.unmatched(), 7);
            let mut given = |people: &[u64]| -> Vec<u128> {
                let numbered = |person: &u64| Numbered {
                    space: main.clone(),
                    number: 0,
                    change: change(*person),
                };
                let output = StepOutput {
                    changes: people.iter().map(numbered).collect(),
                    ..StepOutput::default()
                };
                let told = marked.leave_out(output).unwrap();
                told.iter().map(|(_, change)| change.profile.0).collect()
            };
            // In any order, and parted by steps: so many of each wait, and the rest is told.
            assert_eq!(given(&[0, 9, 1]), [9], "page {page}");
            assert_eq!(given(&[0, 0, 2, 0, 0]), [0], "page {page}");
            assert_eq!(given(&[1, 1, 0]), [1, 0], "page {page}");
            assert_eq!(moment.unmatched(), 0, "page {page}");
        }
    }
}
