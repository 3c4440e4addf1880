//! Follows one visitor's events through the stages, for the shop page.
//!
//! It listens to the live tail for the anonymous id that the page presents, and to changes of that id's profile; nothing
//! of anybody else is told. What the tail does not say (the original bytes, the person, how long a membership lasts) is
//! read from the log and the live state.

use super::stages::{
    Arrival, Moved, Seen, Stage, TailChange, TailEvent, TailMessage, caused_by, membership, profile, raw, why_in,
    why_out,
};
use crate::server::Parts;
use kith_api::RawJson;
use kith_api::ports::TailKind;
use kith_pipeline::PersonDocument;
use kith_segment::Explanation;
use kith_testkit::world::SOURCES;
use kith_types::{Address, Event, IdentifierType, ProfileId, Record, SegmentName, SpaceId, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::Sender;

/// How long after the visitor's last event memberships are looked at once more: a step tells its changes within less.
const SETTLES_AFTER: Duration = Duration::from_millis(30);
/// Events that a change may be told with.
const PENDING_MAX: usize = 64;
/// Events before this connection that are told again.
const EVENTS_AGAIN: usize = 6;
/// Bytes read of the log for one record.
const RECORD_BYTES: usize = 1;

/// The page went away.
pub(super) struct Gone;

/// What the live tail says.
struct Heard {
    kind: TailKind,
    body: RawJson,
    profile: Option<ProfileId>,
}

/// One visitor on one connection.
pub(super) struct Follower {
    parts: Arc<Parts>,
    space: SpaceId,
    anonymous_id: String,
    told: Sender<Arrival>,
    profile: Option<ProfileId>,
    /// The segments that the page knows the visitor to be in, and until when.
    stays: BTreeMap<SegmentName, Option<Timestamp>>,
    /// Events whose changes may still come.
    pending: Vec<Seen>,
}

impl Follower {
    /// A follower of an anonymous id that tells into a channel.
    pub(super) fn new(parts: Arc<Parts>, anonymous_id: String, told: Sender<Arrival>) -> Self {
        let (space, stays) = (SpaceId::main(), BTreeMap::new());
        Self {
            parts,
            space,
            anonymous_id,
            told,
            profile: None,
            stays,
            pending: Vec::new(),
        }
    }

    /// Follows until the page goes away or the server ends.
    pub(super) async fn run(mut self) {
        // From before the present is told, so that nothing falls between.
        let mut items = self.parts.tail.subscribe();
        if self.tell_present().await.is_err() {
            return;
        }
        let told = self.told.clone();
        loop {
            let settled = !self.pending.is_empty();
            let outcome = tokio::select! {
                () = told.closed() => return,
                item = items.recv() => match item {
                    Ok(item) if item.space == self.space => {
                        self.take(Heard { kind: item.kind, body: item.body, profile: item.profile }).await
                    }
                    Ok(_) => Ok(()),
                    // What was missed is in the memberships.
                    Err(RecvError::Lagged(_)) => self.settle().await,
                    Err(RecvError::Closed) => return,
                },
                () = tokio::time::sleep(SETTLES_AFTER), if settled => self.settle().await,
            };
            if outcome.is_err() {
                return;
            }
        }
    }

    /// Tells the latest events again, and the segments that the visitor is in now.
    async fn tell_present(&mut self) -> Result<(), Gone> {
        let name = format!("anonymous_id:{}", self.anonymous_id);
        let person = self
            .read(move |parts, space, now| parts.reads.person(space, &name, now).ok().flatten())
            .await;
        let Some(person) = person else { return Ok(()) };
        self.profile = Some(person.id);
        let name = person.id.to_string();
        let events =
            self.read(move |parts, space, _| parts.reads.events(space, &name, None, EVENTS_AGAIN).ok().flatten());
        let mut events = events.await.unwrap_or_default();
        events.retain(|event| self.did(event));
        for event in events.iter().rev() {
            let seen = Seen {
                message_id: event
                    .message_id
                    .as_deref()
                    .map_or_else(|| event.address.to_string(), str::to_owned),
                name: event.name.to_string(),
                event_type: event.event_type.as_str().to_owned(),
            };
            self.tell_raw(&seen, event.address, event.received_at).await?;
            let clean = serde_json::json!({
                "type": event.event_type.as_str(), "event": &*event.name, "source": event.source.as_str(),
                "messageId": event.message_id, "eventTime": event.event_time.to_string(),
                "receivedAt": event.received_at.to_string(), "address": event.address.to_string(),
                "properties": RawJson::from(&event.properties), "traits": RawJson::from(&event.traits),
            });
            self.tell(Stage::Clean, event.received_at, seen.clone(), RawJson::of(&clean))
                .await?;
            self.tell(Stage::Profile, event.received_at, seen, profile(&person))
                .await?;
        }
        self.compare(person).await
    }

    /// Whether the visitor sent it, from this browser.
    fn did(&self, event: &Event) -> bool {
        let mut ids = event
            .identifiers
            .iter()
            .filter(|held| held.kind == IdentifierType::AnonymousId);
        ids.any(|held| *held.value == *self.anonymous_id) && SOURCES.contains(&event.source.as_str())
    }

    async fn take(&mut self, heard: Heard) -> Result<(), Gone> {
        let is_mine = heard.profile.is_some() && heard.profile == self.profile;
        match heard.kind {
            // Most events are other people's: looking for the id is cheaper than reading them.
            TailKind::Event if heard.body.as_text().contains(&self.anonymous_id) => self.take_event(heard.body).await,
            TailKind::Membership if is_mine => self.take_change(&heard.body).await,
            TailKind::Message if is_mine => self.take_message(heard.body).await,
            _ => Ok(()),
        }
    }

    async fn take_event(&mut self, body: RawJson) -> Result<(), Gone> {
        let Ok(event) = serde_json::from_str::<TailEvent>(body.as_text()) else {
            return Ok(());
        };
        // What the server says of its messages is no doing of the visitor's.
        if event.anonymous_id.as_deref() != Some(&self.anonymous_id) || !SOURCES.contains(&event.source.as_str()) {
            return Ok(());
        }
        let seen = event.seen();
        let (Ok(address), Ok(received_at)) = (event.address.parse(), Timestamp::parse(&event.received_at)) else {
            return Ok(());
        };
        self.tell_raw(&seen, address, received_at).await?;
        self.tell(Stage::Clean, self.parts.clock.now(), seen.clone(), body)
            .await?;
        self.profile = event.profile.as_deref().and_then(|id| id.parse().ok()).or(self.profile);
        if let Some(person) = self.person().await {
            self.tell(Stage::Profile, self.parts.clock.now(), seen.clone(), profile(&person))
                .await?;
        }
        if self.pending.len() == PENDING_MAX {
            self.settle().await?;
        }
        self.pending.push(seen);
        Ok(())
    }

    async fn take_change(&mut self, body: &RawJson) -> Result<(), Gone> {
        let Ok(change) = serde_json::from_str::<TailChange>(body.as_text()) else {
            return Ok(());
        };
        let (Ok(segment), Ok(at)) = (change.segment.parse::<SegmentName>(), Timestamp::parse(&change.at)) else {
            return Ok(());
        };
        let moved = if change.change == "entered" {
            Moved::Entered
        } else {
            Moved::Exited
        };
        if self.stays.contains_key(&segment) == (moved == Moved::Entered) {
            return Ok(());
        }
        // A timer's instant is when it was due; a change that an event caused is seen when its step is.
        let at = if change.cause == "clock" {
            at
        } else {
            self.parts.clock.now()
        };
        self.tell_membership(segment, moved, &change.cause, at).await
    }

    /// A message to the visitor was decided upon: a mail is on its way.
    async fn take_message(&mut self, body: RawJson) -> Result<(), Gone> {
        let message = serde_json::from_str::<TailMessage>(body.as_text());
        if message.is_ok_and(|message| message.state == "reserved") {
            return self
                .tell(Stage::Message, self.parts.clock.now(), Seen::default(), body)
                .await;
        }
        Ok(())
    }

    /// Once a step has told its changes: what only moved its end, and what the tail did not tell.
    async fn settle(&mut self) -> Result<(), Gone> {
        if let Some(person) = self.person().await {
            self.compare(person).await?;
        }
        self.pending.clear();
        Ok(())
    }

    /// Tells how the memberships of now differ from those that the page knows.
    async fn compare(&mut self, person: PersonDocument) -> Result<(), Gone> {
        let now: Vec<SegmentName> = person.segments.into_iter().map(|held| held.segment).collect();
        let mut left = self.stays.clone();
        left.retain(|segment, _| !now.contains(segment));
        for (segment, until) in left {
            let at = self.parts.clock.now();
            match until {
                Some(due) if due <= at => self.tell_membership(segment, Moved::Exited, "clock", due).await?,
                _ => self.tell_membership(segment, Moved::Exited, "event", at).await?,
            }
        }
        for segment in now {
            let at = self.parts.clock.now();
            match self.stays.get(&segment).copied() {
                None => self.tell_membership(segment, Moved::Entered, "event", at).await?,
                Some(until) => {
                    let next = self
                        .explain(&segment)
                        .await
                        .and_then(|explanation| explanation.next_transition);
                    if next != until {
                        self.tell_membership(segment, Moved::Renewed, "event", at).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn tell_membership(
        &mut self,
        segment: SegmentName,
        moved: Moved,
        cause: &str,
        at: Timestamp,
    ) -> Result<(), Gone> {
        let explanation = self.explain(&segment).await;
        let definitions = self.parts.pipeline.definitions(&self.space);
        let live = definitions
            .as_ref()
            .and_then(|all| all.segments.iter().find(|live| live.name == segment));
        let by = caused_by(&self.pending, moved, |seen| {
            live.is_some_and(|live| live.compiled.touches_event(seen.kind(), &seen.name))
        });
        // Time is nobody's event.
        let by = if cause == "clock" {
            Seen::default()
        } else {
            by.cloned().unwrap_or_default()
        };
        let (until, why) = if moved == Moved::Exited {
            self.stays.remove(&segment);
            (None, why_out(cause, &by, explanation.as_ref()))
        } else {
            let until = explanation.as_ref().and_then(|explanation| explanation.next_transition);
            self.stays.insert(segment.clone(), until);
            let description = live
                .map(|live| &*live.compiled.definition().description)
                .unwrap_or_default();
            (until, why_in(description, explanation.as_ref()))
        };
        let payload = membership(segment.as_str(), moved, cause, until, &why);
        self.tell(Stage::Segment, at, by, payload).await
    }

    async fn tell_raw(&self, seen: &Seen, address: Address, received_at: Timestamp) -> Result<(), Gone> {
        let record = self.read(move |parts, _, _| record_at(parts, address)).await;
        let payload = raw(record.as_ref(), address, &received_at.to_string());
        self.tell(Stage::Raw, received_at, seen.clone(), payload).await
    }

    async fn tell(&self, stage: Stage, at: Timestamp, seen: Seen, payload: RawJson) -> Result<(), Gone> {
        self.told
            .send(Arrival {
                stage,
                at,
                seen,
                payload,
            })
            .await
            .map_err(|_| Gone)
    }

    async fn person(&self) -> Option<PersonDocument> {
        let name = self.profile?.to_string();
        self.read(move |parts, space, now| parts.reads.person(space, &name, now).ok().flatten())
            .await
    }

    async fn explain(&self, segment: &SegmentName) -> Option<Explanation> {
        let (name, segment) = (self.profile?.to_string(), segment.clone());
        self.read(move |parts, space, now| parts.reads.explain(space, &segment, &name, now).ok().flatten())
            .await
    }

    /// Reads off the async threads; `None` also where it cannot be read, since the page shows what there is.
    async fn read<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Parts, &SpaceId, Timestamp) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let (parts, space) = (Arc::clone(&self.parts), self.space.clone());
        tokio::task::spawn_blocking(move || what(&parts, &space, parts.clock.now()))
            .await
            .ok()
            .flatten()
    }
}

/// The record that an event came in, where the log still has it.
fn record_at(parts: &Parts, address: Address) -> Option<Record> {
    let records = parts.log.reader(address.sequence).read(1, RECORD_BYTES).ok()?;
    records
        .into_iter()
        .find(|record| record.address.sequence == address.sequence)
}
