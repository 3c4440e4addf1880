//! Walking through the members of a segment for a run: counting them first, and once that was confirmed reserving a send for each
//! who is still to get one (contract ACT-6). It works with ports and ledger, page by page; each page is whole or not there. It never
//! sends, and reserves no more than waits already while that is much.

use super::{Boundary, Engine, port_error};
use crate::definition::MessageDefinition;
use crate::error::{ActivateError, ActivateErrorKind};
use crate::ledger::{NewRun, NewSend, Plan, RunPage};
use crate::policy::{Permission, permission, person_key};
use crate::ports::{Reading, Recipient};
use crate::runs::{RunAsked, RunRefusal, RunRow, RunState};
use kith_types::{ProfileId, SpaceId};
use std::sync::Arc;

/// Members that are looked at, and recorded, at once: entries that happen live wait for no more than that.
const PAGE: usize = 256;

impl Engine {
    /// Makes a run of a message, which begins to count.
    ///
    /// # Errors
    /// The ledger or a port failed: nothing was made.
    pub(crate) fn ask_run(&self, space: &SpaceId, asked: &RunAsked) -> Result<Result<i64, RunRefusal>, ActivateError> {
        let message = self.ports.messages.named(space, &asked.message);
        let Some(message) = message.map_err(|error| port_error("messages cannot be read", error))? else {
            return Ok(Err(RunRefusal::NoMessage));
        };
        let new = NewRun {
            asked,
            segment: message.segment(),
            topic: message.purpose().topic(),
        };
        self.ledger.ask_run(space, &new, self.clock.now())
    }

    /// Gives every run at work one page. Returns whether any got further.
    ///
    /// # Errors
    /// No run could be got further, and one for a reason that may pass. Where another could, the log tells the reason.
    pub(crate) fn step_runs(&self) -> Result<bool, ActivateError> {
        let (mut found, mut failed) = (false, None);
        for run in self.ledger.runs_at_work()? {
            match self.step_run(&run) {
                Ok(some) => found |= some,
                Err(error) if error.kind() == ActivateErrorKind::Stopped => return Err(error),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if found => {
                tracing::warn!(%error, "a run of a message could not be got further: it is tried again");
                Ok(true)
            }
            Some(error) => Err(error),
            None => Ok(found),
        }
    }

    fn step_run(&self, run: &RunRow) -> Result<bool, ActivateError> {
        let now = self.clock.now();
        if run.state == RunState::Stopping {
            for send in self.ledger.sweep_run(run, PAGE, now)? {
                self.tell(&send, now);
            }
            self.reached(Boundary::RunRecorded)?;
            return Ok(true);
        }
        let late = run
            .started_at
            .is_some_and(|started| now > started + self.settings.give_up_after);
        let definition = match late {
            true => Err("too_late"),
            false => self.message_of(run)?,
        };
        let definition = match definition {
            Ok(definition) => definition,
            Err(reason) => {
                self.ledger.end_run(run, reason, now)?;
                return Ok(true);
            }
        };
        let sends = run.state == RunState::Sending;
        if sends && (self.ledger.run_paused(run)? || self.ledger.run_waiting(run)? >= self.settings.run_waiting_max) {
            return Ok(false);
        }
        let Some(page) = self.look_at_members(run, &definition)? else {
            return Ok(false);
        };
        self.reached(Boundary::RunJudged)?;
        // Asked again: reading people takes its time, and quiet hours and caps are of the moment that decides.
        let now = self.clock.now();
        if sends {
            for send in self.ledger.reserve_page(run, &page, now)? {
                self.tell(&send, now);
            }
        } else {
            self.ledger.count_page(run, &page, now)?;
        }
        self.reached(Boundary::RunRecorded)?;
        Ok(true)
    }

    /// The message of a run, or why the run ends: what was counted was another one.
    fn message_of(&self, run: &RunRow) -> Result<Result<Arc<MessageDefinition>, &'static str>, ActivateError> {
        let message = self.ports.messages.named(&run.space, &run.message);
        let message = message.map_err(|error| port_error("messages cannot be read", error))?;
        Ok(match message {
            None => Err("definition_removed"),
            Some(message) if *message.segment() != run.segment || message.purpose().topic() != run.topic.as_deref() => {
                Err("definition_changed")
            }
            Some(message) => Ok(message),
        })
    }

    /// Looks at the next members, up to the first who cannot be told apart at present; `None` where that is the first of all.
    fn look_at_members(&self, run: &RunRow, definition: &MessageDefinition) -> Result<Option<RunPage>, ActivateError> {
        let people = &self.ports.people;
        let members = people.members(&run.space, &run.segment, run.place, PAGE);
        let Some(members) = members.map_err(|error| port_error("members cannot be read", error))? else {
            return Ok(None);
        };
        let mut page = RunPage::default();
        let is_end = members.is_empty();
        for member in members {
            let reading = people.recipient(&run.space, member);
            match reading.map_err(|error| port_error("a person cannot be read", error))? {
                Reading::NotNow => break,
                Reading::Nobody => page.leave_out("no_person"),
                Reading::Found(recipient) => {
                    if !self.judge_member(run, definition, member, &recipient, &mut page)? {
                        break;
                    }
                }
            }
            page.members += 1;
            page.place = Some(member);
        }
        Ok((is_end || page.members > 0).then_some(page))
    }

    /// Adds what is to become of a member. Returns false, and adds nothing, where people cannot be told apart at present.
    fn judge_member(
        &self,
        run: &RunRow,
        definition: &MessageDefinition,
        member: ProfileId,
        recipient: &Recipient,
        page: &mut RunPage,
    ) -> Result<bool, ActivateError> {
        // Somebody else since the page was read: they are a member by themselves, or none.
        if recipient.profile != member {
            page.leave_out("merged");
            return Ok(true);
        }
        let membership = recipient.membership(&run.segment);
        if let Some(reason) = run.leaves_out(membership) {
            page.leave_out(reason);
            return Ok(true);
        }
        let (address, granted_at) = match permission(definition, recipient) {
            Permission::Granted { address, granted_at } => (address, granted_at),
            Permission::Refused(reason) => {
                page.leave_out(reason);
                return Ok(true);
            }
        };
        let limits = self.limits(&run.space, definition, recipient)?;
        let replaced = match run.state {
            RunState::Sending => self.waits_for_whom_they_were(run, recipient)?,
            _ => Some(Vec::new()),
        };
        let Some(replaced) = replaced else {
            return Ok(false);
        };
        let send = NewSend {
            message: run.message.clone(),
            run: run.number(),
            profile: member,
            address,
            segment: run.segment.clone(),
            topic: definition.purpose().topic().map(str::to_owned),
            person: person_key(recipient),
            entered_at: membership.and_then(|held| held.since).unwrap_or(run.entered_before),
            plan: Plan::Reserve {
                granted_at,
                limits: Box::new(limits),
            },
            until_now: Vec::new(),
            asked_at: Some(run.started_at.unwrap_or(run.entered_before)),
        };
        page.sends.push((send, replaced));
        Ok(true)
    }

    /// The sends of a run that wait for whom somebody was taken for when it came by them. `None` where people cannot be told
    /// apart at present.
    fn waits_for_whom_they_were(&self, run: &RunRow, recipient: &Recipient) -> Result<Option<Vec<i64>>, ActivateError> {
        let mut found = Vec::new();
        for (id, before) in self
            .ledger
            .run_waiting_at(run, recipient.profile, &recipient.addresses)?
        {
            let reading = self.ports.people.recipient(&run.space, before);
            match reading.map_err(|error| port_error("a person cannot be read", error))? {
                Reading::Found(now) if now.profile == recipient.profile => found.push(id),
                Reading::Found(_) | Reading::Nobody => {}
                Reading::NotNow => return Ok(None),
            }
        }
        Ok(Some(found))
    }
}
