//! What is said of an account, carried to every member of it (contracts SEG-2, SEG-5).
//!
//! A change of the facts that segments ask of an account turns every member's answers at one instant: that of the record
//! that brought it. The event's own person is evaluated with it. The others take the change when they are next loaded, or
//! when a walk over the account's carriers comes to them, between steps and some at a time: whichever is first, they take
//! every change they lack at its own instant, in order, their timers between them. So what becomes of them depends on the
//! records alone, and an account of many members holds up nothing.
//!
//! A change waits, with the facts that it replaced, until a walk that began after it has been to everybody. Who has
//! taken it before the walk came is noted beside it. No decision is taken while anything waits.

use crate::account_facts::AccountFacts;
use crate::accounts::{account_of, carriers_of};
use crate::bytes::{Reader, put_signed, put_text};
use crate::entry::ProfileEntry;
use crate::space::Space;
use crate::{PipelineError, keys};
use kith_segment::Cause;
use kith_state::{Batch, Keyspace, Read};
use kith_types::{EventKey, ProfileId, SpaceId, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Raised when the meaning of the bytes changes.
const VERSION: u8 = 1;
/// Facts of which a limit has made some inexact; all else is as in [`VERSION`].
const VERSION_MARKED: u8 = 2;
/// Changes that wait, and bytes of them, before walks get turns ahead of further records.
const WAITING_MAX: usize = if cfg!(test) { 4 } else { 4_096 };
const WAITING_BYTES_MAX: usize = 16 << 20;
/// How many changes there have been, in [`Keyspace::Meta`].
const NEWEST: &str = "account_changes";

/// A change of an account's facts that members may lack.
#[derive(Debug, PartialEq)]
struct AccountChange {
    at: Timestamp,
    cause: Cause,
    /// The facts until then.
    before: Arc<AccountFacts>,
}

/// The changes of one account, and where the walk to its members stands.
#[derive(Debug, Default)]
struct Walk {
    /// By their numbers, in order.
    changes: VecDeque<(u64, AccountChange)>,
    /// The carrier to begin with.
    from: u128,
    /// Those up to this number were there when the walk began: they go when it ends.
    until: u64,
}

/// The changes that members may lack, by account.
#[derive(Debug, Default)]
pub(crate) struct AccountChanges {
    walks: BTreeMap<u128, Walk>,
    /// How many changes there have been: the number of the newest.
    newest: u64,
    waiting: usize,
    waiting_bytes: usize,
    /// Whether notes of who has taken what are left.
    notes: bool,
}

impl AccountChanges {
    pub(crate) fn load(store: &dyn Read, space: &SpaceId) -> Result<Self, PipelineError> {
        let mut found = Self::default();
        if let Some(bytes) = store.get(Keyspace::Meta, &keys::named(space, NEWEST))? {
            let bytes = bytes
                .try_into()
                .map_err(|_| PipelineError::corrupt("account changes"))?;
            found.newest = u64::from_be_bytes(bytes);
        }
        let mut damaged = false;
        let (from, to) = keys::account_changes(space);
        store.scan(Keyspace::AccountChanges, &from, &to, &mut |key, row| {
            let read = keys::account_change_parts(key).zip(AccountChange::decode(row));
            damaged = read.is_none();
            if let Some(((account, number), change)) = read {
                found.add(account, number, change);
            }
            !damaged
        })?;
        let (from, to) = keys::account_walks(space);
        store.scan(Keyspace::AccountChanges, &from, &to, &mut |key, row| {
            let stands = row.split_at_checked(16);
            let stands = stands.and_then(|(from, until)| Some((from.try_into().ok()?, until.try_into().ok()?)));
            let walk = keys::wide_id(key).and_then(|account| found.walks.get_mut(&account));
            match walk.zip(stands) {
                Some((walk, (from, until))) => {
                    (walk.from, walk.until) = (u128::from_be_bytes(from), u64::from_be_bytes(until));
                }
                None => damaged = true,
            }
            !damaged
        })?;
        let (from, to) = keys::account_notes(space);
        store.scan(Keyspace::AccountChanges, &from, &to, &mut |_, _| {
            found.notes = true;
            false
        })?;
        match damaged {
            true => Err(PipelineError::corrupt("account changes")),
            false => Ok(found),
        }
    }

    /// Whether anything waits for its walk, or is left to be cleared away.
    pub(crate) fn is_busy(&self) -> bool {
        self.notes || self.is_waiting()
    }

    /// Whether members may lack something.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.walks.is_empty()
    }

    /// Whether walks get turns before another record is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting >= WAITING_MAX || self.waiting_bytes >= WAITING_BYTES_MAX
    }

    /// How many changes wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting as u64
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    fn add(&mut self, account: u128, number: u64, change: AccountChange) {
        self.waiting += 1;
        self.waiting_bytes += change.before.memory_bytes();
        let walk = self.walks.entry(account).or_default();
        walk.changes.push_back((number, change));
    }

    /// What an account's facts were for who has taken the changes up to `taken`; `None`: they are as they are now.
    pub(crate) fn before(&self, account: u128, taken: u64) -> Option<&Arc<AccountFacts>> {
        let walk = self.walks.get(&account)?;
        let at = walk.changes.partition_point(|(number, _)| *number <= taken);
        walk.changes.get(at).map(|(_, change)| &change.before)
    }
}

impl Space {
    /// Notes that the facts of an account were others until an event came.
    pub(crate) fn account_changed(&mut self, account: u128, before: Arc<AccountFacts>, at: Timestamp, cause: Cause) {
        let changes = &mut self.account_changes;
        changes.newest += 1;
        let number = changes.newest;
        let change = AccountChange { at, cause, before };
        let key = keys::account_change(&self.id, account, number);
        self.writes.put(Keyspace::AccountChanges, key, change.encode());
        let newest = number.to_be_bytes().to_vec();
        self.writes.put(Keyspace::Meta, keys::named(&self.id, NEWEST), newest);
        changes.add(account, number, change);
    }

    /// The accounts of a loaded profile for which changes wait.
    fn waiting_accounts(&mut self, id: ProfileId) -> Vec<u128> {
        let Some(asked) = self
            .definitions
            .accounts
            .clone()
            .filter(|_| self.account_changes.is_waiting())
        else {
            return Vec::new();
        };
        let plan = &self.definitions.plan;
        let whole = self.profiles.get_mut(id.0).and_then(|entry| entry.whole());
        let accounts = whole.map_or_else(Vec::new, |whole| asked.of_person(whole, plan));
        let accounts = accounts
            .iter()
            .filter_map(|account| Some(account_of(account.as_str()?)));
        accounts
            .filter(|account| self.account_changes.walks.contains_key(account))
            .collect()
    }

    /// Has a loaded profile take the changes of its accounts that it lacks, each at its instant.
    pub(crate) fn take_account_changes(&mut self, store: &dyn Read, id: ProfileId) -> Result<(), PipelineError> {
        let newest = self.account_changes.newest;
        let Some(taken) = self
            .profiles
            .get_mut(id.0)
            .map(|entry| entry.taken)
            .filter(|taken| *taken < newest)
        else {
            return Ok(());
        };
        let mut lacking = BTreeMap::new();
        for account in self.waiting_accounts(id) {
            let changes = self.account_changes.walks.get(&account).map(|walk| &walk.changes);
            let lacks = changes.into_iter().flatten().filter(|(number, _)| *number > taken);
            lacking.extend(lacks.map(|(number, change)| (*number, (change.at, change.cause))));
        }
        for (number, (at, cause)) in &lacking {
            self.fire_before_of(store, id, *at)?;
            self.has_taken(id, *number);
            self.evaluate(store, id, *at, *cause)?;
        }
        if !lacking.is_empty() {
            // So that it is noted.
            self.profile_changed(id);
        }
        self.has_taken(id, newest);
        Ok(())
    }

    /// Says that a loaded profile has taken every change up to a number.
    pub(crate) fn has_taken(&mut self, id: ProfileId, number: u64) {
        if let Some(entry) = self.profiles.get_mut(id.0) {
            entry.taken = number;
        }
    }

    /// Up to which change a profile in the store has taken those that wait.
    pub(crate) fn noted(&self, store: &dyn Read, id: ProfileId) -> Result<u64, PipelineError> {
        if !self.account_changes.is_waiting() {
            return Ok(self.account_changes.newest);
        }
        let Some(bytes) = store.get(Keyspace::AccountChanges, &keys::account_note(&self.id, id))? else {
            return Ok(0);
        };
        let number = bytes.try_into().map(u64::from_be_bytes);
        number.map_err(|_| PipelineError::corrupt("account changes"))
    }

    /// Notes what a profile that is written has taken, where a walk may come to it yet. Answers the instant of the first
    /// change that it lacks: it is asked about that instant yet.
    pub(crate) fn note_taken(&mut self, id: ProfileId, batch: &mut Batch) -> Option<Timestamp> {
        let accounts = self.waiting_accounts(id);
        let taken = self
            .profiles
            .get_mut(id.0)
            .map(|entry: &mut ProfileEntry| entry.taken)?;
        if accounts.is_empty() {
            return None;
        }
        let key = keys::account_note(&self.id, id);
        batch.put(Keyspace::AccountChanges, key, taken.to_be_bytes().to_vec());
        self.account_changes.notes = true;
        let walks = accounts
            .iter()
            .filter_map(|account| self.account_changes.walks.get(account));
        let lacking = walks
            .flat_map(|walk| &walk.changes)
            .filter(|(number, _)| *number > taken);
        lacking.map(|(_, change)| change.at).min()
    }

    /// Goes on with the walks: has members take what waits, at most about `budget` of them. Called between steps only,
    /// when the store holds everything.
    pub(crate) fn walk_accounts(&mut self, store: &dyn Read, budget: usize) -> Result<(), PipelineError> {
        let mut left = budget;
        while left > 0 && self.account_changes.is_waiting() {
            // The one that has waited longest.
            let walks = self.account_changes.walks.iter();
            let first = walks.min_by_key(|(_, walk)| walk.changes.front().map(|(number, _)| *number));
            let Some(account) = first.map(|(account, _)| *account) else {
                break;
            };
            left = left.saturating_sub(self.walk_account(store, account, left)?);
        }
        if left > 0 && self.account_changes.notes && !self.account_changes.is_waiting() {
            self.clear_notes(store, left)?;
        }
        Ok(())
    }

    /// Has the next members of an account take what waits: each all of it, so that fewer have their turn where much waits.
    /// Answers what that comes to, at least one.
    fn walk_account(&mut self, store: &dyn Read, account: u128, budget: usize) -> Result<usize, PipelineError> {
        let newest = self.account_changes.newest;
        let Some(walk) = self.account_changes.walks.get_mut(&account) else {
            return Ok(1);
        };
        if walk.until == 0 {
            (walk.from, walk.until) = (0, newest);
        }
        let until = walk.until;
        let waiting = walk.changes.len().max(1);
        let budget = (budget / waiting).max(1);
        let lead = carriers_of(account);
        let from = keys::link(&self.id, lead, walk.from);
        let to = kith_state::prefix_end(&keys::wide(&self.id, lead)).unwrap_or_default();
        let mut carriers = Vec::with_capacity(budget.min(1_024));
        store.scan(Keyspace::AccountLinks, &from, &to, &mut |key, _| {
            carriers.extend(keys::wide_id(key));
            carriers.len() < budget
        })?;
        for id in self.people_of(store, &carriers)? {
            self.load_profile(store, id)?;
        }
        let next = carriers.last().filter(|_| carriers.len() == budget);
        let next = next.and_then(|last| last.checked_add(1));
        let key = keys::account_walk(&self.id, account);
        match next {
            Some(next) => {
                let mut stands = next.to_be_bytes().to_vec();
                stands.extend_from_slice(&until.to_be_bytes());
                self.writes.put(Keyspace::AccountChanges, key, stands);
                if let Some(walk) = self.account_changes.walks.get_mut(&account) {
                    walk.from = next;
                }
            }
            None => {
                self.writes.remove(Keyspace::AccountChanges, key);
                self.end_walk(account, until);
            }
        }
        Ok(carriers.len().max(1) * waiting)
    }

    /// Whoever carriers belong to, in all their intervals.
    fn people_of(&mut self, store: &dyn Read, carriers: &[u128]) -> Result<BTreeSet<ProfileId>, PipelineError> {
        let mut homes: BTreeMap<u128, BTreeSet<u128>> = BTreeMap::new();
        for carrier in carriers {
            if let Some(home) = self.component_of(store, *carrier)? {
                homes.entry(home).or_default().insert(*carrier);
            }
        }
        let mut people = BTreeSet::new();
        for (home, carriers) in homes {
            for profile in self.component(store, home)?.component.profiles() {
                if profile
                    .members
                    .iter()
                    .any(|member| carriers.contains(&member.part.carrier))
                {
                    people.insert(profile.id);
                }
            }
        }
        Ok(people)
    }

    /// Everybody has taken the changes of an account up to a number.
    fn end_walk(&mut self, account: u128, until: u64) {
        let changes = &mut self.account_changes;
        let Some(walk) = changes.walks.get_mut(&account) else {
            return;
        };
        while let Some((number, change)) = walk.changes.pop_front_if(|(number, _)| *number <= until) {
            changes.waiting -= 1;
            changes.waiting_bytes = changes.waiting_bytes.saturating_sub(change.before.memory_bytes());
            let key = keys::account_change(&self.id, account, number);
            self.writes.remove(Keyspace::AccountChanges, key);
        }
        (walk.from, walk.until) = (0, 0);
        if walk.changes.is_empty() {
            changes.walks.remove(&account);
        }
    }

    /// Removes notes that nobody needs any more.
    fn clear_notes(&mut self, store: &dyn Read, budget: usize) -> Result<(), PipelineError> {
        let (from, to) = keys::account_notes(&self.id);
        let mut found = Vec::with_capacity(budget.min(1_024));
        store.scan(Keyspace::AccountChanges, &from, &to, &mut |key, _| {
            found.push(key.to_vec());
            found.len() < budget
        })?;
        self.account_changes.notes = found.len() == budget;
        for key in found {
            self.writes.remove(Keyspace::AccountChanges, key);
        }
        Ok(())
    }
}

impl AccountChange {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        out.push(match self.before.is_marked() {
            true => VERSION_MARKED,
            false => VERSION,
        });
        put_signed(&mut out, self.at.as_micros());
        put_text(&mut out, self.cause.as_str());
        if let Some(key) = self.cause.event_key() {
            out.extend_from_slice(&key.0.to_be_bytes());
        }
        self.before.encode(&mut out);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if !matches!(reader.byte()?, VERSION | VERSION_MARKED) {
            return None;
        }
        let at = Timestamp::from_micros(reader.signed()?);
        let name = reader.text()?;
        let key = match name {
            "event" => Some(EventKey(reader.wide()?)),
            _ => None,
        };
        Some(Self {
            at,
            cause: Cause::from_name(name, key)?,
            before: Arc::new(AccountFacts::decode(&mut reader)?),
        })
    }
}

/// Whether changes wait in a state.
pub(crate) fn are_waiting(state: &dyn Read, space: &SpaceId) -> Result<bool, PipelineError> {
    let (from, to) = keys::account_changes(space);
    let mut found = false;
    state.scan(Keyspace::AccountChanges, &from, &to, &mut |_, _| {
        found = true;
        false
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account_facts::AccountsAsked;
    use kith_profile::{AccountFold, TraitRules};

    #[test]
    fn golden_the_bytes_of_a_change_of_an_account() {
        let asked = AccountsAsked::of(vec!["plan".into(), "seats".into()]).unwrap();
        let unknown = Arc::new(AccountFacts::unknown("acme", &asked));
        for cause in [Cause::Event(EventKey(9)), Cause::Import] {
            let change = AccountChange {
                at: Timestamp::from_micros(77),
                cause,
                before: Arc::clone(&unknown),
            };
            let bytes = change.encode();
            assert_eq!(AccountChange::decode(&bytes), Some(change));
            assert!((0..bytes.len()).all(|length| AccountChange::decode(&bytes[..length]).is_none()));
            if cause == Cause::Import {
                assert_eq!(bytes, GOLDEN, "the bytes of version 1");
            }
        }
        let mut fold = AccountFold::new("acme");
        let mut bench = crate::tests::Bench::new();
        let call = serde_json::json!({"type": "group", "userId": "u", "groupId": "acme", "traits": {"plan": "pro"}});
        bench.take(1, &[call]);
        bench.commit();
        fold.apply(&bench.events()[0]);
        let known = AccountFacts::of(&fold, &asked, &TraitRules::default());
        let mut bytes = Vec::new();
        known.encode(&mut bytes);
        assert_eq!(bytes, b"\x04acme\x02\x01\x05\x03pro\x00");
        assert_eq!(AccountFacts::decode(&mut Reader(&bytes)), Some(known));
        let before = Arc::new(AccountFacts::of_a_part(&fold, &asked, &TraitRules::default()));
        let marked = AccountChange {
            at: Timestamp::from_micros(77),
            cause: Cause::Import,
            before,
        };
        assert_eq!(marked.encode(), MARKED, "the bytes of version 2");
        let read = AccountChange::decode(MARKED).unwrap();
        assert!(read == marked && !read.before.marks_differ(&marked.before) && read.before.marks_differ(&unknown));
    }

    const MARKED: &[u8] = b"\x02\x9a\x01\x06import\x04acme\x02\x03\x05\x03pro\x02";

    const GOLDEN: &[u8] = b"\x01\x9a\x01\x06import\x04acme\x02\x00\x00";
}
