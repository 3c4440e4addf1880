//! One destination's turn: connected to its segments, then its waiting members told, then the changes of the outbox in their
//! order (contract SEG-5). One batch is under way at a time, so what is told of a person arrives in order. It works with the
//! ledger and the ports; the runner calls it from a thread of its own, and between any two steps the process may die.

use super::batch::{self, Call, Page};
use super::payload::{self, EVENT_BYTES_MAX, Named, Source};
use super::{AudiencePorts, Changes, DestinationDefinition, Posted, TrackingRequest};
use crate::engine::{Boundary, Engine, port_error};
use crate::error::ActivateError;
use crate::ledger::{Mark, Place, Progress, Refusal};
use crate::ports::{OUTBOX_BATCH, Reading};
use kith_segment::{Cause, Change};
use kith_telemetry::Counter;
use kith_types::{Duration, SpaceId, Timestamp};
use std::sync::Arc;

/// How far reading may run ahead of the ledger's cursor while nothing is to be told.
const AHEAD_MAX: u64 = 4_096;
/// The waits after failures: the first, which doubles, and the longest.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(300);
/// How often a request looks whether the server ends.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(50);

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There may be more to do at once.
    Worked,
    /// There is nothing to do until something changes or a wait is over.
    Idle,
    /// The destination is no more.
    Gone,
}

/// What holds a destination up, where something does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// In words for operators, without a name of a person.
    pub(crate) fault: Option<String>,
    /// When it is tried again.
    pub(crate) retry_at: Option<Timestamp>,
}

/// Whether a batch got through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    Through,
    Not,
}

/// Telling one destination, with what is known in between.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(super) space: SpaceId,
    pub(super) name: String,
    /// How far the outbox was read; it may be ahead of the ledger where nothing was to be told.
    cursor: Option<Mark>,
    failures: u32,
    standing: Standing,
    /// The definition of the latest turn.
    known: Option<Arc<DestinationDefinition>>,
}

/// What one turn works with.
pub(super) struct Job<'a> {
    pub(super) engine: &'a Engine,
    pub(super) ports: &'a AudiencePorts,
    pub(super) definition: Arc<DestinationDefinition>,
    write_key: String,
    pub(super) is_stopping: &'a (dyn Fn() -> bool + Sync),
}

impl Delivery {
    pub(crate) fn new(space: SpaceId, name: String) -> Self {
        Self {
            space,
            name,
            cursor: None,
            failures: 0,
            standing: Standing::default(),
            known: None,
        }
    }

    /// What holds it up.
    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Does what is to be done next.
    pub(crate) fn turn(
        &mut self,
        engine: &Engine,
        is_stopping: &(dyn Fn() -> bool + Sync),
    ) -> Result<Turn, ActivateError> {
        let Some(ports) = &engine.ports.audiences else {
            return Ok(Turn::Gone);
        };
        let in_force = ports.audiences.destinations(&self.space);
        let in_force = in_force.map_err(|error| port_error("destinations cannot be read", error))?;
        let Some(definition) = in_force.into_iter().find(|found| found.name() == self.name) else {
            return Ok(Turn::Gone);
        };
        if self.known.as_ref() != Some(&definition) {
            // What held up another definition may not hold up this one.
            (self.failures, self.standing) = (0, Standing::default());
            self.known = Some(Arc::clone(&definition));
        }
        let rests = self.standing.retry_at.is_some_and(|until| engine.clock.now() < until);
        if rests || engine.ledger.destination_paused(&self.space, &self.name)? {
            return Ok(Turn::Idle);
        }
        let key = definition.write_key();
        let Some(write_key) = ports.audiences.write_key(key) else {
            let variable = key.to_uppercase().replace('-', "_");
            self.standing.fault = Some(format!(
                "the server has no write key {key}: give it as KITH_WRITE_KEY_{variable}, or under write_keys of its file of settings"
            ));
            return Ok(Turn::Idle);
        };
        let job = Job {
            engine,
            ports,
            definition,
            write_key,
            is_stopping,
        };
        let place = self.connect(&job)?;
        // Members first: what changed since they were written down comes after them.
        match self.tell_members(&job, &place)? {
            Some(turn) => Ok(turn),
            None => self.tell_changes(&job, &place),
        }
    }

    /// Tells members that wait; `None` where nobody does.
    fn tell_members(&mut self, job: &Job<'_>, place: &Place) -> Result<Option<Turn>, ActivateError> {
        let waiting = job.engine.ledger.members(&self.space, &self.name, OUTBOX_BATCH / 2)?;
        let Some(last) = waiting.last() else {
            return Ok(None);
        };
        let mut page = Page {
            end: Some(Mark::Member(last.id)),
            ..Page::default()
        };
        for member in waiting {
            let connected_at = place.segments.get(&member.segment).copied().unwrap_or_default();
            let change = Change {
                segment: member.segment,
                profile: member.profile,
                entered: true,
                at: member.since,
                cause: Cause::Definition,
                approximate: false,
            };
            let source = Source::Member(connected_at);
            let marks = (Mark::Member(member.id - 1), Mark::Member(member.id));
            if !self.add_calls(job, &change, source, marks, &mut page)? {
                page.end = Some(marks.0);
                self.post_page(job, &page)?;
                return Ok(Some(Turn::Idle));
            }
        }
        Ok(Some(match self.post_page(job, &page)? {
            Went::Through => Turn::Worked,
            Went::Not => Turn::Idle,
        }))
    }

    /// Tells the next changes of the outbox.
    fn tell_changes(&mut self, job: &Job<'_>, place: &Place) -> Result<Turn, ActivateError> {
        let from = self.cursor.and_then(Mark::number).unwrap_or(0).max(place.next_number);
        let changes = job.engine.ports.outbox.changes_from(&self.space, from);
        let changes = changes.map_err(|error| port_error("the outbox cannot be read", error))?;
        let changes: Vec<_> = changes.into_iter().filter(|(number, _)| *number >= from).collect();
        let (Some((first, earliest)), Some((last, latest))) = (changes.first(), changes.last()) else {
            self.keep(job, place, self.mark(from), 0)?;
            (self.failures, self.standing) = (0, Standing::default());
            return Ok(Turn::Idle);
        };
        if *first > from {
            self.cursor = None;
            self.catch_up(job, place, from, (*first, earliest.at))?;
            return Ok(Turn::Worked);
        }
        let (mut end, mut whole) = (Mark::after(*last, latest.at), true);
        let mut page = Page::default();
        for (number, change) in &changes {
            if !wants(&job.definition, place, *number, change) {
                continue;
            }
            let marks = (Mark::before(*number), Mark::after(*number, change.at));
            if !self.add_calls(job, change, Source::Change(*number), marks, &mut page)? {
                (end, whole) = (marks.0, false);
                break;
            }
        }
        page.end = Some(end);
        if page.calls.is_empty() && page.after.nameless == 0 && page.after.too_large.is_empty() {
            self.keep(job, place, end, AHEAD_MAX)?;
            self.cursor = Some(end);
        } else if self.post_page(job, &page)? == Went::Not {
            return Ok(Turn::Idle);
        }
        Ok(if whole { Turn::Worked } else { Turn::Idle })
    }

    /// What was read up to a number, as far as is known.
    fn mark(&self, from: u64) -> Mark {
        match self.cursor {
            Some(cursor) if cursor.number() == Some(from) => cursor,
            _ => Mark::before(from),
        }
    }

    /// Writes down how far the outbox was read where the ledger is further behind than that.
    fn keep(&self, job: &Job<'_>, place: &Place, end: Mark, ahead: u64) -> Result<(), ActivateError> {
        let is_near = |number| number <= place.next_number.saturating_add(ahead);
        if end.number().is_none_or(is_near) {
            return Ok(());
        }
        let progress = Progress {
            mark: Some(end),
            ..Progress::default()
        };
        job.engine
            .ledger
            .progress(&self.space, &self.name, &progress, job.engine.clock.now())
    }

    /// Adds the calls that tell of a change. `marks` are how far it has come before and after it. Returns false, and adds
    /// nothing, where the person cannot be told apart at present.
    fn add_calls(
        &self,
        job: &Job<'_>,
        change: &Change,
        source: Source,
        marks: (Mark, Mark),
        page: &mut Page,
    ) -> Result<bool, ActivateError> {
        let reading = job.engine.ports.people.recipient(&self.space, change.profile);
        let recipient = match reading.map_err(|error| port_error("a person cannot be read", error))? {
            Reading::NotNow => return Ok(false),
            Reading::Nobody => None,
            Reading::Found(recipient) => Some(recipient),
        };
        let named = match recipient {
            // Merged into somebody who is in the segment: of that person it is not true that they left.
            Some(other)
                if other.profile != change.profile
                    && !change.entered
                    && other.membership(&change.segment).is_some() =>
            {
                return Ok(true);
            }
            Some(person) => (person.user_id.map(Named::User)).or(person.anonymous_id.map(Named::Anonymous)),
            None => None,
        };
        let Some(named) = named else {
            page.after.nameless += 1;
            return Ok(true);
        };
        let forms = payload::forms(&job.definition);
        for (form, left) in forms.iter().zip((0..forms.len()).rev()) {
            let json = payload::event(&self.space, &job.definition, change, source, &named, *form);
            let refusal = Refusal {
                segment: change.segment.clone(),
                profile: change.profile,
                entered: change.entered,
                changed_at: change.at,
                reason: format!("the event is larger than {EVENT_BYTES_MAX} bytes"),
            };
            if json.len() > EVENT_BYTES_MAX {
                page.after.too_large.push(refusal);
                continue;
            }
            page.calls.push(Call {
                json,
                mark: if left == 0 { marks.1 } else { marks.0 },
                refusal,
                before: std::mem::take(&mut page.after),
            });
        }
        Ok(true)
    }

    /// Posts a page batch by batch, and records how far that came.
    fn post_page(&mut self, job: &Job<'_>, page: &Page) -> Result<Went, ActivateError> {
        for calls in page.batches() {
            if self.post(job, calls)? == Went::Not {
                return Ok(Went::Not);
            }
        }
        let rest = page.rest();
        if rest.nameless > 0 || !rest.refusals.is_empty() || rest.mark != page.calls.last().map(|call| call.mark) {
            self.record(job, &rest)?;
        }
        Ok(Went::Through)
    }

    /// Posts a batch; where it is refused, each half, down to the events that are refused by themselves.
    fn post(&mut self, job: &Job<'_>, calls: &[Call]) -> Result<Went, ActivateError> {
        let engine = job.engine;
        // Asked before every request: a pause holds at once.
        if (job.is_stopping)() || engine.ledger.destination_paused(&self.space, &self.name)? {
            return Ok(Went::Not);
        }
        let request = TrackingRequest {
            endpoint: job.definition.endpoint().to_owned(),
            write_key: job.write_key.clone(),
            body: batch::body(calls, engine.clock.now()),
        };
        let posted = engine.block_on(while_running(job.ports.tracking.post(request), job.is_stopping));
        engine.reached(Boundary::Told)?;
        match posted {
            None => Ok(Went::Not),
            Some(Posted::Later(why, after)) => {
                self.failed(engine, why, after);
                Ok(Went::Not)
            }
            Some(Posted::Taken(refused)) => self.record(job, &batch::answered(calls, &refused)),
            Some(Posted::Refused(why)) if calls.len() == 1 => self.record(job, &batch::answered(calls, &[(0, why)])),
            Some(Posted::Refused(_)) => {
                let (first, second) = calls.split_at(calls.len() / 2);
                match self.post(job, first)? {
                    Went::Through => self.post(job, second),
                    Went::Not => Ok(Went::Not),
                }
            }
        }
    }

    fn record(&mut self, job: &Job<'_>, progress: &Progress) -> Result<Went, ActivateError> {
        let (space, destination) = (&self.space, &self.name);
        if let Some(latest) = progress.refusals.last() {
            let (refused, reason) = (progress.refusals.len(), &latest.reason);
            tracing::warn!(%space, destination, refused, reason, "changes of membership were refused for good");
        }
        if self.failures > 0 {
            tracing::info!(%space, destination, "a destination takes changes again");
        }
        (self.failures, self.standing) = (0, Standing::default());
        Counter::AudienceEventsSent.add(progress.sent);
        Counter::AudienceEventsRefused.add(progress.refusals.len() as u64);
        job.engine
            .ledger
            .progress(space, destination, progress, job.engine.clock.now())?;
        job.engine.reached(Boundary::ToldRecorded)?;
        Ok(Went::Through)
    }

    fn failed(&mut self, engine: &Engine, why: String, after: Option<std::time::Duration>) {
        let (space, destination) = (&self.space, &self.name);
        let doubled = 1_i64.checked_shl(self.failures.min(16)).unwrap_or(i64::MAX);
        let wait = Duration::from_micros(RETRY_FIRST.as_micros().saturating_mul(doubled)).min(RETRY_LONGEST);
        let asked = after.and_then(|after| i64::try_from(after.as_micros()).ok());
        let wait = wait.max(Duration::from_micros(asked.unwrap_or(0)));
        if self.failures == 0 {
            tracing::warn!(%space, destination, why, "a destination takes no changes at present: they wait");
        }
        Counter::AudienceRetries.increment();
        self.failures = self.failures.saturating_add(1);
        self.standing = Standing {
            fault: Some(why),
            retry_at: Some(engine.clock.now() + wait),
        };
    }
}

/// Whether a destination is to be told of a change.
fn wants(definition: &DestinationDefinition, place: &Place, number: u64, change: &Change) -> bool {
    let from = place.segments.get(&change.segment).copied().or(place.all_from);
    definition.segments().has(&change.segment)
        && from.is_some_and(|from| number >= from)
        && (definition.changes() == Changes::All || !change.entered || change.cause.is_live())
}

/// What a request comes to; `None` where the server ends before its answer.
async fn while_running<T>(request: impl Future<Output = T>, is_stopping: &(dyn Fn() -> bool + Sync)) -> Option<T> {
    let mut request = std::pin::pin!(request);
    loop {
        if let Ok(answer) = tokio::time::timeout(LOOK_EVERY, request.as_mut()).await {
            return Some(answer);
        }
        if is_stopping() {
            return None;
        }
    }
}
