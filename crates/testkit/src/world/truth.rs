//! Who an event is really from, and which of that person's identifiers it names; the lines of the truth file, and the
//! partition of a person's identifiers that the evidence of a whole stream allows. Read by the scoring. It never looks
//! into the bodies of events.

use serde_json::{Value, json};
use std::collections::HashMap;

/// The identifiers of one person, as bits. Two of them in one event are evidence that they are one person's.
pub mod slots {
    /// The id of the account.
    pub const USER: u16 = 1;
    /// The e-mail address.
    pub const EMAIL: u16 = 1 << 1;
    /// The telephone number.
    pub const PHONE: u16 = 1 << 2;
    /// The card of the shops.
    pub const CARD: u16 = 1 << 3;
    /// The browser's first cookie, or a bot's.
    pub const COOKIE: u16 = 1 << 4;
    /// The browser's second cookie.
    pub const SECOND_COOKIE: u16 = 1 << 5;
    /// The phone: its device id and its installation, which always come together.
    pub const PHONE_APP: u16 = 1 << 6;
    /// The second browser's cookie.
    pub const SECOND_BROWSER: u16 = 1 << 7;
    /// How many bits there are.
    pub const COUNT: u32 = 8;
}

/// Bots are numbered from here, people from 0.
pub const FIRST_BOT: u64 = 1 << 48;

/// The truth about one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The number of the person who did it; of a bot from [`FIRST_BOT`].
    pub person: u64,
    /// Which identifiers of the person's own it names. A shared tablet is nobody's own.
    pub slots: u16,
    /// Done on a shared tablet by somebody who was not signed in: nothing in the stream says by whom.
    pub ambiguous: bool,
}

impl Truth {
    /// Whether a bot did it.
    #[must_use]
    pub fn is_bot(&self) -> bool {
        self.person >= FIRST_BOT
    }

    /// The line of the truth file: JSON, without a line break.
    #[must_use]
    pub fn to_line(&self, message_id: &str) -> String {
        json!({"message_id": message_id, "person": self.person, "slots": self.slots, "ambiguous": self.ambiguous})
            .to_string()
    }

    /// Reads a line of the truth file: the message id and the truth; `None` where it is none.
    #[must_use]
    pub fn from_line(line: &str) -> Option<(String, Self)> {
        let line: Value = serde_json::from_str(line).ok()?;
        let truth = Self {
            person: line.get("person")?.as_u64()?,
            slots: u16::try_from(line.get("slots")?.as_u64()?).ok()?,
            ambiguous: line.get("ambiguous")?.as_bool()?,
        };
        Some((line.get("message_id")?.as_str()?.to_owned(), truth))
    }
}

/// What evidence can link: of each person, which identifiers the events of a stream connect, directly or in steps.
/// Eight bytes and a map's entry for each person seen.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Of each person four bits for each identifier: the lowest identifier that it is connected to.
    people: HashMap<u64, u32>,
}

/// Every identifier connected to itself alone.
const APART: u32 = 0x7654_3210;

impl Evidence {
    /// Takes in an event.
    pub fn observe(&mut self, truth: &Truth) {
        let groups = self.people.entry(truth.person).or_insert(APART);
        let named = (0..slots::COUNT).filter(|slot| truth.slots & (1 << slot) != 0);
        let mut first = None;
        for slot in named {
            let group = *groups >> (slot * 4) & 0xf;
            let Some(with) = first else {
                first = Some(group);
                continue;
            };
            let (keep, give) = (group.min(with), group.max(with));
            first = Some(keep);
            for other in 0..slots::COUNT {
                if *groups >> (other * 4) & 0xf == give {
                    *groups = *groups & !(0xf << (other * 4)) | keep << (other * 4);
                }
            }
        }
    }

    /// The group of events that an event belongs to, once everything is observed: events of one person whose
    /// identifiers are connected. `None` for an ambiguous event and for one that names nothing.
    #[must_use]
    pub fn group_of(&self, truth: &Truth) -> Option<u64> {
        if truth.ambiguous || truth.slots == 0 {
            return None;
        }
        let groups = self.people.get(&truth.person).copied().unwrap_or(APART);
        let slot = truth.slots.trailing_zeros();
        Some(truth.person << 4 | u64::from(groups >> (slot * 4) & 0xf))
    }

    /// How many people, bots included, were observed.
    #[must_use]
    pub fn people(&self) -> usize {
        self.people.len()
    }
}
