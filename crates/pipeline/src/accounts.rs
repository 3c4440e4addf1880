//! Accounts: what events say of them, and whom they name together with one.
//!
//! An account is whatever an event calls its `groupId`. Its traits are a fold of the events that name it and do not
//! depend on who is who. Who belongs to it is kept by carrier and place, in both directions, so that members follow
//! every merge, cut and unmerge without anything being rewritten. Accounts never link people (contract IDN-1).

use crate::cache::Cache;
use crate::space::Space;
use crate::{PipelineError, history, keys};
use kith_profile::AccountFold;
use kith_state::{Batch, Keyspace, Read};
use kith_types::{Event, Identifier, IdentifierType, SpaceId};
use std::collections::BTreeSet;

/// Young accounts kept between steps.
const ACCOUNTS_CACHED: usize = if cfg!(test) { 2 } else { 20_000 };
/// The mark in [`Keyspace::Meta`] that says that all of the history is in the accounts.
const COUNTED: &str = "accounts_counted";

/// The accounts that the step touches.
pub(crate) struct Accounts {
    cache: Cache<u128, AccountFold>,
    dirty: BTreeSet<u128>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            cache: Cache::new(ACCOUNTS_CACHED),
            dirty: BTreeSet::new(),
        }
    }
}

impl Accounts {
    /// Adds the accounts that changed to the step's transaction.
    pub(crate) fn commit(&mut self, space: &SpaceId, batch: &mut Batch) {
        for account in std::mem::take(&mut self.dirty) {
            if let Some(fold) = self.cache.get_mut(account) {
                batch.put(Keyspace::Accounts, keys::wide(space, account), fold.encode());
            }
        }
        self.cache.age();
    }
}

impl Space {
    /// Folds an event into the account that it names. Once for an event, whoever it belongs to.
    pub(crate) fn fold_account(&mut self, store: &dyn Read, event: &Event) -> Result<(), PipelineError> {
        let Some(group_id) = event.group_id.as_deref() else {
            return Ok(());
        };
        let account = account_of(group_id);
        if self.accounts.cache.get_mut(account).is_none() {
            let fold = stored(store, &self.id, account)?.unwrap_or_else(|| AccountFold::new(group_id));
            self.accounts.cache.insert(account, fold);
        }
        if let Some(fold) = self.accounts.cache.get_mut(account) {
            fold.apply(event);
            self.accounts.dirty.insert(account);
        }
        Ok(())
    }

    /// Says that the carrier belongs to the account that the event names, from the event's place on.
    pub(crate) fn link_account(&mut self, event: &Event, carrier: u128) {
        let Some(group_id) = event.group_id.as_deref().filter(|_| carrier != 0) else {
            return;
        };
        let account = account_of(group_id);
        let mut put = |key: Vec<u8>, value: &[u8]| self.writes.put(Keyspace::AccountLinks, key, value.to_vec());
        put(keys::link(&self.id, carriers_of(account), carrier), &[]);
        put(keys::link(&self.id, accounts_of(carrier), account), group_id.as_bytes());
        let place = (event.event_time, event.address);
        let row = event.source.as_str().as_bytes().to_vec();
        let pair = events_of(carrier, account);
        self.rows.insert((Keyspace::AccountLinks, pair, place), row);
    }

    /// Takes the accounts of a history that was written before accounts were kept, once.
    pub(crate) fn count_accounts(&mut self, store: &dyn Read) -> Result<(), PipelineError> {
        let mark = keys::named(&self.id, COUNTED);
        if store.get(Keyspace::Meta, &mark)?.is_some() {
            return Ok(());
        }
        let from = keys::space(&self.id);
        let to = kith_state::prefix_end(&from).unwrap_or_default();
        let id = self.id.clone();
        let mut failed = None;
        store.scan(Keyspace::Events, &from, &to, &mut |key, row| {
            let carrier = key.get(from.len()..).and_then(|rest| rest.first_chunk::<16>());
            let event = keys::row_place(key).and_then(|(time, address)| history::decode(&id, time, address, row));
            let step = match (event, carrier) {
                (Some(event), Some(carrier)) => self.fold_account(store, &event).map(|()| {
                    self.link_account(&event, u128::from_be_bytes(*carrier));
                }),
                _ => Err(PipelineError::corrupt("history")),
            };
            failed = step.err();
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.writes.put(Keyspace::Meta, mark, vec![1]);
        Ok(())
    }
}

/// The keys of everything by which a carrier belongs to accounts.
pub(crate) fn links_of(reader: &dyn Read, space: &SpaceId, carrier: u128) -> Result<Vec<Vec<u8>>, PipelineError> {
    let from = keys::wide(space, accounts_of(carrier));
    let to = kith_state::prefix_end(&from).unwrap_or_default();
    let mut links = Vec::new();
    reader.scan(Keyspace::AccountLinks, &from, &to, &mut |key, _| {
        links.push(key.to_vec());
        true
    })?;
    let accounts: Vec<u128> = links.iter().filter_map(|key| keys::wide_id(key)).collect();
    for account in accounts {
        links.push(keys::link(space, carriers_of(account), carrier));
        let (from, to) = keys::row_range(space, events_of(carrier, account), None, None);
        reader.scan(Keyspace::AccountLinks, &from, &to, &mut |key, _| {
            links.push(key.to_vec());
            true
        })?;
    }
    Ok(links)
}

/// The account of an id.
pub(crate) fn account_of(group_id: &str) -> u128 {
    named("kith account", group_id)
}

/// What leads the keys of an account's carriers.
pub(crate) fn carriers_of(account: u128) -> u128 {
    named("kith account carriers", &format!("{account:032x}"))
}

/// What leads the keys of a carrier's accounts.
pub(crate) fn accounts_of(carrier: u128) -> u128 {
    named("kith carrier accounts", &format!("{carrier:032x}"))
}

/// What leads the rows of the events of a carrier that name an account.
pub(crate) fn events_of(carrier: u128, account: u128) -> u128 {
    named("kith account events", &format!("{carrier:032x}{account:032x}"))
}

/// The stored fold of an account.
pub(crate) fn stored(reader: &dyn Read, space: &SpaceId, account: u128) -> Result<Option<AccountFold>, PipelineError> {
    let Some(bytes) = reader.get(Keyspace::Accounts, &keys::wide(space, account))? else {
        return Ok(None);
    };
    AccountFold::decode(&bytes)
        .map(Some)
        .map_err(|_| PipelineError::corrupt("accounts"))
}

fn named(kind: &str, text: &str) -> u128 {
    Identifier::new(IdentifierType::Custom(kind.into()), text).hash128()
}
