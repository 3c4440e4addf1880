//! A person of the world: what they are like, what they own and by which identifiers they can be named. All of it is a
//! function of the seed and the person's number, so people are made up anew at each visit. What a visit changes (a
//! sign-in, a new cookie) is in [`Memory`], four bytes a person. Nothing here writes events.

use super::config::WorldConfig;
use super::dice::{Dice, Stream, write_uuid};
use super::tables::{COUNTRIES, Country, FIRST_NAMES, LAST_NAMES, ascii};
use std::fmt::Write;

/// How somebody shops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persona {
    /// Buys when it is cheap, with a coupon.
    BargainHunter,
    /// Comes back and buys.
    Loyal,
    /// Looks a lot, buys rarely.
    WindowShopper,
    /// Buys seldom, and the dearest.
    BigSpender,
    /// Comes once or twice.
    Passer,
}

impl Persona {
    /// Chance of a visit in a round, of buying once something lies in the cart, and products looked at in a visit.
    pub(super) fn habits(self) -> (f64, f64, u64) {
        match self {
            Self::BargainHunter => (0.6, 0.45, 4),
            Self::Loyal => (0.85, 0.6, 3),
            Self::WindowShopper => (0.7, 0.12, 4),
            Self::BigSpender => (0.55, 0.55, 3),
            Self::Passer => (0.5, 0.2, 1),
        }
    }
}

/// What somebody uses to visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Device {
    /// The browser at home; its cookie is renewed once, after the first sign-out.
    Browser,
    /// The phone with the shop's app.
    Phone,
    /// A second browser.
    SecondBrowser,
    /// The tablet that the household shares, with the shop's app.
    Tablet,
}

/// A person.
pub(super) struct Person {
    /// The number, from 0.
    pub(super) number: u64,
    /// How they shop.
    pub(super) persona: Persona,
    /// Given name.
    pub(super) first_name: &'static str,
    /// Family name.
    pub(super) last_name: &'static str,
    /// Where they live.
    pub(super) country: &'static Country,
    /// Whether they will make an account.
    pub(super) wants_account: bool,
    /// Whether they tell their telephone number.
    pub(super) tells_phone: bool,
    /// Whether they will carry the shop's card.
    pub(super) wants_card: bool,
    /// Whether they agree to marketing; `None`: never asked.
    pub(super) consent: Option<bool>,
    /// How many of browser, phone and second browser they own, and whether the phone comes first.
    pub(super) devices: (u8, bool),
    /// The tablet that the household shares, if it does, by the bits of its ids.
    pub(super) tablet: Option<u64>,
    /// The first round in which they come.
    pub(super) first_round: u64,
    /// Bits from which the ids of their devices are made.
    key: u64,
}

impl Person {
    /// The person of that number. Persons `2h` and `2h + 1` are household `h`.
    pub(super) fn of(number: u64, config: &WorldConfig, dice: &Dice) -> Self {
        let household = number / 2;
        let mut home = dice.stream(Stream::Household(household));
        let shares = home.chance(config.shared_devices) && household * 2 + 1 < config.people();
        let mut dice = dice.stream(Stream::Person(number));
        let persona = match dice.between(0, 100) {
            0..20 => Persona::BargainHunter,
            20..45 => Persona::Loyal,
            45..72 => Persona::WindowShopper,
            72..82 => Persona::BigSpender,
            _ => Persona::Passer,
        };
        let at = dice.between(0, 64) * dice.between(0, 64) / 512;
        let country = &COUNTRIES[usize::try_from(at).unwrap_or_default() % COUNTRIES.len()];
        let (first_name, last_name) = (*dice.pick(&FIRST_NAMES), *dice.pick(&LAST_NAMES));
        let consent = match (dice.chance(config.consent), dice.chance(0.5)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        };
        let devices = match dice.between(0, 100) {
            0..45 => 1,
            45..85 => 2,
            _ => 3,
        };
        let first_round = match dice.between(0, 100) {
            0..70 => 0,
            70..90 => 1,
            _ => 2,
        };
        Self {
            number,
            persona,
            first_name,
            last_name,
            country,
            wants_account: dice.chance(config.accounts) || shares,
            tells_phone: dice.chance(0.55),
            wants_card: dice.chance(if persona == Persona::Loyal { 0.5 } else { 0.12 }),
            consent,
            devices: (devices, dice.chance(0.4)),
            tablet: shares.then(|| home.bits()),
            first_round,
            key: dice.bits(),
        }
    }

    /// The own device that a draw of three chooses.
    pub(super) fn device(&self, draw: u64) -> Device {
        let order = if self.devices.1 {
            [Device::Phone, Device::Browser, Device::SecondBrowser]
        } else {
            [Device::Browser, Device::Phone, Device::SecondBrowser]
        };
        order[usize::try_from(draw % u64::from(self.devices.0)).unwrap_or_default()]
    }

    /// The id of their account.
    pub(super) fn user_id(&self) -> String {
        format!("u-{:08}", self.number)
    }

    /// Their e-mail address, unique; every now and then written in another way.
    pub(super) fn email(&self, shouted: bool) -> String {
        let mut address = String::with_capacity(40);
        ascii(self.first_name, &mut address);
        address.push('.');
        ascii(self.last_name, &mut address);
        let domain = ["example.com", "example.org", "example.net"][usize::try_from(self.key % 3).unwrap_or_default()];
        // Writing to a string cannot fail.
        write!(address, ".{}@{domain}", self.number).unwrap_or_default();
        if shouted { address.to_ascii_uppercase() } else { address }
    }

    /// Their telephone number, unique, in international form; every now and then with spaces.
    pub(super) fn phone(&self, spaced: bool) -> String {
        let (country, mobile) = self.country.calling;
        let space = if spaced { " " } else { "" };
        format!("+{country}{space}{mobile}{space}{:08}", 10_000_000 + self.number)
    }

    /// The number of their card.
    pub(super) fn card(&self) -> String {
        format!("KC{:09}", 300_000_000 + self.number)
    }

    /// The id that an SDK gave a device, anew with each generation; the tablet has one for both who use it.
    pub(super) fn anonymous_id(&self, device: Device, generation: u64) -> String {
        let mut out = String::with_capacity(36);
        let key = if device == Device::Tablet {
            self.tablet.unwrap_or(self.key)
        } else {
            self.key
        };
        let high = mixed(key ^ (device as u64) << 8 ^ generation);
        write_uuid(high, mixed(high ^ key.rotate_left(32)), &mut out);
        out
    }
}

/// What a person's visits so far have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory(u32);

impl Memory {
    /// The account exists.
    pub(super) const ACCOUNT: u32 = 1 << 8;
    /// The newsletter is subscribed to.
    pub(super) const NEWSLETTER: u32 = 1 << 9;
    /// The card is carried.
    pub(super) const CARD: u32 = 1 << 10;
    /// The card is known to the account.
    pub(super) const CARD_LINKED: u32 = 1 << 11;
    /// The choice about consent was made.
    pub(super) const CHOSE: u32 = 1 << 12;
    /// The browser's cookie was renewed.
    pub(super) const NEW_COOKIE: u32 = 1 << 13;

    /// Whether that is so.
    pub(super) fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    /// Makes it so.
    pub(super) fn set(&mut self, bit: u32) {
        self.0 |= bit;
    }

    /// The bit that says that the person is signed in on a device of their own.
    pub(super) fn signed_in(device: Device) -> u32 {
        1 << device as u32
    }

    /// Makes it not so.
    pub(super) fn clear(&mut self, bit: u32) {
        self.0 &= !bit;
    }
}

/// The generation under which a device's own id (`context.device.id`) is made.
pub(super) const HARDWARE: u64 = 0xd;

/// Bits that look drawn, from bits (the finaliser of SplitMix64).
fn mixed(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}
