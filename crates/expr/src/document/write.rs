//! Filters, tests and aggregates back as documents, and the canonical text that names an aggregate.

use super::area::area_value;
use super::json_of_value;
use super::sequence::sequence_fields;
use crate::{AggregateSpec, Condition, EventFilter, Periods, ValueTest, Window};
use kith_types::{Duration, EventType, Object, Timestamp, Value};
use serde_json::Value as Json;

/// The document of an aggregate, as [`super::parse_aggregate`] reads it.
#[must_use]
pub fn write_aggregate(spec: &AggregateSpec) -> Json {
    json_of_value(&aggregate_value(spec))
}

/// The fields of a filter, as [`super::parse_filter_fields`] reads them.
#[must_use]
pub fn write_filter_fields(filter: &EventFilter) -> serde_json::Map<String, Json> {
    let mut fields = Object::new();
    filter_fields(filter, &mut fields);
    fields
        .iter()
        .map(|(key, value)| (key.to_string(), json_of_value(value)))
        .collect()
}

/// The key and operand of a test, as [`super::parse_value_test`] reads them.
#[must_use]
pub fn write_value_test(test: &ValueTest) -> (&'static str, Json) {
    let (key, operand) = test_field(test);
    (key, json_of_value(&operand))
}

/// The document of a window, as [`super::parse_window`] reads it.
#[must_use]
pub fn write_window(window: &Window) -> Json {
    json_of_value(&window_value(window))
}

/// The text whose hash names an aggregate: its document with exact numbers, every list sorted and without
/// repetitions, since all lists in it are sets.
pub(crate) fn canonical_text(spec: &AggregateSpec) -> String {
    let mut document = aggregate_value(spec);
    sort_lists(&mut document);
    document.to_json()
}

fn sort_lists(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(sort_lists);
            items.sort_by_cached_key(Value::to_json);
            items.dedup();
        }
        Value::Object(fields) => fields.iter_mut().for_each(|(_, value)| sort_lists(value)),
        _ => {}
    }
}

fn aggregate_value(spec: &AggregateSpec) -> Value {
    let mut fields = vec![("function".into(), Value::from(spec.function.as_str()))];
    match &spec.sequence {
        None => filter_fields(&spec.filter, &mut fields),
        Some(sequence) => fields.push((
            "sequence".into(),
            Value::Object(sequence_fields(&spec.filter, sequence)),
        )),
    }
    if let Some(property) = &spec.property {
        fields.push(("property".into(), Value::from(property.as_str())));
    }
    if spec.window != Window::AllTime {
        fields.push(("window".into(), window_value(&spec.window)));
    }
    Value::Object(fields)
}

pub(super) fn filter_fields(filter: &EventFilter, fields: &mut Object) {
    let mut put = |one: &str, more: &str, words: Vec<&str>| match words.as_slice() {
        [] => {}
        [word] => fields.push((one.into(), Value::from(*word))),
        words => fields.push((
            more.into(),
            Value::Array(words.iter().map(|word| Value::from(*word)).collect()),
        )),
    };
    match filter.types() {
        [] => put("type", "types", vec!["any"]),
        [EventType::Track] if !filter.names().is_empty() => {}
        types => put("type", "types", types.iter().map(|kind| kind.as_str()).collect()),
    }
    put("event", "events", filter.names().iter().map(|name| &**name).collect());
    if filter.condition() != &Condition::ALWAYS {
        fields.push(("where".into(), condition_value(filter.condition())));
    }
}

fn condition_value(condition: &Condition) -> Value {
    let list = |parts: &[Condition]| Value::Array(parts.iter().map(condition_value).collect());
    let fields = match condition {
        Condition::All(parts) => vec![("all".into(), list(parts))],
        Condition::Any(parts) => vec![("any".into(), list(parts))],
        Condition::Not(part) => vec![("not".into(), condition_value(part))],
        Condition::Test(field, test) => {
            let (key, operand) = test_field(test);
            vec![
                (field.root.as_str().into(), Value::from(field.path.as_str())),
                (key.into(), operand),
            ]
        }
    };
    Value::Object(fields)
}

fn test_field(test: &ValueTest) -> (&'static str, Value) {
    let moment = |moment: &Timestamp| Value::from(moment.to_string().as_str());
    match test {
        ValueTest::Equals(operand) => ("equals", operand.clone()),
        ValueTest::NotEquals(operand) => ("not_equals", operand.clone()),
        ValueTest::GreaterThan(number) => ("greater_than", Value::Number(*number)),
        ValueTest::GreaterOrEqual(number) => ("greater_or_equal", Value::Number(*number)),
        ValueTest::LessThan(number) => ("less_than", Value::Number(*number)),
        ValueTest::LessOrEqual(number) => ("less_or_equal", Value::Number(*number)),
        ValueTest::Contains(operand) => ("contains", operand.clone()),
        ValueTest::StartsWith(text) => ("starts_with", Value::from(&**text)),
        ValueTest::EndsWith(text) => ("ends_with", Value::from(&**text)),
        ValueTest::AnyOf(operands) => ("any_of", Value::Array(operands.clone())),
        ValueTest::NoneOf(operands) => ("none_of", Value::Array(operands.clone())),
        ValueTest::Exists => ("exists", Value::Bool(true)),
        ValueTest::NotExists => ("exists", Value::Bool(false)),
        ValueTest::Before(time) => ("before", moment(time)),
        ValueTest::After(time) => ("after", moment(time)),
        ValueTest::WithinLast(span) => ("within_last", Value::from(span.to_string().as_str())),
        ValueTest::BeforeLast(span) => ("before_last", Value::from(span.to_string().as_str())),
        ValueTest::Near(area) => ("near", area_value(area)),
    }
}

fn span_value(span: Duration) -> Value {
    Value::from(span.to_string().as_str())
}

fn calendar_value(periods: &Periods) -> Value {
    let key = if periods.previous == 0 { "this" } else { "previous" };
    let mut fields: Object = vec![(key.into(), Value::from(periods.unit.as_str()))];
    if periods.previous > 1 {
        fields.push(("count".into(), Value::from(i64::from(periods.previous))));
    }
    fields.push(("zone".into(), Value::from(periods.zone.name())));
    Value::Object(fields)
}

fn window_value(window: &Window) -> Value {
    match window {
        Window::AllTime => Value::from("all_time"),
        Window::Last(span) => Value::Object(vec![("last".into(), span_value(*span))]),
        Window::BeforeLast(span) => Value::Object(vec![("before_last".into(), span_value(*span))]),
        Window::Ago { from, to } => {
            let ends = vec![("from".into(), span_value(*from)), ("to".into(), span_value(*to))];
            Value::Object(vec![("ago".into(), Value::Object(ends))])
        }
        Window::Calendar(periods) => calendar_value(periods),
        Window::Between { from, to } => {
            let mut ends = Object::new();
            // The ends of time stand for an end that was left out; one of the two is always written.
            if *from != Timestamp::MIN || *to == Timestamp::MAX {
                ends.push(("from".into(), Value::from(from.to_string().as_str())));
            }
            if *to != Timestamp::MAX {
                ends.push(("to".into(), Value::from(to.to_string().as_str())));
            }
            Value::Object(vec![("between".into(), Value::Object(ends))])
        }
    }
}
