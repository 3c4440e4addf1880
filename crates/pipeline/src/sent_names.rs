//! The names that events of a space have carried: of events, of their properties, of traits of people and of accounts, of
//! fields of their context, of categories of consent and of types of identifiers. They let whoever writes a definition be told of a name that nobody has sent (contract SEG-1).
//!
//! Names are kept by first appearance, so a replay of the log gives the same ones, and bounded, since anybody may invent
//! some. A name that is known costs a look into a set of hashes and no memory; one that is new is a row of the step. It
//! says nothing of how often or by whom a name was sent, and nobody reads it but [`crate::Reads::unsent`].

use crate::{PipelineError, keys};
use kith_state::{Batch, Keyspace, Read};
use kith_types::{Event, EventType, IdentifierType, Object, SpaceId, Value};
use rustc_hash::{FxHashSet, FxHasher};
use std::collections::BTreeSet;
use std::hash::Hasher;

/// How deep in nested objects names are told apart: `a.b.c` has three steps.
pub(crate) const STEPS_MAX: usize = 5;
/// How long a name with all its steps may be, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// What leads the rows of names, the kind and the number of a name behind it; and what closes them, so that no row ends as
/// other entries do.
const NAMES: &str = "sent_name";
const END: u8 = 0xff;
/// There where every name of some kinds that the space has ever been sent was noted: those that are kept from the first release
/// on that kept any, and those that came later. A state of between has those that there were then and does not know the others.
const KEPT: [&str; 3] = ["names_are_kept", "context_names_are_kept", "identifier_types_are_kept"];
/// The places of the kinds of each.
const KEPT_PLACES: [std::ops::Range<u8>; 3] = [0..6, 6..8, 8..9];
/// The types of identifiers that there are everywhere, so that nobody needs to send one.
const EVERYWHERE: [&str; 5] = ["user_id", "email", "phone", "device_id", "anonymous_id"];
/// Between the steps of a stored name.
const STEP: char = '\0';

/// What a name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameKind {
    Track,
    Page,
    Screen,
    Property,
    Trait,
    AccountTrait,
    Context,
    Consent,
    IdentifierType,
}

impl NameKind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Track,
        Self::Page,
        Self::Screen,
        Self::Property,
        Self::Trait,
        Self::AccountTrait,
        Self::Context,
        Self::Consent,
        Self::IdentifierType,
    ];

    /// The kind of the names that events of a type have; nothing where they have none.
    pub(crate) fn of_events(event_type: EventType) -> Option<Self> {
        match event_type {
            EventType::Track => Some(Self::Track),
            EventType::Page => Some(Self::Page),
            EventType::Screen => Some(Self::Screen),
            EventType::Identify | EventType::Group | EventType::Alias => None,
        }
    }

    /// How many names of the kind a space keeps.
    pub(crate) fn limit(self) -> u16 {
        match self {
            Self::Track | Self::Page | Self::Screen | Self::Consent | Self::IdentifierType => 1_000,
            Self::Property | Self::Trait | Self::AccountTrait | Self::Context => 2_000,
        }
    }

    fn place(self) -> u8 {
        self as u8
    }

    fn hash(self) -> u64 {
        u64::from(self.place())
    }
}

/// The hash of a name with one more step.
fn with_step(above: u64, step: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u64(above);
    hasher.write(step.as_bytes());
    hasher.finish()
}

/// A step of a name, and those above it.
struct Steps<'a> {
    last: &'a str,
    above: Option<&'a Steps<'a>>,
    count: usize,
}

impl Steps<'_> {
    fn bytes(&self) -> usize {
        self.last.len() + self.above.map_or(0, |above| above.bytes() + 1)
    }

    fn write(&self, out: &mut String) {
        if let Some(above) = self.above {
            above.write(out);
            out.push(STEP);
        }
        out.push_str(self.last);
    }
}

/// The names that are known, within a step.
#[derive(Debug, Default)]
pub(crate) struct SentNames {
    /// Whether all names there ever were are noted, by [`KEPT`]: not in a state that an earlier release began.
    kept: [bool; KEPT.len()],
    hashes: FxHashSet<u64>,
    /// How many of each kind.
    counts: [u16; NameKind::ALL.len()],
    /// Of which kinds there were more.
    beyond: [bool; NameKind::ALL.len()],
}

impl SentNames {
    pub(crate) fn load(store: &dyn Read, space: &SpaceId) -> Result<Self, PipelineError> {
        let stored = |name: &str| store.get(Keyspace::Meta, &keys::named(space, name));
        let is_new = stored(crate::space::DEFINITIONS)?.is_none();
        let mut names = Self::default();
        for (kept, mark) in names.kept.iter_mut().zip(KEPT) {
            *kept = is_new || stored(mark)?.is_some();
        }
        visit(store, space, &mut |kind, name| {
            let place = usize::from(kind.place());
            let Some(name) = name else {
                names.beyond[place] = true;
                return;
            };
            names.counts[place] += 1;
            let hash = name.split(STEP).fold(kind.hash(), with_step);
            names.hashes.insert(hash);
        })?;
        Ok(names)
    }

    /// Says in the state that it has all names, where it does.
    pub(crate) fn begin(&self, space: &SpaceId, writes: &mut Batch) {
        for (_, mark) in self.kept.iter().zip(KEPT).filter(|(kept, _)| **kept) {
            writes.put(Keyspace::Meta, keys::named(space, mark), Vec::new());
        }
    }

    /// Notes the names that an event carries.
    pub(crate) fn note(&mut self, event: &Event, space: &SpaceId, writes: &mut Batch) {
        let [kept, context_kept, types_kept] = self.kept;
        if kept {
            self.note_said(event, space, writes);
        }
        if context_kept {
            let kind = NameKind::Context;
            self.note_fields(kind, &event.context, (kind.hash(), None), space, writes);
            for category in kith_profile::consent_categories(event) {
                self.note_alone(NameKind::Consent, category, space, writes);
            }
        }
        if types_kept {
            for identifier in &event.identifiers {
                if let IdentifierType::Custom(name) = &identifier.kind {
                    self.note_alone(NameKind::IdentifierType, name, space, writes);
                }
            }
        }
    }

    fn note_said(&mut self, event: &Event, space: &SpaceId, writes: &mut Batch) {
        if let Some(kind) = NameKind::of_events(event.event_type).filter(|_| !event.name.is_empty()) {
            self.note_alone(kind, &event.name, space, writes);
        }
        let traits = match event.event_type {
            EventType::Group => NameKind::AccountTrait,
            _ => NameKind::Trait,
        };
        for (kind, fields) in [(NameKind::Property, &event.properties), (traits, &event.traits)] {
            self.note_fields(kind, fields, (kind.hash(), None), space, writes);
        }
    }

    /// Notes a name of one step, whatever stands in it.
    fn note_alone(&mut self, kind: NameKind, name: &str, space: &SpaceId, writes: &mut Batch) {
        if name.contains(STEP) {
            return;
        }
        let (hash, above) = (with_step(kind.hash(), name), None);
        let name = Steps {
            last: name,
            above,
            count: 1,
        };
        self.note_one(kind, hash, &name, space, writes);
    }

    fn note_fields(
        &mut self,
        kind: NameKind,
        fields: &Object,
        (hash_above, above): (u64, Option<&Steps<'_>>),
        space: &SpaceId,
        writes: &mut Batch,
    ) {
        // A step that holds what stands between steps would be read back as two.
        for (last, value) in fields.iter().filter(|(last, _)| !last.contains(STEP)) {
            let name = Steps {
                last,
                above,
                count: above.map_or(0, |above| above.count) + 1,
            };
            let hash = with_step(hash_above, last);
            self.note_one(kind, hash, &name, space, writes);
            if let Value::Object(inner) = value
                && name.count < STEPS_MAX
            {
                self.note_fields(kind, inner, (hash, Some(&name)), space, writes);
            }
        }
    }

    fn note_one(&mut self, kind: NameKind, hash: u64, name: &Steps<'_>, space: &SpaceId, writes: &mut Batch) {
        if self.hashes.contains(&hash) || name.bytes() > NAME_BYTES_MAX {
            return;
        }
        let place = usize::from(kind.place());
        let number = self.counts[place];
        if number < kind.limit() {
            self.hashes.insert(hash);
            self.counts[place] += 1;
            let mut text = String::with_capacity(name.bytes());
            name.write(&mut text);
            writes.put(Keyspace::Meta, key(space, kind, number), text.into_bytes());
        } else if !std::mem::replace(&mut self.beyond[place], true) {
            writes.put(Keyspace::Meta, key(space, kind, u16::MAX), Vec::new());
        }
    }
}

fn key(space: &SpaceId, kind: NameKind, number: u16) -> Vec<u8> {
    let mut key = keys::named(space, NAMES);
    key.push(kind.place());
    key.extend_from_slice(&number.to_be_bytes());
    key.push(END);
    key
}

/// Where keys begin, and where they end.
type KeyRange = (Vec<u8>, Vec<u8>);

fn range(space: &SpaceId, places: &std::ops::Range<u8>) -> KeyRange {
    let prefix = keys::named(space, NAMES);
    let from = |place: u8| [prefix.as_slice(), &[place]].concat();
    (from(places.start), from(places.end))
}

/// Where the names of a space stand in [`Keyspace::Meta`], of the kinds of which the state has them all.
pub(crate) fn kept_ranges(store: &dyn Read, space: &SpaceId) -> Result<Vec<KeyRange>, PipelineError> {
    let mut ranges = Vec::new();
    for (mark, places) in KEPT.iter().zip(&KEPT_PLACES) {
        let kept = store.get(Keyspace::Meta, &keys::named(space, mark))?;
        ranges.extend(kept.map(|_| range(space, places)));
    }
    Ok(ranges)
}

/// Visits the names of a space, `None` where there were more of a kind.
fn visit(
    store: &dyn Read,
    space: &SpaceId,
    visit: &mut dyn FnMut(NameKind, Option<&str>),
) -> Result<(), PipelineError> {
    let prefix = keys::named(space, NAMES);
    let (from, end) = range(space, &(0..NameKind::ALL.len() as u8));
    let mut damaged = false;
    store.scan(Keyspace::Meta, &from, &end, &mut |key, value| {
        let parts = match key.get(prefix.len()..) {
            Some([kind, high, low, END]) => NameKind::ALL.get(usize::from(*kind)).map(|kind| (*kind, [*high, *low])),
            _ => None,
        };
        match (parts, std::str::from_utf8(value)) {
            (Some((kind, number)), Ok(name)) => visit(kind, (number != [u8::MAX; 2]).then_some(name)),
            _ => damaged = true,
        }
        !damaged
    })?;
    match damaged {
        true => Err(PipelineError::corrupt("names")),
        false => Ok(()),
    }
}

/// The committed names of a space, as definitions write them.
#[derive(Debug, Default)]
pub(crate) struct CommittedNames {
    names: [BTreeSet<String>; NameKind::ALL.len()],
    beyond: [bool; NameKind::ALL.len()],
}

impl CommittedNames {
    /// Nothing where the state does not have them all, or nothing was sent yet: then no name says anything. Of kinds that it has
    /// not from the beginning any name may have been sent.
    pub(crate) fn read(store: &dyn Read, space: &SpaceId) -> Result<Option<Self>, PipelineError> {
        let mut read = Self::default();
        for (mark, places) in KEPT.iter().zip(&KEPT_PLACES) {
            if store.get(Keyspace::Meta, &keys::named(space, mark))?.is_none() {
                places.clone().for_each(|place| read.beyond[usize::from(place)] = true);
            }
        }
        if read.beyond.iter().all(|beyond| *beyond) {
            return Ok(None);
        }
        visit(store, space, &mut |kind, name| {
            let place = usize::from(kind.place());
            match name {
                Some(name) => drop(read.names[place].insert(name.replace(STEP, "."))),
                None => read.beyond[place] = true,
            }
        })?;
        let sent = read.names.iter().any(|names| !names.is_empty());
        let types = &mut read.names[usize::from(NameKind::IdentifierType.place())];
        types.extend(EVERYWHERE.map(str::to_owned));
        Ok(sent.then_some(read))
    }

    /// Whether a name may be one of these kinds: it was sent, or there were more names than are kept.
    pub(crate) fn may_have(&self, kinds: &[NameKind], name: &str) -> bool {
        let mut places = kinds.iter().map(|kind| usize::from(kind.place()));
        places.any(|place| self.beyond[place] || self.names[place].contains(name))
    }

    /// The name of one of these kinds that is spelt most like it, if any is near.
    pub(crate) fn nearest(&self, kinds: &[NameKind], name: &str) -> Option<&str> {
        let names = kinds.iter().flat_map(|kind| &self.names[usize::from(kind.place())]);
        let names: Vec<&str> = names.map(String::as_str).collect();
        kith_expr::nearest(name, &names)
    }
}
