//! What can go wrong in a step.

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
    /// The document that must be mended, such as `segment/vip`, and what is wrong with it.
    document: Option<Box<(String, String)>>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl PipelineError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> PipelineErrorKind {
        self.kind
    }

    /// The document that must be mended, such as `segment/vip`, and what is wrong with it; nothing where it is of no document.
    #[must_use]
    pub fn document(&self) -> Option<(&str, &str)> {
        self.document
            .as_deref()
            .map(|(id, wrong)| (id.as_str(), wrong.as_str()))
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
            document: None,
            source: None,
        }
    }

    pub(crate) fn left_midway() -> Self {
        let message = "people were being derived anew under changed rules of identity when the server ended: move the \
                       state folder away and it is rebuilt from the log";
        Self {
            kind: PipelineErrorKind::Corrupt,
            message: message.to_owned(),
            document: None,
            source: None,
        }
    }

    pub(crate) fn definition(message: impl Into<String>) -> Self {
        Self {
            kind: PipelineErrorKind::Definition,
            message: message.into(),
            document: None,
            source: None,
        }
    }

    pub(crate) fn of_document(kind: &str, name: &str, wrong: &str) -> Self {
        Self {
            document: Some(Box::new((format!("{kind}/{name}"), wrong.to_owned()))),
            ..Self::definition(format!("{kind} {name}: {wrong}"))
        }
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self {
            kind: PipelineErrorKind::Limit,
            message: message.into(),
            document: None,
            source: None,
        }
    }

    pub(crate) fn storage(message: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            kind: PipelineErrorKind::Storage,
            message: message.to_owned(),
            document: None,
            source: Some(source.into()),
        }
    }
}

impl From<StateError> for PipelineError {
    fn from(error: StateError) -> Self {
        Self::storage("the state failed", error)
    }
}
