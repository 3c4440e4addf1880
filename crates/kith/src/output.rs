//! The one place that writes to standard output and standard error.
//!
//! Results go to standard output, everything else to standard error, so that a script can read results alone. What came
//! from outside is shown to people without control characters: an event must not steer somebody's terminal.

use crate::error::CommandError;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, Write};

/// How many causes of a failure are printed: a chain is data, and may be circular.
const CAUSES_MAX: usize = 16;

/// Whoever read standard output has gone, such as `head` after its last line.
#[derive(Debug)]
struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader has gone")
    }
}

impl Error for ReaderGone {}

/// What the operator can do about a failure; it stands at the end of the chain of causes.
#[derive(Debug)]
pub(crate) struct Hint {
    text: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Hint {
    /// A hint alone.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            cause: None,
        }
    }

    /// A hint about a failure that has a cause.
    pub(crate) fn caused(text: impl Into<String>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            text: text.into(),
            cause: Some(cause.into()),
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Hint {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

/// Prints a line of result.
///
/// # Errors
/// Standard output takes no more.
pub(crate) fn line(text: &str) -> Result<(), CommandError> {
    write(format_args!("{text}\n"))
}

/// Prints text of results that ends its own lines.
///
/// # Errors
/// Standard output takes no more.
pub(crate) fn text(text: &str) -> Result<(), CommandError> {
    write(format_args!("{text}"))
}

/// Makes sure that what was printed has left.
///
/// # Errors
/// Standard output takes no more.
pub(crate) fn flush() -> Result<(), CommandError> {
    io::stdout().lock().flush().map_err(|error| failed(&error))
}

fn write(what: fmt::Arguments<'_>) -> Result<(), CommandError> {
    io::stdout().lock().write_fmt(what).map_err(|error| failed(&error))
}

fn failed(error: &io::Error) -> CommandError {
    if error.kind() == ErrorKind::BrokenPipe {
        return CommandError::caused("the output was not read to its end", ReaderGone);
    }
    CommandError::new(format!("standard output cannot be written: {error}"))
}

/// Tells the operator something that is no result.
pub(crate) fn note(text: &str) {
    // Nothing can be done where standard error is closed.
    let _closed = writeln!(io::stderr().lock(), "{text}");
}

/// A failure and its causes on one line, without what to do.
pub(crate) fn causes(error: &CommandError) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    for _ in 0..CAUSES_MAX {
        let Some(inner) = cause else { break };
        let text = inner.to_string();
        if !inner.is::<Hint>() && !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = inner.source();
    }
    line
}

/// Prints a failure: what, its causes, and what to do.
pub(crate) fn failure(error: &CommandError) {
    if let Some(text) = failure_text(error) {
        note(&text);
    }
}

/// What is printed of a failure; nothing where only the reader has gone.
pub(crate) fn failure_text(error: &CommandError) -> Option<String> {
    let mut text = format!("error: {error}");
    let mut hints = Vec::new();
    let mut said = error.to_string();
    let mut cause = error.source();
    for _ in 0..CAUSES_MAX {
        let Some(inner) = cause else { break };
        if inner.is::<ReaderGone>() {
            return None;
        }
        let inner_text = inner.to_string();
        if inner.is::<Hint>() {
            hints.push(inner_text);
        } else if !said.ends_with(&inner_text) {
            text.push_str("\n  caused by: ");
            text.push_str(&inner_text);
            said = inner_text;
        }
        cause = inner.source();
    }
    for hint in hints {
        text.push_str("\n  ");
        text.push_str(&hint);
    }
    Some(text)
}

/// Text from outside as a terminal may show it: control characters are written out.
pub(crate) fn shown(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .fold(String::with_capacity(text.len() + 8), |mut shown, character| {
            if character.is_control() {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
            shown
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let cause = io::Error::new(ErrorKind::ConnectionRefused, "connection refused");
        let error = CommandError::caused("no server answers", Hint::caused("start one with `kith serve`", cause));
        assert_eq!(
            failure_text(&error).unwrap(),
            "error: no server answers\n  caused by: connection refused\n  start one with `kith serve`"
        );
        assert_eq!(causes(&error), "no server answers: connection refused");
        assert_eq!(failure_text(&failed(&ErrorKind::BrokenPipe.into())), None);
    }

    #[test]
    fn text_from_outside_cannot_steer_a_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\né"), "a\\u{1b}[2Jb\\né");
    }
}
