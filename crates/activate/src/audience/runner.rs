//! A thread for each destination, started when it comes and ended when it goes, so that one that is slow or dead slows no
//! other, no message and never the stream. It works with `delivery`, which does the work of one destination; what it knows is
//! gone with the process.

use super::{Delivery, Standing};
use kith_types::{SpaceId, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most destinations that a server tells at once; the others wait for one to go.
const DESTINATIONS_MAX: usize = 64;
/// How often the lag is told at most: it is read from the outbox.
const LAG_EVERY: Duration = Duration::from_secs(1);

/// How a destination stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationStatus {
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
    /// Changes of people who have neither a user id nor an anonymous id: nothing names them to the receiver.
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

type Known = BTreeMap<(SpaceId, String), Standing>;

/// The destinations that have a thread, and what holds each up.
#[derive(Debug, Default)]
pub(crate) struct Runner {
    running: Mutex<Known>,
    /// When the lag was told last.
    lag_told: Mutex<Option<Instant>>,
}

/// Held by a destination's thread; the place is free again once it is gone, whatever ended it.
pub(crate) struct Running<'a> {
    runner: &'a Runner,
    key: (SpaceId, String),
}

impl Runner {
    fn known(&self) -> MutexGuard<'_, Known> {
        // What is behind the lock is whole at every moment.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a destination has a thread.
    pub(crate) fn runs(&self, space: &SpaceId, name: &str) -> bool {
        self.known().contains_key(&(space.clone(), name.to_owned()))
    }

    /// Takes a place for a destination's thread; false where it has one, or there is no place.
    pub(crate) fn start(&self, space: &SpaceId, name: &str) -> bool {
        let mut known = self.known();
        let key = (space.clone(), name.to_owned());
        if known.contains_key(&key) || known.len() >= DESTINATIONS_MAX {
            return false;
        }
        known.insert(key, Standing::default());
        true
    }

    /// The place that was taken, as its thread holds it.
    pub(crate) fn hold(&self, space: &SpaceId, name: &str) -> Running<'_> {
        Running {
            runner: self,
            key: (space.clone(), name.to_owned()),
        }
    }

    /// Whether the lag is to be told again, which it is then.
    pub(crate) fn lag_is_due(&self) -> bool {
        let mut told = self.lag_told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told.is_none_or(|told| told.elapsed() >= LAG_EVERY);
        if is_due {
            *told = Some(Instant::now());
        }
        is_due
    }

    /// What holds a destination up.
    pub(crate) fn standing(&self, space: &SpaceId, name: &str) -> Standing {
        let known = self.known();
        match known.get(&(space.clone(), name.to_owned())) {
            Some(standing) => standing.clone(),
            None if known.len() >= DESTINATIONS_MAX => Standing {
                fault: Some(format!(
                    "the server tells {DESTINATIONS_MAX} destinations already: remove one"
                )),
                retry_at: None,
            },
            None => Standing::default(),
        }
    }
}

impl Running<'_> {
    /// Says how the destination stands now.
    pub(crate) fn stands(&self, delivery: &Delivery) {
        if let Some(standing) = self.runner.known().get_mut(&self.key)
            && standing != delivery.standing()
        {
            standing.clone_from(delivery.standing());
        }
    }

    /// Says what went wrong beside the receiver.
    pub(crate) fn fails(&self, why: &str) {
        if let Some(standing) = self.runner.known().get_mut(&self.key) {
            standing.fault = Some(why.to_owned());
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.runner.known().remove(&self.key);
    }
}
