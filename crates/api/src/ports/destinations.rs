//! Destinations of audiences: how each stands, and pausing one.

use super::PortError;
use async_trait::async_trait;
use kith_types::{SpaceId, Timestamp};

/// How a destination stands.
#[derive(Clone, Debug, Default)]
pub struct Destination {
    /// Its name.
    pub name: String,
    /// Where batches are posted to.
    pub endpoint: String,
    /// The segments it is told of; `None` for all.
    pub segments: Option<Vec<String>>,
    /// Events that the receiver took.
    pub sent: u64,
    /// Events that it refused for good.
    pub refused: u64,
    /// Why the latest refusal was made.
    pub last_refusal: Option<String>,
    /// Changes of people whom nothing names to the receiver.
    pub nameless: u64,
    /// Changes that were gone before they could be told.
    pub missed: u64,
    /// Members who have still to be told that they are in.
    pub members_waiting: u64,
    /// Changes of the space that it has still to be told of or to pass over.
    pub changes_waiting: u64,
    /// The instant of the oldest of these.
    pub waiting_since: Option<Timestamp>,
    /// Whether sending there is paused.
    pub paused: bool,
    /// What holds it up, and is tried again.
    pub fault: Option<String>,
    /// When it is tried again.
    pub retry_at: Option<Timestamp>,
}

/// Tells how destinations stand.
#[async_trait]
pub trait Destinations: Send + Sync {
    /// The destinations of a space, by name.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn list(&self, space: &SpaceId) -> Result<Vec<Destination>, PortError>;

    /// Stops or resumes telling one, durably; false where it was so already. What changes meanwhile waits.
    ///
    /// # Errors
    /// A [`PortError`].
    async fn pause(&self, space: &SpaceId, name: &str, paused: bool) -> Result<bool, PortError>;
}
