//! The rules of identity as a document: the `spec` of a definition of kind `identity_rules`.
//!
//! Works with [`crate::Rules`], which checks it and makes it ready for use. Plain values; what it reads is a document's form alone.

use kith_expr::{Beside, DocumentError, check_keys, kind_of, object_of, read_each, with_keys};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// The key under which a document describes the custom types it does not name.
pub(crate) const OTHER_CUSTOM: &str = "custom";

/// What a document may say of a type.
const TYPE_KEYS: [&str; 9] = [
    "priority",
    "limit",
    "authenticates",
    "claim",
    "normalise",
    "replace",
    "blocked",
    "blocked_patterns",
    "default_blocked",
];

/// The rules as a document: what is left out has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesDocument {
    /// The version of the format: 1, also when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// By type name; `custom` speaks for all custom types that are not named.
    #[serde(default)]
    pub types: BTreeMap<String, TypeDocument>,
}

impl RulesDocument {
    /// The types that it names, without the word for all others.
    pub fn named_types(&self) -> impl Iterator<Item = &str> {
        let names = self.types.keys().map(String::as_str);
        names.filter(|name| *name != OTHER_CUSTOM)
    }
}

/// What a document says of one type: what is left out has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TypeDocument {
    /// The smaller, the higher. Defaults: user_id 10, email 20, phone 30, custom types 40, device_id 50,
    /// anonymous_id 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// Distinct values per profile, 1 to 500. Defaults: user_id 1, others 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Whether it proves who somebody is. Default: user_id only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticates: Option<bool>,
    /// `link`, `first_owner`, `ambiguous` or `last_authenticated`. Default: `last_authenticated` for anonymous_id and
    /// device_id, `link` for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// `email`, `phone`, `trim`, `lowercase` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalise: Option<String>,
    /// Replacements in what the normaliser gives, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace: Option<Vec<ReplaceDocument>>,
    /// Values to block beside the default ones, compared after normalising and without regard to ASCII case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Vec<String>>,
    /// Regular expressions of values to block beside the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_patterns: Option<Vec<String>>,
    /// `false` drops the default blocked values and pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_blocked: Option<bool>,
}

/// A replacement in a value: every match of the pattern becomes `with`, in which `$1` is the first group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaceDocument {
    /// A regular expression.
    pub pattern: String,
    /// What stands in its place.
    pub with: String,
}

/// What can be read of an object that is no such document as a whole, and all that is wrong with its form. What could not be
/// read is left out, and so is what would have another meaning with it.
pub(crate) fn read_in_parts(spec: &Json) -> (RulesDocument, Option<DocumentError>) {
    let mut document = RulesDocument::default();
    let read = object_of(spec).and_then(|fields| {
        let version = field(fields, "version", "the number 1").map(|version| document.version = version);
        let types = match fields.get("types") {
            None => Ok(()),
            Some(Json::Object(types)) => read_each(types.iter().map(|(name, spoken)| {
                let (spoken, wrong) = type_in_parts(spoken);
                document.types.insert(name.clone(), spoken);
                wrong.map_err(|error| error.within(name))
            }))
            .map(drop),
            Some(other) => Err(expected("an object of types by their names", other)),
        };
        let types = types.map_err(|error| error.within("types"));
        with_keys(check_keys(fields, &["version", "types"]), version.beside(types))
    });
    (document, read.err())
}

/// The same of what is said of one type.
fn type_in_parts(json: &Json) -> (TypeDocument, Result<(), DocumentError>) {
    // serde takes a list for the fields in their order, too.
    if let Ok(spoken) = TypeDocument::deserialize(json) {
        return (spoken, Ok(()));
    }
    let fields = match object_of(json) {
        Ok(fields) => fields,
        Err(wrong) => return (TypeDocument::default(), Err(wrong)),
    };
    let mut spoken = TypeDocument::default();
    let keys = check_keys(fields, &TYPE_KEYS);
    let claim = text(fields, "claim").map(|claim| spoken.claim = claim);
    let authenticates = truth(fields, "authenticates").map(|truth| spoken.authenticates = truth);
    // Which of the two is meant otherwise, nobody can say before both are known.
    let is_known = keys.is_ok() && claim.is_ok() && authenticates.is_ok();
    let priority =
        field(fields, "priority", "a whole number from 0 to 65535").map(|priority| spoken.priority = priority);
    let limit = field(fields, "limit", "a whole number from 1 to 500").map(|limit| spoken.limit = limit);
    let normalise = text(fields, "normalise").map(|normalise| spoken.normalise = normalise);
    let replace = list(fields, "replace", &replacement).map(|replace| spoken.replace = replace);
    let blocked = list(fields, "blocked", &text_of).map(|blocked| spoken.blocked = blocked);
    let patterns = list(fields, "blocked_patterns", &text_of).map(|patterns| spoken.blocked_patterns = patterns);
    let default_blocked = truth(fields, "default_blocked").map(|truth| spoken.default_blocked = truth);
    if !is_known && (spoken.claim.is_none() || spoken.authenticates.is_none()) {
        spoken.authenticates = None;
        spoken.claim = spoken.claim.filter(|name| Claim::from_name(name).is_none());
    }
    let read = priority
        .beside(limit)
        .beside(authenticates)
        .beside(claim)
        .beside(normalise);
    let read = read
        .beside(replace)
        .beside(blocked)
        .beside(patterns)
        .beside(default_blocked);
    (spoken, with_keys(keys, read).map(drop))
}

fn replacement(json: &Json) -> Result<ReplaceDocument, DocumentError> {
    if let Ok(read) = ReplaceDocument::deserialize(json) {
        return Ok(read);
    }
    let fields = object_of(json)?;
    let part = |key: &str| {
        let text = fields.get(key).map(text_of);
        text.map_or_else(
            || Err(DocumentError::new(format!("`{key}` is missing"))),
            |text| text.map_err(|error| error.within(key)),
        )
    };
    let read = part("pattern").beside(part("with"));
    let (pattern, with) = with_keys(check_keys(fields, &["pattern", "with"]), read)?;
    Ok(ReplaceDocument { pattern, with })
}

/// A field that may be left out, and may be `null`.
fn field<T: DeserializeOwned>(fields: &Map<String, Json>, key: &str, what: &str) -> Result<Option<T>, DocumentError> {
    match fields.get(key) {
        None => Ok(None),
        Some(json) => Option::<T>::deserialize(json).map_err(|_| expected(what, json).within(key)),
    }
}

fn text(fields: &Map<String, Json>, key: &str) -> Result<Option<String>, DocumentError> {
    field(fields, key, "a text")
}

fn truth(fields: &Map<String, Json>, key: &str) -> Result<Option<bool>, DocumentError> {
    field(fields, key, "true or false")
}

fn list<T>(
    fields: &Map<String, Json>,
    key: &str,
    read: &dyn Fn(&Json) -> Result<T, DocumentError>,
) -> Result<Option<Vec<T>>, DocumentError> {
    let items = match fields.get(key) {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Array(items)) => {
            read_each((items.iter().enumerate()).map(|(at, item)| read(item).map_err(|error| error.item(at))))
        }
        Some(other) => Err(expected("a list", other)),
    };
    items.map(Some).map_err(|error| error.within(key))
}

fn text_of(json: &Json) -> Result<String, DocumentError> {
    json.as_str().map(str::to_owned).ok_or_else(|| expected("a text", json))
}

fn expected(what: &str, found: &Json) -> DocumentError {
    let found = match found {
        // A number that does not fit says more than that it is one.
        Json::Number(number) => number.to_string(),
        other => kind_of(other).to_owned(),
    };
    DocumentError::new(format!("expected {what}, found {found}"))
}

/// What happens to a value that appears beside an authenticating identifier other than its holder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It links; limits decide.
    Link,
    /// It belongs to whoever it appeared beside first: a link beside anybody else leaves it out.
    FirstOwner,
    /// Once it appeared beside two, it belongs to neither: every link leaves it out.
    Ambiguous,
    /// It is held, by intervals, by whoever signed in last (contract IDN-9).
    LastAuthenticated,
}

impl Claim {
    pub(crate) const NAMES: [&'static str; 4] = ["link", "first_owner", "ambiguous", "last_authenticated"];

    /// The name that definitions use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::FirstOwner => "first_owner",
            Self::Ambiguous => "ambiguous",
            Self::LastAuthenticated => "last_authenticated",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Link, Self::FirstOwner, Self::Ambiguous, Self::LastAuthenticated]
            .into_iter()
            .find(|one| one.as_str() == name)
    }
}
