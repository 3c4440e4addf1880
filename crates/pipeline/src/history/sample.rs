//! What comes into a vocabulary: what many people of a space have in common, and nothing of one person.
//!
//! Events are looked at as they come, so many at a time. A text (a key, a value, a name, what is around an id), or a field
//! with its value, comes into the vocabulary where it stood in events of at least [`CARRIERS_MIN`] carriers, and nothing of
//! it is what one of these events names somebody by. Of those the ones that save most are taken.

use super::packed::{FIELD_DEPTH, Packer, field_bytes, pack};
use super::pieces::{self, Piece};
use super::said_bytes;
use super::vocabulary::{ENTRY_BYTES_MAX, Numbers, Vocabulary, field_entry, text_entry};
use kith_types::{Event, Object, Value};
use smallvec::SmallVec;
use std::collections::{HashMap, HashSet};

/// Events of a sample; and what they may take in memory, about, in bytes.
const EVENTS: usize = if cfg!(test) { 12 } else { 4_096 };
const BYTES_HELD: usize = 16 << 20;
/// What an event, and each value in it, takes beside its texts.
const EVENT_BYTES: usize = 512;
const VALUE_BYTES: usize = 96;
/// Texts and fields that are counted; what comes when there are so many is not.
const COUNTED_MAX: usize = 1 << 17;
/// Carriers that have in common what comes into a vocabulary.
pub(super) const CARRIERS_MIN: usize = if cfg!(test) { 3 } else { 20 };
/// What a vocabulary may have.
const ENTRIES_MAX: usize = 4_096;
const BYTES_MAX: usize = 64 << 10;
/// Texts shorter than this are shorter than a number.
const TEXT_BYTES_MIN: usize = 1;
/// Another vocabulary is taken where its rows take less than so many hundredths of what they took: even in the order of
/// what saves most, before those that are used most come first.
const BETTER: usize = 90;

/// Events that are looked at.
#[derive(Default)]
pub(super) struct Sample {
    events: Vec<(u128, Event)>,
    /// What they take in memory, about, and what their rows take as they are written now.
    held_bytes: usize,
    row_bytes: usize,
}

/// Where something was said.
#[derive(Default)]
struct Said {
    times: u64,
    /// Carriers of the events, by bits of their hashes, no more than are asked for.
    carriers: SmallVec<[u32; 4]>,
}

/// How often everything was said.
struct Count<'a> {
    carrier: u128,
    /// What somebody is named by.
    names: &'a HashSet<String>,
    entries: HashMap<Vec<u8>, Said>,
    field: Vec<u8>,
}

impl Sample {
    /// Adds an event with the row that was written of it, while there is room.
    pub(super) fn add(&mut self, event: &Event, carrier: u128, row: &[u8]) {
        if self.is_full() {
            return;
        }
        // Where a row names much by number, what it says is more than its bytes.
        self.held_bytes += EVENT_BYTES + said_bytes(row) + values_of(event) * VALUE_BYTES;
        self.row_bytes += row.len();
        self.events.push((carrier, event.clone()));
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= EVENTS || self.held_bytes >= BYTES_HELD
    }

    /// The vocabulary of these events, where it would do clearly better than the one that they were written by.
    pub(super) fn better(&self) -> Option<Vocabulary> {
        let common = self.in_common();
        // What is said within a field that has a number needs none of its own: only what is used then stays, and what is
        // used most has the shortest numbers.
        let all = Vocabulary::of(common.iter().map(Vec::as_slice));
        let mut times = vec![0_u64; common.len()];
        let bytes = self.write_by(&all, &mut |number| {
            let place = usize::try_from(number).unwrap_or(usize::MAX);
            times.get_mut(place).into_iter().for_each(|times| *times += 1);
        });
        let mut used: Vec<(u64, &[u8])> = times.iter().copied().zip(common.iter().map(Vec::as_slice)).collect();
        used.retain(|(times, _)| *times > 1);
        used.sort_by(|one, other| (other.0, one.1).cmp(&(one.0, other.1)));
        let is_better = bytes * 100 < self.row_bytes * BETTER;
        is_better.then(|| Vocabulary::of(used.iter().map(|(_, entry)| *entry)))
    }

    /// What many carriers have in common, as entries of a vocabulary: those that save most.
    fn in_common(&self) -> Vec<Vec<u8>> {
        let identifiers = self.events.iter().flat_map(|(_, event)| &event.identifiers);
        let names: HashSet<String> = identifiers.map(|identifier| identifier.value.to_lowercase()).collect();
        let mut count = Count {
            carrier: 0,
            names: &names,
            entries: HashMap::default(),
            field: Vec::new(),
        };
        for (carrier, event) in &self.events {
            count.carrier = *carrier;
            count.event(event);
        }
        let saved = |entry: &[u8], said: &Said| said.times * (entry.len() as u64 - 1);
        let common = count.entries.into_iter();
        let common = common.filter(|(_, said)| said.carriers.len() >= CARRIERS_MIN);
        let mut common: Vec<(u64, Vec<u8>)> = common.map(|(entry, said)| (saved(&entry, &said), entry)).collect();
        common.sort_by(|one, other| (other.0, &one.1).cmp(&(one.0, &other.1)));
        let mut bytes = 0;
        let fitting = common.into_iter().take(ENTRIES_MAX).take_while(|(_, entry)| {
            bytes += entry.len();
            bytes <= BYTES_MAX
        });
        fitting.map(|(_, entry)| entry).collect()
    }

    /// What the rows would take by a vocabulary. Tells each number that is used.
    fn write_by(&self, vocabulary: &Vocabulary, used: &mut dyn FnMut(u64)) -> usize {
        let numbers = Numbers::of(vocabulary);
        let rows = self.events.iter().map(|(_, event)| {
            let mut packer = Packer::new(&numbers);
            packer.used = Some(&mut *used);
            pack(event, 1, packer).len()
        });
        rows.sum()
    }
}

impl Count<'_> {
    fn event(&mut self, event: &Event) {
        self.text(event.source.as_str());
        self.text(&event.name);
        for id in [&event.message_id, &event.group_id].into_iter().flatten() {
            self.text(id);
        }
        for identifier in &event.identifiers {
            self.text(identifier.kind.as_str());
            self.text(&identifier.value);
        }
        for object in [&event.traits, &event.properties, &event.context] {
            self.object(object, 0);
        }
    }

    fn add(&mut self, entry: &[u8]) {
        if !self.entries.contains_key(entry) && self.entries.len() < COUNTED_MAX {
            self.entries.insert(entry.to_vec(), Said::default());
        }
        let Some(said) = self.entries.get_mut(entry) else {
            return;
        };
        said.times += 1;
        // Two that share these bits count as one: then more are needed.
        let carrier = self.carrier as u32;
        if said.carriers.len() < CARRIERS_MIN && !said.carriers.contains(&carrier) {
            said.carriers.push(carrier);
        }
    }

    /// A text, whole and, where it is made of several, in its pieces.
    fn text(&mut self, text: &str) {
        let pieces = pieces::of(text);
        self.piece(text);
        if pieces.len() > 1 {
            for piece in pieces {
                if let Piece::Text(text) = piece {
                    self.piece(text);
                }
            }
        }
    }

    fn piece(&mut self, text: &str) {
        let fits = (TEXT_BYTES_MIN..=ENTRY_BYTES_MAX).contains(&text.len());
        if fits && !self.is_a_name(text) {
            self.add(&text_entry(text));
        }
    }

    fn object(&mut self, object: &Object, depth: u32) {
        for (key, value) in object {
            if depth < FIELD_DEPTH && !self.names_somebody(value) {
                let mut field = std::mem::take(&mut self.field);
                field_bytes(key, value, &mut field);
                if field.len() <= ENTRY_BYTES_MAX {
                    self.add(&field_entry(&field));
                }
                self.field = field;
            }
            self.piece(key);
            self.value(value, depth + 1);
        }
    }

    fn value(&mut self, value: &Value, depth: u32) {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter().for_each(|item| self.value(item, depth + 1)),
            Value::Object(fields) => self.object(fields, depth),
            _ => {}
        }
    }

    /// Whether a text is what somebody is named by, in any case of its letters, or may hold an address.
    fn is_a_name(&self, text: &str) -> bool {
        text.contains('@') || self.names.contains(&text.to_lowercase())
    }

    /// Whether somebody is named by something in a value.
    fn names_somebody(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.is_a_name(text),
            Value::Array(items) => items.iter().any(|item| self.names_somebody(item)),
            Value::Object(fields) => fields.iter().any(|(_, value)| self.names_somebody(value)),
            _ => false,
        }
    }
}

/// How many values an event says.
fn values_of(event: &Event) -> usize {
    let objects = [&event.traits, &event.properties, &event.context];
    objects.into_iter().flatten().map(|(_, value)| values_in(value)).sum()
}

fn values_in(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(values_in).sum::<usize>(),
        Value::Object(fields) => 1 + fields.iter().map(|(_, value)| values_in(value)).sum::<usize>(),
        _ => 1,
    }
}
