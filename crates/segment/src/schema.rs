//! The JSON Schema (draft 2020-12) of a segment's document, for editors and other tools.
//!
//! It says which keys and kinds of values there are. What it cannot say (that a range has a beginning before its end, that
//! a name is known) the parser says with the place. `docs/segment.schema.json` is this schema, and a test keeps it so.

use crate::definition::MAX_REGULAR_TIMES;
use crate::{MAX_LISTED, Stage};
use kith_expr::{CalendarUnit, MAX_LIST, MAX_METRES, MAX_PERIODS, MAX_TEXT_BYTES};
use serde_json::{Map, Value as Json, json};

/// The largest count that a document may name.
const MAX_COUNT: u64 = 1_000_000;

/// The schema of `{kind: segment, name, spec: {description, where}}`.
#[must_use]
pub fn schema() -> Json {
    let spec = object(&["where"], [("description", text()), ("where", reference("condition"))]);
    let name = json!({ "type": "string", "pattern": "^[a-z][a-z0-9_-]{0,63}$" });
    let mut schema = object(
        &["kind", "name", "spec"],
        [("kind", json!({ "const": "segment" })), ("name", name), ("spec", spec)],
    );
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("A segment of Kith");
    schema["$defs"] = json!({
        "condition": condition(),
        "account_condition": account_condition(),
        "filter": object(&[], filter_keys()),
        "events": { "oneOf": [filled_text(), reference("filter")] },
        "event_condition": event_condition(),
        "window": window(),
        "span": { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d|w)$" },
        "time": { "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}" },
        "scalar": { "type": ["string", "number", "boolean"] },
        "scalars": { "type": "array", "items": reference("scalar"), "minItems": 1, "maxItems": MAX_LIST },
        "area": area(),
    });
    schema
}

fn reference(name: &str) -> Json {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn text() -> Json {
    json!({ "type": "string", "maxLength": MAX_TEXT_BYTES })
}

fn filled_text() -> Json {
    json!({ "type": "string", "minLength": 1, "maxLength": MAX_TEXT_BYTES })
}

fn count() -> Json {
    json!({ "type": "integer", "minimum": 0, "maximum": MAX_COUNT })
}

type Keys = Vec<(&'static str, Json)>;

/// An object that has no keys but these.
fn object(required: &[&str], keys: impl IntoIterator<Item = (&'static str, Json)>) -> Json {
    let properties: Map<String, Json> = keys.into_iter().map(|(key, json)| (key.to_owned(), json)).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// An object of one key.
fn only(key: &'static str, json: Json) -> Json {
    object(&[key], [(key, json)])
}

/// An object of a subject and exactly one test of its value.
fn tested(subject: &'static str) -> Json {
    let mut schema = object(&[subject], [(subject, filled_text())].into_iter().chain(value_tests()));
    schema["minProperties"] = json!(2);
    schema["maxProperties"] = json!(2);
    schema
}

fn value_tests() -> Keys {
    let number = || json!({ "type": "number" });
    let truth = || json!({ "type": "boolean" });
    vec![
        ("equals", reference("scalar")),
        ("not_equals", reference("scalar")),
        ("greater_than", number()),
        ("greater_or_equal", number()),
        ("less_than", number()),
        ("less_or_equal", number()),
        ("contains", reference("scalar")),
        ("starts_with", text()),
        ("ends_with", text()),
        ("any_of", reference("scalars")),
        ("none_of", reference("scalars")),
        ("exists", truth()),
        ("not_exists", truth()),
        ("is", truth()),
        ("before", reference("time")),
        ("after", reference("time")),
        ("within_last", reference("span")),
        ("before_last", reference("span")),
        ("near", reference("area")),
    ]
}

fn filter_keys() -> Keys {
    let types = json!({ "enum": ["any", "identify", "track", "page", "screen", "group", "alias"] });
    let list = |items: Json| json!({ "type": "array", "items": items, "minItems": 1, "maxItems": MAX_LIST });
    vec![
        ("event", filled_text()),
        ("events", list(filled_text())),
        ("type", types.clone()),
        ("types", list(types)),
        ("where", reference("event_condition")),
    ]
}

fn count_keys() -> Keys {
    ["at_least", "at_most", "exactly", "more_than", "less_than"]
        .map(|key| (key, count()))
        .into()
}

fn event_condition() -> Json {
    let list = || json!({ "type": "array", "items": reference("event_condition"), "minItems": 1 });
    json!({ "oneOf": [
        only("all", list()),
        only("any", list()),
        only("not", reference("event_condition")),
        tested("property"),
        tested("context"),
        tested("trait"),
    ] })
}

fn window() -> Json {
    let unit = || json!({ "enum": CalendarUnit::ALL.map(CalendarUnit::as_str) });
    let ends = |end: &str| [("from", reference(end)), ("to", reference(end))];
    let mut between = object(&[], ends("time"));
    between["minProperties"] = json!(1);
    let count = json!({ "type": "integer", "minimum": 1, "maximum": MAX_PERIODS });
    let zone = || {
        (
            "zone",
            json!({ "type": "string", "description": "a name of the IANA database; UTC when left out" }),
        )
    };
    json!({ "oneOf": [
        { "const": "all_time" },
        only("last", reference("span")),
        only("before_last", reference("span")),
        only("ago", object(&["from", "to"], ends("span"))),
        only("between", between),
        object(&["this"], [("this", unit()), zone()]),
        object(&["previous"], [("previous", unit()), ("count", count), zone()]),
    ] })
}

fn area() -> Json {
    let within = |most: i64| json!({ "type": "number", "minimum": -most, "maximum": most });
    let metres = json!({ "type": "number", "exclusiveMinimum": 0, "maximum": MAX_METRES });
    object(
        &["latitude", "longitude", "metres"],
        [("latitude", within(90)), ("longitude", within(180)), ("metres", metres)],
    )
}

fn condition() -> Json {
    let list = || json!({ "type": "array", "items": reference("condition"), "minItems": 1 });
    let percent = || json!({ "type": "number", "minimum": 0, "maximum": 100 });
    let within = || ("within", reference("window"));
    let counted = [filter_keys(), count_keys(), vec![within()]].concat();
    let uncounted = [filter_keys(), vec![within()]].concat();
    let identifier = json!({ "type": "string", "pattern": "^[^:]+:.+$" });
    json!({ "oneOf": [
        only("all", list()),
        only("any", list()),
        only("not", reference("condition")),
        only("performed", json!({ "oneOf": [filled_text(), object(&[], counted)] })),
        only("not_performed", json!({ "oneOf": [filled_text(), object(&[], uncounted)] })),
        only("sequence", sequence()),
        only("lifecycle", lifecycle()),
        tested("trait"),
        tested("computed_trait"),
        only("account", reference("account_condition")),
        object(
            &["consent"],
            [("consent", filled_text()), ("answer", json!({ "enum": ["granted", "denied", "unknown"] }))],
        ),
        only("segment", filled_text()),
        only("bucket", object(&["salt"], [("salt", filled_text()), ("from", percent()), ("to", percent())])),
        only(
            "listed",
            json!({ "type": "array", "items": identifier, "minItems": 1, "maxItems": MAX_LISTED }),
        ),
    ] })
}

/// What is asked of one account.
fn account_condition() -> Json {
    let list = || json!({ "type": "array", "items": reference("account_condition"), "minItems": 1 });
    json!({ "oneOf": [
        only("all", list()),
        only("any", list()),
        only("not", reference("account_condition")),
        tested("trait"),
    ] })
}

fn sequence() -> Json {
    let keys = |then: &'static str, at_least: bool| {
        let mut keys = vec![
            ("first", reference("events")),
            (then, reference("events")),
            ("gap_less_than", reference("span")),
            ("same", filled_text()),
            ("within", reference("window")),
        ];
        keys.extend(at_least.then(|| ("gap_at_least", reference("span"))));
        keys.extend(count_keys());
        keys
    };
    json!({ "oneOf": [
        object(&["first", "then"], keys("then", true)),
        object(&["first", "then_not", "gap_less_than"], keys("then_not", false)),
    ] })
}

fn lifecycle() -> Json {
    let [first_time, regularly, stopped, came_back] = Stage::NAMES;
    let stage = |name: &str, spans: &[&'static str]| {
        let mut keys = filter_keys();
        keys.push(("stage", json!({ "const": name })));
        let times = json!({ "type": "integer", "minimum": 2, "maximum": MAX_REGULAR_TIMES });
        keys.extend(spans.iter().map(|key| match *key {
            "times" => ("times", times.clone()),
            key => (key, reference("span")),
        }));
        object(&[&["stage"], spans].concat(), keys)
    };
    json!({ "oneOf": [
        stage(first_time, &["last"]),
        stage(regularly, &["every", "times"]),
        stage(stopped, &["after"]),
        stage(came_back, &["after", "last"]),
    ] })
}
