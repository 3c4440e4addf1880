//! Sequences as documents: `{first: …, then: …, gap_less_than: 2h, gap_at_least: 1h, same: cart_id}`, or `then_not`.
//!
//! `first` and `then` are an event's name or a filter. It reads and writes; it never looks at events.

use super::scalars::text_of;
use super::write::filter_fields;
use super::{Beside, DocumentError, object_of, parse_duration, parse_filter, parse_path};
use crate::{Condition, EventFilter, Follows, Sequence};
use kith_types::{Duration, EventType, Object, Value};
use serde_json::{Map, Value as Json};

/// The keys of a sequence.
pub const SEQUENCE_KEYS: [&str; 6] = ["first", "then", "then_not", "gap_less_than", "gap_at_least", "same"];

/// Reads the first filter and the sequence from the [`SEQUENCE_KEYS`] of an object that may have other keys beside them.
///
/// # Errors
/// With the path of the offending place below the object.
pub fn parse_sequence_fields(fields: &Map<String, Json>) -> Result<(EventFilter, Sequence), DocumentError> {
    let first = filter_at(fields, "first")
        .and_then(|first| first.ok_or_else(|| DocumentError::new("`first` is missing: which event begins it?")));
    let same = fields
        .get("same")
        .map(|json| parse_path(json).map_err(|error| error.within("same")))
        .transpose();
    let ((first, (then, follows)), same) = first.beside(following(fields)).beside(same)?;
    Ok((first, Sequence { then, follows, same }))
}

/// What follows, and when.
fn following(fields: &Map<String, Json>) -> Result<(EventFilter, Follows), DocumentError> {
    let span = |key: &str| {
        fields
            .get(key)
            .map(|json| parse_duration(json).map_err(|error| error.within(key)))
            .transpose()
    };
    let (then, follows) = match (filter_at(fields, "then"), filter_at(fields, "then_not")) {
        (Ok(None), Ok(None)) => return Err(DocumentError::new("`then` or `then_not` is missing: what follows?")),
        (then, Ok(None)) => {
            let spans = span("gap_at_least").beside(span("gap_less_than"));
            (then, spans.and_then(|(from, until)| gaps(from, until)))
        }
        (Ok(None), then_not) => {
            let stray = match fields.contains_key("gap_at_least") {
                false => Ok(()),
                true => {
                    let problem = "`gap_at_least` does not go with `then_not`: say with `gap_less_than` for how long nothing may follow";
                    Err(DocumentError::new(problem).within("gap_at_least"))
                }
            };
            let until = span("gap_less_than").and_then(|until| {
                until.ok_or_else(|| DocumentError::new("`gap_less_than` is missing: for how long must it not follow?"))
            });
            let follows = stray.beside(until).map(|((), until)| Follows::Nothing { until });
            (then_not, follows)
        }
        (then, then_not) => {
            then.beside(then_not)?;
            return Err(DocumentError::new("both `then` and `then_not`: keep one"));
        }
    };
    match then.beside(follows)? {
        (Some(then), follows) => Ok((then, follows)),
        (None, _) => Err(DocumentError::new("`then` or `then_not` is missing: what follows?")),
    }
}

fn filter_at(fields: &Map<String, Json>, key: &str) -> Result<Option<EventFilter>, DocumentError> {
    let filter = fields
        .get(key)
        .map(|json| event_filter(json).map_err(|error| error.within(key)));
    filter.transpose()
}

fn gaps(from: Option<Duration>, until: Option<Duration>) -> Result<Follows, DocumentError> {
    let from = from.unwrap_or(Duration::from_micros(0));
    match until {
        Some(until) if until <= from => Err(DocumentError::new(format!(
            "no gap is at least {from} and less than {until}"
        ))),
        until => Ok(Follows::Next { from, until }),
    }
}

fn event_filter(json: &Json) -> Result<EventFilter, DocumentError> {
    if json.is_string() {
        return text_of(json).map(EventFilter::named);
    }
    object_of(json).map_err(|error| error.hint("write an event's name or `{ event: … }`"))?;
    parse_filter(json)
}

/// The keys that [`parse_sequence_fields`] reads as this sequence.
#[must_use]
pub fn write_sequence_fields(first: &EventFilter, sequence: &Sequence) -> Map<String, Json> {
    let fields = sequence_fields(first, sequence);
    fields
        .iter()
        .map(|(key, value)| (key.to_string(), super::json_of_value(value)))
        .collect()
}

pub(super) fn sequence_fields(first: &EventFilter, sequence: &Sequence) -> Object {
    let mut fields: Object = vec![("first".into(), filter_value(first))];
    let text = |key: &str, span: Duration| (key.into(), Value::from(span.to_string().as_str()));
    let (key, from, until) = match sequence.follows {
        Follows::Next { from, until } => ("then", Some(from).filter(|from| from.as_micros() > 0), until),
        Follows::Nothing { until } => ("then_not", None, Some(until)),
    };
    let spans = [
        from.map(|from| text("gap_at_least", from)),
        until.map(|until| text("gap_less_than", until)),
    ];
    fields.push((key.into(), filter_value(&sequence.then)));
    fields.extend(spans.into_iter().flatten());
    if let Some(path) = &sequence.same {
        fields.push(("same".into(), Value::from(path.as_str())));
    }
    fields
}

fn filter_value(filter: &EventFilter) -> Value {
    if let ([EventType::Track], [name]) = (filter.types(), filter.names())
        && filter.condition() == &Condition::ALWAYS
    {
        return Value::from(&**name);
    }
    let mut fields = Object::new();
    filter_fields(filter, &mut fields);
    Value::Object(fields)
}
