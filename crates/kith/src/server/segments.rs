//! Segments as the API shows them.

use super::Parts;
use super::looking_back::{as_of, nobody_then, read_as_of};
use super::people::name_of;
use async_trait::async_trait;
use kith_api::RawJson;
use kith_api::ports::{
    AsOf, Member, PersonRef, PortError, PortErrorKind, SegmentDraft, SegmentState, SegmentStatus, Segments,
};
use kith_types::{ProfileId, SegmentName, SpaceId, Timestamp};
use std::sync::Arc;

/// The API's port to segments.
pub(crate) struct LiveSegments(pub(crate) Arc<Parts>);

#[async_trait]
impl Segments for LiveSegments {
    async fn list(&self, space: &SpaceId) -> Result<Vec<SegmentStatus>, PortError> {
        let Some(definitions) = self.0.pipeline.definitions(space) else {
            return Ok(Vec::new());
        };
        let sweep = self.0.pipeline.status().sweeps.get(space).copied();
        let state = sweep.map_or(SegmentState::Live, |progress| SegmentState::Backfilling {
            progress: (progress.swept as f64 / progress.profiles.max(1) as f64).min(1.0),
        });
        let (reads, space) = (self.0.reads.clone(), space.clone());
        let listed = tokio::task::spawn_blocking(move || {
            let mut listed = Vec::with_capacity(definitions.segments.len());
            for segment in &definitions.segments {
                listed.push(SegmentStatus {
                    name: segment.name.clone(),
                    size: reads.segment_size(&space, &segment.name)?,
                    state,
                    updated_at: Some(segment.changed_at),
                });
            }
            Ok(listed)
        });
        let listed: Result<_, kith_pipeline::PipelineError> = listed.await.map_err(PortError::internal)?;
        listed.map_err(PortError::internal)
    }

    async fn members(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Option<Vec<Member>>, PortError> {
        let Some(definitions) = self.0.pipeline.definitions(space) else {
            return Ok(None);
        };
        if definitions.segments.iter().all(|live| live.name != *segment) {
            return Ok(None);
        }
        let (reads, space, segment, now) = (self.0.reads.clone(), space.clone(), segment.clone(), self.0.clock.now());
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
        self.0.drafts.estimate(space, draft).await
    }

    async fn overlap(&self, space: &SpaceId, segments: &[SegmentName]) -> Result<Option<RawJson>, PortError> {
        self.0.drafts.overlap(space, segments).await
    }

    async fn explain(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        person: &PersonRef,
        asked: AsOf,
    ) -> Result<Option<RawJson>, PortError> {
        let now = self.0.clock.now();
        let instant = as_of(asked, now)?;
        let decided_by = instant.map(|instant| instant.known_at);
        let (of, sought, name) = (space.clone(), segment.clone(), name_of(person));
        let explained = read_as_of(&self.0, decided_by, move |parts| {
            let explained = parts.reads.explain_by_events(&of, &sought, &name, instant, now)?;
            let absent = match (&explained, instant) {
                (Ok(None), Some(instant)) => Some((instant, parts.reads.absent_as_of(&of, &name, instant, now)?)),
                _ => None,
            };
            Ok((explained, absent))
        });
        match explained.await? {
            (_, Some((instant, absent))) => Err(nobody_then(instant, absent)),
            (Ok(explained), None) => Ok(explained.map(|explained| RawJson::of(&explained.to_document()))),
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
                "space {space} had no segment {segment} at {at}: a known_at of now asks what its condition of today says of that instant"
            );
            PortError::new(PortErrorKind::Invalid, message)
        }
    }
}
