//! The end of a change of rules: who may not be who they were is compared once with what stood, and the difference told.

use super::{STEP, Work};
use crate::record::{Membership, ProfileRecord};
use crate::space::Space;
use crate::staged::{self, List};
use crate::{PipelineError, keys, redirects};
use kith_segment::{Cause, Change};
use kith_state::{Keyspace, Read};
use kith_types::{ProfileId, Timestamp};

impl Space {
    /// Evaluates everybody who may not be who they were, and tells the difference.
    pub(super) fn tell_changed(&mut self, work: Work<'_>) -> Result<(), PipelineError> {
        let mut from = Some(0);
        while let Some(start) = from {
            let some = staged::next_listed(work.reader, &self.id, List::Changed, start, STEP)?;
            from = some.last().and_then(|last| last.checked_add(1));
            for id in some {
                work.progress.has_reached(id);
                work.progress.did(1);
                let id = ProfileId(id);
                let key = keys::wide(&self.id, id.0);
                let stood = match work.stands.get(Keyspace::Profiles, &key)? {
                    Some(bytes) => {
                        Some(ProfileRecord::decode(&bytes).ok_or_else(|| PipelineError::corrupt("profiles"))?)
                    }
                    None => None,
                };
                if work.view.get(Keyspace::Profiles, &key)?.is_some() {
                    self.tell_who_stands(work, id, stood)?;
                } else if let Some(stood) = stood {
                    self.tell_who_is_gone(work, id, &stood)?;
                }
            }
            self.stage_step(work)?;
        }
        Ok(())
    }

    /// Who is found again under their id keeps the memberships that still hold.
    fn tell_who_stands(
        &mut self,
        work: Work<'_>,
        id: ProfileId,
        stood: Option<ProfileRecord>,
    ) -> Result<(), PipelineError> {
        let redirect = keys::wide(&self.id, id.0);
        if work.view.get(Keyspace::Redirects, &redirect)?.is_some() {
            self.writes.remove(Keyspace::Redirects, redirect);
        }
        // They have the definitions in force from here on, and not from their own last visit.
        self.quiet = true;
        let loaded = self.load_profile(&work.view, id);
        self.quiet = false;
        loaded?;
        let due = stood.as_ref().and_then(|stood| stood.due);
        if let Some(entry) = self.profiles.get_mut(id.0) {
            entry.record.memberships.clear();
            entry.record.version = self.definitions.version;
            // Their timer stands as it stood until they are asked.
            (entry.record.due, entry.stored.due) = (due, due);
        }
        for held in stood.into_iter().flat_map(|stood| stood.memberships) {
            if !self.tell_exit_of_the_gone(id, &held, work.now) {
                let key = keys::member(&self.id, held.segment.as_str(), id);
                self.writes
                    .put(Keyspace::Members, key, held.since.as_micros().to_be_bytes().to_vec());
                if let Some(entry) = self.profiles.get_mut(id.0) {
                    entry.record.enter(held);
                }
            }
        }
        self.profile_changed(id);
        self.evaluate(&work.view, id, work.now, self.definitions.cause)
    }

    /// Tells the exit from a segment that is no more; answers whether it is one.
    fn tell_exit_of_the_gone(&mut self, id: ProfileId, held: &Membership, now: Timestamp) -> bool {
        let known = self.definitions.segments.iter().any(|live| live.name == held.segment);
        if !known {
            self.tell_exit(id, held, now, Cause::Definition);
        }
        !known
    }

    fn tell_exit(&mut self, profile: ProfileId, held: &Membership, at: Timestamp, cause: Cause) {
        self.record_change(Change {
            segment: held.segment.clone(),
            profile,
            entered: false,
            at,
            cause,
            approximate: false,
        });
    }

    fn tell_who_is_gone(&mut self, work: Work<'_>, id: ProfileId, stood: &ProfileRecord) -> Result<(), PipelineError> {
        for held in &stood.memberships {
            if !self.tell_exit_of_the_gone(id, held, work.now) {
                self.tell_exit(id, held, work.now, self.definitions.cause);
            }
        }
        self.set_due(id, stood.due, None);
        if let Some(time) = stood.due {
            self.writes.remove(Keyspace::Due, keys::due(&self.id, time, id));
        }
        let Some(founder) = redirects::founder_of(work.stands, &self.id, id, stood)? else {
            return Ok(());
        };
        // An identifier that is blocked now has nobody: its old id leads nowhere, until somebody has it again.
        let placed = match self.component_of(&work.view, founder.0)? {
            Some(home) => self.component(&work.view, home)?.component.place(founder.0, founder.1),
            None => None,
        };
        let row = redirects::encode(founder, placed.map(|placement| placement.profile));
        self.writes.put(Keyspace::Redirects, keys::wide(&self.id, id.0), row);
        Ok(())
    }
}
