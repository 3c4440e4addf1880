//! The small pieces of documents: texts, numbers, times, spans, paths, lists, each with its limit.

use super::error::kind_of;
use super::{DocumentError, MAX_DEPTH, MAX_LIST, MAX_TEXT_BYTES};
use crate::Path;
use kith_types::{Decimal, Duration, Timestamp, Value};
use serde_json::{Number, Value as Json};

pub(super) fn text_of(json: &Json) -> Result<&str, DocumentError> {
    let text = json.as_str().ok_or_else(|| {
        let error = DocumentError::new(format!("expected a text, found {}", kind_of(json)));
        if json.is_number() || json.is_boolean() {
            error.hint("put it in quotes")
        } else {
            error
        }
    })?;
    if text.is_empty() {
        return Err(DocumentError::new("the text is empty"));
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(DocumentError::new(format!(
            "the text is longer than {MAX_TEXT_BYTES} bytes"
        )));
    }
    Ok(text)
}

pub(super) fn list_of(json: &Json) -> Result<&[Json], DocumentError> {
    let items = json
        .as_array()
        .ok_or_else(|| DocumentError::new(format!("expected a list, found {}", kind_of(json))))?;
    if items.len() > MAX_LIST {
        return Err(DocumentError::new(format!(
            "the list has {} entries, the limit is {MAX_LIST}",
            items.len()
        )));
    }
    Ok(items)
}

/// A text, number or truth value: what a value can be compared with.
pub(super) fn scalar_of(json: &Json) -> Result<Value, DocumentError> {
    match json {
        Json::Null => Err(DocumentError::new("nothing equals null").hint("ask `exists: false`")),
        Json::Array(_) | Json::Object(_) => Err(DocumentError::new(format!(
            "expected a text, a number, true or false, found {}",
            kind_of(json)
        ))),
        Json::String(text) if text.len() > MAX_TEXT_BYTES => Err(DocumentError::new(format!(
            "the text is longer than {MAX_TEXT_BYTES} bytes"
        ))),
        scalar => value_of_json(scalar),
    }
}

/// Reads a dotted path.
///
/// # Errors
/// When it is no text, is too long or has an empty step.
pub fn parse_path(json: &Json) -> Result<Path, DocumentError> {
    let text = text_of(json)?;
    Path::new(text)
        .ok_or_else(|| DocumentError::new(format!("{text:?} is not a path such as `total` or `order.total`")))
}

/// Reads a span such as `30d`.
///
/// # Errors
/// When it is not one.
pub fn parse_duration(json: &Json) -> Result<Duration, DocumentError> {
    let text = json
        .as_str()
        .ok_or_else(|| DocumentError::new(format!("expected a span such as 30d, found {}", kind_of(json))))?;
    Duration::parse(text).map_err(|error| DocumentError::new(error.to_string()))
}

/// Reads an ISO 8601 moment.
///
/// # Errors
/// When it is not one.
pub fn parse_timestamp(json: &Json) -> Result<Timestamp, DocumentError> {
    let text = json
        .as_str()
        .ok_or_else(|| DocumentError::new(format!("expected a time such as 2026-11-23, found {}", kind_of(json))))?;
    Timestamp::parse(text).map_err(|error| DocumentError::new(error.to_string()))
}

/// The exact value that a JSON value writes.
///
/// # Errors
/// For a number that cannot be carried exactly, and for lists and objects that nest deeper than [`MAX_DEPTH`].
pub fn value_of_json(json: &Json) -> Result<Value, DocumentError> {
    value_within(json, MAX_DEPTH)
}

fn value_within(json: &Json, depth: usize) -> Result<Value, DocumentError> {
    let inner = || {
        depth
            .checked_sub(1)
            .ok_or_else(|| DocumentError::new(format!("values nest deeper than {MAX_DEPTH}")))
    };
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => Value::Number(
            number
                .to_string()
                .parse::<Decimal>()
                .map_err(|error| DocumentError::new(format!("{number}: {error}")))?,
        ),
        Json::String(text) => Value::String(text.as_str().into()),
        Json::Array(items) => {
            let depth = inner()?;
            let items = items
                .iter()
                .enumerate()
                .map(|(at, item)| value_within(item, depth).map_err(|error| error.item(at)));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Json::Object(fields) => {
            let depth = inner()?;
            let fields = fields.iter().map(|(key, value)| {
                Ok((
                    key.as_str().into(),
                    value_within(value, depth).map_err(|error| error.within(key))?,
                ))
            });
            Value::Object(fields.collect::<Result<_, DocumentError>>()?)
        }
    })
}

/// The JSON value of an exact value. A number that is neither a whole number of 64 bits nor exact in binary floating
/// point becomes the nearest one that is; documents only hold numbers that were read from JSON.
#[must_use]
pub fn json_of_value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Number(number) => match number.to_i64() {
            Some(whole) => Json::Number(whole.into()),
            None => number.to_string().parse::<u64>().map_or_else(
                |_| Number::from_f64(number.to_f64()).map_or(Json::Null, Json::Number),
                |whole| Json::Number(whole.into()),
            ),
        },
        Value::String(text) => Json::String(text.to_string()),
        Value::Array(items) => Json::Array(items.iter().map(json_of_value).collect()),
        Value::Object(fields) => Json::Object(
            fields
                .iter()
                .map(|(key, value)| (key.to_string(), json_of_value(value)))
                .collect(),
        ),
    }
}
