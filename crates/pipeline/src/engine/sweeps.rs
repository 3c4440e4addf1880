//! What goes on between records after a decision: changed rules are moved to their places, and people take the decision, or
//! what was said of an account of theirs, some in each turn.

use super::Engine;
use crate::PipelineError;
use crate::output::StepOutput;
use crate::space::Space;
use std::sync::Arc;

/// People swept before other work gets its turn. Tests take few at a time, as they do in all bounds whose edges would be
/// out of their reach.
const SWEPT_A_TURN: usize = if cfg!(test) { 2 } else { 2_000 };

/// How far a space's sweep after a decision has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepProgress {
    /// People visited; where history is folded elsewhere, how far that is counts for half of the way. It falls back to those who
    /// were visited where folds turn out not to be had.
    pub swept: u64,
    /// People there are.
    pub profiles: u64,
    /// Whether every segment has its members already: whoever is still to be visited stays as they are.
    pub is_live: bool,
}

impl Engine {
    /// Goes on with the sweeps after decisions; answers whether any is left. Commits first when the step holds
    /// anything, since a sweep reads the store; what was committed is added to `outputs`.
    ///
    /// # Errors
    /// As [`Engine::apply`].
    pub fn sweep(&mut self, outputs: &mut Vec<StepOutput>) -> Result<bool, PipelineError> {
        if !self.is_behind() {
            return Ok(false);
        }
        let mut can_go_on = self.store.is_moving();
        for space in self.spaces.values_mut().filter(|space| space.is_behind()) {
            can_go_on |= !(space.awaits_folds() || space.awaits_foresight()) || space.account_changes.is_busy();
        }
        if !can_go_on {
            // Records go on meanwhile.
            return Ok(false);
        }
        self.sweep_turn()?;
        let finished = StepOutput {
            from: self.next,
            to: self.next,
            clock: self.clock,
            ..StepOutput::default()
        };
        outputs.push(std::mem::replace(&mut self.output, finished));
        Ok(self.is_behind())
    }

    /// Whether changed rules are still moved to their places, or somebody has still to take a decision, or what was said of an
    /// account of theirs.
    fn is_behind(&self) -> bool {
        self.store.is_moving() || self.spaces.values().any(Space::is_behind)
    }

    /// Moves some of what changed rules have changed to its place. Answers whether there was anything.
    pub(super) fn move_some(&mut self) -> Result<bool, PipelineError> {
        let moved = self.store.after_moving_some()?;
        let any = moved.is_some();
        if let Some(store) = moved {
            self.store = Arc::new(store);
        }
        Ok(any)
    }

    /// Moves all of what changed rules have changed to its place: for a replay, in which nobody waits for a turn.
    ///
    /// # Errors
    /// As [`Engine::apply`].
    pub fn move_all(&mut self) -> Result<(), PipelineError> {
        if self.store.is_moving() {
            self.commit_inside()?;
        }
        while self.move_some()? {}
        Ok(())
    }

    /// Takes one turn of everything, from a committed state to a committed one. People of a space whose changed rules are still
    /// moved are swept after that.
    pub(super) fn sweep_turn(&mut self) -> Result<(), PipelineError> {
        self.commit_inside()?;
        self.move_some()?;
        for space in self.spaces.values_mut() {
            let awaits = space.awaits_folds_still() || space.awaits_foresight_still();
            if !awaits && self.store.moves_of() != Some(&space.id) {
                space.sweep_some(&*self.store, SWEPT_A_TURN, self.clock)?;
            }
            space.walk_accounts(&*self.store, SWEPT_A_TURN)?;
        }
        self.commit_inside()
    }
}
