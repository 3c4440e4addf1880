//! Segments as documents: JSON (and what YAML reads into) to definitions, and back.
//!
//! It reads its leaves with the pieces of `kith-expr`. Every error names the place by its path from the top of the
//! document and, for a word that is not known, the nearest that is. It never looks up what a document refers to.

mod account;
mod behaviour;

use crate::{Bucket, Condition, Consent, Listed, MAX_CONDITIONS, MAX_DEPTH, MAX_LISTED, SegmentDefinition};
use crate::{SegmentError, SegmentErrorKind};
use account::write_account;
use behaviour::{lifecycle, performed, sequence, write_lifecycle, write_performed, write_sequence};
use kith_expr::{
    Beside, DocumentError, MAX_TEXT_BYTES, VALUE_TEST_KEYS, check_keys, nearest, object_of, parse_value_test,
    read_each, with_keys, write_value_test,
};
use kith_types::{Identifier, SegmentName};
use serde_json::{Map, Value as Json, json};

/// The word that a document's `kind` has.
const KIND: &str = "segment";
/// The keys that say what a condition is; each has exactly one of them.
pub(crate) const CONDITION_KEYS: [&str; 14] = [
    "all",
    "any",
    "not",
    "performed",
    "not_performed",
    "sequence",
    "lifecycle",
    "trait",
    "computed_trait",
    "account",
    "consent",
    "segment",
    "bucket",
    "listed",
];

impl SegmentDefinition {
    /// Reads a document `{kind: segment, name, spec: {description, where}}`.
    ///
    /// # Errors
    /// With the place and the remedy, when it is not one or exceeds [`MAX_DEPTH`] or [`MAX_CONDITIONS`].
    pub fn parse(document: &Json) -> Result<Self, SegmentError> {
        let name = document.get("name").and_then(Json::as_str).unwrap_or_default();
        let shown: String = name.chars().take(64).collect();
        let wrong = |problem| SegmentError::new(SegmentErrorKind::Document, &shown, problem);
        let fields = object_of(document).map_err(wrong)?;
        let mut reader = Reader::default();
        let keys = reader.note(check_keys(fields, &["kind", "name", "spec"]));
        let named = reader.note(kind_of(fields).beside(name_of(fields)));
        let spec = fields
            .get("spec")
            .ok_or_else(|| DocumentError::new("`spec` is missing"));
        let spec = spec.and_then(|spec| reader.spec(spec).map_err(|error| error.within("spec")));
        match with_keys(keys, named.beside(spec)) {
            Ok(((_, name), (description, condition))) => Ok(Self {
                name,
                description,
                condition,
            }),
            Err(problem) => Err(reader.error(&shown, problem)),
        }
    }

    /// Reads the `spec` of a document whose `kind` and `name` were read before.
    ///
    /// # Errors
    /// As [`SegmentDefinition::parse`]; paths begin with `spec`.
    pub fn parse_spec(name: SegmentName, spec: &Json) -> Result<Self, SegmentError> {
        let mut reader = Reader::default();
        match reader.spec(spec) {
            Ok((description, condition)) => Ok(Self {
                name,
                description,
                condition,
            }),
            Err(problem) => Err(reader.error(name.as_str(), problem.within("spec"))),
        }
    }

    /// The document that reads as this definition.
    #[must_use]
    pub fn to_document(&self) -> Json {
        let mut spec = Map::new();
        if !self.description.is_empty() {
            spec.insert("description".to_owned(), Json::from(&*self.description));
        }
        spec.insert("where".to_owned(), write_condition(&self.condition));
        json!({ "kind": KIND, "name": self.name.as_str(), "spec": spec })
    }
}

fn kind_of(fields: &Map<String, Json>) -> Result<(), DocumentError> {
    match fields.get("kind").and_then(Json::as_str) {
        Some(KIND) => Ok(()),
        Some(other) => Err(DocumentError::unknown("kind", other, &[KIND]).within("kind")),
        None => Err(DocumentError::new("`kind: segment` is missing")),
    }
}

fn name_of(fields: &Map<String, Json>) -> Result<SegmentName, DocumentError> {
    let name = fields.get("name").and_then(Json::as_str);
    let name = name.ok_or_else(|| DocumentError::new("`name` is missing: a text such as recent_buyers"))?;
    name.parse().map_err(|error| name_error(&error).within("name"))
}

fn name_error(error: &kith_types::InvalidName) -> DocumentError {
    DocumentError::new(error.to_string())
}

/// Counts what was read against the limits.
struct Reader {
    /// How many more conditions the document may hold; nothing once it has held too many, which is told once.
    conditions_left: Option<usize>,
    /// What has to be done about the first mistake.
    first: Option<SegmentErrorKind>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            conditions_left: Some(MAX_CONDITIONS),
            first: None,
        }
    }
}

impl Reader {
    fn spec(&mut self, spec: &Json) -> Result<(Box<str>, Condition), DocumentError> {
        let fields = object_of(spec)?;
        let keys = self.note(check_keys(fields, &["description", "where"]));
        let description = match fields.get("description") {
            None => Ok(""),
            Some(text) => short_text(text).map_err(|error| error.within("description")),
        };
        let description = self.note(description);
        let condition = match fields.get("where") {
            None => Err(DocumentError::new("`where` is missing: what do the members meet?")),
            Some(condition) => self.condition(condition, 1).map_err(|error| error.within("where")),
        };
        let (description, condition) = with_keys(keys, description.beside(condition))?;
        Ok((description.into(), condition))
    }

    fn error(&self, segment: &str, problem: DocumentError) -> SegmentError {
        SegmentError::new(self.first.unwrap_or(SegmentErrorKind::Document), segment, problem)
    }

    /// Keeps in mind that a mistake of the document was met, before those that follow.
    fn note<T>(&mut self, read: Result<T, DocumentError>) -> Result<T, DocumentError> {
        if read.is_err() {
            self.first.get_or_insert(SegmentErrorKind::Document);
        }
        read
    }

    fn limit(&mut self, problem: String) -> DocumentError {
        self.first.get_or_insert(SegmentErrorKind::Limit);
        DocumentError::new(problem)
    }

    /// Counts a condition.
    fn count(&mut self, depth: usize) -> Result<(), DocumentError> {
        if depth > MAX_DEPTH {
            return Err(self.limit(format!("conditions nest deeper than {MAX_DEPTH}")));
        }
        self.conditions_left = self.conditions_left.and_then(|left| left.checked_sub(1));
        match self.conditions_left {
            Some(_) => Ok(()),
            None => Err(self.limit(format!("more than {MAX_CONDITIONS} conditions"))),
        }
    }

    fn condition(&mut self, json: &Json, depth: usize) -> Result<Condition, DocumentError> {
        self.count(depth)?;
        let read = self.condition_within(json, depth);
        self.note(read)
    }

    fn condition_within(&mut self, json: &Json, depth: usize) -> Result<Condition, DocumentError> {
        if json.is_array() {
            return Err(
                DocumentError::new("expected one condition, found a list").hint("put the list inside `all` or `any`")
            );
        }
        let fields = object_of(json)?;
        let key = condition_key(fields)?;
        let inner = &fields[key];
        match key {
            "trait" | "computed_trait" => {
                let name = filled_text(inner).map_err(|error| error.within(key));
                let (name, test) = name.beside(parse_value_test(fields, &[key]))?;
                let name: Box<str> = name.into();
                Ok(if key == "trait" {
                    Condition::Trait { name, test }
                } else {
                    Condition::ComputedTrait { name, test }
                })
            }
            "consent" => with_keys(check_keys(fields, &["consent", "answer"]), consent(fields)),
            _ => {
                let stray = check_keys(fields, &[key])
                    .map_err(|error| error.hint("what belongs to the condition stands inside it"));
                let stray = self.note(stray);
                let read = self.single_key(key, inner, depth).map_err(|error| error.within(key));
                let (_, condition) = stray.beside(read)?;
                Ok(condition)
            }
        }
    }

    fn single_key(&mut self, key: &str, inner: &Json, depth: usize) -> Result<Condition, DocumentError> {
        match key {
            "all" => Ok(Condition::All(self.conditions(inner, depth)?)),
            "any" => Ok(Condition::Any(self.conditions(inner, depth)?)),
            "not" => Ok(Condition::Not(Box::new(self.condition(inner, depth + 1)?))),
            "account" => self.account(inner, depth + 1).map(Condition::Account),
            "performed" => performed(inner, true),
            "not_performed" => performed(inner, false),
            "sequence" => sequence(inner),
            "lifecycle" => lifecycle(inner),
            "bucket" => Bucket::parse(inner).map(Condition::Bucket),
            "listed" => listed(inner).map(Condition::Listed),
            _ => Ok(Condition::Segment(
                filled_text(inner)?.parse().map_err(|error| name_error(&error))?,
            )),
        }
    }

    fn conditions(&mut self, json: &Json, depth: usize) -> Result<Vec<Condition>, DocumentError> {
        self.each_of(json, |reader, item| reader.condition(item, depth + 1))
    }

    /// Reads a list of conditions, until there are too many.
    fn each_of<T>(
        &mut self,
        json: &Json,
        mut read: impl FnMut(&mut Self, &Json) -> Result<T, DocumentError>,
    ) -> Result<Vec<T>, DocumentError> {
        let Some(items) = json.as_array() else {
            return Err(DocumentError::new("expected a list of conditions").hint("begin each with a dash"));
        };
        if items.is_empty() {
            return Err(DocumentError::new("the list is empty"));
        }
        read_each(items.iter().enumerate().map_while(|(at, item)| {
            self.conditions_left?;
            Some(read(self, item).map_err(|error| error.item(at)))
        }))
    }
}

/// The one key that says what the condition is.
fn condition_key(fields: &Map<String, Json>) -> Result<&'static str, DocumentError> {
    let mut present = CONDITION_KEYS.into_iter().filter(|key| fields.contains_key(*key));
    if let Some(key) = present.next() {
        return match present.next() {
            None => Ok(key),
            Some(other) => Err(
                DocumentError::new(format!("both `{key}` and `{other}` in one condition"))
                    .hint("put each into its own entry of an `all`"),
            ),
        };
    }
    let near = fields
        .keys()
        .find_map(|key| Some((key, nearest(key, &CONDITION_KEYS)?)));
    Err(match (near, fields.keys().next()) {
        (Some((key, near)), _) => DocumentError::new(format!("unknown condition `{key}`: did you mean `{near}`?")),
        (None, Some(key)) if VALUE_TEST_KEYS.contains(&key.as_str()) => DocumentError::new(format!(
            "`{key}` of what? Name a `trait` or a `computed_trait` beside it"
        )),
        (None, Some(key)) => DocumentError::unknown("condition", key, &CONDITION_KEYS),
        (None, None) => DocumentError::new(format!("expected one of {}", CONDITION_KEYS.join(", "))),
    })
}

fn consent(fields: &Map<String, Json>) -> Result<Condition, DocumentError> {
    let category = filled_text(&fields["consent"]).map_err(|error| error.within("consent"));
    let words = Consent::ALL.map(Consent::as_str);
    let answer = fields.get("answer").map(|json| {
        let word = filled_text(json)?;
        let known = Consent::ALL.into_iter().find(|answer| answer.as_str() == word);
        known.ok_or_else(|| DocumentError::unknown("answer", word, &words))
    });
    let answer = answer
        .unwrap_or(Ok(Consent::Granted))
        .map_err(|error| error.within("answer"));
    let (category, answer) = category.beside(answer)?;
    Ok(Condition::Consent {
        category: category.into(),
        answer,
    })
}

fn listed(json: &Json) -> Result<Listed, DocumentError> {
    let Some(items) = json.as_array() else {
        return Err(DocumentError::new(
            "expected a list of identifiers such as `email:jo@example.com`",
        ));
    };
    if items.is_empty() {
        return Err(DocumentError::new("the list is empty"));
    }
    if items.len() > MAX_LISTED {
        let problem = format!("the list has {} identifiers, the limit is {MAX_LISTED}", items.len());
        return Err(DocumentError::new(problem).hint("split it into several, inside an `any`"));
    }
    let read = |(at, item): (usize, &Json)| {
        let identifier = filled_text(item).and_then(|text| {
            let expected = || {
                DocumentError::new(format!(
                    "expected `type:value` such as `user_id:u1`, found {}",
                    shown(item)
                ))
            };
            Identifier::parse(text).ok_or_else(expected)
        });
        identifier.map_err(|error| error.item(at))
    };
    read_each(items.iter().enumerate().map(read)).map(Listed::new)
}

/// The beginning of a JSON value, for an error.
pub(crate) fn shown(json: &Json) -> String {
    let text = json.to_string();
    let cut: String = text.chars().take(40).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

fn short_text(json: &Json) -> Result<&str, DocumentError> {
    let text = json
        .as_str()
        .ok_or_else(|| DocumentError::new(format!("expected a text, found {}", shown(json))))?;
    if text.len() > MAX_TEXT_BYTES {
        return Err(DocumentError::new(format!(
            "the text is longer than {MAX_TEXT_BYTES} bytes"
        )));
    }
    Ok(text)
}

pub(crate) fn filled_text(json: &Json) -> Result<&str, DocumentError> {
    let text = short_text(json)?;
    if text.trim().is_empty() {
        Err(DocumentError::new("the text is empty"))
    } else {
        Ok(text)
    }
}

fn write_condition(condition: &Condition) -> Json {
    let list = |parts: &[Condition]| Json::Array(parts.iter().map(write_condition).collect());
    let tested = |key: &str, name: &str, test| {
        let (test_key, operand) = write_value_test(test);
        json!({ key: name, test_key: operand })
    };
    match condition {
        Condition::All(parts) => json!({ "all": list(parts) }),
        Condition::Any(parts) => json!({ "any": list(parts) }),
        Condition::Not(part) => json!({ "not": write_condition(part) }),
        Condition::Trait { name, test } => tested("trait", name, test),
        Condition::ComputedTrait { name, test } => tested("computed_trait", name, test),
        Condition::Account(condition) => json!({ "account": write_account(condition) }),
        Condition::Consent {
            category,
            answer: Consent::Granted,
        } => json!({ "consent": **category }),
        Condition::Consent { category, answer } => json!({ "consent": **category, "answer": answer.as_str() }),
        Condition::Segment(name) => json!({ "segment": name.as_str() }),
        Condition::Bucket(bucket) => json!({ "bucket": bucket.to_document() }),
        Condition::Listed(listed) => {
            let items: Vec<Json> = listed
                .identifiers()
                .iter()
                .map(|one| Json::from(one.to_string()))
                .collect();
            json!({ "listed": items })
        }
        Condition::Performed(performed) => write_performed(performed),
        Condition::Sequence(performed) => write_sequence(performed),
        Condition::Lifecycle(lifecycle) => write_lifecycle(lifecycle),
    }
}
