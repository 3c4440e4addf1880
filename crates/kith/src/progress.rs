//! How far long work is, for whoever waits for it: a bar on a terminal, elsewhere a plain line now and then.
//!
//! It writes to standard error alone, and nothing of what is over soon.

use crate::output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// How long it is until the first plain line, and from one to the next, at least.
const PAUSE: Duration = Duration::from_secs(10);

/// The progress of one piece of work. It leaves nothing on a terminal when it ends.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// When the next plain line is due; nothing where none is told.
    due: Option<Instant>,
}

impl Progress {
    /// For work that begins now, shown by a template of `indicatif` where there is a terminal.
    pub(crate) fn new(template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar,
            due: (!stderr().is_terminal()).then(|| Instant::now() + PAUSE),
        }
    }

    /// For work of which nothing is shown.
    pub(crate) fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            due: None,
        }
    }

    /// So much is done of so much. `doing` is what is done and `counted` what is counted.
    pub(crate) fn shows(&mut self, doing: &str, (done, total): (u64, u64), counted: &str) {
        self.bar.set_message(doing.to_owned());
        self.bar.set_length(total);
        self.tell(doing, (done, total), counted);
    }

    /// So much is done, and nobody knows how much there is.
    pub(crate) fn counts(&mut self, doing: &str, done: u64, counted: &str) {
        self.tell(doing, (done, 0), counted);
    }

    fn tell(&mut self, doing: &str, (done, total): (u64, u64), counted: &str) {
        self.bar.set_position(done);
        if is_due(&mut self.due, Instant::now()) {
            output::note(&output::shown(&in_words(doing, (done, total), counted)));
        }
    }

    /// The bar, for what must not be mixed with it, or is shown beside it.
    pub(crate) fn bar(&self) -> &ProgressBar {
        &self.bar
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Whether a plain line is due; then the next one is, after a pause.
fn is_due(due: &mut Option<Instant>, now: Instant) -> bool {
    let is_due = due.is_some_and(|due| due <= now);
    if is_due {
        *due = Some(now + PAUSE);
    }
    is_due
}

fn in_words(doing: &str, (done, total): (u64, u64), counted: &str) -> String {
    let of = match total {
        // Nobody knows.
        0 => String::new(),
        _ => format!(" of {}", total.max(done)),
    };
    let counted = match counted {
        "" => String::new(),
        _ => format!(" {counted}"),
    };
    format!("{doing}: {done}{of}{counted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_a_line_is_told_now_and_then_and_none_of_what_is_over_soon() {
        let begun = Instant::now();
        let mut due = Some(begun + PAUSE);
        let told: Vec<u64> = (0..35)
            .filter(|second| is_due(&mut due, begun + Duration::from_secs(*second)))
            .collect();
        assert_eq!(told, [10, 20, 30]);
        assert!(is_due(&mut due, begun + Duration::from_secs(95)), "late");
        assert!(
            !is_due(&mut due, begun + Duration::from_secs(96)),
            "and not twice for it"
        );
        assert!(
            !is_due(&mut None, begun + Duration::from_secs(95)),
            "where a bar is seen"
        );
    }

    #[test]
    fn a_line_says_what_is_done_and_how_much_of_how_much() {
        assert_eq!(in_words("replaying", (3, 9), "records"), "replaying: 3 of 9 records");
        assert_eq!(in_words("reading", (3, 0), "rows"), "reading: 3 rows");
        assert_eq!(in_words("folding", (9, 5), ""), "folding: 9 of 9");
    }
}
