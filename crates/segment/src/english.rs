//! Conditions in plain English, for plans, the console and explanations.
//!
//! The words follow the definitions exactly (`at least 50`, `in the last 30 days`); they are for reading and are never
//! read back.

use crate::{
    Bucket, Condition, Consent, CountRange, Lifecycle, Performed, SegmentDefinition, SequencePerformed, Stage,
};
use kith_expr::{Condition as EventCondition, EventFilter, FieldRoot, Follows, ValueTest, Window};
use kith_types::{Duration, EventType, SegmentName, Timestamp, Value};

impl SegmentDefinition {
    /// The definition in plain English: a sentence or, for a tree, a list with a line for each condition.
    #[must_use]
    pub fn in_english(&self) -> String {
        let mut text = String::from("Everybody for whom ");
        write_condition(&self.condition, 0, &mut text);
        text.push('\n');
        text
    }
}

fn write_condition(condition: &Condition, depth: usize, out: &mut String) {
    match condition {
        Condition::All(parts) => write_parts("all of these are so:", parts, depth, out),
        Condition::Any(parts) => write_parts("at least one of these is so:", parts, depth, out),
        Condition::Not(part) => {
            out.push_str("it is not so that ");
            write_condition(part, depth, out);
        }
        Condition::Performed(performed) => out.push_str(&performed_phrase(performed)),
        Condition::Sequence(performed) => out.push_str(&sequence_phrase(performed)),
        Condition::Lifecycle(lifecycle) => out.push_str(&lifecycle_phrase(lifecycle)),
        Condition::Trait { name, test } => out.push_str(&test_phrase(name, test)),
        Condition::ComputedTrait { name, test } => out.push_str(&test_phrase(&format!("computed trait {name}"), test)),
        Condition::Account(condition) => out.push_str(&condition.phrase()),
        Condition::Consent { category, answer } => out.push_str(&consent_phrase(category, *answer)),
        Condition::Bucket(bucket) => out.push_str(&bucket_phrase(bucket)),
        Condition::Listed(listed) => out.push_str(&listed_phrase(listed.identifiers().len())),
        Condition::Segment(name) => out.push_str(&segment_phrase(name)),
    }
}

fn write_parts(head: &str, parts: &[Condition], depth: usize, out: &mut String) {
    out.push_str(head);
    for part in parts {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
        out.push_str("- ");
        write_condition(part, depth + 1, out);
    }
}

/// `they did "Order Completed" at least 2 times in the last 30 days, where total is at least 50`
pub(crate) fn performed_phrase(performed: &Performed) -> String {
    let Performed { filter, count, window } = performed;
    let mut text = String::from("they ");
    if *count == CountRange::NEVER {
        text.push_str("did not do ");
        text.push_str(&events_phrase(filter, false));
    } else {
        text.push_str("did ");
        text.push_str(&events_phrase(filter, true));
        text.push(' ');
        text.push_str(&count_phrase(*count));
    }
    text.push_str(&window_phrase(window));
    if filter.condition() != &EventCondition::ALWAYS {
        text.push_str(", where ");
        text.push_str(&event_condition_phrase(filter.condition(), false));
    }
    text
}

/// `they did "Cart Updated" and less than 2 hours later not "Order Completed" with the same cart_id, at least once`
pub(crate) fn sequence_phrase(performed: &SequencePerformed) -> String {
    let sequence = &performed.sequence;
    let then = filter_phrase(&sequence.then);
    let follows = match sequence.follows {
        Follows::Nothing { until } => format!("not {then} for {} after it", span_phrase(until)),
        Follows::Next { from, until } => {
            let mut gaps = Vec::new();
            if from.as_micros() > 0 {
                gaps.push(format!("at least {}", span_phrase(from)));
            }
            gaps.extend(until.map(|until| format!("less than {}", span_phrase(until))));
            match gaps.is_empty() {
                true => format!("next {then}"),
                false => format!("next, {} later, {then}", gaps.join(" and ")),
            }
        }
    };
    let same = sequence.same.as_ref();
    let same = same.map_or_else(String::new, |path| format!(", with the same {path}"));
    let count = if performed.count == CountRange::NEVER {
        "never".to_owned()
    } else {
        count_phrase(performed.count)
    };
    format!(
        "they did {} and {follows}{same}: {count}{}",
        filter_phrase(&performed.first),
        window_phrase(&performed.window)
    )
}

/// `they did "Order Completed" for the first time in the last 30 days`
pub(crate) fn lifecycle_phrase(lifecycle: &Lifecycle) -> String {
    let events = filter_phrase(&lifecycle.filter);
    match lifecycle.stage {
        Stage::FirstTime { last } => format!("they did {events} for the first time in the last {}", span_phrase(last)),
        Stage::Regularly { every, times } => {
            format!(
                "they did {events} in each of the last {times} spans of {}",
                span_phrase(every)
            )
        }
        Stage::Stopped { after } => format!("they did {events}, but not in the last {}", span_phrase(after)),
        Stage::CameBack { after, last } => format!(
            "they did {events} in the last {}, after {} or longer without",
            span_phrase(last),
            span_phrase(after)
        ),
    }
}

/// `they are in the 0 to 50 percent drawn by "spring"`
pub(crate) fn bucket_phrase(bucket: &Bucket) -> String {
    format!("they are in the {} drawn by {:?}", bucket_share(bucket), bucket.salt)
}

/// `0 to 50 percent`
pub(crate) fn bucket_share(bucket: &Bucket) -> String {
    let (from, to) = bucket.percents();
    format!("{from} to {to} percent")
}

/// `they are one of a list of 12 identifiers`
pub(crate) fn listed_phrase(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("they are on a list of {count} identifier{plural}")
}

pub(crate) fn segment_phrase(name: &SegmentName) -> String {
    format!("they are in segment {name}")
}

/// `"Order Completed" (where total is at least 50)`
fn filter_phrase(filter: &EventFilter) -> String {
    let events = events_phrase(filter, true);
    if filter.condition() == &EventCondition::ALWAYS {
        return events;
    }
    format!("{events} (where {})", event_condition_phrase(filter.condition(), false))
}

fn events_phrase(filter: &EventFilter, positive: bool) -> String {
    let names: Vec<String> = filter.names().iter().map(|name| format!("{name:?}")).collect();
    match (filter.types(), names.is_empty()) {
        ([EventType::Track], false) => names.join(" or "),
        ([], true) => if positive { "something" } else { "anything" }.to_owned(),
        (types, unnamed) => {
            let types: Vec<&str> = types.iter().map(|kind| kind.as_str()).collect();
            let types = format!("a call of type {}", types.join(" or "));
            if unnamed {
                types
            } else {
                format!("{} ({types})", names.join(" or "))
            }
        }
    }
}

/// `at least once`, `exactly 3 times`, `2 to 5 times`
pub(crate) fn count_phrase(count: CountRange) -> String {
    let times = |count: u64| {
        if count == 1 {
            "once".to_owned()
        } else {
            format!("{count} times")
        }
    };
    match (count.low(), count.high()) {
        (low, None) => format!("at least {}", times(low)),
        (low, Some(high)) if low == high => format!("exactly {}", times(low)),
        (0, Some(high)) => format!("at most {}", times(high)),
        (low, Some(high)) => format!("{low} to {high} times"),
    }
}

fn window_phrase(window: &Window) -> String {
    match window {
        Window::AllTime => String::new(),
        Window::Last(span) => format!(" in the last {}", span_phrase(*span)),
        Window::BeforeLast(span) => format!(" at least {} ago", span_phrase(*span)),
        Window::Ago { from, to } => format!(" between {} and {} ago", span_phrase(*from), span_phrase(*to)),
        Window::Calendar(periods) => {
            let (unit, zone) = (periods.unit.as_str(), periods.zone.name());
            match periods.previous {
                0 => format!(" this {unit} ({zone})"),
                1 => format!(" in the {unit} before this one ({zone})"),
                count => format!(" in the {count} {unit}s before this one ({zone})"),
            }
        }
        Window::Between {
            from,
            to: Timestamp::MAX,
        } => format!(" at or after {from}"),
        Window::Between {
            from: Timestamp::MIN,
            to,
        } => format!(" before {to}"),
        Window::Between { from, to } => format!(" from {from} until before {to}"),
    }
}

/// A span in its largest whole unit: `30 days`, `1 hour`.
fn span_phrase(span: Duration) -> String {
    const UNITS: [(i64, &str); 5] = [
        (86_400_000_000, "day"),
        (3_600_000_000, "hour"),
        (60_000_000, "minute"),
        (1_000_000, "second"),
        (1_000, "millisecond"),
    ];
    let micros = span.as_micros();
    let whole = UNITS.into_iter().find(|(size, _)| micros % size == 0);
    let (count, unit) = whole.map_or((micros, "microsecond"), |(size, unit)| (micros / size, unit));
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn event_condition_phrase(condition: &EventCondition, inside: bool) -> String {
    let joined = |parts: &[EventCondition], word: &str| {
        let parts: Vec<String> = parts.iter().map(|part| event_condition_phrase(part, true)).collect();
        let text = parts.join(word);
        if inside && parts.len() > 1 {
            format!("({text})")
        } else {
            text
        }
    };
    match condition {
        EventCondition::All(parts) => joined(parts, " and "),
        EventCondition::Any(parts) => joined(parts, " or "),
        EventCondition::Not(part) => format!("not ({})", event_condition_phrase(part, false)),
        EventCondition::Test(field, test) => match field.root {
            FieldRoot::Properties => test_phrase(field.path.as_str(), test),
            root => test_phrase(&format!("{} {}", root.as_str(), field.path), test),
        },
    }
}

/// `country is "DE"`
pub(crate) fn test_phrase(subject: &str, test: &ValueTest) -> String {
    format!("{subject} {}", expectation_phrase(test))
}

/// `is "DE"`, `is at least 50`: what the value must be.
pub(crate) fn expectation_phrase(test: &ValueTest) -> String {
    let list = |values: &[Value]| values.iter().map(Value::to_json).collect::<Vec<_>>().join(", ");
    match test {
        ValueTest::Equals(operand) => format!("is {}", operand.to_json()),
        ValueTest::NotEquals(operand) => format!("is not {}", operand.to_json()),
        ValueTest::GreaterThan(number) => format!("is more than {number}"),
        ValueTest::GreaterOrEqual(number) => format!("is at least {number}"),
        ValueTest::LessThan(number) => format!("is less than {number}"),
        ValueTest::LessOrEqual(number) => format!("is at most {number}"),
        ValueTest::Contains(operand) => format!("contains {}", operand.to_json()),
        ValueTest::StartsWith(text) => format!("starts with {text:?}"),
        ValueTest::EndsWith(text) => format!("ends with {text:?}"),
        ValueTest::AnyOf(operands) => format!("is one of {}", list(operands)),
        ValueTest::NoneOf(operands) => format!("is none of {}", list(operands)),
        ValueTest::Exists => "is known".to_owned(),
        ValueTest::NotExists => "is not known".to_owned(),
        ValueTest::Before(time) => format!("is before {time}"),
        ValueTest::After(time) => format!("is after {time}"),
        ValueTest::WithinLast(span) => format!("is within the last {}", span_phrase(*span)),
        ValueTest::Near(area) => format!(
            "is within {} metres of latitude {}, longitude {}",
            area.metres(),
            area.latitude(),
            area.longitude()
        ),
        ValueTest::BeforeLast(span) => format!("is at least {} ago", span_phrase(*span)),
    }
}

/// `consent to marketing is granted`
pub(crate) fn consent_phrase(category: &str, answer: Consent) -> String {
    format!("consent to {category} is {}", answer.as_str())
}
