//! The lake's one error: a small public kind that says what to do, and the detail for the log.
//!
//! It works with every module of the crate. Its texts name tables and paths, never a person's values.

use std::error::Error as StdError;
use std::fmt;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such table, snapshot or object: make it, or mend the name.
    NotFound,
    /// Somebody else changed what this change rests on: read again and decide again.
    Conflict,
    /// The store or the pointers could not be reached: try again later.
    Unavailable,
    /// What is stored does not read as it must: `kith doctor` and a backup.
    Damaged,
    /// The request cannot be met as it stands: mend it.
    Invalid,
}

/// Why the lake could not do what was asked.
#[derive(Debug)]
pub struct LakeError {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl LakeError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn because(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// The error of a [`crate::PointerStore`] that cannot be reached, or whose reply is lost.
    #[must_use]
    pub fn unavailable(message: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::because(ErrorKind::Unavailable, message, source)
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for LakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for LakeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<iceberg::Error> for LakeError {
    fn from(error: iceberg::Error) -> Self {
        Self::because(
            ErrorKind::Damaged,
            "the table's metadata does not read or write as Iceberg v2",
            error,
        )
    }
}

impl From<parquet::errors::ParquetError> for LakeError {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::because(ErrorKind::Damaged, "a Parquet file could not be written or read", error)
    }
}

impl From<arrow_schema::ArrowError> for LakeError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::because(ErrorKind::Invalid, "the rows do not fit the table's columns", error)
    }
}

impl From<object_store::Error> for LakeError {
    fn from(error: object_store::Error) -> Self {
        let kind = match &error {
            object_store::Error::NotFound { .. } => ErrorKind::NotFound,
            object_store::Error::AlreadyExists { .. } => ErrorKind::Conflict,
            _ => ErrorKind::Unavailable,
        };
        Self::because(kind, "the object store failed", error)
    }
}
