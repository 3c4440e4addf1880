//! The group calls that name an account, whoever they belong to, and those of them that decide what conditions find of it
//! (contract SEG-6).
//!
//! They lie in the histories of the account's carriers and are found by the rows that say which events of a carrier name
//! which account. The other events of its members say nothing of it: they are passed over unread. Every answer is bounded.

use super::accounts::links;
use super::behind::each_leaf;
use super::budget::Budget;
use super::past::{PAST_EVENTS_MAX, PAST_MEGABYTES_MAX};
use crate::accounts::{account_of, carriers_of, events_of, stored};
use crate::history::History;
use crate::place::NOBODY;
use crate::{PipelineError, keys};
use kith_identity::Position;
use kith_profile::{AccountFold, TraitRules};
use kith_segment::{Asks, Behind, Deciding, EventMention, Reason};
use kith_state::{Keyspace, Read};
use kith_types::{Event, EventType, SpaceId};

/// Carriers of an account among which one event is looked for.
const CARRIERS_LOOKED_AT: usize = 2_000;

/// Events that name the accounts of a person, among which one answer looks for group calls.
pub(super) const LINKS_MAX: usize = if cfg!(test) { 400 } else { 500_000 };

/// What one answer may read of accounts.
pub(super) struct Room {
    /// Events that name them.
    pub(super) links: usize,
    /// Group calls among these.
    pub(super) calls: Budget,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            links: LINKS_MAX,
            calls: Budget::new(PAST_EVENTS_MAX, PAST_MEGABYTES_MAX << 20),
        }
    }
}

/// Visits the group calls that name an account, each carrier's in the order of their time; answers whether there was room
/// for all of them.
pub(super) fn visit(
    reader: &dyn Read,
    space: &SpaceId,
    group_id: &str,
    room: &mut Room,
    visit: &mut dyn FnMut(&Event),
) -> Result<bool, PipelineError> {
    let account = account_of(group_id);
    let carriers = links(reader, space, (carriers_of(account), None), room.links + 1)?;
    if carriers.len() > room.links {
        return Ok(false);
    }
    let carriers = carriers.into_iter().map(|(carrier, _)| carrier);
    let history = History::of(reader, space);
    for carrier in std::iter::once(NOBODY).chain(carriers) {
        let (from, to) = keys::row_range(space, events_of(carrier, account), None, None);
        let mut places = Vec::new();
        reader.scan(Keyspace::AccountLinks, &from, &to, &mut |key, _| {
            places.extend(keys::row_place(key));
            places.len() <= room.links
        })?;
        let Some(left) = room.links.checked_sub(places.len()) else {
            return Ok(false);
        };
        room.links = left;
        for place in places {
            let Some(row) = row_at(reader, space, carrier, place)? else {
                continue;
            };
            let (kind, _) = history.kind_of(&row)?;
            if kind != EventType::Group {
                continue;
            }
            if !room.calls.spend(&row) {
                return Ok(false);
            }
            visit(&history.event_at(place, &row)?);
        }
    }
    Ok(true)
}

fn row_at(
    reader: &dyn Read,
    space: &SpaceId,
    carrier: u128,
    (time, address): Position,
) -> Result<Option<Vec<u8>>, PipelineError> {
    Ok(reader.get(Keyspace::Events, &keys::row(space, carrier, time, address))?)
}

/// What was said of accounts, for those who look behind conditions on them.
pub(super) struct Said<'a> {
    pub(super) reader: &'a dyn Read,
    pub(super) space: &'a SpaceId,
    pub(super) rules: &'a TraitRules,
    /// The accounts as of the instant asked about; `None`: as they are now.
    pub(super) folds: Option<&'a Vec<AccountFold>>,
}

impl Said<'_> {
    /// Finds the event behind every trait of an account.
    pub(super) fn attach(&self, reason: &mut Reason) -> Result<(), PipelineError> {
        let mut failed = None;
        each_leaf(reason, &mut |leaf| {
            if let Some(Asks::AccountTrait { account, name }) = &leaf.asks {
                match self.behind(account, name) {
                    Ok(behind) => leaf.behind = Some(behind),
                    Err(error) => failed = Some(error),
                }
            }
        });
        failed.map_or(Ok(()), Err)
    }

    fn behind(&self, group_id: &str, name: &str) -> Result<Behind, PipelineError> {
        let mut behind = Behind {
            complete: true,
            ..Behind::default()
        };
        let account = account_of(group_id);
        let read = match self.folds {
            Some(_) => None,
            None => stored(self.reader, self.space, account)?,
        };
        let known = self.folds.into_iter().flatten();
        let fold = known.chain(read.as_ref()).find(|fold| fold.group_id() == group_id);
        // The trait itself, or the one that a name with dots enters.
        let names = [Some(name), name.split_once('.').map(|(first, _)| first)];
        let mut resolved = names
            .into_iter()
            .flatten()
            .filter_map(|name| fold?.resolve_trait(name, self.rules.of(name)));
        let Some(place) = resolved.next().map(|resolved| (resolved.time, resolved.address)) else {
            return Ok(behind);
        };
        behind.total = 1;
        behind.complete = false;
        let carriers = links(
            self.reader,
            self.space,
            (carriers_of(account), None),
            CARRIERS_LOOKED_AT,
        )?;
        let carriers = carriers.into_iter().map(|(carrier, _)| carrier);
        for carrier in carriers.chain([NOBODY]) {
            let key = keys::row(self.space, events_of(carrier, account), place.0, place.1);
            if self.reader.get(Keyspace::AccountLinks, &key)?.is_none() {
                continue;
            }
            if let Some(row) = row_at(self.reader, self.space, carrier, place)? {
                let event = History::of(self.reader, self.space).event_at(place, &row)?;
                behind.complete = true;
                behind.events.push(Deciding {
                    event: EventMention::of(&event),
                    then: None,
                    done: None,
                });
                break;
            }
        }
        Ok(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::accounts::group;
    use crate::tests::{Bench, event, main_space};
    use serde_json::json;

    #[test]
    fn idn_8_what_members_do_takes_no_room_of_what_is_said_of_their_account() {
        let mut bench = Bench::new();
        for n in 0..40 {
            let mut viewed = event(&format!("user_id:u{n}"), "Viewed", 1, json!({}));
            viewed["groupId"] = json!("acme");
            bench.take(1, &[viewed]);
        }
        for plan in ["free", "pro"] {
            bench.take(2, &[group("user_id:u0", "acme", 2, json!({ "plan": plan }))]);
        }
        bench.commit();
        let visited = |links: usize, calls: usize| {
            let calls = Budget::new(calls, 1 << 20);
            let mut found = 0;
            let mut room = Room { links, calls };
            let all = visit(&*bench.store, &main_space(), "acme", &mut room, &mut |_| found += 1).unwrap();
            (all, found)
        };
        assert_eq!(visited(42, 2), (true, 2));
        assert!(!visited(41, 2).0, "one event too many to look at");
        assert_eq!(visited(42, 1), (false, 1), "one call too many to read");
    }
}
