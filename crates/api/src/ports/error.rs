//! How a port says no: a kind that becomes a status, a text for the client, a cause for the log.

use kith_catalog::{CatalogError, CatalogErrorKind, Problem};
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// What the client can do about a [`PortError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortErrorKind {
    /// What was named does not exist: 404.
    NotFound,
    /// Nobody is found as of an instant, and the text says which question finds somebody: 404.
    Absent,
    /// The request breaks a rule and must be mended: 400, or 422 with problems.
    Invalid,
    /// It exists already, or changed meanwhile: 409.
    Conflict,
    /// A stated limit is reached: 409.
    Limit,
    /// Too much at once: 429.
    Busy,
    /// It cannot be had now; trying again may help: 503.
    Unavailable,
    /// A fault of the server: 500. The client is not told the text.
    Internal,
}

/// Why a port did not do what was asked.
#[derive(Debug)]
pub struct PortError {
    pub(crate) kind: PortErrorKind,
    pub(crate) message: String,
    pub(crate) problems: Vec<Problem>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) cause: Option<Box<dyn Error + Send + Sync>>,
}

impl PortError {
    /// An error with a text for the client: what is wrong, where, how to mend it. It must hold no personal data.
    #[must_use]
    pub fn new(kind: PortErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            problems: Vec::new(),
            retry_after: None,
            cause: None,
        }
    }

    /// A fault of the server; `cause` is logged and never sent.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let message = "the server failed; its log holds the reason under this request id".to_owned();
        Self {
            kind: PortErrorKind::Internal,
            message,
            problems: Vec::new(),
            retry_after: None,
            cause: Some(cause.into()),
        }
    }

    /// Documents that a validator refused.
    #[must_use]
    pub fn problems(problems: Vec<Problem>) -> Self {
        Self {
            kind: PortErrorKind::Invalid,
            message: "the definitions must be mended; nothing was applied".to_owned(),
            problems,
            retry_after: None,
            cause: None,
        }
    }

    /// The same with a cause for the log.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The same with when to come back; a second unless given.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// What the client can do.
    #[must_use]
    pub fn kind(&self) -> PortErrorKind {
        self.kind
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

impl From<CatalogError> for PortError {
    fn from(error: CatalogError) -> Self {
        let kind = match error.kind() {
            CatalogErrorKind::NotFound => PortErrorKind::NotFound,
            CatalogErrorKind::Conflict => PortErrorKind::Conflict,
            CatalogErrorKind::Invalid => PortErrorKind::Invalid,
            CatalogErrorKind::Limit => PortErrorKind::Limit,
            CatalogErrorKind::Storage => PortErrorKind::Unavailable,
            CatalogErrorKind::Refused => return Self::internal(error),
        };
        Self::new(kind, error.to_string()).with_cause(error)
    }
}
