//! A person as of an instant (contracts IDN-8, PRO, SEG-6): what the events known by then say, evaluated at that instant.
//!
//! Nothing is kept for it: the history has every event of the component that evidence connects, so who is who and every
//! fold are worked out from the events that were known, by the code that takes them in live. What evidence connects only
//! grows, so today's component has everything that it connected at any earlier time.

mod absent;
mod everybody;
mod known;
mod rescan;
mod then;

use super::account_history::{LINKS_MAX, Room};
use super::budget::{Budget, too_much, too_much_of_accounts};
use super::{Loaded, Reads, account_history, component_of, document, home_of};
use crate::account_facts::AccountFacts;
use crate::definitions::Definitions;
use crate::document::{AccountView, PersonDocument};
use crate::record::ProfileRecord;
use crate::{PipelineError, redirects};
pub use absent::Absent;
pub use everybody::HeldThen;
use kith_identity::Position;
use kith_profile::{AccountFold, Part};
use kith_state::Read;
use kith_types::{Address, Event, Identifier, ProfileId, SpaceId, Timestamp};
use known::Known;
use rescan::{rescan, within_bounds};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
pub(crate) use then::PastDefinitions;

/// Events of a component that one answer about the past reads.
pub const PAST_EVENTS_MAX: usize = 200_000;
/// Bytes of their rows.
pub const PAST_MEGABYTES_MAX: usize = 128;
/// Events, and bytes of their rows, that an answer holds beside others. One that needs more waits until no other does.
const SMALL: (usize, usize) = if cfg!(test) { (20, 4 << 10) } else { (20_000, 16 << 20) };

/// The instant asked about, and the knowledge it is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf {
    /// The instant.
    pub at: Timestamp,
    /// What had been received by then is known, what operators had decided about evidence by then holds. At `at` it is
    /// what Kith said then; later, hindsight: events that came late count too, those of a later time do not.
    pub known_at: Timestamp,
}

impl AsOf {
    /// What was known at an instant of that instant.
    #[must_use]
    pub fn then(at: Timestamp) -> Self {
        Self { at, known_at: at }
    }

    fn counts(&self, event_time: Timestamp, received_at: Timestamp) -> bool {
        received_at <= self.known_at && (event_time <= self.at || received_at <= self.at)
    }

    /// Whether what came after the instant is known.
    fn is_hindsight(&self) -> bool {
        self.known_at > self.at
    }

    /// Where in its time a held identifier is looked up.
    fn position(&self) -> Position {
        let last = Address::from_bytes([u8::MAX; 16]);
        match self.is_hindsight() {
            true => (self.at, last),
            false => (Timestamp::MAX, last),
        }
    }
}

/// What an answer about the past needs to know of the accounts of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfAccounts {
    /// Nothing: nothing that is asked looks at one.
    Nothing,
    /// What was said of them; where that is more than one answer reads, what asks for it is marked approximate.
    AsMuchAsFits,
    /// What was said of them; where that is more than one answer reads, there is no answer.
    Everything,
}

/// Who somebody was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The profile that held the identifier.
    pub profile: ProfileId,
    /// The profile id asked for, where it redirected.
    pub redirected_from: Option<ProfileId>,
    /// The profile's identifiers, the oldest first.
    pub identifiers: Vec<Identifier>,
}

/// A person as of an instant.
pub(super) struct Past<'a> {
    pub(super) loaded: Loaded,
    pub(super) asked: Option<ProfileId>,
    /// The latest first.
    pub(super) events: Vec<Event>,
    accounts: Vec<AccountView>,
    /// What was said of the accounts by then, where segments ask.
    pub(super) account_folds: Vec<AccountFold>,
    /// Where this is much, no other answer holds as much.
    pub(super) large: Option<MutexGuard<'a, ()>>,
}

enum Sought {
    Identifier(u128),
    /// A profile, and what its id comes from: an identifier, and where it was first seen.
    Profile(ProfileId, (u128, Position)),
}

impl Reads {
    /// The person that a name led to as of an instant, with at most `limit` of their latest events then.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Limit`] where more of the history is needed than one answer reads; otherwise as
    /// [`Reads::person`].
    pub fn person_as_of(
        &self,
        space: &SpaceId,
        name: &str,
        as_of: AsOf,
        limit: usize,
    ) -> Result<Option<(PersonDocument, Vec<Event>)>, PipelineError> {
        let Some((definitions, snapshot)) = self.look(space)? else {
            return Ok(None);
        };
        let then = self
            .past_definitions
            .at(&*snapshot, space, &definitions, as_of.known_at)?;
        let by = self.by(&definitions, &then);
        let past = find_past(&*snapshot, space, &by, name, (as_of, OfAccounts::AsMuchAsFits))?;
        Ok(past.map(|mut past| {
            past.events.truncate(limit);
            let mut person = document(&past.loaded, past.asked, &then, as_of.at);
            person.accounts = past.accounts;
            for membership in &mut person.segments {
                // The changes of memberships tell since when and why.
                (membership.since, membership.cause) = (None, None);
            }
            (person, past.events)
        }))
    }

    pub(super) fn by<'a>(&'a self, now: &'a Definitions, then: &'a Definitions) -> Definitioned<'a> {
        let kept = &self.past_definitions;
        Definitioned { now, then, kept }
    }

    /// The profile that an identifier or a profile id led to as of an instant.
    ///
    /// # Errors
    /// As [`Reads::person_as_of`].
    pub fn resolve_as_of(&self, space: &SpaceId, name: &str, as_of: AsOf) -> Result<Option<Resolved>, PipelineError> {
        let Some((definitions, snapshot)) = self.look(space)? else {
            return Ok(None);
        };
        let then = self
            .past_definitions
            .at(&*snapshot, space, &definitions, as_of.known_at)?;
        let by = self.by(&definitions, &then);
        let past = find_past(&*snapshot, space, &by, name, (as_of, OfAccounts::Nothing))?;
        Ok(past.map(|past| {
            let mut identifiers: Vec<Identifier> = Vec::new();
            for member in past.loaded.members {
                if !identifiers.contains(&member.identifier) {
                    identifiers.push(member.identifier);
                }
            }
            Resolved {
                profile: past.loaded.id,
                redirected_from: past.asked,
                identifiers,
            }
        }))
    }
}

/// The definitions of now and of then, and what is kept of others.
pub(super) struct Definitioned<'a> {
    pub(super) now: &'a Definitions,
    pub(super) then: &'a Definitions,
    pub(super) kept: &'a PastDefinitions,
}

/// The person that a name led to.
pub(super) fn find_past<'a>(
    reader: &dyn Read,
    space: &SpaceId,
    by: &Definitioned<'a>,
    name: &str,
    (as_of, of_accounts): (AsOf, OfAccounts),
) -> Result<Option<Past<'a>>, PipelineError> {
    let definitions = by.then;
    let Some(sought) = sought(reader, space, definitions, name)? else {
        return Ok(None);
    };
    let (Sought::Identifier(leads) | Sought::Profile(_, (leads, _))) = sought;
    let mut large = None;
    let (mut known, today) = if definitions.rules.reads_as(&by.now.rules) {
        let Some(home) = home_of(reader, space, leads)? else {
            return Ok(None);
        };
        let today = component_of(reader, space, home)?;
        let read = |(events, bytes)| Known::read(reader, space, &today, as_of.known_at, Budget::new(events, bytes));
        let known = match read(SMALL)? {
            Some(known) => known,
            None => {
                large = Some(by.kept.large());
                let too_much = || too_much(PAST_EVENTS_MAX, PAST_MEGABYTES_MAX);
                read((PAST_EVENTS_MAX, PAST_MEGABYTES_MAX << 20))?.ok_or_else(too_much)?
            }
        };
        (known, Some(today))
    } else {
        large = Some(by.kept.large());
        (rescan(reader, space, definitions, leads, as_of.known_at)?, None)
    };
    let is_rescanned = today.is_none();
    let components = known.components(space, (by.now, by.then), today);
    if is_rescanned {
        within_bounds(&components, as_of.known_at)?;
    }
    let found = match sought {
        Sought::Identifier(hash) => components.iter().find_map(|component| {
            let placement = component.place(hash, as_of.position())?;
            Some((component, placement.profile, None))
        }),
        Sought::Profile(asked, founder) => known.profile(&components, asked, founder, as_of),
    };
    let Some((component, id, asked)) = found else {
        return Ok(None);
    };
    let mut members = component.members_of(id);
    if as_of.is_hindsight() {
        // What was received first need not have happened first.
        let seen = known.seen(definitions, as_of);
        members.retain(|member| seen.contains(member));
    } else {
        members.retain(|member| as_of.counts(member.first.time, member.first.received_at));
    }
    if members.is_empty() {
        return Ok(None);
    }
    let (mut parts, mut events) = (Vec::with_capacity(members.len()), Vec::new());
    let mut accounts = BTreeMap::new();
    for member in &members {
        let mut part = Part::default();
        for event in known.take(member) {
            if !as_of.counts(event.event_time, event.received_at) {
                continue;
            }
            // The fold answers from its latest event on: what came later must not move that beyond the instant.
            let mut folded = Cow::Borrowed(&event);
            if event.received_at > as_of.at {
                folded.to_mut().received_at = as_of.at;
            }
            part.apply(&definitions.plan, &folded);
            note_account(&mut accounts, &event);
            events.push(event);
        }
        parts.push(part);
    }
    events.sort_by_key(|event| std::cmp::Reverse(event.canonical_order()));
    let whole = Part::merged(parts.iter());
    let (account_folds, facts) = match of_accounts {
        OfAccounts::Nothing => Default::default(),
        _ => accounts_of(reader, space, definitions, &whole, (as_of, of_accounts))?,
    };
    let loaded = Loaded {
        id,
        // When somebody entered a segment is told by its changes; a fold knows only that they are in it.
        record: ProfileRecord::default(),
        component: component.clone(),
        members,
        parts,
        accounts: facts,
        whole,
    };
    Ok(Some(Past {
        loaded,
        asked,
        events,
        accounts: accounts.into_values().collect(),
        account_folds,
        large,
    }))
}

/// What was said by then of the accounts that segments ask about, whoever said it.
fn accounts_of(
    reader: &dyn Read,
    space: &SpaceId,
    definitions: &Definitions,
    whole: &Part,
    (as_of, of_accounts): (AsOf, OfAccounts),
) -> Result<(Vec<AccountFold>, Vec<Arc<AccountFacts>>), PipelineError> {
    let (mut folds, mut facts) = (Vec::new(), Vec::new());
    let Some(asked) = &definitions.accounts else {
        return Ok((folds, facts));
    };
    let mut room = Room::default();
    for account in asked.of_person(whole, &definitions.plan) {
        let Some(group_id) = account.as_str() else { continue };
        let mut fold = AccountFold::new(group_id);
        let all = account_history::visit(reader, space, group_id, &mut room, &mut |event| {
            if as_of.counts(event.event_time, event.received_at) {
                fold.apply(event);
            }
        })?;
        let of_fold = match all {
            true => AccountFacts::marked,
            false if of_accounts == OfAccounts::Everything => {
                return Err(too_much_of_accounts(LINKS_MAX, PAST_EVENTS_MAX, PAST_MEGABYTES_MAX));
            }
            false => AccountFacts::of_a_part,
        };
        facts.push(Arc::new(of_fold(&fold, asked, &definitions.trait_rules)));
        folds.push(fold);
    }
    Ok((folds, facts))
}

/// Notes the account that an event names, with the earliest event that did.
fn note_account(accounts: &mut BTreeMap<String, AccountView>, event: &Event) {
    let Some(group_id) = &event.group_id else { return };
    let view = || AccountView {
        group_id: group_id.to_string(),
        source: event.source.clone(),
        since: event.event_time,
    };
    let held = accounts.entry(group_id.to_string()).or_insert_with(view);
    if event.event_time < held.since {
        *held = view();
    }
}

/// What a name means by these definitions. Nothing where it means nothing, or is an id that never stood.
fn sought(
    reader: &dyn Read,
    space: &SpaceId,
    definitions: &Definitions,
    name: &str,
) -> Result<Option<Sought>, PipelineError> {
    if let Ok(asked) = name.strip_prefix("profile_id:").unwrap_or(name).parse::<ProfileId>() {
        let founder = redirects::founder(reader, space, asked)?;
        return Ok(founder.map(|founder| Sought::Profile(asked, founder)));
    }
    let spelt = Identifier::parse(name).and_then(|sent| definitions.rules.spell(&sent));
    Ok(spelt.map(|identifier| Sought::Identifier(identifier.hash128())))
}

#[cfg(test)]
mod tests;
