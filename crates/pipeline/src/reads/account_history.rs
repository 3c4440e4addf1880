//! The events that name an account, whoever they belong to, and those of them that decide what conditions find of it
//! (contract SEG-6).
//!
//! They lie in the histories of the account's carriers and are found by the rows that say which events of a carrier name
//! which account. Every answer is bounded.

use super::accounts::links;
use super::behind::each_leaf;
use super::budget::{Budget, too_much};
use super::past::{PAST_EVENTS_MAX, PAST_MEGABYTES_MAX};
use crate::accounts::{account_of, carriers_of, events_of, stored};
use crate::place::NOBODY;
use crate::{PipelineError, history, keys};
use kith_identity::Position;
use kith_profile::{AccountFold, TraitRules};
use kith_segment::{Asks, Behind, Deciding, EventMention, Reason};
use kith_state::{Keyspace, Read};
use kith_types::{Event, SpaceId};

/// Carriers of an account among which one event is looked for.
const CARRIERS_LOOKED_AT: usize = 2_000;

/// Visits every event that names an account, each carrier's in the order of their time.
pub(super) fn visit(
    reader: &dyn Read,
    space: &SpaceId,
    group_id: &str,
    budget: &mut Budget,
    visit: &mut dyn FnMut(&Event),
) -> Result<(), PipelineError> {
    let account = account_of(group_id);
    let carriers = links(reader, space, (carriers_of(account), None), PAST_EVENTS_MAX + 1)?;
    let carriers = carriers.into_iter().map(|(carrier, _)| carrier);
    for carrier in std::iter::once(NOBODY).chain(carriers) {
        let (from, to) = keys::row_range(space, events_of(carrier, account), None, None);
        let (mut places, mut room) = (Vec::new(), true);
        reader.scan(Keyspace::AccountLinks, &from, &to, &mut |key, _| {
            places.extend(keys::row_place(key));
            room = places.len() <= PAST_EVENTS_MAX;
            room
        })?;
        for place in places {
            let Some((row, event)) = event_at(reader, space, carrier, place)? else {
                continue;
            };
            room &= budget.spend(&row);
            if !room {
                break;
            }
            visit(&event);
        }
        if !room {
            return Err(too_much(PAST_EVENTS_MAX, PAST_MEGABYTES_MAX));
        }
    }
    Ok(())
}

/// A carrier's event at a place, with its row.
fn event_at(
    reader: &dyn Read,
    space: &SpaceId,
    carrier: u128,
    (time, address): Position,
) -> Result<Option<(Vec<u8>, Event)>, PipelineError> {
    let Some(row) = reader.get(Keyspace::Events, &keys::row(space, carrier, time, address))? else {
        return Ok(None);
    };
    let event = history::decode(space, time, address, &row).ok_or_else(|| PipelineError::corrupt("history"))?;
    Ok(Some((row, event)))
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
            if let Some((_, event)) = event_at(self.reader, self.space, carrier, place)? {
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
