//! What is known of the values of a table's files, in the terms of DataFusion.
//!
//! Two readings of the same bounds: for leaving files out, where a widened bound does no harm, and as statistics from
//! which DataFusion may answer, where only exact values are given (else `MAX` would answer a shortened text).

use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, ScalarValue, Statistics};
use kith_lake::{Bound, DataFileEntry};
use std::collections::HashSet;
use std::sync::Arc;

/// The bounds of all files of a table, for leaving files out.
pub(crate) struct FileBounds<'a> {
    schema: &'a Schema,
    files: &'a [DataFileEntry],
}

impl<'a> FileBounds<'a> {
    pub(crate) fn new(schema: &'a Schema, files: &'a [DataFileEntry]) -> Self {
        Self { schema, files }
    }

    fn bounds(&self, column: &Column, of: impl Fn(&kith_lake::ColumnBounds) -> Option<&Bound>) -> Option<ArrayRef> {
        let (index, field) = self.schema.column_with_name(&column.name)?;
        let absent = ScalarValue::try_new_null(field.data_type()).ok()?;
        let values: Vec<ScalarValue> = self
            .files
            .iter()
            .map(|file| {
                let bound = file.columns.get(index).and_then(&of);
                bound
                    .and_then(|bound| scalar(bound, field.data_type()))
                    .unwrap_or_else(|| absent.clone())
            })
            .collect();
        if values.iter().all(ScalarValue::is_null) {
            return None;
        }
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for FileBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |bounds| bounds.lower.as_ref())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |bounds| bounds.upper.as_ref())
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let (index, _) = self.schema.column_with_name(&column.name)?;
        let counts = self
            .files
            .iter()
            .map(|file| file.columns.get(index).and_then(|bounds| bounds.null_count));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(
            self.files
                .iter()
                .map(|file| Some(file.record_count))
                .collect::<UInt64Array>(),
        ))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// The bound as a value of the column's type; none where it is of another.
fn scalar(bound: &Bound, data_type: &DataType) -> Option<ScalarValue> {
    Some(match (bound, data_type) {
        (Bound::Bool(value), DataType::Boolean) => ScalarValue::Boolean(Some(*value)),
        (Bound::Int(value), DataType::Int32) => ScalarValue::Int32(Some(*value)),
        (Bound::Int(value), DataType::Date32) => ScalarValue::Date32(Some(*value)),
        // A column that was widened from 32 to 64 bits keeps the bounds of its old files.
        (Bound::Int(value), DataType::Int64) => ScalarValue::Int64(Some(i64::from(*value))),
        (Bound::Long(value), DataType::Int64) => ScalarValue::Int64(Some(*value)),
        (Bound::Float(value), DataType::Float32) => ScalarValue::Float32(Some(*value)),
        (Bound::Double(value), DataType::Float64) => ScalarValue::Float64(Some(*value)),
        (Bound::Time(value), DataType::Timestamp(_, zone)) => {
            ScalarValue::TimestampMicrosecond(Some(*value), zone.clone())
        }
        (Bound::Text(value), DataType::Utf8View) => ScalarValue::Utf8View(Some(value.to_string())),
        _ => return None,
    })
}

/// What DataFusion may answer from without reading the file: exact where it is exact, else said to be inexact.
pub(crate) fn statistics(schema: &Schema, file: &DataFileEntry) -> Statistics {
    let columns = schema.fields().iter().zip(&file.columns).map(|(field, bounds)| {
        let value = |bound: &Option<Bound>| match bound {
            Some(bound) => match scalar(bound, field.data_type()) {
                Some(value) if is_exact(bound) => Precision::Exact(value),
                Some(value) => Precision::Inexact(value),
                None => Precision::Absent,
            },
            None => Precision::Absent,
        };
        let null_count = bounds
            .null_count
            .map_or(Precision::Absent, |count| Precision::Exact(count_of(count)));
        ColumnStatistics {
            null_count,
            min_value: value(&bounds.lower),
            max_value: value(&bounds.upper),
            ..ColumnStatistics::new_unknown()
        }
    });
    Statistics {
        num_rows: Precision::Exact(count_of(file.record_count)),
        total_byte_size: Precision::Absent,
        column_statistics: columns.collect(),
    }
}

/// Bounds of floats leave NaN aside, which SQL counts as the greatest.
fn is_exact(bound: &Bound) -> bool {
    bound.is_exact() && !matches!(bound, Bound::Float(_) | Bound::Double(_))
}

fn count_of(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
