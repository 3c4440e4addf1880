//! Why two identifiers are, or are not, one person: the evidence between them and what was left out of it (contract IDN-7).
//!
//! From one snapshot, in JSON as people read it. Whoever asks may name a person by a profile id: it stands for the identifier
//! that it comes from. What names nobody is told with the reason.

use super::refused::{self, Between, Side, in_words};
use super::shared::shared;
use super::{Reads, component_of, home_of};
use crate::definitions::Definitions;
use crate::history::History;
use crate::new_rules::LISTED_MAX;
use crate::vetoes::Veto;
use crate::{PipelineError, keys, redirects};
use kith_identity::{BlockedBecause, Component, How, Joint, LeftOut, Position, Stop};
use kith_state::{Keyspace, Read};
use kith_types::{Event, Identifier, ProfileId, SpaceId};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;

/// What names of a question lead to no identifier. `Display` says it of each, as `one` and `other`, without repeating what was
/// asked, which may be somebody's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unnamed(Vec<(&'static str, Because)>);

/// Why a name leads to no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Because {
    /// No event has named the identifier.
    Unknown,
    /// No profile has or had the id.
    NoProfile,
    /// The rules do not use the value.
    Blocked(BlockedBecause),
    /// The profile's first identifier changed hands.
    PassedOn,
}

impl Unnamed {
    /// Whether each of them is a profile that there is, of which another name is needed.
    #[must_use]
    pub fn needs_other_names(&self) -> bool {
        self.0.iter().all(|(_, because)| *because == Because::PassedOn)
    }
}

impl fmt::Display for Unnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (which, because)) in self.0.iter().enumerate() {
            let part = if at == 0 { "" } else { "; " };
            write!(f, "{part}{which}: {because}")?;
        }
        Ok(())
    }
}

const NEVER_NAMED: &str = "no event has named this identifier yet";

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => NEVER_NAMED,
            Self::NoProfile => "no profile has or had this id",
            Self::Blocked(because) => in_words(*because).unwrap_or(NEVER_NAMED),
            Self::PassedOn => {
                "the identifier that this profile comes from belongs to somebody else by now: ask with one of its \
                 identifiers, which `kith profile get` shows"
            }
        })
    }
}

impl Reads {
    /// Why two identifiers are, or are not, one person; each as sent, or as a profile id, which stands for the identifier that
    /// it comes from. [`Unnamed`] where one of them leads to no identifier.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn why(&self, space: &SpaceId, one: &str, other: &str) -> Result<Result<Value, Unnamed>, PipelineError> {
        let Some((definitions, snapshot)) = self.look(space)? else {
            let unknown = ["one", "other"].map(|which| (which, Because::Unknown));
            return Ok(Err(Unnamed(unknown.to_vec())));
        };
        let named = |name: &str| named(&*snapshot, space, &definitions, name);
        let ((one, home), (other, other_home)) = match (named(one)?, named(other)?) {
            (Ok(one), Ok(other)) => (one, other),
            (one, other) => {
                let (one, other) = (one.err().map(|why| ("one", why)), other.err().map(|why| ("other", why)));
                return Ok(Err(Unnamed(one.into_iter().chain(other).collect())));
            }
        };
        let component = component_of(&*snapshot, space, home)?;
        let Some(why) = component.why(one.hash128(), other.hash128()) else {
            let apart = component_of(&*snapshot, space, other_home)?;
            return apart_of((&*snapshot, space, &definitions), (&component, &one), (&apart, &other)).map(Ok);
        };
        let events = Lookup {
            reader: &*snapshot,
            space,
            component: &component,
            definitions: &definitions,
        };
        let path: Result<Vec<Value>, PipelineError> = why.path.iter().map(|joint| events.joint(joint)).collect();
        let holders = (component.holder(one.hash128()), component.holder(other.hash128()));
        let shared = match holders {
            (Some(one), Some(other)) => shared(&events, one, other),
            _ => Ok(Vec::new()),
        };
        // Within what evidence connects, a veto and shared devices leave no way either.
        let between = match why.together || !why.path.is_empty() {
            true => Between::default(),
            false => {
                let sides = [&one, &other].map(|asked| Side {
                    component: &component,
                    asked,
                });
                refused::between(&*snapshot, space, &definitions, sides)?
            }
        };
        Ok(Ok(json!({
            "one": one.to_string(),
            "other": other.to_string(),
            "together": why.together,
            "profiles": [holder(&component, &one), holder(&component, &other)],
            "path": path?,
            "shared": shared?,
            "left_out": events.left_out(&[&one, &other])?,
            "refused": between.refused,
            "refused_complete": between.complete,
            "vetoes": vetoes_of(&[&component], &definitions),
            "bound_reached": component.is_full(),
        })))
    }
}

fn holder(component: &Component, of: &Identifier) -> Option<String> {
    component.holder(of.hash128()).map(|id| id.to_string())
}

/// Why two whom no evidence connects are not one person: what was refused between them, and left out of either.
fn apart_of(
    (reader, space, definitions): (&dyn Read, &SpaceId, &Definitions),
    (component, one): (&Component, &Identifier),
    (apart, other): (&Component, &Identifier),
) -> Result<Value, PipelineError> {
    let sides = [(component, one), (apart, other)];
    let between = refused::between(
        reader,
        space,
        definitions,
        sides.map(|(component, asked)| Side { component, asked }),
    )?;
    let mut left_out = Vec::new();
    for (component, of) in sides {
        let events = Lookup {
            reader,
            space,
            component,
            definitions,
        };
        left_out.extend(events.left_out(&[of])?);
    }
    left_out.truncate(LISTED_MAX);
    Ok(json!({
        "one": one.to_string(), "other": other.to_string(), "together": false,
        "profiles": [holder(component, one), holder(apart, other)],
        "path": [], "shared": [], "left_out": left_out,
        "refused": between.refused, "refused_complete": between.complete,
        "vetoes": vetoes_of(&[component, apart], definitions),
        "bound_reached": component.is_full() || apart.is_full(),
    }))
}

/// An event of an answer.
pub(super) fn shown_event(event: &Event) -> Value {
    let identifiers: Vec<String> = event.identifiers.iter().map(ToString::to_string).collect();
    json!({
        "address": event.address.to_string(), "event_time": event.event_time.to_string(),
        "received_at": event.received_at.to_string(), "type": event.event_type.as_str(), "name": &*event.name,
        "message_id": event.message_id.as_deref(), "source": event.source.as_str(), "identifiers": identifiers,
    })
}

/// The identifier that a name means, in its one spelling, and its component.
fn named(
    reader: &dyn Read,
    space: &SpaceId,
    definitions: &Definitions,
    name: &str,
) -> Result<Result<(Identifier, u128), Because>, PipelineError> {
    if let Ok(id) = name.strip_prefix("profile_id:").unwrap_or(name).parse::<ProfileId>() {
        return first_of(reader, space, id);
    }
    let Some(sent) = Identifier::parse(name) else {
        return Ok(Err(Because::Unknown));
    };
    if let Some(spelt) = definitions.rules.spell(&sent)
        && let Some(home) = home_of(reader, space, spelt.hash128())?
    {
        return Ok(Ok((spelt, home)));
    }
    let refused = definitions.rules.refuses(&sent);
    Ok(Err(refused.map_or(Because::Unknown, Because::Blocked)))
}

/// The identifier that a profile id comes from, with its component, as long as it leads to the same person as the id.
fn first_of(
    reader: &dyn Read,
    space: &SpaceId,
    id: ProfileId,
) -> Result<Result<(Identifier, u128), Because>, PipelineError> {
    let Some((mut founder, mut first_seen)) = redirects::founder(reader, space, id)? else {
        return Ok(Err(Because::NoProfile));
    };
    if home_of(reader, space, founder)?.is_none() {
        // Other rules spell it otherwise or leave it out: whoever the id leads to has a first identifier, too.
        let holder = redirects::follow(reader, space, id)?;
        let theirs = holder.map(|(holder, _)| redirects::founder(reader, space, holder));
        let Some(theirs) = theirs.transpose()?.flatten() else {
            return Ok(Err(Because::NoProfile));
        };
        (founder, first_seen) = theirs;
    }
    let Some(home) = home_of(reader, space, founder)? else {
        return Ok(Err(Because::NoProfile));
    };
    let component = component_of(reader, space, home)?;
    let leads_to = component.place(founder, first_seen).map(|placement| placement.profile);
    let Some(holder) = leads_to.filter(|id| component.holder(founder) == Some(*id)) else {
        return Ok(Err(Because::PassedOn));
    };
    let members = component.members_of(holder).into_iter();
    let mut identifiers = members.filter(|member| member.part.carrier == founder);
    let first = identifiers.next().ok_or_else(|| PipelineError::corrupt("components"))?;
    Ok(Ok((first.identifier, home)))
}

/// The events behind a component's evidence.
pub(super) struct Lookup<'a> {
    reader: &'a dyn Read,
    space: &'a SpaceId,
    pub(super) component: &'a Component,
    definitions: &'a Definitions,
}

impl Lookup<'_> {
    /// The event at a position: it lies under one of its identifiers, most likely one of those it joins.
    pub(super) fn event(&self, at: Position, likely: &[&Identifier]) -> Result<Value, PipelineError> {
        let likely = likely.iter().map(|identifier| identifier.hash128());
        for carrier in likely.chain(self.component.hashes()) {
            let (time, address) = at;
            let key = keys::row(self.space, carrier, time, address);
            let Some(row) = self.reader.get(Keyspace::Events, &key)? else {
                continue;
            };
            let event = History::of(self.reader, self.space).event_at(at, &row)?;
            return Ok(shown_event(&event));
        }
        Ok(json!({"address": at.1.to_string(), "event_time": at.0.to_string()}))
    }

    fn joint(&self, joint: &Joint) -> Result<Value, PipelineError> {
        let left_out: Vec<Value> = [&joint.from, &joint.to].into_iter().filter_map(left_out_of).collect();
        Ok(json!({
            "from": stop(&joint.from),
            "to": stop(&joint.to),
            "how": match joint.how {
                How::NamedTogether => "named_together",
                How::Alias => "alias",
                How::SignedIn => "signed_in",
                How::FirstCompany => "first_seen_beside",
            },
            "event": self.event(joint.event, &[&joint.to.identifier, &joint.from.identifier])?,
            "left_out": left_out,
        }))
    }

    /// What links have left out of the profiles of these identifiers, vetoes included.
    fn left_out(&self, of: &[&Identifier]) -> Result<Vec<Value>, PipelineError> {
        let mut members: BTreeSet<Identifier> = BTreeSet::new();
        let profiles: BTreeSet<_> = of
            .iter()
            .filter_map(|one| self.component.holder(one.hash128()))
            .collect();
        for profile in profiles {
            members.extend(
                self.component
                    .members_of(profile)
                    .into_iter()
                    .map(|member| member.identifier),
            );
        }
        let parked = self
            .component
            .parked()
            .filter(|parked| members.contains(&parked.identifier));
        let mut told = Vec::new();
        for parked in parked.take(LISTED_MAX) {
            told.push(json!({
                "identifier": parked.identifier.to_string(), "because": parked.because.to_string(),
                "event": self.event(parked.event, &[&parked.identifier])?,
            }));
        }
        for veto in &self.definitions.vetoes_decided {
            if let Veto::Event { event, identifier } = veto
                && members.contains(identifier)
                && told.len() < LISTED_MAX
            {
                let because = LeftOut::Vetoed.to_string();
                let event = json!({"address": event.to_string()});
                told.push(json!({"identifier": identifier.to_string(), "because": because, "event": event}));
            }
        }
        Ok(told)
    }
}

fn vetoes_of(components: &[&Component], definitions: &Definitions) -> Vec<Value> {
    let known: BTreeSet<u128> = components.iter().flat_map(|component| component.hashes()).collect();
    let concerns = |veto: &&Veto| {
        let spelt = veto.spelt(&definitions.rules);
        spelt
            .identifiers()
            .iter()
            .all(|identifier| known.contains(&identifier.hash128()))
    };
    let vetoes = definitions.vetoes_decided.iter().filter(concerns).take(LISTED_MAX);
    vetoes.filter_map(|veto| serde_json::to_value(veto).ok()).collect()
}

fn stop(stop: &Stop) -> Value {
    let mut shown = json!({"identifier": stop.identifier.to_string()});
    if let Some((time, _)) = stop.start {
        shown["held_from"] = json!(time.to_string());
    }
    shown
}

fn left_out_of(stop: &Stop) -> Option<Value> {
    let because = stop.left_out.as_ref()?.to_string();
    Some(json!({"identifier": stop.identifier.to_string(), "because": because}))
}
