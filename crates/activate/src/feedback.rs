//! What became of a send, as an event of the Segment specification: the body that the route `internal` takes. Its
//! message id is a function of the send, so that a repeated append is the same event. It never holds the address in
//! properties: only its domain.

use crate::ledger::SendRow;
use kith_types::Timestamp;
use serde_json::{Map, Value, json};

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeedbackKind {
    /// The server took the mail.
    Sent,
    /// The server refused the mail for good.
    Failed,
    /// Nobody knows whether the mail left.
    Unknown,
    /// Nothing was sent, for a reason.
    Skipped,
    /// The person unsubscribed by the link in the mail.
    Unsubscribed,
}

impl FeedbackKind {
    fn event_name(self) -> &'static str {
        match self {
            Self::Sent => "Email Sent",
            Self::Failed => "Email Failed",
            Self::Unknown => "Email Unknown",
            Self::Skipped => "Email Skipped",
            Self::Unsubscribed => "Email Unsubscribed",
        }
    }

    fn id_suffix(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            // A send is settled once: whatever it came to has one id.
            Self::Sent | Self::Failed | Self::Unknown | Self::Skipped => "settled",
        }
    }
}

/// The body of events about a send; `None` where nothing names the person.
pub(crate) fn body(send: &SendRow, kind: FeedbackKind, reason: Option<&str>, now: Timestamp) -> Option<String> {
    let mut event = Map::new();
    let mut context = Map::new();
    event.insert("type".into(), "track".into());
    event.insert("event".into(), kind.event_name().into());
    event.insert(
        "messageId".into(),
        format!("kith-send-{}-{}", send.key(), kind.id_suffix()).into(),
    );
    event.insert("timestamp".into(), now.to_string().into());
    // One identifier only: two would be evidence that they belong together.
    match send.person.kind.as_str() {
        "user_id" => drop(event.insert("userId".into(), send.person.value.clone().into())),
        "anonymous_id" => drop(event.insert("anonymousId".into(), send.person.value.clone().into())),
        "" => return None,
        kind => {
            let id = json!([{ "id": send.person.value, "type": kind, "collection": "users", "encoding": "none" }]);
            context.insert("externalIds".into(), id);
        }
    }
    let mut properties = Map::new();
    properties.insert("message".into(), send.message.clone().into());
    properties.insert("segment".into(), send.segment.as_str().into());
    properties.insert("send_id".into(), send.key().into());
    let optional = [
        ("subject", send.subject.as_deref()),
        ("topic", send.topic.as_deref()),
        (
            "address_domain",
            Some(send.address_domain()).filter(|domain| !domain.is_empty()),
        ),
        ("reason", reason),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            properties.insert(name.into(), value.into());
        }
    }
    if let (FeedbackKind::Unsubscribed, Some(topic)) = (kind, &send.topic) {
        let mut preferences = Map::new();
        preferences.insert(topic.clone(), Value::Bool(false));
        context.insert("consent".into(), json!({ "categoryPreferences": preferences }));
    }
    event.insert("properties".into(), Value::Object(properties));
    if !context.is_empty() {
        event.insert("context".into(), Value::Object(context));
    }
    Some(json!({ "batch": [event] }).to_string())
}
