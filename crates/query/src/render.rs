//! Rows as lines of JSON: one object a row, every column named, nulls too.
//!
//! Times are ISO 8601 in UTC, decimals are JSON numbers with all their digits, binary values are hexadecimal. Two
//! columns of one name could not both be in an object, so they are refused before anything runs.

use crate::error::{SqlError, SqlErrorKind};
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::LineDelimited;
use std::collections::HashSet;

/// Rows of one piece of a result.
pub(crate) const PIECE_ROWS: usize = 1024;

/// Refuses results whose columns cannot be told apart.
pub(crate) fn check_columns(schema: &Schema) -> Result<(), SqlError> {
    let mut names = HashSet::new();
    match schema
        .fields()
        .iter()
        .find(|field| !names.insert(field.name().as_str()))
    {
        None => Ok(()),
        Some(twice) => {
            let message = format!(
                "the result has two columns named {:?}: give one another name with AS",
                twice.name()
            );
            Err(SqlError::new(SqlErrorKind::Invalid, message))
        }
    }
}

/// The rows as lines, each ended by a line feed.
pub(crate) fn lines(rows: &RecordBatch) -> Result<Bytes, SqlError> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(Vec::new());
    writer.write(rows).map_err(|error| unwritable(&error))?;
    writer.finish().map_err(|error| unwritable(&error))?;
    Ok(writer.into_inner().into())
}

fn unwritable(error: &ArrowError) -> SqlError {
    let message = format!("a column of the result has no JSON form; cast it to text or a number ({error})");
    SqlError::new(SqlErrorKind::Invalid, message)
}
