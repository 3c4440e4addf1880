//! Instants and spans as documents and events write them, in microseconds; read by arithmetic alone.

const DAY: i64 = 86_400_000_000;

/// The days from 1970-01-01 to a date of the Gregorian calendar.
///
/// Years are counted from March, so that a leap day ends one; 146,097 days are 400 years.
fn days_until(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day, the other way round.
fn date_of(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// An instant as ISO 8601 in UTC.
#[must_use]
pub fn iso(micros: i64) -> String {
    let (year, month, day) = date_of(micros.div_euclid(DAY));
    let rest = micros.rem_euclid(DAY);
    let seconds = rest / 1_000_000;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        rest % 1_000_000
    )
}

/// The instant that a text says: a date, or a date and a time with up to six places, in UTC or with `Z`.
#[must_use]
pub fn moment(text: &str) -> Option<i64> {
    let digits = |text: &str, count: usize| -> Option<i64> {
        let all = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| text.parse().ok()).flatten()
    };
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00"));
    let mut parts = date.split('-');
    let mut next = |count| digits(parts.next()?, count);
    let (year, month, day) = (next(4)?, next(2)?, next(2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let time = time.strip_suffix('Z').unwrap_or(time);
    let (whole, places) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = whole.split(':');
    let mut next = || digits(parts.next()?, 2);
    let seconds = next()? * 3_600 + next()? * 60 + next()?;
    let micros = digits(&format!("{places:0<6}"), 6)?;
    Some(days_until(year, month, day) * DAY + seconds * 1_000_000 + micros)
}

/// The span that a document writes: a whole number and a unit.
pub(crate) fn span(text: &str) -> i64 {
    let unit = text.trim_start_matches(|character: char| character.is_ascii_digit());
    let count: i64 = text[..text.len() - unit.len()]
        .parse()
        .unwrap_or_else(|_| panic!("no span: {text}"));
    count
        * match unit {
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => DAY,
            "w" => 7 * DAY,
            _ => panic!("no span: {text}"),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_they_are_written() {
        assert_eq!(moment("1970-01-01"), Some(0));
        assert_eq!(moment("2023-11-14T22:13:20Z"), Some(1_700_000_000_000_000));
        assert_eq!(iso(951_782_400_000_001), "2000-02-29T00:00:00.000001Z");
        assert_eq!(moment("9999-12-31T23:59:59.999Z"), Some(253_402_300_799_999_000));
        assert_eq!(moment("0001-01-01T00:00:00Z"), Some(-62_135_596_800_000_000));
        for day in -719_162..2_932_896 {
            let micros = day * DAY + day.rem_euclid(86_399) * 1_000_007;
            assert_eq!(moment(&iso(micros)), Some(micros));
        }
        assert!(
            ["soon", "2024-0", "2024-13-01", "24-01-01", "2024-01-01T1:00:00Z"]
                .iter()
                .all(|text| moment(text).is_none())
        );
        assert_eq!(span("12h"), 43_200_000_000);
    }
}
