//! Rows of `clean.events`, straight from events: no row structure and no JSON tree between.
//!
//! The pipeline's writer calls it once per batch. Each column is built in one pass over the events; JSON text is
//! written into one scratch string and copied into its column.

use super::columns::Columns;
use crate::error::LakeError;
use crate::tables;
use arrow_array::RecordBatch;
use arrow_array::builder::StringBuilder;
use kith_types::{
    Event, EventType, IdentifierType, Object, Origin, TimeNote, Value, write_json_object, write_json_string,
};
use std::borrow::Borrow;
use std::fmt::Write;
use std::sync::Arc;

/// The common columns that lie in an event's context.
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

/// A column of text that is written, not borrowed.
fn written<E: Borrow<Event>>(columns: &mut Columns, events: &[E], write: impl Fn(&Event, &mut String)) {
    let mut scratch = String::new();
    let mut builder = StringBuilder::with_capacity(events.len(), events.len() * 64);
    for event in events {
        scratch.clear();
        write(event.borrow(), &mut scratch);
        builder.append_value(&scratch);
    }
    columns.push(Arc::new(builder.finish()));
}

/// A batch of `clean.events`.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the batch would exceed what Arrow holds (2 GiB of text in a column): hand in
/// fewer events.
pub fn events<E: Borrow<Event>>(events: &[E]) -> Result<RecordBatch, LakeError> {
    let common: Vec<Common<'_>> = events.iter().map(|event| Common::of(event.borrow())).collect();
    let all = || events.iter().map(Borrow::<Event>::borrow);
    let mut columns = Columns::default();
    // Writing to a string cannot fail.
    written(&mut columns, events, |event, out| {
        write!(out, "{:032x}", event.key.0).unwrap_or_default();
    });
    columns.optional_text(all().map(|event| event.message_id.as_deref()));
    columns.text(all().map(|event| event.event_type.as_str()));
    columns.text(all().map(|event| &*event.name));
    columns.text(all().map(|event| event.source.as_str()));
    columns.optional_text(all().map(|event| identifier(event, &IdentifierType::UserId)));
    columns.optional_text(all().map(|event| identifier(event, &IdentifierType::AnonymousId)));
    columns.optional_text(all().map(|event| event.group_id.as_deref()));
    columns.time(all().map(|event| event.event_time));
    columns.time(all().map(|event| event.received_at));
    columns.optional_text(all().map(|event| event.time_note.map(TimeNote::as_str)));
    columns.text(all().map(|event| match event.origin {
        Origin::Live => "live",
        Origin::Import => "import",
    }));
    columns.int(all().map(|event| i32::from(event.address.generation)));
    columns.int(all().map(|event| i32::from(event.address.partition)));
    columns.long(all().map(|event| event.address.sequence));
    columns.long(all().map(|event| u64::from(event.address.index)));
    columns.optional_text(common.iter().map(|common| common.page_url));
    columns.optional_text(common.iter().map(|common| common.page_path));
    columns.optional_text(common.iter().map(|common| common.page_title));
    columns.optional_text(common.iter().map(|common| common.referrer));
    columns.optional_text(common.iter().map(|common| common.campaign_source));
    columns.optional_text(common.iter().map(|common| common.campaign_medium));
    columns.optional_text(common.iter().map(|common| common.campaign_name));
    columns.optional_text(common.iter().map(|common| common.library_name));
    columns.optional_text(common.iter().map(|common| common.library_version));
    columns.optional_text(common.iter().map(|common| common.user_agent));
    columns.optional_text(common.iter().map(|common| common.locale));
    columns.optional_text(common.iter().map(|common| common.ip));
    written(&mut columns, events, write_identifiers);
    written(&mut columns, events, |event, out| {
        write_json_object(&event.properties, out);
    });
    written(&mut columns, events, |event, out| write_json_object(&event.traits, out));
    written(&mut columns, events, |event, out| {
        write_json_object(&event.context, out);
    });
    columns.finish(tables::clean_events())
}
