//! The documents of this crate: JSON (and what YAML reads into) to filters, tests and aggregates, and back.
//!
//! The wire form is converted by hand, so the types of the crate stay free of it. Every error names the offending
//! place by its path and, for a word that is not known, the nearest word that is. Unknown keys are refused. The
//! segment crate reads its own documents with the same pieces. Nothing here reads files or YAML text.

mod area;
mod error;
mod scalars;
mod sequence;
mod window;
mod write;

#[cfg(test)]
mod tests;

pub use error::{Beside, DocumentError, MISTAKES_MAX, kind_of, nearest, read_each, with_keys};
pub use scalars::{json_of_value, parse_duration, parse_path, parse_timestamp, value_of_json};
pub use sequence::{SEQUENCE_KEYS, parse_sequence_fields, write_sequence_fields};
pub use window::{WINDOW_KEYS, parse_window};
pub use write::{write_aggregate, write_filter_fields, write_value_test, write_window};

pub(crate) use write::canonical_text;

use crate::{
    AggregateSpec, Condition, EventField, EventFilter, FieldRoot, Function, Path, Sequence, ValueTest, Window,
};
use kith_types::{EventType, Value};
use scalars::{list_of, scalar_of, text_of};
use serde_json::{Map, Value as Json};

/// How deep conditions may nest.
pub const MAX_DEPTH: usize = 16;
/// How many tests and combinations one condition may hold.
pub const MAX_CONDITIONS: usize = 500;
/// How many entries a list may have.
pub const MAX_LIST: usize = 1_000;
/// How long a text may be, in bytes.
pub const MAX_TEXT_BYTES: usize = 1_024;

/// The keys that ask something of a value; a leaf of a condition has exactly one of them.
pub const VALUE_TEST_KEYS: [&str; 19] = [
    "equals",
    "not_equals",
    "greater_than",
    "greater_or_equal",
    "less_than",
    "less_or_equal",
    "contains",
    "starts_with",
    "ends_with",
    "any_of",
    "none_of",
    "exists",
    "not_exists",
    "is",
    "before",
    "after",
    "within_last",
    "before_last",
    "near",
];

/// The keys that say which events count.
pub const FILTER_KEYS: [&str; 5] = ["event", "events", "type", "types", "where"];

const AGGREGATE_KEYS: [&str; 9] = [
    "function", "event", "events", "type", "types", "where", "property", "window", "sequence",
];
const ROOTS: [FieldRoot; 3] = [FieldRoot::Properties, FieldRoot::Context, FieldRoot::Traits];

/// The fields of an object.
///
/// # Errors
/// When it is anything else.
pub fn object_of(json: &Json) -> Result<&Map<String, Json>, DocumentError> {
    json.as_object()
        .ok_or_else(|| DocumentError::new(format!("expected an object, found {}", kind_of(json))))
}

/// Checks that an object has no keys but these.
///
/// # Errors
/// For each other key, with the nearest of the allowed ones.
pub fn check_keys(fields: &Map<String, Json>, allowed: &[&str]) -> Result<(), DocumentError> {
    let others = fields.keys().filter(|key| !allowed.contains(&key.as_str()));
    read_each(others.map(|key| Err::<(), _>(DocumentError::unknown("key", key, allowed)))).map(drop)
}

/// Reads the `spec` of a computed trait.
///
/// # Errors
/// With the path of the offending place below `json`.
pub fn parse_aggregate(json: &Json) -> Result<AggregateSpec, DocumentError> {
    let fields = object_of(json)?;
    with_keys(check_keys(fields, &AGGREGATE_KEYS), aggregate_of(fields))
}

fn aggregate_of(fields: &Map<String, Json>) -> Result<AggregateSpec, DocumentError> {
    let function = function_of(fields);
    let known = function.as_ref().ok().copied();
    let window = match fields.get("window") {
        Some(window) => parse_window(window).map_err(|error| error.within("window")),
        None => Ok(Window::AllTime),
    };
    let read = function.beside(property_of(fields, known)).beside(window);
    if let Some(sequence) = fields.get("sequence") {
        let ((_, window), (first, sequence)) = read.beside(counted_sequence(fields, known, sequence))?;
        return Ok(AggregateSpec::sequences(first, sequence, window));
    }
    let (((function, property), window), filter) = read.beside(parse_filter_fields(fields))?;
    Ok(AggregateSpec {
        filter,
        function,
        property,
        window,
        sequence: None,
    })
}

fn function_of(fields: &Map<String, Json>) -> Result<Function, DocumentError> {
    let word = fields
        .get("function")
        .ok_or_else(|| DocumentError::new("`function` is missing: what is to be computed?"))?;
    let word = text_of(word).map_err(|error| error.within("function"))?;
    let names: Vec<&str> = Function::written().iter().map(|function| function.as_str()).collect();
    Function::from_name(word).ok_or_else(|| DocumentError::unknown("function", word, &names).within("function"))
}

/// The property that a function is of. Of a function that is not known, nobody can say whether it needs one.
fn property_of(fields: &Map<String, Json>, function: Option<Function>) -> Result<Option<Path>, DocumentError> {
    match (fields.get("property"), function) {
        (Some(_), Some(Function::Count)) => {
            let problem = "a count takes no property: to count the events that have one, add `where: { property: …, exists: true }`";
            Err(DocumentError::new(problem).within("property"))
        }
        (Some(path), _) => parse_path(path).map(Some).map_err(|error| error.within("property")),
        (None, None | Some(Function::Count)) => Ok(None),
        (None, Some(function)) => {
            let word = function.as_str();
            Err(DocumentError::new(format!("`property` is missing: {word} of what?")))
        }
    }
}

fn counted_sequence(
    fields: &Map<String, Json>,
    function: Option<Function>,
    sequence: &Json,
) -> Result<(EventFilter, Sequence), DocumentError> {
    let counted = match function {
        None | Some(Function::Count) => Ok(()),
        Some(_) => {
            let problem = "a sequence can only be counted: use `function: count`";
            Err(DocumentError::new(problem).within("function"))
        }
    };
    let stray = FILTER_KEYS.into_iter().filter(|key| fields.contains_key(*key));
    let stray = read_each(stray.map(|key| {
        let problem = format!("`{key}` does not go with `sequence`: put it inside `first` or `then`");
        Err::<(), _>(DocumentError::new(problem).within(key))
    }));
    let read = object_of(sequence)
        .and_then(|inner| with_keys(check_keys(inner, &SEQUENCE_KEYS), parse_sequence_fields(inner)));
    let read = read.map_err(|error: DocumentError| error.within("sequence"));
    let (_, read) = counted.beside(stray).beside(read)?;
    Ok(read)
}

/// Reads an object that holds a filter on events and nothing else.
///
/// # Errors
/// With the path of the offending place below `json`.
pub fn parse_filter(json: &Json) -> Result<EventFilter, DocumentError> {
    let fields = object_of(json)?;
    with_keys(check_keys(fields, &FILTER_KEYS), parse_filter_fields(fields))
}

/// Reads a filter from the [`FILTER_KEYS`] of an object that may have other keys beside them.
///
/// # Errors
/// With the path of the offending place below the object.
pub fn parse_filter_fields(fields: &Map<String, Json>) -> Result<EventFilter, DocumentError> {
    let condition = match fields.get("where") {
        Some(condition) => parse_condition(condition).map_err(|error| error.within("where")),
        None => Ok(Condition::ALWAYS),
    };
    let ((names, types), condition) = named_events(fields).beside(condition)?;
    EventFilter::new(types, names, condition).map_err(|error| DocumentError::new(error.to_string()).within("where"))
}

/// The names and the types of the events that count.
fn named_events(fields: &Map<String, Json>) -> Result<(Vec<Box<str>>, Vec<EventType>), DocumentError> {
    let (names, types) = one_or_more(fields, "event", "events").beside(types_of(fields))?;
    match (names.unwrap_or_default(), types) {
        (names, None) if names.is_empty() => Err(DocumentError::new(
            "`event` or `type` is missing: which events count? (`type: any` for all)",
        )),
        (names, Some(types)) if types.is_empty() && !names.is_empty() => {
            let problem = "`type: any` with an event name: name the types, or leave the type out for track calls";
            Err(DocumentError::new(problem).within("type"))
        }
        (names, types) => Ok((names, types.unwrap_or_default())),
    }
}

/// The types that are named, none for any; `None` where none is named.
fn types_of(fields: &Map<String, Json>) -> Result<Option<Vec<EventType>>, DocumentError> {
    let Some(words) = one_or_more(fields, "type", "types")? else {
        return Ok(None);
    };
    let any = words.iter().any(|word| &**word == "any");
    let known = ["any", "identify", "track", "page", "screen", "group", "alias"];
    let types = words.iter().filter(|_| !any).map(|word| {
        EventType::from_name(word).ok_or_else(|| DocumentError::unknown("type", word, &known).within("type"))
    });
    read_each(types).map(Some)
}

/// Reads a condition on one event: `all`, `any`, `not`, or a test of a `property`, `context` or `trait`.
///
/// # Errors
/// With the path of the offending place below `json`.
pub fn parse_condition(json: &Json) -> Result<Condition, DocumentError> {
    condition_of(json, MAX_DEPTH, &mut Some(MAX_CONDITIONS))
}

/// Reads one of a tree; `left` is how many more it may hold, nothing once it has held too many, which is told once.
fn condition_of(json: &Json, depth: usize, left: &mut Option<usize>) -> Result<Condition, DocumentError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(DocumentError::new(format!("conditions nest deeper than {MAX_DEPTH}")));
    };
    *left = left.and_then(|left| left.checked_sub(1));
    if left.is_none() {
        return Err(DocumentError::new(format!("more than {MAX_CONDITIONS} conditions")));
    }
    let fields = object_of(json)?;
    for key in ["all", "any", "not"] {
        let Some(inner) = fields.get(key) else { continue };
        let stray = check_keys(fields, &[key]).map_err(|error| error.hint("put it inside an `all`"));
        let read = match key {
            "not" => condition_of(inner, depth, left).map(|inner| Condition::Not(Box::new(inner))),
            "any" => conditions_of(inner, depth, left).map(Condition::Any),
            _ => conditions_of(inner, depth, left).map(Condition::All),
        };
        let (_, condition) = stray.beside(read.map_err(|error| error.within(key)))?;
        return Ok(condition);
    }
    let mut present = ROOTS
        .iter()
        .filter_map(|root| fields.get(root.as_str()).map(|path| (*root, path)));
    let Some((root, path)) = present.next() else {
        let mut known = vec!["all", "any", "not", "property", "context", "trait"];
        known.extend(VALUE_TEST_KEYS);
        check_keys(fields, &known)?;
        return Err(DocumentError::new(
            "expected `all`, `any`, `not`, or a `property`, `context` or `trait` to test",
        ));
    };
    if present.next().is_some() {
        return Err(DocumentError::new(
            "one leaf tests one of `property`, `context`, `trait`: use `all` for more",
        ));
    }
    let path = parse_path(path).map_err(|error| error.within(root.as_str()));
    let (path, test) = path.beside(parse_value_test(fields, &[root.as_str()]))?;
    if test.is_clock_relative() {
        return Err(DocumentError::new(crate::FilterError::ClockRelative.to_string()));
    }
    Ok(Condition::Test(EventField { root, path }, test))
}

fn conditions_of(json: &Json, depth: usize, left: &mut Option<usize>) -> Result<Vec<Condition>, DocumentError> {
    let parts = list_of(json)?;
    if parts.is_empty() {
        return Err(DocumentError::new("the list is empty"));
    }
    let parts = parts.iter().enumerate();
    read_each(parts.map_while(|(at, part)| {
        left.as_ref()?;
        Some(condition_of(part, depth, left).map_err(|error| error.item(at)))
    }))
}

/// Reads the one test among the keys of a leaf. `others` are the keys that the leaf has beside it.
///
/// # Errors
/// When there is no test or more than one, a key is unknown, or the operand does not fit.
pub fn parse_value_test(fields: &Map<String, Json>, others: &[&str]) -> Result<ValueTest, DocumentError> {
    let allowed: Vec<&str> = VALUE_TEST_KEYS.iter().chain(others).copied().collect();
    with_keys(check_keys(fields, &allowed), value_test_among(fields))
}

fn value_test_among(fields: &Map<String, Json>) -> Result<ValueTest, DocumentError> {
    let mut present = fields.iter().filter(|(key, _)| VALUE_TEST_KEYS.contains(&key.as_str()));
    let Some((key, operand)) = present.next() else {
        return Err(DocumentError::new(format!(
            "what is asked of the value? Add one of {}",
            VALUE_TEST_KEYS.join(", ")
        )));
    };
    if let Some((second, _)) = present.next() {
        return Err(DocumentError::new(format!(
            "both `{key}` and `{second}`: one leaf has one test, use `all` for more"
        )));
    }
    value_test_of(key, operand).map_err(|error| error.within(key))
}

fn value_test_of(key: &str, operand: &Json) -> Result<ValueTest, DocumentError> {
    let number = || match value_of_json(operand)? {
        Value::Number(number) => Ok(number),
        _ => Err(
            DocumentError::new(format!("expected a number, found {}", kind_of(operand)))
                .hint("times are compared with `before` and `after`"),
        ),
    };
    let truth = || {
        let wrong = || DocumentError::new(format!("expected true or false, found {}", kind_of(operand)));
        operand.as_bool().ok_or_else(wrong)
    };
    let scalars = || {
        let items = list_of(operand)?;
        if items.is_empty() {
            return Err(DocumentError::new("the list is empty"));
        }
        let items = items.iter().enumerate();
        read_each(items.map(|(at, item)| scalar_of(item).map_err(|error| error.item(at))))
    };
    let text = || text_of(operand).map(Box::<str>::from);
    Ok(match key {
        "equals" => ValueTest::Equals(scalar_of(operand)?),
        "not_equals" => ValueTest::NotEquals(scalar_of(operand)?),
        "greater_than" => ValueTest::GreaterThan(number()?),
        "greater_or_equal" => ValueTest::GreaterOrEqual(number()?),
        "less_than" => ValueTest::LessThan(number()?),
        "less_or_equal" => ValueTest::LessOrEqual(number()?),
        "contains" => ValueTest::Contains(scalar_of(operand)?),
        "starts_with" => ValueTest::StartsWith(text()?),
        "ends_with" => ValueTest::EndsWith(text()?),
        "any_of" => ValueTest::AnyOf(scalars()?),
        "none_of" => ValueTest::NoneOf(scalars()?),
        "exists" => {
            if truth()? {
                ValueTest::Exists
            } else {
                ValueTest::NotExists
            }
        }
        "not_exists" => {
            if truth()? {
                ValueTest::NotExists
            } else {
                ValueTest::Exists
            }
        }
        "is" => ValueTest::Equals(Value::Bool(truth()?)),
        "before" => ValueTest::Before(parse_timestamp(operand)?),
        "after" => ValueTest::After(parse_timestamp(operand)?),
        "within_last" => ValueTest::WithinLast(parse_duration(operand)?),
        "before_last" => ValueTest::BeforeLast(parse_duration(operand)?),
        "near" => ValueTest::Near(area::area_of(operand)?),
        other => return Err(DocumentError::unknown("test", other, &VALUE_TEST_KEYS)),
    })
}

/// The texts of a key that takes one or of its plural that takes a list; `None` when neither is there.
fn one_or_more(fields: &Map<String, Json>, one: &str, more: &str) -> Result<Option<Vec<Box<str>>>, DocumentError> {
    match (fields.get(one), fields.get(more)) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(DocumentError::new(format!("both `{one}` and `{more}`: keep one"))),
        (Some(word), None) => Ok(Some(vec![text_of(word).map_err(|error| error.within(one))?.into()])),
        (None, Some(words)) => {
            let words = list_of(words).map_err(|error| error.within(more))?;
            if words.is_empty() {
                return Err(DocumentError::new("the list is empty").within(more));
            }
            let words = words.iter().enumerate().map(|(at, word)| {
                text_of(word)
                    .map(Box::from)
                    .map_err(|error| error.item(at).within(more))
            });
            read_each(words).map(Some)
        }
    }
}
