//! Decides what is told of a change or a member: who enters or leaves under which name, so that a receiver holds the names of
//! members and no other (contract SEG-5). It reads whom the destination holds and who people are now; it writes nothing.
//!
//! A receiver knows names, not people. So what is decided is: a name enters when somebody gets it who has none there; a person who has
//! another name by now leaves under the old one and enters under the new one; and no name leaves that somebody else is held by.

use super::Changes;
use super::delivery::Job;
use crate::engine::port_error;
use crate::error::ActivateError;
use crate::ledger::{Decided, Named, Source, Telling};
use crate::ports::{Reading, Recipient};
use kith_segment::Change;
use kith_types::{ProfileId, SegmentName, SpaceId, Timestamp};
use std::collections::{BTreeSet, HashMap};

/// Whether something could be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is decided.
    Yes,
    /// Nobody can be told apart at present; nothing was decided.
    NotNow,
}

/// Of whom something is to be told, and why.
#[derive(Clone, Debug)]
pub(super) struct Occasion {
    pub(super) source: Source,
    pub(super) segment: SegmentName,
    pub(super) profile: ProfileId,
    pub(super) at: Timestamp,
    pub(super) cause: &'static str,
}

impl Occasion {
    pub(super) fn of_change(number: u64, change: &Change) -> Self {
        Self {
            source: Source::Change(number),
            segment: change.segment.clone(),
            profile: change.profile,
            at: change.at,
            cause: change.cause.as_str(),
        }
    }
}

type Held = (SegmentName, ProfileId);

/// A page that is being decided.
pub(super) struct Planner<'a> {
    job: &'a Job<'a>,
    space: &'a SpaceId,
    name: &'a str,
    /// Whom the receiver holds once it took what is decided, as far as that is another than now.
    holds: HashMap<Held, Option<Named>>,
    /// Who got a name by it.
    got: HashMap<(SegmentName, Named), BTreeSet<ProfileId>>,
    pub(super) decided: Decided,
}

impl<'a> Planner<'a> {
    pub(super) fn new(job: &'a Job<'a>, space: &'a SpaceId, name: &'a str) -> Self {
        Self {
            job,
            space,
            name,
            holds: HashMap::new(),
            got: HashMap::new(),
            decided: Decided::default(),
        }
    }

    /// Whether something is to be written down, beside how far it has come.
    pub(super) fn has_some(&self) -> bool {
        !self.decided.tellings.is_empty() || self.decided.nameless > 0
    }

    /// Somebody is a member from now on.
    pub(super) fn enters(&mut self, occasion: &Occasion) -> Result<Known, ActivateError> {
        let Some(person) = self.person(occasion.profile)? else {
            return Ok(Known::NotNow);
        };
        match person.as_deref().and_then(named) {
            // Already welcomed, under a name that went over to them: another entry would be acted on twice.
            Some(_) if !self.tells_all() && self.told(&occasion.segment, occasion.profile)?.is_some() => {}
            Some(named) => self.is_held_as(occasion, occasion.profile, named)?,
            None => self.decided.nameless += 1,
        }
        Ok(Known::Yes)
    }

    /// Somebody is no member any more.
    pub(super) fn leaves(&mut self, occasion: &Occasion) -> Result<Known, ActivateError> {
        let Some(person) = self.person(occasion.profile)? else {
            return Ok(Known::NotNow);
        };
        let told = self.told(&occasion.segment, occasion.profile)?;
        // Merged into somebody who is in the segment: of that person it is not true that they left.
        let into = person
            .as_deref()
            .filter(|other| other.profile != occasion.profile && other.membership(&occasion.segment).is_some());
        match (told, into) {
            (Some(told), None) => self.is_let_go(occasion, occasion.profile, told)?,
            (Some(told), Some(other)) => self.goes_over(occasion, told, other)?,
            (None, Some(_)) => {}
            // It was not told that they are in: such as by an entry that was not live, or that was refused.
            (None, None) => match person.as_deref().and_then(named) {
                Some(named) if self.others(&occasion.segment, &named, occasion.profile)? => {}
                Some(named) => self.add(occasion, occasion.profile, true, false, named),
                None => self.decided.nameless += 1,
            },
        }
        Ok(Known::Yes)
    }

    /// Somebody is held as a member, and is one: whether under a name that is still theirs.
    pub(super) fn stays(&mut self, occasion: &Occasion) -> Result<Known, ActivateError> {
        let Some(person) = self.person(occasion.profile)? else {
            return Ok(Known::NotNow);
        };
        // Whoever is merged or has left by now is told so by a change that is still to come.
        let is_theirs =
            |person: &Recipient| person.profile == occasion.profile && person.membership(&occasion.segment).is_some();
        if self.tells_all()
            && let Some(person) = person.as_deref().filter(|person| is_theirs(person))
            && let Some(named) = named(person)
        {
            self.is_held_as(occasion, occasion.profile, named)?;
        }
        Ok(Known::Yes)
    }

    /// Somebody is taken to be held as a member, under the name that they have now: nothing is said.
    pub(super) fn was_told(&mut self, occasion: &Occasion) -> Result<Known, ActivateError> {
        let Some(person) = self.person(occasion.profile)? else {
            return Ok(Known::NotNow);
        };
        if let Some(named) = person.as_deref().and_then(named) {
            self.add(occasion, occasion.profile, false, true, named);
        }
        Ok(Known::Yes)
    }

    /// A profile that the receiver holds is part of another person, who is a member too.
    fn goes_over(&mut self, occasion: &Occasion, told: Named, other: &Recipient) -> Result<(), ActivateError> {
        if self.told(&occasion.segment, other.profile)?.is_some() {
            return self.is_let_go(occasion, occasion.profile, told);
        }
        self.add(occasion, occasion.profile, false, false, told.clone());
        self.add(occasion, other.profile, false, true, told);
        match named(other).filter(|_| self.tells_all()) {
            Some(named) => self.is_held_as(occasion, other.profile, named),
            None => Ok(()),
        }
    }

    /// A receiver is to hold a profile under that name and no other.
    fn is_held_as(&mut self, occasion: &Occasion, profile: ProfileId, named: Named) -> Result<(), ActivateError> {
        match self.told(&occasion.segment, profile)? {
            Some(told) if told == named => return Ok(()),
            Some(told) => self.is_let_go(occasion, profile, told)?,
            None => {}
        }
        let is_new = !self.others(&occasion.segment, &named, profile)?;
        self.add(occasion, profile, is_new, true, named);
        Ok(())
    }

    /// A receiver is not to hold a profile under that name any more.
    fn is_let_go(&mut self, occasion: &Occasion, profile: ProfileId, told: Named) -> Result<(), ActivateError> {
        let is_said = !self.others(&occasion.segment, &told, profile)?;
        self.add(occasion, profile, is_said, false, told);
        Ok(())
    }

    fn add(&mut self, occasion: &Occasion, profile: ProfileId, said: bool, entered: bool, named: Named) {
        let (segment, held) = (occasion.segment.clone(), entered.then(|| named.clone()));
        if entered {
            let got = self.got.entry((segment.clone(), named.clone())).or_default();
            got.insert(profile);
        }
        self.holds.insert((segment.clone(), profile), held);
        self.decided.tellings.push(Telling {
            id: 0,
            said,
            source: occasion.source,
            segment,
            profile,
            entered,
            at: occasion.at,
            cause: occasion.cause.to_owned(),
            named,
        });
    }

    /// The name by which the receiver holds a profile.
    fn told(&self, segment: &SegmentName, profile: ProfileId) -> Result<Option<Named>, ActivateError> {
        match self.holds.get(&(segment.clone(), profile)) {
            Some(held) => Ok(held.clone()),
            None => self.job.engine.ledger.told(self.space, self.name, segment, profile),
        }
    }

    /// Whether the receiver holds a name for another profile.
    fn others(&self, segment: &SegmentName, named: &Named, profile: ProfileId) -> Result<bool, ActivateError> {
        let stored = self.job.engine.ledger.told_as(self.space, self.name, segment, named)?;
        let got = self.got.get(&(segment.clone(), named.clone()));
        let mut known = stored.into_iter().chain(got.into_iter().flatten().copied());
        Ok(known.any(|other| {
            let decided = self.holds.get(&(segment.clone(), other));
            other != profile && decided.is_none_or(|held| held.as_ref() == Some(named))
        }))
    }

    fn tells_all(&self) -> bool {
        self.job.definition.changes() == Changes::All
    }

    /// The person of a profile, if there is one; `None` where nobody can be told apart at present.
    fn person(&self, profile: ProfileId) -> Result<Option<Option<Box<Recipient>>>, ActivateError> {
        let reading = self.job.engine.ports.people.recipient(self.space, profile);
        match reading.map_err(|error| port_error("a person cannot be read", error))? {
            Reading::NotNow => Ok(None),
            Reading::Nobody => Ok(Some(None)),
            Reading::Found(person) => Ok(Some(Some(person))),
        }
    }
}

fn named(person: &Recipient) -> Option<Named> {
    let user = person.user_id.clone().map(Named::User);
    user.or_else(|| person.anonymous_id.clone().map(Named::Anonymous))
}
