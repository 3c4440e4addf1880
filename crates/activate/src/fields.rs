//! The fields of a definition as messages and destinations read them: what is wrong is noted with its field, and reading
//! goes on, so that whoever wrote it is told everything at once.

use crate::definition::DefinitionProblem;
use crate::suggest::suggestion;
use serde_json::{Map, Value};

/// The fields of one definition, and what is wrong with them.
pub(crate) struct Reader<'a> {
    pub(crate) fields: &'a Map<String, Value>,
    pub(crate) problems: Vec<DefinitionProblem>,
}

impl Reader<'_> {
    pub(crate) fn problem(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(DefinitionProblem {
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// Notes every field that is not one of those `known`.
    pub(crate) fn unknown_fields(&mut self, known: &[&str]) {
        for name in self.fields.keys() {
            if !known.contains(&name.as_str()) {
                self.problem(name, format!("there is no such field{}", suggestion(name, known)));
            }
        }
    }

    /// The text of a field; a problem where it is something else.
    pub(crate) fn optional_text(&mut self, path: &str) -> Option<String> {
        match self.fields.get(path)? {
            Value::String(text) => Some(text.clone()),
            _ => {
                self.problem(path, "this must be a text");
                None
            }
        }
    }

    /// The text of a field that must be there.
    pub(crate) fn text(&mut self, path: &str, example: &str) -> Option<String> {
        if !self.fields.contains_key(path) {
            self.problem(path, format!("this is needed, such as {example}"));
        }
        self.optional_text(path)
    }
}
