//! The mapping file: which column becomes which part of an event.
//!
//! It is YAML. Everything in it is checked before a row is read, and what is wrong is said with its path.

mod consents;

use super::moment::MomentForm;
use crate::error::CommandError;
pub(crate) use consents::{Answer, Consent};
use kith_types::{IdentifierType, write_json_string};
use serde_json::{Map, Value};
use std::path::Path;

/// The largest mapping file, in bytes, and the most columns that it may name in one part.
const FILE_BYTES_MAX: u64 = 1 << 20;
const FIELDS_MAX: usize = 1_000;
const PARTS: [&str; 11] = [
    "type",
    "event",
    "timestamp",
    "identifiers",
    "message_id",
    "properties",
    "traits",
    "consents",
    "constants",
    "separator",
    "header",
];

/// How rows become events.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    /// What they become.
    pub(crate) kind: Kind,
    /// When they happened.
    pub(crate) timestamp: (String, MomentForm),
    /// Whom they name.
    pub(crate) identifiers: Vec<(IdentifierType, Said)>,
    /// The column of the message id.
    pub(crate) message_id: Option<String>,
    /// The event's properties.
    pub(crate) properties: Vec<(String, Field)>,
    /// The person's traits.
    pub(crate) traits: Vec<(String, Field)>,
    /// What the person allows, by category.
    pub(crate) consents: Vec<(String, Consent)>,
    /// Properties, or traits of an identify call, that are the same in every event, as JSON.
    pub(crate) constants: Vec<(String, String)>,
    /// How a CSV file is written.
    pub(crate) csv: CsvForm,
}

/// What a row becomes.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A track call of that name.
    Track(Said),
    /// An identify call.
    Identify,
}

/// What is the same in every row, or stands in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The same text.
    Constant(String),
    /// That column.
    Column(String),
}

impl Said {
    /// The column, if it is one.
    fn column(&self) -> Option<&str> {
        if let Self::Column(column) = self {
            Some(column)
        } else {
            None
        }
    }
}

/// A column and what its text is read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// The column.
    pub(crate) column: String,
    /// What it is.
    pub(crate) form: Form,
}

/// What a column's text is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// What the file says it is: text in CSV.
    AsWritten,
    /// Text.
    Text,
    /// A number, exact.
    Number,
    /// `true` or `false`.
    Boolean,
    /// JSON.
    Json,
}

/// How a CSV file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CsvForm {
    /// What parts its columns.
    pub(crate) separator: Separator,
    /// Whether its first line names the columns.
    pub(crate) header: bool,
}

/// What parts columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Separator {
    /// A character; cells may be quoted.
    Character(u8),
    /// Any number of blanks and tabs.
    Whitespace,
}

impl Mapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// Everything that is wrong with it, with paths.
    pub(crate) fn read_file(path: &Path) -> Result<Self, CommandError> {
        let shown = path.display();
        let unreadable = |error| CommandError::caused(format!("the mapping {shown} cannot be read"), error);
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > FILE_BYTES_MAX {
            return Err(CommandError::new(format!(
                "the mapping {shown} is larger than {FILE_BYTES_MAX} bytes"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(|problem| format!("\n  - {problem}")).collect();
            CommandError::new(format!("the mapping {shown} must be mended:{}", lines.concat()))
        })
    }

    /// Reads a mapping.
    ///
    /// # Errors
    /// Everything that is wrong with it, one line each.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<String>> {
        let value: Value = serde_yaml_ng::from_str(text).map_err(|error| vec![format!("not YAML: {error}")])?;
        let Value::Object(mut parts) = value else {
            return Err(vec![
                "a mapping has named parts, such as timestamp: {column: date}".to_owned(),
            ]);
        };
        let mut reader = Problems::default();
        let kind = reader.kind(&mut parts);
        let timestamp = reader.timestamp(parts.remove("timestamp"));
        let identifiers = reader.identifiers(parts.remove("identifiers"));
        let message_id = reader.message_id(parts.remove("message_id"));
        let properties = reader.fields("properties", parts.remove("properties"));
        let traits = reader.fields("traits", parts.remove("traits"));
        let consents = reader.consents(parts.remove("consents"));
        let constants = reader.constants(parts.remove("constants"));
        let csv = reader.csv_form(parts.remove("separator").as_ref(), parts.remove("header").as_ref());
        for unknown in parts.keys() {
            let meant = did_you_mean(unknown, &PARTS);
            let known = PARTS.join(", ");
            reader.0.push(format!(
                "{unknown:?} is no part of a mapping{meant}; the parts are {known}"
            ));
        }
        if matches!(kind, Some(Kind::Identify)) && !properties.is_empty() {
            reader.tell("properties", "an identify call has traits: name them under traits");
        }
        match (kind, timestamp, reader.0.is_empty()) {
            (Some(kind), Some(timestamp), true) => Ok(Self {
                kind,
                timestamp,
                identifiers,
                message_id,
                properties,
                traits,
                consents,
                constants,
                csv,
            }),
            _ => Err(reader.0),
        }
    }

    /// Every column that is named.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        let event = match &self.kind {
            Kind::Track(name) => name.column(),
            Kind::Identify => None,
        };
        let identifiers = self.identifiers.iter().filter_map(|(_, said)| said.column());
        let fields = self
            .properties
            .iter()
            .chain(&self.traits)
            .map(|(_, field)| field.column.as_str());
        event
            .into_iter()
            .chain([self.timestamp.0.as_str()])
            .chain(identifiers)
            .chain(self.message_id.as_deref())
            .chain(fields)
            .chain(self.consents.iter().filter_map(|(_, consent)| consent.column()))
    }
}

/// What is wrong, as far as it is read.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn tell(&mut self, path: &str, what: &str) {
        self.0.push(format!("{path}: {what}"));
    }

    fn kind(&mut self, parts: &mut Map<String, Value>) -> Option<Kind> {
        let kind = parts.remove("type");
        let event = parts.remove("event").map(|event| self.said("event", event));
        match kind.as_ref().map_or(Some("track"), Value::as_str) {
            Some("track") => match event {
                Some(event) => event.map(Kind::Track),
                None => {
                    self.tell(
                        "event",
                        "name the event, such as Order Completed, or its column, {column: event_name}",
                    );
                    None
                }
            },
            Some("identify") => {
                if event.is_some() {
                    self.tell("event", "an identify call has no name: leave it out");
                }
                Some(Kind::Identify)
            }
            _ => {
                self.tell("type", "is track or identify");
                None
            }
        }
    }

    fn timestamp(&mut self, value: Option<Value>) -> Option<(String, MomentForm)> {
        let Some(value) = value else {
            self.tell(
                "timestamp",
                "say when rows happened: {column: date}, with format and zone where they need them",
            );
            return None;
        };
        let fields = self.object("timestamp", value, &["column", "format", "zone"])?;
        let column = self.column("timestamp", &fields)?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        match MomentForm::new(text("format"), text("zone")) {
            Ok(form) => Some((column, form)),
            Err(problem) => {
                self.tell("timestamp", &problem);
                None
            }
        }
    }

    fn identifiers(&mut self, value: Option<Value>) -> Vec<(IdentifierType, Said)> {
        let named = self.named("identifiers", value);
        if named.is_empty() {
            self.tell(
                "identifiers",
                "name at least one, such as user_id: {column: customer_id}",
            );
        }
        let mut identifiers = Vec::with_capacity(named.len());
        for (name, value) in named {
            if !IdentifierType::is_name(&name) {
                let shown: String = name.chars().take(64).collect();
                let what = format!("{shown:?} is no type name: 1 to 64 bytes without white space and without a colon");
                self.tell("identifiers", &what);
                continue;
            }
            if let Some(said) = self.said(&format!("identifiers.{name}"), value) {
                identifiers.push((IdentifierType::from_name(&name), said));
            }
        }
        identifiers
    }

    fn message_id(&mut self, value: Option<Value>) -> Option<String> {
        let fields = self.object("message_id", value?, &["column"])?;
        self.column("message_id", &fields)
    }

    fn fields(&mut self, part: &str, value: Option<Value>) -> Vec<(String, Field)> {
        let mut fields = Vec::new();
        for (name, value) in self.named(part, value) {
            let path = format!("{part}.{name}");
            let Some(said) = self.object(&path, value, &["column", "as"]) else {
                continue;
            };
            let form = match said.get("as").map_or(Some(""), Value::as_str) {
                Some("") => Form::AsWritten,
                Some("text") => Form::Text,
                Some("number") => Form::Number,
                Some("boolean") => Form::Boolean,
                Some("json") => Form::Json,
                _ => {
                    self.tell(&format!("{path}.as"), "is text, number, boolean or json");
                    continue;
                }
            };
            if let Some(column) = self.column(&path, &said) {
                fields.push((name, Field { column, form }));
            }
        }
        fields
    }

    fn constants(&mut self, value: Option<Value>) -> Vec<(String, String)> {
        self.named("constants", value)
            .into_iter()
            .map(|(name, value)| (name, value.to_string()))
            .collect()
    }

    fn csv_form(&mut self, separator: Option<&Value>, header: Option<&Value>) -> CsvForm {
        let separator = match separator.map(Value::as_str) {
            None => Separator::Character(b','),
            Some(Some("tab")) => Separator::Character(b'\t'),
            Some(Some("whitespace")) => Separator::Whitespace,
            Some(Some(text)) if text.len() == 1 && !text.starts_with(['"', '\n', '\r']) => {
                Separator::Character(text.as_bytes().first().copied().unwrap_or(b','))
            }
            Some(_) => {
                self.tell("separator", "is one character such as \";\", or tab, or whitespace");
                Separator::Whitespace
            }
        };
        let header = header.map_or(Some(true), Value::as_bool).unwrap_or_else(|| {
            self.tell(
                "header",
                "is true, or false where the first line is a row; columns are c1, c2 and so on then",
            );
            true
        });
        CsvForm { separator, header }
    }

    /// A text that is the same in every row, or `{column: name}`.
    fn said(&mut self, path: &str, value: Value) -> Option<Said> {
        match value {
            Value::String(text) if !text.trim().is_empty() => Some(Said::Constant(text)),
            Value::Object(_) => {
                let fields = self.object(path, value, &["column"])?;
                self.column(path, &fields).map(Said::Column)
            }
            _ => {
                self.tell(path, "is a text, or {column: name}");
                None
            }
        }
    }

    fn column(&mut self, path: &str, fields: &Map<String, Value>) -> Option<String> {
        let column = fields
            .get("column")
            .and_then(Value::as_str)
            .filter(|column| !column.is_empty());
        if column.is_none() {
            self.tell(path, "names a column: {column: name}");
        }
        column.map(str::to_owned)
    }

    fn object(&mut self, path: &str, value: Value, known: &[&str]) -> Option<Map<String, Value>> {
        let Value::Object(fields) = value else {
            self.tell(path, "names a column: {column: name}");
            return None;
        };
        for (field, value) in &fields {
            if !known.contains(&field.as_str()) {
                let meant = did_you_mean(field, known);
                let what = format!("{field:?} is not known here{meant}; known are {}", known.join(", "));
                self.tell(path, &what);
            } else if !value.is_string() {
                self.tell(&format!("{path}.{field}"), "is a text: put it in quotes");
            }
        }
        Some(fields)
    }

    fn named(&mut self, part: &str, value: Option<Value>) -> Map<String, Value> {
        match value {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(fields)) if fields.len() <= FIELDS_MAX => fields,
            Some(Value::Object(_)) => {
                self.tell(part, &format!("has more than {FIELDS_MAX} names"));
                Map::new()
            }
            Some(_) => {
                self.tell(part, "has names, each with what stands there");
                Map::new()
            }
        }
    }
}

/// What a word that is not known was most likely meant to be.
fn did_you_mean(word: &str, known: &[&str]) -> String {
    kith_expr::nearest(word, known).map_or_else(String::new, |meant| format!(": did you mean {meant}?"))
}

/// A text as JSON.
pub(crate) fn json_text(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    write_json_string(text, &mut json);
    json
}
