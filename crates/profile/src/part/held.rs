//! Which aggregates a part holds, in memory and in its bytes.
//!
//! A part nearly always holds exactly the aggregates of one plan. Its bytes then name the plan by its fingerprint; the
//! list itself is written only for parts between plans. Who reads such bytes asks a [`PlanDirectory`] for the list.

use crate::codec::{Reader, put_len};
use crate::plan::fingerprint_of;
use crate::{FoldPlan, PartError};
use kith_expr::AggregateId;
use std::sync::Arc;

/// The lists of aggregates of plans, by fingerprint: what is needed to read parts that name their plan.
pub trait PlanDirectory {
    /// The ids of the plan's aggregates, sorted; `None` for a plan that is not known.
    fn ids_of(&self, fingerprint: u128) -> Option<Arc<[AggregateId]>>;
}

/// A plan knows itself.
impl PlanDirectory for FoldPlan {
    fn ids_of(&self, fingerprint: u128) -> Option<Arc<[AggregateId]>> {
        (fingerprint == self.fingerprint()).then(|| self.shared_ids().clone())
    }
}

/// The ids of aggregates, sorted; nearly always the plan's own list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Held(Option<Arc<[AggregateId]>>);

impl Held {
    pub(super) fn all(ids: Arc<[AggregateId]>) -> Self {
        Self(Some(ids))
    }

    pub(super) fn ids(&self) -> &[AggregateId] {
        self.0.as_deref().unwrap_or_default()
    }

    pub(super) fn slot(&self, id: AggregateId) -> Option<usize> {
        self.ids().binary_search(&id).ok()
    }

    pub(super) fn is_of(&self, plan: &FoldPlan) -> bool {
        self.0.as_ref().is_some_and(|ids| Arc::ptr_eq(ids, plan.shared_ids()))
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs) || mine == theirs,
            _ => false,
        }
    }

    /// Writes the list or, where it is the plan's, the plan's fingerprint.
    pub(super) fn encode(&self, plan: Option<&FoldPlan>, out: &mut Vec<u8>) {
        match plan {
            Some(plan) if self.is_of(plan) || self.ids() == plan.ids() => {
                out.push(1);
                out.extend_from_slice(&plan.fingerprint().to_be_bytes());
            }
            _ => {
                out.push(0);
                put_len(out, self.ids().len());
                for id in self.ids() {
                    out.extend_from_slice(&id.0.to_be_bytes());
                }
            }
        }
    }

    /// Becomes what [`Held::encode`] wrote for a plan, mostly again: then nothing is shared anew, which threads that read the
    /// same plan would wait for each other with.
    pub(super) fn decode_again(
        &mut self,
        reader: &mut Reader<'_>,
        version: u8,
        plan: &FoldPlan,
    ) -> Result<(), PartError> {
        if version > 1 && self.is_of(plan) {
            let mut ahead = *reader;
            let is_again = match ahead.flag()? {
                true => u128::from_be_bytes(ahead.array()?) == plan.fingerprint(),
                false => plan.ids().is_empty() && ahead.len(16)? == 0,
            };
            if is_again {
                *reader = ahead;
                return Ok(());
            }
        }
        *self = Self::decode(reader, version, plan)?;
        Ok(())
    }

    /// Reads what [`Held::encode`] wrote; version 1 knew the list only.
    pub(super) fn decode(reader: &mut Reader<'_>, version: u8, plans: &dyn PlanDirectory) -> Result<Self, PartError> {
        if version > 1 && reader.flag()? {
            let fingerprint = u128::from_be_bytes(reader.array()?);
            let ids = plans.ids_of(fingerprint);
            return ids.map(Self::all).ok_or(PartError::UnknownPlan(fingerprint));
        }
        let length = reader.len(16)?;
        let ids: Vec<AggregateId> = reader
            .take(length * 16)?
            .chunks_exact(16)
            .map(|id| AggregateId(u128::from_be_bytes(id.try_into().unwrap_or_default())))
            .collect();
        if !ids.is_sorted_by(|one, next| one < next) {
            return Err(reader.damaged("ids of aggregates are out of order"));
        }
        // Sharing the list of a known plan saves memory and makes folding faster.
        let shared = plans.ids_of(fingerprint_of(&ids)).filter(|shared| **shared == *ids);
        Ok(Self::all(shared.unwrap_or_else(|| ids.into())))
    }
}
