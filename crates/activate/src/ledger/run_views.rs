//! Runs as operators see them: what each was asked for, what its count and its walk came to, and what became of its sends. Figures
//! come from rows. It never changes a run.

use super::runs::causes_of;
use super::{Ledger, SendState, parsed};
use crate::error::ActivateError;
use crate::runs::{RunState, RunTally, RunView, number_of};
use kith_types::{SpaceId, Timestamp};
use rusqlite::{Connection, Row, params};

/// The columns that [`read_view`] reads.
const VIEW_COLUMNS: &str = "id, message, segment, causes, entered_after, entered_before, author, why, asked_at, started_by, started_at, stopped_by, ended_at, state, reason, counted_members, counted, members, reserved";

fn read_view(row: &Row<'_>) -> rusqlite::Result<(i64, RunView)> {
    let instant = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    let (id, state): (i64, String) = (row.get(0)?, row.get(13)?);
    let started: (Option<String>, Option<i64>) = (row.get(9)?, row.get(10)?);
    let view = RunView {
        id: u64::try_from(id).unwrap_or(0),
        message: row.get(1)?,
        segment: parsed(row, 2)?,
        causes: causes_of(&row.get::<_, String>(3)?),
        entered_after: instant(row.get(4)?),
        entered_before: Timestamp::from_micros(row.get(5)?),
        author: row.get(6)?,
        why: row.get(7)?,
        asked_at: Timestamp::from_micros(row.get(8)?),
        started: started.0.zip(instant(started.1)),
        stopped_by: row.get(11)?,
        ended_at: instant(row.get(12)?),
        state: RunState::from_name(&state).ok_or_else(|| rusqlite::Error::InvalidColumnName(state))?,
        reason: row.get(14)?,
        counted: RunTally {
            members: row.get(15)?,
            sends: row.get(16)?,
            ..RunTally::default()
        },
        sent: RunTally {
            members: row.get(17)?,
            sends: row.get(18)?,
            ..RunTally::default()
        },
        sends: Default::default(),
        skipped: Default::default(),
    };
    Ok((id, view))
}

impl Ledger {
    /// The newest runs of a space, at most `limit`: of one message where it is named, the one of an id where that is given.
    pub(crate) fn runs(
        &self,
        space: &SpaceId,
        message: Option<&str>,
        id: Option<i64>,
        limit: usize,
    ) -> Result<Vec<RunView>, ActivateError> {
        let read = format!(
            "SELECT {VIEW_COLUMNS} FROM runs WHERE space = ?1 AND (?2 IS NULL OR message = ?2) AND (?3 IS NULL OR id = ?3) ORDER BY id DESC LIMIT ?4"
        );
        let rows: Vec<(i64, RunView)> = {
            let connection = self.connection();
            let mut statement = connection.prepare_cached(&read)?;
            let rows = statement.query_map(params![space.as_str(), message, id, limit], read_view)?;
            rows.collect::<Result<_, _>>()?
        };
        // Large runs take their time to be counted: what sends waits for one of them at most.
        let filled = rows.into_iter().map(|(id, mut view)| {
            fill(&self.connection(), id, &mut view)?;
            Ok(view)
        });
        Ok(filled.collect::<rusqlite::Result<_>>()?)
    }
}

/// Adds who was left out, and what became of the sends.
fn fill(connection: &Connection, id: i64, view: &mut RunView) -> rusqlite::Result<()> {
    const LEFT_OUT: &str = "SELECT phase, reason, people FROM run_left_out WHERE run = ?1";
    const SENDS: &str = "SELECT state, CASE state WHEN 'skipped' THEN reason END AS why, count(*) FROM sends WHERE run = ?1 AND asked_at IS NOT NULL GROUP BY state, why";
    let mut statement = connection.prepare_cached(LEFT_OUT)?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        let phase: String = row.get(0)?;
        let tally = if phase == "counting" {
            &mut view.counted
        } else {
            &mut view.sent
        };
        tally.left_out.insert(row.get(1)?, row.get(2)?);
    }
    let mut statement = connection.prepare_cached(SENDS)?;
    let mut rows = statement.query([super::reserve::number(number_of(id))])?;
    while let Some(row) = rows.next()? {
        let (state, why, count): (String, Option<String>, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let Some(state) = SendState::from_name(&state) else {
            continue;
        };
        *view.sends.entry(state.as_str()).or_default() += count;
        if let Some(why) = why {
            view.skipped.insert(why, count);
        }
    }
    Ok(())
}
