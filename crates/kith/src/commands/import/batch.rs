//! Events in batches that a door takes, and the thread that makes them from files.

use super::event::Events;
use super::files::ImportFile;
use super::mapping::Mapping;
use super::row::{Place, Row, RowFault};
use crate::error::CommandError;
use crate::output::Hint;
use kith_types::Limits;
use tokio::sync::mpsc::Sender;

/// Room that is kept below the door's limits for what stands around the events.
const ROOM_BYTES: usize = 1_024;
const HEAD: &str = r#"{"batch":["#;
const TAIL: &str = "]}";
/// Rows that fail are handed on once there are so many, so that they do not pile up.
const FAULTS_MAX: usize = 1_000;

/// Events that go in one request, and rows that became none.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    body: String,
    /// Where each event came from.
    pub(crate) places: Vec<Place>,
    /// Rows that became no event.
    pub(crate) faults: Vec<RowFault>,
}

impl Batch {
    fn has_room(&self, event: &str, limits: &Limits) -> bool {
        self.places.len() < limits.batch_events
            && HEAD.len() + self.body.len() + event.len() + ROOM_BYTES <= limits.batch_bytes
    }

    fn push(&mut self, place: Place, event: &str) {
        if !self.body.is_empty() {
            self.body.push(',');
        }
        self.body.push_str(event);
        self.places.push(place);
    }

    /// The body of the request.
    pub(crate) fn to_body(&self) -> String {
        format!("{HEAD}{}{TAIL}", self.body)
    }
}

/// Reads all files into batches that keep to the limits, until the files end or nobody takes batches any more.
///
/// # Errors
/// A file that cannot be read, or lacks a column that the mapping names.
pub(crate) fn read(
    files: &[ImportFile],
    mapping: &Mapping,
    limits: Limits,
    batches: &Sender<Batch>,
) -> Result<(), CommandError> {
    let mut events = Events::new(mapping);
    let mut making = Making {
        batch: Batch::default(),
        limits,
        batches,
    };
    for file in files {
        let mut rows = file.open(mapping.csv)?;
        if let Some(columns) = rows.columns() {
            check_columns(mapping, columns)?;
        }
        while let Some(row) = rows.next()? {
            let going_on = match row.and_then(|row| making.judge(&mut events, &row).map(|event| (row.place, event))) {
                Ok((place, event)) => making.add(place, &event),
                Err(fault) => making.fail(fault),
            };
            if !going_on {
                return Ok(());
            }
        }
    }
    making.hand_on();
    Ok(())
}

fn check_columns(mapping: &Mapping, columns: &[String]) -> Result<(), CommandError> {
    let has = |name: &str| {
        let first = name.split('.').next().unwrap_or(name);
        columns.iter().any(|column| column == name || column == first)
    };
    let mut missing: Vec<&str> = mapping.columns().filter(|name| !has(name)).collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() || columns.is_empty() {
        return Ok(());
    }
    let hint = Hint::new(format!("its columns are {}", columns.join(", ")));
    Err(CommandError::caused(
        format!(
            "the mapping names columns that the file does not have: {}",
            missing.join(", ")
        ),
        hint,
    ))
}

struct Making<'a> {
    batch: Batch,
    limits: Limits,
    batches: &'a Sender<Batch>,
}

impl Making<'_> {
    /// The event of a row, where a door could take it at all.
    fn judge(&self, events: &mut Events<'_>, row: &Row) -> Result<String, RowFault> {
        let event = events.event(row)?;
        // One that fills a body alone has room in none.
        let most = self.limits.batch_bytes.saturating_sub(ROOM_BYTES + HEAD.len());
        let most = self.limits.event_bytes.min(most);
        if event.len() > most {
            let message = format!(
                "becomes an event of {} bytes; an import takes {most} at most",
                event.len()
            );
            return Err(RowFault {
                place: row.place.clone(),
                column: String::new(),
                message,
            });
        }
        Ok(event)
    }

    /// Adds an event; false where nobody takes batches any more.
    fn add(&mut self, place: Place, event: &str) -> bool {
        let going_on = self.batch.has_room(event, &self.limits) || self.hand_on();
        self.batch.push(place, event);
        going_on
    }

    fn fail(&mut self, fault: RowFault) -> bool {
        self.batch.faults.push(fault);
        self.batch.faults.len() < FAULTS_MAX || self.hand_on()
    }

    fn hand_on(&mut self) -> bool {
        let batch = std::mem::take(&mut self.batch);
        self.batches.blocking_send(batch).is_ok()
    }
}
