//! A line of a raw object: one record as JSON, and back, exactly.
//!
//! The zone writes lines and the reader and the verifier parse them. The format carries a version; a line of a later
//! version is refused.

use super::ByteRange;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kith_types::{Decision, Envelope, Origin, Record, RecordBody, Route, SpaceId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write;

/// The version of the line format.
const LINE_VERSION: u32 = 1;
/// The source under which decisions are kept; no source can have this name.
pub(super) const DECISIONS: &str = "_decisions";

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    v: u32,
    space: Cow<'a, str>,
    source: Cow<'a, str>,
    address: Cow<'a, str>,
    received_at: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decision: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    route: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_ip: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_encoding: Option<Cow<'a, str>>,
    sha256: Cow<'a, str>,
    events: Vec<EventSlot<'a>>,
}

/// An event in the body: where it lies, and the key it is encrypted with (empty: it is clear).
#[derive(Serialize, Deserialize)]
struct EventSlot<'a> {
    range: ByteRange,
    #[serde(borrow)]
    key_id: Cow<'a, str>,
}

/// What a line says.
pub(super) struct ParsedLine {
    pub(super) record: Record,
    pub(super) events: u64,
}

/// The lower-case hexadecimal SHA-256 hash.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a string cannot fail.
            write!(hex, "{byte:02x}").unwrap_or_default();
            hex
        })
}

/// The source under which a record is kept.
pub(super) fn source_of(record: &Record) -> &str {
    match &record.body {
        RecordBody::Envelope(envelope) => envelope.source.as_str(),
        RecordBody::Decision(_) => DECISIONS,
    }
}

/// Appends a record as a line, its line feed included.
pub(super) fn write(record: &Record, ranges: &[ByteRange], out: &mut Vec<u8>) -> serde_json::Result<()> {
    let bytes: &[u8] = match &record.body {
        RecordBody::Envelope(envelope) => &envelope.body,
        RecordBody::Decision(decision) => decision.document.as_bytes(),
    };
    let (body, body_encoding) = match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), None),
        Err(_) => (Cow::Owned(STANDARD.encode(bytes)), Some("base64".into())),
    };
    let mut line = Line {
        v: LINE_VERSION,
        space: record.space.as_str().into(),
        source: source_of(record).into(),
        address: record.address.to_string().into(),
        received_at: record.received_at.to_string().into(),
        decision: None,
        route: None,
        origin: None,
        content_type: None,
        client_ip: None,
        user_agent: None,
        body,
        body_encoding,
        sha256: sha256_hex(bytes).into(),
        events: ranges
            .iter()
            .map(|range| EventSlot {
                range: *range,
                key_id: "".into(),
            })
            .collect(),
    };
    match &record.body {
        RecordBody::Envelope(envelope) => {
            line.route = Some(envelope.route.as_str().into());
            line.origin = Some(origin_name(envelope.origin).into());
            line.content_type = Some((&*envelope.content_type).into());
            line.client_ip = Some((&*envelope.client_ip).into());
            line.user_agent = Some((&*envelope.user_agent).into());
        }
        RecordBody::Decision(decision) => line.decision = Some((&*decision.kind).into()),
    }
    serde_json::to_writer(&mut *out, &line)?;
    out.push(b'\n');
    Ok(())
}

/// Reads a line and checks its hash. The error says what is wrong, without a value of the line.
pub(super) fn parse(text: &[u8]) -> Result<ParsedLine, String> {
    let line: Line<'_> =
        serde_json::from_slice(text).map_err(|error| format!("not a raw line: {}", position(&error)))?;
    if line.v != LINE_VERSION {
        return Err(format!(
            "line version {}, and this version reads {LINE_VERSION}",
            line.v
        ));
    }
    let bytes = match line.body_encoding.as_deref() {
        None => line.body.into_owned().into_bytes(),
        Some("base64") => STANDARD
            .decode(line.body.as_bytes())
            .map_err(|_| "body is not base64".to_owned())?,
        Some(_) => return Err("unknown body encoding".to_owned()),
    };
    if sha256_hex(&bytes) != line.sha256 {
        return Err("the body does not have its hash".to_owned());
    }
    if line
        .events
        .iter()
        .any(|slot| slot.range.0 > slot.range.1 || slot.range.1 > bytes.len())
    {
        return Err("an event lies outside its body".to_owned());
    }
    let body = match line.decision {
        Some(kind) => {
            let document = String::from_utf8(bytes).map_err(|_| "a decision is not UTF-8".to_owned())?;
            RecordBody::Decision(Decision {
                kind: (&*kind).into(),
                document: document.into(),
            })
        }
        None => RecordBody::Envelope(Envelope {
            source: line.source.parse().map_err(|_| "unusable source name".to_owned())?,
            route: line
                .route
                .as_deref()
                .and_then(Route::from_name)
                .ok_or("unknown route")?,
            origin: line
                .origin
                .as_deref()
                .and_then(origin_from_name)
                .ok_or("unknown origin")?,
            content_type: line.content_type.ok_or("no content type")?.into(),
            client_ip: line.client_ip.ok_or("no client address")?.into(),
            user_agent: line.user_agent.ok_or("no user agent")?.into(),
            body: bytes.into(),
        }),
    };
    let record = Record {
        address: line.address.parse().map_err(|_| "unusable address".to_owned())?,
        space: line
            .space
            .parse::<SpaceId>()
            .map_err(|_| "unusable space name".to_owned())?,
        received_at: Timestamp::parse(&line.received_at).map_err(|_| "unusable time of receipt".to_owned())?,
        body,
    };
    Ok(ParsedLine {
        record,
        events: line.events.len() as u64,
    })
}

/// Where a line stops being JSON; the library's own text may quote the value.
fn position(error: &serde_json::Error) -> String {
    format!("{:?} error at column {}", error.classify(), error.column())
}

fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Live => "live",
        Origin::Import => "import",
    }
}

fn origin_from_name(name: &str) -> Option<Origin> {
    [Origin::Live, Origin::Import]
        .into_iter()
        .find(|origin| origin_name(*origin) == name)
}
