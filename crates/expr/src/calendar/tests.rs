//! The boundaries of calendars, pinned by examples of real zones and checked against a plain walk along their clocks.

use super::*;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn boundary(zone: &str, unit: &str, instant: &str, shift: i64) -> Timestamp {
    let periods = Periods {
        zone: Zone::from_name(zone).unwrap(),
        unit: CalendarUnit::from_name(unit).unwrap(),
        previous: 0,
    };
    periods.boundary(at(instant), shift)
}

#[test]
fn seg_1_days_begin_with_the_first_instant_of_their_date() {
    for (zone, unit, instant, shift, expected) in [
        ("UTC", "day", "2026-03-29T23:59:59.999999Z", 0, "2026-03-29T00:00:00Z"),
        // A day of 23 hours and one of 25.
        (
            "Europe/Berlin",
            "day",
            "2026-03-29T12:00:00Z",
            0,
            "2026-03-28T23:00:00Z",
        ),
        (
            "Europe/Berlin",
            "day",
            "2026-03-29T12:00:00Z",
            1,
            "2026-03-29T22:00:00Z",
        ),
        (
            "Europe/Berlin",
            "day",
            "2026-10-25T12:00:00Z",
            0,
            "2026-10-24T22:00:00Z",
        ),
        (
            "Europe/Berlin",
            "day",
            "2026-10-25T12:00:00Z",
            1,
            "2026-10-25T23:00:00Z",
        ),
        // Midnight is skipped: the day begins at one o'clock.
        (
            "America/Sao_Paulo",
            "day",
            "2018-11-04T12:00:00Z",
            0,
            "2018-11-04T03:00:00Z",
        ),
        (
            "America/Sao_Paulo",
            "day",
            "2018-11-03T12:00:00Z",
            1,
            "2018-11-04T03:00:00Z",
        ),
        // Midnight comes twice: the day begins with the first.
        (
            "America/Havana",
            "day",
            "2026-11-01T12:00:00Z",
            0,
            "2026-11-01T04:00:00Z",
        ),
        // Clocks go back from a minute after midnight into the day before: the new day has begun all the same.
        (
            "America/St_Johns",
            "day",
            "2010-11-07T02:45:00Z",
            0,
            "2010-11-07T02:30:00Z",
        ),
        // Samoa had no 30 December 2011.
        ("Pacific/Apia", "day", "2011-12-30T09:59:59Z", 0, "2011-12-29T10:00:00Z"),
        ("Pacific/Apia", "day", "2011-12-30T09:59:59Z", 1, "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "day", "2011-12-30T09:59:59Z", 2, "2011-12-30T10:00:00Z"),
        (
            "Asia/Kathmandu",
            "day",
            "2026-01-01T18:15:00Z",
            0,
            "2026-01-01T18:15:00Z",
        ),
    ] {
        assert_eq!(
            boundary(zone, unit, instant, shift),
            at(expected),
            "{zone} {instant} {shift}"
        );
    }
}

#[test]
fn seg_1_longer_periods_begin_with_their_first_day() {
    for (unit, instant, shift, expected) in [
        ("week", "2026-11-25T12:00:00Z", 0, "2026-11-22T23:00:00Z"),
        ("week", "2026-11-22T22:59:59Z", 0, "2026-11-15T23:00:00Z"),
        ("week", "2027-01-01T12:00:00Z", 1, "2027-01-03T23:00:00Z"),
        ("month", "2026-03-31T21:59:59Z", 0, "2026-02-28T23:00:00Z"),
        ("month", "2026-03-31T22:00:00Z", 0, "2026-03-31T22:00:00Z"),
        ("month", "2026-01-15T00:00:00Z", -1, "2025-11-30T23:00:00Z"),
        ("quarter", "2026-05-15T00:00:00Z", 0, "2026-03-31T22:00:00Z"),
        ("quarter", "2026-05-15T00:00:00Z", -2, "2025-09-30T22:00:00Z"),
        ("year", "2026-05-15T00:00:00Z", 0, "2025-12-31T23:00:00Z"),
        ("year", "2024-02-29T00:00:00Z", 1, "2024-12-31T23:00:00Z"),
    ] {
        assert_eq!(
            boundary("Europe/Berlin", unit, instant, shift),
            at(expected),
            "{unit} {instant} {shift}"
        );
    }
}

#[test]
fn seg_1_hours_are_sixty_minutes_from_the_beginning_of_the_day() {
    for (zone, instant, shift, expected) in [
        ("Europe/Berlin", "2026-03-29T01:30:00Z", 0, "2026-03-29T01:00:00Z"),
        // 02:30 comes twice on this day, in two hours.
        ("Europe/Berlin", "2026-10-25T00:30:00Z", 0, "2026-10-25T00:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:30:00Z", 0, "2026-10-25T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T23:10:00Z", -25, "2026-10-24T22:00:00Z"),
        ("Asia/Kolkata", "2026-01-01T00:10:00Z", 0, "2025-12-31T23:30:00Z"),
        // Half an hour is put in: the last of the day's 24 and a half hours is the short one.
        ("Australia/Lord_Howe", "2026-04-05T13:29:59Z", 0, "2026-04-05T13:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-05T13:29:59Z", 1, "2026-04-05T13:30:00Z"),
    ] {
        assert_eq!(
            boundary(zone, "hour", instant, shift),
            at(expected),
            "{zone} {instant} {shift}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn seg_1_periods_have_no_gaps_and_never_overlap(
        zone in 0..chrono_tz::TZ_VARIANTS.len(),
        unit in 0..CalendarUnit::ALL.len(),
        minutes in -30_000_000_i64..40_000_000,
        ahead in 0_i64..100_000,
        shift in -30_i64..30,
    ) {
        let periods = Periods { zone: Zone(chrono_tz::TZ_VARIANTS[zone]), unit: CalendarUnit::ALL[unit], previous: 0 };
        let now = Timestamp::from_micros(minutes * 60_000_000 + 1);
        let (start, end) = (periods.boundary(now, 0), periods.boundary(now, 1));
        prop_assert!(start <= now && now < end);
        // Every instant of a period has the same one, and its neighbours touch it.
        let micro = kith_types::Duration::from_micros(1);
        for inside in [start, end - micro] {
            prop_assert_eq!(periods.boundary(inside, 0), start);
            prop_assert_eq!(periods.boundary(inside, shift), periods.boundary(now, shift));
        }
        prop_assert_eq!(periods.boundary(end, 0), end);
        // Later instants never lie in earlier periods.
        let later = Timestamp::from_micros(now.as_micros() + ahead * 60_000_000);
        prop_assert!(periods.boundary(later, shift) >= periods.boundary(now, shift));
        // The clocks of a day show its date from its first instant on.
        if periods.unit == CalendarUnit::Day {
            let date = periods.zone.date(start);
            prop_assert!(periods.zone.date(start - micro) < date);
        }
    }
}
