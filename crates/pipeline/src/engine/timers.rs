//! Timers between records: what only time changes happens before the next record, in turns that are bounded, so that a
//! great many due at one instant are committed in many steps and hold as much memory as few do.

use super::Engine;
use crate::PipelineError;
use kith_types::{Record, Timestamp};

/// Timers fired before other work gets its turn. Tests take few at a time, as they do in all bounds whose edges would be
/// out of their reach.
const TIMERS_A_TURN: usize = if cfg!(test) { 2 } else { 5_000 };

impl Engine {
    /// Tells the engine that every record up to `now` has been taken: timers due before it fire, at most a bounded
    /// number of them. Answers whether all have.
    ///
    /// # Errors
    /// As [`Engine::apply`].
    pub fn advance(&mut self, now: Timestamp) -> Result<bool, PipelineError> {
        self.keep_silence(self.next);
        let all = self.fire_before(now)?;
        if all {
            self.clock = self.clock.max(now);
        }
        Ok(all)
    }

    /// Does a bounded part of what comes before a record: timers that are due fire, members of accounts are told, people
    /// take the decision before this one. Answers whether nothing is left. Whoever asks this before [`Engine::apply`] can
    /// hand on what was done between the turns; `apply` does what is left in one.
    ///
    /// # Errors
    /// As [`Engine::apply`].
    pub fn make_way(&mut self, record: &Record) -> Result<bool, PipelineError> {
        if record.address.sequence < self.next {
            return Ok(true);
        }
        self.keep_silence(record.address.sequence);
        if self.spaces.values().any(|space| space.account_changes.is_full()) {
            self.sweep_turn()?;
            return Ok(false);
        }
        let now = record.received_at.max(self.clock);
        if !self.fire_before(now)? {
            return Ok(false);
        }
        self.clock = now;
        if self.waits_for_turns(record) {
            if let Some(space) = self.spaces.get_mut(&record.space) {
                space.give_up_waiting();
            }
            self.sweep_turn()?;
            return Ok(false);
        }
        Ok(true)
    }

    pub(super) fn fire_before(&mut self, limit: Timestamp) -> Result<bool, PipelineError> {
        let mut all = true;
        for space in self.spaces.values_mut() {
            all &= space.fire_until(&*self.store, limit, TIMERS_A_TURN)?;
        }
        self.firing = (!all).then_some(limit);
        Ok(all)
    }
}
