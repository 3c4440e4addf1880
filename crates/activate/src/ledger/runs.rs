//! Runs as the ledger keeps them: asked for, counted, started, walked page by page, stopped (contract ACT-6). Each page and the place
//! behind it are one transaction, so that a kill counts nobody twice and leaves nobody out. How one is shown is in `run_views.rs`.
//! It never reads a person.

use super::attempt::skip;
use super::reserve::{MERGED, NewSend, decide, insert, number};
use super::{Ledger, SEND_COLUMNS, SendRow, SendState, parsed, read_send};
use crate::error::ActivateError;
use crate::runs::{COUNT_HOLDS, EntryCause, RunAsked, RunRefusal, RunRow, RunState, id_of};
use kith_types::{ProfileId, SegmentName, SpaceId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;

/// Why a send is left out whose run was stopped.
pub(super) const RUN_STOPPED: &str = "run_stopped";
/// Why somebody is left out whom the count did not foresee.
const BEYOND_COUNT: &str = "beyond_count";

/// A run that does not exist yet.
#[derive(Clone, Debug)]
pub(crate) struct NewRun<'a> {
    pub(crate) asked: &'a RunAsked,
    pub(crate) segment: &'a SegmentName,
    pub(crate) topic: Option<&'a str>,
}

/// What looking at some members came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunPage {
    /// The last of them; none where there was nobody left, so that the walk ends.
    pub(crate) place: Option<ProfileId>,
    /// How many they are.
    pub(crate) members: u64,
    /// To whom nothing is to be sent, by reason.
    pub(crate) left_out: BTreeMap<String, u64>,
    /// The others, each with the sends of this run that wait for whom they were taken for before.
    pub(crate) sends: Vec<(NewSend, Vec<i64>)>,
}

impl RunPage {
    pub(crate) fn leave_out(&mut self, reason: impl Into<String>) {
        *self.left_out.entry(reason.into()).or_default() += 1;
    }
}

/// The columns that [`read_row`] reads.
const RUN_COLUMNS: &str =
    "id, space, message, segment, topic, causes, entered_after, entered_before, state, started_at, place";

fn read_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let state: String = row.get(8)?;
    let instant = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    Ok(RunRow {
        id: row.get(0)?,
        space: parsed(row, 1)?,
        message: row.get(2)?,
        segment: parsed(row, 3)?,
        topic: row.get(4)?,
        causes: causes_of(&row.get::<_, String>(5)?),
        entered_after: instant(row.get(6)?),
        entered_before: Timestamp::from_micros(row.get(7)?),
        state: RunState::from_name(&state).ok_or_else(|| rusqlite::Error::InvalidColumnName(state))?,
        started_at: instant(row.get(9)?),
        place: row
            .get::<_, Option<[u8; 16]>>(10)?
            .map(|id| ProfileId(u128::from_be_bytes(id))),
    })
}

/// Causes as a run keeps them.
pub(super) fn causes_of(text: &str) -> Vec<EntryCause> {
    text.split(',').filter_map(EntryCause::from_name).collect()
}

impl Ledger {
    /// Makes a run that counts. One of the message that was never started makes way; one that is at work refuses it.
    pub(crate) fn ask_run(
        &self,
        space: &SpaceId,
        new: &NewRun<'_>,
        now: Timestamp,
    ) -> Result<Result<i64, RunRefusal>, ActivateError> {
        const INSERT: &str = "INSERT INTO runs (space, message, segment, topic, causes, entered_after, entered_before, author, why, asked_at, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'counting')";
        const AT_WORK: &str =
            "SELECT id FROM runs WHERE space = ?1 AND message = ?2 AND state IN ('sending', 'stopping')";
        const REPLACE: &str = "UPDATE runs SET state = 'replaced', ended_at = ?3 WHERE space = ?1 AND message = ?2 AND state IN ('counting', 'counted')";
        let asked = new.asked;
        let mut causes = match asked.causes.is_empty() {
            true => EntryCause::NOT_LIVE.to_vec(),
            false => asked.causes.clone(),
        };
        causes.sort();
        causes.dedup();
        let causes: Vec<&str> = causes.into_iter().map(EntryCause::as_str).collect();
        let before = asked.entered_before.map_or(now, |before| before.min(now));
        self.transaction(|ledger| {
            let of_message = params![space.as_str(), asked.message];
            let at_work: Option<i64> = ledger.query_row(AT_WORK, of_message, |row| row.get(0)).optional()?;
            if let Some(id) = at_work {
                return Ok(Err(RunRefusal::AtWork(u64::try_from(id).unwrap_or(0))));
            }
            ledger.execute(REPLACE, params![space.as_str(), asked.message, now.as_micros()])?;
            ledger.execute(
                INSERT,
                params![
                    space.as_str(),
                    asked.message,
                    new.segment.as_str(),
                    new.topic,
                    causes.join(","),
                    asked.entered_after.map(Timestamp::as_micros),
                    before.as_micros(),
                    asked.author,
                    asked.why,
                    now.as_micros(),
                ],
            )?;
            Ok(Ok(ledger.last_insert_rowid()))
        })
    }

    /// Starts a run whose count was `count`. Doing so again changes nothing.
    pub(crate) fn start_run(
        &self,
        (space, message, id): (&SpaceId, &str, i64),
        count: u64,
        by: &str,
        now: Timestamp,
    ) -> Result<Result<(), RunRefusal>, ActivateError> {
        const COUNTED: &str = "SELECT counted, asked_at FROM runs WHERE id = ?1";
        const START: &str =
            "UPDATE runs SET state = 'sending', started_by = ?2, started_at = ?3, place = NULL WHERE id = ?1";
        self.transaction(|ledger| {
            let Some(run) = run_of(ledger, space, message, id)? else {
                return Ok(Err(RunRefusal::NoRun));
            };
            let (counted, asked_at): (u64, i64) =
                ledger.query_row(COUNTED, [id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(match run.state {
                RunState::Counting => Err(RunRefusal::NotCounted),
                RunState::Stopping | RunState::Stopped | RunState::Replaced => Err(RunRefusal::Over(run.state)),
                _ if count != counted => Err(RunRefusal::OtherCount(counted)),
                RunState::Sending | RunState::Done => Ok(()),
                RunState::Counted if now > Timestamp::from_micros(asked_at) + COUNT_HOLDS => Err(RunRefusal::TooOld),
                RunState::Counted => {
                    ledger.execute(START, params![id, by, now.as_micros()])?;
                    Ok(())
                }
            })
        })
    }

    /// Stops a run: from here on nothing of it leaves that is not being handed over already. Doing so again changes nothing.
    pub(crate) fn stop_run(
        &self,
        (space, message, id): (&SpaceId, &str, i64),
        by: &str,
        now: Timestamp,
    ) -> Result<Result<(), RunRefusal>, ActivateError> {
        self.transaction(|ledger| {
            let Some(run) = run_of(ledger, space, message, id)? else {
                return Ok(Err(RunRefusal::NoRun));
            };
            const STOP: &str =
                "UPDATE runs SET state = ?2, reason = 'asked', stopped_by = ?3, ended_at = ?4 WHERE id = ?1";
            let state = match run.state {
                RunState::Counting | RunState::Counted => RunState::Stopped,
                RunState::Sending => RunState::Stopping,
                RunState::Done if waiting(ledger, &run)? > 0 => RunState::Stopping,
                RunState::Stopping | RunState::Stopped => return Ok(Ok(())),
                RunState::Done | RunState::Replaced => return Ok(Err(RunRefusal::Over(run.state))),
            };
            ledger.execute(STOP, params![id, state.as_str(), by, now.as_micros()])?;
            Ok(Ok(()))
        })
    }

    /// Stops a run by itself, for a reason.
    pub(crate) fn end_run(&self, run: &RunRow, reason: &str, now: Timestamp) -> Result<(), ActivateError> {
        const END: &str = "UPDATE runs SET state = CASE state WHEN 'counting' THEN 'stopped' ELSE 'stopping' END, reason = ?2, ended_at = ?3 WHERE id = ?1 AND state IN ('counting', 'sending')";
        self.connection()
            .execute(END, params![run.id, reason, now.as_micros()])?;
        Ok(())
    }

    /// The runs that have something to do, the oldest first.
    pub(crate) fn runs_at_work(&self) -> Result<Vec<RunRow>, ActivateError> {
        let read =
            format!("SELECT {RUN_COLUMNS} FROM runs WHERE state IN ('counting', 'sending', 'stopping') ORDER BY id");
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&read)?;
        let rows = statement.query_map([], read_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many sends of a run wait.
    pub(crate) fn run_waiting(&self, run: &RunRow) -> Result<u64, ActivateError> {
        Ok(waiting(&self.connection(), run)?)
    }

    /// Whether a run is to send nothing at present.
    pub(crate) fn run_paused(&self, run: &RunRow) -> Result<bool, ActivateError> {
        Ok(super::attempt::is_paused(
            &self.connection(),
            run.space.as_str(),
            &run.message,
        )?)
    }

    /// Sends of a run that wait at one of these addresses for other profiles, with those profiles.
    pub(crate) fn run_waiting_at(
        &self,
        run: &RunRow,
        profile: ProfileId,
        addresses: &[String],
    ) -> Result<Vec<(i64, ProfileId)>, ActivateError> {
        // The plus keeps SQLite from walking through all of the run instead of the few of the addresses.
        const READ: &str = "SELECT id, profile FROM sends WHERE space = ?1 AND address IN (SELECT value FROM json_each(?2)) AND +run = ?3 AND +state = 'reserved' AND profile <> ?4";
        let addresses = serde_json::Value::from(addresses).to_string();
        let asked = params![
            run.space.as_str(),
            addresses,
            number(run.number()),
            profile.0.to_be_bytes()
        ];
        let connection = self.connection();
        let mut statement = connection.prepare_cached(READ)?;
        let rows = statement.query_map(asked, |row| {
            let profile: [u8; 16] = row.get(1)?;
            Ok((row.get(0)?, ProfileId(u128::from_be_bytes(profile))))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Records what a page of the counting walk comes to; nothing where the run went on or was ended meanwhile.
    pub(crate) fn count_page(&self, run: &RunRow, page: &RunPage, now: Timestamp) -> Result<(), ActivateError> {
        self.transaction(|ledger| {
            if !stands_there(ledger, run)? {
                return Ok(());
            }
            let (mut counted, mut left_out) = (0, page.left_out.clone());
            for (send, _) in &page.sends {
                match decide(ledger, &run.space, send, now)? {
                    (SendState::Skipped, reason, _) => *left_out.entry(reason.unwrap_or_default()).or_default() += 1,
                    _ => counted += 1,
                }
            }
            const COUNT: &str = "UPDATE runs SET counted_members = counted_members + ?2, counted = counted + ?3, place = ?4, state = CASE WHEN ?4 IS NULL THEN 'counted' ELSE state END WHERE id = ?1";
            let place = page.place.map(|place| place.0.to_be_bytes());
            ledger.execute(COUNT, params![run.id, number(page.members), counted, place])?;
            add_left_out(ledger, run, "counting", &left_out)
        })
    }

    /// Reserves what a page of the sending walk comes to, with the place behind it; nothing where the run was stopped meanwhile.
    /// Never more than were counted. Returns the sends that came to be, and those whose place they took.
    pub(crate) fn reserve_page(
        &self,
        run: &RunRow,
        page: &RunPage,
        now: Timestamp,
    ) -> Result<Vec<SendRow>, ActivateError> {
        self.transaction(|ledger| {
            let mut made = Vec::new();
            if !stands_there(ledger, run)? {
                return Ok(made);
            }
            const LEFT: &str = "SELECT counted, reserved FROM runs WHERE id = ?1";
            let (counted, before): (u64, u64) =
                ledger.query_row(LEFT, [run.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let (mut reserved, mut left_out) = (before, page.left_out.clone());
            for (send, replaced) in &page.sends {
                for id in replaced {
                    let waits = read_send(ledger, *id)?.filter(|send| send.state == SendState::Reserved);
                    if let Some(waits) = waits {
                        made.push(skip(ledger, waits, MERGED, now)?);
                        // It was of the same person: the count has room for the one that takes its place.
                        reserved = reserved.saturating_sub(1);
                    }
                }
                let mut decided = decide(ledger, &run.space, send, now)?;
                if decided.0 == SendState::Reserved && reserved >= counted {
                    decided = (SendState::Skipped, Some(BEYOND_COUNT.to_owned()), now);
                }
                if decided.0 == SendState::Skipped {
                    *left_out.entry(decided.1.unwrap_or_default()).or_default() += 1;
                } else if let Some(id) = insert(ledger, &run.space, send, decided, now)? {
                    reserved += 1;
                    made.extend(read_send(ledger, id)?);
                }
            }
            const MOVE: &str = "UPDATE runs SET members = members + ?2, reserved = ?3, place = ?4, state = CASE WHEN ?4 IS NULL THEN 'done' ELSE state END, ended_at = CASE WHEN ?4 IS NULL THEN ?5 END WHERE id = ?1";
            let place = page.place.map(|place| place.0.to_be_bytes());
            let moved = params![run.id, number(page.members), number(reserved), place, now.as_micros()];
            ledger.execute(MOVE, moved)?;
            add_left_out(ledger, run, "sending", &left_out)?;
            Ok(made)
        })
    }

    /// Leaves out some of what still waits of a run that is being stopped; the run is stopped once nothing does.
    pub(crate) fn sweep_run(&self, run: &RunRow, limit: usize, now: Timestamp) -> Result<Vec<SendRow>, ActivateError> {
        self.transaction(|ledger| {
            let read = format!(
                "SELECT {SEND_COLUMNS} FROM sends WHERE run = ?1 AND asked_at IS NOT NULL AND state = 'reserved' LIMIT ?2"
            );
            let mut statement = ledger.prepare_cached(&read)?;
            let found = statement.query_map(params![number(run.number()), limit], SendRow::read)?;
            let found: Vec<SendRow> = found.collect::<Result<_, _>>()?;
            if found.is_empty() {
                const STOPPED: &str = "UPDATE runs SET state = 'stopped' WHERE id = ?1 AND state = 'stopping'";
                ledger.execute(STOPPED, [run.id])?;
            }
            let skipped = found.into_iter().map(|send| skip(ledger, send, RUN_STOPPED, now));
            Ok(skipped.collect::<Result<_, _>>()?)
        })
    }
}

/// The run of that id, where it is of the message.
fn run_of(ledger: &Connection, space: &SpaceId, message: &str, id: i64) -> rusqlite::Result<Option<RunRow>> {
    let read = format!("SELECT {RUN_COLUMNS} FROM runs WHERE id = ?1 AND space = ?2 AND message = ?3");
    let mut statement = ledger.prepare_cached(&read)?;
    statement
        .query_row(params![id, space.as_str(), message], read_row)
        .optional()
}

/// Whether a run is where it was when its page was read.
fn stands_there(ledger: &Connection, run: &RunRow) -> rusqlite::Result<bool> {
    let now = run_of(ledger, &run.space, &run.message, run.id)?;
    Ok(now.is_some_and(|now| now.state == run.state && now.place == run.place))
}

fn waiting(ledger: &Connection, run: &RunRow) -> rusqlite::Result<u64> {
    const COUNT: &str = "SELECT count(*) FROM sends WHERE run = ?1 AND asked_at IS NOT NULL AND state = 'reserved'";
    let mut statement = ledger.prepare_cached(COUNT)?;
    statement.query_row([number(run.number())], |row| row.get(0))
}

/// Whether the run of a send was stopped; `run` is the send's.
pub(super) fn is_stopped(ledger: &Connection, run: u64) -> rusqlite::Result<bool> {
    const READ: &str = "SELECT 1 FROM runs WHERE id = ?1 AND state IN ('stopping', 'stopped')";
    let found = ledger
        .prepare_cached(READ)?
        .query_row([id_of(run)], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

fn add_left_out(
    ledger: &Connection,
    run: &RunRow,
    phase: &str,
    left_out: &BTreeMap<String, u64>,
) -> Result<(), ActivateError> {
    const ADD: &str = "INSERT INTO run_left_out (run, phase, reason, people) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET people = people + excluded.people";
    let mut statement = ledger.prepare_cached(ADD)?;
    for (reason, people) in left_out {
        statement.execute(params![run.id, phase, reason, number(*people)])?;
    }
    Ok(())
}
