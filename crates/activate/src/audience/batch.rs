//! Calls that are ready to be posted, cut into batches that a tracking API takes. It knows sizes and places; what a call says
//! and whether it was taken is decided elsewhere.

use crate::ledger::{Mark, Progress, Refusal};
use kith_types::Timestamp;

/// The most events of a batch, and the most bytes of its body: below the 2,500 and the 500 KB that the field takes.
pub(crate) const BATCH_EVENTS_MAX: usize = 1_000;
pub(crate) const BATCH_BYTES_MAX: usize = 480_000;

/// One event, and what was passed over on the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) json: String,
    /// How far the destination has come once it is answered.
    pub(crate) mark: Mark,
    /// What is kept of it where it is refused; the reason is still to come.
    pub(crate) refusal: Refusal,
    pub(crate) before: Passed,
}

/// Changes that were passed over without a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passed {
    /// Of people whom nothing names.
    pub(crate) nameless: u64,
    /// Whose event is larger than a tracking API takes.
    pub(crate) too_large: Vec<Refusal>,
}

/// A page of calls, and how far the destination has come when all are answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) calls: Vec<Call>,
    pub(crate) after: Passed,
    pub(crate) end: Option<Mark>,
}

impl Page {
    /// The calls in batches, each within the limits.
    pub(crate) fn batches(&self) -> Vec<&[Call]> {
        let (mut batches, mut from, mut bytes) = (Vec::new(), 0, 0);
        for (call, at) in self.calls.iter().zip(0..) {
            if at > from && (at - from >= BATCH_EVENTS_MAX || bytes + call.json.len() > BATCH_BYTES_MAX) {
                batches.push(&self.calls[from..at]);
                (from, bytes) = (at, 0);
            }
            bytes += call.json.len() + 1;
        }
        if from < self.calls.len() {
            batches.push(&self.calls[from..]);
        }
        batches
    }

    /// What remains to be recorded once every call is answered.
    pub(crate) fn rest(&self) -> Progress {
        Progress {
            mark: self.end,
            sent: 0,
            nameless: self.after.nameless,
            refusals: self.after.too_large.clone(),
        }
    }
}

/// The body of a batch.
pub(crate) fn body(calls: &[Call], sent_at: Timestamp) -> String {
    let events: Vec<&str> = calls.iter().map(|call| call.json.as_str()).collect();
    format!(r#"{{"batch":[{}],"sentAt":"{sent_at}"}}"#, events.join(","))
}

/// What a batch came to that was answered, but for the events that were refused, each with the reason.
pub(crate) fn answered(calls: &[Call], refused: &[(usize, String)]) -> Progress {
    let mut progress = Progress {
        mark: calls.last().map(|call| call.mark),
        ..Progress::default()
    };
    for (call, at) in calls.iter().zip(0..) {
        progress.nameless += call.before.nameless;
        progress.refusals.extend(call.before.too_large.iter().cloned());
        match refused.iter().find(|(index, _)| *index == at) {
            Some((_, reason)) => progress.refusals.push(Refusal {
                reason: reason.clone(),
                ..call.refusal.clone()
            }),
            None => progress.sent += 1,
        }
    }
    progress
}
