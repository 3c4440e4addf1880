//! Conditions on what a person did, as documents: `performed`, `not_performed`, `sequence`, `lifecycle`.
//!
//! It reads and writes one condition; `document` reads the tree around it.

use super::{filled_text, shown};
use crate::count::COUNT_KEYS;
use crate::definition::MAX_REGULAR_TIMES;
use crate::{Condition, CountRange, Lifecycle, Performed, SequencePerformed, Stage};
use kith_expr::{
    Beside, DocumentError, EventFilter, FILTER_KEYS, SEQUENCE_KEYS, Window, check_keys, object_of, parse_duration,
    parse_filter_fields, parse_sequence_fields, parse_window, read_each, with_keys, write_filter_fields,
    write_sequence_fields, write_window,
};
use kith_types::Duration;
use serde_json::{Map, Value as Json, json};

pub(super) fn performed(json: &Json, positive: bool) -> Result<Condition, DocumentError> {
    if let Some(name) = json.as_str() {
        let filter = EventFilter::named(filled_text(json).map(|_| name)?);
        let count = if positive { CountRange::ONCE } else { CountRange::NEVER };
        return Ok(Condition::Performed(Performed {
            filter,
            count,
            window: Window::AllTime,
        }));
    }
    let fields = object_of(json).map_err(|error| error.hint("write an event's name or `{ event: … }`"))?;
    let counted = COUNT_KEYS.into_iter().find(|key| fields.contains_key(*key));
    let uncounted = match counted.filter(|_| !positive) {
        None => Ok(()),
        Some(key) => {
            let problem =
                "`not_performed` means not once and takes no count: use `performed` with `at_most` or `exactly`";
            Err(DocumentError::new(problem).within(key))
        }
    };
    let mut allowed = FILTER_KEYS.to_vec();
    allowed.push("within");
    if counted.is_some() || positive {
        allowed.extend(COUNT_KEYS);
    }
    let count = match positive {
        true => CountRange::parse(fields),
        false => Ok(CountRange::NEVER),
    };
    let read = parse_filter_fields(fields).beside(window_of(fields)).beside(count);
    let (_, ((filter, window), count)) = uncounted.beside(with_keys(check_keys(fields, &allowed), read))?;
    Ok(Condition::Performed(Performed { filter, count, window }))
}

pub(super) fn sequence(json: &Json) -> Result<Condition, DocumentError> {
    let fields = object_of(json).map_err(|error| error.hint("write `{ first: …, then: … }`"))?;
    let allowed = [&SEQUENCE_KEYS[..], &COUNT_KEYS[..], &["within"]].concat();
    let is_span = |within: &Json| parse_duration(within).is_ok();
    let window = match fields.get("within").is_some_and(is_span) {
        false => Ok(()),
        true => {
            let problem =
                "expected a window such as `{ last: 30d }`; the time between the two events is `gap_less_than`";
            Err(DocumentError::new(problem).within("within"))
        }
    };
    let read = match &window {
        Ok(()) => window_of(fields),
        // Told already.
        Err(_) => Ok(Window::AllTime),
    };
    let read = window
        .beside(parse_sequence_fields(fields))
        .beside(CountRange::parse(fields))
        .beside(read);
    let (((_, (first, sequence)), count), window) = with_keys(check_keys(fields, &allowed), read)?;
    Ok(Condition::Sequence(Box::new(SequencePerformed {
        first,
        sequence,
        count,
        window,
    })))
}

/// The keys of a lifecycle beside those of the filter, with the ones that each stage takes.
const LIFECYCLE_KEYS: [&str; 5] = ["stage", "last", "after", "every", "times"];

pub(super) fn lifecycle(json: &Json) -> Result<Condition, DocumentError> {
    let fields = object_of(json).map_err(|error| error.hint("write `{ stage: stopped, event: …, after: 30d }`"))?;
    let keys = check_keys(fields, &[&LIFECYCLE_KEYS[..], &FILTER_KEYS[..]].concat());
    let (stage, filter) = with_keys(keys, stage_of(fields).beside(parse_filter_fields(fields)))?;
    Ok(Condition::Lifecycle(Lifecycle { filter, stage }))
}

fn stage_of(fields: &Map<String, Json>) -> Result<Stage, DocumentError> {
    let word = fields.get("stage").ok_or_else(|| {
        let known = Stage::NAMES.join(", ");
        DocumentError::new(format!("`stage` is missing: one of {known}"))
    })?;
    let word = filled_text(word).map_err(|error| error.within("stage"))?;
    let takes: &[&str] = match word {
        "first_time" => &["last"],
        "regularly" => &["every", "times"],
        "stopped" => &["after"],
        "came_back" => &["after", "last"],
        other => return Err(DocumentError::unknown("stage", other, &Stage::NAMES).within("stage")),
    };
    let present = LIFECYCLE_KEYS[1..].iter().filter(|key| fields.contains_key(**key));
    let stray = read_each(present.filter(|key| !takes.contains(key)).map(|key| {
        let problem = format!("`{key}` does not go with `{word}`, which takes {}", takes.join(" and "));
        Err::<(), _>(DocumentError::new(problem).within(key))
    }));
    let missing = |key: &str| DocumentError::new(format!("`{key}` is missing: `{word}` takes {}", takes.join(" and ")));
    let span = |key: &str| -> Result<Duration, DocumentError> {
        let json = fields.get(key).ok_or_else(|| missing(key))?;
        parse_duration(json).map_err(|error| error.within(key))
    };
    let stage = match word {
        "first_time" => span("last").map(|last| Stage::FirstTime { last }),
        "stopped" => span("after").map(|after| Stage::Stopped { after }),
        "came_back" => (span("after").beside(span("last"))).map(|(after, last)| Stage::CameBack { after, last }),
        _ => {
            let times = fields.get("times").ok_or_else(|| missing("times")).and_then(times_of);
            (span("every").beside(times)).map(|(every, times)| Stage::Regularly { every, times })
        }
    };
    let (_, stage) = stray.beside(stage)?;
    Ok(stage)
}

fn times_of(json: &Json) -> Result<u32, DocumentError> {
    let times = json.as_u64().and_then(|times| u32::try_from(times).ok());
    times
        .filter(|times| (2..=MAX_REGULAR_TIMES).contains(times))
        .ok_or_else(|| {
            let problem = format!(
                "expected a whole number from 2 to {MAX_REGULAR_TIMES}, found {}",
                shown(json)
            );
            DocumentError::new(problem).within("times")
        })
}

fn window_of(fields: &Map<String, Json>) -> Result<Window, DocumentError> {
    match fields.get("within") {
        None => Ok(Window::AllTime),
        Some(window) => parse_window(window).map_err(|error| error.within("within")),
    }
}

pub(super) fn write_performed(performed: &Performed) -> Json {
    let Performed { filter, count, window } = performed;
    let mut fields = write_filter_fields(filter);
    let never = *count == CountRange::NEVER;
    if !never {
        count.write(&mut fields);
    }
    put_window(window, &mut fields);
    let key = if never { "not_performed" } else { "performed" };
    json!({ key: fields })
}

pub(super) fn write_sequence(performed: &SequencePerformed) -> Json {
    let mut fields = write_sequence_fields(&performed.first, &performed.sequence);
    performed.count.write(&mut fields);
    put_window(&performed.window, &mut fields);
    json!({ "sequence": fields })
}

pub(super) fn write_lifecycle(lifecycle: &Lifecycle) -> Json {
    let mut fields = write_filter_fields(&lifecycle.filter);
    let mut put = |key: &str, json: Json| fields.insert(key.to_owned(), json);
    put("stage", Json::from(lifecycle.stage.name()));
    match lifecycle.stage {
        Stage::FirstTime { last } => {
            put("last", Json::from(last.to_string()));
        }
        Stage::Regularly { every, times } => {
            put("every", Json::from(every.to_string()));
            put("times", Json::from(times));
        }
        Stage::Stopped { after } => {
            put("after", Json::from(after.to_string()));
        }
        Stage::CameBack { after, last } => {
            put("after", Json::from(after.to_string()));
            put("last", Json::from(last.to_string()));
        }
    }
    json!({ "lifecycle": fields })
}

fn put_window(window: &Window, fields: &mut Map<String, Json>) {
    if *window != Window::AllTime {
        fields.insert("within".to_owned(), write_window(window));
    }
}
