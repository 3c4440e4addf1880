//! What events say of a person: for every trait and source, all that any survivorship rule needs (contract PRO-3).
//!
//! While a trait has few distinct values from a source, each is kept with its first and last place and its count, and
//! everything else follows from them. Beyond [`MAX_TRAIT_VALUES`] only the values of smallest hash stay counted, and
//! the observations that rules may pick (latest, latest that is not empty, oldest, smallest, largest) are kept beside
//! them. Both are functions of the set of observations.

mod cut;
mod rules;

pub use rules::{Candidate, Resolved, Survivorship, TraitRules};

use crate::PartError;
use crate::codec::{Reader, put_flag, put_len, put_mark, put_text, put_u64, put_value};
use crate::growth::insert_tight;
use crate::limits::{MAX_TRAIT_NAME_BYTES, MAX_TRAIT_VALUES, MAX_TRAITS};
use crate::mark::{self, Mark, fits, hash_text, hash_value};
use kith_types::{Event, EventType, SourceName, Value};
use smallvec::SmallVec;
use std::cmp::Ordering;

/// A distinct value of a trait: where it was first and last said, and how often.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    hash: u64,
    value: Value,
    first: Mark,
    last: Mark,
    count: u64,
}

impl Seen {
    fn order(&self, hash: u64, value: &Value) -> Ordering {
        mark::order((self.hash, &self.value), (hash, value))
    }
}

/// A value as one event said it.
#[derive(Clone, Debug, PartialEq)]
struct Observation {
    value: Value,
    mark: Mark,
}

/// The observations that rules may pick, kept apart once not all values are.
#[derive(Clone, Debug, Default, PartialEq)]
struct Picks {
    latest: Option<Observation>,
    latest_filled: Option<Observation>,
    oldest: Option<Observation>,
    smallest: Option<Observation>,
    largest: Option<Observation>,
}

impl Picks {
    fn slots(&self) -> [&Option<Observation>; 5] {
        [
            &self.latest,
            &self.latest_filled,
            &self.oldest,
            &self.smallest,
            &self.largest,
        ]
    }

    fn slots_mut(&mut self) -> [&mut Option<Observation>; 5] {
        [
            &mut self.latest,
            &mut self.latest_filled,
            &mut self.oldest,
            &mut self.smallest,
            &mut self.largest,
        ]
    }

    fn observe(&mut self, value: &Value, mark: Mark) {
        let pick = |slot: &mut Option<Observation>, better: fn(&Observation, &Value, Mark) -> bool| {
            if slot.as_ref().is_none_or(|held| better(held, value, mark)) {
                *slot = Some(Observation {
                    value: value.clone(),
                    mark,
                });
            }
        };
        pick(&mut self.latest, |held, _, mark| mark > held.mark);
        if value.is_empty() {
            return;
        }
        pick(&mut self.latest_filled, |held, _, mark| mark > held.mark);
        pick(&mut self.oldest, |held, _, mark| mark < held.mark);
        if value.as_number().is_some() {
            pick(&mut self.smallest, |held, value, mark| {
                rules::smaller((value, mark), (&held.value, held.mark))
            });
            pick(&mut self.largest, |held, value, mark| {
                rules::larger((value, mark), (&held.value, held.mark))
            });
        }
    }
}

/// What one source says of one trait.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TraitEntry {
    name: Box<str>,
    source: SourceName,
    /// Sorted by hash.
    values: SmallVec<[Seen; 1]>,
    /// Present exactly when there were more distinct values than are kept.
    picks: Option<Box<Picks>>,
    /// Whether a value was too large to be kept.
    left_out: bool,
}

impl TraitEntry {
    fn new(name: &str, source: &SourceName) -> Self {
        Self {
            name: name.into(),
            source: source.clone(),
            values: SmallVec::new(),
            picks: None,
            left_out: false,
        }
    }

    fn observe(&mut self, value: &Value, mark: Mark) {
        if fits(value) {
            self.insert(hash_value(value), value, mark, mark, 1);
        } else {
            self.left_out = true;
        }
    }

    fn insert(&mut self, hash: u64, value: &Value, first: Mark, last: Mark, count: u64) {
        if let Some(picks) = &mut self.picks {
            picks.observe(value, first);
            picks.observe(value, last);
        }
        match self.values.binary_search_by(|seen| seen.order(hash, value)) {
            Ok(at) => {
                let seen = &mut self.values[at];
                seen.first = seen.first.min(first);
                seen.last = seen.last.max(last);
                seen.count = seen.count.saturating_add(count);
            }
            Err(at) if at >= MAX_TRAIT_VALUES && self.picks.is_some() => {}
            Err(at) => {
                self.values.insert(
                    at,
                    Seen {
                        hash,
                        value: value.clone(),
                        first,
                        last,
                        count,
                    },
                );
                if self.values.len() > MAX_TRAIT_VALUES {
                    self.begin_picks();
                    self.values.truncate(MAX_TRAIT_VALUES);
                }
            }
        }
    }

    /// Takes the observations that rules may pick out of the values, while all values are there.
    fn begin_picks(&mut self) {
        if self.picks.is_none() {
            let mut picks = Box::<Picks>::default();
            for seen in &self.values {
                picks.observe(&seen.value, seen.first);
                picks.observe(&seen.value, seen.last);
            }
            self.picks = Some(picks);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.left_out |= other.left_out;
        if let Some(theirs) = &other.picks {
            self.begin_picks();
            if let Some(mine) = &mut self.picks {
                theirs
                    .slots()
                    .into_iter()
                    .flatten()
                    .for_each(|held| mine.observe(&held.value, held.mark));
            }
        }
        for seen in &other.values {
            self.insert(seen.hash, &seen.value, seen.first, seen.last, seen.count);
        }
    }

    /// Observations among which every rule finds its pick.
    fn observations(&self) -> impl Iterator<Item = (&Value, Mark)> {
        let picked = self
            .picks
            .iter()
            .flat_map(|picks| picks.slots())
            .flatten()
            .map(|held| (&held.value, held.mark));
        picked.chain(
            self.values
                .iter()
                .flat_map(|seen| [(&seen.value, seen.last), (&seen.value, seen.first)]),
        )
    }
}

/// All traits of a part, by name and source.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TraitSet {
    entries: Vec<TraitEntry>,
    /// Whether a trait was left out: too many, or its name too long.
    limited: bool,
}

impl TraitSet {
    pub(crate) fn observe(&mut self, event: &Event) {
        // A group call speaks of the account, not of the person.
        if event.event_type != EventType::Group {
            self.take(event);
        }
    }

    /// Takes the traits that an event says, of whomever.
    pub(crate) fn take(&mut self, event: &Event) {
        if event.traits.is_empty() {
            return;
        }
        let mark = Mark::of(event);
        let mut grown = false;
        for (name, value) in &event.traits {
            if name.len() > MAX_TRAIT_NAME_BYTES {
                self.limited = true;
                continue;
            }
            let at = match self.position(name, &event.source) {
                Ok(at) => at,
                Err(at) => {
                    insert_tight(&mut self.entries, at, TraitEntry::new(name, &event.source));
                    grown = true;
                    at
                }
            };
            self.entries[at].observe(value, mark);
        }
        if grown {
            self.limit();
        }
    }

    fn position(&self, name: &str, source: &SourceName) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|entry| (*entry.name).cmp(name).then_with(|| entry.source.cmp(source)))
    }

    /// Keeps the traits whose names have the smallest hashes.
    fn limit(&mut self) {
        if self.entries.len() <= MAX_TRAITS {
            return;
        }
        let mut names: Vec<(u64, &str)> = self
            .entries
            .iter()
            .map(|entry| (hash_text(&entry.name), &*entry.name))
            .collect();
        names.sort_unstable();
        names.dedup();
        let Some((hash, name)) = names
            .get(MAX_TRAITS)
            .map(|(hash, name)| (*hash, Box::<str>::from(*name)))
        else {
            return;
        };
        self.entries
            .retain(|entry| (hash_text(&entry.name), &*entry.name) < (hash, &*name));
        self.limited = true;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.limited |= other.limited;
        for entry in &other.entries {
            match self.position(&entry.name, &entry.source) {
                Ok(at) => self.entries[at].merge(entry),
                Err(at) => insert_tight(&mut self.entries, at, entry.clone()),
            }
        }
        self.limit();
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.limited
    }

    /// The value that survives for a name, each trait under its own rule. A name with dots that is no trait itself enters
    /// the trait that its first step names.
    pub(crate) fn value<'a>(&'a self, name: &str, rules: &TraitRules) -> Option<&'a Value> {
        let survivor = |name: &str| self.surviving(name, rules.of(name));
        if let Some(value) = survivor(name) {
            return Some(value);
        }
        let (first, rest) = name.split_once('.')?;
        rest.split('.')
            .try_fold(survivor(first)?, |value, step| value.get(step))
    }

    /// What the sources say of one trait.
    fn of(&self, name: &str) -> &[TraitEntry] {
        let from = self.entries.partition_point(|entry| &*entry.name < name);
        let length = self.entries[from..]
            .iter()
            .take_while(|entry| &*entry.name == name)
            .count();
        &self.entries[from..from + length]
    }

    /// The names of all traits, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries
            .chunk_by(|one, next| one.name == next.name)
            .filter_map(|same| same.first())
            .map(|entry| &*entry.name)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_flag(out, self.limited);
        put_len(out, self.entries.len());
        for entry in &self.entries {
            put_text(out, &entry.name);
            put_text(out, entry.source.as_str());
            put_flag(out, entry.left_out);
            put_len(out, entry.values.len());
            for seen in &entry.values {
                put_value(out, &seen.value);
                put_u64(out, seen.count);
                put_mark(out, &seen.last);
                put_flag(out, seen.first != seen.last);
                if seen.first != seen.last {
                    put_mark(out, &seen.first);
                }
            }
            put_flag(out, entry.picks.is_some());
            for slot in entry.picks.iter().flat_map(|picks| picks.slots()) {
                put_flag(out, slot.is_some());
                if let Some(held) = slot {
                    put_value(out, &held.value);
                    put_mark(out, &held.mark);
                }
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, PartError> {
        let mut traits = Self::default();
        traits.decode_again(reader)?;
        Ok(traits)
    }

    /// Becomes what was written, and keeps what names and sources it has, for they are mostly the same again.
    pub(crate) fn decode_again(&mut self, reader: &mut Reader<'_>) -> Result<(), PartError> {
        self.limited = reader.flag()?;
        let length = reader.len(4)?;
        self.entries.truncate(length);
        self.entries.reserve_exact(length - self.entries.len());
        for at in 0..length {
            let (name, source) = (reader.text()?, reader.text()?);
            match self.entries.get_mut(at) {
                Some(entry) if *entry.name == *name && entry.source.as_str() == source => {
                    entry.values.clear();
                    entry.picks = None;
                }
                _ => {
                    let source = source_of(reader, source, &self.entries[..at])?;
                    self.entries.truncate(at);
                    self.entries.push(TraitEntry::new(name, &source));
                }
            }
            self.entries[at].decode_said(reader)?;
        }
        if !(self.entries).is_sorted_by(|one, next| (&one.name, &one.source) < (&next.name, &next.source)) {
            return Err(reader.damaged("traits are out of order"));
        }
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let own = self.entries.capacity() * size_of::<TraitEntry>();
        let held = |entry: &TraitEntry| {
            let spilled = if entry.values.spilled() {
                entry.values.capacity() * size_of::<Seen>()
            } else {
                0
            };
            let texts: usize = entry.values.iter().map(|seen| value_heap_bytes(&seen.value)).sum();
            let picks = entry.picks.as_ref().map_or(0, |picks| {
                size_of::<Picks>()
                    + picks
                        .slots()
                        .into_iter()
                        .flatten()
                        .map(|held| value_heap_bytes(&held.value))
                        .sum::<usize>()
            });
            entry.name.len() + spilled + texts + picks
        };
        own + self.entries.iter().map(held).sum::<usize>()
    }
}

impl TraitEntry {
    /// Reads what was said, of an entry that has a name and a source and nothing more.
    fn decode_said(&mut self, reader: &mut Reader<'_>) -> Result<(), PartError> {
        self.left_out = reader.flag()?;
        for _ in 0..reader.len(3)? {
            let (value, count, last) = (reader.value()?, reader.u64()?, reader.mark()?);
            let first = if reader.flag()? { reader.mark()? } else { last };
            self.values.push(Seen {
                hash: hash_value(&value),
                value,
                first,
                last,
                count,
            });
        }
        let in_order = |one: &Seen, next: &Seen| one.order(next.hash, &next.value) == Ordering::Less;
        if !self.values.is_sorted_by(in_order) {
            return Err(reader.damaged("values of a trait are out of order"));
        }
        if reader.flag()? {
            let mut picks = Box::<Picks>::default();
            for slot in picks.slots_mut() {
                if reader.flag()? {
                    *slot = Some(Observation {
                        value: reader.value()?,
                        mark: reader.mark()?,
                    });
                }
            }
            self.picks = Some(picks);
        }
        Ok(())
    }
}

/// A source: shared with the entry before where it is the same, as it mostly is.
fn source_of(reader: &Reader<'_>, text: &str, before: &[TraitEntry]) -> Result<SourceName, PartError> {
    match before.last() {
        Some(last) if last.source.as_str() == text => Ok(last.source.clone()),
        _ => text
            .parse()
            .map_err(|_| reader.damaged("a source name breaks the rule for names")),
    }
}

fn value_heap_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items
            .iter()
            .map(|item| size_of::<Value>() + value_heap_bytes(item))
            .sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| size_of::<(kith_types::Text, Value)>() + key.len() + value_heap_bytes(value))
            .sum(),
        _ => 0,
    }
}
