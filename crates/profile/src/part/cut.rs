//! Stored parts cut down to what a question asks of people. Of what is not asked for nothing is made, its bytes are passed over.
//!
//! For whoever asks everybody the same. Cut parts are parts: they are read and merged like any other, and a condition that asks
//! only for what was kept gets the answer that the whole part gives. Limits of traits are an exception, which
//! [`CutPart::traits`] is for.

use super::{PART_VERSION, Part, PlanDirectory};
use crate::aggregates::Entry;
use crate::codec::{Reader, put_len, put_time, put_u64};
use crate::consents::Consents;
use crate::traits::TraitSet;
use crate::{FoldPlan, PartError};
use kith_expr::AggregateId;
use kith_types::Timestamp;
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// What a question asks of parts.
#[derive(Debug)]
pub struct Asked<'a> {
    plan: &'a FoldPlan,
    /// Sorted; `None`: all traits.
    traits: Option<Vec<Box<str>>>,
    consents: bool,
}

/// What was found out while a part was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutPart<'a> {
    /// How many traits, each by its sources, the part had. While those of parts that are merged come to no more than
    /// [`crate::limits::MAX_TRAITS`], no limit takes any from them, and what merges of cut parts say is exact.
    pub traits: usize,
    /// The part's horizon.
    pub horizon: Timestamp,
    /// What decides every answer of the part, while it is merged with no other: parts of which this is the same answer alike at
    /// any instant from their horizons on. It is there where aggregates and consent say nothing and of each trait asked
    /// for one source at most says one value, so that it plays no part who said it, when and how often.
    pub alone: Option<&'a [u8]>,
}

/// Cuts parts for one question. Remembers what the last plan met means for it, which the next part mostly has too.
pub struct Cutter<'a> {
    asked: &'a Asked<'a>,
    plans: &'a dyn PlanDirectory,
    /// By the fingerprint of a plan; that of a part which lists its aggregates has none.
    known: Option<(Option<u128>, Slots)>,
    alone: Vec<u8>,
}

/// As [`CutPart`].
#[derive(Default)]
struct Cut {
    traits: usize,
    horizon: Timestamp,
    is_plain: bool,
}

/// The slot of each aggregate that parts of a plan hold among those asked for; `None`: there is no cutting them.
type Slots = Option<Box<[Option<u32>]>>;

impl<'a> Asked<'a> {
    /// The aggregates of a plan, and the traits of these names or, without any names, all of them. A name with dots may also
    /// be inside the trait that its first step names.
    #[must_use]
    pub fn new<'n>(plan: &'a FoldPlan, traits: Option<impl Iterator<Item = &'n str>>, consents: bool) -> Self {
        let traits = traits.map(|names| {
            let both = names.flat_map(|name| [Some(name), name.split_once('.').map(|(first, _)| first)]);
            let names: BTreeSet<&str> = both.flatten().collect();
            names.into_iter().map(Box::from).collect()
        });
        Self { plan, traits, consents }
    }
}

impl<'a> Cutter<'a> {
    /// A cutter of parts that name one of these plans, or none.
    #[must_use]
    pub fn new(asked: &'a Asked<'a>, plans: &'a dyn PlanDirectory) -> Self {
        Self {
            asked,
            plans,
            known: None,
            alone: Vec::new(),
        }
    }

    /// Appends what is asked for of a stored part, to be read with [`Part::decode_for`] by the plan asked for. Nothing, and
    /// `None`, where the part cannot be cut: it lacks an aggregate, names a plan that is not known, or is of an
    /// older form.
    ///
    /// # Errors
    /// [`PartError::Damaged`] for bytes that are no part, as far as they are looked at.
    pub fn cut(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<CutPart<'_>>, PartError> {
        let reader = &mut Reader::new(bytes);
        let began = out.len();
        let cut = self.cut_from(reader, out);
        if !matches!(cut, Ok(Some(_))) {
            out.truncate(began);
        }
        Ok(cut?.map(|cut| CutPart {
            traits: cut.traits,
            horizon: cut.horizon,
            alone: cut.is_plain.then_some(&*self.alone),
        }))
    }

    fn cut_from(&mut self, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<Option<Cut>, PartError> {
        if reader.byte()? != PART_VERSION {
            return Ok(None);
        }
        let events = reader.u64()?;
        out.push(PART_VERSION);
        put_u64(out, events);
        if events == 0 {
            reader.finish()?;
            return Ok(Some(Cut::default()));
        }
        // No condition asks when the first and the last event was.
        reader.pass_numbers(2)?;
        (0..2).for_each(|_| out.push(0));
        let horizon = reader.time()?;
        put_time(out, horizon);
        let asked = self.asked;
        let Some(slots) = self.slots(reader)? else {
            return Ok(None);
        };
        // As `Held` writes the plan's own list, or one without any.
        match asked.plan.ids().is_empty() {
            true => out.extend_from_slice(&[0, 0]),
            false => {
                out.push(1);
                out.extend_from_slice(&asked.plan.fingerprint().to_be_bytes());
            }
        }
        let entries = cut_entries(reader, slots, out)?;
        self.alone.clear();
        let traits = TraitSet::cut(reader, asked.traits.as_deref(), asked.consents, (out, &mut self.alone))?;
        if asked.consents {
            out.extend_from_slice(reader.rest());
        } else {
            Consents::default().encode(out);
        }
        Ok(Some(Cut {
            traits: traits.entries,
            horizon,
            is_plain: traits.is_plain && entries == 0 && !asked.consents,
        }))
    }

    /// Reads which aggregates the part holds.
    fn slots(&mut self, reader: &mut Reader<'_>) -> Result<Option<&[Option<u32>]>, PartError> {
        if reader.flag()? {
            let fingerprint = u128::from_be_bytes(reader.array()?);
            if self.known.as_ref().is_none_or(|(known, _)| *known != Some(fingerprint)) {
                let held = self.plans.ids_of(fingerprint);
                let slots = held.and_then(|held| self.asked.slots_in(&held));
                self.known = Some((Some(fingerprint), slots));
            }
        } else {
            let length = reader.len(16)?;
            let listed = reader.take(length * 16)?.chunks_exact(16);
            let ids: Vec<AggregateId> = listed
                .map(|id| AggregateId(u128::from_be_bytes(id.try_into().unwrap_or_default())))
                .collect();
            self.known = Some((None, self.asked.slots_in(&ids)));
        }
        Ok(self.known.as_ref().and_then(|(_, slots)| slots.as_deref()))
    }
}

impl Asked<'_> {
    fn slots_in(&self, held: &[AggregateId]) -> Slots {
        let place = |id: &AggregateId| self.plan.ids().binary_search(id).ok().map(|at| at as u32);
        let slots: Box<[Option<u32>]> = held.iter().map(place).collect();
        (slots.iter().flatten().count() == self.plan.ids().len()).then_some(slots)
    }
}

/// Copies the entries asked for under their new slots; answers how many they are.
fn cut_entries(reader: &mut Reader<'_>, slots: &[Option<u32>], out: &mut Vec<u8>) -> Result<usize, PartError> {
    let length = reader.len(5)?;
    let mut kept: SmallVec<[(u32, &[u8]); 8]> = SmallVec::new();
    for _ in 0..length {
        let (slot, state) = Entry::pass(reader)?;
        match slots.get(slot as usize) {
            Some(Some(slot)) => kept.push((*slot, state)),
            Some(None) => {}
            None => return Err(reader.damaged("aggregates are out of order")),
        }
    }
    put_len(out, kept.len());
    for (slot, state) in &kept {
        put_u64(out, u64::from(*slot));
        out.extend_from_slice(state);
    }
    Ok(kept.len())
}

impl Part {
    /// The same part with nothing but what is asked for, made of the whole: what cutting its bytes comes to.
    #[cfg(test)]
    pub(crate) fn only(&self, asked: &Asked<'_>) -> Self {
        let mut part = self.clone();
        part.retain(asked.plan);
        part.settles_at = part.next_settling();
        part.span = super::Span::decode_ends(self.event_count(), &mut Reader::new(&[0, 0])).unwrap_or_default();
        if let Some(names) = &asked.traits {
            part.traits
                .retain(|name| names.binary_search_by(|one| (**one).cmp(name)).is_ok());
        }
        if !asked.consents {
            part.consents = Consents::default();
        }
        part
    }
}
