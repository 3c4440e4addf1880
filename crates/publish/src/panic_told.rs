//! A thread that ends by a panic is told by the status: nothing tries again then, and nothing else would say so.

use crate::config::PublishStatus;
use kith_types::{Clock, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};

/// Kept by a thread for as long as it works.
pub(crate) struct PanicTold {
    status: Arc<Mutex<PublishStatus>>,
    clock: Arc<dyn Clock>,
    tell: fn(&mut PublishStatus, Timestamp),
}

impl PanicTold {
    /// For the thread that keeps raw.
    pub(crate) fn of_raw(status: &Arc<Mutex<PublishStatus>>, clock: &Arc<dyn Clock>) -> Self {
        Self {
            status: Arc::clone(status),
            clock: Arc::clone(clock),
            tell: |status, now| {
                status.raw.failure = Some("keeping raw ended by a panic: start the server again".to_owned());
                // It counts as failing at once: one failure alone is borne in silence until the next attempt, and there is none.
                status.raw.failures = status.raw.failures.saturating_add(2);
                status.raw.failing_since = status.raw.failing_since.or(Some(now));
                tracing::error!(
                    "keeping raw ended by a panic: the log keeps everything until the server is started again"
                );
            },
        }
    }

    /// For the thread that writes tables.
    pub(crate) fn of_tables(status: &Arc<Mutex<PublishStatus>>, clock: &Arc<dyn Clock>) -> Self {
        Self {
            status: Arc::clone(status),
            clock: Arc::clone(clock),
            tell: |status, now| {
                status.failure = Some("writing tables ended by a panic: start the server again".to_owned());
                status.failures = status.failures.saturating_add(2);
                status.failing_since = status.failing_since.or(Some(now));
                tracing::error!("writing tables ended by a panic: they are late until the server is started again");
            },
        }
    }
}

impl Drop for PanicTold {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let now = self.clock.now();
            (self.tell)(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_types::ManualClock;

    #[test]
    fn ops_1_a_thread_that_ended_by_a_panic_is_told_and_one_that_ended_well_is_not() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_millis(5)));
        let status = Arc::new(Mutex::new(PublishStatus::default()));
        let run = |told: PanicTold, breaks: bool| {
            let thread = std::thread::spawn(move || {
                let _told = told;
                assert!(!breaks, "a defect");
            });
            assert_eq!(thread.join().is_err(), breaks);
        };
        run(PanicTold::of_raw(&status, &clock), false);
        run(PanicTold::of_tables(&status, &clock), false);
        assert_eq!(*status.lock().unwrap(), PublishStatus::default());
        run(PanicTold::of_tables(&status, &clock), true);
        run(PanicTold::of_raw(&status, &clock), true);
        let told = status.lock().unwrap().clone();
        assert!(told.failure.is_some() && told.failures > 1 && told.failing_since.is_some());
        assert!(told.raw.failure.is_some() && told.raw.failures > 1 && told.raw.failing_since.is_some());
    }
}
