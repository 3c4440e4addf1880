//! Rows of `clean.events`, straight from events: no row structure and no JSON tree between.
//!
//! The pipeline's listener adds each event while it is at hand, in the processor's caches; a step's rows leave as one
//! batch. JSON text is written into one scratch string and copied into its column.

use crate::error::LakeError;
use crate::tables;
use arrow_array::builder::{Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, RecordBatch};
use kith_types::{
    Event, EventType, IdentifierType, Object, Origin, TimeNote, Value, write_json_object, write_json_string,
};
use std::borrow::Borrow;
use std::fmt::Write;
use std::sync::Arc;

/// The common columns that lie in an event's context, in the order of the table.
#[derive(Clone, Copy, Default)]
struct Common<'a> {
    page_url: Option<&'a str>,
    page_path: Option<&'a str>,
    page_title: Option<&'a str>,
    referrer: Option<&'a str>,
    campaign_source: Option<&'a str>,
    campaign_medium: Option<&'a str>,
    campaign_name: Option<&'a str>,
    library_name: Option<&'a str>,
    library_version: Option<&'a str>,
    user_agent: Option<&'a str>,
    locale: Option<&'a str>,
    ip: Option<&'a str>,
}

impl<'a> Common<'a> {
    fn of(event: &'a Event) -> Self {
        let mut common = Self::default();
        for (key, value) in &event.context {
            match (&**key, value) {
                ("page", Value::Object(page)) => common.take_page(page),
                ("campaign", Value::Object(campaign)) => common.take_campaign(campaign),
                ("library", Value::Object(library)) => common.take_library(library),
                ("userAgent", Value::String(text)) => common.user_agent = Some(text),
                ("locale", Value::String(text)) => common.locale = Some(text),
                ("ip", Value::String(text)) => common.ip = Some(text),
                _ => {}
            }
        }
        if event.event_type == EventType::Page {
            common.take_page(&event.properties);
        }
        common
    }

    /// In the order of the table.
    fn values(self) -> [Option<&'a str>; 12] {
        [
            self.page_url,
            self.page_path,
            self.page_title,
            self.referrer,
            self.campaign_source,
            self.campaign_medium,
            self.campaign_name,
            self.library_name,
            self.library_version,
            self.user_agent,
            self.locale,
            self.ip,
        ]
    }

    fn take_page(&mut self, page: &'a Object) {
        for (key, value) in page {
            let Value::String(text) = value else { continue };
            let column = match &**key {
                "url" => &mut self.page_url,
                "path" => &mut self.page_path,
                "title" => &mut self.page_title,
                "referrer" => &mut self.referrer,
                _ => continue,
            };
            column.get_or_insert(text);
        }
    }

    fn take_campaign(&mut self, campaign: &'a Object) {
        for (key, value) in campaign {
            let Value::String(text) = value else { continue };
            match &**key {
                "source" => self.campaign_source = Some(text),
                "medium" => self.campaign_medium = Some(text),
                "name" => self.campaign_name = Some(text),
                _ => {}
            }
        }
    }

    fn take_library(&mut self, library: &'a Object) {
        for (key, value) in library {
            let Value::String(text) = value else { continue };
            match &**key {
                "name" => self.library_name = Some(text),
                "version" => self.library_version = Some(text),
                _ => {}
            }
        }
    }
}

fn identifier<'a>(event: &'a Event, kind: &IdentifierType) -> Option<&'a str> {
    event
        .identifiers
        .iter()
        .find(|identifier| identifier.kind == *kind)
        .map(|identifier| &*identifier.value)
}

fn write_identifiers(event: &Event, out: &mut String) {
    out.push('[');
    for (at, identifier) in event.identifiers.iter().enumerate() {
        out.push_str(if at > 0 { ",{\"type\":" } else { "{\"type\":" });
        write_json_string(identifier.kind.as_str(), out);
        out.push_str(",\"value\":");
        write_json_string(&identifier.value, out);
        out.push('}');
    }
    out.push(']');
}

/// The column of the sequence numbers of the events' records.
const SEQUENCE: &str = "sequence";

/// A column of text that begins anew with the size that it had.
struct Text(StringBuilder);

impl Text {
    fn new() -> Self {
        Self(StringBuilder::with_capacity(0, 0))
    }

    fn put(&mut self, value: &str) {
        self.0.append_value(value);
    }

    fn put_option(&mut self, value: Option<&str>) {
        self.0.append_option(value);
    }

    fn finish(&mut self) -> ArrayRef {
        let (rows, bytes) = (self.0.offsets_slice().len(), self.0.values_slice().len());
        let mut full = std::mem::replace(&mut self.0, StringBuilder::with_capacity(rows, bytes));
        Arc::new(full.finish())
    }
}

/// Events as rows of `clean.events`, in the order they come.
pub struct EventRows {
    rows: usize,
    scratch: String,
    key: Text,
    message_id: Text,
    event_type: Text,
    name: Text,
    source: Text,
    user_id: Text,
    anonymous_id: Text,
    group_id: Text,
    event_time: TimestampMicrosecondBuilder,
    received_at: TimestampMicrosecondBuilder,
    time_note: Text,
    origin: Text,
    generation: Int32Builder,
    partition: Int32Builder,
    sequence: Int64Builder,
    index: Int64Builder,
    /// In the order of [`Common`]'s fields.
    common: [Text; 12],
    identifiers: Text,
    properties: Text,
    traits: Text,
    context: Text,
}

impl Default for EventRows {
    fn default() -> Self {
        Self {
            rows: 0,
            scratch: String::new(),
            key: Text::new(),
            message_id: Text::new(),
            event_type: Text::new(),
            name: Text::new(),
            source: Text::new(),
            user_id: Text::new(),
            anonymous_id: Text::new(),
            group_id: Text::new(),
            event_time: TimestampMicrosecondBuilder::new(),
            received_at: TimestampMicrosecondBuilder::new(),
            time_note: Text::new(),
            origin: Text::new(),
            generation: Int32Builder::new(),
            partition: Int32Builder::new(),
            sequence: Int64Builder::new(),
            index: Int64Builder::new(),
            common: std::array::from_fn(|_| Text::new()),
            identifiers: Text::new(),
            properties: Text::new(),
            traits: Text::new(),
            context: Text::new(),
        }
    }
}

impl EventRows {
    /// Adds a row.
    pub fn push(&mut self, event: &Event) {
        self.rows += 1;
        self.scratch.clear();
        // Writing to a string cannot fail.
        write!(self.scratch, "{:032x}", event.key.0).unwrap_or_default();
        self.key.put(&self.scratch);
        self.message_id.put_option(event.message_id.as_deref());
        self.event_type.put(event.event_type.as_str());
        self.name.put(&event.name);
        self.source.put(event.source.as_str());
        self.user_id.put_option(identifier(event, &IdentifierType::UserId));
        self.anonymous_id
            .put_option(identifier(event, &IdentifierType::AnonymousId));
        self.group_id.put_option(event.group_id.as_deref());
        self.event_time.append_value(event.event_time.as_micros());
        self.received_at.append_value(event.received_at.as_micros());
        self.time_note.put_option(event.time_note.map(TimeNote::as_str));
        self.origin.put(match event.origin {
            Origin::Live => "live",
            Origin::Import => "import",
        });
        self.generation.append_value(i32::from(event.address.generation));
        self.partition.append_value(i32::from(event.address.partition));
        self.sequence
            .append_value(i64::try_from(event.address.sequence).unwrap_or(i64::MAX));
        self.index.append_value(i64::from(event.address.index));
        for (column, value) in self.common.iter_mut().zip(Common::of(event).values()) {
            column.put_option(value);
        }
        self.push_json(event);
    }

    fn push_json(&mut self, event: &Event) {
        let scratch = &mut self.scratch;
        scratch.clear();
        write_identifiers(event, scratch);
        self.identifiers.put(scratch);
        for (object, column) in [
            (&event.properties, &mut self.properties),
            (&event.traits, &mut self.traits),
            (&event.context, &mut self.context),
        ] {
            scratch.clear();
            write_json_object(object, scratch);
            column.put(scratch);
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows so far, which are gone from here.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the columns do not fit the table, which is a defect.
    pub fn finish(&mut self) -> Result<EventBatch, LakeError> {
        self.rows = 0;
        let time =
            |builder: &mut TimestampMicrosecondBuilder| -> ArrayRef { Arc::new(builder.finish().with_timezone("UTC")) };
        let mut columns: Vec<ArrayRef> = vec![
            self.key.finish(),
            self.message_id.finish(),
            self.event_type.finish(),
            self.name.finish(),
            self.source.finish(),
            self.user_id.finish(),
            self.anonymous_id.finish(),
            self.group_id.finish(),
            time(&mut self.event_time),
            time(&mut self.received_at),
            self.time_note.finish(),
            self.origin.finish(),
            Arc::new(self.generation.finish()),
            Arc::new(self.partition.finish()),
            Arc::new(self.sequence.finish()),
            Arc::new(self.index.finish()),
        ];
        columns.extend(self.common.iter_mut().map(Text::finish));
        columns.extend([
            self.identifiers.finish(),
            self.properties.finish(),
            self.traits.finish(),
            self.context.finish(),
        ]);
        Ok(EventBatch(RecordBatch::try_new(
            tables::clean_events().arrow_schema(),
            columns,
        )?))
    }
}

/// Rows of `clean.events`, by their records' sequence numbers.
#[derive(Clone, Debug)]
pub struct EventBatch(RecordBatch);

impl EventBatch {
    /// The rows as Arrow has them.
    #[must_use]
    pub fn batch(&self) -> &RecordBatch {
        &self.0
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.num_rows()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows of records from a sequence number on; the rows must be in the order of their records.
    #[must_use]
    pub fn from_sequence(self, first: u64) -> Self {
        let before = self
            .0
            .column_by_name(SEQUENCE)
            .and_then(|column| column.as_primitive_opt::<Int64Type>())
            .map_or(0, |sequences| {
                sequences
                    .values()
                    .partition_point(|sequence| sequence.cast_unsigned() < first)
            });
        Self(self.0.slice(before, self.0.num_rows() - before))
    }
}

/// A batch of `clean.events`.
///
/// # Errors
/// As [`EventRows::finish`].
pub fn events<E: Borrow<Event>>(events: &[E]) -> Result<RecordBatch, LakeError> {
    let mut rows = EventRows::default();
    for event in events {
        rows.push(event.borrow());
    }
    Ok(rows.finish()?.0)
}
