//! Traces: one request's way from the door through the log and the pipeline's step to the tables, for OpenTelemetry.
//!
//! Off until [`start_traces`]; then ended spans wait here, bounded, for whoever sends them ([`take_spans`]). The
//! stages know nothing of each other's spans: a request says which record it became, a step which records it took, a
//! commit how far the tables have come, and spans find their parents here by those numbers. What is remembered is
//! bounded; beyond the bound a trace ends early. No span carries a name, an address or any other word of a sender, and
//! nothing here opens a socket.

mod otlp;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The methods that are named; any word may stand in a request.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
/// Spans that wait to be sent; later ones are dropped.
const WAITING_MAX: usize = 8_192;
/// Requests that wait for their step, and steps that wait for their commit.
const REMEMBERED_MAX: usize = 4_096;
/// Steps that a request may still find when it learns late which record it became.
const STEPS_KEPT: usize = 64;
/// Requests of one step, or steps of one commit, that get a span of it.
const SPANS_A_STEP: usize = 32;

static TRACES: OnceLock<Traces> = OnceLock::new();

struct Traces {
    service: String,
    /// The share of requests that are followed, where the sender has not decided it.
    ratio: f64,
    ids: (RandomState, AtomicU64),
    waiting: Mutex<Vec<Span>>,
    followed: Mutex<Followed>,
}

/// Where a span belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    trace: u128,
    span: u64,
}

/// A span that has ended.
#[derive(Clone, Debug, PartialEq)]
struct Span {
    place: Place,
    parent: Option<u64>,
    name: String,
    is_server: bool,
    has_failed: bool,
    began: u64,
    ended: u64,
    words: Vec<(&'static str, String)>,
    figures: Vec<(&'static str, u64)>,
}

/// What is under way.
#[derive(Default)]
struct Followed {
    /// Requests by the record that they became.
    requests: BTreeMap<u64, Place>,
    steps: VecDeque<Step>,
    /// Spans of steps whose rows are not in the tables yet, by the end of the step.
    uncommitted: VecDeque<(u64, Place)>,
}

/// A committed step.
#[derive(Clone)]
struct Step {
    records: Range<u64>,
    events: u64,
    began: u64,
    ended: u64,
}

/// Makes spans from here on, for the service of that name. `ratio` is the share of requests that are followed, from 0 to
/// 1, where their `traceparent` does not say. Does nothing on a second call.
pub fn start_traces(service: &str, ratio: f64) {
    let _already = TRACES.set(Traces::new(service, ratio));
}

/// The spans that wait to be sent, as the body of an OTLP request in protobuf; nothing where none waits.
#[must_use]
pub fn take_spans() -> Option<Vec<u8>> {
    TRACES.get()?.take()
}

/// One request. Its span ends when this is dropped.
pub struct RequestSpan(Option<Box<Span>>);

impl RequestSpan {
    /// Begins the span of a request, beneath the one that its `traceparent` names, if it names one. `route` is as our
    /// own tables write it, never as it was asked.
    #[must_use]
    pub fn begin(method: &str, route: &str, traceparent: Option<&str>) -> Self {
        Self(
            TRACES
                .get()
                .and_then(|traces| traces.request(method, route, traceparent)),
        )
    }

    /// Begins a part of the request.
    #[must_use]
    pub fn part(&self, name: &'static str) -> PartSpan {
        let begun = self.0.as_ref().zip(TRACES.get());
        PartSpan(begun.map(|(span, traces)| Box::new(traces.child(name, span.place))))
    }

    /// Says which record the request became, so that the step that takes it belongs to its trace.
    pub fn became(&mut self, sequence: u64) {
        if let (Some(span), Some(traces)) = (&mut self.0, TRACES.get()) {
            span.figures.push(("kith.log.sequence", sequence));
            traces.became(sequence, span.place);
        }
    }

    /// Says how the request was answered.
    pub fn answered(&mut self, status: u16) {
        if let Some(span) = &mut self.0 {
            span.figures.push(("http.response.status_code", status.into()));
            span.has_failed = status >= 500;
        }
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        end(self.0.take());
    }
}

/// A part of a request; its span ends when this is dropped.
pub struct PartSpan(Option<Box<Span>>);

impl Drop for PartSpan {
    fn drop(&mut self) {
        end(self.0.take());
    }
}

fn end(span: Option<Box<Span>>) {
    if let (Some(mut span), Some(traces)) = (span, TRACES.get()) {
        span.ended = now();
        traces.keep(*span);
    }
}

/// When a step or a commit began; nothing where there are no traces.
#[must_use]
pub fn stage_begins() -> Option<u64> {
    TRACES.get().map(|_| now())
}

/// A step was committed that took those records.
pub fn step_committed(records: Range<u64>, events: usize, began: Option<u64>) {
    if let (Some(traces), Some(began)) = (TRACES.get(), began) {
        traces.step(Step {
            records,
            events: events as u64,
            began,
            ended: now(),
        });
    }
}

/// The tables have every record before `end`.
pub fn tables_committed(end: u64, began: Option<u64>) {
    if let (Some(traces), Some(began)) = (TRACES.get(), began) {
        traces.tables(end, began);
    }
}

impl Traces {
    fn new(service: &str, ratio: f64) -> Self {
        Self {
            service: service.to_owned(),
            ratio,
            ids: (RandomState::new(), AtomicU64::new(0)),
            waiting: Mutex::default(),
            followed: Mutex::default(),
        }
    }

    fn take(&self) -> Option<Vec<u8>> {
        let spans = std::mem::take(&mut *locked(&self.waiting));
        (!spans.is_empty()).then(|| otlp::encode(&self.service, &spans))
    }

    fn keep(&self, span: Span) {
        let mut waiting = locked(&self.waiting);
        if waiting.len() < WAITING_MAX {
            waiting.push(span);
        }
    }

    /// Never zero, which means that there is none.
    fn id(&self) -> u64 {
        self.ids.0.hash_one(self.ids.1.fetch_add(1, Ordering::Relaxed)).max(1)
    }

    fn request(&self, method: &str, route: &str, traceparent: Option<&str>) -> Option<Box<Span>> {
        let parent = traceparent.and_then(parse_traceparent);
        let trace = match parent {
            Some((place, is_followed)) => is_followed.then_some(place.trace)?,
            None => {
                let low = self.id();
                // The share of all numbers below it.
                ((low as f64) < self.ratio * u64::MAX as f64).then_some(())?;
                u128::from(self.id()) << 64 | u128::from(low)
            }
        };
        let known = METHODS.iter().find(|known| **known == method);
        let method = known.copied().unwrap_or("_OTHER");
        Some(Box::new(Span {
            place: Place { trace, span: self.id() },
            parent: parent.map(|(place, _)| place.span),
            name: format!("{method} {route}"),
            is_server: true,
            has_failed: false,
            began: now(),
            ended: 0,
            words: vec![
                ("http.request.method", method.to_owned()),
                ("http.route", route.to_owned()),
            ],
            figures: Vec::new(),
        }))
    }

    fn child(&self, name: &str, of: Place) -> Span {
        Span {
            place: Place {
                trace: of.trace,
                span: self.id(),
            },
            parent: Some(of.span),
            name: name.to_owned(),
            is_server: false,
            has_failed: false,
            began: now(),
            ended: 0,
            words: Vec::new(),
            figures: Vec::new(),
        }
    }

    fn became(&self, sequence: u64, request: Place) {
        let mut followed = locked(&self.followed);
        let step = followed.steps.iter().find(|step| step.records.contains(&sequence));
        match step.cloned() {
            // The step was quicker than the log's answer.
            Some(step) => self.step_of(&mut followed, request, &step),
            None => {
                followed.requests.insert(sequence, request);
                if followed.requests.len() > REMEMBERED_MAX {
                    followed.requests.pop_first();
                }
            }
        }
    }

    fn step(&self, step: Step) {
        let mut followed = locked(&self.followed);
        // What an earlier step did not take is not taken any more.
        let mut requests = followed.requests.split_off(&step.records.start);
        followed.requests = requests.split_off(&step.records.end);
        for request in requests.into_values().take(SPANS_A_STEP) {
            self.step_of(&mut followed, request, &step);
        }
        followed.steps.push_back(step);
        if followed.steps.len() > STEPS_KEPT {
            followed.steps.pop_front();
        }
    }

    fn step_of(&self, followed: &mut Followed, request: Place, step: &Step) {
        let mut span = self.child("step", request);
        (span.began, span.ended) = (step.began, step.ended);
        span.figures.push(("kith.step.events", step.events));
        followed.uncommitted.push_back((step.records.end, span.place));
        if followed.uncommitted.len() > REMEMBERED_MAX {
            followed.uncommitted.pop_front();
        }
        self.keep(span);
    }

    fn tables(&self, end: u64, began: u64) {
        let mut followed = locked(&self.followed);
        let (ready, later): (VecDeque<_>, _) = followed.uncommitted.drain(..).partition(|(step, _)| *step <= end);
        followed.uncommitted = later;
        drop(followed);
        for (_, step) in ready.into_iter().take(SPANS_A_STEP) {
            let mut span = self.child("publish", step);
            (span.began, span.ended) = (began, now());
            span.figures.push(("kith.tables.end", end));
            self.keep(span);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is only ever added to or taken from whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads W3C's header, `00-TRACE-SPAN-FLAGS`: the sender's span, and whether it is followed.
fn parse_traceparent(text: &str) -> Option<(Place, bool)> {
    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, length: usize| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let sound = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    // Later versions may say more behind what this one says; version ff is none.
    if !sound || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let place = Place {
        trace: u128::from_str_radix(trace, 16).ok().filter(|trace| *trace > 0)?,
        span: u64::from_str_radix(span, 16).ok().filter(|span| *span > 0)?,
    };
    Some((place, u8::from_str_radix(flags, 16).ok()? & 1 == 1))
}
