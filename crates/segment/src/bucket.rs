//! Random buckets: a share of all people, the same ones at every instant and on every machine.
//!
//! A person's place is the first 64 bits, big-endian, of BLAKE3 in key-derivation mode with the context
//! `kith bucket 1` over the salt, a zero byte and the 16 bytes of the profile id, big-endian, as a fraction of 2^64. Two
//! salts draw independently. People who are merged into one have its place from then on.

use crate::document::shown;
use kith_expr::{Beside, DocumentError, check_keys, object_of, with_keys};
use kith_types::{Decimal, ProfileId};
use serde_json::{Value as Json, json};

/// What a percentage is counted in: thousandths.
const PER_PERCENT: i128 = 1_000;
const WHOLE: u32 = 100_000;

/// The people whose places lie in a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// What draws this split apart from others.
    pub salt: Box<str>,
    /// The first place that belongs to it, in thousandths of a percent.
    from: u32,
    /// The first place after it.
    to: u32,
}

impl Bucket {
    /// The people from `from` on and before `to`, in thousandths of a percent. `None` when there are none.
    #[must_use]
    pub fn new(salt: &str, from: u32, to: u32) -> Option<Self> {
        (from < to && to <= WHOLE && !salt.is_empty()).then(|| Self {
            salt: salt.into(),
            from,
            to,
        })
    }

    /// Whether the person belongs to it.
    #[must_use]
    pub fn contains(&self, profile: ProfileId) -> bool {
        let place = place(&self.salt, profile);
        (self.from..self.to).contains(&place)
    }

    /// The first percent that belongs to it and the first after it.
    #[must_use]
    pub fn percents(&self) -> (Decimal, Decimal) {
        (percent(self.from), percent(self.to))
    }

    /// The person's place, in percent.
    #[must_use]
    pub fn place_of(&self, profile: ProfileId) -> Decimal {
        percent(place(&self.salt, profile))
    }

    pub(crate) fn parse(json: &Json) -> Result<Self, DocumentError> {
        let fields = object_of(json).map_err(|error| error.hint("write `{ salt: spring_test, from: 0, to: 50 }`"))?;
        let salt = fields
            .get("salt")
            .ok_or_else(|| DocumentError::new("`salt` is missing: a word that draws this split apart from others"));
        let salt = salt.and_then(|salt| crate::document::filled_text(salt).map_err(|error| error.within("salt")));
        let percent = |key: &str, absent: u32| match fields.get(key) {
            None => Ok(absent),
            Some(json) => percent_of(json).map_err(|error| error.within(key)),
        };
        let read = salt.beside(percent("from", 0)).beside(percent("to", WHOLE));
        let bucket = read.and_then(|((salt, from), to)| {
            if (from, to) == (0, WHOLE) {
                let problem = "everybody is from 0 to 100 percent: this says nothing; name `from`, `to` or both";
                return Err(DocumentError::new(problem));
            }
            Self::new(salt, from, to).ok_or_else(|| DocumentError::new("`from` must be less than `to`"))
        });
        with_keys(check_keys(fields, &["salt", "from", "to"]), bucket)
    }

    pub(crate) fn to_document(&self) -> Json {
        let number = |percent: Decimal| kith_expr::json_of_value(&kith_types::Value::Number(percent));
        let (from, to) = self.percents();
        json!({ "salt": *self.salt, "from": number(from), "to": number(to) })
    }
}

fn percent(thousandths: u32) -> Decimal {
    Decimal::new(i128::from(thousandths), -3).unwrap_or(Decimal::ZERO)
}

fn place(salt: &str, profile: ProfileId) -> u32 {
    let mut hasher = blake3::Hasher::new_derive_key("kith bucket 1");
    hasher.update(salt.as_bytes());
    hasher.update(&[0]);
    hasher.update(&profile.0.to_be_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    let place = (u128::from(u64::from_be_bytes(first)) * u128::from(WHOLE)) >> 64;
    u32::try_from(place).unwrap_or(WHOLE)
}

fn percent_of(json: &Json) -> Result<u32, DocumentError> {
    let wrong = || {
        DocumentError::new(format!(
            "expected a percentage from 0 to 100 with up to three decimal places, found {}",
            shown(json)
        ))
    };
    let number = json
        .as_number()
        .and_then(|number| number.to_string().parse::<Decimal>().ok());
    let units = number.and_then(|number| number.to_scale_18()).ok_or_else(wrong)?;
    let unit = 10_i128.pow(18) / PER_PERCENT;
    let thousandths = u32::try_from(units / unit)
        .ok()
        .filter(|thousandths| *thousandths <= WHOLE);
    thousandths.filter(|_| units % unit == 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seg_1_buckets_are_drawn_by_a_stated_hash() {
        let people = [("spring", 1), ("spring", 2), ("autumn", 1), ("autumn", u128::MAX)];
        let places = people.map(|(salt, profile)| place(salt, ProfileId(profile)));
        assert_eq!(places, [16, 56_802, 23_555, 38_917]);
    }

    #[test]
    fn seg_1_buckets_split_everybody_and_salts_draw_independently() {
        let half = |salt: &str| Bucket::new(salt, 0, WHOLE / 2).unwrap();
        let rest = Bucket::new("a", WHOLE / 2, WHOLE).unwrap();
        let (one, other) = (half("a"), half("b"));
        let people = 20_000_u32;
        let mut counts = [0_u32; 3];
        for profile in (0..u128::from(people)).map(ProfileId) {
            assert_ne!(one.contains(profile), rest.contains(profile));
            let (in_one, in_other) = (one.contains(profile), other.contains(profile));
            counts[0] += u32::from(in_one);
            counts[1] += u32::from(in_other);
            counts[2] += u32::from(in_one && in_other);
        }
        assert!(counts[0].abs_diff(people / 2) < 400 && counts[1].abs_diff(people / 2) < 400);
        assert!(counts[2].abs_diff(people / 4) < 400, "{}", counts[2]);
    }
}
