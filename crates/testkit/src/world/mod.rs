//! The demo's retail world: people with personas, devices and households who look, buy, sign in, subscribe, call and
//! visit shops, and bots among them; as a stream of events in the order of their sending, with the true person beside
//! each. The same seed gives the same bytes.
//!
//! People come by in *rounds*: each round takes everybody once, in an order of its own, and each comes or not as their
//! persona has it. Time follows the count of events made, slower at night, so that the last event happens now. People
//! are made up anew from the seed at each visit; what stays in memory is four bytes a person and the events under way,
//! at most [`HELD_EVENTS_MAX`]. So a thousand events and ten million need about the same. It never reads the clock.

mod config;
mod contacts;
mod dice;
mod outbox;
mod person;
mod score;
mod session;
mod tables;
mod truth;
mod visits;

#[cfg(test)]
mod tests;

pub use config::{SentAt, WorldConfig};
pub use score::{Score, Scoring};
pub use truth::{Evidence, FIRST_BOT, Truth, slots};

use dice::{Dice, Stream};
use kith_types::{Duration, Timestamp};
use outbox::Outbox;
use person::{Device, Memory, Person};
use session::{Session, server_context};
use std::ops::Range;
use visits::{Visit, device_of};

/// How many events may be under way at once.
pub const HELD_EVENTS_MAX: usize = 65_536;
/// By how much an event is late at most.
pub const LATE_MAX: Duration = Duration::from_days(2);
/// The sources that send: their names are those of [`default_definitions`].
pub const SOURCES: [&str; 4] = ["web", "app", "store", "call-centre"];

/// How busy each hour of the day is, UTC, in thousandths of the day.
const HOURS: [u64; 24] = [
    14, 10, 8, 8, 10, 16, 26, 38, 46, 50, 52, 54, 56, 52, 50, 50, 52, 58, 66, 74, 76, 64, 44, 26,
];

/// An event of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldEvent {
    /// The event as the SDK sends it: one JSON object of the Segment specification, under 32 KB.
    pub body: String,
    /// Which of [`SOURCES`] sends it.
    pub source: &'static str,
    /// When it is sent; never decreases along the stream.
    pub sent_at: Timestamp,
    /// When it happened.
    pub happened_at: Timestamp,
    /// Who did it.
    pub truth: Truth,
    /// Whether this is a second copy.
    pub duplicate: bool,
    /// Whether it is sent an hour or more after it happened.
    pub late: bool,
    message_id: Range<usize>,
}

impl WorldEvent {
    /// The message id.
    #[must_use]
    pub fn message_id(&self) -> &str {
        self.body.get(self.message_id.clone()).unwrap_or_default()
    }
}

/// A stream of events; iterate over it.
pub struct World {
    config: WorldConfig,
    dice: Dice,
    outbox: Outbox,
    memories: Vec<Memory>,
    round: Round,
    visits: u64,
    given: u64,
    hours: [u64; 25],
}

/// A walk over all people in an order of its own: `stride * at + offset` modulo their number.
struct Round {
    number: u64,
    at: u64,
    stride: u64,
    offset: u64,
}

impl World {
    /// The world of a configuration.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        let config = config.within_bounds();
        let dice = Dice::new(config.seed);
        let people = config.people();
        let (_, _, _, first_hour) = config.now.date_and_hour();
        let mut hours = [0; 25];
        for at in 0..24 {
            let hour = (usize::try_from(first_hour).unwrap_or_default() + at) % 24;
            hours[at + 1] = hours[at] + HOURS[hour];
        }
        Self {
            outbox: Outbox::new(&config),
            memories: vec![Memory::default(); usize::try_from(people).unwrap_or_default()],
            round: Round::new(0, people, &dice),
            visits: 0,
            given: 0,
            hours,
            dice,
            config,
        }
    }

    /// The world in a sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        self.config.summary()
    }

    /// How many events are under way.
    #[must_use]
    pub fn held(&self) -> usize {
        self.outbox.held()
    }

    /// When the next visit begins: as far into the history as events were made, slower in quiet hours.
    fn next_visit_at(&self) -> Timestamp {
        let days = u128::from(self.config.days.max(1));
        let day = 86_400_000_000_u128;
        let total = u128::from(self.hours[24]);
        // Progress in units of a day's busyness, then in microseconds of the hour that it falls into.
        let scaled = u128::from(self.outbox.made()) * days * total * 1_000_000 / u128::from(self.config.events.max(1));
        let (whole, within) = (scaled / (total * 1_000_000), scaled % (total * 1_000_000));
        let hour = (0..24)
            .rev()
            .find(|hour| u128::from(self.hours[*hour]) * 1_000_000 <= within)
            .unwrap_or(0);
        let busy = u128::from(self.hours[hour + 1] - self.hours[hour]).max(1);
        let in_hour = (within - u128::from(self.hours[hour]) * 1_000_000) * 3_600 / busy;
        let micros = whole * day + u128::try_from(hour).unwrap_or(0) * 3_600_000_000 + in_hour;
        self.config.start() + Duration::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// Lets the next visitor come.
    fn visit(&mut self) {
        let at = self.next_visit_at();
        self.visits += 1;
        let mut dice = self.dice.stream(Stream::Visit(self.visits));
        #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
        if (self.outbox.bots() as f64) < self.config.bots * self.outbox.made() as f64 || self.config.bots >= 1.0 {
            self.bot(dice, at);
            return;
        }
        let number = self.round.next_person(&self.dice, &self.config);
        let person = Person::of(number, &self.config, &self.dice);
        let (comes, _, _) = person.persona.habits();
        if self.round.number < person.first_round || !dice.chance(comes) {
            return;
        }
        let late_by = dice.chance(self.config.late).then(|| Outbox::lateness(&mut dice));
        self.person(&person, dice.clone(), at, late_by, self.visits);
        // Some come back within hours, often on another device.
        if dice.chance(0.2) {
            let hours = i64::try_from(dice.between(1, 8)).unwrap_or(1);
            self.visits += 1;
            let again = self.dice.stream(Stream::Visit(self.visits));
            self.person(
                &person,
                again,
                at + Duration::from_secs(3_600 * hours),
                None,
                self.visits,
            );
        }
    }

    fn person(&mut self, person: &Person, mut dice: Dice, at: Timestamp, late_by: Option<Duration>, number: u64) {
        let Some(memory) = usize::try_from(person.number)
            .ok()
            .and_then(|at| self.memories.get_mut(at))
        else {
            return;
        };
        let server = |source, dice, outbox| Session {
            dice,
            outbox,
            at,
            source,
            user_id: None,
            anonymous_id: None,
            context: server_context(),
            consent: None,
            page: None,
            late_by,
            person: person.number,
            own_slot: 0,
            shared: false,
        };
        if (person.tells_phone || memory.has(Memory::CARD)) && dice.chance(self.config.stores) {
            contacts::in_store(&mut server("store", dice, &mut self.outbox), person, memory, number);
            return;
        }
        if person.tells_phone && dice.chance(self.config.calls) {
            contacts::call(&mut server("call-centre", dice, &mut self.outbox), person, *memory);
            return;
        }
        let draw = dice.between(0, 6);
        let device = if person.tablet.is_some() && dice.chance(0.4) {
            Device::Tablet
        } else {
            person.device(draw)
        };
        let (source, context, anonymous_id, own_slot) = device_of(person, device, *memory, &mut dice);
        let signed_in = memory.has(Memory::signed_in(device));
        let session = Session {
            user_id: signed_in.then(|| person.user_id()),
            anonymous_id: Some(anonymous_id),
            context,
            own_slot,
            shared: device == Device::Tablet,
            ..server(source, dice, &mut self.outbox)
        };
        Visit {
            person,
            memory,
            device,
            number,
            session,
        }
        .run();
    }

    fn bot(&mut self, mut dice: Dice, at: Timestamp) {
        let mut anonymous_id = String::with_capacity(36);
        dice.uuid(&mut anonymous_id);
        let context = contacts::bot_context(&mut dice);
        let mut session = Session {
            dice,
            outbox: &mut self.outbox,
            at,
            source: "web",
            user_id: None,
            anonymous_id: Some(anonymous_id),
            context,
            consent: None,
            page: None,
            late_by: None,
            person: FIRST_BOT + self.visits,
            own_slot: slots::COOKIE,
            shared: false,
        };
        contacts::sweep(&mut session);
    }
}

impl Iterator for World {
    type Item = WorldEvent;

    fn next(&mut self) -> Option<WorldEvent> {
        if self.given == self.config.events {
            return None;
        }
        // Whoever comes later may still send earlier than what is under way.
        while self.outbox.made() < self.config.events
            && self.outbox.held() < HELD_EVENTS_MAX
            && self.outbox.next_at().is_none_or(|next| next >= self.next_visit_at())
        {
            self.visit();
        }
        let event = self.outbox.pop()?;
        self.given += 1;
        Some(event)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.config.events - self.given).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

impl Round {
    fn new(number: u64, people: u64, dice: &Dice) -> Self {
        let mut dice = dice.stream(Stream::Round(number));
        let mut stride = dice.between(1, people.max(2));
        while common_divisor(stride, people) != 1 {
            stride += 1;
        }
        Self {
            number,
            at: 0,
            stride,
            offset: dice.between(0, people),
        }
    }

    /// The next person of the walk; a walk that is over is followed by another.
    fn next_person(&mut self, dice: &Dice, config: &WorldConfig) -> u64 {
        let people = config.people();
        if self.at == people {
            *self = Self::new(self.number + 1, people, dice);
        }
        let person = (u128::from(self.at) * u128::from(self.stride) + u128::from(self.offset)) % u128::from(people);
        self.at += 1;
        u64::try_from(person).unwrap_or_default()
    }
}

fn common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 {
        one
    } else {
        common_divisor(other, one % other)
    }
}

/// The definitions that the demo and the benches apply before the world streams in: sources, computed traits, segments
/// and one message, as YAML documents.
#[must_use]
pub fn default_definitions() -> &'static str {
    include_str!("../../../../demo/definitions.yaml")
}
