//! From the pipeline's thread to the publishing thread: steps, with the rows of their events.
//!
//! Rows are made on the pipeline's thread, event by event, while an event lies in the processor's caches; then the event is
//! freed where it was made. Made later, from events that wait in a queue, the same rows take several times as long.

use kith_lake::LakeError;
use kith_lake::rows::{EventBatch, EventRows};
use kith_pipeline::{Listener, StepOutput};
use kith_types::{Event, ProfileId, SpaceId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// A committed step, and the rows of its events by space.
#[derive(Debug)]
pub struct Step {
    /// What the step did.
    pub output: Arc<StepOutput>,
    /// The rows; an error is a defect, and the records are taken from the log again.
    pub rows: Result<Vec<(SpaceId, EventBatch)>, LakeError>,
    /// Whether the pipeline has begun again before it: steps may have been committed that nobody was told of.
    pub begun_again: bool,
}

/// Makes rows of the events of the open step, and hands them on with the step.
pub struct StepRows {
    spaces: BTreeMap<SpaceId, EventRows>,
    steps: SyncSender<Step>,
    begun_again: bool,
}

/// A listener for the pipeline, and what [`crate::Publisher`] takes from it. A queue of so many steps holds the pipeline
/// back.
#[must_use]
pub fn steps(waiting: usize) -> (StepRows, Receiver<Step>) {
    let (steps, inbox) = sync_channel(waiting);
    let spaces = BTreeMap::new();
    let begun_again = false;
    let rows = StepRows {
        spaces,
        steps,
        begun_again,
    };
    (rows, inbox)
}

impl Listener for StepRows {
    fn events(&mut self, events: &[Event], _: &[Option<ProfileId>]) {
        for event in events {
            match self.spaces.get_mut(&event.space) {
                Some(rows) => rows.push(event),
                None => self.spaces.entry(event.space.clone()).or_default().push(event),
            }
        }
    }

    fn begun_again(&mut self) {
        self.spaces.clear();
        self.begun_again = true;
    }

    fn committed(&mut self, step: &Arc<StepOutput>) -> bool {
        // A space without rows gives its buffers back.
        self.spaces.retain(|_, rows| !rows.is_empty());
        // Every space is finished, also where one of them fails: no row stays for the step to come.
        let rows = self
            .spaces
            .iter_mut()
            .map(|(space, rows)| (space.clone(), rows.finish()));
        let rows: Vec<_> = rows.collect();
        let rows = rows.into_iter().map(|(space, batch)| Ok((space, batch?))).collect();
        let output = Arc::clone(step);
        let begun_again = std::mem::take(&mut self.begun_again);
        let step = Step {
            output,
            rows,
            begun_again,
        };
        self.steps.send(step).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn col_3_the_first_step_after_a_failure_says_so_and_the_open_one_is_gone() {
        let (mut rows, inbox) = steps(4);
        let step = Arc::new(StepOutput::default());
        rows.spaces.insert(SpaceId::main(), EventRows::default());
        rows.begun_again();
        assert!(rows.spaces.is_empty(), "its events come again");
        let mut told = || {
            assert!(rows.committed(&step));
            inbox.recv().unwrap().begun_again
        };
        assert_eq!([told(), told()], [true, false]);
    }
}
