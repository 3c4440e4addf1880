//! The table that pins what every test says of every kind of value, and the instants at which answers turn.

use super::*;
use proptest::prelude::*;

fn number(text: &str) -> Value {
    Value::Number(text.parse().unwrap())
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

const NOW: &str = "2026-06-15T12:00:00Z";

/// The columns of the table: missing, null, empty text, text, number, truth value, list, object, time.
fn columns() -> [Option<Value>; 9] {
    [
        None,
        Some(Value::Null),
        Some(Value::from("")),
        Some(Value::from("gold")),
        Some(number("5")),
        Some(Value::from(true)),
        Some(Value::Array(vec![Value::from("gold"), number("5")])),
        Some(Value::Object(vec![("gold".into(), number("5"))])),
        Some(Value::from("2026-06-14T12:00:00Z")),
    ]
}

#[test]
fn seg_1_every_test_has_one_answer_for_every_kind_of_value() {
    use ValueTest::*;
    let day = Duration::from_days;
    // A column for each kind of value above: 1 true, 0 false.
    let table = [
        (Equals(Value::from("gold")), "000100000"),
        (NotEquals(Value::from("gold")), "111011111"),
        (Equals(Value::from("")), "001000000"),
        (Equals(number("5")), "000010000"),
        (Equals(number("5.0")), "000010000"),
        (Equals(Value::from("5")), "000000000"),
        (Equals(Value::from(true)), "000001000"),
        (GreaterThan(decimal("4.9")), "000010000"),
        (GreaterThan(decimal("5")), "000000000"),
        (GreaterOrEqual(decimal("5")), "000010000"),
        (LessThan(decimal("5")), "000000000"),
        (LessOrEqual(decimal("5")), "000010000"),
        (Contains(Value::from("ol")), "000100000"),
        (Contains(Value::from("gold")), "000100100"),
        (Contains(number("5")), "000000100"),
        (Contains(Value::from("GOLD")), "000000000"),
        (StartsWith("go".into()), "000100000"),
        (StartsWith("".into()), "001100001"),
        (EndsWith("ld".into()), "000100000"),
        (AnyOf(vec![Value::from("gold"), number("5")]), "000110000"),
        (NoneOf(vec![Value::from("gold"), number("5")]), "111001111"),
        (Exists, "001111111"),
        (NotExists, "110000000"),
        (Before(at("2026-06-14T12:00:00Z")), "000000000"),
        (Before(at("2026-06-14T12:00:01Z")), "000000001"),
        (After(at("2026-06-14T12:00:00Z")), "000000000"),
        (After(at("2026-06-14T11:59:59Z")), "000000001"),
        (WithinLast(day(1)), "000000000"),
        (WithinLast(day(2)), "000000001"),
        (BeforeLast(day(1)), "000000001"),
        (BeforeLast(day(2)), "000000000"),
    ];
    for (test, expected) in table {
        let answers: String = columns()
            .iter()
            .map(|value| if test.test(value.as_ref(), at(NOW)) { '1' } else { '0' })
            .collect();
        assert_eq!(answers, expected, "{test:?}");
    }
}

#[test]
fn seg_2_a_window_on_a_date_turns_at_its_two_ends() {
    let value = Value::from("2026-06-14T12:00:00Z");
    let (time, span) = (at("2026-06-14T12:00:00Z"), Duration::from_days(1));
    let micro = Duration::from_micros(1);
    let within = ValueTest::WithinLast(span);
    assert!(!within.test(Some(&value), time - micro));
    assert!(within.test(Some(&value), time));
    assert!(within.test(Some(&value), time + span - micro));
    assert!(!within.test(Some(&value), time + span));
    assert_eq!(within.next_change(Some(&value), time - micro), Some(time));
    assert_eq!(within.next_change(Some(&value), time), Some(time + span));
    assert_eq!(within.next_change(Some(&value), time + span), None);
    let before = ValueTest::BeforeLast(span);
    assert_eq!(before.next_change(Some(&value), time - micro), Some(time + span));
    assert_eq!(before.next_change(Some(&value), time + span), None);
    assert_eq!(before.next_change(None, time), None);
    assert_eq!(before.next_change(Some(&Value::from("soon")), time), None);
    assert_eq!(ValueTest::After(time).next_change(Some(&value), time), None);
}

proptest! {
    #[test]
    fn seg_2_between_two_changes_the_answer_stays(time in -100_i64..100, span in 1_i64..50, after in -200_i64..200, within: bool) {
        let base = at("2026-01-01T00:00:00Z");
        let seconds = |count: i64| base + Duration::from_secs(count);
        let value = Value::from(seconds(time).to_string().as_str());
        let span = Duration::from_secs(span);
        let test = if within { ValueTest::WithinLast(span) } else { ValueTest::BeforeLast(span) };
        let held = test.test(Some(&value), seconds(after));
        let change = test.next_change(Some(&value), seconds(after));
        for second in after..300 {
            let turned = change.is_some_and(|change| seconds(second) >= change);
            if turned {
                prop_assert_ne!(test.test(Some(&value), seconds(second)), held);
                break;
            }
            prop_assert_eq!(test.test(Some(&value), seconds(second)), held);
        }
    }
}
