//! When to try again what failed: after a second, then twice as long each time, at most after a minute.
//!
//! Publishing works with it. It reads no clock.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const DOUBLINGS_MAX: u32 = 6;
const LONGEST: Duration = Duration::from_secs(60);

/// Failures in a row, and until when not to try.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// How many attempts have failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether it is too early to try.
    pub(crate) fn waits(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Notes a failure.
    pub(crate) fn failed(&mut self, now: Instant) {
        let wait = FIRST * 2_u32.pow(self.failures.min(DOUBLINGS_MAX));
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + wait.min(LONGEST));
    }

    /// Notes a success.
    pub(crate) fn worked(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_1_failures_are_tried_again_ever_more_rarely() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(!backoff.waits(now));
            backoff.failed(now);
            assert!(backoff.waits(now + Duration::from_secs(seconds) - Duration::from_millis(1)));
            now += Duration::from_secs(seconds);
        }
        assert_eq!(backoff.failures(), 8);
        backoff.worked();
        assert!(!backoff.waits(now) && backoff.failures() == 0);
    }
}
