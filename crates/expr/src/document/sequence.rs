//! Sequences as documents: `{first: …, then: …, gap_less_than: 2h, gap_at_least: 1h, same: cart_id}`, or `then_not`.
//!
//! `first` and `then` are an event's name or a filter. It reads and writes; it never looks at events.

use super::scalars::text_of;
use super::write::filter_fields;
use super::{DocumentError, object_of, parse_duration, parse_filter, parse_path};
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
    let filter = |key: &str| {
        fields
            .get(key)
            .map(|json| event_filter(json).map_err(|error| error.within(key)))
            .transpose()
    };
    let span = |key: &str| {
        fields
            .get(key)
            .map(|json| parse_duration(json).map_err(|error| error.within(key)))
            .transpose()
    };
    let first = filter("first")?.ok_or_else(|| DocumentError::new("`first` is missing: which event begins it?"))?;
    let (then, follows) = match (filter("then")?, filter("then_not")?) {
        (Some(then), None) => (then, gaps(span("gap_at_least")?, span("gap_less_than")?)?),
        (None, Some(then)) => {
            if fields.contains_key("gap_at_least") {
                let problem = "`gap_at_least` does not go with `then_not`: say with `gap_less_than` for how long nothing may follow";
                return Err(DocumentError::new(problem).within("gap_at_least"));
            }
            let until = span("gap_less_than")?
                .ok_or_else(|| DocumentError::new("`gap_less_than` is missing: for how long must it not follow?"))?;
            (then, Follows::Nothing { until })
        }
        (Some(_), Some(_)) => return Err(DocumentError::new("both `then` and `then_not`: keep one")),
        (None, None) => return Err(DocumentError::new("`then` or `then_not` is missing: what follows?")),
    };
    let same = fields
        .get("same")
        .map(|json| parse_path(json).map_err(|error| error.within("same")))
        .transpose()?;
    Ok((first, Sequence { then, follows, same }))
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
