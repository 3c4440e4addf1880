//! A body and the events in it.
//!
//! One walk over a body serves the doors (verdicts), raw (byte ranges) and cleaning (values). A fault inside one event
//! of a batch is that event's own: the walk finds the event's end by its brackets and goes on. It never judges an
//! event: `fields` does.

use crate::fields::EventError;
use crate::fields::{
    Fields, Moment, Violation, lenient_text, merge_violation, moment, read_event, utf8_violation, within_size,
};
use crate::json::{Build, JsonError, JsonFault, Reader, Reading, Skip};
use kith_types::{Limits, Route};
use std::borrow::Cow;
use std::ops::Range;

/// The most that all copies of a batch's context may come to, as a multiple of the largest batch.
const CONTEXT_COPIES_BATCHES_MAX: usize = 16;

/// Why a body as a whole is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BodyError {
    /// A fixed word for programs, such as `invalid_json`.
    pub code: &'static str,
    /// What is wrong and how to mend it.
    pub message: String,
    /// Where in the body; empty for the body itself.
    pub path: String,
}

impl BodyError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            path: String::new(),
        }
    }
}

impl From<Violation> for BodyError {
    fn from(Violation { code, message, path }: Violation) -> Self {
        Self { code, message, path }
    }
}

impl From<Box<JsonError>> for BodyError {
    fn from(error: Box<JsonError>) -> Self {
        Violation::from(error).into()
    }
}

/// Where the parts of a body stand, in bytes of the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// The events, rejected ones too, in the order of their index.
    pub events: Vec<Range<usize>>,
    /// The batch's `context`.
    pub context: Option<Range<usize>>,
    /// The batch's `integrations`.
    pub integrations: Option<Range<usize>>,
    /// The batch's `sentAt`.
    pub sent_at: Option<Range<usize>>,
    /// The batch's `writeKey`.
    pub write_key: Option<Range<usize>>,
}

/// What a door tells the sender of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Events found, rejected ones too.
    pub events: usize,
    /// Those that cleaning will reject, in the order of their index.
    pub rejected: Vec<Rejected>,
}

/// One event that is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the body, from 0.
    pub index: usize,
    /// Why.
    pub violation: Violation,
}

/// Finds the events of a body and the fields that stand beside them, without building values.
///
/// # Errors
/// [`BodyError`] when the body as a whole is rejected.
pub fn split(route: Route, body: &[u8], limits: &Limits) -> Result<Split, BodyError> {
    let body = Body::new(body);
    let mut events = Vec::new();
    let mut parts = walk::<Skip>(&body, route, limits, &mut |range, _| events.push(range))?.split;
    parts.events = events;
    Ok(parts)
}

/// Judges every event of a body as cleaning will, without building values.
///
/// # Errors
/// [`BodyError`] when the body as a whole is rejected.
pub fn inspect(route: Route, body: &[u8], limits: &Limits) -> Result<Inspection, BodyError> {
    let body = Body::new(body);
    let mut inspection = Inspection::default();
    walk::<Skip>(&body, route, limits, &mut |_, outcome| {
        if let Err(violation) = outcome {
            inspection.rejected.push(Rejected {
                index: inspection.events,
                violation,
            });
        }
        inspection.events += 1;
    })?;
    Ok(inspection)
}

/// The `writeKey` that a body names at its top, whatever else is wrong with it.
#[must_use]
pub fn write_key(body: &[u8]) -> Option<String> {
    let body = Body::new(body);
    let mut reader = Reader::new(&body.text);
    let mut found = None;
    let outcome = reader.members(0, |reader, key| {
        if key != "writeKey" {
            return reader.skip_by_brackets();
        }
        found = lenient_text(reader)?;
        Ok(())
    });
    // A body that breaks off is the walk's to report; a key that came before stands.
    drop(outcome);
    found.map(Cow::into_owned)
}

/// A body as text, with the places of the bytes that are not UTF-8: each is masked by one `?`, so that places stay.
pub(crate) struct Body<'a> {
    pub(crate) text: Cow<'a, str>,
    faults: Vec<usize>,
}

impl<'a> Body<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Self {
                text: Cow::Borrowed(text),
                faults: Vec::new(),
            };
        }
        let (mut text, mut faults) = (String::with_capacity(bytes.len()), Vec::new());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            for _ in chunk.invalid() {
                faults.push(text.len());
                text.push('?');
            }
        }
        Self {
            text: Cow::Owned(text),
            faults,
        }
    }

    fn faults_within(&self, range: &Range<usize>) -> &[usize] {
        let before = |place: usize| self.faults.partition_point(|fault| *fault < place);
        self.faults.get(before(range.start)..before(range.end)).unwrap_or(&[])
    }
}

/// What stands beside the events of a batch.
pub(crate) struct Beside<'b, B: Build> {
    pub(crate) split: Split,
    pub(crate) context: Option<B::Fields>,
    pub(crate) sent_at: Moment<'b>,
}

/// Takes the events of a body, each with its range and verdict.
pub(crate) type OnEvent<'f, 'b, B> = &'f mut dyn FnMut(Range<usize>, Result<Fields<'b, B>, Violation>);

/// Walks a body once. Where it fails, what `on_event` was told before counts for nothing.
pub(crate) fn walk<'b, B: Build>(
    body: &'b Body<'_>,
    route: Route,
    limits: &Limits,
    on_event: OnEvent<'_, 'b, B>,
) -> Result<Beside<'b, B>, BodyError> {
    if body.text.len() > limits.batch_bytes {
        let message = format!(
            "the body has {} bytes, more than the {} allowed; send smaller batches",
            body.text.len(),
            limits.batch_bytes
        );
        return Err(BodyError::new("body_too_large", message));
    }
    let mut walker = Walker {
        body,
        route,
        limits,
        on_event,
        events: 0,
        faults_in_events: 0,
        stopped: None,
    };
    let outcome = match route {
        Route::Batch | Route::Internal => walker.batch(),
        _ => walker.single(),
    };
    if let Some(stopped) = walker.stopped {
        return Err(stopped);
    }
    match body.faults.first() {
        Some(fault) if outcome.is_err() || walker.faults_in_events < body.faults.len() => {
            Err(utf8_violation(*fault).into())
        }
        _ => outcome,
    }
}

struct Walker<'f, 'b, B: Build> {
    body: &'b Body<'b>,
    route: Route,
    limits: &'f Limits,
    on_event: OnEvent<'f, 'b, B>,
    events: usize,
    faults_in_events: usize,
    stopped: Option<BodyError>,
}

impl<'b, B: Build> Walker<'_, 'b, B> {
    fn single(&mut self) -> Result<Beside<'b, B>, BodyError> {
        let mut reader = Reader::new(&self.body.text);
        self.element(&mut reader)?;
        reader.end()?;
        Ok(Beside {
            split: Split::default(),
            context: None,
            sent_at: Moment::Absent,
        })
    }

    fn batch(&mut self) -> Result<Beside<'b, B>, BodyError> {
        let mut reader = Reader::new(&self.body.text);
        let mut beside = Beside {
            split: Split::default(),
            context: None,
            sent_at: Moment::Absent,
        };
        let (mut has_batch, mut has_type, mut is_merge) = (false, false, false);
        let mut misplaced = None;
        reader.members(0, |reader, key| {
            reader.peek();
            let from = reader.at;
            match key {
                "batch" => {
                    has_batch = true;
                    if reader.peek() == Some(b'[') {
                        return reader.elements(1, |reader| self.element(reader));
                    }
                    misplaced = Some(("batch", "a list of events"));
                    reader.value::<Skip>(1)?;
                }
                "context" => {
                    beside.context = match reader.peek() {
                        Some(b'{') => Some(reader.object::<B>(1)?),
                        other => {
                            if !matches!(other, Some(b'n' | b'[')) {
                                misplaced = Some(("context", "an object"));
                            }
                            reader.value::<Skip>(1).map(|()| None)?
                        }
                    };
                    beside.split.context = Some(from..reader.at);
                }
                "sentAt" => {
                    beside.sent_at = moment(reader)?;
                    beside.split.sent_at = Some(from..reader.at);
                }
                _ => {
                    reader.value::<Skip>(1)?;
                    match key {
                        "integrations" => beside.split.integrations = Some(from..reader.at),
                        "writeKey" => beside.split.write_key = Some(from..reader.at),
                        "type" => has_type = true,
                        "mergeProperties" => is_merge = true,
                        _ => {}
                    }
                }
            }
            Ok(())
        })?;
        reader.end()?;
        if has_batch {
            self.bound_context(&beside.split)?;
            return match misplaced {
                Some((key, form)) => Err(Violation::new("invalid_field", key, format!("{key} must be {form}")).into()),
                None => Ok(beside),
            };
        }
        if is_merge {
            return Err(merge_violation().into());
        }
        if has_type {
            // One event that stands alone where a batch may stand.
            return self.single();
        }
        Err(BodyError::new(
            "missing_batch",
            "the body must hold its events in a list named batch",
        ))
    }

    /// A batch's context is copied into each of its events, so what the copies come to has a limit too.
    fn bound_context(&self, split: &Split) -> Result<(), BodyError> {
        let context_bytes = split.context.as_ref().map_or(0, Range::len);
        let copies_max = self.limits.batch_bytes.saturating_mul(CONTEXT_COPIES_BATCHES_MAX);
        if context_bytes <= self.limits.event_bytes && context_bytes.saturating_mul(self.events) <= copies_max {
            return Ok(());
        }
        let message = format!(
            "the batch's context has {context_bytes} bytes for each of {} events; send less in it, or smaller batches",
            self.events
        );
        Err(BodyError {
            path: "context".to_owned(),
            ..BodyError::new("context_too_large", message)
        })
    }

    /// Takes the event that comes next.
    fn element(&mut self, reader: &mut Reader<'b>) -> Reading<()> {
        if self.events >= self.limits.batch_events {
            let message = format!(
                "the batch has more than the {} events allowed; send smaller batches",
                self.limits.batch_events
            );
            self.stopped = Some(BodyError::new("too_many_events", message));
            return reader.fault(JsonFault::Expected("fewer events"));
        }
        reader.peek();
        let (from, keys_held) = (reader.at, reader.keys_held());
        let mut outcome = match read_event::<B>(reader, self.route) {
            Ok(fields) => Ok(fields),
            Err(EventError::Rule(violation)) => Err(violation),
            Err(EventError::Json(error)) => {
                reader.forget_keys(keys_held);
                reader.at = from;
                if reader.skip_by_brackets().is_err() || reader.at == from {
                    // Nothing bounds the event, so the fault is the body's.
                    return Err(error);
                }
                Err(error.into())
            }
        };
        let range = from..from + self.body.text[from..reader.at].trim_ascii_end().len();
        if let [fault, others @ ..] = self.body.faults_within(&range) {
            self.faults_in_events += 1 + others.len();
            outcome = Err(utf8_violation(*fault));
        }
        if outcome.is_ok() {
            outcome = within_size(range.len(), self.limits).and(outcome);
        }
        self.events += 1;
        (self.on_event)(range, outcome);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
