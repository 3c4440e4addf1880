//! The rows of a carrier's history: every event, compact, in the order of its time.
//!
//! The history lets a part be folded anew (an interval that was cut, a definition that is new) and a person's recent
//! events be shown, without reading the log or the lake. It is written in the step's transaction and holds each event
//! once, under its carrier.
//!
//! Most of an event is what others of its space say, too: names of fields, libraries, browsers, pages. That is in a
//! *vocabulary* of the space, and a row names it by number (`packed.rs`). [`Writing`] makes vocabularies from what
//! people of the space have in common (`sample.rs`) and stores each before a row names it; [`History`] reads rows
//! by the vocabularies of the state that they are in. Rows are otherwise independent of each other.

mod counting;
mod packed;
mod pieces;
mod presence;
mod sample;
mod vocabulary;
mod writing;

pub(crate) use counting::Counting;
pub(crate) use presence::{decode_presence, encode_presence};
pub(crate) use writing::Writing;
#[cfg(test)]
pub(crate) use writing::row_without_numbers;

use crate::bytes::Reader;
use crate::{PipelineError, keys};
use kith_identity::Position;
use kith_state::{Keyspace, Read};
use kith_types::{
    Address, Event, EventKey, EventType, Identifier, IdentifierType, Origin, SourceName, SpaceId, TimeNote, Timestamp,
};
use packed::{Head, Unpacker};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use vocabulary::Vocabulary;

/// What leads a row that names nothing by number, as an earlier release wrote them.
const PLAIN: u8 = 1;

/// Vocabularies that a space may have, one after the other; and one beside them that is empty, of number 0.
const VOCABULARIES_MAX: u8 = 16;

const TYPES: [EventType; 6] = [
    EventType::Identify,
    EventType::Track,
    EventType::Page,
    EventType::Screen,
    EventType::Group,
    EventType::Alias,
];
const NOTES: [Option<TimeNote>; 4] = [
    None,
    Some(TimeNote::Absent),
    Some(TimeNote::Unparsable),
    Some(TimeNote::Future),
];

/// The key that a vocabulary stands under.
fn vocabulary_key(space: &SpaceId, number: u8) -> Vec<u8> {
    keys::named(space, &format!("vocabulary {number}"))
}

fn damaged() -> PipelineError {
    PipelineError::corrupt("history")
}

/// The vocabularies of a space that have been read, by their numbers. One that is stored never changes.
#[derive(Default)]
pub(crate) struct Vocabularies([OnceLock<Vocabulary>; VOCABULARIES_MAX as usize + 1]);

impl Vocabularies {
    /// The vocabulary of a number, read when it is asked for first; `None` where there is none.
    fn get(&self, reader: &dyn Read, space: &SpaceId, number: u8) -> Result<Option<&Vocabulary>, PipelineError> {
        let Some(place) = self.0.get(usize::from(number)) else {
            return Ok(None);
        };
        if let Some(known) = place.get() {
            return Ok(Some(known));
        }
        if number == 0 {
            return Ok(Some(place.get_or_init(Vocabulary::default)));
        }
        let Some(bytes) = reader.get(Keyspace::Meta, &vocabulary_key(space, number))? else {
            return Ok(None);
        };
        let read = Vocabulary::decode(bytes).ok_or_else(|| PipelineError::corrupt("vocabulary"))?;
        Ok(Some(place.get_or_init(|| read)))
    }
}

/// The rows of a space's history, as a reader of the state reads them. Who reads many keeps it: it reads each vocabulary once.
pub(crate) struct History<'a> {
    reader: &'a dyn Read,
    space: &'a SpaceId,
    known: Arc<Vocabularies>,
}

impl<'a> History<'a> {
    /// The history in a state: `reader` sees the rows, or more than they.
    pub(crate) fn of(reader: &'a dyn Read, space: &'a SpaceId) -> Self {
        Self {
            reader,
            space,
            known: Arc::default(),
        }
    }

    pub(crate) fn reader(&self) -> &'a dyn Read {
        self.reader
    }

    pub(crate) fn space(&self) -> &'a SpaceId {
        self.space
    }

    /// The event of a row.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Corrupt`] when no writer wrote it; `Storage` when its vocabulary cannot be read.
    pub(crate) fn event(&self, key: &[u8], row: &[u8]) -> Result<Event, PipelineError> {
        self.event_at(keys::row_place(key).ok_or_else(damaged)?, row)
    }

    /// The event of a row that stands at a place.
    ///
    /// # Errors
    /// As [`History::event`].
    pub(crate) fn event_at(&self, place: Position, row: &[u8]) -> Result<Event, PipelineError> {
        self.read(place, row, true)
    }

    /// The event of a row without what it tells and maybe without its key: enough for what it says of who somebody is.
    ///
    /// # Errors
    /// As [`History::event`].
    pub(crate) fn evidence(&self, key: &[u8], row: &[u8]) -> Result<Event, PipelineError> {
        self.read(keys::row_place(key).ok_or_else(damaged)?, row, false)
    }

    fn read(&self, place: Position, row: &[u8], whole: bool) -> Result<Event, PipelineError> {
        let event = match row.first() {
            Some(&PLAIN) => plain_event(self.space, place, row, whole),
            _ => self.unpacker(row)?.event(self.space, place, whole),
        };
        event.ok_or_else(damaged)
    }

    /// What kind of event a row holds, and its name, without reading the rest.
    ///
    /// # Errors
    /// As [`History::event`].
    pub(crate) fn kind_of<'r>(&'r self, row: &'r [u8]) -> Result<(EventType, Cow<'r, str>), PipelineError> {
        let found = match row.first() {
            Some(&PLAIN) => plain_kind_of(row).map(|(kind, name)| (kind, Cow::Borrowed(name))),
            _ => self.unpacker(row)?.kind_and_name(),
        };
        found.ok_or_else(damaged)
    }

    fn unpacker<'r>(&'r self, row: &'r [u8]) -> Result<Unpacker<'r>, PipelineError> {
        let mut reader = Reader(row);
        let head = Head::read(&mut reader).ok_or_else(damaged)?;
        let vocabulary = self.known.get(self.reader, self.space, head.vocabulary)?;
        Ok(Unpacker::new(head, reader, vocabulary.ok_or_else(damaged)?))
    }
}

/// When the event of a row was received, without reading the rest; `None` where no writer wrote it.
pub(crate) fn received_at(key: &[u8], row: &[u8]) -> Option<Timestamp> {
    let (time, _) = keys::row_place(key)?;
    let mut reader = Reader(row);
    if row.first() == Some(&PLAIN) {
        reader.bytes(2)?;
        reader.wide()?;
        return Some(time + kith_types::Duration::from_micros(reader.signed()?));
    }
    Some(time + Head::read(&mut reader)?.delay)
}

/// About how many bytes a row says: what its numbers stand for included. Who bounds what is held of events counts these.
pub(crate) fn said_bytes(row: &[u8]) -> usize {
    let named = match row.first() {
        Some(&PLAIN) => 0,
        _ => Head::read(&mut Reader(row)).map_or(0, |head| head.named_bytes),
    };
    row.len().saturating_add(usize::try_from(named).unwrap_or(usize::MAX))
}

fn plain_kind_of(row: &[u8]) -> Option<(EventType, &str)> {
    let mut reader = Reader(row);
    reader.byte()?;
    let flags = usize::from(reader.byte()?);
    reader.wide()?;
    reader.signed()?;
    reader.text()?;
    Some((*TYPES.get(flags & 7)?, reader.text()?))
}

/// The event of a row as an earlier release wrote it.
fn plain_event(space: &SpaceId, (time, address): (Timestamp, Address), row: &[u8], whole: bool) -> Option<Event> {
    let mut reader = Reader(row);
    reader.byte()?;
    let flags = usize::from(reader.byte()?);
    let key = EventKey(reader.wide()?);
    let delay = kith_types::Duration::from_micros(reader.signed()?);
    let source: SourceName = reader.text()?.parse().ok()?;
    let name: Arc<str> = reader.text()?.into();
    let some = |text: &str| (!text.is_empty()).then(|| text.into());
    let message_id = some(reader.text()?);
    let group_id = some(reader.text()?);
    let count = usize::try_from(reader.number()?).ok()?;
    let mut identifiers = Vec::with_capacity(count.min(16));
    for _ in 0..count {
        let kind = IdentifierType::from_name(reader.text()?);
        identifiers.push(Identifier::new(kind, reader.text()?));
    }
    let mut event = Event {
        space: space.clone(),
        source,
        address,
        key,
        message_id,
        event_type: *TYPES.get(flags & 7)?,
        name,
        event_time: time,
        received_at: time + delay,
        time_note: *NOTES.get(flags >> 3 & 3)?,
        identifiers,
        group_id,
        traits: Vec::new(),
        properties: Vec::new(),
        context: Vec::new(),
        origin: if flags >> 5 & 1 == 1 {
            Origin::Import
        } else {
            Origin::Live
        },
    };
    if whole {
        event.traits = reader.object()?;
        event.properties = reader.object()?;
        event.context = reader.object()?;
    }
    Some(event)
}

#[cfg(test)]
mod tests;
