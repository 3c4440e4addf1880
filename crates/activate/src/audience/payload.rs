//! A change of membership as Segment's contract has it.
//!
//! The shapes are those of Segment Engage, see <https://www.twilio.com/docs/segment/engage/using-engage-data>: a track call
//! `Audience Entered` or `Audience Exited` whose properties are `audience_key` and the key itself with true or false, an
//! identify call whose trait of that key is true or false, and `context.personas` with `computation_class: audience`.

use super::DestinationDefinition;
use crate::ledger::{Named, Source, Telling};
use kith_types::{ProfileId, SpaceId};
use serde_json::{Map, Value, json};

/// The largest event that a tracking API takes, in bytes.
pub(crate) const EVENT_BYTES_MAX: usize = 32 << 10;

/// The two calls that tell of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `Audience Entered` or `Audience Exited`.
    Track,
    /// A trait that is true or false.
    Identify,
}

/// The forms that a destination asks for, in the order in which they are sent.
pub(crate) fn forms(definition: &DestinationDefinition) -> Vec<Form> {
    let asked = [
        (definition.track(), Form::Track),
        (definition.identify(), Form::Identify),
    ];
    asked
        .into_iter()
        .filter(|(asked, _)| *asked)
        .map(|(_, form)| form)
        .collect()
}

/// One event as JSON.
pub(crate) fn event(space: &SpaceId, definition: &DestinationDefinition, telling: &Telling, form: Form) -> String {
    let key = definition.audience_key(&telling.segment);
    let mut event = Map::new();
    let mut put = |name: &str, value: Value| event.insert(name.to_owned(), value);
    match form {
        Form::Track => {
            put("type", json!("track"));
            put(
                "event",
                json!(match telling.entered {
                    true => "Audience Entered",
                    false => "Audience Exited",
                }),
            );
            let mut properties = Map::new();
            properties.insert("audience_key".to_owned(), json!(key));
            properties.insert(key.clone(), json!(telling.entered));
            put("properties", Value::Object(properties));
        }
        Form::Identify => {
            put("type", json!("identify"));
            put("traits", json!({ key.as_str(): telling.entered }));
        }
    }
    match &telling.named {
        Named::User(id) => put("userId", json!(id)),
        Named::Anonymous(id) => put("anonymousId", json!(id)),
    };
    put("messageId", json!(message_id(space, definition, telling, form)));
    put("timestamp", json!(telling.at.to_string()));
    let context = json!({
        "library": { "name": "kith", "version": env!("CARGO_PKG_VERSION") },
        "personas": {
            "computation_class": "audience", "computation_key": key,
            "computation_id": format!("{space}/{}", telling.segment), "space_id": space.as_str(),
        },
        "kith": { "cause": telling.cause },
    });
    put("context", context);
    Value::Object(event).to_string()
}

/// What names this call of this change for ever, whoever is sent it again.
fn message_id(space: &SpaceId, definition: &DestinationDefinition, telling: &Telling, form: Form) -> String {
    let (kind, number) = telling.source.parts();
    let form = match form {
        Form::Track => "track",
        Form::Identify => "identify",
    };
    let ProfileId(profile) = telling.profile;
    let mut hasher = blake3::Hasher::new_derive_key("kith audience call");
    // The name is no part of it: it is decided once, and a profile enters and leaves once at most by one change. What a comparison
    // finds has no number of its own but the place in the queue.
    let place = match telling.source {
        Source::Compared(_) => telling.id.to_be_bytes().to_vec(),
        Source::Change(_) | Source::Member(_) => Vec::new(),
    };
    for part in [
        space.as_str().as_bytes(),
        definition.name().as_bytes(),
        kind.as_bytes(),
        &number.to_be_bytes(),
        telling.segment.as_str().as_bytes(),
        &profile.to_be_bytes(),
        &[u8::from(telling.entered)],
        &telling.at.as_micros().to_be_bytes(),
        form.as_bytes(),
    ] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.update(&place);
    format!("kith-{}", &hasher.finalize().to_hex()[..32])
}
