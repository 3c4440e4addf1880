//! Which destinations fail, and how long each rests, so that one that is dead or slow takes no worker from the others
//! (contract ACT-4). A destination is the part of an address behind the `@`. It keeps what it knows in memory: after a
//! start everything is tried.

use kith_types::{Duration, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The longest rest: what is mended is found within it.
const REST_MAX: Duration = Duration::from_secs(60);
/// The most destinations that are remembered as failing; beyond it those that have rested are forgotten.
const FAILING_MAX: usize = 10_000;

#[derive(Clone, Copy)]
struct Failing {
    failures: u32,
    until: Timestamp,
}

/// Mails in a row that the mail server did not take, whomever they were to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailFault {
    /// When the first of them failed.
    pub since: Timestamp,
    /// How many they are.
    pub failures: u32,
}

/// The destinations that fail.
#[derive(Default)]
pub(crate) struct Destinations {
    failing: Mutex<HashMap<String, Failing>>,
    /// Whether the mail server itself takes mails.
    mail: Mutex<Option<MailFault>>,
}

impl Destinations {
    /// The mails in a row that the mail server did not take; none where it took or refused the last one for good.
    pub(crate) fn mail_fault(&self) -> Option<MailFault> {
        *self.mail()
    }

    fn mail(&self) -> MutexGuard<'_, Option<MailFault>> {
        // What is behind the lock is whole at every moment.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It answered, whatever it said.
    pub(crate) fn answered(&self, destination: &str) {
        if let Some(fault) = self.mail().take() {
            tracing::info!(failures = fault.failures, "the mail server takes mails again");
        }
        self.failing().remove(destination);
    }

    /// It gave no answer. It rests for as long as `wait` says after so many failures in a row, within a limit.
    pub(crate) fn failed(&self, destination: &str, now: Timestamp, wait: impl FnOnce(u32) -> Duration) {
        let mut mail = self.mail();
        let fault = mail.get_or_insert_with(|| {
            tracing::warn!("the mail server did not take a mail, which is tried again: `kith messages list` says why");
            MailFault {
                since: now,
                failures: 0,
            }
        });
        fault.failures = fault.failures.saturating_add(1);
        drop(mail);
        let mut failing = self.failing();
        if failing.len() >= FAILING_MAX {
            failing.retain(|_, known| known.until > now);
        }
        if failing.len() >= FAILING_MAX && !failing.contains_key(destination) {
            return;
        }
        let known = failing.entry(destination.to_owned()).or_insert(Failing {
            failures: 0,
            until: now,
        });
        known.failures = known.failures.saturating_add(1);
        known.until = now + wait(known.failures).min(REST_MAX);
    }

    /// Where nothing may go now, given what is under way and how many workers there are. A destination has at most half
    /// of the workers; one that fails has one, and rests between; all that fail together have half.
    pub(crate) fn closed<'a>(
        &self,
        under_way: impl Iterator<Item = &'a String>,
        workers: usize,
        now: Timestamp,
    ) -> Vec<String> {
        let half = workers.div_ceil(2);
        let failing = self.failing();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        under_way.for_each(|destination| *counts.entry(destination).or_default() += 1);
        let probes: usize = counts
            .iter()
            .filter(|(destination, _)| failing.contains_key(**destination))
            .map(|(_, count)| count)
            .sum();
        let resting = failing
            .iter()
            .filter(|(_, known)| known.until > now || probes >= half)
            .map(|(destination, _)| destination.clone());
        let crowded = counts
            .iter()
            .filter(|(destination, count)| **count >= if failing.contains_key(**destination) { 1 } else { half })
            .map(|(destination, _)| (*destination).to_owned());
        resting.chain(crowded).collect()
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<String, Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn act_4_a_destination_that_fails_rests_and_is_probed_by_one() {
        let destinations = Destinations::default();
        let at = |second: i64| Timestamp::from_millis(second * 1_000);
        let closed = |under_way: &[&str], now: Timestamp| {
            let under_way: Vec<String> = under_way.iter().map(ToString::to_string).collect();
            let mut closed = destinations.closed(under_way.iter(), 4, now);
            closed.sort();
            closed.dedup();
            closed
        };
        let wait = |failures: u32| Duration::from_secs(10 * i64::from(failures));
        assert_eq!(closed(&["a", "a", "b"], at(0)), ["a"], "half of the workers at most");
        destinations.failed("b", at(0), wait);
        assert_eq!(closed(&[], at(9)), ["b"]);
        assert_eq!(closed(&[], at(10)), Vec::<String>::new());
        assert_eq!(closed(&["b"], at(10)), ["b"], "one probe");
        destinations.failed("b", at(10), wait);
        assert_eq!(closed(&[], at(29)), ["b"], "it rests longer");
        destinations.failed("c", at(10), wait);
        destinations.failed("d", at(10), wait);
        assert_eq!(closed(&["b", "c"], at(90)), ["b", "c", "d"], "all that fail have half");
        destinations.answered("b");
        assert_eq!(closed(&["b", "c"], at(90)), ["c"]);
        (0..20).for_each(|_| destinations.failed("e", at(90), wait));
        assert_eq!(closed(&[], at(149)), ["e"]);
        assert_eq!(
            closed(&[], at(150)),
            Vec::<String>::new(),
            "no rest is longer than a minute"
        );
    }
}
