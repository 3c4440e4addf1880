//! The rate of a space: how many of its events the doors take in a second (contract SPC-1), a bucket a space.
//!
//! It is not the bound on what is under way, which is the server's and in `budget`: a space over its rate is turned away while
//! there is room, so that it never takes the room of others. A bucket is filled by the events of a second up to a burst. A
//! batch larger than the burst is taken when the bucket is full and leaves it in debt, so that no batch is refused for ever.
//! Whoever calls says what time it is; nothing here waits.

use kith_types::{SpaceId, Terms};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a space may send; `None` is no limit but the doors' own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceDoorLimits {
    /// Events in a second, on the average.
    pub events_per_second: Option<u64>,
    /// Events at once after a silence; the events of one second unless given.
    pub burst_events: Option<u64>,
    /// Events of one batch, beyond which nothing is kept.
    pub batch_events: Option<u64>,
    /// Bytes of one body, unpacked, beyond which nothing is kept.
    pub batch_bytes: Option<u64>,
    /// What its bodies are taken under: what is beyond is kept as a reject.
    pub terms: Terms,
}

impl SpaceDoorLimits {
    /// The rate, and the most that may come at once.
    fn rate(&self) -> Option<(f64, f64)> {
        let rate = self.events_per_second?.max(1);
        let burst = self.burst_events.unwrap_or(rate).max(1);
        // Limits are far below what a float counts exactly.
        #[expect(clippy::cast_precision_loss, reason = "limits are at most a billion")]
        Some((rate as f64, burst as f64))
    }
}

/// What a bucket held when it was looked at last.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    events: f64,
    at: Instant,
}

/// The buckets of all spaces that have a rate: as many as spaces, at most.
#[derive(Debug, Default)]
pub struct SpaceRates(Mutex<HashMap<SpaceId, Bucket>>);

impl SpaceRates {
    /// Takes room for so many events.
    ///
    /// # Errors
    /// After how long there is room, where there is none now.
    pub fn take(&self, space: &SpaceId, limits: &SpaceDoorLimits, events: usize, now: Instant) -> Result<(), Duration> {
        let Some((rate, burst)) = limits.rate() else {
            return Ok(());
        };
        let events = count_of(events);
        let mut buckets = self.buckets();
        let bucket = filled(&mut buckets, space, (rate, burst), now);
        let missing = events.min(burst) - bucket.events;
        if missing > 0.0 {
            return Err(Duration::from_secs_f64(missing / rate));
        }
        bucket.events -= events;
        Ok(())
    }

    /// After how long there is room for any event, where there is none now.
    #[must_use]
    pub fn wait(&self, space: &SpaceId, limits: &SpaceDoorLimits, now: Instant) -> Option<Duration> {
        let (rate, burst) = limits.rate()?;
        let missing = 1.0 - filled(&mut self.buckets(), space, (rate, burst), now).events;
        (missing > 0.0).then(|| Duration::from_secs_f64(missing / rate))
    }

    /// Gives back the room of events that were not taken after all.
    pub fn give_back(&self, space: &SpaceId, events: usize) {
        if let Some(bucket) = self.buckets().get_mut(space) {
            // What is above the burst is cut when the bucket is looked at next.
            bucket.events += count_of(events);
        }
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<SpaceId, Bucket>> {
        // Each bucket is whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bucket of a space with what time has brought since.
fn filled<'a>(
    buckets: &'a mut HashMap<SpaceId, Bucket>,
    space: &SpaceId,
    (rate, burst): (f64, f64),
    now: Instant,
) -> &'a mut Bucket {
    let full = Bucket { events: burst, at: now };
    let bucket = buckets.entry(space.clone()).or_insert(full);
    let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
    bucket.events = (bucket.events + passed * rate).min(burst);
    bucket.at = bucket.at.max(now);
    bucket
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a body holds far fewer events than a float counts exactly"
)]
fn count_of(events: usize) -> f64 {
    events as f64
}
