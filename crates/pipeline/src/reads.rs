//! Reading people and segments as they are committed.
//!
//! Every answer comes from one snapshot of the store, so it never shows half a step. A person is evaluated at the
//! instant asked for (contract SEG-2): a timer that has not fired yet is no reason for a stale answer.

mod account_history;
mod accounts;
mod behind;
mod budget;
mod drafts;
mod dry_runs;
mod events;
mod explained;
mod identity;
mod members;
mod one_moment;
mod outlook;
mod overlap;
mod parts;
mod past;
mod refused;
mod shared;
mod shown;
mod unsent;
mod why;

pub use behind::BEHIND_LISTED_MAX;
pub use drafts::{Estimate, Impact, Proposed, SAMPLES_MAX, Sampler, SegmentImpact, Shown, ValueImpact};
pub(crate) use drafts::{Foreseen, Foresight, Named, foresee};
pub use events::{EventsAsked, EventsFound};
pub use explained::{EXPLAINED_EVENTS_MAX, Explained, NoSegment};
pub use identity::{Question, WHAT_IF_EVENTS_MAX, WHAT_IF_MEGABYTES_MAX};
pub use one_moment::AtOneMoment;
pub use overlap::{OVERLAP_MAX, Overlap, Region};
pub use past::{Absent, AsOf, HeldThen, PAST_EVENTS_MAX, PAST_MEGABYTES_MAX, Resolved};
pub use unsent::{UNSENT_TOLD_MAX, Unsent};
pub use why::Unnamed;

use crate::account_facts::{self, AccountFacts};
use crate::definitions::{DefinitionDocument, Definitions};
use crate::document::PersonDocument;
use crate::published::Look;
use crate::record::ProfileRecord;
use crate::runner::Pipeline;
use crate::{PipelineError, keys, redirects};
use dry_runs::DryRuns;
use events::latest_events;
use kith_identity::{Component, Member};
use kith_profile::{FoldPlan, Part};
use kith_segment::Explanation;
use kith_state::{Keyspace, Read, Store};
use kith_types::{Address, Event, EventKey, Identifier, ProfileId, SegmentName, SpaceId, Timestamp};
use shown::document;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Reads what the pipeline has committed.
#[derive(Clone)]
pub struct Reads {
    store: Arc<dyn Store>,
    pipeline: Arc<Pipeline>,
    past_definitions: Arc<past::PastDefinitions>,
    dry_runs: Arc<DryRuns>,
}

/// A person read by somebody who acts on the answer.
#[derive(Debug)]
pub enum Standing {
    /// The person.
    Found(Box<PersonDocument>),
    /// Nobody has that name.
    Nobody,
    /// A lost state is built again: people are missing who are there again when it ends.
    NotNow,
}

/// A person as loaded from a snapshot.
struct Loaded {
    id: ProfileId,
    record: ProfileRecord,
    component: Component,
    members: Vec<Member>,
    parts: Vec<Part>,
    whole: Part,
    /// What segments ask of their accounts.
    accounts: Vec<Arc<AccountFacts>>,
}

impl Loaded {
    /// The hashes of the identifiers that make the person up.
    fn carriers(&self) -> Vec<u128> {
        self.members.iter().map(|member| member.part.carrier).collect()
    }

    /// The identifiers that carry an event of the person: the others, which are most, have no rows.
    fn carrying(&self) -> impl Iterator<Item = &Member> {
        let parts = self.members.iter().zip(&self.parts);
        parts.filter(|(_, part)| !part.is_empty()).map(|(member, _)| member)
    }
}

impl Reads {
    /// Reads over a store that the pipeline writes.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, pipeline: Arc<Pipeline>) -> Self {
        Self {
            store,
            pipeline,
            past_definitions: Arc::default(),
            dry_runs: Arc::default(),
        }
    }

    /// The definitions in force in a space, and what is committed under them.
    fn look(&self, space: &SpaceId) -> Result<Option<Look>, PipelineError> {
        self.pipeline.look(&*self.store, space)
    }

    /// What the decisions change that a space has still to take, in the order of the log: those of records that the pipeline has come to.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn decisions_waiting(&self, space: &SpaceId) -> Result<Vec<DefinitionDocument>, PipelineError> {
        let waiting = crate::waiting::load(&*self.snapshot()?, space)?;
        Ok(waiting.into_iter().flat_map(|one| one.changes).collect())
    }

    fn snapshot(&self) -> Result<Box<dyn Read>, PipelineError> {
        crate::staged::snapshot_of(&*self.store)
    }

    /// The person that an identifier (as sent: it is normalised here) or a profile id names.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Storage`] or `Corrupt` when the store cannot be read.
    pub fn person(&self, space: &SpaceId, name: &str, now: Timestamp) -> Result<Option<PersonDocument>, PipelineError> {
        let Some((definitions, snapshot)) = self.look(space)? else {
            return Ok(None);
        };
        let Some((loaded, asked)) = find(&*snapshot, space, &definitions, name)? else {
            return Ok(None);
        };
        let mut person = document(&loaded, asked, &definitions, now);
        accounts::add(&*snapshot, space, &loaded, &mut person)?;
        Ok(Some(person))
    }

    /// As [`Reads::person`] but without accounts, for who acts on the answer: while people are missing from the state, it
    /// says so instead of denying them.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn standing(&self, space: &SpaceId, name: &str, now: Timestamp) -> Result<Standing, PipelineError> {
        // Asked before the snapshot: once it is false, what was committed then is whole.
        let rebuilding = self.pipeline.status().rebuilding.is_some();
        let looked = self.look(space)?;
        if rebuilding {
            return Ok(Standing::NotNow);
        }
        let Some((definitions, snapshot)) = looked else {
            return Ok(Standing::Nobody);
        };
        let found = find(&*snapshot, space, &definitions, name)?;
        Ok(found.map_or(Standing::Nobody, |(loaded, asked)| {
            Standing::Found(Box::new(document(&loaded, asked, &definitions, now)))
        }))
    }

    /// As [`Reads::person`], with at most `limit` of their latest events, from one look at the state.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn person_with_events(
        &self,
        space: &SpaceId,
        name: &str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Option<(PersonDocument, Vec<Event>)>, PipelineError> {
        let Some((definitions, snapshot)) = self.look(space)? else {
            return Ok(None);
        };
        let Some((loaded, asked)) = find(&*snapshot, space, &definitions, name)? else {
            return Ok(None);
        };
        let events = latest_events(&*snapshot, space, &loaded, None, limit)?;
        let mut person = document(&loaded, asked, &definitions, now);
        accounts::add(&*snapshot, space, &loaded, &mut person)?;
        Ok(Some((person, events)))
    }

    /// The person of a profile id, without following redirects, with their accounts where `accounts` says so; for those who
    /// walk over all people.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn person_of(
        &self,
        space: &SpaceId,
        id: ProfileId,
        accounts: bool,
        now: Timestamp,
    ) -> Result<Option<PersonDocument>, PipelineError> {
        match self.at_one_moment(space)? {
            Some(space) => space.person_of(id, accounts, now),
            None => Ok(None),
        }
    }

    /// The profile id that an identifier or a profile id leads to.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn resolve(&self, space: &SpaceId, name: &str) -> Result<Option<ProfileId>, PipelineError> {
        let Some((definitions, snapshot)) = self.look(space)? else {
            return Ok(None);
        };
        Ok(resolve(&*snapshot, space, &definitions, name)?.map(|found| found.id))
    }

    /// A person's events, the latest first: at most `limit` of those before `before`.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn events(
        &self,
        space: &SpaceId,
        name: &str,
        before: Option<(Timestamp, Address)>,
        limit: usize,
    ) -> Result<Option<Vec<Event>>, PipelineError> {
        let Some((definitions, snapshot)) = self.look(space)? else {
            return Ok(None);
        };
        let Some((loaded, _)) = find(&*snapshot, space, &definitions, name)? else {
            return Ok(None);
        };
        latest_events(&*snapshot, space, &loaded, before, limit).map(Some)
    }

    /// Which of some event keys count already at `now`, so that taking another copy would add nothing.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn counted(
        &self,
        space: &SpaceId,
        keys: &BTreeSet<EventKey>,
        now: Timestamp,
    ) -> Result<BTreeSet<EventKey>, PipelineError> {
        crate::dedupe::counted(&*self.snapshot()?, space, keys, now)
    }

    /// Why a person is, or is not, in a segment at `now`. `None` when there is no such person or segment.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn explain(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Explanation>, PipelineError> {
        let Some((definitions, snapshot)) = self.look(space)? else {
            return Ok(None);
        };
        let Some(live) = definitions.segments.iter().find(|live| live.name == *segment) else {
            return Ok(None);
        };
        let Some((loaded, _)) = find(&*snapshot, space, &definitions, name)? else {
            return Ok(None);
        };
        let now = now.max(loaded.whole.horizon());
        Ok(Some(explained::explain(&live.compiled, &definitions, &loaded, now)))
    }

    /// All profile ids of a space, in order.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn profile_ids(&self, space: &SpaceId) -> Result<Vec<ProfileId>, PipelineError> {
        let space = self.at_one_moment(space)?;
        space.map_or_else(|| Ok(Vec::new()), |space| space.profile_ids())
    }
}

/// What a name leads to.
struct Found {
    id: ProfileId,
    /// The id asked for, where it was another.
    asked: Option<ProfileId>,
    /// The person's component, where it was read on the way.
    component: Option<Component>,
}

/// The profile that a name leads to now.
fn resolve(
    reader: &dyn Read,
    space: &SpaceId,
    definitions: &Definitions,
    name: &str,
) -> Result<Option<Found>, PipelineError> {
    if let Ok(asked) = name.strip_prefix("profile_id:").unwrap_or(name).parse::<ProfileId>() {
        if reader.get(Keyspace::Profiles, &keys::wide(space, asked.0))?.is_some() {
            return Ok(Some(Found {
                id: asked,
                asked: None,
                component: None,
            }));
        }
        return Ok(redirects::follow(reader, space, asked)?.map(|(id, component)| Found {
            id,
            asked: Some(asked),
            component,
        }));
    }
    let Some(sent) = Identifier::parse(name) else {
        return Ok(None);
    };
    let Some(identifier) = definitions.rules.spell(&sent) else {
        return Ok(None);
    };
    let hash = identifier.hash128();
    let Some(component) = home_of(reader, space, hash)? else {
        return Ok(None);
    };
    let component = component_of(reader, space, component)?;
    Ok(component.holder(hash).map(|id| Found {
        id,
        asked: None,
        component: Some(component),
    }))
}

/// The component that holds an identifier.
pub(crate) fn home_of(reader: &dyn Read, space: &SpaceId, identifier: u128) -> Result<Option<u128>, PipelineError> {
    let Some(pointer) = reader.get(Keyspace::Identifiers, &keys::wide(space, identifier))? else {
        return Ok(None);
    };
    pointer
        .try_into()
        .map(|bytes| Some(u128::from_be_bytes(bytes)))
        .map_err(|_| PipelineError::corrupt("identifiers"))
}

pub(crate) fn component_of(reader: &dyn Read, space: &SpaceId, id: u128) -> Result<Component, PipelineError> {
    let bytes = reader.get(Keyspace::Components, &keys::wide(space, id))?;
    bytes
        .and_then(|bytes| Component::decode(&bytes).ok())
        .ok_or_else(|| PipelineError::corrupt("components"))
}

pub(crate) fn component_of_profile(
    reader: &dyn Read,
    space: &SpaceId,
    record: &ProfileRecord,
) -> Result<Component, PipelineError> {
    let home = home_of(reader, space, record.founder)?;
    component_of(
        reader,
        space,
        home.ok_or_else(|| PipelineError::corrupt("identifiers"))?,
    )
}

fn find(
    reader: &dyn Read,
    space: &SpaceId,
    definitions: &Definitions,
    name: &str,
) -> Result<Option<(Loaded, Option<ProfileId>)>, PipelineError> {
    let Some(found) = resolve(reader, space, definitions, name)? else {
        return Ok(None);
    };
    let loaded = load_whole(reader, space, definitions, found.id, found.component)?;
    Ok(loaded.map(|loaded| (loaded, found.asked)))
}

/// Loads a profile with what the definitions ask of its accounts.
fn load_whole(
    reader: &dyn Read,
    space: &SpaceId,
    definitions: &Definitions,
    id: ProfileId,
    component: Option<Component>,
) -> Result<Option<Loaded>, PipelineError> {
    let Some(mut loaded) = load(reader, space, &definitions.plan, id, component)? else {
        return Ok(None);
    };
    loaded.accounts = account_facts::committed(reader, space, definitions, (&loaded.whole, &definitions.plan))?;
    Ok(Some(loaded))
}

/// Loads a profile; `component` is its component where the caller has read it, which spares two look-ups.
fn load(
    reader: &dyn Read,
    space: &SpaceId,
    plan: &FoldPlan,
    id: ProfileId,
    component: Option<Component>,
) -> Result<Option<Loaded>, PipelineError> {
    let Some(bytes) = reader.get(Keyspace::Profiles, &keys::wide(space, id.0))? else {
        return Ok(None);
    };
    let record = ProfileRecord::decode(&bytes).ok_or_else(|| PipelineError::corrupt("profiles"))?;
    let component = match component {
        Some(component) => component,
        None => component_of_profile(reader, space, &record)?,
    };
    let members = component.members_of(id);
    let stored = parts::StoredParts::new(reader, space, plan);
    let parts = members.iter().map(|member| stored.read(&member.part, member.end));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let whole = Part::merged(parts.iter());
    Ok(Some(Loaded {
        id,
        record,
        component,
        members,
        parts,
        whole,
        accounts: Vec::new(),
    }))
}

#[cfg(test)]
pub(crate) mod tests;
