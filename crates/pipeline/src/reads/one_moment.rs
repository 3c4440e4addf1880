//! A whole space as it stands at one moment: for who walks over everybody and must see nobody twice, or halfway between two
//! people.

use super::{Reads, accounts, document, load_whole};
use crate::definitions::Definitions;
use crate::document::{AccountDocument, PersonDocument};
use crate::{PipelineError, keys};
use kith_state::{Keyspace, Read};
use kith_types::{ProfileId, SpaceId, Timestamp};
use std::sync::Arc;

/// A space at one moment. The store keeps what it shows for as long as this is held.
pub struct AtOneMoment {
    space: SpaceId,
    definitions: Arc<Definitions>,
    snapshot: Box<dyn Read>,
}

impl Reads {
    /// A space as it stands now; none before its first record.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn at_one_moment(&self, space: &SpaceId) -> Result<Option<AtOneMoment>, PipelineError> {
        let looked = self.look(space)?;
        Ok(looked.map(|(definitions, snapshot)| AtOneMoment {
            space: space.clone(),
            definitions,
            snapshot,
        }))
    }
}

impl AtOneMoment {
    /// All profile ids, in order.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn profile_ids(&self) -> Result<Vec<ProfileId>, PipelineError> {
        let from = keys::space(&self.space);
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        let mut found = Vec::new();
        self.snapshot.scan(Keyspace::Profiles, &from, &to, &mut |key, _| {
            found.extend(keys::wide_id(key).map(ProfileId));
            true
        })?;
        Ok(found)
    }

    /// The person of a profile id, without following redirects, with their accounts where `accounts` says so.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn person_of(
        &self,
        id: ProfileId,
        accounts: bool,
        now: Timestamp,
    ) -> Result<Option<PersonDocument>, PipelineError> {
        let Some(loaded) = load_whole(&*self.snapshot, &self.space, &self.definitions, id, None)? else {
            return Ok(None);
        };
        let mut person = document(&loaded, None, &self.definitions, now);
        if accounts {
            accounts::add(&*self.snapshot, &self.space, &loaded, &mut person)?;
        }
        Ok(Some(person))
    }

    /// The next accounts in the order of their keys, from one on, at most `limit`, each with its key.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn accounts(&self, from: u128, limit: usize) -> Result<Vec<(u128, AccountDocument)>, PipelineError> {
        accounts::page(&*self.snapshot, &self.space, &self.definitions, from, limit)
    }
}
