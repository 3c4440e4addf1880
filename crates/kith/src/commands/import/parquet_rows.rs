//! Rows of a Parquet file: values as text and JSON would write them.
//!
//! Types are Parquet's own, not those that an Arrow writer noted beside them, so few kinds of arrays come. A moment that
//! is no moment of UTC is written without a zone, for the mapping to say which one it is.

use super::row::{Cell, Place, Row, RowFault, Rows};
use crate::error::CommandError;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use kith_types::{Decimal, Timestamp, write_json_string};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::fs::File;
use std::sync::Arc;

/// Rows that are read at once.
const BATCH_ROWS: usize = 1_024;
const MICROS_PER_DAY: i64 = 86_400_000_000;
/// How deep lists and structures may nest.
const DEPTH_MAX: usize = 16;

/// The rows of a Parquet file.
pub(crate) struct ParquetRows {
    file: Arc<str>,
    reader: ParquetRecordBatchReader,
    names: Arc<[String]>,
    batch: Option<RecordBatch>,
    at: usize,
    row: u64,
}

impl ParquetRows {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be read, or is no Parquet file.
    pub(crate) fn open(file: Arc<str>, input: File) -> Result<Self, CommandError> {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let unreadable = |error| CommandError::caused(format!("{file} cannot be read as Parquet"), Box::new(error));
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(input, options).map_err(unreadable)?;
        let names = builder
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(unreadable)?;
        Ok(Self {
            file,
            reader,
            names,
            batch: None,
            at: 0,
            row: 0,
        })
    }
}

impl Rows for ParquetRows {
    fn columns(&self) -> Option<&[String]> {
        Some(&self.names)
    }

    fn next(&mut self) -> Result<Option<Result<Row, RowFault>>, CommandError> {
        let batch = loop {
            match &self.batch {
                Some(batch) if self.at < batch.num_rows() => break batch,
                _ => {}
            }
            self.at = 0;
            self.batch = match self.reader.next() {
                None => return Ok(None),
                Some(Ok(batch)) => Some(batch),
                Some(Err(error)) => {
                    let what = format!("{} cannot be read beyond row {}", self.file, self.row);
                    return Err(CommandError::caused(what, Box::new(error)));
                }
            };
        };
        let at = self.at;
        self.at += 1;
        self.row += 1;
        let place = Place {
            file: Arc::clone(&self.file),
            unit: "row",
            number: self.row,
        };
        let mut cells = Vec::with_capacity(self.names.len());
        for (column, name) in batch.columns().iter().zip(self.names.iter()) {
            match cell(column.as_ref(), at) {
                Ok(cell) => cells.push(cell),
                Err(message) => {
                    return Ok(Some(Err(RowFault {
                        place,
                        column: name.clone(),
                        message,
                    })));
                }
            }
        }
        Ok(Some(Ok(Row::new(place, Arc::clone(&self.names), cells))))
    }
}

/// The value of a column in a row.
fn cell(column: &dyn Array, at: usize) -> Result<Cell, String> {
    if column.is_null(at) {
        return Ok(Cell::Null);
    }
    Ok(match column.data_type() {
        DataType::Null => Cell::Null,
        DataType::Boolean => Cell::Boolean(column.as_boolean().value(at)),
        DataType::Int8 => number::<Int8Type>(column, at),
        DataType::Int16 => number::<Int16Type>(column, at),
        DataType::Int32 => number::<Int32Type>(column, at),
        DataType::Int64 => number::<Int64Type>(column, at),
        DataType::UInt8 => number::<UInt8Type>(column, at),
        DataType::UInt16 => number::<UInt16Type>(column, at),
        DataType::UInt32 => number::<UInt32Type>(column, at),
        DataType::UInt64 => number::<UInt64Type>(column, at),
        DataType::Float32 => float(column.as_primitive::<Float32Type>().value(at).to_string()),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(at).to_string()),
        DataType::Decimal128(_, scale) => decimal(column.as_primitive::<Decimal128Type>().value(at), *scale)?,
        DataType::Utf8 => Cell::of_text(column.as_string::<i32>().value(at)),
        DataType::LargeUtf8 => Cell::of_text(column.as_string::<i64>().value(at)),
        DataType::Utf8View => Cell::of_text(column.as_string_view().value(at)),
        DataType::Binary => text_of_bytes(column.as_binary::<i32>().value(at))?,
        DataType::Date32 => {
            let days = i64::from(column.as_primitive::<Date32Type>().value(at));
            let day = Timestamp::from_micros(days.saturating_mul(MICROS_PER_DAY)).to_string();
            Cell::of_text(day.split('T').next().unwrap_or_default())
        }
        DataType::Timestamp(unit, zone) => moment(column, at, *unit, zone.is_some())?,
        DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) => {
            let mut json = String::new();
            write_json(column, at, DEPTH_MAX, &mut json)?;
            Cell::Json(json)
        }
        other => {
            return Err(format!(
                "is of type {other}, which cannot be imported: convert it to text first"
            ));
        }
    })
}

fn number<T: ArrowPrimitiveType>(column: &dyn Array, at: usize) -> Cell
where
    T::Native: ToString,
{
    Cell::Number(column.as_primitive::<T>().value(at).to_string())
}

/// A number of floating point; what JSON cannot write stays text, and fails where a number is wanted.
fn float(text: String) -> Cell {
    if text.parse::<Decimal>().is_ok() {
        Cell::Number(text)
    } else {
        Cell::Text(text)
    }
}

fn decimal(mantissa: i128, scale: i8) -> Result<Cell, String> {
    let number = Decimal::new(mantissa, -i32::from(scale)).map_err(|error| format!("cannot be held: {error}"))?;
    Ok(Cell::Number(number.to_string()))
}

fn text_of_bytes(bytes: &[u8]) -> Result<Cell, String> {
    std::str::from_utf8(bytes)
        .map(Cell::of_text)
        .map_err(|_| "holds bytes that are no text".to_owned())
}

fn moment(column: &dyn Array, at: usize, unit: TimeUnit, is_utc: bool) -> Result<Cell, String> {
    let micros = match unit {
        TimeUnit::Millisecond => column
            .as_primitive::<TimestampMillisecondType>()
            .value(at)
            .checked_mul(1_000),
        TimeUnit::Microsecond => Some(column.as_primitive::<TimestampMicrosecondType>().value(at)),
        TimeUnit::Nanosecond => Some(
            column
                .as_primitive::<TimestampNanosecondType>()
                .value(at)
                .div_euclid(1_000),
        ),
        TimeUnit::Second => None,
    };
    let micros = micros.filter(|micros| (Timestamp::MIN.as_micros()..=Timestamp::MAX.as_micros()).contains(micros));
    let text = micros.map(|micros| Timestamp::from_micros(micros).to_string());
    let text = text.ok_or_else(|| "is a moment outside the years 1 to 9999".to_owned())?;
    Ok(Cell::of_text(if is_utc {
        text.as_str()
    } else {
        text.trim_end_matches('Z')
    }))
}

/// Appends a value as JSON.
fn write_json(column: &dyn Array, at: usize, depth: usize, out: &mut String) -> Result<(), String> {
    if depth == 0 {
        return Err(format!("nests deeper than {DEPTH_MAX} levels"));
    }
    if column.is_null(at) {
        out.push_str("null");
        return Ok(());
    }
    match column.data_type() {
        DataType::List(_) => write_list(column.as_list::<i32>().value(at).as_ref(), depth, out),
        DataType::LargeList(_) => write_list(column.as_list::<i64>().value(at).as_ref(), depth, out),
        DataType::Null => {
            out.push_str("null");
            Ok(())
        }
        DataType::Struct(fields) => {
            out.push('{');
            for (place, (field, values)) in fields.iter().zip(column.as_struct().columns()).enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_json_string(field.name(), out);
                out.push(':');
                write_json(values.as_ref(), at, depth - 1, out)?;
            }
            out.push('}');
            Ok(())
        }
        _ => {
            match cell(column, at)? {
                Cell::Null => out.push_str("\"\""),
                Cell::Text(text) => write_json_string(&text, out),
                Cell::Number(text) | Cell::Json(text) => out.push_str(&text),
                Cell::Boolean(truth) => out.push_str(if truth { "true" } else { "false" }),
            }
            Ok(())
        }
    }
}

fn write_list(items: &dyn Array, depth: usize, out: &mut String) -> Result<(), String> {
    out.push('[');
    for item in 0..items.len() {
        if item > 0 {
            out.push(',');
        }
        write_json(items, item, depth - 1, out)?;
    }
    out.push(']');
    Ok(())
}
