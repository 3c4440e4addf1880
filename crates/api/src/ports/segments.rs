//! Reading segments: how large they are, who is in them, and why.

use super::{PersonRef, PortError};
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
}

/// A segment and its size.
#[derive(Clone, Debug)]
pub struct SegmentStatus {
    /// Its name.
    pub name: SegmentName,
    /// How many profiles are in it now.
    pub size: u64,
    /// Whether it covers all history.
    pub state: SegmentState,
    /// When its definition last changed.
    pub updated_at: Option<Timestamp>,
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
}

/// Reads segments.
#[async_trait]
pub trait Segments: Send + Sync {
    /// Every segment of the space, by name.
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

    /// Why a person is or is not in a segment, now or as of a moment: the truth of every leaf and the events behind it
    /// (contract SEG-6), as JSON. `None` where there is no such segment or person.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn explain(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        person: &PersonRef,
        as_of: Option<Timestamp>,
    ) -> Result<Option<RawJson>, PortError>;
}
