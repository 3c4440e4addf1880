//! A row to an event, by the mapping: the JSON that an SDK would have sent, with a message id that is always the same.
//!
//! A row without a message id of its own is named by its hash and its ordinal among equal rows, so that the same file
//! twice gives the same ids, and two equal rows of one file stay two events.

use super::mapping::{Answer, Field, Form, Kind, Mapping, Said, json_text};
use super::row::{Cell, Row, RowFault};
use kith_types::{Decimal, IdentifierType, Timestamp, write_json_string};
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt::Write;

/// Makes events of rows, and counts equal rows.
pub(crate) struct Events<'a> {
    mapping: &'a Mapping,
    /// The first half of the hash of every row so far: eight bytes a row, not thirty-two. Where two rows share it by
    /// chance, an ordinal is skipped, each time alike.
    seen: FxHashSet<u64>,
    repeated: FxHashMap<u64, u32>,
}

/// What a row became.
pub(crate) struct Made {
    /// The event, as JSON.
    pub(crate) json: String,
    /// When it happened.
    pub(crate) moment: Timestamp,
    /// Its message id, where a column gives it.
    pub(crate) message_id: Option<String>,
}

impl<'a> Events<'a> {
    /// Events by that mapping.
    pub(crate) fn new(mapping: &'a Mapping) -> Self {
        Self {
            mapping,
            seen: FxHashSet::default(),
            repeated: FxHashMap::default(),
        }
    }

    /// The event of a row.
    ///
    /// # Errors
    /// The column that cannot be mapped.
    pub(crate) fn event(&mut self, row: &Row) -> Result<Made, RowFault> {
        let message_id = self.message_id(row)?;
        let mut json = String::with_capacity(512);
        json.push_str(match self.mapping.kind {
            Kind::Track(_) => r#"{"type":"track""#,
            Kind::Identify => r#"{"type":"identify""#,
        });
        member(&mut json, "messageId", &json_text(&message_id));
        let (column, form) = &self.mapping.timestamp;
        let cell = row.get(column);
        let text = cell
            .text()
            .ok_or_else(|| fault(row, column, "says nothing: a row must say when it happened"))?;
        let moment = form.read(text).map_err(|message| fault(row, column, &message))?;
        member(&mut json, "timestamp", &json_text(&moment.to_string()));
        let external_ids = self.identifiers(row, &mut json)?;
        let traits = object(row, &self.mapping.traits)?;
        let mut context = String::new();
        match &self.mapping.kind {
            Kind::Track(name) => {
                let name = said(row, name).ok_or_else(|| fault(row, "", "names no event"))?;
                member(&mut json, "event", &json_text(&name));
                let mut properties = object(row, &self.mapping.properties)?;
                self.constants(&mut properties);
                member(&mut json, "properties", &format!("{{{properties}}}"));
                if !traits.is_empty() {
                    write_member(&mut context, "traits", &format!("{{{traits}}}"));
                }
            }
            Kind::Identify => {
                let mut traits = traits;
                self.constants(&mut traits);
                member(&mut json, "traits", &format!("{{{traits}}}"));
            }
        }
        if !external_ids.is_empty() {
            write_member(&mut context, "externalIds", &format!("[{external_ids}]"));
        }
        let consents = self.consents(row)?;
        if !consents.is_empty() {
            let consent = format!(r#"{{"categoryPreferences":{{{consents}}}}}"#);
            write_member(&mut context, "consent", &consent);
        }
        if !context.is_empty() {
            member(&mut json, "context", &format!("{{{context}}}"));
        }
        json.push('}');
        Ok(Made {
            json,
            moment,
            message_id: self.mapping.message_id.is_some().then_some(message_id),
        })
    }

    fn message_id(&mut self, row: &Row) -> Result<String, RowFault> {
        if let Some(column) = &self.mapping.message_id {
            let cell = row.get(column);
            return cell
                .text()
                .map(str::to_owned)
                .ok_or_else(|| fault(row, column, "says nothing: a message id is wanted"));
        }
        // What is made of a row is part of its name, so that one file can be orders and customers of one source.
        let hash = match &self.mapping.kind {
            Kind::Track(name) => row.hash(&["track", &said(row, name).unwrap_or_default()]),
            Kind::Identify => row.hash(&["identify"]),
        };
        let short = hash.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first));
        let mut ordinal = 0;
        if !self.seen.insert(short) {
            let count = self.repeated.entry(short).or_insert(0);
            *count += 1;
            ordinal = *count;
        }
        let mut id = String::with_capacity(72);
        for byte in hash {
            // Writing to a string cannot fail.
            write!(id, "{byte:02x}").unwrap_or_default();
        }
        write!(id, "-{ordinal}").unwrap_or_default();
        Ok(id)
    }

    /// Writes `userId` and `anonymousId`; gives the others as items of `externalIds`.
    fn identifiers(&self, row: &Row, json: &mut String) -> Result<String, RowFault> {
        let mut items = String::new();
        let mut any = false;
        for (kind, value) in &self.mapping.identifiers {
            let Some(value) = said(row, value).filter(|value| !value.trim().is_empty()) else {
                continue;
            };
            any = true;
            match kind {
                IdentifierType::UserId => member(json, "userId", &json_text(&value)),
                IdentifierType::AnonymousId => member(json, "anonymousId", &json_text(&value)),
                other => {
                    if !items.is_empty() {
                        items.push(',');
                    }
                    let (id, name) = (json_text(&value), json_text(other.as_str()));
                    // Writing to a string cannot fail.
                    write!(
                        items,
                        r#"{{"id":{id},"type":{name},"collection":"users","encoding":"none"}}"#
                    )
                    .unwrap_or_default();
                }
            }
        }
        if any {
            Ok(items)
        } else {
            Err(fault(row, "", "names nobody: every column of identifiers says nothing"))
        }
    }

    /// The members of `categoryPreferences`; categories of which the row says nothing are left out.
    fn consents(&self, row: &Row) -> Result<String, RowFault> {
        let mut members = String::new();
        for (category, consent) in &self.mapping.consents {
            let column = consent.column().unwrap_or_default();
            let cell = row.get(column);
            match consent.answer(cell.text()) {
                Answer::Said(true) => write_member(&mut members, category, "true"),
                Answer::Said(false) => write_member(&mut members, category, "false"),
                Answer::Nothing => {}
                Answer::Neither => {
                    let text: String = cell.text().unwrap_or_default().chars().take(60).collect();
                    let words = consent.words();
                    let message = format!("{text:?} says neither yes nor no to {category}; known are {words}");
                    return Err(fault(row, column, &message));
                }
            }
        }
        Ok(members)
    }

    fn constants(&self, object: &mut String) {
        for (name, value) in &self.mapping.constants {
            write_member(object, name, value);
        }
    }
}

fn said(row: &Row, said: &Said) -> Option<String> {
    match said {
        Said::Constant(text) => Some(text.clone()),
        Said::Column(column) => row.get(column).text().map(str::to_owned),
    }
}

fn fault(row: &Row, column: &str, message: &str) -> RowFault {
    RowFault {
        place: row.place.clone(),
        column: column.to_owned(),
        message: message.to_owned(),
    }
}

/// The members of an object; columns that say nothing are left out.
fn object(row: &Row, fields: &[(String, Field)]) -> Result<String, RowFault> {
    let mut json = String::new();
    for (name, field) in fields {
        let cell = row.get(&field.column);
        if let Some(value) = value(&cell, field.form).map_err(|message| fault(row, &field.column, &message))? {
            write_member(&mut json, name, &value);
        }
    }
    Ok(json)
}

/// A cell as JSON.
fn value(cell: &Cell, form: Form) -> Result<Option<String>, String> {
    let Some(text) = cell.text() else { return Ok(None) };
    let shown = || text.chars().take(60).collect::<String>();
    let json = match form {
        Form::AsWritten => match cell {
            Cell::Text(text) => json_text(text),
            _ => text.to_owned(),
        },
        Form::Text => json_text(text),
        Form::Number => number(text).ok_or_else(|| format!("{:?} is no number, such as 12.50", shown()))?,
        Form::Boolean => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" => "true".to_owned(),
            "false" | "f" | "no" | "n" | "0" => "false".to_owned(),
            _ => return Err(format!("{:?} is neither true nor false", shown())),
        },
        Form::Json => {
            let raw: Box<serde_json::value::RawValue> =
                serde_json::from_str(text).map_err(|error| format!("{:?} is not JSON: {error}", shown()))?;
            raw.get().to_owned()
        }
    };
    Ok(Some(json))
}

/// A number as JSON writes it; a plus, zeros before it and a point without a digit before it are mended.
fn number(text: &str) -> Option<String> {
    let text = text.trim();
    if text.parse::<Decimal>().is_ok() {
        return Some(text.to_owned());
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = if digits.starts_with('0') {
        digits.trim_start_matches('0')
    } else {
        digits
    };
    let whole = if digits.starts_with(|first: char| first.is_ascii_digit()) {
        ""
    } else {
        "0"
    };
    let mended = format!("{sign}{whole}{digits}");
    mended.parse::<Decimal>().is_ok().then_some(mended)
}

/// Appends a member to an object that has some already.
fn member(json: &mut String, name: &str, value: &str) {
    json.push(',');
    write_json_string(name, json);
    json.push(':');
    json.push_str(value);
}

/// Appends a member to the members of an object, which may be none yet.
fn write_member(members: &mut String, name: &str, value: &str) {
    if members.is_empty() {
        write_json_string(name, members);
        members.push(':');
        members.push_str(value);
    } else {
        member(members, name, value);
    }
}
