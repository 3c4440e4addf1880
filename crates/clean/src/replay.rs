//! Putting rejects through again, as a decision in the log (contract CLN-4): which events of which bodies, under which
//! limits, and the bodies themselves.
//!
//! The decision holds all that cleaning it needs, so a rebuild cleans it to the same events. They stand at the decision's
//! own address, one index each; time, source and key are those of the original, so that one which is put through twice
//! has the same key twice, and the pipeline counts it once. It decides nothing about which rejects are worth another try.

use crate::Violation;
use crate::record::{Cleaned, clean_envelope};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kith_types::{Address, Envelope, EventKey, Limits, Origin, Record, RecordBody, Route, Terms, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The kind of the decision.
pub const REJECTS_REPLAYED: &str = "rejects.replayed";
/// The version of the decision's JSON.
const FORMAT: u64 = 1;

/// Rejects that are put through again.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectsReplay {
    /// Who decided.
    pub author: String,
    /// Why.
    pub reason: String,
    /// The limits that hold for these bodies.
    pub limits: Limits,
    /// The bodies with the indexes of the events in them that are meant.
    pub bodies: Vec<(Record, Vec<u32>)>,
}

/// A replay that cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[error("rejects cannot be put through again: {0}")]
pub struct ReplayError(String);

/// The limits of a replay, where they may be asked for.
///
/// # Errors
/// What is out of bounds.
pub fn replay_limits(limits: Limits) -> Result<Limits, Violation> {
    if !limits.within(&Limits::MAX) {
        let Limits {
            batch_bytes,
            batch_events,
            ..
        } = Limits::MAX;
        let message = format!("a replay takes bodies of at most {batch_bytes} bytes and {batch_events} events");
        return Err(Violation::new("limit_too_large", "limits", message));
    }
    Ok(limits)
}

impl RejectsReplay {
    /// The decision as the document of a log record.
    #[must_use]
    pub fn to_json(&self) -> String {
        let bodies: Vec<Value> = self.bodies.iter().filter_map(body_json).collect();
        json!({
            "format": FORMAT,
            "author": self.author,
            "reason": self.reason,
            "limits": {
                "event_bytes": self.limits.event_bytes,
                "batch_bytes": self.limits.batch_bytes,
                "batch_events": self.limits.batch_events,
            },
            "bodies": bodies,
        })
        .to_string()
    }

    /// Reads what [`RejectsReplay::to_json`] wrote; the bodies are of the space of the decision.
    ///
    /// # Errors
    /// The format of a newer release, or damage.
    pub fn from_json(decision: &Record, text: &str) -> Result<Self, ReplayError> {
        let document: Value = serde_json::from_str(text).map_err(|error| ReplayError(error.to_string()))?;
        if document["format"].as_u64() != Some(FORMAT) {
            return Err(ReplayError(format!(
                "the decision's format is {}, this release knows {FORMAT}",
                document["format"]
            )));
        }
        let damaged = |field: &str| ReplayError(format!("{field} of the decision cannot be read"));
        let number = |field: &str| {
            let number = document["limits"][field]
                .as_u64()
                .and_then(|number| usize::try_from(number).ok());
            number.ok_or_else(|| damaged(field))
        };
        let limits = Limits {
            event_bytes: number("event_bytes")?,
            batch_bytes: number("batch_bytes")?,
            batch_events: number("batch_events")?,
        };
        let bodies = document["bodies"].as_array().ok_or_else(|| damaged("bodies"))?;
        let bodies = bodies
            .iter()
            .map(|body| read_body(decision, body).ok_or_else(|| damaged("a body")));
        Ok(Self {
            author: document["author"].as_str().unwrap_or_default().to_owned(),
            reason: document["reason"].as_str().unwrap_or_default().to_owned(),
            limits,
            bodies: bodies.collect::<Result<_, _>>()?,
        })
    }

    /// Leaves only what these limits take, and gives the keys of these events.
    pub fn keep_accepted(&mut self) -> Vec<EventKey> {
        let mut keys = Vec::new();
        self.keep(|key| {
            keys.push(key);
            true
        });
        keys
    }

    /// Leaves out events that these limits do not take and those whose keys count already, and says how many are left.
    pub fn leave_out(&mut self, counted: &BTreeSet<EventKey>) -> usize {
        self.keep(|key| !counted.contains(&key));
        self.bodies.iter().map(|(_, indexes)| indexes.len()).sum()
    }

    fn keep(&mut self, mut kept: impl FnMut(EventKey) -> bool) {
        let limits = self.limits;
        for (record, indexes) in &mut self.bodies {
            let events = accepted_events(record, &limits);
            indexes.retain(|index| events.get(index).is_some_and(|key| kept(*key)));
        }
        self.bodies.retain(|(_, indexes)| !indexes.is_empty());
    }
}

/// The events of a body that limits take, by index.
fn accepted_events(record: &Record, limits: &Limits) -> BTreeMap<u32, EventKey> {
    let RecordBody::Envelope(envelope) = &record.body else {
        return BTreeMap::new();
    };
    let cleaned = clean_envelope(record, envelope, limits);
    let events = cleaned.events.iter();
    events.map(|event| (event.address.index, event.key)).collect()
}

/// Cleans a decision to put rejects through again: its accepted events, at the decision's address.
pub(crate) fn clean_replay(decision: &Record, document: &str) -> Cleaned {
    // One that cannot be read was not written by this release: it changes nothing, like any unknown decision.
    let Ok(replay) = RejectsReplay::from_json(decision, document) else {
        return Cleaned::default();
    };
    let mut cleaned = Cleaned::default();
    for (record, indexes) in &replay.bodies {
        let RecordBody::Envelope(envelope) = &record.body else {
            continue;
        };
        let again = clean_envelope(record, envelope, &replay.limits);
        for mut event in again.events {
            if indexes.contains(&event.address.index) {
                event.address = Address {
                    index: u32::try_from(cleaned.events.len()).unwrap_or(u32::MAX),
                    ..decision.address
                };
                cleaned.events.push(event);
            }
        }
    }
    cleaned
}

fn body_json((record, indexes): &(Record, Vec<u32>)) -> Option<Value> {
    let RecordBody::Envelope(envelope) = &record.body else {
        return None;
    };
    let mut body = json!({
        "address": record.address.to_string(),
        "received_at": record.received_at.to_string(),
        "source": envelope.source.as_str(),
        "route": envelope.route.as_str(),
        "import": envelope.origin == Origin::Import,
        "content_type": &*envelope.content_type,
        "client_ip": &*envelope.client_ip,
        "user_agent": &*envelope.user_agent,
        "events": indexes,
    });
    match std::str::from_utf8(&envelope.body) {
        Ok(text) => body["body"] = json!(text),
        Err(_) => body["base64"] = json!(STANDARD.encode(&envelope.body)),
    }
    Some(body)
}

fn read_body(decision: &Record, body: &Value) -> Option<(Record, Vec<u32>)> {
    let text = |field: &str| body[field].as_str();
    let bytes = match text("body") {
        Some(text) => text.as_bytes().to_vec(),
        None => STANDARD.decode(text("base64")?).ok()?,
    };
    let origin = if body["import"].as_bool()? {
        Origin::Import
    } else {
        Origin::Live
    };
    let envelope = Envelope {
        source: text("source")?.parse().ok()?,
        route: Route::from_name(text("route")?)?,
        origin,
        content_type: text("content_type")?.into(),
        client_ip: text("client_ip")?.into(),
        user_agent: text("user_agent")?.into(),
        // The decision has limits of its own, and what it takes counts once for ever.
        terms: Terms::USUAL,
        body: bytes.into(),
    };
    let events = body["events"].as_array()?.iter();
    let indexes = events.map(|index| index.as_u64().and_then(|index| u32::try_from(index).ok()));
    let record = Record {
        address: text("address")?.parse().ok()?,
        space: decision.space.clone(),
        received_at: Timestamp::parse(text("received_at")?).ok()?,
        body: RecordBody::Envelope(envelope),
    };
    Some((record, indexes.collect::<Option<_>>()?))
}
