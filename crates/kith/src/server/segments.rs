//! Segments as the API shows them.

use super::Parts;
use super::looking_back::{as_of, nobody_then, read_as_of};
use super::people::name_of;
use super::segment_sizes::{Counting, SegmentSizes};
use async_trait::async_trait;
use kith_api::RawJson;
use kith_api::ports::{
    AsOf, Member, PersonRef, PortError, PortErrorKind, SegmentDraft, SegmentState, SegmentStatus, Segments,
};
use kith_catalog::{DocumentId, DocumentKind};
use kith_pipeline::LiveSegment;
use kith_types::{Address, ProfileId, SegmentName, SpaceId, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The kinds of documents that segments are made of.
const MADE_OF: [DocumentKind; 3] = [
    DocumentKind::Segment,
    DocumentKind::ComputedTrait,
    DocumentKind::TraitRules,
];

/// The API's port to segments.
pub(crate) struct LiveSegments {
    parts: Arc<Parts>,
    sizes: SegmentSizes,
}

impl LiveSegments {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Self {
            sizes: SegmentSizes::new(Arc::clone(&parts.clock)),
            parts,
        }
    }

    /// The segments that the pipeline has taken; `applied` is what it has still to take.
    async fn taken(
        &self,
        space: &SpaceId,
        applied: &BTreeMap<DocumentId, bool>,
    ) -> Result<Vec<SegmentStatus>, PortError> {
        let Some(definitions) = self.parts.pipeline.definitions(space) else {
            return Ok(Vec::new());
        };
        let status = self.parts.pipeline.status();
        let sweep = status.sweeps.get(space).copied().filter(|sweep| !sweep.is_live);
        let state = sweep.map_or(SegmentState::Live, |progress| SegmentState::Backfilling {
            progress: (progress.swept as f64 / progress.profiles.max(1) as f64).min(1.0),
        });
        let counting = Counting {
            version: definitions.version,
            whole: sweep.is_none() && status.rebuilding.is_none(),
        };
        let (reads, of, asked) = (self.parts.reads.clone(), space.clone(), Arc::clone(&definitions));
        let counted = self.sizes.of(space, counting, move || {
            reads.segment_sizes(&of, asked.segments.iter().map(|segment| &segment.name))
        });
        let counted = counted.await?;
        let listed = definitions.segments.iter().map(|segment| SegmentStatus {
            name: segment.name.clone(),
            size: counted.sizes.get(&segment.name).copied().unwrap_or_default(),
            counted_at: counted.counted_at,
            state,
            updated_at: Some(segment.changed_at),
            newer_waits: waits(segment, applied),
        });
        Ok(listed.collect())
    }

    /// What segments are made of and the pipeline has still to take: each document of which a version was applied, with whether the
    /// newest one is there or is its removal.
    async fn still_to_be_taken(&self, space: &SpaceId) -> Result<BTreeMap<DocumentId, bool>, PortError> {
        let (parts, space) = (Arc::clone(&self.parts), space.clone());
        let found = tokio::task::spawn_blocking(move || {
            let committed = Address {
                generation: parts.generation,
                partition: 0,
                sequence: parts.pipeline.status().committed,
                index: 0,
            };
            // What stands in the log where the pipeline has not come to yet, and before it what waits for its turn.
            let mut later = Vec::new();
            for kind in MADE_OF {
                let decided = parts.catalog.decided_from(&space, kind, committed)?;
                later.extend(
                    decided
                        .into_iter()
                        .map(|(name, is_there)| (DocumentId { kind, name }, is_there)),
                );
            }
            let waiting = parts.reads.decisions_waiting(&space).map_err(PortError::internal)?;
            let waiting = waiting.into_iter().filter_map(|change| {
                let kind = MADE_OF.into_iter().find(|kind| kind.as_str() == change.kind)?;
                Some((
                    DocumentId {
                        kind,
                        name: change.name,
                    },
                    change.spec.is_some(),
                ))
            });
            Ok(waiting.chain(later).collect())
        });
        found.await.map_err(PortError::internal)?
    }

    /// Whether something of what a segment is made of waits.
    async fn newer_waits(&self, space: &SpaceId, segment: &SegmentName) -> Result<bool, PortError> {
        let applied = self.still_to_be_taken(space).await?;
        let definitions = self.parts.pipeline.definitions(space);
        let segments = definitions.iter().flat_map(|definitions| &definitions.segments);
        let mut live = segments.filter(|live| live.name == *segment);
        Ok(live.any(|live| waits(live, &applied)))
    }
}

/// Whether something of what a live segment is made of waits.
fn waits(live: &LiveSegment, applied: &BTreeMap<DocumentId, bool>) -> bool {
    applied.keys().any(|id| live.is_made_of(id.kind.as_str(), &id.name))
}

#[async_trait]
impl Segments for LiveSegments {
    async fn list(&self, space: &SpaceId) -> Result<Vec<SegmentStatus>, PortError> {
        let applied = self.still_to_be_taken(space).await?;
        let mut listed = self.taken(space, &applied).await?;
        let counted_at = self.parts.clock.now();
        let new = applied
            .into_iter()
            .filter(|(id, is_there)| *is_there && id.kind == DocumentKind::Segment);
        let new = new.filter_map(|(id, _)| id.name.parse().ok());
        let new: Vec<SegmentName> = new
            .filter(|name| listed.iter().all(|live| live.name != *name))
            .collect();
        listed.extend(new.into_iter().map(|name| SegmentStatus {
            name,
            size: 0,
            counted_at,
            state: SegmentState::Waiting,
            updated_at: None,
            newer_waits: false,
        }));
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listed)
    }

    async fn members(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Option<Vec<Member>>, PortError> {
        let Some(definitions) = self.parts.pipeline.definitions(space) else {
            return Ok(None);
        };
        if definitions.segments.iter().all(|live| live.name != *segment) {
            return Ok(None);
        }
        let (reads, space, segment, now) = (
            self.parts.reads.clone(),
            space.clone(),
            segment.clone(),
            self.parts.clock.now(),
        );
        let members = tokio::task::spawn_blocking(move || {
            let mut members = Vec::new();
            for (profile, since) in reads.members(&space, &segment, after, limit)? {
                let person = reads.person_of(&space, profile, false, now)?;
                let approximate = person
                    .as_ref()
                    .is_some_and(|person| person.segments_limited.contains(&segment));
                let identifiers = person.map(|person| person.identifiers).unwrap_or_default();
                members.push(Member {
                    profile,
                    entered_at: Some(since),
                    identifiers: identifiers.into_iter().map(|view| view.identifier).collect(),
                    approximate,
                });
            }
            Ok(Some(members))
        });
        let members: Result<_, kith_pipeline::PipelineError> = members.await.map_err(PortError::internal)?;
        members.map_err(PortError::internal)
    }

    async fn estimate(&self, space: &SpaceId, draft: &SegmentDraft) -> Result<RawJson, PortError> {
        self.parts.drafts.estimate(space, draft).await
    }

    async fn overlap(&self, space: &SpaceId, segments: &[SegmentName]) -> Result<Option<RawJson>, PortError> {
        self.parts.drafts.overlap(space, segments).await
    }

    async fn explain(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        person: &PersonRef,
        asked: AsOf,
    ) -> Result<Option<RawJson>, PortError> {
        let now = self.parts.clock.now();
        let instant = as_of(asked, now)?;
        let decided_by = instant.map(|instant| instant.known_at);
        let (of, sought, name) = (space.clone(), segment.clone(), name_of(person));
        // Asked first: where it is taken in between, too much is said and not too little.
        let newer_waits = instant.is_none() && self.newer_waits(space, segment).await?;
        let explained = read_as_of(&self.parts, decided_by, move |parts| {
            let explained = parts.reads.explain_by_events(&of, &sought, &name, instant, now)?;
            let absent = match (&explained, instant) {
                (Ok(None), Some(instant)) => Some((instant, parts.reads.absent_as_of(&of, &name, instant, now)?)),
                _ => None,
            };
            Ok((explained, absent))
        });
        match explained.await? {
            (_, Some((instant, absent))) => Err(nobody_then(instant, absent)),
            (Ok(explained), None) => {
                let Some(explained) = explained else {
                    return Ok(None);
                };
                let mut document = explained.to_document();
                if newer_waits {
                    document["newer_waits"] = true.into();
                }
                Ok(Some(RawJson::of(&document)))
            }
            (Err(none), None) => Err(no_segment(space, segment, decided_by.filter(|_| none.is_live))),
        }
    }
}

/// There is no such segment; or there is one, and there was none by what was decided at an instant.
fn no_segment(space: &SpaceId, segment: &SegmentName, not_by: Option<Timestamp>) -> PortError {
    match not_by {
        None => PortError::new(
            PortErrorKind::NotFound,
            format!("space {space} has no segment {segment}"),
        ),
        Some(at) => {
            let message = format!(
                "space {space} had no segment {segment} at {at}: known_at=now asks what its condition of today says of that instant"
            );
            PortError::new(PortErrorKind::Invalid, message)
        }
    }
}
