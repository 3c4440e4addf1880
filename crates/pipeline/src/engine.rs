//! The pipeline's engine: records in, one transaction a step out.
//!
//! It takes the records of the log in their order and keeps, in memory, what they change; [`Engine::commit`] writes all
//! of it, with the offset, in one transaction. The same engine runs live, in a rebuild and in tests: it reads no clock,
//! and what it does depends on the records, the definitions in them and the instants it is told, on nothing else.

mod config;
mod decide;
mod standing;
mod sweeps;
mod timers;

pub use config::EngineConfig;
pub use sweeps::SweepProgress;

use crate::dedupe;
use crate::definitions::Definitions;
use crate::foreseen::VisitedFirst;
use crate::new_rules::Preparing;
use crate::output::StepOutput;
use crate::published::Published;
use crate::space::Space;
use crate::staged::Served;
use crate::{PipelineError, keys};
use kith_clean::REJECTS_REPLAYED;
use kith_segment::Cause;
use kith_state::{Batch, Keyspace, Read, Store};
use kith_types::{Duration, Event, Origin, ProfileId, Record, RecordBody, SpaceId, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The keys that belong to no space.
pub(crate) const NEXT: &[u8] = b"\0next";
pub(crate) const CLOCK: &[u8] = b"\0clock";
/// There while timers that are due together have fired for some people and not yet for all: the state is beyond its clock,
/// by at most the instant that stands here.
pub(crate) const FIRING: &[u8] = b"\0firing";
/// What an earlier release left under a space when it ended while rules of identity changed.
pub(crate) const LEFT_MIDWAY: &[u8] = b"\0rederiving";
pub(crate) const REBUILT_BEFORE: &[u8] = b"\0rebuilt_before";

/// What an event claims its key with: the instant at which earlier claims must still hold, and the end of its own.
#[derive(Clone, Copy)]
struct Claim {
    at: Timestamp,
    expires: Timestamp,
}

/// The engine over a store.
pub struct Engine {
    store: Arc<Served>,
    config: EngineConfig,
    spaces: BTreeMap<SpaceId, Space>,
    next: u64,
    clock: Timestamp,
    output: StepOutput,
    published: Arc<Published>,
    /// Changed rules of identity that are worked out beside the steps.
    preparing: Option<Preparing>,
    /// Whether what such work has staged may be left, where nothing has come of it.
    left_staged: bool,
    /// Until when timers have fired for some, where they have not for all.
    firing: Option<Timestamp>,
    /// What the committed state says of it.
    firing_stored: Option<Timestamp>,
}

impl Engine {
    /// Opens the engine where the store's last step left it.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Storage`] or `Corrupt` when the store cannot be read.
    pub fn open(store: Arc<dyn Store>, config: EngineConfig) -> Result<Self, PipelineError> {
        let store = Arc::new(Served::open(store)?);
        let number = |key: &[u8]| -> Result<Option<[u8; 8]>, PipelineError> {
            Ok(store.get(Keyspace::Meta, key)?.and_then(|bytes| bytes.try_into().ok()))
        };
        let firing = number(FIRING)?.map(|bytes| Timestamp::from_micros(i64::from_be_bytes(bytes)));
        let next = number(NEXT)?.map_or(0, u64::from_be_bytes);
        let mut config = config;
        if let Some(stored) = store.get(Keyspace::Meta, REBUILT_BEFORE)? {
            let (before, until) = stored
                .split_at_checked(8)
                .ok_or_else(|| PipelineError::corrupt("rebuilding"))?;
            let read = |bytes: &[u8]| bytes.try_into().map_err(|_| PipelineError::corrupt("rebuilding"));
            config.rebuilt_before = u64::from_be_bytes(read(before)?);
            config.rebuilt_until = Timestamp::from_micros(i64::from_be_bytes(read(until)?));
        }
        let clock = Timestamp::from_micros(number(CLOCK)?.map_or(0, i64::from_be_bytes));
        let mut names = Vec::new();
        let mut midway = false;
        store.scan(Keyspace::Meta, &[1], &[255], &mut |key, _| {
            midway |= key.ends_with(LEFT_MIDWAY);
            if key.ends_with(crate::space::DEFINITIONS.as_bytes())
                && let Some(name) = key.split(|byte| *byte == 0).next()
            {
                names.extend(
                    std::str::from_utf8(name)
                        .ok()
                        .and_then(|name| name.parse::<SpaceId>().ok()),
                );
            }
            true
        })?;
        if midway {
            return Err(PipelineError::left_midway());
        }
        let output = StepOutput {
            from: next,
            to: next,
            clock,
            ..StepOutput::default()
        };
        let mut engine = Self {
            store,
            config,
            spaces: BTreeMap::new(),
            next,
            clock,
            output,
            published: Arc::default(),
            preparing: None,
            left_staged: false,
            // Whether any are left shows at the first look.
            firing,
            firing_stored: firing,
        };
        for name in names {
            engine.space(&name)?;
        }
        engine.share_memory();
        let in_force = engine.spaces.values();
        let in_force = in_force.map(|space| (space.id.clone(), Arc::clone(&space.definitions)));
        engine.published.write().extend(in_force);
        Ok(engine)
    }

    /// Opens the engine again where the store's last step left it, after the store itself where that has failed. What was
    /// not committed is gone: its records are to be taken again. Readers wait meanwhile, and have the definitions of then.
    ///
    /// # Errors
    /// As [`Engine::open`]; this is to be tried again, nothing else.
    pub(crate) fn reopen(&mut self, store_failed: bool) -> Result<(), PipelineError> {
        let published = Arc::clone(&self.published);
        // It reads the store, which is opened again.
        self.preparing = None;
        for space in self.spaces.values_mut() {
            space.visited_first = VisitedFirst::Nobody;
        }
        let mut readers = published.write();
        if store_failed {
            self.store.reopen()?;
        }
        self.spaces.clear();
        let fresh = Self::open(Arc::clone(self.store.base()), self.config.clone())?;
        readers.clone_from(&fresh.published.read());
        *self = Self {
            published: Arc::clone(&published),
            ..fresh
        };
        Ok(())
    }

    /// Whether a store has never seen a step.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Storage`] when it cannot be read.
    pub fn is_new(store: &dyn Store) -> Result<bool, PipelineError> {
        Ok(store.get(Keyspace::Meta, NEXT)?.is_none())
    }

    /// The sequence number of the record to come.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The instant up to which everything has been taken into account.
    #[must_use]
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// No record may be stamped before this: what time alone changes until then may have been told.
    pub(crate) fn time_floor(&self) -> Timestamp {
        self.firing.map_or(self.clock, |until| until.max(self.clock))
    }

    /// Where a lost state is being built again: the sequence number at which that is done. People are missing until then.
    #[must_use]
    pub fn rebuilding(&self) -> Option<u64> {
        Some(self.config.rebuilt_before).filter(|end| self.next < *end)
    }

    /// How many records and changes the open step holds.
    #[must_use]
    pub fn pending(&self) -> usize {
        (self.next - self.output.from) as usize
            + self.output.event_count as usize
            + self.output.changes.len()
            + self.spaces.values().map(Space::pending).sum::<usize>()
    }

    /// The definitions in force in a space.
    #[must_use]
    pub fn definitions(&self, space: &SpaceId) -> Option<Arc<Definitions>> {
        self.spaces.get(space).map(|space| Arc::clone(&space.definitions))
    }

    /// The definitions that readers use, to be read together with the state.
    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// The spaces that have been seen, with the progress of a sweep where one is under way.
    pub fn spaces(&self) -> impl Iterator<Item = (&SpaceId, u64, Option<SweepProgress>)> {
        self.spaces.values().map(|space| {
            (
                &space.id,
                space.profile_count,
                space.sweep.map(|_| space.sweep_progress()),
            )
        })
    }

    /// Goes on at a later place: the numbers before it are those of no record. Between records only.
    pub(crate) fn pass_over(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// Shares the memory for filters of event keys among the spaces.
    fn share_memory(&mut self) {
        let wanted: Vec<usize> = self.spaces.values().map(|space| space.dedupe.wanted_bytes()).collect();
        let shares = dedupe::shares(self.config.dedupe_filter_bytes, &wanted);
        for (space, bytes) in self.spaces.values_mut().zip(shares) {
            space.dedupe.set_budget(bytes);
        }
    }

    /// Takes the next record of the log. One that was taken already is passed over.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Storage`] or `Corrupt`: the engine must be opened again.
    pub fn apply(&mut self, record: &Record) -> Result<(), PipelineError> {
        if record.address.sequence < self.next {
            return Ok(());
        }
        let now = record.received_at.max(self.clock);
        self.keep_silence(record.address.sequence);
        while self.spaces.values().any(|space| space.account_changes.is_full()) {
            self.sweep_turn()?;
        }
        while !self.fire_before(now)? {}
        self.clock = now;
        match &record.body {
            RecordBody::Envelope(_) => self.apply_envelope(record, now)?,
            RecordBody::Decision(decision) if &*decision.kind == REJECTS_REPLAYED => self.apply_replay(record, now)?,
            RecordBody::Decision(decision) => {
                let derived_anew = self.apply_decision(&record.space, decision, record.address.sequence, now)?;
                self.next = record.address.sequence + 1;
                if derived_anew {
                    self.commit_inside()?;
                    tracing::info!(space = %record.space, "whoever a decision concerns is worked out anew");
                }
            }
        }
        self.next = record.address.sequence + 1;
        Ok(())
    }

    /// Takes the events that count, with their people, out of the open step: whoever needs something of them makes it
    /// while they are at hand, and they are gone from memory before others come.
    pub fn take_events(&mut self) -> (Vec<Event>, Vec<Option<ProfileId>>) {
        let output = &mut self.output;
        (std::mem::take(&mut output.events), std::mem::take(&mut output.people))
    }

    /// Writes the step as one transaction, and gives what it did.
    ///
    /// # Errors
    /// As [`Engine::apply`]; nothing of the step may be published then.
    pub fn commit(&mut self) -> Result<StepOutput, PipelineError> {
        let mut batch = Batch::default();
        for space in self.spaces.values_mut() {
            space.commit_watched(&mut batch, self.clock)?;
            space.dedupe.commit(&*self.store, &mut batch, self.clock)?;
            self.output.changes.append(&mut space.changes);
            self.output.figures += std::mem::take(&mut space.figures);
        }
        match self.firing {
            _ if self.firing == self.firing_stored => {}
            Some(until) => {
                let until = until.as_micros().to_be_bytes().to_vec();
                batch.put(Keyspace::Meta, FIRING.to_vec(), until);
            }
            None => batch.remove(Keyspace::Meta, FIRING.to_vec()),
        }
        batch.put(Keyspace::Meta, NEXT.to_vec(), self.next.to_be_bytes().to_vec());
        if self.config.rebuilt_before > 0 {
            let mut rebuilt = self.config.rebuilt_before.to_be_bytes().to_vec();
            rebuilt.extend_from_slice(&self.config.rebuilt_until.as_micros().to_be_bytes());
            batch.put(Keyspace::Meta, REBUILT_BEFORE.to_vec(), rebuilt);
        }
        batch.put(
            Keyspace::Meta,
            CLOCK.to_vec(),
            self.clock.as_micros().to_be_bytes().to_vec(),
        );
        self.commit_published(batch)?;
        self.share_memory();
        self.firing_stored = self.firing;
        self.output.to = self.next;
        self.output.clock = self.clock;
        let fresh = StepOutput {
            from: self.next,
            to: self.next,
            clock: self.clock,
            ..StepOutput::default()
        };
        Ok(std::mem::replace(&mut self.output, fresh))
    }

    /// Commits; definitions that are others than readers have are theirs from the same moment on.
    fn commit_published(&self, batch: Batch) -> Result<(), PipelineError> {
        let others: Vec<&Space> = {
            let published = self.published.read();
            let is_other = |space: &&Space| {
                let theirs = published.get(&space.id);
                theirs.is_none_or(|theirs| !Arc::ptr_eq(theirs, &space.definitions))
            };
            self.spaces.values().filter(is_other).collect()
        };
        if others.is_empty() {
            return Ok(self.store.commit(batch)?);
        }
        let mut published = self.published.write();
        self.store.commit(batch)?;
        for space in others {
            published.insert(space.id.clone(), Arc::clone(&space.definitions));
        }
        Ok(())
    }

    fn space(&mut self, id: &SpaceId) -> Result<&mut Space, PipelineError> {
        if !self.spaces.contains_key(id) {
            if let Some(other) = self.spaces.keys().find(|other| other.code() == id.code()) {
                return Err(PipelineError::storage(
                    "two spaces would share their keys",
                    format!("{id} and {other}: the catalog lets no such space be made"),
                ));
            }
            let mut space = Space::load(&*self.store, id)?;
            space.fired = self.clock;
            space.outbox_next = space.outbox_next.max(self.config.outbox_from);
            space.silent = self.next < self.config.rebuilt_before;
            space.silent_until = self.config.rebuilt_until;
            space.sent_names.begin(id, &mut space.writes);
            space.store_definitions()?;
            space.want_folds_again(&*self.store, self.config.folds.clone())?;
            self.spaces.insert(id.clone(), space);
        }
        self.spaces.get_mut(id).ok_or_else(|| PipelineError::corrupt("spaces"))
    }

    /// While a lost state is built again, what the records before its end change is not told.
    fn keep_silence(&mut self, sequence: u64) {
        let silent = sequence < self.config.rebuilt_before;
        self.spaces.values_mut().for_each(|space| space.silent = silent);
    }

    fn apply_envelope(&mut self, record: &Record, now: Timestamp) -> Result<(), PipelineError> {
        let cleaned = kith_clean::clean_record(record);
        if !cleaned.rejects.is_empty() {
            // The lake asks the state for the spaces there are: one that has sent nothing but rejects is one of them.
            self.space(&record.space)?;
        }
        self.output.rejects.extend(cleaned.rejects);
        let RecordBody::Envelope(envelope) = &record.body else {
            return Ok(());
        };
        let window = envelope.terms.dedupe_window();
        for event in cleaned.events {
            self.apply_event(event, window, now)?;
        }
        Ok(())
    }

    /// Takes rejects that are put through again: each claims its key for good, one without a message id as well, and none
    /// counts as happening live.
    fn apply_replay(&mut self, record: &Record, now: Timestamp) -> Result<(), PipelineError> {
        for event in kith_clean::clean_record(record).events {
            let claim = Claim {
                at: now,
                expires: Timestamp::MAX,
            };
            self.take_event(event, now, Some(claim), Cause::Import)?;
        }
        Ok(())
    }

    fn apply_event(&mut self, event: Event, window: Duration, now: Timestamp) -> Result<(), PipelineError> {
        let (expires, cause) = match event.origin {
            Origin::Live => (event.received_at + window, Cause::Event(event.key)),
            Origin::Import => (Timestamp::MAX, Cause::Import),
        };
        let at = event.received_at;
        let claim = event.message_id.is_some().then_some(Claim { at, expires });
        self.take_event(event, now, claim, cause)
    }

    /// Takes an event, once until its key expires, where it claims one. A replayed one asks as of the replay: earlier
    /// claims that have expired by then may be forgotten already.
    fn take_event(
        &mut self,
        event: Event,
        now: Timestamp,
        claim: Option<Claim>,
        cause: Cause,
    ) -> Result<(), PipelineError> {
        let store = Arc::clone(&self.store);
        let space = self.space(&event.space)?;
        if let Some(Claim { at, expires }) = claim
            && !space.dedupe.first(&*store, event.key, at, expires)?
        {
            let mut key = keys::space(&event.space);
            key.extend_from_slice(&event.address.to_bytes());
            space.writes.put(Keyspace::Duplicates, key, Vec::new());
            self.output.duplicates += 1;
            return Ok(());
        }
        let profile = space.take_event(&*store, &event, now, cause)?;
        self.output.event_count += 1;
        self.output.events.push(event);
        self.output.people.push(profile);
        Ok(())
    }

    /// Commits in the middle of a step: what was done stays with the open step, which is handed on as a whole.
    fn commit_inside(&mut self) -> Result<(), PipelineError> {
        self.output = self.commit()?;
        Ok(())
    }
}
