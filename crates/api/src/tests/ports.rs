//! Ports that are made up: they know one person, one segment and endless rows.

mod operations;
mod runs;

use super::world::{Seen, at};
use crate::RawJson;
use crate::ports::{
    Account, AccountMembers, AccountProfile, Applied, AsOf, Consent, Definitions, Destination, Destinations, EventPage,
    EventQuery, FlushReport, Import, ImportOutcome, Ingest, LineStream, LossAccepted, Member, Membership, MessageCount,
    MessageSend, Operations, PauseScope, PersonRef, Planned, PortError, PortErrorKind, Profile, ProfileEvent,
    ProfileIdentifier, Profiles, RawVerification, ReadinessCheck, RefoldStatus, RejectedEvent, RejectsReplayed,
    ReplayRejects, Run, RunRequest, RunTally, Runs, SegmentDraft, SegmentState, SegmentStatus, Segments, SendsQuery,
    Sql, SqlRequest, StageStatus, Status, Subscription, TableStatus, Tail, TailFilter, TailItem, TailKind, TailStream,
    Trait, TraitAlternative, Unsubscribe,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use kith_catalog::{Catalog, Problem, Proposal};
use kith_types::{EventType, Identifier, ProfileId, SegmentName, SpaceId, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) struct Ports {
    pub(super) catalog: Arc<Catalog>,
    pub(super) seen: Arc<Seen>,
    pub(super) sequence: AtomicU64,
}

pub(super) const JO: ProfileId = ProfileId(0x10);
const OLD_JO: ProfileId = ProfileId(0x11);

fn knows(space: &SpaceId, person: &PersonRef) -> Option<Option<ProfileId>> {
    if space.as_str() != "main" {
        return None;
    }
    match person {
        PersonRef::Profile(JO) => Some(None),
        PersonRef::Profile(OLD_JO) => Some(Some(OLD_JO)),
        PersonRef::Profile(_) => None,
        PersonRef::Identifier(identifier) => ["user_id:u1", "email:jo@example.com", "device_id:a/b"]
            .contains(&identifier.to_string().as_str())
            .then_some(None),
    }
}

pub(super) fn moment(at: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + at)
}

fn json(text: &str) -> RawJson {
    RawJson::from_text(text.to_owned()).unwrap()
}

pub(super) fn found_trait(name: &str, value: &str) -> Trait {
    let alternatives = vec![TraitAlternative {
        value: json("\"old\""),
        source: "shop".parse().unwrap(),
        updated_at: moment(1),
    }];
    let source = Some("web".parse().unwrap());
    Trait {
        name: name.to_owned(),
        value: json(value),
        source,
        updated_at: Some(moment(5)),
        approximate: false,
        alternatives,
    }
}

/// Five events, latest first. The last two share their time.
fn events() -> Vec<ProfileEvent> {
    [
        (9, 9, "Order Completed"),
        (8, 8, "Page Viewed"),
        (7, 7, "Page Viewed"),
        (5, 6, "Signed Up"),
        (5, 5, "Page Viewed"),
    ]
    .map(|(time, sequence, name)| ProfileEvent {
        address: at(sequence),
        event_time: moment(time),
        received_at: moment(time + 1),
        event_type: EventType::Track,
        name: name.to_owned(),
        message_id: Some(format!("m{sequence}")),
        source: "web".parse().unwrap(),
        identifiers: vec![Identifier::parse("user_id:u1").unwrap()],
        properties: json(r#"{"total":12345678901234567890.123456789}"#),
        traits: json("{}"),
        context: json("{}"),
    })
    .to_vec()
}

#[async_trait]
impl Profiles for Ports {
    async fn profile(
        &self,
        space: &SpaceId,
        person: &PersonRef,
        recent_events: usize,
    ) -> Result<Option<Profile>, PortError> {
        let Some(redirected_from) = knows(space, person) else {
            return Ok(None);
        };
        let web = || Some("web".parse().unwrap());
        let identifier = |text: &str| ProfileIdentifier {
            identifier: Identifier::parse(text).unwrap(),
            source: web(),
            first_message_id: Some("m5".to_owned()),
            created_at: Some(moment(5)),
            valid_from: None,
            valid_to: None,
        };
        Ok(Some(Profile {
            id: JO,
            redirected_from,
            as_of: None,
            created_at: moment(5),
            updated_at: moment(10),
            first_event: (web(), Some("m5".to_owned())),
            last_event: (web(), Some("m9".to_owned())),
            traits: vec![
                found_trait("city", "\"Bonn\""),
                found_trait("first name", "\"Jo\""),
                found_trait("points", "9007199254740993"),
            ],
            computed_traits: vec![Trait {
                source: None,
                alternatives: vec![],
                ..found_trait("orders_30d", "2")
            }],
            identifiers: vec![
                identifier("user_id:u1"),
                identifier("email:jo@example.com"),
                ProfileIdentifier {
                    valid_from: Some(moment(6)),
                    valid_to: Some(moment(8)),
                    ..identifier("device_id:a/b")
                },
            ],
            left_out: vec![(identifier("email:jo@example.com").identifier, "a limit".to_owned())],
            consents: vec![Consent {
                topic: "marketing".to_owned(),
                status: "subscribed".to_owned(),
                updated_at: Some(moment(5)),
            }],
            segments: vec![Membership {
                segment: "big_spenders".to_owned(),
                entered_at: Some(moment(9)),
                approximate: true,
            }],
            accounts: vec![Account {
                group_id: "acme".to_owned(),
                source: web(),
                created_at: Some(moment(5)),
            }],
            recent_events: events().into_iter().take(recent_events).collect(),
            limits_reached: vec![],
        }))
    }

    async fn account(&self, space: &SpaceId, group_id: &str) -> Result<Option<AccountProfile>, PortError> {
        if space.as_str() != "main" || group_id != "acme" {
            return Ok(None);
        }
        Ok(Some(super::people::acme()))
    }

    async fn account_members(
        &self,
        _: &SpaceId,
        group_id: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<AccountMembers, PortError> {
        let all = if group_id == "acme" {
            super::people::people_of_acme()
        } else {
            Vec::new()
        };
        let from = from.map_or(0, |place| place.parse().unwrap());
        let next = from + limit;
        Ok(AccountMembers {
            next: (next < all.len()).then(|| next.to_string()),
            members: all.into_iter().skip(from).take(limit).collect(),
        })
    }

    async fn profile_as_of(
        &self,
        space: &SpaceId,
        person: &PersonRef,
        recent_events: usize,
        as_of: AsOf,
    ) -> Result<Option<Profile>, PortError> {
        let found = self.profile(space, person, recent_events).await?;
        Ok(found.map(|mut found| {
            found.as_of = Some(as_of);
            found
        }))
    }

    async fn events(
        &self,
        space: &SpaceId,
        person: &PersonRef,
        query: &EventQuery,
    ) -> Result<Option<EventPage>, PortError> {
        if knows(space, person).is_none() {
            return Ok(None);
        }
        let mut events = events();
        if query.ascending {
            events.reverse();
        }
        let place = |event: &ProfileEvent| (event.event_time, event.address);
        events.retain(|event| {
            query.after.is_none_or(|after| {
                if query.ascending {
                    place(event) > after
                } else {
                    place(event) < after
                }
            })
        });
        events.retain(|event| {
            (query.include.is_empty() || query.include.contains(&event.name)) && !query.exclude.contains(&event.name)
        });
        events.retain(|event| {
            query.start.is_none_or(|start| event.event_time >= start)
                && query.end.is_none_or(|end| event.event_time < end)
        });
        let more = events.len() > query.limit;
        events.truncate(query.limit);
        let next = events.last().filter(|_| more).map(place);
        Ok(Some(EventPage {
            profile: JO,
            events,
            next,
        }))
    }
}

#[async_trait]
impl Segments for Ports {
    async fn list(&self, space: &SpaceId) -> Result<Vec<SegmentStatus>, PortError> {
        let status = |name: &str, state| SegmentStatus {
            name: name.parse().unwrap(),
            size: 5,
            counted_at: moment(2),
            state,
            updated_at: Some(moment(1)),
            newer_waits: name == "edited",
        };
        match space.as_str() {
            "main" => Ok(vec![
                status("big_spenders", SegmentState::Live),
                status("edited", SegmentState::Backfilling { progress: 0.25 }),
                status("new", SegmentState::Waiting),
            ]),
            _ => Ok(vec![]),
        }
    }

    async fn members(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Option<Vec<Member>>, PortError> {
        if space.as_str() != "main" || segment.as_str() != "big_spenders" {
            return Ok(None);
        }
        let member = |id| Member {
            profile: ProfileId(id),
            entered_at: Some(moment(1)),
            identifiers: vec![Identifier::parse("user_id:u1").unwrap()],
            approximate: id == 2,
        };
        let first = after.map_or(1, |after| after.0 + 1);
        Ok(Some((first..=5).take(limit).map(member).collect()))
    }

    async fn estimate(&self, _: &SpaceId, draft: &SegmentDraft) -> Result<RawJson, PortError> {
        Ok(RawJson::of(&serde_json::json!({
            "name": draft.name.as_str(), "quick": draft.quick, "samples": draft.samples,
            "beside": draft.beside.iter().map(SegmentName::as_str).collect::<Vec<_>>(),
        })))
    }

    async fn overlap(&self, space: &SpaceId, segments: &[SegmentName]) -> Result<Option<RawJson>, PortError> {
        let known = space.as_str() == "main" && segments.iter().all(|name| name.as_str() != "nobody");
        Ok(known.then(|| RawJson::of(&serde_json::json!({ "asked": segments.len() }))))
    }

    async fn explain(
        &self,
        space: &SpaceId,
        _: &SegmentName,
        person: &PersonRef,
        as_of: AsOf,
    ) -> Result<Option<RawJson>, PortError> {
        Ok(knows(space, person).map(|_| {
            let known_at = as_of.known_at.map(|known_at| format!("{known_at:?}"));
            let as_of = as_of.at.map(|at| at.to_string());
            RawJson::of(&serde_json::json!({ "member": true, "as_of": as_of, "known_at": known_at }))
        }))
    }
}

#[async_trait]
impl Definitions for Ports {
    async fn plan(&self, space: &SpaceId, proposal: &Proposal) -> Result<Planned, PortError> {
        let wrong: Vec<Problem> = (proposal.documents.iter())
            .filter(|document| document.spec.get("wrong").is_some())
            .map(|document| Problem {
                document: document.id().to_string(),
                path: "spec.wrong".to_owned(),
                message: "leave it out".to_owned(),
            })
            .collect();
        if wrong.is_empty() {
            let asks = |document: &&kith_catalog::Document| document.spec.to_string().contains("Order Complted");
            let warnings = proposal.documents.iter().filter(asks).map(|document| Problem {
                document: document.id().to_string(),
                path: String::new(),
                message: "nobody has sent an event named \"Order Complted\"".to_owned(),
            });
            Ok(Planned {
                changes: self.catalog.plan(space, proposal)?,
                warnings: warnings.collect(),
            })
        } else {
            Err(PortError::problems(wrong))
        }
    }

    async fn impact(&self, space: &SpaceId, proposal: &Proposal, samples: usize) -> Result<RawJson, PortError> {
        let changes = self.plan(space, proposal).await?.changes.len();
        Ok(RawJson::of(
            &serde_json::json!({ "changes": changes, "samples": samples }),
        ))
    }

    async fn apply(
        &self,
        space: &SpaceId,
        proposal: &Proposal,
        author: &str,
        reason: &str,
    ) -> Result<Applied, PortError> {
        let Planned { changes, warnings } = self.plan(space, proposal).await?;
        let Some(decision) = self.catalog.decision_for(space, proposal, author, reason)? else {
            return Ok(Applied {
                changes,
                warnings,
                decided_by: None,
            });
        };
        let address = at(self.sequence.fetch_add(1, Ordering::Relaxed));
        self.catalog.record_definitions(space, &decision, address, moment(1))?;
        Ok(Applied {
            changes,
            warnings,
            decided_by: Some(address),
        })
    }

    async fn change_limits(
        &self,
        space: &SpaceId,
        change: &serde_json::Map<String, serde_json::Value>,
        author: &str,
        reason: &str,
    ) -> Result<Applied, PortError> {
        let changed = self.catalog.space_limits(space).changed_by(change);
        let documents = vec![changed.map_err(|problem| PortError::problems(vec![problem]))?];
        let proposal = Proposal {
            documents,
            ..Proposal::default()
        };
        self.apply(space, &proposal, author, reason).await
    }
}

/// Tells when the rows are dropped.
struct Dropped(Arc<Seen>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.sql_dropped.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Sql for Ports {
    async fn run(&self, request: SqlRequest) -> Result<LineStream, PortError> {
        self.seen.sql.lock().unwrap().push(request.clone());
        if request.sql.contains("drop") {
            return Err(PortError::new(
                PortErrorKind::Invalid,
                "only reading is allowed: begin with SELECT",
            ));
        }
        let (seen, dropped) = (Arc::clone(&self.seen), Dropped(Arc::clone(&self.seen)));
        let rows = request.limit.unwrap_or(u64::MAX);
        let fails = request.sql.contains("fail");
        let lines = futures::stream::iter(0..rows).map(move |row| {
            let _held = &dropped;
            seen.rows_made.fetch_add(1, Ordering::SeqCst);
            match fails && row == 2 {
                true => Err(PortError::internal("the disk at /secret/path is gone")),
                false => Ok(Bytes::from(format!("{{\"n\":{row}}}\n"))),
            }
        });
        Ok(lines.boxed())
    }
}

impl Tail for Ports {
    fn follow(&self, space: &SpaceId, filter: TailFilter) -> TailStream {
        let item = |kind, body: serde_json::Value| TailItem {
            kind,
            body: RawJson::of(&body),
        };
        let items = vec![
            item(
                TailKind::Event,
                serde_json::json!({ "space": space.as_str(), "anonymousId": filter.anonymous_id, "userId": filter.user_id }),
            ),
            item(TailKind::Lagged, serde_json::json!({ "missed": 3 })),
        ];
        futures::stream::iter(items).chain(futures::stream::pending()).boxed()
    }
}

#[async_trait]
impl Ingest for Ports {
    async fn import(&self, import: Import) -> Result<ImportOutcome, PortError> {
        assert_eq!((import.space.as_str(), import.source.as_str()), ("main", "web"));
        let rejected = vec![RejectedEvent {
            index: 1,
            code: "too_large".to_owned(),
            message: "an event has at most 32 KB".to_owned(),
        }];
        Ok(ImportOutcome {
            accepted: import.body.len(),
            rejected,
        })
    }
}

#[async_trait]
impl Unsubscribe for Ports {
    async fn look_up(&self, token: &str) -> Result<Option<Subscription>, PortError> {
        let found = Subscription {
            sender: "<Shop & Co>".to_owned(),
            masked_address: "j…@example.com".to_owned(),
        };
        Ok((token == "good").then_some(found))
    }

    async fn unsubscribe(&self, token: &str) -> Result<Option<Subscription>, PortError> {
        let found = self.look_up(token).await?;
        if found.is_some() {
            self.seen.unsubscribed.fetch_add(1, Ordering::SeqCst);
        }
        Ok(found)
    }
}

#[async_trait]
impl Destinations for Ports {
    async fn list(&self, space: &SpaceId) -> Result<Vec<Destination>, PortError> {
        let crm = Destination {
            name: format!("crm_{space}"),
            endpoint: "https://events.example.com/v1/batch".to_owned(),
            segments: Some(vec!["big_spenders".to_owned()]),
            sent: 5,
            refused: 1,
            last_refusal: Some("the receiver answered 400".to_owned()),
            changes_waiting: 2,
            waiting_since: Some(moment(5)),
            fault: Some("the receiver answered 503".to_owned()),
            retry_at: Some(moment(9)),
            ..Destination::default()
        };
        Ok(vec![crm])
    }

    async fn pause(&self, _: &SpaceId, name: &str, _: bool) -> Result<bool, PortError> {
        Ok(name != "nope")
    }
}
