//! How sending stands, and pausing it. Figures come from the ledger's rows, never from memory.

use super::attempt::is_paused;
use super::{Ledger, SEND_COLUMNS, SendRow, SendState};
use crate::activation::PauseScope;
use crate::error::ActivateError;
use kith_types::{ProfileId, SegmentName, SpaceId, Timestamp};
use rusqlite::params;
use std::collections::BTreeMap;

/// How sending stands in one space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpaceStatus {
    /// Sends by state, `skipped` included.
    pub sends: BTreeMap<&'static str, u64>,
    /// Skipped sends by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Entries that were not live and so sent nothing, by message and cause.
    pub not_live: BTreeMap<(String, String), u64>,
    /// Whether sending is paused here, by itself or with everything.
    pub paused: bool,
    /// The number of the outbox that is wanted next.
    pub next_number: u64,
    /// Changes of the outbox that were gone before they could be taken: nothing was sent by them.
    pub missed: u64,
    /// When the send that has waited longest was due.
    pub oldest_due_at: Option<Timestamp>,
}

/// How sending stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivationStatus {
    /// By space.
    pub spaces: BTreeMap<String, SpaceStatus>,
    /// Whether everything is paused.
    pub all_paused: bool,
    /// Whether there is a channel. Without one what is due waits.
    pub has_mailer: bool,
    /// Events about messages that the log does not have yet.
    pub feedback_due: u64,
    /// The last thing that went wrong and is being tried again, if the latest try failed.
    pub last_error: Option<String>,
}

/// How many entries of a message came to something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageCount {
    /// The message.
    pub message: String,
    /// A state of its sends; none for entries that were not live and so sent nothing.
    pub state: Option<SendState>,
    /// Why, of what was skipped; the cause, of what was not live.
    pub reason: Option<String>,
    /// How many.
    pub count: u64,
}

/// How many of the newest sends are looked through for those that are asked for.
const LOOKED_THROUGH: i64 = 1_000_000;

/// Which sends are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendsOf {
    /// Only those to this profile.
    pub profile: Option<ProfileId>,
    /// Only those of this message.
    pub message: Option<String>,
    /// At most so many, the newest.
    pub limit: usize,
}

/// A send as operators see it; its address is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendView {
    /// The name of the send in events about it.
    pub send_id: String,
    /// The message.
    pub message: String,
    /// The segment that was entered.
    pub segment: SegmentName,
    /// Who entered it.
    pub profile: ProfileId,
    /// When.
    pub entered_at: Timestamp,
    /// Where it stands.
    pub state: SendState,
    /// Why it waits, was skipped or was refused.
    pub reason: Option<String>,
    /// How often it was handed to the channel.
    pub attempts: u32,
    /// When it is tried, where it waits.
    pub due_at: Option<Timestamp>,
}

impl Ledger {
    /// The newest sends of a space.
    pub(crate) fn sends(&self, space: &SpaceId, of: &SendsOf) -> Result<Vec<SendView>, ActivateError> {
        let select = format!(
            "SELECT {SEND_COLUMNS}, due_at FROM sends WHERE id > (SELECT max(id) FROM sends) - {LOOKED_THROUGH} AND space = ?1 \
             AND (?2 IS NULL OR profile = ?2) AND (?3 IS NULL OR message = ?3) ORDER BY id DESC LIMIT ?4"
        );
        let profile = of.profile.map(|profile| profile.0.to_be_bytes());
        let limit = i64::try_from(of.limit).unwrap_or(i64::MAX);
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&select)?;
        let rows = statement.query_map(params![space.as_str(), profile, of.message, limit], |row| {
            let send = SendRow::read(row)?;
            let due_at = Timestamp::from_micros(row.get(18)?);
            Ok(SendView {
                send_id: send.key(),
                due_at: (send.state == SendState::Reserved).then_some(due_at),
                message: send.message,
                segment: send.segment,
                profile: send.profile,
                entered_at: send.entered_at,
                state: send.state,
                reason: send.reason,
                attempts: send.attempts,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Pauses something, or lets it go on; false where it was so already. Persisted before it returns.
    pub(crate) fn pause(&self, scope: PauseScope<'_>, paused: bool) -> Result<bool, ActivateError> {
        let change = if paused {
            "INSERT INTO pauses (scope) VALUES (?1) ON CONFLICT DO NOTHING"
        } else {
            "DELETE FROM pauses WHERE scope = ?1"
        };
        Ok(self.connection().execute(change, [scope.key()])? > 0)
    }

    /// What is paused, by its key.
    pub(crate) fn paused(&self) -> Result<Vec<String>, ActivateError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT scope FROM pauses ORDER BY scope")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What the entries of each message of a space came to, by message, state and reason.
    pub(crate) fn counts(&self, space: &SpaceId) -> Result<Vec<MessageCount>, ActivateError> {
        const SENDS: &str = "SELECT message, state, CASE state WHEN 'skipped' THEN reason END AS why, count(*) FROM sends WHERE space = ?1 GROUP BY message, state, why ORDER BY message, state, why";
        const NOT_LIVE: &str =
            "SELECT message, NULL, cause, entries FROM not_live WHERE space = ?1 ORDER BY message, cause";
        let connection = self.connection();
        let mut counts = Vec::new();
        for read in [SENDS, NOT_LIVE] {
            let mut statement = connection.prepare_cached(read)?;
            let mut rows = statement.query([space.as_str()])?;
            while let Some(row) = rows.next()? {
                let state: Option<String> = row.get(1)?;
                counts.push(MessageCount {
                    message: row.get(0)?,
                    state: state.as_deref().and_then(SendState::from_name),
                    reason: row.get(2)?,
                    count: row.get(3)?,
                });
            }
        }
        Ok(counts)
    }

    /// Sends that wait.
    pub(crate) fn pending(&self) -> Result<i64, ActivateError> {
        const COUNT: &str = "SELECT count(*) FROM sends WHERE state = 'reserved'";
        Ok(self.connection().query_row(COUNT, [], |row| row.get(0))?)
    }

    /// The figures of every space, those given included.
    pub(crate) fn status(&self, spaces: &[SpaceId]) -> Result<ActivationStatus, ActivateError> {
        let connection = self.connection();
        let mut status = ActivationStatus::default();
        for space in spaces {
            status.spaces.entry(space.as_str().to_owned()).or_default();
        }
        let mut of = |space: String, change: &mut dyn FnMut(&mut SpaceStatus)| {
            change(status.spaces.entry(space).or_default());
        };
        let mut counts = connection
            .prepare_cached("SELECT space, state, reason, count(*) FROM sends GROUP BY space, state, reason")?;
        let mut rows = counts.query([])?;
        while let Some(row) = rows.next()? {
            let (state, reason, count): (String, Option<String>, u64) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let Some(state) = SendState::from_name(&state) else {
                continue;
            };
            of(row.get(0)?, &mut |space| {
                *space.sends.entry(state.as_str()).or_default() += count;
                if state == SendState::Skipped {
                    *space.skipped.entry(reason.clone().unwrap_or_default()).or_default() += count;
                }
            });
        }
        let mut entries = connection.prepare_cached("SELECT space, message, cause, entries FROM not_live")?;
        let mut rows = entries.query([])?;
        while let Some(row) = rows.next()? {
            let (key, count): ((String, String), u64) = ((row.get(1)?, row.get(2)?), row.get(3)?);
            of(row.get(0)?, &mut |space| {
                space.not_live.insert(key.clone(), count);
            });
        }
        let mut cursors = connection.prepare_cached("SELECT space, next_number, missed FROM cursors")?;
        let mut rows = cursors.query([])?;
        while let Some(row) = rows.next()? {
            let (number, missed): (i64, i64) = (row.get(1)?, row.get(2)?);
            of(row.get(0)?, &mut |space| {
                space.next_number = u64::try_from(number).unwrap_or(0);
                space.missed = u64::try_from(missed).unwrap_or(0);
            });
        }
        let mut oldest = connection
            .prepare_cached("SELECT space, min(due_at) FROM sends WHERE state = 'reserved' GROUP BY space")?;
        let mut rows = oldest.query([])?;
        while let Some(row) = rows.next()? {
            let due_at: i64 = row.get(1)?;
            of(row.get(0)?, &mut |space| {
                space.oldest_due_at = Some(Timestamp::from_micros(due_at));
            });
        }
        for (name, space) in &mut status.spaces {
            space.paused = is_paused(&connection, name, "")?;
        }
        status.all_paused = is_paused(&connection, "*", "")?;
        status.feedback_due = connection.query_row("SELECT count(*) FROM feedback", [], |row| row.get(0))?;
        Ok(status)
    }
}
