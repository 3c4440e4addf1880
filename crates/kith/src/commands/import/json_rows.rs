//! Rows of JSON Lines: an object a line, its numbers kept as they were written.

use super::csv_rows::ROW_BYTES_MAX;
use super::row::{Cell, Place, Row, RowFault, Rows};
use crate::error::CommandError;
use crate::fields::{Fields, is_number, plain};
use serde_json::value::RawValue;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

/// The rows of a file of JSON Lines.
pub(crate) struct JsonRows {
    file: Arc<str>,
    input: BufReader<Box<dyn Read>>,
    line: u64,
}

impl JsonRows {
    /// The rows of that input.
    pub(crate) fn new(file: Arc<str>, input: Box<dyn Read>) -> Self {
        Self {
            file,
            input: BufReader::new(input),
            line: 0,
        }
    }

    fn fault(&self, message: String) -> RowFault {
        let place = Place {
            file: Arc::clone(&self.file),
            unit: "line",
            number: self.line,
        };
        RowFault {
            place,
            column: String::new(),
            message,
        }
    }
}

impl Rows for JsonRows {
    fn columns(&self) -> Option<&[String]> {
        None
    }

    fn next(&mut self) -> Result<Option<Result<Row, RowFault>>, CommandError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            self.line += 1;
            let read = (&mut self.input)
                .take(ROW_BYTES_MAX)
                .read_until(b'\n', &mut line)
                .map_err(|error| {
                    CommandError::caused(format!("{} cannot be read beyond line {}", self.file, self.line), error)
                })?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 == ROW_BYTES_MAX {
                let what = format!("{}, line {} is longer than {ROW_BYTES_MAX} bytes", self.file, self.line);
                return Err(CommandError::new(what));
            }
            if !line.trim_ascii().is_empty() {
                break;
            }
        }
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        let fields: Fields = match serde_json::from_slice(text) {
            Ok(fields) => fields,
            Err(error) => return Ok(Some(Err(self.fault(format!("is not one JSON object: {error}"))))),
        };
        let (names, cells): (Vec<String>, Vec<Cell>) =
            fields.0.into_iter().map(|(name, value)| (name, cell(&value))).unzip();
        let place = Place {
            file: Arc::clone(&self.file),
            unit: "line",
            number: self.line,
        };
        Ok(Some(Ok(Row::new(place, names.into(), cells))))
    }
}

fn cell(value: &RawValue) -> Cell {
    match value.get() {
        "null" => Cell::Null,
        "true" => Cell::Boolean(true),
        "false" => Cell::Boolean(false),
        text if is_number(value) => Cell::Number(text.to_owned()),
        text if text.starts_with('"') => Cell::of_text(plain(value)),
        text => Cell::Json(text.to_owned()),
    }
}

/// What stands in an object at a path such as `address.city`; keys that hold a dot themselves come first.
pub(crate) fn within(object: &str, path: &str) -> Option<Cell> {
    let fields: Fields = serde_json::from_str(object).ok()?;
    if let Some(value) = fields.get(path) {
        return Some(cell(value));
    }
    path.match_indices('.')
        .find_map(|(dot, _)| within(fields.get(&path[..dot])?.get(), &path[dot + 1..]))
}
