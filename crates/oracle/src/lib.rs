//! What segments mean, a second time (contract SEG-4): every condition as plain SQL over rows, in SQLite.
//!
//! It is written from the words of `docs/segments.md` and reads documents by itself. It depends on no other crate of Kith,
//! so it shares neither a parser nor an evaluator, nor a calendar, nor a type with what it judges. Whoever asks it brings rows:
//! of events with the columns of `clean.events`, and of who was whose after each record. [`World`] makes histories and
//! definitions by dice.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "for tests alone: what cannot be ends one"
)]

mod ask;
mod calendar;
mod documents;
mod probes;
mod survivors;
mod tables;
mod time;
mod trees;
mod values;
mod worlds;

pub use documents::{Document, InForce};
pub use probes::Delays;
pub use tables::{Epoch, EventRow, Tables};
pub use time::{iso, moment};
pub use worlds::{Decision, Item, Step, VetoOf, World};

use std::collections::BTreeSet;

/// Who is in which segment: segment, and profile by the 32 hexadecimal digits of its id.
pub type Members = BTreeSet<(String, String)>;
