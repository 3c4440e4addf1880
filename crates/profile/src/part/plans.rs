//! The plans that stored parts may name: kept beside the parts, so that one folded by an older plan needs only what
//! that plan lacked.

use super::held::PlanDirectory;
use crate::codec::{Reader, put_len};
use crate::plan::fingerprint_of;
use crate::{FoldPlan, PartError};
use kith_expr::AggregateId;
use std::sync::Arc;

/// The first byte of encoded plans.
const PLANS_VERSION: u8 = 1;
/// How many plans are kept, the latest ones. A part that names an older one is folded anew.
pub const MAX_PLANS: usize = 64;

/// The lists of aggregates of the latest plans, the one in force last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plans(Vec<(u128, Arc<[AggregateId]>)>);

impl Plans {
    /// Makes this plan the one in force; answers whether that changed anything.
    pub fn remember(&mut self, plan: &FoldPlan) -> bool {
        let fingerprint = plan.fingerprint();
        if self.0.last().is_some_and(|(last, _)| *last == fingerprint) {
            return false;
        }
        self.0.retain(|(known, _)| *known != fingerprint);
        self.0.push((fingerprint, plan.shared_ids().clone()));
        let beyond = self.0.len().saturating_sub(MAX_PLANS);
        self.0.drain(..beyond);
        true
    }

    /// The bytes of the lists.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![PLANS_VERSION];
        put_len(&mut out, self.0.len());
        for (_, ids) in &self.0 {
            put_len(&mut out, ids.len());
            ids.iter().for_each(|id| out.extend_from_slice(&id.0.to_be_bytes()));
        }
        out
    }

    /// What [`Plans::encode`] wrote.
    ///
    /// # Errors
    /// As [`crate::Part::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PartError> {
        let reader = &mut Reader::new(bytes);
        let version = reader.byte()?;
        if version != PLANS_VERSION {
            return Err(PartError::UnknownVersion(version));
        }
        let mut plans = Vec::new();
        for _ in 0..reader.len(1)? {
            let length = reader.len(16)?;
            let ids: Vec<AggregateId> = reader
                .take(length * 16)?
                .chunks_exact(16)
                .map(|id| AggregateId(u128::from_be_bytes(id.try_into().unwrap_or_default())))
                .collect();
            plans.push((fingerprint_of(&ids), ids.into()));
        }
        reader.finish()?;
        Ok(Self(plans))
    }
}

impl PlanDirectory for Plans {
    fn ids_of(&self, fingerprint: u128) -> Option<Arc<[AggregateId]>> {
        let found = self.0.iter().rev().find(|(known, _)| *known == fingerprint);
        found.map(|(_, ids)| ids.clone())
    }
}
