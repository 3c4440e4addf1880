//! Metric names, tracing set-up, printing the chain of an error.
//!
//! Every crate that counts or logs speaks to this one. It holds the only list of metric names, sets up the logs of a
//! process once, and masks what would name a person before a line leaves it. It never opens a socket, never reads
//! the environment and never takes a label whose value comes from a request.

mod logs;
mod metrics;
mod scrub;
mod traces;

pub use logs::{LogFormat, TracingError, init_tracing};
pub use metrics::{Counter, Gauge, Histogram, render_prometheus};
pub use scrub::scrub;
pub use traces::{PartSpan, RequestSpan, stage_begins, start_traces, step_committed, tables_committed, take_spans};

use std::error::Error;

/// How many causes of an error are printed before the rest is cut: an error's chain is data, and may be circular.
const CAUSES_MAX: usize = 16;

/// An error and its causes on one line, outermost first, parted by `: `. A cause that its parent's text already ends
/// with is not repeated.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    for _ in 0..CAUSES_MAX {
        let Some(inner) = cause else { return line };
        let text = inner.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = inner.source();
    }
    line.push_str(": …");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl std::fmt::Display for Layer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|inner| inner as &(dyn Error + 'static))
        }
    }

    #[test]
    fn the_chain_names_every_cause_once() {
        let error = Layer(
            "cannot seal: disk full",
            Some(Box::new(Layer("disk full", Some(Box::new(Layer("errno 28", None)))))),
        );
        assert_eq!(error_chain(&error), "cannot seal: disk full: errno 28");
    }

    #[test]
    fn a_chain_without_end_is_cut() {
        let mut error = Layer("0", None);
        for name in ["a", "b"].into_iter().cycle().take(100) {
            error = Layer(name, Some(Box::new(error)));
        }
        assert!(error_chain(&error).ends_with(": …"));
    }
}
