//! The id of the profile whose oldest identifier first appeared in an event (contract IDN-5): how an id that stands no
//! longer is traced to the identifier that it came from. It never says who holds that now.

use crate::evidence::{Evidence, Named};
use crate::resolve::{profile_id, space_key};
use kith_types::{ProfileId, SpaceId};

/// The ids of a space.
#[derive(Debug)]
pub struct FounderIds {
    key: [u8; 32],
}

impl FounderIds {
    /// Those of that space.
    #[must_use]
    pub fn new(space: &SpaceId) -> Self {
        Self {
            key: space_key(space.as_str()),
        }
    }

    /// The id of the profile that would come from this identifier of an event.
    #[must_use]
    pub fn id(&self, evidence: &Evidence, named: &Named) -> ProfileId {
        profile_id(&self.key, &evidence.appearance(), &named.identifier)
    }
}
