//! What can go wrong in activation, and what to do about it. It holds words only; it never holds an address or a
//! template's values, since errors are logged.

use std::fmt;

/// Any error of a port.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What to do about an [`ActivateError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivateErrorKind {
    /// The configuration is wrong: mend it and start again.
    Configuration,
    /// The ledger is damaged, foreign or of a newer release: nothing was changed; restore it or start that release.
    Refused,
    /// The ledger cannot be read or written at present: try again.
    Storage,
    /// The outbox, the people or the feedback cannot be reached at present: try again.
    Port,
    /// Activation is stopping; what is due waits in the ledger.
    Stopped,
}

/// An error of this crate.
#[derive(Debug)]
pub struct ActivateError {
    kind: ActivateErrorKind,
    message: String,
    source: Option<BoxError>,
}

impl ActivateError {
    pub(crate) fn new(kind: ActivateErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn caused(kind: ActivateErrorKind, message: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: Some(source.into()),
        }
    }

    pub(crate) fn stopped() -> Self {
        Self::new(ActivateErrorKind::Stopped, "activation is stopping")
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ActivateErrorKind {
        self.kind
    }
}

impl fmt::Display for ActivateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ActivateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<kith_sqlite::OpenError> for ActivateError {
    fn from(error: kith_sqlite::OpenError) -> Self {
        let kind = match error.kind() {
            kith_sqlite::OpenErrorKind::Refused => ActivateErrorKind::Refused,
            kith_sqlite::OpenErrorKind::Storage => ActivateErrorKind::Storage,
        };
        let message = error.to_string();
        // The text is the caller's; what SQLite said is the cause.
        match error.into_cause() {
            Some(cause) => Self::caused(kind, message, cause),
            None => Self::new(kind, message),
        }
    }
}

impl From<rusqlite::Error> for ActivateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::caused(
            ActivateErrorKind::Storage,
            "the send ledger cannot be read or written: check the folder, its rights and the disk",
            error,
        )
    }
}
