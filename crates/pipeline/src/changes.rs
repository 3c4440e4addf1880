//! Every change of membership that the records give, worked out again (contract RAW-2): what the table of changes is built
//! from when it was lost and the outbox has forgotten.
//!
//! Changes are a pure function of the records and the clock, so a replay up to the state's own moment gives all that were
//! made until then. What still waits in the outbox is left out: it comes from there, with its number. It tells nobody of
//! a change, and it writes only to the store that it is given for the replay.

use crate::definitions::DefinitionSet;
use crate::engine::{CLOCK, Engine, EngineConfig, NEXT, REBUILT_BEFORE};
use crate::output::{StepOutput, decode_change, encode_change};
use crate::{Backlog, Handover, PipelineError, keys};
use kith_segment::Change;
use kith_state::{Keyspace, Read, Store};
use kith_types::{SpaceId, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Records read at once, and what a step of the replay holds at most.
const READ_RECORDS: usize = 4_096;
const READ_BYTES: usize = 4 << 20;
const STEP: usize = 20_000;

/// A moment of the live state at which every change before it is either told or waits in the outbox.
#[derive(Debug)]
pub struct OutboxMoment {
    /// The sequence after the last record taken.
    end: u64,
    /// The instant up to which time has passed.
    instant: Timestamp,
    waiting: BTreeMap<SpaceId, Waiting>,
}

/// What waits in a space's outbox.
#[derive(Debug, Default)]
struct Waiting {
    /// The number of the first change that waits, or of the next one.
    first: u64,
    /// How often each change waits, as its bytes.
    changes: BTreeMap<Vec<u8>, u64>,
}

impl OutboxMoment {
    /// The spaces that were asked for.
    pub fn spaces(&self) -> impl Iterator<Item = &SpaceId> {
        self.waiting.keys()
    }

    /// The number of a space's first change that comes from the outbox: all before it come from the replay.
    #[must_use]
    pub fn first_waiting(&self, space: &SpaceId) -> u64 {
        self.waiting.get(space).map_or(0, |waiting| waiting.first)
    }

    /// How many changes wait that the replay did not give: 0 unless raw has lost something.
    #[must_use]
    pub fn unmatched(&self) -> u64 {
        self.waiting.values().flat_map(|waiting| waiting.changes.values()).sum()
    }

    /// Leaves out what waits.
    fn is_told(&mut self, space: &SpaceId, change: &Change) -> bool {
        let Some(waiting) = self.waiting.get_mut(space) else {
            return false;
        };
        match waiting.changes.get_mut(&encode_change(change)) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        }
    }
}

impl Handover {
    /// The number of the first change from `number` on that the outbox can still give, or of the next one to be made.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Storage`] when the store cannot be read.
    pub fn first_kept(&self, space: &SpaceId, number: u64) -> Result<u64, PipelineError> {
        match self.changes_from(space, number, 1)?.pop() {
            Some(numbered) => Ok(numbered.number),
            None => outbox_next(&*self.store, space),
        }
    }

    /// The moment that the state stands at, for a replay of these spaces' changes; `None` while people are being worked
    /// out anew or a lost state is being built again: changes are still to come then that the replay would have.
    ///
    /// # Errors
    /// As [`Handover::first_kept`].
    pub fn moment(&self, spaces: &[SpaceId]) -> Result<Option<OutboxMoment>, PipelineError> {
        let state = self.store.snapshot();
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
        if end < before {
            return Ok(None);
        }
        let mut waiting = BTreeMap::new();
        for space in spaces {
            // What time alone changes before `until` is made without being told.
            let due = first_due(&*state, space)?.filter(|due| *due < until);
            if due.is_none() && is_swept(&*state, space)? {
                waiting.insert(space.clone(), waiting_of(&*state, space)?);
            } else {
                return Ok(None);
            }
        }
        Ok(Some(OutboxMoment { end, instant, waiting }))
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

fn is_swept(state: &dyn Read, space: &SpaceId) -> Result<bool, PipelineError> {
    let stored = state.get(Keyspace::Meta, &keys::named(space, crate::space::DEFINITIONS))?;
    let Some(bytes) = stored else {
        return Ok(true);
    };
    let set: DefinitionSet = serde_json::from_slice(&bytes).map_err(|_| PipelineError::corrupt("definitions"))?;
    Ok(set.version <= meta_number(state, space, crate::space::SWEPT_VERSION)?)
}

fn waiting_of(state: &dyn Read, space: &SpaceId) -> Result<Waiting, PipelineError> {
    let from = keys::space(space);
    let to = kith_state::prefix_end(&from).unwrap_or_default();
    let (mut first, mut changes, mut damaged) = (None, BTreeMap::new(), false);
    state.scan(Keyspace::Outbox, &from, &to, &mut |key, row| {
        let Some(number) = keys::number(key).filter(|_| decode_change(row).is_some()) else {
            damaged = true;
            return false;
        };
        first = first.or(Some(number));
        *changes.entry(row.to_vec()).or_default() += 1;
        true
    })?;
    if damaged {
        return Err(PipelineError::corrupt("outbox"));
    }
    let first = match first {
        Some(first) => first,
        None => outbox_next(state, space)?,
    };
    Ok(Waiting { first, changes })
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
    let mut engine = Engine::open(fresh, EngineConfig::default())?;
    let mut hand_on = |output: StepOutput| -> bool {
        output.changes.into_iter().all(|numbered| {
            let told = moment.is_told(&numbered.space, &numbered.change);
            !told || give(&numbered.space, numbered.change)
        })
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
            engine.apply(record)?;
            if engine.pending() >= STEP && !hand_on(engine.commit()?) {
                return Ok(false);
            }
        }
        if !hand_on(engine.commit()?) {
            return Ok(false);
        }
    }
    let mut outputs = Vec::new();
    while engine.sweep(&mut outputs)? {}
    while !engine.advance(instant)? {}
    outputs.push(engine.commit()?);
    Ok(outputs.into_iter().all(hand_on))
}
