//! Why somebody is, or was, in a segment, with the events that decide (contract SEG-6).
//!
//! The truth comes from the fold that answers every read; the events come from the person's history. Nothing is changed.

use super::account_history::Said;
use super::behind::Seen;
use super::budget::Budget;
use super::past::{AsOf, OfAccounts, find_past};
use super::{Loaded, Reads, find};
use crate::account_facts::AccountsOf;
use crate::definitions::Definitions;
use crate::history::History;
use crate::person::PersonOf;
use crate::{PipelineError, keys};
use kith_segment::{CompiledSegment, Explanation};
use kith_state::{Keyspace, Read};
use kith_types::{Event, ProfileId, SegmentName, SpaceId, Timestamp};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// Events of a person that one explanation of now looks at; the truth itself comes from the fold and has no such bound.
pub const EXPLAINED_EVENTS_MAX: usize = 20_000;
/// Bytes of their rows.
const EXPLAINED_BYTES_MAX: usize = 32 << 20;

/// Why, of whom and as of when.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Whom it is about.
    pub profile: ProfileId,
    /// The profile id asked for, where it redirects.
    pub redirected_from: Option<ProfileId>,
    /// As of when; nothing for now.
    pub as_of: Option<AsOf>,
    /// Whether the segment asks something else today, computed traits and segments that it names included, or is no more.
    pub is_edited: bool,
    /// Why.
    pub explanation: Explanation,
}

/// That a space has no segment, or had none by what was decided at the instant asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSegment {
    /// Whether it has one now.
    pub is_live: bool,
}

impl Explained {
    /// As a JSON object.
    #[must_use]
    pub fn to_document(&self) -> Json {
        let mut document = self.explanation.to_document();
        document["profile"] = json!(self.profile.to_string());
        if let Some(from) = self.redirected_from {
            document["redirected_from"] = json!(from.to_string());
        }
        if let Some(as_of) = self.as_of {
            document["as_of"] = json!(as_of.at.to_string());
            document["known_at"] = json!(as_of.known_at.to_string());
            document["edited_since"] = json!(self.is_edited);
        }
        document
    }
}

impl Reads {
    /// As [`Reads::explain`], at `now` or as of an instant, with the events behind every leaf. Nothing where there is no such
    /// person, and [`NoSegment`] where there is no such segment: both of one moment of the state.
    ///
    /// # Errors
    /// As [`Reads::person_as_of`].
    pub fn explain_by_events(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        name: &str,
        as_of: Option<AsOf>,
        now: Timestamp,
    ) -> Result<Result<Option<Explained>, NoSegment>, PipelineError> {
        let Some((definitions, snapshot)) = self.look(space)? else {
            return Ok(Err(NoSegment { is_live: false }));
        };
        let today = Arc::clone(&definitions);
        let definitions = match as_of {
            Some(as_of) => self.past_definitions.at(&*snapshot, space, &today, as_of.known_at)?,
            None => definitions,
        };
        let of_today = today.segments.iter().find(|one| one.name == *segment);
        let Some(live) = definitions.segments.iter().find(|live| live.name == *segment) else {
            let is_live = of_today.is_some();
            return Ok(Err(NoSegment { is_live }));
        };
        // What is held until the answer is there.
        let (mut folds, mut _large) = (Vec::new(), None);
        let (loaded, redirected_from, events, complete, now) = if let Some(as_of) = as_of {
            let of_accounts = match live.compiled.account_traits().is_empty() {
                true => OfAccounts::Nothing,
                false => OfAccounts::Everything,
            };
            let by = self.by(&today, &definitions);
            match find_past(&*snapshot, space, &by, name, (as_of, of_accounts))? {
                Some(past) => {
                    (folds, _large) = (past.account_folds, past.large);
                    (past.loaded, past.asked, past.events, true, as_of.at)
                }
                None => return Ok(Ok(None)),
            }
        } else {
            let Some((loaded, asked)) = find(&*snapshot, space, &definitions, name)? else {
                return Ok(Ok(None));
            };
            let (events, complete) = events_of(&*snapshot, space, &loaded)?;
            let now = now.max(loaded.whole.horizon());
            (loaded, asked, events, complete, now)
        };
        let mut explanation = explain(&live.compiled, &definitions, &loaded, now);
        let seen = Seen {
            definitions: &definitions,
            loaded: &loaded,
            events: &events,
            complete,
            now,
        };
        seen.attach(&mut explanation.reason);
        let said = Said {
            reader: &*snapshot,
            space,
            rules: &definitions.trait_rules,
            folds: as_of.is_some().then_some(&folds),
        };
        said.attach(&mut explanation.reason)?;
        Ok(Ok(Some(Explained {
            profile: loaded.id,
            redirected_from,
            as_of,
            is_edited: of_today.is_none_or(|one| !one.compiled.asks_as(&live.compiled)),
            explanation,
        })))
    }
}

/// Why a loaded person is, or is not, in a segment at an instant.
pub(super) fn explain(
    segment: &CompiledSegment,
    definitions: &Definitions,
    loaded: &Loaded,
    now: Timestamp,
) -> Explanation {
    let carriers = loaded.carriers();
    let person = PersonOf {
        id: loaded.id,
        view: loaded.whole.view(&definitions.plan, &definitions.trait_rules),
        carriers: &carriers,
        accounts: AccountsOf::new(definitions.accounts.as_ref(), &loaded.accounts),
        identity_limited: loaded.component.is_full(),
    };
    segment.explain(&person, now)
}

/// A person's events, the latest first, and whether these are all.
fn events_of(reader: &dyn Read, space: &SpaceId, loaded: &Loaded) -> Result<(Vec<Event>, bool), PipelineError> {
    let mut events = Vec::new();
    // An identifier that carries no event has no rows.
    let carried = loaded
        .members
        .iter()
        .zip(&loaded.parts)
        .filter(|(_, part)| !part.is_empty());
    let (mut complete, mut failed) = (true, None);
    let history = History::of(reader, space);
    let mut budget = Budget::new(EXPLAINED_EVENTS_MAX, EXPLAINED_BYTES_MAX);
    for (member, _) in carried {
        let (from, to) = keys::row_range(space, member.part.carrier, member.part.start, member.end);
        reader.scan_back(Keyspace::Events, &from, &to, &mut |key, row| {
            let room = budget.spend(row);
            complete &= room;
            if room {
                match history.event(key, row) {
                    Ok(event) => events.push(event),
                    Err(error) => failed = Some(error),
                }
            }
            room && failed.is_none()
        })?;
    }
    failed.map_or(Ok(()), Err)?;
    events.sort_by_key(|event| std::cmp::Reverse(event.canonical_order()));
    Ok((events, complete))
}
