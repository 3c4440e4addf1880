//! Rows of a CSV file (RFC 4180, through the `csv` crate), or of a file whose columns are parted by blanks.

use super::mapping::{CsvForm, Separator};
use super::row::{Cell, Place, Row, RowFault, Rows};
use crate::error::CommandError;
use std::cell::Cell as Counter;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;
use std::sync::Arc;

/// The longest row, in bytes: a quote that is never closed must not take the whole file into memory.
pub(crate) const ROW_BYTES_MAX: u64 = 8 << 20;
/// What the reader may hold beyond the row that it is in.
const READ_AHEAD_BYTES: u64 = 1 << 20;

/// Opens the rows of a file.
///
/// # Errors
/// The file cannot be read, or its header names a column twice.
pub(crate) fn open(file: Arc<str>, input: Box<dyn Read>, form: CsvForm) -> Result<Box<dyn Rows>, CommandError> {
    let (separator, header) = (form.separator, form.header);
    match separator {
        Separator::Whitespace => Ok(Box::new(BlankRows::open(file, input, header)?)),
        Separator::Character(byte) => Ok(Box::new(CsvRows::open(file, input, byte, header)?)),
    }
}

/// A reader that fails when more is read than a row may have.
struct Bounded {
    input: Box<dyn Read>,
    left: Rc<Counter<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::other(format!(
                "a row is longer than {ROW_BYTES_MAX} bytes: is a quote never closed?"
            )));
        }
        let read = self.input.read(buffer)?;
        self.left.set(self.left.get().saturating_sub(read as u64));
        Ok(read)
    }
}

struct CsvRows {
    file: Arc<str>,
    reader: csv::Reader<Bounded>,
    left: Rc<Counter<u64>>,
    names: Arc<[String]>,
    /// The first record, where it is a row and not the header.
    first: Option<csv::ByteRecord>,
    record: csv::ByteRecord,
}

impl CsvRows {
    fn open(file: Arc<str>, input: Box<dyn Read>, separator: u8, header: bool) -> Result<Self, CommandError> {
        let left = Rc::new(Counter::new(ROW_BYTES_MAX + READ_AHEAD_BYTES));
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .has_headers(false)
            .flexible(true)
            .from_reader(Bounded {
                input,
                left: Rc::clone(&left),
            });
        let mut first = csv::ByteRecord::new();
        let unreadable = |error| CommandError::caused(format!("{file} cannot be read"), Box::new(error));
        if !reader.read_byte_record(&mut first).map_err(unreadable)? {
            return Ok(Self {
                file,
                reader,
                left,
                names: Arc::new([]),
                first: None,
                record: first,
            });
        }
        let names = if header {
            let texts: Vec<String> = first
                .iter()
                .map(|cell| String::from_utf8_lossy(cell).into_owned())
                .collect();
            names_of(&file, texts.iter().map(String::as_str))?
        } else {
            numbered(first.len())
        };
        let record = csv::ByteRecord::new();
        Ok(Self {
            file,
            reader,
            left,
            names,
            first: (!header).then_some(first),
            record,
        })
    }

    fn row(&self) -> Result<Row, RowFault> {
        let number = self.record.position().map_or(0, csv::Position::line);
        let place = Place {
            file: Arc::clone(&self.file),
            unit: "line",
            number,
        };
        if self.record.len() != self.names.len() {
            return Err(uneven(place, self.record.len(), self.names.len()));
        }
        let mut cells = Vec::with_capacity(self.record.len());
        for (cell, name) in self.record.iter().zip(self.names.iter()) {
            match std::str::from_utf8(cell) {
                Ok(text) => cells.push(Cell::of_text(text)),
                Err(_) => {
                    let message = "is not UTF-8: convert the file first".to_owned();
                    return Err(RowFault {
                        place,
                        column: name.clone(),
                        message,
                    });
                }
            }
        }
        Ok(Row::new(place, Arc::clone(&self.names), cells))
    }
}

impl Rows for CsvRows {
    fn columns(&self) -> Option<&[String]> {
        Some(&self.names)
    }

    fn next(&mut self) -> Result<Option<Result<Row, RowFault>>, CommandError> {
        if let Some(first) = self.first.take() {
            self.record = first;
            return Ok(Some(self.row()));
        }
        self.left.set(ROW_BYTES_MAX + READ_AHEAD_BYTES);
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some(self.row())),
            Err(error) => {
                let line = self.reader.position().line();
                Err(CommandError::caused(
                    format!("{} cannot be read beyond line {line}", self.file),
                    Box::new(error),
                ))
            }
        }
    }
}

/// Rows whose columns are parted by blanks and tabs, as statisticians' files have them.
struct BlankRows {
    file: Arc<str>,
    input: BufReader<Box<dyn Read>>,
    names: Arc<[String]>,
    first: Option<Vec<u8>>,
    line: u64,
}

impl BlankRows {
    fn open(file: Arc<str>, input: Box<dyn Read>, header: bool) -> Result<Self, CommandError> {
        let mut rows = Self {
            file,
            input: BufReader::new(input),
            names: Arc::new([]),
            first: None,
            line: 0,
        };
        let Some(first) = rows.line()? else { return Ok(rows) };
        if header {
            let text = String::from_utf8_lossy(&first);
            rows.names = names_of(&rows.file, text.split_ascii_whitespace())?;
        } else {
            rows.names = numbered(String::from_utf8_lossy(&first).split_ascii_whitespace().count());
            rows.first = Some(first);
        }
        Ok(rows)
    }

    /// The next line that is not blank.
    fn line(&mut self) -> Result<Option<Vec<u8>>, CommandError> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.input).take(ROW_BYTES_MAX).read_until(b'\n', &mut line);
            self.line += 1;
            match read {
                Ok(0) => return Ok(None),
                Ok(read) if read as u64 == ROW_BYTES_MAX => {
                    let what = format!("{}, line {} is longer than {ROW_BYTES_MAX} bytes", self.file, self.line);
                    return Err(CommandError::new(what));
                }
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) => return Ok(Some(line)),
                Err(error) => {
                    let what = format!("{} cannot be read beyond line {}", self.file, self.line);
                    return Err(CommandError::caused(what, error));
                }
            }
        }
    }
}

impl Rows for BlankRows {
    fn columns(&self) -> Option<&[String]> {
        Some(&self.names)
    }

    fn next(&mut self) -> Result<Option<Result<Row, RowFault>>, CommandError> {
        let line = match self.first.take() {
            Some(first) => first,
            None => match self.line()? {
                Some(line) => line,
                None => return Ok(None),
            },
        };
        let place = Place {
            file: Arc::clone(&self.file),
            unit: "line",
            number: self.line,
        };
        let Ok(text) = std::str::from_utf8(&line) else {
            let message = "is not UTF-8: convert the file first".to_owned();
            return Ok(Some(Err(RowFault {
                place,
                column: String::new(),
                message,
            })));
        };
        let cells: Vec<Cell> = text.split_ascii_whitespace().map(Cell::of_text).collect();
        if cells.len() != self.names.len() {
            return Ok(Some(Err(uneven(place, cells.len(), self.names.len()))));
        }
        Ok(Some(Ok(Row::new(place, Arc::clone(&self.names), cells))))
    }
}

fn uneven(place: Place, found: usize, expected: usize) -> RowFault {
    let message = format!("has {found} columns where the file has {expected}: is a separator or a quote missing?");
    RowFault {
        place,
        column: String::new(),
        message,
    }
}

fn names_of<'a>(file: &str, header: impl Iterator<Item = &'a str>) -> Result<Arc<[String]>, CommandError> {
    let names: Vec<String> = header
        .map(|name| name.trim_start_matches('\u{feff}').trim().to_owned())
        .collect();
    for (at, name) in names.iter().enumerate() {
        if names.iter().take(at).any(|earlier| earlier == name) {
            return Err(CommandError::new(format!(
                "the header of {file} names column {name:?} twice: rename one"
            )));
        }
    }
    Ok(names.into())
}

/// Names for a file without a header: c1, c2 and so on.
fn numbered(columns: usize) -> Arc<[String]> {
    (1..=columns).map(|at| format!("c{at}")).collect()
}
