//! Collects the columns of a batch in the order of the table.
//!
//! The row builders beside it use it. Whether columns fit the table is checked when the batch is made.

use crate::error::LakeError;
use crate::spec::TableSpec;
use arrow_array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use kith_types::Timestamp;
use std::sync::Arc;

/// The columns so far.
#[derive(Default)]
pub(crate) struct Columns(Vec<ArrayRef>);

impl Columns {
    pub(crate) fn push(&mut self, array: ArrayRef) {
        self.0.push(array);
    }

    pub(crate) fn text<'a>(&mut self, values: impl Iterator<Item = &'a str>) {
        self.push(Arc::new(StringArray::from_iter_values(values)));
    }

    pub(crate) fn optional_text<'a>(&mut self, values: impl Iterator<Item = Option<&'a str>>) {
        self.push(Arc::new(StringArray::from_iter(values)));
    }

    pub(crate) fn int(&mut self, values: impl Iterator<Item = i32>) {
        self.push(Arc::new(Int32Array::from_iter_values(values)));
    }

    /// Counts and sequences; what exceeds 63 bits is held there.
    pub(crate) fn long(&mut self, values: impl Iterator<Item = u64>) {
        self.push(Arc::new(Int64Array::from_iter_values(
            values.map(|value| i64::try_from(value).unwrap_or(i64::MAX)),
        )));
    }

    pub(crate) fn time(&mut self, values: impl Iterator<Item = Timestamp>) {
        let array = TimestampMicrosecondArray::from_iter_values(values.map(Timestamp::as_micros));
        self.push(Arc::new(array.with_timezone("UTC")));
    }

    pub(crate) fn optional_time(&mut self, values: impl Iterator<Item = Option<Timestamp>>) {
        let array = TimestampMicrosecondArray::from_iter(values.map(|value| value.map(Timestamp::as_micros)));
        self.push(Arc::new(array.with_timezone("UTC")));
    }

    pub(crate) fn flag(&mut self, values: impl Iterator<Item = bool>) {
        self.push(Arc::new(values.map(Some).collect::<BooleanArray>()));
    }

    pub(crate) fn finish(self, table: &TableSpec) -> Result<RecordBatch, LakeError> {
        Ok(RecordBatch::try_new(table.arrow_schema(), self.0)?)
    }
}
