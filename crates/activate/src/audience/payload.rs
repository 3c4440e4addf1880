//! A change of membership as Segment's contract has it.
//!
//! The shapes are those of Segment Engage, see <https://www.twilio.com/docs/segment/engage/using-engage-data>: a track call
//! `Audience Entered` or `Audience Exited` whose properties are `audience_key` and the key itself with true or false, an
//! identify call whose trait of that key is true or false, and `context.personas` with `computation_class: audience`.

use super::DestinationDefinition;
use kith_segment::Change;
use kith_types::{ProfileId, SpaceId};
use serde_json::{Map, Value, json};

/// The largest event that a tracking API takes, in bytes.
pub(crate) const EVENT_BYTES_MAX: usize = 32 << 10;

/// Whom the events name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `userId`.
    User(String),
    /// `anonymousId`: a person who never signed in.
    Anonymous(String),
}

/// What is told: a change from the outbox, or that somebody is a member already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// The change of that number.
    Change(u64),
    /// A member when the segment was connected, at the change that came next.
    Member(u64),
}

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
pub(crate) fn event(
    space: &SpaceId,
    definition: &DestinationDefinition,
    change: &Change,
    source: Source,
    named: &Named,
    form: Form,
) -> String {
    let key = definition.audience_key(&change.segment);
    let mut event = Map::new();
    let mut put = |name: &str, value: Value| event.insert(name.to_owned(), value);
    match form {
        Form::Track => {
            put("type", json!("track"));
            put("event", json!(change.audience_event()));
            let mut properties = Map::new();
            properties.insert("audience_key".to_owned(), json!(key));
            properties.insert(key.clone(), json!(change.entered));
            put("properties", Value::Object(properties));
        }
        Form::Identify => {
            put("type", json!("identify"));
            put("traits", json!({ key.as_str(): change.entered }));
        }
    }
    match named {
        Named::User(id) => put("userId", json!(id)),
        Named::Anonymous(id) => put("anonymousId", json!(id)),
    };
    put("messageId", json!(message_id(space, definition, change, source, form)));
    put("timestamp", json!(change.at.to_string()));
    let context = json!({
        "library": { "name": "kith", "version": env!("CARGO_PKG_VERSION") },
        "personas": {
            "computation_class": "audience", "computation_key": key,
            "computation_id": format!("{space}/{}", change.segment), "space_id": space.as_str(),
        },
        "kith": { "cause": cause(change, source) },
    });
    put("context", context);
    Value::Object(event).to_string()
}

fn cause(change: &Change, source: Source) -> &'static str {
    match source {
        Source::Change(_) => change.cause.as_str(),
        Source::Member(_) => "connected",
    }
}

/// What names this call of this change for ever, whoever is sent it again.
fn message_id(
    space: &SpaceId,
    definition: &DestinationDefinition,
    change: &Change,
    source: Source,
    form: Form,
) -> String {
    let (kind, number) = match source {
        Source::Change(number) => ("change", number),
        Source::Member(number) => ("member", number),
    };
    let form = match form {
        Form::Track => "track",
        Form::Identify => "identify",
    };
    let ProfileId(profile) = change.profile;
    let mut hasher = blake3::Hasher::new_derive_key("kith audience call");
    for part in [
        space.as_str().as_bytes(),
        definition.name().as_bytes(),
        kind.as_bytes(),
        &number.to_be_bytes(),
        change.segment.as_str().as_bytes(),
        &profile.to_be_bytes(),
        &[u8::from(change.entered)],
        &change.at.as_micros().to_be_bytes(),
        form.as_bytes(),
    ] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    format!("kith-{}", &hasher.finalize().to_hex()[..32])
}
