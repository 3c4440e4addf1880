//! Moments and spans, in UTC microseconds, and the clocks that give them.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, Ordering};

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A span of time in microseconds; a day is 24 hours.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(i64);

/// Why a text is not a moment or a span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not an ISO 8601 moment of the years 1 to 9999.
    #[error("{0:?} is not an ISO 8601 time such as 2026-11-23T09:30:00.000Z")]
    NotATimestamp(String),
    /// Not a span such as `90s`, `30m`, `12h`, `7d`, `2w`.
    #[error("{0:?} is not a duration: a whole number and one of ms, s, m, h, d, w, from 1ms to 366000d")]
    NotADuration(String),
}

impl Timestamp {
    /// The earliest moment that can be written: 0001-01-01T00:00:00Z.
    pub const MIN: Timestamp = Timestamp(-62_135_596_800_000_000);
    /// The latest moment that can be written: the last microsecond of the year 9999.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999_999);

    /// The moment so many microseconds after 1970 began.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The moment so many milliseconds after 1970 began.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since 1970 began.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970 began, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Reads ISO 8601 as the SDKs write it: a date alone, `T` or a space before the time, up to nine places of
    /// seconds (cut to six), `Z`, an offset, or nothing for UTC.
    ///
    /// # Errors
    /// [`TimeError::NotATimestamp`] for anything else and for years outside 1 to 9999.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let wrong = || TimeError::NotATimestamp(text.chars().take(64).collect());
        let micros = if let Ok(moment) = chrono::DateTime::parse_from_rfc3339(text) {
            moment.timestamp_micros()
        } else if let Ok(date) = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            date.and_hms_opt(0, 0, 0)
                .ok_or_else(wrong)?
                .and_utc()
                .timestamp_micros()
        } else if let Ok(moment) = chrono::DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z") {
            moment.timestamp_micros()
        } else {
            let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
            let parsed = naive
                .iter()
                .find_map(|form| chrono::NaiveDateTime::parse_from_str(text, form).ok());
            parsed.ok_or_else(wrong)?.and_utc().timestamp_micros()
        };
        let moment = Self(micros);
        if (Self::MIN..=Self::MAX).contains(&moment) {
            Ok(moment)
        } else {
            Err(wrong())
        }
    }

    /// The moment moved by a span, held within [`Timestamp::MIN`] and [`Timestamp::MAX`].
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.0).clamp(Self::MIN.0, Self::MAX.0))
    }

    /// The moment `span` earlier, held within [`Timestamp::MIN`] and [`Timestamp::MAX`].
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.0).clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Year, month (1 to 12), day (1 to 31) and hour (0 to 23) in UTC: the parts of a raw object's path.
    #[must_use]
    pub fn date_and_hour(self) -> (i32, u32, u32, u32) {
        use chrono::{Datelike, Timelike};
        let moment = chrono::DateTime::from_timestamp_micros(self.0).unwrap_or_default();
        (moment.year(), moment.month(), moment.day(), moment.hour())
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        self.saturating_add(span)
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        self.saturating_sub(span)
    }
}

impl Sub for Timestamp {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = chrono::DateTime::from_timestamp_micros(self.0).unwrap_or_default();
        let form = if self.0.rem_euclid(1_000) == 0 {
            "%Y-%m-%dT%H:%M:%S%.3fZ"
        } else {
            "%Y-%m-%dT%H:%M:%S%.6fZ"
        };
        write!(f, "{}", moment.format(form))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Duration {
    /// So many microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// So many days of 24 hours.
    #[must_use]
    pub const fn from_days(days: i64) -> Self {
        Self::from_secs(days.saturating_mul(86_400))
    }

    /// The span in microseconds.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Reads `90s`, `30m`, `12h`, `7d`, `2w` or `250ms`: a whole number and a unit.
    ///
    /// # Errors
    /// [`TimeError::NotADuration`] for anything else, for zero and for more than 366,000 days.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let wrong = || TimeError::NotADuration(text.chars().take(64).collect());
        let split = text.find(|symbol: char| !symbol.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(split);
        let unit_micros: i64 = match unit.trim() {
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" | "min" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            "w" => 7 * 86_400_000_000,
            _ => return Err(wrong()),
        };
        let micros = number
            .parse::<i64>()
            .ok()
            .and_then(|count| count.checked_mul(unit_micros))
            .ok_or_else(wrong)?;
        if micros == 0 || micros > Self::from_days(366_000).0 {
            Err(wrong())
        } else {
            Ok(Self(micros))
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (86_400_000_000, "d"),
            (3_600_000_000, "h"),
            (60_000_000, "m"),
            (1_000_000, "s"),
            (1_000, "ms"),
        ];
        match units.iter().find(|(size, _)| self.0 % size == 0) {
            Some((size, unit)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}us", self.0),
        }
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Gives the present moment. Handed in wherever time matters, so that tests and replays own it.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(chrono::Utc::now().timestamp_micros())
    }
}

/// A clock that a test or a replay moves by hand.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves the clock, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves the clock forwards by `span`.
    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(span.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_all_sdks_are_read() {
        let expected = Timestamp::from_micros(1_700_000_000_123_000);
        for text in [
            "2023-11-14T22:13:20.123Z",
            "2023-11-14T22:13:20.123000+00:00",
            "2023-11-14T23:13:20.123+01:00",
            "2023-11-14T23:13:20.123+0100",
            "2023-11-14 22:13:20.123",
            "2023-11-14T22:13:20.123",
        ] {
            assert_eq!(Timestamp::parse(text), Ok(expected), "{text}");
        }
        assert_eq!(
            Timestamp::parse("2023-11-14").unwrap().to_string(),
            "2023-11-14T00:00:00.000Z"
        );
        for text in [
            "",
            "yesterday",
            "2023-13-01",
            "20231114",
            "99999-01-01T00:00:00Z",
            "2023-11-14T25:00:00Z",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_read_and_shown() {
        for (text, shown) in [
            ("90s", "90s"),
            ("30m", "30m"),
            ("7d", "7d"),
            ("2w", "14d"),
            ("24h", "1d"),
            ("250ms", "250ms"),
        ] {
            assert_eq!(Duration::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "5", "d", "0d", "-1d", "1y", "9999999999999d", "1.5h"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }
}
