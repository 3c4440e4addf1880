//! How much of the history one answer may read. It only counts; what the end of it means is for who asks.

use crate::{PipelineError, history};

/// Rows and bytes that are left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    events: usize,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(events: usize, bytes: usize) -> Self {
        Self { events, bytes }
    }

    /// Spends a row; whether there was room for it.
    pub(super) fn spend(&mut self, row: &[u8]) -> bool {
        match (
            self.events.checked_sub(1),
            self.bytes.checked_sub(history::said_bytes(row)),
        ) {
            (Some(events), Some(bytes)) => {
                *self = Self { events, bytes };
                true
            }
            _ => false,
        }
    }
}

/// As [`too_much`], of the accounts of a person.
pub(super) fn too_much_of_accounts(links: usize, calls: usize, megabytes: usize) -> PipelineError {
    PipelineError::limit(format!(
        "what is asked looks at the accounts of this person, which more than {links} events name, or of which more than {calls} \
         group calls or {megabytes} MiB of them speak, and that is more than one answer reads: ask clean.events in SQL"
    ))
}

/// What is asked needs more of the history than one answer may read.
pub(super) fn too_much(events: usize, megabytes: usize) -> PipelineError {
    PipelineError::limit(format!(
        "evidence connects this person with more than {events} events or {megabytes} MiB of them, which is more than one \
         answer reads: ask clean.events in SQL"
    ))
}
