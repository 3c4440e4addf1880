//! Changed rules of identity worked out beside the steps that go on (contracts IDN-2, SEG-2).
//!
//! The space as the rules to come have it is staged over a snapshot, on a thread of its own. Steps go on under the rules
//! before, and list which keys of who is who they write. What they took is then taken here, too: events are placed as the
//! new rules place them, and whatever else a step wrote is staged as it stood, so that what is staged over what stands is
//! what the new rules make of every event until then. That is gone over again until little is left; the rest
//! follows between two steps, when the decision is taken.

use super::{STEP, Staging, Trial, Work};
use crate::definitions::{DefinitionSet, Definitions};
use crate::published::Published;
use crate::rules_progress::RulesPart;
use crate::space::Space;
use crate::staged::{self, List, OF_PEOPLE};
use crate::vetoes::Veto;
use crate::{PipelineError, definition_history, keys};
use kith_state::{Keyspace, Read, Store};
use kith_types::{ProfileId, SpaceId, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// When so few keys were touched meanwhile, the rest waits for the decision.
const FEW: u64 = if cfg!(test) { 3 } else { 5_000 };
/// How often what was touched meanwhile is gone over at most: where steps write faster than it is taken, that never ends.
const ROUNDS_MAX: usize = 30;

/// A change of rules worked out over a snapshot, and what steps did since.
pub(crate) struct Beside {
    /// The space under the definitions to come. Nobody is evaluated in it.
    space: Space,
    before: Arc<Definitions>,
    stands: Box<dyn Read>,
    store: Arc<dyn Store>,
    /// The instant of the snapshot.
    now: Timestamp,
    /// The latest step of which everything is worked in.
    step: u64,
    called_off: Arc<AtomicBool>,
}

impl Beside {
    /// Begins at a committed state, with nothing staged. `after` and `set` are the definitions that there are to be.
    pub(crate) fn begin(
        store: &Arc<dyn Store>,
        id: &SpaceId,
        before: &Arc<Definitions>,
        (after, set): (Definitions, &DefinitionSet),
        now: Timestamp,
    ) -> Result<Self, PipelineError> {
        let stands = store.snapshot();
        Ok(Self {
            space: Space::to_try(&*stands, id, &(Arc::new(after), set))?,
            before: Arc::clone(before),
            stands,
            store: Arc::clone(store),
            now,
            step: 0,
            called_off: Arc::default(),
        })
    }

    /// Whether it is for these definitions.
    pub(crate) fn is_for(&self, space: &SpaceId, definitions: &Definitions) -> bool {
        let own = &self.space.definitions;
        self.space.id == *space
            && own.version == definitions.version
            && own.rules.fingerprint() == definitions.rules.fingerprint()
            && own.plan.ids() == definitions.plan.ids()
    }

    /// People there are under the definitions to come.
    pub(crate) fn profile_count(&self) -> u64 {
        self.space.profile_count
    }

    /// Whether a bound of identity kept anything out. What is kept out depends on what came first, and events are not placed here in
    /// the order in which they came: then it is worked out when the decision is taken.
    pub(crate) fn met_a_bound(&self) -> bool {
        self.space.figures.beyond_bounds > 0
    }

    /// Works it out over the snapshot.
    pub(crate) fn work_out(&mut self, published: &Published) -> Result<(), PipelineError> {
        let before = Arc::clone(&self.before);
        self.working(published, |space, work| space.work_out(work, &before))?;
        Ok(())
    }

    /// Takes what steps have done since, of those that are committed. Answers how many keys that were.
    pub(crate) fn catch_up(&mut self, published: &Published) -> Result<u64, PipelineError> {
        let live = self.store.snapshot();
        let since = self.step;
        let vetoes = definition_history::in_force(&*live, &self.space.id)?.vetoes;
        let (step, keys) = self.working(published, |space, work| {
            work.progress.enter(RulesPart::CatchingUp, 0);
            space.quiet = true;
            let mut caught = CaughtUp::default();
            // Events first: what they make of people here comes before what steps made of them.
            space.take_touched(work, &*live, Keyspace::Events, since, &mut caught, &mut |space, key| {
                space.place_touched(work, &*live, &key)
            })?;
            if vetoes != space.set.vetoes {
                space.take_vetoes_beside(work, vetoes)?;
            }
            for keyspace in OF_PEOPLE {
                space.take_touched(work, &*live, keyspace, since, &mut caught, &mut |space, key| {
                    space.leave_untouched(work, &*live, keyspace, key)
                })?;
            }
            space.leave_who_stands(work, &*live)?;
            space.quiet = false;
            Ok((caught.latest, caught.keys))
        })?;
        self.step = self.step.max(step);
        Ok(keys)
    }

    fn working<T>(
        &mut self,
        published: &Published,
        run: impl FnOnce(&mut Space, Work<'_>) -> Result<T, PipelineError>,
    ) -> Result<T, PipelineError> {
        let called_off = Arc::clone(&self.called_off);
        let go_on = || !called_off.load(Ordering::Acquire);
        let trial = Trial::new(&*self.stands, &*self.store, &go_on);
        let staging = Staging {
            stands: &trial,
            reader: &trial,
            writer: &*self.store,
            only: Some(&OF_PEOPLE),
        };
        let id = self.space.id.clone();
        let work = Work::new(staging, &id, &published.rules, self.now)?;
        run(&mut self.space, work)
    }
}

/// Takes a key that steps have touched.
type Take<'a> = dyn FnMut(&mut Space, Vec<u8>) -> Result<(), PipelineError> + 'a;

/// What one look at what steps have touched has come to.
#[derive(Default)]
struct CaughtUp {
    latest: u64,
    keys: u64,
}

impl Space {
    /// Goes over the keys of a tree that steps have touched since one of them.
    fn take_touched(
        &mut self,
        work: Work<'_>,
        live: &dyn Read,
        keyspace: Keyspace,
        since: u64,
        caught: &mut CaughtUp,
        take: &mut Take<'_>,
    ) -> Result<(), PipelineError> {
        let mut from = Some(Vec::new());
        while let Some(start) = from {
            let touched = staged::next_touched(live, &self.id, keyspace, &start, (since, STEP))?;
            caught.latest = caught.latest.max(touched.latest);
            caught.keys += touched.keys.len() as u64;
            from = touched.go_on_at;
            for key in touched.keys {
                take(self, key)?;
                work.progress.did(1);
                self.stage_when_full(work)?;
            }
            self.stage_step(work)?;
        }
        Ok(())
    }

    /// Places an event that a step has taken, as the definitions here place it. A step writes an event's row once.
    fn place_touched(&mut self, work: Work<'_>, live: &dyn Read, key: &[u8]) -> Result<(), PipelineError> {
        let Some(row) = live.get(Keyspace::Events, key)? else {
            return Ok(());
        };
        // The steps may write by a vocabulary that came after the snapshot.
        let event = self.history.history(live, &self.id).event(key, &row)?;
        self.place_event(&work.view, &event, work.now, self.definitions.cause)
    }

    /// Stages a key that a step has touched and nothing here has: as it stood before. Of a profile that stands on both sides
    /// the step's own record stays, since it says what was told and when its timer is due.
    fn leave_untouched(
        &mut self,
        work: Work<'_>,
        live: &dyn Read,
        keyspace: Keyspace,
        key: Vec<u8>,
    ) -> Result<(), PipelineError> {
        let staged = staged::staged_key(&self.id, keyspace, &key);
        let is_staged = work.reader.get(Keyspace::Staged, &staged)?.is_some();
        if keyspace == Keyspace::Profiles {
            let is_here = work.view.get(keyspace, &key)?.is_some();
            if is_here == live.get(keyspace, &key)?.is_some() {
                return Ok(());
            }
            let id = keys::wide_id(&key).ok_or_else(|| PipelineError::corrupt("profiles"))?;
            self.list_changed(ProfileId(id));
        }
        if is_staged {
            return Ok(());
        }
        let (stood, stands) = (work.stands.get(keyspace, &key)?, live.get(keyspace, &key)?);
        match stood {
            _ if stood == stands => {}
            Some(value) => self.writes.put(keyspace, key, value),
            None => self.writes.remove(keyspace, key),
        }
        Ok(())
    }

    /// Takes off the list who stands in the steps' state and here: what a step makes of them since is seen by what it touches,
    /// what is made of them here lists them again. Who was not there at the snapshot is left on it.
    fn leave_who_stands(&mut self, work: Work<'_>, live: &dyn Read) -> Result<(), PipelineError> {
        let mut from = Some(0);
        while let Some(start) = from {
            let some = staged::next_listed(work.reader, &self.id, List::Changed, start, STEP)?;
            from = some.last().and_then(|last| last.checked_add(1));
            for id in some {
                let key = keys::wide(&self.id, id);
                let stands_everywhere = work.stands.get(Keyspace::Profiles, &key)?.is_some()
                    && live.get(Keyspace::Profiles, &key)?.is_some()
                    && work.view.get(Keyspace::Profiles, &key)?.is_some();
                if stands_everywhere {
                    self.writes
                        .remove(Keyspace::Staged, staged::listed(&self.id, List::Changed, id));
                    let staged = staged::staged_key(&self.id, Keyspace::Profiles, &key);
                    self.writes.remove(Keyspace::Staged, staged);
                }
                self.stage_when_full(work)?;
            }
            self.stage_step(work)?;
        }
        Ok(())
    }

    /// Takes vetoes that were decided meanwhile.
    fn take_vetoes_beside(&mut self, work: Work<'_>, vetoes: BTreeSet<Veto>) -> Result<(), PipelineError> {
        let changed: Vec<_> = vetoes.symmetric_difference(&self.set.vetoes).cloned().collect();
        self.set.vetoes = vetoes;
        self.definitions = Arc::new(self.set.compile()?);
        self.forget_loaded();
        let concerned = self.concerned_by(&work.view, changed)?;
        for component in &concerned.components {
            self.revise(&work.view, *component, &concerned.events, work.now)?;
            self.stage_step(work)?;
        }
        Ok(())
    }
}

/// A change of rules on its way. Dropping it ends the work, and waits until nothing more is staged.
pub(crate) struct Preparing {
    pub(crate) space: SpaceId,
    called_off: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Beside, PipelineError>>>,
    done: Option<Box<Beside>>,
}

impl Preparing {
    /// Has a thread work it out.
    pub(crate) fn start(mut beside: Beside, published: Arc<Published>) -> Result<Self, PipelineError> {
        let (space, called_off) = (beside.space.id.clone(), Arc::clone(&beside.called_off));
        let thread = std::thread::Builder::new()
            .name("kith-rules".to_owned())
            .spawn(move || {
                let _under_way = published.rules.begin(&beside.space.id, RulesPart::Reading);
                beside.work_out(&published)?;
                for _ in 0..ROUNDS_MAX {
                    if beside.catch_up(&published)? <= FEW {
                        break;
                    }
                }
                Ok(beside)
            })
            .map_err(|error| PipelineError::storage("the thread that works out rules could not start", error))?;
        Ok(Self {
            space,
            called_off,
            thread: Some(thread),
            done: None,
        })
    }

    /// What was worked out otherwise than by a thread.
    #[cfg(test)]
    pub(crate) fn done(beside: Beside) -> Self {
        Self {
            space: beside.space.id.clone(),
            called_off: Arc::clone(&beside.called_off),
            thread: None,
            done: Some(Box::new(beside)),
        }
    }

    /// Whether nothing more is done before the decision is taken.
    pub(crate) fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What has come of it, once the thread has ended; nothing where it failed. The decision is taken then all the same, and
    /// says why where that fails, too.
    pub(crate) fn finish(mut self) -> Option<Box<Beside>> {
        let Some(thread) = self.thread.take() else {
            return self.done.take();
        };
        match thread.join() {
            Ok(Ok(beside)) => Some(Box::new(beside)),
            Ok(Err(error)) => {
                let error = kith_telemetry::error_chain(&error);
                tracing::warn!(space = %self.space, %error, "changed rules of identity could not be worked out beside the steps");
                None
            }
            Err(_) => {
                tracing::error!(space = %self.space, "working out changed rules of identity ended by a panic");
                None
            }
        }
    }
}

impl Drop for Preparing {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.called_off.store(true, Ordering::Release);
            // What it found, or why it ended, is nobody's any more.
            let _ended = thread.join();
        }
    }
}
