//! A definition as a document: `{kind, name, spec}`.
//!
//! The same document is YAML in a repository, JSON in the API and a decision in the log. Here its shape and size are
//! checked; what it means is checked by the [`DefinitionValidator`] that the binary hands to whoever applies it.

use crate::SpaceLimits;
use kith_types::{SegmentName, SpaceId};
use serde_json::Value;
use std::fmt;

/// The largest `spec`, in bytes of JSON.
pub(crate) const SPEC_BYTES_MAX: usize = 256 * 1024;
/// How deep a `spec` may nest.
pub(crate) const SPEC_DEPTH_MAX: usize = 64;
/// The name of the one document that holds the limits of a space.
pub(crate) const LIMITS_NAME: &str = "limits";

/// What a document defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    /// What the space may send and hold (contract SPC-1).
    SpaceLimits,
    /// A source of events.
    Source,
    /// The rules of identity (contract IDN-2).
    IdentityRules,
    /// Which value of a trait wins (contract PRO-3).
    TraitRules,
    /// A computed trait (contract PRO-4).
    ComputedTrait,
    /// A segment (contract SEG-1).
    Segment,
    /// Caps and quiet hours for all marketing of the space (contract ACT-1).
    SendingRules,
    /// A message that is sent to whoever enters a segment.
    Message,
    /// Another system that is told who enters and leaves segments (contract SEG-5).
    Destination,
}

impl DocumentKind {
    /// Every kind, in the order in which documents are listed: what others build on comes first.
    pub const ALL: [DocumentKind; 9] = [
        Self::SpaceLimits,
        Self::Source,
        Self::IdentityRules,
        Self::TraitRules,
        Self::ComputedTrait,
        Self::Segment,
        Self::SendingRules,
        Self::Message,
        Self::Destination,
    ];

    /// The name that documents use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SpaceLimits => "space_limits",
            Self::Source => "source",
            Self::IdentityRules => "identity_rules",
            Self::TraitRules => "trait_rules",
            Self::ComputedTrait => "computed_trait",
            Self::Segment => "segment",
            Self::SendingRules => "sending_rules",
            Self::Message => "message",
            Self::Destination => "destination",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What names a document within its space, shown as `segment/big_spenders`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId {
    /// What it defines.
    pub kind: DocumentKind,
    /// Its name within the kind.
    pub name: String,
}

impl DocumentId {
    /// The id of that kind and name.
    ///
    /// # Errors
    /// A text that says what is wrong with the name.
    pub fn new(kind: &str, name: &str) -> Result<Self, String> {
        let Some(kind) = DocumentKind::from_name(kind) else {
            let known = DocumentKind::ALL.map(DocumentKind::as_str);
            let meant = kith_expr::nearest(kind, &known).map(|meant| format!(", did you mean {meant:?}?"));
            let (shown, meant) = (shorten(kind), meant.unwrap_or_default());
            return Err(format!(
                "kind {shown:?} is unknown{meant}; the kinds are {}",
                known.join(", ")
            ));
        };
        // Definitions follow the rule of segments, which become tables and traits by their names.
        if name.parse::<SegmentName>().is_err() {
            let shown = shorten(name);
            return Err(format!(
                "name {shown:?} must start with a letter and have at most 64 of the characters a-z, 0-9, _ and -"
            ));
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it defines.
    pub kind: DocumentKind,
    /// Its name within the kind.
    pub name: String,
    /// What it says, an object.
    pub spec: Value,
}

impl Document {
    /// What names it.
    #[must_use]
    pub fn id(&self) -> DocumentId {
        DocumentId {
            kind: self.kind,
            name: self.name.clone(),
        }
    }

    /// Reads `{"kind", "name", "spec"}`. `origin` says in problems where the document stands.
    ///
    /// # Errors
    /// The [`Problem`] with the path of the field that is wrong.
    pub fn from_json(origin: &str, value: Value) -> Result<Self, Problem> {
        let problem = |path: &str, message: String| Problem {
            document: origin.to_owned(),
            path: path.to_owned(),
            message,
        };
        let Value::Object(mut fields) = value else {
            return Err(problem(
                "",
                "a document is an object with kind, name and spec".to_owned(),
            ));
        };
        let (kind, name, spec) = (fields.remove("kind"), fields.remove("name"), fields.remove("spec"));
        if let Some(extra) = fields.keys().next() {
            return Err(problem(
                &shorten(extra),
                "a document has the fields kind, name and spec only".to_owned(),
            ));
        }
        let (Some(Value::String(kind)), Some(Value::String(name))) = (kind, name) else {
            return Err(problem("kind", "kind and name must be given, as text".to_owned()));
        };
        let wrong = if DocumentKind::from_name(&kind).is_some() {
            "name"
        } else {
            "kind"
        };
        let id = DocumentId::new(&kind, &name).map_err(|message| problem(wrong, message))?;
        let document = Self {
            kind: id.kind,
            name: id.name,
            spec: spec.unwrap_or_default(),
        };
        document.check().map_err(|(path, message)| problem(&path, message))?;
        Ok(document)
    }

    /// The document as `{"kind", "name", "spec"}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::json!({ "kind": self.kind.as_str(), "name": self.name, "spec": self.spec })
    }

    /// What holds for documents of every kind, and all that there is to a source and to limits.
    fn check(&self) -> Result<(), (String, String)> {
        let Value::Object(fields) = &self.spec else {
            return Err(("spec".to_owned(), "spec must be an object".to_owned()));
        };
        if depth_exceeds(&self.spec, SPEC_DEPTH_MAX) {
            return Err((
                "spec".to_owned(),
                format!("spec nests deeper than {SPEC_DEPTH_MAX} levels"),
            ));
        }
        if self.spec.to_string().len() > SPEC_BYTES_MAX {
            return Err(("spec".to_owned(), format!("spec is larger than {SPEC_BYTES_MAX} bytes")));
        }
        if self.kind == DocumentKind::SpaceLimits {
            if self.name != LIMITS_NAME {
                let message = format!("a space has one document of its limits: name it {LIMITS_NAME}");
                return Err(("name".to_owned(), message));
            }
            return SpaceLimits::parse(&self.spec).map(|_| ());
        }
        if self.kind != DocumentKind::Source {
            return Ok(());
        }
        for (field, value) in fields {
            match (field.as_str(), value) {
                ("enabled", Value::Bool(_)) | ("description", Value::String(_)) => {}
                ("enabled", _) => return Err(("spec.enabled".to_owned(), "enabled is true or false".to_owned())),
                ("description", _) => return Err(("spec.description".to_owned(), "description is a text".to_owned())),
                _ => {
                    return Err((
                        format!("spec.{}", shorten(field)),
                        "a source has the fields enabled and description only".to_owned(),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// What is wrong with a document, where, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The document: its id, or its file and number.
    pub document: String,
    /// The field, such as `spec.window`; empty where it is the whole document.
    pub path: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{}: {}", self.document, self.message),
            path => write!(f, "{}: {path}: {}", self.document, self.message),
        }
    }
}

/// Judges what documents mean; the binary's adapter over the crates that own the kinds.
pub trait DefinitionValidator: Send + Sync {
    /// Judges all definitions that a space would have, so that what names another can be followed.
    ///
    /// # Errors
    /// Every [`Problem`] that was found.
    fn validate(&self, space: &SpaceId, documents: &[Document]) -> Result<(), Vec<Problem>>;
}

/// At most 80 characters of what somebody sent.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Whether a value nests deeper than `limit`. JSON and YAML readers bound nesting before it gets here.
fn depth_exceeds(value: &Value, limit: usize) -> bool {
    match value {
        Value::Array(items) => limit == 0 || items.iter().any(|item| depth_exceeds(item, limit - 1)),
        Value::Object(fields) => limit == 0 || fields.values().any(|field| depth_exceeds(field, limit - 1)),
        _ => false,
    }
}
