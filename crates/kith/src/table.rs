//! Tables for people: columns as wide as what stands in them.
//!
//! Rows are held back until widths are known, at most a few hundred; what comes later is printed at once and may stand
//! out of line, so a long result takes no memory. Nothing here is meant to be parsed: that is what `--json` is for.

use crate::error::CommandError;
use crate::output;
use std::borrow::Cow;

/// Rows that widths are taken from.
const ROWS_HELD_MAX: usize = 200;
/// Characters of a cell that are shown.
const CELL_CHARS_MAX: usize = 80;
/// Characters of a value that stands on a line of its own.
const LINE_CHARS_MAX: usize = 240;
const GAP: &str = "  ";

/// A cell: its text, and whether it stands to the right as numbers do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    right: bool,
}

impl Cell {
    /// Text.
    pub(crate) fn text(text: &str) -> Self {
        Self {
            text: shorten(&output::shown(text)),
            right: false,
        }
    }

    /// A number, or its text.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a count or a text is given as it is at hand"
    )]
    pub(crate) fn number(number: impl ToString) -> Self {
        Self {
            text: shorten(&output::shown(&number.to_string())),
            right: true,
        }
    }
}

/// A table that is printed while it grows.
pub(crate) struct Table {
    headers: Vec<String>,
    held: Vec<Vec<Cell>>,
    /// Known once the held rows are printed.
    widths: Option<Vec<usize>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(headers: &[&str]) -> Self {
        Self::with_headers(headers.iter().map(|header| shorten(&output::shown(header))).collect())
    }

    /// A table with columns that were named elsewhere.
    pub(crate) fn with_headers(headers: Vec<String>) -> Self {
        Self {
            headers,
            held: Vec::new(),
            widths: None,
        }
    }

    /// Adds a row, with a cell for every column.
    ///
    /// # Errors
    /// Standard output takes no more.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) -> Result<(), CommandError> {
        if let Some(widths) = &self.widths {
            return output::line(&format_row(&cells, widths));
        }
        self.held.push(cells);
        if self.held.len() >= ROWS_HELD_MAX {
            self.print_held()
        } else {
            Ok(())
        }
    }

    /// Prints what is held.
    ///
    /// # Errors
    /// Standard output takes no more.
    pub(crate) fn finish(mut self) -> Result<(), CommandError> {
        if self.widths.is_none() {
            self.print_held()
        } else {
            Ok(())
        }
    }

    fn print_held(&mut self) -> Result<(), CommandError> {
        let mut widths: Vec<usize> = self.headers.iter().map(|header| header.chars().count()).collect();
        for row in &self.held {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let numbers = |at: usize| {
            let mut cells = self
                .held
                .iter()
                .filter_map(|row| row.get(at))
                .filter(|cell| !cell.text.is_empty());
            cells.clone().next().is_some() && cells.all(|cell| cell.right)
        };
        let headers = self.headers.iter().enumerate();
        let headers: Vec<Cell> = headers
            .map(|(at, text)| Cell {
                text: text.clone(),
                right: numbers(at),
            })
            .collect();
        output::line(&format_row(&headers, &widths))?;
        let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        output::line(&rule.join(GAP))?;
        for row in self.held.drain(..) {
            output::line(&format_row(&row, &widths))?;
        }
        self.widths = Some(widths);
        Ok(())
    }
}

fn format_row(cells: &[Cell], widths: &[usize]) -> String {
    let mut line = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if at > 0 {
            line.push_str(GAP);
        }
        let blanks = " ".repeat(width.saturating_sub(cell.text.chars().count()));
        if cell.right {
            line.push_str(&blanks);
            line.push_str(&cell.text);
        } else {
            line.push_str(&cell.text);
            line.push_str(&blanks);
        }
    }
    line.truncate(line.trim_end().len());
    line
}

fn shorten(text: &str) -> String {
    cut(text, CELL_CHARS_MAX).into_owned()
}

/// A text, cut where it is longer than so many characters.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    // What has so few bytes has no more characters.
    if text.len() <= most || text.chars().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    Cow::Owned(short)
}

/// A value that stands on a line and not in a column: there is more room than in a cell.
pub(crate) fn on_a_line(text: &str) -> Cow<'_, str> {
    cut(text, LINE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_long_cells_are_cut() {
        let row = [Cell::text("é"), Cell::number(7), Cell::text("")];
        assert_eq!(format_row(&row, &[3, 4, 2]), "é       7");
        assert_eq!(Cell::text(&"x".repeat(200)).text.chars().count(), CELL_CHARS_MAX);
        assert_eq!(on_a_line(&"é".repeat(60_000)).chars().count(), LINE_CHARS_MAX);
        assert_eq!(on_a_line(&"é".repeat(LINE_CHARS_MAX)), "é".repeat(LINE_CHARS_MAX));
    }
}
