//! Taking entries from the outbox: reservations, skips, counts and the outbox's cursor in one transaction (contract
//! ACT-1). It never reads a person; what consent says comes with the plan, and is weighed here against suppressions.

use super::attempt::skip;
use super::limits::{Asking, Counting, has_it, used_up};
use super::{Ledger, PersonKey, SendRow, SendState, queue_feedback, read_send};
use crate::error::ActivateError;
use crate::feedback::FeedbackKind;
use crate::limits::Limits;
use kith_types::{ProfileId, SegmentName, SpaceId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

/// Why a send waits for the end of quiet hours.
pub(super) const QUIET_HOURS: &str = "quiet_hours";

/// Why a person gets nothing by a run who has the message, may have it, or for whom it waits.
pub(super) const ALREADY_SENT: &str = "already_sent";
/// Why a person gets nothing who got it as whom they were taken for before.
const SENT_BEFORE_MERGE: &str = "sent_before_merge";
/// Why a send waits no longer: the person is somebody else now, who gets it.
pub(super) const MERGED: &str = "merged";
/// Why a send is left out whose entry was undone: who is who was found to be otherwise.
const ENTRY_UNDONE: &str = "entry_undone";

/// What is to become of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// A send, unless the address is suppressed.
    Reserve {
        /// When consent was given, for marketing.
        granted_at: Option<Timestamp>,
        /// Caps, which may skip it, and quiet hours, which put it off.
        limits: Box<Limits>,
    },
    /// No send, for this reason.
    Skip(String),
}

/// A send that does not exist yet.
#[derive(Clone, Debug)]
pub(crate) struct NewSend {
    pub(crate) message: String,
    pub(crate) run: u64,
    pub(crate) profile: ProfileId,
    /// Normalised; empty where there is none.
    pub(crate) address: String,
    pub(crate) segment: SegmentName,
    pub(crate) topic: Option<String>,
    pub(crate) person: PersonKey,
    pub(crate) entered_at: Timestamp,
    pub(crate) plan: Plan,
    /// Whom the person was taken for until this very event, as a member of the segment.
    pub(crate) until_now: Vec<ProfileId>,
    /// When the run that asks for it was started, or asked for where it only counts; none for an entry.
    pub(crate) asked_at: Option<Timestamp>,
}

/// An entry that did not happen live.
#[derive(Clone, Debug)]
pub(crate) struct NotLive {
    pub(crate) message: String,
    pub(crate) cause: &'static str,
}

/// An entry that was undone: what waits because of it is not sent.
#[derive(Clone, Debug)]
pub(crate) struct Undone {
    /// Of the exit: later entries are others.
    pub(crate) number: u64,
    pub(crate) profile: ProfileId,
    pub(crate) segment: SegmentName,
    /// When: what somebody asks for later is of another membership.
    pub(crate) at: Timestamp,
}

/// What one stretch of the outbox comes to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reservations {
    pub(crate) sends: Vec<NewSend>,
    pub(crate) not_live: Vec<NotLive>,
    pub(crate) undone: Vec<Undone>,
    /// The number that is wanted next.
    pub(crate) next_number: u64,
    /// Changes before it that were gone before they could be taken.
    pub(crate) missed: u64,
}

impl Ledger {
    /// The number that is wanted next of a space's outbox: everything below it may be forgotten.
    pub(crate) fn next_number(&self, space: &SpaceId) -> Result<u64, ActivateError> {
        const READ: &str = "SELECT next_number FROM cursors WHERE space = ?1";
        let connection = self.connection();
        let number: Option<i64> = connection
            .query_row(READ, [space.as_str()], |row| row.get(0))
            .optional()?;
        Ok(number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
    }

    /// Records what a stretch of the outbox comes to, and that it was taken: all or nothing. Taking it again after a
    /// crash changes nothing. Returns the sends that came to be.
    pub(crate) fn reserve(
        &self,
        space: &SpaceId,
        reservations: &Reservations,
        now: Timestamp,
    ) -> Result<Vec<SendRow>, ActivateError> {
        self.transaction(|ledger| {
            let mut made = Vec::with_capacity(reservations.sends.len());
            // In the order in which it happened: an entry of the same stretch may be undone by it.
            let mut undone = reservations.undone.iter().peekable();
            for send in &reservations.sends {
                while let Some(undone) = undone.next_if(|undone| undone.number < send.run) {
                    undo(ledger, space, undone, now, &mut made)?;
                }
                let told = match &send.plan {
                    Plan::Reserve { .. } => take_over(ledger, space, send, now, &mut made)?,
                    Plan::Skip(_) => false,
                };
                let already;
                let send = if told {
                    let plan = Plan::Skip(SENT_BEFORE_MERGE.to_owned());
                    already = NewSend { plan, ..send.clone() };
                    &already
                } else {
                    send
                };
                let decided = decide(ledger, space, send, now)?;
                if let Some(id) = insert(ledger, space, send, decided, now)? {
                    let Some(row) = read_send(ledger, id)? else { continue };
                    if row.state == SendState::Skipped {
                        queue_feedback(ledger, &row, FeedbackKind::Skipped, row.reason.as_deref(), now)?;
                    }
                    made.push(row);
                }
            }
            for undone in undone {
                undo(ledger, space, undone, now, &mut made)?;
            }
            for entry in &reservations.not_live {
                const COUNT: &str = "INSERT INTO not_live (space, message, cause, entries) VALUES (?1, ?2, ?3, 1) ON CONFLICT DO UPDATE SET entries = entries + 1";
                let mut statement = ledger.prepare_cached(COUNT)?;
                statement.execute(params![space.as_str(), entry.message, entry.cause])?;
            }
            const TAKEN: &str = "INSERT INTO cursors (space, next_number, missed) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET next_number = excluded.next_number, missed = missed + excluded.missed";
            let (next_number, missed) = (number(reservations.next_number), number(reservations.missed));
            ledger.execute(TAKEN, params![space.as_str(), next_number, missed])?;
            Ok(made)
        })
    }
}

/// Leaves out what still waits of an entry that was undone.
fn undo(
    ledger: &Connection,
    space: &SpaceId,
    undone: &Undone,
    now: Timestamp,
    made: &mut Vec<SendRow>,
) -> rusqlite::Result<()> {
    const WAITING: &str = "SELECT id FROM sends WHERE space = ?1 AND profile = ?2 AND segment = ?3 AND state = 'reserved' AND CASE WHEN asked_at IS NULL THEN run < ?4 ELSE asked_at <= ?5 END";
    let mut statement = ledger.prepare_cached(WAITING)?;
    let asked = params![
        space.as_str(),
        undone.profile.0.to_be_bytes(),
        undone.segment.as_str(),
        number(undone.number),
        undone.at.as_micros(),
    ];
    let waiting: Vec<i64> = statement
        .query_map(asked, |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in waiting {
        if let Some(send) = read_send(ledger, id)? {
            made.push(skip(ledger, send, ENTRY_UNDONE, now)?);
        }
    }
    Ok(())
}

/// Whether the person has the message already, or may have it, from an entry as somebody they were taken for until now. One that
/// still waits is not sent: the new one takes its place.
fn take_over(
    ledger: &Connection,
    space: &SpaceId,
    send: &NewSend,
    now: Timestamp,
    made: &mut Vec<SendRow>,
) -> rusqlite::Result<bool> {
    const LATEST: &str = "SELECT id FROM sends WHERE space = ?1 AND profile = ?2 AND message = ?3 AND (run < ?4 OR asked_at IS NOT NULL) ORDER BY id DESC LIMIT 1";
    let mut told = false;
    for before in &send.until_now {
        let mut statement = ledger.prepare_cached(LATEST)?;
        let asked = params![space.as_str(), before.0.to_be_bytes(), send.message, number(send.run)];
        let latest: Option<i64> = statement.query_row(asked, |row| row.get(0)).optional()?;
        let latest = latest.map(|id| read_send(ledger, id)).transpose()?.flatten();
        let Some(latest) = latest.filter(|latest| latest.segment == send.segment) else {
            continue;
        };
        match latest.state {
            SendState::Reserved => made.push(skip(ledger, latest, MERGED, now)?),
            SendState::Attempting | SendState::Accepted | SendState::Unknown => told = true,
            SendState::Rejected | SendState::Skipped => {}
        }
    }
    Ok(told)
}

/// The row of a new send; `None` where it exists already.
pub(super) fn insert(
    ledger: &Connection,
    space: &SpaceId,
    send: &NewSend,
    (state, reason, due_at): Decided,
    now: Timestamp,
) -> rusqlite::Result<Option<i64>> {
    const INSERT: &str = "INSERT INTO sends (space, message, run, profile, address, segment, topic, person_kind, person_value, entered_at, state, reason, due_at, changed_at, asked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?14, ?13, ?15) ON CONFLICT DO NOTHING";
    let mut statement = ledger.prepare_cached(INSERT)?;
    let made = statement.execute(params![
        space.as_str(),
        send.message,
        number(send.run),
        send.profile.0.to_be_bytes(),
        send.address,
        send.segment.as_str(),
        send.topic,
        send.person.kind,
        send.person.value,
        send.entered_at.as_micros(),
        state.as_str(),
        reason,
        now.as_micros(),
        due_at.as_micros(),
        send.asked_at.map(Timestamp::as_micros),
    ])?;
    Ok((made > 0).then(|| ledger.last_insert_rowid()))
}

/// What becomes of a new send, why, and when it is due.
pub(super) type Decided = (SendState, Option<String>, Timestamp);

/// Decides it, from what the ledger holds at this moment.
pub(super) fn decide(
    ledger: &Connection,
    space: &SpaceId,
    send: &NewSend,
    now: Timestamp,
) -> rusqlite::Result<Decided> {
    let (granted_at, limits) = match &send.plan {
        Plan::Skip(reason) => return Ok((SendState::Skipped, Some(reason.clone()), now)),
        Plan::Reserve { granted_at, limits } => (*granted_at, limits),
    };
    let asking = Asking {
        space,
        message: &send.message,
        profile: send.profile,
        address: &send.address,
        id: None,
    };
    if send.asked_at.is_some() && has_it(ledger, &asking, limits, Counting::WithReserved)? {
        return Ok((SendState::Skipped, Some(ALREADY_SENT.to_owned()), now));
    }
    let topic = send.topic.as_deref();
    if let Some(reason) = suppression(ledger, space, &send.address, topic, granted_at)? {
        return Ok((SendState::Skipped, Some(reason.to_owned()), now));
    }
    let put_off = limits.quiet.and_then(|quiet| quiet.ends(now));
    let due_at = put_off.unwrap_or(now);
    if let Some(reason) = used_up(ledger, &asking, limits, Counting::WithReserved, due_at)? {
        return Ok((SendState::Skipped, Some(reason.to_owned()), now));
    }
    let reason = put_off.map(|_| QUIET_HOURS.to_owned());
    Ok((SendState::Reserved, reason, due_at))
}

/// Why nothing may go to an address: it bounces, or it unsubscribed from the topic after consent was given.
pub(super) fn suppression(
    ledger: &Connection,
    space: &SpaceId,
    address: &str,
    topic: Option<&str>,
    granted_at: Option<Timestamp>,
) -> rusqlite::Result<Option<&'static str>> {
    const READ: &str = "SELECT at FROM suppressions WHERE space = ?1 AND address = ?2 AND topic = ?3";
    let mut statement = ledger.prepare_cached(READ)?;
    let mut at = |topic: &str| {
        let row = statement.query_row(params![space.as_str(), address, topic], |row| row.get::<_, i64>(0));
        row.optional()
    };
    if at("")?.is_some() {
        return Ok(Some("suppressed"));
    }
    let Some(topic) = topic.filter(|topic| !topic.is_empty()) else {
        return Ok(None);
    };
    let ended = at(topic)?.map(Timestamp::from_micros);
    let granted_since = matches!((ended, granted_at), (Some(ended), Some(granted)) if granted > ended);
    Ok((ended.is_some() && !granted_since).then_some("unsubscribed"))
}

/// A number of the outbox as SQLite keeps it.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
