//! Whom a decision changes, found out before anybody takes it: so a segment is right long before everybody has been visited
//! (contract SEG-4).
//!
//! A sweep visits everybody, and most people only learn that a decision changes nothing of theirs. Where there are many people,
//! another thread first asks all of them in a snapshot, by the code that keeps segments live: who is a member of a segment that asks
//! something else than before, who may become one as time passes, and who was one. The sweep visits those first. After that every
//! segment has its members, and what is left of the sweep changes none.
//!
//! That thread puts together of a person what is asked, from parts that it reads in their order, which costs a fraction of putting
//! the whole person together. So what it found out is what they become at the first visit (`take_foreseen`): their memberships, and a timer.
//! Their parts, and segments that the decision does not concern, are left to a second visit, as of everybody else. It holds as long as nothing
//! has happened to them since, which their record says: whoever is touched by an event or a timer takes the decision with it, whole.

use crate::definitions::Definitions;
use crate::folds::{Awaited, MadeElsewhere};
use crate::reads::{Foreseen, Foresight, foresee};
use crate::space::Space;
use crate::{PipelineError, threads};
use kith_state::{Read, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Whom a sweep visits first.
#[derive(Default)]
pub(crate) enum VisitedFirst {
    /// Nobody: everybody is visited in the order of their ids.
    #[default]
    Nobody,
    /// To be found out, once folds that people lack are there.
    Wanted(Box<Foresight>),
    /// It is being found out.
    Looking(Looking),
    /// These, from the last one to the first.
    These(Foreseen),
    /// They have been visited: nobody who is left changes.
    Done,
}

/// A thread that finds it out.
pub(crate) struct Looking {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Option<Foreseen>, PipelineError>>>,
}

impl Space {
    /// Has a sweep that begins visit first whom the decision changes, where that pays.
    pub(crate) fn want_foresight(&mut self, before: &Definitions, made: Option<&MadeElsewhere>) {
        let many = made.is_some_and(|made| self.profile_count >= made.from_people);
        let foresight = many.then(|| Foresight::between(before, &self.definitions)).flatten();
        self.visited_first = foresight.map_or(VisitedFirst::Nobody, |foresight| {
            VisitedFirst::Wanted(Box::new(foresight))
        });
    }

    /// Whether the sweep has to wait until it is known whom it visits first, asking whether it is.
    pub(crate) fn awaits_foresight(&mut self) -> bool {
        let VisitedFirst::Looking(looking) = &mut self.visited_first else {
            return false;
        };
        if !looking.is_done() {
            return true;
        }
        let found = looking.finish();
        self.visited_first = match found {
            Ok(Some(foreseen)) => {
                let people = foreseen.people.len();
                let answered = foreseen.people.iter().filter(|named| named.answer.is_some()).count();
                tracing::info!(space = %self.id, people, answered, of = self.profile_count, "it is known whom a decision changes");
                VisitedFirst::These(foreseen)
            }
            Ok(None) => VisitedFirst::Nobody,
            Err(error) => {
                let error = kith_telemetry::error_chain(&error);
                tracing::warn!(space = %self.id, %error, "whom a decision changes could not be found out: everybody is visited in turn");
                VisitedFirst::Nobody
            }
        };
        false
    }

    /// Whether the sweep had to wait for that when it was last asked.
    pub(crate) fn awaits_foresight_still(&self) -> bool {
        matches!(self.visited_first, VisitedFirst::Looking(_))
    }

    /// Begins to find it out, from a committed state, where that is still to be done and folds need not be waited for.
    pub(crate) fn look_ahead(&mut self, store: &dyn Store) {
        let mut foresight = match std::mem::take(&mut self.visited_first) {
            VisitedFirst::Wanted(foresight) => foresight,
            other => {
                self.visited_first = other;
                return;
            }
        };
        foresight.folds = self.awaited.as_ref().and_then(Awaited::ready).cloned();
        self.visited_first = match Looking::start(store.snapshot(), self.id.clone(), *foresight) {
            Ok(looking) => VisitedFirst::Looking(looking),
            Err(error) => {
                tracing::warn!(space = %self.id, %error, "a thread that looks ahead of a sweep could not start");
                VisitedFirst::Nobody
            }
        };
    }

    /// The next of those who are visited first; nothing once all have been. Somebody may have become one with another since.
    pub(crate) fn next_of_first(&mut self, budget: usize) -> Option<Foreseen> {
        let VisitedFirst::These(Foreseen { people, concerned }) = &mut self.visited_first else {
            return None;
        };
        if people.is_empty() {
            self.visited_first = VisitedFirst::Done;
            return None;
        }
        let mut next = people.split_off(people.len().saturating_sub(budget));
        next.reverse();
        Some(Foreseen {
            people: next,
            concerned: Arc::clone(concerned),
        })
    }

    /// Whether whoever the sweep has still to visit is where the definitions put them.
    pub(crate) fn has_visited_first(&self) -> bool {
        matches!(self.visited_first, VisitedFirst::Done)
    }
}

impl Looking {
    fn start(snapshot: Box<dyn Read>, space: kith_types::SpaceId, foresight: Foresight) -> std::io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let called_off = Arc::clone(&over);
        let threads = threads::available();
        let thread = std::thread::Builder::new()
            .name("kith-foresight".to_owned())
            .spawn(move || {
                let go_on = || !called_off.load(Ordering::Acquire);
                foresee(&*snapshot, &space, &foresight, threads, &go_on)
            })?;
        Ok(Self {
            over,
            thread: Some(thread),
        })
    }

    /// Whether it has ended. Tests wait for it, so that they know what is done when.
    fn is_done(&self) -> bool {
        cfg!(test) || self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn finish(&mut self) -> Result<Option<Foreseen>, PipelineError> {
        let ended = self.thread.take().map(JoinHandle::join);
        ended.unwrap_or(Ok(Ok(None))).unwrap_or_else(|_| {
            let panicked = "the thread ended by a panic";
            Err(PipelineError::storage("people could not be asked", panicked))
        })
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.over.store(true, Ordering::Release);
            // It reads a snapshot, which goes with it.
            let _ended = thread.join();
        }
    }
}
