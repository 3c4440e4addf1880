//! Reading segments: how large they are, who is in them, and why.

use super::{AsOf, PersonRef, PortError};
use crate::RawJson;
use async_trait::async_trait;
use kith_types::{Identifier, ProfileId, SegmentName, SpaceId, Timestamp};

/// Whether a segment's membership covers all history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SegmentState {
    /// It does, and is kept live.
    Live,
    /// Its history is being folded.
    Backfilling {
        /// How much is done, from 0 to 1.
        progress: f64,
    },
    /// It was applied and is still to be taken: nobody is in it.
    Waiting,
}

/// A segment and its size.
#[derive(Clone, Debug)]
pub struct SegmentStatus {
    /// Its name.
    pub name: SegmentName,
    /// How many profiles were in it when they were counted.
    pub size: u64,
    /// When that was.
    pub counted_at: Timestamp,
    /// Whether it covers all history.
    pub state: SegmentState,
    /// When its definition last changed.
    pub updated_at: Option<Timestamp>,
    /// Whether a newer version, or the removal, of what it is made of was applied and is still to be taken: of its own definition, a
    /// segment or computed trait that it refers to, or rules for traits.
    pub newer_waits: bool,
}

/// A profile in a segment.
#[derive(Clone, Debug)]
pub struct Member {
    /// The profile.
    pub profile: ProfileId,
    /// Since when.
    pub entered_at: Option<Timestamp>,
    /// Its identifiers, highest priority first; a few are enough.
    pub identifiers: Vec<Identifier>,
    /// Whether a limit may have made it other than exact (contract PRO-5).
    pub approximate: bool,
}

/// A segment that is only drafted, or a live one that is edited.
#[derive(Clone, Debug)]
pub struct SegmentDraft {
    /// Its name; that of a live segment asks for the difference.
    pub name: SegmentName,
    /// The `spec` of its document.
    pub spec: serde_json::Value,
    /// Whether an estimate is enough, at once.
    pub quick: bool,
    /// How many people each list shows.
    pub samples: usize,
    /// Segments to count its members in.
    pub beside: Vec<SegmentName>,
}

/// Reads segments.
#[async_trait]
pub trait Segments: Send + Sync {
    /// Every segment of the space, by name. Where there are many members the sizes may be those of a while ago.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn list(&self, space: &SpaceId) -> Result<Vec<SegmentStatus>, PortError>;

    /// At most `limit` members with ids after `after`, in the order of ids; `None` where there is no such segment.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn members(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Option<Vec<Member>>, PortError>;

    /// How many people a draft has, exactly or by an estimate, with samples, as JSON.
    ///
    /// # Errors
    /// `Invalid` for a draft that cannot be used, `Busy` while others are counted, `Unavailable` while people are missing.
    async fn estimate(&self, space: &SpaceId, draft: &SegmentDraft) -> Result<RawJson, PortError>;

    /// How segments overlap, as JSON; `None` where one of them does not exist.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn overlap(&self, space: &SpaceId, segments: &[SegmentName]) -> Result<Option<RawJson>, PortError>;

    /// Why a person is or is not in a segment, now or as of a moment: the truth of every leaf and the events behind it
    /// (contract SEG-6), as JSON. `None` where there is no such segment or person.
    ///
    /// # Errors
    /// As [`super::Profiles::profile_as_of`].
    async fn explain(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        person: &PersonRef,
        as_of: AsOf,
    ) -> Result<Option<RawJson>, PortError>;
}
