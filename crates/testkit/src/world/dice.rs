//! The world's only source of chance: one seeded ChaCha generator, of which every person and every visit has a stream
//! of its own. So a person is the same whenever looked at, and nothing of people needs to be remembered. It never
//! takes randomness from the machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fmt::Write;

/// Which kind of thing a stream belongs to.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    /// A person, by number.
    Person(u64),
    /// A household, by number.
    Household(u64),
    /// A visit, by number.
    Visit(u64),
    /// A round of visits, by number.
    Round(u64),
}

/// Draws of one stream.
#[derive(Clone)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The generator of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The same generator at the start of a stream.
    pub(super) fn stream(&self, stream: Stream) -> Self {
        let mut chacha = self.0.clone();
        chacha.set_stream(match stream {
            Stream::Person(number) => number << 2,
            Stream::Household(number) => number << 2 | 1,
            Stream::Visit(number) => number << 2 | 2,
            Stream::Round(number) => number << 2 | 3,
        });
        chacha.set_word_pos(0);
        Self(chacha)
    }

    /// Whether a thing of that share happens.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.0.random::<f64>() < share
    }

    /// A whole number from `low` up to, not including, `high`; `low` when there is none.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        if low < high {
            self.0.random_range(low..high)
        } else {
            low
        }
    }

    /// One of a table's entries. The tables of the world are never empty.
    pub(super) fn pick<T>(&mut self, table: &'static [T]) -> &'static T {
        &table[self.0.random_range(0..table.len())]
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.random()
    }

    /// Appends a random UUID of version 4.
    pub(super) fn uuid(&mut self, out: &mut String) {
        let (high, low) = (self.bits(), self.bits());
        write_uuid(high, low, out);
    }
}

/// Appends the UUID of version 4 with these bits.
pub(super) fn write_uuid(high: u64, low: u64, out: &mut String) {
    let (first, second, third) = (high >> 32, high >> 16 & 0xffff, high & 0x0fff);
    let (fourth, fifth) = (low >> 48 & 0x3fff | 0x8000, low & 0xffff_ffff_ffff);
    // Writing to a string cannot fail.
    write!(out, "{first:08x}-{second:04x}-4{third:03x}-{fourth:04x}-{fifth:012x}").unwrap_or_default();
}
