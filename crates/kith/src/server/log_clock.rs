//! The clock that sending goes by: the machine's, but never behind the log's.
//!
//! The log never stamps a record before an earlier one, also where the machine's clock is set back. What is told by this clock
//! is therefore later than everything that the log took before: an unsubscription ends every consent that came before it.

use kith_log::Log;
use kith_types::{Clock, Timestamp};
use std::sync::Arc;

/// The later of the machine's time and the log's.
pub(crate) struct LogClock {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Arc<Log>,
}

impl Clock for LogClock {
    fn now(&self) -> Timestamp {
        self.clock.now().max(self.log.stamped())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_log::{LogConfig, OsDisk};
    use kith_types::{Duration, Envelope, ManualClock, Origin, RecordBody, Route};

    #[test]
    fn act_1_a_clock_that_is_set_back_is_no_earlier_than_what_the_log_took() {
        let folder = tempfile::tempdir().unwrap();
        let noon = Timestamp::from_millis(1_800_000_000_000);
        let machine = Arc::new(ManualClock::new(noon));
        let given: Arc<dyn Clock> = machine.clone();
        let open = || {
            Log::open(
                LogConfig::new(folder.path().join("log")),
                Arc::new(OsDisk),
                given.clone(),
            )
            .unwrap()
        };
        let (log, _) = open();
        let clock = LogClock {
            clock: given.clone(),
            log: log.clone(),
        };
        let said = RecordBody::Envelope(Envelope {
            source: "web".parse().unwrap(),
            route: Route::Track,
            origin: Origin::Live,
            content_type: "".into(),
            client_ip: "".into(),
            user_agent: "".into(),
            terms: kith_types::Terms::USUAL,
            body: "{}".into(),
        });
        log.append_blocking(&"main".parse().unwrap(), &said).unwrap();
        machine.set(noon - Duration::from_secs(3_600));
        assert_eq!(clock.now(), noon);
        machine.set(noon + Duration::from_secs(1));
        assert_eq!(clock.now(), noon + Duration::from_secs(1));
        drop(clock);
        log.close();
        drop(log);
        machine.set(noon - Duration::from_secs(3_600));
        let (log, _) = open();
        assert!(log.stamped() >= noon, "also over a restart");
    }
}
