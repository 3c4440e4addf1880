//! Taking entries from the outbox: who gets what, judged and reserved stretch by stretch (contracts ACT-1 and ACT-6). It
//! never sends.

use super::{Boundary, Engine, port_error};
use crate::error::ActivateError;
use crate::ledger::{NewSend, NotLive, PersonKey, Plan, Reservations, Undone};
use crate::limits::{Limits, SendingRules};
use crate::policy::{Permission, permission, person_key};
use crate::ports::{Reading, Recipient};
use kith_segment::{Cause, Change};
use kith_types::{ProfileId, SpaceId};
use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};

/// How many changes one transaction of the ledger takes, and what else their last event changed.
const STRETCH: usize = 256;
/// The most changes that are held at once where one event changed a great many people.
const PAGE_MAX: usize = 100_000;
/// How many changes by the same event are looked through for those of one person.
const NEAR_MAX: usize = 1_000;
/// How far reading may run ahead of the ledger's cursor while nothing is to be recorded.
const AHEAD_MAX: u64 = 4_096;

/// A jump of numbers beyond this is no loss: a state that is built again counts from a block of its own.
const BLOCK: u64 = 1 << 24;

impl Engine {
    /// Takes a page of what the outbox of a space holds. Returns whether there was anything that could be taken.
    pub(crate) fn take_entries(&self, space: &SpaceId) -> Result<bool, ActivateError> {
        self.follow_rules(space)?;
        let known = self.cursors().get(space).copied();
        let from = match known {
            Some(number) => number,
            None => self.ledger.next_number(space)?,
        };
        let changes = self
            .ports
            .outbox
            .changes_from(space, from)
            .map_err(|error| port_error("the outbox cannot be read", error))?;
        let Some(changes) = changes else { return Ok(false) };
        let mut changes: Vec<_> = changes.into_iter().filter(|(number, _)| *number >= from).collect();
        if !self.complete(space, &mut changes)? {
            return Ok(false);
        }
        let mut missed = changes.first().map_or(0, |(first, _)| missed(space, from, *first));
        for stretch in stretches(&changes) {
            if !self.take_stretch(space, stretch, std::mem::take(&mut missed))? {
                return Ok(false);
            }
        }
        Ok(!changes.is_empty())
    }

    /// Has what waits for the end of quiet hours asked anew where the rules of its space have changed.
    fn follow_rules(&self, space: &SpaceId) -> Result<(), ActivateError> {
        let rules = self.ports.messages.sending_rules(space);
        let rules = rules.map_err(|error| port_error("sending rules cannot be read", error))?;
        let known = self.rules_followed().get(space).cloned();
        if known.is_none_or(|known| known != rules) {
            self.ledger.end_quiet(space, self.clock.now())?;
            self.rules_followed().insert(space.clone(), rules);
        }
        Ok(())
    }

    fn rules_followed(&self) -> MutexGuard<'_, BTreeMap<SpaceId, Arc<SendingRules>>> {
        self.rules_followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the rest of what the last event of a page changed, where somebody left by it: they may have entered by it as
    /// somebody else. Returns false where the outbox cannot be looked at now.
    fn complete(&self, space: &SpaceId, changes: &mut Vec<(u64, Change)>) -> Result<bool, ActivateError> {
        while changes.len() < PAGE_MAX
            && let Some((number, last)) = changes.last()
            && let Cause::Event(_) = last.cause
        {
            let (number, cause) = (*number, last.cause);
            let mut of_it = changes.iter().rev().take_while(|(_, change)| change.cause == cause);
            if of_it.all(|(_, change)| change.entered) {
                return Ok(true);
            }
            let more = self
                .ports
                .outbox
                .changes_from(space, number + 1)
                .map_err(|error| port_error("the outbox cannot be read", error))?;
            let Some(more) = more else { return Ok(false) };
            let of_it = more.iter().take_while(|(_, change)| change.cause == cause).count();
            let ends = of_it < more.len() || more.is_empty();
            changes.extend(more.into_iter().take(of_it));
            if ends {
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// The number from which on changes of a space are still wanted, by messages or by a destination of audiences.
    pub(crate) fn wanted(&self, space: &SpaceId) -> Result<u64, ActivateError> {
        if self.held().contains(space) {
            return Ok(0);
        }
        let messages = self.ledger.next_number(space)?;
        let destinations = self.ledger.destinations_want(space)?;
        Ok(destinations.map_or(messages, |destinations| destinations.min(messages)))
    }

    /// Keeps a space's outbox whole until what this gives is dropped: while a destination is being connected, the ledger does
    /// not yet say from which number on it wants changes.
    pub(crate) fn hold(&self, space: &SpaceId) -> Held<'_> {
        self.held().push(space.clone());
        Held {
            engine: self,
            space: space.clone(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Vec<SpaceId>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the outbox how far the ledger durably is, so that it can forget.
    pub(crate) fn tell_passed(&self, space: &SpaceId) -> Result<(), ActivateError> {
        let passed = self.ports.outbox.passed(space, self.wanted(space)?);
        passed.map_err(|error| port_error("the outbox cannot forget what was taken", error))
    }

    /// Writes down how far outboxes were read where the ledger is behind, so that they can forget.
    pub(crate) fn keep_cursors(&self) -> Result<(), ActivateError> {
        let read: Vec<(SpaceId, u64)> = self
            .cursors()
            .iter()
            .map(|(space, number)| (space.clone(), *number))
            .collect();
        for (space, next_number) in read {
            if self.ledger.next_number(&space)? < next_number {
                let nothing = Reservations {
                    next_number,
                    ..Reservations::default()
                };
                self.ledger.reserve(&space, &nothing, self.clock.now())?;
            }
        }
        Ok(())
    }

    /// Takes a stretch, up to the first person who cannot be told apart at present. Returns whether that was all of it.
    fn take_stretch(&self, space: &SpaceId, stretch: &[(u64, Change)], missed: u64) -> Result<bool, ActivateError> {
        let Some((last, _)) = stretch.last() else {
            return Ok(true);
        };
        let mut reservations = Reservations {
            next_number: last + 1,
            missed,
            ..Reservations::default()
        };
        let mut whole = true;
        for (place, (number, change)) in stretch.iter().enumerate() {
            let judged = match change.entered {
                true => self.judge(space, stretch, place, &mut reservations)?,
                false => self.judge_exit(space, (*number, change), &mut reservations)?,
            };
            if !judged {
                // With all that its event changed: whoever left by it may be whom this person was taken for.
                let by_it =
                    |other: &&(u64, Change)| matches!(other.1.cause, Cause::Event(_)) && other.1.cause == change.cause;
                let first = stretch[..place].iter().rev().take_while(by_it).last();
                reservations.next_number = first.map_or(*number, |(first, _)| *first);
                whole = false;
                break;
            }
        }
        self.reached(Boundary::Planned)?;
        let nothing = reservations.sends.is_empty()
            && reservations.not_live.is_empty()
            && reservations.undone.is_empty()
            && missed == 0;
        if !nothing || reservations.next_number >= self.ledger.next_number(space)? + AHEAD_MAX {
            let now = self.clock.now();
            for send in self.ledger.reserve(space, &reservations, now)? {
                self.tell(&send, now);
            }
            self.reached(Boundary::Reserved)?;
        }
        self.cursors().insert(space.clone(), reservations.next_number);
        Ok(whole)
    }

    /// Adds what an entry comes to. Returns false, and adds nothing, where the person cannot be told apart at present.
    fn judge(
        &self,
        space: &SpaceId,
        stretch: &[(u64, Change)],
        place: usize,
        into: &mut Reservations,
    ) -> Result<bool, ActivateError> {
        let (run, change) = &stretch[place];
        let definitions = self.ports.messages.for_segment(space, &change.segment);
        let definitions = definitions.map_err(|error| port_error("messages cannot be read", error))?;
        if definitions.is_empty() {
            return Ok(true);
        }
        if !change.cause.is_live() {
            let cause = change.cause.as_str();
            let entries = definitions.iter().map(|definition| NotLive {
                message: definition.name().to_owned(),
                cause,
            });
            into.not_live.extend(entries);
            return Ok(true);
        }
        let reading = self
            .ports
            .people
            .recipient(space, change.profile)
            .map_err(|error| port_error("a person cannot be read", error))?;
        let recipient = match reading {
            Reading::Found(recipient) => Some(recipient),
            Reading::Nobody => None,
            Reading::NotNow => return Ok(false),
        };
        let until_now = match &recipient {
            Some(recipient) => self.until_now(space, stretch, place, recipient)?,
            None => Some(Vec::new()),
        };
        let Some(until_now) = until_now else {
            return Ok(false);
        };
        for definition in definitions {
            let limits = match &recipient {
                Some(recipient) => self.limits(space, &definition, recipient)?,
                None => Limits::default(),
            };
            let permitted = match &recipient {
                Some(recipient) => permission(&definition, recipient),
                None => Permission::Refused("no_person"),
            };
            let (address, plan) = match permitted {
                Permission::Granted { address, granted_at } => (
                    address,
                    Plan::Reserve {
                        granted_at,
                        limits: Box::new(limits),
                    },
                ),
                Permission::Refused(reason) => (known_address(recipient.as_deref()), Plan::Skip(reason.to_owned())),
            };
            let nobody = PersonKey {
                kind: String::new(),
                value: String::new(),
            };
            into.sends.push(NewSend {
                message: definition.name().to_owned(),
                run: *run,
                profile: change.profile,
                address,
                segment: change.segment.clone(),
                topic: definition.purpose().topic().map(str::to_owned),
                person: recipient.as_deref().map_or(nobody, person_key),
                entered_at: change.at,
                plan,
                until_now: until_now.clone(),
                asked_at: None,
            });
        }
        Ok(true)
    }

    /// Adds that an entry was undone: who is who was found to be otherwise, and the person is no member as anybody now. Returns
    /// false, and adds nothing, where the person cannot be told apart at present.
    fn judge_exit(
        &self,
        space: &SpaceId,
        (number, change): (u64, &Change),
        into: &mut Reservations,
    ) -> Result<bool, ActivateError> {
        if change.cause != Cause::Regrouping {
            return Ok(true);
        }
        let definitions = self.ports.messages.for_segment(space, &change.segment);
        if definitions
            .map_err(|error| port_error("messages cannot be read", error))?
            .is_empty()
        {
            return Ok(true);
        }
        let reading = self.ports.people.recipient(space, change.profile);
        match reading.map_err(|error| port_error("a person cannot be read", error))? {
            Reading::NotNow => return Ok(false),
            Reading::Found(now) if is_member_by_then(&now, change) => {}
            Reading::Found(_) | Reading::Nobody => into.undone.push(Undone {
                number,
                profile: change.profile,
                segment: change.segment.clone(),
                at: change.at,
            }),
        }
        Ok(true)
    }

    /// Whom somebody who entered by an event was taken for until that event, as a member of the same segment: a guest who signed
    /// in left it by what the account entered by. `None` where people cannot be told apart at present.
    fn until_now(
        &self,
        space: &SpaceId,
        stretch: &[(u64, Change)],
        place: usize,
        recipient: &Recipient,
    ) -> Result<Option<Vec<ProfileId>>, ActivateError> {
        let change = &stretch[place].1;
        let mut found = Vec::new();
        if !matches!(change.cause, Cause::Event(_)) {
            return Ok(Some(found));
        }
        let by_it = |other: &&(u64, Change)| other.1.cause == change.cause;
        let before = stretch[..place].iter().rev().take_while(by_it).take(NEAR_MAX);
        let after = stretch[place..].iter().take_while(by_it).take(NEAR_MAX);
        for (_, other) in before.chain(after) {
            if other.entered || other.segment != change.segment || other.profile == change.profile {
                continue;
            }
            let reading = self.ports.people.recipient(space, other.profile);
            match reading.map_err(|error| port_error("a person cannot be read", error))? {
                Reading::Found(now) if now.profile == recipient.profile => found.push(other.profile),
                Reading::Found(_) | Reading::Nobody => {}
                Reading::NotNow => return Ok(None),
            }
        }
        Ok(Some(found))
    }
}

/// Whether somebody is a member, and not by an entry after an exit: that one sends by itself.
fn is_member_by_then(recipient: &Recipient, exit: &Change) -> bool {
    let held = recipient.membership(&exit.segment);
    held.is_some_and(|held| held.since.is_none_or(|since| since <= exit.at))
}

/// The changes in parts that are taken at once, none of which ends between two changes by one event.
fn stretches(changes: &[(u64, Change)]) -> impl Iterator<Item = &[(u64, Change)]> {
    let mut rest = changes;
    std::iter::from_fn(move || {
        let mut end = STRETCH.min(rest.len());
        while (1..rest.len()).contains(&end)
            && let cause @ Cause::Event(_) = rest[end].1.cause
            && rest[end - 1].1.cause == cause
        {
            end += 1;
        }
        let (stretch, after) = rest.split_at(end);
        rest = after;
        (!stretch.is_empty()).then_some(stretch)
    })
}

/// How many changes are gone between the number that is wanted and the first that there is.
fn missed(space: &SpaceId, wanted: u64, first: u64) -> u64 {
    match first - wanted {
        0 => 0,
        // A ledger that is new beside an outbox that is not never took anything.
        _ if wanted == 0 => 0,
        gap if gap >= BLOCK => {
            tracing::warn!(%space, wanted, found = first, "the state was built again, and counts changes from a block of its own");
            0
        }
        gap => {
            tracing::error!(%space, wanted, found = first, "the outbox has lost changes: they send nothing");
            gap
        }
    }
}

/// The normalised address of somebody to whom nothing is sent; empty where there is none.
fn known_address(recipient: Option<&Recipient>) -> String {
    recipient
        .and_then(|recipient| crate::mail::normalise_address(recipient.email.as_deref()?))
        .unwrap_or_default()
}

/// A space whose outbox is kept whole.
pub(crate) struct Held<'a> {
    engine: &'a Engine,
    space: SpaceId,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = self.engine.held();
        if let Some(at) = held.iter().position(|space| *space == self.space) {
            held.swap_remove(at);
        }
    }
}
