//! Who follows a pipeline: events while a step is open, and steps once they are committed.

use crate::output::StepOutput;
use kith_types::{Event, ProfileId};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// Who follows the pipeline; called on its thread.
pub trait Listener: Send {
    /// Events that count, in order, with their people. They are part of the open step, which is committed later or
    /// never.
    fn events(&mut self, events: &[Event], people: &[Option<ProfileId>]);

    /// The open step is gone: its events come again, as part of another one. The next step that is committed may begin
    /// behind the end of the last one that was told, where that was committed after all.
    fn begun_again(&mut self);

    /// A step is committed, with the events that came since the one before. Steps come in order; waiting here holds the
    /// pipeline back. False: nothing is needed any more.
    fn committed(&mut self, step: &Arc<StepOutput>) -> bool;
}

/// Who needs no events.
impl Listener for SyncSender<Arc<StepOutput>> {
    fn events(&mut self, _: &[Event], _: &[Option<ProfileId>]) {}

    fn begun_again(&mut self) {}

    fn committed(&mut self, step: &Arc<StepOutput>) -> bool {
        self.send(Arc::clone(step)).is_ok()
    }
}
