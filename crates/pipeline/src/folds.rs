//! Folds of history that are made elsewhere, for definitions that come after many events (contract SEG-4).
//!
//! A new definition needs aggregates that no stored part holds. The sweep folds them from each carrier's rows, person by
//! person; where there are many people, somebody who reads columns makes the same folds of all carriers at once, by the
//! same code, of exactly the records before the decision. The sweep waits for them, takes what they say instead of the
//! rows, and stays the only one that changes anything: so there is no gap, and nothing is told twice. Whoever gets an
//! event meanwhile is folded from their rows, as always. Folds that cannot be had, or differ in a draw of parts from what
//! the rows say, are done without.

use crate::definitions::Definitions;
use crate::engine::SweepProgress;
use crate::entry::End;
use crate::foreseen::VisitedFirst;
use crate::space::Space;
use crate::{PipelineError, keys, plans};
use kith_expr::{AggregateId, AggregateSpec};
use kith_identity::{PartKey, Rules};
use kith_profile::{FoldPlan, Part};
use kith_state::{Keyspace, Read};
use kith_types::SpaceId;
use std::fmt;
use std::sync::Arc;

/// The key under which a space says what its sweep waits for.
const WANTED: &str = "folds_wanted";
/// Raised when the meaning of the bytes under it changes.
const VERSION: u8 = 1;
/// Parts that are folded both ways before any fold is taken.
const DRAWN: usize = if cfg!(test) { 4 } else { 256 };

/// How folds that were asked for stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FoldsStanding {
    /// They are being made: the share that is done, from 0 to 1.
    Working(f64),
    /// They can be asked for.
    Ready,
    /// They cannot be had.
    Absent,
}

/// Folds that a sweep needs.
#[derive(Clone, Debug)]
pub struct WantedFolds {
    /// Whose.
    pub space: SpaceId,
    /// Of every event of the space in records before this sequence number, and of no other.
    pub before: u64,
    /// By which an event's carrier is found.
    pub rules: Arc<Rules>,
    /// The aggregates.
    pub plan: Arc<FoldPlan>,
}

/// Makes folds of history. Its answers must not block for long: the pipeline asks between steps.
pub trait HistoryFolds: Send + Sync {
    /// Begins to make these, instead of any that the space wanted before.
    fn begin(&self, wanted: WantedFolds);

    /// How those of a space stand.
    fn standing(&self, space: &SpaceId) -> FoldsStanding;

    /// The fold of a carrier's events by the plan, as [`Part::encode_for`] writes it; `None` where no event of its was
    /// wanted. Asked only while they are ready.
    ///
    /// # Errors
    /// When what was made cannot be read.
    fn fold_of(
        &self,
        space: &SpaceId,
        carrier: u128,
    ) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>>;

    /// A space needs none any more.
    fn end(&self, space: &SpaceId);
}

/// Who makes folds, and from how many people on it pays.
#[derive(Clone)]
pub struct MadeElsewhere {
    /// Who.
    pub by: Arc<dyn HistoryFolds>,
    /// With fewer people the sweep reads rows.
    pub from_people: u64,
}

impl fmt::Debug for MadeElsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeElsewhere")
            .field("from_people", &self.from_people)
            .finish_non_exhaustive()
    }
}

/// Folds that a space's sweep waits for, or takes.
pub(crate) struct Awaited {
    folds: Folds,
    /// Whether they are made.
    made: bool,
    /// Whether they are made and found to be of what the state holds.
    ready: bool,
    /// How much is done, for those who watch.
    done: f64,
}

/// Folds of a space that are made elsewhere.
#[derive(Clone)]
pub(crate) struct Folds {
    by: Arc<dyn HistoryFolds>,
    space: SpaceId,
    plan: Arc<FoldPlan>,
}

impl Folds {
    /// Whether they are of this aggregate.
    pub(crate) fn have(&self, id: AggregateId) -> bool {
        self.plan.spec(id).is_some()
    }

    /// The fold of a carrier's events.
    pub(crate) fn of(&self, carrier: u128) -> Result<Part, PipelineError> {
        let found = self.by.fold_of(&self.space, carrier);
        match found.map_err(|error| PipelineError::storage("a fold of history could not be read", error))? {
            Some(bytes) => {
                Part::decode_for(&bytes, &self.plan).map_err(|error| PipelineError::storage("a fold of history", error))
            }
            None => Ok(Part::default()),
        }
    }
}

impl Awaited {
    /// The folds, once they may be taken.
    pub(crate) fn ready(&self) -> Option<&Folds> {
        self.ready.then_some(&self.folds)
    }
}

impl Space {
    /// Asks for the folds that people lack under the definitions in force, from a committed state. `before` are those
    /// that every part of a person holds.
    pub(crate) fn want_folds(&mut self, made: Option<MadeElsewhere>, before: &Definitions, sequence: u64) {
        let known = &before.plan;
        let ids: Vec<AggregateId> = (self.definitions.plan.ids().iter())
            .filter(|id| known.spec(**id).is_none())
            .copied()
            .collect();
        let bytes = write_wanted(sequence, &ids);
        self.writes.put(Keyspace::Meta, keys::named(&self.id, WANTED), bytes);
        self.ask_for(made, &ids, sequence);
    }

    /// What was asked for before is of no use any more: it was for another decision.
    pub(crate) fn forget_folds(&mut self) {
        self.end_folds();
        self.writes.remove(Keyspace::Meta, keys::named(&self.id, WANTED));
    }

    /// As [`Space::want_folds`], after a restart in the middle of a sweep.
    pub(crate) fn want_folds_again(
        &mut self,
        store: &dyn Read,
        made: Option<MadeElsewhere>,
    ) -> Result<(), PipelineError> {
        if self.sweep.is_none() || made.is_none() {
            return Ok(());
        }
        let Some(bytes) = store.get(Keyspace::Meta, &keys::named(&self.id, WANTED))? else {
            return Ok(());
        };
        let (sequence, ids) = read_wanted(&bytes).ok_or_else(|| PipelineError::corrupt("wanted folds"))?;
        self.ask_for(made, &ids, sequence);
        Ok(())
    }

    fn ask_for(&mut self, made: Option<MadeElsewhere>, ids: &[AggregateId], sequence: u64) {
        let Some(made) = made.filter(|made| self.profile_count >= made.from_people) else {
            return;
        };
        let specs: Vec<AggregateSpec> = ids
            .iter()
            .filter_map(|id| self.definitions.plan.spec(*id))
            .cloned()
            .collect();
        if specs.is_empty() || specs.len() < ids.len() {
            return;
        }
        let plan = Arc::new(FoldPlan::new(specs));
        made.by.begin(WantedFolds {
            space: self.id.clone(),
            before: sequence,
            rules: Arc::clone(&self.definitions.rules),
            plan: Arc::clone(&plan),
        });
        tracing::info!(space = %self.id, aggregates = ids.len(), "history is folded from the tables for a new definition");
        self.awaited = Some(Awaited {
            folds: Folds {
                by: made.by,
                space: self.id.clone(),
                plan,
            },
            made: false,
            ready: false,
            done: 0.0,
        });
    }

    /// Whether the sweep has to wait for folds, asking how they stand.
    pub(crate) fn awaits_folds(&mut self) -> bool {
        let Some(awaited) = self.awaited.as_mut().filter(|awaited| !awaited.made) else {
            return false;
        };
        match awaited.folds.by.standing(&self.id) {
            FoldsStanding::Working(done) => awaited.done = done,
            FoldsStanding::Ready => (awaited.made, awaited.done) = (true, 1.0),
            FoldsStanding::Absent => self.end_folds(),
        }
        self.awaits_folds_still()
    }

    /// Whether the sweep had to wait when it was last asked.
    pub(crate) fn awaits_folds_still(&self) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| !awaited.made)
    }

    /// The sweep goes on without folds that are not ready, and in the order of ids: another decision waits for it.
    pub(crate) fn give_up_waiting(&mut self) {
        // Whoever is left after those who are visited first stays as they are, whatever follows.
        if !self.has_visited_first() {
            self.visited_first = VisitedFirst::Nobody;
        }
        if self.awaits_folds() {
            tracing::warn!(space = %self.id, "a definition followed before history was folded: rows are read instead");
            self.end_folds();
        }
    }

    /// The sweep needs no folds any more.
    pub(crate) fn end_folds(&mut self) {
        if let Some(awaited) = self.awaited.take() {
            awaited.folds.by.end(&self.id);
        }
    }

    /// How far the sweep is; folds that are made elsewhere are half of the way.
    pub(crate) fn sweep_progress(&self) -> SweepProgress {
        let people = self.profile_count;
        let Some(awaited) = &self.awaited else {
            return SweepProgress {
                swept: self.swept,
                profiles: people,
                is_live: self.has_visited_first(),
            };
        };
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of people, for who watches"
        )]
        let folded = (people as f64 * awaited.done.clamp(0.0, 1.0)) as u64;
        SweepProgress {
            swept: u64::midpoint(folded, self.swept),
            profiles: people,
            is_live: self.has_visited_first(),
        }
    }

    /// Takes what a stored part lacks from folds made elsewhere; answers whether it could.
    ///
    /// A stored part that lacks what the newest decision needs has had no event since: whoever got one was folded
    /// whole. So the folds of the records before the decision are of all its events. An interval of a held identifier
    /// has no fold of its own.
    pub(crate) fn adopt(
        &self,
        part: &mut Part,
        missing: &[AggregateId],
        key: PartKey,
        end: End,
    ) -> Result<bool, PipelineError> {
        let Some(folds) = self.awaited.as_ref().and_then(Awaited::ready) else {
            return Ok(false);
        };
        let whole_carrier = key.start.is_none() && end.is_none();
        if !whole_carrier || !missing.iter().all(|id| folds.have(*id)) {
            return Ok(false);
        }
        part.adopt(missing, &folds.of(key.carrier)?);
        Ok(true)
    }

    /// Before any fold is taken: parts drawn by the hashes of their carriers are folded from their rows as well. Where
    /// one differs the folds are not of what the state holds, and are done without.
    pub(crate) fn check_folds(&mut self, store: &dyn Read) -> Result<(), PipelineError> {
        let Some(mut awaited) = self.awaited.take() else {
            return Ok(());
        };
        if awaited.made && !awaited.ready {
            awaited.ready = self.are_of_the_state(store, &awaited.folds)?;
            if !awaited.ready {
                tracing::error!(space = %self.id, "the tables do not hold the history that the state holds: rows are read instead");
                awaited.folds.by.end(&self.id);
                return Ok(());
            }
        }
        self.awaited = Some(awaited);
        Ok(())
    }

    fn are_of_the_state(&mut self, store: &dyn Read, folds: &Folds) -> Result<bool, PipelineError> {
        let (from, mut drawn) = (keys::space(&self.id), Vec::with_capacity(DRAWN));
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        store.scan(Keyspace::Parts, &from, &to, &mut |key, bytes| {
            // A key without the start of an interval.
            if key.len() == from.len() + 16 {
                drawn.extend(keys::wide_id(key).map(|carrier| (carrier, bytes.to_vec())));
            }
            drawn.len() < DRAWN
        })?;
        for (carrier, bytes) in drawn {
            let Some(mut part) = plans::decode(&bytes, &self.plans)? else {
                continue;
            };
            let missing = part.missing(&folds.plan);
            let key = PartKey { carrier, start: None };
            if missing.len() < folds.plan.ids().len() || self.is_held(store, carrier)? {
                continue;
            }
            let mut from_rows = part.clone();
            from_rows.begin(&missing);
            let plan = &folds.plan;
            self.visit_history(store, key, None, &mut |event| {
                from_rows.apply_only(plan, &missing, event);
            })?;
            part.adopt(&missing, &folds.of(carrier)?);
            if part != from_rows {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a carrier is parted into intervals, as its component says.
    fn is_held(&mut self, store: &dyn Read, carrier: u128) -> Result<bool, PipelineError> {
        let Some(home) = self.component_of(store, carrier)? else {
            return Ok(true);
        };
        let component = &self.component(store, home)?.component;
        let placed = component.profiles();
        let mut intervals = placed
            .iter()
            .flat_map(|profile| &profile.members)
            .filter(|member| member.part.carrier == carrier);
        Ok(intervals.any(|member| member.end.is_some() || member.part.start.is_some()))
    }
}

fn write_wanted(sequence: u64, ids: &[AggregateId]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    ids.iter().for_each(|id| bytes.extend_from_slice(&id.0.to_be_bytes()));
    bytes
}

fn read_wanted(bytes: &[u8]) -> Option<(u64, Vec<AggregateId>)> {
    let (version, rest) = bytes.split_first()?;
    let (sequence, ids) = rest.split_at_checked(8)?;
    if *version != VERSION || ids.len() % 16 != 0 {
        return None;
    }
    let id = |chunk: &[u8]| Some(AggregateId(u128::from_be_bytes(chunk.try_into().ok()?)));
    let ids: Option<Vec<_>> = ids.chunks_exact(16).map(id).collect();
    Some((u64::from_be_bytes(sequence.try_into().ok()?), ids?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_the_bytes_of_wanted_folds() {
        let ids = vec![AggregateId(7), AggregateId(u128::MAX)];
        let bytes = write_wanted(260, &ids);
        let mut golden = vec![1, 0, 0, 0, 0, 0, 0, 1, 4];
        golden.extend([0; 15]);
        golden.push(7);
        golden.extend([255; 16]);
        assert_eq!(bytes, golden, "the bytes of version 1");
        assert_eq!(read_wanted(&bytes), Some((260, ids)));
        for length in 0..bytes.len() {
            let whole = length >= 9 && (length - 9) % 16 == 0;
            assert_eq!(read_wanted(&bytes[..length]).is_some(), whole, "{length}");
        }
        assert_eq!(read_wanted(&[2; 9]), None);
    }
}
