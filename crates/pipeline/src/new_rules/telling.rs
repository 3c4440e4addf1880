//! The end of a change of rules: whose ids come and go is told at once. Everybody else keeps their record, and takes the
//! decision as they take any: when they are next loaded, or by the sweep, at the decision's own instant.

use super::{STEP, Work};
use crate::record::{Membership, ProfileRecord};
use crate::space::Space;
use crate::staged::{self, List};
use crate::{PipelineError, keys, redirects};
use kith_segment::{Cause, Change};
use kith_state::{Keyspace, Read};
use kith_types::{ProfileId, Timestamp};

impl Space {
    /// Goes over those who may not stand as they stood: tells the exits of ids that are gone, and begins new ones.
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
                let decode =
                    |bytes: &[u8]| ProfileRecord::decode(bytes).ok_or_else(|| PipelineError::corrupt("profiles"));
                let stood = work.stands.get(Keyspace::Profiles, &key)?;
                match (stood, work.view.get(Keyspace::Profiles, &key)?) {
                    // What they are members of and when they are due stands as it stood until they take the decision.
                    (Some(_), Some(_)) => {
                        let staged = staged::staged_key(&self.id, Keyspace::Profiles, &key);
                        self.writes.remove(Keyspace::Staged, staged);
                    }
                    (None, Some(then)) => self.begin_who_is_new(work, id, &decode(&then)?)?,
                    (Some(stood), None) => self.tell_who_is_gone(work, id, &decode(&stood)?)?,
                    (None, None) => {}
                }
                self.stage_when_full(work)?;
            }
            self.stage_step(work)?;
        }
        Ok(())
    }

    /// Who stands under a new id is a member of nothing yet, and has still to take the decision.
    fn begin_who_is_new(&mut self, work: Work<'_>, id: ProfileId, then: &ProfileRecord) -> Result<(), PipelineError> {
        let key = keys::wide(&self.id, id.0);
        if work.view.get(Keyspace::Redirects, &key)?.is_some() {
            self.writes.remove(Keyspace::Redirects, key.clone());
        }
        let fresh = ProfileRecord {
            founder: then.founder,
            version: self.definitions.version.saturating_sub(1),
            ..ProfileRecord::default()
        };
        if *then != fresh {
            self.writes.put(Keyspace::Profiles, key, fresh.encode());
        }
        Ok(())
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
