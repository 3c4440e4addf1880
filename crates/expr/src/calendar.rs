//! Periods of a calendar in a zone: hours, days, weeks, months, quarters, years, between exact instants.
//!
//! A day begins at the first instant at which the zone's clocks show its date, also where midnight is skipped or comes
//! twice, and ends where the next one begins: days have no gaps and never overlap. Weeks (from Monday, ISO 8601), months,
//! quarters and years begin with their first day. An hour begins every 60 minutes from the first instant of its day, so
//! the two hours that clocks show twice are two; the last hour of a day is shorter where the day is not whole hours.
//!
//! The zones are those of the IANA database that is built into the program. Nothing here does IO or asks for the
//! system's zone.

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use kith_types::Timestamp;
use std::fmt;

#[cfg(test)]
mod tests;

const HOUR: i64 = 3_600_000_000;
/// How many periods a window may reach back.
pub const MAX_PERIODS: u32 = 1_000;

/// A zone of the IANA database, such as `Europe/Berlin`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Zone = Zone(Tz::UTC);

    /// The zone of that name; upper and lower case count.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    /// The zone's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The names of all zones, for suggestions.
    pub fn names() -> impl Iterator<Item = &'static str> {
        chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
    }

    /// The date that the zone's clocks show.
    fn date(self, at: Timestamp) -> NaiveDate {
        let utc = DateTime::from_timestamp_micros(at.as_micros())
            .unwrap_or_default()
            .naive_utc();
        let offset = self.0.offset_from_utc_datetime(&utc).fix().local_minus_utc();
        utc.checked_add_signed(TimeDelta::seconds(i64::from(offset)))
            .unwrap_or(utc)
            .date()
    }

    /// The first instant at which the zone's clocks show that date or, where they skip it, a later one.
    fn first_instant(self, date: NaiveDate) -> Timestamp {
        let midnight = date.and_time(chrono::NaiveTime::MIN);
        let seconds = |local: NaiveDateTime| self.earliest(local);
        if let Some(at) = seconds(midnight) {
            return at;
        }
        // Midnight is skipped: the day begins where the gap ends, at the first local time that exists.
        let later = |by: i64| midnight + TimeDelta::seconds(by);
        let mut beyond = 1;
        while beyond < 4 * 86_400 && seconds(later(beyond)).is_none() {
            beyond *= 2;
        }
        let mut within = beyond / 2;
        while beyond - within > 1 {
            let middle = within.midpoint(beyond);
            if seconds(later(middle)).is_some() {
                beyond = middle;
            } else {
                within = middle;
            }
        }
        seconds(later(beyond)).unwrap_or_else(|| micros(midnight))
    }

    /// The earliest instant at which the zone's clocks show this time.
    fn earliest(self, local: NaiveDateTime) -> Option<Timestamp> {
        let offset = match self.0.offset_from_local_datetime(&local) {
            LocalResult::Single(offset) => offset.fix().local_minus_utc(),
            LocalResult::Ambiguous(one, other) => one.fix().local_minus_utc().max(other.fix().local_minus_utc()),
            LocalResult::None => return None,
        };
        Some(micros(local - TimeDelta::seconds(i64::from(offset))))
    }
}

fn micros(utc: NaiveDateTime) -> Timestamp {
    Timestamp::from_micros(utc.and_utc().timestamp_micros())
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The length of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CalendarUnit {
    /// 60 minutes, from the first instant of the day.
    Hour,
    /// A date.
    Day,
    /// Monday to Sunday.
    Week,
    /// A month of the calendar.
    Month,
    /// Three months, the first from January.
    Quarter,
    /// A year of the calendar.
    Year,
}

impl CalendarUnit {
    /// All units, the shortest first.
    pub const ALL: [CalendarUnit; 6] = [
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::Year,
    ];

    /// The word that documents use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// The unit of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.as_str() == name)
    }

    /// The number of the period that holds a date; hours have none, they are counted within days.
    fn number(self, date: NaiveDate) -> i64 {
        let (year, month) = (i64::from(date.year()), i64::from(date.month0()));
        match self {
            Self::Hour | Self::Day => i64::from(date.num_days_from_ce()),
            // Day 1 of the common era was a Monday.
            Self::Week => (i64::from(date.num_days_from_ce()) - 1).div_euclid(7),
            Self::Month => year * 12 + month,
            Self::Quarter => year * 4 + month / 3,
            Self::Year => year,
        }
    }

    /// The first date of a period.
    fn first_date(self, number: i64) -> Option<NaiveDate> {
        let of_days = |days: i64| NaiveDate::from_num_days_from_ce_opt(i32::try_from(days).ok()?);
        let of_month = |number: i64| {
            let year = i32::try_from(number.div_euclid(12)).ok()?;
            NaiveDate::from_ymd_opt(year, u32::try_from(number.rem_euclid(12)).ok()? + 1, 1)
        };
        match self {
            Self::Hour | Self::Day => of_days(number),
            Self::Week => of_days(number * 7 + 1),
            Self::Month => of_month(number),
            Self::Quarter => of_month(number * 3),
            Self::Year => of_month(number * 12),
        }
    }
}

/// The current period of a calendar, or so many complete ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Periods {
    /// Whose clocks and calendar.
    pub zone: Zone,
    /// The length of a period.
    pub unit: CalendarUnit,
    /// How many complete periods before the current one; 0 for the current one itself, as far as it has passed.
    pub previous: u32,
}

impl Periods {
    /// The first instant of the period that lies `shift` periods after the one that holds `at`.
    #[must_use]
    pub fn boundary(&self, at: Timestamp, shift: i64) -> Timestamp {
        if self.unit == CalendarUnit::Hour {
            return self.hour_boundary(at, shift);
        }
        self.first_of(self.unit, self.number(self.unit, at).saturating_add(shift))
    }

    fn number(&self, unit: CalendarUnit, at: Timestamp) -> i64 {
        let date = self.zone.date(at);
        // Clocks that went back over midnight show the date before once more; the new day has begun all the same.
        match date.succ_opt() {
            Some(next) if self.zone.first_instant(next) <= at => unit.number(next),
            _ => unit.number(date),
        }
    }

    fn first_of(&self, unit: CalendarUnit, number: i64) -> Timestamp {
        match unit.first_date(number) {
            Some(date) => self.zone.first_instant(date),
            None if number < 0 => Timestamp::MIN,
            None => Timestamp::from_micros(i64::MAX),
        }
    }

    fn hour_boundary(&self, at: Timestamp, shift: i64) -> Timestamp {
        let day_start = |day| self.first_of(CalendarUnit::Day, day).as_micros();
        let mut day = self.number(CalendarUnit::Day, at);
        let mut start = day_start(day);
        let mut hour = (at.as_micros() - start).div_euclid(HOUR) + shift;
        while hour < 0 {
            day -= 1;
            let before = day_start(day);
            hour += hours_between(before, start);
            start = before;
        }
        loop {
            let next = day_start(day + 1);
            let hours = hours_between(start, next);
            if hour < hours {
                return Timestamp::from_micros(start + hour * HOUR);
            }
            hour -= hours;
            day += 1;
            start = next;
        }
    }
}

/// How many hours begin in a day.
fn hours_between(start: i64, next: i64) -> i64 {
    (next - start + HOUR - 1).div_euclid(HOUR)
}
