//! What was measured, as a table for people and as one JSON object for scripts.
//!
//! A figure that has a target says whether it was reached; nothing here decides what is measured.

use super::machine::{Machine, round};
use crate::error::CommandError;
use crate::output;
use crate::table::{Cell, Table};
use serde::Serialize;

/// What a figure should be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    AtLeast(f64),
    Below(f64),
}

impl Target {
    fn reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::Below(most) => value < most,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtLeast(least) => format!("at least {}", thousands(least)),
            Self::Below(most) => format!("below {}", thousands(most)),
        }
    }
}

/// A measured figure.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    bench: &'static str,
    figure: &'static str,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reached: Option<bool>,
}

/// The figures of one bench.
#[derive(Debug)]
pub(super) struct Figures {
    bench: &'static str,
    pub(super) taken: Vec<Figure>,
}

impl Figures {
    /// None yet.
    pub(super) fn of(bench: &'static str) -> Self {
        Self {
            bench,
            taken: Vec::new(),
        }
    }

    /// Adds a figure.
    pub(super) fn add(&mut self, figure: &'static str, value: f64, unit: &'static str) {
        self.push(figure, value, unit, None);
    }

    /// Adds a figure that has a target.
    pub(super) fn against(&mut self, figure: &'static str, value: f64, unit: &'static str, target: Target) {
        self.push(figure, value, unit, Some(target));
    }

    /// Whether a figure's target was reached, for tests.
    #[cfg(test)]
    pub(super) fn reached(&self, name: &str) -> Option<bool> {
        self.taken.iter().find(|figure| figure.figure == name)?.reached
    }

    fn push(&mut self, figure: &'static str, value: f64, unit: &'static str, target: Option<Target>) {
        let reached = target.map(|target| target.reached(value));
        self.taken.push(Figure {
            bench: self.bench,
            figure,
            value,
            unit,
            target,
            reached,
        });
    }
}

#[derive(Serialize)]
struct Report<'a> {
    machine: &'a Machine,
    world: &'a str,
    figures: &'a [Figure],
}

/// Prints what was measured.
///
/// # Errors
/// Standard output takes no more.
pub(super) fn print(machine: &Machine, world: &str, figures: &[Figure], json: bool) -> Result<(), CommandError> {
    if json {
        let report = serde_json::to_string(&Report {
            machine,
            world,
            figures,
        });
        return output::line(&report.map_err(|error| CommandError::caused("the figures cannot be written", error))?);
    }
    output::line(&machine.summary())?;
    output::line(world)?;
    output::line("")?;
    let mut table = Table::new(&["bench", "figure", "value", "unit", "target", "reached"]);
    for figure in figures {
        let target = figure.target.map(Target::shown).unwrap_or_default();
        let reached = figure.reached.map_or("", |reached| if reached { "yes" } else { "no" });
        table.row(vec![
            Cell::text(figure.bench),
            Cell::text(figure.figure),
            Cell::number(thousands(figure.value)),
            Cell::text(figure.unit),
            Cell::text(&target),
            Cell::text(reached),
        ])?;
    }
    table.finish()
}

/// A figure with commas, as exact as it is of use.
fn thousands(value: f64) -> String {
    if value.abs() < 1_000.0 {
        let places = if value.abs() <= 1.0 && value.fract() != 0.0 {
            value
        } else {
            round(value)
        };
        let text = format!("{places:.4}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{value:.0}");
    let mut text = String::with_capacity(digits.len() + 4);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_as_exactly_as_is_of_use() {
        let shown: Vec<String> = [0.0, 0.99876, 1.0, 12.345, 250_000.4, 1_234_567.0]
            .into_iter()
            .map(thousands)
            .collect();
        assert_eq!(shown, ["0", "0.9988", "1", "12.3", "250,000", "1,234,567"]);
    }

    #[test]
    fn targets_are_judged_on_their_boundary() {
        let mut figures = Figures::of("reads");
        figures.against("p99", 5.0, "ms", Target::Below(5.0));
        figures.against("rate", 5_000.0, "1/s", Target::AtLeast(5_000.0));
        figures.add("requests", 3.0, "");
        let reached: Vec<Option<bool>> = figures.taken.iter().map(|figure| figure.reached).collect();
        assert_eq!(reached, [Some(false), Some(true), None]);
    }
}
