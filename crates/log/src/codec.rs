//! A record as bytes, and back.
//!
//! Layout, numbers little-endian: version (1 byte, [`VERSION`], or [`VERSION_TERMS`] for an envelope with terms of its own),
//! kind (1 byte: 0 an envelope, 1 a decision), the space's length (1 byte) and name. An envelope goes on with the source's
//! length (1 byte) and name, route (1 byte), origin (1 byte), with [`VERSION_TERMS`] the terms that it was taken under (4 bytes
//! each for bytes of an event, bytes and events of a body, 2 for the days of the dedupe window; else they are the usual ones),
//! content type, client address and user agent (2 bytes of length each, then the text), and the body, which is all that is left. A decision goes on with its kind (2 bytes of length, then the text) and its document,
//! which is all that is left. Address and time of receipt are not here: the group that holds the record gives them.
//!
//! In a group each record stands behind 4 bytes of length. Never trusts a length it has not checked.

use crate::error::{ErrorKind, LogError};
use bytes::Bytes;
use kith_types::{Decision, Envelope, Limits, Origin, RecordBody, Route, SourceName, SpaceId, Terms};
use std::str::FromStr;
use std::sync::Arc;

/// The version byte of the layout.
pub(crate) const VERSION: u8 = 1;

/// The version byte of an envelope that carries the terms that it was taken under. A release that does not know them would
/// read it otherwise than it was meant, so it must refuse it.
pub(crate) const VERSION_TERMS: u8 = 2;

/// The largest record, in bytes of its encoding.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

const KIND_ENVELOPE: u8 = 0;
const KIND_DECISION: u8 = 1;

/// Every route with its number on disk. Numbers are never given to another route.
const ROUTES: [(u8, Route); 8] = [
    (1, Route::Identify),
    (2, Route::Track),
    (3, Route::Page),
    (4, Route::Screen),
    (5, Route::Group),
    (6, Route::Alias),
    (7, Route::Batch),
    (8, Route::Internal),
];

/// Appends one record behind its length.
///
/// # Errors
/// [`ErrorKind::Refused`] when a text is longer than its length field or the record than [`RECORD_BYTES_MAX`].
pub(crate) fn encode_framed(space: &SpaceId, body: &RecordBody, out: &mut Vec<u8>) -> Result<(), LogError> {
    let frame = out.len();
    out.reserve(estimate(body));
    out.extend_from_slice(&[0; 4]);
    encode(space, body, out)?;
    let length = out.len() - frame - 4;
    if length > RECORD_BYTES_MAX {
        return Err(LogError::new(
            ErrorKind::Refused,
            format!("a record of {length} bytes is above the limit of {RECORD_BYTES_MAX}: send it in smaller parts"),
        ));
    }
    out[frame..frame + 4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(())
}

fn estimate(body: &RecordBody) -> usize {
    const NAMES: usize = 128;
    match body {
        RecordBody::Envelope(envelope) => {
            NAMES
                + envelope.content_type.len()
                + envelope.client_ip.len()
                + envelope.user_agent.len()
                + envelope.body.len()
        }
        RecordBody::Decision(decision) => NAMES + decision.kind.len() + decision.document.len(),
    }
}

/// Appends one record.
fn encode(space: &SpaceId, body: &RecordBody, out: &mut Vec<u8>) -> Result<(), LogError> {
    let (version, kind) = match body {
        RecordBody::Envelope(envelope) if envelope.terms != Terms::USUAL => (VERSION_TERMS, KIND_ENVELOPE),
        RecordBody::Envelope(_) => (VERSION, KIND_ENVELOPE),
        RecordBody::Decision(_) => (VERSION, KIND_DECISION),
    };
    out.extend_from_slice(&[version, kind]);
    put_name(space.as_str(), out);
    match body {
        RecordBody::Envelope(envelope) => {
            put_name(envelope.source.as_str(), out);
            let route = ROUTES
                .iter()
                .find(|(_, route)| *route == envelope.route)
                .map_or(0, |(number, _)| *number);
            let origin = match envelope.origin {
                Origin::Live => 0,
                Origin::Import => 1,
            };
            out.extend_from_slice(&[route, origin]);
            if version == VERSION_TERMS {
                put_terms(&envelope.terms, out);
            }
            put_text("content type", &envelope.content_type, out)?;
            put_text("client address", &envelope.client_ip, out)?;
            put_text("user agent", &envelope.user_agent, out)?;
            out.extend_from_slice(&envelope.body);
        }
        RecordBody::Decision(decision) => {
            put_text("decision's kind", &decision.kind, out)?;
            out.extend_from_slice(decision.document.as_bytes());
        }
    }
    Ok(())
}

/// Names have at most 64 bytes by their own rule.
fn put_name(name: &str, out: &mut Vec<u8>) {
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
}

fn put_text(what: &str, text: &str, out: &mut Vec<u8>) -> Result<(), LogError> {
    let length = u16::try_from(text.len()).map_err(|_| {
        LogError::new(
            ErrorKind::Refused,
            format!("the {what} has {} bytes; at most 65535 can be kept", text.len()),
        )
    })?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// What is above four bytes is far above what any terms may say.
fn put_terms(terms: &Terms, out: &mut Vec<u8>) {
    let limits = terms.limits;
    for size in [limits.event_bytes, limits.batch_bytes, limits.batch_events] {
        out.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
    }
    out.extend_from_slice(&terms.dedupe_days.to_le_bytes());
}

/// Decodes records. Remembers the names it has seen lately, so that records of one source share them.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    spaces: Vec<SpaceId>,
    sources: Vec<SourceName>,
}

/// How many names of each kind a decoder remembers.
const NAMES_REMEMBERED: usize = 16;

impl Decoder {
    /// The record that `bytes` holds; its body is a slice of them.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] for a later version, [`ErrorKind::Corrupt`] for anything that [`encode_framed`] never writes.
    pub(crate) fn decode(&mut self, bytes: &Bytes) -> Result<(SpaceId, RecordBody), LogError> {
        let mut input = Input { bytes, at: 0 };
        let version = input.byte()?;
        if version != VERSION && version != VERSION_TERMS {
            return Err(LogError::new(
                ErrorKind::Format,
                format!(
                    "a record has version {version}, this binary reads {VERSION} and {VERSION_TERMS}: start the version of kith that wrote it"
                ),
            ));
        }
        let kind = input.byte()?;
        let space = remembered(&mut self.spaces, input.name()?)?;
        let body = match kind {
            KIND_ENVELOPE => RecordBody::Envelope(self.envelope(&mut input, version == VERSION_TERMS)?),
            KIND_DECISION if version == VERSION => {
                let kind = Arc::from(input.text()?);
                let document =
                    std::str::from_utf8(&bytes[input.at..]).map_err(|_| corrupt("a document that is not UTF-8"))?;
                RecordBody::Decision(Decision {
                    kind,
                    document: document.into(),
                })
            }
            _ => return Err(corrupt("an unknown kind of record")),
        };
        Ok((space, body))
    }

    fn envelope(&mut self, input: &mut Input<'_>, has_terms: bool) -> Result<Envelope, LogError> {
        let source = remembered(&mut self.sources, input.name()?)?;
        let number = input.byte()?;
        let route = ROUTES
            .iter()
            .find(|(known, _)| *known == number)
            .map(|(_, route)| *route);
        let route = route.ok_or_else(|| corrupt("an unknown route"))?;
        let origin = match input.byte()? {
            0 => Origin::Live,
            1 => Origin::Import,
            _ => return Err(corrupt("an unknown origin")),
        };
        let terms = if has_terms { input.terms()? } else { Terms::USUAL };
        let (content_type, client_ip, user_agent) = (input.text()?.into(), input.text()?.into(), input.text()?.into());
        Ok(Envelope {
            source,
            route,
            origin,
            content_type,
            client_ip,
            user_agent,
            terms,
            body: input.bytes.slice(input.at..),
        })
    }
}

fn remembered<N: FromStr + AsRef<str> + Clone>(names: &mut Vec<N>, name: &str) -> Result<N, LogError> {
    if let Some(known) = names.iter().find(|known| known.as_ref() == name) {
        return Ok(known.clone());
    }
    let fresh: N = name
        .parse()
        .map_err(|_| corrupt("a name that breaks the rule for names"))?;
    names.truncate(NAMES_REMEMBERED - 1);
    names.insert(0, fresh.clone());
    Ok(fresh)
}

fn corrupt(what: &str) -> LogError {
    LogError::new(ErrorKind::Corrupt, format!("a record of the log holds {what}"))
}

struct Input<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], LogError> {
        let taken = self
            .bytes
            .get(self.at..self.at + length)
            .ok_or_else(|| corrupt("less than its lengths say"))?;
        self.at += length;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, LogError> {
        Ok(self.take(1)?[0])
    }

    fn terms(&mut self) -> Result<Terms, LogError> {
        let mut size = || -> Result<usize, LogError> {
            let bytes = self.take(4)?;
            Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
        };
        let limits = Limits {
            event_bytes: size()?,
            batch_bytes: size()?,
            batch_events: size()?,
        };
        let days = self.take(2)?;
        Ok(Terms {
            limits,
            dedupe_days: u16::from_le_bytes([days[0], days[1]]),
        })
    }

    fn name(&mut self) -> Result<&'a str, LogError> {
        let length = usize::from(self.byte()?);
        self.utf8(length)
    }

    fn text(&mut self) -> Result<&'a str, LogError> {
        let length = self.take(2)?;
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        self.utf8(length)
    }

    fn utf8(&mut self, length: usize) -> Result<&'a str, LogError> {
        std::str::from_utf8(self.take(length)?).map_err(|_| corrupt("a text that is not UTF-8"))
    }
}

#[cfg(test)]
mod tests;
