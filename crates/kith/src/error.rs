//! What a command says when it fails: a sentence for the operator, and the chain behind it.

use std::error::Error;
use std::fmt;

/// A failed command.
#[derive(Debug)]
pub(crate) struct CommandError {
    message: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl CommandError {
    /// A failure that one sentence explains.
    #[must_use]
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            cause: None,
        }
    }

    /// A failure with its cause.
    #[must_use]
    pub(crate) fn caused(message: impl Into<String>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            message: message.into(),
            cause: Some(cause.into()),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for CommandError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

/// What breaks a rule is told as it is: nothing has failed, and the text says what to mend.
impl From<kith_catalog::CatalogError> for CommandError {
    fn from(error: kith_catalog::CatalogError) -> Self {
        match error.kind() {
            kith_catalog::CatalogErrorKind::Invalid => Self::new(error.to_string()),
            _ => Self::caused("the catalog failed", error),
        }
    }
}

macro_rules! from_error {
    ($($error:ty => $message:literal),* $(,)?) => {
        $(impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                Self::caused($message, error)
            }
        })*
    };
}

from_error! {
    kith_log::LogError => "the log failed",
    kith_state::StateError => "the live state failed",
    kith_lake::LakeError => "the lake failed",
    kith_pipeline::PipelineError => "the pipeline failed",
    kith_publish::PublishError => "publishing failed",
}
