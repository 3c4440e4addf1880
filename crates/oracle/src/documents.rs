//! Documents, read by the words of `docs/segments.md`. Only what is asked of is read; that a document is a good one is for others
//! to say, so one that is not ends a test by its text.

use crate::time::{moment, span};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A definition: its kind, its name, its spec; a null spec removes it.
#[derive(Clone, Debug)]
pub struct Document {
    /// `segment`, `computed_trait` or `trait_rules`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What it says.
    pub spec: Json,
}

/// The definitions in force at a time.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    pub(crate) segments: BTreeMap<String, Json>,
    pub(crate) computed: BTreeMap<String, Json>,
    pub(crate) trait_rules: Json,
}

impl InForce {
    /// What is in force once these are applied.
    #[must_use]
    pub fn with(&self, documents: &[Document]) -> Self {
        let mut now = self.clone();
        for Document { kind, name, spec } in documents {
            let (of_kind, spec) = match kind.as_str() {
                "segment" => (&mut now.segments, &spec["where"]),
                "computed_trait" => (&mut now.computed, spec),
                _ => {
                    now.trait_rules = spec.clone();
                    continue;
                }
            };
            if spec.is_null() {
                of_kind.remove(name);
            } else {
                of_kind.insert(name.clone(), spec.clone());
            }
        }
        now
    }

    /// The specs of computed traits and the conditions of segments.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &Json> {
        self.segments.values().chain(self.computed.values())
    }
}

pub(crate) fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

pub(crate) fn list(value: &Json) -> &[Json] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

/// A list of texts, or one.
fn texts(value: &Json) -> Vec<&str> {
    match value {
        Json::Null => Vec::new(),
        Json::Array(all) => all.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

/// Which events are meant: the types and the names, of which none means all.
pub(crate) struct Filter<'a> {
    pub(crate) types: Vec<&'a str>,
    pub(crate) names: Vec<&'a str>,
    pub(crate) test: Option<&'a Json>,
}

impl<'a> Filter<'a> {
    /// An event's name alone means a track call.
    pub(crate) fn of(spec: &'a Json) -> Self {
        if let Some(name) = spec.as_str() {
            return Self {
                types: vec!["track"],
                names: vec![name],
                test: None,
            };
        }
        let either = |one: &str, many: &str| [texts(&spec[one]), texts(&spec[many])].concat();
        let mut types = either("type", "types");
        if types.is_empty() {
            types.push("track");
        } else if types.contains(&"any") {
            types.clear();
        }
        Self {
            types,
            names: either("event", "events"),
            test: spec.get("where"),
        }
    }
}

/// The smallest and the largest count that `at_least` and its like let pass; once or more where nothing is said.
pub(crate) fn counts(spec: &Json) -> (i64, i64) {
    let of = |key: &str| spec[key].as_i64();
    if let Some(count) = of("exactly") {
        return (count, count);
    }
    let low = of("at_least").or(of("more_than").map(|count| count + 1));
    let high = of("at_most").or(of("less_than").map(|count| count - 1));
    let least = i64::from(high.is_none());
    (low.unwrap_or(least), high.unwrap_or(i64::MAX))
}

/// A span of the document under a key.
pub(crate) fn span_of(spec: &Json, key: &str) -> i64 {
    span(text(&spec[key]))
}

/// An instant of the document.
pub(crate) fn instant(value: &Json) -> i64 {
    moment(text(value)).unwrap_or_else(|| panic!("no instant: {value}"))
}

/// The one test beside `trait`, `property` and their like: its key and what it compares with.
pub(crate) fn test_of(spec: &Json) -> (&str, &Json) {
    const NAMES: [&str; 5] = ["trait", "computed_trait", "property", "context", "consent"];
    let fields = spec.as_object().unwrap_or_else(|| panic!("no test: {spec}"));
    let mut tests = fields.iter().filter(|(key, _)| !NAMES.contains(&key.as_str()));
    let (key, operand) = tests.next().unwrap_or_else(|| panic!("no test: {spec}"));
    (key, operand)
}
