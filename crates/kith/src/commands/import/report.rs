//! What an import has done so far, and what it says at its end.

use super::batch::Batch;
use super::row::RowFault;
use super::send::Outcome;
use crate::error::CommandError;
use crate::output::{self, Hint};
use serde_json::json;

/// Rows that are told one by one; the others are counted.
const TOLD_MAX: usize = 1_000;

/// What an import has done.
#[derive(Debug)]
pub(crate) struct Report {
    dry_run: bool,
    accepted: u64,
    rejected: u64,
    failed: u64,
    told: Vec<serde_json::Value>,
}

impl Report {
    /// Nothing is done yet.
    pub(crate) fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
            accepted: 0,
            rejected: 0,
            failed: 0,
            told: Vec::new(),
        }
    }

    /// Rows that were read.
    pub(crate) fn rows(&self) -> u64 {
        self.accepted + self.rejected + self.failed
    }

    /// A row became no event.
    pub(crate) fn failed(&mut self, fault: &RowFault) {
        self.failed += 1;
        let RowFault { place, column, message } = fault;
        self.tell(
            &fault.to_string(),
            json!({ "file": &*place.file, place.unit: place.number, "column": column, "message": message }),
        );
    }

    /// A batch was taken.
    pub(crate) fn taken(&mut self, batch: &Batch, outcome: &Outcome) {
        self.accepted += outcome.accepted as u64;
        self.rejected += outcome.rejected.len() as u64;
        for rejected in &outcome.rejected {
            let Some(place) = batch.places.get(rejected.index) else {
                continue;
            };
            let (code, message) = (&rejected.code, &rejected.message);
            self.tell(
                &format!("{place}: rejected as {code}: {message}"),
                json!({ "file": &*place.file, place.unit: place.number, "code": code, "message": message }),
            );
        }
    }

    fn tell(&mut self, text: &str, problem: serde_json::Value) {
        if self.told.len() == TOLD_MAX {
            output::note("more rows failed; they are counted, and not told one by one");
            self.told.push(json!({ "message": "more rows failed" }));
        }
        if self.told.len() < TOLD_MAX {
            output::note(&output::shown(text));
            self.told.push(problem);
        }
    }

    /// A failure that ended the import, with what to do.
    pub(crate) fn broken_off(&self, error: CommandError) -> CommandError {
        let hint = "run the same command again once that is mended: what was taken is not taken twice";
        let taken = self.accepted;
        CommandError::caused(
            format!("the import broke off after {taken} events were taken"),
            Hint::caused(hint, error),
        )
    }

    /// Says what was done.
    ///
    /// # Errors
    /// Standard output takes no more.
    pub(crate) fn print(&self, json: bool) -> Result<(), CommandError> {
        let Self {
            dry_run,
            accepted,
            rejected,
            failed,
            told,
        } = self;
        let rows = self.rows();
        if json {
            let report = json!({
                "dry_run": dry_run, "rows": rows, "accepted": accepted, "rejected": rejected, "failed": failed,
                "problems": told,
            });
            return output::line(&report.to_string());
        }
        let taken = if *dry_run { "would be accepted" } else { "accepted" };
        output::line(&format!(
            "{rows} rows read: {accepted} {taken}, {rejected} rejected, {failed} could not be mapped"
        ))?;
        match *dry_run || *accepted == 0 {
            true => Ok(()),
            false => output::line("an event that was imported before counts once"),
        }
    }

    /// Whether all went well.
    ///
    /// # Errors
    /// Rows that failed or were rejected.
    pub(crate) fn outcome(&self) -> Result<(), CommandError> {
        let bad = self.failed + self.rejected;
        if bad == 0 {
            return Ok(());
        }
        let hint = Hint::new("mend the rows or the mapping and run it again: what was accepted is not taken twice");
        Err(CommandError::caused(
            format!("{bad} of {} rows became no event", self.rows()),
            hint,
        ))
    }
}
