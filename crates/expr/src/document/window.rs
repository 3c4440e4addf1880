//! Windows as documents: `{last: 30d}`, `{before_last: 90d}`, `{ago: {from: 60d, to: 30d}}`,
//! `{between: {from: …, to: …}}`, `{this: month, zone: …}`, `{previous: month, count: 3, zone: …}`.
//!
//! It reads; `write` writes. It never asks what time it is.

use super::scalars::text_of;
use super::{Beside, DocumentError, check_keys, object_of, parse_duration, parse_timestamp, read_each, with_keys};
use crate::{CalendarUnit, MAX_PERIODS, Periods, Window, Zone};
use kith_types::Timestamp;
use serde_json::{Map, Value as Json};

/// The keys of a window. Exactly one of the first six says its kind; `count` and `zone` go with the calendar.
pub const WINDOW_KEYS: [&str; 8] = [
    "last",
    "before_last",
    "ago",
    "between",
    "this",
    "previous",
    "count",
    "zone",
];
const KINDS: usize = 6;

/// Reads a window, or the word `all_time`.
///
/// # Errors
/// With the path of the offending place below `json`.
pub fn parse_window(json: &Json) -> Result<Window, DocumentError> {
    if json.as_str() == Some("all_time") {
        return Ok(Window::AllTime);
    }
    let fields = object_of(json).map_err(|error| error.hint("write `last: 30d` or `between: { from: …, to: … }`"))?;
    with_keys(check_keys(fields, &WINDOW_KEYS), window_of(fields))
}

fn window_of(fields: &Map<String, Json>) -> Result<Window, DocumentError> {
    let mut kinds = WINDOW_KEYS[..KINDS].iter().filter(|key| fields.contains_key(**key));
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        let known = WINDOW_KEYS[..KINDS].join("`, `");
        return Err(DocumentError::new(format!("expected one of `{known}`")));
    };
    let others: &[&str] = match *kind {
        "this" => &["this", "zone"],
        "previous" => &["previous", "count", "zone"],
        kind => &[kind],
    };
    let known = fields.keys().filter(|key| WINDOW_KEYS.contains(&key.as_str()));
    let stray = read_each(known.filter(|key| !others.contains(&key.as_str())).map(|other| {
        let problem = format!("`{other}` does not go with `{kind}`");
        Err::<(), _>(DocumentError::new(problem).within(other))
    }));
    let inner = &fields[*kind];
    let window = match *kind {
        "last" => parse_duration(inner).map(Window::Last),
        "before_last" => parse_duration(inner).map(Window::BeforeLast),
        "ago" => ago_of(inner),
        "between" => between_of(inner),
        _ => {
            let (_, window) = stray.beside(calendar_of(kind, inner, fields))?;
            return Ok(window);
        }
    };
    let (_, window) = stray.beside(window.map_err(|error| error.within(kind)))?;
    Ok(window)
}

fn ago_of(json: &Json) -> Result<Window, DocumentError> {
    let fields = object_of(json)?;
    let end = |key: &str| {
        let end = fields.get(key).ok_or_else(|| {
            DocumentError::new(format!("`{key}` is missing")).hint("write `ago: { from: 60d, to: 30d }`")
        })?;
        parse_duration(end).map_err(|error| error.within(key))
    };
    let window = end("from").beside(end("to")).and_then(|(from, to)| {
        if from <= to {
            let problem = format!("`from` ({from}) must be longer ago than `to` ({to})");
            return Err(DocumentError::new(problem));
        }
        Ok(Window::Ago { from, to })
    });
    with_keys(check_keys(fields, &["from", "to"]), window)
}

fn between_of(json: &Json) -> Result<Window, DocumentError> {
    let fields = object_of(json)?;
    let end = |key: &str| {
        fields
            .get(key)
            .map(|end| parse_timestamp(end).map_err(|error| error.within(key)))
            .transpose()
    };
    let window = end("from").beside(end("to")).and_then(|ends| {
        if ends == (None, None) {
            return Err(DocumentError::new("expected `from`, `to` or both"));
        }
        let (from, to) = (ends.0.unwrap_or(Timestamp::MIN), ends.1.unwrap_or(Timestamp::MAX));
        if from >= to {
            return Err(DocumentError::new(format!(
                "`from` ({from}) must be before `to` ({to})"
            )));
        }
        Ok(Window::Between { from, to })
    });
    with_keys(check_keys(fields, &["from", "to"]), window)
}

fn calendar_of(kind: &str, unit: &Json, fields: &Map<String, Json>) -> Result<Window, DocumentError> {
    let names = CalendarUnit::ALL.map(CalendarUnit::as_str);
    let unit = text_of(unit)
        .and_then(|word| CalendarUnit::from_name(word).ok_or_else(|| DocumentError::unknown("period", word, &names)));
    let unit = unit.map_err(|error| error.within(kind));
    let zone = match fields.get("zone") {
        None => Ok(Zone::UTC),
        Some(json) => zone_of(json).map_err(|error| error.within("zone")),
    };
    let previous = match fields.get("count").filter(|_| kind == "previous") {
        None => Ok(u32::from(kind == "previous")),
        Some(json) => json
            .as_u64()
            .and_then(|count| u32::try_from(count).ok())
            .filter(|count| (1..=MAX_PERIODS).contains(count))
            .ok_or_else(|| {
                DocumentError::new(format!("expected a whole number from 1 to {MAX_PERIODS}")).within("count")
            }),
    };
    let ((unit, zone), previous) = unit.beside(zone).beside(previous)?;
    Ok(Window::Calendar(Periods { zone, unit, previous }))
}

fn zone_of(json: &Json) -> Result<Zone, DocumentError> {
    let name = text_of(json)?;
    Zone::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Zone::names().collect();
        match super::nearest(name, &known) {
            Some(_) => DocumentError::unknown("zone", name, &known),
            None => DocumentError::new(format!(
                "unknown zone `{}`: expected a name of the IANA database such as `Europe/Berlin`",
                name.chars().take(80).collect::<String>()
            )),
        }
    })
}
