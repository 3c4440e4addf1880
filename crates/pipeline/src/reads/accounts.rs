//! Accounts as they are committed: their traits, who belongs to them, and the accounts of a person.
//!
//! Membership is decided when it is read: an event that names an account makes whoever the event belongs to now a
//! member. So it follows every merge and unmerge.

use super::{Loaded, Reads, component_of, home_of, shown};
use crate::accounts::{account_of, accounts_of, carriers_of, events_of, stored};
use crate::definitions::Definitions;
use crate::document::{AccountDocument, AccountMember, AccountMembers, AccountView, PersonDocument};
use crate::{PipelineError, keys};
use kith_identity::{Component, Member, Position, ProfileMembers};
use kith_profile::{AccountFold, TraitRules};
use kith_state::{Keyspace, Read};
use kith_types::{SourceName, SpaceId, Timestamp};
use std::collections::BTreeMap;

/// How many identifiers of an account one page of its members looks at.
const CARRIERS_A_PAGE: usize = if cfg!(test) { 3 } else { 1_000 };
/// How many accounts of a person's identifiers are looked at, all together.
const ACCOUNTS_MAX: usize = 1_000;

impl Reads {
    /// An account, by its id as events send it; `None` when no event names it.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Storage`] or `Corrupt` when the store cannot be read.
    pub fn account(&self, space: &SpaceId, group_id: &str) -> Result<Option<AccountDocument>, PipelineError> {
        let Some((definitions, snapshot)) = self.look(space)? else {
            return Ok(None);
        };
        let fold = stored(&*snapshot, space, account_of(group_id))?;
        Ok(fold.map(|fold| document(&fold, &definitions.trait_rules)))
    }

    /// The next people of an account, at most `limit` and those of the identifier that the last of them comes by, from
    /// where the page before ended. A page costs what is on it, however many there are.
    ///
    /// # Errors
    /// As [`Reads::account`].
    pub fn account_members(
        &self,
        space: &SpaceId,
        group_id: &str,
        from: Option<u128>,
        limit: usize,
    ) -> Result<AccountMembers, PipelineError> {
        members(&*self.snapshot()?, space, account_of(group_id), from, limit)
    }
}

/// The next accounts of a space in the order of their keys, from one on, at most `limit`, each with its key.
pub(super) fn page(
    snapshot: &dyn Read,
    space: &SpaceId,
    definitions: &Definitions,
    from: u128,
    limit: usize,
) -> Result<Vec<(u128, AccountDocument)>, PipelineError> {
    let to = kith_state::prefix_end(&keys::space(space)).unwrap_or_default();
    let (mut found, mut damaged) = (Vec::new(), false);
    let mut visit = |key: &[u8], bytes: &[u8]| {
        let read = keys::wide_id(key).zip(AccountFold::decode(bytes).ok());
        damaged = read.is_none();
        found.extend(read.map(|(account, fold)| (account, document(&fold, &definitions.trait_rules))));
        !damaged && found.len() < limit
    };
    snapshot.scan(Keyspace::Accounts, &keys::wide(space, from), &to, &mut visit)?;
    match damaged {
        true => Err(PipelineError::corrupt("accounts")),
        false => Ok(found),
    }
}

fn document(fold: &AccountFold, rules: &TraitRules) -> AccountDocument {
    AccountDocument {
        group_id: fold.group_id().to_owned(),
        traits: fold.resolved_traits(rules).map(shown::shown).collect(),
        event_count: fold.event_count(),
        first_seen: fold.first_seen(),
        last_seen: fold.last_seen(),
        traits_limited: fold.traits_limited(),
    }
}

/// Adds the accounts of a loaded person.
pub(super) fn add(
    reader: &dyn Read,
    space: &SpaceId,
    loaded: &Loaded,
    person: &mut PersonDocument,
) -> Result<(), PipelineError> {
    let mut found: BTreeMap<String, (SourceName, Timestamp)> = BTreeMap::new();
    let mut room = ACCOUNTS_MAX;
    for member in loaded.carrying() {
        let lead = accounts_of(member.part.carrier);
        let mut linked = links(reader, space, (lead, None), room + 1)?;
        person.accounts_limited |= linked.len() > room;
        linked.truncate(room);
        room -= linked.len();
        for (account, group_id) in linked {
            let Some((source, since)) = earliest(reader, space, member, account)? else {
                continue;
            };
            let group_id = String::from_utf8(group_id).map_err(|_| PipelineError::corrupt("account links"))?;
            let held = found.entry(group_id).or_insert_with(|| (source.clone(), since));
            if since < held.1 {
                *held = (source, since);
            }
        }
    }
    let view = |(group_id, (source, since))| AccountView {
        group_id,
        source,
        since,
    };
    person.accounts = found.into_iter().map(view).collect();
    Ok(())
}

/// The people of an account whose first carrier, in the order of hashes, lies at `from` or after it. A carrier tells of
/// those only that no carrier before it has told of, so each person is told of once.
fn members(
    reader: &dyn Read,
    space: &SpaceId,
    account: u128,
    from: Option<u128>,
    limit: usize,
) -> Result<AccountMembers, PipelineError> {
    let carriers = links(reader, space, (carriers_of(account), from), CARRIERS_A_PAGE)?;
    let more = carriers.len() == CARRIERS_A_PAGE;
    let mut found = AccountMembers::default();
    // Many carriers may stand in one component: it is read once.
    let mut homes: BTreeMap<u128, Vec<ProfileMembers>> = BTreeMap::new();
    for (carrier, _) in &carriers {
        if found.members.len() >= limit {
            found.next = Some(*carrier);
            return Ok(found);
        }
        let Some(home) = home_of(reader, space, *carrier)? else {
            continue;
        };
        let profiles = match homes.remove(&home) {
            Some(profiles) => profiles,
            None => Component::profiles(&component_of(reader, space, home)?),
        };
        for profile in &profiles {
            if let Some((source, since)) = told_by(reader, space, account, *carrier, profile)? {
                found.members.push(AccountMember {
                    profile: profile.id,
                    source,
                    since,
                });
            }
        }
        homes.insert(home, profiles);
    }
    let last = carriers.last().filter(|_| more);
    found.next = last.and_then(|(last, _)| last.checked_add(1));
    Ok(found)
}

/// Since when and by whose word a person belongs to an account, where this carrier is the first of theirs to say so.
fn told_by(
    reader: &dyn Read,
    space: &SpaceId,
    account: u128,
    carrier: u128,
    profile: &ProfileMembers,
) -> Result<Option<(SourceName, Timestamp)>, PipelineError> {
    if profile.members.iter().all(|member| member.part.carrier != carrier) {
        return Ok(None);
    }
    let (mut first, mut told) = (None, None::<(SourceName, Timestamp)>);
    for member in &profile.members {
        let Some((source, since)) = earliest(reader, space, member, account)? else {
            continue;
        };
        first = [first, Some(member.part.carrier)].into_iter().flatten().min();
        if told.as_ref().is_none_or(|(_, known)| since < *known) {
            told = Some((source, since));
        }
    }
    Ok(told.filter(|_| first == Some(carrier)))
}

/// What is linked under a leading id, from one on, at most so many, each with its value.
pub(super) fn links(
    reader: &dyn Read,
    space: &SpaceId,
    (lead, from): (u128, Option<u128>),
    limit: usize,
) -> Result<Vec<(u128, Vec<u8>)>, PipelineError> {
    let to = kith_state::prefix_end(&keys::wide(space, lead)).unwrap_or_default();
    let from = keys::link(space, lead, from.unwrap_or_default());
    let mut found = Vec::new();
    reader.scan(Keyspace::AccountLinks, &from, &to, &mut |key, value| {
        found.extend(keys::wide_id(key).map(|id| (id, value.to_vec())));
        found.len() < limit
    })?;
    Ok(found)
}

/// The earliest event of a person's identifier, within the interval that is theirs, that names the account: its source and
/// time.
fn earliest(
    reader: &dyn Read,
    space: &SpaceId,
    member: &Member,
    account: u128,
) -> Result<Option<(SourceName, Timestamp)>, PipelineError> {
    let interval: (Option<Position>, Option<Position>) = (member.part.start, member.end);
    let (from, to) = keys::row_range(space, events_of(member.part.carrier, account), interval.0, interval.1);
    let (mut found, mut damaged) = (None, false);
    reader.scan(Keyspace::AccountLinks, &from, &to, &mut |key, row| {
        let source = std::str::from_utf8(row).ok().and_then(|name| name.parse().ok());
        found = source.zip(keys::row_place(key).map(|(time, _)| time));
        damaged = found.is_none();
        false
    })?;
    if damaged {
        return Err(PipelineError::corrupt("account links"));
    }
    Ok(found)
}
