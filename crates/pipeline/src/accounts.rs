//! Accounts: what events say of them, and whom they name together with one.
//!
//! An account is whatever an event calls its `groupId`. Its traits are a fold of the events that name it and do not
//! depend on who is who. Who belongs to it is kept by carrier and place, in both directions, so that members follow
//! every merge, cut and unmerge without anything being rewritten. Accounts never link people (contract IDN-1).

use crate::account_facts::AccountFacts;
use crate::cache::Cache;
use crate::place::{Moment, NOBODY};
use crate::space::Space;
use crate::{PipelineError, keys};
use kith_profile::AccountFold;
use kith_state::{Batch, Keyspace, Read};
use kith_types::{Event, EventType, Identifier, IdentifierType, ProfileId, SpaceId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Young accounts kept between steps, and bytes of them.
const ACCOUNTS_CACHED: usize = if cfg!(test) { 2 } else { 20_000 };
const ACCOUNT_BYTES_CACHED: usize = 32 << 20;
/// Facts of accounts, which are small.
const FACTS_CACHED: usize = if cfg!(test) { 2 } else { 100_000 };
const FACTS_BYTES_CACHED: usize = 16 << 20;
/// What an open step counts for when the accounts that it changed take more memory than they may: enough to be committed.
const OVERFULL: usize = 20_000;

/// The accounts that the step touches.
pub(crate) struct Accounts {
    cache: Cache<u128, AccountFold>,
    /// What segments ask of accounts, as they are now.
    facts: Cache<u128, Arc<AccountFacts>>,
    dirty: BTreeSet<u128>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            cache: Cache::weighed(ACCOUNTS_CACHED, ACCOUNT_BYTES_CACHED, AccountFold::memory_bytes),
            facts: Cache::weighed(FACTS_CACHED, FACTS_BYTES_CACHED, |facts| facts.memory_bytes()),
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
            self.cache.weigh_again(account);
        }
        self.cache.age();
        self.facts.age();
    }

    /// Other things may be asked of accounts from now on.
    pub(crate) fn forget_facts(&mut self) {
        self.facts.clear();
    }

    /// What the accounts count for among what an open step holds.
    pub(crate) fn pending(&self) -> usize {
        if self.cache.is_heavy() { OVERFULL } else { 0 }
    }
}

impl Space {
    /// Folds an event into the account that it names, once, whoever it belongs to; what that changes for segments is on
    /// its way to the account's members.
    pub(crate) fn fold_account(
        &mut self,
        store: &dyn Read,
        event: &Event,
        Moment { now, cause }: Moment,
    ) -> Result<(), PipelineError> {
        let Some(group_id) = event.group_id.as_deref() else {
            return Ok(());
        };
        let account = account_of(group_id);
        self.load_account(store, account)?;
        // Only these speak of an account's traits.
        let says = event.event_type == EventType::Group && self.definitions.accounts.is_some();
        let before = match says {
            true => Some(self.facts_of(store, account, group_id)?),
            false => None,
        };
        if self.accounts.cache.get_mut(account).is_none() {
            self.accounts.cache.insert(account, AccountFold::new(group_id));
        }
        let Some(fold) = self.accounts.cache.get_mut(account) else {
            return Ok(());
        };
        // Nobody belongs yet to one that no event has named.
        let is_new = fold.event_count() == 0;
        fold.apply(event);
        self.accounts.dirty.insert(account);
        let Some(before) = before else { return Ok(()) };
        self.accounts.facts.remove(account);
        let after = self.facts_of(store, account, group_id)?;
        if !is_new && (before != after || before.marks_differ(&after)) {
            self.account_changed(account, before, now, cause);
        }
        Ok(())
    }

    /// Has the fold of an account in memory, where it has one.
    fn load_account(&mut self, store: &dyn Read, account: u128) -> Result<(), PipelineError> {
        if self.accounts.cache.get_mut(account).is_none()
            && let Some(fold) = stored(store, &self.id, account)?
        {
            self.accounts.cache.insert(account, fold);
        }
        Ok(())
    }

    /// What segments ask of an account, as it is now.
    fn facts_of(
        &mut self,
        store: &dyn Read,
        account: u128,
        group_id: &str,
    ) -> Result<Arc<AccountFacts>, PipelineError> {
        if let Some(facts) = self.accounts.facts.get_mut(account) {
            return Ok(Arc::clone(facts));
        }
        let definitions = Arc::clone(&self.definitions);
        let asked = definitions.accounts.as_ref();
        let asked = asked.ok_or_else(|| PipelineError::corrupt("what is asked of accounts"))?;
        self.load_account(store, account)?;
        let facts = Arc::new(match self.accounts.cache.get_mut(account) {
            Some(fold) => AccountFacts::marked(fold, asked, &definitions.trait_rules),
            None => AccountFacts::unknown(group_id, asked),
        });
        self.accounts.facts.insert(account, Arc::clone(&facts));
        Ok(facts)
    }

    /// What segments ask of the accounts of a loaded profile, as of the changes that it has taken.
    pub(crate) fn accounts_of(
        &mut self,
        store: &dyn Read,
        id: ProfileId,
    ) -> Result<Vec<Arc<AccountFacts>>, PipelineError> {
        let Some(asked) = &self.definitions.accounts else {
            return Ok(Vec::new());
        };
        let Some(entry) = self.profiles.get_mut(id.0) else {
            return Ok(Vec::new());
        };
        let (taken, plan) = (entry.taken, &self.definitions.plan);
        let accounts = entry
            .whole()
            .map_or_else(Vec::new, |whole| asked.of_person(whole, plan));
        let mut found = Vec::with_capacity(accounts.len());
        for group_id in accounts.iter().filter_map(|account| account.as_str()) {
            let account = account_of(group_id);
            found.push(match self.account_changes.before(account, taken) {
                Some(before) => Arc::clone(before),
                None => self.facts_of(store, account, group_id)?,
            });
        }
        Ok(found)
    }

    /// Says that the carrier belongs to the account that the event names, from the event's place on.
    pub(crate) fn link_account(&mut self, event: &Event, carrier: u128) {
        let Some(group_id) = event.group_id.as_deref() else {
            return;
        };
        let account = account_of(group_id);
        let mut put = |key: Vec<u8>, value: &[u8]| self.writes.put(Keyspace::AccountLinks, key, value.to_vec());
        // Events that name nobody are part of the account's history and make no member.
        if carrier != NOBODY {
            put(keys::link(&self.id, carriers_of(account), carrier), &[]);
            put(keys::link(&self.id, accounts_of(carrier), account), group_id.as_bytes());
        }
        let place = (event.event_time, event.address);
        let row = event.source.as_str().as_bytes().to_vec();
        let pair = events_of(carrier, account);
        self.rows.insert((Keyspace::AccountLinks, pair, place), row);
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

/// The key of what says that an event which names nobody names an account, where it does.
pub(crate) fn link_of_nobody(space: &SpaceId, event: &Event) -> Option<Vec<u8>> {
    let lead = events_of(NOBODY, account_of(event.group_id.as_deref()?));
    Some(keys::row(space, lead, event.event_time, event.address))
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
