//! What the events of a space say again and again, numbered: rows of its history name it by number.
//!
//! A vocabulary never changes once a row names it. What comes into one is decided in `sample.rs`; how rows name it is in
//! `packed.rs`.

use crate::bytes::{Reader, put_number};
use std::collections::HashMap;

/// Raised when the meaning of a stored vocabulary changes.
const VERSION: u8 = 1;
/// How long an entry may be, in bytes.
pub(super) const ENTRY_BYTES_MAX: usize = 256;

/// What an entry is, as its first byte says.
const TEXT: u8 = 0;
const FIELD: u8 = 1;

/// What rows may name by number. The first ones are shortest to name.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    bytes: Vec<u8>,
    /// Where each entry is in the bytes.
    entries: Vec<std::ops::Range<usize>>,
}

/// Something that a number stands for.
#[derive(Clone, Copy)]
pub(super) enum Entry<'a> {
    /// A text.
    Text(&'a str),
    /// A field of an object: its key and its value, as [`crate::bytes`] writes them.
    Field(&'a [u8]),
}

impl Vocabulary {
    /// Of entries as [`text_entry`] and [`field_entry`] write them.
    pub(super) fn of<'e>(entries: impl ExactSizeIterator<Item = &'e [u8]>) -> Self {
        let mut bytes = vec![VERSION];
        put_number(&mut bytes, entries.len() as u64);
        let mut places = Vec::with_capacity(entries.len());
        for entry in entries {
            put_number(&mut bytes, entry.len() as u64);
            places.push(bytes.len()..bytes.len() + entry.len());
            bytes.extend_from_slice(entry);
        }
        Self { bytes, entries: places }
    }

    /// As it is stored.
    pub(super) fn encode(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads what [`Vocabulary::encode`] gave; `None` when no writer wrote it.
    pub(super) fn decode(bytes: Vec<u8>) -> Option<Self> {
        let mut reader = Reader(&bytes);
        if reader.byte()? != VERSION {
            return None;
        }
        let count = usize::try_from(reader.number()?).ok()?;
        let mut entries = Vec::with_capacity(count.min(bytes.len()));
        for _ in 0..count {
            let length = usize::try_from(reader.number()?).ok()?;
            let start = bytes.len() - reader.0.len();
            reader.bytes(length).filter(|entry| !entry.is_empty())?;
            entries.push(start..start + length);
        }
        if !reader.0.is_empty() {
            return None;
        }
        Some(Self { bytes, entries })
    }

    /// What a number stands for, and how many bytes that is.
    pub(super) fn entry(&self, number: u64) -> Option<(Entry<'_>, u64)> {
        let place = self.entries.get(usize::try_from(number).ok()?)?.clone();
        let (kind, content) = self.bytes.get(place)?.split_first()?;
        let entry = match *kind {
            TEXT => Entry::Text(std::str::from_utf8(content).ok()?),
            FIELD => Entry::Field(content),
            _ => return None,
        };
        Some((entry, content.len() as u64))
    }

    /// The entries as they are stored, in the order of their numbers.
    #[cfg(test)]
    pub(super) fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let entries = self.entries.iter();
        entries.filter_map(|place| self.bytes.get(place.clone()))
    }
}

/// The entry of a text.
pub(super) fn text_entry(text: &str) -> Vec<u8> {
    [&[TEXT], text.as_bytes()].concat()
}

/// The entry of a field, which is written as [`crate::bytes`] does.
pub(super) fn field_entry(field: &[u8]) -> Vec<u8> {
    [&[FIELD], field].concat()
}

/// A vocabulary as a writer needs it: the number of what is to be written. Senders choose what is looked up, so the tables
/// are those that nobody can fill with what is found slowly.
#[derive(Default)]
pub(super) struct Numbers {
    texts: HashMap<Box<str>, u64>,
    fields: HashMap<Box<[u8]>, u64>,
    keys: HashMap<Box<str>, Key>,
}

/// What a vocabulary has of a key.
#[derive(Clone, Copy, Default)]
pub(super) struct Key {
    /// The number of the key itself.
    pub(super) number: Option<u64>,
    /// Whether fields with that key have numbers, too.
    pub(super) has_fields: bool,
}

impl Numbers {
    pub(super) fn of(vocabulary: &Vocabulary) -> Self {
        let mut numbers = Self::default();
        for number in 0..vocabulary.entries.len() as u64 {
            match vocabulary.entry(number) {
                Some((Entry::Text(text), _)) => {
                    numbers.texts.insert(text.into(), number);
                    numbers.keys.entry(text.into()).or_default().number = Some(number);
                }
                Some((Entry::Field(field), _)) => {
                    numbers.fields.insert(field.into(), number);
                    if let Some(key) = Reader(field).text() {
                        numbers.keys.entry(key.into()).or_default().has_fields = true;
                    }
                }
                None => {}
            }
        }
        numbers
    }

    pub(super) fn text(&self, text: &str) -> Option<u64> {
        self.texts.get(text).copied()
    }

    pub(super) fn field(&self, field: &[u8]) -> Option<u64> {
        self.fields.get(field).copied()
    }

    pub(super) fn key(&self, key: &str) -> Key {
        self.keys.get(key).copied().unwrap_or_default()
    }
}
