//! Moments as files write them: ISO 8601, seconds or milliseconds since 1970, or a pattern of one's own, in a zone.

use arrow_array::timezone::Tz;
use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use kith_types::{Decimal, Timestamp};

/// Forms of ISO 8601 that name no zone.
const LOCAL_FORMS: [&str; 4] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
];

/// How moments are written.
#[derive(Clone, Debug)]
pub(crate) struct MomentForm {
    pattern: Pattern,
    zone: Tz,
}

#[derive(Clone, Debug)]
enum Pattern {
    Iso,
    UnixSeconds,
    UnixMillis,
    Own(String, Vec<Item<'static>>),
}

impl MomentForm {
    /// The form of that name or pattern, and the zone of moments that name none; ISO 8601 and UTC unless given.
    ///
    /// # Errors
    /// A text that says what is wrong with which of them.
    pub(crate) fn new(format: Option<&str>, zone: Option<&str>) -> Result<Self, String> {
        let pattern = match format {
            None | Some("iso") => Pattern::Iso,
            Some("unix_seconds") => Pattern::UnixSeconds,
            Some("unix_millis") => Pattern::UnixMillis,
            Some(own) if own.contains('%') => {
                let items = StrftimeItems::new(own).parse_to_owned();
                let items = items.map_err(|_| format!("format {own:?} is not one of strftime, such as %Y%m%d"))?;
                Pattern::Own(own.to_owned(), items)
            }
            Some(own) => {
                return Err(format!(
                    "format {own:?} is none of iso, unix_seconds, unix_millis or a pattern such as %Y%m%d"
                ));
            }
        };
        let zone = zone.unwrap_or("UTC");
        let zone = zone
            .parse()
            .map_err(|_| format!("zone {zone:?} is none: write UTC, +02:00 or Europe/Berlin"))?;
        Ok(Self { pattern, zone })
    }

    /// Reads a moment.
    ///
    /// # Errors
    /// A text that says what was expected.
    pub(crate) fn read(&self, text: &str) -> Result<Timestamp, String> {
        let text = text.trim();
        match &self.pattern {
            Pattern::Iso => self.read_iso(text),
            Pattern::UnixSeconds => since_1970(text, 1_000_000_000_000),
            Pattern::UnixMillis => since_1970(text, 1_000_000_000_000_000),
            Pattern::Own(own, items) => self
                .read_own(text, items)
                .map_err(|why| format!("{text:?} is not {own}: {why}")),
        }
    }

    fn read_iso(&self, text: &str) -> Result<Timestamp, String> {
        let moment = LOCAL_FORMS
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
        let day = || {
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .ok()
                .map(|day| day.and_time(NaiveTime::MIN))
        };
        match moment.or_else(day) {
            Some(local) => self.place(local),
            None => Timestamp::parse(text).map_err(|error| error.to_string()),
        }
    }

    fn read_own(&self, text: &str, items: &[Item<'_>]) -> Result<Timestamp, String> {
        let mut parsed = Parsed::new();
        chrono::format::parse(&mut parsed, text, items.iter()).map_err(|error| error.to_string())?;
        if parsed.offset().is_some() {
            let moment = parsed.to_datetime().map_err(|error| error.to_string())?;
            return within_years(moment.timestamp_micros());
        }
        if parsed.timestamp().is_some() {
            let moment = parsed
                .to_naive_datetime_with_offset(0)
                .map_err(|error| error.to_string())?;
            return within_years(moment.and_utc().timestamp_micros());
        }
        let day = parsed.to_naive_date().map_err(|error| error.to_string())?;
        let time = if parsed.hour_div_12().is_none() && parsed.hour_mod_12().is_none() {
            NaiveTime::MIN
        } else {
            if parsed.minute().is_none() {
                parsed.set_minute(0).map_err(|error| error.to_string())?;
            }
            parsed.to_naive_time().map_err(|error| error.to_string())?
        };
        self.place(day.and_time(time))
    }

    /// A moment of the zone. Where clocks were set back and it came twice, it is the first.
    fn place(&self, local: NaiveDateTime) -> Result<Timestamp, String> {
        match self.zone.from_local_datetime(&local) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => within_years(moment.timestamp_micros()),
            LocalResult::None => Err(format!("{local} never came in this zone: clocks were set forward")),
        }
    }
}

/// A moment that is a number since 1970; `share` is 10^18 over microseconds of one unit.
fn since_1970(text: &str, share: i128) -> Result<Timestamp, String> {
    let scaled = text.parse::<Decimal>().ok().and_then(|number| number.to_scale_18());
    let scaled = scaled.ok_or_else(|| format!("{text:?} is no number since 1970"))?;
    let micros = i64::try_from(scaled.div_euclid(share)).map_err(|_| format!("{text} lies too far from 1970"))?;
    within_years(micros)
}

fn within_years(micros: i64) -> Result<Timestamp, String> {
    let moment = Timestamp::from_micros(micros);
    if (Timestamp::MIN..=Timestamp::MAX).contains(&moment) {
        Ok(moment)
    } else {
        Err("the year is not one of 1 to 9999".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn con_2_moments_are_read_in_every_form_and_zone() {
        let cases = [
            (None, None, "1997-01-01", "1997-01-01T00:00:00.000Z"),
            (None, None, "2026-03-01 10:00:00.25", "2026-03-01T10:00:00.250Z"),
            (
                None,
                Some("Europe/Berlin"),
                "2026-07-01T10:00:00",
                "2026-07-01T08:00:00.000Z",
            ),
            (
                None,
                Some("Europe/Berlin"),
                "2026-07-01T10:00:00Z",
                "2026-07-01T10:00:00.000Z",
            ),
            (None, Some("+02:00"), "2026-07-01 10:00", "2026-07-01T08:00:00.000Z"),
            (Some("%Y%m%d"), Some("UTC"), "19970118", "1997-01-18T00:00:00.000Z"),
            (
                Some("%d.%m.%Y %H:%M"),
                Some("Europe/Berlin"),
                "25.12.2026 18:30",
                "2026-12-25T17:30:00.000Z",
            ),
            (Some("%Y-%m-%d %H"), None, "2026-12-25 18", "2026-12-25T18:00:00.000Z"),
            (
                Some("%d/%b/%Y:%H:%M:%S %z"),
                None,
                "10/Oct/2026:13:55:36 -0700",
                "2026-10-10T20:55:36.000Z",
            ),
            (Some("unix_seconds"), None, "1700000000.5", "2023-11-14T22:13:20.500Z"),
            (Some("unix_millis"), None, "1700000000001", "2023-11-14T22:13:20.001Z"),
        ];
        for (format, zone, text, expected) in cases {
            let read = MomentForm::new(format, zone).unwrap().read(text).unwrap();
            assert_eq!(read.to_string(), expected, "{format:?} {zone:?} {text}");
        }
    }

    #[test]
    fn con_2_what_is_no_moment_is_refused() {
        for (format, zone) in [
            (Some("%Q"), None),
            (Some("tomorrow"), None),
            (None, Some("Mars/Olympus")),
        ] {
            assert!(MomentForm::new(format, zone).is_err(), "{format:?} {zone:?}");
        }
        let berlin = MomentForm::new(None, Some("Europe/Berlin")).unwrap();
        assert!(berlin.read("2026-03-29 02:30").unwrap_err().contains("never came"));
        assert!(berlin.read("soon").is_err());
        assert!(MomentForm::new(Some("%Y%m%d"), None).unwrap().read("19971340").is_err());
        assert!(
            MomentForm::new(Some("%Y%m%d"), None)
                .unwrap()
                .read("19970118x")
                .is_err()
        );
        assert!(
            MomentForm::new(Some("unix_seconds"), None)
                .unwrap()
                .read("99999999999999")
                .is_err()
        );
    }
}
