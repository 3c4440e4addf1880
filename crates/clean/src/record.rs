//! A record of the log to its clean events and its rejects.
//!
//! The pipeline calls it for every record, in sequence; a replay calls it again and gets the same. It keeps no state.

use crate::body::{Body, walk};
use crate::event::{Origins, to_event};
use crate::fields::Violation;
use crate::json::Values;
use base64::Engine;
use kith_types::{Address, Envelope, Event, Limits, Record, RecordBody, SourceName, SpaceId, Timestamp};
use std::borrow::Cow;

/// Why events and bodies are rejected: every code that a [`Reject`] may have.
pub const REASONS: [&str; 18] = [
    "body_too_large",
    "context_too_large",
    "duplicate_key",
    "event_too_large",
    "invalid_field",
    "invalid_json",
    "invalid_utf8",
    "lone_surrogate",
    "message_id_too_long",
    "missing_batch",
    "missing_field",
    "missing_type",
    "not_an_object",
    "number_out_of_range",
    "too_deep",
    "too_many_events",
    "unknown_type",
    "unsupported_type",
];

/// What a record holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cleaned {
    /// Its events, in the order of their index. An event key that counted before is not left out here.
    pub events: Vec<Event>,
    /// What was rejected, in the order of its index.
    pub rejects: Vec<Reject>,
}

/// An event, or a whole body, that was rejected (contract CLN-4).
#[derive(Clone, Debug, PartialEq)]
pub struct Reject {
    /// The space it was sent to.
    pub space: SpaceId,
    /// The source it came from.
    pub source: SourceName,
    /// Where it stands in the log; a body that was rejected as a whole has index 0.
    pub address: Address,
    /// When its record was given its place in the log.
    pub received_at: Timestamp,
    /// One of [`REASONS`].
    pub code: &'static str,
    /// What is wrong and how to mend it.
    pub message: String,
    /// Where in the event; empty for the event itself.
    pub path: String,
    /// What was sent, byte for byte.
    pub original: Original,
}

/// What was sent, lossless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Original {
    /// UTF-8, as nearly always.
    Text(Box<str>),
    /// Anything else.
    Bytes(bytes::Bytes),
}

impl Original {
    fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.into()),
            Err(_) => Self::Bytes(bytes::Bytes::copy_from_slice(bytes)),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The text that a table holds: the original, or its base64; [`Original::encoding`] says which.
    #[must_use]
    pub fn as_text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Bytes(bytes) => Cow::Owned(base64::engine::general_purpose::STANDARD.encode(bytes)),
        }
    }

    /// `utf-8` or `base64`.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match self {
            Self::Text(_) => "utf-8",
            Self::Bytes(_) => "base64",
        }
    }
}

/// Cleans one record: a deterministic function of it alone, for it carries the limits that it was taken under (contract
/// CLN-1). Of decisions only the one that puts rejects through again holds events, under limits of its own.
#[must_use]
pub fn clean_record(record: &Record) -> Cleaned {
    match &record.body {
        RecordBody::Envelope(envelope) => clean_envelope(record, envelope, &envelope.terms.limits),
        RecordBody::Decision(decision) if &*decision.kind == crate::REJECTS_REPLAYED => {
            crate::replay::clean_replay(record, &decision.document)
        }
        RecordBody::Decision(_) => Cleaned::default(),
    }
}

/// Cleans a body of events.
pub(crate) fn clean_envelope(record: &Record, envelope: &Envelope, limits: &Limits) -> Cleaned {
    let reject = |index: usize, violation: Violation, original: &[u8]| Reject {
        space: record.space.clone(),
        source: envelope.source.clone(),
        address: address_of(record, index),
        received_at: record.received_at,
        code: violation.code,
        message: violation.message,
        path: violation.path,
        original: Original::new(original),
    };
    let body = Body::new(&envelope.body);
    let mut found = Vec::new();
    let mut rejects = Vec::new();
    let mut index = 0;
    let walked = walk::<Values>(&body, envelope.route, limits, &mut |range, outcome| {
        match outcome {
            Ok(fields) => found.push((index, fields)),
            Err(violation) => rejects.push(reject(index, violation, envelope.body.get(range).unwrap_or(&[]))),
        }
        index += 1;
    });
    let beside = match walked {
        Ok(beside) => beside,
        Err(error) => {
            let violation = Violation {
                code: error.code,
                message: error.message,
                path: error.path,
            };
            return Cleaned {
                events: Vec::new(),
                rejects: vec![reject(0, violation, &envelope.body)],
            };
        }
    };
    let origins = Origins {
        record,
        envelope,
        context: beside.context.as_ref(),
        sent_at: &beside.sent_at,
    };
    let events = found
        .into_iter()
        .map(|(index, fields)| to_event(fields, address_of(record, index), &origins))
        .collect();
    Cleaned { events, rejects }
}

fn address_of(record: &Record, index: usize) -> Address {
    // A body holds far fewer events than 32 bits count.
    Address {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        ..record.address
    }
}

#[cfg(test)]
mod tests;
