//! Accounts as they are committed: their traits, who belongs to them, and the accounts of a person.
//!
//! Membership is decided when it is read: an event that names an account makes whoever the event belongs to now a
//! member. So it follows every merge and unmerge.

use super::{Reads, component_of, home_of, shown};
use crate::accounts::{account_of, accounts_of, carriers_of, events_of, stored};
use crate::document::{AccountDocument, AccountMember, AccountView, PersonDocument};
use crate::{PipelineError, keys};
use kith_identity::{Member, Position};
use kith_state::{Keyspace, Read};
use kith_types::{SourceName, SpaceId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// How many identifiers of an account are looked at for its members.
pub const ACCOUNT_CARRIERS_MAX: usize = 10_000;
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
        account(&*snapshot, space, &definitions.trait_rules, group_id)
    }
}

pub(super) fn account(
    reader: &dyn Read,
    space: &SpaceId,
    rules: &kith_profile::TraitRules,
    group_id: &str,
) -> Result<Option<AccountDocument>, PipelineError> {
    let hash = account_of(group_id);
    let Some(fold) = stored(reader, space, hash)? else {
        return Ok(None);
    };
    let (members, members_limited) = members(reader, space, hash)?;
    Ok(Some(AccountDocument {
        group_id: fold.group_id().to_owned(),
        traits: fold.resolved_traits(rules).map(shown::shown).collect(),
        event_count: fold.event_count(),
        first_seen: fold.first_seen(),
        last_seen: fold.last_seen(),
        traits_limited: fold.traits_limited(),
        members,
        members_limited,
    }))
}

/// Adds the accounts of a person who is made up of these identifiers.
pub(super) fn add(
    reader: &dyn Read,
    space: &SpaceId,
    members: &[Member],
    person: &mut PersonDocument,
) -> Result<(), PipelineError> {
    let mut found: BTreeMap<String, (SourceName, Timestamp)> = BTreeMap::new();
    let mut room = ACCOUNTS_MAX;
    for member in members {
        let lead = accounts_of(member.part.carrier);
        let mut linked = links(reader, space, lead, room + 1)?;
        person.accounts_limited |= linked.len() > room;
        linked.truncate(room);
        room -= linked.len();
        for (account, group_id) in linked {
            let interval = (member.part.start, member.end);
            let Some((source, since)) = earliest(reader, space, (member.part.carrier, account), interval)? else {
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

fn members(reader: &dyn Read, space: &SpaceId, account: u128) -> Result<(Vec<AccountMember>, bool), PipelineError> {
    let mut carriers = links(reader, space, carriers_of(account), ACCOUNT_CARRIERS_MAX + 1)?;
    let limited = carriers.len() > ACCOUNT_CARRIERS_MAX;
    carriers.truncate(ACCOUNT_CARRIERS_MAX);
    let mut found = BTreeMap::new();
    // Many carriers may stand in one component: it is read once.
    let mut homes: BTreeMap<u128, BTreeSet<u128>> = BTreeMap::new();
    for (carrier, _) in carriers {
        if let Some(home) = home_of(reader, space, carrier)? {
            homes.entry(home).or_default().insert(carrier);
        }
    }
    for (home, carriers) in homes {
        let component = component_of(reader, space, home)?;
        for profile in component.profiles() {
            for member in &profile.members {
                let carrier = member.part.carrier;
                if !carriers.contains(&carrier) {
                    continue;
                }
                let interval = (member.part.start, member.end);
                let Some((source, since)) = earliest(reader, space, (carrier, account), interval)? else {
                    continue;
                };
                let held = found.entry(profile.id).or_insert_with(|| (source.clone(), since));
                if since < held.1 {
                    *held = (source, since);
                }
            }
        }
    }
    let member = |(profile, (source, since))| AccountMember { profile, source, since };
    Ok((found.into_iter().map(member).collect(), limited))
}

/// What is linked under a leading id, at most so many, each with its value.
fn links(reader: &dyn Read, space: &SpaceId, lead: u128, limit: usize) -> Result<Vec<(u128, Vec<u8>)>, PipelineError> {
    let from = keys::wide(space, lead);
    let to = kith_state::prefix_end(&from).unwrap_or_default();
    let mut found = Vec::new();
    reader.scan(Keyspace::AccountLinks, &from, &to, &mut |key, value| {
        found.extend(keys::wide_id(key).map(|id| (id, value.to_vec())));
        found.len() < limit
    })?;
    Ok(found)
}

/// The earliest event of a carrier within an interval that names the account: its source and time.
fn earliest(
    reader: &dyn Read,
    space: &SpaceId,
    (carrier, account): (u128, u128),
    (start, end): (Option<Position>, Option<Position>),
) -> Result<Option<(SourceName, Timestamp)>, PipelineError> {
    let (from, to) = keys::row_range(space, events_of(carrier, account), start, end);
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
