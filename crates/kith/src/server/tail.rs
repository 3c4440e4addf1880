//! The live tail: what committed steps did, to whoever follows.
//!
//! Items are made only while somebody follows. A follower that is too slow misses items and is told.

use crate::error::CommandError;
use futures::StreamExt;
use kith_api::RawJson;
use kith_api::ports::{Tail, TailFilter, TailItem, TailKind, TailStream};
use kith_clean::Reject;
use kith_pipeline::{Listener, Numbered, StepOutput};
use kith_types::{Event, IdentifierType, ProfileId, SpaceId};
use serde_json::json;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

/// Items that a slow follower may lag behind.
const BEHIND_MAX: usize = 4_096;

/// One thing that happened, with what filters look at.
#[derive(Clone)]
pub(crate) struct LiveItem {
    pub(crate) space: SpaceId,
    pub(crate) kind: TailKind,
    pub(crate) body: RawJson,
    /// The person, where there is one.
    pub(crate) profile: Option<ProfileId>,
    anonymous_id: Option<Arc<str>>,
    user_id: Option<Arc<str>>,
}

/// The tail of the running server.
#[derive(Clone)]
pub(crate) struct LiveTail {
    items: broadcast::Sender<LiveItem>,
    /// Set when the server stops: streams that would never end must not hold it.
    ending: Arc<watch::Sender<bool>>,
}

/// The pipeline's side of the tail: items of the open step, made only while somebody follows.
pub(crate) struct Followers {
    items: broadcast::Sender<LiveItem>,
    open: Vec<LiveItem>,
    steps: SyncSender<Vec<LiveItem>>,
}

impl Listener for Followers {
    fn events(&mut self, events: &[Event], people: &[Option<ProfileId>]) {
        if self.items.receiver_count() == 0 {
            self.open.clear();
            return;
        }
        for (event, profile) in events.iter().zip(people) {
            self.open.push(event_item(event, *profile));
        }
    }

    fn begun_again(&mut self) {
        self.open.clear();
    }

    fn committed(&mut self, step: &Arc<StepOutput>) -> bool {
        let mut items = std::mem::take(&mut self.open);
        if self.items.receiver_count() == 0 {
            return true;
        }
        items.extend(step.rejects.iter().map(reject_item));
        items.extend(step.changes.iter().map(change_item));
        self.steps.send(items).is_ok()
    }
}

impl LiveTail {
    /// Starts the thread that hands items on; the pipeline is given the other half. A queue of so many steps holds the
    /// pipeline back.
    pub(crate) fn start(waiting: usize) -> Result<(Self, Followers), CommandError> {
        let tail = Self {
            items: broadcast::Sender::new(BEHIND_MAX),
            ending: Arc::new(watch::Sender::new(false)),
        };
        let (steps, inbox) = sync_channel::<Vec<LiveItem>>(waiting);
        let items = tail.items.clone();
        std::thread::Builder::new()
            .name("kith-tail".to_owned())
            .spawn(move || {
                for item in inbox.into_iter().flatten() {
                    // Whoever followed may have gone.
                    let _nobody = items.send(item);
                }
            })
            .map_err(|error| CommandError::caused("the tail's thread cannot be started", error))?;
        let followers = Followers {
            items: tail.items.clone(),
            open: Vec::new(),
            steps,
        };
        Ok((tail, followers))
    }

    /// Tells followers of something that is not a step's, such as a message.
    pub(crate) fn tell(&self, space: &SpaceId, kind: TailKind, profile: Option<ProfileId>, body: RawJson) {
        let item = LiveItem {
            space: space.clone(),
            kind,
            body,
            profile,
            anonymous_id: None,
            user_id: None,
        };
        // Nobody may be following.
        let _nobody = self.items.send(item);
    }

    /// Ends every stream of items.
    pub(crate) fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Resolves when the server stops.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ending = self.ending.subscribe();
        async move {
            // An error means that the tail is gone, which ends its streams as well.
            let _gone = ending.wait_for(|ending| *ending).await;
        }
    }

    /// Everything from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<LiveItem> {
        self.items.subscribe()
    }
}

fn reject_item(reject: &Reject) -> LiveItem {
    let body = json!({
        "source": reject.source.as_str(), "received_at": reject.received_at.to_string(),
        "address": reject.address.to_string(), "code": reject.code, "message": reject.message, "path": reject.path,
    });
    LiveItem {
        space: reject.space.clone(),
        kind: TailKind::Reject,
        body: RawJson::of(&body),
        profile: None,
        anonymous_id: None,
        user_id: None,
    }
}

fn event_item(event: &Event, profile: Option<ProfileId>) -> LiveItem {
    let of = |kind: &IdentifierType| {
        event
            .identifiers
            .iter()
            .find(|identifier| identifier.kind == *kind)
            .map(|identifier| Arc::clone(&identifier.value))
    };
    let (anonymous_id, user_id) = (of(&IdentifierType::AnonymousId), of(&IdentifierType::UserId));
    let body = json!({
        "type": event.event_type.as_str(), "event": &*event.name, "source": event.source.as_str(),
        "messageId": event.message_id, "eventTime": event.event_time.to_string(),
        "receivedAt": event.received_at.to_string(), "address": event.address.to_string(),
        "userId": user_id, "anonymousId": anonymous_id, "profile": profile.map(|id| id.to_string()),
        "properties": RawJson::from(&event.properties), "traits": RawJson::from(&event.traits),
    });
    LiveItem {
        space: event.space.clone(),
        kind: TailKind::Event,
        body: RawJson::of(&body),
        profile,
        anonymous_id,
        user_id,
    }
}

fn change_item(numbered: &Numbered) -> LiveItem {
    let change = &numbered.change;
    let body = json!({
        "segment": change.segment.as_str(), "profile": change.profile.to_string(),
        "change": if change.entered { "entered" } else { "exited" }, "at": change.at.to_string(),
        "cause": change.cause.as_str(), "event_key": change.cause.event_key().map(|key| format!("{key:?}")),
        "approximate": change.approximate,
    });
    LiveItem {
        space: numbered.space.clone(),
        kind: TailKind::Membership,
        body: RawJson::of(&body),
        profile: Some(change.profile),
        anonymous_id: None,
        user_id: None,
    }
}

/// Whom a follower wants to see, and the profile that its events have led to.
struct Wanted {
    filter: TailFilter,
    profile: Option<ProfileId>,
}

impl Wanted {
    fn takes(&mut self, item: &LiveItem) -> bool {
        if self.filter.anonymous_id.is_none() && self.filter.user_id.is_none() {
            return true;
        }
        let same = |wanted: &Option<String>, found: &Option<Arc<str>>| {
            wanted.as_deref().is_some_and(|wanted| found.as_deref() == Some(wanted))
        };
        if same(&self.filter.anonymous_id, &item.anonymous_id) || same(&self.filter.user_id, &item.user_id) {
            self.profile = item.profile.or(self.profile);
            return true;
        }
        item.kind != TailKind::Event && item.profile.is_some() && item.profile == self.profile
    }
}

impl Tail for LiveTail {
    fn follow(&self, space: &SpaceId, filter: TailFilter) -> TailStream {
        let space = space.clone();
        let mut wanted = Wanted { filter, profile: None };
        let items = BroadcastStream::new(self.subscribe()).filter_map(move |item| {
            let item = match item {
                Ok(item) if item.space == space && wanted.takes(&item) => Some(TailItem {
                    kind: item.kind,
                    body: item.body,
                }),
                Ok(_) => None,
                Err(BroadcastStreamRecvError::Lagged(missed)) => Some(TailItem {
                    kind: TailKind::Lagged,
                    body: RawJson::of(&json!({ "missed": missed })),
                }),
            };
            std::future::ready(item)
        });
        items.take_until(self.ended()).boxed()
    }
}
