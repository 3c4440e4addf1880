//! Parquet files and what is recorded of them: exact counts, and bounds only of columns that are not classified.
//!
//! [`crate::Lake`] stores what is encoded here and commits what is described here. Neither the file's footer nor the
//! description holds a value of a classified column (contract LAK-6).

use crate::error::{ErrorKind, LakeError};
use crate::spec::{Column, ColumnType, TableSpec};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, RecordBatch};
use bytes::Bytes;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Literal, Struct};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::collections::HashMap;

/// Who wrote a file, in the form that Parquet's readers expect: one that they cannot read makes some ignore the statistics of texts
/// in a file (PARQUET-251).
const CREATED_BY: &str = concat!("kith version ", env!("CARGO_PKG_VERSION"));

/// How many characters of a text serve as its bound; beyond them bounds are widened. Ids and keys fit in whole.
const BOUND_CHARS: usize = 40;

/// A data file that is stored and belongs to no snapshot yet.
#[derive(Clone, Debug)]
pub struct NewFile {
    pub(crate) file: DataFile,
}

impl NewFile {
    /// The file's location.
    #[must_use]
    pub fn location(&self) -> &str {
        self.file.file_path()
    }

    /// How many rows it holds.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        self.file.record_count()
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.file.file_size_in_bytes()
    }
}

/// A data file that is being written: rows are encoded as they come, and only what they are encoded to is held.
pub struct FileWriter<'a> {
    table: &'a TableSpec,
    location: String,
    partition: Struct,
    metrics: Vec<ColumnMetrics>,
    writer: ArrowWriter<Vec<u8>>,
}

impl<'a> FileWriter<'a> {
    pub(crate) fn new(table: &'a TableSpec, location: String, bucket: Option<u32>) -> Result<Self, LakeError> {
        let properties = Some(writer_properties(table)?);
        Ok(Self {
            table,
            location,
            partition: partition(table, bucket)?,
            metrics: table.columns.iter().map(|_| ColumnMetrics::default()).collect(),
            writer: ArrowWriter::try_new(Vec::new(), table.arrow_schema(), properties)?,
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when they are not rows of the table.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        let table = self.table;
        if batch.schema_ref().fields() != table.arrow_schema().fields() {
            let message = format!("the rows are not rows of {}.{}", table.namespace, table.name);
            return Err(LakeError::new(ErrorKind::Invalid, message));
        }
        for ((column, array), metrics) in table.columns.iter().zip(batch.columns()).zip(&mut self.metrics) {
            metrics.take(column, array);
        }
        Ok(self.writer.write(batch)?)
    }

    /// The bytes of the file, and what is recorded of it.
    pub(crate) fn finish(mut self) -> Result<(Bytes, NewFile), LakeError> {
        let footer = self.writer.finish()?;
        let bytes = std::mem::take(self.writer.inner_mut());
        let record_count = self.metrics.first().map_or(0, |metrics| metrics.values);
        let mut builder = DataFileBuilder::default();
        builder
            .content(DataContentType::Data)
            .file_path(self.location)
            .file_format(DataFileFormat::Parquet)
            .partition(self.partition)
            .record_count(record_count);
        builder.file_size_in_bytes(bytes.len() as u64);
        describe_layout(&mut builder, self.table, footer.row_groups());
        describe_values(&mut builder, self.table, self.metrics);
        let file = builder.build().map_err(|error| {
            LakeError::because(ErrorKind::Invalid, "a data file lacks a property", error.to_string())
        })?;
        Ok((bytes.into(), NewFile { file }))
    }
}

impl std::fmt::Debug for FileWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

fn partition(table: &TableSpec, bucket: Option<u32>) -> Result<Struct, LakeError> {
    match (table.buckets, bucket) {
        (None, None) => Ok(Struct::empty()),
        (Some(buckets), Some(bucket)) if bucket < buckets.count => Ok(Struct::from_iter([Some(Literal::int(
            i32::try_from(bucket).unwrap_or(i32::MAX),
        ))])),
        _ => {
            let message = format!(
                "rows of {}.{} were handed in with bucket {bucket:?}",
                table.namespace, table.name
            );
            Err(LakeError::new(ErrorKind::Invalid, message))
        }
    }
}

fn writer_properties(table: &TableSpec) -> Result<WriterProperties, LakeError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(CREATED_BY.to_owned());
    for column in &table.columns {
        let path = ColumnPath::from(column.name);
        if column.classified {
            properties = properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
        } else if column.column_type == ColumnType::Time {
            properties = properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::Page);
        }
        if column.distinct || column.column_type == ColumnType::Json {
            properties = properties.set_column_dictionary_enabled(path, false);
        }
    }
    Ok(properties.build())
}

fn describe_layout(builder: &mut DataFileBuilder, table: &TableSpec, row_groups: &[RowGroupMetaData]) {
    let mut sizes: HashMap<i32, u64> = HashMap::new();
    let mut split_offsets = Vec::with_capacity(row_groups.len());
    for group in row_groups {
        for (column, chunk) in table.columns.iter().zip(group.columns()) {
            *sizes.entry(column.id).or_default() += u64::try_from(chunk.compressed_size()).unwrap_or(0);
        }
        if let Some(first) = group.columns().first() {
            split_offsets.push(
                first
                    .dictionary_page_offset()
                    .unwrap_or_else(|| first.data_page_offset()),
            );
        }
    }
    builder.column_sizes(sizes).split_offsets(Some(split_offsets));
}

fn describe_values(builder: &mut DataFileBuilder, table: &TableSpec, metrics: Vec<ColumnMetrics>) {
    let (mut values, mut nulls) = (HashMap::new(), HashMap::new());
    let (mut lower, mut upper) = (HashMap::new(), HashMap::new());
    for (column, metrics) in table.columns.iter().zip(metrics) {
        values.insert(column.id, metrics.values);
        nulls.insert(column.id, metrics.nulls);
        let (low, high) = metrics.bounds.into_datums(column.column_type);
        lower.extend(low.map(|bound| (column.id, bound)));
        upper.extend(high.map(|bound| (column.id, bound)));
    }
    builder
        .value_counts(values)
        .null_value_counts(nulls)
        .lower_bounds(lower)
        .upper_bounds(upper);
}

/// What is known of a column's values.
#[derive(Default)]
struct ColumnMetrics {
    values: u64,
    nulls: u64,
    bounds: Bounds,
}

#[derive(Default)]
enum Bounds {
    #[default]
    None,
    Number(i64, i64),
    Text(String, String),
}

impl ColumnMetrics {
    fn take(&mut self, column: &Column, array: &ArrayRef) {
        self.values += array.len() as u64;
        self.nulls += array.null_count() as u64;
        if column.classified {
            return;
        }
        match column.column_type {
            ColumnType::Text => self.bounds.take_texts(array.as_string::<i32>().iter().flatten()),
            ColumnType::Json | ColumnType::Flag => {}
            ColumnType::Int => self.bounds.take_numbers::<Int32Type>(array),
            ColumnType::Long => self.bounds.take_numbers::<Int64Type>(array),
            ColumnType::Time => self.bounds.take_numbers::<TimestampMicrosecondType>(array),
        }
    }
}

impl Bounds {
    fn take_numbers<T: ArrowPrimitiveType>(&mut self, array: &ArrayRef)
    where
        T::Native: Into<i64>,
    {
        for value in array.as_primitive::<T>().iter().flatten() {
            let value: i64 = value.into();
            *self = match *self {
                Self::Number(low, high) => Self::Number(low.min(value), high.max(value)),
                _ => Self::Number(value, value),
            };
        }
    }

    fn take_texts<'a>(&mut self, mut values: impl Iterator<Item = &'a str>) {
        let Some(first) = values.next() else { return };
        let (low, high) = values.fold((first, first), |(low, high), value| (low.min(value), high.max(value)));
        match self {
            Self::Text(lowest, highest) => {
                if low < lowest.as_str() {
                    low.clone_into(lowest);
                }
                if high > highest.as_str() {
                    high.clone_into(highest);
                }
            }
            _ => *self = Self::Text(low.to_owned(), high.to_owned()),
        }
    }

    fn into_datums(self, column_type: ColumnType) -> (Option<Datum>, Option<Datum>) {
        let number = |value: i64| match column_type {
            ColumnType::Int => Datum::int(i32::try_from(value).unwrap_or(i32::MAX)),
            ColumnType::Time => Datum::timestamptz_micros(value),
            _ => Datum::long(value),
        };
        match self {
            Self::None => (None, None),
            Self::Number(low, high) => (Some(number(low)), Some(number(high))),
            Self::Text(low, high) => {
                let low: String = low.chars().take(BOUND_CHARS).collect();
                (Some(Datum::string(low)), upper_text(&high).map(Datum::string))
            }
        }
    }
}

/// A short text that no value beginning like `high` exceeds, if there is one.
fn upper_text(high: &str) -> Option<String> {
    let mut kept: Vec<char> = high.chars().take(BOUND_CHARS).collect();
    if kept.len() == high.chars().count() {
        return Some(high.to_owned());
    }
    while let Some(last) = kept.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            kept.push(next);
            return Some(kept.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lak_1_upper_bounds_bound() {
        let long = "x".repeat(60);
        assert_eq!(upper_text("abc").as_deref(), Some("abc"));
        assert!(upper_text(&long).unwrap().as_str() > long.as_str());
        assert!(upper_text(&long).unwrap().chars().count() <= BOUND_CHARS);
        assert_eq!(upper_text(&char::MAX.to_string().repeat(60)), None);
    }
}
