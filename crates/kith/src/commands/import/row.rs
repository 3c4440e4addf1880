//! A row of any format: named cells, its place in its file, and its hash.
//!
//! The same row hashes alike whatever the order of its columns and whichever format it came in, as far as the formats
//! write its values alike.

use crate::error::CommandError;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Nothing is said.
    Null,
    /// Text, which is not empty.
    Text(String),
    /// A number as it was written.
    Number(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A list or an object, as JSON.
    Json(String),
}

impl Cell {
    /// Text; where it is empty, nothing is said.
    pub(crate) fn of_text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { Self::Null } else { Self::Text(text) }
    }

    /// The value as text; nothing for [`Cell::Null`].
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Null => None,
            Self::Text(text) | Self::Number(text) | Self::Json(text) => Some(text),
            Self::Boolean(true) => Some("true"),
            Self::Boolean(false) => Some("false"),
        }
    }
}

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file.
    pub(crate) file: Arc<str>,
    /// `line`, or `row` where the file has no lines.
    pub(crate) unit: &'static str,
    /// From 1.
    pub(crate) number: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} {}", self.file, self.unit, self.number)
    }
}

/// A row that became no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowFault {
    /// Where it stands.
    pub(crate) place: Place,
    /// The column that is at fault; empty where it is the whole row.
    pub(crate) column: String,
    /// What is wrong and how to mend it.
    pub(crate) message: String,
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column.as_str() {
            "" => write!(f, "{}: {}", self.place, self.message),
            column => write!(f, "{}, column {column}: {}", self.place, self.message),
        }
    }
}

/// A row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Where it stands.
    pub(crate) place: Place,
    names: Arc<[String]>,
    cells: Vec<Cell>,
}

impl Row {
    /// A row with a cell for every name.
    pub(crate) fn new(place: Place, names: Arc<[String]>, cells: Vec<Cell>) -> Self {
        Self { place, names, cells }
    }

    /// The cell of a column, or, within an object of JSON, of a path such as `address.city`. A column that the row does
    /// not have says nothing.
    pub(crate) fn get(&self, name: &str) -> Cow<'_, Cell> {
        if let Some(at) = self.names.iter().position(|known| known == name) {
            return self.cells.get(at).map_or(Cow::Owned(Cell::Null), Cow::Borrowed);
        }
        let within = name.match_indices('.').find_map(|(dot, _)| {
            let at = self.names.iter().position(|known| *known == name[..dot])?;
            match self.cells.get(at)? {
                Cell::Json(object) => super::json_rows::within(object, &name[dot + 1..]),
                _ => None,
            }
        });
        Cow::Owned(within.unwrap_or(Cell::Null))
    }

    /// SHA-256 over `about`, which tells apart what is made of equal rows, and every cell that says something, in the
    /// order of names.
    pub(crate) fn hash(&self, about: &[&str]) -> [u8; 32] {
        let mut said: Vec<(&str, &str)> = self
            .names
            .iter()
            .zip(&self.cells)
            .filter_map(|(name, cell)| Some((name.as_str(), cell.text()?)))
            .collect();
        said.sort_unstable();
        let mut hash = Sha256::new_with_prefix(b"kith row 1");
        let mut field = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        field(&about.len().to_string());
        about.iter().for_each(|part| field(part));
        for (name, text) in said {
            field(name);
            field(text);
        }
        hash.finalize().into()
    }
}

/// The rows of one file.
pub(crate) trait Rows {
    /// The columns that every row has; none where rows differ.
    fn columns(&self) -> Option<&[String]>;

    /// The next row, or why it is none; `None` after the last.
    ///
    /// # Errors
    /// The file cannot be read any further.
    fn next(&mut self) -> Result<Option<Result<Row, RowFault>>, CommandError>;
}
