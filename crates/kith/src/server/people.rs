//! People as the API shows them, read from what the pipeline has committed.

use super::looking_back::{LookingBack, as_of, nobody_then, read_as_of};
use super::{Parts, json};
use async_trait::async_trait;
use kith_api::RawJson;
use kith_api::ports::{
    Account, AccountMember, AccountMembers, AccountProfile, AsOf, Consent, EventPage, EventQuery, KnownAt, Membership,
    PersonRef, PortError, PortErrorKind, Profile, ProfileIdentifier, Profiles, Trait, TraitAlternative,
};
use kith_pipeline::{AccountDocument, EventsAsked, PersonDocument, TraitView};
use kith_types::{Event, SpaceId, Timestamp};
use std::sync::Arc;

/// Events looked at, about, to fill a page that filters; the next page goes on behind them.
const ROWS_LOOKED_AT: usize = 10_000;

/// The API's port to people.
pub(crate) struct People(pub(crate) Arc<Parts>);

/// What names a person, as reads spell it.
pub(crate) fn name_of(person: &PersonRef) -> String {
    match person {
        PersonRef::Profile(id) => id.to_string(),
        PersonRef::Identifier(identifier) => identifier.to_string(),
    }
}

#[async_trait]
impl Profiles for People {
    async fn profile(
        &self,
        space: &SpaceId,
        person: &PersonRef,
        recent_events: usize,
    ) -> Result<Option<Profile>, PortError> {
        let now = self.0.clock.now();
        let found = self
            .0
            .reads
            .person_with_events(space, &name_of(person), now, recent_events);
        let Some((document, events)) = found.map_err(PortError::internal)? else {
            return Ok(None);
        };
        Ok(Some(profile(&document, &events, now)))
    }

    async fn account(&self, space: &SpaceId, group_id: &str) -> Result<Option<AccountProfile>, PortError> {
        let (space, group_id) = (space.clone(), group_id.to_owned());
        let read = move |parts: &Parts| parts.reads.account(&space, &group_id);
        Ok(LookingBack::read(&self.0, read).await?.map(account))
    }

    async fn account_members(
        &self,
        space: &SpaceId,
        group_id: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<AccountMembers, PortError> {
        let wrong = |_| {
            PortError::new(
                PortErrorKind::Invalid,
                "this is not where a page of people ended".to_owned(),
            )
        };
        let from = from
            .map(|place| u128::from_str_radix(place, 16).map_err(wrong))
            .transpose()?;
        let (space, group_id) = (space.clone(), group_id.to_owned());
        let read = move |parts: &Parts| parts.reads.account_members(&space, &group_id, from, limit);
        let page = LookingBack::read(&self.0, read).await?;
        let member = |member: kith_pipeline::AccountMember| AccountMember {
            profile: member.profile,
            source: member.source,
            since: member.since,
        };
        Ok(AccountMembers {
            members: page.members.into_iter().map(member).collect(),
            next: page.next.map(|carrier| format!("{carrier:x}")),
        })
    }

    async fn profile_as_of(
        &self,
        space: &SpaceId,
        person: &PersonRef,
        recent_events: usize,
        asked: AsOf,
    ) -> Result<Option<Profile>, PortError> {
        let now = self.0.clock.now();
        let Some(instant) = as_of(asked, now)? else {
            return self.profile(space, person, recent_events).await;
        };
        let (space, name) = (space.clone(), name_of(person));
        let found = read_as_of(&self.0, Some(instant.known_at), move |parts| {
            match parts.reads.person_as_of(&space, &name, instant, recent_events)? {
                Some(found) => Ok(Ok(found)),
                None => Ok(Err(parts.reads.absent_as_of(&space, &name, instant, now)?)),
            }
        });
        match found.await? {
            Ok((document, events)) => Ok(Some(Profile {
                as_of: Some(AsOf {
                    at: Some(instant.at),
                    known_at: Some(KnownAt::Instant(instant.known_at)),
                }),
                ..profile(&document, &events, instant.at)
            })),
            Err(absent) => Err(nobody_then(instant, absent)),
        }
    }

    async fn events(
        &self,
        space: &SpaceId,
        person: &PersonRef,
        query: &EventQuery,
    ) -> Result<Option<EventPage>, PortError> {
        let (reads, space, name, query) = (self.0.reads.clone(), space.clone(), name_of(person), query.clone());
        let page = tokio::task::spawn_blocking(move || {
            let named = |names: &[String], name: &str| names.iter().any(|one| one == name);
            let asked = EventsAsked {
                ascending: query.ascending,
                after: query.after,
                start: query.start,
                end: query.end,
                wanted: &|name| {
                    (query.include.is_empty() || named(&query.include, name)) && !named(&query.exclude, name)
                },
                limit: query.limit,
                rows_max: ROWS_LOOKED_AT,
            };
            reads.events_page(&space, &name, &asked)
        });
        let page = page.await.map_err(PortError::internal)?.map_err(PortError::internal)?;
        Ok(page.map(|page| EventPage {
            profile: page.profile,
            events: page.events.iter().map(json::event).collect(),
            next: page.next,
        }))
    }
}

fn profile(document: &PersonDocument, events: &[Event], now: Timestamp) -> Profile {
    let told = |event: Option<&Event>| match event {
        Some(event) => (
            Some(event.source.clone()),
            event.message_id.as_deref().map(str::to_owned),
        ),
        None => (None, None),
    };
    // An identifier that a limit left out of somebody's events is a person without an event, since it was first seen.
    let identified = document.identifiers.iter().map(|view| view.first_seen);
    let created_at = document.first_seen.or(identified.min()).unwrap_or(now);
    Profile {
        id: document.id,
        redirected_from: document.redirected_from,
        as_of: None,
        created_at,
        updated_at: document.last_seen.unwrap_or(created_at),
        first_event: (None, None),
        last_event: told(events.first()),
        traits: document.traits.iter().map(shown).collect(),
        computed_traits: document
            .computed
            .iter()
            .map(|(name, value, approximate)| Trait {
                name: name.clone(),
                value: RawJson::from(value),
                source: None,
                updated_at: document.last_seen,
                approximate: *approximate,
                alternatives: Vec::new(),
            })
            .collect(),
        identifiers: document
            .identifiers
            .iter()
            .map(|view| ProfileIdentifier {
                identifier: view.identifier.clone(),
                source: None,
                first_message_id: None,
                created_at: Some(view.first_seen),
                valid_from: view.from,
                valid_to: view.to,
            })
            .collect(),
        left_out: document.left_out.clone(),
        consents: document
            .consents
            .iter()
            .map(|(topic, granted, at)| Consent {
                topic: topic.clone(),
                status: if *granted { "subscribed" } else { "unsubscribed" }.to_owned(),
                updated_at: Some(*at),
            })
            .collect(),
        segments: document
            .segments
            .iter()
            .map(|held| Membership {
                segment: held.segment.to_string(),
                entered_at: held.since,
                approximate: held.approximate,
            })
            .collect(),
        accounts: document.accounts.iter().map(account_of_person).collect(),
        recent_events: events.iter().map(json::event).collect(),
        limits_reached: document.limits_reached(),
    }
}

fn shown(view: &TraitView) -> Trait {
    let alternatives = view.losers.iter().map(|(value, source, at)| TraitAlternative {
        value: RawJson::from(value),
        source: source.clone(),
        updated_at: *at,
    });
    Trait {
        name: view.name.clone(),
        value: RawJson::from(&view.value),
        source: Some(view.source.clone()),
        updated_at: Some(view.time),
        approximate: view.approximate,
        alternatives: alternatives.collect(),
    }
}

fn account_of_person(view: &kith_pipeline::AccountView) -> Account {
    Account {
        group_id: view.group_id.clone(),
        source: Some(view.source.clone()),
        created_at: Some(view.since),
    }
}

fn account(document: AccountDocument) -> AccountProfile {
    AccountProfile {
        limits_reached: document.limits_reached(),
        group_id: document.group_id,
        created_at: document.first_seen,
        updated_at: document.last_seen,
        event_count: document.event_count,
        traits: document.traits.iter().map(shown).collect(),
    }
}
