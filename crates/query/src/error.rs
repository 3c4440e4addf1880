//! The crate's one error: a small kind that says what to do, and a text for whoever wrote the statement.
//!
//! It reads DataFusion's and the lake's errors. Its texts name tables and columns of the asking request only.

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use kith_lake::{ErrorKind as LakeErrorKind, LakeError};
use std::fmt;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlErrorKind {
    /// The statement cannot be run as it stands, or its values cannot be computed: mend it.
    Invalid,
    /// The statement would change something: only reading is possible here.
    ReadOnly,
    /// The memory or the spill folder that statements share is used up: ask for less, or raise the limit.
    OutOfMemory,
    /// The result is larger than allowed: ask for less.
    TooLarge,
    /// The statement took too long: ask for less, or raise the limit.
    TimedOut,
    /// Too many statements run, or the lake cannot be reached: try again later.
    Unavailable,
    /// What the lake stores does not read as it must: `kith doctor`.
    Damaged,
    /// A fault of ours: report it with the statement.
    Internal,
}

/// Why a statement could not be run.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    kind: SqlErrorKind,
    message: String,
}

impl SqlError {
    /// An error of a kind, as whoever wrote the statement reads it.
    pub fn new(kind: SqlErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> SqlErrorKind {
        self.kind
    }

    pub(crate) fn cap_reached(error: &DataFusionError, memory_bytes: usize) -> Option<Self> {
        let DataFusionError::ResourcesExhausted(detail) = error.find_root() else {
            return None;
        };
        tracing::debug!(%detail, "a statement ran out of memory");
        let size = Size(memory_bytes);
        let message = format!(
            "the statement needs more than the {size} of memory that all running statements share: narrow its time \
             range, select fewer columns, group by less, or raise the limit"
        );
        Some(Self::new(SqlErrorKind::OutOfMemory, message))
    }
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        let root = error.find_root();
        let kind = match root {
            DataFusionError::ResourcesExhausted(_) => SqlErrorKind::OutOfMemory,
            DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => SqlErrorKind::Unavailable,
            DataFusionError::ParquetError(_) => SqlErrorKind::Damaged,
            DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) => SqlErrorKind::Internal,
            DataFusionError::External(inner) => match (inner.downcast_ref::<LakeError>(), inner.downcast_ref::<Self>())
            {
                (Some(lake), _) => return Self::from(lake),
                (_, Some(told)) => return told.clone(),
                _ => SqlErrorKind::Internal,
            },
            _ => SqlErrorKind::Invalid,
        };
        let message = match kind {
            // These texts speak of paths and of the engine's own code.
            SqlErrorKind::Unavailable => "the lake could not be read; try again later".to_owned(),
            SqlErrorKind::Damaged => "a file of the lake does not read as Parquet; run kith doctor".to_owned(),
            SqlErrorKind::Internal => "the statement hit a fault of the engine; the log has the details".to_owned(),
            _ => plain_text(root),
        };
        if matches!(
            kind,
            SqlErrorKind::Unavailable | SqlErrorKind::Damaged | SqlErrorKind::Internal
        ) {
            tracing::error!(%error, "a statement failed");
        }
        Self { kind, message }
    }
}

impl From<&LakeError> for SqlError {
    fn from(error: &LakeError) -> Self {
        let kind = match error.kind() {
            LakeErrorKind::NotFound | LakeErrorKind::Invalid => SqlErrorKind::Invalid,
            LakeErrorKind::Conflict | LakeErrorKind::Unavailable => SqlErrorKind::Unavailable,
            LakeErrorKind::Damaged => SqlErrorKind::Damaged,
        };
        Self {
            kind,
            message: error.to_string(),
        }
    }
}

impl From<LakeError> for SqlError {
    fn from(error: LakeError) -> Self {
        Self::from(&error)
    }
}

/// The error's text without the engine's names for kinds of errors.
fn plain_text(error: &DataFusionError) -> String {
    if let DataFusionError::SchemaError(schema, _) = error
        && let SchemaError::FieldNotFound { field, valid_fields } = &**schema
    {
        return unknown_column(field, valid_fields);
    }
    let text = match error {
        DataFusionError::SQL(parser, _) => parser.to_string(),
        _ => error.strip_backtrace(),
    };
    let prefixes = [
        "Error during planning: ",
        "Schema error: ",
        "sql parser error: ",
        "Execution error: ",
        "Arrow error: ",
        "This feature is not implemented: ",
    ];
    let plain = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
    plain.unwrap_or(&text).to_owned()
}

/// A column that is not there, the one that was most likely meant, and all that are.
fn unknown_column(asked: &Column, known: &[Column]) -> String {
    let mut names: Vec<&str> = known.iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let meant = match kith_expr::nearest(&asked.name, &names) {
        Some(near) => format!("did you mean {near}? "),
        None => String::new(),
    };
    let asked = asked.flat_name();
    match names.is_empty() {
        true => format!("there is no column {asked} here"),
        false => format!(
            "there is no column {asked}: {meant}The columns here are {}",
            names.join(", ")
        ),
    }
}

/// Bytes as people write them.
struct Size(usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 => write!(f, "{} MiB", bytes >> 20),
            bytes if bytes >= 1 << 10 => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}
