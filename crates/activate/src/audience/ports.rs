//! What telling audiences asks of the rest of the server, beside the outbox and the people of [`crate::Ports`]. Every call
//! may block: it is made from threads of our own.

use super::{DestinationDefinition, SegmentChoice, TrackingApi};
use crate::error::BoxError;
use kith_types::{ProfileId, SegmentName, SpaceId, Timestamp};
use std::sync::Arc;

/// Takes the members of segments one by one: the segment, the person, the instant of entry. An error ends the reading.
pub type MembersAt<'a> = &'a mut dyn FnMut(SegmentName, ProfileId, Timestamp) -> Result<(), BoxError>;

/// Destinations in force, and who is in their segments.
pub trait Audiences: Send + Sync {
    /// The destinations of a space.
    ///
    /// # Errors
    /// Any: that they cannot be read is no word that there are none. It is asked again.
    fn destinations(&self, space: &SpaceId) -> Result<Vec<Arc<DestinationDefinition>>, BoxError>;

    /// Who is in the segments at one moment. Returns the number that the next change of the outbox gets: whoever is told
    /// these members and every change from that number on has been told everything once.
    ///
    /// # Errors
    /// Any, of the state or of `take`; it is asked again from the start.
    fn members(&self, space: &SpaceId, segments: &SegmentChoice, take: MembersAt<'_>) -> Result<u64, BoxError>;

    /// The number that the next change of a space's outbox gets.
    ///
    /// # Errors
    /// Any; it is asked again.
    fn next_number(&self, space: &SpaceId) -> Result<u64, BoxError>;

    /// The write key of that name, where the server was given one.
    fn write_key(&self, name: &str) -> Option<String>;
}

/// The ports of destinations; a process that sends nothing has none.
#[derive(Clone)]
pub struct AudiencePorts {
    /// Definitions and members.
    pub audiences: Arc<dyn Audiences>,
    /// The way to the receivers.
    pub tracking: Arc<dyn TrackingApi>,
}

impl std::fmt::Debug for AudiencePorts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudiencePorts").finish_non_exhaustive()
    }
}
