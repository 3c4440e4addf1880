//! What the lake and activation need of the state: marks of later copies, and changes that wait in the outbox.
//!
//! Each reader of the outbox says how far it is durably; what all of them have passed is forgotten. Whoever begins later is
//! given who is in at one moment, and the number from which on changes follow. It never decides what a table holds or who is
//! told.

use crate::output::{Numbered, decode_change};
use crate::space::OUTBOX_NEXT;
use crate::{PipelineError, keys};
use kith_state::{Batch, Keyspace, Read, Store};
use kith_types::{Address, Duration, ProfileId, SegmentName, SpaceId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most rows that are removed in one transaction.
const FORGET_ROWS: usize = 10_000;
/// Rows that everybody has passed are removed once there are so many, since each removal is a synced transaction.
const FORGET_AT: u64 = 4_096;
/// What the lake has passed and activation has not may grow to so many rows …
const WAITING_ROWS: u64 = 1_000_000;
/// … and beyond that is forgotten where it is so much older than the latest change: longer than activation still sends.
const WAITING_AGE: Duration = Duration::from_days(7);

/// Who reads the outbox, each at its own pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxReader {
    /// The writer of the tables.
    Lake,
    /// Whoever sends messages.
    Activation,
}

/// How a space's outbox stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxState {
    /// The number that the next change gets, as far as rows tell; 0 where none is kept.
    pub end: u64,
    /// The first change that activation has not passed, where there is one.
    pub waiting_from: Option<(u64, Timestamp)>,
}

/// How far a space's outbox is read and forgotten, since the start of the process.
#[derive(Clone, Copy, Default)]
struct Marks {
    lake: u64,
    activation: u64,
    /// Every row below is gone.
    forgotten: u64,
}

/// Gives the lake's writer and activation what they lack.
#[derive(Clone)]
pub struct Handover {
    pub(crate) store: Arc<dyn Store>,
    marks: Arc<Mutex<BTreeMap<SpaceId, Marks>>>,
}

impl Handover {
    /// A handover from a store that the pipeline writes. Its clones share what readers have passed; a second one of the
    /// same store does not.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            marks: Arc::default(),
        }
    }

    /// Whether the event at an address is a later copy, which no table holds.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Storage`] when the store cannot be read.
    pub fn is_later_copy(&self, space: &SpaceId, address: Address) -> Result<bool, PipelineError> {
        Ok(self.store.get(Keyspace::Duplicates, &mark(space, address))?.is_some())
    }

    /// The changes of membership from a number on, in order, at most `limit` of them.
    ///
    /// # Errors
    /// As [`Handover::is_later_copy`].
    pub fn changes_from(&self, space: &SpaceId, number: u64, limit: usize) -> Result<Vec<Numbered>, PipelineError> {
        let mut changes = Vec::new();
        if limit == 0 {
            return Ok(changes);
        }
        self.scan(space, number, &mut |numbered| {
            changes.push(numbered);
            changes.len() < limit
        })?;
        Ok(changes)
    }

    /// The number that the next change of a space gets.
    ///
    /// # Errors
    /// As [`Handover::is_later_copy`].
    pub fn next_number(&self, space: &SpaceId) -> Result<u64, PipelineError> {
        next_number(&*crate::snapshot_of(&*self.store)?, space)
    }

    /// Everybody who is in a segment at one moment, with the instant of entry: of the segments that are named, else of all.
    /// Returns the number that the next change gets: these members and the changes from it on are all there is. `take` answers
    /// whether to go on.
    ///
    /// # Errors
    /// As [`Handover::is_later_copy`].
    pub fn members_now(
        &self,
        space: &SpaceId,
        segments: Option<&BTreeSet<SegmentName>>,
        take: &mut dyn FnMut(SegmentName, ProfileId, Timestamp) -> bool,
    ) -> Result<u64, PipelineError> {
        // Members and the outbox's number are written by one commit.
        let look = crate::snapshot_of(&*self.store)?;
        let number = next_number(&*look, space)?;
        let prefixes: Vec<Vec<u8>> = match segments {
            Some(named) => named.iter().map(|name| keys::members(space, name.as_str())).collect(),
            None => vec![keys::space(space)],
        };
        let (mut damaged, mut goes_on) = (false, true);
        for prefix in prefixes {
            let end = kith_state::prefix_end(&prefix).unwrap_or_default();
            look.scan(Keyspace::Members, &prefix, &end, &mut |key, since| {
                match (keys::member_parts(space, key), since.try_into()) {
                    (Some((segment, profile)), Ok(since)) => {
                        goes_on = take(segment, profile, Timestamp::from_micros(i64::from_be_bytes(since)));
                    }
                    _ => damaged = true,
                }
                goes_on && !damaged
            })?;
            if damaged {
                return Err(PipelineError::corrupt("members"));
            }
            if !goes_on {
                break;
            }
        }
        Ok(number)
    }

    /// How a space's outbox stands.
    ///
    /// # Errors
    /// As [`Handover::is_later_copy`].
    pub fn outbox(&self, space: &SpaceId) -> Result<OutboxState, PipelineError> {
        let marks = self.marks().get(space).copied().unwrap_or_default();
        let from = marks.activation.max(marks.forgotten);
        let mut end = None;
        let last = kith_state::prefix_end(&keys::space(space)).unwrap_or_default();
        let first = keys::numbered(space, from);
        self.store.scan_back(Keyspace::Outbox, &first, &last, &mut |key, _| {
            end = keys::number(key).map(|number| number + 1);
            false
        })?;
        let next = self.changes_from(space, from, 1)?.pop();
        Ok(OutboxState {
            end: end.unwrap_or(from),
            waiting_from: next.map(|numbered| (numbered.number, numbered.change.at)),
        })
    }

    /// A reader has durably taken every change below `number`. Forgets what every reader has passed; until each has
    /// spoken of the space, nothing.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Storage`] when rows could not be removed: they stay, and are removed another time.
    pub fn passed(&self, reader: OutboxReader, space: &SpaceId, number: u64) -> Result<(), PipelineError> {
        // The lock is held over the removal: it is rare, and two must not do it at once.
        let mut marks = self.marks();
        let marks = marks.entry(space.clone()).or_default();
        let mark = match reader {
            OutboxReader::Lake => &mut marks.lake,
            OutboxReader::Activation => &mut marks.activation,
        };
        *mark = number.max(*mark);
        let before = marks.lake.min(marks.activation);
        if before >= marks.forgotten.saturating_add(FORGET_AT) {
            self.remove_range(
                Keyspace::Outbox,
                &keys::numbered(space, marks.forgotten),
                &keys::numbered(space, before),
            )?;
            marks.forgotten = before;
        }
        self.bound_waiting(space, marks)
    }

    /// Forgets what activation has left lying for too long, so that an outbox is bounded whoever fails. Activation finds
    /// the gap and counts it.
    fn bound_waiting(&self, space: &SpaceId, marks: &mut Marks) -> Result<(), PipelineError> {
        let from = marks.activation.max(marks.forgotten);
        if marks.lake <= from.saturating_add(WAITING_ROWS) {
            return Ok(());
        }
        let Some(latest) = self.changes_from(space, marks.lake - 1, 1)?.pop() else {
            return Ok(());
        };
        let (floor, mut before) = (latest.change.at - WAITING_AGE, from);
        self.scan(space, from, &mut |numbered| {
            let stale = numbered.change.at < floor && numbered.number < marks.lake - WAITING_ROWS;
            if stale {
                before = numbered.number + 1;
            }
            stale
        })?;
        if before > from {
            tracing::error!(%space, from, before, "changes that nobody sends by were forgotten: activation does not keep up");
            self.remove_range(
                Keyspace::Outbox,
                &keys::numbered(space, marks.forgotten),
                &keys::numbered(space, before),
            )?;
            marks.forgotten = before;
        }
        Ok(())
    }

    /// Forgets marks of later copies before a sequence number, which every clean table has passed.
    ///
    /// # Errors
    /// As [`Handover::is_later_copy`].
    pub fn forget_copies(&self, space: &SpaceId, generation: u16, before: u64) -> Result<(), PipelineError> {
        let end = Address {
            generation,
            partition: 0,
            sequence: before,
            index: 0,
        };
        self.remove_range(Keyspace::Duplicates, &keys::space(space), &mark(space, end))
    }

    fn scan(&self, space: &SpaceId, number: u64, visit: &mut dyn FnMut(Numbered) -> bool) -> Result<(), PipelineError> {
        let from = keys::numbered(space, number);
        let to = kith_state::prefix_end(&keys::space(space)).unwrap_or_default();
        let mut damaged = false;
        crate::snapshot_of(&*self.store)?.scan(Keyspace::Outbox, &from, &to, &mut |key, row| {
            let (Some(number), Some(change)) = (keys::number(key), decode_change(row)) else {
                damaged = true;
                return false;
            };
            visit(Numbered {
                space: space.clone(),
                number,
                change,
            })
        })?;
        if damaged {
            Err(PipelineError::corrupt("outbox"))
        } else {
            Ok(())
        }
    }

    fn remove_range(&self, keyspace: Keyspace, from: &[u8], to: &[u8]) -> Result<(), PipelineError> {
        // Each transaction goes on behind the last key: what is removed still costs a scan to pass.
        let mut from = from.to_vec();
        loop {
            let mut batch = Batch::default();
            let mut last = Vec::new();
            self.store.scan(keyspace, &from, to, &mut |key, _| {
                last = key.to_vec();
                batch.remove(keyspace, key.to_vec());
                batch.len() < FORGET_ROWS
            })?;
            if batch.is_empty() {
                return Ok(());
            }
            self.store.commit(batch)?;
            last.push(0);
            from = last;
        }
    }

    fn marks(&self) -> MutexGuard<'_, BTreeMap<SpaceId, Marks>> {
        // Marks are numbers: a panic elsewhere leaves none half-written.
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn next_number(look: &dyn Read, space: &SpaceId) -> Result<u64, PipelineError> {
    let Some(row) = look.get(Keyspace::Meta, &keys::named(space, OUTBOX_NEXT))? else {
        return Ok(0);
    };
    let bytes = row[..].try_into().map_err(|_| PipelineError::corrupt(OUTBOX_NEXT))?;
    Ok(u64::from_be_bytes(bytes))
}

fn mark(space: &SpaceId, address: Address) -> Vec<u8> {
    let mut key = keys::space(space);
    key.extend_from_slice(&address.to_bytes());
    key
}
