//! Caps and quiet hours as they are read, and the end of quiet hours against a walk over every minute.

use super::{CapScope, Quiet, QuietChoice, SendingRules, read_quiet_choice};
use chrono::{TimeZone, Timelike};
use chrono_tz::Tz;
use kith_types::{Duration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

fn quiet(from: &str, until: &str, zone: Tz) -> Quiet {
    let spec = json!({ "from": from, "until": until });
    let mut problems = Vec::new();
    let QuietChoice::Own(hours) = read_quiet_choice(Some(&spec), &mut problems) else {
        panic!("{problems:?}")
    };
    Quiet { hours, zone }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

#[test]
fn act_1_quiet_hours_end_by_the_clock_of_the_person() {
    let berlin = quiet("21:00", "08:00", chrono_tz::Europe::Berlin);
    let cases = [
        ("2026-01-10T19:59:59Z", None),
        ("2026-01-10T20:00:00Z", Some("2026-01-11T07:00:00Z")),
        ("2026-01-11T06:59:59Z", Some("2026-01-11T07:00:00Z")),
        ("2026-01-11T07:00:00Z", None),
        // The night in which summer time begins, and the one in which it ends.
        ("2026-03-28T22:00:00Z", Some("2026-03-29T06:00:00Z")),
        ("2026-10-24T22:00:00Z", Some("2026-10-25T07:00:00Z")),
    ];
    for (moment, end) in cases {
        assert_eq!(berlin.ends(at(moment)), end.map(at), "{moment}");
    }
    // The end is skipped (02:30 does not exist that night), or comes twice.
    let skipped = quiet("01:00", "02:30", chrono_tz::Europe::Berlin);
    assert_eq!(
        skipped.ends(at("2026-03-29T00:30:00Z")),
        Some(at("2026-03-29T01:00:00Z"))
    );
    assert_eq!(
        skipped.ends(at("2026-10-24T23:30:00Z")),
        Some(at("2026-10-25T00:30:00Z"))
    );
    assert_eq!(skipped.ends(at("2026-10-25T00:45:00Z")), None, "between the two");
    assert_eq!(
        skipped.ends(at("2026-10-25T01:15:00Z")),
        Some(at("2026-10-25T01:30:00Z"))
    );
    // Samoa had no 30 December 2011; its night ends on the 31st.
    let samoa = quiet("21:00", "08:00", chrono_tz::Pacific::Apia);
    assert_eq!(samoa.ends(at("2011-12-30T09:00:00Z")), Some(at("2011-12-30T18:00:00Z")));
}

fn is_quiet(minute: i64, zone: Tz, from: u32, until: u32) -> bool {
    let local = zone.timestamp_opt(minute * 60, 0).unwrap();
    let of_day = local.hour() * 60 + local.minute();
    if from < until {
        (from..until).contains(&of_day)
    } else {
        of_day >= from || of_day < until
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn act_1_quiet_hours_end_at_the_first_minute_that_is_not_quiet(
        zone in 0..chrono_tz::TZ_VARIANTS.len(),
        // 2000 to 2037.
        minute in 15_778_080_i64..35_240_000,
        from in 0..1_440_u32,
        length in 1..1_440_u32,
    ) {
        let zone = chrono_tz::TZ_VARIANTS[zone];
        let until = (from + length) % 1_440;
        let text = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        let quiet = quiet(&text(from), &text(until), zone);
        let now = Timestamp::from_millis(minute * 60_000);
        let expected = (minute..).find(|one| !is_quiet(*one, zone, from, until)).unwrap();
        let found = quiet.ends(now).unwrap_or(now);
        prop_assert_eq!(found, Timestamp::from_millis(expected * 60_000), "{} {:?}", zone, quiet);
    }
}

#[test]
fn act_1_rules_of_a_space_are_read() {
    let spec = json!({
        "zone": "Europe/Berlin",
        "caps": [{ "at_most": 3, "within": "7d" }, { "at_most": 1, "within": "24h", "channel": "email" }],
        "quiet_hours": { "from": "21:00", "until": "08:00" },
    });
    let rules = SendingRules::parse(&spec).unwrap();
    let scopes: Vec<CapScope> = rules.caps(&[], true).iter().map(|cap| cap.scope).collect();
    assert_eq!(scopes, [CapScope::Person, CapScope::Channel]);
    assert_eq!(rules.caps(&[], true)[0].within, Duration::from_days(7));
    assert!(rules.caps(&[], false).is_empty(), "a receipt is no marketing");
    assert!(rules.quiet_hours(QuietChoice::OfSpace, true).is_some());
    assert!(rules.quiet_hours(QuietChoice::OfSpace, false).is_none());
    assert!(rules.quiet_hours(QuietChoice::Never, true).is_none());
    assert_eq!(rules.zone_of(None), chrono_tz::Europe::Berlin);
    assert_eq!(rules.zone_of(Some("nowhere")), chrono_tz::Europe::Berlin);
    assert_eq!(rules.zone_of(Some(" Asia/Tokyo")), chrono_tz::Asia::Tokyo);
}

#[test]
fn act_1_wrong_rules_say_where_and_how_to_mend_it() {
    let cases: [(Value, &str, &str); 10] = [
        (json!([]), "", "object with zone, caps"),
        (json!({ "cap": [] }), "cap", "did you mean \"caps\"?"),
        (json!({ "zone": "Berlin" }), "zone", "Europe/Berlin"),
        (json!({ "caps": {} }), "caps", "a list of at most 8"),
        (
            json!({ "caps": [{ "at_most": 1, "within": "1d" }, 3] }),
            "caps[1]",
            "an object",
        ),
        (
            json!({ "caps": [{ "at_most": 0, "within": "1d" }] }),
            "caps[0].at_most",
            "1 to 1000",
        ),
        (
            json!({ "caps": [{ "at_most": 1, "within": "1s" }] }),
            "caps[0].within",
            "1 minute",
        ),
        (
            json!({ "caps": [{ "at_most": 1, "within": "1d", "channel": "sms" }] }),
            "caps[0].channel",
            "must be \"email\"",
        ),
        (
            json!({ "quiet_hours": { "from": 1260, "until": "08:00" } }),
            "quiet_hours.from",
            "in quotes",
        ),
        (
            json!({ "quiet_hours": { "from": "08:00", "until": "08:00" } }),
            "quiet_hours.until",
            "must differ",
        ),
    ];
    for (spec, path, message) in cases {
        let problems = SendingRules::parse(&spec).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].path, path);
        assert!(problems[0].message.contains(message), "{problems:?}");
    }
}
