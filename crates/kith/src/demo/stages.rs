//! What the shop page is told at each stage of an event's journey, made from what the server keeps.
//!
//! Pure: the follower reads, this shapes. Of a body that holds several events only the one is shown.

use kith_api::RawJson;
use kith_pipeline::PersonDocument;
use kith_segment::{Explanation, Reason};
use kith_types::{Address, Envelope, EventType, Record, RecordBody, Route, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// The largest original body that is shown, in bytes.
const SHOWN_BYTES_MAX: usize = 32 * 1024;

/// A stage that an event, or a change that it caused, can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Raw,
    Clean,
    Profile,
    Segment,
    Message,
}

impl Stage {
    /// The name of the server-sent event.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Clean => "clean",
            Self::Profile => "profile",
            Self::Segment => "segment",
            Self::Message => "message",
        }
    }
}

/// An arrival at a stage.
pub(super) struct Arrival {
    pub(super) stage: Stage,
    pub(super) at: Timestamp,
    pub(super) seen: Seen,
    pub(super) payload: RawJson,
}

impl Arrival {
    /// The JSON that the page reads.
    pub(super) fn to_json(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Told<'a> {
            stage: &'a str,
            at: String,
            message_id: &'a str,
            event: &'a str,
            payload: &'a RawJson,
        }
        let told = Told {
            stage: self.stage.as_str(),
            at: self.at.to_string(),
            message_id: &self.seen.message_id,
            event: &self.seen.name,
            payload: &self.payload,
        };
        serde_json::to_string(&told).unwrap_or_default()
    }
}

/// An event of the visitor, as far as later stages refer to it. The default is no event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) message_id: String,
    pub(super) name: String,
    pub(super) event_type: String,
}

impl Seen {
    /// The type of call.
    pub(super) fn kind(&self) -> EventType {
        EventType::from_name(&self.event_type).unwrap_or(EventType::Track)
    }
}

/// An event as the live tail tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TailEvent {
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) event: String,
    pub(super) source: String,
    #[serde(default)]
    pub(super) message_id: Option<String>,
    pub(super) received_at: String,
    pub(super) address: String,
    #[serde(default)]
    pub(super) anonymous_id: Option<String>,
    #[serde(default)]
    pub(super) profile: Option<String>,
}

impl TailEvent {
    /// What later stages refer to. An event without a message id goes by its address.
    pub(super) fn seen(&self) -> Seen {
        Seen {
            message_id: self.message_id.clone().unwrap_or_else(|| self.address.clone()),
            name: self.event.clone(),
            event_type: self.event_type.clone(),
        }
    }
}

/// A change of membership as the live tail tells it.
#[derive(Deserialize)]
pub(super) struct TailChange {
    pub(super) segment: String,
    pub(super) change: String,
    pub(super) at: String,
    pub(super) cause: String,
}

/// What became of a message as the live tail tells it.
#[derive(Deserialize)]
pub(super) struct TailMessage {
    pub(super) state: String,
}

/// The stage raw: the record that the door made durable, with the event as it was sent.
pub(super) fn raw(record: Option<&Record>, address: Address, received_at: &str) -> RawJson {
    let mut told = Map::new();
    told.insert("address".to_owned(), json!(address.to_string()));
    told.insert("received_at".to_owned(), json!(received_at));
    let Some(Record {
        space,
        body: RecordBody::Envelope(envelope),
        ..
    }) = record
    else {
        return RawJson::of(&told);
    };
    #[derive(Serialize)]
    struct Kept<'a> {
        #[serde(flatten)]
        told: Map<String, Value>,
        space: &'a str,
        source: &'a str,
        route: &'a str,
        content_type: &'a str,
        body: Option<Box<RawValue>>,
    }
    RawJson::of(&Kept {
        told,
        space: space.as_str(),
        source: envelope.source.as_str(),
        route: envelope.route.as_str(),
        content_type: &envelope.content_type,
        body: original(envelope, address.index),
    })
}

/// One event of a body, as it was sent.
fn original(envelope: &Envelope, index: u32) -> Option<Box<RawValue>> {
    #[derive(Deserialize)]
    struct Batch {
        batch: Vec<Box<RawValue>>,
    }
    let text = std::str::from_utf8(&envelope.body).ok()?;
    let event = if envelope.route == Route::Batch {
        serde_json::from_str::<Batch>(text)
            .ok()?
            .batch
            .into_iter()
            .nth(usize::try_from(index).ok()?)?
    } else {
        serde_json::from_str::<Box<RawValue>>(text).ok()?
    };
    (event.get().len() <= SHOWN_BYTES_MAX).then_some(event)
}

/// The stage profile: the person after the event was folded in.
pub(super) fn profile(person: &PersonDocument) -> RawJson {
    #[derive(Serialize)]
    struct Shown {
        id: String,
        identifiers: Vec<String>,
        traits: Pairs,
        computed: Pairs,
        consents: Map<String, Value>,
        events: u64,
        first_seen: Option<String>,
        segments: Vec<String>,
    }
    RawJson::of(&Shown {
        id: person.id.to_string(),
        identifiers: person
            .identifiers
            .iter()
            .map(|view| view.identifier.to_string())
            .collect(),
        traits: Pairs(
            person
                .traits
                .iter()
                .map(|held| (held.name.clone(), RawJson::from(&held.value)))
                .collect(),
        ),
        computed: Pairs(
            person
                .computed
                .iter()
                .map(|(name, value, _)| (name.clone(), RawJson::from(value)))
                .collect(),
        ),
        consents: person
            .consents
            .iter()
            .map(|(topic, granted, _)| (topic.clone(), json!(granted)))
            .collect(),
        events: person.event_count,
        first_seen: person.first_seen.map(|at| at.to_string()),
        segments: person.segments.iter().map(|held| held.segment.to_string()).collect(),
    })
}

/// A JSON object in the order given, its numbers exact.
struct Pairs(Vec<(String, RawJson)>);

impl Serialize for Pairs {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// How a membership changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    Entered,
    Renewed,
    Exited,
}

/// The stage segment.
pub(super) fn membership(segment: &str, moved: Moved, cause: &str, until: Option<Timestamp>, why: &str) -> RawJson {
    let change = match moved {
        Moved::Entered => "entered",
        Moved::Renewed => "renewed",
        Moved::Exited => "exited",
    };
    let until = until.map(|until| until.to_string());
    RawJson::of(&json!({
        "segment": segment, "change": change, "cause": cause, "until": until, "explanation": why,
    }))
}

/// Why somebody is in a segment: the words of its owner, else its condition.
pub(super) fn why_in(description: &str, explanation: Option<&Explanation>) -> String {
    let mut letters = description.chars();
    match (letters.next(), explanation) {
        (Some(first), _) => first.to_lowercase().chain(letters).collect(),
        (None, Some(explanation)) => explanation.reason.condition.clone(),
        (None, None) => String::new(),
    }
}

/// Why somebody left a segment.
pub(super) fn why_out(cause: &str, by: &Seen, explanation: Option<&Explanation>) -> String {
    let head = match cause {
        "clock" => "only time went by".to_owned(),
        "event" if !by.name.is_empty() => format!("because of {}", by.name),
        "definition" => "its definition was changed".to_owned(),
        _ => "something else became known".to_owned(),
    };
    match explanation.map(|explanation| failing(&explanation.reason)) {
        Some(reason) if !reason.holds => format!("{head}; no longer so: {}", reason.condition),
        _ => head,
    }
}

/// The innermost condition that does not hold, where one alone decides.
fn failing(reason: &Reason) -> &Reason {
    let mut deepest = reason;
    while !deepest.holds {
        let mut fails = deepest.parts.iter().filter(|part| !part.holds);
        match (fails.next(), fails.next()) {
            (Some(only), None) => deepest = only,
            _ => break,
        }
    }
    deepest
}

/// Which of the visitor's latest events a change is told with: one that the segment looks at, the first of them for an
/// entry and the last for what comes after it; else the latest.
pub(super) fn caused_by(pending: &[Seen], moved: Moved, touches: impl Fn(&Seen) -> bool) -> Option<&Seen> {
    let mut touching = pending.iter().filter(|seen| touches(seen));
    let found = if moved == Moved::Entered {
        touching.next()
    } else {
        touching.next_back()
    };
    found.or(pending.last())
}

#[cfg(test)]
#[path = "stages/tests.rs"]
mod tests;
