//! The bytes of a packed row: what the space's vocabulary has is named by number, and UUIDs and long numbers within texts
//! are written as what they are.
//!
//! Numbers of a vocabulary say in few bytes what may be long: a row states how many bytes they stand for, and reading one
//! goes no further than that.

use super::vocabulary::{ENTRY_BYTES_MAX, Entry, Numbers, Vocabulary};
use super::{NOTES, TYPES, pieces};
use crate::bytes::{DEPTH_LIMIT, Reader, put_number, put_signed, put_text, put_value};
use kith_types::{
    Address, Event, EventKey, EventType, Identifier, IdentifierType, Object, Origin, SourceName, SpaceId, Text,
    TimeNote, Timestamp, Value,
};
use pieces::Piece;
use std::borrow::Cow;

/// What leads a packed row.
pub(super) const VERSION: u8 = 2;
/// Bytes that the numbers of one row may stand for: thirty times what doors accept of an event.
pub(super) const NAMED_BYTES_MAX: u64 = if cfg!(test) { 4_096 } else { 1 << 20 };
/// How deep in objects whole fields are looked for.
pub(super) const FIELD_DEPTH: u32 = 2;

/// Set where a row has the event's key: it is not the one that the message id, or else the address, gives.
const HAS_KEY: u8 = 1 << 6;

/// What stands in place of a value or a text: beyond what [`crate::bytes`] knows.
const NOTHING: u64 = 0;
const LITERAL: u64 = 5;
const UUID: u64 = 8;
const PIECES: u64 = 9;
const DIGITS: u64 = 10;
/// Texts of the vocabulary come from here on, by their numbers.
const NAMED: u64 = 16;

/// What stands in place of a field's key: itself, or a number of the vocabulary, of a key or of the field with its value.
const KEY_ITSELF: u64 = 0;
const KEY_NAMED: u64 = 1;

/// Writes rows by one vocabulary.
pub(super) struct Packer<'a> {
    numbers: &'a Numbers,
    out: Vec<u8>,
    /// How many bytes the numbers stand for.
    named_bytes: u64,
    field: Vec<u8>,
    /// Told of each number that is used.
    pub(super) used: Option<&'a mut dyn FnMut(u64)>,
}

/// The row of an event, by a vocabulary and its number. Time and address are in its key, and so not in it.
pub(super) fn pack<'a>(event: &Event, number: u8, mut packer: Packer<'a>) -> Vec<u8> {
    packer.put_names(event);
    for object in [&event.traits, &event.properties, &event.context] {
        packer.put_object(object, 0);
    }
    if packer.named_bytes > NAMED_BYTES_MAX {
        return pack(event, 0, Packer::new(&Numbers::default()));
    }
    let key = (event.key != key_given(event)).then_some(event.key);
    let mut row = Vec::with_capacity(packer.out.len() + 32);
    row.extend_from_slice(&[VERSION, number]);
    put_number(&mut row, packer.named_bytes);
    let kind = TYPES.iter().position(|kind| *kind == event.event_type).unwrap_or(0);
    let note = NOTES.iter().position(|note| *note == event.time_note).unwrap_or(0);
    let import = usize::from(event.origin == Origin::Import);
    let has_key = if key.is_some() { HAS_KEY } else { 0 };
    row.push((kind | note << 3 | import << 5) as u8 | has_key);
    put_signed(&mut row, (event.received_at - event.event_time).as_micros());
    if let Some(key) = key {
        row.extend_from_slice(&key.0.to_be_bytes());
    }
    row.extend_from_slice(&packer.out);
    row
}

/// The key that an event has by its message id or its address.
fn key_given(event: &Event) -> EventKey {
    match &event.message_id {
        Some(message_id) => EventKey::of_message(&event.space, &event.source, message_id),
        None => EventKey::of_address(&event.space, event.address),
    }
}

impl<'a> Packer<'a> {
    pub(super) fn new(numbers: &'a Numbers) -> Self {
        Self {
            numbers,
            out: Vec::with_capacity(256),
            named_bytes: 0,
            field: Vec::new(),
            used: None,
        }
    }

    fn put_names(&mut self, event: &Event) {
        self.put_text(event.source.as_str());
        self.put_whole_text(&event.name);
        for id in [&event.message_id, &event.group_id] {
            match id {
                Some(id) => self.put_text(id),
                None => put_number(&mut self.out, NOTHING),
            }
        }
        put_number(&mut self.out, event.identifiers.len() as u64);
        for identifier in &event.identifiers {
            self.put_text(identifier.kind.as_str());
            self.put_text(&identifier.value);
        }
    }

    fn put_named(&mut self, from: u64, number: u64, bytes: usize) {
        put_number(&mut self.out, from + number);
        self.named_bytes += bytes as u64;
        if let Some(used) = &mut self.used {
            used(number);
        }
    }

    /// A text that is named or stands as it is.
    fn put_whole_text(&mut self, text: &str) {
        match self.numbers.text(text) {
            Some(number) => self.put_named(NAMED, number, text.len()),
            None => {
                put_number(&mut self.out, LITERAL);
                put_text(&mut self.out, text);
            }
        }
    }

    fn put_text(&mut self, text: &str) {
        if let Some(number) = self.numbers.text(text) {
            return self.put_named(NAMED, number, text.len());
        }
        let pieces = pieces::of(text);
        if pieces.len() > 1 {
            put_number(&mut self.out, PIECES);
            put_number(&mut self.out, pieces.len() as u64);
        }
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.put_whole_text(text),
                Piece::Uuid(uuid) => {
                    put_number(&mut self.out, UUID);
                    self.out.extend_from_slice(&uuid.to_be_bytes());
                }
                Piece::Digits(number) => {
                    put_number(&mut self.out, DIGITS);
                    put_number(&mut self.out, number);
                }
            }
        }
    }

    fn put_object(&mut self, object: &Object, depth: u32) {
        put_number(&mut self.out, object.len() as u64);
        for (key, value) in object {
            let known = self.numbers.key(key);
            if known.has_fields && depth < FIELD_DEPTH && self.put_whole_field(key, value) {
                continue;
            }
            match known.number {
                Some(number) => self.put_named(KEY_NAMED, number, key.len()),
                None => {
                    put_number(&mut self.out, KEY_ITSELF);
                    put_text(&mut self.out, key);
                }
            }
            self.put_value(value, depth + 1);
        }
    }

    /// A field by its number; false where it has none.
    fn put_whole_field(&mut self, key: &str, value: &Value) -> bool {
        self.field.clear();
        put_text(&mut self.field, key);
        put_value(&mut self.field, value);
        if self.field.len() > ENTRY_BYTES_MAX {
            return false;
        }
        let Some(number) = self.numbers.field(&self.field) else {
            return false;
        };
        self.put_named(KEY_NAMED, number, self.field.len());
        true
    }

    fn put_value(&mut self, value: &Value, depth: u32) {
        match value {
            Value::String(text) => self.put_text(text),
            Value::Array(items) => {
                self.out.push(6);
                put_number(&mut self.out, items.len() as u64);
                items.iter().for_each(|item| self.put_value(item, depth + 1));
            }
            Value::Object(fields) => {
                self.out.push(7);
                self.put_object(fields, depth);
            }
            plain => put_value(&mut self.out, plain),
        }
    }
}

/// What leads a packed row.
pub(super) struct Head {
    /// The number of its vocabulary.
    pub(super) vocabulary: u8,
    /// How many bytes its numbers stand for.
    pub(super) named_bytes: u64,
    pub(super) delay: kith_types::Duration,
    event_type: EventType,
    time_note: Option<TimeNote>,
    origin: Origin,
    key: Option<EventKey>,
}

impl Head {
    /// Reads it from the front.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.byte()? != VERSION {
            return None;
        }
        let vocabulary = reader.byte()?;
        let named_bytes = reader.number().filter(|bytes| *bytes <= NAMED_BYTES_MAX)?;
        let flags = reader.byte()?;
        let delay = kith_types::Duration::from_micros(reader.signed()?);
        let key = match flags & HAS_KEY {
            0 => None,
            _ => Some(EventKey(reader.wide()?)),
        };
        Some(Self {
            vocabulary,
            named_bytes,
            delay,
            event_type: *TYPES.get(usize::from(flags & 7))?,
            time_note: *NOTES.get(usize::from(flags >> 3 & 3))?,
            origin: match flags >> 5 & 1 {
                1 => Origin::Import,
                _ => Origin::Live,
            },
            key,
        })
    }
}

/// Reads rows by the vocabulary that their head names.
pub(super) struct Unpacker<'a> {
    reader: Reader<'a>,
    head: Head,
    vocabulary: &'a Vocabulary,
    /// How many bytes more its numbers may stand for.
    left: u64,
}

impl<'a> Unpacker<'a> {
    /// Of a row behind its head.
    pub(super) fn new(head: Head, reader: Reader<'a>, vocabulary: &'a Vocabulary) -> Self {
        let left = head.named_bytes;
        Self {
            reader,
            head,
            vocabulary,
            left,
        }
    }

    /// What kind of event it is, and its name.
    pub(super) fn kind_and_name(mut self) -> Option<(EventType, Cow<'a, str>)> {
        self.text()?;
        Some((self.head.event_type, self.text()?))
    }

    /// The event; where not all of it is asked for, without what it tells and without a key that is not in the row.
    pub(super) fn event(
        mut self,
        space: &SpaceId,
        (time, address): (Timestamp, Address),
        whole: bool,
    ) -> Option<Event> {
        let source: SourceName = self.text()?.parse().ok()?;
        let name = self.text()?.into();
        let message_id = self.some_text()?;
        let group_id = self.some_text()?;
        let count = usize::try_from(self.reader.number()?).ok()?;
        let mut identifiers = Vec::with_capacity(count.min(16));
        for _ in 0..count {
            let kind = IdentifierType::from_name(&self.text()?);
            identifiers.push(Identifier::new(kind, &self.text()?));
        }
        let mut event = Event {
            space: space.clone(),
            source,
            address,
            key: self.head.key.unwrap_or(EventKey(0)),
            message_id: message_id.map(Into::into),
            event_type: self.head.event_type,
            name,
            event_time: time,
            received_at: time + self.head.delay,
            time_note: self.head.time_note,
            identifiers,
            group_id: group_id.map(Into::into),
            traits: Vec::new(),
            properties: Vec::new(),
            context: Vec::new(),
            origin: self.head.origin,
        };
        if whole {
            event.key = self.head.key.unwrap_or_else(|| key_given(&event));
            event.traits = self.object(0)?;
            event.properties = self.object(0)?;
            event.context = self.object(0)?;
            if !self.reader.0.is_empty() || self.left > 0 {
                return None;
            }
        }
        Some(event)
    }

    fn named(&mut self, number: u64) -> Option<Entry<'a>> {
        let (entry, bytes) = self.vocabulary.entry(number)?;
        self.left = self.left.checked_sub(bytes)?;
        Some(entry)
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        self.some_text()?
    }

    /// A text, or that there is none.
    fn some_text(&mut self) -> Option<Option<Cow<'a, str>>> {
        let tag = self.reader.number()?;
        match tag {
            NOTHING => Some(None),
            PIECES => self.pieces().map(|text| Some(Cow::Owned(text))),
            _ => self.piece(tag).map(Some),
        }
    }

    fn pieces(&mut self) -> Option<String> {
        let mut text = String::new();
        for _ in 0..self.reader.number()? {
            let tag = self.reader.number()?;
            text.push_str(&self.piece(tag)?);
        }
        Some(text)
    }

    fn piece(&mut self, tag: u64) -> Option<Cow<'a, str>> {
        match tag {
            LITERAL => self.reader.text().map(Cow::Borrowed),
            UUID => self.reader.wide().map(|uuid| Cow::Owned(pieces::uuid_text(uuid))),
            DIGITS => self.reader.number().map(|number| Cow::Owned(number.to_string())),
            _ => match self.named(tag.checked_sub(NAMED)?)? {
                Entry::Text(text) => Some(Cow::Borrowed(text)),
                Entry::Field(_) => None,
            },
        }
    }

    fn object(&mut self, depth: u32) -> Option<Object> {
        let count = usize::try_from(self.reader.number()?).ok()?;
        // A field takes at least a byte: a count beyond that is damage, not a reason to reserve memory.
        let mut fields = Vec::with_capacity(count.min(self.reader.0.len()).min(64));
        for _ in 0..count {
            fields.push(self.field(depth)?);
        }
        Some(fields)
    }

    fn field(&mut self, depth: u32) -> Option<(Text, Value)> {
        let key = match self.reader.number()? {
            KEY_ITSELF => self.reader.text()?,
            number => match self.named(number - KEY_NAMED)? {
                Entry::Text(key) => key,
                Entry::Field(field) => {
                    let mut field = Reader(field);
                    return Some((field.text()?.into(), field.value()?));
                }
            },
        };
        Some((key.into(), self.value(depth + 1)?))
    }

    fn value(&mut self, depth: u32) -> Option<Value> {
        if depth > DEPTH_LIMIT {
            return None;
        }
        Some(match *self.reader.0.first()? {
            6 => {
                self.reader.byte()?;
                let count = usize::try_from(self.reader.number()?).ok()?;
                let mut items = Vec::with_capacity(count.min(self.reader.0.len()).min(64));
                for _ in 0..count {
                    items.push(self.value(depth + 1)?);
                }
                Value::Array(items)
            }
            7 => {
                self.reader.byte()?;
                Value::Object(self.object(depth)?)
            }
            0..=4 => self.reader.value()?,
            _ => Value::String(self.text()?.into()),
        })
    }
}

/// How many bytes a field takes where it is not named, for those who choose a vocabulary.
pub(super) fn field_bytes(key: &str, value: &Value, out: &mut Vec<u8>) {
    out.clear();
    put_text(out, key);
    put_value(out, value);
}
