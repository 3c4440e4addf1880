//! The fields of an event to the clean event: its time, its name, its key and whom it names.
//!
//! Works on fields that kept their rules, so nothing here fails. Identifiers are left as they were sent: normalising
//! is identity's part.

use crate::fields::{Fields, Moment};
use crate::json::Values;
use kith_types::{
    Address, Duration, Envelope, Event, EventKey, EventType, Identifier, IdentifierType, Object, Origin, Record, Text,
    TimeNote, Timestamp, Value,
};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// How far after its receipt an event may say that it happened (contract COL-6).
const AHEAD_MAX: Duration = Duration::from_secs(300);
/// From this many pairs of fields on, fields are looked up in a map: comparing each with each would be quadratic.
const FIELDS_COMPARED_MAX: usize = 1_024;
/// The moment by which Go and .NET write "no time".
const UNSET: &str = "0001-01-01T00:00:00";

/// Where an event came from: its record, and what stood beside it in its batch.
pub(crate) struct Origins<'a> {
    pub(crate) record: &'a Record,
    pub(crate) envelope: &'a Envelope,
    pub(crate) context: Option<&'a Object>,
    pub(crate) sent_at: &'a Moment<'a>,
}

/// Makes the clean event.
pub(crate) fn to_event(mut fields: Fields<'_, Values>, address: Address, origins: &Origins<'_>) -> Event {
    let Origins { record, envelope, .. } = origins;
    let mut context = fields.context.take().unwrap_or_default();
    if let Some(beneath) = origins.context {
        merge_under(&mut context, beneath);
    }
    let identifiers = identifiers(&fields, &context);
    let (event_time, time_note) = event_time(&fields, origins);
    let key = match &fields.message_id {
        Some(message_id) => EventKey::of_message(&record.space, &envelope.source, message_id),
        None => EventKey::of_address(&record.space, address),
    };
    let name = name(&mut fields);
    let mut properties = fields.properties.unwrap_or_default();
    if let (Some(category), EventType::Page | EventType::Screen) = (fields.category, fields.event_type) {
        merge_under(
            &mut properties,
            &vec![("category".into(), Value::String(category.into()))],
        );
    }
    Event {
        space: record.space.clone(),
        source: envelope.source.clone(),
        address,
        key,
        message_id: fields.message_id.map(Cow::into),
        event_type: fields.event_type,
        name,
        event_time,
        received_at: record.received_at,
        time_note,
        identifiers,
        group_id: fields.group_id.map(Cow::into),
        traits: traits(fields.event_type, fields.traits, &context),
        properties,
        context,
        origin: envelope.origin,
    }
}

/// A track call's event, a page's or screen's name, else the name of the type.
fn name(fields: &mut Fields<'_, Values>) -> Arc<str> {
    static TYPES: LazyLock<[(EventType, Arc<str>); 6]> = LazyLock::new(|| {
        use EventType::{Alias, Group, Identify, Page, Screen, Track};
        [Identify, Track, Page, Screen, Group, Alias].map(|event_type| (event_type, Arc::from(event_type.as_str())))
    });
    let own = match fields.event_type {
        EventType::Track => fields.event.take(),
        EventType::Page | EventType::Screen => fields.name.take(),
        _ => None,
    };
    if let Some(own) = own {
        return Arc::from(own);
    }
    let of_type = TYPES.iter().find(|(event_type, _)| *event_type == fields.event_type);
    of_type.map_or_else(|| Arc::from(fields.event_type.as_str()), |(_, name)| Arc::clone(name))
}

/// What the event says of the person, or, for a group call, of the account. An identify call may say it in its
/// `traits`, as Segment's SDKs do, or in `context.traits`, as RudderStack's do.
fn traits(event_type: EventType, own: Option<Object>, context: &Object) -> Object {
    let in_context = || field(context, "traits").and_then(Value::as_object);
    match (event_type, own) {
        (EventType::Group, own) => own.unwrap_or_default(),
        (EventType::Identify, Some(mut own)) => {
            if let Some(beneath) = in_context() {
                merge_under(&mut own, beneath);
            }
            own
        }
        (_, _) => in_context().cloned().unwrap_or_default(),
    }
}

/// Puts the fields of `beneath` under those of `upper`: what stands in both is `upper`'s, objects are put together.
fn merge_under(upper: &mut Object, beneath: &Object) {
    let many = upper.len().saturating_mul(beneath.len()) > FIELDS_COMPARED_MAX;
    let places: Option<HashMap<Text, usize>> = many.then(|| {
        upper
            .iter()
            .enumerate()
            .map(|(place, (key, _))| (key.clone(), place))
            .collect()
    });
    let own_fields = upper.len();
    for (key, low) in beneath {
        let place = match &places {
            Some(places) => places.get(key).copied(),
            None => upper.iter().take(own_fields).position(|(name, _)| name == key),
        };
        match (place.and_then(|place| upper.get_mut(place)), low) {
            (None, low) => upper.push((key.clone(), low.clone())),
            (Some((_, Value::Object(high))), Value::Object(low)) => merge_under(high, low),
            (Some(_), _) => {}
        }
    }
}

/// The event's time by contract COL-6, and the reason where it is the time of receipt.
fn event_time(fields: &Fields<'_, Values>, origins: &Origins<'_>) -> (Timestamp, Option<TimeNote>) {
    let received_at = origins.record.received_at;
    let said = if fields.original_timestamp == Moment::Absent {
        &fields.timestamp
    } else {
        &fields.original_timestamp
    };
    let original = match said {
        Moment::Absent => return (received_at, Some(TimeNote::Absent)),
        Moment::Text(text) if text.starts_with(UNSET) => return (received_at, Some(TimeNote::Absent)),
        Moment::Unreadable => return (received_at, Some(TimeNote::Unparsable)),
        Moment::Text(text) => match Timestamp::parse(text.trim()) {
            Ok(original) => original,
            Err(_) => return (received_at, Some(TimeNote::Unparsable)),
        },
    };
    if origins.envelope.origin == Origin::Import {
        return (original, None);
    }
    let sent_at = if fields.sent_at == Moment::Absent {
        origins.sent_at
    } else {
        &fields.sent_at
    };
    let sent_at = match sent_at {
        Moment::Text(text) if !text.starts_with(UNSET) => Timestamp::parse(text.trim()).ok(),
        _ => None,
    };
    // The client's clock may be wrong by any amount: what counts is how long before sending it happened.
    let event_time = sent_at.map_or(original, |sent_at| received_at - (sent_at - original));
    if event_time > received_at + AHEAD_MAX {
        return (received_at, Some(TimeNote::Future));
    }
    (event_time, None)
}

/// Whom the event names (contract IDN-1), each once.
fn identifiers(fields: &Fields<'_, Values>, context: &Object) -> Vec<Identifier> {
    let mut named = Named(Vec::with_capacity(4));
    named.text(IdentifierType::UserId, fields.user_id.as_deref());
    named.text(IdentifierType::AnonymousId, fields.anonymous_id.as_deref());
    // A group call's own traits are the account's.
    let own = fields.traits.as_ref().filter(|_| fields.event_type != EventType::Group);
    let in_context = field(context, "traits").and_then(Value::as_object);
    for traits in [own, in_context].into_iter().flatten() {
        named.value(IdentifierType::Email, field(traits, "email"));
        named.value(IdentifierType::Phone, field(traits, "phone"));
    }
    named.value(
        IdentifierType::DeviceId,
        field(context, "device").and_then(|device| device.get("id")),
    );
    let lists = [
        fields.external_ids.as_ref(),
        field(context, "externalIds"),
        field(context, "externalId"),
    ];
    for list in lists.into_iter().flatten() {
        if let Value::Array(items) = list {
            items.iter().for_each(|item| named.external(item));
        }
    }
    if fields.event_type == EventType::Alias {
        let is_anonymous = fields.previous_id.is_some() && fields.previous_id == fields.anonymous_id;
        let kind = if is_anonymous {
            IdentifierType::AnonymousId
        } else {
            IdentifierType::UserId
        };
        named.text(kind, fields.previous_id.as_deref());
    }
    named.0
}

/// Identifiers without repetition.
struct Named(Vec<Identifier>);

impl Named {
    fn text(&mut self, kind: IdentifierType, text: Option<&str>) {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            return;
        };
        if !self.0.iter().any(|known| known.kind == kind && &*known.value == text) {
            self.0.push(Identifier::new(kind, text));
        }
    }

    /// A string, or a number as its text; anything else names nobody and stays where it was sent.
    fn value(&mut self, kind: IdentifierType, value: Option<&Value>) {
        match value {
            Some(Value::String(text)) => self.text(kind, Some(text)),
            Some(Value::Number(number)) => self.text(kind, Some(&number.to_string())),
            _ => {}
        }
    }

    /// An item `{id, type, collection, encoding}` of a list of external ids. Only the collection `users` names people.
    fn external(&mut self, item: &Value) {
        let is_person = item
            .get("collection")
            .and_then(Value::as_str)
            .is_none_or(|collection| collection == "users");
        if let (true, Some(kind)) = (
            is_person,
            item.get("type")
                .and_then(Value::as_str)
                .filter(|kind| !kind.trim().is_empty()),
        ) {
            self.value(IdentifierType::from_name(kind), item.get("id"));
        }
    }
}

fn field<'a>(object: &'a Object, key: &str) -> Option<&'a Value> {
    object.iter().find(|(name, _)| &**name == key).map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
