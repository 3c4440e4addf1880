//! The send ledger: one SQLite file that knows of every send, and forgets none in a crash.
//!
//! Write-ahead journal and full synchronisation: what a call returned survives a power loss. Every change of a state and
//! the event that tells of it are one transaction. The ledger never sends, never renders and never reads a person: the
//! engine hands in what it knows.

mod attempt;
mod deliver;
mod destinations;
mod limits;
mod reserve;
mod run_views;
mod runs;
mod status;
mod told;
mod unsubscribe;

#[cfg(test)]
mod tests;

pub(crate) use attempt::{Attempt, Begun, Finished};
#[cfg(test)]
pub(crate) use destinations::Tally;
pub(crate) use destinations::{Compare, Mark, Place, Refusal, WaitingMember, pause_name};
pub(crate) use reserve::{NewSend, NotLive, Plan, Reservations, Undone};
pub(crate) use runs::{NewRun, RunPage};
pub use status::{ActivationStatus, MessageCount, SendView, SendsOf, SpaceStatus};
pub(crate) use told::{Answered, Decided, Named, Progress, Source, Telling};
pub use unsubscribe::Subscription;

use crate::error::ActivateError;
use crate::feedback::{self, FeedbackKind};
use kith_sqlite::Format;
use kith_types::{ProfileId, SegmentName, SpaceId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a send ledger's file is.
const FORMAT: Format = Format {
    name: "a send ledger",
    // The bytes `KSND`.
    application_id: 0x4b53_4e44,
    migrations: &[
        include_str!("ledger/0001_first.sql"),
        include_str!("ledger/0002_missed.sql"),
        include_str!("ledger/0003_limits.sql"),
        include_str!("ledger/0004_destinations.sql"),
        include_str!("ledger/0005_runs.sql"),
        include_str!("ledger/0006_told.sql"),
    ],
    foreign_keys: false,
    unmarked: None,
};
/// The version of the file's layout that this release writes.
pub const LEDGER_VERSION: u32 = FORMAT.version();

/// Where a send stands. The names are persisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SendState {
    /// It will be attempted when it is due.
    Reserved,
    /// It is being handed to the server.
    Attempting,
    /// The server took responsibility for it.
    Accepted,
    /// The server refused it for good.
    Rejected,
    /// It may have been sent or not: nobody knows.
    Unknown,
    /// It was not sent, for a reason.
    Skipped,
}

impl SendState {
    const ALL: [SendState; 6] = [
        Self::Reserved,
        Self::Attempting,
        Self::Accepted,
        Self::Rejected,
        Self::Unknown,
        Self::Skipped,
    ];

    /// The name that the ledger and the API use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Attempting => "attempting",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// How a person is named in events about messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PersonKey {
    /// `user_id`, `anonymous_id`, `email`, or empty where nothing names the person.
    pub(crate) kind: String,
    /// The identifier's value.
    pub(crate) value: String,
}

/// A row of the ledger.
#[derive(Clone, Debug)]
pub(crate) struct SendRow {
    pub(crate) id: i64,
    pub(crate) space: SpaceId,
    pub(crate) message: String,
    pub(crate) run: u64,
    pub(crate) profile: ProfileId,
    pub(crate) address: String,
    pub(crate) segment: SegmentName,
    pub(crate) topic: Option<String>,
    pub(crate) person: PersonKey,
    pub(crate) entered_at: Timestamp,
    pub(crate) state: SendState,
    pub(crate) reason: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) subject: Option<String>,
    pub(crate) sender: Option<String>,
    pub(crate) unsubscribed_at: Option<Timestamp>,
    /// When a run that reserved it was started; none where an entry did.
    pub(crate) asked_at: Option<Timestamp>,
}

/// The columns that [`SendRow::read`] reads.
const SEND_COLUMNS: &str = "id, space, message, run, profile, address, segment, topic, person_kind, person_value, entered_at, state, reason, attempts, subject, sender, unsubscribed_at, asked_at";

impl SendRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let state: String = row.get(11)?;
        let profile: [u8; 16] = row.get(4)?;
        Ok(Self {
            id: row.get(0)?,
            space: parsed(row, 1)?,
            message: row.get(2)?,
            run: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
            profile: ProfileId(u128::from_be_bytes(profile)),
            address: row.get(5)?,
            segment: parsed(row, 6)?,
            topic: row.get(7)?,
            person: PersonKey {
                kind: row.get(8)?,
                value: row.get(9)?,
            },
            entered_at: Timestamp::from_micros(row.get(10)?),
            state: SendState::from_name(&state).ok_or_else(|| rusqlite::Error::InvalidColumnName(state))?,
            reason: row.get(12)?,
            attempts: row.get(13)?,
            subject: row.get(14)?,
            sender: row.get(15)?,
            unsubscribed_at: row.get::<_, Option<i64>>(16)?.map(Timestamp::from_micros),
            asked_at: row.get::<_, Option<i64>>(17)?.map(Timestamp::from_micros),
        })
    }

    /// From when on it has waited: the entry, or the start of the run that reserved it.
    pub(crate) fn wanted_at(&self) -> Timestamp {
        self.asked_at.unwrap_or(self.entered_at)
    }

    /// 128 bits that name this send for ever: of its space, message, entry, person and address.
    pub(crate) fn key(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("kith send");
        for part in [
            self.space.as_str().as_bytes(),
            self.message.as_bytes(),
            &self.run.to_be_bytes(),
            &self.profile.0.to_be_bytes(),
            self.address.as_bytes(),
        ] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// Where it goes, as [`Ledger::due`] tells it.
    pub(crate) fn destination(&self) -> &str {
        self.address.split_once('@').map_or("", |(_, domain)| domain)
    }

    /// The part of the address after the `@`.
    pub(crate) fn address_domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

/// The ledger's file.
pub(crate) struct Ledger {
    connection: Mutex<Connection>,
}

impl Ledger {
    /// Opens the ledger at `path`, made and migrated where needed. Sends that a crash left in `attempting` stay there
    /// until [`Ledger::recover`].
    pub(crate) fn open(path: &Path) -> Result<Self, ActivateError> {
        let connection = kith_sqlite::open(path, &FORMAT)?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    /// Settles what a crash left in `attempting`: marketing is `unknown` for good, transactional mail is due again at the
    /// instant that `again` gives, or `unknown` as well where it gives none. Answers them as they stand then.
    pub(crate) fn recover(
        &self,
        now: Timestamp,
        again: &dyn Fn(&SendRow) -> Option<Timestamp>,
    ) -> Result<Vec<SendRow>, ActivateError> {
        self.transaction(|ledger| {
            let mut statement =
                ledger.prepare(&format!("SELECT {SEND_COLUMNS} FROM sends WHERE state = 'attempting'"))?;
            let left: Vec<SendRow> = statement.query_map([], SendRow::read)?.collect::<Result<_, _>>()?;
            for send in &left {
                match again(send).filter(|_| send.topic.is_none()) {
                    Some(due_at) => {
                        set_state(ledger, send, SendState::Reserved, Some("interrupted"), now)?;
                        const PUT_OFF: &str = "UPDATE sends SET due_at = ?2 WHERE id = ?1";
                        ledger.execute(PUT_OFF, params![send.id, due_at.as_micros()])?;
                    }
                    None => settle(ledger, send, SendState::Unknown, Some("interrupted"), now)?,
                }
            }
            let settled = left.iter().map(|send| read_send(ledger, send.id));
            Ok(settled.filter_map(Result::transpose).collect::<Result<_, _>>()?)
        })
    }

    /// The connection. A panic while it was held cannot have left half a write: SQLite rolls it back.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in one transaction that is committed only when it succeeds.
    fn transaction<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, ActivateError>,
    ) -> Result<T, ActivateError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let outcome = work(&transaction)?;
        transaction.commit()?;
        Ok(outcome)
    }

    /// The send of that row.
    pub(crate) fn send(&self, id: i64) -> Result<Option<SendRow>, ActivateError> {
        Ok(read_send(&self.connection(), id)?)
    }
}

fn read_send(connection: &Connection, id: i64) -> rusqlite::Result<Option<SendRow>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {SEND_COLUMNS} FROM sends WHERE id = ?1"))?;
    statement.query_row([id], SendRow::read).optional()
}

/// Moves a send to another state.
fn set_state(
    ledger: &Connection,
    send: &SendRow,
    state: SendState,
    reason: Option<&str>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    const SET: &str = "UPDATE sends SET state = ?2, reason = ?3, changed_at = ?4 WHERE id = ?1";
    let mut statement = ledger.prepare_cached(SET)?;
    statement.execute(params![send.id, state.as_str(), reason, now.as_micros()])?;
    Ok(())
}

/// Moves a send to its last state and queues the event that tells of it.
fn settle(
    ledger: &Connection,
    send: &SendRow,
    state: SendState,
    reason: Option<&str>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    set_state(ledger, send, state, reason, now)?;
    let kind = match state {
        SendState::Accepted => FeedbackKind::Sent,
        SendState::Rejected => FeedbackKind::Failed,
        SendState::Unknown => FeedbackKind::Unknown,
        SendState::Skipped => FeedbackKind::Skipped,
        SendState::Reserved | SendState::Attempting => return Ok(()),
    };
    queue_feedback(ledger, send, kind, reason, now)
}

/// Queues an event, in the transaction of what it tells of.
fn queue_feedback(
    ledger: &Connection,
    send: &SendRow,
    kind: FeedbackKind,
    reason: Option<&str>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Some(body) = feedback::body(send, kind, reason, now) else {
        return Ok(());
    };
    let mut statement = ledger.prepare_cached("INSERT INTO feedback (space, body) VALUES (?1, ?2)")?;
    statement.execute(params![send.space.as_str(), body])?;
    Ok(())
}

/// Reads a column of a type that reads from text.
fn parsed<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}
