//! Whom each destination holds and under which name, and what it is told next (contract SEG-5). What is told is decided once and
//! written down with the name, then sent until it is answered; `told` changes in the transaction that counts the answer. So a
//! receiver never holds a name that is neither among `told` nor in the queue, wherever the process dies.

use super::destinations::{keep_refusals, unsigned};
use super::reserve::number;
use super::{Ledger, Mark, Refusal, parsed};
use crate::error::ActivateError;
use kith_types::{ProfileId, SegmentName, SpaceId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;

/// Rows that are forgotten at once: whoever else needs the ledger waits for no more.
const FORGOTTEN_AT_ONCE: i64 = 10_000;

/// Who is held by a name. Left to itself SQLite would look through the whole segment.
pub(super) const TOLD_AS: &str = "SELECT profile FROM told INDEXED BY told_names WHERE space = ?1 AND destination = ?2 AND segment = ?3 AND name = ?4 AND anonymous = ?5";

/// Whom a receiver is told of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Named {
    /// `userId`.
    User(String),
    /// `anonymousId`: a person who never signed in.
    Anonymous(String),
}

impl Named {
    fn columns(&self) -> (bool, &str) {
        match self {
            Self::User(name) => (false, name),
            Self::Anonymous(name) => (true, name),
        }
    }

    fn read(row: &Row<'_>, anonymous: usize, name: usize) -> rusqlite::Result<Self> {
        Ok(match row.get(anonymous)? {
            true => Self::Anonymous(row.get(name)?),
            false => Self::User(row.get(name)?),
        })
    }
}

/// Where what is told comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// The change of that number.
    Change(u64),
    /// A member when the segment was connected, at the change that came next.
    Member(u64),
    /// What a comparison at that number found: changes of it were lost, or a name is another one by now.
    Compared(u64),
}

impl Source {
    /// The name and the number that stand for it in the ledger and in message ids.
    pub(crate) fn parts(self) -> (&'static str, u64) {
        match self {
            Self::Change(number) => ("change", number),
            Self::Member(number) => ("member", number),
            Self::Compared(number) => ("compared", number),
        }
    }

    fn of(kind: &str, number: u64) -> Option<Self> {
        match kind {
            "change" => Some(Self::Change(number)),
            "member" => Some(Self::Member(number)),
            "compared" => Some(Self::Compared(number)),
            _ => None,
        }
    }
}

/// That somebody enters or leaves under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Telling {
    /// Its place in the queue; 0 before it has one.
    pub(crate) id: i64,
    /// Whether the receiver is told. Else only the ledger is: it holds that name already, or still.
    pub(crate) said: bool,
    pub(crate) source: Source,
    pub(crate) segment: SegmentName,
    pub(crate) profile: ProfileId,
    pub(crate) entered: bool,
    pub(crate) at: Timestamp,
    pub(crate) cause: String,
    pub(crate) named: Named,
}

/// A stretch of changes or members that was decided.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decided {
    /// How far the destination has come with it.
    pub(crate) mark: Option<Mark>,
    pub(crate) tellings: Vec<Telling>,
    /// Of people whom nothing names.
    pub(crate) nameless: u64,
}

/// What became of something that was to be told.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) telling: Telling,
    /// Whether the receiver took it, or nothing was said.
    pub(crate) taken: bool,
    /// Whether nothing of it is still to come.
    pub(crate) is_done: bool,
}

/// What a batch came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Events that were taken.
    pub(crate) sent: u64,
    pub(crate) answered: Vec<Answered>,
    pub(crate) refusals: Vec<Refusal>,
}

impl Ledger {
    /// Writes down what a destination is told next, and that it has come so far, in one transaction.
    pub(crate) fn decide(&self, space: &SpaceId, name: &str, decided: &Decided) -> Result<(), ActivateError> {
        self.transaction(|ledger| {
            const ADD: &str = "INSERT INTO telling (space, destination, said, kind, number, segment, profile, entered, changed_at, cause, anonymous, name) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
            let mut add = ledger.prepare_cached(ADD)?;
            for telling in &decided.tellings {
                let (kind, at_number) = telling.source.parts();
                let (anonymous, named) = telling.named.columns();
                add.execute(params![
                    space.as_str(),
                    name,
                    telling.said,
                    kind,
                    number(at_number),
                    telling.segment.as_str(),
                    telling.profile.0.to_be_bytes(),
                    telling.entered,
                    telling.at.as_micros(),
                    telling.cause,
                    anonymous,
                    named,
                ])?;
            }
            match decided.mark {
                Some(Mark::Number(next)) => {
                    const MOVE: &str = "UPDATE destinations SET next_number = max(next_number, ?3) WHERE space = ?1 AND destination = ?2";
                    ledger.prepare_cached(MOVE)?.execute(params![space.as_str(), name, number(next)])?;
                }
                Some(Mark::Member(id)) => {
                    const TAKEN: &str = "DELETE FROM destination_members WHERE space = ?1 AND destination = ?2 AND id <= ?3";
                    ledger.prepare_cached(TAKEN)?.execute(params![space.as_str(), name, id])?;
                }
                None => {}
            }
            if decided.nameless > 0 {
                const COUNT: &str = "UPDATE destinations SET nameless = nameless + ?3 WHERE space = ?1 AND destination = ?2";
                ledger.prepare_cached(COUNT)?.execute(params![space.as_str(), name, number(decided.nameless)])?;
            }
            Ok(())
        })
    }

    /// What a destination is told next, in order.
    pub(crate) fn tellings(&self, space: &SpaceId, name: &str) -> Result<Vec<Telling>, ActivateError> {
        const READ: &str = "SELECT id, said, kind, number, segment, profile, entered, changed_at, cause, anonymous, name FROM telling WHERE space = ?1 AND destination = ?2 ORDER BY id";
        let connection = self.connection();
        let mut statement = connection.prepare_cached(READ)?;
        let rows = statement.query_map([space.as_str(), name], |row| {
            let kind: String = row.get(2)?;
            let source = Source::of(&kind, unsigned(row.get(3)?));
            Ok(Telling {
                id: row.get(0)?,
                said: row.get(1)?,
                source: source.ok_or(rusqlite::Error::InvalidColumnName(kind))?,
                segment: parsed(row, 4)?,
                profile: ProfileId(u128::from_be_bytes(row.get(5)?)),
                entered: row.get(6)?,
                at: Timestamp::from_micros(row.get(7)?),
                cause: row.get(8)?,
                named: Named::read(row, 9, 10)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Records what a receiver answered, and whom it holds now, in one transaction.
    pub(crate) fn progress(
        &self,
        space: &SpaceId,
        name: &str,
        progress: &Progress,
        now: Timestamp,
    ) -> Result<(), ActivateError> {
        self.transaction(|ledger| {
            const DONE: &str = "DELETE FROM telling WHERE id = ?1";
            for answered in &progress.answered {
                if answered.taken {
                    hold(ledger, space, name, &answered.telling)?;
                }
                if answered.is_done {
                    ledger.prepare_cached(DONE)?.execute([answered.telling.id])?;
                }
            }
            const COUNT: &str = "UPDATE destinations SET sent = sent + ?3, refused = refused + ?4 WHERE space = ?1 AND destination = ?2";
            let (sent, refused) = (number(progress.sent), number(progress.refusals.len() as u64));
            if sent > 0 || refused > 0 {
                let counted = params![space.as_str(), name, sent, refused];
                ledger.prepare_cached(COUNT)?.execute(counted)?;
            }
            keep_refusals(ledger, space, name, &progress.refusals, now)?;
            Ok(())
        })
    }

    /// The name by which a destination holds a person as a member.
    pub(crate) fn told(
        &self,
        space: &SpaceId,
        name: &str,
        segment: &SegmentName,
        profile: ProfileId,
    ) -> Result<Option<Named>, ActivateError> {
        const READ: &str =
            "SELECT anonymous, name FROM told WHERE space = ?1 AND destination = ?2 AND segment = ?3 AND profile = ?4";
        let key = params![space.as_str(), name, segment.as_str(), profile.0.to_be_bytes()];
        let connection = self.connection();
        let found = connection
            .prepare_cached(READ)?
            .query_row(key, |row| Named::read(row, 0, 1));
        Ok(found.optional()?)
    }

    /// The profiles for which a destination holds a name.
    pub(crate) fn told_as(
        &self,
        space: &SpaceId,
        name: &str,
        segment: &SegmentName,
        named: &Named,
    ) -> Result<Vec<ProfileId>, ActivateError> {
        let (anonymous, called) = named.columns();
        let key = params![space.as_str(), name, segment.as_str(), called, anonymous];
        let connection = self.connection();
        let mut statement = connection.prepare_cached(TOLD_AS)?;
        let rows = statement.query_map(key, |row| Ok(ProfileId(u128::from_be_bytes(row.get(0)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whom a destination holds behind a place, in the order of segments and ids, at most `limit`.
    pub(crate) fn told_after(
        &self,
        space: &SpaceId,
        name: &str,
        after: Option<&(SegmentName, ProfileId)>,
        limit: usize,
    ) -> Result<Vec<(SegmentName, ProfileId, Named)>, ActivateError> {
        const READ: &str = "SELECT segment, profile, anonymous, name FROM told WHERE space = ?1 AND destination = ?2 AND (segment, profile) > (?3, ?4) ORDER BY segment, profile LIMIT ?5";
        self.page(READ, space, name, after, limit, |row| Named::read(row, 2, 3))
    }

    /// Members to compare behind a place, each with the instant of entry, as [`Ledger::told_after`].
    pub(crate) fn compared_after(
        &self,
        space: &SpaceId,
        name: &str,
        after: Option<&(SegmentName, ProfileId)>,
        limit: usize,
    ) -> Result<Vec<(SegmentName, ProfileId, Timestamp)>, ActivateError> {
        const READ: &str = "SELECT segment, profile, since FROM compared_members WHERE space = ?1 AND destination = ?2 AND (segment, profile) > (?3, ?4) ORDER BY segment, profile LIMIT ?5";
        self.page(READ, space, name, after, limit, |row| {
            Ok(Timestamp::from_micros(row.get(2)?))
        })
    }

    fn page<T>(
        &self,
        read: &str,
        space: &SpaceId,
        name: &str,
        after: Option<&(SegmentName, ProfileId)>,
        limit: usize,
        mut rest: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<(SegmentName, ProfileId, T)>, ActivateError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(read)?;
        let segment = after.map_or("", |(segment, _)| segment.as_str());
        let profile = after.map_or(Vec::new(), |(_, profile)| profile.0.to_be_bytes().to_vec());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![space.as_str(), name, segment, profile, limit], |row| {
            let profile = ProfileId(u128::from_be_bytes(row.get(1)?));
            Ok((parsed(row, 0)?, profile, rest(row)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets whom a destination holds in segments other than these, some of them; returns whether there may be more.
    pub(crate) fn forget_told(
        &self,
        space: &SpaceId,
        name: &str,
        listed: &BTreeSet<SegmentName>,
    ) -> Result<bool, ActivateError> {
        // From one segment to the next, so that those who stay are not walked through.
        const NEXT: &str =
            "SELECT segment FROM told WHERE space = ?1 AND destination = ?2 AND segment > ?3 ORDER BY segment LIMIT 1";
        const DROP: &str = "DELETE FROM told WHERE (space, destination, segment, profile) IN (SELECT space, destination, segment, profile FROM told WHERE space = ?1 AND destination = ?2 AND segment = ?3 LIMIT ?4)";
        let connection = self.connection();
        let mut next = connection.prepare_cached(NEXT)?;
        let mut segment = String::new();
        loop {
            let key = params![space.as_str(), name, segment];
            let Some(found) = next.query_row(key, |row| row.get::<_, String>(0)).optional()? else {
                return Ok(false);
            };
            segment = found;
            if listed.iter().all(|listed| listed.as_str() != segment) {
                let key = params![space.as_str(), name, segment, FORGOTTEN_AT_ONCE];
                connection.execute(DROP, key)?;
                return Ok(true);
            }
        }
    }

    /// Adds members to compare. They count once [`Ledger::connect`] has said at which number.
    pub(crate) fn add_compared(
        &self,
        space: &SpaceId,
        name: &str,
        members: &[(SegmentName, ProfileId, Timestamp)],
    ) -> Result<(), ActivateError> {
        self.transaction(|ledger| {
            const ADD: &str = "INSERT OR REPLACE INTO compared_members (space, destination, segment, profile, since) VALUES (?1, ?2, ?3, ?4, ?5)";
            let mut statement = ledger.prepare_cached(ADD)?;
            for (segment, profile, since) in members {
                let (profile, since) = (profile.0.to_be_bytes(), since.as_micros());
                statement.execute(params![space.as_str(), name, segment.as_str(), profile, since])?;
            }
            Ok(())
        })
    }

    /// Forgets members that were written down to be compared, some; returns whether there may be more.
    pub(crate) fn drop_compared(&self, space: &SpaceId, name: &str) -> Result<bool, ActivateError> {
        const DROP: &str = "DELETE FROM compared_members WHERE (space, destination, segment, profile) IN (SELECT space, destination, segment, profile FROM compared_members WHERE space = ?1 AND destination = ?2 LIMIT ?3)";
        let dropped = self
            .connection()
            .execute(DROP, params![space.as_str(), name, FORGOTTEN_AT_ONCE])?;
        Ok(dropped > 0)
    }
}

/// Keeps whom a receiver holds once it took what it was told.
fn hold(ledger: &Connection, space: &SpaceId, name: &str, telling: &Telling) -> rusqlite::Result<()> {
    let (anonymous, named) = telling.named.columns();
    let profile = telling.profile.0.to_be_bytes();
    let row = params![
        space.as_str(),
        name,
        telling.segment.as_str(),
        profile,
        anonymous,
        named
    ];
    const HOLDS: &str = "INSERT INTO told (space, destination, segment, profile, anonymous, name) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET anonymous = excluded.anonymous, name = excluded.name";
    const HOLDS_NOT: &str = "DELETE FROM told WHERE space = ?1 AND destination = ?2 AND segment = ?3 AND profile = ?4 AND anonymous = ?5 AND name = ?6";
    ledger
        .prepare_cached(if telling.entered { HOLDS } else { HOLDS_NOT })?
        .execute(row)?;
    Ok(())
}
