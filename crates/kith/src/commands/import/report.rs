//! What an import has done so far, and what it says at its end.

use super::batch::{Batch, Times};
use super::copies::{CopiedRow, IDS_MAX};
use super::row::{Place, RowFault};
use super::send::Outcome;
use crate::error::CommandError;
use crate::output::{self, Hint};
use serde_json::json;

/// Rows that are told one by one; the others are counted.
const TOLD_MAX: usize = 1_000;
/// The same of copies.
const COPIES_TOLD_MAX: usize = 100;

/// What an import has done.
#[derive(Debug)]
pub(crate) struct Report {
    dry_run: bool,
    accepted: u64,
    rejected: u64,
    failed: u64,
    told: Vec<serde_json::Value>,
    /// Events that were accepted, whose message id came before in the files.
    copies: u64,
    copies_told: Vec<serde_json::Value>,
    /// Whether there were more message ids than are compared.
    uncompared: bool,
    times: Times,
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
            copies: 0,
            copies_told: Vec::new(),
            uncompared: false,
            times: Times::default(),
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
        self.times.add(batch.times);
        self.copied(batch);
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

    /// Copies are no fault: they are told, and the import goes well.
    fn copied(&mut self, batch: &Batch) {
        self.uncompared |= !batch.compared;
        self.copies += batch.copies.len() as u64;
        for copy in &batch.copies {
            if self.copies_told.len() == COPIES_TOLD_MAX {
                break;
            }
            let CopiedRow {
                message_id,
                place,
                first,
            } = copy;
            let text = format!("{place}: message id {message_id:?} came before, at {first}: it counts once");
            output::note(&output::shown(&text));
            let place_json = |place: &Place| json!({ "file": &*place.file, place.unit: place.number });
            let mut told = place_json(place);
            told["message_id"] = json!(message_id);
            told["first"] = place_json(first);
            self.copies_told.push(told);
            if self.copies_told.len() == COPIES_TOLD_MAX {
                output::note("where more message ids came before, they are counted, and not told one by one");
            }
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
            copies,
            copies_told,
            ..
        } = self;
        let rows = self.rows();
        if json {
            let span = self
                .times
                .span
                .map(|(first, last)| (first.to_string(), last.to_string()));
            let (first, last) = span.unzip();
            let report = json!({
                "dry_run": dry_run, "rows": rows, "accepted": accepted, "rejected": rejected, "failed": failed,
                "problems": told, "copies": copies, "copies_told": copies_told, "all_ids_compared": !self.uncompared,
                "times": { "first": first, "last": last, "ahead": self.times.ahead },
            });
            return output::line(&report.to_string());
        }
        let taken = if *dry_run { "would be accepted" } else { "accepted" };
        output::line(&format!(
            "{rows} rows read: {accepted} {taken}, {rejected} rejected, {failed} could not be mapped"
        ))?;
        if let Some((first, last)) = self.times.span {
            output::line(&format!("events from {first} to {last}{}", ahead(self.times.ahead)))?;
        }
        match *copies {
            0 => {}
            1 => output::line("1 has a message id that came before in these files, and counts once with it")?,
            copies => {
                let text = "have a message id that came before in these files; each id counts once";
                output::line(&format!("{copies} {text}"))?;
            }
        }
        if self.uncompared {
            output::line(&format!(
                "only the first {IDS_MAX} message ids were compared with all others; whatever has the same one counts once"
            ))?;
        }
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

/// What is said of events that are to come.
fn ahead(events: u64) -> String {
    let have = match events {
        0 => return String::new(),
        1 => "1 of them lies".to_owned(),
        _ => format!("{events} of them lie"),
    };
    format!("; {have} ahead of now, and count when their time has come: is it meant so?")
}
