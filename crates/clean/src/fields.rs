//! The fields of one event, and the rules that an event must keep.
//!
//! [`read_event`] reads an event with any builder: the doors take its verdict alone, cleaning takes the values too.
//! So both give the same verdict by construction. Rules: Segment's specification of the six calls. It looks at the
//! event alone, never at its batch or its envelope.

use crate::json::{Build, JsonError, Reader, Reading, Skip};
use kith_types::{EventType, Limits, Route};
use std::borrow::Cow;

/// The longest message id, in characters.
const MESSAGE_ID_CHARS_MAX: usize = 100;

/// Why an event is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// A fixed word for programs, such as `missing_field`.
    pub code: &'static str,
    /// What is wrong and how to mend it.
    pub message: String,
    /// Where in the event, such as `context.device`; empty for the event itself.
    pub path: String,
}

impl Violation {
    pub(crate) fn new(code: &'static str, path: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            path: path.to_owned(),
        }
    }
}

impl From<Box<JsonError>> for Violation {
    fn from(error: Box<JsonError>) -> Self {
        Self {
            code: error.fault.code(),
            message: error.to_string(),
            path: error.path,
        }
    }
}

/// The moment that a field names.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Moment<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    /// Not a string.
    Unreadable,
}

/// An event's fields as they were sent.
pub(crate) struct Fields<'a, B: Build> {
    pub(crate) event_type: EventType,
    pub(crate) event: Option<Cow<'a, str>>,
    pub(crate) name: Option<Cow<'a, str>>,
    pub(crate) category: Option<Cow<'a, str>>,
    pub(crate) message_id: Option<Cow<'a, str>>,
    pub(crate) user_id: Option<Cow<'a, str>>,
    pub(crate) anonymous_id: Option<Cow<'a, str>>,
    pub(crate) group_id: Option<Cow<'a, str>>,
    pub(crate) previous_id: Option<Cow<'a, str>>,
    pub(crate) write_key: Option<Cow<'a, str>>,
    pub(crate) original_timestamp: Moment<'a>,
    pub(crate) timestamp: Moment<'a>,
    pub(crate) sent_at: Moment<'a>,
    pub(crate) traits: Option<B::Fields>,
    pub(crate) properties: Option<B::Fields>,
    pub(crate) context: Option<B::Fields>,
    pub(crate) external_ids: Option<B::Node>,
}

/// What reading an event came to. A broken rule leaves the reader behind the event, a fault of JSON anywhere in it.
pub(crate) enum EventError {
    Json(Box<JsonError>),
    Rule(Violation),
}

/// The verdict on one event sent to `route`, its bytes alone: what [`crate::inspect`] and [`crate::clean_record`] say
/// of it in its body.
///
/// # Errors
/// The [`Violation`] for which it is rejected.
pub fn check_event(route: Route, bytes: &[u8], limits: &Limits) -> Result<(), Violation> {
    let text = std::str::from_utf8(bytes).map_err(|error| utf8_violation(error.valid_up_to()))?;
    let mut reader = Reader::new(text);
    match read_event::<Skip>(&mut reader, route) {
        Err(EventError::Json(error)) => return Err(error.into()),
        Err(EventError::Rule(violation)) => {
            reader.end().map_err(Violation::from)?;
            return Err(violation);
        }
        Ok(_) => reader.end().map_err(Violation::from)?,
    }
    within_size(bytes.trim_ascii().len(), limits)
}

pub(crate) fn utf8_violation(offset: usize) -> Violation {
    JsonError::new(crate::JsonFault::InvalidUtf8, offset).into()
}

pub(crate) fn within_size(bytes: usize, limits: &Limits) -> Result<(), Violation> {
    if bytes <= limits.event_bytes {
        return Ok(());
    }
    let message = format!(
        "the event has {bytes} bytes, more than the {} allowed; send less in it",
        limits.event_bytes
    );
    Err(Violation::new("event_too_large", "", message))
}

/// Reads the event that comes next. The path of the call names its type, or, in a batch, its field `type`.
pub(crate) fn read_event<'a, B: Build>(reader: &mut Reader<'a>, route: Route) -> Result<Fields<'a, B>, EventError> {
    if reader.peek() != Some(b'{') {
        reader.value::<Skip>(0).map_err(EventError::Json)?;
        if !matches!(reader.peek(), None | Some(b',' | b']' | b'}')) {
            return reader
                .fault(crate::JsonFault::Expected("a comma"))
                .map_err(EventError::Json);
        }
        return Err(EventError::Rule(Violation::new(
            "not_an_object",
            "",
            "an event is a JSON object",
        )));
    }
    let named = type_of_route(route);
    let mut form = Form::<'a, B>::new(named.unwrap_or(EventType::Track));
    let mut type_name = None;
    reader
        .members(0, |reader, key| {
            if key == "type" && named.is_none() {
                type_name = form.text(reader, "type")?;
                return Ok(());
            }
            form.member(reader, key)
        })
        .map_err(EventError::Json)?;
    if named.is_none() {
        match event_type(type_name.as_deref()) {
            Ok(event_type) => form.fields.event_type = event_type,
            Err(violation) => form.break_rule(violation),
        }
    }
    form.close()
}

fn type_of_route(route: Route) -> Option<EventType> {
    match route {
        Route::Identify => Some(EventType::Identify),
        Route::Track => Some(EventType::Track),
        Route::Page => Some(EventType::Page),
        Route::Screen => Some(EventType::Screen),
        Route::Group => Some(EventType::Group),
        Route::Alias => Some(EventType::Alias),
        Route::Batch | Route::Internal => None,
    }
}

fn event_type(name: Option<&str>) -> Result<EventType, Violation> {
    const ALL: &str = "one of identify, track, page, screen, group, alias";
    let Some(name) = name else {
        return Err(Violation::new(
            "missing_type",
            "type",
            format!("an event of a batch names its type: {ALL}"),
        ));
    };
    if name == "merge" {
        return Err(merge_violation());
    }
    EventType::from_name(name).ok_or_else(|| {
        let shown: String = name.chars().take(60).collect();
        Violation::new(
            "unknown_type",
            "type",
            format!("{shown:?} is no type of event; send {ALL}"),
        )
    })
}

/// RudderStack's `merge` call is known and refused.
pub(crate) fn merge_violation() -> Violation {
    let message = "merge calls are not taken; two identifiers sent in one identify or alias call are linked";
    Violation::new("unsupported_type", "type", message)
}

/// The fields as far as they are read, and the first rule that they broke.
struct Form<'a, B: Build> {
    fields: Fields<'a, B>,
    broken: Option<Violation>,
}

impl<'a, B: Build> Form<'a, B> {
    fn new(event_type: EventType) -> Self {
        let fields = Fields {
            event_type,
            event: None,
            name: None,
            category: None,
            message_id: None,
            user_id: None,
            anonymous_id: None,
            group_id: None,
            previous_id: None,
            write_key: None,
            original_timestamp: Moment::Absent,
            timestamp: Moment::Absent,
            sent_at: Moment::Absent,
            traits: None,
            properties: None,
            context: None,
            external_ids: None,
        };
        Self { fields, broken: None }
    }

    fn member(&mut self, reader: &mut Reader<'a>, key: &str) -> Reading<()> {
        match key {
            "event" => self.fields.event = self.text(reader, "event")?,
            "userId" => self.fields.user_id = self.text(reader, "userId")?,
            "anonymousId" => self.fields.anonymous_id = self.text(reader, "anonymousId")?,
            "groupId" => self.fields.group_id = self.text(reader, "groupId")?,
            "previousId" => self.fields.previous_id = self.text(reader, "previousId")?,
            "messageId" => {
                self.fields.message_id = self.text(reader, "messageId")?;
                self.check_message_id();
            }
            "name" => self.fields.name = lenient_text(reader)?,
            "category" => self.fields.category = lenient_text(reader)?,
            "writeKey" => self.fields.write_key = lenient_text(reader)?,
            "originalTimestamp" => self.fields.original_timestamp = moment(reader)?,
            "timestamp" => self.fields.timestamp = moment(reader)?,
            "sentAt" => self.fields.sent_at = moment(reader)?,
            "traits" => self.fields.traits = self.object(reader, "traits")?,
            "properties" => self.fields.properties = self.object(reader, "properties")?,
            "context" => self.fields.context = self.object(reader, "context")?,
            "externalIds" | "externalId" => {
                if !matches!(reader.peek(), Some(b'[' | b'n')) {
                    self.break_rule(Violation::new(
                        "invalid_field",
                        key,
                        format!("{key} is a list of {{id, type}}"),
                    ));
                }
                self.fields.external_ids = Some(reader.value::<B>(1)?);
            }
            _ => reader.value::<Skip>(1)?,
        }
        Ok(())
    }

    /// Reads a string, or a number as its text; `null` and blank strings say nothing.
    fn text(&mut self, reader: &mut Reader<'a>, key: &'static str) -> Reading<Option<Cow<'a, str>>> {
        let text = match reader.peek() {
            Some(b'"') => reader.string()?.decoded(),
            Some(b'-' | b'0'..=b'9') => match reader.number()?.decimal() {
                Some(number) => Cow::Owned(number.to_string()),
                None => return reader.fault(crate::JsonFault::NumberOutOfRange),
            },
            Some(b'n') => return reader.literal("null").map(|()| None),
            _ => {
                reader.value::<Skip>(1)?;
                self.break_rule(Violation::new("invalid_field", key, format!("{key} must be a string")));
                return Ok(None);
            }
        };
        Ok(if text.trim().is_empty() { None } else { Some(text) })
    }

    /// Reads an object; `null` says nothing, and neither does the empty list that PHP writes for an empty object.
    fn object(&mut self, reader: &mut Reader<'a>, key: &'static str) -> Reading<Option<B::Fields>> {
        let mut items = 0_usize;
        match reader.peek() {
            Some(b'{') => return reader.object::<B>(1).map(Some),
            Some(b'n') => return reader.literal("null").map(|()| None),
            Some(b'[') => reader.elements(1, |reader| {
                items += 1;
                reader.value::<Skip>(2)
            })?,
            _ => {
                items = 1;
                reader.value::<Skip>(1)?;
            }
        }
        if items > 0 {
            self.break_rule(Violation::new("invalid_field", key, format!("{key} must be an object")));
        }
        Ok(None)
    }

    fn check_message_id(&mut self) {
        let too_long = |id: &Cow<'_, str>| id.len() > MESSAGE_ID_CHARS_MAX && id.chars().count() > MESSAGE_ID_CHARS_MAX;
        if self.fields.message_id.as_ref().is_some_and(too_long) {
            let message = format!("a messageId has at most {MESSAGE_ID_CHARS_MAX} characters");
            self.break_rule(Violation::new("message_id_too_long", "messageId", message));
        }
    }

    fn break_rule(&mut self, violation: Violation) {
        self.broken.get_or_insert(violation);
    }

    /// Applies the rules on what each type of call must name.
    fn close(mut self) -> Result<Fields<'a, B>, EventError> {
        let fields = &self.fields;
        let missing = match fields.event_type {
            EventType::Track if fields.event.is_none() => Some(("event", "a track call names its event")),
            EventType::Group if fields.group_id.is_none() => Some(("groupId", "a group call names its groupId")),
            EventType::Alias if fields.user_id.is_none() => Some(("userId", "an alias call names the new userId")),
            EventType::Alias if fields.previous_id.is_none() && fields.anonymous_id.is_none() => Some((
                "previousId",
                "an alias call names the previousId that the userId takes the place of",
            )),
            _ => None,
        };
        if let Some((path, message)) = missing {
            self.break_rule(Violation::new("missing_field", path, message));
        }
        match self.broken {
            Some(violation) => Err(EventError::Rule(violation)),
            None => Ok(self.fields),
        }
    }
}

/// Reads a string that says something; any other value counts as absent.
pub(crate) fn lenient_text<'a>(reader: &mut Reader<'a>) -> Reading<Option<Cow<'a, str>>> {
    if reader.peek() == Some(b'"') {
        let text = reader.string()?.decoded();
        return Ok(if text.trim().is_empty() { None } else { Some(text) });
    }
    reader.value::<Skip>(1).map(|()| None)
}

/// Reads a field that names a moment. What it says is judged when the event's time is worked out.
pub(crate) fn moment<'a>(reader: &mut Reader<'a>) -> Reading<Moment<'a>> {
    match reader.peek() {
        Some(b'"') => Ok(match reader.string()?.decoded() {
            text if text.trim().is_empty() => Moment::Absent,
            text => Moment::Text(text),
        }),
        Some(b'n') => reader.literal("null").map(|()| Moment::Absent),
        _ => reader.value::<Skip>(1).map(|()| Moment::Unreadable),
    }
}

#[cfg(test)]
mod tests;
