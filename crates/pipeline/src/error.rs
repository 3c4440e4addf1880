//! What can go wrong in a step.

use crate::definition_problems::DefinitionProblem;
use kith_state::StateError;

/// What to do about a failure of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipelineErrorKind {
    /// The state, the log or the lake failed: what was in flight is taken again after a restart.
    Storage,
    /// Stored bytes are not what this release writes: rebuild the state from the log.
    Corrupt,
    /// A definition cannot be used: mend the document.
    Definition,
    /// The question needs more than one answer may read: ask for less.
    Limit,
}

/// A failure of the pipeline.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PipelineError {
    kind: PipelineErrorKind,
    message: String,
    /// What must be mended in definitions.
    problems: Vec<DefinitionProblem>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl PipelineError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> PipelineErrorKind {
        self.kind
    }

    /// What must be mended in definitions, in the order in which it is told; nothing where it is of none.
    #[must_use]
    pub fn problems(&self) -> &[DefinitionProblem] {
        &self.problems
    }

    /// Whether it was the store that failed, which has to be opened again then.
    pub(crate) fn is_of_the_store(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.is::<StateError>())
    }

    pub(crate) fn corrupt(what: &str) -> Self {
        let message =
            format!("the state's {what} cannot be read: move the state folder away and it is rebuilt from the log");
        Self {
            kind: PipelineErrorKind::Corrupt,
            message,
            problems: Vec::new(),
            source: None,
        }
    }

    pub(crate) fn left_midway() -> Self {
        let message = "people were being derived anew under changed rules of identity when the server ended: move the \
                       state folder away and it is rebuilt from the log";
        Self {
            kind: PipelineErrorKind::Corrupt,
            message: message.to_owned(),
            problems: Vec::new(),
            source: None,
        }
    }

    pub(crate) fn definition(message: impl Into<String>) -> Self {
        Self {
            kind: PipelineErrorKind::Definition,
            message: message.into(),
            problems: Vec::new(),
            source: None,
        }
    }

    /// Definitions that cannot be used: `first` is what they were given up for, `problems` is all of it.
    pub(crate) fn of_definitions(first: DefinitionProblem, mut problems: Vec<DefinitionProblem>) -> Self {
        if problems.is_empty() {
            problems.push(first);
        }
        let more = match problems.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more to mend)"),
        };
        Self {
            message: format!("{}{more}", problems[0]),
            problems,
            ..Self::definition(String::new())
        }
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self {
            kind: PipelineErrorKind::Limit,
            message: message.into(),
            problems: Vec::new(),
            source: None,
        }
    }

    pub(crate) fn storage(message: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            kind: PipelineErrorKind::Storage,
            message: message.to_owned(),
            problems: Vec::new(),
            source: Some(source.into()),
        }
    }
}

impl From<StateError> for PipelineError {
    fn from(error: StateError) -> Self {
        Self::storage("the state failed", error)
    }
}
