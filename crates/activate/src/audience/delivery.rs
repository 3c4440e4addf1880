//! One destination's turn: connected to its segments, then its waiting members told, then the changes of the outbox in their
//! order (contract SEG-5). What is told is decided a page at a time and written down, then sent until it is answered, and only then
//! is the next page decided: so what is told of a person arrives in order, and whom the receiver holds is known when it is decided.
//! It works with the ledger and the ports; the runner calls it from a thread of its own, and between any two steps the process may
//! die.

use super::batch::{self, Call, Page};
use super::comparing::Key;
use super::planning::{Known, Occasion, Planner};
use super::{AudiencePorts, Changes, DestinationDefinition, Posted, TrackingRequest};
use crate::engine::{Boundary, Engine, port_error};
use crate::error::ActivateError;
use crate::ledger::{Decided, Mark, Place, Progress, Source, Telling, WaitingMember};
use crate::ports::OUTBOX_BATCH;
use kith_segment::Change;
use kith_telemetry::Counter;
use kith_types::{Duration, SpaceId, Timestamp};
use std::sync::Arc;

/// How far reading may run ahead of the ledger's cursor while nothing is to be told.
const AHEAD_MAX: u64 = 4_096;
/// Members are compared with whom the destination holds once no more changes than so wait.
const NEAR_MAX: u64 = 10_000;
/// How often it is looked whether those whom a destination holds have another name by now.
const NAMES_EVERY: Duration = Duration::from_secs(6 * 3_600);
/// Those who are looked at at once.
const NAMES_AT_ONCE: usize = 500;
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
    cursor: Option<u64>,
    /// How far members were compared with whom the destination holds.
    pub(super) compared: Option<Key>,
    /// Whether what a crash left of a comparison that had ended is gone.
    is_swept: bool,
    /// How far it was looked who has another name by now, and when that was done last, or could have been for the first time.
    named: Option<Key>,
    named_at: Option<Timestamp>,
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
            compared: None,
            is_swept: false,
            named: None,
            named_at: None,
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
        if !self.is_swept && place.compare_at.is_none() {
            while engine.ledger.drop_compared(&self.space, &self.name)? {}
            self.is_swept = true;
        }
        let waiting = engine.ledger.tellings(&self.space, &self.name)?;
        if !waiting.is_empty() {
            return self.send(&job, waiting);
        }
        // Members first: what changed since they were written down comes after them.
        let waiting = engine.ledger.members(&self.space, &self.name, OUTBOX_BATCH / 2)?;
        match waiting.is_empty() {
            true => self.tell_changes(&job, &place),
            false => self.tell_members(&job, &place, waiting),
        }
    }

    /// Sends what is decided.
    fn send(&mut self, job: &Job<'_>, waiting: Vec<Telling>) -> Result<Turn, ActivateError> {
        let page = Page::of(&self.space, &job.definition, waiting);
        Ok(match self.post_page(job, &page)? {
            Went::Through => Turn::Worked,
            Went::Not => Turn::Idle,
        })
    }

    /// Decides what is told of members that wait.
    fn tell_members(
        &mut self,
        job: &Job<'_>,
        place: &Place,
        waiting: Vec<WaitingMember>,
    ) -> Result<Turn, ActivateError> {
        let mut planner = Planner::new(job, &self.space, &self.name);
        for member in waiting {
            let connected_at = place.segments.get(&member.segment).copied().unwrap_or_default();
            let occasion = Occasion {
                source: Source::Member(connected_at),
                segment: member.segment,
                profile: member.profile,
                at: member.since,
                cause: "connected",
            };
            if planner.enters(&occasion)? == Known::NotNow {
                break;
            }
            planner.decided.mark = Some(Mark::Member(member.id));
        }
        if planner.decided.mark.is_none() {
            return Ok(Turn::Idle);
        }
        job.engine.ledger.decide(&self.space, &self.name, &planner.decided)?;
        job.engine.reached(Boundary::TellingDecided)?;
        Ok(Turn::Worked)
    }

    /// Decides what is told of the next changes of the outbox.
    fn tell_changes(&mut self, job: &Job<'_>, place: &Place) -> Result<Turn, ActivateError> {
        let from = self.cursor.unwrap_or(0).max(place.next_number);
        if let Some(number) = place.compare_at
            && from >= number
        {
            return self.compare(job, place, number);
        }
        // While it cannot be looked at, nothing is lost.
        let Some(mut changes) = self.changes(job, from)? else {
            return Ok(Turn::Idle);
        };
        if changes.is_empty() || place.compare.is_some() {
            // Asked before the outbox is read again: what has a number below it is there, or is gone.
            let next = job.ports.audiences.next_number(&self.space);
            let next = next.map_err(|error| port_error("the outbox cannot be read", error))?;
            let Some(again) = self.changes(job, from)? else {
                return Ok(Turn::Idle);
            };
            changes = again;
            // Numbers that begin before what was told are those of another state.
            if changes.is_empty() && next != from {
                self.cursor = None;
                self.lose(job, place, from, next)?;
                return Ok(Turn::Worked);
            }
            let is_due = place.compare.is_some() && place.compare_at.is_none() && next <= from.saturating_add(NEAR_MAX);
            if is_due && changes.first().is_none_or(|(first, _)| *first == from) {
                self.write_compared(job, place)?;
                return Ok(Turn::Worked);
            }
        }
        let Some((first, _)) = changes.first() else {
            self.keep(job, place, from, 0)?;
            (self.failures, self.standing) = (0, Standing::default());
            return self.tell_names(job, place);
        };
        if *first > from {
            let found = *first;
            self.cursor = None;
            self.lose(job, place, from, found)?;
            return Ok(Turn::Worked);
        }
        let before = |number: u64| place.compare_at.is_none_or(|compare_at| number < compare_at);
        let mut planner = Planner::new(job, &self.space, &self.name);
        let mut end = from;
        for (number, change) in changes.iter().filter(|(number, _)| before(*number)) {
            let known = match wants(&job.definition, place, *number, change) {
                false => Known::Yes,
                true if change.entered => planner.enters(&Occasion::of_change(*number, change))?,
                true => planner.leaves(&Occasion::of_change(*number, change))?,
            };
            if known == Known::NotNow {
                break;
            }
            end = number + 1;
        }
        if planner.has_some() {
            planner.decided.mark = Some(Mark::Number(end));
            job.engine.ledger.decide(&self.space, &self.name, &planner.decided)?;
        } else {
            self.keep(job, place, end, AHEAD_MAX)?;
        }
        self.cursor = Some(end);
        job.engine.reached(Boundary::TellingDecided)?;
        Ok(if end > from { Turn::Worked } else { Turn::Idle })
    }

    fn changes(&self, job: &Job<'_>, from: u64) -> Result<Option<Vec<(u64, Change)>>, ActivateError> {
        let changes = job.engine.ports.outbox.changes_from(&self.space, from);
        let changes = changes.map_err(|error| port_error("the outbox cannot be read", error))?;
        let wanted = |changes: Vec<(u64, Change)>| changes.into_iter().filter(|(number, _)| *number >= from).collect();
        Ok(changes.map(wanted))
    }

    /// Looks, some at a time and now and then, whether those whom the destination holds have another name by now: a sign-in is
    /// no change of membership. It is done while nothing else is to be told.
    fn tell_names(&mut self, job: &Job<'_>, place: &Place) -> Result<Turn, ActivateError> {
        let now = job.engine.clock.now();
        let is_due = now >= *self.named_at.get_or_insert(now) + NAMES_EVERY;
        if job.definition.changes() != Changes::All || (!is_due && self.named.is_none()) {
            return Ok(Turn::Idle);
        }
        let held = job
            .engine
            .ledger
            .told_after(&self.space, &self.name, self.named.as_ref(), NAMES_AT_ONCE)?;
        let mut planner = Planner::new(job, &self.space, &self.name);
        let (mut last, mut whole) = (None, true);
        for (segment, profile, _) in held {
            let occasion = Occasion {
                source: Source::Compared(place.next_number),
                segment: segment.clone(),
                profile,
                at: now,
                cause: super::comparing::CAUSE,
            };
            if planner.stays(&occasion)? == Known::NotNow {
                whole = false;
                break;
            }
            last = Some((segment, profile));
        }
        if planner.has_some() {
            job.engine.ledger.decide(&self.space, &self.name, &planner.decided)?;
            job.engine.reached(Boundary::TellingDecided)?;
        }
        match (last, whole) {
            // Nobody is behind it: the next look is due a while from now.
            (None, true) => (self.named, self.named_at) = (None, Some(now)),
            (None, false) => {}
            (last, _) => {
                self.named = last;
                return Ok(Turn::Worked);
            }
        }
        Ok(Turn::Idle)
    }

    /// Writes down how far the outbox was read where the ledger is further behind than that.
    fn keep(&self, job: &Job<'_>, place: &Place, end: u64, ahead: u64) -> Result<(), ActivateError> {
        if end <= place.next_number.saturating_add(ahead) {
            return Ok(());
        }
        let decided = Decided {
            mark: Some(Mark::Number(end)),
            ..Decided::default()
        };
        job.engine.ledger.decide(&self.space, &self.name, &decided)
    }

    /// Posts a page batch by batch, and records how far that came.
    fn post_page(&mut self, job: &Job<'_>, page: &Page) -> Result<Went, ActivateError> {
        for calls in page.batches() {
            if self.post(job, calls)? == Went::Not {
                return Ok(Went::Not);
            }
        }
        let rest = page.rest();
        if !rest.answered.is_empty() || !rest.refusals.is_empty() {
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
