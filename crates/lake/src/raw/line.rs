//! A line of a raw object: one record as JSON, and back, exactly.
//!
//! The zone writes lines and the reader and the verifier parse them. The format carries a version; a line of a later
//! version is refused.

use super::ByteRange;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kith_types::{
    Decision, Envelope, Limits, Origin, Record, RecordBody, Route, SpaceId, Terms, Timestamp, write_json_bytes,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// The version of the line format.
const LINE_VERSION: u32 = 1;
/// The version of a line whose body was taken under terms of its own: who does not know them would read it otherwise.
const LINE_VERSION_TERMS: u32 = 2;
/// The source under which decisions are kept; no source can have this name.
pub(super) const DECISIONS: &str = "_decisions";

#[derive(Deserialize)]
struct Line<'a> {
    v: u32,
    space: Cow<'a, str>,
    source: Cow<'a, str>,
    address: Cow<'a, str>,
    received_at: Cow<'a, str>,
    #[serde(default)]
    decision: Option<Cow<'a, str>>,
    #[serde(default)]
    route: Option<Cow<'a, str>>,
    #[serde(default)]
    origin: Option<Cow<'a, str>>,
    #[serde(default)]
    content_type: Option<Cow<'a, str>>,
    #[serde(default)]
    client_ip: Option<Cow<'a, str>>,
    #[serde(default)]
    user_agent: Option<Cow<'a, str>>,
    #[serde(default)]
    terms: Option<LineTerms>,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(default)]
    body_encoding: Option<Cow<'a, str>>,
    sha256: Cow<'a, str>,
    events: Vec<EventSlot<'a>>,
}

/// What the body was taken under, where that was not what is usual.
#[derive(Deserialize)]
struct LineTerms {
    event_bytes: usize,
    batch_bytes: usize,
    batch_events: usize,
    dedupe_days: u16,
}

/// An event in the body: where it lies, and the key it is encrypted with (empty: it is clear).
#[derive(Deserialize)]
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
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let hash = Sha256::digest(bytes);
    let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.map(|nibble| HEX[usize::from(nibble)]).collect()
}

/// The source under which a record is kept.
pub(super) fn source_of(record: &Record) -> &str {
    match &record.body {
        RecordBody::Envelope(envelope) => envelope.source.as_str(),
        RecordBody::Decision(_) => DECISIONS,
    }
}

/// Appends a record as a line, its line feed included. Written by hand, field by field in the order of [`Line`]: most of
/// a line is the body, and escaping it is most of the work.
pub(super) fn write(record: &Record, ranges: &[ByteRange], out: &mut Vec<u8>) {
    let bytes: &[u8] = match &record.body {
        RecordBody::Envelope(envelope) => &envelope.body,
        RecordBody::Decision(decision) => decision.document.as_bytes(),
    };
    let terms = match &record.body {
        RecordBody::Envelope(envelope) => Some(envelope.terms).filter(|terms| *terms != Terms::USUAL),
        RecordBody::Decision(_) => None,
    };
    let version = terms.map_or(LINE_VERSION, |_| LINE_VERSION_TERMS);
    out.extend_from_slice(b"{\"v\":");
    put_number(version as usize, out);
    put_text("space", record.space.as_str(), out);
    put_text("source", source_of(record), out);
    put_text("address", &record.address.to_string(), out);
    put_text("received_at", &record.received_at.to_string(), out);
    match &record.body {
        RecordBody::Envelope(envelope) => {
            put_text("route", envelope.route.as_str(), out);
            put_text("origin", origin_name(envelope.origin), out);
            put_text("content_type", &envelope.content_type, out);
            put_text("client_ip", &envelope.client_ip, out);
            put_text("user_agent", &envelope.user_agent, out);
        }
        RecordBody::Decision(decision) => put_text("decision", &decision.kind, out),
    }
    if let Some(terms) = terms {
        put_terms(&terms, out);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => put_text("body", text, out),
        Err(_) => {
            put_text("body", &STANDARD.encode(bytes), out);
            put_text("body_encoding", "base64", out);
        }
    }
    put_text("sha256", &sha256_hex(bytes), out);
    out.extend_from_slice(b",\"events\":[");
    for (at, (from, to)) in ranges.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"range\":[" } else { b",{\"range\":[" });
        put_number(*from, out);
        out.push(b',');
        put_number(*to, out);
        out.extend_from_slice(b"],\"key_id\":\"\"}");
    }
    out.extend_from_slice(b"]}\n");
}

/// Appends a field that is not the first.
fn put_text(key: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b',');
    write_json_bytes(key, out);
    out.push(b':');
    write_json_bytes(value, out);
}

fn put_terms(terms: &Terms, out: &mut Vec<u8>) {
    let limits = terms.limits;
    let fields = [
        (&b",\"terms\":{\"event_bytes\":"[..], limits.event_bytes),
        (b",\"batch_bytes\":", limits.batch_bytes),
        (b",\"batch_events\":", limits.batch_events),
        (b",\"dedupe_days\":", usize::from(terms.dedupe_days)),
    ];
    for (name, number) in fields {
        out.extend_from_slice(name);
        put_number(number, out);
    }
    out.push(b'}');
}

fn put_number(number: usize, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Reads a line and checks its hash. The error says what is wrong, without a value of the line.
pub(super) fn parse(text: &[u8]) -> Result<ParsedLine, String> {
    let line: Line<'_> =
        serde_json::from_slice(text).map_err(|error| format!("not a raw line: {}", position(&error)))?;
    if line.v != LINE_VERSION && line.v != LINE_VERSION_TERMS {
        return Err(format!(
            "line version {}, and this version reads {LINE_VERSION} and {LINE_VERSION_TERMS}",
            line.v
        ));
    }
    if (line.v == LINE_VERSION_TERMS) != line.terms.is_some() {
        return Err(format!(
            "a line of version {LINE_VERSION_TERMS}, and no other, has terms"
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
    if line.events.iter().any(|slot| !slot.key_id.is_empty()) {
        return Err("an event is encrypted, and this version has no keys to read it with".to_owned());
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
            terms: line.terms.map_or(Terms::USUAL, |terms| terms_of(&terms)),
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

fn terms_of(terms: &LineTerms) -> Terms {
    Terms {
        limits: Limits {
            event_bytes: terms.event_bytes,
            batch_bytes: terms.batch_bytes,
            batch_events: terms.batch_events,
        },
        dedupe_days: terms.dedupe_days,
    }
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
