//! The attempt: what is due, the last check, the mark before the mail leaves, and the outcome (contract ACT-2). It
//! never decides to send again what may have been sent, unless the message is transactional.

use super::limits::{Asking, Counting, has_it, used_up};
use super::reserve::{ALREADY_SENT, QUIET_HOURS, suppression};
use super::runs::{RUN_STOPPED, is_stopped};
use super::{Ledger, SendRow, SendState, queue_feedback, read_send, set_state, settle};
use crate::error::ActivateError;
use crate::feedback::FeedbackKind;
use crate::limits::Limits;
use crate::runs::number_of;
use kith_types::{SpaceId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

/// What is known right before a mail leaves.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) id: i64,
    pub(crate) subject: String,
    pub(crate) sender: String,
    /// The hash of the unsubscribe token in the mail; none for transactional mail.
    pub(crate) token_hash: Option<[u8; 32]>,
    pub(crate) granted_at: Option<Timestamp>,
    pub(crate) limits: Limits,
}

/// A send that is due.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) id: i64,
    /// The part of its address behind the `@`.
    pub(crate) destination: String,
}

/// Whether a mail may leave.
#[derive(Clone, Debug)]
pub(crate) enum Begun {
    /// It may: the send is `attempting`.
    Yes,
    /// Sending is paused: the send waits.
    Paused,
    /// Hours are quiet: the send is put off to their end.
    Later,
    /// It may not any more: the send is `skipped`.
    Skipped(Box<SendRow>),
    /// The send is not reserved any more.
    Gone,
}

/// What an attempt came to.
#[derive(Clone, Debug)]
pub(crate) enum Finished {
    /// The last state, with its reason.
    Settled(SendState, Option<String>),
    /// It is refused for good since the address does not exist: nothing goes there any more.
    HardBounce(String),
    /// It is due again.
    Again {
        due_at: Timestamp,
        reason: String,
        /// Whether it may have reached the person all the same: then it goes on to count.
        may_have_left: bool,
    },
}

impl Ledger {
    /// Sends that are due, not paused and not to a destination that is closed: those of entries first, then those of runs, each
    /// the oldest first.
    pub(crate) fn due(&self, now: Timestamp, limit: usize, closed: &[String]) -> Result<Vec<Due>, ActivateError> {
        const DUE: &str = "SELECT id, substr(address, instr(address, '@') + 1) AS destination FROM sends WHERE state = 'reserved' AND (asked_at IS NOT NULL) = ?4 AND due_at <= ?1 AND NOT EXISTS (SELECT 1 FROM pauses WHERE scope = '*' OR scope = sends.space OR scope = sends.space || '/' || sends.message) AND destination NOT IN (SELECT value FROM json_each(?3)) ORDER BY due_at, id LIMIT ?2";
        let connection = self.connection();
        let mut statement = connection.prepare_cached(DUE)?;
        let closed = serde_json::Value::from(closed).to_string();
        let mut found: Vec<Due> = Vec::new();
        for of_runs in [false, true] {
            if of_runs && all_runs_are_paused(&connection)? {
                break;
            }
            let left = limit - found.len();
            let due = statement.query_map(params![now.as_micros(), left, closed, of_runs], |row| {
                Ok(Due {
                    id: row.get(0)?,
                    destination: row.get(1)?,
                })
            })?;
            for due in due {
                found.push(due?);
            }
        }
        Ok(found)
    }

    /// The mark before the mail leaves. Pause, suppression, quiet hours and caps are asked in the same transaction, so
    /// two workers never take the last place of a cap both.
    pub(crate) fn begin(&self, attempt: &Attempt, now: Timestamp) -> Result<Begun, ActivateError> {
        self.transaction(|ledger| {
            let Some(send) = read_send(ledger, attempt.id)?.filter(|send| send.state == SendState::Reserved) else {
                return Ok(Begun::Gone);
            };
            if is_paused(ledger, send.space.as_str(), &send.message)? {
                return Ok(Begun::Paused);
            }
            let asking = Asking {
                space: &send.space,
                message: &send.message,
                profile: send.profile,
                address: &send.address,
                id: Some(send.id),
            };
            // People who were two when a run reserved for each may be one by now, and somebody may have entered live since.
            if send.asked_at.is_some() {
                let stopped = is_stopped(ledger, send.run)?;
                if stopped || has_it(ledger, &asking, &attempt.limits, Counting::LeftOrLive)? {
                    let reason = if stopped { RUN_STOPPED } else { ALREADY_SENT };
                    return Ok(Begun::Skipped(Box::new(skip(ledger, send, reason, now)?)));
                }
            }
            let topic = send.topic.as_deref();
            if let Some(reason) = suppression(ledger, &send.space, &send.address, topic, attempt.granted_at)? {
                return Ok(Begun::Skipped(Box::new(skip(ledger, send, reason, now)?)));
            }
            if let Some(end) = attempt.limits.quiet.and_then(|quiet| quiet.ends(now)) {
                const PUT_OFF: &str = "UPDATE sends SET due_at = ?2, reason = ?3 WHERE id = ?1";
                ledger.execute(PUT_OFF, params![attempt.id, end.as_micros(), QUIET_HOURS])?;
                return Ok(Begun::Later);
            }
            if let Some(reason) = used_up(ledger, &asking, &attempt.limits, Counting::Left, now)? {
                return Ok(Begun::Skipped(Box::new(skip(ledger, send, reason, now)?)));
            }
            const BEGIN: &str = "UPDATE sends SET state = 'attempting', attempts = attempts + 1, reason = NULL, subject = ?2, sender = ?3, token_hash = ?4, changed_at = ?5, left_at = ?5 WHERE id = ?1";
            ledger.prepare_cached(BEGIN)?.execute(params![
                attempt.id,
                attempt.subject,
                attempt.sender,
                attempt.token_hash,
                now.as_micros()
            ])?;
            Ok(Begun::Yes)
        })
    }

    /// Ends a reserved send without an attempt; `None` where it is not reserved any more.
    pub(crate) fn skip(&self, id: i64, reason: &str, now: Timestamp) -> Result<Option<SendRow>, ActivateError> {
        self.transaction(|ledger| {
            let reserved = read_send(ledger, id)?.filter(|send| send.state == SendState::Reserved);
            reserved.map(|send| Ok(skip(ledger, send, reason, now)?)).transpose()
        })
    }

    /// Puts a reserved send off, such as where the person cannot be read at present. A reason says what it waits for.
    pub(crate) fn put_off(&self, id: i64, until: Timestamp, reason: Option<&str>) -> Result<(), ActivateError> {
        const SET: &str =
            "UPDATE sends SET due_at = ?2, reason = coalesce(?3, reason) WHERE id = ?1 AND state = 'reserved'";
        self.connection().execute(SET, params![id, until.as_micros(), reason])?;
        Ok(())
    }

    /// Has what waits for the end of quiet hours asked at once whether it still has to.
    pub(crate) fn end_quiet(&self, space: &SpaceId, now: Timestamp) -> Result<(), ActivateError> {
        const END: &str =
            "UPDATE sends SET due_at = ?3 WHERE state = 'reserved' AND space = ?1 AND reason = ?2 AND due_at > ?3";
        self.connection()
            .execute(END, params![space.as_str(), QUIET_HOURS, now.as_micros()])?;
        Ok(())
    }

    /// Records what an attempt came to; `None` where the send is not in `attempting`.
    pub(crate) fn finish(
        &self,
        id: i64,
        finished: &Finished,
        now: Timestamp,
    ) -> Result<Option<SendRow>, ActivateError> {
        self.transaction(|ledger| {
            let Some(send) = read_send(ledger, id)?.filter(|send| send.state == SendState::Attempting) else {
                return Ok(None);
            };
            match finished {
                Finished::Settled(state, reason) => settle(ledger, &send, *state, reason.as_deref(), now)?,
                Finished::HardBounce(reason) => {
                    settle(ledger, &send, SendState::Rejected, Some(reason), now)?;
                    const SUPPRESS: &str = "INSERT INTO suppressions (space, address, topic, reason, at) VALUES (?1, ?2, '', 'hard_bounce', ?3) ON CONFLICT DO NOTHING";
                    ledger.execute(SUPPRESS, params![send.space.as_str(), send.address, now.as_micros()])?;
                }
                Finished::Again { due_at, reason, .. } => {
                    set_state(ledger, &send, SendState::Reserved, Some(reason), now)?;
                    const PUT_OFF: &str = "UPDATE sends SET due_at = ?2 WHERE id = ?1";
                    ledger.execute(PUT_OFF, params![id, due_at.as_micros()])?;
                }
            }
            if !finished.may_have_left() {
                ledger.execute("UPDATE sends SET left_at = NULL WHERE id = ?1", [id])?;
            }
            Ok(read_send(ledger, id)?)
        })
    }
}

impl Finished {
    /// Whether the mail may have reached the person.
    fn may_have_left(&self) -> bool {
        match self {
            Self::Settled(state, _) => matches!(state, SendState::Accepted | SendState::Unknown),
            Self::HardBounce(_) => false,
            Self::Again { may_have_left, .. } => *may_have_left,
        }
    }
}

pub(super) fn skip(ledger: &Connection, mut send: SendRow, reason: &str, now: Timestamp) -> rusqlite::Result<SendRow> {
    set_state(ledger, &send, SendState::Skipped, Some(reason), now)?;
    queue_feedback(ledger, &send, FeedbackKind::Skipped, Some(reason), now)?;
    send.state = SendState::Skipped;
    send.reason = Some(reason.to_owned());
    Ok(send)
}

/// Whether something is paused and nothing waits of a run that is not: what waits of one that is would be looked through in vain.
fn all_runs_are_paused(ledger: &Connection) -> rusqlite::Result<bool> {
    const ALL: &str = "SELECT EXISTS (SELECT 1 FROM pauses) AND NOT EXISTS (SELECT 1 FROM runs WHERE state IN ('sending', 'done') AND NOT EXISTS (SELECT 1 FROM pauses WHERE scope = '*' OR scope = runs.space OR scope = runs.space || '/' || runs.message) AND EXISTS (SELECT 1 FROM sends WHERE run = runs.id + ?1 AND asked_at IS NOT NULL AND state = 'reserved'))";
    let mut statement = ledger.prepare_cached(ALL)?;
    statement.query_row([super::reserve::number(number_of(0))], |row| row.get(0))
}

/// Whether everything, a space or a message of it is paused.
pub(super) fn is_paused(ledger: &Connection, space: &str, message: &str) -> rusqlite::Result<bool> {
    const PAUSED: &str = "SELECT 1 FROM pauses WHERE scope = '*' OR scope = ?1 OR scope = ?1 || '/' || ?2 LIMIT 1";
    let row = ledger
        .prepare_cached(PAUSED)?
        .query_row([space, message], |_| Ok(()))
        .optional()?;
    Ok(row.is_some())
}
