//! The error of the catalog: a small kind that says what to do, a text for the caller, the cause for the log.

use std::error::Error;
use std::fmt;

/// What a caller can do about a [`CatalogError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogErrorKind {
    /// What was named does not exist.
    NotFound,
    /// It exists already, or changed meanwhile.
    Conflict,
    /// The request breaks a rule and must be mended.
    Invalid,
    /// A stated limit is reached.
    Limit,
    /// The file cannot be used by this release: the text says what to do.
    Refused,
    /// The file could not be read or written; trying again may help.
    Storage,
}

/// Why the catalog did not do what was asked.
#[derive(Debug)]
pub struct CatalogError {
    kind: CatalogErrorKind,
    message: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl CatalogError {
    pub(crate) fn new(kind: CatalogErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            cause: None,
        }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(CatalogErrorKind::NotFound, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(CatalogErrorKind::Invalid, message)
    }

    pub(crate) fn caused(
        kind: CatalogErrorKind,
        message: impl Into<String>,
        cause: impl Error + Send + Sync + 'static,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            cause: Some(Box::new(cause)),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> CatalogErrorKind {
        self.kind
    }
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for CatalogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

impl From<kith_sqlite::OpenError> for CatalogError {
    fn from(error: kith_sqlite::OpenError) -> Self {
        let kind = match error.kind() {
            kith_sqlite::OpenErrorKind::Refused => CatalogErrorKind::Refused,
            kith_sqlite::OpenErrorKind::Storage => CatalogErrorKind::Storage,
        };
        let message = error.to_string();
        // The text is the caller's; what SQLite said is the cause.
        match error.into_cause() {
            Some(cause) => Self::caused(kind, message, cause),
            None => Self::new(kind, message),
        }
    }
}

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> Self {
        Self::caused(
            CatalogErrorKind::Storage,
            "the catalog's file could not be read or written",
            error,
        )
    }
}
