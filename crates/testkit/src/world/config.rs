//! What a world is asked to be: its seed, its size, its span and the shares of everything that makes it hard. Used by
//! every part of the generator. It never draws anything itself.

use kith_types::{Duration, Timestamp};

/// What `sentAt` says in the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentAt {
    /// [`WorldConfig::now`], for a history that is sent through the door at once: the door takes its own time of
    /// receipt, so the time of an event (contract COL-6) comes out as the world's, later by what the sending took.
    Now,
    /// The moment of sending within the world, for a receiver whose clock follows [`super::WorldEvent::sent_at`].
    World,
}

/// A world to generate. Every share is between 0 and 1; what lies outside counts as the nearer end.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldConfig {
    /// The same seed and the same figures give the same bytes.
    pub seed: u64,
    /// How many events are given, duplicates included.
    pub events: u64,
    /// When the history ends.
    pub now: Timestamp,
    /// How many days the history lasts, at least one.
    pub days: u32,
    /// How many events there are to a person; gives the number of people.
    pub events_per_person: u32,
    /// Share of people who also use a tablet that their household shares, on which both sign in. What they do on it
    /// without being signed in is marked ambiguous: with the default shares some 1.6 % of all events.
    pub shared_devices: f64,
    /// Share of events that bots send. They never sign in, and they invent event names.
    pub bots: f64,
    /// Share of events that are sent late, by one hour up to [`super::LATE_MAX`].
    pub late: f64,
    /// Share of events that are sent a second time, with the same message id.
    pub duplicates: f64,
    /// Share of events that are held up by seconds, so that later ones overtake them.
    pub out_of_order: f64,
    /// Share of people who agree to marketing; half of the others refuse, half are never asked.
    pub consent: f64,
    /// Share of people who will make an account when they buy or come back; the others remain guests.
    pub accounts: f64,
    /// Share of the visits of people known to the shops that happen in a shop.
    pub stores: f64,
    /// Share of the visits of people with a telephone that are calls.
    pub calls: f64,
    /// What `sentAt` says.
    pub sent_at: SentAt,
}

impl WorldConfig {
    /// A world of so many events over the 30 days before `now`, with the default shares.
    #[must_use]
    pub fn new(seed: u64, events: u64, now: Timestamp) -> Self {
        Self {
            seed,
            events,
            now,
            days: 30,
            events_per_person: 25,
            shared_devices: 0.08,
            bots: 0.02,
            late: 0.02,
            duplicates: 0.01,
            out_of_order: 0.03,
            consent: 0.6,
            accounts: 0.65,
            stores: 0.1,
            calls: 0.06,
            sent_at: SentAt::Now,
        }
    }

    /// How many people there are: at least two.
    #[must_use]
    pub fn people(&self) -> u64 {
        (self.events / u64::from(self.events_per_person.max(1))).max(2)
    }

    /// When the history starts.
    #[must_use]
    pub fn start(&self) -> Timestamp {
        self.now - Duration::from_days(i64::from(self.days.max(1)))
    }

    /// The world in a sentence, for the summary of the demo and the head of a benchmark.
    #[must_use]
    pub fn summary(&self) -> String {
        let percent = |share: f64| (clamped(share) * 1_000.0).round() / 10.0;
        format!(
            "{} events of {} people over {} days (seed {}): {} % of people share a tablet, {} % agree to marketing; {} % of events \
             come from bots, {} % are late by up to 2 days, {} % are sent twice, {} % are overtaken.",
            self.events,
            self.people(),
            self.days.max(1),
            self.seed,
            percent(self.shared_devices),
            percent(self.consent),
            percent(self.bots),
            percent(self.late),
            percent(self.duplicates),
            percent(self.out_of_order),
        )
    }

    /// The same with every share between 0 and 1.
    pub(super) fn within_bounds(mut self) -> Self {
        let shares = [
            &mut self.shared_devices,
            &mut self.bots,
            &mut self.late,
            &mut self.duplicates,
            &mut self.out_of_order,
            &mut self.consent,
            &mut self.accounts,
            &mut self.stores,
            &mut self.calls,
        ];
        for share in shares {
            *share = clamped(*share);
        }
        self
    }
}

fn clamped(share: f64) -> f64 {
    if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
}
