//! Events in batches that a door takes, and the thread that makes them from files.

use super::copies::{CopiedRow, Seen};
use super::event::{Events, Made};
use super::files::ImportFile;
use super::mapping::Mapping;
use super::row::{Place, Row, RowFault};
use crate::error::CommandError;
use crate::output::Hint;
use kith_types::{Limits, Timestamp};
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
    /// Events whose message id came before in these files.
    pub(crate) copies: Vec<CopiedRow>,
    /// When its events happened.
    pub(crate) times: Times,
    /// Whether all message ids so far were compared.
    pub(crate) compared: bool,
}

/// The span of events, and how many of them are to come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// The earliest and the latest.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
    /// Events later than the import's start.
    pub(crate) ahead: u64,
}

impl Times {
    fn note(&mut self, moment: Timestamp, now: Timestamp) {
        let (first, last) = self.span.unwrap_or((moment, moment));
        self.span = Some((first.min(moment), last.max(moment)));
        self.ahead += u64::from(moment > now);
    }

    /// Adds others.
    pub(crate) fn add(&mut self, others: Self) {
        self.span = match (self.span, others.span) {
            (Some((first, last)), Some((other_first, other_last))) => {
                Some((first.min(other_first), last.max(other_last)))
            }
            (one, other) => one.or(other),
        };
        self.ahead += others.ahead;
    }
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
    (limits, now): (Limits, Timestamp),
    batches: &Sender<Batch>,
) -> Result<(), CommandError> {
    let mut events = Events::new(mapping);
    let mut making = Making {
        batch: Batch::default(),
        limits,
        now,
        seen: Seen::default(),
        batches,
    };
    for file in files {
        let mut rows = file.open(mapping.csv)?;
        if let Some(columns) = rows.columns() {
            check_columns(mapping, columns)?;
        }
        while let Some(row) = rows.next()? {
            let going_on = match row.and_then(|row| making.judge(&mut events, &row).map(|made| (row.place, made))) {
                Ok((place, made)) => making.add(place, &made),
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
    let hint = Hint::new(match wrong_separator(columns) {
        Some((shown, written)) => format!(
            "its only column is {:?}: is the separator {shown}? Then the mapping says `separator: {written}`",
            columns.concat()
        ),
        None => format!("its columns are {}", columns.join(", ")),
    });
    Err(CommandError::caused(
        format!(
            "the mapping names columns that the file does not have: {}",
            missing.join(", ")
        ),
        hint,
    ))
}

/// What parts the columns of a file whose header seems to be one column: in words, and as a mapping writes it.
fn wrong_separator(columns: &[String]) -> Option<(&'static str, &'static str)> {
    let [only] = columns else { return None };
    let known = [
        (';', "`;`", "\";\""),
        ('\t', "a tab", "tab"),
        ('|', "`|`", "\"|\""),
        (',', "a comma", "\",\""),
        (' ', "blanks", "whitespace"),
    ];
    let found = known.into_iter().find(|(character, ..)| only.contains(*character));
    found.map(|(_, shown, written)| (shown, written))
}

struct Making<'a> {
    batch: Batch,
    limits: Limits,
    now: Timestamp,
    seen: Seen,
    batches: &'a Sender<Batch>,
}

impl Making<'_> {
    /// The event of a row, where a door could take it at all.
    fn judge(&self, events: &mut Events<'_>, row: &Row) -> Result<Made, RowFault> {
        let made = events.event(row)?;
        // One that fills a body alone has room in none.
        let most = self.limits.batch_bytes.saturating_sub(ROOM_BYTES + HEAD.len());
        let most = self.limits.event_bytes.min(most);
        if made.json.len() > most {
            let message = format!(
                "becomes an event of {} bytes; an import takes {most} at most",
                made.json.len()
            );
            return Err(RowFault {
                place: row.place.clone(),
                column: String::new(),
                message,
            });
        }
        Ok(made)
    }

    /// Adds an event; false where nobody takes batches any more.
    fn add(&mut self, place: Place, made: &Made) -> bool {
        let going_on = self.batch.has_room(&made.json, &self.limits) || self.hand_on();
        let copy = made.message_id.as_deref().and_then(|id| self.seen.note(id, &place));
        self.batch.copies.extend(copy);
        self.batch.times.note(made.moment, self.now);
        self.batch.push(place, &made.json);
        going_on
    }

    fn fail(&mut self, fault: RowFault) -> bool {
        self.batch.faults.push(fault);
        self.batch.faults.len() < FAULTS_MAX || self.hand_on()
    }

    fn hand_on(&mut self) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        batch.compared = !self.seen.is_full();
        self.batches.blocking_send(batch).is_ok()
    }
}
