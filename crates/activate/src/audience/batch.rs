//! Calls that are ready to be posted, cut into batches that a tracking API takes. It knows sizes and places; what a call says
//! and whether it was taken is decided elsewhere.

use super::DestinationDefinition;
use super::payload::{self, EVENT_BYTES_MAX};
use crate::ledger::{Answered, Progress, Refusal, Telling};
use kith_types::{SpaceId, Timestamp};

/// The most events of a batch, and the most bytes of its body: below the 2,500 and the 500 KB that the field takes.
pub(crate) const BATCH_EVENTS_MAX: usize = 1_000;
pub(crate) const BATCH_BYTES_MAX: usize = 480_000;

/// One event, and what was passed over on the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) json: String,
    /// What it tells.
    pub(crate) telling: Telling,
    /// Whether it is the last call of that.
    pub(crate) is_last: bool,
    pub(crate) before: Passed,
}

/// What was passed over without a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passed {
    /// What is not said, and what cannot be.
    pub(crate) answered: Vec<Answered>,
    /// Of these, whose event is larger than a tracking API takes.
    pub(crate) too_large: Vec<Refusal>,
}

/// What is told next as calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) calls: Vec<Call>,
    pub(crate) after: Passed,
}

impl Page {
    /// The calls that tell what waits, in its order.
    pub(crate) fn of(space: &SpaceId, definition: &DestinationDefinition, tellings: Vec<Telling>) -> Self {
        let mut page = Self::default();
        let forms = payload::forms(definition);
        for telling in tellings {
            let is_said = telling.said && definition.segments().has(&telling.segment);
            let events = forms.iter().filter(|_| is_said);
            let events = events.map(|form| payload::event(space, definition, &telling, *form));
            let (fitting, too_large): (Vec<_>, Vec<_>) = events.partition(|json| json.len() <= EVENT_BYTES_MAX);
            for _ in &too_large {
                let reason = format!("the event is larger than {EVENT_BYTES_MAX} bytes");
                page.after.too_large.push(refusal(&telling, reason));
            }
            if fitting.is_empty() {
                page.after.answered.push(Answered {
                    taken: !telling.said,
                    is_done: true,
                    telling,
                });
                continue;
            }
            let mut left = fitting.len();
            for json in fitting {
                left -= 1;
                page.calls.push(Call {
                    json,
                    telling: telling.clone(),
                    is_last: left == 0,
                    before: std::mem::take(&mut page.after),
                });
            }
        }
        page
    }

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
            sent: 0,
            answered: self.after.answered.clone(),
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
    let mut progress = Progress::default();
    for (call, at) in calls.iter().zip(0..) {
        progress.answered.extend(call.before.answered.iter().cloned());
        progress.refusals.extend(call.before.too_large.iter().cloned());
        let reason = refused.iter().find(|(index, _)| *index == at).map(|(_, reason)| reason);
        match reason {
            Some(reason) => progress.refusals.push(refusal(&call.telling, reason.clone())),
            None => progress.sent += 1,
        }
        progress.answered.push(Answered {
            telling: call.telling.clone(),
            taken: reason.is_none(),
            is_done: call.is_last,
        });
    }
    progress
}

fn refusal(telling: &Telling, reason: String) -> Refusal {
    Refusal {
        segment: telling.segment.clone(),
        profile: telling.profile,
        entered: telling.entered,
        changed_at: telling.at,
        reason,
    }
}
