//! The logs of a process: JSON lines for machines, coloured text for people, both masked by [`crate::scrub`].
//!
//! Called once by the binary, with values it read from its configuration. It never logs to a file and never chooses
//! a level by itself.

use crate::scrub;
use std::io::{self, Write};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for a terminal.
    Human,
}

/// Why the logs could not be set up.
#[derive(Debug)]
pub enum TracingError {
    /// The filter is not one that `tracing` understands.
    Filter(String),
    /// The process has a subscriber already.
    AlreadySet,
}

impl std::fmt::Display for TracingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Filter(reason) => write!(
                f,
                "the log filter cannot be read ({reason}); write it as `info,kith_log=debug`"
            ),
            Self::AlreadySet => f.write_str("the logs of this process are set up already"),
        }
    }
}

impl std::error::Error for TracingError {}

/// Sends log lines to standard error in that format. `filter` is written as `info` or `info,kith_log=debug`.
///
/// # Errors
/// [`TracingError::Filter`] for a filter that cannot be read, [`TracingError::AlreadySet`] on a second call.
pub fn init_tracing(format: LogFormat, filter: &str) -> Result<(), TracingError> {
    let filter = EnvFilter::try_new(filter).map_err(|error| TracingError::Filter(error.to_string()))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(ScrubbedStderr);
    let outcome = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_ansi(false)
            .try_init(),
        LogFormat::Human => lines
            .with_target(false)
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .try_init(),
    };
    outcome.map_err(|_| TracingError::AlreadySet)
}

/// Makes the writer of each line.
struct ScrubbedStderr;

impl<'a> MakeWriter<'a> for ScrubbedStderr {
    type Writer = Scrubbed<io::StderrLock<'a>>;

    fn make_writer(&'a self) -> Self::Writer {
        Scrubbed(io::stderr().lock())
    }
}

/// Masks what is written. The formatter hands over whole lines, so nothing to be masked is ever cut in two.
pub(crate) struct Scrubbed<W>(pub(crate) W);

impl<W: Write> Write for Scrubbed<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(scrub(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn ops_1_json_logs_hold_fields_and_no_personal_data() {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || Scrubbed(writer.clone()))
            .finish();
        tracing::subscriber::with_default(lines, || {
            tracing::warn!(
                records = 3,
                recipient = "jo.doe+x@example.com",
                key = "kith_ak_abcdefgh",
                "send refused by 203.0.113.9"
            );
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert!(text.starts_with('{') && text.ends_with("}\n"), "{text}");
        assert!(text.contains(r#""records":3"#) && text.contains("WARN"), "{text}");
        for personal in ["jo.doe", "example.com", "abcdefgh", "203.0.113.9"] {
            assert!(!text.contains(personal), "{personal} in {text}");
        }
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused_with_an_example() {
        let error = init_tracing(LogFormat::Json, "kith=loud=very").unwrap_err();
        assert!(error.to_string().contains("info,kith_log=debug"), "{error}");
    }
}
