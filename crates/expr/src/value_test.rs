//! A question about one value: the leaf of every condition.
//!
//! The rules, pinned by the table in the tests beside this file:
//! - `null` is the same as a missing value.
//! - A test on a missing value, or on one of another type, is false. There is no conversion: the text `"5"` is not
//!   the number 5.
//! - `not_equals` and `none_of` are the exact opposites of `equals` and `any_of`, `not_exists` of `exists`: they are
//!   true of a missing value. So every test is either true or false, and `not` always turns it round.
//! - Text compares by its code points, case sensitive. An empty text exists.
//! - Tests of dates read text as ISO 8601; a text that is no time is mistyped. `before` and `after` are strict.
//! - `within_last: N` is `(now - N, now]`, `before_last: N` is up to and including `now - N`.

use crate::Area;
use kith_types::{Decimal, Duration, Timestamp, Value};
use std::cmp::Ordering;

#[cfg(test)]
mod tests;

/// A question about one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueTest {
    /// The same text, number or truth value.
    Equals(Value),
    /// The opposite of [`ValueTest::Equals`].
    NotEquals(Value),
    /// A number above this one.
    GreaterThan(Decimal),
    /// A number above or equal to this one.
    GreaterOrEqual(Decimal),
    /// A number below this one.
    LessThan(Decimal),
    /// A number below or equal to this one.
    LessOrEqual(Decimal),
    /// A text that holds this text, or a list that holds this value.
    Contains(Value),
    /// A text that starts so.
    StartsWith(Box<str>),
    /// A text that ends so.
    EndsWith(Box<str>),
    /// Equal to one of these.
    AnyOf(Vec<Value>),
    /// The opposite of [`ValueTest::AnyOf`].
    NoneOf(Vec<Value>),
    /// There is a value, and it is not `null`.
    Exists,
    /// The opposite of [`ValueTest::Exists`].
    NotExists,
    /// A time before this moment.
    Before(Timestamp),
    /// A time after this moment.
    After(Timestamp),
    /// A time in `(now - span, now]`.
    WithinLast(Duration),
    /// A time at or before `now - span`.
    BeforeLast(Duration),
    /// A place within a circle.
    Near(Area),
}

impl ValueTest {
    /// Whether the test holds of `value` at the instant `now`.
    #[must_use]
    pub fn test(&self, value: Option<&Value>, now: Timestamp) -> bool {
        let value = value.unwrap_or(&Value::Null);
        let number = |holds: fn(Ordering) -> bool, operand: &Decimal| {
            value.as_number().is_some_and(|number| holds(compare(&number, operand)))
        };
        match self {
            Self::Equals(operand) => value != &Value::Null && value == operand,
            Self::NotEquals(operand) => value == &Value::Null || value != operand,
            Self::GreaterThan(operand) => number(Ordering::is_gt, operand),
            Self::GreaterOrEqual(operand) => number(Ordering::is_ge, operand),
            Self::LessThan(operand) => number(Ordering::is_lt, operand),
            Self::LessOrEqual(operand) => number(Ordering::is_le, operand),
            Self::Contains(operand) => match (value, operand) {
                (Value::String(text), Value::String(part)) => text.contains(&**part),
                (Value::Array(items), operand) => items.contains(operand),
                _ => false,
            },
            Self::StartsWith(start) => value.as_str().is_some_and(|text| text.starts_with(&**start)),
            Self::EndsWith(end) => value.as_str().is_some_and(|text| text.ends_with(&**end)),
            Self::AnyOf(operands) => value != &Value::Null && operands.contains(value),
            Self::NoneOf(operands) => value == &Value::Null || !operands.contains(value),
            Self::Exists => value != &Value::Null,
            Self::NotExists => value == &Value::Null,
            Self::Before(moment) => time_of(value).is_some_and(|time| time < *moment),
            Self::After(moment) => time_of(value).is_some_and(|time| time > *moment),
            Self::WithinLast(span) => time_of(value).is_some_and(|time| time <= now && now - time < *span),
            Self::BeforeLast(span) => time_of(value).is_some_and(|time| now - time >= *span),
            Self::Near(area) => area.contains(value),
        }
    }

    /// The next instant, strictly after `after`, at which the answer turns with nothing but time passing.
    #[must_use]
    pub fn next_change(&self, value: Option<&Value>, after: Timestamp) -> Option<Timestamp> {
        let (span, starts_at_time) = match self {
            Self::WithinLast(span) => (*span, true),
            Self::BeforeLast(span) => (*span, false),
            _ => return None,
        };
        let time = time_of(value?)?;
        if starts_at_time && time > after {
            return Some(time);
        }
        let passes = Timestamp::from_micros(time.as_micros().saturating_add(span.as_micros()));
        (passes > after && passes <= Timestamp::MAX).then_some(passes)
    }

    /// Whether the answer depends on the present moment as well as on the value.
    #[must_use]
    pub fn is_clock_relative(&self) -> bool {
        matches!(self, Self::WithinLast(_) | Self::BeforeLast(_))
    }
}

/// The order of two numbers; those of usual size need no digit by digit comparison.
fn compare(one: &Decimal, other: &Decimal) -> Ordering {
    match (one.to_scale_18(), other.to_scale_18()) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => one.cmp(other),
    }
}

fn time_of(value: &Value) -> Option<Timestamp> {
    // Every form that is read starts with a digit; most texts are refused without trying the forms.
    value
        .as_str()
        .filter(|text| text.as_bytes().first().is_some_and(u8::is_ascii_digit))
        .and_then(|text| Timestamp::parse(text).ok())
}
