//! What is under way: events that were made but whose moment of sending has not come. It decides when each is sent
//! (at once, late, overtaken, twice) and gives them in that order. It holds at most [`HELD_EVENTS_MAX`] events.

use super::config::{SentAt, WorldConfig};
use super::dice::Dice;
use super::truth::Truth;
use super::{HELD_EVENTS_MAX, LATE_MAX, WorldEvent};
use kith_types::{Duration, Timestamp};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt::Write;
use std::ops::Range;

/// Events on their way.
pub(super) struct Outbox {
    held: BinaryHeap<Held>,
    sequence: u64,
    made: u64,
    bots: u64,
    now: Timestamp,
    sent_at: SentAt,
    duplicates: f64,
    out_of_order: f64,
}

/// An event whose moment of sending is not yet in its body.
pub(super) struct Draft {
    /// The body, up to and including `"sentAt":"`.
    pub(super) body: String,
    /// Where the message id stands in it.
    pub(super) message_id: Range<usize>,
    /// Which source sends it.
    pub(super) source: &'static str,
    /// When it happened.
    pub(super) happened_at: Timestamp,
    /// By how much it is held back, where the device was without a network.
    pub(super) late_by: Option<Duration>,
    /// Who did it.
    pub(super) truth: Truth,
}

struct Held {
    sequence: u64,
    event: WorldEvent,
}

impl Outbox {
    pub(super) fn new(config: &WorldConfig) -> Self {
        Self {
            held: BinaryHeap::new(),
            sequence: 0,
            made: 0,
            bots: 0,
            now: config.now,
            sent_at: config.sent_at,
            duplicates: config.duplicates,
            out_of_order: config.out_of_order,
        }
    }

    /// How many events were put in so far.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// How many of them are bots'.
    pub(super) fn bots(&self) -> u64 {
        self.bots
    }

    /// How many are waiting.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// When the next one is sent.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.held.peek().map(|held| held.event.sent_at)
    }

    /// The next one.
    pub(super) fn pop(&mut self) -> Option<WorldEvent> {
        self.held.pop().map(|held| held.event)
    }

    /// By how much a visit of the late share is late.
    pub(super) fn lateness(dice: &mut Dice) -> Duration {
        let hour = 3_600_000;
        let most = u64::try_from(LATE_MAX.as_micros() / 1_000).unwrap_or(hour);
        Duration::from_millis(i64::try_from(dice.between(hour, most)).unwrap_or_default())
    }

    /// Takes an event, unless the world ends before it happens.
    pub(super) fn send(&mut self, draft: Draft, dice: &mut Dice) {
        let happened_at = draft.happened_at;
        if happened_at > self.now || self.held.len() >= HELD_EVENTS_MAX {
            return;
        }
        let overtaken = dice.chance(self.out_of_order);
        let delay = match draft.late_by {
            Some(span) => span,
            None if overtaken => Duration::from_millis(i64::try_from(dice.between(2_000, 90_000)).unwrap_or_default()),
            None => Duration::from_millis(i64::try_from(dice.between(20, 400)).unwrap_or_default()),
        };
        let fits = happened_at + delay <= self.now;
        let sent_at = if fits { happened_at + delay } else { happened_at };
        let mut body = draft.body;
        let shown = if self.sent_at == SentAt::Now { self.now } else { sent_at };
        write_time(shown, &mut body);
        body.push_str("\"}");
        let event = WorldEvent {
            body,
            source: draft.source,
            sent_at,
            happened_at,
            truth: draft.truth,
            duplicate: false,
            late: fits && draft.late_by.is_some(),
            message_id: draft.message_id,
        };
        if dice.chance(self.duplicates) {
            let seconds = if dice.chance(0.8) {
                dice.between(1, 30)
            } else {
                dice.between(30, 6 * 3_600)
            };
            let again_at = sent_at + Duration::from_secs(i64::try_from(seconds).unwrap_or_default());
            if again_at <= self.now {
                self.push(WorldEvent {
                    sent_at: again_at,
                    duplicate: true,
                    ..event.clone()
                });
            }
        }
        self.push(event);
    }

    fn push(&mut self, event: WorldEvent) {
        self.made += 1;
        self.bots += u64::from(event.truth.is_bot());
        self.held.push(Held {
            sequence: self.sequence,
            event,
        });
        self.sequence += 1;
    }
}

impl Held {
    fn key(&self) -> (Timestamp, u64) {
        (self.event.sent_at, self.sequence)
    }
}

impl Ord for Held {
    /// The other way round: the heap gives the greatest, and the earliest is wanted.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Held {}

/// Appends a time as SDKs write it, `2026-11-23T09:30:00.000Z`. The date comes from days by the arithmetic of Howard
/// Hinnant, "chrono-compatible low-level date algorithms" (`civil_from_days`).
pub(super) fn write_time(time: Timestamp, out: &mut String) {
    let millis = time.as_millis();
    let (days, in_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1_000 % 60);
    // Writing to a string cannot fail.
    write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        in_day % 1_000
    )
    .unwrap_or_default();
}
